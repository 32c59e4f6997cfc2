import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import ModelError, UsageError
from textdl.evaluation.spelling import PAGES, Speller, rarest
from textdl.storage import Reader, saving
from textdl.vocabulary import Vocabulary, build

SCALARS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ABC = [range(ord("a"), ord("d"))]


def strings(alphabet, length):
    for n in range(1, length + 1):
        yield from map("".join, itertools.product(alphabet, repeat=n))


class Reference:
    """The formulas of spelling.py, one symbol at a time; START begins a history, END ends a piece."""

    START, END = "<", ">"

    def __init__(self, types, order, alphabet):
        self.order, self.alphabet = order, alphabet
        self.counts = defaultdict(Counter)
        symbols = 0
        for piece, weight in types.items():
            history = self.START
            for symbol in piece + self.END:
                for k in range(min(order - 1, len(history)) + 1):
                    self.counts[history[len(history) - k :]][symbol] += weight
                history += symbol
                symbols += weight
        self.end = (sum(types.values()) + 1) / (symbols + 2)

    def p(self, symbol, history):
        if history == self.START:
            return 0.0 if symbol == self.END else self._p(symbol, history) / (1 - self._p(self.END, history))
        return self._p(symbol, history)

    def _p(self, symbol, history):
        p = self.end if symbol == self.END else (1 - self.end) / len(self.alphabet)
        for k in range(min(self.order - 1, len(history)) + 1):
            if seen := self.counts.get(history[len(history) - k :]):
                p = (seen[symbol] + len(seen) * p) / (sum(seen.values()) + len(seen))
        return p

    def prefix(self, text):
        return math.prod(self.p(symbol, self.START + text[:i]) for i, symbol in enumerate(text))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("types", [{}, {"a": 3, "ab": 1, "abba": 2, "cab": 5}])
def test_mass_over_all_strings_is_one(order, types):
    """All strings up to 6 symbols, and those that go on after 6, share the whole mass.

    Nothing of what goes on is lost at infinity: after every history the next symbols sum to 1, and the
    end is among them with at least its share of the bounded counts, so what goes on shrinks geometrically.
    """
    speller = Speller.fit(types, [], single_code_point=False, order=order, blocks=ABC)
    reference = Reference(types, order, "abc")
    every = list(strings("abc", 6))
    prefixes = [reference.prefix(s) for s in every]
    expected = [p * reference.p(">", "<" + s) for p, s in zip(prefixes, every, strict=True)]
    np.testing.assert_allclose(np.exp(speller.log_probs(every)), expected, rtol=1e-12)

    going_on = sum(p - e for p, e, s in zip(prefixes, expected, every, strict=True) if len(s) == 6)
    assert np.exp(speller.log_probs(every)).sum() + going_on == pytest.approx(1, abs=1e-12)
    for history in ["", *every]:
        assert sum(reference.p(symbol, "<" + history) for symbol in "abc>") == pytest.approx(1, abs=1e-12)
        assert not history or reference.p(">", "<" + history) > 0.001


def test_hand_worked_unigram():
    """Order 1 on {"a": 1, "ab": 1} over the alphabet abc.

    Base: one block of 3, so uniform; the base's end is (2 + 1) / (2 + 3 + 2) = 3/7, each letter 4/21.
    Counts: a 2, b 1, end 2; C = 5, N = 3. P(end) = (2 + 3 * 3/7) / 8 = 23/56,
    P(a) = (2 + 12/21) / 8 = 9/28, P(b) = (1 + 12/21) / 8 = 11/56, P(c) = (12/21) / 8 = 1/14; sum 1.
    The first symbol is divided by 1 - 23/56 = 33/56.
    P("ba") = 11/56 / (33/56) * 9/28 * 23/56 = 1/3 * 9/28 * 23/56.
    """
    speller = Speller.fit({"a": 1, "ab": 1}, [], single_code_point=False, order=1, blocks=ABC)
    assert speller.log_prob("ba") == pytest.approx(math.log(1 / 3 * 9 / 28 * 23 / 56), rel=1e-12)
    assert speller.log_prob("c") == pytest.approx(math.log(1 / 14 / (33 / 56) * 23 / 56), rel=1e-12)


def test_single_code_points_sum_to_one_over_unicode():
    speller = Speller.fit({"中": 4, "a": 1, "😀": 1}, ["中", "b"], single_code_point=True)
    everything = [chr(c) for page in PAGES for c in page]
    p = np.exp(speller.log_probs(everything))
    assert len(p) == 0x110000 - 0x800
    assert p.sum() == pytest.approx(1, abs=1e-12)
    unknown = [c for c in everything if c not in ("中", "b")]
    assert np.exp(speller.log_probs_unknown(unknown)).sum() == pytest.approx(1, abs=1e-12)


