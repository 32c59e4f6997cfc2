"""Locked dropout (Gal and Ghahramani 2016; "variational"): one mask for all steps of a row.

Drawn from a generator that is given, not from torch's global one, so that a seed fixes a training run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LockedDropout(nn.Module):
    """Zeroes each of the D features of a row with probability `rate`, at all its steps alike."""

    def __init__(self, rate: float, generator: torch.Generator):
        """generator: on the device of the inputs; drawn from while training only."""
        super().__init__()
        self.rate = rate
        self._generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D); the kept features are scaled so that the mean stays."""
        if not self.training or self.rate == 0.0:
            return x
        mask = torch.empty(x.shape[0], 1, x.shape[2], device=x.device, dtype=x.dtype)
        mask.bernoulli_(1.0 - self.rate, generator=self._generator)
        return x * mask.div_(1.0 - self.rate)
