"""Optimisers by name, each with the rate and the weight decay that suit it.

    sgd         v = 0.9 v + g;  w -= rate * v                           (Polyak 1964; Nesterov's form)
    adagrad     w -= rate * g / sqrt(sum of g^2)                        (Duchi et al. 2011)
    rmsprop     w -= rate * g / sqrt(running mean of g^2)               (Hinton, lecture 6e, 2012)
    adamw       rmsprop with a running mean of g too, and decay apart   (Loshchilov and Hutter 2019)
    muon        w -= rate * (running mean of g, made orthogonal), see muon.py: matrices inside the network; adamw for
                the others                                              (Jordan et al. 2024)

Weight decay takes rate * decay of a matrix away in each step, never of a bias; it is apart from the gradient in
adamw and muon, and part of it (L2) in the others. It is 0.1 in those two and 0 in the others, and 0.01 in all of them where
pairs are trained on, unless something else is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from textdl.training.muon import Muon

Group = dict[str, Any]
_LOOKED_UP = frozenset(("embedding", "source_embedding", "ngrams", "positions", "softmax"))
"""Parts of a network whose matrices are a row for each type or position, of which a batch uses few."""


@dataclass(frozen=True)
class Optimiser:
    """How to make one, and its defaults."""

    build: Callable[[nn.Module, float], Sequence[torch.optim.Optimizer]]
    """From a network and a weight decay."""
    rate: float
    """The learning rate that suits it, as a multiple of AdamW's."""
    weight_decay: float


def _groups(network: nn.Module, weight_decay: float) -> list[Group]:
    """Matrices, which decay, and the rest, which does not."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _adamw(network: nn.Module, weight_decay: float) -> Sequence[torch.optim.Optimizer]:
    """The fused kernel is 15 times as fast as the default on a processor: the embedding is one large tensor."""
    return [torch.optim.AdamW(_groups(network, weight_decay), betas=(0.9, 0.999), fused=True)]


def _sgd(network: nn.Module, weight_decay: float) -> Sequence[torch.optim.Optimizer]:
    return [torch.optim.SGD(_groups(network, weight_decay), lr=0.0, momentum=0.9, nesterov=True)]


def _adagrad(network: nn.Module, weight_decay: float) -> Sequence[torch.optim.Optimizer]:
    return [torch.optim.Adagrad(_groups(network, weight_decay))]


def _rmsprop(network: nn.Module, weight_decay: float) -> Sequence[torch.optim.Optimizer]:
    return [torch.optim.RMSprop(_groups(network, weight_decay), alpha=0.99)]


def _muon(network: nn.Module, weight_decay: float) -> Sequence[torch.optim.Optimizer]:
    """A row that is looked up has a gradient of its own, so what is looked up stays with AdamW."""
    inner = [p for name, p in network.named_parameters() if p.ndim > 1 and name.split(".")[0] not in _LOOKED_UP]
    taken = {id(p) for p in inner}
    others = [
        group | {"params": [p for p in group["params"] if id(p) not in taken]}
        for group in _groups(network, weight_decay)
    ]
    adamw = torch.optim.AdamW([group for group in others if group["params"]], betas=(0.9, 0.999), fused=True)
    return [adamw, Muon(inner, weight_decay)] if inner else [adamw]


OPTIMISERS = {
    "adamw": Optimiser(_adamw, 1.0, 0.1),
    "sgd": Optimiser(_sgd, 250.0, 0.0),
    "adagrad": Optimiser(_adagrad, 10.0, 0.0),
    "rmsprop": Optimiser(_rmsprop, 0.5, 0.0),
    "muon": Optimiser(_muon, 1.0, 0.1),
}
"""What `--optimiser` takes."""
