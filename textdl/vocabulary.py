r"""The vocabulary: pieces to ids, counts, specials; and how a piece is written to a file.

Ids 0, 1 and 2 are <unk>, <s> and </s>. They are found by id only: a text that spells `<s>` gets an
ordinary id of its own, so no text can forge a special.

`escape` is the one way a piece is written where pieces are separated by white space or lines
(vocab.txt, ARPA, word2vec text, `tokenizer encode`): a space is written U+2581, a literal U+2581,
the backslash, other white space and controls as \uXXXX, and the first character of a piece that reads
like a special as \u003c. Everything else stands for itself.

vocab.txt holds a line per id, `piece<TAB>count`, in id order.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import UNK, Encoded
from textdl.errors import ModelError, UsageError

SPECIALS = ("<unk>", "<s>", "</s>")
_RESERVED = frozenset((*SPECIALS, "<UNK>", "<pad>"))  # <UNK>: KenLM reads it as <unk>

_UNSAFE = re.compile(r"[\s\\\u2581\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u([0-9a-f]{4})|\u2581")


def escape(piece: str) -> str:
    r"""The written form: free of white space, never a special. `escape("a b\t") == "a▁b\\u0009"`."""
    if piece in _RESERVED:
        return "\\u003c" + piece[1:]
    return _UNSAFE.sub(lambda m: "\u2581" if m[0] == " " else f"\\u{ord(m[0]):04x}", piece)


def unescape(text: str) -> str:
    """The piece that `escape` wrote. Undoes it exactly."""
    return _ESCAPED.sub(lambda m: " " if m[0] == "\u2581" else chr(int(m[1], 16)), text)


class Vocabulary:
    """Pieces in id order, with counts. Immutable."""

    def __init__(self, pieces: Sequence[str], counts: NDArray[np.int64] | None = None):
        """pieces: without specials; counts: (V,), specials first."""
        self._pieces = [*SPECIALS, *pieces]
        self.counts = np.zeros(len(self), np.int64) if counts is None else np.asarray(counts, np.int64)
        self._ids = {piece: i for i, piece in enumerate(self._pieces) if i >= len(SPECIALS)}
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
        get = self._ids.get
        return np.fromiter((get(p, UNK) for p in pieces), np.int32)

    def encode_lines(self, lines: Iterable[Sequence[str]]) -> Encoded:
        return Encoded.from_lines((self.encode(line) for line in lines), len(self))

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the pieces in order; counts are not part of it."""
        return hashlib.sha256("\n".join(self.written(i) for i in range(len(self))).encode()).hexdigest()[:16]

    def to_text(self) -> str:
        return "".join(f"{self.written(i)}\t{n}\n" for i, n in enumerate(self.counts))

    @classmethod
    def from_text(cls, text: str, source: str | Path = "vocab.txt") -> Vocabulary:
        """Raises ModelError, with the line, where it is not what `to_text` writes."""
        pieces: list[str] = []
        counts: list[int] = []
        lines = text.split("\n")
        if lines.pop() != "":
            raise ModelError(f"{source}: the last line has no end: the file is cut short. Copy it again.")
        for number, line in enumerate(lines, 1):
            written, tab, count = line.rpartition("\t")
            if not tab or not written or not count.isdecimal():
                raise ModelError(f"{source}, line {number}: expected `piece<TAB>count`, got {line[:60]!r}")
            if number <= len(SPECIALS):
                if written != SPECIALS[number - 1]:
                    raise ModelError(f"{source}, line {number}: expected {SPECIALS[number - 1]}, got {written!r}")
            else:
                pieces.append(unescape(written))
            counts.append(int(count))
        return cls(pieces, np.array(counts, np.int64))


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


def cut(
    vocab: Vocabulary,
    encoded: Encoded,
    *,
    min_count: int = 1,
    max_size: int | None = None,
    keep: Callable[[str], bool] | None = None,
) -> tuple[Vocabulary, Encoded, dict[str, int]]:
    """Cut types from a vocabulary; their tokens become <unk>.

    Args:
        vocab: the types.
        encoded: the corpus they were counted on.
        min_count: types with fewer tokens are cut.
        max_size: at most this many types, specials not counted; the most frequent stay.
        keep: pieces for which this is False are cut.

    Returns:
        The smaller vocabulary, the corpus in its ids, and the cut types with their counts.
    """
    counts = vocab.counts[len(SPECIALS) :]
    kept = counts >= min_count
    if keep is not None:
        kept &= np.fromiter(map(keep, vocab.pieces), bool, len(kept))
    if max_size is not None:
        kept &= np.cumsum(kept) <= max_size  # ids are in order of falling count
    if kept.all():
        return vocab, encoded, {}
    pieces = vocab.pieces
    left = {pieces[i]: int(counts[i]) for i in np.flatnonzero(~kept)}
    specials = vocab.counts[: len(SPECIALS)] + np.array([sum(left.values()), 0, 0])
    smaller = Vocabulary([pieces[i] for i in np.flatnonzero(kept)], np.concatenate((specials, counts[kept])))
    table = np.full(len(vocab), UNK, np.int32)
    table[len(SPECIALS) :][kept] = np.arange(len(SPECIALS), len(smaller), dtype=np.int32)
    return smaller, Encoded(table[encoded.ids], encoded.offsets, len(smaller)), left


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
