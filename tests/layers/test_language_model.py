import numpy as np
import pytest
import torch

from textdl import storage
from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import ModelError, UsageError
from textdl.layers import language_model
from textdl.layers.language_model import TorchLanguageModel, padded
from textdl.neural.recurrent import RecurrentNetwork, load
from textdl.protocols import LanguageModel, ScorePolicy

V = 12
LINE, STREAM = ScorePolicy("line"), ScorePolicy("stream")


def make(layers=1, hidden_size=8, tied=True, unit="line"):
    network = RecurrentNetwork(
        vocab_size=V, cell="lstm", embedding_size=8, hidden_size=hidden_size, layers=layers, tied=tied
    )
    network.initialise(torch.Generator().manual_seed(1), torch.arange(V))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 2.0  # far from uniform
    return TorchLanguageModel(network, ScorePolicy(unit=unit))


@pytest.fixture(params=["one layer", "two layers, wide", "untied"])
def model(request):
    return {
        "one layer": make, "two layers, wide": lambda: make(2, 10), "untied": lambda: make(1, 6, tied=False)
    }[request.param]()  # fmt: skip


@pytest.fixture
def text():
    rng = np.random.default_rng(1)
    lines = [rng.choice([UNK, *range(3, V)], size=n) for n in (4, 0, 1, 19, 0, 7, 1, 33)]
    return Encoded.from_lines(lines, V)


def scored(model, text, policy):
    return np.concatenate([np.empty(0, np.float32), *model.score(text, policy=policy)])


def stepped(model, text, policy):
    """The definition of score: one step after the other."""
    values = []
    log_probs, state = model.start()
    for i in range(len(text)):
        if policy.unit == "line":
            log_probs, state = model.start()
        for token in [*text.line(i).tolist(), EOS]:
            values.append(log_probs[0, token])
            log_probs, state = model.step(state, np.array([token]))
    return np.array(values)


def test_it_is_a_language_model(model):
    assert isinstance(model, LanguageModel)
    assert model.vocab_size == V


@pytest.mark.parametrize("policy", [LINE, STREAM])
def test_score_is_the_sum_of_steps(model, text, policy):
    values = scored(model, text, policy)
    assert values.dtype == np.float32
    assert len(values) == text.tokens + len(text)
    np.testing.assert_allclose(values, stepped(model, text, policy), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", [LINE, STREAM])
def test_batches_blocks_and_chunks_change_nothing(model, text, policy, monkeypatch):
    whole = scored(model, text, policy)
    for name, value in (("_STEPS", 3), ("_ROWS", 2), ("_POSITIONS", 5), ("_BLOCK", 6)):
        monkeypatch.setattr(language_model, name, value)
        parts = scored(model, text, policy)
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
        assert abs(parts.sum(dtype=np.float64) / whole.sum(dtype=np.float64) - 1) < 1e-6


def test_a_stream_carries_its_state(model, text):
    lines, stream = scored(model, text, LINE), scored(model, text, STREAM)
    np.testing.assert_allclose(lines[:5], stream[:5], rtol=1e-5)  # the first line is the same
    assert not np.allclose(lines[5:], stream[5:])


def test_line_ends_can_be_left_out(model, text):
    ends = text.offsets[1:] + np.arange(len(text))
    for unit in ("line", "stream"):
        all_of_it = scored(model, text, ScorePolicy(unit))
        np.testing.assert_array_equal(
            scored(model, text, ScorePolicy(unit, line_end=False)), np.delete(all_of_it, ends)
        )


def test_its_own_policy_is_the_default(text):
    model = make(unit="stream")
    np.testing.assert_array_equal(np.concatenate(list(model.score(text))), scored(model, text, STREAM))


def test_no_lines_no_figures(model):
    for policy in (LINE, STREAM):
        assert list(model.score(Encoded.from_lines([], V), policy=policy)) == []


def test_distributions(model):
    log_probs, state = model.start(prefixes=Encoded.from_lines([[3, 4], [], [5]], V))
    for _ in range(2):
        assert log_probs.dtype == np.float32
        np.testing.assert_allclose(np.exp(log_probs.astype(np.float64)).sum(1), 1, atol=1e-5)
        assert (log_probs[:, BOS] == -np.inf).all()
        assert np.isfinite(np.delete(log_probs, BOS, axis=1)).all()
        log_probs, state = model.step(state, np.array([3, UNK, 4]))


def test_prefixes_of_unequal_length(model):
    prefixes = [[3, 4, 5], [], [6], [7, 8, 9], [6, 4]]
    together, state = model.start(prefixes=Encoded.from_lines(prefixes, V))
    after, _ = model.step(state, np.full(5, 10))
    for i, prefix in enumerate(prefixes):
        alone, own = model.start(prefixes=Encoded.from_lines([prefix], V))
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-5)
        np.testing.assert_allclose(after[i], model.step(own, np.array([10]))[0][0], rtol=1e-5)
    log_probs, state = model.start(prefixes=Encoded.from_lines([], V))
    assert log_probs.shape == (0, V)
    assert model.step(state, np.empty(0, np.int64))[0].shape == (0, V)


