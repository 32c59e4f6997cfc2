"""How a network that sees W tokens at once reads a longer text.

The first window scores its W tokens. Each later one begins S tokens after the one before, and scores the S tokens
that are new; the W - S before them are context. A small stride gives every token much context and costs a
window of work for each S tokens.

    W = 4, S = 2        tokens   0 1 2 3 4 5 6 7 8
    window 0                     s s s s                   s: scored, c: context
    window 1                         c c s s
    window 2                             c c s s
    window 3                                 c c s

The windows of a text follow from W and S alone, so reading token by token finds the same ones, and all of
them can be read side by side, also those of one long stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from textdl.encoded import EOS, Encoded
from textdl.protocols import Ints

_PIECE = 1 << 17
"""Tokens of one text whose windows are listed at once."""


def window_of(position: Ints, window: int, stride: int) -> Ints:
    """The number of the window that scores a token; window k begins at token k * stride."""
    return np.maximum(0, (position - window) // stride + 1)


@dataclass(frozen=True)
class Piece:
    """Some windows, and the tokens that they score."""

    inputs: Ints
    """Flat: what the windows are cut from."""
    targets: Ints
    """Flat: what is to be predicted, in order; each scored by one window."""
    starts: Ints
    """(windows,) where each begins in `inputs`."""
    lengths: Ints
    """(windows,) of at most W tokens."""
    contexts: Ints
    """(windows,) how many at its beginning are not scored."""
    places: Ints
    """(windows,) where in `targets` the first that it scores is."""

    def rows(self, windows: Ints) -> tuple[Ints, Ints, Ints]:
        """Some windows as (B, T) inputs, padded behind; (B, T) targets, -1 where none; (B, T) places in `targets`."""
        step = np.arange(int(self.lengths[windows].max()))
        inside = step < self.lengths[windows, None]
        inputs = self.inputs[np.where(inside, self.starts[windows, None] + step, 0)]
        scored = inside & (step >= self.contexts[windows, None])
        places = np.where(scored, self.places[windows, None] + step - self.contexts[windows, None], 0)
        return inputs, np.where(scored, self.targets[places], -1), places


def pieces(blocks: Iterator[Encoded], unit: str, window: int, stride: int) -> Iterator[Piece]:
    """All windows of a text. Tokens are those of `Encoded.stream`: a line end after each line.

    unit: `line`: each line is a text of its own; `stream`: all lines are one.
    """
    past, position = np.array([EOS]), 0  # the last W inputs, and how many tokens came before
    for block in blocks:
        targets = block.stream().astype(np.int64)
        if unit == "line" and len(block) > 1:
            inputs = np.concatenate(([EOS], targets[:-1]))  # a line begins where a line end is the input
            offsets = block.offsets[:-1] + np.arange(len(block))
            ends = np.diff(block.offsets) + 1
            yield _windows(inputs, targets, offsets, offsets, np.zeros_like(ends), ends, window, stride)
            continue
        if unit == "line":
            past, position = np.array([EOS]), 0
        for first in range(0, len(targets), _PIECE):
            part = targets[first : first + _PIECE]
            inputs = np.concatenate((past, part[:-1]))
            offset = np.array([len(past) - 1 - position])  # of token 0 in inputs, were it there
            begin, end = np.array([position]), np.array([position + len(part)])
            yield _windows(inputs, part, offset, -begin, begin, end, window, stride)
            past, position = np.concatenate((past, part))[-window:], position + len(part)


def _windows(
    inputs: Ints, targets: Ints, offsets: Ints, target_offsets: Ints, begins: Ints, ends: Ints, window: int, stride: int
) -> Piece:
    """Windows that score tokens begins..ends of some texts, whose tokens 0 are at the offsets."""
    first = window_of(begins, window, stride)
    counts = window_of(ends - 1, window, stride) - first + 1
    text = np.repeat(np.arange(len(begins)), counts)
    number = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts) + first[text]
    start = number * stride
    scored = np.maximum(begins[text], np.where(number > 0, start + window - stride, 0))
    return Piece(
        inputs=inputs,
        targets=targets,
        starts=offsets[text] + start,
        lengths=np.minimum(start + window, ends[text]) - start,
        contexts=scored - start,
        places=target_offsets[text] + scored,
    )
