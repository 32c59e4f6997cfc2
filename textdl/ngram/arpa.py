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

Read: KenLM's, SRILM's and the CMU toolkit's dialects. Text before \data\, blank lines, spaces for tabs,
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
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK
from textdl.errors import ModelError, UsageError
from textdl.ngram import MAX_ORDER
from textdl.ngram.model import NgramModel
from textdl.ngram.packed import LogBlock, pack
from textdl.protocols import Run
from textdl.vocabulary import SPECIALS, Vocabulary, unescape

_LN10 = math.log(10)
_ZERO = -99.0
"""log10 of 0 by SRILM's convention."""
_MISSING = -100.0
"""log10 p of an <unk> that the file lacks: KenLM's default."""
_BLOCK = 1 << 20


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
        UsageError: the vocabulary is another model's, the smoothing is add-k, or the file cannot be written.
    """
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
                    logs = np.maximum(logp / _LN10, _ZERO)
                    if n == 1:
                        logs[words[:, 0] == BOS] = 0.0
                    columns: list[Any] = [logs, *written[words].T]
                    if n < model.order:
                        columns.append(np.maximum(backoff / _LN10, _ZERO))
                    rows = np.stack([column.astype(object) for column in columns], axis=1)
                    form = "%.7g\t" + " ".join(["%s"] * n) + ("\t%.7g\n" if n < model.order else "\n")
                    file.write(form * len(rows) % tuple(rows.ravel().tolist()))  # all at once: half the time
            file.write("\n\\end\\\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error}). Choose another name.") from error


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A file that takes the place of `path` when it is whole. Pipes and devices are written to as they are."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as raw:
            if path.suffix == ".gz":
                # no name and no time in it: the same model is the same file
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed, _text(packed, "utf-8") as file:
                    yield file
            else:
                with _text(raw, "utf-8") as file:
                    yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


# --- reading


def read(path: Path) -> Iterator[Entry]:
    """The n-grams of an ARPA file, plain or .gz, in the order of the file, whatever they say.

    Raises:
        UsageError: there is no such file.
        ModelError: it is not an ARPA file, or ends early; with the number of the line.
    """
    for order, line in _lines(path):
        p, backoff = line.numbers(order)
        yield Entry(tuple(line.fields[1 : order + 1]), p, backoff)


@dataclass
class _Line:
    """An n-gram's line, cut at spaces and tabs."""

    path: Path
    number: int
    fields: list[str]

    def numbers(self, order: int) -> tuple[float, float]:
        """log10 p and log10 back-off."""
        fields = self.fields
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
        return _wrong(self.path, self.number, expected, " ".join(self.fields))


def _wrong(path: Path, number: int, expected: str, found: str) -> ModelError:
    return ModelError(f"{path}, line {number}: {expected}, got {found[:60]!r}")


def _lines(path: Path, sizes: list[int] | None = None) -> Iterator[tuple[int, _Line]]:
    """The lines with n-grams, each with its order. sizes: gets the numbers that the file announces."""
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw) as packed, _text(packed) as file:
                    yield from _parsed(file, path, [] if sizes is None else sizes)
            else:
                with _text(raw) as file:
                    yield from _parsed(file, path, [] if sizes is None else sizes)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such ARPA file. Check the path.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read as an ARPA file ({error}). Copy it again.") from error


_LARGEST = 38.0
"""Of log10 back-offs: 10 to more than that is beyond float32."""
_SIZE = re.compile(r"ngram[ \t]+(\d{1,9})[ \t]*=[ \t]*(\d{1,18})")


