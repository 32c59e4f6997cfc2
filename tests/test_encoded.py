from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from textdl.encoded import EOS, Encoded, EncodedWriter
from textdl.errors import ModelError

LINES = st.lists(st.lists(st.integers(3, 9), max_size=6), max_size=8)


@given(lines=LINES)
def test_lines_come_back(lines: list[list[int]]) -> None:
    encoded = Encoded.from_lines(lines, 10)
    assert [encoded.line(i).tolist() for i in range(len(encoded))] == lines
    assert encoded.tokens == sum(map(len, lines))
    assert encoded.stream().tolist() == [i for line in lines for i in [*line, EOS]]
    assert encoded.counts().sum() == encoded.tokens + len(encoded)


@given(lines=LINES, start=st.integers(0, 8), length=st.integers(0, 8))
def test_a_part_is_like_a_slice(lines: list[list[int]], start: int, length: int) -> None:
    start = min(start, len(lines))
    part = Encoded.from_lines(lines, 10).lines(start, start + length)
    assert [part.line(i).tolist() for i in range(len(part))] == lines[start : start + length]
    assert part.offsets[0] == 0


def test_select_may_repeat_and_drop() -> None:
    encoded = Encoded.from_lines([[3], [4, 5], []], 6)
    assert encoded.select([1, 1, 2]).ids.tolist() == [4, 5, 4, 5]
    assert len(encoded.select([])) == 0


@given(blocks=st.lists(npst.arrays(np.int32, st.integers(0, 5), elements=st.integers(3, 9)), max_size=4))
@settings(deadline=None)
def test_a_written_corpus_opens_as_memory_maps(
    blocks: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("encoded")
    with EncodedWriter(directory, 10) as out:
        for block in blocks:
            out.append(block, np.array([len(block)]))
    opened = Encoded.open(directory, 10)
    assert isinstance(opened.ids, np.memmap) or opened.tokens == 0
    assert [opened.line(i).tolist() for i in range(len(opened))] == [block.tolist() for block in blocks]
    opened.save(directory / "again")
    assert np.array_equal(Encoded.open(directory / "again", 10).offsets, opened.offsets)


def test_files_that_are_missing_or_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no readable encoded corpus"):
        Encoded.open(tmp_path, 5)
    Encoded.from_lines([[3, 4], [3]], 5).save(tmp_path)
    (tmp_path / "ids.npy").write_bytes((tmp_path / "ids.npy").read_bytes()[:-4])
    with pytest.raises(ModelError, match="Encode it again"):
        Encoded.open(tmp_path, 5)
