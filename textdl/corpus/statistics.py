"""What a corpus is made of: lines, lengths, characters, duplicates; and what a tokenizer makes of it.

Types grow with tokens by Heaps' law V(n) = K n^beta (Herdan 1960, Heaps 1978), and the r-th most frequent type
occurs about C r^-s times (Zipf 1935). Both are fitted by least squares to points that are equally far apart in the
logarithm. That describes the curve; it is no evidence of a power law: many other curves look straight on
such paper (Clauset, Shalizi and Newman 2009), and ranks are no independent observations.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.corpus import oddities
from textdl.corpus.corpus import Corpus
from textdl.corpus.fingerprints import repeated_lines
from textdl.corpus.reading import guess_encoding, opened
from textdl.encoded import UNK, Encoded
from textdl.protocols import Run

_HAN = (
    (0x3005, 0x3005), (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF),
)  # fmt: skip
_SCRIPTS = (
    "Latin", "Hiragana", "Katakana", "Hangul", "Bopomofo", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari",
    "Bengali", "Tamil", "Thai", "Armenian", "Georgian", "Ethiopic", "Khmer", "Lao", "Myanmar", "Tibetan", "Mongolian",
)  # fmt: skip
_SLICE = 1 << 20
_SPECIALS = 3


@dataclass(frozen=True)
class Strange:
    """A character, or a sign of a wrong decoding, that clean text seldom has."""

    kind: str
    text: str
    code_points: str
    name: str
    """Unicode's name of a character; of a sign, what it is a sign of."""
    count: int
    line: int
    """Where it first occurs, from 1."""


