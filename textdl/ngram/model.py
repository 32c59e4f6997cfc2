"""An n-gram model behind the `LanguageModel` protocol.

A model that was trained computes its probabilities from counts when it is asked (kernels.py); one that
was read from an ARPA file backs off as the file says. Both are the same trie, packed.py.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, Encoded
from textdl.errors import UsageError
from textdl.ngram import kernels, packed
from textdl.ngram.packed import Packed
from textdl.protocols import Floats, Ints, ScorePolicy, State
from textdl.storage import Reader, Writer

T = TypeVar("T")

_CHUNK = 1 << 17
"""Tokens a kernel call and a yielded array: under 0.2 s."""
_CELLS = 1 << 22
"""Probabilities of a kernel call that fills whole distributions."""


@dataclass(frozen=True)
class NgramState:
    """contexts: (B, N - 1) int64; column k is the node of the last k + 1 words at level k + 1, or -1."""

    contexts: Ints

    def select(self, rows: Ints) -> NgramState:
        return NgramState(self.contexts[np.asarray(rows, np.int64)])


class Explained(NamedTuple):
    """How log-probabilities came about; as KenLM's `query -v` prints it. All (tokens,)."""

    logp: Floats
    length: NDArray[np.int8]
    """Words of the longest n-gram that is known, the token included; 1: a unigram."""
    backoff: Floats
    """The sum of the log back-off weights of the longer contexts, which is in logp."""


class Ngrams(NamedTuple):
    """n-grams of one order, in the order of their ids, as an ARPA file has them."""

    words: NDArray[np.int32]
    """(k, n)"""
    logp: NDArray[np.float64]
    """(k,)"""
    backoff: NDArray[np.float64]
    """(k,) log back-off weights; 0 for those that are no context."""


