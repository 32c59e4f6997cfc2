"""GRU, the gated recurrent unit (Cho et al. 2014).

    r = sigmoid(W_r x + U_r h + b_r)              how much of the past a new content looks at
    z = sigmoid(W_z x + U_z h + b_z)              how much of the past stays
    u = U_n h + c_n
    n = tanh(W_n x + b_n + r * u)                 the new content
    h' = (1 - z) * n + z * h

r is applied after the product with U_n, as in cuDNN; applied before, U_n could not share a product with the others. And
back, from the gradient dh' of h':

    gradient of      n's sum  d_n = dh' (1 - z) (1 - n^2)      r's sum  d_n u r (1 - r)      z's sum  dh' (h - n) z (1 - z)
                     u        d_n r                            h        dh' z, and by way of the products

A GPU has a kernel of its own; how a processor does the steps is in steps.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.kernels import kernel
from textdl.layers.dropout import WeightDropout
from textdl.layers.recurrent.base import States
from textdl.layers.recurrent.steps import Cell, SteppedLayer, library
from textdl.simd import LANES, add, fma, load, mul, sigmoid, splat, store, sub, tanh


@kernel
def _forward(t: int, first: int, last: int, a: Any, u: Any, kept: Any, carried: Any, outputs: Any) -> None:
    size = carried.shape[2]
    at, before, after = t % len(kept), t % len(carried), (t + 1) % len(carried)
    for row in range(first, last):
        a_row, u_row, k, h_row, h_new, h_low = (
            a[t, row], u[row - first], kept[at, row], carried[before, row], carried[after, row], outputs[t + 1, row]
        )  # fmt: skip
        for j in range(0, size, LANES):
            r = sigmoid(add(load(a_row, j), load(u_row, j)))
            z = sigmoid(add(load(a_row, size + j), load(u_row, size + j)))
            looked = load(u_row, 2 * size + j)
            n = tanh(fma(r, looked, load(a_row, 2 * size + j)))
            h = fma(z, sub(load(h_row, j), n), n)
            store(h_new, j, h)
            store(h_low, j, h)
            store(k, j, r)
            store(k, size + j, z)
            store(k, 2 * size + j, looked)
            store(k, 3 * size + j, n)


@kernel
def _backward(
    t: int, first: int, last: int, ahead: Any, gradient: Any, kept: Any, carried: Any, carry: Any, du: Any,
    da: Any,
) -> None:  # fmt: skip
    size = carried.shape[2]
    one = splat(np.float32(1))
    for row in range(first, last):
        ahead_row, gradient_row, k, h, carry_row, d, e = (
            ahead[row - first], gradient[t, row], kept[t, row], carried[t, row], carry[row], du[t, row], da[t, row]
        )  # fmt: skip
        for j in range(0, size, LANES):
            r, z = load(k, j), load(k, size + j)
            looked, n = load(k, 2 * size + j), load(k, 3 * size + j)
            dh = add(add(load(ahead_row, j), load(gradient_row, j)), load(carry_row, j))
            dn = mul(mul(dh, sub(one, z)), sub(one, mul(n, n)))
            dr = mul(mul(dn, looked), mul(r, sub(one, r)))
            dz = mul(mul(dh, sub(load(h, j), n)), mul(z, sub(one, z)))
            store(d, j, dr)
            store(d, size + j, dz)
            store(d, 2 * size + j, mul(dn, r))
            store(e, j, dr)
            store(e, size + j, dz)
            store(e, 2 * size + j, dn)
            store(carry_row, j, mul(dh, z))


class GRU(SteppedLayer):
    """Its state is (h,)."""

    gates = 3
    cell = Cell(kept=4, forward=_forward, backward=_backward, same=False)

    def __init__(self, input_size: int, size: int, dropout: WeightDropout | None = None):
        super().__init__(input_size, size, dropout)
        self.recurrent_bias = nn.Parameter(torch.zeros(size))  # c_n; those of r and z would be b_r and b_z again

    def initialise(self, generator: torch.Generator) -> None:
        """As the others."""
        super().initialise(generator)
        with torch.no_grad():
            self.recurrent_bias.zero_()

    def on_gpu(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See SteppedLayer.on_gpu."""
        weights = [self.input, self._recurrent(), self.bias, self.bias_of_u()]
        outputs, h = library(torch.gru, x, state[0][None].contiguous(), weights)
        return outputs, (h[0],)

    def bias_of_u(self) -> Tensor:
        """0, 0, c_n."""
        return F.pad(self.recurrent_bias, (2 * self.size, 0))

    def by_equations(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.by_equations."""
        w_r, w_z, w_n = self.input.chunk(3)
        u_r, u_z, u_n = self.recurrent.chunk(3)
        b_r, b_z, b_n = self.bias.chunk(3)
        c_n = self.recurrent_bias
        (h,) = state
        outputs = []
        for x_t in x.unbind(dim=1):
            r = torch.sigmoid(x_t @ w_r.T + h @ u_r.T + b_r)
            z = torch.sigmoid(x_t @ w_z.T + h @ u_z.T + b_z)
            n = torch.tanh(x_t @ w_n.T + b_n + r * (h @ u_n.T + c_n))
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h,)
