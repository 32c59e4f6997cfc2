# ruff: noqa: ARG001  (the kernels of all cells are called alike)
"""LSTM, long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000).

    i = sigmoid(W_i x + U_i h + b_i)      what is written
    f = sigmoid(W_f x + U_f h + b_f)      what is kept
    g = tanh   (W_g x + U_g h + b_g)      what would be written
    o = sigmoid(W_o x + U_o h + b_o)      what is shown
    c' = f * c + i * g
    h' = o * tanh(c')

and back, from the gradients dh' and dc' (of what was carried on):

    dc = dc' + dh' o (1 - tanh(c')^2)
    gradient of      i's sum  dc g i (1 - i)      f's sum  dc c f (1 - f)      g's sum  dc i (1 - g^2)
                     o's sum  dh' tanh(c') o (1 - o)                           c        dc f

Gradients reach far back since c is only ever multiplied with f. Peephole connections are left out. A GPU has a kernel
of its own (cuDNN); how a processor does the steps is in steps.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from textdl.kernels import kernel
from textdl.layers.recurrent.base import States
from textdl.layers.recurrent.steps import Cell, SteppedLayer, library
from textdl.simd import LANES, add, fma, load, mul, sigmoid, splat, store, sub, tanh


@kernel
def _forward(t: int, first: int, last: int, a: Any, u: Any, kept: Any, carried: Any, outputs: Any) -> None:
    size = carried.shape[2]
    at, before, after = t % len(kept), t % len(carried), (t + 1) % len(carried)
    for row in range(first, last):
        a_row, u_row, k, c_row, c_new, h = (
            a[t, row], u[row - first], kept[at, row], carried[before, row], carried[after, row], outputs[t + 1, row]
        )  # fmt: skip
        for j in range(0, size, LANES):
            i = sigmoid(add(load(a_row, j), load(u_row, j)))
            f = sigmoid(add(load(a_row, size + j), load(u_row, size + j)))
            g = tanh(add(load(a_row, 2 * size + j), load(u_row, 2 * size + j)))
            o = sigmoid(add(load(a_row, 3 * size + j), load(u_row, 3 * size + j)))
            c = fma(f, load(c_row, j), mul(i, g))
            shown = tanh(c)
            store(c_new, j, c)
            store(h, j, mul(o, shown))
            store(k, j, i)
            store(k, size + j, f)
            store(k, 2 * size + j, g)
            store(k, 3 * size + j, o)
            store(k, 4 * size + j, shown)


@kernel
def _backward(
    t: int, first: int, last: int, ahead: Any, gradient: Any, kept: Any, carried: Any, carry: Any, du: Any,
    da: Any,
) -> None:  # fmt: skip
    size = carried.shape[2]
    one = splat(np.float32(1))
    for row in range(first, last):
        ahead_row, gradient_row, k, c, carry_row, d = (
            ahead[row - first], gradient[t, row], kept[t, row], carried[t, row], carry[row], du[t, row]
        )  # fmt: skip
        for j in range(0, size, LANES):
            i, f, g = load(k, j), load(k, size + j), load(k, 2 * size + j)
            o, shown = load(k, 3 * size + j), load(k, 4 * size + j)
            dh = add(load(ahead_row, j), load(gradient_row, j))
            dc = fma(mul(dh, o), sub(one, mul(shown, shown)), load(carry_row, j))
            store(d, j, mul(mul(dc, g), mul(i, sub(one, i))))
            store(d, size + j, mul(mul(dc, load(c, j)), mul(f, sub(one, f))))
            store(d, 2 * size + j, mul(mul(dc, i), sub(one, mul(g, g))))
            store(d, 3 * size + j, mul(mul(dh, shown), mul(o, sub(one, o))))
            store(carry_row, j, mul(dc, f))


class LSTM(SteppedLayer):
    """Its state is (h, c)."""

    tensors = 2
    gates = 4
    cell = Cell(kept=5, forward=_forward, backward=_backward)

    def initialise(self, generator: torch.Generator) -> None:
        """As the others; forget gates begin open (bias 1; Jozefowicz et al. 2015)."""
        super().initialise(generator)
        with torch.no_grad():
            self.bias[self.size : 2 * self.size] = 1.0

    def on_gpu(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See SteppedLayer.on_gpu."""
        before = tuple(tensor[None].contiguous() for tensor in state)
        weights = [self.input, self._recurrent(), self.bias, torch.zeros_like(self.bias)]
        output, h, c = library(torch.lstm, x, before, weights)
        return output, (h[0], c[0])

    def by_equations(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.by_equations."""
        w_i, w_f, w_g, w_o = self.input.chunk(4)
        u_i, u_f, u_g, u_o = self.recurrent.chunk(4)
        b_i, b_f, b_g, b_o = self.bias.chunk(4)
        h, c = state
        outputs = []
        for x_t in x.unbind(dim=1):
            i = torch.sigmoid(x_t @ w_i.T + h @ u_i.T + b_i)
            f = torch.sigmoid(x_t @ w_f.T + h @ u_f.T + b_f)
            g = torch.tanh(x_t @ w_g.T + h @ u_g.T + b_g)
            o = torch.sigmoid(x_t @ w_o.T + h @ u_o.T + b_o)
            c = f * c + i * g
            h = o * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h, c)