@dataclass(frozen=True)
class Statistics:
    """Of one pass. Lengths are in characters."""

    lines: int
    blank: int
    characters: int
    scripts: dict[str, int]
    """Characters by kind, the most frequent first: Han, Latin, ..., digits, punctuation, symbols, white space, other."""
    shortest: int
    median: float
    longest: int
    longest_line: int
    """The number of the (first) longest line, from 1; 0 where there is none."""
    lengths: list[tuple[int, int, int]]
    """(from, to, lines): how many lines are of a length in that range; each range goes to twice as far."""
    duplicates: int
    """Lines that are the same as an earlier one, blank ones not counted."""
    distinct_characters: int
    frequent: list[tuple[str, int]]
    """The most frequent characters, with their counts."""
    strange: list[Strange]
    """The gravest kind first, the most frequent of each; at most so many of a kind as were asked for."""
    strange_kinds: dict[str, tuple[int, int]]
    """By kind: how many different ones there are, and how often they occur."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def stats(corpus: Corpus, *, frequent: int = 20, strange: int = 5, run: Run | None = None) -> Statistics:
    """Count a corpus in one pass, in bounded memory: a bit a line, besides 100 MB or so.

    Args:
        frequent: how many of the most frequent characters are listed.
        strange: how many strange ones of each kind.
        run: receives progress.

    Raises:
        CorpusError: it cannot be read.
    """
    seen = _Pass(run or Run())
    _, repeated = repeated_lines(seen.through(corpus))
    found = np.flatnonzero(seen.counts)
    scripts: Counter[str] = Counter()
    for code in found.tolist():
        scripts[script_of(chr(code))] += int(seen.counts[code])
    order = found[np.argsort(-seen.counts[found], kind="stable")][:frequent]
    odd = seen.odd()
    kinds = {
        kind: (sum(o.kind == kind for o in odd), sum(o.count for o in odd if o.kind == kind))
        for kind in dict.fromkeys(o.kind for o in odd)
    }
    return Statistics(
        lines=seen.lines,
        blank=seen.blank,
        characters=int(seen.counts.sum()),
        scripts=dict(scripts.most_common()),
        shortest=min(seen.lengths, default=0),
        median=_median(seen.lengths),
        longest=max(seen.lengths, default=0),
        longest_line=seen.longest_line,
        lengths=_ranges(seen.lengths),
        duplicates=int(np.unpackbits(repeated).sum(dtype=np.int64)),
        distinct_characters=len(found),
        frequent=[(chr(code), int(seen.counts[code])) for code in order.tolist()],
        strange=[o for kind in kinds for o in islice((o for o in odd if o.kind == kind), strange)],
        strange_kinds=kinds,
    )


class _Pass:
    """Counts lines as they pass through."""

    def __init__(self, run: Run):
        self._run = run
        self.counts = np.zeros(0x110000, np.int64)
        self.lengths: Counter[int] = Counter()
        self.lines = self.blank = self.longest_line = 0
        self._longest = -1
        self._first: dict[str, int] = {}  # of odd characters
        self._lone: dict[str, list[int]] = {}  # count and first line of marks that begin lines
        self._misread: dict[oddities.Misreading, tuple[str, int, int]] = {}

    def through(self, corpus: Corpus) -> Iterator[str]:
        """The lines that are not blank."""
        for batch in corpus.batches():
            filled = [line for line in batch if line and not line.isspace()]
            self.blank += len(batch) - len(filled)
            self.lengths.update(map(len, batch))
            longest = max(map(len, batch), default=-1)
            if longest > self._longest:
                self._longest = longest
                self.longest_line = self.lines + 1 + next(i for i, line in enumerate(batch) if len(line) == longest)
            self._count(batch)
            self.lines += len(batch)
            self._run.progress("reading", self.lines, None, "lines")
            yield from filled

    def _count(self, batch: list[str]) -> None:
        text = "\n".join(batch)
        new: list[int] = []
        for start in range(0, len(text), _SLICE):
            counted = np.bincount(np.frombuffer(text[start : start + _SLICE].encode("utf-32-le"), np.uint32))
            found = np.flatnonzero(counted)
            new += found[self.counts[found] == 0].tolist()
            self.counts[found] += counted[found]
        self.counts[10] = 0  # only ever between lines
        for character in map(chr, new):
            if oddities.kind_of(character) is not None:
                self._first[character] = self.lines + text.count("\n", 0, text.index(character)) + 1
        self._begin(batch)
        self._look_for_misreadings(text)

    def _begin(self, batch: list[str]) -> None:
        begins = Counter(line[:1] for line in batch)
        for character, number in begins.items():
            if character > "\u02ff" and unicodedata.category(character)[0] == "M":
                if character not in self._lone:
                    line = next(i for i, line in enumerate(batch) if line.startswith(character))
                    self._lone[character] = [0, self.lines + line + 1]
                self._lone[character][0] += number

    def _look_for_misreadings(self, text: str) -> None:
        if text.isascii():
            return
        for sign in oddities.MISREADINGS:
            if not any(guard in text for guard in sign.guard):
                continue
            for match in sign.pattern.finditer(text):
                if sign not in self._misread:
                    self._misread[sign] = match[0], 0, self.lines + text.count("\n", 0, match.start()) + 1
                example, number, line = self._misread[sign]
                self._misread[sign] = example, number + 1, line

    def odd(self) -> list[Strange]:
        found = [
            Strange(kind, c, oddities.code_points(c), oddities.name_of(c), int(self.counts[ord(c)]), line)
            for c, line in self._first.items()
            if (kind := oddities.kind_of(c)) is not None
        ]
        found += [
            Strange("lone mark", c, oddities.code_points(c), oddities.name_of(c), number, line)
            for c, (number, line) in self._lone.items()
        ]
        found += [
            Strange("misread", example, oddities.code_points(example), sign.what, number, line)
            for sign, (example, number, line) in self._misread.items()
        ]
        order = list(oddities.KINDS)
        return sorted(found, key=lambda o: (order.index(o.kind), -o.count, o.text))


@dataclass(frozen=True)
class Heaps:
    """V(n) = scale * n ** exponent, fitted from `start` tokens on."""

    scale: float
    exponent: float
    start: int
    off: float
    """How far the points are from it: a factor, root mean square in the logarithm. 1 is a perfect fit."""


@dataclass(frozen=True)
class Zipf:
    """count(r) = scale * r ** -exponent, fitted to the types of the ranks 1 to `ranks`: those that occur ten times."""

    scale: float
    exponent: float
    ranks: int
    off: float
    """As for Heaps."""


@dataclass(frozen=True)
class TokenStatistics:
    """What a tokenizer makes of a corpus."""

    tokenizer: str
    tokens: int
    types: int
    """Different pieces that occur."""
    tokens_per_line: float
    characters_per_token: float
    hapax_share: float
    """The share of the types that occur only once."""
    coverage: dict[int, float]
    """The share of the tokens that the most frequent 1,000 and 10,000 types make up."""
    lacking_types: int
    lacking_tokens: int
    """What a fixed inventory lacks. These are types and tokens like others, but for growth they are one type."""
    heaps: Heaps | None
    """None where there are too few tokens."""
    zipf: Zipf | None
    """None where fewer than ten types occur ten times."""
    growth: list[tuple[int, int]]
    """(tokens from the beginning, types among them), equally far apart in the logarithm."""
    ranks: list[tuple[int, int]]
    """(rank, count), equally far apart in the logarithm."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def token_statistics(
    tokenizer: str,
    data: Encoded,
    counts: NDArray[np.int64],
    *,
    characters: int,
    lacking: Mapping[str, int] | None = None,
) -> TokenStatistics:
    """Of an encoded corpus whose types all have an id. Memory: 16 bytes a type and a block of tokens.

    Args:
        tokenizer: its name, for tables.
        data: the corpus.
        counts: (V,) tokens of each id.
        characters: of the text, line ends not counted.
        lacking: types that a fixed inventory lacks, with their counts; their tokens are <unk> in data.
    """
    missing = np.fromiter((lacking or {}).values(), np.int64)
    known = counts[_SPECIALS:]
    frequencies = -np.sort(-np.concatenate((known[known > 0], missing)))
    tokens = int(data.tokens)
    types = len(frequencies)
    places = _spaced(tokens)
    growth = list(zip(places.tolist(), np.searchsorted(_first_places(data), places).tolist(), strict=True))
    ranks = _spaced(types)
    total = np.cumsum(frequencies)
    return TokenStatistics(
        tokenizer=tokenizer,
        tokens=tokens,
        types=types,
        tokens_per_line=tokens / len(data) if len(data) else 0.0,
        characters_per_token=characters / tokens if tokens else 0.0,
        hapax_share=float((frequencies == 1).mean()) if types else 0.0,
        coverage={top: float(total[min(top, types) - 1] / total[-1]) if types else 0.0 for top in (1000, 10_000)},
        lacking_types=len(missing),
        lacking_tokens=int(counts[UNK]),
        heaps=_heaps(growth),
        zipf=_zipf(frequencies),
        growth=growth,
        ranks=list(zip(ranks.tolist(), frequencies[ranks - 1].tolist(), strict=True)),
    )


