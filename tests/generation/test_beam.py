import itertools
from itertools import pairwise

import numpy as np
import pytest
from contracts.dummy import Bigram

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.generation.beam import beam_search
from textdl.protocols import Candidates


def exhaustive(model, max_tokens, alpha, first=BOS):
    """All lines of at most max_tokens tokens that end, best first."""
    found = []
    for n in range(max_tokens + 1):
        for ids in itertools.product(range(3, model.vocab_size), repeat=n):
            path = [first, *ids, EOS]
            total = sum(float(model.table[a, b]) for a, b in itertools.pairwise(path))
            found.append((total / ((5 + n + 1) / 6) ** alpha, list(ids)))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_the_search_is_exhaustive(seed, alpha):
    model = Bigram.random(6, seed)
    (found,) = beam_search(model, width=100, max_tokens=4, length_penalty=alpha, n_best=10)
    expected = exhaustive(model, 4, alpha)[:10]
    assert [h.ids for h in found] == [ids for _, ids in expected]
    np.testing.assert_allclose([h.score for h in found], [score for score, _ in expected], rtol=1e-5)
    assert all(h.finished for h in found)


@pytest.mark.parametrize("seed", range(4))
def test_width_v_on_a_bigram_model_finds_the_best(seed):
    """With one open hypothesis per last token at least, a first-order model is searched exactly (Viterbi)."""
    model = Bigram.random(6, seed)
    (found,) = beam_search(model, width=6**2, max_tokens=5)
    assert found[0].ids == exhaustive(model, 5, 0.0)[0][1]


def test_lines_do_not_see_each_other():
    model = Bigram.random(8, 5)
    prompts = Encoded.from_lines([[3], [4], [5], []], 8)
    together = beam_search(model, width=3, max_tokens=6, n_best=2, length_penalty=0.6, prefixes=prompts)
    for i in range(4):
        alone = beam_search(
            model, width=3, max_tokens=6, n_best=2, length_penalty=0.6, prefixes=prompts.lines(i, i + 1)
        )
        assert together[i] == alone[0]


def test_width_one_is_greedy_until_something_better_has_ended():
    table = np.zeros((5, 5))
    table[:, EOS], table[:, 3], table[:, 4] = 0.1, 0.6, 0.3
    (found,) = beam_search(Bigram(table), width=1, max_tokens=3)
    # ending at once has 0.1, every longer line at most 0.6 * 0.1
    assert found[0].ids == []
    (found,) = beam_search(Bigram(table), width=1, max_tokens=3, length_penalty=5.0)
    assert found[0].ids == [3, 3, 3]


def test_what_cannot_end_is_cut_off():
    table = np.zeros((5, 5))
    table[:, 3], table[:, 4] = 0.7, 0.3
    (found,) = beam_search(Bigram(table), width=2, max_tokens=3, n_best=2)
    assert [h.ids for h in found] == [[3, 3, 3], [3, 3, 4]]
    assert not found[0].finished
    assert found[0].log_prob == pytest.approx(3 * np.log(0.7), rel=1e-6)


def test_what_has_ended_is_not_cut_off_as_well():
    table = np.zeros((5, 5))
    table[BOS, [3, 4, EOS]] = table[EOS, [3, 4, EOS]] = 0.6, 0.3, 0.1
    table[3, [EOS, 4]] = 0.9, 0.1
    table[4, [EOS, 3]] = 0.1, 0.9
    (found,) = beam_search(Bigram(table), width=2, max_tokens=1, n_best=2, exact=False)
    assert [(h.ids, h.finished) for h in found] == [([3], True), ([4], False)]


def test_a_hypothesis_that_can_only_be_unknown_dies():
    table = np.zeros((5, 5))
    table[:, 0] = 1
    assert beam_search(Bigram(table), width=2) == [[]]


@pytest.mark.parametrize(
    "given",
    [
        {"width": 0}, {"max_tokens": 0}, {"n_best": 9}, {"n_best": 0}, {"length_penalty": -1}, {"length_penalty": 1e6},
        {"length_penalty": float("nan")},
    ],
)  # fmt: skip
def test_refused(given):
    with pytest.raises(UsageError):
        beam_search(Bigram.random(5), **given)


def test_each_line_may_have_a_limit_of_its_own():
    table = np.zeros((5, 5))
    table[:, 3], table[:, 4] = 0.7, 0.3
    prompts = Encoded.from_lines([[], []], 5)
    found = beam_search(Bigram(table), width=1, max_tokens=np.array([2, 4]), prefixes=prompts)
    assert [line[0].ids for line in found] == [[3, 3], [3, 3, 3, 3]]


def test_not_exact_at_width_1_is_greedy():
    table = np.zeros((5, 5))
    table[:, EOS], table[:, 3], table[:, 4] = 0.1, 0.6, 0.3
    greedy = {"width": 1, "max_tokens": 9, "exact": False}
    (found,) = beam_search(Bigram(table), **greedy)
    assert found[0].ids == [3] * 9  # an end is never the best of a step
    table[3, EOS], table[3, 3] = 0.6, 0.1
    (found,) = beam_search(Bigram(table), **greedy)
    assert found[0].ids == [3]


def test_many_ends_that_are_not_likely_do_not_end_a_search():
    """A chain of 8 tokens, each 9 times in 10; </s> is as likely as any other, so among the best few at every step."""
    size = 11
    table = np.full((size, size), 0.01)
    table[:, UNK] = table[:, BOS] = 0.0
    for before, after in pairwise([BOS, 3, 4, 5, 6, 7, 8, 9, 10, EOS]):
        table[before, after] = 0.9
    table /= table.sum(1, keepdims=True)
    (found,) = beam_search(Bigram(table), width=5, max_tokens=50, length_penalty=1.0, exact=False)
    assert found[0].ids == [3, 4, 5, 6, 7, 8, 9, 10]


class Ranked(Bigram):
    """One that gives the best tokens only."""

    def start(self, contexts=None, prefixes=None):
        raise AssertionError("nobody needs all log-probabilities")

    step = start

    def start_best(self, number, contexts=None, prefixes=None):
        return self.ranked(number, *super().start(contexts, prefixes))

    def step_best(self, number, state, last):
        return self.ranked(number, *super().step(state, last))

    def ranked(self, number, log_probs, state):
        tokens = 3 + np.argsort(-log_probs[:, 3:], axis=1, kind="stable")[:, :number]
        return Candidates(tokens, np.take_along_axis(log_probs, tokens, 1), log_probs[:, EOS]), state


@pytest.mark.parametrize("exact", [True, False])
def test_the_best_tokens_are_all_that_is_needed(exact):
    prompts = Encoded.from_lines([[3], [4], []], 20)
    given = {"width": 4, "n_best": 3, "max_tokens": 7, "length_penalty": 0.6, "exact": exact, "prefixes": prompts}
    whole, ranked = Bigram.random(20, 3), Ranked.random(20, 3)
    assert beam_search(ranked, **given) == beam_search(whole, **given)
