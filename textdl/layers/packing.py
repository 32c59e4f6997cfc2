"""Rows of different lengths end to end, without padding.

All that a Transformer does to each position alone, and that is nearly all it does, is done on the tokens there are:
(B, T, D) with padding becomes (N, D). Attention alone wants rows side by side; its queries, keys and values are put there
and what it gives back is fetched, a copy of each.

oneDNN compiles a kernel for every shape it meets (10 ms for a product in bfloat16, more than the product takes), and hardly two
batches of sentences have one shape. So N is made up to a multiple of 256 by rows of zeros at the end, and rows side by
side come in multiples of 16, their lengths in multiples of 4. Rows of zeros take part in nothing: no loss, no key.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_TOKENS, _ROWS, _STEPS = 256, 16, 4
"""Of what N, rows and lengths are multiples."""


class Packing:
    """Where each token of some rows is in both forms."""

    def __init__(self, lengths: Tensor, heads: int):
        """lengths: (B,) int64, 0 or more; heads: of attention."""
        self.lengths, self.heads = lengths, heads
        device = lengths.device
        self.tokens = int(lengths.sum())
        self.size = (self.tokens // _TOKENS + 1) * _TOKENS
        """N, with at least one row of zeros: the token that stands for none."""
        self.steps = -(-max(1, int(lengths.max())) // _STEPS) * _STEPS if len(lengths) else _STEPS
        self.rows = -(-len(lengths) // _ROWS) * _ROWS
        padded = torch.zeros(self.rows, dtype=torch.int64, device=device)
        padded[: len(lengths)] = lengths
        step = torch.arange(self.steps, device=device)
        self.inside = step < padded[:, None]
        """(rows, steps) whether there is a token."""
        self.place = torch.full(self.inside.shape, self.tokens, dtype=torch.int64, device=device)
        self.place[self.inside] = torch.arange(self.tokens, device=device)
        self.positions = torch.zeros(self.size, dtype=torch.int64, device=device)
        self.positions[: self.tokens] = step.expand_as(self.place)[self.inside]
        """(N,) of each token in its row."""
        back = torch.zeros(self.size, dtype=torch.int64, device=device)
        back[: self.tokens] = self.inside.flatten().nonzero()[:, 0]
        head = torch.arange(heads, device=device)
        self._spread = (self.place[:, None] * heads + head[:, None]).flatten()
        row, at = back // self.steps, back % self.steps
        self._gathered = ((row[:, None] * heads + head) * self.steps + at[:, None]).flatten()
        self._biases: dict[tuple[int, bool, torch.dtype], Tensor] = {}

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) to (N, ...); zeros at the end."""
        packed = x.new_zeros(self.size, *x.shape[2:])
        packed[: self.tokens] = (
            x[self.inside[: len(x), : x.shape[1]]] if self.steps >= x.shape[1] else x[self._within(x)]
        )
        return packed

    def _within(self, x: Tensor) -> Tensor:
        return torch.arange(x.shape[1], device=x.device) < self.lengths[:, None]

    def unpack(self, packed: Tensor, steps: int) -> Tensor:
        """(N, D) to (B, steps, D); zeros where there is no token."""
        table = torch.full((len(self.lengths), steps), self.tokens, dtype=torch.int64, device=packed.device)
        known = min(steps, self.steps)
        table[:, :known] = self.place[: len(self.lengths), :known]
        return packed.index_select(0, table.flatten()).unflatten(0, table.shape)

    def side_by_side(self, x: Tensor) -> Tensor:
        """(N, H, E) to (rows * H, steps, E)."""
        moved: Tensor = _Move.apply(x.flatten(0, 1), self._spread, self._gathered, self.tokens * self.heads)
        return moved.view(self.rows * self.heads, self.steps, -1)

    def end_to_end(self, x: Tensor) -> Tensor:
        """(rows * H, steps, E) to (N, H * E)."""
        moved: Tensor = _Move.apply(x.flatten(0, 1), self._gathered, self._spread, None)
        return moved.view(self.size, -1)

    def allowed(self, queries: Packing, *, causal: bool) -> Tensor:
        """(rows, 1 or T, S) whether a query may look at a token of these rows.

        Rows without a token may look at all, since a softmax over nothing is no number.
        """
        allowed = self.inside[:, None, :] | (self.inside.sum(1) == 0)[:, None, None]
        if causal:
            allowed = allowed & torch.ones(queries.steps, self.steps, dtype=torch.bool, device=allowed.device).tril_()
        return allowed

    def bias(self, queries: Packing, *, causal: bool, dtype: torch.dtype) -> Tensor:
        """(rows * H, T, S) what to add to scores: -inf where a query may not look, else 0; kept for the next layer."""
        key = (id(queries), causal, dtype)
        if key not in self._biases:
            allowed = self.allowed(queries, causal=causal).expand(self.rows, queries.steps, self.steps)
            bias = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -torch.inf)
            self._biases[key] = bias.repeat_interleave(self.heads, 0)
        return self._biases[key]


class _Move(torch.autograd.Function):
    """Rows by an index, and back by the other one: a copy each way, where autograd would add up.

    kept: rows of the input that are tokens; the gradient of the others is 0.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, back: Tensor, kept: int | None) -> Tensor:
        ctx.save_for_backward(back)
        ctx.kept = kept
        return x.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (back,) = ctx.saved_tensors
        result = gradient.index_select(0, back)
        if ctx.kept is not None:
            result[ctx.kept :] = 0.0
        return result, None, None, None
