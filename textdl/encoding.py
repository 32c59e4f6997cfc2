"""From a corpus to ids on disk: in several processes, in bounded memory, once for each tokenizer.

Blocks of lines are tokenized by worker processes (see tokenizers/parallel.py). Pieces get provisional
ids as they are met, and ids are appended to a file. Where there are more than half a million types, a
segment is closed: its types are written to disk in order, and the next segment begins a numbering of its
own. At the end the segments' types are merged, counted and put into their final order (falling count,
then the piece), and the ids are re-numbered block by block. So neither the text nor its types need fit in
memory, the counts are exact, and the result does not depend on the number of processes.

`vocabulary.count` is the same in a few lines, for text that fits in memory; short text goes through it.
The result is kept in the cache by the fingerprints of text and tokenizer.
"""

from __future__ import annotations

import hashlib
import heapq
import mmap
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from textdl.cache import cached, drop
from textdl.corpus import Corpus
from textdl.encoded import UNK, Encoded, EncodedWriter
from textdl.errors import CorpusError, ModelError
from textdl.protocols import Run, Tokenizer
from textdl.tokenizers.parallel import Block, blocks
from textdl.vocabulary import SPECIALS, Selection, Thinned, Vocabulary, count

FORMAT = 3
SMALL = 1_000_000
"""Characters of text below which everything stays in memory and nothing is cached."""
_CHUNK = 1 << 20
"""Tokens at a time."""
_FIRST = len(SPECIALS)


@dataclass(frozen=True, eq=False)
class EncodedCorpus:
    """A corpus in ids, every type with an id of its own; a tokenizer's fixed inventory stands as it is."""

    data: Encoded
    counts: NDArray[np.int64]
    """(types + specials,) tokens of each id."""
    lacking: dict[str, int]
    """Types that an inventory lacks, with their counts; of more than 200,000 an even selection."""
    lacking_types: int
    """How many there are."""
    source: Vocabulary | Path
    """The types: in memory, or the file that lists them."""

    @cached_property
    def vocab(self) -> Vocabulary:
        """All types. For many millions this is the one thing that takes memory: see `choose`."""
        return Vocabulary([piece for piece, _ in self.types()], self.counts)

    def types(self) -> Iterator[tuple[str, int]]:
        """Every type with its count, in id order."""
        if isinstance(self.source, Vocabulary):
            yield from zip(self.source.pieces, self.counts[_FIRST:].tolist(), strict=True)
            return
        try:
            file = self.source.open(encoding="utf-8", newline="\n")
        except OSError as error:
            raise CorpusError(f"{self.source}: the cache was emptied while it was in use. Run again.") from error
        with file:
            for start in range(_FIRST, len(self.counts), _CHUNK):
                for number in self.counts[start : start + _CHUNK].tolist():
                    yield next(file)[:-1], number

    def through(self, chosen: Selection) -> Encoded:
        """The corpus in the ids of a vocabulary chosen from its types by `vocabulary.select`."""
        if np.array_equal(chosen.table[_FIRST:], np.arange(_FIRST, len(chosen.table))):
            return Encoded(self.data.ids, self.data.offsets, len(chosen.vocab))
        return self.data.through(chosen.table, len(chosen.vocab))


def encode_corpus(text: Corpus, tokenizer: Tokenizer, *, run: Run | None = None, processes: int = 0) -> EncodedCorpus:
    """Tokenize, count and encode a corpus; or open what was made of the same text before.

    Args:
        text: read once for its fingerprint if that is not known, and once to be tokenized.
        processes: for tokenizing; 0: one for each core. The result does not depend on it.
        run: receives progress.

    Raises:
        CorpusError: the text cannot be read, or the disk is full.
    """
    run = run or Run()
    characters = text.read().characters
    if characters < SMALL:
        vocab, data, lacking = count(tokenizer.encode_lines(text), tokenizer.inventory)
        return EncodedCorpus(data, vocab.counts, lacking, len(lacking), vocab)
    key = hashlib.sha256(f"{text.fingerprint} {tokenizer.fingerprint} {_versions()}".encode()).hexdigest()[:32]
    about = f"{text.name} by {tokenizer.spec} ({text.ledger.lines:,} lines, {characters:,} characters)"

    def build(directory: Path) -> None:
        seen = lines = 0
        digest = hashlib.sha256()
        with _Builder(directory, tokenizer.inventory) as builder:
            for block in blocks(tokenizer, _digested(text, digest), processes=processes):
                builder.add(block)
                seen += len(block.ids)
                lines += len(block.lengths) - block.unfinished
                run.progress("tokenizing", lines, text.ledger.lines, "lines", f"{seen:,} tokens")
            if digest.hexdigest() != text.fingerprint:
                raise CorpusError(f"{text.name} was changed while it was in use. Start again, and leave it alone.")
            builder.finish()

    directory = cached("encoded", key, about, build)
    if directory.name != key:
        run.note("the cache cannot be written, so this text will be tokenized anew each time; see `textdl cache`")
    try:
        return _open(directory)
    except (OSError, ValueError, ModelError):  # damaged, or cleared away this moment
        drop(directory)
        return _open(cached("encoded", key, about, build))


