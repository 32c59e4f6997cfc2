"""Which tokens of a stretch of text are kept, and which of them are near each other.

Everything that an update will need is chosen before it starts, by position alone: the kept tokens and
the bounds of every target's window (here), the output rows that the target is told from (noise.py or
huffman.py). A `Batch` holds all that for one stretch; skipgram.py and cbow.py make the updates.
"""

from __future__ import annotations

import numpy as np

from textdl.kernels import kernel
from textdl.word2vec.kernels import STRIDE, Floats, Ids, Offsets
from textdl.word2vec.noise import KEEP, WINDOW, below, draw, unit


class Batch:
    """The targets of a stretch of text with their windows and output rows; memory that is used again and again."""

    def __init__(self, tokens: int, window: int, groups: int) -> None:
        """tokens: of a stretch, at most; groups: of output rows of one target, at most."""
        kept = tokens + 2 * window + 1
        self.words = np.zeros(kept, np.int32)
        """Kept tokens, with those of the same lines just before and after the stretch."""
        self.where = np.zeros(kept, np.int64)
        """Their positions in the corpus."""
        self.first = np.zeros(kept, np.int64)
        self.last = np.zeros(kept, np.int64)
        """The window of words[i] is words[first[i]] to words[last[i]], without words[i] itself."""
        self.begin = self.end = 0
        """The targets are words[begin:end]."""
        self.bounds = np.zeros(tokens + 1, np.int64)
        """The groups of target begin + t are those from bounds[t] to bounds[t + 1]."""
        self.rows = np.zeros(STRIDE * tokens * groups, np.int32)
        """Output rows: GROUP of every STRIDE places."""
        self.signs = np.zeros(STRIDE * tokens * groups, np.float32)
        """+1: the answer is yes, -1: no, 0: not asked; always 0 at the places between groups."""


@kernel
def windows(
    ids: Ids,
    offsets: Offsets,
    start: int,
    stop: int,
    keep: Floats,
    key: np.uint64,
    draws: int,
    window: int,
    dynamic: bool,
    words: Ids,
    where: Offsets,
    first: Offsets,
    last: Offsets,
) -> tuple[int, int]:
    """Fill words, where, first and last of a `Batch` for positions start..stop; return its begin and end.

    A token is kept with probability keep[id]. The window of a target is 1 to `window` kept tokens to
    either side (dynamic), or always `window`; it ends where its line ends.

    A stretch without a kept token is left at once. Each gap between kept tokens is then looked through for at most
    `window` other stretches from either side: the time is linear in the length of a line, whatever is kept of it.
    """  # fmt: skip
    position = start
    while position < stop and not unit(draw(key, position, draws, KEEP)) < keep[ids[position]]:
        position += 1
    if position == stop:
        return 0, 0
    line = int(np.searchsorted(offsets, start, side="right")) - 1
    position, found = start, 0
    while position > offsets[line] and found < window:
        position -= 1
        if unit(draw(key, position, draws, KEEP)) < keep[ids[position]]:
            found += 1
    n = begin = end = opened = 0  # opened: where the words of the line begin
    stretch_end = stop
    finish = offsets[line + 1]
    while True:
        if position == start:
            begin = n
        if position >= stop:
            if position == stretch_end:
                end = n
                found = 0
            if position >= finish or found == window:
                break
        if position >= finish:
            opened = n
            while finish <= position:
                line += 1
                finish = offsets[line + 1]
        # Written always, counted if kept: no branch that cannot be predicted.
        word = ids[position]
        kept = int(unit(draw(key, position, draws, KEEP)) < keep[word])
        words[n] = word
        where[n] = position
        first[n] = opened
        n += kept
        found += kept
        position += 1
    closed = n - 1
    for i in range(n - 1, begin - 1, -1):
        if i + 1 < n and first[i + 1] == i + 1:  # the next word opens a line
            closed = i
        last[i] = closed
    for i in range(begin, end):
        reach = 1 + int(below(draw(key, where[i], draws, WINDOW), window)) if dynamic else window
        first[i] = max(first[i], i - reach)
        last[i] = min(last[i], i + reach)
    return begin, end
