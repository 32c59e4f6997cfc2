"""Which positions may look at which, as values.

A mask answers for query position i and key position j. It is asked with whole tensors of positions that
broadcast, so one definition serves a training batch (T queries, T keys), a step with a cache (one query, S
keys), rows that have come to different lengths, and the (T, S) table that a test or a reader wants to see:

    Causal      j <= i                     a language model does not look ahead
    Padding     j < length of the row      what fills up a batch is not there
    Local       |i - j| < width            neighbours only (Beltagy et al. 2020)

`a & b` allows what both allow: `Causal() & Local(64)` is a sliding window. A new pattern is a subclass with one
method. Every query must be left at least one key, since a softmax over nothing is no number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor


class Mask(ABC):
    """A rule of who may look at whom."""

    @abstractmethod
    def allowed(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Positions that broadcast, such as (T, 1) and (S,) or (B, 1, T, 1) and (S,), to bool; True: may look."""

    def __and__(self, other: Mask) -> Mask:
        return _Both(self, other)

    def dense(self, queries: int, keys: int) -> Tensor:
        """(T, S) bool: the queries are the last T of S positions. For readers and tests; Padding adds (B, 1, T, S)."""
        position = torch.arange(keys)
        return self.allowed(position[keys - queries :, None], position)


@dataclass(frozen=True)
class Causal(Mask):
    """Each position sees itself and what came before."""

    def allowed(self, queries: Tensor, keys: Tensor) -> Tensor:
        """See Mask."""
        return keys <= queries


@dataclass(frozen=True, eq=False)
class Padding(Mask):
    """Row b has `lengths[b]` keys; what lies behind them only fills up the batch."""

    lengths: Tensor
    """(B,), 1 or more."""

    def allowed(self, queries: Tensor, keys: Tensor) -> Tensor:
        """See Mask; (B, 1, 1, S), for all heads and queries alike."""
        return keys < self.lengths[:, None, None, None]


@dataclass(frozen=True)
class Local(Mask):
    """Only what is nearer than `width` positions, oneself included."""

    width: int

    def allowed(self, queries: Tensor, keys: Tensor) -> Tensor:
        """See Mask."""
        return (queries - keys).abs() < self.width


@dataclass(frozen=True)
class _Both(Mask):
    first: Mask
    second: Mask

    def allowed(self, queries: Tensor, keys: Tensor) -> Tensor:
        return self.first.allowed(queries, keys) & self.second.allowed(queries, keys)


@dataclass(frozen=True, eq=False)
class View:
    """A mask as attention applies it: made once for a batch, used in every layer."""

    allowed: Tensor | None = None
    """Bool, broadcasts to (B, heads, T, S); None: see `is_causal`."""
    is_causal: bool = False
    """T queries at the positions of the T keys, each seeing up to itself: kernels know this case without a table."""
    _biases: dict[torch.dtype, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, mask: Mask | None, queries: int, keys: int, device: torch.device) -> View:
        """For queries that are the last T of S positions; no mask: all see all."""
        if mask is None or (isinstance(mask, Causal) and queries == 1):
            return cls()
        if isinstance(mask, Causal) and queries == keys:
            return cls(is_causal=True)
        position = torch.arange(keys, device=device)
        return cls(mask.allowed(position[keys - queries :, None], position))

    @classmethod
    def at(cls, mask: Mask, positions: Tensor, keys: int) -> View:
        """For rows that differ: positions (B, T) of the queries among S keys."""
        return cls(mask.allowed(positions[:, None, :, None], torch.arange(keys, device=positions.device)))

    def table(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """`allowed`, written out also where it is causal; None: all see all."""
        if not self.is_causal:
            return self.allowed
        return torch.ones(queries, keys, dtype=torch.bool, device=device).tril_()

    def bias(self, queries: int, keys: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """What to add to the scores: 0 where a query may look, -inf where not; kept for the next layer."""
        table = self.table(queries, keys, device) if dtype not in self._biases else None
        if table is not None:
            self._biases[dtype] = torch.zeros(table.shape, dtype=dtype, device=device).masked_fill_(~table, -torch.inf)
        return self._biases.get(dtype)
