"""A trie of code points as a hash table: (node, code point) leads to a child.

keys: int64, a power of two of them, -1 where a slot is free; children: int32, beside them. What is stored for a
node (a word's probability, a piece's id) is the user's, in arrays of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import exact_kernel

Array = NDArray[Any]


@exact_kernel
def slot_of(key: Any) -> Any:
    """Where a key is looked for first, before the size of the table is taken into account."""
    return np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32))


@exact_kernel
def child(keys: Array, children: Array, node: Any, letter: Any) -> int:
    """The node that a code point leads to, or -1."""
    key = (np.int64(node) << np.int64(21)) | np.int64(letter)
    mask = len(keys) - 1
    slot = slot_of(key) & mask
    while keys[slot] != -1:
        if keys[slot] == key:
            return int(children[slot])
        slot = (slot + 1) & mask
    return -1
