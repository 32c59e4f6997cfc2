"""Attention of rows end to end (packing.py), compiled: each row at its own length, its scores never in memory.

What attention.py has as equations, of one head of one row at a time, in float32 whatever it is given:

    q, k    read, normalised and turned (positions.py)
    P       = softmax(g q k^T / sqrt(E)), of so many queries at a time that it stays in the cache
    o       = P v

and back, where P is made anew from q, k and the logarithm of its sums (Dao et al. 2022):

    dv      = P^T do                      dP = do v^T
    dS      = P (dP - sum_s P dP) g / sqrt(E)
    dq      = dS k                        dk = dS^T q        and through the turn and the normalisation
    d log g = sum_t q_t . dq_t

On a processor, torch's operations on rows side by side take three times as long: padding, masks, and ten passes over what
lies between two products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from textdl.kernels import kernel
from textdl.layers import threads
from textdl.layers.positions import Rotation
from textdl.layers.threads import array, by_rows
from textdl.simd import (
    LANES,
    add,
    before,
    element,
    exp_minus,
    fma,
    highest,
    larger,
    load,
    mul,
    splat,
    store,
    sub,
    total,
    transpose,
)  # fmt: skip

_TILE = 32
"""Queries at a time, a multiple of 16."""
_BLOCK = 8
"""Rows of a product at a time."""
_PAIRS = 8
"""A row and a head that are worth a thread, at least."""
_EPSILON = 1e-5
_NOTHING = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Shape:
    """What kind of attention it is."""

    heads: int
    causal: bool
    """Each looks no further than itself."""


def takes(x: Tensor, heads: int) -> bool:
    """Whether it is for these."""
    return threads.takes(x, heads * LANES)


def attend_to_self(
    projected: Tensor, log_gains: Tensor, lengths: Tensor, shape: Shape, rotation: Rotation | None
) -> Tensor:
    """(N, 3 D), queries, keys and values of rows end to end, to (N, D). Behind the rows: zeros.

    Args:
        log_gains: (H,) float32, log g of each head.
        lengths: (B,) of the rows; their sum is at most N.
        rotation: of queries and keys, (N, 1, E / 2) twice, or None.
    """
    result: Tensor = _Attend.apply(projected, None, log_gains, lengths, lengths, shape, rotation)
    return result


def attend_to_other(
    queries: Tensor, keys_values: Tensor, log_gains: Tensor, lengths: Tensor, of_keys: Tensor, shape: Shape
) -> Tensor:
    """(N, D) queries and (M, 2 D) keys and values to (N, D): row i looks at row i of the others.

    Args:
        log_gains: (H,) float32, log g of each head.
        lengths, of_keys: (B,) of the rows of both.
    """
    result: Tensor = _Attend.apply(queries, keys_values, log_gains, lengths, of_keys, shape, None)
    return result


class _Attend(torch.autograd.Function):
    """keys_values None: they stand beside the queries."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys_values: Tensor | None, log_gains: Tensor, lengths: Tensor, of_keys: Tensor,
        shape: Shape, rotation: Rotation | None,
    ) -> Tensor:  # fmt: skip
        queries = queries.contiguous()
        keys_values = None if keys_values is None else keys_values.contiguous()
        size = queries.shape[1] // (3 if keys_values is None else 1)
        context = queries.new_empty(len(queries), size)
        context[int(lengths.sum()) :] = 0.0
        log_sums = torch.empty(len(queries), shape.heads)
        ctx.shape = shape
        ctx.save_for_backward(queries, keys_values, log_gains, lengths, of_keys, log_sums, *(rotation or ()))
        arguments = _arguments(queries, keys_values, log_gains, lengths, of_keys, shape, rotation)
        out = [array(context), array(log_sums)]
        by_rows(len(lengths) * shape.heads, _PAIRS, lambda first, last: _forward(first, last, *arguments, *out))
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys_values, log_gains, lengths, of_keys, log_sums, *rotation = ctx.saved_tensors
        dq = torch.empty_like(queries)
        dq[int(lengths.sum()) :] = 0.0
        dkv = dq
        if keys_values is not None:
            dkv = torch.empty_like(keys_values)
            dkv[int(of_keys.sum()) :] = 0.0
        along = torch.zeros(len(lengths), ctx.shape.heads)
        arguments = _arguments(queries, keys_values, log_gains, lengths, of_keys, ctx.shape, rotation or None)
        more = [array(t) for t in (log_sums, gradient.contiguous(), dq, dkv, along)]
        by_rows(len(lengths) * ctx.shape.heads, _PAIRS, lambda first, last: _backward(first, last, *arguments, *more))
        return dq, None if keys_values is None else dkv, along.sum(0), None, None, None, None


