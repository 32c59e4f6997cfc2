"""How far a figure may be off, from resampling what it was computed on (Efron 1979; Koehn 2004 for pairs).

Units (the lines of a text, the pairs of words of a benchmark) are drawn with replacement and the figure is computed
again; the interval is between percentiles. Of texts with more than 2,000 lines, so many runs of neighbouring lines are
drawn instead, which also respects that neighbours are alike, and takes no memory that grows with the text.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MAX_UNITS = 2_000


def units(lines: int) -> NDArray[np.int64]:
    """(units,) the first line of each unit of a text: its lines, or as many runs of them as are drawn from."""
    return np.linspace(0, lines, min(lines, MAX_UNITS), endpoint=False).astype(np.int64)


def interval(
    figure: Callable[[NDArray[np.int64]], float],
    units: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 1,
) -> tuple[float, float] | None:
    """The interval that holds figure(rows) in `level` of the resamples; rows are numbers of units, some repeated.

    Draws on which the figure is not defined (NaN) are left out. None where there are fewer than two units, or the
    figure is nowhere defined.
    """
    if units < 2:
        return None
    rng = np.random.default_rng(seed)
    figures = np.array([figure(rng.integers(units, size=units)) for _ in range(resamples)])
    figures = figures[~np.isnan(figures)]
    if not len(figures):
        return None
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
    None where there is a single unit, or an infinite total.
    """
    if not np.isfinite(numerators).all():
        return None
    return interval(
        lambda rows: float(numerators[rows].sum() / denominators[rows].sum()),
        len(numerators), resamples=resamples, level=level, seed=seed,
    )  # fmt: skip
