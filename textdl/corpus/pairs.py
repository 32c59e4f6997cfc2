"""Aligned pairs of lines: what a sequence-to-sequence model learns from.

Two texts of as many lines, or two columns of one tab-separated file (no quoting: a tab is always a
separator). A pair with an empty side teaches nothing and is left out; so is one whose lengths are absurdly unlike
each other, which is nearly always a fault of alignment. Copies and duplicates are kept. Everything is counted in
the `PairLedger`, with the first line numbers of each kind; what was mended in reading a text is a note of it.

A length ratio is absurd where (target + 5m) / m / (source + 5), m being the corpus's median ratio, both in
characters, is above `max_ratio` or below 1 / `max_ratio`: the five characters excuse short lines.
"""

from __future__ import annotations

import glob
import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.corpus import split as splitting
from textdl.corpus.corpus import Corpus, open_corpus
from textdl.corpus.entries import catalog_path
from textdl.corpus.fingerprints import repeated_lines
from textdl.corpus.ledger import Ledger, quantity
from textdl.corpus.reading import check_encoding, check_errors
from textdl.corpus.sources import AtLeastOne, Chain, Files, Lines, Source
from textdl.corpus.toys import PREFIX, TASKS, Toy
from textdl.errors import CorpusError, TextTypeError, UsageError

Pair = tuple[str, str]

MAX_RATIO = 6.0
EXAMPLES = 3
"""Of each kind, so many are kept in the ledger."""
KINDS = {
    "blank": "both sides blank",
    "blank_source": "only the source blank",
    "blank_target": "only the target blank",
    "unlike": "absurd length ratio",
    "copies": "target is the source again",
    "duplicates": "same as an earlier pair",
}
"""What is odd about a pair, and in words. The first four are left out."""
BUILT_IN = {"everyday": "everyday.zh-en.tsv"}
"""Names of pairs that come with textdl, and their files beside the catalog of corpora."""
_DROPPED = ("blank", "blank_source", "blank_target", "unlike")
_EXCUSED = 5
_BATCH = 4096
_SHOWN = 80


@dataclass(frozen=True)
class Example:
    """A pair to be shown; a long side is cut to 80 characters."""

    line: int
    source: str
    target: str


@dataclass
class PairLedger:
    """Counts of one complete pass. read = kept + blank + blank_source + blank_target + unlike, exactly."""

    read: int = 0
    """Pairs found: lines of either side."""
    kept: int = 0
    """Pairs that are yielded."""
    blank: int = 0
    blank_source: int = 0
    blank_target: int = 0
    """One side is nothing but white space, or both: left out."""
    unlike: int = 0
    """Lengths absurdly unlike each other: left out."""
    copies: int = 0
    """Of those kept: target equal to source."""
    duplicates: int = 0
    """Of those kept: the same two lines as an earlier pair."""
    source_characters: int = 0
    target_characters: int = 0
    """Of the pairs kept."""
    median_ratio: float | None = None
    """Target characters for one source character, in the middle pair; None where all sides are blank."""
    max_ratio: float | None = None
    """How many times more or less than that is absurd; None: nothing is."""
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """By kind: the first few."""
    notes: list[str] = field(default_factory=list)
    """Sentences that a person should see: what was mended in reading, which fields were taken."""

    @property
    def dropped(self) -> int:
        return self.blank + self.blank_source + self.blank_target + self.unlike

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {**asdict(self), "dropped": self.dropped}

    def rows(self) -> list[list[str]]:
        """(what, pairs, share, first lines) of a table: read, less what was left out, is what is kept."""

        def row(what: str, number: int, kind: str = "") -> list[str]:
            lines = ", ".join(f"{example.line:,}" for example in self.examples.get(kind, ()))
            share = f"{100 * number / self.read:.2f} %" if self.read else ""
            return [what, f"{number:,}", share, lines + (", ..." if number > EXAMPLES and lines else "")]

        rows = [row("read", self.read)]
        rows += [row(f"  left out: {KINDS[k]}", n, k) for k in KINDS if k in _DROPPED and (n := getattr(self, k))]
        rows.append(row("kept", self.kept))
        return rows + [row(f"  {KINDS[k]}", n, k) for k in KINDS if k not in _DROPPED and (n := getattr(self, k))]

    def sentences(self) -> list[str]:
        """What a person is told; what is nothing is not mentioned."""
        told = [f"Read {quantity(self.read, 'pair')}; {self.kept:,} kept."]
        for kind, words in KINDS.items():
            if number := getattr(self, kind):
                lines = ", ".join(f"{example.line:,}" for example in self.examples.get(kind, ()))
                more = ", ..." if number > len(self.examples.get(kind, ())) else ""
                what = "left out" if kind in _DROPPED else "kept"
                told.append(f"{quantity(number, 'pair')} {what}: {words} (line {lines}{more}).")
        return told + self.notes


