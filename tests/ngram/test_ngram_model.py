"""The model behind the protocol: sums, states, scores."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl import ngram
from textdl.encoded import BOS, EOS, Encoded
from textdl.errors import UsageError
from textdl.ngram import SMOOTHINGS, Config, kernels, model, reference
from textdl.protocols import LanguageModel, ScorePolicy
from textdl.vocabulary import build

from .plain import Plain, levels_of

TINY = Path(__file__).parents[1] / "data" / "kenlm-tiny"

corpora = st.integers(4, 7).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=8), min_size=1, max_size=12).map(
        lambda lines: Encoded.from_lines(lines, v)
    )
)


def random_lines(size, count=25, seed=0):
    rng = np.random.default_rng(seed)
    words = np.array([0, *range(3, size)])
    return Encoded.from_lines([rng.choice(words, rng.integers(0, 12)) for _ in range(count)], size)


def by_steps(model, line):
    """The log-probabilities of a line and its end, a step at a time."""
    rows, state = model.start()
    logs = []
    for w in line:
        logs.append(rows[0, w])
        rows, state = model.step(state, np.array([w]))
    return [*logs, rows[0, EOS]]


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(1, 6), st.sampled_from(SMOOTHINGS), st.booleans(), st.integers(0, 2**32 - 1))
def test_sums_to_one(corpus, order, smoothing, prune, seed):
    """After every kind of history: of the text and not, longer and shorter than the order, with <unk>."""
    cut = (0, 1) if prune and order > 1 and smoothing not in ("add-k", "mle") else ()
    fitted = ngram.fit(corpus, Config(order, smoothing=smoothing, prune=cut))
    for prefixes in (corpus, random_lines(corpus.vocab_size, seed=seed)):
        rows, state = fitted.start(prefixes=prefixes)
        assert rows.shape == (len(prefixes), corpus.vocab_size)
        assert rows.dtype == np.float32
        assert (rows[:, BOS] == -np.inf).all()
        assert smoothing == "mle" or np.isfinite(np.delete(rows, BOS, axis=1)).all()
        np.testing.assert_allclose(np.exp(rows.astype(np.float64)).sum(axis=1), 1, atol=1e-5)
        rows, _ = fitted.step(state, np.full(len(prefixes), 3))
        np.testing.assert_allclose(np.exp(rows.astype(np.float64)).sum(axis=1), 1, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(1, 5), st.sampled_from(SMOOTHINGS), st.integers(0, 2**32 - 1))
def test_score_is_the_sum_of_steps(corpus, order, smoothing, seed):
    """And both are what the plain recursion over the packed counts' source gives."""
    fitted = ngram.fit(corpus, Config(order, smoothing=smoothing))
    twin = Plain(levels_of(corpus, order, smoothing, (0,) * order))
    text = random_lines(corpus.vocab_size, 6, seed)
    (scores,) = fitted.score(text)
    stepped = np.concatenate([by_steps(fitted, text.line(i)) for i in range(len(text))])
    np.testing.assert_allclose(scores, stepped, atol=1e-6, rtol=1e-6)
    words = [(BOS, *text.line(i).tolist(), EOS) for i in range(len(text))]
    with np.errstate(divide="ignore"):
        expected = np.log([twin.probability(line[:k], line[k]) for line in words for k in range(1, len(line))])
    np.testing.assert_allclose(scores, expected, atol=1e-6, rtol=1e-6)


def test_a_model_of_its_own_reference():
    """From the text to the number, against reference.py."""
    corpus = random_lines(12, 80, seed=4)
    fitted = ngram.fit(corpus, Config(4, prune=(0, 0, 1)))
    estimate = reference.estimate([corpus.line(i).tolist() for i in range(len(corpus))], 4, 12, (0, 0, 1, 1))
    text = random_lines(12, 20, seed=5)
    (scores,) = fitted.score(text)
    lines = [(BOS, *text.line(i).tolist(), EOS) for i in range(len(text))]
    expected = [reference.log_probability(estimate, line[:k], line[k]) for line in lines for k in range(1, len(line))]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.fixture(scope="module")
def fitted():
    return ngram.fit(random_lines(8, 60, seed=1), Config(3))


def test_is_a_language_model(fitted):
    assert isinstance(fitted, LanguageModel)
    assert fitted.vocab_size == 8
    assert str(fitted.policy) == "line"


