from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import UnknownWordError, UsageError
from textdl.protocols import WordVectors
from textdl.storage import Reader, saving
from textdl.vocabulary import Vocabulary
from textdl.word2vec import Vectors, vectors

WORDS = ["man", "woman", "king", "queen", "apple"]


def royal() -> Vectors:
    rows = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0.2, 0]]
    return Vectors(Vocabulary(WORDS), np.array([[0, 0, 0]] * 3 + rows, np.float32))


def many(n: int = 500, dim: int = 7, seed: int = 0) -> Vectors:
    matrix = np.random.default_rng(seed).normal(size=(n + 3, dim)).astype(np.float32)
    matrix[:3] = 0
    return Vectors(Vocabulary([f"w{i}" for i in range(n)]), matrix)


def brute_force(v: Vectors, query, k, exclude=()):
    x = v.vectors.astype(float)
    cosines = x @ query.astype(float) / (np.linalg.norm(x, axis=1) * np.linalg.norm(query) + 1e-300)
    ids = [i for i in np.lexsort((np.arange(len(x)), -cosines)) if i >= 3 and i not in exclude]
    return [(int(i), float(cosines[i])) for i in ids[:k]]


def test_is_word_vectors():
    assert isinstance(royal(), WordVectors)


def test_similar_and_analogy_by_hand():
    v = royal()
    # cosine(king, queen) = 2 / (sqrt 2 sqrt 3)
    assert v.similarity(5, 6) == pytest.approx(2 / 6**0.5)
    assert v.similar("king", 1) == [("queen", pytest.approx(2 / 6**0.5))]
    assert v.analogy_words("man", "king", "woman", 1)[0][0] == "queen"
    assert v.similarity(3, 3) == 1
    assert v.similarity(0, 3) == 0


