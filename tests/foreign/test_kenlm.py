"""KenLM's binary files, read by its own module. Without it: the words in the file, and what the user is told."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import textdl
from textdl.encoded import BOS, EOS
from textdl.errors import ModelError, UsageError
from textdl.foreign import kenlm as foreign
from textdl.protocols import ScorePolicy
from textdl.vocabulary import Vocabulary

DATA = Path(__file__).parents[1] / "data" / "kenlm-tiny"
KINDS = ("probing", "trie")
LINES = (DATA / "tiny.test.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_stand_in_the_file(kind):
    path = DATA / f"tiny.o3.{kind}"
    assert foreign.is_kenlm(path)
    words = set(foreign._words(path))
    assert words >= {"<unk>", "<s>", "</s>", "the", "cat", "sat"}
    assert len(words) == 13


@pytest.mark.parametrize("kind", KINDS)
def test_the_counts_are_those_of_the_arpa_file(kind):
    counts = re.findall(r"^ngram \d=(\d+)$", (DATA / "tiny.o3.arpa").read_text("utf-8"), re.MULTILINE)
    assert foreign._counts(DATA / f"tiny.o3.{kind}") == [*map(int, counts)]


def test_what_is_no_kenlm_file(tmp_path):
    assert not foreign.is_kenlm(DATA / "tiny.o3.arpa")
    assert not foreign.is_kenlm(tmp_path)
    (tmp_path / "m").write_bytes(foreign.MAGIC + b" without words")
    with pytest.raises(ModelError, match="its words are not in it"):
        foreign._words(tmp_path / "m")


def test_without_the_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(UsageError, match="pip install kenlm"):
        textdl.evaluate(DATA / "tiny.o3.trie", LINES)


@pytest.mark.parametrize("kind", KINDS)
class TestWithTheModule:
    @pytest.fixture(autouse=True)
    def _module(self):
        pytest.importorskip("kenlm")

    def test_the_figures_of_query(self, kind):
        printed = (DATA / "tiny.o3.query-summary.txt").read_text("utf-8")
        result = textdl.evaluate(DATA / f"tiny.o3.{kind}", LINES)[0]
        including, excluding = (float(x) for x in re.findall(r"OOVs:\t(\d+\.\d+)", printed))
        assert result.ppl_token == pytest.approx(including, rel=1e-5)
        assert result.excl_ppl_token == pytest.approx(excluding, rel=1e-5)
        assert result.size == sum(foreign._counts(DATA / f"tiny.o3.{kind}"))
        assert result.unknown == int(re.search(r"^OOVs:\t(\d+)$", printed, re.MULTILINE)[1])

    def test_the_same_as_its_arpa_file(self, kind):
        binary, arpa = textdl.evaluate([DATA / f"tiny.o3.{kind}", DATA / "tiny.o3.arpa"], LINES).results
        assert binary.closed == pytest.approx(arpa.closed, rel=1e-5)
        assert binary.open == pytest.approx(arpa.open, rel=1e-5)
        assert binary.token_key == arpa.token_key

    def test_score_is_the_sum_of_steps(self, kind):
        model = foreign.KenlmModel(DATA / f"tiny.o3.{kind}")
        lines = Vocabulary(model.pieces).encode_lines([line.split() for line in LINES])
        scores = np.concatenate(list(model.score(lines)))
        stepped = []
        for i in range(len(lines)):
            log_probs, state = model.start()
            for token in [*lines.line(i).tolist(), EOS]:
                stepped.append(log_probs[0, token])
                assert np.exp(log_probs.astype(float)).sum() == pytest.approx(1, abs=1e-5)
                log_probs, state = model.step(state.select(np.array([0])), np.array([token]))
        np.testing.assert_allclose(scores, stepped, rtol=1e-6)
        assert log_probs[0, BOS] == -np.inf
        assert len(np.concatenate(list(model.score(lines, policy=ScorePolicy(line_end=False))))) == lines.tokens
        for policy in (ScorePolicy("stream"), ScorePolicy("line", None, 5), ScorePolicy("line", 2)):
            with pytest.raises(UsageError, match="line by line"):
                list(model.score(lines, policy=policy))
