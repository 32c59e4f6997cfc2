"""An exponential moving average of the weights (Polyak and Juditsky 1992): smoother than the last of them.

    a_t = d_t a_{t-1} + (1 - d_t) w_t        d_t = min(d, (1 + t) / (10 + t))

d_t rises, so that the random weights of the start are soon forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows the parameters of a network."""

    def __init__(self, network: nn.Module, decay: float):
        """decay: d, below 1."""
        self._parameters = dict(network.named_parameters())
        self._decay = decay
        self.weights = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step t, counted from 1."""
        share = 1.0 - min(self._decay, (1.0 + step) / (10.0 + step))
        torch._foreach_lerp_(list(self.weights.values()), list(self._parameters.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the network has the average as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            own = parameter.clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(own)

    def restore(self, weights: dict[str, Tensor]) -> None:
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)
