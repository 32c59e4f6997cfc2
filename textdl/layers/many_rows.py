"""What lies between the matrix products of one position more of many rows, compiled: attention, norms, the best tokens.

The products of such a step are large enough for torch. What is between them is small, and there torch's operations one by one
take twice the time of the products: each is a pass over memory, and a call of some microseconds. Here it is one pass for
each product, and rows need nothing in common: each has its own past and its own source, of any lengths, without padding.

The keys and values of a layer are one array of slots, (slots, 2 D). A row says in which slots its past is, so rows that go on from
one hypothesis share what they have in common, and to drop or repeat rows moves no keys.

Arrays are flat, float32 or bfloat16 as textdl.simd has it. Features, and those of a head, are a multiple of `LANES`. The
readable twins: `by_equations` of layers/attention.py, `norm` of layers/residual.py, `best_by_sorting` here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from textdl.encoded import BOS, EOS, UNK
from textdl.kernels import kernel
from textdl.protocols import Floats, Ints
from textdl.simd import (
    LANES,
    add,
    any_from,
    element,
    exp_minus,
    fma,
    highest,
    larger,
    load,
    mul,
    positive,
    splat,
    store,
    sub,
    total,
)  # fmt: skip

_EPSILON = 1e-5
"""Of torch's layer normalisation."""
_FIRST = max(UNK, BOS, EOS) + 1
"""The ids before it are specials, which are not among the best tokens."""


@kernel
def _norm(x: Any, at: int, result: Any, to: int, size: int) -> None:
    """x[at : at + size] with mean 0 and variance 1, to result[to : to + size]; they may be the same."""
    sums = splat(np.float32(0.0))
    for j in range(0, size, LANES):
        sums = add(sums, load(x, at + j))
    mean = splat(total(sums) / np.float32(size))
    squares = splat(np.float32(0.0))
    for j in range(0, size, LANES):
        part = sub(load(x, at + j), mean)
        squares = fma(part, part, squares)
    scale = splat(np.float32(1.0) / np.sqrt(total(squares) / np.float32(size) + np.float32(_EPSILON)))
    for j in range(0, size, LANES):
        store(result, to + j, mul(sub(load(x, at + j), mean), scale))


@kernel
def norm(x: Any, rows: int, result: Any, size: int) -> None:
    """The norm of each row of x (rows, size), into result."""
    for row in range(rows):
        _norm(x, row * size, result, row * size, size)


@kernel
def add_norm(x: Any, added: Any, rows: int, result: Any, size: int, post_norm: bool) -> None:
    """x += added and result = norm(x), row by row of (rows, size); post_norm: x is the result too."""
    for row in range(rows):
        at = row * size
        for j in range(at, at + size, LANES):
            store(x, j, add(load(x, j), load(added, j)))
        _norm(x, at, result, at, size)
        if post_norm:
            for j in range(at, at + size, LANES):
                store(x, j, load(result, j))


@kernel
def squared_relu(x: Any, number: int) -> None:
    """max(x, 0)^2 of the first `number` of x, in place."""
    for j in range(0, number, LANES):
        part = positive(load(x, j))
        store(x, j, mul(part, part))


@kernel
def _heads(x: Any, at: int, result: Floats, size: int, width: int, cos: Floats, sin: Floats) -> None:
    """Queries or keys of one row, x[at : at + size]: each head normalised and turned."""
    half = width // 2
    for head in range(0, size, width):
        _norm(x, at + head, result, head, width)
        for i in range(len(cos)):
            a, b = result[head + i], result[head + half + i]
            result[head + i], result[head + half + i] = a * cos[i] - b * sin[i], a * sin[i] + b * cos[i]


