from __future__ import annotations

import numba
import numpy as np

from textdl.simd import (
    any_from,
    before,
    exp_minus,
    fold1,
    fold2,
    fold4,
    fold8,
    highest,
    kept,
    larger,
    load,
    positive,
    splat,
    store,
    total,
    transpose,
    where_negative,
)

kernel = numba.njit(error_model="numpy")  # not cached: these live in a test


@kernel
def exp_minus_of(x, out):
    for i in range(0, len(x), 16):
        store(out, i, exp_minus(load(x, i)))


@kernel
def relu_and_sign(x, out):
    store(out, 0, positive(load(x, 0)))
    store(out, 16, where_negative(load(x, 0), splat(np.float32(-7)), splat(np.float32(7))))


@kernel
def sums_of_four(x, out):
    zero = splat(np.float32(0))
    a, b, c, d = load(x, 0), load(x, 16), load(x, 32), load(x, 48)
    store(out, 0, fold1(fold2(fold4(fold8(a, b), fold8(c, d)), zero), zero))


@kernel
def highest_of(x, out):
    out[0] = highest(load(x, 0))


@kernel
def lanes_before(count, out):
    store(out, 0, before(count, splat(np.float32(1)), splat(np.float32(0))))


@kernel
def transposed(x, width, out, out_width):
    transpose(x, 0, width, out, 2, out_width)


@kernel
def masked(key, dropped, out):
    for i in range(0, len(out), 16):
        store(out, i, kept(np.uint32(key), i, np.uint32(dropped), np.float32(2)))


@kernel
def compared(x, out):
    a, b = load(x, 0), load(x, 16)
    store(out, 0, larger(a, b))
    out[16], out[17] = any_from(a, b), total(a)


def test_highest():
    for x in np.random.default_rng(1).normal(size=(9, 16)).astype(np.float32):
        out = np.empty(1, np.float32)
        highest_of(x, out)
        assert out[0] == x.max()


def test_lanes_before():
    out = np.empty(16, np.float32)
    for count in (-5, 0, 1, 9, 16, 100):
        lanes_before(count, out)
        np.testing.assert_array_equal(out, np.arange(16) < count)


def test_transpose():
    x = np.arange(16 * 20, dtype=np.float32)
    out = np.full(16 * 18, -1, np.float32)
    transposed(x, 20, out, 18)
    np.testing.assert_array_equal(np.append(out[2:], [-1, -1]).reshape(16, 18)[:, :16], x.reshape(16, 20)[:, :16].T)


def hashed(key, place):
    """The mixer of `kept`, a number at a time."""
    bits = (place * 0x9E3779B1 + key) % 2**32
    bits = (bits ^ bits >> 16) * 0x7FEB352D % 2**32
    bits = (bits ^ bits >> 15) * 0x846CA68B % 2**32
    return bits ^ bits >> 16


def test_a_mask_is_a_hash_of_key_and_place():
    dropped = round(0.3 * 2**32)
    out = np.empty(16_000, np.float32)
    masked(4_000_000_000, dropped, out)
    assert set(out) == {0, 2}
    assert abs((out == 0).mean() - 0.3) < 0.015
    expected = [0.0 if hashed(4_000_000_000, i) < dropped else 2.0 for i in range(len(out))]
    np.testing.assert_array_equal(out, expected)
    other = np.empty_like(out)
    masked(1, dropped, other)
    assert abs((out == other).mean() - (0.3**2 + 0.7**2)) < 0.02


def test_exp_minus():
    x = np.concatenate([np.linspace(-100, 100, 1600), [0, -0.0, np.inf, -np.inf, np.nan, 1e-30, 3e38, -3e38], [0] * 8])
    out = np.empty(len(x), np.float32)
    exp_minus_of(x.astype(np.float32), out)
    expected = np.exp(-np.abs(x.astype(np.float32).astype(float)))
    assert np.isnan(out[1604])
    fine = ~np.isnan(x)
    np.testing.assert_allclose(out[fine], np.maximum(expected[fine], np.exp(-87.0)), rtol=1e-5)
    near = np.abs(x) < 10
    np.testing.assert_allclose(out[near], expected[near], rtol=1e-6)


def test_positive_and_where_negative():
    x = np.array([-1, 0, 1, np.nan, np.inf, -np.inf, -0.0, *range(9)], np.float32)
    out = np.empty(32, np.float32)
    relu_and_sign(x, out)
    np.testing.assert_array_equal(out[:16], np.where(np.isnan(x), np.nan, np.maximum(x, 0)))
    np.testing.assert_array_equal(out[16:], np.where(x < 0, -7, 7))


def test_folds_add_lanes_in_bit_reversed_order():
    x = np.arange(64, dtype=np.float32)
    out = np.empty(16, np.float32)
    sums_of_four(x, out)
    a, b, c, d = x.reshape(4, 16).sum(axis=1)
    expected = np.zeros(16)
    expected[[0, 8, 4, 12]] = a, b, c, d
    np.testing.assert_array_equal(out, expected)


def test_comparisons_and_sums_of_lanes():
    x, out = np.arange(32, dtype=np.float32), np.empty(18, np.float32)
    compared(x, out)
    np.testing.assert_array_equal(out[:16], x[16:])
    assert (out[16], out[17]) == (0, 120)
    x[5] = x[21]
    compared(x, out)
    np.testing.assert_array_equal(out[:16], x[16:])
    assert (out[16], out[17]) == (1, 136)
    x[21], x[6] = -np.inf, np.nan
    compared(x, out)
    assert (out[5], out[6], out[16]) == (21, 22, 1)
    x[5] = -np.inf
    compared(x, out)
    assert out[16] == 1  # -inf is not below itself
