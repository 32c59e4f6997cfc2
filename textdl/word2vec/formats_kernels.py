"""The numbers of text files of word vectors, parsed on all cores: 400,000 x 300 of them in seconds.

A decimal number is taken as digits m (the first 19) and a power of ten e, and m * 10^e computed in float64 with a
relative error below 2^-50. If everything within that error rounds to one float32, that is the result, the same as
that of Python's `float` rounded to float32; else, about once in 2^25 numbers, the line is left to
`formats.parse_line`, as is whatever is not plain: words with spaces, nan, blank lines, errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import exact_kernel

_POWERS = 10.0 ** np.arange(23)  # exact in float64
_LEAST, _MOST = 1 - 2.0**-50, 1 + 2.0**-50
_SPACE, _TAB, _RETURN, _PLUS, _MINUS, _POINT, _ZERO, _NINE, _E, _LITTLE_E = 32, 9, 13, 43, 45, 46, 48, 57, 69, 101


@exact_kernel
def parse(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    rows: NDArray[np.float32],
    word_ends: NDArray[np.int64],
) -> Any:
    """Parse lines of a word and numbers, each behind one space or tab.

    Args:
        text: bytes.
        starts, ends: (n,) of the lines, without their line ends.
        rows: (n, dim) receives the numbers.
        word_ends: (n,) receives where the words end; -1 for lines that are left.
    """
    dim = rows.shape[1]
    for line in range(len(starts)):
        at, end = starts[line], ends[line]
        while end > at and (text[end - 1] == _SPACE or text[end - 1] == _TAB or text[end - 1] == _RETURN):
            end -= 1
        while at < end and text[at] != _SPACE and text[at] != _TAB:
            at += 1
        word_end = at
        fine = word_end > starts[line]
        for column in range(dim):
            if not fine or at >= end or not (text[at] == _SPACE or text[at] == _TAB):
                fine = False
                break
            at += 1
            negative = at < end and text[at] == _MINUS
            if at < end and (negative or text[at] == _PLUS):
                at += 1
            digits, power, known, point = np.uint64(0), 0, 0, False
            some = False
            while at < end:
                c = text[at]
                if _ZERO <= c <= _NINE:
                    some = True
                    if known < 19:
                        digits = digits * np.uint64(10) + np.uint64(c - _ZERO)
                        if digits > np.uint64(0):
                            known += 1
                        power -= point
                    else:
                        power += not point
                elif c == _POINT and not point:
                    point = True
                else:
                    break
                at += 1
            if some and at < end and (text[at] == _E or text[at] == _LITTLE_E):
                at += 1
                falling = at < end and text[at] == _MINUS
                if at < end and (falling or text[at] == _PLUS):
                    at += 1
                exponent, some = 0, False
                while at < end and _ZERO <= text[at] <= _NINE:
                    exponent = min(exponent * 10 + (text[at] - _ZERO), 10_000)
                    some = True
                    at += 1
                power += -exponent if falling else exponent
            if not some or abs(power) > 88:
                fine = False
                break
            value = np.float64(digits)
            while power != 0:
                step = min(abs(power), 22)
                if power > 0:
                    value *= _POWERS[step]
                    power -= step
                else:
                    value /= _POWERS[step]
                    power += step
            single = np.float32(value * _LEAST)
            if single != np.float32(value * _MOST):
                fine = False
                break
            rows[line, column] = -single if negative else single
        word_ends[line] = word_end if fine and at == end else -1
