"""What compiled kernels take, and how they use all cores: rows that are independent of each other, shared out among threads.

A kernel runs without the lock of Python, so plain threads will do. They wait for work without spinning and live as
long as the process.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from textdl.simd import LANES

Array = NDArray[Any]


def takes(x: Tensor, features: int = LANES) -> bool:
    """Whether kernels can read it: on a processor, in float32 or bfloat16, rows of a multiple of so many features."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and x.shape[-1] % features == 0


def array(tensor: Tensor) -> Array:
    """The same memory; bfloat16, which numpy does not have, as uint16."""
    result: Array = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
    return result


def by_rows(rows: int, least: int, task: Callable[[int, int], None]) -> None:
    """task(first, last) for all rows, a part of `least` or more in each thread; within it torch computes alone."""
    threads = torch.get_num_threads()
    parts = max(1, min(threads, rows // least))
    if parts == 1:
        task(0, rows)
        return
    cuts = [rows * part // parts for part in range(parts + 1)]
    for done in [_pool(threads).submit(_without_gradients, task, *cut) for cut in pairwise(cuts)]:
        done.result()


@torch.no_grad()
def _without_gradients(task: Callable[[int, int], None], first: int, last: int) -> None:
    task(first, last)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    pool, all_there = ThreadPoolExecutor(threads, "textdl-rows"), Barrier(threads)

    def begin() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # the first call in a thread takes over what was set last, in any thread
        all_there.wait()

    for begun in [pool.submit(begin) for _ in range(threads)]:
        begun.result()
    torch.set_num_threads(threads)  # for all threads that begin later
    return pool
