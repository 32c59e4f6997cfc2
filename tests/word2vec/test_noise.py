from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.word2vec import noise


def test_draws_are_splitmix64():
    # The first three numbers of the published generator from state 0; draw n is its number n + 1 there.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [noise.draw(np.uint64(0), 0, 9, n) for n in (1, 2, 3)] == published
    assert noise.draw(np.uint64(0), 1, 2, 1) == published[2]  # draw 1 of 2 at position 1 is number 1 * 2 + 1


def test_below_and_unit_stay_in_range():
    for bits in (0, 1, 2**32, 2**63, 2**64 - 1):
        assert 0 <= noise.below(np.uint64(bits), 7) < 7
        assert 0 <= noise.unit(np.uint64(bits)) < 1
    assert noise.below(np.uint64(2**64 - 1), 7) == 6


def test_any_exponent_is_a_distribution():
    # Powers of counts would overflow. With -10 the noise is the rarest word, with 10 the most frequent.
    counts = np.array([0, 0, 0, 10**15, 1000, 10**18])
    for exponent, word in ((-10.0, 4), (10.0, 5)):
        table = noise.choices(counts, sample=0, exponent=exponent)
        drawn = {int(noise.noise_word(np.uint64(bits), table.threshold, table.alias)) for bits in
                 np.random.default_rng(1).integers(0, 2**64, 1000, np.uint64)}  # fmt: skip
        assert drawn == {word}


def test_keys_differ_by_seed_and_epoch():
    keys = {int(noise.stream_key(seed, epoch)) for seed in range(10) for epoch in range(10)}
    assert len(keys) == 100
    assert noise.stream_key(-1, 0) == noise.stream_key(-1, 0)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=40).filter(any), st.sampled_from([0.0, 0.75, 1.0]))
@settings(deadline=None, max_examples=60)
def test_the_alias_table_holds_the_distribution(counts, exponent):
    counts = np.array([5, 5, 5, *counts])
    table = noise.choices(counts, sample=0, exponent=exponent)
    # Add up what each column gives to each word.
    n = len(counts)
    share = np.zeros(n)
    stays = table.threshold / 0xFFFFFFFF
    np.add.at(share, np.arange(n), stays / n)
    np.add.at(share, table.alias, (1 - stays) / n)
    expected = np.where(counts > 0, counts.astype(float) ** exponent, 0)
    expected[:3] = 0
    np.testing.assert_allclose(share, expected / expected.sum(), atol=1e-8)


def test_specials_and_missing_words_are_never_drawn():
    table = noise.choices(np.array([100, 100, 100, 1, 0, 1000]), sample=0, exponent=0.75)
    rng = np.random.default_rng(0)
    seen = {noise.noise_word(bits, table.threshold, table.alias) for bits in rng.integers(0, 2**64, 3000, np.uint64)}
    assert seen == {3, 5}


def test_thinning_out_by_hand():
    # Share f of id 3 is 0.9, s = 0.1: keep sqrt(s/f) + s/f = 1/3 + 1/9; id 4: sqrt(1) + 1 > 1, so always.
    keep = noise.choices(np.array([50, 9, 9, 90, 10]), sample=0.1, exponent=0.75).keep
    np.testing.assert_allclose(keep, [0, 0, 0, 4 / 9, 1], rtol=1e-6)
    assert noise.choices(np.array([50, 9, 9, 90, 10]), sample=0, exponent=0.75).keep.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("n", [3, 1000])
def test_below_is_even(n):
    counts = np.bincount([noise.below(np.uint64(noise.draw(np.uint64(7), i, 1, 0)), n) for i in range(20 * n)])
    assert len(counts) == n
    assert abs(counts - 20).max() < 8 * 20**0.5
