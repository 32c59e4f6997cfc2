import math

import numpy as np
import pytest
import torch

from textdl.encoded import BOS
from textdl.errors import UsageError
from textdl.layers import adaptive_softmax, softmax
from textdl.layers.adaptive_softmax import AdaptiveSoftmax, output_layer
from textdl.layers.softmax import Softmax

V, D = 40, 32


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(softmax, "fast_bfloat16", lambda device: False)


def made(cutoffs=(10, 22)):
    layer = AdaptiveSoftmax(V, D, cutoffs)
    generator = torch.Generator().manual_seed(1)
    layer.initialise(generator, torch.arange(V).flip(0))
    return layer


def batch(n=150):
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(n, D, generator=generator, requires_grad=True)
    targets = torch.randint(2, V, (n,), generator=generator)
    return hidden, targets


def smoothed(layer, hidden, targets, e):
    """By the definition: log-probabilities from the formula in the file, and autograd. Of one target after another."""
    total = 0.0
    for h, target in zip(hidden, targets.tolist(), strict=True):
        head = (layer.weight @ h + layer.bias).index_fill(0, torch.tensor(BOS), -math.inf).log_softmax(0)
        predictable = [v for v in range(len(head)) if v != BOS]
        cluster = sum(target >= cutoff for cutoff in layer.cutoffs)
        place = target if cluster == 0 else layer.cutoffs[0] + cluster - 1
        total = total - (1 - e) * head[place] - e * head[predictable].mean()
        if cluster > 0:
            i = cluster - 1
            tail = (layer.weights[i] @ (layer.projections[i] @ h) + layer.biases[i]).log_softmax(0)
            total = total - (1 - e) * tail[target - layer.cutoffs[i]] - e * tail.mean()
    return total


@pytest.mark.parametrize("e", [0.0, 0.1])
@pytest.mark.parametrize("elements", [1, 1 << 20])
@pytest.mark.parametrize("cutoffs", [(10, 22), (3,), (39,)])
def test_the_loss_follows_the_definition(monkeypatch, cutoffs, elements, e):
    monkeypatch.setattr(softmax, "_TRAINING_ELEMENTS", elements)
    layer, (hidden, targets) = made(cutoffs), batch()
    of = [hidden, *layer.parameters()]
    ours, reference = layer.loss(hidden, targets, label_smoothing=e), smoothed(layer, hidden, targets, e)
    torch.testing.assert_close(ours, reference)
    torch.testing.assert_close(layer.nats, smoothed(layer, hidden, targets, 0.0).detach())
    for a, b in zip(torch.autograd.grad(ours / 7, of), torch.autograd.grad(reference / 7, of), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_cluster_without_tokens_has_gradients_of_zero():
    layer, (hidden, _) = made(), batch(5)
    layer.loss(hidden, torch.tensor([3, 4, 5, 3, 2])).backward()
    assert (layer.weights[1].grad == 0).all()
    assert (layer.projections[1].grad == 0).all()


def test_all_ids_together_have_probability_one(monkeypatch):
    layer, (hidden, targets) = made(), batch(20)
    with torch.inference_mode():
        log_probabilities = layer.log_probabilities(hidden)
        assert log_probabilities.shape == (20, V)
        assert (log_probabilities[:, BOS] == -math.inf).all()
        np.testing.assert_allclose(log_probabilities.exp().sum(1), 1, atol=1e-6)
        expected = log_probabilities.gather(1, targets[:, None])[:, 0]
        for elements in (1 << 20, 50):
            monkeypatch.setattr(adaptive_softmax, "_SCORING_ELEMENTS", elements)
            torch.testing.assert_close(layer.pick(hidden, targets), expected)
        assert layer.pick(hidden[:0], targets[:0]).shape == (0,)
    torch.testing.assert_close(layer.loss(hidden, targets), -expected.sum())


def test_it_begins_with_the_frequencies():
    layer = made()
    counts = torch.arange(V).flip(0) + 0.5
    log_probabilities = layer.log_probabilities(torch.zeros(1, D))[0]
    counts[BOS] = 0.0
    expected = (counts / counts.sum()).log()
    others = torch.arange(V) != BOS
    torch.testing.assert_close(log_probabilities[others], expected[others], rtol=0, atol=0.05)


def test_rows_of_the_embedding_are_the_output_weights():
    layer = made()
    ids = torch.tensor([[3, 9, 10], [21, 22, 39]])
    x = layer.embed(ids)
    assert x.shape == (2, 3, D)
    torch.testing.assert_close(x[0, 1], layer.weight[9])
    torch.testing.assert_close(x[0, 2], layer.weights[0][0] @ layer.projections[0])
    torch.testing.assert_close(x[1, 2], layer.weights[1][17] @ layer.projections[1])
    # what an id says of a hidden vector, but for biases: its row times the vector
    h = torch.randn(D, generator=torch.Generator().manual_seed(3))
    logits = layer.weights[1] @ (layer.projections[1] @ h)
    torch.testing.assert_close(x[1, 2] @ h, logits[17])
    x.sum().backward()
    assert all(p.grad is not None for p in (layer.weight, *layer.projections, *layer.weights))


def test_features_shrink():
    layer = AdaptiveSoftmax(100, 256, (10, 20, 50))
    assert [len(p) for p in layer.projections] == [64, 16, 8]
    assert [w.shape for w in layer.weights] == [(10, 64), (30, 16), (50, 8)]


@pytest.mark.parametrize("cutoffs", [(), (2,), (10, 10), (20, 10), (V,)])
def test_cutoffs_that_make_no_clusters(cutoffs):
    with pytest.raises(UsageError, match="expected rising numbers above 2 and below 40"):
        AdaptiveSoftmax(V, D, cutoffs)


def test_vectors_do_not_fit_where_rare_words_have_fewer_features():
    with pytest.raises(UsageError, match="--init-embeddings: an adaptive softmax"):
        made().begin_with(torch.zeros(V, D))


def test_no_cutoffs_no_clusters():
    assert isinstance(output_layer(V, D, []), Softmax)
    assert isinstance(output_layer(V, D, [10]), AdaptiveSoftmax)