class Pairs:
    """Re-iterable (source line, target line), those left out not among them. Made by `open_pairs`; parts are views.

    Memory is bounded. The text is read once for the median ratio before the first pair is given.
    """

    def __init__(self, name: str, source: _Aligned | _Part):
        self.name = name
        self._source = source
        self.ledger = PairLedger()
        """Complete after `read`; until then it is empty."""
        self.fingerprint: str | None = None
        r"""sha256 of all pairs, source and target each with a \n, in UTF-8; None before `read`."""
        self.tokenizer = "auto"
        """What suits them where it is not said how they are cut."""

    def __repr__(self) -> str:
        return f"Pairs({self.name!r})"

    def __iter__(self) -> Iterator[Pair]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Pair]]:
        """The pairs in lists of any length.

        Raises:
            CorpusError: a text cannot be read, the two have unequal numbers of lines, or a row has too few columns.
        """
        for batch in self._source.numbered(PairLedger()):
            yield [(source, target) for _, source, target in batch]

    def read(self) -> PairLedger:
        """The complete ledger: reads everything once more if that has not been done."""
        if self.fingerprint is None:
            ledger = PairLedger()
            digest = hashlib.sha256()
            _, repeated = repeated_lines(self._counted(ledger, digest))
            ledger.duplicates = int(np.unpackbits(repeated).sum(dtype=np.int64))
            self._show_duplicates(ledger, repeated)
            ledger.notes += self._source.notes
            self.ledger, self.fingerprint = ledger, digest.hexdigest()
        return self.ledger

    def require_text(self) -> None:
        """Raises CorpusError where there is no pair to learn from. Reads up to the first one."""
        if not any(self.batches()):
            raise CorpusError(
                f"{self.name} holds no pair with text on both sides. {' '.join(self.read().sentences())} Give a text for each side."
            )

    @property
    def source(self) -> Corpus:
        """The source lines, for a tokenizer or a vocabulary."""
        return Corpus(_Side(self, 0), name=f"{self.name} (source)")

    @property
    def target(self) -> Corpus:
        return Corpus(_Side(self, 1), name=f"{self.name} (target)")

    @property
    def both(self) -> Corpus:
        """All source lines, then all target lines, for a tokenizer or a vocabulary that both have."""
        return Corpus(Chain([self.source, self.target]), name=f"{self.name} (both sides)")

    def split(self, part: str, ratios: Sequence[float] = splitting.RATIOS) -> Pairs:
        """train, valid or test, by the content of the source: all translations of a line are on one side.

        Raises:
            UsageError: there is no such part, or the ratios are impossible.
        """
        limits = splitting.limits(part, ratios, self.name)
        return self._view(f"{self.name}:{part}", splitting.share_of, lambda: limits)

    def hold_out(self, share: float = 0.05) -> tuple[Pairs, Pairs]:
        """(train, valid): a share of the sources, by their content, is held out; at least one.

        Raises:
            UsageError: the share is not between 0 and 1.
        """
        splitting.check_share(share)
        limit = AtLeastOne(self.source, share)
        of = splitting.held_out_share_of
        percent = f"{100 * share:g} %"
        return (
            self._view(f"{self.name} without {percent}", of, lambda: (limit(), 1.0)),
            self._view(f"{percent} of {self.name}", of, lambda: (0.0, limit())),
        )

    def _view(self, name: str, share_of: Callable[[str], float], limits: Callable[[], tuple[float, float]]) -> Pairs:
        part = Pairs(name, _Part(self, share_of, limits))
        part.tokenizer = self.tokenizer
        return part

    def _counted(self, ledger: PairLedger, digest: Any) -> Iterator[str]:
        """Every pair as one text that no other pair has."""
        for batch in self._source.numbered(ledger):
            texts = [f"{source}\n{target}" for _, source, target in batch]
            digest.update(("\n".join(texts) + "\n" if texts else "").encode())
            ledger.kept += len(batch)
            for line, source, target in batch:
                ledger.source_characters += len(source)
                ledger.target_characters += len(target)
                if source == target:
                    ledger.copies += 1
                    _show(ledger, "copies", line, source, target)
            yield from texts

    def _show_duplicates(self, ledger: PairLedger, repeated: NDArray[np.uint8]) -> None:
        places = _first_bits(repeated, EXAMPLES)
        at = 0
        for batch in self._source.numbered(PairLedger()) if places else ():
            while places and places[0] < at + len(batch):
                _show(ledger, "duplicates", *batch[places.pop(0) - at])
            at += len(batch)
            if not places:
                return


