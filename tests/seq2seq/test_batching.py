import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.small import V, copies
from textdl.encoded import EOS, UNK, Encoded
from textdl.protocols import Run
from textdl.seq2seq.batching import PairBatches, PairData, pair_batches

LINES = st.lists(
    st.tuples(st.lists(st.integers(3, V - 1), max_size=9), st.lists(st.integers(3, V - 1), max_size=9)), max_size=40
)


@given(pairs=LINES, positions=st.integers(1, 60), by=st.sampled_from(["source", "target"]), seed=st.integers(0, 3))
def test_every_pair_once_and_no_batch_too_large(pairs, positions, by, seed):
    source, target = (Encoded.from_lines([p[side] for p in pairs], V) for side in (0, 1))
    found = []
    for batch in pair_batches(source, target, positions, by, np.random.default_rng(seed)):
        assert len(batch.sources) == 1 or batch.sources.size + batch.inputs.size <= positions
        for ids, length, inputs, targets in zip(batch.sources, batch.lengths, batch.inputs, batch.targets, strict=True):
            line = ids[:length].tolist()
            wanted = targets[targets >= 0].tolist()
            assert line[-1] == wanted[-1] == EOS
            assert inputs[: len(wanted)].tolist() == [EOS, *wanted[:-1]]
            found.append((line[:-1], wanted[:-1]))
    assert sorted(found) == sorted((a, b) for a, b in pairs)


@pytest.mark.parametrize("by", ["source", "target"])
def test_there_is_little_padding(by):
    rng = np.random.default_rng(1)
    lengths = rng.integers(5, 30, 3000)
    sides = [np.maximum(1, lengths + rng.integers(-3, 4, 3000)) for _ in range(2)]
    source, target = (Encoded.from_lines([[3] * n for n in side], V) for side in sides)
    positions = tokens = 0
    for batch in pair_batches(source, target, 2000, by, rng):
        positions += batch.sources.size + batch.inputs.size
        tokens += int(batch.lengths.sum()) + batch.tokens
    assert tokens / positions > 0.93


def test_epochs_are_shuffled_and_repeat():
    batches = PairBatches(copies(), 100, "target", 0.0, Run(seed=3))
    first = [batch.sources.tolist() for batch in batches(0)]
    assert first == [batch.sources.tolist() for batch in batches(0)]
    assert first != [batch.sources.tolist() for batch in batches(1)]


def test_rare_words_of_both_sides_are_read_as_unknown():
    lines = [[3, 4]] * 50 + [[5, 6]]
    text = Encoded.from_lines(lines, V)
    batches = PairBatches(PairData(text, text, True), 1000, "target", 0.99, Run())
    (batch,) = batches(0)
    assert (batch.sources == UNK).sum() == 2
    assert (batch.targets == UNK).sum() == 2
