r"""Word vectors in the formats others read: word2vec text (also fastText's .vec) and word2vec binary.

Both begin with a line `words dim`. Text then has a line per word, `word n n n ...`; binary the word, a
space, and the numbers as little-endian float32. Neither can hold white space in a word, so words are
written in the form `vocabulary.escape` gives them and read back through `unescape`. A raw `</s>`, as
word2vec.c writes first, or another special is left out on reading: specials have no vectors here.

Counts are not part of the format. Lines end at \n only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from textdl.errors import ModelError, UsageError
from textdl.vocabulary import SPECIALS, Vocabulary, unescape
from textdl.word2vec.vectors import Floats, Vectors

_PICKLES = (".kv", ".model", ".pkl", ".pickle")
_LONGEST = 10_000  # bytes of a word in a binary file; more is not a word


def write_text(vectors: Vectors, path: Path) -> None:
    """word2vec text. Nine digits: reading gives the same float32."""
    first = len(SPECIALS)
    row = " ".join(["%.9g"] * vectors.dim)
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write(f"{len(vectors.vectors) - first} {vectors.dim}\n")
        for i in range(first, len(vectors.vectors)):
            out.write(f"{vectors.vocab.written(i)} {row % tuple(vectors.vectors[i].tolist())}\n")


def write_binary(vectors: Vectors, path: Path) -> None:
    """word2vec binary, a line end after each word's numbers, as word2vec.c writes it."""
    first = len(SPECIALS)
    with path.open("wb") as out:
        out.write(f"{len(vectors.vectors) - first} {vectors.dim}\n".encode())
        for i in range(first, len(vectors.vectors)):
            out.write(vectors.vocab.written(i).encode() + b" ")
            out.write(vectors.vectors[i].astype("<f4").tobytes() + b"\n")


@dataclass
class Imported:
    """What was read from a file, and what could not be taken as it stood."""

    vectors: Vectors
    bad_bytes: int = 0
    """Words that were not UTF-8: the bad bytes became U+FFFD."""
    repeated: int = 0
    """Words met before: the first stays."""
    specials: list[str] = field(default_factory=list)
    """Specials that were left out."""

    def notes(self) -> list[str]:
        """Sentences for a person; none where all went well."""
        said: list[str] = []
        if self.bad_bytes:
            said.append(f"{self.bad_bytes:,} words were not UTF-8; their bad bytes were replaced by U+FFFD.")
        if self.repeated:
            said.append(f"{self.repeated:,} words came more than once; the first vector of each was kept.")
        if self.specials:
            said.append(f"Left out, as they are not words: {', '.join(self.specials)}.")
        return said


def read(path: Path, *, binary: bool | None = None) -> Imported:
    """Word vectors from a file in word2vec text or binary, or fastText's .vec.

    Args:
        binary: None: by the name, `.bin` is binary.

    Raises:
        UsageError: no such file, or a pickle of gensim's.
        ModelError: the file is cut short or not of the format; says at which line (text) or word (binary).
    """
    if path.suffix in _PICKLES:
        raise UsageError(
            f"{path} is a pickle, which can run any code when it is opened, so textdl does not read it. If you trust "
            f"it, convert it with gensim: KeyedVectors.load({path.name!r}).save_word2vec_format('vectors.bin', "
            "binary=True) (for a .model: Word2Vec.load(...).wv), and give vectors.bin."
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.readline(1000)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    words, dim = _header(path, header)
    if binary is None:
        binary = path.suffix == ".bin"
    least = words * (4 * dim + 2) if binary else words * (2 * dim + 1)
    if len(header) + least > size + 1:  # before anything of that size is asked for
        raise ModelError(
            f"{path}, line 1: {words:,} words of {dim:,} numbers need {least:,} bytes or more, the file has {size:,}: "
            f"it is cut short{'' if binary else ' or is not text (give binary=True)'}. Copy it again."
        )
    rows = _binary_rows(path, len(header), words, dim) if binary else _text_rows(path, words, dim)
    result = Imported(Vectors(None, np.zeros((len(SPECIALS), dim), np.float32)))
    pieces: dict[str, None] = {}
    matrix = np.zeros((len(SPECIALS) + words, dim), np.float32)
    for place, raw, row in rows:
        try:
            written = raw.decode("utf-8")
        except UnicodeDecodeError:
            written = raw.decode("utf-8", "replace")
            result.bad_bytes += 1
        if not np.isfinite(row).all():
            raise ModelError(f"{path}, {place}: the vector of {written[:60]!r} has numbers that are not finite.")
        if written in SPECIALS:
            result.specials.append(written)
            continue
        if not written:
            raise ModelError(f"{path}, {place}: expected a word, found none: the file is damaged. Copy it again.")
        piece = unescape(written)
        if piece in pieces:
            result.repeated += 1
            continue
        matrix[len(SPECIALS) + len(pieces)] = row
        pieces[piece] = None
    result.vectors = Vectors(Vocabulary(list(pieces)), matrix[: len(SPECIALS) + len(pieces)])
    return result


def _header(path: Path, header: bytes) -> tuple[int, int]:
    fields = header.split()
    if len(fields) != 2 or not all(f.isdigit() and len(f) < 12 for f in fields) or int(fields[1]) == 0:
        raise ModelError(
            f"{path}, line 1: expected two whole numbers, words and dim, got {header[:60]!r}. Is it word2vec text or "
            "binary? GloVe's files lack that line: add it."
        )
    return int(fields[0]), int(fields[1])


def _text_rows(path: Path, words: int, dim: int) -> Iterator[tuple[str, bytes, Floats]]:
    number = 1
    with path.open("rb") as file:
        file.readline()
        for number, line in enumerate(file, 2):
            # From the right: files of others have words with spaces, and fastText ends lines with one.
            fields = line.rstrip(b" \r\n").rsplit(b" ", dim)
            if number > words + 1:
                if fields == [b""]:
                    continue
                raise ModelError(f"{path}, line {number}: more words than the {words:,} that line 1 promises.")
            try:
                row = np.array([float(f) for f in fields[1:]], np.float32)
            except ValueError:
                row = np.empty(0, np.float32)
            if len(row) != dim or not fields[0]:
                cut = "; the file is cut short" if not line.endswith(b"\n") else ""
                raise ModelError(f"{path}, line {number}: expected a word and {dim} numbers, got {line[:60]!r}{cut}.")
            yield f"line {number}", fields[0], row
    if number < words + 1:
        raise ModelError(
            f"{path}, line {number}: the file ends after {number - 1:,} words, line 1 promises {words:,}: it is cut "
            "short. Copy it again."
        )


def _binary_rows(path: Path, start: int, words: int, dim: int) -> Iterator[tuple[str, bytes, Floats]]:
    with path.open("rb") as file:
        file.seek(start)
        for number in range(1, words + 1):
            word = bytearray()
            while (byte := file.read(1)) not in (b" ", b""):
                if byte != b"\n" or word:  # word2vec.c ends a vector with a line end, gensim does not
                    word += byte
                if len(word) > _LONGEST:
                    raise ModelError(f"{path}, word {number}: no end of the word found; not a word2vec binary file.")
            data = file.read(4 * dim)
            if len(data) < 4 * dim:
                raise ModelError(
                    f"{path}, word {number}: the file ends here, line 1 promises {words:,} words: it is cut short. "
                    "Copy it again."
                )
            yield f"word {number}", bytes(word), np.frombuffer(data, "<f4").astype(np.float32)
