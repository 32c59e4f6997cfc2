"""How textdl compiles its numba kernels: one decorator, one cache directory.

`kernel` is numba.njit without the GIL, cached on disk, with the fast-math flags that keep NaN and
infinity meaningful (`fastmath=True` would make isnan always False). Kernels run in chunks of under
0.2 s from Python threads, never prange, so that Ctrl-C and progress bars work.

numba looks only at the file a compiled function stands in. One that is inlined from another file, or a
module that moved, would leave stale machine code or an index that cannot be read; so the directory is
named by a hash of every file with kernels, and a changed file starts with an empty one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from textdl.storage import cache_directory

_UNUSED = 30 * 86400.0
"""Seconds after which the compiled kernels of another version are removed."""


def fingerprint(package: Path) -> str:
    """A hash of the sources under a directory that hold kernels."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        source = path.read_bytes()
        if b"numba" in source or b"textdl.kernels" in source:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + source + b"\0")
    return digest.hexdigest()[:16]


def _set_cache_directory() -> None:
    """numba needs a writable place for compiled code before it is imported; else it raises."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    try:
        home = cache_directory("numba")
        path = home / fingerprint(Path(__file__).parent)
        if not path.exists():
            path.mkdir(parents=True, exist_ok=True)  # another process may make it now
            for other in home.iterdir():
                with suppress(FileNotFoundError):
                    if time.time() - other.stat().st_mtime > _UNUSED:
                        shutil.rmtree(other, ignore_errors=True)
        os.utime(path)
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
