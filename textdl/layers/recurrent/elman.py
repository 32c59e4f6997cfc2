"""The simple recurrent network (Elman 1990), with tanh or with ReLU.

    h' = f(W x + U h + b)

Of torch's kernels only the one for GPUs is fused. On a processor the steps are done here, two operations each:

    forward    h_t = f(a_t + U h_{t-1})              a = W x + b, of all steps at once
    backward   d_t = k_t * dh_t                      k_t = f'(.), which follows from h_t: 1 - h^2, or [h > 0]
               dh_{t-1} = (gradient of h_{t-1}) + d_t U

after which the gradient of a is d, and those of W, U and b are one product each.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from textdl.layers.recurrent.base import RecurrentLayer, States, library


class Elman(RecurrentLayer):
    """Its state is (h,)."""

    activation = "tanh"

    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.forward."""
        (h,) = state
        return self.on_gpu(x, h) if x.is_cuda else self.on_processor(x, h)

    def on_processor(self, x: Tensor, h: Tensor) -> tuple[Tensor, States]:
        """By the steps above."""
        a = F.linear(x.transpose(0, 1), self.input, self.bias)
        outputs: Tensor = _Steps.apply(a, self._recurrent(), h, self.activation)
        return outputs.transpose(0, 1), (outputs[-1],)

    def on_gpu(self, x: Tensor, h: Tensor) -> tuple[Tensor, States]:
        """By torch's kernel."""
        kernel = torch.rnn_tanh if self.activation == "tanh" else torch.rnn_relu
        weights = [self.input, self._recurrent(), self.bias, torch.zeros_like(self.bias)]
        outputs, h = library(kernel, x, h[None].contiguous(), weights)
        return outputs, (h[0],)

    def by_equations(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.by_equations."""
        f = torch.tanh if self.activation == "tanh" else torch.relu
        (h,) = state
        outputs = []
        for x_t in x.unbind(dim=1):
            h = f(x_t @ self.input.T + h @ self.recurrent.T + self.bias)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h,)


class ElmanReLU(Elman):
    """With ReLU and a recurrent matrix that begins as the identity, so that h is kept at first (Le et al. 2015)."""

    activation = "relu"

    def initialise(self, generator: torch.Generator) -> None:
        """As the others, but for the recurrent matrix, and smaller weights of the input: h is a sum over the steps."""
        super().initialise(generator)
        with torch.no_grad():
            self.recurrent.copy_(torch.eye(self.size))
            self.input.div_(math.sqrt(self.size))


class _Steps(torch.autograd.Function):
    """a (T, B, D), U (D, D), h (B, D) to the outputs (T, B, D)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, recurrent: Tensor, h: Tensor, activation: str) -> Tensor:
        f_ = torch.tanh_ if activation == "tanh" else torch.relu_
        ctx.activation = activation
        outputs = torch.empty_like(a)
        matrix, before = recurrent.detach().T, h
        for a_t, h_t in zip(a.unbind(0), outputs.unbind(0), strict=True):
            before = f_(torch.addmm(a_t, before, matrix, out=h_t))
        ctx.save_for_backward(recurrent, h, outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        recurrent, h, outputs = ctx.saved_tensors
        k = 1.0 - outputs.square() if ctx.activation == "tanh" else (outputs > 0).to(outputs.dtype)
        d = torch.empty_like(outputs)
        gradients, ks, ds = gradient.unbind(0), k.unbind(0), d.unbind(0)
        dh = gradients[-1]
        for t in range(len(outputs) - 1, -1, -1):
            torch.mul(dh, ks[t], out=ds[t])
            dh = torch.addmm(gradients[t - 1], ds[t], recurrent) if t > 0 else torch.mm(ds[t], recurrent)
        before = torch.cat((h[None], outputs[:-1]))
        return d, d.flatten(0, 1).T @ before.flatten(0, 1), dh, None
