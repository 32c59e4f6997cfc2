"""One pass over a text with one model: the sums that every figure of the report is made of.

`encoded_texts` tokenizes a text once for all models that share a tokenizer, and encodes it for each of their
vocabularies; each unknown token leaves behind what its spelling costs. `scored` runs a model and hands on what
it gives beside what it was asked, some tokens at a time. `score` sums that up, in float64 and nats: the closed,
the excl and the open total, and the open total of every unit for the bootstrap.

Nothing grows with the text but the ids, which are spooled to disk, and the offsets of lines in them.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from textdl import scratch
from textdl.encoded import EOS, UNK, Encoded, EncodedWriter
from textdl.errors import CorpusError, ModelError, UsageError
from textdl.evaluation.bootstrap import units
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import checked_lines
from textdl.protocols import LanguageModel, Run, ScorePolicy, Tokenizer
from textdl.vocabulary import Vocabulary, escape

_BLOCK = 1 << 18
"""Tokens at a time."""
_LONG = 1 << 20
"""Characters of a line above which its pieces are taken as they come, and never all at once."""
_IN_MEMORY = 1 << 23
"""Tokens; a longer text is encoded into a temporary directory."""
_ABOVE_ONE = 1e-3
"""A log-probability above this is no rounding error."""


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A test text as one tokenizer, vocabulary and speller see it."""

    lines: Encoded
    units: NDArray[np.int64]
    """(units,) the first line of each unit of the bootstrap."""
    characters: NDArray[np.int64]
    """(units,) code points, line ends included."""
    spelling: NDArray[np.float64] | None
    """(units,) nats of the spelling of unknown tokens; None without a speller."""
    costs: NDArray[np.float32]
    """(unknown,) the same for each, in file order, a memory map; empty without a speller."""
    unknown: int
    lossy_lines: int
    """Lines that do not come back from their pieces."""
    lossy_example: tuple[str, str] | None
    """A line and what came back."""
    tokenizer: str
    token_key: str
    unique: bool
    """Whether a text has only one way to be written in pieces, so that P(pieces) is P(text)."""


