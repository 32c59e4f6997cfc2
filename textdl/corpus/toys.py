"""Toy tasks as pairs of lines: what a sequence-to-sequence network must be able to learn, and to learn exactly.

    copy       krbx                      krbx
    reverse    krbx                      xbrk
    sort       krbx                      bkrx
    dates      5 March 1998              1998-03-05

Strings are of random letters, twice as long ones twice as likely, since the last letters of long ones are learnt last. For each
string the letters it may have are drawn first, so that some have few: where each letter is there once, a network can find its
place by the letters before, and never learns to count. Dates are written in one of several ways. The same task gives the same
pairs every time, from a seed of its own. `toy:reverse` names one, `toy:reverse:60` the same with strings of 41 to 60 letters,
which a model of `toy:reverse` has never seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from textdl.errors import UsageError

LONGEST = 40
"""Letters of a string, unless it is said otherwise."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PAIRS = 200_000
"""So many that a network of two minutes hardly reads them twice: it cannot learn them by heart."""
_MOST = 1000
"""Letters that may be asked for."""
PREFIX = "toy:"
"""Of the names of toys, where others name files."""
COPYING = f"{PREFIX}copy"
"""Pairs whose target is the source on purpose."""
_LONGER = 500
"""Pairs of longer strings: they are for testing."""
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIRST, _LAST = date(1900, 1, 1).toordinal(), date(2099, 12, 31).toordinal()
_TARGETS: dict[str, Callable[[str], str]] = {
    "copy": lambda text: text,
    "reverse": lambda text: text[::-1],
    "sort": lambda text: "".join(sorted(text)),
}
TASKS = (*_TARGETS, "dates")


@dataclass(frozen=True)
class Toy:
    """One task. Iterates over (source, target)."""

    task: str
    shortest: int = 1
    longest: int = LONGEST
    pairs: int = _PAIRS

    @classmethod
    def named(cls, name: str) -> Toy:
        """Of `reverse` or `reverse:60`.

        Raises:
            UsageError: there is no such task, or strings are not of that length.
        """
        task, colon, length = name.partition(":")
        if task not in TASKS:
            raise UsageError(
                f"{PREFIX}{name}: there is no such task. Choose one of: {', '.join(PREFIX + t for t in TASKS)}."
            )
        if not colon:
            return cls(task)
        if task == "dates" or not length.isdecimal() or not LONGEST < int(length) <= _MOST:
            raise UsageError(
                f"{PREFIX}{name}: behind copy, reverse and sort may stand how long strings become, more than the {LONGEST} "
                f"letters they have else and {_MOST:,} at most, such as {PREFIX}reverse:60."
            )
        return cls(task, LONGEST + 1, int(length), _LONGER)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        chance = random.Random(f"{self.task} {self.longest}")
        for _ in range(self.pairs):
            if self.task == "dates":
                yield _dated(chance)
                continue
            letters = chance.sample(_LETTERS, chance.randint(1, len(_LETTERS)))
            text = "".join(chance.choices(letters, k=max(chance.randint(self.shortest, self.longest) for _ in (1, 2))))
            yield text, _TARGETS[self.task](text)


def _dated(chance: random.Random) -> tuple[str, str]:
    """A day as a person may write it, and by ISO 8601."""
    day = date.fromordinal(chance.randint(_FIRST, _LAST))
    month = _MONTHS[day.month - 1]
    written = (
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{month[:3]} {day.day:02d} {day.year}",
        f"{_DAYS[day.weekday()]}, {day.day} {month} {day.year}",
        f"{day.day:02d}/{day.month:02d}/{day.year}",
        f"{day.year}年{day.month}月{day.day}日",
    )
    return chance.choice(written), day.isoformat()
