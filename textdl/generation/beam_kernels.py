"""The inner loop of beam search, compiled: of all tokens that the hypotheses of a line may go on with, the best few.

What `by_sorting` says, in one pass over the log-probabilities: a block of tokens is looked at one by one only where its
best would find a place among the best so far.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from textdl.encoded import BOS, EOS, UNK
from textdl.kernels import kernel
from textdl.protocols import Floats, Ints

FIRST = max(UNK, BOS, EOS) + 1
"""The ids before it are specials, which no hypothesis goes on with."""
_BLOCK = 64


def by_sorting(log_probs: Floats, totals: Any, bounds: Ints, width: int) -> list[list[tuple[int, int]]]:
    """For each line its (row, token) pairs of highest total, best first, of equal ones the first. To be read, and to test.

    Args:
        log_probs: (B, V); totals: (B,) float64, of the rows so far.
        bounds: (lines + 1,) where the rows of each line begin.
    """
    found = []
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        values = log_probs[first:last, FIRST:].astype(np.float64) + totals[first:last, None]
        order = np.argsort(-values, axis=None, kind="stable")[:width]
        pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, values.shape), strict=True)]
        found.append([(first + i, FIRST + j) for i, j in pairs if values[i, j] > -np.inf])
    return found


@kernel
def best(
    log_probs: Any, specials: int, totals: Any, bounds: Any, width: int, rows: Any, tokens: Any, values: Any,
    counts: Any,
) -> None:  # fmt: skip
    """`by_sorting` into rows, tokens and values (lines, width) and how many there are, counts (lines,).

    specials: columns of log_probs, from the first, that are none of the tokens.
    """
    vocab_size = log_probs.shape[1]
    for line in range(len(bounds) - 1):
        number = 0
        for row in range(bounds[line], bounds[line + 1]):
            total = totals[row]
            for block in range(specials, vocab_size, _BLOCK):
                end = min(block + _BLOCK, vocab_size)
                part = log_probs[row, block:end]
                top = part[0]
                for i in range(1, len(part)):
                    top = max(top, part[i])
                if top == -np.inf or (number == width and total + top <= values[line, width - 1]):
                    continue
                for i in range(len(part)):
                    value = total + part[i]
                    if value == -np.inf or (number == width and value <= values[line, width - 1]):
                        continue
                    place = number if number < width else width - 1
                    while place > 0 and values[line, place - 1] < value:
                        values[line, place] = values[line, place - 1]
                        rows[line, place] = rows[line, place - 1]
                        tokens[line, place] = tokens[line, place - 1]
                        place -= 1
                    values[line, place], rows[line, place], tokens[line, place] = value, row, block + i
                    number = min(number + 1, width)
        counts[line] = number


@kernel
def ending(ends: Any, bounds: Any, values: Any, counts: Any, among: int, found: Any) -> None:
    """Which hypotheses come to their line end, found (B,): those whose end is among so many best of their line.

    Args:
        ends: (B,) totals with the line end; -inf: it cannot end.
        bounds: (lines + 1,) where the rows of each line begin.
        values, counts: of `best`, what the ends compete with besides each other.
        among: 0: all that can end.
    """
    for line in range(len(bounds) - 1):
        for row in range(bounds[line], bounds[line + 1]):
            better = 0
            if among > 0:
                for i in range(counts[line]):
                    better += values[line, i] > ends[row]
                for other in range(bounds[line], bounds[line + 1]):
                    better += ends[other] > ends[row]
            found[row] = ends[row] > -np.inf and (among == 0 or better < among)
