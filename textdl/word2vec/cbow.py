"""Continuous bag of words: the mean of a window answers the questions about its target (Mikolov et al. 2013).

With h the mean of the n context vectors, the loss is the sum over output rows r with signs s of
-log sigmoid(s h . y_r). Its gradient by each context vector is 1/n of that by h; word2vec.c and gensim
leave the 1/n out, which makes steps grow with the window (Irsoy, Benton, Stratos 2021). `corrected`
says which of the two is done. See skipgram.py for what both kernels share.
"""

from __future__ import annotations

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
def cbow(
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
    corrected: bool,
    places: NDArray[np.int64],
    mean: Floats,
    steps: Floats,
    room: Floats,
    totals: NDArray[np.float64],
) -> None:
    """Update on all targets of a `Batch`, in order; arguments as in `skipgram.skipgram`.

    A prediction is one of a target from all its contexts. mean: (width,) working memory.
    """  # fmt: skip
    one, zero, minus = splat(np.float32(1)), splat(np.float32(0)), splat(np.float32(-1))
    for m in range(16):
        steps[m] = np.float32(m < STRIDE)
    left_half = load(steps, 0)
    linear, product, factors = zero, one, 0
    nats, targets = 0.0, 0
    if begin < end:
        place(rows, bounds[0], bounds[1], width, outputs, places[0])
    for i in range(begin, end):
        t = i - begin
        here, groups = places[t % 2], bounds[t + 1] - bounds[t]
        if i + 1 < end:  # the next target's rows come while this one is worked on
            place(rows, bounds[t + 1], bounds[t + 2], width, outputs, places[(t + 1) % 2])
        fetch(inputs, words[min(i + ahead + 1, len(words) - 1)] * width, width)
        n = last[i] - first[i]
        if n == 0:
            continue
        targets += 1
        share_of_one = splat(np.float32(1) / np.float32(n))
        for d in range(0, width, 16):
            h = zero
            for j in range(first[i], i):
                h = add(h, load(inputs, element(words, j) * width + d))
            for j in range(i + 1, last[i] + 1):
                h = add(h, load(inputs, element(words, j) * width + d))
            store(mean, d, mul(h, share_of_one))
        rate = splat(np.float32(alpha - slope * (where[i] - start)))
        for g in range(groups):
            sign = mul(load_twice(signs, (bounds[t] + g) * STRIDE), left_half)
            z = mul(products(mean, 0, 0, outputs, here, g * STRIDE, width), mul(sign, minus))
            e = exp_minus(z)
            share = div(where_negative(z, e, one), add(one, e))  # sigmoid(z)
            store(steps, g * STRIDE, mul(mul(sign, rate), share))
            linear = add(linear, positive(z))
            product = mul(product, fma(e, mul(sign, sign), one))
            factors += 1
            if factors == FACTORS:
                nats += total(linear, product, room)
                linear, product, factors = zero, one, 0
        gradient = share_of_one if corrected else one
        for d in range(0, width, 16):
            h, change = load(mean, d), zero
            for g in range(0, groups * STRIDE, STRIDE):
                for m in range(g, g + GROUP):
                    change = fma(splat(element(steps, m)), load(outputs, element(here, m) + d), change)
            # Only now, and one by one: the same noise word may have been drawn twice.
            for g in range(0, groups * STRIDE, STRIDE):
                for m in range(g, g + GROUP):
                    row = element(here, m) + d
                    store(outputs, row, fma(splat(element(steps, m)), h, load(outputs, row)))
            change = mul(change, gradient)
            for j in range(first[i], i):
                row = element(words, j) * width + d
                store(inputs, row, add(load(inputs, row), change))
            for j in range(i + 1, last[i] + 1):
                row = element(words, j) * width + d
                store(inputs, row, add(load(inputs, row), change))
    totals[LOSS] += nats + total(linear, product, room)
    totals[PREDICTIONS] += targets