def open_pairs(
    source: Any,
    target: Any = None,
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    columns: tuple[int, int] = (1, 2),
    max_ratio: float | None = MAX_RATIO,
) -> Pairs:
    """Aligned lines from two texts, or from two columns of one.

    Args:
        source: anything `open_corpus` takes. Without a target, lines of tab-separated columns; a file is then read as
            such, whatever its name. Further columns are ignored. Or a list of (source, target) tuples. Or `everyday`, some
            hundred Chinese sentences with their English, or a toy task such as `toy:reverse` (see toys.py).
        target: as many lines, line i belonging to line i of the source.
        encoding: of files.
        errors: `strict`, or `replace`: what cannot be decoded becomes U+FFFD.
        columns: of the source and the target, counted from 1, where there is one text.
        max_ratio: how many times longer or shorter than usual a target may be; None: pairs of any lengths are kept.

    Raises:
        UsageError: a text that there is not, impossible columns or ratio.
    """
    if max_ratio is not None and not max_ratio > 1:
        raise UsageError(f"--max-ratio (max_ratio=) must be above 1, such as {MAX_RATIO:g}; got {max_ratio}")
    if target is not None:
        sides = tuple(open_corpus(side, encoding=encoding, errors=errors) for side in (source, target))
        return Pairs(f"{sides[0].name} + {sides[1].name}", _Aligned(_Two(*sides), max_ratio))
    if isinstance(source, Sequence) and not isinstance(source, str) and any(isinstance(item, tuple) for item in source):
        return open_pairs(*_sides(source), encoding=encoding, errors=errors, max_ratio=max_ratio)
    if len(columns) != 2 or min(columns) < 1 or columns[0] == columns[1]:
        raise UsageError(f"--columns (columns=) takes two different numbers from 1, such as 1,2; got {columns}")
    path = _file_of(source)
    if path is None and isinstance(source, str) and source.startswith(PREFIX):
        rows = [f"{a}\t{b}" for a, b in Toy.named(source.removeprefix(PREFIX))]
        made = Pairs(source, _Aligned(_Columns(Corpus(Lines(rows), name=source), columns), max_ratio))
        made.tokenizer = "char"
        return made
    if path is not None:
        check_encoding(encoding)
        files = Files([(path, str(path))], encoding, check_errors(errors), tables=False)
        text = Corpus(files, name=path.name)
    else:
        if isinstance(source, str):
            _check_name(source)
        text = open_corpus(source, encoding=encoding, errors=errors)
    return Pairs(text.name, _Aligned(_Columns(text, columns), max_ratio))


