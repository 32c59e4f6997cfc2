import threading

import pytest
import torch

from textdl.layers.threads import array, by_rows, takes


@pytest.mark.parametrize(("rows", "parts"), [(0, 1), (5, 1), (16, 2), (100, 3)])
def test_each_row_once(rows, parts, threaded):
    threaded(3)
    done, threads, lock = [], set(), threading.Lock()

    def task(first, last):
        with lock:
            done.extend(range(first, last))
            threads.add((first, last))

    by_rows(rows, 8, task)
    assert sorted(done) == list(range(rows))
    assert len(threads) == parts


def test_an_error_comes_through(threaded):
    threaded(2)

    def task(first, last):
        if first:
            raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        by_rows(100, 1, task)


def test_threads_begun_later_compute_with_as_many_as_before(threaded):
    threaded(5)  # a number that no other test has, so the pool is made here
    alone, later = [], []
    by_rows(100, 1, lambda *_: alone.append(torch.get_num_threads()))
    assert alone == [1] * 5
    other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert later == [torch.get_num_threads()] == [5]


def test_what_kernels_read():
    assert takes(torch.zeros(2, 32))
    assert takes(torch.zeros(2, 32, dtype=torch.bfloat16), 32)
    assert not takes(torch.zeros(2, 32), 64)
    assert not takes(torch.zeros(2, 40))
    assert not takes(torch.zeros(2, 32, dtype=torch.float64))
    assert not takes(torch.zeros(2, 32, device="meta"))


def test_arrays_are_the_same_memory():
    for tensor in (torch.ones(3, requires_grad=True), torch.ones(3, dtype=torch.bfloat16)):
        array(tensor)[1] = 0
        assert tensor.tolist() == [1, 0, 1]
