"""Learning rate over training: a linear warm-up, then down.

    cosine          half a cosine (Loshchilov and Hutter 2017)
    linear          a straight line
    inverse-sqrt    peak * sqrt(warm-up / progress) (Vaswani et al. 2017, 5.3)
    constant        stays

All but the last two end at a floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEDULES = ("cosine", "linear", "inverse-sqrt", "constant")
"""What `--schedule` takes."""


@dataclass(frozen=True)
class Schedule:
    """Rates as a function of progress, so that a plan that must be shortened still ends at the floor."""

    peak: float
    warmup: float
    """Share of training during which the rate rises."""
    kind: str = "cosine"
    floor: float = 0.02
    """The last rate, as a share of the peak."""

    def rate(self, progress: float) -> float:
        """progress: 0 before the first step, 1 after the last."""
        if progress < self.warmup:
            return self.peak * max(progress / self.warmup, 0.01)
        if self.kind == "constant":
            return self.peak
        if self.kind == "inverse-sqrt":
            start = max(self.warmup, 0.01)
            return self.peak * math.sqrt(start / max(start, progress))
        done = min(1.0, (progress - self.warmup) / max(1.0 - self.warmup, 1e-9))
        left = 1.0 - done if self.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return self.peak * (self.floor + (1.0 - self.floor) * left)
