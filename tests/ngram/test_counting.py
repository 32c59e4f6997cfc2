"""Counts and the trie they are in, against a Counter."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import BOS, EOS, Encoded
from textdl.errors import CorpusError
from textdl.ngram import counting
from textdl.ngram.trie import slices
from textdl.protocols import Run


def plainly(lines, order):
    found = Counter()
    for i in range(len(lines)):
        words = (BOS, *lines.line(i).tolist(), EOS)
        for n in range(1, order + 1):
            found.update(words[k : k + n] for k in range(len(words) - n + 1))
    return found


def check(lines, order):
    trie, counts = counting.count(lines, order, Run())
    assert trie.order == order
    assert trie.vocab_size == lines.vocab_size
    assert len(trie.word) == len(trie.suffix) == len(counts) == trie.starts[-1]
    assert len(trie.first) == trie.starts[-2] + 1
    assert trie.first[-1] == trie.starts[-1]
    grams = [()]
    for n in range(1, order + 1):
        for nodes, words in trie.ngrams(n, chunk=7):
            assert nodes.start == len(grams)
            grams += map(tuple, words.tolist())
    assert {g: c for g, c in zip(grams, counts.tolist(), strict=True) if c} == plainly(lines, order)
    assert all(c for g, c in zip(grams, counts, strict=True) if len(g) > 1)
    assert grams == sorted(grams, key=lambda g: (len(g), g))
    for node, gram in enumerate(grams[1:], 1):
        assert grams[trie.suffix[node]] == gram[1:]
        assert trie.orders(np.array([node]))[0] == len(gram)
        if len(gram) < order:
            children = range(trie.first[node], trie.first[node + 1])
            assert [grams[c] for c in children] == [g for g in grams if len(g) == len(gram) + 1 and g[:-1] == gram]
    for n in range(1, order + 1):
        assert grams[trie.starting_with_bos(n)] == [g for g in grams if len(g) == n and g[0] == BOS]


corpora = st.integers(4, 7).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=7), min_size=1, max_size=8).map(
        lambda lines: Encoded.from_lines(lines, v)
    )
)


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(1, 6))
def test_small(lines, order):
    check(lines, order)


@pytest.mark.parametrize("size", [30, 600])
def test_contexts_of_all_sizes(size):
    """Each of the three ways to sort a context: few positions, many, more than words."""
    rng = np.random.default_rng(size)
    ids = np.minimum(rng.zipf(1.4, 2500), size - 3) + 2
    check(Encoded(ids.astype(np.int32), np.array([0, 1000, 1000, 2500]), size), 3)


def test_chunks_do_not_matter(monkeypatch):
    lines = Encoded.from_lines(np.random.default_rng(3).integers(3, 8, (20, 15)), 8)
    trie, counts = counting.count(lines, 4, Run())
    monkeypatch.setattr(counting, "_CHUNK", 11)
    again, counts_again = counting.count(lines, 4, Run())
    assert again.starts == trie.starts
    for a, b in [(trie.word, again.word), (trie.first, again.first), (trie.suffix, again.suffix)]:
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(counts, counts_again)


def test_order_beyond_the_lines():
    trie, _ = counting.count(Encoded.from_lines([[], [3]], 4), 6, Run())
    assert trie.sizes == [4, 3, 1, 0, 0, 0]  # <s> </s>, <s> a, a </s>; <s> a </s>


def test_too_much_to_number():
    class Huge(Encoded):
        @property
        def tokens(self):
            return 2**31

    with pytest.raises(CorpusError, match="2,147,483,648 tokens on 1 lines"):
        counting.count(Huge(np.empty(0, np.int32), np.zeros(2, np.int64), 3), 2, Run())


def test_slices():
    assert list(slices(np.array([3, 1, 1, 9, 1], np.int32), 4)) == [(0, 2), (2, 4), (4, 5)]
    assert list(slices(np.array([9, 9], np.int32), 4)) == [(0, 1), (1, 2)]
    assert list(slices(np.array([], np.int32), 4)) == []