class Reads(Protocol):
    """What a text is encoded for."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def vocab(self) -> Vocabulary: ...
    @property
    def speller(self) -> Speller | None:
        """None where the tokenizer knows every text, so that nothing is unknown."""


EncodeLines = Callable[[Tokenizer, Iterable[str]], Iterator[list[str]]]
"""How lines are tokenized: by the tokenizer itself, or in several processes."""


@contextmanager
def encoded_texts(
    readers: Sequence[Reads],
    lines: Iterable[str],
    number: int,
    *,
    encode_lines: EncodeLines | None = None,
    run: Run | None = None,
) -> Iterator[list[EncodedText]]:
    """Tokenize a text once and encode it for each reader; what is yielded lives as long as the `with` block.

    Args:
        readers: all with the same tokenizer.
        lines: the text.
        number: of its lines.

    Raises:
        CorpusError: it has no lines, or another number of them; or there is no room in the temporary directory.
    """
    first = readers[0].tokenizer
    assert all(reader.tokenizer.fingerprint == first.fingerprint for reader in readers)
    with scratch.telling_of_no_room(), ExitStack() as stack:
        shared: dict[str, _Ids] = {}  # models with one vocabulary share the ids
        parts: list[_Encoder] = []
        for reader in readers:
            if (key := reader.vocab.fingerprint) not in shared:
                shared[key] = _Ids(reader.vocab, stack.enter_context(scratch.temporary("eval")))
            costs = stack.enter_context(scratch.temporary("eval")) / "costs.bin"
            parts.append(_Encoder(shared[key], reader.speller, number, stack.enter_context(costs.open("w+b"))))
        found = _tokenized(first, lines, number, list(shared.values()), parts, encode_lines, run or Run())
        yield [part.text(first, found) for part in parts]


@dataclass
class _Lines:
    """What is the same for all readers."""

    units: NDArray[np.int64]
    characters: NDArray[np.int64]
    lossy: int = 0
    example: tuple[str, str] | None = None


def _tokenized(
    tokenizer: Tokenizer, lines: Iterable[str], number: int, ids: Sequence[_Ids], parts: Sequence[_Encoder],
    encode_lines: EncodeLines | None, run: Run,
) -> _Lines:  # fmt: skip
    starts = units(number)
    found = _Lines(starts, np.zeros(len(starts), np.int64))
    block: list[str] = []
    rows: list[int] = []  # the line of each piece
    lengths: list[int] = []  # of the lines that end in the block
    sizes: list[int] = []  # the same in characters
    done = 0

    def flush() -> None:
        strangers: dict[int, list[int]] = {}
        for shared in ids:
            strangers[id(shared)] = shared.append(block, lengths)
        for part in parts:
            part.add(block, rows, strangers[id(part.ids)], starts)
        unit = np.searchsorted(starts, np.arange(done - len(sizes), done), "right") - 1
        np.add.at(found.characters, unit, sizes)
        for some in (block, rows, lengths, sizes):
            some.clear()
        run.progress("encoding the text", done, number, "lines")

    for line, pieces in _pieces(tokenizer, lines, encode_lines):
        if done >= number:
            raise _changed(number, None)
        begun = 0
        kept: list[str] | None = None if tokenizer.lossless and len(line) > _LONG else []
        while part := list(islice(pieces, _BLOCK)):
            block += part
            rows += [done] * len(part)
            begun += len(part)
            if kept is not None:
                kept += part
            if len(block) >= _BLOCK:
                flush()
        # what a tokenizer promises is looked at too, but for lines that would have to be held in pieces
        if kept is not None and (back := tokenizer.decode(kept)) != line:
            found.lossy += 1
            found.example = found.example or (line, back)
        lengths.append(begun)
        sizes.append(len(line) + 1)
        done += 1
        if len(lengths) >= _BLOCK:
            flush()
    flush()
    if not number:
        raise CorpusError("The text to evaluate on is empty: it has no lines. Give a text with at least one line.")
    if done != number:
        raise _changed(number, done)
    return found


def _changed(before: int, now: int | None) -> CorpusError:
    return CorpusError(
        f"The text had {before:,} lines when it was counted, and now {'more' if now is None else f'{now:,}'}. "
        "Give a path or a list: it is read more than once."
    )


def _pieces(
    tokenizer: Tokenizer, lines: Iterable[str], encode_lines: EncodeLines | None
) -> Iterator[tuple[str, Iterator[str]]]:
    """Every line with its pieces. A very long one is taken by itself."""
    encode = encode_lines or (lambda cut, some: cut.encode_lines(some))
    waiting: deque[str] = deque()  # tokenizers may read ahead
    source = checked_lines(lines)
    long: list[str] = []

    def passing() -> Iterator[str]:
        for line in source:
            if len(line) > _LONG:
                long.append(line)
                return
            waiting.append(line)
            yield line

    while True:
        for pieces in encode(tokenizer, passing()):
            yield waiting.popleft(), iter(pieces)
        if not long:
            return
        line = long.pop()
        yield line, tokenizer.iterate(line)


class _Ids:
    """A text in the ids of one vocabulary: in memory while it is short, then in files."""

    def __init__(self, vocab: Vocabulary, directory: Path):
        self.vocab, self._directory = vocab, directory
        self._ids: list[NDArray[np.int32]] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._size = 0
        self._writer: EncodedWriter | None = None
        self._encoded: Encoded | None = None

    def append(self, pieces: list[str], lengths: list[int]) -> list[int]:
        """Some pieces, and the lengths of the lines that end among them. Where the unknown ones are."""
        ids = self.vocab.encode(pieces)
        self._ids.append(ids)
        self._lengths.append(np.array(lengths, np.int64))
        self._size += len(ids) + len(lengths)
        if self._size > _IN_MEMORY:
            self._writer = self._writer or EncodedWriter(self._directory, len(self.vocab))
            for some in self._ids:
                self._writer.append_ids(some)
            for ends in self._lengths:
                self._writer.append_lengths(ends)
            self._ids.clear()
            self._lengths.clear()
        found: list[int] = np.flatnonzero(ids == UNK).tolist()
        return found

    def finish(self) -> Encoded:
        if self._encoded is None:
            self._encoded = self._finished()
        return self._encoded

    def _finished(self) -> Encoded:
        if self._writer is not None:
            with self._writer:
                pass
            return Encoded.open(self._directory, len(self.vocab))
        lengths = np.concatenate(self._lengths)
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return Encoded(np.concatenate(self._ids), offsets, len(self.vocab))


class _Encoder:
    """What the unknown tokens of a text cost one model."""

    def __init__(self, ids: _Ids, speller: Speller | None, number: int, file: IO[bytes]):
        self.ids, self._speller, self._file = ids, speller, file
        self._costs = np.zeros(len(units(number)))
        self._known: dict[str, float] = {}
        self._unknown = 0

    def add(
        self, pieces: Sequence[str], rows: Sequence[int], strangers: Sequence[int], starts: NDArray[np.int64]
    ) -> None:
        self._unknown += len(strangers)
        if self._speller is None or not strangers:
            return
        names = [pieces[i] for i in strangers]
        if len(self._known) > _BLOCK:
            self._known.clear()
        new = list(dict.fromkeys(name for name in names if name not in self._known))
        self._known.update(zip(new, -self._speller.log_probs_unknown(new), strict=True))
        unit = np.searchsorted(starts, [rows[i] for i in strangers], "right") - 1
        costs = np.array([self._known[name] for name in names])
        self._costs += np.bincount(unit, costs, len(self._costs))
        self._file.write(costs.astype(np.float32).tobytes())

    def text(self, tokenizer: Tokenizer, found: _Lines) -> EncodedText:
        self._file.flush()
        known = self._speller is not None and self._unknown > 0
        return EncodedText(
            lines=self.ids.finish(),
            units=found.units,
            characters=found.characters,
            spelling=None if self._speller is None else self._costs,
            costs=np.memmap(self._file, np.float32, "r") if known else np.empty(0, np.float32),
            unknown=self._unknown,
            lossy_lines=found.lossy,
            lossy_example=found.example,
            tokenizer=tokenizer.spec,
            token_key=f"{tokenizer.fingerprint}+{_pieces_key(self.ids.vocab)}",
            unique=self._speller is not None and self._speller.single_code_point,
        )


def _pieces_key(vocab: Vocabulary) -> str:
    """Equal where the pieces are, in whatever order: the order is that of counts, which held-out text changes."""
    return hashlib.sha256("\n".join(map(escape, sorted(vocab.pieces))).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Scored:
    """What a model gave for some tokens that follow one another."""

    nats: NDArray[np.float64]
    targets: NDArray[np.int32]
    """What was asked for; EOS for a line end."""
    rows: NDArray[np.int64]
    """The line of each."""


def scored(
    model: LanguageModel,
    lines: Encoded,
    *,
    policy: ScorePolicy,
    contexts: Encoded | None = None,
    run: Run | None = None,
) -> Iterator[Scored]:
    """Run a model over a text; each token is there exactly once, in order.

    Raises:
        UsageError: model, text and contexts do not belong together.
        ModelError: the model gave a number that is no log-probability, or not one for each token.
    """
    run = run or Run()
    if model.vocab_size != lines.vocab_size:
        raise UsageError(f"a model of {model.vocab_size:,} tokens and a vocabulary of {lines.vocab_size:,}")
    if contexts is not None and len(contexts) != len(lines):
        raise UsageError(
            f"{len(contexts):,} source lines for {len(lines):,} lines of text; line n of one belongs to line n of the other"
        )
    expected = lines.tokens + int(policy.line_end) * len(lines)
    position = 0
    for array in model.score(lines, contexts, policy=policy):
        if position + len(array) > expected:
            position += len(array)
            break
        for start in range(0, len(array), _BLOCK):
            nats = -np.asarray(array[start : start + _BLOCK], np.float64)
            if np.isnan(nats).any() or (nats < -_ABOVE_ONE).any():
                bad = nats[np.isnan(nats) | (nats < -_ABOVE_ONE)][0]
                raise ModelError(f"The model gave {-bad} as a log-probability: it is damaged. Train it again.")
            yield Scored(nats, *_asked(lines, position, len(nats), policy.line_end))
            position += len(nats)
        run.progress("scoring", position, expected, "tokens")
    if position != expected:
        raise ModelError(
            f"The model scored {position:,} tokens{' or more' if position > expected else ''} of a text of {expected:,}; "
            "each token and line end must be scored exactly once."
        )


def _asked(lines: Encoded, start: int, count: int, line_end: bool) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Targets and lines of the tokens from the `start`-th on, without an array as long as the text."""
    offsets, end = lines.offsets, int(line_end)

    def line_of(position: int) -> int:
        return bisect_right(range(len(lines)), position, key=lambda i: int(offsets[i]) + end * i) - 1

    if not count:
        return np.empty(0, np.int32), np.empty(0, np.int64)
    first, last = line_of(start), line_of(start + count - 1)
    begins = offsets[first : last + 1] + end * np.arange(first, last + 1)
    here = np.arange(start, start + count)
    rows = first + np.searchsorted(begins, here, "right") - 1
    at = here - end * rows
    inside = at < offsets[rows + 1]
    targets = np.full(count, EOS, np.int32)
    targets[inside] = lines.ids[at[inside]]
    return targets, rows


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over a text, in nats."""

    tokens: int
    """Predicted, line ends included."""
    line_ends: int
    closed: float
    excl: float
    excl_tokens: int
    open: float | None
    """None without a speller where something is unknown, and where line ends were not scored."""
    zeros: int
    """Tokens of probability 0."""
    open_units: NDArray[np.float64] | None
    """(units,) the open total of each."""
    seconds: float


Watch = Callable[[Scored], None]
"""Looks at all that is scored, on the way."""


def score(
    model: LanguageModel,
    text: EncodedText,
    *,
    policy: ScorePolicy | None = None,
    contexts: Encoded | None = None,
    watch: Watch | None = None,
    run: Run | None = None,
) -> Totals:
    """Run the model over the text once.

    Raises:
        UsageError, ModelError: see `scored`.
    """
    policy = policy or model.policy
    closed, excl, zeros, tokens, unknown = np.zeros(len(text.units)), 0.0, 0, 0, 0
    blank = Encoded.from_lines([[]], text.lines.vocab_size)
    if model.vocab_size == blank.vocab_size:
        for _ in model.score(blank, None if contexts is None else contexts.lines(0, 1), policy=policy):
            pass  # what a model loads or compiles first is not counted in its speed
    began, watched = time.perf_counter(), 0.0
    for some in scored(model, text.lines, policy=policy, contexts=contexts, run=run):
        unit = np.searchsorted(text.units, some.rows, "right") - 1
        closed += np.bincount(unit, some.nats, len(closed))
        strange = some.targets == UNK
        excl += float(some.nats[~strange].sum())
        zeros += int(np.isinf(some.nats).sum())
        tokens += len(some.nats)
        unknown += int(strange.sum())
        if watch is not None:
            stopped = time.perf_counter()
            watch(some)
            watched += time.perf_counter() - stopped
    assert unknown == text.unknown
    spelling = np.zeros(len(closed)) if not unknown else text.spelling
    opened = closed + spelling if spelling is not None and policy.line_end else None
    return Totals(
        tokens=tokens,
        line_ends=int(policy.line_end) * len(text.lines),
        closed=float(closed.sum()),
        excl=excl,
        excl_tokens=tokens - unknown,
        open=None if opened is None else float(opened.sum()),
        zeros=zeros,
        open_units=opened,
        seconds=time.perf_counter() - began - watched,
    )
