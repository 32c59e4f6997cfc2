from __future__ import annotations

import pytest

from textdl.word2vec import kernels


@pytest.mark.parametrize(("dim", "width"), [(1, 16), (16, 16), (17, 32), (300, 304)])
def test_rows_are_padded_to_sixteen(dim, width):
    assert kernels.padded(dim) == width


@pytest.mark.parametrize("rows", range(1, 20))
def test_rows_begin_at_a_cache_line(rows):
    made = kernels.aligned(rows, 16)
    assert made.ctypes.data % 64 == 0
    assert made.shape == (rows * 16,)
    assert not made.any()
