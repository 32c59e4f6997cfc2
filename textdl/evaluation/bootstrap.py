"""How far a figure may be off, from resampling the lines of the test text (Efron 1979; Koehn 2004 for pairs).

Lines are drawn with replacement and the ratio of their sums is taken again. Of texts with more than
10,000 lines, runs of neighbouring lines are drawn instead, which also respects that neighbours are alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_UNITS = 10_000


def ratio_interval(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.int64],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 1,
) -> tuple[float, float] | None:
    """The interval that holds sum(numerators) / sum(denominators) in `level` of the resamples.

    For the difference of two models give the differences of their line totals: both then see the same lines.
    None where there is a single line, or an infinite total.
    """
    if len(numerators) < 2 or not np.isfinite(numerators).all():
        return None
    if len(numerators) > MAX_UNITS:
        bounds = np.linspace(0, len(numerators), MAX_UNITS, endpoint=False).astype(np.int64)
        numerators, denominators = np.add.reduceat(numerators, bounds), np.add.reduceat(denominators, bounds)
    rng = np.random.default_rng(seed)
    ratios = np.empty(resamples)
    for i in range(resamples):
        rows = rng.integers(len(numerators), size=len(numerators))
        ratios[i] = numerators[rows].sum() / denominators[rows].sum()
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
