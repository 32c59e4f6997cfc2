"""GRU, the gated recurrent unit (Cho et al. 2014).

    r = sigmoid(W_r x + U_r h + b_r)              how much of the past a new content looks at
    z = sigmoid(W_z x + U_z h + b_z)              how much of the past stays
    n = tanh(W_n x + b_n + r * (U_n h + c_n))     the new content
    h' = (1 - z) * n + z * h

r is applied after the product with U_n, as in cuDNN; applied before, U_n could not share a product with the
others.

torch's kernel is fused on GPUs only. On a processor the steps are done here. Backward is linear in dh, the gradient
of h', so what it is multiplied with is worked out for all steps at once:

    gradient of      r's sum   k_r = k_n (U_n h + c_n) r (1 - r)        z's sum   k_z = (h - n) z (1 - z)
                     n's sum   k_n = (1 - z) (1 - n^2)                  U_n h     k_u = k_n r

    d_t = (k_r, k_z, k_u) * dh_t        dh_{t-1} = (gradient of h_{t-1}) + z * dh_t + d_t U

and a step back is three operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from textdl.layers.dropout import WeightDropout
from textdl.layers.recurrent.base import RecurrentLayer, States, library


class GRU(RecurrentLayer):
    """Its state is (h,)."""

    gates = 3

    def __init__(self, input_size: int, size: int, dropout: WeightDropout | None = None):
        super().__init__(input_size, size, dropout)
        self.recurrent_bias = nn.Parameter(torch.zeros(size))  # c_n; those of r and z would be b_r and b_z again

    def initialise(self, generator: torch.Generator) -> None:
        """As the others."""
        super().initialise(generator)
        with torch.no_grad():
            self.recurrent_bias.zero_()

    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.forward."""
        (h,) = state
        return self.on_gpu(x, h) if x.is_cuda else self.on_processor(x, h)

    def on_processor(self, x: Tensor, h: Tensor) -> tuple[Tensor, States]:
        """By the steps above."""
        a = F.linear(x.transpose(0, 1), self.input, self.bias)
        outputs: Tensor = _Steps.apply(a, self._recurrent(), self.recurrent_bias, h)
        return outputs.transpose(0, 1), (outputs[-1],)

    def on_gpu(self, x: Tensor, h: Tensor) -> tuple[Tensor, States]:
        """By torch's kernel."""
        recurrent_bias = F.pad(self.recurrent_bias, (2 * self.size, 0))
        weights = [self.input, self._recurrent(), self.bias, recurrent_bias]
        outputs, h = library(torch.gru, x, h[None].contiguous(), weights)
        return outputs, (h[0],)

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


class _Steps(torch.autograd.Function):
    """a (T, B, 3D), U (3D, D), c_n (D), h (B, D) to the outputs (T, B, D)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, recurrent: Tensor, bias: Tensor, h: Tensor) -> Tensor:
        steps, (rows, size) = len(a), h.shape
        gates = a.new_empty(steps, rows, 2 * size)  # r and z
        looked, content, outputs = (a.new_empty(steps, rows, size) for _ in range(3))  # U_n h + c_n, n and h'
        to_gates, to_content = recurrent.detach()[: 2 * size].T, recurrent.detach()[2 * size :].T
        before = h
        for a_t, g, u, n, h_t in zip(*(x.unbind(0) for x in (a, gates, looked, content, outputs)), strict=True):
            torch.addmm(a_t[:, : 2 * size], before, to_gates, out=g).sigmoid_()
            torch.addmm(bias, before, to_content, out=u)
            torch.addcmul(a_t[:, 2 * size :], g[:, :size], u, out=n).tanh_()
            before = torch.lerp(n, before, g[:, size:], out=h_t)
        ctx.save_for_backward(recurrent, h, gates, looked, content, outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        recurrent, h, gates, looked, content, outputs = ctx.saved_tensors
        steps, rows, size = outputs.shape
        r, z = gates.chunk(2, dim=2)
        before = torch.cat((h[None], outputs[:-1]))

        k_n = (1.0 - z) * (1.0 - content.square())
        k = outputs.new_empty(steps, rows, 3, size)
        torch.mul(k_n, r, out=k[:, :, 2])
        k[:, :, 0] = k[:, :, 2] * looked * (1.0 - r)
        k[:, :, 1] = (before - content) * z * (1.0 - z)

        d = torch.empty_like(k)
        dhs = gradient.contiguous().clone()
        dh_list, k_list, z_list = dhs.unbind(0), k.unbind(0), z.unbind(0)
        d_list, rows_of_d = d.unbind(0), d.view(steps, rows, 3 * size).unbind(0)
        for t in range(steps - 1, -1, -1):
            dh = dh_list[t]
            torch.mul(dh[:, None], k_list[t], out=d_list[t])
            earlier = torch.addcmul(dh_list[t - 1], dh, z_list[t], out=dh_list[t - 1]) if t > 0 else dh * z_list[t]
            earlier.addmm_(rows_of_d[t], recurrent)
        recurrent_gradient = d.view(-1, 3 * size).T @ before.flatten(0, 1)
        bias_gradient = d[:, :, 2].sum((0, 1))
        d[:, :, 2] = dhs * k_n
        return d.view(steps, rows, 3 * size), recurrent_gradient, bias_gradient, earlier
