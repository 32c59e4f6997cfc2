"""Threads for one test."""

from collections.abc import Callable, Iterator

import pytest
import torch


@pytest.fixture
def threaded() -> Iterator[Callable[[int], None]]:
    """Sets how many threads torch, and with it textdl, computes with."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
