r"""The vocabulary: pieces to ids, counts, specials; and how a piece is written to a file.

Ids 0, 1 and 2 are <unk>, <s> and </s>. They are found by id only: a text that spells `<s>` gets an
ordinary id of its own, so no text can forge a special.

`escape` is the one way a piece is written where pieces are separated by white space or lines
(vocab.txt, ARPA, word2vec text, `tokenizer encode`): a space is written U+2581; a literal U+2581, controls
(all ASCII white space is among them, and U+0085), a byte-order mark, a lone surrogate and a backslash that would
be read as such a form are written \uXXXX; the first character of a piece that reads like a special is \u003c.
Everything else stands for itself, also white space beyond ASCII and characters without width: KenLM and others
separate at ASCII white space only, so they take the raw text and what is written here alike.

vocab.txt holds a line per id, `piece<TAB>count`, in id order.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import UNK, Encoded
from textdl.errors import ModelError, UsageError

SPECIALS = ("<unk>", "<s>", "</s>")
SAMPLE = 200_000
"""Of the types that are left out, so many are kept at most: enough to learn how unknown words are spelled."""
_RESERVED = frozenset((*SPECIALS, "<UNK>", "<pad>"))  # <UNK>: KenLM reads it as <unk>

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\u2581\ufeff\ud800-\udfff]|\\(?=u[0-9a-f]{4})")
_ESCAPED = re.compile(r"\\u([0-9a-f]{4})|\u2581")


def escape(piece: str) -> str:
    r"""The written form: free of ASCII white space, never a special. `escape("a b\t") == "a▁b\\u0009"`."""
    if piece in _RESERVED:
        return "\\u003c" + piece[1:]
    return _UNSAFE.sub(lambda m: "\u2581" if m[0] == " " else f"\\u{ord(m[0]):04x}", piece)


def unescape(text: str) -> str:
    """The piece that `escape` wrote. Undoes it exactly."""
    if "\\" not in text and "\u2581" not in text:  # nearly all: vocabularies are long
        return text
    return _ESCAPED.sub(lambda m: " " if m[0] == "\u2581" else chr(int(m[1], 16)), text)


class Vocabulary:
    """Pieces in id order, with counts. Immutable."""

    def __init__(self, pieces: Sequence[str], counts: NDArray[np.int64] | None = None):
        """pieces: without specials; counts: (V,), specials first."""
        self._pieces = [*SPECIALS, *pieces]
        self.counts = np.zeros(len(self), np.int64) if counts is None else np.asarray(counts, np.int64)
        self._ids = dict(zip(pieces, range(len(SPECIALS), len(self)), strict=True))
        if len(self._ids) != len(pieces):
            raise UsageError(f"a vocabulary with {len(pieces) - len(self._ids)} pieces given twice")
        if len(self.counts) != len(self):
            raise UsageError(f"{len(self.counts)} counts for a vocabulary of {len(self)}")

    def __len__(self) -> int:
        return len(self._pieces)

    def __contains__(self, piece: object) -> bool:
        return piece in self._ids

    def id(self, piece: str) -> int:
        """The id of a piece; UNK for one that is not here."""
        return self._ids.get(piece, UNK)

    def piece(self, id: int) -> str:
        """The piece; the name for a special."""
        return self._pieces[id]

    def written(self, id: int) -> str:
        """The form for files and tables."""
        return self._pieces[id] if id < len(SPECIALS) else escape(self._pieces[id])

    @property
    def pieces(self) -> list[str]:
        """All pieces without the specials: pieces[i] has the id i + 3."""
        return self._pieces[len(SPECIALS) :]

    def encode(self, pieces: Iterable[str]) -> NDArray[np.int32]:
        return np.fromiter(map(self._ids.get, pieces, repeat(UNK)), np.int32)

    def encode_lines(self, lines: Iterable[Sequence[str]]) -> Encoded:
        ids: list[NDArray[np.int32]] = []
        lengths = array("q")
        for block in _blocks(lines):
            lengths.extend(map(len, block))
            ids.append(self.encode(chain.from_iterable(block)))
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return Encoded(np.concatenate(ids) if ids else np.empty(0, np.int32), offsets, len(self))

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the pieces in order; counts are not part of it."""
        return hashlib.sha256("\n".join(self.written(i) for i in range(len(self))).encode()).hexdigest()[:16]

    def to_text(self) -> str:
        return "".join(f"{self.written(i)}\t{n}\n" for i, n in enumerate(self.counts))

    @classmethod
    def from_text(cls, text: str, source: str | Path = "vocab.txt") -> Vocabulary:
        """Raises ModelError, with the line, where it is not what `to_text` writes."""
        if not text.endswith("\n"):
            raise ModelError(f"{source}: the last line has no end: the file is cut short. Copy it again.")
        cells = text[:-1].replace("\n", "\t").split("\t")  # a written piece has no tab
        written, counts = cells[::2], cells[1::2]
        first = len(SPECIALS)
        whole = len(written) == len(counts) == text.count("\n") and "" not in counts and "".join(counts).isdecimal()
        if not whole or "" in written or written[:first] != list(SPECIALS)[: len(written)]:
            raise _malformed(text, source)
        return cls(list(map(unescape, written[first:])), np.fromiter(map(int, counts), np.int64, len(counts)))


