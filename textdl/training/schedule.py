"""Learning rate over training: a linear warm-up, then half a cosine (Loshchilov and Hutter 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Rates as a function of progress, so that a plan that must be shortened still ends at the floor."""

    peak: float
    warmup: float
    """Share of training during which the rate rises."""
    floor: float = 0.02
    """The last rate, as a share of the peak."""

    def rate(self, progress: float) -> float:
        """progress: 0 before the first step, 1 after the last."""
        if progress < self.warmup:
            return self.peak * max(progress / self.warmup, 0.01)
        done = (progress - self.warmup) / max(1.0 - self.warmup, 1e-9)
        return self.peak * (self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0))))