def test_unknown_pieces_sum_to_one():
    speller = Speller.fit({"ab": 2, "ba": 2, "a": 1}, ["a", "ab", "bb"], single_code_point=False, order=3, blocks=ABC)
    outside = [s for s in strings("abc", 8) if s not in ("a", "ab", "bb")]
    inside = sum(math.exp(speller.log_prob(s)) for s in ("a", "ab", "bb"))
    total = np.exp(speller.log_probs_unknown(outside)).sum()
    assert total < 1
    # the same strings carry mass T of P_spell: divided by 1 - S they carry T / (1 - S)
    assert total == pytest.approx(np.exp(speller.log_probs(outside)).sum() / (1 - inside), rel=1e-12)


def test_a_vocabulary_of_all_characters_leaves_nothing_infinite():
    everything = [chr(c) for page in PAGES for c in page]
    assert math.isfinite(Speller.fit({}, everything, single_code_point=True).log_prob_unknown("a"))
    but_one = Speller.fit({"a": 10**9}, everything[:-1], single_code_point=True)
    assert but_one.log_prob_unknown(everything[-1]) == pytest.approx(0, abs=1e-9)


def test_a_sum_near_one_never_gives_more_than_probability_one():
    speller = Speller.fit({"a": 10**15}, ["a"], single_code_point=False)
    assert math.isfinite(speller.log_rest)
    assert speller.log_prob_unknown("b") <= 0


@settings(deadline=None, max_examples=60)
@given(st.lists(SCALARS, max_size=8), SCALARS, st.integers(1, 4))
def test_every_string_has_a_finite_probability(types, piece, order):
    speller = Speller.fit(types, types, single_code_point=False, order=order)
    assert -math.inf < speller.log_prob(piece) < 0
    assert -math.inf < speller.log_prob_unknown(piece) <= 0


@settings(deadline=None, max_examples=40)
@given(st.lists(SCALARS, min_size=1, max_size=8))
def test_alone_or_in_a_batch(pieces):
    speller = Speller.fit(pieces, [], single_code_point=False)
    np.testing.assert_array_equal(speller.log_probs(pieces), [speller.log_prob(p) for p in pieces])


def test_it_learns_what_words_look_like():
    speller = Speller.fit(["walking", "talking", "making", "baking"], [], single_code_point=False)
    assert speller.log_prob("taking") > speller.log_prob("gnikat") > speller.log_prob("龘龘龘龘龘龘")


def test_save_and_load(tmp_path):
    speller = Speller.fit({"北京": 3, "上海": 1, "\0\n": 1}, ["北京"], single_code_point=False)
    with saving(tmp_path / "m", {}) as out:
        speller.save(out)
    loaded = Speller.load(Reader(tmp_path / "m"))
    pieces = ["北京", "海", "xyz", "\U0010ffff"]
    np.testing.assert_array_equal(loaded.log_probs_unknown(pieces), speller.log_probs_unknown(pieces))
    assert loaded.single_code_point is False


def test_load_without_and_damaged(tmp_path):
    with saving(tmp_path / "none", {}):
        pass
    assert Speller.load(Reader(tmp_path / "none")) is None
    with saving(tmp_path / "bad", {}) as out:
        Speller.fit(["ab"], [], single_code_point=False).save(out)
        out.array("speller/counts.npy", np.zeros(1, np.int64))
    with pytest.raises(ModelError, match=r"the speller is damaged .*n-grams announced"):
        Speller.load(Reader(tmp_path / "bad"))


@pytest.mark.parametrize(
    ("piece", "message"), [("", "non-empty"), ("\ud800", r"U\+D800 is a lone surrogate"), ("a\udfffb", r"U\+DFFF")]
)
def test_what_has_no_spelling(piece, message):
    speller = Speller.fit([], [], single_code_point=False)
    with pytest.raises(UsageError, match=message):
        speller.log_prob(piece)
    with pytest.raises(UsageError, match=message):
        Speller.fit([piece], [], single_code_point=False)


def test_misuse():
    with pytest.raises(UsageError, match="order 5"):
        Speller.fit([], [], single_code_point=False, order=5)
    with pytest.raises(UsageError, match="several characters"):
        Speller.fit(["a"], [], single_code_point=True).log_prob("ab")
    with pytest.raises(UsageError, match=r"U\+0078 is not a character the speller covers"):
        Speller.fit([], [], single_code_point=False, blocks=ABC).log_prob("x")


def test_rarest():
    vocab, _, cut = build([["a"] * 5 + ["b"] * 3 + ["c", "d"] + ["e"] * 2], min_count=2)
    assert dict(cut) == {"c": 1, "d": 1}
    assert rarest(vocab, cut, at_least=2) == {"c": 1, "d": 1}
    assert rarest(vocab, cut, at_least=3) == {"c": 1, "d": 1, "e": 1}
    assert set(rarest(vocab, cut)) == {"a", "b", "c", "d", "e"}
    everything = build([["a", "a", "b", "c"]])[0]
    assert rarest(everything, {}, at_least=1) == {"b": 1, "c": 1}
    assert len(rarest(Vocabulary([str(i) for i in range(500)]), {"x": 7}, at_most=100)) == 100
    assert rarest(Vocabulary([]), {}) == {}
