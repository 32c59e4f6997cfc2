import numpy as np
import pytest

from textdl.evaluation.bootstrap import interval, ratio_interval, units


def test_against_the_normal_approximation():
    """Mean of n normals: the interval is about mean +- 1.96 s / sqrt(n)."""
    x = np.random.default_rng(0).normal(5, 2, 4000)
    low, high = ratio_interval(x, np.ones(4000, np.int64))
    assert low == pytest.approx(x.mean() - 1.96 * x.std() / 4000**0.5, abs=0.01)
    assert high == pytest.approx(x.mean() + 1.96 * x.std() / 4000**0.5, abs=0.01)


def test_units():
    np.testing.assert_array_equal(units(3), [0, 1, 2])
    many = units(9001)
    assert (len(many), many[0], many[-1] < 9001, set(np.diff(many))) == (2000, 0, True, {4, 5})


def test_runs_of_lines_give_the_same():
    x, n = np.random.default_rng(0).normal(5, 2, 9000), np.random.default_rng(1).integers(1, 9, 9000)
    runs = [np.add.reduceat(values, units(9000)) for values in (x, n)]
    assert ratio_interval(*runs) == pytest.approx(ratio_interval(x, n), abs=0.01)


def test_seeded_and_undefined():
    x, n = np.arange(10.0), np.ones(10, np.int64)
    assert ratio_interval(x, n) == ratio_interval(x, n) != ratio_interval(x, n, seed=2)
    assert ratio_interval(x[:1], n[:1]) is None
    assert ratio_interval(np.array([1.0, np.inf]), n[:2]) is None


def test_any_figure_and_draws_on_which_it_is_undefined():
    x = np.random.default_rng(0).normal(5, 2, 400)
    assert interval(lambda rows: x[rows].mean(), 400) == ratio_interval(x, np.ones(400, np.int64))
    low, high = interval(lambda rows: x[rows].mean() if rows[0] else np.nan, 400)
    assert low < x.mean() < high
    assert interval(lambda rows: np.nan, 400) is None
    assert interval(lambda rows: 1.0, 1) is None