def _sides(pairs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Of (source, target) tuples.

    Raises:
        TextTypeError: something else among them.
    """
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TextTypeError(f"pair {number:,} is {pair!r:.60}, not a tuple (source, target)")
    return [source for source, _ in pairs], [target for _, target in pairs]


def _file_of(source: Any) -> Path | None:
    """The file that a name or path means: one that there is, or that of built-in pairs."""
    if isinstance(source, (str, Path)) and os.path.isfile(source):
        return Path(source)
    if isinstance(source, str) and source in BUILT_IN:
        return catalog_path().with_name(BUILT_IN[source])
    return None


def _check_name(source: str) -> None:
    """Raises UsageError for a name that is no path, and of nothing that has columns: the catalog's texts have none."""
    elsewhere = source == "-" or source.startswith("hf:") or glob.has_magic(source) or "\n" in source
    if not elsewhere and not os.path.exists(source):
        names = ", ".join([*BUILT_IN, *(PREFIX + task for task in TASKS)])
        raise UsageError(
            f"{source!r:.100} is neither a file that exists nor the name of built-in pairs, which are {names}. Check the path, "
            "or give two texts: --source and --target."
        )


class _Two:
    """Two texts side by side."""

    def __init__(self, source: Corpus, target: Corpus):
        self._sides = source, target

    def pairs(self, surplus: int = 0) -> Iterator[Pair]:
        """As long as both have lines. surplus: lines passed over at the beginning of the source; below 0, of the target."""
        source, target = self._sides
        return zip(islice(source, max(surplus, 0), None), islice(target, max(-surplus, 0), None), strict=False)

    def line(self, place: int, of_source: bool) -> tuple[str, str]:
        """A line, and the name of its text."""
        side = self._sides[0 if of_source else 1]
        return next(islice(side, place, None)), side.name

    @property
    def notes(self) -> list[str]:
        """Complete once both have been read."""
        notes = []
        for side, corpus in zip(("source", "target"), self._sides, strict=True):
            notes += corpus.ledger.notes
            notes += [f"The {side}, {corpus.name}: {sentence}" for sentence in corpus.ledger.mended()]
        return list(dict.fromkeys(notes))

    def check(self) -> None:
        """Raises CorpusError where the two are not equally long, and says where that may come from."""
        source, target = self._sides
        for side in self._sides:
            ledger = side.read()
            if ledger.duplicates_dropped or ledger.sentences_added:
                raise UsageError(
                    f"{side.name}: lines of one side cannot be dropped or cut by themselves; pairs must be read as they are"
                )
        lines = source.ledger.lines, target.ledger.lines
        if lines[0] == lines[1]:
            return
        without = [
            f"{ledger.records_without_text:,} records of {side.name} have no text and gave no line. "
            for side in self._sides
            if (ledger := side.ledger).records_without_text
        ]
        raise CorpusError(
            f"{source.name} has {lines[0]:,} lines and {target.name} {lines[1]:,}: they do not belong together line by "
            f"line. {''.join(without)}{_out_of_step(self, lines[0] - lines[1])}"
            "Mend the texts so that line i of one belongs to line i of the other."
        )


class _Columns:
    """Two columns of lines with tabs."""

    def __init__(self, text: Corpus, columns: tuple[int, int]):
        self._text, self._columns = text, columns

    def pairs(self) -> Iterator[Pair]:
        first, second = (column - 1 for column in self._columns)
        needed = max(self._columns)
        for line, row in enumerate(self._text, 1):
            cells = row.split("\t")
            if len(cells) >= needed:
                yield cells[first], cells[second]
            elif not row or row.isspace():
                yield "", ""
            else:
                there = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
                raise CorpusError(
                    f"{self._text.name}, line {line:,}: {there}, and columns {first + 1} and {second + 1} were asked for: "
                    f"{row[:60]!r}. Columns are separated by tabs; name others with --columns, or give two files."
                )

    @property
    def notes(self) -> list[str]:
        """Complete once the text has been read."""
        return [*self._text.ledger.notes, *(f"{self._text.name}: {s}" for s in self._text.ledger.mended())]

    def check(self) -> None: ...


class _Aligned:
    """All pairs of a text but those left out."""

    def __init__(self, text: _Two | _Columns, max_ratio: float | None):
        self._text, self._max_ratio = text, max_ratio
        self._median: float | None = None
        self._surveyed = False

    @property
    def notes(self) -> list[str]:
        return self._text.notes

    def numbered(self, ledger: PairLedger) -> Iterator[list[tuple[int, str, str]]]:
        """(line, source, target) of the pairs kept; counts the others."""
        if not self._surveyed:
            self._median = _median_ratio(self._text.pairs())
            self._text.check()
            self._surveyed = True
        ledger.median_ratio, ledger.max_ratio = self._median, self._max_ratio
        batch: list[tuple[int, str, str]] = []
        for line, (source, target) in enumerate(self._text.pairs(), 1):
            ledger.read += 1
            if kind := self._fault(source, target):
                setattr(ledger, kind, getattr(ledger, kind) + 1)
                _show(ledger, kind, line, source, target)
                continue
            batch.append((line, source, target))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        yield batch

    def _fault(self, source: str, target: str) -> str | None:
        """Why a pair is left out."""
        a, b = len(source.strip()), len(target.strip())
        if not (a and b):
            return "blank_source" if b else "blank_target" if a else "blank"
        if self._max_ratio is not None and self._median is not None:
            ratio = (b / self._median + _EXCUSED) / (a + _EXCUSED)
            if not 1 / self._max_ratio <= ratio <= self._max_ratio:
                return "unlike"
        return None


class _Part:
    """The pairs whose source, by its content, lies in a range of shares."""

    def __init__(self, base: Pairs, share_of: Callable[[str], float], limits: Callable[[], tuple[float, float]]):
        self._base, self._share_of, self._limits = base, share_of, limits

    @property
    def notes(self) -> list[str]:
        return self._base._source.notes

    def numbered(self, ledger: PairLedger) -> Iterator[list[tuple[int, str, str]]]:
        low, high = self._limits()
        for batch in self._base._source.numbered(PairLedger()):
            kept = [pair for pair in batch if low <= self._share_of(pair[1]) < high]
            ledger.read += len(kept)
            yield kept


class _Side(Source):
    """One side of pairs, as a corpus reads it."""

    def __init__(self, pairs: Pairs, side: int):
        self._pairs, self._side = pairs, side

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        for batch in self._pairs.batches():
            if batch:
                yield [pair[self._side] for pair in batch]
        ledger.notes += self._pairs._source.notes


def _median_ratio(pairs: Iterable[Pair]) -> float | None:
    """Target characters for one source character in the middle pair, to within 1 %; blank sides do not count."""
    ratios: Counter[int] = Counter()
    for source, target in pairs:
        a, b = len(source.strip()), len(target.strip())
        if a and b:
            ratios[round(100 * math.log(b / a))] += 1
    half = ratios.total() / 2
    for step in sorted(ratios):
        half -= ratios[step]
        if half <= 0:
            return math.exp(step / 100)
    return None


def _out_of_step(text: _Two, surplus: int) -> str:
    """Where two texts lose each other: the first line blank on one side only, and where a surplus would explain lengths.

    Had the longer text its surplus in one place, lines would belong together as they are before it and shifted by the
    surplus behind it. The place is where the sum of deviations from the median log length ratio is least. It is named
    where the other way round the sum is a quarter larger.
    """
    found = ""
    for line, (source, target) in enumerate(text.pairs(), 1):
        if (blank := not source.strip()) != (not target.strip()):
            found = f"The first line that is blank on one side only is line {line:,} (the {'source' if blank else 'target'}). "
            break
    median = _median_ratio(text.pairs())
    if median is None:
        return found
    as_is = shifted = gained = most = 0.0
    place = 0
    for line, (straight, behind) in enumerate(zip(text.pairs(), text.pairs(surplus), strict=False), 1):
        a, b = _deviation(straight, median), _deviation(behind, median)
        as_is += a
        shifted += b
        gained += b - a
        if gained > most:
            most, place = gained, line
    least = shifted - most
    if as_is + shifted - least > 1.25 * least:
        odd, longer = text.line(place, surplus > 0)
        too_many = "the line too many is" if abs(surplus) == 1 else f"the {abs(surplus):,} lines too many begin"
        found += f"By their lengths, {too_many} near line {place + 1:,} of {longer}: {odd[:60]!r}. "
    return found


def _deviation(pair: Pair, median: float) -> float:
    a, b = (len(side.strip()) + _EXCUSED for side in pair)
    return abs(math.log(b / a / median))


def _show(ledger: PairLedger, kind: str, line: int, source: str, target: str) -> None:
    shown = ledger.examples.setdefault(kind, [])
    if len(shown) < EXAMPLES:
        shown.append(Example(line, source[:_SHOWN], target[:_SHOWN]))


def _first_bits(packed: NDArray[np.uint8], most: int) -> list[int]:
    """The positions of the first bits that are set."""
    found: list[int] = []
    for byte in np.flatnonzero(packed)[:most].tolist():
        found += [8 * byte + bit for bit in range(8) if packed[byte] >> (7 - bit) & 1]
    return found[:most]
