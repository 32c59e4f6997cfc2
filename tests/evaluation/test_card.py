"""The one way from a text to figures: what is shared, what is read how often, and what is asked of whom."""

import numpy as np
import pytest
from contracts.dummy import Bigram

from textdl.encoded import Encoded
from textdl.errors import UsageError
from textdl.evaluation.card import Subject
from textdl.evaluation.spelling import Speller
from textdl.protocols import Run, ScorePolicy
from textdl.vocabulary import Vocabulary

from .pieces import Splitter, card, char, subject

LINES = ["ab ab", "a b x", "", "ba ba ba"]


class Counting(list):
    """Lines that count how often they are read."""

    reads = 0

    def __iter__(self):
        self.reads += 1
        return super().__iter__()


class CountingTokenizer(Splitter):
    passes = 0

    def encode_lines(self, lines):
        self.passes += 1
        return super().encode_lines(lines)


def made(name, pieces=("a", "b", " "), tokenizer=None, seed=0, **given):
    vocab = Vocabulary(list(pieces))
    speller = Speller.fit(["x"], vocab.pieces, single_code_point=True)
    return subject(name, Bigram.random(len(vocab), seed), tokenizer or char(), vocab, speller, **given)


def test_models_of_one_tokenizer_share_the_pass():
    tokenizer = CountingTokenizer("char", r".")
    lines = Counting(LINES)
    few = made("few", pieces=("a",), tokenizer=tokenizer)
    together = card(made("one", tokenizer=tokenizer), made("two", tokenizer=tokenizer, seed=1), few, lines=lines)
    assert tokenizer.passes == 1
    assert lines.reads == 2  # once to be counted, once to be tokenized
    for i, one in enumerate([made("one"), made("two", seed=1), made("few", pieces=("a",))]):
        alone = card(one, lines=LINES)[0]
        assert together[i].closed == alone.closed
        assert together[i].open == alone.open
        assert together[i].unknown == alone.unknown
    assert [b.model for b in together.baselines] == ["uniform (one)"]


def test_leaks_of_all_models_in_one_reading():
    lines = ["a line that is long enough", "another line that is long", "short"]
    results = card(made("one", trained=lines[:1]), made("two"), made("three", trained=lines), lines=lines).results
    assert [(r.leaked, r.leak_checked) for r in results] == [(1, 2), (None, None), (2, 2)]


class Translator(Bigram):
    """Knows that the source is the target."""

    def score(self, lines, contexts=None, *, policy=None):
        assert contexts is not None
        for i in range(len(lines)):
            same = np.array_equal(lines.line(i), contexts.line(i))
            yield np.full(len(lines.line(i)) + 1, -0.1 if same else -3.0, np.float32)


def test_source_lines_go_to_those_who_take_them():
    vocab = Vocabulary(["a", "b", " ", "x"])
    seen = []

    def encode_source(lines):
        seen.append(list(lines))
        return Encoded.from_lines([vocab.encode(list(line)) for line in seen[-1]], len(vocab))

    translator = Subject("translator", Translator.random(len(vocab)), char(), vocab, None, encode_source=encode_source)
    with pytest.raises(UsageError, match="translator is a sequence-to-sequence model: give the source lines"):
        card(translator, lines=LINES)
    evaluation = card(made("plain"), translator, lines=LINES, source=list(LINES))
    plain, given = evaluation.results
    assert seen == [LINES]
    assert given.closed == pytest.approx(0.1 * given.tokens, rel=1e-6)
    assert given.source.startswith("sha256:")
    assert plain.source is None
    assert given.context == "line, given the source"
    assert plain.context == "line"


def test_policies_are_settled():
    class Windowed(Bigram):
        def score(self, lines, contexts=None, *, policy=None):
            assert policy.window is not None
            assert policy.stride is not None
            return super().score(lines, contexts, policy=policy)

    vocab = Vocabulary(["a", "b", " ", "x"])
    model = Windowed.random(len(vocab), policy=ScorePolicy("stream", 16, 8))
    one = subject("m", model, char(), vocab, None)
    for asked, done in (
        (None, ScorePolicy("stream", 16, 8)),
        (ScorePolicy("line"), ScorePolicy("line", 16, 8)),
        (ScorePolicy("stream", 6), ScorePolicy("stream", 6, 3)),
        (ScorePolicy("stream", 6, 1), ScorePolicy("stream", 6, 1)),
    ):
        assert card(one, lines=LINES, policy=asked)[0].policy == done


def test_progress_is_told():
    class Told(Run):
        def __init__(self):
            super().__init__()
            self.stages = []

        def progress(self, stage, done, total, unit, text=""):
            self.stages.append(stage)

    run = Told()
    card(made("one"), lines=["ab"] * 5000, top=[1], run=run)
    assert {"counting the text", "encoding the text", "scoring", "next tokens"} <= set(run.stages)
