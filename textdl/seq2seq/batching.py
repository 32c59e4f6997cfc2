"""Pairs of encoded lines, and batches of them.

Pairs of like lengths are put side by side, as many as have about so many positions together, both sides counted: a batch
costs the same whatever the lengths in it. Within a pool of batches pairs are sorted by one side, then by the other,
so that the one has hardly any padding and the other little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.layers.language_model import Network, padded
from textdl.layers.network import States
from textdl.protocols import Ints, Run, TrainingData
from textdl.seq2seq.model import padded_sources
from textdl.training.batching import Batch, replace_rare

_POOL = 64
"""Batches whose pairs are sorted by length together."""
Side = Literal["source", "target"]


@dataclass(frozen=True)
class PairData:
    """What `fit` trains on: line i of the one belongs to line i of the other, in every epoch."""

    source: TrainingData
    target: TrainingData
    joint: bool
    """Whether both have one vocabulary."""

    def epoch(self, number: int) -> tuple[Encoded, Encoded]:
        """(source, target)"""
        return self.source.epoch(number), self.target.epoch(number)


@dataclass(frozen=True)
class PairBatch(Batch):
    """Targets, as a batch of independent lines, and the sources that they begin from."""

    sources: NDArray[np.integer[Any]]
    """(B, S), each with its </s>."""
    lengths: Ints
    """(B,)"""

    def part(self, rows: slice) -> PairBatch:
        """See Batch."""
        return replace(
            self,
            inputs=self.inputs[rows],
            targets=self.targets[rows],
            sources=self.sources[rows],
            lengths=self.lengths[rows],
        )

    def begin(self, network: Network) -> States:
        """See Batch, and EncoderDecoder.forward."""
        target_lengths = (self.targets >= 0).sum(axis=1)
        arrays = (self.sources, self.lengths, target_lengths)
        return tuple(torch.tensor(array, dtype=torch.int64, device=network.device) for array in arrays)


def pair_batches(
    source: Encoded, target: Encoded, positions: int, by: Side, rng: np.random.Generator | None = None
) -> Iterator[PairBatch]:
    """All pairs once, in batches of at most so many positions, padding counted; a longer pair is a batch of its own.

    by: the side that pairs are sorted by first. rng: shuffles pairs and batches; without it the same batches each time.
    """
    lengths = {"source": np.diff(source.offsets) + 1, "target": np.diff(target.offsets) + 1}
    first, second = lengths[by], lengths["target" if by == "source" else "source"]
    order = np.arange(len(source)) if rng is None else rng.permutation(len(source))
    ends = np.cumsum((first + second)[order])
    total = int(ends[-1]) if len(ends) else 0
    pools = np.append(np.searchsorted(ends, np.arange(0, total, _POOL * positions)), len(order))
    for begin, end in pairwise(pools):
        pool = order[begin:end]
        # Up and down in turn, so that the second length goes on from one value of the first to the next.
        turn = np.where(first[pool] % 2, -1, 1)
        pool = pool[np.lexsort((turn * second[pool], first[pool]))]
        groups = list(_groups(pool, first[pool], second[pool], positions))
        for g in range(len(groups)) if rng is None else rng.permutation(len(groups)):
            inputs, targets = padded(target, groups[g])
            yield PairBatch(inputs, targets, True, *padded_sources(source, groups[g]))


def _groups(pool: Ints, first: Ints, second: Ints, positions: int) -> Iterator[Ints]:
    """Runs of pairs whose padded size is at most `positions`, one pair at least."""
    begin = a = b = 0
    for i, (c, d) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        a, b = max(a, c), max(b, d)
        if i > begin and (i - begin + 1) * (a + b) > positions:
            yield pool[begin:i]
            begin, a, b = i, c, d
    if begin < len(pool):
        yield pool[begin:]


class PairBatches:
    """The batches of epoch 0, 1, ...: shuffled, with rare words of either side read as <unk> at a stated rate.

    So a model knows how likely an unknown word is, and what to do with one in a source. Nothing is replaced in a side that
    has plenty of <unk>, since its vocabulary was cut.
    """

    def __init__(self, data: PairData, positions: int, by: Side, unk_rate: float, run: Run):
        self._data, self._positions, self._by, self._rate, self._seed = data, positions, by, unk_rate, run.seed
        self._rare = [_rare(side) for side in data.epoch(0)]

    def through(self, positions: int) -> PairBatches:
        """The same pairs in batches of another size."""
        other = object.__new__(PairBatches)
        other.__dict__ |= self.__dict__ | {"_positions": positions}
        return other

    def __call__(self, epoch: int) -> Iterator[PairBatch]:
        rng = np.random.default_rng((self._seed, epoch))
        sides = [
            text if rare is None or not self._rate else replace_rare(text, rare, self._rate, rng)
            for text, rare in zip(self._data.epoch(epoch), self._rare, strict=True)
        ]
        return pair_batches(sides[0], sides[1], self._positions, self._by, rng)


_ENOUGH_UNKNOWN = 20
"""Tokens of <unk> from which it can be learnt without replacing anything."""


def _rare(text: Encoded) -> NDArray[np.bool_] | None:
    """(V,) the types seen once; None where <unk> is learnt from the text itself."""
    counts = text.counts()
    if counts[UNK] >= _ENOUGH_UNKNOWN:
        return None
    rare: NDArray[np.bool_] = counts == 1
    rare[[UNK, BOS, EOS]] = False
    return rare
