r"""ARPA files: n-gram models as text, the form that KenLM, SRILM and others exchange.

    \data\
    ngram 1=5
    ...
    \2-grams:
    log10 p <tab> words separated by spaces <tab> log10 back-off (left out for the highest order)
    \end\

Written: words in their written form (`vocabulary.escape`), which has no white space. <s> is given
probability 1 as lmplz does: its line is there for the back-off weight, and nobody predicts <s>. A
probability or weight of 0, which only mle has, is -99, as SRILM's ngram-format(5) defines. add-k has no
ARPA form: what it gives to unseen words does not depend on a shorter context.

Read: KenLM's, SRILM's and the CMU toolkit's dialects. Text before \data\, blank lines, a space for a tab or beside it,
\r\n, a byte-order mark; back-off weights left out, -99 and -inf for 0; <UNK> for <unk>; n-grams in any
order, and longer ones without the shorter ones they begin or end with. What KenLM says of a file is
what the model says: an <unk> that the file lacks has log10 p = -100.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from textdl import scratch
from textdl.encoded import BOS
from textdl.errors import ModelError, UsageError
from textdl.ngram import MAX_ORDER
from textdl.ngram.model import NgramModel
from textdl.storage import FULL, is_model, reason
from textdl.vocabulary import Vocabulary

LN10 = math.log(10)
ZERO = -99.0
"""log10 of 0 by SRILM's convention."""


class Entry(NamedTuple):
    """A line of an ARPA file."""

    words: tuple[str, ...]
    """As they stand there."""
    log10_p: float
    log10_backoff: float
    """0.0 where the file has none."""


# --- writing


def write(model: NgramModel, vocab: Vocabulary, path: Path) -> None:
    """Write the model so that KenLM can load it; compressed where the name ends in .gz.

    The file is complete or not there. Memory does not grow with the model.

    Raises:
        UsageError: the vocabulary is another model's, the smoothing is add-k, or see `check_target`.
        ModelError: there is no room for the file.
    """
    check_target(path)
    if len(vocab) != model.vocab_size:
        raise UsageError(f"A vocabulary of {len(vocab)} does not belong to a model with one of {model.vocab_size}.")
    if model.smoothing == "add-k":
        raise UsageError(
            "A model with --smoothing add-k has no ARPA form: what it gives to a word that it did not see after a "
            "context is the same for all words, and ARPA files can only say a multiple of what the shorter context "
            "gives. Train with another smoothing."
        )
    sizes = model.describe()["ngrams"]
    written = np.array([vocab.written(i) for i in range(len(vocab))], dtype=object)
    try:
        with _replacing(path) as file:
            file.write("\\data\\\n" + "".join(f"ngram {n}={size}\n" for n, size in enumerate(sizes, 1)))
            for n in range(1, model.order + 1):
                file.write(f"\n\\{n}-grams:\n")
                for words, logp, backoff in model.ngrams(n):
                    logs = np.maximum(logp / LN10, ZERO)
                    if n == 1:
                        logs[words[:, 0] == BOS] = 0.0
                    columns: list[Any] = [logs, *written[words].T]
                    if n < model.order:
                        columns.append(np.maximum(backoff / LN10, ZERO))
                    form = "%.7g\t" + " ".join(["%s"] * n) + ("\t%.7g\n" if n < model.order else "\n")
                    for start in range(0, len(logs), _ROWS):  # many at once: half the time; all: much memory
                        part = [column[start : start + _ROWS].astype(object) for column in columns]
                        rows = np.stack(part, axis=1)
                        file.write(form * len(rows) % tuple(rows.ravel().tolist()))
            file.write("\n\\end\\\n")
    except OSError as error:
        if error.errno in FULL:
            raise ModelError(
                f"the ARPA file {path} cannot be written: {reason(error)}. Make room there, or name a file on a larger "
                "disk; .gz takes a third of the room."
            ) from error
        raise UsageError(f"{path} cannot be written ({error.strerror or error}). Choose another name.") from error


_ROWS = 1 << 14
"""Lines that are made into text together."""


def check_target(path: Path) -> None:
    """Look whether an ARPA file may be written there, before anything is done for it.

    Only an older ARPA file is replaced: a slip of the hand would else cost a corpus, a dictionary or a model.

    Raises:
        UsageError: there is no such directory, it is a model's, nothing can be written there, or another file would be lost.
    """
    if path.name == "-":
        raise UsageError(f"{path}: an ARPA file is not written to `-`. Name a file, or /dev/stdout.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: expected a file in a directory that exists.")
    path = path.resolve()
    if is_model(path.parent):
        raise UsageError(
            f"{path} would be a file among those of the model {path.parent}. Name one beside the directory."
        )
    if path.exists() and not path.is_file():  # a pipe or a device
        return
    try:
        if path.exists():
            with path.open("rb+"), plain_or_gz(path) as file:
                head = file.read(_HEAD)
            if head.strip() and not _BEGIN.search(head):
                raise UsageError(f"{path} is there and is no ARPA file; it would be lost. Name another one.")
        with _unfinished(path):
            pass
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be written ({reason}). Choose another name.") from error


