from __future__ import annotations

import numpy as np
import pytest

from textdl.vocabulary import Vocabulary
from textdl.word2vec import Vectors, gensim_interop

pytest.importorskip("gensim")


def test_there_and_back():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(9, 5)).astype(np.float32)
    matrix[:3] = 0
    words = ["the", "cat", "a b", "<s>", "中文", "mat"]
    before = Vectors(Vocabulary(words, np.array([9, 2, 2, 60, 50, 40, 30, 20, 10])), matrix)
    keyed = gensim_interop.to_gensim(before)
    assert keyed.index_to_key == words
    assert keyed.get_vecattr("cat", "count") == 50
    with np.errstate(invalid="ignore"):  # BLAS may flag what it read beyond the end of a short row
        ours, theirs = before.similar("cat", 5), keyed.most_similar("cat", topn=5)
    assert [w for w, _ in ours] == [w for w, _ in theirs]
    np.testing.assert_allclose([c for _, c in ours], [c for _, c in theirs], atol=1e-6)
    after = gensim_interop.from_gensim(keyed)
    assert after.vocab.pieces == words
    assert after.vocab.counts[3:].tolist() == [60, 50, 40, 30, 20, 10]
    np.testing.assert_array_equal(after.vectors, before.vectors)


def test_an_empty_one():
    empty = Vectors(Vocabulary([]), np.zeros((3, 4), np.float32))
    assert len(gensim_interop.to_gensim(empty)) == 0
