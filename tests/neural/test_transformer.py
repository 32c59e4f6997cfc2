import numpy as np
import pytest
import torch

from textdl.encoded import EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.layers import language_model, window_cache
from textdl.layers.language_model import TorchLanguageModel
from textdl.layers.positions import POSITIONS
from textdl.neural import transformer
from textdl.neural.transformer import TransformerNetwork
from textdl.protocols import ScorePolicy

V = 12
W = 8


def network(seed=1, **changes):
    shape = {"vocab_size": V, "embedding_size": 8, "heads": 2, "layers": 2, "window": W, "ngrams": 2}
    made = TransformerNetwork(**shape | changes)
    generator = torch.Generator().manual_seed(seed)
    made.initialise(generator, torch.arange(V))
    with torch.no_grad():  # what begins at zero too, far from uniform
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)
    return made


def make(unit="line", window=None, stride=None, **changes):
    return TorchLanguageModel(network(**changes), ScorePolicy(unit, window, stride))


@pytest.fixture
def text():
    rng = np.random.default_rng(1)
    return Encoded.from_lines([rng.choice([UNK, *range(3, V)], size=n) for n in (4, 0, 1, 19, 0, 7, 8, 9, 1, 40)], V)


def scored(model, text, policy=None):
    return np.concatenate(list(model.score(text, policy=policy)))


def stepped(model, text):
    """The definition of score: one step after the other."""
    values = []
    log_probs, state = model.start()
    for i in range(len(text)):
        if model.policy.unit == "line":
            log_probs, state = model.start()
        for token in [*text.line(i).tolist(), EOS]:
            values.append(log_probs[0, token])
            log_probs, state = model.step(state, np.array([token]))
    return np.array(values)


