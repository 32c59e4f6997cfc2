"""Encoded text to batches.

A stream is cut into rows of equal length that are read side by side, a few steps at a time, the state
carried from one batch into the next (truncated back-propagation through time; Mikolov et al. 2010, Zaremba
et al. 2014). Nothing is padded but the last column.

Independent lines are put side by side with others of like length, each from a fresh state. Rows of many lines
with the state zeroed at line starts would be as full, but a recurrent kernel cannot zero a row half way, so
each line start would cost a call of its own; in sorted lines hardly 3 % of the positions are padding.

Every network is fed </s> before the first token; see layers/language_model.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.layers.language_model import padded
from textdl.layers.network import Network, States
from textdl.protocols import Ints, Run, TrainingData

_POOL = 64
"""Batches whose lines are sorted by length together."""
_ENOUGH_UNKNOWN = 20
"""Tokens of <unk> from which its probability can be learnt without replacing anything."""

_BLOCKS = 32
"""Places from which a sample is taken."""


@dataclass(frozen=True)
class Batch:
    """What one step of training sees."""

    inputs: NDArray[np.integer[Any]]
    """(B, T)"""
    targets: NDArray[np.integer[Any]]
    """(B, T): the id that follows; -1 where nothing is to be predicted."""
    fresh: bool
    """Whether the rows begin anew; else they continue the rows of the batch before."""

    @property
    def tokens(self) -> int:
        """How many are predicted."""
        return int(np.count_nonzero(self.targets >= 0))

    def part(self, rows: slice) -> Batch:
        """Some of the rows."""
        return replace(self, inputs=self.inputs[rows], targets=self.targets[rows])

    def begin(self, network: Network) -> States:
        """The state from which a fresh batch is read."""
        return network.initial_state(len(self.inputs))


def stream_batches(text: Encoded, rows: int, steps: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
    """The text as one stream in `rows` rows, `steps` at a time. rng: where to begin, so that the cuts fall elsewhere."""
    stream = text.stream()
    if rng is not None:
        stream = np.roll(stream, -int(rng.integers(len(stream))))
    rows = max(1, min(rows, len(stream) // steps))
    columns = -(-len(stream) // rows)
    padding = rows * columns - len(stream)
    targets = np.append(stream, np.full(padding, -1, np.int32)).reshape(rows, columns)
    inputs = np.full(targets.shape, EOS, np.int32)
    inputs.flat[1 : len(stream)] = stream[:-1]
    if rng is not None:
        inputs[0, 0] = stream[-1]  # the stream is a ring, cut somewhere
    for first in range(0, columns, steps):
        part = slice(first, first + steps)
        yield Batch(inputs[:, part], targets[:, part], fresh=first == 0)


def line_batches(text: Encoded, tokens: int, steps: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
    """Each line from a fresh state; about `tokens` positions a batch; lines over `steps` are read in parts.

    rng: shuffles lines and batches; without it the order is that of the file, but for the sorting by length.
    """
    lengths = np.diff(text.offsets) + 1
    order = np.arange(len(text)) if rng is None else rng.permutation(len(text))
    ends = np.cumsum(lengths[order])
    pools = np.append(np.searchsorted(ends, np.arange(0, int(lengths.sum()), _POOL * tokens)), len(text))
    for first, last in pairwise(pools):
        pool = order[first:last]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        groups = list(_groups(pool, np.minimum(lengths[pool], steps), tokens))
        for g in range(len(groups)) if rng is None else rng.permutation(len(groups)):
            yield from _parts(text, groups[g], steps)


def _groups(pool: Ints, lengths: Ints, tokens: int) -> Iterator[Ints]:
    """Runs of lines of rising length whose padded size is at most `tokens`, one line at least."""
    first = 0
    for i, length in enumerate(lengths):
        if i > first and (i - first + 1) * int(length) > tokens:
            yield pool[first:i]
            first = i
    if first < len(pool):
        yield pool[first:]


def _parts(text: Encoded, rows: Ints, steps: int) -> Iterator[Batch]:
    longest = int((text.offsets[rows + 1] - text.offsets[rows]).max()) + 1
    for first in range(0, longest, steps):
        yield Batch(*padded(text, rows, first, steps), fresh=first == 0)


class TextCut:
    """How a text is cut into batches: what `--context`, `--bptt` and `--batch-size` say."""

    def __init__(self, context: str, steps: int, rows: int, text: Encoded):
        """text: the training text; rows are meant for lines of the length usual in it."""
        self.context, self.steps, self.rows = context, steps, rows
        self.positions = max(1, int(rows * np.minimum(np.diff(text.offsets) + 1, steps).mean()))

    def __call__(self, text: Encoded, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """rng: shuffles for training; without it the same batches each time."""
        if self.context == "line":
            return line_batches(text, self.positions, self.steps, rng)
        return stream_batches(text, self.rows, self.steps, rng)


class TrainingBatches:
    """The batches of epoch 0, 1, ...: shuffled, with rare words read as <unk> at a stated rate.

    A model must know how likely an unknown word is. Where the vocabulary was cut, the text is full of <unk>.
    Where nothing was cut, the words seen once stand in for the unknown ones.
    """

    def __init__(self, data: TrainingData, cut: TextCut, unk_rate: float, run: Run):
        """Tells `run` what was decided about <unk>."""
        self._data, self._cut, self._rate, self._seed = data, cut, unk_rate, run.seed
        counts = data.epoch(0).counts()
        rare = counts == 1
        rare[[UNK, BOS, EOS]] = False
        self._rare: NDArray[np.bool_] | None = None
        if counts[UNK] >= _ENOUGH_UNKNOWN:
            run.note(f"<unk> is learnt from the {counts[UNK]:,} tokens of it in the corpus.")
        elif unk_rate == 0 or not rare.any():
            run.note("<unk> was hardly seen in training: its probability is a guess of the network.")
        else:
            run.note(f"<unk> is learnt from {unk_rate:.0%} of the {rare.sum():,} words seen once, drawn in each epoch.")
            self._rare = rare

    def through(self, cut: TextCut) -> TrainingBatches:
        """The same text in batches of another form."""
        other = copy(self)
        other._cut = cut
        return other

    def __call__(self, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng((self._seed, epoch))
        text = self._data.epoch(epoch)
        if self._rare is not None:
            text = replace_rare(text, self._rare, self._rate, rng)
        return self._cut(text, rng)


def replace_rare(text: Encoded, rare: NDArray[np.bool_], rate: float, rng: np.random.Generator) -> Encoded:
    """The text with tokens of rare types (V,) turned into <unk> with probability `rate`."""
    positions = np.flatnonzero(rare[text.ids])
    ids = text.ids.copy()
    ids[positions[rng.random(len(positions)) < rate]] = UNK
    return replace(text, ids=ids)


def sample(text: Encoded, tokens: int) -> Encoded:
    """About so many tokens and line ends, in blocks of lines from all over the text; always the same ones.

    Lines of any length have their part in it: of one longer than a block, its beginning is taken.
    """
    ends = text.offsets[1:] + np.arange(1, len(text) + 1)
    total = int(ends[-1])
    if tokens >= total:
        return text
    rows: list[Ints] = []
    for block in range(_BLOCKS):
        first = int(np.searchsorted(ends, block * total // _BLOCKS, side="right"))
        before = int(ends[first - 1]) if first > 0 else 0
        last = int(np.searchsorted(ends, before + tokens / _BLOCKS, side="right"))
        rows.append(np.arange(first, max(last, first + 1)))
    chosen = np.unique(np.concatenate(rows))
    share = max(1, tokens // min(len(chosen), _BLOCKS))  # of a line that is longer than a block, the beginning
    return Encoded.from_lines((text.line(int(i))[:share] for i in chosen), text.vocab_size)
