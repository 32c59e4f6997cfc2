"""What training and inference need from a language model written in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from textdl.layers.output import OutputLayer

States = tuple[Tensor, ...]


class Network(nn.Module, ABC):
    """Ids to hidden vectors, and the softmax that they are for.

    A state is a tuple of tensors, each with the rows of the batch as its first dimension.
    """

    softmax: OutputLayer
    window: int | None = None
    """Tokens seen at once, at most; None: the state stands for all that came before."""

    @property
    def vocab_size(self) -> int:
        size: int = self.softmax.vocab_size
        return size

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.softmax.parameters()).device
        return device

    @abstractmethod
    def initial_state(self, rows: int) -> States:
        """The state before anything was read."""

    @abstractmethod
    def forward(self, ids: Tensor, state: States) -> tuple[Tensor, States]:
        """ids (B, T) int64 to hidden vectors (B, T, D) for `softmax`, and the state after the last id."""

    @abstractmethod
    def hyperparameters(self) -> dict[str, Any]:
        """What it takes to build the network again, as JSON."""


class WindowedNetwork(Network):
    """A network that looks back at its inputs themselves, not at a summary of them.

    Its initial state is (): the ids of `forward` are then a window from its beginning, and nothing is kept of
    them. With a state from `cache`, they come after those that it holds.
    """

    window: int

    def initial_state(self, rows: int) -> States:
        """See above."""
        return ()

    @abstractmethod
    def cache(self, rows: int, room: int = 0) -> States:
        """An empty state that will be continued, with room for so many positions at first; written in place.

        Its tensors: (rows,) int64, how many positions each row has seen; (rows, room) int64, the ids there; and
        (rows, ..., room, features), what the network keeps of them. The first may be set to fewer positions: the
        last ones are then forgotten.
        """