_HEAD = 1 << 12
_BEGIN = re.compile(rb"^[ \t]*\\data\\", re.MULTILINE)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A file that takes the place of `path` when it is whole. Pipes and devices are written to as they are."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    path = path.resolve()  # of a link, what it points to
    with _unfinished(path) as (part, raw):
        if path.suffix == ".gz":
            # no name and no time in it: the same model is the same file
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed, _text(packed) as file:
                yield file
        else:
            with _text(raw) as file:
                yield file
        os.replace(part, path)


@contextmanager
def _unfinished(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file beside `path` that is gone afterwards, unless it was renamed. What killed processes left there goes, too."""
    scratch.sweep(path.parent, "textdl-arpa.*")
    part = path.with_name(scratch.mark("textdl-arpa") + secrets.token_hex(4))
    try:
        with part.open("xb") as raw:
            yield part, raw
    finally:
        part.unlink(missing_ok=True)


def _text(binary: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(binary, encoding="utf-8", newline="\n")


# --- reading


Opener = Callable[[Path], AbstractContextManager[IO[bytes]]]


def plain_or_gz(path: Path) -> AbstractContextManager[IO[bytes]]:
    """A file, plain or .gz."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if compressed else path.open("rb")


def read(path: Path, opened: Opener = plain_or_gz) -> Iterator[Entry]:
    """The n-grams of an ARPA file in the order of the file, whatever they say.

    opened: how its bytes are had; by itself, a plain or a .gz file.

    Raises:
        UsageError: there is no such file.
        ModelError: it is not an ARPA file, or ends early; with the number of the line.
    """
    for order, line in ngrams(path, opened):
        p, backoff = line.numbers(order)
        yield Entry(tuple(line.fields[1 : order + 1]), p, backoff)


@dataclass
class _Line:
    """An n-gram's line, cut at spaces and tabs."""

    path: Path
    number: int
    text: str

    @cached_property
    def fields(self) -> list[str]:
        return _fields(self.text)

    def numbers(self, order: int) -> tuple[float, float]:
        """log10 p and log10 back-off."""
        fields = self.fields
        if _EMPTY.search(self.text.strip(" \t")):
            raise self.error(f"expected a {order}-gram whose fields are one space or tab apart, none of them empty")
        try:
            if not order + 1 <= len(fields) <= order + 2 or "_" in fields[0] + fields[-1] * (len(fields) == order + 2):
                raise ValueError  # Python reads 1_0 as 10
            p, backoff = float(fields[0]), float(fields[-1]) if len(fields) == order + 2 else 0.0
        except ValueError:
            raise self.error(f"expected a {order}-gram with its log-probability") from None
        overflow = p == -math.inf and "inf" not in fields[0].lower()
        if not p <= 1e-6 or overflow or not backoff < _LARGEST:
            raise self.error("expected a log-probability of at most 0 and a back-off weight that is a number")
        return min(p, 0.0), backoff

    def error(self, expected: str) -> ModelError:
        return wrong(self.path, self.number, expected, self.text)


def wrong(path: Path, number: int, expected: str, found: str) -> ModelError:
    return ModelError(f"{path}, line {number}: {expected}, got {found[:60]!r}")


def _fields(text: str) -> list[str]:
    return [part for part in text.replace("\t", " ").split(" ") if part]


_EMPTY = re.compile("  |\t\t")
_LARGEST = 38.0
"""Of log10 back-offs: 10 to more than that is beyond float32."""
_SIZE = re.compile(r"ngram[ \t]+(\d{1,9})[ \t]*=[ \t]*(\d{1,18})")
_TEXT = 1 << 22
"""Bytes of a file at a time."""
_LONGEST = 1 << 26
"""Bytes of a line: more is not of an ARPA file."""


class Lines:
    r"""A file in blocks that end with a line, and where in the block one is. The next block is read meanwhile.

    Lines end at \n: other line ends are text. A byte-order mark is skipped.
    """

    def __init__(self, file: IO[bytes], path: Path, pool: ThreadPoolExecutor):
        self._path, self._pool = path, pool
        self._some: Callable[[int], bytes] = getattr(file, "read1", file.read)  # what there is before an error
        self._failed: Exception | None = None
        self._rest = b""
        self.block = b""
        self.at = self.number = 0
        """The first byte that was not taken yet; lines taken."""
        self._coming: Future[bytes] = pool.submit(self._read)

    def next(self) -> str | None:
        """The next line, without its end; None behind the last."""
        if self.at == len(self.block) and not self.fill():
            return None
        end = self.block.find(b"\n", self.at)
        raw = self.block[self.at : end if end >= 0 else len(self.block)]
        self.at += len(raw) + (end >= 0)
        self.number += 1
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise ModelError(
                f"{self._path}, line {self.number:,}: not UTF-8 (byte 0x{raw[error.start]:02x}). Convert the file, as "
                "with `iconv -f latin1 -t utf-8` where it is in Latin-1, or copy it again."
            ) from error

    def fill(self) -> bool:
        """Go to the next block; False where there is none."""
        parts, cut = [self._rest], 0
        while not cut:
            data = self._coming.result()
            if data:
                self._coming = self._pool.submit(self._read)
            cut = data.rfind(b"\n") + 1 if data else -1
            parts.append(data[:cut] if cut > 0 else data)
            if sum(map(len, parts)) > _LONGEST:
                raise ModelError(
                    f"{self._path}, line {self.number + 1:,}: it is longer than 64 MB, so not of an ARPA file."
                )
        self.block, self._rest = b"".join(parts), data[cut:] if cut > 0 else b""
        self.at = 3 if self.number == 0 and self.block.startswith(b"\xef\xbb\xbf") else 0
        return self.at < len(self.block)

    def _read(self) -> bytes:
        parts, size = [], 0
        try:
            if self._failed is not None:
                raise self._failed
            while size < _TEXT and (data := self._some(_TEXT - size)):
                parts.append(data)
                size += len(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            if not parts:
                raise
            self._failed = error
        return b"".join(parts)


def ngrams(
    path: Path,
    opened: Opener,
    sizes: list[int] | None = None,
    in_bulk: Callable[[int, Lines, int], int] = lambda order, lines, left: 0,  # noqa: ARG005
) -> Iterator[tuple[int, _Line]]:
    """The lines with n-grams, each with its order.

    sizes: gets the numbers that the file announces. in_bulk: takes lines of an order itself, so many at most,
    and says how many it took; what it leaves is yielded.
    """
    try:
        with opened(path) as file, ThreadPoolExecutor(1) as pool:
            lines = Lines(file, path, pool)
            try:
                yield from _parsed(lines, path, [] if sizes is None else sizes, in_bulk)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ModelError(
                    f"{path}, after line {lines.number:,}: the compressed data is damaged or cut off ({error}). "
                    "Copy it again."
                ) from error
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such ARPA file. Check the path.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read as an ARPA file ({error}). Copy it again.") from error


def _parsed(
    lines: Lines, path: Path, sizes: list[int], in_bulk: Callable[[int, Lines, int], int]
) -> Iterator[tuple[int, _Line]]:
    order = left = 0
    begun = False
    while True:
        if left:
            left -= in_bulk(order, lines, left)
        line = lines.next()
        if line is None:
            break
        line = line.rstrip("\r")
        fields = _fields(line)
        if not fields:
            continue
        if left and not (fields[0][0] == "\\" and len(fields) == 1):
            left -= 1
            yield order, _Line(path, lines.number, line)
            continue
        text = " ".join(fields)
        if not begun:
            begun = text == "\\data\\"
        elif order == 0 and text.startswith("ngram"):
            match = _SIZE.fullmatch(text)
            if not match or int(match[1]) != len(sizes) + 1 or len(sizes) == MAX_ORDER:
                raise wrong(path, lines.number, f"expected `ngram {len(sizes) + 1}=COUNT`", text)
            sizes.append(int(match[2]))
        elif text.startswith("\\"):
            if left:
                raise ModelError(
                    f"{path}, line {lines.number}: {left:,} {order}-grams are missing before {text[:60]!r}"
                )
            wanted = f"\\{order + 1}-grams:" if order < len(sizes) else "\\end\\"
            if text != wanted or not sizes:
                raise wrong(path, lines.number, f"expected {wanted if sizes else 'ngram 1=COUNT'}", text)
            if text == "\\end\\":
                return
            left = sizes[order]
            order += 1
        else:
            expected = "expected the next section of an ARPA file"
            if order:
                expected += f", since `ngram {order}={sizes[order - 1]}` are all read"
            raise wrong(path, lines.number, expected, text)
    if not begun:
        raise ModelError(f"{path} has no line \\data\\: it is not an ARPA file.")
    raise ModelError(
        f"{path} ends after line {lines.number} without \\end\\: it is not a whole ARPA file. Copy it again."
    )