@given(st.integers(1, 600), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_nearest_is_exact(k, seed):
    v = many()
    query = np.random.default_rng(seed).normal(size=7).astype(np.float32)
    found, expected = v.nearest(query, k, (5, 9)), brute_force(v, query, k, (5, 9))
    assert [i for i, _ in found] == [i for i, _ in expected]
    np.testing.assert_allclose([c for _, c in found], [c for _, c in expected], atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    whole = many().similar("w7", 20)
    product = many().analogy(5, 6, 7, 20, "mul")
    for name, size in (("_TILE", 26), ("_LEAST_BLOCK", 1), ("_MOST_BLOCK", 13), ("_QUERIES", 2), ("_ROWS", 3)):
        monkeypatch.setattr(vectors, name, size)
    assert many().similar("w7", 20) == whole
    assert many().analogy(5, 6, 7, 20, "mul") == product
    assert len(many().similar("w7", 10_000)) == 499


@given(st.integers(1, 40), st.integers(0, 5), st.sampled_from(["add", "mul"]))
@settings(deadline=None, max_examples=30)
def test_analogies_are_exact(k, seed, method):
    v = many(dim=4)
    a, b, c = np.random.default_rng(seed).choice(np.arange(3, 503), 3, replace=False).tolist()
    units = v.vectors.astype(float) / np.maximum(np.linalg.norm(v.vectors.astype(float), axis=1, keepdims=True), 1e-300)
    by_a, by_b, by_c = (units @ units[i] for i in (a, b, c))
    if method == "add":  # the cosine with b - a + c
        scores = (by_b - by_a + by_c) / np.linalg.norm(units[b] - units[a] + units[c])
    else:  # Levy and Goldberg 2014, eq. 4
        scores = (1 + by_b) / 2 * (1 + by_c) / 2 / ((1 + by_a) / 2 + 0.001)
    scores[[0, 1, 2, a, b, c]] = -np.inf
    best = np.argsort(-scores)[:k]
    found = v.analogy(a, b, c, k, method)
    assert [i for i, _ in found] == best.tolist()
    np.testing.assert_allclose([score for _, score in found], scores[best], rtol=1e-9)


def test_analogy_by_product_by_hand():
    # a = (1, 0); b = (0, 1); c = (0, 1): d = (0, 1) has cosines 0, 1, 1, so 1 * 1 / (0.5 + 0.001)
    v = Vectors(Vocabulary(list("abcd")), np.array([[0, 0]] * 3 + [[1, 0], [0, 1], [0, 1], [0, 2]], np.float32))
    assert v.analogy(3, 4, 5, 1, "mul") == [(6, pytest.approx(1 / 0.501))]
    with pytest.raises(UsageError, match="method is 'sum'; expected add"):
        v.analogy(3, 4, 5, 1, "sum")


def test_close_calls_are_decided_in_float64():
    """Cosines that differ by less than float32 can tell are ranked rightly, all of them."""
    angles = np.random.default_rng(3).permutation(np.linspace(0, 2e-3, 3000))
    matrix = np.zeros((3003, 2), np.float32)
    matrix[3:] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    v = Vectors(Vocabulary([str(i) for i in range(3000)]), matrix)
    query = np.array([1, 0], np.float32)
    x = matrix.astype(float)[3:]
    expected = np.lexsort((np.arange(3000), -(x[:, 0] / np.sqrt((x * x).sum(axis=1))))) + 3
    assert [i for i, _ in v.nearest(query, 50)] == expected[:50].tolist()


def test_float16_is_exact_to_its_own_rounding():
    whole = many()
    half = Vectors(whole.vocab, whole.vectors.astype(np.float16))
    widened = Vectors(whole.vocab, half.vectors.astype(np.float32))
    assert half.similar("w7", 20) == widened.similar("w7", 20)
    assert half.describe()["numbers"] == "float16"


def test_lengths_far_from_one():
    rows = np.array([[3e25, 0], [0, 2e-25], [1e20, 1e20], [1e-18, 0]], np.float32)
    v = Vectors(Vocabulary(list("abcd")), np.concatenate([np.zeros((3, 2), np.float32), rows]))
    assert v.similar("a", 3) == [("d", 1.0), ("c", pytest.approx(0.5**0.5)), ("b", 0.0)]


def test_only_frequent_words():
    v = many(100)
    assert v.frequent() is None
    assert np.flatnonzero(v.frequent(among=5)).tolist() == [3, 4, 5, 6, 7]  # no counts: the order stands for them
    with pytest.raises(UsageError, match="came without counts; among=N"):
        v.frequent(min_count=2)
    counts = np.r_[900, 900, 900, np.random.default_rng(0).permutation(100)]
    v.vocab = Vocabulary(v.vocab.pieces, counts)
    for among, least in ((7, 0), (None, 90), (20, 95)):
        allowed = v.frequent(among, least)
        expected = [i for i in np.argsort(-counts[3:])[:among] + 3 if counts[i] >= least]
        assert sorted(expected) == np.flatnonzero(allowed).tolist()
        found = v.nearest(v.vectors[50], 100, (50,), among=allowed)
        assert [i for i, _ in found] == [i for i, _ in brute_force(v, v.vectors[50], 100, (50,)) if allowed[i]]
    assert v.nearest(v.vectors[50], 3, among=np.zeros(103, bool)) == []
    with pytest.raises(UsageError, match="among is 0"):
        v.frequent(0)


def test_ties_go_to_the_smaller_id():
    row = np.random.default_rng(0).normal(size=33)
    matrix = np.zeros((303, 33), np.float32)
    matrix[3:] = row  # all the same
    v = Vectors(Vocabulary([str(i) for i in range(300)]), matrix)
    assert [i for i, _ in v.nearest(matrix[3], 5, (3,))] == [4, 5, 6, 7, 8]
    crowd = np.zeros((5003, 2), np.float32)
    crowd[3:] = 1
    crowd[4000] = 1, 1.5  # the query's own direction, far behind
    v = Vectors(Vocabulary([str(i) for i in range(5000)]), crowd)
    assert [i for i, _ in v.nearest(np.array([1, 1.5], np.float32), 3)] == [4000, 3, 4]


def test_specials_are_never_answers():
    v = royal()
    assert len(v.nearest(v.vectors[3], 100)) == 5
    assert v.nearest(v.vectors[3], 100, range(3, 8)) == []


def test_words_without_a_vector_come_as_unrelated():
    matrix = np.array([[0, 0]] * 3 + [[1, 0], [0, 0], [-1, 0]], np.float32)
    v = Vectors(Vocabulary(["a", "b", "c"]), matrix)
    assert v.similar("a", 5) == [("b", 0.0), ("c", -1.0)]
    with pytest.raises(UsageError, match="no nearest words"):
        v.similar("b")


def test_many_at_once_are_the_same():
    v = many()
    questions = np.random.default_rng(1).integers(3, 503, (40, 3))
    together = v.analogies(questions, 3)
    for question, found in zip(questions, together, strict=True):
        alone = v.analogy(*map(int, question), 3)
        assert [i for i, _ in alone] == [i for i, _ in found]
        assert not set(question) & {i for i, _ in found}


def test_unknown_words_get_help():
    v = royal()
    with pytest.raises(UnknownWordError, match=r"'quen' is not in the vocabulary of 5 words: nearest .*: queen"):
        v.similar("quen")
    with pytest.raises(UnknownWordError, match="nearest known spelling: apple"):
        v.vector("APPLE")
    with pytest.raises(UnknownWordError, match=r"5 words\.$"):
        v.lookup("北京")
    with pytest.raises(UnknownWordError, match="<unk>"):
        v.lookup("<unk>")
    v.explain = lambda word: f"the tokenizer makes {len(word)} pieces of it"
    with pytest.raises(UnknownWordError, match=r"5 words: the tokenizer makes 2 pieces of it\."):
        v.analogy_words("man", "北京", "king")


def test_refusals():
    v = royal()
    with pytest.raises(UsageError, match="k is 0"):
        v.nearest(v.vectors[3], 0)
    with pytest.raises(UsageError, match="query of 2 numbers for vectors of 3"):
        v.nearest(np.ones(2, np.float32), 1)
    with pytest.raises(UsageError, match="must be zero"):
        Vectors(None, np.ones((4, 2), np.float32))
    with pytest.raises(UsageError, match="float32"):
        Vectors(None, np.zeros((4, 2)))
    with pytest.raises(UsageError, match="vocabulary of 8 for 4"):
        Vectors(v.vocab, np.zeros((4, 2), np.float32))


def test_words_have_numbers_until_they_have_names():
    v = Vectors(None, royal().vectors)
    assert isinstance(v, WordVectors)
    assert v.similar("5", 1)[0][0] == "6"
    v.vocab = royal().vocab
    assert v.similar("king", 1)[0][0] == "queen"


def test_save_and_load(tmp_path):
    v = royal()
    with saving(tmp_path / "m", {}) as out:
        v.save(out)
        out.text("vocab.txt", v.vocab.to_text())
    loaded = Vectors.load(Reader(tmp_path / "m"))
    assert isinstance(loaded.vectors, np.memmap)
    assert loaded.similar("king") == v.similar("king")
    assert loaded.describe() == {"size": 24, "words": 5, "dim": 3}


def test_imports_neither_torch_nor_gensim():
    code = "import sys, textdl.word2vec, textdl.word2vec.formats, textdl.evaluation.vectors, textdl.word2vec.gensim_interop"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules or 'gensim' in sys.modules)"], check=False
    )
    assert done.returncode == 0
