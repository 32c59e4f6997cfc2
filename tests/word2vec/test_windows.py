from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import Encoded
from textdl.word2vec import noise, reference
from textdl.word2vec.windows import Batch, windows

lines = st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=12)


@given(lines, st.integers(1, 30), st.integers(1, 6), st.booleans(), st.sampled_from([0.0, 0.05]))
@settings(deadline=None)
def test_batches_hold_the_readable_windows(rows, chunk, window, dynamic, sample):
    """However the text is cut: the same targets with the same contexts."""
    text = Encoded.from_lines([[3, 4], *rows], 10)
    choices = noise.choices(text.counts(), sample=sample, exponent=0.75)
    key = noise.stream_key(1, 0)
    expected = [
        (position, target, contexts.tolist())
        for position, target, contexts in reference.windows(
            text, choices, window=window, dynamic=dynamic, key=key, draws=3
        )
    ]
    batch = Batch(chunk, window, 1)
    found = []
    for start in range(0, text.tokens, chunk):
        begin, end = windows(
            text.ids, text.offsets, start, min(start + chunk, text.tokens), choices.keep, key, 3, window, dynamic,
            batch.words, batch.where, batch.first, batch.last,
        )  # fmt: skip
        for i in range(begin, end):
            near = [int(batch.words[j]) for j in range(batch.first[i], batch.last[i] + 1) if j != i]
            if near:
                found.append((int(batch.where[i]), int(batch.words[i]), near))
    assert found == expected


class Counted(np.ndarray):
    """An array that counts how often it is read."""

    reads = 0

    def __getitem__(self, key):
        Counted.reads += 1
        return super().__getitem__(key)


def test_a_long_line_of_which_little_is_kept_is_read_a_few_times(monkeypatch):
    monkeypatch.setattr(Counted, "reads", 0)
    module = sys.modules["textdl.word2vec.windows"]
    monkeypatch.setattr(module, "draw", lambda *given: np.uint64(noise.draw(*given)))  # numba hands back a plain int
    window, tokens = 3, 4000
    row = np.zeros(tokens, np.int32)
    row[[0, 1, 2000, 2001, 3998, 3999]] = 5
    offsets, keep = np.array([0, tokens]), np.array([0, 0, 0, 0, 0, 1], np.float32)
    batch, found = Batch(100, window, 1), 0
    for start in range(0, tokens, 100):
        begin, end = windows.py_func(
            row.view(Counted), offsets, start, start + 100, keep, np.uint64(1), 3, window, False,
            batch.words, batch.where, batch.first, batch.last,
        )  # fmt: skip
        found += end - begin
    assert found == 6
    assert tokens <= Counted.reads <= (2 * window + 2) * tokens  # and not tokens / 100 times as many


@pytest.mark.parametrize("window", [1, 3])
def test_windows_by_hand(window):
    # Ids 5 to 9 on one line, then 3 4; unknown (0) is never kept, and windows reach over it.
    text = Encoded.from_lines([[5, 0, 6, 7, 8, 9], [], [3, 4]], 10)
    batch = Batch(8, window, 1)
    keep = np.array([0, *[1] * 9], np.float32)
    begin, end = windows(
        text.ids, text.offsets, 0, 8, keep, np.uint64(1), 3, window, False,
        batch.words, batch.where, batch.first, batch.last,
    )  # fmt: skip
    assert batch.words[begin:end].tolist() == [5, 6, 7, 8, 9, 3, 4]
    assert batch.where[begin:end].tolist() == [0, 2, 3, 4, 5, 6, 7]
    bounds = list(zip(batch.first[begin:end].tolist(), batch.last[begin:end].tolist(), strict=True))
    if window == 1:
        assert bounds == [(0, 1), (0, 2), (1, 3), (2, 4), (3, 4), (5, 6), (5, 6)]
    else:
        assert bounds == [(0, 3), (0, 4), (0, 4), (0, 4), (1, 4), (5, 6), (5, 6)]