def _versions() -> str:
    """What may change the pieces without changing a tokenizer's fingerprint: tables of Unicode, library code."""
    libraries = (f"{name} {metadata.version(name)}" for name in ("regex", "sentencepiece", "jieba"))
    return f"{FORMAT}, Unicode {unicodedata.unidata_version}, {', '.join(libraries)}"


def _digested(text: Corpus, digest: hashlib._Hash) -> Iterator[list[str]]:
    """The text on its way to be tokenized, and what its fingerprint would be: the key it is kept under."""
    for batch in text.batches():
        if not batch:
            continue
        if len(batch) > 1:
            digest.update("\n".join(batch).encode())
        else:  # it may be very long
            for start in range(0, len(batch[0]), _CHUNK):
                digest.update(batch[0][start : start + _CHUNK].encode())
        digest.update(b"\n")
        yield batch


def _open(directory: Path) -> EncodedCorpus:
    counts = np.load(directory / "counts.npy", allow_pickle=False)
    met, *lines = (directory / "lacking.txt").read_bytes().decode().split("\n")[:-1]
    lacking = {piece: int(number) for number, _, piece in (line.partition(" ") for line in lines)}
    return EncodedCorpus(Encoded.open(directory, len(counts)), counts, lacking, int(met), directory / "types.txt")


class _Builder:
    """Takes blocks and leaves ids.npy, offsets.npy, counts.npy, types.txt and lacking.txt in a directory."""

    SEGMENT = 1 << 20
    """Types after which a segment is closed: some 200 MB of them."""

    def __init__(self, directory: Path, inventory: Sequence[str] | None):
        self._directory, self._inventory = directory, inventory
        self._raw: IO[bytes] = (directory / "raw.bin").open("w+b")
        self._segments: list[_Segment] = []
        self._segment = _Segment(directory / "segment-0.txt")
        self._tables: dict[int, NDArray[np.int32]] = {}  # of each numberer: its id to the segment's, -1 not yet known
        self._pieces: dict[int, list[str]] = {}
        self._unfinished = 0  # tokens of a line that goes on in the next block
        self._lengths: IO[bytes] = (directory / "lengths.bin").open("w+b")

    def __enter__(self) -> _Builder:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()
        self._lengths.close()

    def add(self, block: Block) -> None:
        pieces = self._pieces.setdefault(block.numberer, [])
        table = self._tables.get(block.numberer, np.empty(0, np.int32))
        if block.fresh:
            pieces.clear()
            table = table[:0]
        pieces += block.new
        if len(pieces) > len(table):
            table = np.concatenate((table, np.full(len(pieces) - len(table), -1, np.int32)))
        ids = table[block.ids]
        if len(ids) and ids.min() < 0:  # met for the first time in this segment, in order of their first token
            unknown = block.ids[ids < 0]
            _, first = np.unique(unknown, return_index=True)
            numbers = self._segment.numbers
            for i in unknown[np.sort(first)].tolist():
                table[i] = numbers.setdefault(pieces[i], len(numbers))
            ids = table[block.ids]
        self._tables[block.numberer] = table
        self._raw.write(ids.data)
        lengths = block.lengths.copy()
        lengths[0] += self._unfinished
        self._unfinished = int(lengths[-1]) if block.unfinished else 0
        self._lengths.write(lengths[: len(lengths) - block.unfinished].data)
        self._segment.tokens += len(ids)
        if len(self._segment.numbers) > self.SEGMENT:
            self._close()

    def finish(self) -> None:
        """Merge the segments and write the result; what was only needed on the way is removed."""
        self._close()
        self._tables.clear()
        self._pieces.clear()
        self._renumber(self._merge())
        self.__exit__()
        for path in (
            *(s.path for s in self._segments),
            *(self._directory / n for n in ("raw.bin", "lengths.bin", "merged.txt")),
        ):
            path.unlink(missing_ok=True)

    def _close(self) -> None:
        """Write the segment's types in their order, count them, and begin another."""
        segment = self._segment
        self._raw.flush()
        counts = np.zeros(len(segment.numbers), np.int64)
        for ids in _chunks(self._raw, segment.tokens, at=-4 * segment.tokens):
            counts += np.bincount(ids, minlength=len(counts))
        pieces = sorted(segment.numbers)
        segment.order = np.fromiter(map(segment.numbers.__getitem__, pieces), np.int32, len(pieces))
        segment.counts = counts[segment.order]
        with segment.path.open("w", encoding="utf-8", newline="\n") as out:
            out.writelines(f"{piece}\n" for piece in pieces)
        segment.numbers = {}
        self._segments.append(segment)
        self._segment = _Segment(self._directory / f"segment-{len(self._segments)}.txt")
        for table in self._tables.values():
            table.fill(-1)

    def _merge(self) -> list[NDArray[np.int32]]:
        """Bring the types of all segments together. Returns for each segment its ids' final ids."""
        ranks, counts = self._merged()
        written = _Lines(self._directory / "merged.txt")
        if self._inventory is None:
            order = np.argsort(-counts, kind="stable")  # merged in order of the piece
            final = np.empty(len(order), np.int32)
            final[order] = np.arange(_FIRST, _FIRST + len(order), dtype=np.int32)
            self._write_types((written[i] for i in order), counts[order], 0, Thinned())
        else:
            known = {piece: i for i, piece in enumerate(self._inventory)}
            final = np.full(len(counts), UNK, np.int32)
            of_inventory = np.zeros(len(known), np.int64)
            lacking, unknown = Thinned(), 0
            for i, number in enumerate(counts):
                piece = written[i][:-1].decode("utf-8")
                if (place := known.get(piece)) is None:
                    lacking.add(piece, int(number))
                    unknown += int(number)
                else:
                    final[i] = place + _FIRST
                    of_inventory[place] = number
            listed = (f"{piece}\n".encode() for piece in self._inventory)
            self._write_types(listed, of_inventory, unknown, lacking)
        tables = []
        for segment, rank in zip(self._segments, ranks, strict=True):
            table = np.empty(len(rank), np.int32)
            table[segment.order] = final[rank]
            tables.append(table)
        return tables

    def _merged(self) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
        """Write merged.txt, every type once and in order. Returns each segment's ranks in it, and the counts."""
        if len(self._segments) == 1:
            [segment] = self._segments
            segment.path.rename(self._directory / "merged.txt")
            return [np.arange(len(segment.order), dtype=np.int32)], segment.counts
        ranks = [array("i") for _ in self._segments]
        files = [segment.path.open(encoding="utf-8", newline="\n") for segment in self._segments]
        last, number = None, -1
        with (self._directory / "merged.txt").open("w", encoding="utf-8", newline="\n") as out:
            # U+0000 sorts before the line feed, so the line ends must not take part in the comparison.
            streams = [zip((line[:-1] for line in file), repeat(i)) for i, file in enumerate(files)]
            for piece, i in heapq.merge(*streams):
                if piece != last:
                    last, number = piece, number + 1
                    out.write(f"{piece}\n")
                ranks[i].append(number)
        for file in files:
            file.close()
        counts = np.zeros(number + 1, np.int64)
        found = [np.frombuffer(rank, np.int32) for rank in ranks]
        for segment, rank in zip(self._segments, found, strict=True):
            counts[rank] += segment.counts  # a segment has each type once
        return found, counts

    def _write_types(self, types: Iterable[bytes], counts: NDArray[np.int64], unknown: int, lacking: Thinned) -> None:
        with (self._directory / "types.txt").open("wb") as out:
            out.writelines(types)
        with (self._directory / "lacking.txt").open("w", encoding="utf-8", newline="\n") as text:
            text.write(f"{lacking.met}\n")
            for piece, number in lacking.items():
                text.write(f"{number} {piece}\n")
        lines = self._lengths.tell() // 8
        np.save(self._directory / "counts.npy", np.concatenate((np.array([unknown, lines, lines], np.int64), counts)))
        self._types = len(counts) + _FIRST

    def _renumber(self, tables: list[NDArray[np.int32]]) -> None:
        self._raw.seek(0)
        with EncodedWriter(self._directory, self._types) as out:
            for segment, table in zip(self._segments, tables, strict=True):
                for ids in _chunks(self._raw, segment.tokens):
                    out.append_ids(table[ids])
            lines = self._lengths.tell() // 8
            for lengths in _chunks(self._lengths, lines, np.int64, at=-8 * lines):
                out.append_lengths(lengths)


