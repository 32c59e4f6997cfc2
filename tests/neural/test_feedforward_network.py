"""The network itself; how it is trained is in test_feedforward.py."""

import numpy as np
import pytest
import torch

from textdl.encoded import EOS
from textdl.errors import UsageError
from textdl.layers import softmax
from textdl.layers.language_model import TorchLanguageModel
from textdl.neural.feedforward import FeedForwardNetwork
from textdl.protocols import ScorePolicy

V = 12
SHAPE = {"vocab_size": V, "order": 4, "embedding_size": 8, "hidden_size": 6, "tied": True}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(softmax, "fast_bfloat16", lambda device: False)


def made(embeddings=None, **changes):
    network = FeedForwardNetwork(**SHAPE | changes)
    generator = torch.Generator().manual_seed(1)
    network.initialise(generator, torch.arange(V), embeddings)
    if network.direct is not None:  # begins at 0
        with torch.no_grad():
            network.direct.normal_(generator=generator)
    return network


def by_equation(network, line):
    """Hidden vectors after each id of a line, one after the other, as it stands in the file."""
    matrix = network.softmax.weight if network.embedding is None else network.embedding
    read = [EOS] * (network.order - 2) + line
    hidden = []
    for t in range(len(line)):
        x = torch.cat([matrix[i] * 8**0.5 for i in read[t : t + network.order - 1]])
        y = torch.tanh(network.hidden @ x + network.bias)
        y = y if network.projection is None else network.projection @ y
        hidden.append(y if network.direct is None else y + network.direct @ x)
    return torch.stack(hidden)


@pytest.mark.parametrize("order", [2, 3, 4, 7])
@pytest.mark.parametrize("changes", [{}, {"direct": True}, {"tied": False}, {"tied": False, "direct": True}])
def test_all_steps_at_once_follow_the_equation(order, changes):
    network = made(order=order, **changes)
    lines = [[EOS, 3, 4, 5, 6, 7], [EOS, 9, 3, 3, 11, 8]]
    got, (state,) = network(torch.tensor(lines), network.initial_state(2))
    for row, line in zip(got, lines, strict=True):
        torch.testing.assert_close(row, by_equation(network, line))
    assert state.shape == (2, order - 2)
    assert state.tolist() == [line[len(line) - order + 2 :] for line in lines]


def test_only_the_last_words_are_seen():
    model = TorchLanguageModel(made(order=3), ScorePolicy())
    _, state = model.start()
    for token in (4, 5, 6):
        _, state = model.step(state, np.array([token]))
    after, _ = model.step(state, np.array([7]))
    _, state = model.start()
    _, state = model.step(state, np.array([6]))
    again, _ = model.step(state, np.array([7]))
    np.testing.assert_allclose(after, again, rtol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"direct": True}, {"tied": False}, {"cutoffs": [5, 8]}])
def test_gradients_reach_every_weight(changes):
    network = made(**changes)
    ids = torch.randint(3, V, (4, 6), generator=torch.Generator().manual_seed(3))
    hidden, _ = network(ids, network.initial_state(4))
    network.softmax.loss(hidden.flatten(0, 1), ids.flatten()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_it_can_begin_with_word_vectors():
    vectors = torch.zeros(V, 8)
    vectors[5] = 2.0
    torch.testing.assert_close(made(vectors).softmax.weight[5], torch.full((8,), 8**-0.5))
    torch.testing.assert_close(made(vectors, tied=False).embedding[5], torch.full((8,), 8**-0.5))


def test_a_context_of_no_words():
    with pytest.raises(UsageError, match=r"--order 1: .* 2 is the least"):
        made(order=1)
