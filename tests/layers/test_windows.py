import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.encoded import EOS, Encoded
from textdl.layers import windows
from textdl.layers.windows import pieces, window_of

V = 50


def blocks(text, lines):
    for first in range(0, len(text), lines):
        yield text.lines(first, first + lines)


def listed(text, unit, window, stride, lines=3):
    """(target, inputs that it is predicted from, oldest first), in order, by `pieces`."""
    found = []
    for piece in pieces(blocks(text, lines), unit, window, stride):
        out = [None] * len(piece.targets)
        for row in range(len(piece.starts)):
            inputs, targets, places = piece.rows(np.array([row]))
            for t in np.flatnonzero(targets[0] >= 0):
                assert out[places[0, t]] is None, "scored twice"
                out[places[0, t]] = (int(targets[0, t]), inputs[0, : t + 1].tolist())
        assert None not in out
        found += out
    return found


def defined(text, unit, window, stride):
    """The same from the definition: windows of W tokens, S on each time, each scoring what is new."""
    stream = [int(i) for i in text.stream()]
    texts = [[*text.line(i).tolist(), EOS] for i in range(len(text))] if unit == "line" else [stream]
    found = []
    for targets in texts:
        inputs = [EOS, *targets[:-1]]
        done = start = 0
        while done < len(targets):
            end = min(start + window, len(targets))
            found += [(targets[i], inputs[start : i + 1]) for i in range(done, end)]
            done, start = end, start + stride
    return found


def test_the_drawing_in_the_docstring():
    text = Encoded.from_lines([[10, 11, 12, 13, 14, 15, 16, 17]], V)  # nine tokens with the line end
    contexts = [len(inputs) for _, inputs in listed(text, "line", 4, 2)]
    assert contexts == [1, 2, 3, 4, 3, 4, 3, 4, 3]


@given(
    lines=st.lists(st.integers(0, 20), min_size=1, max_size=8), window=st.integers(1, 9), data=st.data(),
    unit=st.sampled_from(["line", "stream"]), at_once=st.integers(1, 4), piece=st.integers(1, 30),
)  # fmt: skip
def test_every_token_is_scored_once_from_its_window(lines, window, data, unit, at_once, piece):
    stride = data.draw(st.integers(1, window), label="stride")
    ids = iter(np.arange(10_000) % (V - 3) + 3)
    text = Encoded.from_lines([[next(ids) for _ in range(n)] for n in lines], V)
    before = windows._PIECE
    windows._PIECE = piece
    try:
        assert listed(text, unit, window, stride, at_once) == defined(text, unit, window, stride)
    finally:
        windows._PIECE = before


def test_rows_of_several_windows_are_padded_behind():
    text = Encoded.from_lines([[10, 11, 12], [20]], V)
    (piece,) = pieces(iter([text]), "line", 8, 4)
    inputs, targets, places = piece.rows(np.array([0, 1]))
    np.testing.assert_array_equal(targets, [[10, 11, 12, EOS], [20, EOS, -1, -1]])
    np.testing.assert_array_equal(inputs[0], [EOS, 10, 11, 12])
    np.testing.assert_array_equal(inputs[1, :2], [EOS, 20])
    np.testing.assert_array_equal(places[targets >= 0], np.arange(6))


@pytest.mark.parametrize(("position", "window"), [(0, 0), (3, 0), (4, 1), (5, 1), (6, 2)])
def test_the_window_of_a_token(position, window):
    assert window_of(np.array([position]), 4, 2)[0] == window
