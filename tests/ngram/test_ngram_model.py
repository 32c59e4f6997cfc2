"""The model behind the protocol: sums, states, scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl import ngram
from textdl.encoded import BOS, EOS, Encoded
from textdl.errors import UsageError
from textdl.ngram import Config, model, reference
from textdl.protocols import LanguageModel, ScorePolicy

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
@given(corpora, st.integers(1, 6), st.booleans(), st.integers(0, 2**32 - 1))
def test_sums_to_one(corpus, order, prune, seed):
    """After every kind of history: of the text and not, longer and shorter than the order, with <unk>."""
    fitted = ngram.fit(corpus, Config(order, prune=(0, 1) if prune and order > 1 else ()))
    for prefixes in (corpus, random_lines(corpus.vocab_size, seed=seed)):
        rows, state = fitted.start(prefixes=prefixes)
        assert rows.shape == (len(prefixes), corpus.vocab_size)
        assert rows.dtype == np.float32
        assert (rows[:, BOS] == -np.inf).all()
        assert np.isfinite(np.delete(rows, BOS, axis=1)).all()
        np.testing.assert_allclose(np.exp(rows.astype(np.float64)).sum(axis=1), 1, atol=1e-5)
        rows, _ = fitted.step(state, np.full(len(prefixes), 3))
        np.testing.assert_allclose(np.exp(rows.astype(np.float64)).sum(axis=1), 1, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(corpora, st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_score_is_the_sum_of_steps(corpus, order, seed):
    fitted = ngram.fit(corpus, Config(order))
    text = random_lines(corpus.vocab_size, 6, seed)
    (scores,) = fitted.score(text)
    stepped = [by_steps(fitted, text.line(i)) for i in range(len(text))]
    np.testing.assert_allclose(scores, np.concatenate(stepped), atol=1e-5)
    p, backoff = reference.estimate([corpus.line(i).tolist() for i in range(len(corpus))], order, corpus.vocab_size)
    for i, logs in enumerate(stepped):
        words = (BOS, *text.line(i).tolist(), EOS)
        for k, log in enumerate(logs, 1):
            context = words[max(0, k - order + 1) : k]
            assert log == pytest.approx(reference.log_probability(p, backoff, context, words[k]), abs=1e-4)


@pytest.fixture(scope="module")
def fitted():
    return ngram.fit(random_lines(8, 60, seed=1), Config(3))


def test_is_a_language_model(fitted):
    assert isinstance(fitted, LanguageModel)
    assert fitted.vocab_size == 8
    assert str(fitted.policy) == "line"


def test_chunks_do_not_matter(fitted, monkeypatch):
    text = random_lines(8, 40, seed=2)
    (whole,) = fitted.score(text)
    monkeypatch.setattr(model, "_CHUNK", 7)
    parts = list(fitted.score(text))
    assert {len(p) for p in parts[:-1]} == {7}
    np.testing.assert_array_equal(np.concatenate(parts), whole)


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
    ((logs, orders),) = fitted.explain(Encoded.from_lines([[3, 4, 3], [5]], 6))
    # <s> a | <s> a b | a (after `a b` and `b`: backs off) | </s> (after `a`) | c | </s>
    assert orders.tolist() == [2, 3, 1, 1, 1, 1]
    assert orders.dtype == np.int8
    (scores,) = fitted.score(Encoded.from_lines([[3, 4, 3], [5]], 6))
    np.testing.assert_array_equal(logs, scores)


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
    ],
)
def test_policies_it_cannot_follow(fitted, policy, message):
    with pytest.raises(UsageError, match=message):
        fitted.score(random_lines(8), policy=policy)


def test_policies_it_follows(fitted):
    text = random_lines(8)
    (expected,) = fitted.score(text)
    (scores,) = fitted.score(text, policy=ScorePolicy(window=2, stride=1))
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
    _, state = fitted.start()
    with pytest.raises(UsageError, match="an id below 8 for each of 1 histories"):
        fitted.step(state, np.array([8]))
    with pytest.raises(UsageError, match="an id below 8 for each of 1 histories"):
        fitted.step(state, np.array([3, 3]))
