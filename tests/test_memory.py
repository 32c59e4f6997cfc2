from __future__ import annotations

import os

import numpy as np
import pytest

from textdl import memory


@pytest.mark.skipif(os.name == "nt", reason="the system does not tell")
def test_what_is_held_is_counted():
    before = memory.peak()
    assert before is not None
    assert before > 10e6  # an interpreter and numpy
    held = np.ones(before + 50_000_000, np.uint8)  # more than was ever held before
    assert memory.peak() >= held.nbytes


def test_some_is_free():
    assert 10e6 < memory.free_memory() < 1 << 60
