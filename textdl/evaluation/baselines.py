"""Models that look at nothing: what a figure must beat to mean anything.

`uniform` gives every token of a vocabulary the same probability, so its ppl/token is V - 1 (`<s>` is
never predicted). `unigram` knows how often each occurs, smoothed by adding one. Both are evaluated like
any other model, open total included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, Encoded
from textdl.protocols import Floats, Ints, ScorePolicy, State
from textdl.storage import Reader, Writer
from textdl.vocabulary import Vocabulary

_LINES = 1 << 14


@dataclass(frozen=True)
class _Rows:
    """All there is to remember: how many histories there are."""

    count: int

    def select(self, rows: Ints) -> _Rows:
        return _Rows(len(rows))


class ContextFree:
    """A language model that predicts each token from nothing."""

    policy = ScorePolicy()

    def __init__(self, log_probs: Floats):
        """log_probs: (V,), `<s>` -inf, the rest summing to 1."""
        self.log_probs = log_probs
        self.vocab_size = len(log_probs)

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        for start in range(0, len(lines), _LINES):
            part = lines.lines(start, start + _LINES)
            yield self.log_probs[part.stream() if (policy or self.policy).line_end else part.ids]

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, State]:
        given = contexts if contexts is not None else prefixes
        rows = 1 if given is None else len(given)
        return self._rows(rows), _Rows(rows)

    def step(self, state: State, last: Ints) -> tuple[Floats, State]:
        return self._rows(len(last)), state

    def describe(self) -> dict[str, Any]:
        return {"size": self.vocab_size}

    def save(self, out: Writer) -> None:
        out.array("log_probs.npy", self.log_probs)

    @classmethod
    def load(cls, reader: Reader) -> ContextFree:
        return cls(reader.array("log_probs.npy", mmap=False))

    def _rows(self, rows: int) -> Floats:
        return np.tile(self.log_probs, (rows, 1))


def uniform(vocab_size: int) -> ContextFree:
    return _from_weights(np.ones(vocab_size))


def unigram(vocab: Vocabulary) -> ContextFree:
    """From the counts of the training text; a vocabulary without counts gives the uniform model."""
    return _from_weights(vocab.counts.astype(np.float64) + 1.0)


def _from_weights(weights: NDArray[np.float64]) -> ContextFree:
    weights = weights.copy()
    weights[BOS] = 0.0
    with np.errstate(divide="ignore"):
        return ContextFree(np.log(weights / weights.sum()).astype(np.float32))
