"""Whether the words of a user dictionary come out whole, why not, and the frequency that would make them.

jieba takes the most probable of all ways to cut, so a word wins only if its frequency outweighs the product of its
parts; and it looks up nothing that holds a character outside `CHARACTERS`. A word is tried alone, as a whole line,
and, given a text, wherever it occurs.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from textdl.tokenizers.jieba import IN_BLOCK, PART, parts
from textdl.tokenizers.jieba_dictionary import Dictionary, words_of_jieba
from textdl.tokenizers.user_dictionary import LARGEST, Entry

CHARACTERS = "U+4E00 to U+9FD5, a-z, A-Z, 0-9 and + # & . _ % -"
"""`IN_BLOCK`, for a person: everything else stands alone in jieba."""
_ALONE = re.compile(f"[^{IN_BLOCK}]")
_ROUNDS = 20


@dataclass(frozen=True)
class Verdict:
    """What becomes of one entry, tried alone."""

    entry: Entry
    frequency: int
    """The one in force: given, or suggested by jieba where none is given."""
    pieces: list[str]
    """What the word is cut into."""
    why: str
    """Why it does not come out whole, or what else is to be said of it; empty: nothing."""
    needs: int | None
    """The frequency in the corrected dictionary, where the given one does not do and another does."""
    suggested: int | None
    """The frequency that jieba's `suggest_freq` gives, where the one in force does not do."""
    superseded: bool = False
    """A later entry is for the same word, and that one counts."""

    @property
    def whole(self) -> bool:
        return len(self.pieces) == 1

    @property
    def failed(self) -> bool:
        """Not whole, and not because it was asked for with the frequency 0."""
        return not self.whole and self.entry.frequency != 0 and not self.superseded


@dataclass
class Occurrences:
    """Of one word in a text."""

    word: str
    found: int = 0
    whole: int = 0
    example: str = ""
    """The pieces around the first occurrence that is not whole."""
    why: str = ""
    """Of that one."""


def check(entries: Sequence[Entry], *, hmm: bool = True) -> tuple[list[Verdict], list[Entry]]:
    """Try every entry alone.

    Returns:
        A verdict for each entry, in order, and the corrected dictionary: frequencies raised as little as makes words
        come out whole, all at once, and of entries for the same word only the last.
    """
    words = words_of_jieba().with_entries(entries)
    last = {entry.word: entry.line for entry in entries}
    corrected = correct([entry for entry in entries if last[entry.word] == entry.line], hmm=hmm)
    raised = {entry.word: entry.frequency for entry in corrected}
    return [_verdict(entry, words, last[entry.word], raised[entry.word], hmm) for entry in entries], corrected


def _verdict(entry: Entry, words: Dictionary, last: int, raised: int | None, hmm: bool) -> Verdict:
    word = entry.word
    pieces = words.cut(word, hmm=hmm)
    frequency = words.frequency(word) or 0
    if last != entry.line:
        why = f"given again in line {last:,}, which counts"
        return Verdict(entry, frequency, pieces, why, None, None, superseded=True)
    if len(pieces) == 1:
        return Verdict(entry, frequency, pieces, "", None, None)
    if alone := sorted(set(_ALONE.findall(word))):
        told = ", ".join("a space" if c == " " else f"{c} (U+{ord(c):04X})" for c in alone[:4])
        why = f"jieba always cuts at {told}: it looks up only {CHARACTERS}"
        composed = unicodedata.normalize("NFC", word)
        if composed != word:
            why += f"; the word is written with decomposed characters, {composed!r} is its composed form"
        return Verdict(entry, frequency, pieces, why, None, None)
    if frequency == 0:
        return Verdict(entry, frequency, pieces, "the frequency 0 tells jieba to split it", None, None)
    logarithm, others = _best_parts(word, words)
    mine = math.log(frequency) - math.log(words.total)
    source = "" if entry.frequency is not None else ", which jieba suggests,"
    why = (
        f"the frequency {frequency:,}{source} is too low: {' + '.join(others)} have the log-probability "
        f"{logarithm:.2f}, the word {mine:.2f}"
    )
    needs = raised if raised is not None and raised > frequency else None
    if needs is None:
        why += f"; no frequency up to {LARGEST:,} outweighs them"
    return Verdict(entry, frequency, pieces, why, needs, words.suggest(word))


