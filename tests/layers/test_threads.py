import threading

import pytest
import torch

from textdl.layers.threads import array, by_rows


@pytest.mark.parametrize(("rows", "parts"), [(0, 1), (5, 1), (16, 2), (100, 3)])
def test_each_row_once(rows, parts, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    done, threads, lock = [], set(), threading.Lock()

    def task(first, last):
        with lock:
            done.extend(range(first, last))
            threads.add((first, last))

    by_rows(rows, 8, task)
    assert sorted(done) == list(range(rows))
    assert len(threads) == parts


def test_an_error_comes_through(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def task(first, last):
        if first:
            raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        by_rows(100, 1, task)


def test_arrays_are_the_same_memory():
    for tensor in (torch.ones(3, requires_grad=True), torch.ones(3, dtype=torch.bfloat16)):
        array(tensor)[1] = 0
        assert tensor.tolist() == [1, 0, 1]
