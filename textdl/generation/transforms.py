"""What is done to next-token log-probabilities before one is drawn: temperature, top-k, top-p.

A transform takes (B, V) log-probabilities, which need not sum to 1, and returns as many; what it rules
out becomes -inf. Drawing renormalises. They are applied in the order given: `transforms` puts the
temperature first, as is usual. Top-p is nucleus sampling (Holtzman et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from textdl.encoded import BOS, EOS, UNK
from textdl.errors import UsageError
from textdl.protocols import Floats

Transform = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Temperature:
    """Divide the log-probabilities: below 1 sharper, above 1 flatter, 0 the most likely token alone."""

    value: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise UsageError(f"temperature {self.value}: it is a number from 0 (the most likely token) up")

    def __call__(self, log_probs: Floats) -> Floats:
        if self.value == 0:
            return _keep(log_probs, log_probs.argmax(axis=1)[:, None])
        # relative to the best, so that a tiny temperature does not overflow
        best = log_probs.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):
            return np.asarray((log_probs - best) / np.float32(max(self.value, 1e-30)), np.float32)


@dataclass(frozen=True)
class TopK:
    """Keep the k most likely tokens."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"top-k {self.k}: it is a number of tokens, 1 or more")

    def __call__(self, log_probs: Floats) -> Floats:
        if self.k >= log_probs.shape[1]:
            return log_probs
        return _keep(log_probs, np.argpartition(-log_probs, self.k - 1, axis=1)[:, : self.k])


@dataclass(frozen=True)
class TopP:
    """Keep the fewest most likely tokens that hold a share p of the probability; always one."""

    p: float

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise UsageError(f"top-p {self.p}: it is a share above 0 and at most 1")

    def __call__(self, log_probs: Floats) -> Floats:
        if self.p == 1:
            return log_probs
        order = np.argsort(-log_probs, axis=1, kind="stable")
        probs = np.exp(np.take_along_axis(log_probs, order, axis=1).astype(np.float64))
        before = np.cumsum(probs, axis=1) - probs
        drop = before >= self.p * probs.sum(axis=1, keepdims=True)
        drop[:, 0] = False
        kept = log_probs.copy()
        np.put_along_axis(kept, order, np.where(drop, -np.inf, np.take_along_axis(kept, order, axis=1)), axis=1)
        return kept


def transforms(temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> list[Transform]:
    """Those asked for.

    Raises:
        UsageError: a value that cannot be meant, by the name of its option.
    """
    chosen: list[Transform] = []
    if temperature != 1:
        chosen.append(Temperature(temperature))
    if top_k is not None:
        chosen.append(TopK(top_k))
    if top_p is not None:
        chosen.append(TopP(top_p))
    return chosen


def allowed(log_probs: Floats) -> Floats:
    """A copy without `<unk>` and `<s>`, which are never generated; a row that has nothing else ends its line."""
    rows = log_probs.copy()
    rows[:, UNK] = rows[:, BOS] = -np.inf
    nothing = ~(rows.max(axis=1) > -np.inf)
    if nothing.any():
        rows[nothing, EOS] = 0.0
    return rows


def apply(log_probs: Floats, steps: Sequence[Transform]) -> Floats:
    """What there is to draw from: allowed tokens, after all transforms."""
    rows = allowed(log_probs)
    for step in steps:
        rows = step(rows)
    return rows


def _keep(log_probs: Floats, columns: np.ndarray[tuple[int, ...], np.dtype[np.intp]]) -> Floats:
    kept = np.full_like(log_probs, -np.inf)
    np.put_along_axis(kept, columns, np.take_along_axis(log_probs, columns, axis=1), axis=1)
    return kept
