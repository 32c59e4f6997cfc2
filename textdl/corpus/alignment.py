"""Whether line i of one side belongs to line i of the other: what of a line survives translation should go together.

A line lost or too many on one side puts every pair behind it out of step, and training hardly shows it. Translations are
long where their sources are, questions where those are, and keep numbers. So in each block of pairs these three are
correlated as they stand, and with one side moved by up to `_FARTHEST` lines; a block whose sides go together much better
when moved is out of step. Blocks, because it may begin anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 250
"""Pairs."""
_FEWEST = 100
"""Pairs that say something."""
_FARTHEST = 3
"""Lines that a side is moved, at most: a lost line is the common accident."""
_BETTER = 0.3
"""By how much the correlation of a moved side must be better."""
_UNLIKELY = 0.3
"""A correlation of lengths that translations do not have."""
_LEAST = np.array([0.2, 0.14, 0.14])
"""Standard deviations below which lengths, questions and numbers say nothing: of 0 and 1, 2 % of one of them."""

Features = NDArray[np.float32]
"""(pairs, 2, 3): of source and target the logarithm of its length, whether it is a question, and whether it has digits."""


@dataclass(frozen=True)
class Alignment:
    """What lengths, questions and numbers say of pairs."""

    shift: int = 0
    """Line i of the target belongs to line i - shift of the source; 0: nothing speaks against i."""
    first: int = 0
    """The pair, from 0, from which on about that is so."""
    moved: float = 1.0
    """The correlation there with one side moved so..."""
    standing: float = 1.0
    """...and as they stand."""
    lengths: float = 1.0
    """The correlation of the lengths of all, as they stand; 1 where they say nothing."""

    def sentences(self) -> Iterator[str]:
        """What a person should look at."""
        if self.shift:
            where = f"from about pair {self.first + 1:,} on, " if self.first else ""
            yield (
                f"by lengths, questions and numbers, {where}line i of the target belongs to line i{-self.shift:+d} of the source "
                f"(correlation {self.moved:.2f}, as they stand {self.standing:.2f}): the files are out of step. Find the line too "
                "many, or the one that is missing, and mend it."
            )
        elif self.lengths < _UNLIKELY:
            yield (
                f"long sources do not have long targets (correlation {self.lengths:.2f}; translations have 0.7 and more): do "
                "the lines belong together?"
            )


def alignment(pairs: Iterable[tuple[str, str]]) -> Alignment:
    """Of pairs in the order of their files."""
    flat = (feature for pair in pairs for line in pair for feature in _features(line))
    features = np.fromiter(flat, np.float32).reshape(-1, 2, len(_LEAST))
    if len(features) < _FEWEST:
        return Alignment()
    lengths = 1.0
    if (features[:, :, 0].std(axis=0) >= _LEAST[0]).all():
        lengths = _correlation(features[:, :, :1], 0)
    told = []
    for first in range(0, max(1, len(features) - _FEWEST), _BLOCK):
        block = features[first : first + _BLOCK]
        block = block[:, :, (block.std(axis=0) >= _LEAST).all(axis=0)]
        if block.shape[2]:
            found = {shift: _correlation(block, shift) for shift in range(-_FARTHEST, _FARTHEST + 1)}
            best = max(found, key=lambda shift: found[shift])
            told.append((first, best if found[best] > found[0] + _BETTER else 0, found[best], found[0]))
    for shift in dict.fromkeys(shift for _, shift, _, _ in told if shift):  # of several, the one that begins first
        out = [block for block in told if block[1] == shift]
        if len(out) > 1 or out[-1] == told[-1]:  # one alone in the middle is an accident
            return Alignment(
                shift,
                out[0][0],
                float(np.mean([block[2] for block in out])),
                float(np.mean([block[3] for block in out])),
                lengths,
            )
    return Alignment(lengths=lengths)


def _features(line: str) -> tuple[float, bool, bool]:
    return math.log(len(line) + 5.0), line.rstrip()[-1:] in ("?", "？", "؟"), any(map(str.isdecimal, line))


def _correlation(features: Features, shift: int) -> float:
    """Of each feature of a source with that of the target `shift` lines behind, the mean of them."""
    a, b = features[:, 0], features[:, 1]
    a, b = (a[: len(a) - shift], b[shift:]) if shift >= 0 else (a[-shift:], b[:shift])
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    deviations = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return float(((a * b).sum(axis=0) / np.maximum(deviations, 1e-9)).mean())
