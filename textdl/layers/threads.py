"""Rows that are independent of each other, shared out among threads: how compiled kernels use all cores.

A kernel runs without the lock of Python, so plain threads will do. They wait for work without spinning and live as
long as the process.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


def array(tensor: Tensor) -> Array:
    """The same memory; bfloat16, which numpy does not have, as uint16."""
    result: Array = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
    return result


def by_rows(rows: int, least: int, task: Callable[[int, int], None]) -> None:
    """task(first, last) for all rows, a part of `least` or more in each thread; within it torch computes alone."""
    parts = max(1, min(torch.get_num_threads(), rows // least))
    if parts == 1:
        task(0, rows)
        return
    cuts = [rows * part // parts for part in range(parts + 1)]
    for done in [_pool(parts).submit(_without_gradients, task, *cut) for cut in pairwise(cuts)]:
        done.result()


@torch.no_grad()
def _without_gradients(task: Callable[[int, int], None], first: int, last: int) -> None:
    task(first, last)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "textdl-rows", initializer=torch.set_num_threads, initargs=(1,))
