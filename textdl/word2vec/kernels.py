"""Fast kernels: skip-gram with negative sampling.

One set of noise words is shared by all context words of a target (pWord2Vec, Ji et al. 2016), so the
work on a target is a small matrix product, contexts x (target + noise), held in registers: rows are
read once to be multiplied and once to be updated. Rows are padded with zeros to a multiple of sixteen
numbers. Everything random comes from `noise.draw`, so what a chunk does depends on positions alone.

`reference.py` makes the same updates in plain numpy; tests hold the two together.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import kernel
from textdl.word2vec.noise import KEEP, NOISE, WINDOW, below, draw, noise_word, unit
from textdl.word2vec.simd import (
    add,
    div,
    exp_minus,
    fma,
    fold1,
    fold2,
    fold4,
    fold8,
    load,
    mul,
    positive,
    prefetch,
    splat,
    store,
    where_negative,
)

GROUP = 6
"""Output rows that are updated together: as many as fit the registers, with their changes."""

Ids = NDArray[np.int32]
Offsets = NDArray[np.int64]
Floats = NDArray[np.float32]

_BREAK = np.int32(-1)
"""Stands between lines among the kept tokens."""

LOSS, PAIRS, KEPT = 0, 1, 2
"""What `skipgram` adds up: nats, (target, context) pairs, tokens kept."""


class Scratch:
    """The working memory of one thread."""

    def __init__(self, chunk: int, window: int, negative: int) -> None:
        """chunk: the most tokens in one call."""
        groups = (negative + GROUP) // GROUP
        tokens = 2 * (chunk + 3 * window + 2)  # twice: a break after every token
        self.kept = np.full(tokens, _BREAK, np.int32)
        self.where = np.zeros(tokens, np.int64)
        self.contexts = np.zeros(2 * window + 2, np.int64)
        self.rows = np.zeros(2 * groups * GROUP, np.int64)
        self.steps = np.zeros(max(8 * (2 * window + 2), 32), np.float32)
        self.signs = np.zeros(2 * groups * 16, np.float32)


def padded(dim: int) -> int:
    """The width of a row for `dim` numbers: the next multiple of sixteen."""
    return -(-dim // 16) * 16


def aligned(rows: int, width: int) -> Floats:
    """(rows * width,) zeros that begin at a cache line."""
    memory = np.zeros(rows * width + 16, np.float32)
    first = (-memory.ctypes.data % 64) // 4
    return memory[first : first + rows * width]


@kernel
def _gather(
    ids: Ids,
    offsets: Offsets,
    start: int,
    stop: int,
    window: int,
    keep: Floats,
    key: np.uint64,
    draws: int,
    kept: Ids,
    where: Offsets,
) -> tuple[int, int]:
    """Kept tokens of positions start..stop with `window` more on either side, and breaks between lines.

    Returns where in `kept` the tokens from start and from stop begin.
    """  # fmt: skip
    line = np.searchsorted(offsets, start, side="right") - 1
    first, found = start, 0
    while first > offsets[line] and found < window:
        first -= 1
        if unit(draw(key, first, draws, KEEP)) < keep[ids[first]]:
            found += 1
    kept[0] = _BREAK
    n = 1
    end = offsets[line + 1]
    centre = 1
    position = first
    while position < stop:
        if position == start:
            centre = n
        if position == end:
            while end <= position:
                line += 1
                end = offsets[line + 1]
            if kept[n - 1] != _BREAK:
                kept[n] = _BREAK
                n += 1
        # Written always, counted if kept: no branch that cannot be predicted.
        word = ids[position]
        kept[n] = word
        where[n] = position
        n += int(unit(draw(key, position, draws, KEEP)) < keep[word])
        position += 1
    after = n
    found = 0
    while position < end and found < window:
        word = ids[position]
        if unit(draw(key, position, draws, KEEP)) < keep[word]:
            kept[n] = word
            where[n] = position
            n += 1
            found += 1
        position += 1
    kept[n] = _BREAK
    return centre, after


@kernel
def _products(inputs: Floats, outputs: Floats, p: int, q: int, rows: Offsets, base: int, width: int) -> Any:
    """Lane m: inputs[p] . outputs[rows[m]], lane 8 + m: the same of q, for six rows m; 0 elsewhere."""
    y0, y1, y2 = rows[base], rows[base + 1], rows[base + 2]
    y3, y4, y5 = rows[base + 3], rows[base + 4], rows[base + 5]
    zero = splat(np.float32(0))
    p0 = p1 = p2 = p3 = p4 = p5 = zero
    q0 = q1 = q2 = q3 = q4 = q5 = zero
    for d in range(0, width, 16):
        x, z = load(inputs, p + d), load(inputs, q + d)
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
def _update(
    inputs: Floats, outputs: Floats, contexts: Offsets, n: int, rows: Offsets, base: int, width: int, steps: Floats
) -> None:
    """Context rows += steps x output rows, output rows += steps x context rows, sixteen columns at a time."""
    y0, y1, y2 = rows[base], rows[base + 1], rows[base + 2]
    y3, y4, y5 = rows[base + 3], rows[base + 4], rows[base + 5]
    zero = splat(np.float32(0))
    for d in range(0, width, 16):
        a0, a1, a2 = load(outputs, y0 + d), load(outputs, y1 + d), load(outputs, y2 + d)
        a3, a4, a5 = load(outputs, y3 + d), load(outputs, y4 + d), load(outputs, y5 + d)
        c0 = c1 = c2 = c3 = c4 = c5 = zero
        for k in range(n):
            x = load(inputs, contexts[k] + d)
            g = splat(steps[8 * k])
            u, c0 = fma(g, a0, x), fma(g, x, c0)
            g = splat(steps[8 * k + 1])
            u, c1 = fma(g, a1, u), fma(g, x, c1)
            g = splat(steps[8 * k + 2])
            u, c2 = fma(g, a2, u), fma(g, x, c2)
            g = splat(steps[8 * k + 3])
            u, c3 = fma(g, a3, u), fma(g, x, c3)
            g = splat(steps[8 * k + 4])
            u, c4 = fma(g, a4, u), fma(g, x, c4)
            g = splat(steps[8 * k + 5])
            u, c5 = fma(g, a5, u), fma(g, x, c5)
            store(inputs, contexts[k] + d, u)
        # Read again, not a0..a5: the same noise word may have been drawn twice.
        store(outputs, y0 + d, add(load(outputs, y0 + d), c0))
        store(outputs, y1 + d, add(load(outputs, y1 + d), c1))
        store(outputs, y2 + d, add(load(outputs, y2 + d), c2))
        store(outputs, y3 + d, add(load(outputs, y3 + d), c3))
        store(outputs, y4 + d, add(load(outputs, y4 + d), c4))
        store(outputs, y5 + d, add(load(outputs, y5 + d), c5))


@kernel
def skipgram(
    ids: Ids,
    offsets: Offsets,
    start: int,
    stop: int,
    keep: Floats,
    threshold: NDArray[np.uint32],
    alias: Ids,
    key: np.uint64,
    inputs: Floats,
    outputs: Floats,
    width: int,
    window: int,
    negative: int,
    alpha: float,
    slope: float,
    kept: Ids,
    where: Offsets,
    contexts: Offsets,
    rows: Offsets,
    steps: Floats,
    signs: Floats,
    totals: NDArray[np.float64],
) -> None:
    """One pass over the tokens at positions start..stop.

    Args:
        inputs, outputs: (V * width,) flat rows, width a multiple of 16. Changed in place.
        alpha, slope: the learning rate at position p is alpha - slope * (p - start).
        kept..signs: the arrays of a `Scratch`.
        totals: (3,) sums that are added to.
    """  # fmt: skip
    draws = NOISE + negative
    groups = (negative + GROUP) // GROUP
    slots = groups * GROUP
    begin, end = _gather(ids, offsets, start, stop, window, keep, key, draws, kept, where)
    one = splat(np.float32(1))
    zero = splat(np.float32(0))
    minus = splat(np.float32(-1))
    for m in range(16):
        steps[m] = np.float32(m < 8)
    left_half = load(steps, 0)
    # The loss is the sum of softplus(z) = max(z, 0) + log(1 + exp(-|z|)). Factors 1 + exp(-|z|) are
    # multiplied lane by lane, and one logarithm is taken of many: at most 64 factors of at most 2.
    linear, product, factors = zero, one, 0
    nats, pairs, tokens = 0.0, 0, 0

    # Output rows are chosen, and fetched into the cache, one target ahead.
    ahead = 0
    if begin < end:
        _choose(kept, where, begin, key, draws, negative, threshold, alias, outputs, width, rows, signs, 0, slots)
    for i in range(begin, end):
        here, ahead = ahead, slots - ahead
        if i + 1 < end:
            _choose(
                kept, where, i + 1, key, draws, negative, threshold, alias, outputs, width, rows, signs, ahead, slots
            )
        if kept[i + window] != _BREAK:  # at the end of a chunk perhaps a leftover, fetched in vain
            _fetch(inputs, np.int64(kept[i + window]) * width, width)
        if kept[i] == _BREAK:
            continue
        position = where[i]
        tokens += 1
        reach = 1 + below(draw(key, position, draws, WINDOW), window)
        n = 0
        j = i - 1
        while j >= i - reach and kept[j] != _BREAK:
            contexts[n] = np.int64(kept[j]) * width
            n += 1
            j -= 1
        j = i + 1
        while j <= i + reach and kept[j] != _BREAK:
            contexts[n] = np.int64(kept[j]) * width
            n += 1
            j += 1
        if n == 0:
            continue
        contexts[n] = contexts[n - 1]  # where n is odd; its lanes are masked
        pairs += n
        step = splat(np.float32(alpha - slope * (position - start)))
        for group in range(here, here + slots, GROUP):
            both = load(signs, group // GROUP * 16)
            for h in range(0, n, 2):
                sign = both if h + 1 < n else mul(both, left_half)
                z = mul(_products(inputs, outputs, contexts[h], contexts[h + 1], rows, group, width), mul(sign, minus))
                e = exp_minus(z)
                share = div(where_negative(z, e, one), add(one, e))  # sigmoid(z)
                store(steps, 8 * h, mul(mul(sign, step), share))
                linear = add(linear, positive(z))
                product = mul(product, fma(e, mul(sign, sign), one))
            _update(inputs, outputs, contexts, n, rows, group, width, steps)
            factors += (n + 1) // 2
            if factors + window > 64:
                store(steps, 0, linear)
                store(steps, 16, product)
                for m in range(16):
                    nats += np.float64(steps[m]) + math.log(np.float64(steps[16 + m]))
                linear, product, factors = zero, one, 0
    store(steps, 0, linear)
    store(steps, 16, product)
    for m in range(16):
        nats += np.float64(steps[m]) + math.log(np.float64(steps[16 + m]))
    totals[LOSS] += nats
    totals[PAIRS] += pairs
    totals[KEPT] += tokens


@kernel
def _fetch(matrix: Floats, row: np.int64, width: int) -> None:
    for d in range(0, width, 16):
        prefetch(matrix, row + d)


@kernel
def _choose(
    kept: Ids,
    where: Offsets,
    i: int,
    key: np.uint64,
    draws: int,
    negative: int,
    threshold: NDArray[np.uint32],
    alias: Ids,
    outputs: Floats,
    width: int,
    rows: Offsets,
    signs: Floats,
    base: int,
    slots: int,
) -> None:
    """The output rows of target i: itself and its noise words; sign +1, -1, and 0 where there is none."""  # fmt: skip
    word = np.int64(kept[i])
    if word == _BREAK:
        return
    position = where[i]
    for k in range(slots):
        noise, sign = word, np.float32(1)
        if k > 0:
            sign = np.float32(0)
            if k <= negative:
                noise = noise_word(draw(key, position, draws, NOISE + k - 1), threshold, alias)
                sign = np.float32(0) if noise == word else np.float32(-1)
        rows[base + k] = noise * width
        at = (base + k) // GROUP * 16 + (base + k) % GROUP
        signs[at] = signs[at + 8] = sign
        _fetch(outputs, noise * width, width)
