"""What training gives to packing: an n-gram model level by level, in memory or on disk.

Level n holds the n-grams in the order of their words; a node is a number within its level. Level 1 is
the whole vocabulary, node = id. The children of a node lie side by side in the next level, sorted by
word, in the order of their parents: how many each node has says where they are.

Counts are kept in columns of parts, each part in the narrowest type that holds it: over 90 % of long
n-grams occur once. Pruning, the sums over children and the weights of contexts are computed while blocks
are read, so that nothing is written twice.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.ngram import counting_kernels as kernels
from textdl.ngram.smoothing import Smoothing, unigrams

SCANNED = 16
"""Contexts with at most so many children are not marked: their T and G are computed when they are needed."""

_CHUNK = 1 << 18
"""Nodes a block, children of a block: a few megabytes."""


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive nodes of one level, in order."""

    word: NDArray[np.int32]
    """(nodes,) the last word of each."""
    count: NDArray[np.int64]
    """(nodes,) the count that the smoothing uses."""
    children: NDArray[np.int32]
    """(nodes,) how many children each has; zeros at the highest level."""
    marked: NDArray[np.bool_]
    """(nodes,) contexts whose T and G are to be stored: more than SCANNED children, or some lost to pruning."""
    denominator: NDArray[np.float64]
    """(marked.sum(),) T of those, in order."""
    gamma: NDArray[np.float64]
    """(marked.sum(),) G of those."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """So many numbers in a file, from a byte on. There are hundreds of thousands."""

    path: str
    offset: int
    dtype: np.dtype[Any]
    length: int

    def __len__(self) -> int:
        return self.length

    def read(self, start: int, stop: int) -> NDArray[Any]:
        at = self.offset + start * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, stop - start, offset=at)


Part = NDArray[Any] | FilePart


class Column:
    """Numbers in a row, in parts that may be of different types, in memory or in files."""

    def __init__(self, parts: Iterable[Part] = ()):
        self.parts: list[Part] = []
        self._ends = array("q")
        for part in parts:
            self.append(part)

    def append(self, part: Part) -> None:
        if len(part):
            self._ends.append(len(self) + len(part))
            self.parts.append(part)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, start: int, stop: int, dtype: Any) -> NDArray[Any]:
        out = np.empty(stop - start, dtype)
        at, i = start, bisect_right(self._ends, start)
        while at < stop:
            part, end = self.parts[i], self._ends[i]
            begin = end - len(part)
            until = min(stop, end)
            piece = (
                part.read(at - begin, until - begin) if isinstance(part, FilePart) else part[at - begin : until - begin]
            )
            out[at - start : until - start] = piece
            at, i = until, i + 1
        return out


@dataclass(eq=False)
class Counts:
    """Every n-gram of 1..order words of a text and its counts, before anything is pruned.

    `count` is the one a smoothing uses: adjusted or raw. Index n of the lists is level n; 0 is not used.
    """

    order: int
    vocab_size: int
    word: list[Column]
    count: list[Column]
    children: list[Column]
    """Empty at the highest level."""
    raw: list[Column]
    """How often each occurs; empty where no n-gram is pruned or `count` is that already."""
    having: NDArray[np.int64]
    """(order + 1, 5): how many n-grams of each order have the count 0 .. 4."""
    kept: NDArray[np.int64]
    """(order + 1,) how many n-grams of each order occur more often than its pruning threshold."""
    words: NDArray[np.int64]
    """(V,) how often each word occurs, with <s> and </s> once a line."""
    thresholds: tuple[int, ...]
    """For each order from 1: n-grams that occur so often or less are pruned."""
    directory: Path | None = None
    """Where the files are, if there are any; removed when this is let go."""


class Levels:
    """Counts with their smoothing, pruned; see the module."""

    def __init__(self, counts: Counts, smoothing: Smoothing):
        self._counts = counts
        self.order, self.vocab_size = counts.order, counts.vocab_size
        self.smoothing = smoothing
        self.sizes = [int(kept) for kept in counts.kept[1:]]
        """Nodes of each level from 1, when what is pruned has gone."""
        self.unigram: NDArray[np.float64] = unigrams(self._column(counts.count[1], 0, self.vocab_size), smoothing)
        """(V,) p of each word without context."""

    @property
    def on_disk(self) -> bool:
        """Whether the columns are in files, because they would not fit the memory that training was given."""
        return self._counts.directory is not None

    @property
    def statistics(self) -> list[dict[str, int]]:
        """For each order: ngrams kept, n1 .. n4 (how many had the count 1 .. 4 before pruning), pruned."""
        rows = []
        for n in range(1, self.order + 1):
            nodes = len(self._counts.word[n])
            having = {f"n{j}": int(self._counts.having[n, j]) for j in (1, 2, 3, 4)}
            rows.append({"ngrams": self.sizes[n - 1], **having, "pruned": nodes - self.sizes[n - 1]})
        return rows

    def blocks(self, n: int) -> Iterator[Block]:
        """Level n (1..order) from its first node to its last; may be called any number of times."""
        counts = self._counts
        first_child = 0
        for start in range(0, len(counts.word[n]), _CHUNK):
            stop = min(start + _CHUNK, len(counts.word[n]))
            if n == self.order:
                yield self._block(n, start, stop, np.zeros(stop - start, np.int32), 0)
                continue
            children = counts.children[n].read(start, stop, np.int32)
            for lo, hi in slices(children, _CHUNK):
                yield self._block(n, start + lo, start + hi, children[lo:hi], first_child)
                first_child += int(children[lo:hi].sum(dtype=np.int64))

    def _block(self, n: int, start: int, stop: int, children: NDArray[np.int32], first_child: int) -> Block:
        """Nodes start..stop, whose children begin with first_child in the level above."""
        counts = self._counts
        word = counts.word[n].read(start, stop, np.int32)
        count = self._column(counts.count[n], start, stop)
        left = children.copy()
        denominator, gamma = np.empty(len(word)), np.empty(len(word))
        marked = np.zeros(len(word), np.bool_)
        if n < self.order:
            above = first_child, first_child + int(children.sum(dtype=np.int64))
            counts_above = self._column(counts.count[n + 1], *above)
            raw_above = self._column(counts.raw[n + 1], *above) if len(counts.raw[n + 1]) else counts_above
            kernels.weigh_contexts(
                children, counts_above, raw_above, counts.thresholds[n], n + 1, self.smoothing.parameters, SCANNED,
                left, marked, denominator, gamma,
            )  # fmt: skip
        cut = counts.thresholds[n - 1]
        if cut and n > 1:
            keep = (self._column(counts.raw[n], start, stop) if len(counts.raw[n]) else count) > cut
            word, count, left, marked = word[keep], count[keep], left[keep], marked[keep]
            denominator, gamma = denominator[keep], gamma[keep]
        return Block(word, count, left, marked, denominator[marked], gamma[marked])

    @staticmethod
    def _column(column: Column, start: int, stop: int) -> NDArray[np.int64]:
        return column.read(start, stop, np.int64)


def slices(weights: NDArray[Any], chunk: int) -> Iterator[tuple[int, int]]:
    """Cut 0..len(weights) where about `chunk` of weight has come together; one item at least.

    >>> list(slices(np.array([3, 1, 1, 9, 1], np.int32), 4))
    [(0, 2), (2, 4), (4, 5)]
    """
    ends = np.cumsum(weights, dtype=np.int64)
    start = 0
    while start < len(weights):
        done = ends[start - 1] if start else 0
        stop = min(int(np.searchsorted(ends, done + chunk)) + 1, len(weights))
        yield start, stop
        start = stop
