from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textdl.word2vec.formats import parse_line
from textdl.word2vec.formats_kernels import parse


def parsed(line: bytes, dim: int):
    """What the kernel makes of a line: None where it leaves it."""
    rows, word_ends = np.zeros((1, dim), np.float32), np.zeros(1, np.int64)
    parse(np.frombuffer(line, np.uint8), np.array([0]), np.array([len(line)]), rows, word_ends)
    return None if word_ends[0] < 0 else (line[: word_ends[0]], rows[0])


numbers = st.one_of(
    st.floats(width=32).map(lambda x: f"{x:.9g}"),
    st.floats().map(repr),
    st.from_regex(r"[-+]?[0-9]{0,25}\.?[0-9]{0,25}([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.text(st.sampled_from("0123456789.eE+-_ naif"), max_size=8),
)


@given(st.lists(numbers, min_size=1, max_size=4), st.sampled_from([b"", b" ", b"\r", b" \r"]))
@example(["16777217", "3.4028235e38", "3.4028236e38", "1e-45", "7e-46"], b"")
@example(["-0", "+.5", "5.", "."], b"")
@example(["1" * 40, "0." + "0" * 30 + "1", "1e88", "1e89", "1e-88"], b" ")
@example(["1_0", "1"], b"")
@example(["1  2", "3"], b"")
def test_the_kernel_agrees_with_python_or_leaves_the_line(texts, end):
    line = b"w\xff " + " ".join(texts).encode() + end
    found, expected = parsed(line, len(texts)), parse_line(line, len(texts))
    if found is not None:
        assert expected is not None
        assert found[0] == expected[0] == b"w\xff"
        assert found[1].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("line", [b"the 1 -2.5 3e-2", b"\xe4\xb8\xad\t1\t2\t3 ", b"a -0.123456 1.25e+10 0\r"])
def test_plain_lines_are_taken(line):
    assert parsed(line, 3) is not None


@pytest.mark.parametrize("line", [b"New York 1 2 3", b" 1 2 3", b"a 1 2", b"a 1 2 3 4", b"a 1 nan 3", b"a 1 2 ", b""])
def test_others_are_left(line):
    assert parsed(line, 3) is None
