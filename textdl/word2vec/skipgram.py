"""Skip-gram: every word of a window by itself answers the questions about the target (Mikolov et al. 2013).

For contexts c and output rows r with signs s the loss is the sum over all pairs of -log sigmoid(s x_c . y_r),
and one step takes its gradient for all pairs at once: a small matrix product of contexts and rows, held
in registers. All contexts of a target meet the same rows (pWord2Vec, Ji et al. 2016). word2vec.c takes
the step context by context, with fresh noise for each; reference.py does what is done here, readably.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import kernel
from textdl.simd import (
    add,
    div,
    element,
    exp_minus,
    fma,
    load,
    load_twice,
    mul,
    positive,
    splat,
    store,
    where_negative,
)
from textdl.word2vec.kernels import (
    FACTORS,
    GROUP,
    LOSS,
    PREDICTIONS,
    STRIDE,
    Floats,
    Ids,
    Offsets,
    fetch,
    place,
    products,
    total,
)


@kernel
def skipgram(
    words: Ids,
    where: Offsets,
    first: Offsets,
    last: Offsets,
    begin: int,
    end: int,
    bounds: Offsets,
    rows: Ids,
    signs: Floats,
    inputs: Floats,
    outputs: Floats,
    width: int,
    ahead: int,
    start: int,
    alpha: float,
    slope: float,
    repeats: bool,
    places: NDArray[np.int64],
    near: Offsets,
    copies: Floats,
    steps: Floats,
    changes: Floats,
    totals: NDArray[np.float64],
) -> None:
    """Update on all targets of a `Batch`, in order.

    Args:
        inputs, outputs: (V * width,) flat rows, width a multiple of 16. Changed in place.
        ahead: the widest window, whose far end is fetched early.
        alpha, slope: the learning rate at position p is alpha - slope * (p - start).
        repeats: two groups of a target may hold the same row, so none is changed before all are read.
        places..changes: the arrays of a `Scratch`.
        totals: (2,) sums that are added to; a prediction is one of a target from one context.
    """  # fmt: skip
    one, zero, minus = splat(np.float32(1)), splat(np.float32(0)), splat(np.float32(-1))
    for m in range(16):
        steps[m] = np.float32(m < STRIDE)
    left_half = load(steps, 0)
    # The loss is the sum of softplus(z) = max(z, 0) + log(1 + exp(-|z|)). Factors 1 + exp(-|z|) are
    # multiplied lane by lane, and one logarithm is taken of many.
    linear, product, factors = zero, one, 0
    nats, pairs = 0.0, 0
    if begin < end:
        place(rows, bounds[0], bounds[1], width, outputs, places[0])
    for i in range(begin, end):
        t = i - begin
        here, groups = places[t % 2], bounds[t + 1] - bounds[t]
        if i + 1 < end:  # the next target's rows come while this one is worked on
            place(rows, bounds[t + 1], bounds[t + 2], width, outputs, places[(t + 1) % 2])
        fetch(inputs, words[min(i + ahead + 1, len(words) - 1)] * width, width)  # perhaps a leftover, in vain
        n = last[i] - first[i]
        if n == 0:
            continue
        pairs += n
        k = 0
        for j in range(first[i], last[i] + 1):
            if j != i:
                near[k] = words[j] * width
                for d in range(0, width, 16):
                    store(copies, k * width + d, load(inputs, near[k] + d))
                k += 1
        rate = splat(np.float32(alpha - slope * (where[i] - start)))
        for g in range(groups):
            both = load_twice(signs, (bounds[t] + g) * STRIDE)
            for k in range(0, n, 2):
                sign, other = both, k + 1
                if other == n:
                    sign, other = mul(both, left_half), k
                z = mul(products(copies, k * width, other * width, outputs, here, g * STRIDE, width), mul(sign, minus))
                e = exp_minus(z)
                share = div(where_negative(z, e, one), add(one, e))  # sigmoid(z)
                store(steps, (g * n + k) * STRIDE, mul(mul(sign, rate), share))
                linear = add(linear, positive(z))
                product = mul(product, fma(e, mul(sign, sign), one))
                factors += 1
                if factors == FACTORS:
                    nats += total(linear, product, changes)
                    linear, product, factors = zero, one, 0
        for d in range(0, width, 16):
            for g in range(groups):
                m = g * STRIDE
                a0, a1 = load(outputs, element(here, m) + d), load(outputs, element(here, m + 1) + d)
                a2, a3 = load(outputs, element(here, m + 2) + d), load(outputs, element(here, m + 3) + d)
                a4, a5 = load(outputs, element(here, m + 4) + d), load(outputs, element(here, m + 5) + d)
                c0 = c1 = c2 = c3 = c4 = c5 = zero
                s = g * n * STRIDE
                for k in range(n):
                    row = element(near, k) + d
                    x, u = load(copies, k * width + d), load(inputs, row)
                    step = splat(element(steps, s))
                    u, c0 = fma(step, a0, u), fma(step, x, c0)
                    step = splat(element(steps, s + 1))
                    u, c1 = fma(step, a1, u), fma(step, x, c1)
                    step = splat(element(steps, s + 2))
                    u, c2 = fma(step, a2, u), fma(step, x, c2)
                    step = splat(element(steps, s + 3))
                    u, c3 = fma(step, a3, u), fma(step, x, c3)
                    step = splat(element(steps, s + 4))
                    u, c4 = fma(step, a4, u), fma(step, x, c4)
                    step = splat(element(steps, s + 5))
                    u, c5 = fma(step, a5, u), fma(step, x, c5)
                    store(inputs, row, u)
                    s += STRIDE
                if repeats:
                    store(changes, 16 * m, c0)
                    store(changes, 16 * (m + 1), c1)
                    store(changes, 16 * (m + 2), c2)
                    store(changes, 16 * (m + 3), c3)
                    store(changes, 16 * (m + 4), c4)
                    store(changes, 16 * (m + 5), c5)
                else:
                    gain(outputs, element(here, m) + d, c0)
                    gain(outputs, element(here, m + 1) + d, c1)
                    gain(outputs, element(here, m + 2) + d, c2)
                    gain(outputs, element(here, m + 3) + d, c3)
                    gain(outputs, element(here, m + 4) + d, c4)
                    gain(outputs, element(here, m + 5) + d, c5)
            if repeats:
                for g in range(0, groups * STRIDE, STRIDE):
                    for m in range(g, g + GROUP):
                        gain(outputs, element(here, m) + d, load(changes, 16 * m))
    totals[LOSS] += nats + total(linear, product, changes)
    totals[PREDICTIONS] += pairs


@kernel
def gain(matrix: Floats, at: int, change: Any) -> None:
    """matrix[at : at + 16] += change."""
    store(matrix, at, add(load(matrix, at), change))