def _arguments(
    queries: Tensor, keys_values: Tensor | None, log_gains: Tensor, lengths: Tensor, of_keys: Tensor, shape: Shape,
    rotation: Any,
) -> tuple[Any, ...]:  # fmt: skip
    starts = (np.concatenate(([0], np.cumsum(n.numpy()))) for n in (lengths, of_keys))
    cos, sin = (_NOTHING, _NOTHING) if not rotation else (part.float().flatten(1).numpy() for part in rotation)
    others = queries if keys_values is None else keys_values
    key_column = queries.shape[1] // 3 if keys_values is None else 0
    gains = array(log_gains.float().exp())
    return array(queries), array(others), key_column, *starts, gains, shape.causal, cos, sin


@kernel
def _up(n: int) -> int:
    """To a multiple of what is loaded at once."""
    return (n + LANES - 1) // LANES * LANES


@kernel
def _longest(starts: Any) -> int:
    """Room for any of the rows."""
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    return _up(longest)


@kernel
def _product(
    a: Any, down: int, along: int, b: Any, width: int, c: Any, rows: int, depth: int, columns: int, more: bool
) -> None:
    """c (rows, width) = a b, or with `more` c + a b; b (depth, width); the first `columns` of them.

    a[i, k] is at i * down + k * along. Eight rows at a time, so each value of b is loaded once for them, and an addition
    need not wait for the one before: rows are made up to a multiple of 8, columns to one of 16.
    """
    for i in range(0, rows, _BLOCK):
        for j in range(0, columns, LANES):
            out = i * width + j
            c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = splat(np.float32(0))
            if more:
                c0, c1 = load(c, out), load(c, out + width)
                c2, c3 = load(c, out + 2 * width), load(c, out + 3 * width)
                c4, c5 = load(c, out + 4 * width), load(c, out + 5 * width)
                c6, c7 = load(c, out + 6 * width), load(c, out + 7 * width)
            at = i * down
            for k in range(depth):
                value = load(b, k * width + j)
                c0 = fma(splat(element(a, at)), value, c0)
                c1 = fma(splat(element(a, at + down)), value, c1)
                c2 = fma(splat(element(a, at + 2 * down)), value, c2)
                c3 = fma(splat(element(a, at + 3 * down)), value, c3)
                c4 = fma(splat(element(a, at + 4 * down)), value, c4)
                c5 = fma(splat(element(a, at + 5 * down)), value, c5)
                c6 = fma(splat(element(a, at + 6 * down)), value, c6)
                c7 = fma(splat(element(a, at + 7 * down)), value, c7)
                at += along
            store(c, out, c0)
            store(c, out + width, c1)
            store(c, out + 2 * width, c2)
            store(c, out + 3 * width, c3)
            store(c, out + 4 * width, c4)
            store(c, out + 5 * width, c5)
            store(c, out + 6 * width, c6)
            store(c, out + 7 * width, c7)


@kernel
def _read(x: Any, start: int, count: int, column: int, width: int, out: Any) -> None:
    """Rows start to start + count of x, a head of them, to out (count, width); then zeros up to a multiple of 16 rows."""
    for i in range(count):
        row = x[start + i]
        for j in range(0, width, LANES):
            store(out, i * width + j, load(row, column + j))
    for j in range(count * width, _up(count) * width, LANES):
        store(out, j, splat(np.float32(0)))


@kernel
def _normalise(x: Any, count: int, width: int, scales: Any) -> None:
    """Each row to mean 0 and variance 1; by what it was multiplied goes into scales."""
    share = np.float32(1.0 / width)
    for i in range(count):
        first, last = i * width, (i + 1) * width
        plain = squares = splat(np.float32(0))
        for j in range(first, last, LANES):
            plain = add(plain, load(x, j))
        mean = splat(total(plain) * share)
        for j in range(first, last, LANES):
            rest = sub(load(x, j), mean)
            squares = fma(rest, rest, squares)
        scales[i] = np.float32(1.0) / np.sqrt(total(squares) * share + np.float32(_EPSILON))
        factor = splat(scales[i])
        for j in range(first, last, LANES):
            store(x, j, mul(sub(load(x, j), mean), factor))


