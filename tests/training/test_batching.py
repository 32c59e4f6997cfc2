import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.encoded import EOS, UNK, Encoded
from textdl.protocols import Run
from textdl.training.batching import TextCut, TrainingBatches, line_batches, replace_rare, sample, stream_batches

V = 9
texts = st.lists(st.lists(st.integers(3, V - 1), max_size=12), min_size=1, max_size=20).map(
    lambda lines: Encoded.from_lines(lines, V)
)


def pairs_of(batches):
    """Every (input, target) that is predicted, sorted."""
    found = []
    for batch in batches:
        valid = batch.targets >= 0
        found += list(zip(batch.inputs[valid].tolist(), batch.targets[valid].tolist(), strict=True))
    return sorted(found)


def expected_pairs(text):
    return sorted(
        pair for i in range(len(text))
        for pair in zip([EOS, *text.line(i).tolist()], [*text.line(i).tolist(), EOS], strict=True)
    )  # fmt: skip


@given(texts, st.integers(1, 8), st.integers(1, 7), st.sampled_from([None, 1, 2]))
def test_every_token_of_a_stream_is_predicted_once_from_the_one_before(text, rows, steps, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    batches = list(stream_batches(text, rows, steps, rng))
    assert pairs_of(batches) == expected_pairs(text)
    assert [b.fresh for b in batches] == [True] + [False] * (len(batches) - 1)
    assert all(b.inputs.shape == b.targets.shape and b.inputs.shape[1] <= steps for b in batches)


@given(texts, st.integers(1, 40), st.integers(1, 7), st.sampled_from([None, 1, 2]))
def test_every_token_of_a_line_is_predicted_once_from_the_one_before(text, tokens, steps, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    batches = list(line_batches(text, tokens, steps, rng))
    assert pairs_of(batches) == expected_pairs(text)
    for batch in batches:
        assert batch.inputs.shape[1] <= steps
        assert batch.tokens >= 1
        assert len(batch.inputs) == 1 or batch.inputs.size <= tokens


def test_rows_of_a_stream_go_on_in_the_next_batch():
    text = Encoded.from_lines([[3, 4, 5], [6, 7, 8, 3]], V)  # 3 4 5 </s> 6 7 8 3 </s>
    first, second, third = stream_batches(text, rows=2, steps=2)
    np.testing.assert_array_equal(first.targets, [[3, 4], [7, 8]])
    np.testing.assert_array_equal(first.inputs, [[EOS, 3], [6, 7]])
    np.testing.assert_array_equal(second.targets, [[5, EOS], [3, EOS]])
    np.testing.assert_array_equal(third.targets, [[6], [-1]])
    assert first.fresh
    assert not second.fresh


def test_a_long_line_is_read_in_parts():
    text = Encoded.from_lines([[3, 4, 5, 6, 7]], V)
    batches = list(line_batches(text, tokens=100, steps=4))
    np.testing.assert_array_equal(batches[0].targets, [[3, 4, 5, 6]])
    np.testing.assert_array_equal(batches[1].targets, [[7, EOS]])
    np.testing.assert_array_equal(batches[1].inputs, [[6, 7]])
    assert [b.fresh for b in batches] == [True, False]


def test_epochs_differ_and_seeds_repeat():
    text = Encoded.from_lines([[i % 6 + 3] * (i % 5) for i in range(40)], V)
    for context in ("line", "stream"):
        cut = TextCut(context, 5, 4, text)
        run = Run(seed=3)
        a, b = TrainingBatches(text, cut, 0.0, run), TrainingBatches(text, cut, 0.0, run)
        once = [x.targets.tolist() for x in a(0)]
        assert once == [x.targets.tolist() for x in b(0)]
        assert once != [x.targets.tolist() for x in a(1)]


def test_rare_words_become_unknown_at_the_rate():
    ids = np.arange(3, 1003)
    text = Encoded.from_lines([[*ids, 1003, 1003]], 1004)
    rare = text.counts() == 1
    rare[:3] = False
    seen = replace_rare(text, rare, 0.3, np.random.default_rng(1))
    assert 250 < (seen.ids == UNK).sum() < 350
    assert seen.ids[-1] == 1003
    assert (text.ids != UNK).all()  # the corpus itself is left alone


@pytest.mark.parametrize(
    ("lines", "rate", "note"),
    [
        ([[UNK] * 30, [3, 3]], 0.25, "the 30 tokens of it"),
        ([[3, 4, 4]], 0.25, "25% of the 1 words seen once"),
        ([[3, 4, 4]], 0.0, "a guess"),
        ([[3, 3, 4, 4]], 0.25, "a guess"),
    ],
)
def test_what_was_decided_about_unknown_words_is_said(lines, rate, note):
    run = Run()
    text = Encoded.from_lines(lines, V)
    TrainingBatches(text, TextCut("line", 5, 4, text), rate, run)
    assert note in run.notes[0]


def test_a_sample_comes_from_all_over_the_text():
    text = Encoded.from_lines([[3, 4, 5]] * 500 + [[6]] * 1000, V)  # 2000 + 2000 predictions
    part = sample(text, 400)
    assert 300 <= part.tokens + len(part) <= 400
    counts = part.counts()
    assert counts[6] * 2 == pytest.approx(counts[3] * 4, rel=0.2)  # as much from either half
    assert sample(text, 4000) is text


@given(texts, st.integers(1, 60))
def test_a_sample_is_never_empty_and_seldom_too_long(text, tokens):
    part = sample(text, tokens)
    assert 1 <= part.tokens + len(part) <= tokens + 2 * len(part)