def _malformed(text: str, source: str | Path) -> ModelError:
    """The first line that is not as `Vocabulary.to_text` writes it."""
    for number, line in enumerate(text.split("\n"), 1):
        written, tab, count = line.partition("\t")
        if not tab or not written or not count.isdecimal():
            return ModelError(f"{source}, line {number}: expected `piece<TAB>count`, got {line[:60]!r}")
        if number <= len(SPECIALS) and written != SPECIALS[number - 1]:
            return ModelError(f"{source}, line {number}: expected {SPECIALS[number - 1]}, got {written!r}")
    raise AssertionError("a vocabulary that is as it should be")


def read_pieces(path: Path) -> list[str]:
    r"""The pieces of a vocabulary file: one a line, in the written form, with or without a count behind a tab.

    The vocab.txt of a model is such a file. Specials are left out, wherever they stand; \r\n and a
    byte-order mark are understood.

    Raises:
        UsageError: it cannot be read, is not UTF-8, names a piece twice, or names none.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"--vocab {path}: cannot read it ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--vocab {path}: not UTF-8 ({error.reason} at byte {error.start:,}). Convert it.") from error
    lines = text.replace("\r\n", "\n").split("\n")
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        written, tab, count = line.partition("\t")
        if (not written and not tab) or written in SPECIALS:
            if not written and number < len(lines):
                raise UsageError(f"--vocab {path}, line {number}: empty; expected one piece a line")
            continue
        if not written or (tab and not count.isdecimal()):
            raise UsageError(f"--vocab {path}, line {number}: expected `piece` or `piece<TAB>count`, got {line[:60]!r}")
        piece = unescape(written)
        if piece in numbers:
            raise UsageError(f"--vocab {path}, line {number}: {written} is in line {numbers[piece]} already")
        numbers[piece] = number
    if not numbers:
        raise UsageError(f"--vocab {path}: it names no piece")
    return list(numbers)


class _Provisional(dict[str, int]):
    """Ids in order of first sight."""

    def __missing__(self, piece: str) -> int:
        self[piece] = number = len(self)
        return number


def count(
    pieces: Iterable[Sequence[str]], inventory: Sequence[str] | None = None
) -> tuple[Vocabulary, Encoded, dict[str, int]]:
    """Count and encode tokenized lines in a single pass; every type is kept, but for an inventory.

    Pieces get provisional ids as they are met; when all are counted, the ids are put into order
    (falling count, then the piece itself) with one array look-up, so text is tokenized only once.

    inventory: a fixed list of pieces (SentencePiece): its order stands, and what it lacks is <unk>.

    Returns:
        The vocabulary, the corpus, and the types that an inventory lacks, with their counts.
    """
    provisional = _Provisional()
    for piece in inventory or ():
        provisional[piece]
    blocks: list[NDArray[np.int32]] = []
    lengths = array("q")
    for block in _blocks(pieces):
        lengths.extend(map(len, block))
        blocks.append(np.fromiter(map(provisional.__getitem__, chain.from_iterable(block)), np.int32))
    ids = np.concatenate(blocks) if blocks else np.empty(0, np.int32)
    del blocks
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])

    types = list(provisional)
    counts = np.bincount(ids, minlength=len(types)).astype(np.int64)
    if inventory is None:
        order = np.array(sorted(range(len(types)), key=lambda i: (-counts[i], types[i])), np.int64)
    else:
        order = np.arange(len(inventory))
    table = np.full(len(types), UNK, np.int32)
    table[order] = np.arange(len(order), dtype=np.int32) + len(SPECIALS)
    specials = [counts.sum() - counts[order].sum(), len(lengths), len(lengths)]
    vocab = Vocabulary([types[i] for i in order], np.concatenate((specials, counts[order])))
    lacking = {types[i]: int(counts[i]) for i in np.flatnonzero(table == UNK)}
    return vocab, Encoded(table[ids] if len(ids) else ids, offsets, len(vocab)), lacking


class Thinned(dict[str, int]):
    """Types with counts, of which an even selection is kept when there are more than SAMPLE."""

    def __init__(self) -> None:
        super().__init__()
        self.met = 0
        """How many there were."""
        self._every = 1

    def add(self, piece: str, number: int) -> None:
        if self.met % self._every == 0:
            if len(self) >= SAMPLE:
                for left in list(self)[1::2]:
                    del self[left]
                self._every *= 2
            if self.met % self._every == 0:
                self[piece] = number
        self.met += 1


@dataclass(frozen=True)
class LeftOut:
    """The types that a vocabulary does not have, and how often they were seen; up to a bound, the most frequent.

    Written as vocab.txt is, behind a line with the number of the types beyond the bound.
    """

    LIMIT: ClassVar = 100_000
    """Types that are kept: 1 to 2 MB."""
    counts: dict[str, int] = field(default_factory=dict)
    """Those that are kept, in order of falling count."""
    others: int = 0
    """Types beyond them."""

    def at_most(self, piece: str) -> tuple[int, bool]:
        """How often a piece outside the vocabulary was seen at most, and whether that is the exact number."""
        if piece in self.counts:
            return self.counts[piece], True
        return (min(self.counts.values()), False) if self.others else (0, True)

    def to_text(self) -> str:
        return f"{self.others}\n" + "".join(f"{escape(piece)}\t{n}\n" for piece, n in self.counts.items())

    @classmethod
    def from_text(cls, text: str, source: str | Path) -> LeftOut:
        """Raises ModelError, with the line, where it is not what `to_text` writes."""
        first, *lines = text.split("\n")
        if not first.isdecimal() or lines.pop() != "":
            raise ModelError(f"{source} is damaged: it does not begin with a number or is cut short. Copy it again.")
        counts: dict[str, int] = {}
        for number, line in enumerate(lines, 2):
            written, _, count = line.partition("\t")
            if not written or not count.isdecimal():
                raise ModelError(f"{source}, line {number}: expected `piece<TAB>count`, got {line[:60]!r}")
            counts[unescape(written)] = int(count)
        return cls(counts, int(first))


@dataclass(frozen=True, eq=False)
class Selection:
    """Which types a vocabulary keeps, and what became of the others."""

    vocab: Vocabulary
    table: NDArray[np.int32]
    """(types + specials,) from an id among all types to one in `vocab`; UNK where it was cut."""
    cut_types: int
    cut_tokens: int
    cut: dict[str, int]
    """The types left out, with their counts; of more than 200,000 an even selection of half of that or more."""
    left_out: LeftOut
    """The same, of more than 100,000 the most frequent."""


def select(
    types: Iterable[tuple[str, int]],
    counts: NDArray[np.int64],
    *,
    min_count: int = 1,
    max_size: int | None = None,
    keep: Callable[[str], bool] | None = None,
    fixed: Sequence[str] | None = None,
) -> Selection:
    """Decide which types stay. The rest become <unk>.

    Args:
        types: all types with their counts, in order of falling count: the id of the first is 3.
        counts: (types + specials,) the same counts, in id order.
        min_count: types with fewer tokens are cut.
        max_size: at most this many types stay, the most frequent ones.
        keep: pieces for which this is False are cut.
        fixed: instead of all that: exactly these types, in this order, also those that do not occur.
    """
    first = len(SPECIALS)
    pieces = list(fixed or ())
    places = {piece: i for i, piece in enumerate(pieces)}
    kept = [0] * len(pieces)
    table = np.full(len(counts), UNK, np.int32)
    cut, most_frequent = Thinned(), dict[str, int]()
    for i, (piece, number) in enumerate(types, first):
        if fixed is not None:
            place = places.get(piece)
            if place is not None:
                kept[place] = number
        elif number < min_count or len(pieces) == max_size or (keep is not None and not keep(piece)):
            place = None
        else:
            place = len(pieces)
            pieces.append(piece)
            kept.append(number)
        if place is None:
            if len(most_frequent) < LeftOut.LIMIT:
                most_frequent[piece] = number
            cut.add(piece, number)
        else:
            table[i] = place + first
    numbers = np.array(kept, np.int64)
    cut_tokens = int(counts[first:].sum() - numbers.sum())
    specials = counts[:first] + np.array([cut_tokens, 0, 0])
    vocab = Vocabulary(pieces, np.concatenate((specials, numbers)))
    left_out = LeftOut(most_frequent, cut.met - len(most_frequent))
    return Selection(vocab, table, cut.met, cut_tokens, cut, left_out)


def cut(
    vocab: Vocabulary,
    encoded: Encoded,
    *,
    min_count: int = 1,
    max_size: int | None = None,
    keep: Callable[[str], bool] | None = None,
) -> tuple[Vocabulary, Encoded, dict[str, int]]:
    """`select` from a vocabulary and re-number its corpus: the smaller vocabulary, the corpus, the cut types."""
    types = zip(vocab.pieces, vocab.counts[len(SPECIALS) :].tolist(), strict=True)
    chosen = select(types, vocab.counts, min_count=min_count, max_size=max_size, keep=keep)
    if not chosen.cut_types:
        return vocab, encoded, {}
    return chosen.vocab, encoded.through(chosen.table, len(chosen.vocab)), chosen.cut


def build(
    pieces: Iterable[Sequence[str]],
    *,
    min_count: int = 1,
    max_size: int | None = None,
    inventory: Sequence[str] | None = None,
) -> tuple[Vocabulary, Encoded, dict[str, int]]:
    """`count`, then, without an inventory, `cut`. Returns what they return."""
    vocab, encoded, lacking = count(pieces, inventory)
    if inventory is not None:
        return vocab, encoded, lacking
    return cut(vocab, encoded, min_count=min_count, max_size=max_size)


def _blocks(lines: Iterable[Sequence[str]], tokens: int = 1 << 18) -> Iterator[list[Sequence[str]]]:
    """Runs of lines of about so many tokens, which bounds the Python strings alive at once."""
    block: list[Sequence[str]] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line) + 1
        if size >= tokens:
            yield block
            block, size = [], 0
    if block:
        yield block