@kernel
def _turn(x: Any, count: int, width: int, cos: Any, sin: Any, start: int, direction: float) -> None:
    """Each row by its angles, see positions.rotate; direction -1: back."""
    half = width // 2
    for i in range(count if len(cos) else 0):
        cosines, sines = cos[start + i], sin[start + i]
        for j in range(half):
            a, b = x[i * width + j], x[i * width + half + j]
            s = sines[j] * np.float32(direction)
            x[i * width + j], x[i * width + half + j] = a * cosines[j] - b * s, b * cosines[j] + a * s


@kernel
def _made(
    x: Any, start: int, count: int, column: int, width: int, cos: Any, sin: Any, out: Any, scales: Any
) -> None:  # fmt: skip
    """Queries or keys of a head as they are multiplied: read, normalised and turned. See _read and _normalise."""
    _read(x, start, count, column, width, out)
    _normalise(out, count, width, scales)
    _turn(out, count, width, cos, sin, start, 1.0)


@kernel
def _across(x: Any, room: int, width: int, out: Any) -> None:
    """x (room, width) to out (width, room), transposed."""
    for i in range(0, room, LANES):
        for e in range(0, width, LANES):
            transpose(x, i * width + e, width, out, e * room + i, room)


@kernel
def _write(
    gradient: Any, x: Any, scales: Any, count: int, width: int, cos: Any, sin: Any, out: Any, start: int, column: int
) -> float:  # fmt: skip
    """The gradient of what became x, back through turn and normalisation, to where it came from; gives sum gradient . x.

    A turn leaves products as they are, so the share along x is taken off before it is turned back.
    """
    share, along = np.float32(1.0 / width), np.float32(0)
    for i in range(count):
        acc = splat(np.float32(0))
        for j in range(i * width, (i + 1) * width, LANES):
            acc = fma(load(gradient, j), load(x, j), acc)
        product = total(acc)
        along += product
        slope = splat(product * share)
        for j in range(i * width, (i + 1) * width, LANES):
            store(gradient, j, sub(load(gradient, j), mul(load(x, j), slope)))
    _turn(gradient, count, width, cos, sin, start, -1.0)
    for i in range(count):
        row = out[start + i]
        acc = splat(np.float32(0))
        for j in range(i * width, (i + 1) * width, LANES):
            acc = add(acc, load(gradient, j))
        mean, factor = splat(total(acc) * share), splat(scales[i])
        for j in range(0, width, LANES):
            store(row, column + j, mul(sub(load(gradient, i * width + j), mean), factor))
    return float(along)


@kernel
def _forward(
    first: int, last: int, queries: Any, others: Any, key_column: int, starts: Any, key_starts: Any, gains: Any,
    causal: bool, cos: Any, sin: Any, context: Any, log_sums: Any,
) -> None:  # fmt: skip
    size, heads = context.shape[1], len(gains)
    width = size // heads
    longest = _longest(key_starts)
    k, v = np.empty(longest * width, np.float32), np.empty(longest * width, np.float32)
    k_across = np.empty(longest * width, np.float32)
    q, o = np.empty(_TILE * width, np.float32), np.empty(_TILE * width, np.float32)
    p = np.empty(_TILE * longest, np.float32)
    scales = np.empty(max(longest, _TILE), np.float32)
    for pair in range(first, last):
        row, head = pair // heads, pair % heads
        column, scale = head * width, splat(gains[head] / np.float32(math.sqrt(width)))
        start, steps = starts[row], starts[row + 1] - starts[row]
        key_start, keys = key_starts[row], key_starts[row + 1] - key_starts[row]
        room = _up(keys)
        _made(others, key_start, keys, key_column + column, width, cos, sin, k, scales)
        _across(k, room, width, k_across)
        _read(others, key_start, keys, key_column + size + column, width, v)
        for begin in range(0, steps, _TILE):
            count = min(_TILE, steps - begin)
            seen = min(keys, begin + count) if causal else keys
            _made(queries, start + begin, count, column, width, cos, sin, q, scales)
            _product(q, width, 1, k_across, room, p, count, width, seen, False)
            for i in range(count):
                end = min(keys, begin + i + 1) if causal else keys
                log_sums[start + begin + i, head] = _softmax(p, i * room, end, _up(seen), scale)
            _product(p, room, 1, v, width, o, count, seen, width, False)
            for i in range(count):
                out = context[start + begin + i]
                for j in range(0, width, LANES):
                    store(out, column + j, load(o, i * width + j))


