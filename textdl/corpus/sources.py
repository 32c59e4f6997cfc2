"""Where the lines of a corpus come from: files, standard input, memory, or a part or change of another corpus.

Each gives its lines in lists, as often as asked, and counts in a ledger what only it sees.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from io import BytesIO
from itertools import chain, compress
from operator import not_
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from textdl.corpus import split as splitting
from textdl.corpus.fingerprints import repeated_lines, temporary_path
from textdl.corpus.jsonl import refuse_one_value
from textdl.corpus.ledger import Ledger
from textdl.corpus.reading import Errors, copy, is_compressed, read_lines, replace_surrogates
from textdl.corpus.records import form_of, read_records
from textdl.corpus.sentences import iterate_sentences
from textdl.errors import CorpusError, TextTypeError, UsageError
from textdl.scratch import no_room

if TYPE_CHECKING:
    from textdl.corpus.corpus import Corpus

_BATCH = 4096
_CHARACTERS = 1 << 20


class Source:
    """Where lines come from. A pass may be begun any number of times."""

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        r"""Lines without line ends, in lists; counts in the ledger what only the source sees (\r\n, marks, ...)."""
        raise NotImplementedError

    def size(self) -> int | None:
        """Bytes of text in UTF-8 or nearly, where that is known without reading."""
        return None

    def files(self) -> list[tuple[Path, str, str | None]]:
        """(path, name, form) of the files that are read, where there are some."""
        return []


def not_a_line(number: int, item: object) -> TextTypeError:
    hint = ""
    if isinstance(item, (list, tuple)):
        hint = " Lines are raw text: textdl tokenizes them itself; join the pieces and use --tokenizer whitespace."
    elif isinstance(item, bytes):
        hint = ' Decode it, as in item.decode("utf-8").'
    elif isinstance(item, os.PathLike):
        hint = " A list holds lines or paths, not both."
    return TextTypeError(f"line {number:,} is a {type(item).__name__}, not a str.{hint}")


class Files(Source):
    """Files, one after the other; each is plain text or a table, as its name says."""

    def __init__(
        self,
        files: list[tuple[Path, str]],
        encoding: str,
        errors: Errors,
        field: str | None = None,
        *,
        tables: bool = True,
        kept: object = None,
    ):
        """tables: whether names like .jsonl mean anything. kept: lives as long (a temporary file's owner)."""
        self._files, self._encoding, self._errors, self._field = files, encoding, errors, field
        self._kept = kept
        self.forms = [form_of(path) if tables else None for path, _ in files]
        self._stamps: dict[Path, tuple[int, int]] = {}

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        for (path, name), form in zip(self._files, self.forms, strict=True):
            with suppress(OSError):  # reading will say what is wrong
                status = path.stat()
                stamp = status.st_size, status.st_mtime_ns
                if self._stamps.setdefault(path, stamp) != stamp:
                    raise CorpusError(
                        f"{name} was changed while it was in use. Start again, and leave it alone till the end."
                    )
            if form:
                yield from read_records(path, name, self._encoding, self._errors, self._field, ledger)
            else:
                lines = read_lines(path, name, self._encoding, self._errors, ledger)
                yield from refuse_one_value(lines, name) if ".json" in path.suffixes[-2:] else lines

    def files(self) -> list[tuple[Path, str, str | None]]:
        return [(path, name, form) for (path, name), form in zip(self._files, self.forms, strict=True)]

    def size(self) -> int | None:
        try:
            if any(self.forms) or any(is_compressed(path) for path, _ in self._files):
                return None
            return sum(path.stat().st_size for path, _ in self._files)
        except OSError:
            return None


class SpooledBytes(Source):
    """Standard input or a pipe: copied to a temporary file by the first pass, so that there can be others."""

    def __init__(self, open_stream: Callable[[], IO[bytes]], name: str, encoding: str, errors: Errors):
        self._open_stream, self._name, self._encoding, self._errors = open_stream, name, encoding, errors
        self._files: Files | None = None

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        if self._files is None:
            path = _temporary(self)
            with path.open("wb") as out:
                try:
                    stream = self._open_stream()
                except OSError as error:
                    raise CorpusError(f"{self._name}: cannot be read ({error.strerror or error}).") from error
                with stream:
                    copy(stream, out)
            self._files = Files([(path, self._name)], self._encoding, self._errors, tables=False)
        yield from self._files.batches(ledger)

    def size(self) -> int | None:
        return self._files.size() if self._files else None

    def files(self) -> list[tuple[Path, str, str | None]]:
        return self._files.files() if self._files else []


class SpooledLines(Source):
    """What can be read only once, or is slow: the first pass copies its lines to a temporary file."""

    def __init__(self, source: Source):
        self._source: Source | None = source
        self._path: Path | None = None
        self._counted = Ledger()

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        if self._source is not None:
            if self._path is not None:
                raise CorpusError("copying the text failed before, and it can be read only once. Start again.")
            self._path = _temporary(self)
            with self._path.open("wb") as out:
                for batch in self._source.batches(self._counted):
                    try:
                        out.write("".join([line + "\n" for line in batch]).encode())
                        out.flush()
                    except OSError as error:
                        raise no_room(error) from error
            self._source = None
        assert self._path is not None
        add_counts(self._counted, ledger)
        with self._path.open(encoding="utf-8", newline="\n") as file:  # a \r is text here, and so is a mark
            while lines := file.readlines(1 << 20):
                yield [line[:-1] for line in lines]

    def size(self) -> int | None:
        return self._path.stat().st_size if self._path is not None and self._source is None else None


def add_counts(counted: Ledger, ledger: Ledger) -> None:
    """Add the counts and notes of one pass to a ledger."""
    for count in fields(Ledger):
        if isinstance(value := getattr(counted, count.name), int):
            setattr(ledger, count.name, (getattr(ledger, count.name) or 0) + value)
    ledger.notes += [note for note in counted.notes if note not in ledger.notes]


def _temporary(owner: object) -> Path:
    """An empty file that is removed with its owner."""
    path = temporary_path()
    weakref.finalize(owner, path.unlink, missing_ok=True)
    return path


def standard_input() -> IO[bytes]:
    if sys.stdin is None:
        raise UsageError("there is no standard input to read (-). Give a file.")
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:  # replaced by something that has text only
        return BytesIO(sys.stdin.read().encode())
    try:
        return os.fdopen(os.dup(stream.fileno()), "rb")
    except OSError:  # replaced by something in memory
        return BytesIO(stream.read())


class Lines(Source):
    """Lines in memory, or any other re-iterable of str. Every pass must give the same lines, and that is checked."""

    def __init__(self, lines: Iterable[str], errors: Errors = "strict"):
        self._lines, self._errors = lines, errors
        self._seals: list[int] = []  # the hash of every batch seen so far
        self._complete = False

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        lines = batches = 0
        for batch in self._batches(ledger):
            seal = hash(tuple(batch))
            if batches == len(self._seals) and not self._complete:
                self._seals.append(seal)
            elif batches == len(self._seals):
                raise _changed(f"there were {lines:,} lines, and now there are more")
            elif seal != self._seals[batches]:
                raise _changed(
                    f"something from line {lines + 1:,} to {lines + len(batch):,} is not what it was, or is gone"
                )
            yield batch
            lines += len(batch)
            batches += 1
        if batches < len(self._seals):
            raise _changed(f"there were more than {lines:,} lines, and now there are no more")
        self._complete = True

    def _batches(self, ledger: Ledger) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for number, line in enumerate(self._lines, 1):
            if not isinstance(line, str):
                raise not_a_line(number, line)
            if "\n" in line:
                if line.endswith("\r\n"):
                    ledger.crlf += 1
                    line = line[:-2]
                elif line.endswith("\n"):
                    line = line[:-1]
                if "\n" in line:
                    raise CorpusError(
                        f"line {number:,} of the list has a line end inside. Split it first, as in text.split('\\n')."
                    )
            batch.append(line)
            size += len(line)
            if len(batch) == _BATCH or size > _CHARACTERS:
                yield self._sound(batch, number, ledger)
                batch = []
                size = 0
        if batch:
            yield self._sound(batch, number, ledger)

    def _sound(self, batch: list[str], last: int, ledger: Ledger) -> list[str]:
        try:
            "".join(batch).encode()
        except UnicodeEncodeError:
            first = last - len(batch) + 1
            return [
                replace_surrogates(line, f"line {number:,} of the list", self._errors, ledger)
                for number, line in enumerate(batch, first)
            ]
        return batch


def _changed(what: str) -> CorpusError:
    return CorpusError(
        f"the lines given are not the same in every pass: {what}. A corpus is read several times. "
        "Pass list(lines), or spool=True to copy them to a temporary file first."
    )


class Chain(Source):
    """Several corpora, one after the other."""

    def __init__(self, corpora: list[Corpus]):
        self._corpora = corpora

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        for corpus in self._corpora:
            yield from corpus._source.batches(ledger)

    def size(self) -> int | None:
        sizes = [corpus.size_hint for corpus in self._corpora]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def files(self) -> list[tuple[Path, str, str | None]]:
        return list(chain.from_iterable(corpus.files() for corpus in self._corpora))


class View(Source):
    """A part or change of another corpus, the base."""

    def __init__(self, base: Corpus):
        self._base = base

    def files(self) -> list[tuple[Path, str, str | None]]:
        return self._base.files()

    def _tell_of_base(self, ledger: Ledger) -> None:
        """Note in the ledger of a part what was mended in reading all of the base: nobody knows in which lines."""
        base = self._base.ledger
        told = [*base.notes, *(f"In reading all of {self._base.name}: {sentence}" for sentence in base.mended())]
        ledger.notes += [note for note in told if note not in ledger.notes]


class Hashed(View):
    """The lines whose share of 1, by content, is in a range. What was mended in reading the base becomes notes."""

    def __init__(self, base: Corpus, share_of: Callable[[str], float], limits: Callable[[], tuple[float, float]]):
        super().__init__(base)
        self._share_of, self._limits = share_of, limits

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        low, high = self._limits()
        share_of = self._share_of
        for batch in self._base.batches():
            if kept := [line for line in batch if low <= share_of(line) < high]:
                yield kept
        self._tell_of_base(ledger)


class AtLeastOne:
    """The limit below which lines are held out: the share asked for, or more where no line lies below it."""

    def __init__(self, base: Corpus, share: float):
        self._base, self._share = base, share
        self._limit: float | None = None

    def __call__(self) -> float:
        if self._limit is None:
            smallest = 1.0
            for batch in self._base._source.batches(Ledger()):
                smallest = min(smallest, *map(splitting.held_out_share_of, batch))
                if smallest < self._share:
                    break
            self._limit = self._share if smallest < self._share else smallest + 2**-32
        return self._limit


class Block(View):
    """Lines start..stop, which depend on how many there are. What was mended in reading the base becomes notes."""

    def __init__(self, base: Corpus, limits: Callable[[int], tuple[int, int]]):
        super().__init__(base)
        self._limits = limits

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        start, stop = self._limits(self._base.read().lines)
        self._tell_of_base(ledger)
        at = 0
        for batch in self._base._source.batches(Ledger()):
            if at >= stop:
                return
            if kept := batch[max(start - at, 0) : stop - at]:
                yield kept
            at += len(batch)


class Distinct(View):
    """Each line of a corpus once, where it first occurs, and all blank lines; the ledger counts the others.

    Which lines are repeated is found out once, in bounded memory; that is a bit for each.
    """

    def __init__(self, base: Corpus):
        super().__init__(base)
        self._repeated: tuple[int, NDArray[np.uint8]] | None = None

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        if self._repeated is None:
            self._repeated = repeated_lines(chain.from_iterable(self._base._source.batches(Ledger())))
        count, bits = self._repeated
        at = 0
        for batch in self._base._source.batches(ledger):
            end = at + len(batch)
            if end > count:
                raise CorpusError(
                    f"{self._base.name} was changed while it was in use. Start again, and leave it alone."
                )
            repeated = np.unpackbits(bits[at >> 3 : (end + 7) >> 3])[at & 7 :][: len(batch)].astype(bool)
            at = end
            if repeated.any():
                marks = [mark and bool(line.strip()) for mark, line in zip(repeated.tolist(), batch, strict=True)]
                dropped = list(compress(batch, marks))
                ledger.duplicates_dropped += len(dropped)
                ledger.duplicate_characters += sum(map(len, dropped))
                batch = list(compress(batch, map(not_, marks)))
            if batch:
                yield batch


class Sentences(View):
    """The lines of a corpus cut into sentences; blank lines stay. What lies between two sentences is counted."""

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        found: list[str] = []
        for batch in self._base._source.batches(ledger):
            for line in batch:
                left, parts = len(line), 0
                for sentence in iterate_sentences(line) if line and not line.isspace() else (line,):
                    found.append(sentence)
                    parts += 1
                    left -= len(sentence)
                    if len(found) == _BATCH:
                        yield found
                        found = []
                ledger.characters_between += left
                ledger.lines_split += parts > 1
                ledger.sentences_added += parts - 1
        if found:
            yield found

    def size(self) -> int | None:
        return self._base.size_hint