@pytest.mark.parametrize("line_end", [True, False])
@pytest.mark.parametrize("lines", ["many", "one", "blank"])
def test_chunks_blocks_and_threads_do_not_matter(fitted, monkeypatch, lines, line_end):
    """Nor that a chunk or a block begins within a line."""
    long = random_lines(8, 200, seed=3).ids
    text = {
        "many": random_lines(8, 40, seed=2),
        "one": Encoded.from_lines([long], 8),
        "blank": Encoded.from_lines([[], [], long[:3], [], [], long[:40], [], [], []], 8),
    }[lines]
    policy = ScorePolicy(line_end=line_end)
    (whole,) = fitted.score(text, policy=policy)
    for block in (1, 2, 5, 16):
        monkeypatch.setattr(kernels, "BLOCK", block)
        np.testing.assert_array_equal(next(fitted.score(text, policy=policy)), whole)
    monkeypatch.setattr(model, "_CHUNK", 7)
    for threads in (1, 3):
        parts = list(model.NgramModel(fitted.packed, threads=threads).score(text, policy=policy))
        assert {len(p) for p in parts[:-1]} == {7}
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    explained = [part.logp for part in fitted.explain(text, line_end=line_end)]
    np.testing.assert_array_equal(np.concatenate(explained), whole)


def test_scoring_may_be_given_up(fitted, monkeypatch):
    monkeypatch.setattr(model, "_CHUNK", 7)
    parts = model.NgramModel(fitted.packed, threads=2).score(random_lines(8, 40, seed=2))
    next(parts)
    parts.close()


def test_without_line_ends(fitted):
    text = Encoded.from_lines([[], [3, 4], [], [], [5], []], 8)
    (whole,) = fitted.score(text)
    (bare,) = fitted.score(text, policy=ScorePolicy(line_end=False))
    ends = text.offsets[1:] + np.arange(len(text))
    np.testing.assert_array_equal(bare, np.delete(whole, ends))
    assert len(whole) == 9


def test_nothing_to_score(fitted):
    assert list(fitted.score(Encoded.from_lines([], 8))) == []
    assert list(fitted.score(Encoded.from_lines([[]], 8), policy=ScorePolicy(line_end=False))) == []
    rows, _ = fitted.start(prefixes=Encoded.from_lines([], 8))
    assert rows.shape == (0, 8)


def test_select(fitted):
    """Rows may repeat and be dropped; each goes on as its own history would."""
    prefixes = Encoded.from_lines([[3, 4], [5], [], [6, 6, 6, 7]], 8)
    _, state = fitted.start(prefixes=prefixes)
    rows, _ = fitted.step(state.select(np.array([3, 1, 1])), np.array([3, 4, 5]))
    expected, _ = fitted.start(prefixes=Encoded.from_lines([[6, 6, 6, 7, 3], [5, 4], [5, 5]], 8))
    np.testing.assert_array_equal(rows, expected)
    rows, _ = fitted.step(state.select(np.array([], np.int64)), np.array([], np.int64))
    assert rows.shape == (0, 8)


def test_rows_belong_to_the_caller(fitted):
    rows, state = fitted.start()
    rows[:] = 0
    again, _ = fitted.start()
    assert again[0, 3] < 0
    assert fitted.step(state, np.array([3]))[0][0, 3] < 0


def test_explain():
    """Of `a b a`, with `a b` the only line: a after <s> and b after a are bigrams, the rest is not there."""
    fitted = ngram.fit(Encoded.from_lines([[3, 4]], 6), Config(3))
    text = Encoded.from_lines([[3, 4, 3], [5]], 6)
    (explained,) = fitted.explain(text)
    # <s> a | <s> a b | a (after `a b` and `b`: backs off) | </s> (after `a`) | c | </s>
    assert explained.length.tolist() == [2, 3, 1, 1, 1, 1]
    assert explained.length.dtype == np.int8
    (scores,) = fitted.score(text)
    np.testing.assert_array_equal(explained.logp, scores)
    # every context has one continuation of count 1, so G is D1 = 1/2: two contexts, none, two, one (`a`), one, none
    half = np.log(0.5)
    np.testing.assert_allclose(explained.backoff, [0, 0, 2 * half, half, half, 0], rtol=1e-6)
    unigrams = np.exp(scores[[2, 3, 4]] - explained.backoff[[2, 3, 4]])
    rows, _ = ngram.fit(Encoded.from_lines([[3, 4]], 6), Config(1)).start()
    assert unigrams[2] == pytest.approx(np.exp(rows[0, 5]))


def test_explained_as_query_v():
    """KenLM's `query -v` on tiny.o3: the length of each n-gram, and log10 p."""
    words = [line.split(" ") for line in (TINY / "tiny.train.txt").read_text("utf-8").splitlines()]
    vocab, corpus, _ = build(words)
    fitted = ngram.fit(corpus, Config(3))
    lines = [line.split(" ") for line in (TINY / "tiny.test.txt").read_text("utf-8").splitlines()]
    (explained,) = fitted.explain(vocab.encode_lines(lines))
    said = re.findall(r"=\d+ (\d+) (-[\d.e-]+)", (TINY / "tiny.o3.query-v.txt").read_text("utf-8"))
    assert explained.length.tolist() == [int(n) for n, _ in said]
    np.testing.assert_allclose(explained.logp / np.log(10), [float(p) for _, p in said], atol=1e-5)


