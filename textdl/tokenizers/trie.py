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
def key_of(node: Any, letter: Any) -> Any:
    """The key of the step from a node by a code point."""
    return (np.int64(node) << np.int64(21)) | np.int64(letter)


@exact_kernel
def place(keys: Array, key: Any) -> int:
    """The slot that holds a key, or the free one where it belongs."""
    mask = len(keys) - 1
    slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while keys[slot] != -1 and keys[slot] != key:
        slot = (slot + 1) & mask
    return int(slot)


@exact_kernel
def child(keys: Array, children: Array, node: Any, letter: Any) -> int:
    """The node that a code point leads to, or -1."""
    key = key_of(node, letter)
    slot = place(keys, key)
    return int(children[slot]) if keys[slot] == key else -1
