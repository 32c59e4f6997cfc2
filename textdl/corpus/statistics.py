"""What a corpus is made of: lines, lengths, scripts, duplicates; and whether it is mostly Chinese."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.corpus.corpus import Corpus
from textdl.corpus.split import line_fingerprint

_HAN = (
    (0x3005, 0x3005), (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF),
)  # fmt: skip


@dataclass(frozen=True)
class Statistics:
    """Of one pass. Lengths are in characters."""

    lines: int
    blank: int
    characters: int
    scripts: dict[str, int]
    """Characters by kind: Han, Latin, other letters, digits, punctuation (symbols too), white space, other."""
    shortest: int
    median: float
    longest: int
    duplicates: int
    """Lines that are the same as an earlier one, blank ones not counted."""
    frequent: list[tuple[str, int]]
    """The most frequent characters, with their counts."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def stats(corpus: Corpus, *, frequent: int = 20) -> Statistics:
    """Count a corpus in one pass. Memory: 8 bytes a line for the duplicates, besides some 9 MB."""
    counts = np.zeros(0x110000, np.int64)
    lengths: Counter[int] = Counter()
    fingerprints: list[NDArray[np.uint64]] = []
    lines = blank = filled = 0
    for batch in corpus.batches():
        lines += len(batch)
        text = [line for line in batch if line and not line.isspace()]
        blank += len(batch) - len(text)
        filled += len(text)
        lengths.update(map(len, batch))
        codes = np.frombuffer("".join(batch).encode("utf-32-le"), np.uint32)
        for start in range(0, len(codes), 1 << 22):
            block = np.bincount(codes[start : start + (1 << 22)])
            counts[: len(block)] += block
        fingerprints.append(np.fromiter(map(line_fingerprint, text), np.uint64, len(text)))
    found = np.flatnonzero(counts)
    scripts: dict[str, int] = dict.fromkeys(
        ("Han", "Latin", "other letters", "digits", "punctuation", "white space", "other"), 0
    )
    for code in found.tolist():
        scripts[_script(chr(code))] += int(counts[code])
    order = found[np.argsort(-counts[found], kind="stable")][:frequent]
    ordered = np.sort(np.concatenate(fingerprints)) if fingerprints else np.empty(0, np.uint64)
    return Statistics(
        lines=lines,
        blank=blank,
        characters=int(counts.sum()),
        scripts=scripts,
        shortest=min(lengths, default=0),
        median=_median(lengths),
        longest=max(lengths, default=0),
        duplicates=int((ordered[1:] == ordered[:-1]).sum()),
        frequent=[(chr(code), int(counts[code])) for code in order.tolist()],
    )


def mostly_han(lines: Iterable[str], *, sample: int = 1000) -> bool:
    """Whether more than half of the letters are Han, over the first lines that are not blank.

    Reads no more than `sample` such lines, and 10,000 characters of each. False where there is no letter.
    """
    han = letters = 0
    for line in islice((line for line in lines if line and not line.isspace()), sample):
        for character in line[:10_000]:
            if character.isalpha():
                letters += 1
                han += is_han(character)
    return 2 * han > letters


def is_han(character: str) -> bool:
    """Whether a character is a Chinese character (ideographs, their extensions, 々 and 〇)."""
    code = ord(character)
    return any(first <= code <= last for first, last in _HAN)


def _script(character: str) -> str:
    if is_han(character):
        return "Han"
    category = unicodedata.category(character)
    if category[0] in "LM":
        latin = "LATIN" in unicodedata.name(character, "")
        return "Latin" if latin and category[0] == "L" else "other letters"
    if category[0] == "N":
        return "digits"
    if category[0] in "PS":
        return "punctuation"
    return "white space" if character.isspace() else "other"


def _median(lengths: Counter[int]) -> float:
    total = sum(lengths.values())
    if not total:
        return 0.0
    wanted = (total - 1) // 2, total // 2
    middle: list[int] = []
    seen = 0
    for length in sorted(lengths):
        seen += lengths[length]
        while len(middle) < 2 and wanted[len(middle)] < seen:
            middle.append(length)
    return sum(middle) / 2
