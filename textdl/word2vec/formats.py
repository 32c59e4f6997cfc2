r"""Word vectors in the formats others read: word2vec text (fastText's .vec is the same), GloVe's, word2vec binary.

word2vec begins with a line `words dim`. Text then has a line per word, `word n n n ...`; binary the word, a space,
and the numbers as little-endian float32. GloVe's text has no first line. None of them can hold white space in a
word, so words are written in the form `vocabulary.escape` gives them and read back through `unescape`; words of
others that do have spaces are read too, since a line is taken from the right. Counts are not part of the formats.
Lines end at \n only.

What cannot be taken as it stands is left out or mended, and counted: `Imported.notes`. A file that is cut short or
does not keep to its first line is an error.

Reading goes through the file once, a block at a time, and holds the matrix and little more. Numbers are parsed by
`formats_kernels.parse`; `parse_line` is the same for a person, and takes what the kernel leaves.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np

from textdl.errors import ModelError, UsageError
from textdl.vocabulary import SPECIALS, Vocabulary, unescape
from textdl.word2vec.vectors import Floats, Vectors, cores

Layout = Literal["text", "headerless", "binary"]
Opener = Callable[[Path], AbstractContextManager[IO[bytes]]]

TEXT = (".txt", ".vec")
SUFFIXES = (*TEXT, ".bin")
_CHUNK = 1 << 23
"""Bytes read at a time."""
_HEAD = 1 << 16
"""Bytes that say what a file is."""
_ROWS = 1 << 12
_LONGEST_WORD = 10_000
"""Bytes of a word in a binary file; more is not a word."""
_LONGEST_LINE = 1 << 24
_BLANK = re.compile(rb"[ \t]")
_HEADER = re.compile(rb"[ \t]*(\d{1,12})[ \t]+(\d{1,12})[ \t\r]*\Z")
_GENSIM = (
    "a pickle, as gensim writes, which can run any code when it is opened, so textdl does not read it. If you trust it, convert it with "
    "gensim: KeyedVectors.load({name!r}).save_word2vec_format('vectors.bin', binary=True) (of a .model: "
    "Word2Vec.load(...).wv), and give vectors.bin."
)
FOREIGN = {
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), _GENSIM),
    b"\xba\x16\x4f\x2f": "fastText's own model, which only fastText reads. Give the .vec that it writes beside it.",
    b"\x93NUMPY": "a numpy array, without words. Give the file that has the words too.",
    b"PK\x03\x04": "a zip archive. Unpack it and give the file inside.",
}
"""First bytes of files that are not read: what they are, and what to do."""
_COMPRESSED = {
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard. Unpack it first; `textdl import` takes it as it is.",
    b"BZh": "compressed with bzip2. Unpack it first; `textdl import` takes it as it is.",
    b"\xfd7zXZ": "compressed with xz. Unpack it first; `textdl import` takes it as it is.",
}


# --- writing


def write_text(vectors: Vectors, path: Path, *, header: bool = True) -> None:
    """word2vec text, or without its first line GloVe's. Nine digits: reading gives the same float32.

    Compressed where the name ends in .gz, as in the other writers.
    """
    first = len(SPECIALS)
    row = " ".join(["%.9g"] * vectors.dim) + "\n"
    with _created(path) as out:
        if header:
            out.write(f"{len(vectors.vectors) - first} {vectors.dim}\n".encode())
        for begin in range(first, len(vectors.vectors), _ROWS):
            rows = vectors.vectors[begin : begin + _ROWS].astype(np.float32).tolist()
            lines = [f"{vectors.vocab.written(i)} {row % tuple(numbers)}" for i, numbers in enumerate(rows, begin)]
            out.write("".join(lines).encode())


def write_binary(vectors: Vectors, path: Path) -> None:
    """word2vec binary, a line end after each word's numbers, as word2vec.c writes it."""
    first = len(SPECIALS)
    with _created(path) as out:
        out.write(f"{len(vectors.vectors) - first} {vectors.dim}\n".encode())
        for begin in range(first, len(vectors.vectors), _ROWS):
            rows = vectors.vectors[begin : begin + _ROWS].astype("<f4")
            parts = [vectors.vocab.written(i).encode() + b" " + row.tobytes() for i, row in enumerate(rows, begin)]
            out.write(b"\n".join((*parts, b"")))


