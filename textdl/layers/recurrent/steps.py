"""How recurrent layers run on a processor: step by step, in kernels of their own.

    a = W x + b                             of all steps at once, before
    u_t = U h_{t-1} (+ c)                   a matrix product
    h_t, and what else is carried, from a_t and u_t: the cell's `forward`, one pass over the gates

and backward, with dh_t the gradient of h_t,

    gradients of u_t and a_t from dh_t      the cell's `backward`
    dh_{t-1} = (gradient of h_{t-1} from outside) + d_t U

after which the gradients of U, W, b and x are one product each for all steps.

Why not torch's kernel, which there is for LSTM: it multiplies float32. In bfloat16, which this is given while training
where the processor multiplies it in hardware, a product takes a third to a sixth of the time (64 x 384 by 384 x
1536: 80 us for 440, one thread) if U is laid out for it once and not at every step. The time then goes into what lies
between the products, so that is one compiled loop, not ten operations. Sums over time (the cell c of an LSTM, the h
of a GRU) stay float32.

Rows are independent of each other: each thread takes its share of them through all steps.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from textdl.layers.device import fast_bfloat16
from textdl.layers.recurrent.base import RecurrentLayer, States
from textdl.layers.threads import array, by_rows
from textdl.simd import LANES

_ROWS = 16
"""Rows that are worth a thread, at least."""


@dataclass(frozen=True)
class Cell:
    """The kernels of a cell. With G gates, D features and B rows; arrays are float32 or, as uint16, bfloat16.

    forward(t, first, last, a, u, kept, carried, outputs): rows first to last of step t.
        a (T, B, G D), u (rows, G D): the sums.
        kept (T, B, kept D): what backward wants, to be written.
        carried (T + 1, B, D) float32 and outputs h (T + 1, B, D): at t before the step, at t + 1 after it, to be written.
    backward(t, first, last, dh, gradient, kept, carried, carry, du, da)
        dh (rows, D), gradient (T, B, D): of h, from the step after and from outside, to be added up.
        carry (B, D) float32: the gradient of what is carried, of the step after; to be replaced by that of the step before.
        du, da (T, B, G D): of the sums, to be written; the same array where they are the same.

    Where nothing is to be learnt, `kept` has one step and `carried` two, which are used in turn.
    """

    kept: int
    forward: Callable[..., None]
    backward: Callable[..., None]
    same: bool = True
    """Whether u and a are added up, so that they have one gradient."""


class SteppedLayer(RecurrentLayer, ABC):
    """A layer that has such kernels. Of its state, the first tensor is h, the last what is carried."""

    cell: ClassVar[Cell]

    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.forward."""
        return self.on_processor(x, state) if x.device.type == "cpu" else self.on_gpu(x, state)

    @abstractmethod
    def on_gpu(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """`forward` by torch's kernel, which on GPUs is fused."""

    def on_processor(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """`forward` by the steps above."""
        learning = torch.is_grad_enabled()
        dtype = torch.bfloat16 if learning and self.training and fast_bfloat16(x.device) else torch.float32
        into, recurrent, bias = (self._padded(t).to(dtype) for t in (self.input, self._recurrent(), self.bias))
        bias_of_u = self.bias_of_u()
        outputs, carried = _Steps.apply(
            self.cell, learning, F.linear(x.transpose(0, 1).to(dtype), into, bias), _wide(recurrent),
            None if bias_of_u is None else self._padded(bias_of_u).to(dtype), _wide(state[-1]), _wide(state[0]).to(dtype),
        )  # fmt: skip
        outputs, carried = outputs.transpose(0, 1)[..., : self.size], carried[:, : self.size]
        return outputs, ((carried,) if self.tensors == 1 else (outputs[:, -1].float(), carried))

    def bias_of_u(self) -> Tensor | None:
        """c (G D) of a cell that keeps it apart from b."""
        return None

    def _padded(self, weights: Tensor) -> Tensor:
        """(G D, ...) with D a multiple of LANES. The features added are without effect: their weights are 0."""
        if self.size % LANES == 0:
            return weights
        return _wide(weights.unflatten(0, (self.gates, self.size)), dim=1).flatten(0, 1)


def _wide(tensor: Tensor, dim: int = -1) -> Tensor:
    """With zeros up to a multiple of LANES, which is what a kernel takes at once."""
    more = -tensor.shape[dim] % LANES
    if not more:
        return tensor
    return F.pad(tensor.movedim(dim, -1), (0, more)).movedim(-1, dim)


class _Steps(torch.autograd.Function):
    """a (T, B, G D), U (G D, D), c (G D), carried (B, D), h (B, D) to outputs (T, B, D) and carried (B, D).

    learning: whether there will be a way back.
    """

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, learning: bool, a: Tensor, recurrent: Tensor, bias: Tensor | None, carried: Tensor, h: Tensor
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        steps, (rows, size) = len(a), h.shape
        a = a.contiguous()
        outputs = a.new_empty(steps + 1, rows, size)
        outputs[0] = h
        kept = a.new_empty(steps if learning else 1, rows, cell.kept * size)
        sums = torch.empty(steps + 1 if learning else 2, rows, size, device=a.device)
        sums[0] = carried
        arrays = [array(t) for t in (a, kept, sums, outputs)]
        product = _product(recurrent.detach(), None if bias is None else bias.detach(), rows)

        def some(first: int, last: int) -> None:
            for t, before in enumerate(outputs[:-1, first:last].unbind(0)):
                a_, kept_, sums_, outputs_ = arrays
                cell.forward(t, first, last, a_, array(product(before)), kept_, sums_, outputs_)

        _by_rows(rows, some)
        if learning:
            ctx.cell = cell
            ctx.save_for_backward(recurrent, kept, sums, outputs)
            ctx.biased = bias is not None
        return outputs[1:], sums[steps % len(sums)].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, last_carried: Tensor) -> tuple[Tensor | None, ...]:
        recurrent, kept, sums, outputs = ctx.saved_tensors
        cell: Cell = ctx.cell
        gradient, carry = gradient.contiguous(), last_carried.clone()
        steps, (rows, size) = len(kept), carry.shape
        du = outputs.new_empty(steps, rows, recurrent.shape[0])
        da = du if cell.same else torch.empty_like(du)
        dh = outputs.new_zeros(rows, size)
        arrays = [array(t) for t in (gradient, kept, sums, carry, du, da)]
        product = _product(recurrent.T.contiguous(), None, rows)

        def some(first: int, last: int) -> None:
            ahead = dh[first:last]
            for t in range(steps - 1, -1, -1):
                cell.backward(t, first, last, array(ahead), *arrays)
                ahead = product(du[t, first:last])
            dh[first:last] = ahead

        _by_rows(rows, some)
        flat = du.flatten(0, 1)
        weight_gradient = flat.T @ outputs[:-1].flatten(0, 1)
        return None, None, da, weight_gradient, flat.sum(0) if ctx.biased else None, carry, dh


def _product(matrix: Tensor, bias: Tensor | None, rows: int) -> Callable[[Tensor], Tensor]:
    """x (rows, in) to x matrix^T + bias, for many x. In bfloat16 the matrix is put in oneDNN's order once, not each time."""
    if matrix.dtype == torch.bfloat16 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ordered = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), rows)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, ordered, bias, "none", [], "")
    return lambda x: F.linear(x, matrix, bias)


def _by_rows(rows: int, task: Callable[[int, int], None]) -> None:
    """See threads.py. One thread is one all the same: products of so few rows are quicker in one."""
    threads = torch.get_num_threads()
    if rows // _ROWS > 1:
        by_rows(rows, _ROWS, task)
        return
    torch.set_num_threads(1)
    try:
        task(0, rows)
    finally:
        torch.set_num_threads(threads)


def library(
    kernel: Callable[..., tuple[Tensor, ...]], x: Tensor, state: Tensor | States, weights: list[Tensor]
) -> tuple[Tensor, ...]:
    """One layer by torch's own kernel: `torch.lstm`, `torch.gru`, `torch.rnn_tanh` or `torch.rnn_relu`."""
    with warnings.catch_warnings():
        # cuDNN wants weights in one piece and copies these at each call: little beside the rest of the call.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        return kernel(x, state, weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
