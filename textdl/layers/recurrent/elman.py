# ruff: noqa: ARG001  (the kernels of all cells are called alike)
"""The simple recurrent network (Elman 1990), with tanh or with ReLU.

    h' = f(W x + U h + b)

and back, from the gradient dh' of h':

    gradient of the sum    dh' f'(.), which follows from h': 1 - h'^2 for tanh, [h' > 0] for ReLU

A factor below 1 and a product with U at each step: that is why gradients vanish. A GPU has a kernel of its own; how a
processor does the steps is in steps.py.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from textdl.kernels import kernel
from textdl.layers.recurrent.base import States
from textdl.layers.recurrent.steps import Cell, SteppedLayer, library
from textdl.simd import LANES, add, load, mul, positive, splat, store, sub, tanh, where_negative


@kernel
def _tanh_forward(t: int, first: int, last: int, a: Any, u: Any, kept: Any, carried: Any, outputs: Any) -> None:
    after = (t + 1) % len(carried)
    for row in range(first, last):
        a_row, u_row, h_row, h_low = a[t, row], u[row - first], carried[after, row], outputs[t + 1, row]
        for j in range(0, carried.shape[2], LANES):
            h = tanh(add(load(a_row, j), load(u_row, j)))
            store(h_row, j, h)
            store(h_low, j, h)


@kernel
def _relu_forward(t: int, first: int, last: int, a: Any, u: Any, kept: Any, carried: Any, outputs: Any) -> None:
    after = (t + 1) % len(carried)
    for row in range(first, last):
        a_row, u_row, h_row, h_low = a[t, row], u[row - first], carried[after, row], outputs[t + 1, row]
        for j in range(0, carried.shape[2], LANES):
            h = positive(add(load(a_row, j), load(u_row, j)))
            store(h_row, j, h)
            store(h_low, j, h)


@kernel
def _tanh_backward(
    t: int, first: int, last: int, ahead: Any, gradient: Any, kept: Any, carried: Any, carry: Any, du: Any,
    da: Any,
) -> None:  # fmt: skip
    one, zero = splat(np.float32(1)), splat(np.float32(0))
    for row in range(first, last):
        ahead_row, gradient_row, carry_row = ahead[row - first], gradient[t, row], carry[row]
        h_row, d = carried[t + 1, row], du[t, row]
        for j in range(0, carried.shape[2], LANES):
            h = load(h_row, j)
            dh = add(add(load(ahead_row, j), load(gradient_row, j)), load(carry_row, j))
            store(d, j, mul(dh, sub(one, mul(h, h))))
            store(carry_row, j, zero)


@kernel
def _relu_backward(
    t: int, first: int, last: int, ahead: Any, gradient: Any, kept: Any, carried: Any, carry: Any, du: Any,
    da: Any,
) -> None:  # fmt: skip
    zero = splat(np.float32(0))
    for row in range(first, last):
        ahead_row, gradient_row, carry_row = ahead[row - first], gradient[t, row], carry[row]
        h_row, d = carried[t + 1, row], du[t, row]
        for j in range(0, carried.shape[2], LANES):
            dh = add(add(load(ahead_row, j), load(gradient_row, j)), load(carry_row, j))
            store(d, j, where_negative(sub(zero, load(h_row, j)), dh, zero))
            store(carry_row, j, zero)


class Elman(SteppedLayer):
    """Its state is (h,)."""

    cell = Cell(kept=0, forward=_tanh_forward, backward=_tanh_backward)
    kernel: ClassVar[Any] = torch.rnn_tanh
    activation: ClassVar[Any] = torch.tanh

    def on_gpu(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See SteppedLayer.on_gpu."""
        weights = [self.input, self._recurrent(), self.bias, torch.zeros_like(self.bias)]
        outputs, h = library(type(self).kernel, x, state[0][None].contiguous(), weights)
        return outputs, (h[0],)

    def by_equations(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.by_equations."""
        (h,) = state
        outputs = []
        for x_t in x.unbind(dim=1):
            h = type(self).activation(x_t @ self.input.T + h @ self.recurrent.T + self.bias)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h,)


class ElmanReLU(Elman):
    """With ReLU and a recurrent matrix that begins as the identity, so that h is kept at first (Le et al. 2015)."""

    cell = Cell(kept=0, forward=_relu_forward, backward=_relu_backward)
    kernel = torch.rnn_relu
    activation = torch.relu

    def initialise(self, generator: torch.Generator) -> None:
        """As the others, but for the recurrent matrix, and smaller weights of the input: h is a sum over the steps."""
        super().initialise(generator)
        with torch.no_grad():
            self.recurrent.copy_(torch.eye(self.size))
            self.input.div_(math.sqrt(self.size))
