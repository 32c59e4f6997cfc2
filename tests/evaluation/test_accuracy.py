import numpy as np
import pytest
from contracts.dummy import Bigram

from textdl.encoded import EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.evaluation import accuracy
from textdl.evaluation.accuracy import top_k
from textdl.evaluation.baselines import uniform
from textdl.protocols import ScorePolicy

POLICY = ScorePolicy()


def encoded(*lines, size=6):
    return Encoded.from_lines(list(lines), size)


def plainly(model, lines, k):
    """Every token of every line, looked up in the model's own table."""
    right = total = 0
    for i in range(len(lines)):
        last = 1
        for token in [*lines.line(i).tolist(), EOS]:
            row = model.table[last].copy()
            row[[UNK, 1]] = -np.inf
            right += token != UNK and int((row > row[token]).sum()) < k
            total += 1
            last = token
    return right / total


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_against_the_table(monkeypatch, rows):
    monkeypatch.setattr(accuracy, "_ROWS", rows)
    rng = np.random.default_rng(0)
    lines = encoded(*[rng.choice([UNK, 3, 4, 5], rng.integers(0, 9)).tolist() for _ in range(40)])
    model = Bigram.random(6)
    found = top_k(model, lines, [1, 2, 4], policy=POLICY)
    assert found.tokens == lines.tokens + len(lines)
    assert found.shares == pytest.approx({k: plainly(model, lines, k) for k in (1, 2, 4)})
    without = top_k(model, lines, [1], policy=ScorePolicy(line_end=False))
    assert without.tokens == lines.tokens


def test_ties_are_a_draw():
    """Uniform over a, b, c and the line end: one of four guesses."""
    assert top_k(uniform(6), encoded([3, 4], [5]), [1, 3], policy=POLICY).shares == pytest.approx({1: 1 / 4, 3: 3 / 4})


def test_an_unknown_token_is_never_right():
    assert top_k(uniform(6), encoded([UNK, UNK]), [4], policy=POLICY).shares == {4: 1 / 3}  # the line end


def test_streams_and_long_lines(monkeypatch):
    stream = ScorePolicy("stream")
    model = Bigram.random(6, policy=stream)
    lines = encoded([3, 4], [5, 5, 3], [4])
    found = top_k(model, lines, [2], policy=stream)
    assert (found.tokens, found.lines) == (9, 3)
    assert top_k(model, lines, [2], policy=stream, tokens=4).tokens == 4
    monkeypatch.setattr(accuracy, "_LINE", 2)
    cut = top_k(Bigram.random(6), lines, [2], policy=POLICY)
    assert cut.tokens == 3 + 2 + 2  # the second line is cut, and its end with it
    assert top_k(Bigram.random(6), lines, [2], policy=POLICY, tokens=3).lines == 1


def test_k_of_any_size_and_integer_type():
    lines, model = encoded([3, 4, UNK]), Bigram.random(6)
    found = top_k(model, lines, [10**400, np.int64(6)], policy=POLICY)
    assert list(found.shares.values()) == [3 / 4, 3 / 4]  # all but the unknown token


def test_refused():
    with pytest.raises(UsageError, match="from 1 up"):
        top_k(uniform(6), encoded([3]), [0], policy=POLICY)
    for k in (True, 1.5, "5"):
        with pytest.raises(UsageError, match="from 1 up"):
            top_k(uniform(6), encoded([3]), [k], policy=POLICY)
    with pytest.raises(UsageError, match="as it was trained, `line`, not `stream`"):
        top_k(uniform(6), encoded([3]), [1], policy=ScorePolicy("stream"))
