"""Any object with the three methods, and ARPA files as they are."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.dummy import Bigram

import textdl
from textdl.errors import ModelError, TextTypeError, UsageError
from textdl.evaluating import adopt
from textdl.protocols import ScorePolicy

DATA = Path(__file__).parents[1] / "data" / "kenlm-tiny"


class Three:
    """No more than the three methods."""

    def __init__(self, inner):
        self._inner = inner

    def score(self, lines, contexts=None, *, policy=None):
        return self._inner.score(lines, contexts, policy=policy)

    def start(self, contexts=None, prefixes=None):
        return self._inner.start(contexts, prefixes)

    def step(self, state, last):
        return self._inner.step(state, last)


def test_an_object_with_three_methods():
    table = np.full((5, 5), 0.25)
    table[:, 1] = 0
    subject = adopt(Three(Bigram(table)), "char", ["a", "b"], name="mine")
    evaluation = textdl.evaluate(subject, ["ab", "b", "ax"], top=[1, 4])
    result = evaluation[0]
    assert result.model == "mine"
    assert result.closed == pytest.approx(8 * math.log(4), rel=1e-6)  # 5 characters, 3 line ends, each 1/4
    assert result.open > result.closed
    # a, b and </s> are equally likely guesses, <unk> is none; 7 of 8 tokens can be right
    assert evaluation.accuracy[0].shares == pytest.approx({1: 7 / 8 / 3, 4: 7 / 8})
    assert adopt(Bigram(table), "char", ["a", "b"]).name == "Bigram"


def test_arrays_however_they_come():
    class Given(Three):
        def __init__(self, change):
            super().__init__(Bigram.random(5, 1))
            self.change = change

        def score(self, lines, contexts=None, *, policy=None):
            return self.change(list(self._inner.score(lines, contexts, policy=policy)))

    def total(change):
        return textdl.evaluate(adopt(Given(change), "char", ["a", "b"]), ["ab", "b"])[0].closed

    expected = total(iter)
    assert total(np.concatenate) == total(lambda arrays: [a.tolist() for a in arrays]) == pytest.approx(expected)
    with pytest.raises(ModelError, match=r"Given.score gave an array of the shape \(1, 1\)"):
        total(lambda arrays: [a[None] for a in arrays])
    with pytest.raises(ModelError, match=r"Given.score gave a list .*flat arrays of numbers"):
        total(lambda arrays: [["a"]])
    with pytest.raises(ModelError, match=r"Given.score gave an array of the shape \(\)"):
        total(lambda arrays: np.concatenate(arrays).tolist())


@dataclass
class Given:
    """Gives what it was told to give; otherwise looks at nothing."""

    first: Any = None
    scores: Any = -math.log(4)
    state: Any = None

    def score(self, lines, contexts=None, *, policy=None):
        return self.scores if self.scores is None else [np.full(lines.tokens + len(lines), self.scores)]

    def start(self, contexts=None, prefixes=None):
        if self.first is NotImplementedError:
            raise self.first
        rows = 1 if prefixes is None else len(prefixes)
        table = np.tile([-math.log(4), -np.inf, *[-math.log(4)] * 3], (rows, 1))
        return (table, self.state) if self.first is None else self.first(table)

    def step(self, state, last):
        return self.start(prefixes=last)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (lambda table: table, r"Given.start gave a ndarray. It gives a pair"),
        (lambda table: ("many", 1), r"Given.start gave a str .*It gives a pair"),
        (lambda table: (table[:, :-1], 1), r"an array of the shape \(1, 4\), expected \(1, 5\)"),
        (lambda table: (np.tile(table, (2, 1)), 1), r"an array of the shape \(2, 5\), expected \(1, 5\)"),
        (lambda table: (np.exp(table), 1), r"Given.start gave probabilities that sum to 6.1"),
        (lambda table: (table * np.nan, 1), "gave probabilities that sum to nan"),
    ],
)
def test_what_is_no_distribution(first, message):
    with pytest.raises(ModelError, match=message):
        textdl.evaluate(adopt(Given(first), "char", ["a", "b"]), ["ab"])


def test_a_score_that_is_not_of_the_distribution_is_found():
    """Probability 1 for every token would be a text of no bits, and first on every card."""

    def total(**given):
        return textdl.evaluate(adopt(Given(**given), "char", ["a", "b"]), ["ab"])[0].closed

    assert total() == pytest.approx(3 * math.log(4))
    with pytest.raises(
        ModelError, match=r"Given.score gives the first token of the text 0.0000 and Given.start -1.3863"
    ):
        total(scores=0.0)
    with pytest.raises(ModelError, match=r"Given.score gives the first token of the text nan"):
        total(scores=np.nan)
    with pytest.raises(ModelError, match=r"Given.score gave a NoneType. It gives flat arrays"):
        total(scores=None)
    assert total(scores=-1.0, first=NotImplementedError) == pytest.approx(3)  # has nothing else to give
    with pytest.raises(ModelError, match="scored 3 tokens"):  # an empty line has no first token to be looked at
        textdl.evaluate(adopt(Given(), "char", ["a", "b"]), ["", "a"], policy=ScorePolicy(line_end=False))


def test_a_state_without_select():
    mine = adopt(Given(state=7), "char", ["a", "b"])
    assert textdl.evaluate(mine, ["ab"])[0].tokens == 3  # nobody asks for it
    with pytest.raises(ModelError, match=r"the state of Given is 7 without select\(rows\)"):
        textdl.evaluate(mine, ["ab"], top=[1])
    with pytest.raises(UsageError, match="Given was given the state of another kind of model"):
        mine.model.step(7, np.array([3]))


def test_what_it_gives_is_not_written_to():
    table = np.tile([-math.log(4), -np.inf, *[-math.log(4)] * 3], (1, 1)).astype(np.float32)
    mine = adopt(Given(lambda _: (table, Three(None))), "char", ["a", "b"])
    mine.model.start()[0][:] = 0
    assert np.exp(table).sum() == pytest.approx(1)


def test_what_it_lacks_is_said():
    with pytest.raises(UsageError, match="object has no score and no start and no step"):
        adopt(object(), "char", ["a"])
    with pytest.raises(UsageError, match="a model of 5 tokens and 3 pieces"):
        adopt(Bigram.random(5), "char", ["a", "b", "c"])

    class Otherwise(Three):
        def score(self, lines):
            raise AssertionError

    with pytest.raises(UsageError, match=r"Otherwise.score is called as score\(lines, contexts, policy=policy\)"):
        adopt(Otherwise(None), "char", ["a"])
    named = Three(Bigram.random(5))
    named.policy = "line"
    with pytest.raises(UsageError, match=r"Three.policy is 'line'; expected a .*ScorePolicy"):
        adopt(named, "char", ["a", "b"])
    for pieces in ("ab", ["a", 2], [b"a", b"b"]):
        with pytest.raises(TextTypeError, match="expected a list of str"):
            adopt(Bigram.random(5), "char", pieces)
    assert adopt(Bigram.random(5), "char", (piece for piece in "ab")).vocab.pieces == ["a", "b"]
    with pytest.raises(UsageError, match="a tokenizer of the type int"):
        adopt(Bigram.random(5), 3, ["a", "b"])


def test_an_arpa_file_gives_the_figures_of_query():
    lines = (DATA / "tiny.test.txt").read_text("utf-8").splitlines()
    printed = (DATA / "tiny.o3.query-summary.txt").read_text("utf-8")
    result = textdl.evaluate(DATA / "tiny.o3.arpa", lines)[0]
    including, excluding = (float(x) for x in re.findall(r"OOVs:\t(\d+\.\d+)", printed))
    assert result.model == "tiny.o3.arpa"
    assert result.ppl_token == pytest.approx(including, rel=1e-5)
    assert result.excl_ppl_token == pytest.approx(excluding, rel=1e-5)
    assert result.tokens == int(re.search(r"^Tokens:\t(\d+)$", printed, re.MULTILINE)[1])