def _first_places(data: Encoded, chunk: int = 1 << 20) -> NDArray[np.int64]:
    """(types,) where the first token of each type stands, in rising order."""
    seen = np.zeros(data.vocab_size, bool)
    places = [np.empty(0, np.int64)]
    for start in range(0, data.tokens, chunk):
        ids = data.ids[start : start + chunk]
        new = np.flatnonzero(~seen[ids])
        fresh, first = np.unique(ids[new], return_index=True)
        seen[fresh] = True
        places.append(np.sort(new[first]) + start)
    return np.concatenate(places)


def _spaced(last: int, number: int = 80) -> NDArray[np.int64]:
    """Whole numbers from 1 to last, equally far apart in the logarithm."""
    return np.unique(np.geomspace(1, last, number).round().astype(np.int64)) if last else np.empty(0, np.int64)


def _heaps(growth: list[tuple[int, int]]) -> Heaps | None:
    """From a hundredth of the text on, at most 1,000 tokens: the very beginning follows no law."""
    start = max(1, min(1000, growth[-1][0] // 100)) if growth else 1
    points = [point for point in growth if point[0] >= start]
    if len(points) < 10:
        return None
    exponent, scale, off = _line(np.array(points, np.float64))
    return Heaps(scale, exponent, start, off)


def _zipf(frequencies: NDArray[np.int64]) -> Zipf | None:
    last = int((frequencies >= 10).sum())
    if last < 10:
        return None
    ranks = _spaced(last)
    exponent, scale, off = _line(np.stack((ranks, frequencies[ranks - 1]), 1).astype(np.float64))
    return Zipf(scale, -exponent, last, off)


def _line(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """(exponent, scale, off) of the power law nearest to points (n, 2) in the logarithm, by least squares."""
    x, y = np.log(points).T
    exponent = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    level = float(y.mean() - exponent * x.mean())
    off = np.sqrt(((y - level - exponent * x) ** 2).mean())
    return exponent, float(np.exp(level)), float(np.exp(off))


def encoding_of(path: Path) -> str:
    """What the encoding of a file looks like, decompressed: for a person, not to read by.

    Judged by the first megabyte that is not ASCII throughout.

    Raises:
        CorpusError: it cannot be read.
    """
    with opened(path, path.name) as file:
        sample = first = file.read(_SLICE)
        while sample.isascii() and (more := file.read(_SLICE)):
            sample = more
    for mark, name in (
        (codecs.BOM_UTF8, "UTF-8 with a byte-order mark"), (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
    ):  # fmt: skip
        if first.startswith(mark):
            return name
    if first.count(0) > len(first) / 4:
        return "UTF-16 or a binary file, by its bytes of 0"
    if sample.isascii():
        return "ASCII"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # may end within a character
        return "UTF-8"
    except UnicodeDecodeError:
        guess = guess_encoding(sample, "utf-8")
        return f"{guess.upper()}, by the look of it" if guess else "not UTF-8, and like nothing known"


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


def script_of(character: str) -> str:
    """The script of a letter; of anything else, what kind of character it is."""
    if is_han(character):
        return "Han"
    category = unicodedata.category(character)
    if category[0] == "L":
        words = unicodedata.name(character, "").title().split()
        return next((script for script in _SCRIPTS if script in words), "other letters")
    kinds = {"M": "combining marks", "N": "digits", "P": "punctuation", "S": "symbols"}
    return kinds.get(category[0], "white space" if character.isspace() else "other")


def _ranges(lengths: Counter[int]) -> list[tuple[int, int, int]]:
    """(from, to, lines) with ranges 0, 1, 2 to 3, 4 to 7, ... up to the longest line."""
    counts: Counter[int] = Counter()
    for length, number in lengths.items():
        counts[length.bit_length()] += number
    if not counts:
        return []
    return [((1 << bits) >> 1, (1 << bits) - 1, counts[bits]) for bits in range(max(counts) + 1)]


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
