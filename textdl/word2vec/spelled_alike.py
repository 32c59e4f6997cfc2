"""Which known words are spelled most nearly as an unknown one, among a million of them, in a moment.

Nearness is 1 - d / length of the longer word, with d the number of characters put in, left out, replaced
or swapped with their neighbour (optimal string alignment: Damerau 1964; Boytsov 2011, section 2.2), case
apart. It suits English, where d counts slips of the finger, and Chinese, where words of two or three
characters that share one or two come out.

A word at d shares all but d of the longer word's characters, so counting shared characters bounds its
nearness from above; words are aligned in the order of that bound, until it falls below what was found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LEAST = 0.5
"""Words less near than this are not called alike."""
_LONGEST = 64
"""Characters; what is longer is no word, and nothing is spelled like it."""
_AT_ONCE = 1 << 14
"""Words aligned at a time."""

Codes = NDArray[np.uint32]


class Spellings:
    """The code points of all words, in lower case, end to end."""

    def __init__(self, words: Sequence[str]) -> None:
        """words: the more frequent first; of words equally near, the first is preferred."""
        self._words = words
        lowered = [word.lower() for word in words]
        self._codes = _codes("".join(lowered))
        self._lengths = np.fromiter(map(len, lowered), np.int64, len(words))
        self._starts = np.cumsum(self._lengths) - self._lengths

    def nearest(self, word: str, count: int = 3) -> list[str]:
        """The words spelled most nearly, best first; none that is less than half alike."""
        wanted = _codes(word.lower())
        if not 0 < len(wanted) <= _LONGEST:
            return []
        could_be, bounds = self._could_be(wanted)
        order = np.argsort(-bounds, kind="stable")
        found: list[tuple[float, int]] = []
        done = 0
        while done < len(order) and (len(found) < count or bounds[order[done]] > -found[count - 1][0]):
            some = could_be[order[done : done + _AT_ONCE]]
            near = self._nearness(wanted, some)
            found += [(-float(near[i]), int(some[i])) for i in np.flatnonzero(near >= _LEAST)]
            found = sorted(found)[:count]
            done += _AT_ONCE
        return [self._words[i] for _, i in found]

    def _could_be(self, wanted: Codes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The words that share enough characters to be half alike, and how near each could be at most."""
        m = len(wanted)
        fits = (self._lengths <= m / _LEAST) & (self._lengths >= m * _LEAST)
        is_wanted = np.zeros(0x110000, np.int32)
        is_wanted[wanted] = 1
        running = np.concatenate(([0], np.cumsum(is_wanted[self._codes])))
        shared = np.minimum(running[self._starts + self._lengths] - running[self._starts], m)
        bounds = shared / np.maximum(self._lengths, m)
        could_be = np.flatnonzero(fits & (bounds >= _LEAST))
        return could_be, bounds[could_be]

    def _nearness(self, wanted: Codes, words: NDArray[np.int64]) -> NDArray[np.float64]:
        """(words,) 1 - distance / length of the longer; all words are aligned side by side."""
        m, lengths = len(wanted), self._lengths[words]
        n = int(lengths.max())
        place = np.arange(n)
        codes = self._codes[np.minimum(self._starts[words][:, None] + place, len(self._codes) - 1)]
        codes = np.where(place < lengths[:, None], codes, np.uint32(0xFFFFFFFF)).T
        before: NDArray[np.int16] = np.zeros((n + 1, len(words)), np.int16)
        last = np.repeat(np.arange(n + 1, dtype=np.int16)[:, None], len(words), axis=1)
        for i in range(1, m + 1):
            row = np.empty_like(last)
            row[0] = i
            for j in range(1, n + 1):
                cost = last[j - 1] + (codes[j - 1] != wanted[i - 1])
                np.minimum(cost, last[j] + 1, out=cost)
                np.minimum(cost, row[j - 1] + 1, out=cost)
                if i > 1 and j > 1:
                    swapped = (codes[j - 1] == wanted[i - 2]) & (codes[j - 2] == wanted[i - 1])
                    np.minimum(cost, np.where(swapped, before[j - 2] + 1, cost), out=cost)
                row[j] = cost
            before, last = last, row
        distance = last[lengths, np.arange(len(words))]
        nearness: NDArray[np.float64] = 1 - distance / np.maximum(lengths, m)
        return nearness


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