class NgramModel:
    """Made by `fit`, `load` or `arpa_loading.load`."""

    policy = ScorePolicy("line")

    def __init__(self, packed: Packed, *, threads: int = 0):
        """threads: how many score a text; 0: one for each core. What comes out does not depend on it."""
        self.packed = packed
        self.order, self.vocab_size = packed.order, packed.vocab_size
        self.smoothing = packed.smoothing.name if packed.smoothing else "arpa"
        self.threads = threads or cores()

    # --- LanguageModel

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        """See the protocol.

        Raises:
            UsageError: a policy other than line by line with a window of at least order - 1, contexts,
                or lines of another vocabulary.
        """
        _no_contexts(contexts)
        line_end = self._check(policy or self.policy)
        self._check_vocabulary(lines)
        ids, offsets = _fixed(lines.ids, np.int32), _fixed(lines.offsets, np.int64)

        def chunk(start: int, stop: int) -> Floats:
            p = np.empty(stop - start)
            kernels.score(self.packed.table, ids, offsets, line_end, start, min(kernels.BLOCK, len(p)), p)
            return self._logs(p)

        return self._in_order(chunk, lines.tokens + len(lines) * line_end)

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, State]:
        _no_contexts(contexts)
        if prefixes is None:
            prefixes = Encoded.from_lines([[]], self.vocab_size)
        self._check_vocabulary(prefixes)
        beginnings = np.full((len(prefixes), self.order - 1), -1, np.int64)
        beginnings[:, :1] = BOS
        return self._continue(beginnings, prefixes.ids, prefixes.offsets)

    def step(self, state: State, last: Ints) -> tuple[Floats, State]:
        if not isinstance(state, NgramState):
            raise UsageError("An n-gram model was given the state of another kind of model.")
        ids = np.asarray(last)
        rows = len(state.contexts)
        if ids.shape != (rows,) or (rows and not 0 <= ids.min() <= ids.max() < self.vocab_size):
            raise UsageError(f"step() wants an id below {self.vocab_size} for each of {rows} histories, got {ids!r}.")
        return self._continue(state.contexts.copy(), ids, np.arange(rows + 1))

    def describe(self) -> dict[str, Any]:
        """size: all n-grams. Of each order: ngrams, statistics, discounts, and what an n-gram takes on disk.

        fallback: orders whose discounts are substitutes.
        """
        smoothing = self.packed.smoothing
        discounts = smoothing.discounts if smoothing else ()
        sizes = self.packed.sizes
        stored = self.packed.bytes_per_level()
        return {
            "size": sum(sizes),
            "order": self.order,
            "ngrams": sizes,
            "smoothing": self.smoothing,
            **({"k": smoothing.k} if smoothing and smoothing.k else {}),
            "discounts": [list(d.values) for d in discounts if any(d.values)],
            "fallback": [n for n, d in enumerate(discounts, 1) if d.missing],
            "statistics": self.packed.statistics,
            "bytes_per_ngram": round(sum(stored) / sum(sizes), 2),
            "bytes_per_ngram_by_order": [round(b / max(1, size), 2) for b, size in zip(stored, sizes, strict=True)],
        }

    def save(self, out: Writer) -> None:
        self.packed.save(out)

    # --- beyond the protocol

    def explain(self, lines: Encoded, *, line_end: bool = True) -> Iterator[Explained]:
        """What `score` yields, with the n-gram that each was found as, and what was paid for backing off."""
        self._check_vocabulary(lines)
        ids, offsets = _fixed(lines.ids, np.int32), _fixed(lines.offsets, np.int64)

        def chunk(start: int, stop: int) -> Explained:
            p, told = np.empty(stop - start), np.empty((stop - start, 2))
            kernels.explain(self.packed.table, ids, offsets, line_end, start, p, told)
            return Explained(self._logs(p), told[:, 0].astype(np.int8), told[:, 1].astype(np.float32))

        return self._in_order(chunk, lines.tokens + len(lines) * line_end)

    def ngrams(self, n: int) -> Iterator[Ngrams]:
        """All n-grams of order n, a few megabytes at a time."""

        def chunk(start: int, stop: int) -> Ngrams:
            words = np.empty((stop - start, n), np.int32)
            kernels.spell(self.packed.table, n, start, words)
            p, backoff = np.empty(len(words)), np.empty(len(words))
            kernels.tabulate(self.packed.table, words, p, backoff)
            if self.packed.smoothing is not None:
                with np.errstate(divide="ignore"):
                    np.log(p, out=p)
                    np.log(backoff, out=backoff)
            return Ngrams(words, p, backoff)

        return self._in_order(chunk, self.packed.sizes[n - 1])

    # --- inside

    def _in_order(self, work: Callable[[int, int], T], items: int) -> Iterator[T]:
        """work(start, stop) for all chunks of the items, side by side, yielded in order."""
        bounds = [(start, min(start + _CHUNK, items)) for start in range(0, items, _CHUNK)]
        if len(bounds) < 2 or self.threads < 2:
            yield from (work(*bound) for bound in bounds)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            going: deque[Future[T]] = deque()
            try:
                for bound in bounds:
                    going.append(pool.submit(work, *bound))
                    if len(going) > 2 * self.threads:
                        yield going.popleft().result()
                while going:
                    yield going.popleft().result()
            finally:
                for future in going:
                    future.cancel()

    def _continue(self, contexts: Ints, ids: NDArray[Any], offsets: NDArray[Any]) -> tuple[Floats, NgramState]:
        """The distributions after contexts (B, N - 1), which are used up, have been moved on by their lines."""
        kernels.advance(self.packed.table, contexts, _fixed(ids, np.int32), _fixed(offsets, np.int64))
        logs = np.empty((len(contexts), self.vocab_size), np.float32)
        rows = max(1, _CELLS // self.vocab_size)
        for start in range(0, len(logs), rows):
            p = np.empty_like(logs[start : start + rows], np.float64)
            kernels.distributions(self.packed.table, contexts[start : start + rows], p)
            logs[start : start + rows] = self._logs(p)
        return logs, NgramState(contexts)

    def _logs(self, p: NDArray[np.float64]) -> Floats:
        """float32 logarithms of what kernels give; p is used up. Rounding may not make more than 1 of 1."""
        if self.packed.smoothing is not None:
            with np.errstate(divide="ignore"):  # nobody predicts <s>; mle knows more zeros
                np.log(p, out=p)
        return np.minimum(p, 0.0, out=p).astype(np.float32)

    def _check(self, policy: ScorePolicy) -> bool:
        if policy.unit != "line":
            raise UsageError(
                f"An n-gram model resets at each line; it cannot carry its context from line to line ({policy}). "
                "Score it by line."
            )
        if policy.stride is not None:
            raise UsageError(f"An n-gram model reads no windows, so it has no stride ({policy}). Leave it out.")
        if policy.window is not None and policy.window < self.order - 1:
            raise UsageError(
                f"A {self.order}-gram model always looks at {self.order - 1} words and resets at each line; "
                f"a window of {policy.window} cannot be had. Train a model of --order {policy.window + 1} instead."
            )
        return policy.line_end

    def _check_vocabulary(self, lines: Encoded) -> None:
        if lines.vocab_size != self.vocab_size:
            raise UsageError(
                f"Ids of a vocabulary of {lines.vocab_size} were given to a model with one of {self.vocab_size}. "
                "Encode the text with the model's own vocabulary."
            )
        if lines.tokens and not 0 <= lines.ids.min() <= lines.ids.max() < self.vocab_size:
            raise UsageError(
                f"The text has ids from {lines.ids.min()} to {lines.ids.max()}, and a vocabulary of {self.vocab_size}. "
                "Encode it again."
            )


def load(reader: Reader) -> NgramModel:
    """Open a saved model; the arrays are memory maps.

    Raises:
        ModelError: files are missing or do not belong together.
    """
    return NgramModel(packed.load(reader))


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fixed(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """A read-only view of plain array type, so that all kinds of lines share compiled kernels."""
    view = np.ascontiguousarray(array, dtype).view(np.ndarray)
    view.flags.writeable = False
    return view


def _no_contexts(contexts: Encoded | None) -> None:
    if contexts is not None:
        raise UsageError("An n-gram model has no source lines to look at; leave the contexts out.")
