import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from textdl.encoded import BOS, EOS, UNK
from textdl.errors import UsageError
from textdl.generation.transforms import Temperature, TopK, TopP, allowed, apply, transforms

ROWS = np.log(np.array([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4]], np.float32))
RANDOM_ROWS = hnp.arrays(np.float32, (2, 6), elements=st.floats(-20, 0, width=32))


def kept(rows):
    return [np.flatnonzero(row > -np.inf).tolist() for row in rows]


def test_top_k():
    assert kept(TopK(2)(ROWS)) == [[0, 1], [2, 3]]
    assert kept(TopK(1)(ROWS)) == [[0], [3]]
    np.testing.assert_array_equal(TopK(4)(ROWS), ROWS)
    np.testing.assert_array_equal(TopK(100)(ROWS), ROWS)
    assert kept(TopK(2)(np.zeros((1, 5), np.float32)))[0].__len__() == 2  # ties do not widen it


def test_top_p():
    assert kept(TopP(0.6)(ROWS)) == [[0, 1], [2, 3]]
    assert kept(TopP(0.81)(ROWS)) == [[0, 1, 2], [1, 2, 3]]
    assert kept(TopP(1e-9)(ROWS)) == [[0], [3]]
    np.testing.assert_array_equal(TopP(1.0)(ROWS), ROWS)
    # shares are of what is left: after top-k 2 the first row holds 0.5 and 0.3, so 0.6 of 0.8 is within the first
    assert kept(TopP(0.6)(TopK(2)(ROWS)))[0] == [0]


def test_temperature():
    cold = Temperature(0.5)(ROWS)
    np.testing.assert_allclose(cold - cold.max(1, keepdims=True), 2 * (ROWS - ROWS.max(1, keepdims=True)), rtol=1e-6)
    assert kept(Temperature(0)(ROWS)) == [[0], [3]]
    assert not np.isnan(Temperature(1e-45)(ROWS)).any()
    assert kept(Temperature(0)(np.zeros((1, 3), np.float32))) == [[0]]


@settings(deadline=None)
@given(RANDOM_ROWS, st.floats(0, 5), st.integers(1, 8), st.floats(1e-6, 1))
def test_something_is_always_left_and_nothing_is_forbidden(rows, temperature, k, p):
    before = rows.copy()
    out = apply(rows, transforms(temperature, k, p))
    np.testing.assert_array_equal(rows, before)  # the caller's array is untouched
    assert out.shape == rows.shape
    assert not np.isnan(out).any()
    assert (out > -np.inf).any(axis=1).all()
    assert ((out > -np.inf).sum(axis=1) <= k).all()
    assert (out[:, [UNK, BOS]] == -np.inf).all()


def test_a_row_with_nothing_left_ends():
    rows = np.full((1, 4), -np.inf, np.float32)
    rows[0, UNK] = 0
    assert kept(allowed(rows)) == [[EOS]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transforms(temperature=-1), "temperature -1"),
        (lambda: transforms(temperature=float("nan")), "temperature nan"),
        (lambda: transforms(top_k=0), "top-k 0"),
        (lambda: transforms(top_p=0), "top-p 0"),
        (lambda: transforms(top_p=1.5), "top-p 1.5"),
    ],
)
def test_impossible_values(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_none_asked_for():
    assert transforms() == []
    assert transforms(0.5, 3, 0.9) == [Temperature(0.5), TopK(3), TopP(0.9)]
