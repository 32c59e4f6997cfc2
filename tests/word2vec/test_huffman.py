from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.word2vec import huffman
from textdl.word2vec.reference import huffman_paths


def path(tree: huffman.Tree, word: int) -> tuple[list[int], list[float]]:
    span = slice(tree.offsets[word], tree.offsets[word + 1])
    return tree.nodes[span].tolist(), tree.signs[span].tolist()


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60).filter(lambda c: sum(map(bool, c)) > 1))
@settings(deadline=None)
def test_the_tree_is_the_readable_one(counts):
    counts = np.array([100, 100, 100, *counts])
    made = huffman.tree(counts)
    expected = huffman_paths(counts)
    for word in range(len(counts)):
        rows, signs = expected.get(word, (np.array([]), np.array([])))
        assert path(made, word) == (rows.tolist(), signs.tolist())


def test_rows_are_paths_in_groups():
    # 2 ** k counts make a chain: depths 1, 2, ..., 8, 8.
    made = huffman.tree(np.array([0, 0, 0, *(2**k for k in range(9))]))
    assert made.depth == 8
    assert np.diff(made.offsets).tolist() == [0, 0, 0, 8, 8, 7, 6, 5, 4, 3, 2, 1]
    words = np.array([11, 3, 6, 3], np.int32)  # of which two are targets
    bounds, rows, signs = np.zeros(3, np.int64), np.full(64, -1, np.int32), np.zeros(64, np.float32)
    huffman.path_rows(words, 1, 3, made.offsets, made.nodes, made.signs, bounds, rows, signs)
    assert bounds.tolist() == [0, 2, 3]
    nodes, turns = path(made, 3)
    assert rows[[*range(6), 8, 9]].tolist() == nodes
    assert signs[[*range(6), 8, 9]].tolist() == turns
    assert signs[[6, 7, 10, 11, 12, 13, 14, 15]].tolist() == [0] * 8
    assert rows[16:22].tolist() == path(made, 6)[0]
    assert signs[16:24].tolist() == [*path(made, 6)[1], 0, 0]


def test_the_mean_depth_is_that_of_tokens():
    # Counts 6 3 2 1 1 have paths of 1 2 3 4 4 turns: (6 + 6 + 6 + 4 + 4) / 13 = 2.
    counts = np.array([0, 0, 0, 6, 3, 2, 1, 1])
    assert huffman.tree(counts).mean_depth(counts) == 2.0


def test_lengths_are_the_shortest():
    """The mean path is within one turn of the entropy, and Kraft's sum is 1."""
    counts = np.concatenate([[0, 0, 0], 1_000_000 // np.arange(1, 30_001)])
    made = huffman.tree(counts)
    lengths = np.diff(made.offsets)[3:]
    shares = counts[3:] / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    assert entropy <= (shares * lengths).sum() < entropy + 1
    assert (2.0**-lengths).sum() == pytest.approx(1)


def test_inner_nodes_are_numbered_from_the_root_by_weight():
    counts = np.array([0, 0, 0, 7, 1, 12, 5, 5, 3, 9])
    made = huffman.tree(counts)
    weights = np.zeros(len(counts), np.int64)
    for word in range(3, len(counts)):
        weights[path(made, word)[0]] += counts[word]
    assert weights[0] == counts.sum()
    assert weights[6:].tolist() == [0] * 4  # 7 words have 6 inner nodes
    assert (np.diff(weights) <= 0).all()