class _Segment:
    """A stretch of the text with a numbering of its own. Its file lists its types in order."""

    def __init__(self, path: Path):
        self.path = path
        self.tokens = 0
        self.numbers: dict[str, int] = {}
        self.order: NDArray[np.int32] = np.empty(0, np.int32)
        """(types,) the ids in order of the piece."""
        self.counts: NDArray[np.int64] = np.empty(0, np.int64)
        """(types,) in the same order."""


class _Lines:
    """The lines of a file by number, each with its line end, without holding them."""

    def __init__(self, path: Path):
        self._data = b""
        if path.stat().st_size:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[assignment]
        ends = [
            np.flatnonzero(np.frombuffer(self._data[i : i + _CHUNK], np.uint8) == 10) + i
            for i in range(0, len(self._data), _CHUNK)
        ]
        self._ends = np.concatenate((np.array([-1]), *ends)) + 1

    def __getitem__(self, i: int) -> bytes:
        return self._data[self._ends[i] : self._ends[i + 1]]


def _chunks(
    file: IO[bytes], number: int, dtype: type[np.generic] = np.int32, at: int | None = None
) -> Iterator[NDArray[Any]]:
    """`number` values of a file in blocks, from where it stands or from `at` bytes before its end."""
    if at is not None:
        file.seek(0, 2)
        file.seek(at, 1)
    while number > 0:
        block: NDArray[Any] = np.frombuffer(file.read(np.dtype(dtype).itemsize * min(number, _CHUNK)), dtype)
        number -= len(block)
        yield block
