"""What packing reads: columns, blocks, what pruning leaves, and the weights of contexts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import Encoded
from textdl.ngram import levels as levels_module
from textdl.ngram import reference
from textdl.ngram.levels import SCANNED, Column, FilePart, slices

from .plain import equal, levels_of, unfold


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 300), max_size=5), max_size=6), st.data())
def test_columns(tmp_path_factory, parts, data):
    """Parts of several types, some in files, are read as one row of numbers."""
    everything = [number for part in parts for number in part]
    path = tmp_path_factory.mktemp("columns") / "parts"
    column = Column()
    with path.open("wb") as file:
        for i, part in enumerate(parts):
            array = np.array(part, [np.int64, np.uint16][i % 2])
            if data.draw(st.booleans()):
                column.append(FilePart(path, file.tell(), array.dtype, len(array)))
                file.write(array.tobytes())
            else:
                column.append(array)
    assert len(column) == len(everything)
    stop = data.draw(st.integers(0, len(everything)))
    start = data.draw(st.integers(0, stop))
    read = column.read(start, stop, np.int32)
    assert read.dtype == np.int32
    assert read.tolist() == everything[start:stop]


def test_slices():
    assert list(slices(np.array([3, 1, 1, 9, 1], np.int32), 4)) == [(0, 2), (2, 4), (4, 5)]
    assert list(slices(np.array([9, 9], np.int32), 4)) == [(0, 1), (1, 2)]
    assert list(slices(np.array([], np.int32), 4)) == []


@pytest.mark.parametrize("prune", [(0, 0, 0), (0, 1, 2)])
def test_blocks_may_be_of_any_size(monkeypatch, prune):
    lines = Encoded.from_lines(np.random.default_rng(3).integers(3, 8, (20, 15)), 8)
    levels = levels_of(lines, 3, thresholds=prune)
    expected = unfold(levels)
    monkeypatch.setattr(levels_module, "_CHUNK", 7)
    assert len(list(levels.blocks(2))) > 1
    assert unfold(levels) == expected
    assert equal(levels, levels)


def test_marked():
    """`x` followed by 17 different words, `y` by 16: only x is marked. What is pruned marks its context."""
    x, y = 3, 4
    lines = Encoded.from_lines([[x, 5 + i] for i in range(SCANNED + 1)] + [[y, 5 + i] for i in range(SCANNED)], 30)
    marked = {gram for gram, node in unfold(levels_of(lines, 2)).items() if node.stored}
    assert marked == {(x,)}
    pruned = unfold(levels_of(lines, 2, thresholds=(0, 1)))
    # <s> x and <s> y are kept; 5 </s> .. 20 </s> occur twice, 21 </s> once; of all that follows x and y nothing is
    assert {gram for gram, node in pruned.items() if node.stored} == {(x,), (y,), (5 + SCANNED,)}
    assert pruned[x,].children == pruned[y,].children == 0
    assert pruned[x,].stored == (SCANNED + 1, 1.0)


def test_statistics():
    """`a b`, `a`, an empty line: 5 bigrams, each of them once; none is left after pruning but <unk> .. b are."""
    levels = levels_of(Encoded.from_lines([[3, 4], [3], []], 5), 2, "absolute", thresholds=(0, 1))
    # words: a 2, b 1, </s> 3; bigrams: <s> a 2, <s> </s>, a b, a </s>, b </s>
    assert levels.sizes == [5, 1]
    assert levels.statistics == [
        {"ngrams": 5, "n1": 1, "n2": 1, "n3": 1, "n4": 0, "pruned": 0},
        {"ngrams": 1, "n1": 4, "n2": 1, "n3": 0, "n4": 0, "pruned": 4},
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from([0, 3, 4, 5]), max_size=7), min_size=1, max_size=12),
    st.integers(2, 5),
    st.sampled_from(["kneser-ney", "absolute", "witten-bell"]),
    st.sampled_from([(), (0, 0, 1), (0, 1, 2), (0, 3)]),
)
def test_pruned_as_the_reference(lines, order, name, prune):
    """The same n-grams are left, with the same T and G where they are stored."""
    thresholds = (*prune, *(prune[-1:] or (0,)) * order)[:order]
    expected = reference.estimate(lines, order, 6, thresholds, name)
    nodes = unfold(levels_of(Encoded.from_lines(lines, 6), order, name, thresholds))
    assert {gram for gram in nodes if len(gram) > 1} == expected.kept
    for gram, node in nodes.items():
        assert node.count == expected.count.get(gram, 0)
        lost = [g for g in expected.count if len(g) > 1 and g[:-1] == gram and g not in expected.kept]
        assert (node.stored is not None) == bool(lost)  # there are not 17 different words
        if node.stored:
            assert node.stored == pytest.approx((expected.denominator[gram], expected.gamma[gram]), rel=1e-12)
