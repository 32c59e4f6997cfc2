"""How well a tokenizer finds words, and what it makes of any text.

Words are compared as spans, as in the SIGHAN bakeoffs (Sproat and Emerson 2003; Emerson 2005): a word is right
if both of its ends are. Recall is over the words of the gold segmentation, precision over the pieces found; OOV
recall is recall over gold words that a list of known words lacks, IV recall over the others. White space belongs
to no word on either side; a gold word of nothing else (U+3000, a tab) is none. A character that is spelled in bytes counts as one piece.

Not defined for tokenizers whose pieces overlap. A line that the pieces do not spell, even after the tokenizer's own
normalisation, is left out and counted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from textdl.errors import CorpusError

_BYTES = 4  # of one character in UTF-8, at most


class Segmenter(Protocol):
    """What is asked of a tokenizer here."""

    @property
    def overlapping(self) -> bool: ...
    def normalized(self, line: str) -> str: ...
    def encode(self, line: str) -> list[str]: ...
    def decode(self, pieces: Sequence[str]) -> str: ...


@dataclass
class Words:
    """Counts over a gold segmentation; the figures follow from them."""

    lines: int = 0
    lines_left_out: int = 0
    """Pieces do not spell the line."""
    gold: int = 0
    found: int = 0
    correct: int = 0
    oov: int | None = None
    """Gold words that the known words lack; None: there is no list."""
    oov_correct: int = 0

    @property
    def precision(self) -> float | None:
        return self.correct / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        return self.correct / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        return 2 * self.correct / (self.gold + self.found) if self.gold + self.found else None

    @property
    def oov_rate(self) -> float | None:
        return self.oov / self.gold if self.oov is not None and self.gold else None

    @property
    def oov_recall(self) -> float | None:
        return self.oov_correct / self.oov if self.oov else None

    @property
    def iv_recall(self) -> float | None:
        if self.oov is None or self.gold == self.oov:
            return None
        return (self.correct - self.oov_correct) / (self.gold - self.oov)

    def to_dict(self) -> dict[str, Any]:
        names = ("precision", "recall", "f1", "oov_rate", "oov_recall", "iv_recall")
        return {**vars(self), **{name: getattr(self, name) for name in names}}


def score_words(
    gold: Iterable[Sequence[str]], tokenizer: Segmenter, *, between: str = "", known: Collection[str] | None = None
) -> Words | None:
    """Segment the text of a gold segmentation and compare.

    Args:
        gold: the words of each line.
        between: what stood between words: nothing in Chinese, a space in English.
        known: the words of the training part; None: OOV figures are not asked for.

    Returns:
        The counts, or None for a tokenizer whose pieces overlap.

    Raises:
        CorpusError: there are no words.
    """
    if tokenizer.overlapping:
        return None
    counts = Words(oov=None if known is None else 0)
    for words in gold:
        if not any(map(str.strip, words)):
            continue
        counts.lines += 1
        spelled = [_without_white(tokenizer.normalized(word)) for word in words]
        found = spans(tokenizer.encode(between.join(words)), "".join(spelled), tokenizer)
        if found is None:
            counts.lines_left_out += 1
            continue
        counts.found += len(found)
        right = set(found)
        at = 0
        for word, text in zip(words, spelled, strict=True):
            if not word.strip():
                continue
            counts.gold += 1
            correct = (at, at + len(text)) in right
            counts.correct += correct
            if known is not None and word not in known:
                assert counts.oov is not None
                counts.oov += 1
                counts.oov_correct += correct
            at += len(text)
    if not counts.lines:
        raise CorpusError(
            "the gold segmentation has no words. Expected a sentence a line, its words separated by spaces."
        )
    return counts


def spans(pieces: Sequence[str], text: str, tokenizer: Segmenter) -> list[tuple[int, int]] | None:
    """Where pieces stand in a text without white space: (start, end) each, white space left out.

    Returns:
        None where the pieces do not spell the text.
    """
    found: list[tuple[int, int]] = []
    at = 0
    waiting: list[str] = []  # bytes of a character that is not complete
    for piece in pieces:
        waiting.append(piece)
        spelled = _without_white(tokenizer.decode(waiting))
        if not text.startswith(spelled, at):
            if len(waiting) == _BYTES:
                return None
            continue
        waiting.clear()
        if spelled:
            found.append((at, at + len(spelled)))
            at += len(spelled)
    return None if waiting or at != len(text) else found


def _without_white(text: str) -> str:
    return "".join(text.split())


@dataclass
class Figures:
    """What a tokenizer makes of a text. Characters are code points, bytes are UTF-8, line ends are not counted."""

    lines: int = 0
    characters: int = 0
    bytes: int = 0
    pieces: int = 0
    types: int = 0
    lines_restored: int = 0
    """decode(encode(line)) == line."""
    lines_changed: int = 0
    """By the tokenizer's own normalisation, before they are cut."""
    seconds: float = 0.0
    """Of encoding alone, in this process."""
    example: str | None = field(default=None)
    """The first line that is not restored."""

    @property
    def pieces_per_character(self) -> float | None:
        return self.pieces / self.characters if self.characters else None

    @property
    def bytes_per_piece(self) -> float | None:
        return self.bytes / self.pieces if self.pieces else None

    @property
    def characters_per_second(self) -> float | None:
        return self.characters / self.seconds if self.seconds else None

    @property
    def restored(self) -> float | None:
        return self.lines_restored / self.lines if self.lines else None

    def to_dict(self) -> dict[str, Any]:
        names = ("pieces_per_character", "bytes_per_piece", "characters_per_second", "restored")
        return {**vars(self), **{name: getattr(self, name) for name in names}}


def measure(lines: Iterable[str], tokenizer: Segmenter) -> Figures:
    """Encode every line, and decode it again.

    Raises:
        CorpusError: there are no lines.
    """
    tokenizer.encode("预热 warm up")  # dictionaries are read and kernels compiled when first used
    counts = Figures()
    types: set[str] = set()
    for line in lines:
        began = time.perf_counter()
        pieces = tokenizer.encode(line)
        counts.seconds += time.perf_counter() - began
        types.update(pieces)
        counts.lines += 1
        counts.characters += len(line)
        counts.bytes += len(line.encode("utf-8", "surrogatepass"))
        counts.pieces += len(pieces)
        counts.lines_changed += tokenizer.normalized(line) != line
        if tokenizer.decode(pieces) == line:
            counts.lines_restored += 1
        elif counts.example is None:
            counts.example = line
    if not counts.lines:
        raise CorpusError(
            "the text to measure tokenizers on is empty: it has no lines. Give a text with at least one line."
        )
    counts.types = len(types)
    return counts
