"""How textdl compiles its numba kernels: one decorator, one cache directory.

`kernel` is numba.njit without the GIL, cached on disk, with the fast-math flags that keep NaN and
infinity meaningful (`fastmath=True` would make isnan always False). Kernels run in chunks of under
0.2 s from Python threads, never prange, so that Ctrl-C and progress bars work.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

from textdl.storage import cache_directory


def _set_cache_directory() -> None:
    """numba needs a writable place for compiled code before it is imported; else it raises."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    try:
        path = cache_directory("numba")
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        path = None
    os.environ["NUMBA_CACHE_DIR"] = str(path or tempfile.mkdtemp(prefix="textdl-numba-"))


_set_cache_directory()

import numba  # noqa: E402  (the cache directory must be known first)

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile with the project's settings; see the module."""
    compiled: F = numba.njit(
        nogil=True, cache=True, boundscheck=False, error_model="numpy",
        fastmath={"reassoc", "contract", "arcp", "nsz", "afn"},
    )(function)  # fmt: skip
    return compiled


def exact_kernel(function: F) -> F:
    """The same with sums in the order they are written: where a result is due bit for bit.

    `fastmath=False` is said, or numba would compile it with the flags of a fast caller.
    """
    compiled: F = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath=False)(function)
    return compiled
