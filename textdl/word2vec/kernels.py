"""What the fast kernels share: the layout of rows, products of rows, the sum of the loss.

A target is trained in two steps: what it will need is chosen, by position alone (windows.py; noise.py or
huffman.py), then one update is made (skipgram.py or cbow.py). Rows are padded with zeros to a multiple
of sixteen numbers and lie end to end, each beginning at a cache line.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import kernel
from textdl.simd import element, fma, fold1, fold2, fold4, fold8, load, prefetch, splat, store

Ids = NDArray[np.int32]
Offsets = NDArray[np.int64]
Floats = NDArray[np.float32]

GROUP, STRIDE = 6, 8
"""Output rows are handled six at a time, as many as fit the registers; each group takes eight places in a `Batch`."""

LOSS, PREDICTIONS = 0, 1
"""What the updates add up: nats and predictions."""

FACTORS = 64
"""Numbers of at most 2 that are multiplied before the logarithm is taken."""


@kernel
def fetch(matrix: Floats, place: int, width: int) -> None:
    """Ask for a row that is needed soon."""
    for d in range(0, width, 16):
        prefetch(matrix, place + d)


@kernel
def place(rows: Ids, first: int, after: int, width: int, matrix: Floats, places: Offsets) -> None:
    """Where the rows of groups first to after begin in the matrix; they are fetched into the cache."""
    for at in range(first * STRIDE, after * STRIDE, STRIDE):
        for m in range(at, at + GROUP):
            places[m - first * STRIDE] = element(rows, m) * width
            fetch(matrix, element(rows, m) * width, width)


@kernel
def products(a: Floats, p: int, q: int, outputs: Floats, places: Offsets, at: int, width: int) -> Any:
    """Lane m: a[p : p + width] . the output row at places[at + m], lane 8 + m: the same of q; 0 beyond GROUP."""
    y0, y1, y2 = element(places, at), element(places, at + 1), element(places, at + 2)
    y3, y4, y5 = element(places, at + 3), element(places, at + 4), element(places, at + 5)
    zero = splat(np.float32(0))
    p0 = p1 = p2 = p3 = p4 = p5 = zero
    q0 = q1 = q2 = q3 = q4 = q5 = zero
    for d in range(0, width, 16):
        x, z = load(a, p + d), load(a, q + d)
        y = load(outputs, y0 + d)
        p0, q0 = fma(x, y, p0), fma(z, y, q0)
        y = load(outputs, y1 + d)
        p1, q1 = fma(x, y, p1), fma(z, y, q1)
        y = load(outputs, y2 + d)
        p2, q2 = fma(x, y, p2), fma(z, y, q2)
        y = load(outputs, y3 + d)
        p3, q3 = fma(x, y, p3), fma(z, y, q3)
        y = load(outputs, y4 + d)
        p4, q4 = fma(x, y, p4), fma(z, y, q4)
        y = load(outputs, y5 + d)
        p5, q5 = fma(x, y, p5), fma(z, y, q5)
    # The order in which lanes end as 0, 1, ... is that of reversed bits; see simd.fold1.
    even = fold2(fold4(fold8(p0, q0), fold8(p4, q4)), fold4(fold8(p2, q2), zero))
    odd = fold2(fold4(fold8(p1, q1), fold8(p5, q5)), fold4(fold8(p3, q3), zero))
    return fold1(even, odd)


@kernel
def total(linear: Any, product: Any, room: Floats) -> float:
    """The sum over lanes of linear and of the logarithm of product."""
    store(room, 0, linear)
    store(room, 16, product)
    nats = 0.0
    for m in range(16):
        nats += np.float64(room[m]) + math.log(np.float64(room[16 + m]))
    return nats


class Scratch:
    """The working memory of one thread."""

    def __init__(self, window: int, groups: int, width: int) -> None:
        """groups: of output rows of one target, at most."""
        contexts = 2 * window
        self.places = np.zeros((2, groups * STRIDE), np.int64)
        self.near = np.zeros(contexts, np.int64)
        self.copies = aligned(contexts, width)
        self.steps = np.zeros((groups * contexts + 1) * STRIDE, np.float32)
        self.changes = np.zeros(max(groups * STRIDE * 16, 32), np.float32)


def padded(dim: int) -> int:
    """The width of a row for `dim` numbers: the next multiple of sixteen."""
    return -(-dim // 16) * 16


def aligned(rows: int, width: int) -> Floats:
    """(rows * width,) zeros that begin at a cache line."""
    memory = np.zeros(rows * width + 16, np.float32)
    first = (-memory.ctypes.data % 64) // 4
    return memory[first : first + rows * width]