@kernel
def _attend(
    query: Floats, places: Ints, count: int, slots: Any, gains: Floats, size: int, scores: Floats, result: Any, to: int
) -> None:
    """softmax(g query . keys / sqrt(E)) values of one row, head by head, to result[to : to + size].

    query: (size,); places: (count, ...) the slots it looks at; gains: (heads,) g; scores: scratch of (heads, count made up
    to LANES).
    """
    heads = len(gains)
    width = size // heads
    room = (count + LANES - 1) // LANES * LANES
    for head in range(heads):
        store(scores, (head + 1) * room - LANES, splat(np.float32(-np.inf)))
    for t in range(count):
        at = element(places, t) * 2 * size
        for head in range(heads):
            products = splat(np.float32(0.0))
            for j in range(head * width, (head + 1) * width, LANES):
                products = fma(load(query, j), load(slots, at + j), products)
            scores[head * room + t] = total(products)
    for head in range(heads):
        first, sums = head * room, splat(np.float32(0.0))
        greatest = load(scores, first)
        for t in range(first + LANES, first + room, LANES):
            greatest = larger(greatest, load(scores, t))
        top, scale = splat(highest(greatest)), splat(gains[head] / np.float32(math.sqrt(width)))
        for t in range(first, first + room, LANES):
            weights = exp_minus(mul(sub(load(scores, t), top), scale))
            store(scores, t, weights)
            sums = add(sums, weights)
        share = splat(np.float32(1.0) / total(sums))
        for j in range(head * width, (head + 1) * width, LANES):
            context = splat(np.float32(0.0))
            for t in range(count):
                at = (element(places, t) * 2 + 1) * size
                context = fma(splat(element(scores, first + t)), load(slots, at + j), context)
            store(result, to + j, mul(context, share))


@kernel
def attend_past(
    projected: Any,
    past: Ints,
    lengths: Ints,
    slots: Any,
    gains: Floats,
    size: int,
    cos: Floats,
    sin: Floats,
    result: Any,
) -> None:
    """Self-attention of a position more of each row, which is written into its slot first.

    Args:
        projected: (R, 3, D) queries, keys, values, as they come from their product.
        past: (R, room) the slots of each row, its new one among them; lengths: (R,) how many there are.
        slots: (slots, 2 D); gains: (H,) float32, g of each head; size: D.
        cos, sin: (R, E / 2) by what queries and keys are turned; (R, 0): they are not.
        result: (R, D).
    """
    longest, width = 0, size // len(gains)
    for length in lengths:
        longest = max(longest, length)
    scores = np.empty(len(gains) * (longest + LANES), np.float32)
    query, key = np.empty(size, np.float32), np.empty(size, np.float32)
    for row in range(len(lengths)):
        at, to = row * 3 * size, past[row, lengths[row] - 1] * 2 * size
        _heads(projected, at, query, size, width, cos[row], sin[row])
        _heads(projected, at + size, key, size, width, cos[row], sin[row])
        for j in range(0, size, LANES):
            store(slots, to + j, load(key, j))
            store(slots, to + size + j, load(projected, at + 2 * size + j))
        _attend(query, past[row], lengths[row], slots, gains, size, scores, result, row * size)


@kernel
def attend_sources(
    projected: Any, owners: Ints, bounds: Ints, slots: Any, gains: Floats, size: int, result: Any
) -> None:  # fmt: skip
    """Cross-attention: row r looks at the slots from bounds[owners[r]] to bounds[owners[r] + 1].

    Args:
        projected: (R, D) queries; slots: (slots, 2 D), of `keys_values`; gains: (H,) float32, g of each head; result: (R, D).
    """
    longest, width = 0, size // len(gains)
    for source in range(len(bounds) - 1):
        longest = max(longest, bounds[source + 1] - bounds[source])
    scores = np.empty(len(gains) * (longest + LANES), np.float32)
    query, places, nothing = np.empty(size, np.float32), np.arange(bounds[-1]), np.empty(0, np.float32)
    for row in range(len(owners)):
        first, last = bounds[owners[row]], bounds[owners[row] + 1]
        _heads(projected, row * size, query, size, width, nothing, nothing)
        _attend(query, places[first:last], last - first, slots, gains, size, scores, result, row * size)


