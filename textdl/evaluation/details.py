"""Where the bits go: what the HTML report shows beside the table.

A `Watcher` sees all that a model is scored on, as it goes by, and keeps sums by kind of token, the first lines
and the worst ones. So a text of any length takes bounded memory. A token costs its closed surprisal, an unknown
one its spelling as well.

Kinds of token: by how often it was seen in training; by its place in the line; by the longest n-gram of the
training text that it ends, where an n-gram model of the same tokens is evaluated too and can tell. The last is
what separates knowing a phrase from guessing: a network shows its worth where no long n-gram is known.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import EOS, UNK, Encoded
from textdl.evaluation.score import EncodedText, Scored
from textdl.evaluation.spelling import Speller
from textdl.protocols import LanguageModel, ScorePolicy, Tokenizer
from textdl.vocabulary import Vocabulary

FIRST = 12
"""Lines from the beginning that are shown."""
WORST = 12
"""Lines of the most bits a token that are shown..."""
WORST_TOKENS = 5
"""...of those with so many tokens or more: a short line is often a heading."""
SHOWN = 200
"""Tokens of a line that are shown."""
_PART = "\ufffd"
"""What decoding makes of some of the bytes of a character."""
_TOGETHER = 8
"""Pieces that are put together to a character, at most."""
_LN2 = math.log(2)
_FREQUENCIES = np.array([1, 2, 10, 100, 1_000, 10_000, 100_000])
_PLACES = np.array([1, 2, 3, 5, 9, 17, 33, 65, 129])


@runtime_checkable
class Explains(Protocol):
    """A model that can say of each token which n-gram it was found as."""

    def explain(self, lines: Encoded, *, line_end: bool = True) -> Iterator[Any]: ...


class Watched(Protocol):
    """What is asked of a subject here."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> LanguageModel: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def vocab(self) -> Vocabulary: ...
    @property
    def speller(self) -> Speller | None: ...


@dataclass(frozen=True)
class Share:
    """Tokens of one kind."""

    kind: str
    tokens: int
    bits: float
    """Of all of them; infinite where one has probability 0."""


@dataclass(frozen=True)
class Breakdown:
    """All tokens by one criterion. The shares add up to the text."""

    title: str
    shares: list[Share]


@dataclass(frozen=True)
class ShownToken:
    """A token and what it cost; several where only together they are text, as the bytes of a character are."""

    text: str
    bits: float
    known: bool = True
    pieces: int = 1


@dataclass(frozen=True)
class ShownLine:
    """A line of the text, token by token; the last one is the line end where all are shown and it was scored."""

    number: int
    """From 1."""
    tokens: list[ShownToken]
    more: int
    """Tokens that are not shown."""
    bits_per_token: float
    bits_per_char: float


@dataclass(frozen=True)
class Details:
    """What the report shows of one model."""

    model: str
    breakdowns: list[Breakdown]
    first: list[ShownLine]
    worst: list[ShownLine]


@dataclass
class _Line:
    """A line on its way: what it costs, and the beginning of it token by token."""

    row: int
    nats: float = 0.0
    tokens: int = 0
    head: list[float] = field(default_factory=list)

    def add(self, nats: NDArray[np.float64]) -> None:
        self.nats += float(nats.sum())
        self.tokens += len(nats)
        if len(self.head) < SHOWN:
            self.head += nats[: SHOWN - len(self.head)].tolist()