def escaped(vocab: Vocabulary) -> list[str]:
    """A sentence on the words that are not written as they are spelled; none where there are none."""
    first = len(SPECIALS)
    other = [(piece, vocab.written(i)) for i, piece in enumerate(vocab.pieces, first) if vocab.written(i) != piece]
    if not other:
        return []
    shown = ", ".join(f"{piece!r} as {written}" for piece, written in other[:3])
    return [
        f"{len(other):,} word{'s are' if len(other) > 1 else ' is'} not written as spelled, since these formats have no white "
        f"space in words and others take <s> and <unk> for their own: {shown}{', ...' * (len(other) > 3)}. textdl reads them back."
    ]


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when it is whole."""
    part = path.with_name(path.name + ".part")
    try:
        with cast(IO[bytes], gzip.open(part, "wb", 6)) if path.suffix == ".gz" else part.open("wb") as out:
            yield out
        os.replace(part, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot write it ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


# --- reading


@dataclass
class Imported:
    """What was read from a file, and what could not be taken as it stood."""

    vectors: Vectors
    layout: Layout
    bad_bytes: int = 0
    """Words that were not UTF-8: the bad bytes became U+FFFD."""
    repeated: int = 0
    """Words met before: the first stays."""
    nameless: int = 0
    """Vectors whose word is empty; left out."""
    not_finite: int = 0
    """Vectors with a number that is not finite, or not as a float32; left out."""
    specials: list[str] = field(default_factory=list)
    """Words that name specials, which have no vectors here; left out. word2vec.c writes </s> first."""

    def notes(self) -> list[str]:
        """Sentences for a person; none where all went well."""
        said: list[str] = []
        if self.bad_bytes:
            said.append(f"{self.bad_bytes:,} words were not UTF-8; their bad bytes were replaced by U+FFFD.")
        if self.repeated:
            said.append(f"{self.repeated:,} words came more than once; the first vector of each was kept.")
        if self.nameless:
            said.append(f"{self.nameless:,} vectors had no word before them and were left out.")
        if self.not_finite:
            said.append(f"{self.not_finite:,} vectors had numbers that are not finite (nan, inf) and were left out.")
        if self.specials:
            said.append(f"Left out, as they are not words: {', '.join(self.specials)}.")
        return said


def layout(head: bytes) -> Layout | None:
    """How word vectors are laid out in a file that begins so; None where it is no file of word vectors."""
    first, end, rest = head.partition(b"\n")
    second = rest.partition(b"\n")[0]
    if match := _HEADER.match(first):
        if not rest or parse_line(second, int(match[2])) is not None:
            return "text" if end else None
        return "binary" if re.search(rb"[\x00-\x08\x0e-\x1f]", rest) else "text"
    fields = len(_BLANK.split(first.rstrip(b" \t\r"))) - 1
    if fields < 2 or (row := parse_line(first, fields)) is None or not np.isfinite(row[1]).all():
        return None
    alike = not rest or (b"\n" not in rest and len(head) >= _HEAD) or parse_line(second, fields) is not None
    return "headerless" if alike else None


def _opened(path: Path) -> AbstractContextManager[IO[bytes]]:
    """A file, plain or .gz."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if compressed else path.open("rb")


