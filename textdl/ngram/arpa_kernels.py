"""The compiled loops that read ARPA files: lines of n-grams to ids and numbers, and to places among n-grams.

`parse` takes the lines as nearly all are written and stops at the first that is not; whoever calls it looks
at that line in Python (arpa.py), which reads it or says what is wrong with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import exact_kernel
from textdl.ngram.memory import load64

Array = NDArray[Any]
Int = Any
Float = Any

_SPACE, _TAB, _RETURN, _LINE_FEED = 0x20, 0x09, 0x0D, 0x0A
_MINUS, _PLUS, _POINT, _ZERO, _NINE, _E = 0x2D, 0x2B, 0x2E, 0x30, 0x39, 0x65
_DIGITS = 18
"""More are left out: float32 has 8."""
_TENS = np.array([10.0**i for i in range(23)])
"""All that float64 has exactly."""
_HIGHEST = 38.0
"""Of log10 back-offs: 10 to more than that is beyond float32."""
BUCKETS = 1 << 16
"""Of the index of a level, see `index`."""


@exact_kernel
def hashed(text: Array, begin: Int, end: Int) -> Int:
    """FNV-1a, folded (Fowler, Noll and Vo 1991)."""
    value = np.uint64(0xCBF29CE484222325)
    for i in range(begin, end):
        value = (value ^ np.uint64(text[i])) * np.uint64(0x100000001B3)
    return np.int64((value ^ (value >> np.uint64(32))) & np.uint64(0x7FFFFFFF))


@exact_kernel
def enter_words(words: Array, ends: Array, slots: Array) -> None:
    """Fill a table of words by their hashes: slots (a power of two,) int32, -1 where there is none.

    words: their bytes end to end, in uint8; ends (words + 1,): where each begins, and where the last ends.
    """
    mask = len(slots) - 1
    for i in range(len(ends) - 1):
        at = hashed(words, ends[i], ends[i + 1]) & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = i


@exact_kernel
def look_up(text: Array, begin: Int, end: Int, words: Array, ends: Array, slots: Array) -> Int:
    """The number of the word text[begin:end], or -1."""
    mask = len(slots) - 1
    at = hashed(text, begin, end) & mask
    while slots[at] >= 0:
        i = slots[at]
        start = ends[i]
        if ends[i + 1] - start == end - begin:
            same = True
            for j in range(end - begin):
                if words[start + j] != text[begin + j]:
                    same = False
                    break
            if same:
                return i
        at = (at + 1) & mask
    return -1


@exact_kernel
def number(text: Array, at: Int, stop: Int) -> tuple[Float, Int]:
    """The decimal number that begins at a byte, and where it ends; -1 for one out of the ordinary.

    Rounded correctly where it has no more than 15 digits.
    """
    negative = at < stop and text[at] == _MINUS
    if negative:
        at += 1
    mantissa: Int = 0
    digits = power = 0
    seen = some = False
    while at < stop:
        byte = text[at]
        if _ZERO <= byte <= _NINE:
            if digits < _DIGITS:
                mantissa = 10 * mantissa + (byte - _ZERO)
                power -= seen
            else:
                power += not seen
            digits += mantissa > 0
            some = True
        elif byte == _POINT and not seen:
            seen = True
        else:
            break
        at += 1
    if not some:
        return 0.0, -1
    if at < stop and (text[at] | 0x20) == _E:
        at += 1
        down = at < stop and text[at] == _MINUS
        if down or (at < stop and text[at] == _PLUS):
            at += 1
        begin = at
        exponent: Int = 0
        while at < stop and _ZERO <= text[at] <= _NINE and at - begin < 4:
            exponent = 10 * exponent + (text[at] - _ZERO)
            at += 1
        if at == begin:
            return 0.0, -1
        power += -exponent if down else exponent
    if not -22 <= power <= 22:
        return 0.0, -1
    value = mantissa * _TENS[power] if power >= 0 else mantissa / _TENS[-power]
    return -value if negative else value, at


@exact_kernel
def skip(text: Array, at: Int, stop: Int) -> Int:
    """Behind the spaces and tabs that begin here."""
    while at < stop and (text[at] == _SPACE or text[at] == _TAB):
        at += 1
    return at


@exact_kernel
def between(text: Array, at: Int, stop: Int) -> Int:
    """Behind what separates two fields, one space or tab or one of each; at itself where that is not what is here."""
    end = skip(text, at, stop)
    for i in range(at + 1, end):
        if text[i] == text[i - 1]:
            return at  # an empty word between them
    return end


@exact_kernel
def parse(
    text: Array, at: Int, order: Int, words: Array, ends: Array, slots: Array, ids: Array, p: Array, backoff: Array
) -> tuple[Int, Int, Int]:
    """n-grams of an order from text (bytes,) uint8, from a byte that begins a line on.

    As many as p (rows,) float64 takes; log10, as is backoff, 0 where the line has none. ids (rows, order): the
    numbers of the words. Stops before a line that is not `p word ... word [back-off]`, with words of the table,
    p of at most 0 and a line feed at the end; blank lines are passed over.

    Returns:
        The n-grams, the byte behind their lines, and how many lines were passed.
    """
    stop = len(text)
    rows = lines = 0
    begin = at
    while rows < len(p):
        at = skip(text, begin, stop)
        if at + 1 < stop and text[at] == _RETURN and text[at + 1] == _LINE_FEED:
            at += 1
        if at < stop and text[at] == _LINE_FEED:
            begin = at + 1
            lines += 1
            continue
        value, at = number(text, at, stop)
        if at < 0 or value > 0:
            break
        known = True
        for i in range(order):
            start = between(text, at, stop)
            if start == at:
                known = False
                break
            at = start
            while at < stop and text[at] != _SPACE and text[at] != _TAB and text[at] != _LINE_FEED:
                at += 1
            end = at
            if end > start and end < stop and text[end] == _LINE_FEED and text[end - 1] == _RETURN:
                end -= 1
            word = look_up(text, start, end, words, ends, slots)
            if word < 0:
                known = False
                break
            ids[rows, i] = word
            at = end
        if not known:
            break
        weight = 0.0
        start = skip(text, at, stop)
        if start < stop and text[start] != _LINE_FEED and text[start] != _RETURN:
            if between(text, at, stop) == at:
                break
            weight, start = number(text, start, stop)
            if start < 0 or weight >= _HIGHEST:
                break
            start = skip(text, start, stop)
        if start < stop and text[start] == _RETURN:
            start += 1
        if start >= stop or text[start] != _LINE_FEED:
            break
        p[rows], backoff[rows] = value, weight
        begin = start + 1
        rows += 1
        lines += 1
    return rows, begin, lines


@exact_kernel
def index(keys: Array, shift: Int, starts: Array) -> None:
    """starts (BUCKETS + 1,): where in sorted keys (k,) uint64 those begin whose upper bits, key >> shift, are 0, 1, .."""
    at = 0
    for bucket in range(len(starts) - 1):
        while at < len(keys) and np.int64(keys[at] >> np.uint64(shift)) < bucket:
            at += 1
        starts[bucket] = at
    starts[-1] = len(keys)


@exact_kernel
def place(keys: Int, size: Int, shift: Int, starts: Array, key: Int) -> Int:
    """Where a key is among the sorted keys at an address, or -1."""
    bucket = key >> shift
    if bucket >= len(starts) - 1:
        return -1
    low, high = starts[bucket], starts[bucket + 1]
    while low < high:
        middle = (low + high) >> 1
        if load64(keys + 8 * middle) < key:
            low = middle + 1
        else:
            high = middle
    return low if low < size and load64(keys + 8 * low) == key else -1


@exact_kernel
def resolve(ids: Array, bits: Int, at: Array, sizes: Array, shifts: Array, starts: Array, keys: Array) -> Int:
    """keys (rows,) uint64 of n-grams ids (rows, n): the place of the first n - 1 words in their level << bits | last word.

    Level m, 2 .. n - 1, is sorted keys of the same kind at the address at[m], so many as sizes[m]; shifts and
    starts are its `index`. What an n-gram has in common with the one before is not looked up again.

    Returns:
        rows, or the first whose beginning is in no level.
    """
    n = ids.shape[1]
    nodes = np.full(n, -1, np.int64)  # nodes[m]: the place of the first m words
    for row in range(len(ids)):
        same = 0
        while row and same < n - 1 and ids[row, same] == ids[row - 1, same]:
            same += 1
        for m in range(same + 1, n):
            key = np.int64(ids[row, m - 1])
            if m > 1:
                key |= nodes[m - 1] << bits
                key = place(at[m], sizes[m], shifts[m], starts[m], key)
            if key < 0:
                return row
            nodes[m] = key
        keys[row] = np.uint64((nodes[n - 1] << bits) | np.int64(ids[row, n - 1]))
    return len(ids)