def test_ngrams_are_the_backing_off_form():
    """log p and back-off of every n-gram give what `score` gives: of an interpolated model, too."""
    corpus = random_lines(9, 40, seed=6)
    for smoothing in ("kneser-ney", "absolute", "witten-bell"):
        fitted = ngram.fit(corpus, Config(3, smoothing=smoothing, prune=(0, 0, 1)))
        p, backoff = {}, {}
        for n in (1, 2, 3):
            for part in fitted.ngrams(n):
                grams = [tuple(row) for row in part.words.tolist()]
                p.update(zip(grams, part.logp.tolist(), strict=True))
                backoff.update(zip(grams, part.backoff.tolist(), strict=True))
        assert len(p) == fitted.describe()["size"]

        def log_p(context, word, p=p, backoff=backoff):
            if (*context, word) in p:
                return p[*context, word]
            return backoff.get(context, 0.0) + log_p(context[1:], word, p, backoff)

        text = random_lines(9, 20, seed=7)
        lines = [(BOS, *text.line(i).tolist(), EOS) for i in range(len(text))]
        expected = [log_p(line[max(0, k - 2) : k], line[k]) for line in lines for k in range(1, len(line))]
        np.testing.assert_allclose(np.concatenate(list(fitted.score(text))), expected, atol=1e-5)


def test_describe():
    fitted = ngram.fit(random_lines(8, 60, seed=1), Config(3, smoothing="add-k", k=0.5))
    about = fitted.describe()
    assert about["size"] == sum(about["ngrams"]) == sum(row["ngrams"] for row in about["statistics"])
    assert (about["smoothing"], about["k"], about["discounts"], about["fallback"]) == ("add-k", 0.5, [], [])
    assert 1 < about["bytes_per_ngram"] < 30
    assert len(about["bytes_per_ngram_by_order"]) == 3
    assert ngram.fit(random_lines(8, 60, seed=1), Config(3)).describe()["discounts"][1]


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("lines", [[[]], [[3]], [[3, 4, 5]], [[3] * 50], [[], [], []]], ids=str)
def test_very_small_corpora(lines, order):
    corpus = Encoded.from_lines(lines, 6)
    fitted = ngram.fit(corpus, Config(order))
    (logs,) = fitted.score(corpus)
    assert len(logs) == corpus.tokens + len(corpus)
    assert np.isfinite(logs).all()
    rows, _ = fitted.start(prefixes=Encoded.from_lines([[], [3], [3, 3], [4, 5], [0, 3]], 6))
    np.testing.assert_allclose(np.exp(rows.astype(np.float64)).sum(axis=1), 1, atol=1e-5)


def test_types_that_never_occur():
    """p of each is the uniform share: as <unk>."""
    fitted = ngram.fit(Encoded.from_lines([[3, 4], [3]], 9), Config(1))
    rows, _ = fitted.start()
    assert (rows[0, 5:] == rows[0, 0]).all()
    assert rows[0, 0] > -math.inf


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (ScorePolicy("stream"), "An n-gram model resets at each line"),
        (ScorePolicy(window=1), "A 3-gram model always looks at 2 words and resets at each line; a window of 1"),
        (ScorePolicy(window=2, stride=1), "it has no stride"),
    ],
)
def test_policies_it_cannot_follow(fitted, policy, message):
    with pytest.raises(UsageError, match=message):
        fitted.score(random_lines(8), policy=policy)


def test_policies_it_follows(fitted):
    text = random_lines(8)
    (expected,) = fitted.score(text)
    (scores,) = fitted.score(text, policy=ScorePolicy(window=2))
    np.testing.assert_array_equal(scores, expected)


def test_misuse(fitted):
    lines = random_lines(8)
    with pytest.raises(UsageError, match="no source lines"):
        fitted.score(lines, lines)
    with pytest.raises(UsageError, match="no source lines"):
        fitted.start(lines)
    with pytest.raises(UsageError, match="a vocabulary of 9 were given to a model with one of 8"):
        fitted.score(random_lines(9))
    with pytest.raises(UsageError, match="a vocabulary of 9"):
        fitted.start(prefixes=random_lines(9))
    with pytest.raises(UsageError, match="ids from -1 to 8, and a vocabulary of 8"):
        fitted.score(Encoded.from_lines([[3, 8], [-1]], 8))
    _, state = fitted.start()
    with pytest.raises(UsageError, match="an id below 8 for each of 1 histories"):
        fitted.step(state, np.array([8]))
    with pytest.raises(UsageError, match="an id below 8 for each of 1 histories"):
        fitted.step(state, np.array([3, 3]))
