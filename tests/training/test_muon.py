"""Muon: its orthogonal matrices beside singular value decompositions, its step beside the equations, what it is given."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from textdl.layers.device import precision
from textdl.neural.transformer import TransformerNetwork
from textdl.seq2seq.recurrent import RecurrentSeq2Seq
from textdl.seq2seq.transformer import TransformerSeq2Seq
from textdl.training.muon import Muon, orthogonal
from textdl.training.optimisers import OPTIMISERS


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 8, 8), (3, 8, 32), (2, 1, 5)])
def test_orthogonal_keeps_the_singular_vectors(shape):
    matrices = random(*shape)
    for matrix, made in zip(matrices, orthogonal(matrices), strict=True):
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        turned = u.mT @ made @ vh.mT  # diagonal where both have the same singular vectors
        values = turned.diagonal()
        np.testing.assert_allclose(turned - torch.diag(values), 0.0, atol=1e-4)
        large = values[s / s.norm() > 0.01]
        assert ((large > 0.67) & (large < 1.15)).all()


def test_orthogonal_of_many_is_that_of_each():
    matrices = random(5, 6, 10) * torch.tensor([1e-3, 1.0, 1e3, 1.0, 1.0])[:, None, None]
    np.testing.assert_allclose(orthogonal(matrices)[1:2], orthogonal(matrices[1:2]), atol=1e-5)
    np.testing.assert_allclose(orthogonal(matrices * 100.0), orthogonal(matrices), atol=1e-4)


def test_nothing_to_learn_changes_nothing():
    parameter = nn.Parameter(random(2, 3, 4))
    before = parameter.detach().clone()
    parameter.grad = torch.zeros_like(parameter)
    other = nn.Parameter(random(3, 4))
    muon = Muon([parameter, other], 0.0)  # the other has no gradient at all
    muon.param_groups[0]["lr"] = 0.1
    muon.step()
    assert torch.equal(parameter, before)
    assert torch.equal(other, random(3, 4))


def by_equations(weights, gradients, rate, decay):
    """W (m, n) after a step for each gradient, as muon.py says it."""
    momentum = torch.zeros_like(weights)
    for gradient in gradients:
        momentum = 0.95 * momentum + 0.05 * gradient
        ahead = 0.95 * momentum + 0.05 * gradient
        tall = weights.shape[0] > weights.shape[1]
        made = orthogonal((ahead.T if tall else ahead)[None])[0]
        weights = weights * (1 - rate * decay) - rate * 0.2 * math.sqrt(max(weights.shape)) * (made.T if tall else made)
    return weights


def test_a_step_is_that_of_the_equations():
    shapes = [(4, 4), (3, 4, 4), (8, 4), (4, 8), (2, 3, 8, 4)]
    parameters = [nn.Parameter(random(*shape, seed=i)) for i, shape in enumerate(shapes)]
    gradients = [[random(*shape, seed=10 * step + i) for i, shape in enumerate(shapes)] for step in (1, 2, 3)]
    expected = [
        torch.stack([
            by_equations(w, g, 0.01, 0.1)
            for w, *g in zip(*(x.reshape(-1, *x.shape[-2:]) for x in (p.detach(), *of_steps)), strict=True)
        ]).reshape(p.shape)
        for p, *of_steps in zip(parameters, *gradients, strict=True)
    ]  # fmt: skip
    muon = Muon(parameters, 0.1)
    with precision("float32"):
        for of_step in gradients:
            for parameter, gradient in zip(parameters, of_step, strict=True):
                parameter.grad = gradient
            muon.param_groups[0]["lr"] = 0.01
            muon.step()
    for parameter, weights in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.detach(), weights, atol=1e-5)


def test_an_entry_moves_about_as_far_as_by_adamw():
    parameter = nn.Parameter(torch.zeros(64, 256))
    parameter.grad = random(64, 256)
    muon = Muon([parameter], 0.0)
    muon.param_groups[0]["lr"] = 1.0
    muon.step()
    assert parameter.detach().square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)  # AdamW: 0.2 to 0.4


@pytest.mark.parametrize(
    ("network", "taken", "left"),
    [
        (
            TransformerNetwork(vocab_size=9, embedding_size=8, heads=2, layers=1, window=4, ngrams=2, positions="learned"),
            {"layers.0.attention.weight", "layers.0.attention.output", "layers.0.feed_forward.inner",
             "layers.0.feed_forward.output", "turn"},
            {"softmax.weight", "positions.weight", "ngrams.tables.0"},
        ),
        (
            TransformerSeq2Seq(source_vocab_size=9, vocab_size=7, joint=False, size=8, heads=2, layers=1),
            {"decoder_layers.0.cross.weight", "decoder_layers.0.attention.weight", "layers.0.feed_forward.inner"},
            {"softmax.weight", "source_embedding"},
        ),
        (
            RecurrentSeq2Seq(source_vocab_size=9, vocab_size=7, joint=False, size=8, layers=1),
            {"combine", "key", "bridge.0"},
            {"softmax.weight", "source_embedding"},
        ),
    ],
)  # fmt: skip
def test_matrices_go_to_muon_and_what_is_looked_up_to_adamw(network, taken, left):
    adamw, muon = OPTIMISERS["muon"].build(network, 0.1)
    names = {id(p): name for name, p in network.named_parameters()}
    given = [[names[id(p)] for group in optimiser.param_groups for p in group["params"]] for optimiser in (muon, adamw)]
    assert taken <= set(given[0])
    assert left <= set(given[1])
    assert sorted(given[0] + given[1]) == sorted(names.values())
