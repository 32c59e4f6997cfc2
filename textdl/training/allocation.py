"""Memory that a step gives back is kept for the next one.

Each step of training asks for the same large tensors. glibc takes each of them from the system and hands it back,
so that every page of every one is a page fault again: a quarter of the time of an LSTM of 512 features. Other
allocators and systems are left as they are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Of mallopt(3): how much may lie unused at the end, and how many blocks may come from the system one by one."""
_USUAL = {_TRIM_THRESHOLD: 128 << 10, _MMAP_MAX: 65_536}


@contextmanager
def kept() -> Iterator[None]:
    """Inside, what is freed stays with the process; afterwards it goes back."""
    try:
        glibc = ctypes.CDLL(None)
        set_to, trim = glibc.mallopt, glibc.malloc_trim
    except (OSError, AttributeError, TypeError):  # macOS, musl, Windows
        yield
        return
    set_to(_MMAP_MAX, 0)
    set_to(_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        for name, value in _USUAL.items():
            set_to(name, value)
        trim(0)
