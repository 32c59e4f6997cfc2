import numpy as np
import pytest
import torch

from seq2seq.small import V, copies, network
from textdl.encoded import EOS, Encoded
from textdl.errors import UsageError
from textdl.generation.beam import beam_search
from textdl.layers.attention import MultiHeadAttention
from textdl.seq2seq.model import Seq2SeqModel
from textdl.seq2seq.network import Sharing
from textdl.seq2seq.transformer import TransformerSeq2Seq

KINDS = {
    "transformer": {},
    "rotary": {"positions": "rotary"},
    "learned": {"positions": "learned", "activation": "gelu"},
    "post": {"norm": "post", "decoder_layers": 1},
    "multiplicative": {"arch": "rnn"},
    "additive": {"arch": "rnn", "attention": "additive", "cell": "gru"},
    "none": {"arch": "rnn", "attention": "none", "cell": "elman", "layers": 1},
}


@pytest.fixture(params=KINDS)
def net(request):
    return network(**dict(KINDS[request.param]))


def forced(net, sources, targets):
    lengths = torch.tensor([len(s) + 1 for s in sources])
    ids = torch.full((len(sources), int(lengths.max())), EOS)
    steps = torch.tensor([len(t) + 1 for t in targets])
    inputs = torch.full((len(targets), int(steps.max())), EOS)
    for i, (s, t) in enumerate(zip(sources, targets, strict=True)):
        ids[i, : len(s)] = torch.tensor(s)
        inputs[i, 1 : len(t) + 1] = torch.tensor(t)
    with torch.no_grad():
        return net.force(ids, lengths, inputs, steps)


def test_step_by_step_is_the_whole_target(net):
    sources, targets = [[3, 4, 5, 6], [7], [8, 9]], [[5, 3], [4, 4, 9, 10, 3], []]
    whole = forced(net, sources, targets)
    model = Seq2SeqModel(net)
    log_probs, state = model.start(Encoded.from_lines(sources, V))
    for t in range(6):
        expected = net.softmax.log_probabilities(whole[:, t]).detach()
        for i, target in enumerate(targets):
            if t <= len(target):
                np.testing.assert_allclose(log_probs[i], expected[i], rtol=1e-4, atol=2e-5)
        log_probs, state = model.step(state, np.array([target[t] if t < len(target) else 3 for target in targets]))


def test_padding_changes_nothing(net):
    sources, targets = [[3, 4], [5, 6, 7, 8, 9, 10, 11]], [[5], [4, 4, 4, 4, 4, 4]]
    together = forced(net, sources, targets)
    for i in range(2):
        alone = forced(net, sources[i : i + 1], targets[i : i + 1])[0]
        torch.testing.assert_close(together[i, : len(alone)], alone, rtol=1e-4, atol=1e-5)


def test_what_comes_later_changes_nothing_and_the_source_does(net):
    before = forced(net, [[3, 4, 5]], [[6, 7, 8, 9]])
    after = forced(net, [[3, 4, 5]], [[6, 7, 8, 3]])
    torch.testing.assert_close(before[:, :4], after[:, :4], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before[:, 0], forced(net, [[3, 4, 6]], [[6, 7, 8, 9]])[:, 0], atol=1e-3)


