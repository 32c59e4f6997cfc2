"""The feed-forward net of a Transformer with the square of ReLU (So et al. 2021), for training.

    h = max(x W_1^T, 0)        s = h^2        y = s W_2^T

    ds = dy W_2        dh = 2 h ds        dx = dh W_1        dW_1 = dh^T x        dW_2 = dy^T s

h and s are the widest tensors there are: what lies between two products is one pass over them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from textdl.kernels import kernel
from textdl.layers.threads import array, by_rows, takes
from textdl.simd import LANES, load, mul, positive, store

_ELEMENTS = 1 << 15
"""That are worth a thread, at least."""


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)^2."""
    return x.relu().square()


def feed_forward(x: Tensor, inner: Tensor, output: Tensor) -> Tensor:
    """x (N, D), W_1 (F, D), W_2 (D, F), to (N, D)."""
    result: Tensor = _FeedForward.apply(x, inner, output)
    return result


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, inner: Tensor, output: Tensor) -> Tensor:
        hidden = x @ inner.T
        squared = _activate(hidden)
        ctx.save_for_backward(x, hidden, squared, inner, output)
        return squared @ output.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, hidden, squared, inner, output = ctx.saved_tensors
        half = gradient @ output  # of dh; the 2 goes into the small matrices
        _scale(half, hidden)
        return half @ (2.0 * inner), 2.0 * (half.T @ x), gradient.T @ squared


def _activate(hidden: Tensor) -> Tensor:
    """hidden becomes max(hidden, 0); gives its square."""
    if not takes(hidden):
        return hidden.relu_().square()
    squared = torch.empty_like(hidden)
    arrays = array(hidden), array(squared)
    by_rows(len(hidden), _least(hidden), lambda first, last: _activated(first, last, *arrays))
    return squared


def _scale(gradient: Tensor, hidden: Tensor) -> None:
    """gradient becomes gradient times hidden."""
    if not takes(hidden):
        gradient.mul_(hidden)
        return
    arrays = array(gradient), array(hidden)
    by_rows(len(hidden), _least(hidden), lambda first, last: _scaled(first, last, *arrays))


def _least(x: Tensor) -> int:
    least: int = max(1, _ELEMENTS // x.shape[1])
    return least


@kernel
def _activated(first: int, last: int, hidden: Any, squared: Any) -> None:
    for row in range(first, last):
        values, squares = hidden[row], squared[row]
        for j in range(0, hidden.shape[1], LANES):
            value = positive(load(values, j))
            store(values, j, value)
            store(squares, j, mul(value, value))


@kernel
def _scaled(first: int, last: int, gradient: Any, hidden: Any) -> None:
    for row in range(first, last):
        values, factors = gradient[row], hidden[row]
        for j in range(0, hidden.shape[1], LANES):
            store(values, j, mul(load(values, j), load(factors, j)))
