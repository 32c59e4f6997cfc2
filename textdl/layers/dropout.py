"""Dropout in the three places where recurrent language models use it.

- LockedDropout: features, one mask for all steps of a row (Gal and Ghahramani 2016; "variational").
- EmbeddingDropout: whole types, for a batch (Gal and Ghahramani 2016; Merity et al. 2018).
- WeightDropout: single weights of a recurrent matrix, one mask for all rows and steps (DropConnect, Wan et al. 2013;
  Merity et al. 2018). The steps run with a masked matrix, so any kernel can take them.

Drawn from a generator that is given, not from torch's global one, so that a seed fixes a training run. Nothing
is drawn, and the input itself given back, at rate 0 and in eval mode.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Dropout(nn.Module):
    """What is kept is scaled so that the mean stays."""

    def __init__(self, rate: float, generator: torch.Generator):
        """generator: on the device of the inputs; drawn from while training only."""
        super().__init__()
        self.rate = rate
        self._generator = generator

    @property
    def _drops(self) -> bool:
        return self.training and self.rate > 0.0

    def draw(self) -> tuple[int, int]:
        """For a mask that a kernel makes itself (`simd.kept`): a key, and below which of 2^32 numbers it is 0."""
        if not self._drops:
            return 0, 0
        key = torch.empty((), dtype=torch.int64, device=self._generator.device).random_(
            1 << 32, generator=self._generator
        )
        return int(key), round(self.rate * (1 << 32))

    def _mask(self, like: Tensor, *shape: int) -> Tensor:
        """0 with probability `rate`, else 1 / (1 - rate)."""
        mask = torch.empty(shape, device=like.device, dtype=like.dtype)
        return mask.bernoulli_(1.0 - self.rate, generator=self._generator).div_(1.0 - self.rate)


class LockedDropout(_Dropout):
    """Zeroes each of the D features of a row with probability `rate`, at all its steps alike."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return x * self._mask(x, x.shape[0], 1, x.shape[2]) if self._drops else x


class Dropout(_Dropout):
    """Zeroes single features with probability `rate`, to the nearest 1 / 256 (Srivastava et al. 2014).

    Eight are drawn with one random number: torch draws them one by one, which takes 15 times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to the same."""
        dropped = round(256 * self.rate)
        if not self.training or not dropped:
            return x
        numbers = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        numbers.random_(-(1 << 63), None, generator=self._generator)
        kept = numbers.view(torch.uint8)[: x.numel()] >= dropped
        return x * kept.to(x.dtype).mul_(256.0 / (256 - dropped)).view_as(x)


class EmbeddingDropout(_Dropout):
    """Zeroes the vectors of each type with probability `rate`, wherever it stands in the batch."""

    def forward(self, vectors: Tensor, ids: Tensor, vocab_size: int) -> Tensor:
        """vectors (B, T, D) of ids (B, T) to (B, T, D)."""
        return vectors * self._mask(vectors, vocab_size, 1)[ids] if self._drops else vectors


class WeightDropout(_Dropout):
    """Zeroes each weight of a matrix with probability `rate`."""

    def forward(self, weight: Tensor) -> Tensor:
        """A matrix to one of the same shape, with a gradient to it."""
        return weight * self._mask(weight, *weight.shape) if self._drops else weight
