"""Rows of different lengths end to end, without padding.

All that a Transformer does to each position alone, and that is nearly all it does, is done on the tokens there are:
(B, T, D) with padding becomes (N, D). On a processor attention reads rows as they lie (packed_attention.py); on a GPU it
wants them side by side, so its queries, keys and values are put there and what it gives back is fetched, a copy of each.

oneDNN compiles a kernel for every shape it meets (10 ms for a product in bfloat16, more than the product takes), and hardly two
batches of sentences have one shape. So N is made up to a multiple of 256 by rows at the end that stand for no token. They
take part in nothing: no loss, no key.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_TOKENS = 256
"""Of what N is a multiple."""


class Packing:
    """Where each token of some rows is in both forms."""

    def __init__(self, lengths: Tensor, heads: int):
        """lengths: (B,) int64, 0 or more; heads: of attention."""
        self.lengths, self._heads = lengths, heads
        device = lengths.device
        self.tokens = int(lengths.sum())
        self.size = (self.tokens // _TOKENS + 1) * _TOKENS
        """N, with at least one row that stands for no token."""
        self.steps = max(1, int(lengths.max())) if len(lengths) else 1
        step = torch.arange(self.steps, device=device)
        self.inside = step < lengths[:, None]
        """(B, steps) whether there is a token."""
        self.positions = torch.zeros(self.size, dtype=torch.int64, device=device)
        self.positions[: self.tokens] = step.expand_as(self.inside)[self.inside]
        """(N,) of each token in its row."""

    @cached_property
    def _place(self) -> Tensor:
        """(B, steps) where in N; where there is no token, that which stands for none."""
        place = torch.full(self.inside.shape, self.tokens, dtype=torch.int64, device=self.inside.device)
        place[self.inside] = torch.arange(self.tokens, device=place.device)
        return place

    @cached_property
    def _spread(self) -> Tensor:
        """(B * H * steps,) where in (N * H) each head of rows side by side is."""
        head = torch.arange(self._heads, device=self.inside.device)
        return (self._place[:, None] * self._heads + head[:, None]).flatten()

    @cached_property
    def _gathered(self) -> Tensor:
        """(N * H,) where in (B * H * steps) each head of rows end to end is."""
        head = torch.arange(self._heads, device=self.inside.device)
        back = torch.zeros(self.size, dtype=torch.int64, device=head.device)
        back[: self.tokens] = self.inside.flatten().nonzero()[:, 0]
        row, at = back // self.steps, back % self.steps
        return ((row[:, None] * self._heads + head) * self.steps + at[:, None]).flatten()

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) to (N, ...); zeros at the end."""
        packed = x.new_zeros(self.size, *x.shape[2:])
        inside = self.inside[:, : x.shape[1]]
        packed[: self.tokens] = x[:, : self.steps][inside]
        return packed

    def unpack(self, packed: Tensor, steps: int) -> Tensor:
        """(N, D) to (B, steps, D); where there is no token, that which stands for none."""
        table = torch.full((len(self.lengths), steps), self.tokens, dtype=torch.int64, device=packed.device)
        known = min(steps, self.steps)
        table[:, :known] = self._place[:, :known]
        return packed.index_select(0, table.flatten()).unflatten(0, table.shape)

    def side_by_side(self, x: Tensor) -> Tensor:
        """(N, H, E) to (B, H, steps, E)."""
        moved: Tensor = _Move.apply(x.flatten(0, 1), self._spread, self._gathered, self.tokens * self._heads)
        return moved.view(len(self.lengths), self._heads, self.steps, -1)

    def end_to_end(self, x: Tensor) -> Tensor:
        """(B, H, steps, E) to (N, H * E)."""
        moved: Tensor = _Move.apply(x.flatten(0, 2), self._gathered, self._spread, None)
        return moved.view(self.size, -1)

    def allowed(self, queries: Packing, *, causal: bool) -> Tensor:
        """(B, 1, 1 or T, S) whether a query may look at a token of these rows.

        Rows without a token may look at all, since a softmax over nothing is no number.
        """
        allowed = self.inside[:, None, :] | (self.inside.sum(1) == 0)[:, None, None]
        if causal:
            allowed = allowed & torch.ones(queries.steps, self.steps, dtype=torch.bool, device=allowed.device).tril_()
        return allowed[:, None]


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
