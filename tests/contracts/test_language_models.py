"""What protocols.py promises of every language model. A family that passes can be evaluated and sampled from."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.evaluation.score import EncodedText, score
from textdl.generation.beam import beam_search
from textdl.generation.sampling import collect, sample
from textdl.protocols import LanguageModel, ScorePolicy
from textdl.storage import Reader, saving

from .conftest import VOCAB_SIZE, text

LINES = st.lists(st.lists(st.sampled_from([UNK, *range(3, VOCAB_SIZE)]), max_size=12), min_size=1, max_size=8)
PROPERTY = settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def encoded(lines):
    return Encoded.from_lines(lines, VOCAB_SIZE)


def awkward():
    """Blank lines, <unk>, an id that training never saw, one long line."""
    rng = np.random.default_rng(7)
    long = rng.integers(3, VOCAB_SIZE, 150).tolist()
    return encoded([[3, 4, 5], [], [UNK], [VOCAB_SIZE - 1] * 3, long, [], [5, UNK, 4], [6] * 30])


def scores(model, lines, **given):
    arrays = list(model.score(lines, **given))
    assert all(a.dtype == np.float32 and a.ndim == 1 for a in arrays)
    return np.concatenate([np.empty(0, np.float32), *arrays])


def line_totals(model, lines):
    """(lines,) float64."""
    bounds = lines.offsets[:-1] + np.arange(len(lines))
    return np.add.reduceat(scores(model, lines).astype(np.float64), bounds)


def stepped(model, lines):
    """What `score` gives, by start and step alone, every row looked at on the way."""
    out = []
    log_probs, state = model.start()
    for i in range(len(lines)):
        if model.policy.unit == "line":
            log_probs, state = model.start()
        for token in [*lines.line(i).tolist(), EOS]:
            check_rows(log_probs, 1)
            out.append(log_probs[0, token])
            if token != EOS or (model.policy.unit == "stream" and i + 1 < len(lines)):
                log_probs, state = model.step(state, np.array([token]))
    return np.array(out, np.float32)


def check_rows(log_probs, rows):
    assert log_probs.dtype == np.float32
    assert log_probs.shape == (rows, VOCAB_SIZE)
    assert (log_probs[:, BOS] == -np.inf).all()
    np.testing.assert_allclose(np.exp(log_probs.astype(np.float64)).sum(1), 1, atol=1e-5)
    assert np.isfinite(np.delete(log_probs, BOS, axis=1)).all()


def test_it_is_a_language_model(model):
    assert isinstance(model, LanguageModel)
    assert model.vocab_size == VOCAB_SIZE
    assert isinstance(model.policy, ScorePolicy)
    assert model.describe()["size"] > 0


def test_each_token_and_line_end_is_predicted_once(model):
    lines = awkward()
    got = scores(model, lines)
    assert got.shape == (lines.tokens + len(lines),)
    assert np.isfinite(got).all()
    assert (got <= 1e-6).all()


def test_score_is_the_sum_of_steps(model):
    lines = awkward()
    np.testing.assert_allclose(scores(model, lines), stepped(model, lines), rtol=2e-5, atol=2e-5)
    assert scores(model, lines).sum(dtype=np.float64) == pytest.approx(
        stepped(model, lines).sum(dtype=np.float64), rel=2e-6
    )


@PROPERTY
@given(lines=LINES)
def test_score_is_the_sum_of_steps_on_any_lines(model, lines):
    np.testing.assert_allclose(scores(model, encoded(lines)), stepped(model, encoded(lines)), rtol=2e-5, atol=2e-5)


@PROPERTY
@given(lines=LINES, random=st.randoms(use_true_random=False))
def test_lines_do_not_see_each_other(model, lines, random):
    if model.policy.unit != "line":
        return
    together = line_totals(model, encoded(lines))
    order = list(range(len(lines)))
    random.shuffle(order)
    np.testing.assert_allclose(line_totals(model, encoded([lines[i] for i in order])), together[order], rtol=1e-5)
    assert line_totals(model, encoded([lines[i] for i in order])).sum() == pytest.approx(together.sum(), rel=1e-6)
    alone = [line_totals(model, encoded([line]))[0] for line in lines]
    assert sum(alone) == pytest.approx(together.sum(), rel=1e-6)


def test_many_lines_cost_what_they_cost_alone(model):
    """Enough lines for several batches."""
    lines = text(700, 5)
    if model.policy.unit == "stream":
        np.testing.assert_allclose(scores(model, lines)[:500], scores(model, lines.lines(0, 200))[:500], rtol=1e-4)
        return
    shuffled = np.random.default_rng(0).permutation(len(lines))
    together = line_totals(model, lines)
    assert line_totals(model, lines.select(shuffled)).sum() == pytest.approx(together.sum(), rel=1e-6)
    some = [0, 13, 699]
    np.testing.assert_allclose([line_totals(model, lines.select([i]))[0] for i in some], together[some], rtol=1e-5)


@PROPERTY
@given(lines=LINES, data=st.data())
def test_what_comes_later_changes_nothing(model, lines, data):
    before = encoded(lines)
    if not before.tokens:
        return
    at = data.draw(st.integers(0, before.tokens - 1), label="token that is changed")
    row = int(np.searchsorted(before.offsets, at, "right")) - 1
    ids = before.ids.copy()
    ids[at] = 3 if ids[at] != 3 else 4
    after = Encoded(ids, before.offsets, VOCAB_SIZE)
    unchanged = at + row  # so many tokens and line ends come first
    np.testing.assert_allclose(
        scores(model, after)[:unchanged], scores(model, before)[:unchanged], rtol=2e-5, atol=2e-5
    )


def test_line_end_false_leaves_out_exactly_the_line_ends(model):
    lines = awkward()
    policy = ScorePolicy(model.policy.unit, model.policy.window, model.policy.stride, line_end=False)
    ends = lines.offsets[1:] + np.arange(len(lines))
    np.testing.assert_allclose(
        scores(model, lines, policy=policy), np.delete(scores(model, lines), ends), rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_a_policy_is_followed_or_refused(model, unit):
    lines = awkward()
    try:
        got = scores(model, lines, policy=ScorePolicy(unit))
    except UsageError:
        assert unit != model.policy.unit
    else:
        assert len(got) == lines.tokens + len(lines)


def test_scoring_twice_gives_the_same(model):
    np.testing.assert_array_equal(scores(model, awkward()), scores(model, awkward()))


def test_blank_lines_and_no_lines(model):
    assert scores(model, encoded([])).shape == (0,)
    blank = scores(model, encoded([[], [], []]))
    assert blank.shape == (3,)
    assert blank[0] == pytest.approx(model.start()[0][0, EOS], rel=1e-5)
    if model.policy.unit == "line":
        np.testing.assert_allclose(blank, blank[0], rtol=1e-5)


def test_start_has_a_row_a_prefix(model):
    check_rows(model.start()[0], 1)
    prefixes = encoded([[3, 4], [], [UNK, 5, 6, 7], [3] * 40])
    log_probs, state = model.start(prefixes=prefixes)
    check_rows(log_probs, 4)
    log_probs, state = model.step(state, np.array([3, 4, 5, 6]))
    check_rows(log_probs, 4)


def test_a_prefix_is_so_many_steps(model):
    prefixes = encoded([[3, 4], [], [UNK, 5, 6, 7], [3] * 40])
    together, state = model.start(prefixes=prefixes)
    after, _ = model.step(state, np.array([5, 6, 7, 8]))
    for i in range(len(prefixes)):
        log_probs, state = model.start()
        for token in prefixes.line(i):
            log_probs, state = model.step(state, np.array([token]))
        np.testing.assert_allclose(together[i], log_probs[0], rtol=2e-5, atol=2e-5)
        log_probs, state = model.step(state, np.array([5 + i]))
        np.testing.assert_allclose(after[i], log_probs[0], rtol=2e-5, atol=2e-5)


def test_select_repeats_and_drops_rows(model):
    prefixes = encoded([[3, 4], [5], [6, 7, 8]])
    _, state = model.start(prefixes=prefixes)
    rows = np.array([2, 0, 2, 2])
    got, state = model.step(state.select(rows), np.array([4, 5, 6, 4]))
    expected, _ = model.start(prefixes=encoded([[6, 7, 8, 4], [3, 4, 5], [6, 7, 8, 6], [6, 7, 8, 4]]))
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
    got, _ = model.step(state.select(np.array([1])), np.array([3]))
    expected, _ = model.start(prefixes=encoded([[3, 4, 5, 3]]))
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_a_branch_is_not_disturbed_by_the_other(model):
    _, state = model.start(prefixes=encoded([[3, 4]]))
    branch = state.select(np.array([0]))
    expected, _ = model.start(prefixes=encoded([[3, 4, 5]]))
    _, other_state = model.step(state, np.array([6]))
    model.step(other_state, np.array([7]))
    got, _ = model.step(branch, np.array([5]))
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_arrays_belong_to_the_caller(model):
    first, state = model.start()
    kept = first.copy()
    first[:] = 0
    again, state = model.start()
    np.testing.assert_array_equal(again, kept)
    stepped_once, state = model.step(state, np.array([3]))
    kept = stepped_once.copy()
    stepped_once[:] = 0
    np.testing.assert_array_equal(model.step(model.start()[1], np.array([3]))[0], kept)


def test_saved_and_loaded(subject, tmp_path):
    with saving(tmp_path / "model", {}) as out:
        subject.model.save(out)
    loaded = subject.load(Reader(tmp_path / "model"))
    assert loaded.vocab_size == VOCAB_SIZE
    assert loaded.policy == subject.model.policy
    assert loaded.describe()["size"] == subject.model.describe()["size"]
    np.testing.assert_array_equal(scores(loaded, awkward()), scores(subject.model, awkward()))
    np.testing.assert_array_equal(loaded.start()[0], subject.model.start()[0])


def test_memory_maps_and_views_are_lines_too(model, tmp_path):
    lines = awkward()
    lines.save(tmp_path)
    np.testing.assert_array_equal(scores(model, Encoded.open(tmp_path, VOCAB_SIZE)), scores(model, lines))
    view = lines.lines(2, 5)
    copied = lines.select([2, 3, 4])
    np.testing.assert_array_equal(scores(model, view), scores(model, copied))


def test_evaluation_takes_it(model):
    lines = awkward()
    unknown = int((lines.ids == UNK).sum())
    whole = EncodedText(
        lines=lines,
        units=np.arange(len(lines)),
        characters=np.diff(lines.offsets) + 1,
        spelling=np.bincount(
            np.repeat(np.arange(len(lines)), np.diff(lines.offsets)), lines.ids == UNK, len(lines)
        ).astype(float),
        costs=np.ones(unknown, np.float32),
        unknown=unknown,
        lossy_lines=0,
        lossy_example=None,
        tokenizer="ids",
        token_key="ids",
        unique=True,
    )
    totals = score(model, whole)
    assert totals.open == pytest.approx(totals.closed + unknown, rel=1e-9)
    assert totals.closed == pytest.approx(-scores(model, lines).sum(dtype=np.float64), rel=1e-9)


def test_generation_takes_it(model):
    rows = collect(sample(model, n=4, max_tokens=12, seed=3), 4)
    assert rows == collect(sample(model, n=4, max_tokens=12, seed=3), 4)
    assert all(3 <= token < VOCAB_SIZE for row in rows for token in row)
    (best, *_) = beam_search(model, width=4, max_tokens=6)[0]
    assert best.log_prob == pytest.approx(
        float(scores(model, encoded([best.ids]))[: len(best.ids) + best.finished].sum(dtype=np.float64)), rel=1e-4
    )
