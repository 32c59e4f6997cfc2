from itertools import islice

import numpy as np
import pytest
from contracts.dummy import Bigram

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.generation.sampling import collect, draw, sample
from textdl.generation.transforms import transforms
from textdl.protocols import ScorePolicy

MODEL = Bigram.random(7, 1)


def texts(n=5, rows=None, model=MODEL, **given):
    return collect(sample(model, n=n, **given), rows or n)


def test_frequencies_are_the_probabilities():
    ids = [t.id for t in sample(MODEL, n=20_000, max_tokens=1)]
    p = np.exp(MODEL.table[BOS].astype(np.float64))
    p[[UNK, BOS]] = 0
    p /= p.sum()
    np.testing.assert_allclose(np.bincount(ids, minlength=7) / 20_000, p, atol=0.012)


def test_seeded_and_independent_of_n():
    assert texts(8) == texts(8)
    assert texts(8, seed=2) != texts(8)
    assert texts(8)[:3] == texts(3)
    prompts = Encoded.from_lines([[3], [4]], 7)
    both = texts(2, 4, prefixes=prompts)
    assert both[2:] == texts(3, 6, prefixes=prompts)[3:5]
    assert both[0] == texts(1, prefixes=prompts.lines(0, 1))[0]


@pytest.mark.parametrize("cells", [1, 21, 10_000])
def test_the_same_rows_in_groups_of_any_size(monkeypatch, cells):
    given = {"prefixes": Encoded.from_lines([[3], [4], []], 7), "max_tokens": 9}
    expected = texts(4, 12, **given)
    monkeypatch.setattr("textdl.generation.sampling._CELLS", cells)
    seen = []

    class Watched(Bigram):
        def step(self, state, last):
            seen.append(len(last))
            return super().step(state, last)

    assert texts(4, 12, Watched.random(7, 1), **given) == expected
    assert max(seen) <= max(1, cells // 7)


def test_a_group_is_finished_before_the_next_begins(monkeypatch):
    monkeypatch.setattr("textdl.generation.sampling._CELLS", 14)
    model = Bigram.random(7, 1)
    first = list(islice(sample(model, n=1_000_000, max_tokens=5), 2))
    assert [token.row for token in first] == [0, 1]
    assert model.steps == 0


def test_rows_end_at_their_line_end():
    tokens = list(sample(MODEL, n=50, max_tokens=40))
    for row in range(50):
        mine = [t.id for t in tokens if t.row == row]
        assert EOS not in mine[:-1]
        assert mine[-1] == EOS or len(mine) == 40
        assert not {UNK, BOS} & set(mine)


def test_it_streams():
    model = Bigram.random(7, 1)
    list(islice(sample(model, n=3, max_tokens=50), 3))
    assert model.steps == 0  # three rows, one token each: nothing was computed ahead


def test_no_step_too_many():
    model = Bigram.random(7, 1)
    tokens = list(sample(model, n=4, max_tokens=5))
    longest = max(len([t for t in tokens if t.row == row]) for row in range(4))
    assert model.steps == longest - 1


def test_greedy_follows_the_best():
    model = Bigram.random(7, 3)
    expected, last = [], BOS
    while len(expected) < 10:
        row = model.table[last].copy()
        row[[UNK, BOS]] = -np.inf
        last = int(row.argmax())
        expected.append(last)
        if last == EOS:
            break
    got = [t.id for t in sample(model, max_tokens=10, transforms=transforms(temperature=0))]
    assert got == expected


def test_stream_models_go_on_into_the_next_line():
    model = Bigram.random(5, 2, ScorePolicy("stream"))
    ids = [t.id for t in sample(model, max_tokens=60, stop_at_line_end=False)]
    assert len(ids) == 60
    assert EOS in ids[:-1]
    with pytest.raises(UsageError, match="trained line by line"):
        sample(MODEL, stop_at_line_end=False)


def test_contexts_make_rows():
    assert len(texts(2, 6, contexts=Encoded.from_lines([[3], [4], []], 7))) == 6


def test_draw_at_the_edges():
    rows = np.log(np.array([[0.0, 0.5, 0.5, 0.0]], np.float32).clip(1e-30)) + np.array([[-np.inf, 0, 0, -np.inf]])
    assert draw(rows, np.array([0.0])) == [1]
    assert draw(rows, np.array([0.4999])) == [1]
    assert draw(rows, np.array([0.5])) == [2]
    assert draw(rows, np.array([1.0])) == [2]  # never past what has probability


@pytest.mark.parametrize("given", [{"n": 0}, {"max_tokens": 0}, {"seed": -1}])
def test_refused_at_once(given):
    with pytest.raises(UsageError):
        sample(MODEL, **given)