@kernel
def keys_values(projected: Any, layers: int, layer: int, slots: Any, size: int, width: int) -> None:
    """The slots (N, 2 D) of one layer from the (N, layers, 2, D) keys and values of all: keys are normalised."""
    key, nothing = np.empty(size, np.float32), np.empty(0, np.float32)
    for token in range(len(slots) // (2 * size)):
        at, to = (token * layers + layer) * 2 * size, token * 2 * size
        _heads(projected, at, key, size, width, nothing, nothing)
        for j in range(0, size, LANES):
            store(slots, to + j, load(key, j))
            store(slots, to + size + j, load(projected, at + size + j))


def best_by_sorting(logits: Floats, bias: Floats, number: int) -> tuple[Ints, Floats, Floats]:
    """What `best` finds, from float32 logits (R, V): tokens and log_probs (R, number), ends (R,). To be read, and to test."""
    values = (logits + bias).astype(np.float64)
    values -= np.logaddexp.reduce(values, axis=1, keepdims=True)
    tokens = _FIRST + np.argsort(-values[:, _FIRST:], axis=1, kind="stable")[:, :number]
    found = np.take_along_axis(values, tokens, 1)
    return tokens, found.astype(np.float32), values[:, EOS].astype(np.float32)


@kernel
def log_probabilities(logits: Any, bias: Floats, result: Floats) -> None:
    """log softmax of (R, columns) logits and their bias, -inf where there is no token, to result (R, V), V up to columns."""
    rows, vocab_size = result.shape
    values = np.empty(len(bias), np.float32)
    for row in range(rows):
        at = row * len(bias)
        for j in range(0, len(bias), LANES):
            store(values, j, add(load(logits, at + j), load(bias, j)))
        highest = np.float32(-np.inf)
        for value in values[:vocab_size]:
            highest = max(highest, value)
        sums = splat(np.float32(0.0))
        for j in range(0, len(bias), LANES):
            sums = add(sums, exp_minus(sub(splat(highest), load(values, j))))
        log_sum = highest + np.log(total(sums))
        for i in range(vocab_size):
            result[row, i] = values[i] - log_sum


@kernel
def best(logits: Any, bias: Floats, tokens: Ints, log_probs: Floats, ends: Floats) -> None:
    """The most probable tokens of each row, specials left out, best first, of equal ones the first.

    Lane by lane the highest logits are known first. The one of them that comes `number`-th, specials not counted, is a bound
    below which no token has to be looked at.

    Args:
        logits: (R, columns); bias: (columns,), -inf where there is no token.
        tokens, log_probs: (R, number); where there are fewer, log_probs are -inf and tokens mean nothing.
        ends: (R,) of the line end.
    """
    rows, number = tokens.shape
    highs, lanes = np.empty(number + _FIRST, np.float32), np.empty(LANES, np.float32)
    for row in range(rows):
        at, found = row * len(bias), log_probs[row]
        tops = add(load(logits, at), load(bias, 0))
        store(lanes, 0, tops)
        ends[row] = lanes[EOS]
        for j in range(LANES, len(bias), LANES):
            tops = larger(add(load(logits, at + j), load(bias, j)), tops)
        store(lanes, 0, tops)
        highs[:] = -np.inf
        for i in range(LANES):
            _place(highs, lanes[i])
        bound, top, sums = splat(highs[-1]), splat(highs[0]), splat(np.float32(0.0))
        found[:] = -np.inf
        for j in range(0, len(bias), LANES):
            values = add(load(logits, at + j), load(bias, j))
            sums = add(sums, exp_minus(sub(top, values)))
            if any_from(values, bound):
                store(lanes, 0, values)
                for i in range(_FIRST if j == 0 else 0, LANES):
                    if lanes[i] > found[-1]:
                        place = _place(found, lanes[i])
                        for later in range(number - 1, place, -1):
                            tokens[row, later] = tokens[row, later - 1]
                        tokens[row, place] = j + i
                bound = splat(max(highs[-1], found[-1]))
        log_sum = highs[0] + np.log(total(sums))
        ends[row] -= log_sum
        for i in range(number):
            found[i] -= log_sum


@kernel
def _place(highest_first: Floats, value: float) -> int:
    """Put a value among those of an array, whose last one falls out; where. Behind what is equal; len(array): nowhere."""
    place = len(highest_first)
    while place > 0 and highest_first[place - 1] < value:
        if place < len(highest_first):
            highest_first[place] = highest_first[place - 1]
        place -= 1
    if place < len(highest_first):
        highest_first[place] = value
    return place