def test_select_repeats_and_drops_rows(model):
    _, state = model.start(prefixes=Encoded.from_lines([[3], [4], [5]], V))
    whole, _ = model.step(state.select(np.arange(3)), np.array([6, 6, 6]))
    some, _ = model.step(state.select(np.array([2, 0, 2])), np.array([6, 6, 6]))
    np.testing.assert_allclose(some, whole[[2, 0, 2]], rtol=1e-5)


def test_what_it_cannot_do(model, text):
    with pytest.raises(UsageError, match="carries its state"):
        model.score(text, policy=ScorePolicy("line", window=5))
    with pytest.raises(UsageError, match="carries its state"):
        model.score(text, policy=ScorePolicy("stream", stride=5))
    with pytest.raises(UsageError, match="contexts"):
        model.score(text, text)
    with pytest.raises(UsageError, match="contexts"):
        model.start(text)
    with pytest.raises(UsageError, match="own vocabulary"):
        model.score(Encoded.from_lines([[3]], V + 1))


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_saved_and_loaded(unit, text, tmp_path):
    model = make(2, 10, unit=unit)
    with storage.saving(tmp_path / "model", {}) as out:
        model.save(out)
    again = load(storage.Reader(tmp_path / "model"))
    assert again.policy == model.policy
    assert again.describe() == model.describe()
    np.testing.assert_array_equal(scored(again, text, LINE), scored(model, text, LINE))
    names = storage.Reader(tmp_path / "model").tensors("weights.safetensors")
    assert sum(a.size for a in names.values()) == model.describe()["size"]


def test_damage_is_named(tmp_path):
    with storage.saving(tmp_path / "model", {}) as out:
        make().save(out)
        saved = {"network": make(hidden_size=9).network.hyperparameters(), "policy": {"unit": "line"}}
        out.json("network.json", saved)
    with pytest.raises(ModelError, match="do not make a network"):
        load(storage.Reader(tmp_path / "model"))


def test_describe_counts_tied_weights_once():
    # E 12 * 8, bias 12, projection 8 * 8, four gates of 8 * 8 + 8 * 8 + 8
    assert make().describe()["size"] == 96 + 12 + 64 + 4 * (64 + 64 + 8)


def test_padded():
    inputs, targets = padded(Encoded.from_lines([[3, 4], [], [5]], V), np.array([0, 2, 1]))
    np.testing.assert_array_equal(targets, [[3, 4, EOS], [5, EOS, -1], [EOS, -1, -1]])
    np.testing.assert_array_equal(inputs, [[EOS, 3, 4], [EOS, 5, EOS], [EOS, EOS, EOS]])


def test_some_positions_of_padded_lines_are_a_part_of_all():
    rng = np.random.default_rng(1)
    text = Encoded.from_lines([rng.integers(3, V, n) for n in (0, 9, 1, 4, 5, 10)], V)
    rows = np.array([5, 0, 2, 4, 1])
    whole = padded(text, rows)
    for first in range(11):
        for steps in (1, 4, 5, 20):
            for part, matrix in zip(padded(text, rows, first, steps), whole, strict=True):
                np.testing.assert_array_equal(part, matrix[:, first : first + steps])
