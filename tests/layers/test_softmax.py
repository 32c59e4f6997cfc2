import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from textdl.encoded import BOS
from textdl.layers import softmax
from textdl.layers.softmax import Softmax


@pytest.fixture
def layer():
    layer = Softmax(12, 8)
    layer.initialise(torch.Generator().manual_seed(1), torch.arange(12))
    return layer


def plain(layer, hidden, targets, smoothing=0.0):
    """The definition: a (N, V) matrix of logits without <s>, and autograd."""
    others = torch.arange(layer.vocab_size) != BOS
    logits = F.linear(hidden, layer.weight, layer.bias)[:, others]
    places = (others.cumsum(0) - 1)[targets]
    return F.cross_entropy(logits, places, reduction="sum", label_smoothing=smoothing)


def gradients(layer, loss, hidden):
    return torch.autograd.grad(loss, [hidden, layer.weight, layer.bias])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("elements", [1, 64 * 12, 1 << 20])  # one chunk of 64 rows at least; two; all at once
def test_the_chunked_loss_is_the_cross_entropy(layer, monkeypatch, elements, smoothing):
    monkeypatch.setattr(softmax, "_TRAINING_ELEMENTS", elements)
    monkeypatch.setattr(softmax, "fast_bfloat16", lambda device: False)
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(150, 8, generator=generator, requires_grad=True)
    targets = torch.randint(2, 12, (150,), generator=generator)
    ours, reference = layer.loss(hidden, targets, smoothing), plain(layer, hidden, targets, smoothing)
    torch.testing.assert_close(ours, reference)
    torch.testing.assert_close(layer.nats, plain(layer, hidden, targets).detach())
    for a, b in zip(gradients(layer, ours / 7, hidden), gradients(layer, reference / 7, hidden), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bfloat16_is_close(layer, monkeypatch, smoothing):
    monkeypatch.setattr(softmax, "fast_bfloat16", lambda device: True)
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(150, 8, generator=generator, requires_grad=True)
    targets = torch.randint(2, 12, (150,), generator=generator)
    ours, reference = layer.loss(hidden, targets, smoothing), plain(layer, hidden, targets, smoothing)
    torch.testing.assert_close(ours, reference, rtol=3e-3, atol=0)
    for a, b in zip(gradients(layer, ours, hidden), gradients(layer, reference, hidden), strict=True):
        assert (a - b).norm() < 0.02 * b.norm()


def test_the_memory_of_a_longer_batch_leaves_no_trace(layer):
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(200, 8, generator=generator, requires_grad=True)
    targets = torch.randint(2, 12, (200,), generator=generator)
    first = gradients(layer, layer.loss(hidden[:3], targets[:3]), hidden)
    layer.loss(hidden, targets)
    again = gradients(layer, layer.loss(hidden[:3], targets[:3]), hidden)
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a, b)
    layer.release()
    assert layer._scratch.memory is None


def test_probabilities_sum_to_one_without_the_line_start(layer, monkeypatch):
    hidden = torch.randn(9, 8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        log_probabilities = layer.log_probabilities(hidden)
        assert (log_probabilities[:, BOS] == -math.inf).all()
        np.testing.assert_allclose(log_probabilities.exp().sum(1), 1, atol=1e-6)
        monkeypatch.setattr(softmax, "_SCORING_ELEMENTS", 30)  # two rows at a time
        picked = layer.pick(hidden, torch.full((9,), 5))
        np.testing.assert_allclose(picked, log_probabilities[:, 5], rtol=1e-6)
        assert layer.pick(hidden[:0], torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_biases_begin_as_the_frequencies():
    layer = Softmax(4, 3)
    layer.initialise(torch.Generator(), torch.tensor([0, 0, 1, 7]))
    # (0.5, 0.5, 1.5, 7.5) of 10
    np.testing.assert_allclose(layer.bias.exp().detach(), [0.05, 0.05, 0.15, 0.75], rtol=1e-5)