class Watcher:
    """Looks at what a model is scored on. See `score.Watch`."""

    def __init__(self, subject: Watched, text: EncodedText, policy: ScorePolicy, explains: Explains | None):
        """explains: an n-gram model of the same tokens."""
        self._subject, self._text, self._policy = subject, text, policy
        self._counts = subject.vocab.counts if subject.vocab.counts.any() else None
        self._frequency, self._place, self._match = (np.zeros((64, 2)) for _ in range(3))
        self._lengths = None
        if explains is not None:
            self._lengths = _Flat(e.length for e in explains.explain(text.lines, line_end=policy.line_end))
        self._unknown = 0
        self._first: list[_Line] = []
        self._worst: list[tuple[float, int, _Line]] = []
        self._line: _Line | None = None
        self._begun = 0

    def __call__(self, some: Scored) -> None:
        """Takes the next tokens."""
        if not len(some.nats):
            return
        nats, targets = some.nats, some.targets
        strange = targets == UNK
        if len(self._text.costs):
            nats = nats.copy()
            found = int(strange.sum())
            nats[strange] += self._text.costs[self._unknown : self._unknown + found]
            self._unknown += found
        starts = np.flatnonzero(np.r_[True, some.rows[1:] != some.rows[:-1]])
        self._break_down(nats, targets, some.rows, starts)
        self._keep_lines(nats, some.rows, starts)

    def details(self, lines: Iterable[str]) -> Details:
        """Call once, when all has been seen. lines: the text, which is read again."""
        if self._line is not None:
            self._judge(self._line)
            self._line = None
        first = [line for line in self._first if line.tokens]
        worst = [line for _, _, line in sorted(self._worst, key=lambda item: -item[0])]
        texts = _lines_of(lines, {line.row for line in [*first, *worst]})
        breakdowns = [
            *([_breakdown("By how often the token was seen in training", _frequency_names(), self._frequency)]
              if self._counts is not None else []),
            _breakdown("By the place of the token in its line", _place_names(), self._place),
            *([_breakdown("By the longest known n-gram that the token ends", _match_names(), self._match)]
              if self._lengths is not None else []),
        ]  # fmt: skip
        return Details(
            self._subject.name,
            breakdowns,
            [self._shown(line, texts[line.row]) for line in first],
            [self._shown(line, texts[line.row]) for line in worst],
        )

    def _break_down(
        self, nats: NDArray[np.float64], targets: NDArray[np.int32], rows: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> None:
        if self._counts is not None:
            kind = np.searchsorted(_FREQUENCIES, self._counts[targets], "right") + 2
            kind[targets == UNK], kind[targets == EOS] = 1, 0
            _tally(self._frequency, kind, nats)
        lengths = np.diff(np.r_[starts, len(rows)])
        place = np.arange(len(rows)) - np.repeat(starts, lengths)
        going_on = self._line is not None and self._line.row == rows[0]
        place[: lengths[0]] += self._line.tokens if going_on and self._line is not None else 0
        _tally(self._place, np.searchsorted(_PLACES, place + 1, "right") - 1, nats)
        if self._lengths is not None:
            kind = self._lengths.take(len(nats)).astype(np.int64)
            kind[targets == UNK] = 0
            _tally(self._match, kind, nats)

    def _keep_lines(self, nats: NDArray[np.float64], rows: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        ends = np.r_[starts[1:], len(rows)]
        means = np.add.reduceat(nats, starts) / (ends - starts)
        least = self._worst[0][0] if len(self._worst) >= WORST else -1.0
        last = len(starts) - 1
        wanted = np.flatnonzero((means > least) | (rows[starts] < FIRST))
        for i in sorted({0, last, *wanted.tolist()}):
            row = int(rows[starts[i]])
            if self._line is None or self._line.row != row:
                if self._line is not None:
                    self._judge(self._line)
                self._line = _Line(row)
            self._line.add(nats[starts[i] : ends[i]])

    def _judge(self, line: _Line) -> None:
        """A line that is whole: is it among those to be shown?"""
        if line.row < FIRST:
            self._first.append(line)
        if line.tokens >= WORST_TOKENS:
            item = (line.nats / line.tokens, -line.row, line)
            if len(self._worst) < WORST:
                heapq.heappush(self._worst, item)
            elif item[:2] > self._worst[0][:2]:
                heapq.heapreplace(self._worst, item)

    def _shown(self, line: _Line, text: str) -> ShownLine:
        tokenizer, vocab = self._subject.tokenizer, self._subject.vocab
        pieces = list(islice(tokenizer.iterate(text), SHOWN)) if len(text) > 20 * SHOWN else tokenizer.encode(text)
        tokens: list[ShownToken] = []
        together: list[str] = []
        begun = 0
        for i, piece in enumerate(pieces[: len(line.head)], 1):
            together.append(piece)
            shown = tokenizer.decode(together)
            if (
                _PART in shown
                and _PART not in text
                and len(together) < _TOGETHER
                and i < min(len(pieces), len(line.head))
            ):
                continue  # of a character
            nats = sum(line.head[begun:i])
            tokens.append(ShownToken(shown or piece, nats / _LN2, all(p in vocab for p in together), i - begun))
            together, begun = [], i
        if len(line.head) > len(pieces):
            tokens.append(ShownToken("⏎", line.head[-1] / _LN2))
        bits = line.nats / _LN2
        characters = len(text) + int(self._policy.line_end)
        return ShownLine(
            line.row + 1,
            tokens,
            line.tokens - sum(t.pieces for t in tokens),
            bits / line.tokens,
            bits / max(characters, 1),
        )


class _Flat:
    """Arrays that follow one another, taken in pieces of other lengths."""

    def __init__(self, arrays: Iterator[NDArray[np.int8]]):
        self._arrays, self._left = arrays, np.empty(0, np.int8)

    def take(self, count: int) -> NDArray[np.int8]:
        parts = [self._left]
        have = len(self._left)
        while have < count:
            parts.append(next(self._arrays))
            have += len(parts[-1])
        whole = np.concatenate(parts)
        self._left = whole[count:]
        return whole[:count]


def _tally(table: NDArray[np.float64], kind: NDArray[np.int64], nats: NDArray[np.float64]) -> None:
    kind = np.minimum(kind, len(table) - 1)
    table[:, 0] += np.bincount(kind, minlength=len(table))
    table[:, 1] += np.bincount(kind, nats, len(table))


def _breakdown(title: str, names: list[str], table: NDArray[np.float64]) -> Breakdown:
    return Breakdown(title, [Share(names[i], int(n), nats / _LN2) for i, (n, nats) in enumerate(table.tolist()) if n])


def _frequency_names() -> list[str]:
    return ["line end", "unknown", "never", "once", *_ranges(_FREQUENCIES.tolist(), "times")[1:]]


def _place_names() -> list[str]:
    return _ranges(_PLACES.tolist(), "")


def _match_names() -> list[str]:
    return ["unknown", *(f"{n}-gram" for n in range(1, 64))]


def _ranges(bounds: list[int], unit: str) -> list[str]:
    ends = [*(b - 1 for b in bounds[1:]), None]
    names = [
        f"{a:,}" if a == b else f"{a:,} to {b:,}" if b is not None else f"{a:,} or more"
        for a, b in zip(bounds, ends, strict=True)
    ]
    return [f"{name} {unit}".strip() for name in names]


def _lines_of(lines: Iterable[str], rows: set[int]) -> dict[int, str]:
    last = max(rows, default=-1)
    return {i: line for i, line in enumerate(islice(lines, last + 1)) if i in rows}
