"""Where the lines of a corpus come from: files, standard input, memory, or a part of another corpus.

Each gives its lines in lists, as often as asked, and counts in a ledger what only it sees.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from textdl.corpus import split as splitting
from textdl.corpus.ledger import Ledger
from textdl.corpus.reading import Errors, is_compressed, read_lines
from textdl.errors import CorpusError, TextTypeError, UsageError

if TYPE_CHECKING:
    from textdl.corpus.corpus import Corpus

_BATCH = 4096


class Source(Protocol):
    """Where lines come from. A pass may be begun any number of times."""

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        r"""Lines without line ends, in lists; counts in the ledger what only the source sees (\r\n, marks, ...)."""

    def size(self) -> int | None:
        """Bytes of text in UTF-8 or nearly, where that is known without reading."""


def not_a_line(number: int, item: object) -> TextTypeError:
    hint = ""
    if isinstance(item, (list, tuple)):
        hint = " Lines are raw text: textdl tokenizes them itself; join the pieces and use --tokenizer whitespace."
    elif isinstance(item, bytes):
        hint = ' Decode it, as in item.decode("utf-8").'
    elif isinstance(item, os.PathLike):
        hint = " A list holds lines or paths, not both."
    return TextTypeError(f"line {number:,} is a {type(item).__name__}, not a str.{hint}")


class Files:
    """Files, one after the other."""

    def __init__(self, files: list[tuple[Path, str]], encoding: str, errors: Errors, kept: object = None):
        self._files, self._encoding, self._errors = files, encoding, errors
        self._kept = kept  # a temporary file lives as long as what refers to it
        self._stamps: dict[Path, tuple[int, int]] = {}

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        for path, name in self._files:
            with suppress(OSError):  # reading will say what is wrong
                status = path.stat()
                stamp = status.st_size, status.st_mtime_ns
                if self._stamps.setdefault(path, stamp) != stamp:
                    raise CorpusError(
                        f"{name} was changed while it was in use. Start again, and leave it alone till the end."
                    )
            yield from read_lines(path, name, self._encoding, self._errors, ledger)

    def size(self) -> int | None:
        try:
            if any(is_compressed(path) for path, _ in self._files):
                return None
            return sum(path.stat().st_size for path, _ in self._files)
        except OSError:
            return None


class Spooled:
    """Standard input or a pipe: copied to a temporary file by the first pass, so that there can be others."""

    def __init__(self, open_stream: Callable[[], IO[bytes]], name: str, encoding: str, errors: Errors):
        self._open_stream, self._name, self._encoding, self._errors = open_stream, name, encoding, errors
        self._files: Files | None = None

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        if self._files is None:
            with tempfile.NamedTemporaryFile(prefix="textdl-", delete=False) as out:
                path = Path(out.name)
                weakref.finalize(self, path.unlink, missing_ok=True)
                with self._open_stream() as stream:
                    shutil.copyfileobj(stream, out, 1 << 20)
            self._files = Files([(path, self._name)], self._encoding, self._errors)
        yield from self._files.batches(ledger)

    def size(self) -> int | None:
        return self._files.size() if self._files else None


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


class Lines:
    """Lines in memory, or any other re-iterable of str."""

    def __init__(self, lines: Iterable[str]):
        self._lines = lines

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        batch: list[str] = []
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
            if len(batch) == _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def size(self) -> int | None:
        return None


class Chain:
    """Several corpora, one after the other."""

    def __init__(self, corpora: list[Corpus]):
        self._corpora = corpora

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        for corpus in self._corpora:
            yield from corpus._source.batches(ledger)

    def size(self) -> int | None:
        sizes = [corpus.size_hint for corpus in self._corpora]
        return None if None in sizes else sum(size for size in sizes if size is not None)


class Hashed:
    """The lines whose share of 1, by content, is in a range. What was mended in reading is in the base's ledger."""

    def __init__(self, base: Corpus, share_of: Callable[[str], float], limits: Callable[[], tuple[float, float]]):
        self._base, self._share_of, self._limits = base, share_of, limits

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        low, high = self._limits()
        share_of = self._share_of
        for batch in self._base._source.batches(Ledger()):
            check_encodable(batch, self._base.name)
            if kept := [line for line in batch if low <= share_of(line) < high]:
                yield kept

    def size(self) -> int | None:
        return None


class AtLeastOne:
    """The limit below which lines are held out: the share asked for, or more where no line lies below it."""

    def __init__(self, base: Corpus, share: float):
        self._base, self._share = base, share
        self._limit: float | None = None

    def __call__(self) -> float:
        if self._limit is None:
            smallest = 1.0
            for batch in self._base._source.batches(Ledger()):
                check_encodable(batch, self._base.name)
                smallest = min(smallest, *map(splitting.held_out_share_of, batch))
                if smallest < self._share:
                    break
            self._limit = self._share if smallest < self._share else smallest + 2**-32
        return self._limit


class Block:
    """Lines start..stop, which depend on how many there are. What was mended in reading is in the base's ledger."""

    def __init__(self, base: Corpus, limits: Callable[[int], tuple[int, int]]):
        self._base, self._limits = base, limits

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        start, stop = self._limits(self._base.read().lines)
        at = 0
        for batch in self._base._source.batches(Ledger()):
            if at >= stop:
                return
            if kept := batch[max(start - at, 0) : stop - at]:
                yield kept
            at += len(batch)

    def size(self) -> int | None:
        return None


class Distinct:
    """Each line of a corpus once, where it first occurs; the ledger counts the others."""

    def __init__(self, base: Corpus):
        self._base = base

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        seen: set[int] = set()
        for batch in self._base._source.batches(ledger):
            check_encodable(batch, self._base.name)
            kept = []
            for line in batch:
                if (fingerprint := splitting.line_fingerprint(line)) in seen:
                    ledger.duplicates_dropped += 1
                else:
                    seen.add(fingerprint)
                    kept.append(line)
            if kept:
                yield kept

    def size(self) -> int | None:
        return None


def check_encodable(batch: Collection[str], name: str) -> None:
    try:
        "".join(batch).encode()
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{name}: a lone surrogate ({error.object[error.start]!r}) is no character. Mend the text."
        ) from error