def correct(entries: Sequence[Entry], *, hmm: bool) -> list[Entry]:
    """Entries, one for each word, with the frequencies raised that do not do.

    Frequencies depend on each other, through the total and because one word is a part of another, so short words
    come first and everything is tried again until all are whole.
    """
    made = list(entries)
    for _ in range(_ROUNDS):
        words = words_of_jieba().with_entries(made)
        failing = [
            place
            for place, entry in enumerate(made)
            if entry.frequency != 0 and not _ALONE.search(entry.word) and len(words.cut(entry.word, hmm=hmm)) > 1
        ]
        changed = False
        for place in sorted(failing, key=lambda place: len(made[place].word)):
            needed = _needed(made[place].word, words, hmm)
            if needed is not None:
                made[place] = replace(made[place], frequency=needed)
                changed = True
        if not changed:
            break
    return made


def _needed(word: str, words: Dictionary, hmm: bool) -> int | None:
    """The lowest frequency with which the word is whole; it is put into `words`. None: not up to LARGEST."""
    given = words.frequency(word) or 0

    def whole(frequency: int) -> bool:
        words.replace(word, frequency)
        return len(words.cut(word, hmm=hmm)) == 1

    if whole(given):  # by now, since its parts became less probable
        return given
    low, high = given, max(2 * given, 1)
    while not whole(high):
        low, high = high, 2 * high
        if high > LARGEST:
            words.replace(word, given)
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if whole(middle) else (middle, high)
    words.replace(word, high)
    return high


def _best_parts(word: str, words: Dictionary) -> tuple[float, list[str]]:
    """The most probable way to cut a word into more than one piece, and its logarithm."""
    total = math.log(words.total)
    best: list[tuple[float, int]] = [(0.0, 0)] * (len(word) + 1)
    for start in range(len(word) - 1, -1, -1):
        ways = [
            (math.log(frequency) - total + best[end][0], end)
            for end in range(start + 1, len(word) + 1)
            if (frequency := words.frequency(word[start:end])) and end - start < len(word)
        ]
        best[start] = max(ways, default=(-total + best[start + 1][0], start + 1))
    pieces, at = [], 0
    while at < len(word):
        pieces.append(word[at : best[at][1]])
        at = best[at][1]
    return best[0][0], pieces


def occurrences(entries: Sequence[Entry], lines: Iterable[str], *, hmm: bool = True) -> list[Occurrences]:
    """Look at every place where a word occurs in a text: whether its first and last characters are cut off there.

    Entries with the frequency 0 are left out. Lines are segmented as a whole.
    """
    of = {entry.word: Occurrences(entry.word) for entry in entries if entry.frequency != 0}
    if not of:
        return []
    words = words_of_jieba().with_entries(entries)
    wanted = Dictionary()
    wanted.add(list(of), [1] * len(of))
    for line in chain.from_iterable(parts(line, PART) for line in lines):
        places = [
            (start, end)
            for start, ends in enumerate(wanted.words_from(line))
            for end in ends
            if end > start + 1 or line[start] in of
        ]
        if not places:
            continue
        pieces = words.cut(line, hmm=hmm)
        starts = [0]
        for piece in pieces:
            starts.append(starts[-1] + len(piece))
        number = {start: i for i, start in enumerate(starts)}
        for start, end in places:
            seen = of[line[start:end]]
            seen.found += 1
            first = number.get(start)
            if first is not None and first + 1 < len(starts) and starts[first + 1] == end:
                seen.whole += 1
            elif not seen.example:
                seen.example, seen.why = _around(start, end, starts, pieces)
    return list(of.values())


def _around(start: int, end: int, starts: Sequence[int], pieces: Sequence[str]) -> tuple[str, str]:
    """The pieces that hold line[start:end], one more on each side, and what happened to it."""
    first = max(i for i, at in enumerate(starts[:-1]) if at <= start)
    last = min(i for i, at in enumerate(starts[1:]) if at >= end)
    example = " ".join(pieces[max(0, first - 1) : last + 2])
    if first == last:
        return example, f"within the longer {pieces[first]}"
    if starts[first] == start and starts[last + 1] == end:
        return example, "cut into parts"
    return example, "a neighbour takes a part of it"
