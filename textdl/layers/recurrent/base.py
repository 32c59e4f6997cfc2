"""What the recurrent cells have in common: weights by gate, on top of each other, and a state carried along."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from textdl.layers.dropout import WeightDropout

States = tuple[Tensor, ...]


class RecurrentLayer(nn.Module, ABC):
    """One layer: a sequence in, a sequence of the same length out, and a state carried along.

    With G gates: `input` W (G size, input_size), `recurrent` U (G size, what is fed back) and `bias` b (G size).
    """

    tensors = 1
    """How many (B, features) tensors its state has."""
    gates = 1

    def __init__(
        self, input_size: int, size: int, dropout: WeightDropout | None = None, *, fed_back: int | None = None
    ):
        """
        Args:
            dropout: of the recurrent matrix; may be shared by layers.
            fed_back: features that come back at the next step; None: the `size` of the output.
        """
        super().__init__()
        self.size = size
        self.fed_back = size if fed_back is None else fed_back
        self.input = nn.Parameter(torch.zeros(self.gates * size, input_size))
        self.recurrent = nn.Parameter(torch.zeros(self.gates * size, self.fed_back))
        self.bias = nn.Parameter(torch.zeros(self.gates * size))
        self.dropout = dropout

    def initialise(self, generator: torch.Generator) -> None:
        """Weights uniform within 1 / sqrt(size), biases 0."""
        bound = 1.0 / math.sqrt(self.size)
        with torch.no_grad():
            self.input.uniform_(-bound, bound, generator=generator)
            self.recurrent.uniform_(-bound, bound, generator=generator)
            self.bias.zero_()

    def initial_state(self, rows: int) -> States:
        """Zeros: nothing has been read."""
        return tuple(torch.zeros(rows, self.fed_back, device=self.bias.device) for _ in range(self.tensors))

    @abstractmethod
    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """x (B, T, input_size) and the state before it to the outputs (B, T, size) and the state after it.

        Outputs are bfloat16 while training where that is fast on this processor; states are float32.
        """

    @abstractmethod
    def by_equations(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """The same without dropout, a step at a time: to be read, and to test the fast path."""

    def _recurrent(self) -> Tensor:
        """U as this pass uses it."""
        dropped: Tensor = self.recurrent if self.dropout is None else self.dropout(self.recurrent)
        return dropped