def _numbered(file: IO[str], path: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers."""
    number = 0
    try:
        for number, line in enumerate(file, 1):
            yield number, line
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{path}, after line {number:,}: not UTF-8 (byte 0x{error.object[error.start]:02x}). Convert it, as with "
            "`iconv -f latin1 -t utf-8` where it is in Latin-1, or copy it again."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ModelError(
            f"{path}, after line {number:,}: the compressed data is damaged or cut off ({error}). Copy it again."
        ) from error


def _parsed(file: IO[str], path: Path, sizes: list[int]) -> Iterator[tuple[int, _Line]]:
    order = left = number = 0
    begun = False
    for number, line in _numbered(file, path):
        fields = line.rstrip("\r\n").replace("\t", " ").split(" ")
        if "" in fields:
            fields = [part for part in fields if part]
            if not fields:
                continue
        if left and not (fields[0][0] == "\\" and len(fields) == 1):
            left -= 1
            yield order, _Line(path, number, fields)
            continue
        text = " ".join(fields)
        if not begun:
            begun = text == "\\data\\"
        elif order == 0 and text.startswith("ngram"):
            match = _SIZE.fullmatch(text)
            if not match or int(match[1]) != len(sizes) + 1 or len(sizes) == MAX_ORDER:
                raise _wrong(path, number, f"expected `ngram {len(sizes) + 1}=COUNT`", text)
            sizes.append(int(match[2]))
        elif text.startswith("\\"):
            if left:
                raise ModelError(f"{path}, line {number}: {left:,} {order}-grams are missing before {text[:60]!r}")
            wanted = f"\\{order + 1}-grams:" if order < len(sizes) else "\\end\\"
            if text != wanted or not sizes:
                raise _wrong(path, number, f"expected {wanted if sizes else 'ngram 1=COUNT'}", text)
            if text == "\\end\\":
                return
            left = sizes[order]
            order += 1
        else:
            expected = "expected the next section of an ARPA file"
            if order:
                expected += f", since `ngram {order}={sizes[order - 1]}` are all read"
            raise _wrong(path, number, expected, text)
    if not begun:
        raise ModelError(f"{path} has no line \\data\\: it is not an ARPA file.")
    raise ModelError(f"{path} ends after line {number} without \\end\\: it is not a whole ARPA file. Copy it again.")


def _text(binary: Any, encoding: str = "utf-8-sig") -> io.TextIOWrapper:
    r"""Lines end at \n: other line ends are text. A byte-order mark is skipped."""
    return io.TextIOWrapper(binary, encoding=encoding, newline="\n")


# --- loading


def load(path: Path, *, written: bool = False, run: Run | None = None) -> tuple[NgramModel, Vocabulary]:
    """A model that says what an ARPA file says, and its vocabulary in the order of the file.

    An n-gram takes some 40 bytes of memory while the file is read.

    Args:
        written: whether words are in textdl's written form; else they are pieces as they stand.
        run: is told how far it is, and what the file lacks.

    Raises:
        UsageError: there is no such file.
        ModelError: it is not an ARPA file, with the number of the line.
    """
    run = run or Run()
    sizes: list[int] = []
    sections: list[_Section] = []
    ids: dict[str, int] = {}
    for done, (order, line) in enumerate(_lines(path, sizes)):
        if order > len(sections):
            if order == 2:
                ids = _vocabulary(sections[0], path, run)
            sections += [_Section(n) for n in range(len(sections) + 1, order + 1)]
        sections[order - 1].append(line, ids)
        if not done & 0xFFFF:
            run.progress("reading", done, sum(sizes), "n-grams", f"{order}-grams")
    if not sections:
        raise ModelError(f"{path} has no 1-grams: it is no model.")
    ids = ids or _vocabulary(sections[0], path, run)
    pieces = [word for word, number in ids.items() if number > EOS]
    try:
        vocab = Vocabulary([unescape(piece) for piece in pieces] if written else pieces)
    except UsageError as error:
        raise ModelError(f"{path}: {error}: it is not in textdl's written form.") from error
    sections += [_Section(n) for n in range(len(sections) + 1, len(sizes) + 1)]
    return NgramModel(pack(_Levels(sections, ids, path), run=run)), vocab


class _Section:
    """The n-grams of one order, in the order of the file."""

    def __init__(self, order: int):
        self.order = order
        self.texts: list[str] = []
        """The words, of 1-grams."""
        self.words = array("i")
        """Their ids, `order` to an n-gram, of longer ones."""
        self.p, self.backoff, self.numbers = array("f"), array("f"), array("q")
        """log10 p, log10 back-off, line numbers."""

    def append(self, line: _Line, ids: dict[str, int]) -> None:
        p, backoff = line.numbers(self.order)
        words = line.fields[1 : self.order + 1]
        if self.order == 1:
            self.texts.append(words[0])
        else:
            try:
                self.words.extend([ids[word] for word in words])
            except KeyError as error:
                raise line.error(f"expected words that are 1-grams ({error.args[0]!r} is none)") from None
        self.p.append(p)
        self.backoff.append(backoff)
        self.numbers.append(line.number)


def _vocabulary(unigrams: _Section, path: Path, run: Run) -> dict[str, int]:
    """The id of each word: the specials, then the words of the file. <UNK> is <unk> where that is not there."""
    known = set(unigrams.texts)
    ids: dict[str, int] = {}
    specials = dict(zip(SPECIALS, (UNK, BOS, EOS), strict=True))
    if "<unk>" not in known:
        specials["<UNK>"] = UNK
    following = len(SPECIALS)
    for word, number in zip(unigrams.texts, unigrams.numbers, strict=True):
        if word in ids:
            raise _wrong(path, number, "expected every 1-gram once", word)
        ids[word] = specials.get(word, following)
        following += word not in specials
    for name in ("<unk>", "</s>"):
        if specials[name] not in (ids.get(word) for word in specials):
            run.note(f"{path} has no {name}: it is given log10 p = {_MISSING:g}, as KenLM does.")
    return ids


@dataclass
class _Grams:
    """One level in the making; natural logarithms."""

    words: NDArray[np.int32]
    """(k, n)"""
    logp: NDArray[np.float32]
    """(k,) NaN where the file has the n-gram only as the beginning of longer ones."""
    backoff: NDArray[np.float32]
    numbers: NDArray[np.int64]
    """(k,) lines of the file."""

    @classmethod
    def of(cls, section: _Section) -> _Grams:
        words = np.frombuffer(section.words, np.int32) if section.words else np.empty(0, np.int32)
        backoff = _natural(section.backoff)
        grams = cls(words.reshape(-1, section.order), _natural(section.p), backoff, _array(section.numbers, np.int64))
        grams.logp[grams.words[:, -1] == BOS] = -np.inf  # nobody predicts <s>
        return grams

    def with_contexts(self, words: NDArray[np.int32]) -> _Grams:
        """With n-grams that are only the beginnings of others."""
        k = len(words)
        return _Grams(
            np.concatenate([self.words, words]),
            np.concatenate([self.logp, np.full(k, np.nan, np.float32)]),
            np.concatenate([self.backoff, np.zeros(k, np.float32)]),
            np.concatenate([self.numbers, np.zeros(k, np.int64)]),
        )

    def sorted(self, by: NDArray[np.int64]) -> _Grams:
        return _Grams(self.words[by], self.logp[by], self.backoff[by], self.numbers[by])


def _array(values: array[Any], dtype: Any) -> NDArray[Any]:
    return np.array(values, dtype)


def _natural(log10: array[float]) -> NDArray[np.float32]:
    """Natural logarithms; what stands for log10 of 0 is -inf."""
    logs = _array(log10, np.float64)
    return np.where(logs <= _ZERO, -np.inf, logs * _LN10).astype(np.float32)


class _Levels:
    """What `pack` takes: the n-grams of each order sorted by their ids."""

    smoothing: None = None

    def __init__(self, sections: list[_Section], ids: dict[str, int], path: Path):
        self.order = len(sections)
        self.vocab_size = len(SPECIALS) + sum(number > EOS for number in ids.values())
        numbers = np.array([ids[word] for word in sections[0].texts], np.int64)
        self.unigram = np.full(self.vocab_size, _MISSING * _LN10)
        self.unigram[numbers] = _natural(sections[0].p)
        self.unigram[BOS] = -np.inf
        self._backoff = np.zeros(self.vocab_size, np.float32)
        self._backoff[numbers] = _natural(sections[0].backoff)
        self._grams = [_Grams.of(section) for section in sections[1:]]
        for section in sections:
            section.words, section.texts = array("i"), []
        self._parents: list[NDArray[np.int64]] = []
        while not self._connect(path):
            pass
        self.sizes = [self.vocab_size, *(len(g.words) for g in self._grams)]
        self.statistics = [{"ngrams": len(s.p)} for s in sections]

    def _connect(self, path: Path) -> bool:
        """Sort every level and find the parent of each n-gram; False if contexts were missing and are there now."""
        bits = np.uint64((self.vocab_size - 1).bit_length())
        keys: list[NDArray[np.uint64]] = []  # of every level so far: parent << bits | word, sorted
        self._parents = []
        for i, grams in enumerate(self._grams):
            parent = grams.words[:, 0].astype(np.uint64)
            for m, known in enumerate(keys):
                wanted = parent << bits | grams.words[:, m + 1].astype(np.uint64)
                at = np.searchsorted(known, wanted)
                missing = known[np.minimum(at, len(known) - 1)] != wanted if len(known) else np.ones(len(at), np.bool_)
                if missing.any():
                    contexts = np.unique(grams.words[missing, : m + 2], axis=0)
                    self._grams[m] = self._grams[m].with_contexts(contexts)
                    return False
                parent = at.astype(np.uint64)
            key = parent << bits | grams.words[:, -1].astype(np.uint64)
            by = np.argsort(key, kind="stable")
            keys.append(key[by])
            self._grams[i] = grams = grams.sorted(by)
            self._parents.append(parent[by].astype(np.int64))
            twice = np.flatnonzero(keys[-1][1:] == keys[-1][:-1])
            if len(twice):
                first, second = sorted(int(grams.numbers[j]) for j in (twice[0], twice[0] + 1))
                raise ModelError(
                    f"{path}, line {second}: the same {i + 2}-gram as in line {first}; expected each once."
                )
        return True

    def blocks(self, n: int) -> Iterator[LogBlock]:
        size = self.sizes[n - 1]
        children = np.zeros(size, np.int32)
        if n < self.order:
            children = np.bincount(self._parents[n - 1], minlength=size).astype(np.int32)
        for start in range(0, size, _BLOCK):
            part = slice(start, min(start + _BLOCK, size))
            k = part.stop - part.start
            if n == 1:
                word, logp, backoff = np.arange(part.start, part.stop, dtype=np.int32), self.unigram, self._backoff
            else:
                grams = self._grams[n - 2]
                word, logp, backoff = grams.words[part, -1], grams.logp, grams.backoff
            none = np.empty(0)
            yield LogBlock(
                word, np.ones(k, np.int64), children[part], np.zeros(k, np.bool_), none, none,
                logp[part].astype(np.float32), backoff[part],
            )  # fmt: skip