def test_rows_of_one_source_share_its_memory(net):
    model = Seq2SeqModel(net)
    sources = Encoded.from_lines([[3, 4], [5, 6, 7], [8]], V)
    _, state = model.start(sources)
    rows = np.array([1, 1, 2, 0, 1])
    shared, state = model.step(state.select(rows), np.array([3, 4, 5, 6, 7]))
    _, alone = model.start(sources.select(rows))
    expected, _ = model.step(alone, np.array([3, 4, 5, 6, 7]))
    np.testing.assert_allclose(shared, expected, rtol=1e-4, atol=2e-5)
    again = np.array([3, 0, 2, 2, 4])  # the same sources, and other rows of them
    found, _ = model.step(state.select(again), np.array([4, 3, 7, 6, 5]))
    _, anew = model.step(model.start(sources.select(rows[again]))[1], np.array([3, 4, 5, 6, 7])[again])
    expected, _ = model.step(anew, np.array([4, 3, 7, 6, 5]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


def test_dropped_sources_are_forgotten(net):
    _, state = Seq2SeqModel(net).start(Encoded.from_lines([[3] * 9, [4], [5], [6, 7]], V))
    kept = state.select(np.array([3, 1]))
    assert len(kept.memory[0]) == 2
    assert kept.memory[0].tolist() == [2, 3]  # in order of the sources, with their </s>


def test_beam_search_with_shrinking_batches_is_that_of_each_line_alone(net):
    model = Seq2SeqModel(net)
    sources = Encoded.from_lines([[3, 4, 5], [6], [], [7, 8, 9, 10, 11, 3]], V)
    limits = np.array([4, 9, 2, 6])
    together = beam_search(model, width=3, max_tokens=limits, n_best=2, length_penalty=0.8, contexts=sources)
    for i in range(4):
        (alone,) = beam_search(
            model, width=3, max_tokens=int(limits[i]), n_best=2, length_penalty=0.8, contexts=sources.lines(i, i + 1)
        )
        assert [h.ids for h in together[i]] == [h.ids for h in alone]
        np.testing.assert_allclose([h.score for h in together[i]], [h.score for h in alone], rtol=1e-4)


def test_attention_can_be_looked_at(net):
    weights = Seq2SeqModel(net).look(np.array([3, 4, 5]), np.array([6, 7]))
    if getattr(net, "attention", "") == "none":
        assert weights is None
        return
    assert weights.shape == (3, 4)  # </s> on both sides
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-4)


def test_prefixes_of_unlike_lengths_stay_with_their_sources(net):
    model = Seq2SeqModel(net)
    sources, prefixes = [[3, 4], [5, 6, 7], [8], [9]], [[5, 6, 7], [], [4, 3], [10]]
    together, state = model.start(Encoded.from_lines(sources, V), Encoded.from_lines(prefixes, V))
    after, _ = model.step(state, np.array([3, 4, 5, 6]))
    for i, (source, prefix) in enumerate(zip(sources, prefixes, strict=True)):
        alone, state = model.start(Encoded.from_lines([source], V), Encoded.from_lines([prefix], V))
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(after[i], model.step(state, np.array([3 + i]))[0][0], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_what_is_looked_at_is_what_is_taken_in(norm, monkeypatch):
    """With one head, cross-attention of a layer gives W_o sum_s a_ts v_s, for the weights a that are shown of that layer."""
    source, ids = torch.tensor([3, 4, 5, EOS]), torch.tensor([EOS, 6, 7])
    taken = []
    packed = MultiHeadAttention.packed

    def watched(self, *args, memory=None, **kwargs):
        result = packed(self, *args, memory=memory, **kwargs)
        if memory is not None:
            taken.append(result[:3])
        return result

    monkeypatch.setattr(MultiHeadAttention, "packed", watched)
    shown = set()
    for seed in range(1, 7):
        net = network(seed=seed, heads=1, norm=norm)
        with torch.no_grad():
            weights = net.look(source, ids)
            taken.clear()
            net.force(source[None], torch.tensor([4]), ids[None], torch.tensor([3]))
            memory = net.read(source[None], torch.tensor([4]))
            explained = [
                torch.allclose(taken[i], weights @ memory[2 * i + 2][0, 0] @ layer.cross.output.T, atol=1e-4)
                for i, layer in enumerate(net.decoder_layers)
            ]
        assert sum(explained) == 1
        shown.add(explained.index(True))
    assert shown == {0, 1}


def test_additive_attention_by_its_equations():
    """e_ts = v tanh(W h_t + U m_s), in numpy."""
    net = network("rnn", attention="additive", layers=1)
    with torch.no_grad():
        memory = net.read(torch.tensor([[3, 4, 5, EOS]]), torch.tensor([4]))
        y, _ = net._cells(torch.tensor([[EOS, 6]]), net.begin(memory))
        found = net._weights(y, memory)[0].numpy()
    h, m = y[0].numpy(), memory[-1][0].numpy()
    v, w, u = (p.detach().numpy() for p in (net.score, net.query, net.key))
    scores = np.array([[v @ np.tanh(w @ a + u @ b) for b in m] for a in h])
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_without_attention_the_length_of_a_source_changes_nothing_in_its_memory():
    net = network("rnn", attention="none")
    short, long = (net.read(torch.full((1, n), 3), torch.tensor([n])) for n in (2, 9))
    assert [part.shape for part in short] == [part.shape for part in long]


def test_sharing_puts_rows_of_a_source_side_by_side():
    sharing = Sharing(torch.tensor([2, 0, 2, 2]), 3)
    assert sharing.width == 3
    x = torch.arange(1.0, 5.0)[:, None, None]
    together = sharing.together(x)
    assert together[..., 0].tolist() == [[2, 0, 0], [0, 0, 0], [1, 3, 4]]
    assert torch.equal(sharing.apart(together), x)
    full = Sharing(torch.tensor([0, 0, 1, 1]), 2)
    assert torch.equal(full.apart(full.together(x)), x)


def test_the_quick_model_says_nearly_the_same():
    model = Seq2SeqModel(network())
    sources = Encoded.from_lines([[3, 4, 5], [6, 7]], V)
    exact, quick = (m.start(sources)[0] for m in (model, model.quick()))
    np.testing.assert_allclose(quick[:, 2:], exact[:, 2:], atol=0.2)
    assert model.quick() is model.quick()
    rnn = Seq2SeqModel(network("rnn"))
    assert rnn.quick() is rnn


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"contexts": None}, "says nothing without a source"),
        ({"contexts": Encoded.from_lines([[3]], 99)}, "source vocabulary has 12"),
        ({"contexts": Encoded.from_lines([[3], [4]], V), "prefixes": Encoded.from_lines([[3]], V)}, "one for each"),
    ],
)
def test_what_it_refuses(given, words):
    with pytest.raises(UsageError, match=words):
        Seq2SeqModel(network()).start(**given)


