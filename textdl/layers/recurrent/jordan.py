"""The Jordan network (Jordan 1986): what comes back is not the hidden layer but the output.

    h_t = tanh(W x_t + U y_{t-1} + b)
    p_t = softmax(E P h_t + c)                 the output layer of the language model
    y_t = sum_v p_t(v) x(v)                    the embedding of the word that is expected

The output of a language model is a distribution over V words; it comes back through the embedding, so that U is small.
All that the network knows of the past is the word before and what it expected in its place. Jordan's own network
fed decaying sums of outputs back and took them as given; here the gradient goes through them.

Each step needs the output layer of the step before. So the V-wide products, which other cells leave to the loss
in one piece for all steps, are done step by step on B rows: two forward, three backward (p is worked out anew, as
(T x B, V) numbers would not fit in memory), and two more for the gradients of E, in chunks. In training they are
done in bfloat16 where the processor has it. Only the full softmax can be fed back; an adaptive one gains nothing,
as every step wants the whole distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from textdl.encoded import BOS
from textdl.layers.device import fast_bfloat16
from textdl.layers.dropout import WeightDropout
from textdl.layers.recurrent.base import RecurrentLayer, States

_ELEMENTS = 1 << 23
"""Probabilities in memory at once on the way back."""


@dataclass(frozen=True)
class Output:
    """The output layer, and the embedding through which what it says comes back."""

    weight: Tensor
    """E (V, D)"""
    bias: Tensor
    """c (V,)"""
    projection: Tensor | None
    """P (D, size), where there is one."""
    embedding: Tensor
    """x(v) (V, input_size); may be E."""
    scale: float
    """What the embedding is multiplied with."""

    def expected(self, h: Tensor) -> Tensor:
        """h (B, size) to y (B, input_size), as it stands above."""
        logits = F.linear(h if self.projection is None else h @ self.projection.T, self.weight, self.bias)
        logits[:, BOS] = -torch.inf
        return logits.softmax(dim=1) @ self.embedding * self.scale


class Jordan(RecurrentLayer):
    """Its state is (y,), 0 at first: nothing is expected."""

    def __init__(self, input_size: int, size: int, dropout: WeightDropout | None = None):
        super().__init__(input_size, size, dropout, fed_back=input_size)

    def forward(self, x: Tensor, state: States, output: Output | None = None) -> tuple[Tensor, States]:
        """See RecurrentLayer.forward. output: must be given."""
        assert output is not None
        (y,) = state
        low = torch.is_grad_enabled() and fast_bfloat16(x.device)
        a = F.linear(x.transpose(0, 1), self.input, self.bias)
        outputs, y = _Steps.apply(
            a, self._recurrent(), y, output.weight, output.bias, output.projection, output.embedding, output.scale,
            torch.bfloat16 if low else torch.float32,
        )  # fmt: skip
        return outputs.transpose(0, 1), (y,)

    def by_equations(self, x: Tensor, state: States, output: Output | None = None) -> tuple[Tensor, States]:
        """See RecurrentLayer.by_equations."""
        assert output is not None
        (y,) = state
        outputs = []
        for x_t in x.unbind(dim=1):
            h = torch.tanh(x_t @ self.input.T + y @ self.recurrent.T + self.bias)
            y = output.expected(h)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (y,)


class _Steps(torch.autograd.Function):
    """a (T, B, size), U (size, D) and y (B, D) to the outputs (T, B, size) and the last y."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, recurrent: Tensor, y: Tensor, weight: Tensor, bias: Tensor, projection: Tensor | None,
        embedding: Tensor, scale: float, dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        low_weight, low_bias, low_embedding = (t.detach().to(dtype) for t in (weight, bias, embedding))
        h = torch.empty_like(a)
        ys = y.new_empty(len(a) + 1, *y.shape)
        ys[0] = y
        p = torch.empty(len(y), len(weight), dtype=dtype, device=y.device)
        for t, a_t in enumerate(a.unbind(0)):
            torch.addmm(a_t, ys[t], recurrent.T, out=h[t]).tanh_()
            _probabilities(_projected(h[t], projection).to(dtype), low_weight, low_bias, out=p)
            ys[t + 1] = torch.mm(p, low_embedding)
            ys[t + 1] *= scale
        ctx.save_for_backward(recurrent, weight, bias, projection, embedding, h, ys)
        ctx.scale, ctx.dtype = scale, dtype
        ctx.set_materialize_grads(False)
        return h, ys[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, last: Tensor | None) -> tuple[Tensor | None, ...]:
        recurrent, weight, bias, projection, embedding, h, ys = ctx.saved_tensors
        scale, dtype = ctx.scale, ctx.dtype
        low_weight, low_bias, low_embedding = (t.to(dtype) for t in (weight, bias, embedding))
        steps, rows, _ = h.shape
        many = max(1, min(steps, _ELEMENTS // (rows * len(weight))))
        outputs = _projected(h, projection)  # (T, B, D), and their gradients
        d_outputs = torch.zeros_like(outputs)
        sums = _Sums(weight, bias, embedding, many * rows, dtype)
        a_gradient = torch.zeros_like(h) if gradient is None else gradient.clone()  # of h first, then of a
        k = 1.0 - h.square()
        dy = last
        for t in range(steps - 1, -1, -1):
            if dy is not None:
                p, d_logits, low_output, low_dy = sums.room(rows)
                low_output.copy_(outputs[t])
                low_dy.copy_(dy * scale)
                _probabilities(low_output, low_weight, low_bias, out=p)
                # Softmax backward: p * (dp - sum_v p dp), and sum_v p_v dp_v = y . dy
                torch.mm(low_dy, low_embedding.T, out=d_logits)
                d_logits.sub_((ys[t + 1] * dy).sum(1, keepdim=True).to(dtype)).mul_(p)
                d_outputs[t] = torch.mm(d_logits, low_weight)
                a_gradient[t] += d_outputs[t] if projection is None else d_outputs[t] @ projection
            a_gradient[t] *= k[t]
            dy = a_gradient[t] @ recurrent
        sums.close()
        recurrent_gradient = a_gradient.flatten(0, 1).T @ ys[:-1].flatten(0, 1)
        projection_gradient = None if projection is None else d_outputs.flatten(0, 1).T @ h.flatten(0, 1)
        return (
            a_gradient, recurrent_gradient, dy, sums.weight, sums.bias, projection_gradient, sums.embedding, None, None
        )  # fmt: skip


class _Sums:
    """The gradients of the V-wide tensors, added up over some steps at a time: a product of few rows would be slow."""

    def __init__(self, weight: Tensor, bias: Tensor, embedding: Tensor, rows: int, dtype: torch.dtype):
        self.weight, self.bias, self.embedding = (torch.zeros_like(t) for t in (weight, bias, embedding))
        widths = (len(weight), len(weight), weight.shape[1], embedding.shape[1])
        self._memory = [torch.empty(rows, width, dtype=dtype, device=weight.device) for width in widths]
        self._used = 0

    def room(self, rows: int) -> list[Tensor]:
        """Where a step writes p and its logits' gradient (rows, V), its output and dy (rows, D)."""
        if self._used + rows > len(self._memory[0]):
            self.close()
        first, self._used = self._used, self._used + rows
        return [memory[first : self._used] for memory in self._memory]

    def close(self) -> None:
        """Add up what was written."""
        p, d_logits, outputs, dy = (memory[: self._used] for memory in self._memory)
        self.weight += d_logits.T @ outputs
        self.bias += d_logits.sum(0)
        self.embedding += p.T @ dy
        self._used = 0


def _projected(h: Tensor, projection: Tensor | None) -> Tensor:
    return h if projection is None else h @ projection.T


def _probabilities(outputs: Tensor, weight: Tensor, bias: Tensor, *, out: Tensor) -> None:
    torch.addmm(bias, outputs, weight.T, out=out)
    out[:, BOS] = -torch.inf
    torch.softmax(out, 1, out=out)