@kernel
def _softmax(p: Any, at: int, end: int, room: int, scale: Any) -> float:
    """Scores p[at : at + end] become probabilities, what is behind them up to room nothing; gives log sum exp."""
    none = splat(np.float32(-np.inf))
    greatest = none
    for j in range(0, room, LANES):
        score = before(end - j, mul(load(p, at + j), scale), none)
        greatest = larger(greatest, score)
        store(p, at + j, score)
    top = highest(greatest)
    acc = splat(np.float32(0))
    for j in range(0, room, LANES):
        power = before(end - j, exp_minus(sub(load(p, at + j), splat(top))), splat(np.float32(0)))
        acc = add(acc, power)
        store(p, at + j, power)
    whole = total(acc)
    share = splat(np.float32(1.0) / whole)
    for j in range(0, room, LANES):
        store(p, at + j, mul(load(p, at + j), share))
    log_sum: float = top + np.log(whole)
    return log_sum


@kernel
def _backward(
    first: int, last: int, queries: Any, others: Any, key_column: int, starts: Any, key_starts: Any, gains: Any,
    causal: bool, cos: Any, sin: Any, log_sums: Any, gradient: Any, dq_out: Any, dkv_out: Any, along: Any,
) -> None:  # fmt: skip
    size, heads = gradient.shape[1], len(gains)
    width = size // heads
    longest = _longest(key_starts)
    k, v = np.empty(longest * width, np.float32), np.empty(longest * width, np.float32)
    dk, dv = np.empty(longest * width, np.float32), np.empty(longest * width, np.float32)
    k_across, v_across = np.empty(longest * width, np.float32), np.empty(longest * width, np.float32)
    q, dq, do = (
        np.empty(_TILE * width, np.float32),
        np.empty(_TILE * width, np.float32),
        np.empty(_TILE * width, np.float32),
    )
    p, dp = np.empty(_TILE * longest, np.float32), np.empty(_TILE * longest, np.float32)
    scales, key_scales = np.empty(_TILE, np.float32), np.empty(longest, np.float32)
    for pair in range(first, last):
        row, head = pair // heads, pair % heads
        column, factor = head * width, splat(gains[head] / np.float32(math.sqrt(width)))
        start, steps = starts[row], starts[row + 1] - starts[row]
        key_start, keys = key_starts[row], key_starts[row + 1] - key_starts[row]
        room = _up(keys)
        _made(others, key_start, keys, key_column + column, width, cos, sin, k, key_scales)
        _across(k, room, width, k_across)
        _read(others, key_start, keys, key_column + size + column, width, v)
        _across(v, room, width, v_across)
        for j in range(0, room * width, LANES):
            store(dk, j, splat(np.float32(0)))
            store(dv, j, splat(np.float32(0)))
        for begin in range(0, steps, _TILE):
            count = min(_TILE, steps - begin)
            seen = min(keys, begin + count) if causal else keys
            _made(queries, start + begin, count, column, width, cos, sin, q, scales)
            _read(gradient, start + begin, count, column, width, do)
            _product(q, width, 1, k_across, room, p, count, width, seen, False)
            _product(do, width, 1, v_across, room, dp, count, width, seen, False)
            for i in range(count):
                end = min(keys, begin + i + 1) if causal else keys
                at, log_sum = i * room, splat(log_sums[start + begin + i, head])
                acc = splat(np.float32(0))
                for j in range(0, _up(seen), LANES):
                    power = exp_minus(sub(mul(load(p, at + j), factor), log_sum))
                    power = before(end - j, power, splat(np.float32(0)))
                    acc = fma(power, load(dp, at + j), acc)
                    store(p, at + j, power)
                mean = splat(total(acc))
                for j in range(at, at + _up(seen), LANES):
                    store(dp, j, mul(mul(load(p, j), sub(load(dp, j), mean)), factor))
            _product(p, 1, room, do, width, dv, seen, count, width, True)
            _product(dp, 1, room, q, width, dk, seen, count, width, True)
            _product(dp, room, 1, k, width, dq, count, seen, width, False)
            along[row, head] += _write(dq, q, scales, count, width, cos, sin, dq_out, start + begin, column)
        _write(dk, k, key_scales, keys, width, cos, sin, dkv_out, key_start, key_column + column)
        for i in range(keys):
            out = dkv_out[key_start + i]
            for j in range(0, width, LANES):
                store(out, key_column + size + column + j, load(dv, i * width + j))
