"""Words between white space to numbers, on the bytes of a text: several times as fast as a str for each word.

A hash table with open addressing (linear probing) holds the number of every word met; the bytes of the
words stand one after the other in an arena, so that two words are equal only if all their bytes are.
The plain form is `WhitespaceTokenizer.encode` and a dict; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import kernel

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Words:
    """Words to numbers, in order of first sight."""

    def __init__(self) -> None:
        self._count = 0
        self._table = np.full(1 << 16, -1, np.int32)
        self._hashes = np.empty(1 << 15, np.uint64)
        self._starts = np.zeros((1 << 15) + 1, np.int64)
        self._arena = np.empty(1 << 18, np.uint8)

    def number(self, lines: Sequence[str]) -> tuple[list[str], NDArray[np.int32], NDArray[np.int64]] | None:
        """New words, the numbers of all words, and how many each line has. None: a line holds a line feed."""
        text = "\n".join(lines)
        if text.count("\n") != len(lines) - 1:
            return None
        data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        most = len(data) // 2 + 1
        self._reserve(most, len(data))
        before = self._count
        numbers, lengths = np.empty(most, np.int32), np.zeros(len(lines), np.int64)
        words, self._count = _number(
            data, self._table, self._hashes, self._starts, self._arena, before, numbers, lengths
        )  # fmt: skip
        starts = self._starts[before : self._count + 1].tolist()
        arena = self._arena[: starts[-1]].tobytes() if len(starts) > 1 else b""
        new = [arena[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(starts)]
        return new, numbers[:words], lengths

    def _reserve(self, words: int, size: int) -> None:
        """Room for so many words more, of so many bytes: then the kernel needs not ask."""
        if (count := self._count + words) > len(self._hashes):
            self._hashes = _longer(self._hashes, 2 * count)
            self._starts = _longer(self._starts, 2 * count + 1)
        if (used := int(self._starts[self._count]) + size) > len(self._arena):
            self._arena = _longer(self._arena, 2 * used)
        if 2 * count > len(self._table):
            self._table = np.full(1 << (2 * count).bit_length(), -1, np.int32)
            _insert(self._table, self._hashes, self._count)


def _longer(array: NDArray[Any], size: int) -> NDArray[Any]:
    longer = np.empty(size, array.dtype)
    longer[: len(array)] = array
    return longer


@kernel
def _insert(table: NDArray[np.int32], hashes: NDArray[np.uint64], count: int) -> None:
    mask = np.uint64(len(table) - 1)
    for number in range(count):
        at = hashes[number] & mask
        while table[at] >= 0:
            at = (at + np.uint64(1)) & mask
        table[at] = number


@kernel
def _number(
    data: NDArray[np.uint8],
    table: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    starts: NDArray[np.int64],
    arena: NDArray[np.uint8],
    count: int,
    numbers: NDArray[np.int32],
    lengths: NDArray[np.int64],
) -> tuple[int, int]:
    """How many words there are in the text, and how many different ones are known after it."""
    mask = np.uint64(len(table) - 1)
    words, line, i, end = 0, 0, 0, len(data)
    while i < end:
        byte = data[i]
        if byte == 10:
            line += 1
        if byte <= 32 and (byte == 32 or byte == 0 or 9 <= byte <= 13):
            i += 1
            continue
        start = i
        h = _OFFSET  # FNV-1a
        while i < end:
            byte = data[i]
            if byte <= 32 and (byte == 32 or byte == 0 or 9 <= byte <= 13):
                break
            h = (h ^ np.uint64(byte)) * _PRIME
            i += 1
        h = (h ^ (h >> np.uint64(32))) * _SPREAD
        h ^= h >> np.uint64(29)
        at = h & mask
        size = i - start
        found = np.int64(-1)
        while table[at] >= 0:
            number = np.int64(table[at])
            if hashes[number] == h and starts[number + 1] - starts[number] == size:
                begin = starts[number]
                same = 0
                while same < size and arena[begin + same] == data[start + same]:
                    same += 1
                if same == size:
                    found = number
                    break
            at = (at + np.uint64(1)) & mask
        if found < 0:
            found = np.int64(count)
            table[at] = count
            hashes[count] = h
            begin = starts[count]
            for k in range(size):
                arena[begin + k] = data[start + k]
            starts[count + 1] = begin + size
            count += 1
        numbers[words] = found
        words += 1
        lengths[line] += 1
    return words, count
