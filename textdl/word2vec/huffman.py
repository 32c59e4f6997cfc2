"""Hierarchical softmax: a word is found by yes-or-no questions down a Huffman tree (Huffman 1952).

Morin and Bengio (2005) put words at the leaves of a binary tree with a vector at every inner node; the
probability of a word is the product of the probabilities of the turns on the way to it, which sums to
1 over all words. Mikolov et al. (2013) take the tree with the shortest mean path. Frequent words are
near the root: the mean path of English is 10 turns, whatever the size of the vocabulary.

The tree is a pure function of the counts: words in order of (count, id), leaves before inner nodes of
the same weight, which keeps the longest path short. Inner nodes are numbered from the root (0) by
falling weight, so those that every target passes lie together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK
from textdl.kernels import kernel
from textdl.simd import element
from textdl.word2vec.kernels import GROUP, STRIDE, Floats, Ids, Offsets


@dataclass(frozen=True)
class Tree:
    """Paths of all words, end to end."""

    offsets: NDArray[np.int64]
    """(V + 1,) the path of word w is nodes[offsets[w] : offsets[w + 1]]; empty where its count is 0."""
    nodes: NDArray[np.int32]
    """Inner nodes from the root on, numbered from 0 to types - 2."""
    signs: NDArray[np.int8]
    """+1: the path turns to the lighter side there; -1: to the other."""

    @property
    def depth(self) -> int:
        """Turns on the longest path."""
        return int(np.diff(self.offsets).max())

    def mean_depth(self, counts: NDArray[np.int64]) -> float:
        """Turns on the path of a token, on average. counts: (V,) the tree was made of."""
        return float(np.average(np.diff(self.offsets), weights=counts))


def tree(counts: NDArray[np.int64]) -> Tree:
    """The Huffman tree of the words that occur, specials left out. O(V log V); at least two words must occur."""
    counts = counts.copy()
    counts[[UNK, BOS, EOS]] = 0
    words = np.argsort(counts, kind="stable")
    words = words[np.searchsorted(counts[words], 1) :]
    parents, lighter = _merge(counts[words])
    return Tree(*_paths(words, parents, lighter, len(counts)))


@kernel
def _merge(weights: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Of weights in rising order: the parent of every node, and +1 where it is the lighter child.

    Nodes 0 to n - 1 are leaves, then come inner nodes as they are made, the root last. Two queues, since
    inner nodes are made in rising order of weight (van Leeuwen 1976).
    """
    n = len(weights)
    weight = np.empty(2 * n - 1, np.int64)
    weight[:n] = weights
    parents = np.zeros(2 * n - 1, np.int64)
    lighter = np.zeros(2 * n - 1, np.int8)
    leaf, inner = 0, n
    for made in range(n, 2 * n - 1):
        total = 0
        for side in range(2):
            if leaf < n and (inner >= made or weight[leaf] <= weight[inner]):
                child = leaf
                leaf += 1
            else:
                child = inner
                inner += 1
            parents[child] = made
            lighter[child] = 1 - 2 * side
            total += weight[child]
        weight[made] = total
    return parents, lighter


@kernel
def _paths(
    words: NDArray[np.int64], parents: NDArray[np.int64], lighter: NDArray[np.int8], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int8]]:
    n = len(words)
    root = 2 * n - 2
    depth = np.zeros(2 * n - 1, np.int64)
    for node in range(root - 1, -1, -1):
        depth[node] = depth[parents[node]] + 1
    offsets = np.zeros(size + 1, np.int64)
    for leaf in range(n):
        offsets[words[leaf] + 1] = depth[leaf]
    for word in range(size):
        offsets[word + 1] += offsets[word]
    nodes = np.empty(offsets[size], np.int32)
    signs = np.empty(offsets[size], np.int8)
    for leaf in range(n):
        at = offsets[words[leaf] + 1]
        node = leaf
        while node != root:
            at -= 1
            signs[at] = lighter[node]
            node = parents[node]
            nodes[at] = root - node
    return offsets, nodes, signs


@kernel
def path_rows(
    words: Ids,
    begin: int,
    end: int,
    offsets: Offsets,
    nodes: Ids,
    turns: NDArray[np.int8],
    bounds: Offsets,
    rows: Ids,
    signs: Floats,
) -> None:
    """Output rows and signs of the targets of a `Batch`: the nodes and turns on the way to each."""  # fmt: skip
    group = 0
    for i in range(begin, end):
        bounds[i - begin] = group
        first, after = offsets[words[i]], offsets[words[i] + 1]
        while first < after:
            at = group * STRIDE
            for m in range(at, at + GROUP):
                path = min(first + m - at, after - 1)
                rows[m] = element(nodes, path)
                signs[m] = np.float32(element(turns, path)) * np.float32(first + m - at < after)
            first += GROUP
            group += 1
    bounds[end - begin] = group