@pytest.mark.parametrize("unit", ["line", "stream"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(("window", "stride"), [(None, None), (8, 1), (8, 7), (8, 8), (5, 2), (1, 1)])
def test_score_is_the_sum_of_steps(text, unit, positions, window, stride):
    model = make(unit, window, stride, positions=positions)
    np.testing.assert_allclose(scored(model, text), stepped(model, text), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_batches_blocks_and_pieces_change_nothing(text, unit, monkeypatch):
    model = make(unit, stride=3)
    whole = scored(model, text)
    for module, name, value in ((language_model, "_ROWS", 2), (language_model, "_POSITIONS", 5),
                                (language_model, "_BLOCK", 6)):  # fmt: skip
        monkeypatch.setattr(module, name, value)
        parts = scored(model, text)
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
        assert abs(parts.sum(dtype=np.float64) / whole.sum(dtype=np.float64) - 1) < 1e-6


def test_a_token_sees_its_window_and_no_more(text):
    model = make("stream", stride=2)
    whole = scored(model, text)
    stream = text.stream()
    at = len(stream) - 1
    for changed in range(at - W - 1, at):
        ids = text.ids.copy()
        place = np.flatnonzero(np.delete(np.arange(len(stream)), text.offsets[1:] + np.arange(len(text))) == changed)[0]
        ids[place] = 3 if ids[place] != 3 else 4
        other = scored(model, Encoded(ids, text.offsets, V))
        np.testing.assert_allclose(other[:changed], whole[:changed], rtol=1e-5, atol=1e-6)
        begin = max(0, (at - W) // 2 + 1) * 2  # of its window, in tokens; the input of token t is token t - 1
        assert (other[at] != whole[at]) == (changed >= begin - 1)


def test_prefixes_of_any_length_side_by_side(monkeypatch):
    rng = np.random.default_rng(2)
    prefixes = [rng.integers(3, V, n).tolist() for n in (3, 0, 30, 7, 8, 9, 1, 15)]
    following = rng.integers(3, V, (8, 20))
    for positions in (window_cache._POSITIONS, 5):
        monkeypatch.setattr(window_cache, "_POSITIONS", positions)
        model = make(stride=3)
        together, state = model.start(prefixes=Encoded.from_lines(prefixes, V))
        alone = [model.start(prefixes=Encoded.from_lines([prefix], V)) for prefix in prefixes]
        for last in following.T:  # past the window of each row, at different times
            for row, (log_probs, own) in enumerate(alone):
                np.testing.assert_allclose(together[row], log_probs[0], rtol=2e-5, atol=2e-5)
                alone[row] = model.step(own, last[row : row + 1])
            together, state = model.step(state, last)


def test_rows_can_be_chosen_at_any_time():
    model = make(stride=4)
    rng = np.random.default_rng(3)
    lines = [rng.integers(3, V, n).tolist() for n in (2, 11)]
    _, state = model.start(prefixes=Encoded.from_lines(lines, V))
    for _ in range(25):
        rows = rng.integers(0, len(lines), 3)
        last = rng.integers(3, V, 3)
        lines = [[*lines[row], int(token)] for row, token in zip(rows, last, strict=True)]
        log_probs, state = model.step(state.select(rows), last)
        expected, _ = model.start(prefixes=Encoded.from_lines(lines, V))
        np.testing.assert_allclose(log_probs, expected, rtol=2e-5, atol=2e-5)


def test_no_rows():
    model = make()
    log_probs, state = model.start(prefixes=Encoded.from_lines([], V))
    assert log_probs.shape == (0, V)
    assert model.step(state, np.empty(0, np.int64))[0].shape == (0, V)


def test_a_step_writes_where_the_step_before_did():
    model = make(window=8)
    _, state = model.start()
    places = {tensor.data_ptr() for tensor in state.tensors[1:]}
    for token in (3, 4, 5):
        _, state = model.step(state, np.array([token]))
        assert {tensor.data_ptr() for tensor in state.tensors[1:]} == places


def test_room_grows_up_to_the_window():
    model = TorchLanguageModel(network(window=70), ScorePolicy())
    _, state = model.start()
    rooms = []
    for _ in range(80):
        rooms.append(state.tensors[1].shape[1])
        _, state = model.step(state, np.array([3]))
    assert sorted(set(rooms)) == [32, 64, 70]


def test_what_a_policy_leaves_open_is_filled_in():
    assert make().policy == ScorePolicy("line", 8, 4)
    assert make("stream", window=5).policy == ScorePolicy("stream", 5, 2)
    assert TorchLanguageModel(network(window=1), ScorePolicy()).policy == ScorePolicy("line", 1, 1)


def test_another_window_can_be_asked_for(text):
    model = make()
    near = scored(model, text, ScorePolicy("line", window=3, stride=1))
    np.testing.assert_allclose(near, scored(make(window=3, stride=1), text), rtol=1e-6)
    assert not np.allclose(near, scored(model, text))


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (ScorePolicy(window=9), "sees at most 8 tokens at once: choose a window from 1 to 8"),
        (ScorePolicy(stride=9), "cannot score 9 new ones: choose a stride from 1 to 8"),
    ],
)
def test_policies_that_cannot_be_followed(text, policy, message):
    with pytest.raises(UsageError, match=message):
        make().score(text, policy=policy)
    with pytest.raises(UsageError, match=message):
        TorchLanguageModel(network(), policy)


def test_training_sees_what_scoring_sees(monkeypatch):
    """In bfloat16, nearly; in float32, exactly. Nothing is kept for a next batch."""
    made = network()
    ids = torch.randint(3, V, (4, W), generator=torch.Generator().manual_seed(1))
    exact, state = made.eval()(ids, made.initial_state(4))
    assert state == ()
    for fast in (False, True):
        monkeypatch.setattr(transformer, "fast_bfloat16", lambda device, fast=fast: fast)
        hidden, state = made.train()(ids, made.initial_state(4))
        assert state == ()
        assert hidden.dtype == torch.float32
        error = (hidden - exact).norm() / exact.norm()
        assert 1e-4 < error < 0.05 if fast else error < 1e-5


def test_gradients_reach_every_weight():
    made = network(positions="learned", ngrams=3).train()
    ids = torch.randint(3, V, (4, W), generator=torch.Generator().manual_seed(1))
    hidden, _ = made(ids, ())
    made.softmax.loss(hidden.flatten(0, 1), ids.flatten()).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.abs().sum() > 0, name


def test_an_adaptive_softmax(text):
    model = make(cutoffs=[5, 8])
    np.testing.assert_allclose(scored(model, text), stepped(model, text), rtol=2e-5, atol=2e-5)
    made = model.network.train()
    ids = torch.randint(3, V, (4, W), generator=torch.Generator().manual_seed(1))
    hidden, _ = made(ids, ())
    made.softmax.loss(hidden.flatten(0, 1), ids.flatten()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


def test_word_vectors_to_begin_with():
    vectors = torch.zeros(V, 8)
    vectors[5, 0] = 2.0
    made = TransformerNetwork(vocab_size=V, embedding_size=8, heads=2, layers=1, window=W)
    made.initialise(torch.Generator().manual_seed(1), torch.arange(V), vectors)
    assert made.softmax.embed(torch.tensor([5]))[0].tolist() == [1.0] + [0.0] * 7


def test_a_new_network_is_its_embeddings():
    made = TransformerNetwork(vocab_size=V, embedding_size=8, heads=2, layers=2, window=W)
    made.initialise(torch.Generator().manual_seed(1), torch.arange(V))
    model = TorchLanguageModel(made, ScorePolicy())
    ids = torch.tensor([[3, 4, 5]])
    hidden, _ = made(ids, ())
    # no layer has said anything yet: the hidden vector is the normed embedding, turned
    embedded = made.softmax.weight[ids] * 8**0.5
    turned = torch.nn.functional.layer_norm(embedded, (8,)) @ made.turn.T
    torch.testing.assert_close(hidden, turned)
    assert model.describe()["size"] == 12 * 8 + 12 + 8 * 8 + 2 * (4 * 64 + 2 + 2 * 8 * 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": "relative"}, "--positions relative: .*rotary, learned"),
        ({"activation": "tanh"}, "--activation tanh: .*relu2, gelu"),
        ({"window": 0}, "--window 0"),
        ({"ngrams": 0}, "--ngrams 0"),
        ({"heads": 3}, "3 heads cannot share 8 features"),
    ],
)
def test_wrong_options_are_named(changes, message):
    with pytest.raises(UsageError, match=message):
        network(**changes)


def test_a_new_network_does_not_predict_what_it_was_fed():
    """Input and output share a matrix, and R keeps a row from being nearest to itself."""
    made = TransformerNetwork(vocab_size=50, embedding_size=64, heads=2, layers=1, window=8)
    made.initialise(torch.Generator().manual_seed(1))
    ids = torch.arange(3, 50)[:, None]
    hidden, _ = made.eval()(ids, made.initial_state(len(ids)))
    repeated = made.softmax.log_probabilities(hidden[:, 0]).exp()[torch.arange(len(ids)), ids[:, 0]]
    assert repeated.mean() < 0.05
