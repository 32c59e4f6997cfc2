import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from textdl.generation.beam_kernels import FIRST, best, by_sorting, ending


@given(
    rows=st.lists(st.integers(0, 4), min_size=1, max_size=5), vocab_size=st.integers(4, 150), width=st.integers(1, 6), data=st.data()
)  # fmt: skip
def test_the_best_are_those_of_a_sort(rows, vocab_size, width, data):
    bounds = np.concatenate(([0], np.cumsum(rows)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    log_probs = rng.choice([-np.inf, -4.0, -3.0, -2.5, -1.0], (bounds[-1], vocab_size)).astype(np.float32)
    totals = rng.choice([-1.0, -0.5, 0.0], bounds[-1])
    shape = len(rows), width
    found_rows, tokens, values = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)
    counts = np.zeros(len(rows), np.int64)
    best(log_probs, FIRST, totals, bounds, width, found_rows, tokens, values, counts)
    found = [list(zip(found_rows[i, :n].tolist(), tokens[i, :n].tolist(), strict=True)) for i, n in enumerate(counts)]
    assert found == by_sorting(log_probs, totals, bounds, width)


def test_ends_compete_with_each_other_and_with_what_goes_on():
    """Two lines; the first has ends -1, -4 and goes on at -2, -3; the second can end once, and does not go on."""
    ends, bounds = np.array([-1.0, -4.0, -np.inf, -9.0]), np.array([0, 2, 4])
    values, counts = np.array([[-2.0, -3.0], [0.0, 0.0]]), np.array([2, 0])
    found = np.zeros(4, np.bool_)
    for among, expected in ((0, [1, 1, 0, 1]), (3, [1, 0, 0, 1]), (4, [1, 1, 0, 1]), (1, [1, 0, 0, 1])):
        ending(ends, bounds, values, counts, among, found)
        assert found.tolist() == expected