def test_scores_need_as_many_sources():
    with pytest.raises(UsageError, match="one for each"):
        Seq2SeqModel(network()).score(Encoded.from_lines([[3]], V), Encoded.from_lines([[3], [4]], V))


@pytest.mark.parametrize("options", [{"positions": "x"}, {"norm": "both"}, {"activation": "x"}])
def test_unknown_names(options):
    with pytest.raises(UsageError, match="--"):
        network(**options)


@pytest.mark.parametrize("options", [{"cell": "jordan"}, {"attention": "much"}])
def test_unknown_names_of_the_recurrent_one(options):
    with pytest.raises(UsageError, match="--"):
        network("rnn", **options)


@pytest.mark.parametrize("turned", [True, False])
def test_a_new_network_does_not_predict_what_it_was_fed(turned):
    """Source, target and output share a matrix, and R alone keeps a row from being nearest to itself."""
    net = TransformerSeq2Seq(source_vocab_size=50, vocab_size=50, joint=True, size=64, heads=2, layers=1)
    net.initialise(torch.Generator().manual_seed(1))
    if not turned:
        with torch.no_grad():
            net.turn.copy_(torch.eye(64))
    model, ids = Seq2SeqModel(net.eval()), np.arange(3, 50)
    _, state = model.start(Encoded.from_lines([[3]] * len(ids), 50))
    log_probs, _ = model.step(state, ids)
    repeated = np.exp(log_probs[np.arange(len(ids)), ids]).mean()
    assert repeated < 0.05 if turned else repeated > 0.3


@pytest.mark.parametrize(("positions", "told_apart"), [("sinusoidal", True), ("learned", False)])
def test_positions_far_out(positions, told_apart):
    """There are 1,024 learned vectors; waves go on."""
    net = network(positions=positions)
    (x, _), _ = net._embedded(torch.zeros(2, 16), torch.tensor([1030, 1040]))
    assert torch.equal(x[0], x[1]) is not told_apart


def test_copies_are_pairs():
    source, target = copies(reverse=True).epoch(0)
    assert source.line(3).tolist() == target.line(3).tolist()[::-1]
