"""All n-grams of a text in one trie, numbered level by level.

Node 0 is the empty context. The unigrams follow: node 1 + w for every w of the vocabulary, seen or
not. Then come the bigrams in the order of their contexts, then the trigrams, and so on. So

    children(c) = first[c] .. first[c + 1], sorted by word,

which is at once the list of the continuations of a context (a next-word distribution) and a range to
search (a look-up). suffix[g] is the node of g without its first word: the context to back off to.
Beyond the arrays there is no hash table and no pointer, so a model is opened as a memory map.

    order 2, text "a b":   0 -> <unk> <s> </s> a b     level 1: nodes 1..5
                           <s> -> a;  a -> b;  b -> </s>   level 2: nodes 6, 7, 8
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS

Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Trie:
    """The shape of an n-gram model.

    starts: starts[n] is the first node of order n (starts[0] is the root); starts[order + 1] the end.
    word: (nodes,) the last word of each n-gram; -1 for the root.
    first: (contexts + 1,), contexts = starts[order]: n-grams of the highest order have no children.
    suffix: (nodes,) the n-gram without its first word (the longest such that is here).
    """

    starts: tuple[int, ...]
    word: Int32
    first: Int32
    suffix: Int32

    @property
    def order(self) -> int:
        return len(self.starts) - 2

    @property
    def vocab_size(self) -> int:
        return self.starts[2] - 1

    @property
    def sizes(self) -> list[int]:
        """The number of n-grams of each order, from 1."""
        return [self.starts[n + 1] - self.starts[n] for n in range(1, self.order + 1)]

    def level(self, n: int) -> slice:
        """The nodes of order n."""
        return slice(self.starts[n], self.starts[n + 1])

    def starting_with_bos(self, n: int) -> slice:
        """The nodes of order n whose first word is <s>; they lie side by side."""
        lo, hi = 1 + BOS, 2 + BOS
        for _ in range(1, n):
            lo, hi = int(self.first[lo]), int(self.first[hi])
        return slice(lo, hi)

    def orders(self, nodes: NDArray[Any]) -> NDArray[np.int8]:
        """The order of each node; 0 for the root."""
        return (np.searchsorted(self.starts, nodes, side="right") - 1).astype(np.int8)

    def ngrams(self, n: int, chunk: int = 1 << 16) -> Iterator[tuple[slice, Int32]]:
        """The n-grams of order n in node order, as (nodes, their words (nodes, n)), so many at a time."""
        for start in range(self.starts[n], self.starts[n + 1], chunk):
            part = slice(start, min(start + chunk, self.starts[n + 1]))
            words = np.empty((part.stop - part.start, n), np.int32)
            nodes: NDArray[Any] = np.arange(part.start, part.stop)
            for column in range(n - 1, 0, -1):
                words[:, column] = self.word[nodes]
                nodes = np.searchsorted(self.first, nodes, side="right") - 1  # the parent
            words[:, 0] = self.word[nodes]
            yield part, words

    def pruned(self, keep: NDArray[np.bool_]) -> Trie:
        """Only the nodes marked in keep (nodes,): with each its context and its suffix, and all unigrams."""
        before = np.zeros(len(keep) + 1, np.int32)  # before[i]: how many nodes below i are kept
        np.cumsum(keep, out=before[1:])
        contexts = keep[: self.starts[-2]]
        first = np.append(before[self.first[:-1][contexts]], before[-1]).astype(np.int32)
        return Trie(
            starts=tuple(int(before[s]) for s in self.starts),
            word=self.word[keep],
            first=first,
            suffix=before[self.suffix[keep]],
        )


def slices(weights: NDArray[np.int32], chunk: int) -> Iterator[tuple[int, int]]:
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
