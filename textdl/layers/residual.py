"""What a part of a Transformer layer makes is dropped out, added to what was there, and normalised: one pass over it.

    y = x + mask * part          mask: 0 with probability p, else 1 / (1 - p)
    n = (y - mean(y)) / sqrt(var(y) + 1e-5)       over the D features of a position

Between the products of a Transformer, this is what there is to do; one operation after the other, each reads and writes
all of it, which on a processor takes as long as the products. `by_equations` is that, and runs on GPUs.

The mask is a hash of a key that is drawn anew at each call and of the place, made again on the way back. There

    dy' = dy + (dn - mean(dn) - n mean(dn n)) / sqrt(var(y) + 1e-5)
    dx = dy',   dpart = mask dy'

need n alone, so y is not kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from textdl.kernels import kernel
from textdl.layers.dropout import Dropout, LockedDropout
from textdl.layers.threads import array, by_rows, takes
from textdl.simd import LANES, add, fma, kept, load, mul, splat, store, sub, total

_EPSILON = 1e-5
_ELEMENTS = 1 << 15
"""That are worth a thread, at least."""


def norm(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the features of each position."""
    return F.layer_norm(x, x.shape[-1:], eps=_EPSILON)


def by_equations(x: Tensor, part: Tensor, dropout: Dropout | LockedDropout) -> tuple[Tensor, Tensor]:
    """y and n of x and part, all (..., D). To be read, to test, and for GPUs."""
    y = x + dropout(part)
    return y, norm(y)


def add_and_norm(x: Tensor, part: Tensor, dropout: Dropout | LockedDropout) -> tuple[Tensor, Tensor]:
    """The same, fast."""
    if not takes(x):
        return by_equations(x, part, dropout)
    key = dropped = 0
    if isinstance(dropout, Dropout):
        key, dropped = dropout.draw()
    else:
        part = dropout(part)
    y, n = _AddAndNorm.apply(x.flatten(0, -2), part.flatten(0, -2), key, dropped)
    return y.view_as(x), n.view_as(x)


class _AddAndNorm(torch.autograd.Function):
    """x, part (N, D) to y and n (N, D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Tensor, key: int, dropped: int) -> tuple[Tensor, Tensor]:
        x, part = x.contiguous(), part.contiguous()
        y, n = torch.empty_like(x), torch.empty_like(x)
        scales = torch.empty(len(x))
        arrays = [array(t) for t in (x, part, y, n, scales)]
        by_rows(len(x), _least(x), lambda first, last: _forward(first, last, key, dropped, *arrays))
        ctx.save_for_backward(n, scales)
        ctx.drawn = key, dropped
        ctx.set_materialize_grads(False)
        return y, n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dn: Tensor | None) -> tuple[Tensor | None, ...]:
        n, scales = ctx.saved_tensors
        key, dropped = ctx.drawn
        if dn is None:
            dn = torch.zeros_like(n)
        dx = torch.empty_like(n)
        dpart = torch.empty_like(n) if dropped else dx
        outside = dy is not None
        arrays = [array(t) for t in ((n if dy is None else dy).contiguous(), dn.contiguous(), n, scales, dx, dpart)]
        by_rows(len(n), _least(n), lambda first, last: _backward(first, last, key, dropped, outside, *arrays))
        return dx, dpart, None, None


def _least(x: Tensor) -> int:
    least: int = max(1, _ELEMENTS // max(1, x.shape[1]))
    return least


@kernel
def _forward(
    first: int, last: int, key: int, dropped: int, x: Any, part: Any, y: Any, n: Any, scales: Any
) -> None:  # fmt: skip
    size = x.shape[1]
    below, scale = np.uint32(dropped), np.float32(2.0**32 / (2.0**32 - dropped))
    share = np.float32(1.0 / size)
    sums = np.empty(size, np.float32)
    for row in range(first, last):
        x_row, part_row, y_row, n_row = x[row], part[row], y[row], n[row]
        acc = splat(np.float32(0))
        for j in range(0, size, LANES):
            added = load(part_row, j)
            if dropped:
                added = mul(added, kept(np.uint32(key), row * size + j, below, scale))
            value = add(load(x_row, j), added)
            acc = add(acc, value)
            store(y_row, j, value)
            store(sums, j, value)
        mean = splat(total(acc) * share)
        acc = splat(np.float32(0))
        for j in range(0, size, LANES):
            rest = sub(load(sums, j), mean)
            acc = fma(rest, rest, acc)
        scales[row] = np.float32(1.0) / np.sqrt(total(acc) * share + np.float32(_EPSILON))
        factor = splat(scales[row])
        for j in range(0, size, LANES):
            store(n_row, j, mul(sub(load(sums, j), mean), factor))


@kernel
def _backward(
    first: int, last: int, key: int, dropped: int, outside: bool, dy: Any, dn: Any, n: Any, scales: Any, dx: Any, dpart: Any
) -> None:  # fmt: skip
    size = n.shape[1]
    below, scale = np.uint32(dropped), np.float32(2.0**32 / (2.0**32 - dropped))
    share = np.float32(1.0 / size)
    for row in range(first, last):
        dy_row, dn_row, n_row, dx_row, dpart_row = dy[row], dn[row], n[row], dx[row], dpart[row]
        plain = along = splat(np.float32(0))
        for j in range(0, size, LANES):
            gradient = load(dn_row, j)
            plain = add(plain, gradient)
            along = fma(gradient, load(n_row, j), along)
        mean, slope = splat(total(plain) * share), splat(total(along) * share)
        factor = splat(scales[row])
        for j in range(0, size, LANES):
            gradient = mul(sub(sub(load(dn_row, j), mean), mul(load(n_row, j), slope)), factor)
            if outside:
                gradient = add(gradient, load(dy_row, j))
            store(dx_row, j, gradient)
            if dropped:
                store(dpart_row, j, mul(gradient, kept(np.uint32(key), row * size + j, below, scale)))
