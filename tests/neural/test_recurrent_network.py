"""The network itself; how it is trained is in test_recurrent.py."""

import numpy as np
import pytest
import torch

from textdl.errors import UsageError
from textdl.layers import softmax
from textdl.layers.device import precision
from textdl.layers.language_model import TorchLanguageModel
from textdl.layers.recurrent import CELLS, jordan
from textdl.neural.recurrent import RecurrentNetwork
from textdl.protocols import ScorePolicy
from textdl.storage import Reader, saving

V = 12
SHAPE = {"vocab_size": V, "cell": "gru", "embedding_size": 8, "hidden_size": 8, "layers": 2, "tied": True}
OPTIONS = [
    {},
    {"tied": False},
    {"ngrams": 3},
    {"hidden_size": 6},
    {"layer_norm": True},
    {"residual": True},
    {"residual": True, "layer_norm": True, "hidden_size": 6},
    {"cutoffs": [5, 8]},
    {"cutoffs": [5], "tied": False},
]


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    for module in (softmax, jordan):
        monkeypatch.setattr(module, "fast_bfloat16", lambda device: False)


def made(embeddings=None, **changes):
    network = RecurrentNetwork(**SHAPE | changes, generator=torch.Generator().manual_seed(2))
    network.initialise(torch.Generator().manual_seed(1), torch.arange(V), embeddings)
    return network


def some_ids():
    return torch.randint(3, V, (4, 6), generator=torch.Generator().manual_seed(3))


def loss(network):
    ids = some_ids()
    hidden, _ = network(ids, network.initial_state(4))
    return network.softmax.loss(hidden.flatten(0, 1), ids.flatten())


@pytest.mark.parametrize("changes", [*OPTIONS, *({"cell": cell, "layers": 1} for cell in CELLS)])
def test_gradients_reach_every_weight(changes):
    network = made(**changes)
    loss(network).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("changes", OPTIONS)
def test_built_again_from_its_hyperparameters(changes, tmp_path):
    model = TorchLanguageModel(made(**changes), ScorePolicy())
    with saving(tmp_path / "model", {}) as out:
        model.save(out)
    again = TorchLanguageModel.load(Reader(tmp_path / "model"), RecurrentNetwork)
    np.testing.assert_array_equal(again.start()[0], model.start()[0])
    assert again.describe() == model.describe()


def test_a_layer_adds_to_what_it_is_given_where_sizes_agree():
    ids = some_ids()
    plain, residual = made(), made(residual=True)
    x = plain.softmax.embed(ids) * 8**0.5
    for i in range(2):
        y, _ = plain.layers[i](x, plain.layers[i].initial_state(4))
        x = x + y
    torch.testing.assert_close(residual(ids, residual.initial_state(4))[0], x @ plain.projection.T)


def test_layers_see_mean_0_and_variance_1():
    network = made(layer_norm=True)
    seen = []
    for layer in network.layers:
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with precision("float32"):
        network(some_ids(), network.initial_state(4))
    assert len(seen) == 2
    for x in seen:
        torch.testing.assert_close(x.mean(2), torch.zeros(4, 6), rtol=0, atol=1e-5)
        torch.testing.assert_close(x.var(2, correction=0), torch.ones(4, 6), rtol=1e-2, atol=0)


@pytest.mark.parametrize("name", ["dropout", "embedding_dropout", "weight_dropout"])
def test_each_dropout_changes_training_and_nothing_else(name):
    network, again = made(), made()
    with precision("float32"):
        whole = loss(network)
        for n in (network, again):
            getattr(n, name).rate = 0.5
        dropped = loss(network)
        assert dropped != whole
        assert dropped == loss(again)  # a seeded generator
        assert loss(network) != dropped  # a fresh mask for each batch
        assert loss(network.eval()) == whole


def test_n_grams_are_looked_up_across_batches():
    network = made(ngrams=3)
    with torch.no_grad():
        for table in network.ngrams.tables:
            table.normal_(generator=torch.Generator().manual_seed(3))
    network.eval()
    ids = some_ids()
    whole, _ = network(ids, network.initial_state(4))
    first, state = network(ids[:, :2], network.initial_state(4))
    second, _ = network(ids[:, 2:], state)
    torch.testing.assert_close(torch.cat((first, second), 1), whole)


@pytest.mark.parametrize("tied", [True, False])
def test_it_can_begin_with_word_vectors(tied):
    vectors = torch.zeros(V, 8)
    vectors[5], vectors[7] = 2.0, -2.0
    network, plain = made(vectors, tied=tied), made(tied=tied)
    matrix, random = (n.softmax.weight if tied else n.embedding for n in (network, plain))
    torch.testing.assert_close(matrix[5], torch.full((8,), 8**-0.5))  # length 1
    others = [i for i in range(V) if i not in (5, 7)]
    assert torch.equal(matrix[others], random[others])


def test_vectors_that_do_not_fit():
    with pytest.raises(UsageError, match="--embedding-size 5"):
        made(torch.ones(V, 5))
    with pytest.raises(UsageError, match="adaptive softmax"):
        made(torch.ones(V, 8), cutoffs=[5])
    made(torch.ones(V, 8), cutoffs=[5], tied=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell": "peephole"}, "--cell peephole: there is no such cell. Choose one of: lstm, gru, elman"),
        ({"bidirectional": True}, "cannot be a left-to-right language model: .* already read that word"),
        ({"cell": "jordan"}, "--cell jordan: .* --layers above 1"),
        ({"cell": "jordan", "layers": 1, "cutoffs": [5]}, "--cell jordan"),
        ({"cell": "jordan", "layers": 1, "layer_norm": True}, "--cell jordan"),
    ],
)
def test_what_cannot_be(changes, message):
    with pytest.raises(UsageError, match=message):
        made(**changes)