def read(
    path: Path,
    *,
    binary: bool | None = None,
    limit: int | None = None,
    escaped: bool = True,
    opened: Opener = _opened,
) -> Imported:
    """Word vectors from a file in word2vec text or binary, fastText's .vec or GloVe's text.

    Args:
        binary: None: what the file looks like, and where that is not clear, its name: `.bin` is binary.
        limit: read the first so many words only; the most frequent, as such files are written.
        escaped: words are in the written form of `vocabulary.escape`; False: they stand for themselves.
        opened: how its bytes are had; by itself, a plain or a .gz file.

    Raises:
        UsageError: no such file, or one of another kind; says what it is and what to do.
        ModelError: the file is cut short or not of the format; says at which line (text) or word (binary).
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; expected a number of words, 1 or more")
    try:
        with path.open("rb") as plain:
            raw, size = plain.read(16), plain.seek(0, os.SEEK_END)
        for mark, told in (FOREIGN | (_COMPRESSED if opened is _opened else {})).items():
            if raw.startswith(mark):
                raise UsageError(f"{path} is {told.format(name=path.name)}")
        with opened(path) as file:
            head = _exactly(file, _HEAD)
        return _read(path, head, binary, limit, unescape if escaped else str, opened, size * head.startswith(raw))
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise _damaged(path, error) from error
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: the compressed data is damaged or cut off ({error}). Copy it again.")


def _read(
    path: Path,
    head: bytes,
    binary: bool | None,
    limit: int | None,
    as_piece: Callable[[str], str],
    opened: Opener,
    size: int,
) -> Imported:
    """size: of the file; 0 where it is compressed."""
    found = layout(head)
    if binary is None and found != "headerless":
        binary = found == "binary" or Path(path.name.removesuffix(".gz")).suffix == ".bin"
    if found == "headerless" and not binary:
        words, dim, start = _lines(path, opened), len(_BLANK.split(head.partition(b"\n")[0].rstrip(b" \t\r"))) - 1, 0
    else:
        first = head.partition(b"\n")[0]
        found = "binary" if binary else "text"
        words, dim = _header(path, first)
        start = len(first) + 1
    wanted = words if limit is None else min(words, limit)
    least = wanted * (4 * dim + 2 if binary else 2 * dim + 1)
    if size and start + least > size + 1:  # before anything of that size is asked for
        if not binary:
            _check_row(path, head.split(b"\n", 2)[1:], dim)
        raise ModelError(
            f"{path}, line 1: {words:,} words of {dim:,} numbers need {least:,} bytes or more, the file has {size:,}: "
            f"it is cut short{'' if binary else ', or it is binary, and its name does not end in .bin'}. Copy it again."
        )
    table = _Table(path, found, wanted, dim, as_piece)
    with opened(path) as file:
        _exactly(file, start)
        whole = limit is None or limit >= words
        if binary:
            _read_binary(file, path, table, wanted, whole)
        else:
            _read_text(file, path, table, wanted, whole, found == "text")
    return table.imported()


def _exactly(file: IO[bytes], size: int) -> bytes:
    """So many bytes, or all there are."""
    parts: list[bytes] = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _lines(path: Path, opened: Opener) -> int:
    """Lines of a file, an unfinished one included."""
    number, last = 0, b"\n"
    with opened(path) as file:
        while data := file.read(_CHUNK):
            number, last = number + data.count(b"\n"), data[-1:]
    return number + (last != b"\n")


def _header(path: Path, line: bytes) -> tuple[int, int]:
    match = _HEADER.match(line)
    if match is None or int(match[2]) == 0:
        raise ModelError(
            f"{path}, line 1: expected two whole numbers, words and dim, or a word and its numbers, got {line[:60]!r}. "
            "Is it word2vec text or binary, fastText's .vec or GloVe's text?"
        )
    return int(match[1]), int(match[2])


class _Table:
    """The words and the matrix as they fill."""

    def __init__(self, path: Path, found: Layout, words: int, dim: int, as_piece: Callable[[str], str]) -> None:
        self._path, self._pieces, self._as_piece = path, dict[str, None](), as_piece
        try:
            self._matrix: Floats = np.empty((len(SPECIALS) + words, dim), np.float32)
        except (MemoryError, ValueError) as error:
            raise ModelError(
                f"{path}: {words:,} words of {dim:,} numbers need {4e-9 * words * dim:,.1f} GB of memory. If its first "
                "line is right, limit=N reads the first N words only."
            ) from error
        self._matrix[: len(SPECIALS)] = 0
        self._told = Imported(Vectors(None, self._matrix[: len(SPECIALS)]), found)
        self.dim = dim

    def take(self, words: Sequence[bytes], rows: Floats) -> None:
        """The next words (n) with their vectors (n, dim)."""
        told, pieces, kept = self._told, self._pieces, []
        finite: list[bool] = np.isfinite(rows).all(axis=1).tolist()  # type: ignore[assignment]
        begin = len(SPECIALS) + len(pieces)
        for i, raw in enumerate(words):
            try:
                written = raw.decode("utf-8")
            except UnicodeDecodeError:
                written = raw.decode("utf-8", "replace")
                told.bad_bytes += 1
            if not written:
                told.nameless += 1
            elif written in SPECIALS:
                told.specials.append(written)
            elif not finite[i]:
                told.not_finite += 1
            elif (piece := self._as_piece(written)) in pieces:
                told.repeated += 1
            else:
                pieces[piece] = None
                kept.append(i)
        self._matrix[begin : begin + len(kept)] = rows if len(kept) == len(rows) else rows[kept]

    def imported(self) -> Imported:
        if not self._pieces and self._told.notes():
            raise ModelError(f"{self._path} has no word vector that can be used. {' '.join(self._told.notes())}")
        self._told.vectors = Vectors(Vocabulary(list(self._pieces)), self._matrix[: len(SPECIALS) + len(self._pieces)])
        return self._told


def parse_line(line: bytes, dim: int) -> tuple[bytes, Floats] | None:
    """The word and the numbers of a line; None where it has not `dim` numbers behind a word.

    From the right: files of others have words with spaces, and fastText ends lines with one. What
    `formats_kernels.parse` does, but for a word with spaces, which it leaves.
    """
    line = line.rstrip(b" \t\r\n")
    fields = _BLANK.split(line)[-dim:]
    length = sum(map(len, fields)) + dim
    if len(fields) < dim or length > len(line):
        return None
    try:
        if any(b"_" in text for text in fields):  # Python reads 1_0 as 10
            return None
        numbers = list(map(float, fields))
    except ValueError:
        return None
    with np.errstate(over="ignore"):
        return line[: len(line) - length], np.array(numbers, np.float32)


def _read_text(file: IO[bytes], path: Path, table: _Table, words: int, whole: bool, header: bool) -> None:
    from textdl.word2vec.formats_kernels import parse

    dim, done, before = table.dim, 0, int(header)
    rest = b""
    with ThreadPoolExecutor(cores()) as pool:
        while done < words or whole:
            data = file.read(_CHUNK)
            if not data and not rest:
                break
            text = rest + data
            cut = text.rfind(b"\n") + 1 if data else len(text)
            text, rest = text[:cut], text[cut:]
            if len(rest) > _LONGEST_LINE:
                raise ModelError(f"{path}, line {before + done + 1}: it does not end; no file of word vectors.")
            codes = np.frombuffer(text, np.uint8)
            ends = np.flatnonzero(codes == 10)
            if text and not text.endswith(b"\n"):
                ends = np.append(ends, len(text))
            starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
            if not whole:
                starts, ends = starts[: words - done], ends[: words - done]
            rows = np.empty((len(starts), dim), np.float32)
            word_ends = np.empty(len(starts), np.int64)
            shares = np.linspace(0, len(starts), 4 * cores() + 1).astype(np.int64).tolist()
            for parsed in [
                pool.submit(parse, codes, starts[a:b], ends[a:b], rows[a:b], word_ends[a:b])
                for a, b in pairwise(shares)
            ]:
                parsed.result()
            found = [text[a:b] for a, b in zip(starts.tolist(), word_ends.tolist(), strict=True)]
            for i in np.flatnonzero(word_ends < 0).tolist():
                line = text[starts[i] : ends[i]]
                row = parse_line(line, dim)
                if row is None:
                    if not line.strip(b" \t\r"):  # blank lines may follow the last word, but nothing else
                        if (text[starts[i] :] + rest).strip() or file.read(_CHUNK).strip():
                            raise ModelError(f"{path}, line {before + done + i + 1}: blank, with more lines behind it.")
                        found, rows, rest = found[:i], rows[:i], b""
                        break
                    ends_here = starts[i] + len(line) == len(text) and not text.endswith(b"\n")
                    raise ModelError(
                        f"{path}, line {before + done + i + 1}: expected a word and {dim} numbers, got {line[:60]!r}"
                        f"{'; the file is cut short' if ends_here else ''}."
                    )
                found[i], rows[i] = row
            if not done:
                _check_dim(path, found, dim, before)
            done += len(found)
            if done > words:
                raise ModelError(
                    f"{path}, line {before + words + 1}: more words than the {words:,} that line 1 promises. "
                    f"If the rest is not wanted, limit={words} leaves it."
                )
            table.take(found, rows)
            if not data:
                break
    if header and done < words:
        raise ModelError(
            f"{path}, line {done + 1}: the file ends after {done:,} words, line 1 promises {words:,}: it is cut "
            f"short. Copy it again, or read what is there with limit={done}."
        )


def _check_row(path: Path, lines: Sequence[bytes], dim: int) -> None:
    """Raises ModelError where the first of some lines is whole and has another number of numbers than `dim`."""
    found = len(_BLANK.split(lines[0].strip(b" \t\r"))) - 1 if len(lines) > 1 else 0
    if 0 < found < dim and parse_line(lines[0], found) is not None:
        raise ModelError(f"{path}: line 1 says {dim} numbers, line 2 has {found}. Correct its first line.")


def _check_dim(path: Path, words: Sequence[bytes], dim: int, before: int) -> None:
    """A first line with too small a dim would make numbers part of the words."""
    first = words[:10]
    if first and all(b" " in word and parse_line(word, 1) is not None for word in first):
        more = dim + len(_BLANK.split(first[0])) - 1
        raise ModelError(f"{path}: line 1 says {dim} numbers, line {before + 1} has {more}. Correct its first line.")


def _read_binary(file: IO[bytes], path: Path, table: _Table, words: int, whole: bool) -> None:
    size = 4 * table.dim
    data, at = b"", 0
    found: list[bytes] = []
    rows = np.empty((_ROWS, table.dim), np.float32)
    for number in range(1, words + 1):
        while (space := data.find(b" ", at)) < 0 or space + 1 + size > len(data):
            if (len(data) if space < 0 else space) - at > _LONGEST_WORD:
                break
            more = file.read(max(_CHUNK, size))
            if not more:
                raise ModelError(
                    f"{path}, word {number}: the file ends here, line 1 promises more words: it is cut short. Copy it "
                    f"again, or read what is there with limit={max(1, number - 1)}."
                )
            data, at = data[at:] + more, 0
        if space < 0 or space - at > _LONGEST_WORD:
            raise ModelError(f"{path}, word {number}: no end of the word found; not a word2vec binary file.")
        rows[len(found)] = np.frombuffer(data, "<f4", table.dim, space + 1)
        found.append(data[at:space].lstrip(b"\n"))  # word2vec.c ends a vector with a line end, gensim does not
        at = space + 1 + size
        if len(found) == _ROWS:
            table.take(found, rows)
            found = []
    table.take(found, rows[: len(found)])
    if whole and (data[at:] + file.read(_CHUNK)).strip(b"\n"):
        raise ModelError(
            f"{path}: the file goes on after the {words:,} words of {table.dim} numbers that line 1 promises. "
            f"If line 1 is right, limit={words} leaves the rest; else copy it again."
        )
