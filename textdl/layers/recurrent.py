"""Recurrent cells. One class per cell, its equations beside it.

LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000):

    i = sigmoid(W_i x + U_i h + b_i)      what is written
    f = sigmoid(W_f x + U_f h + b_f)      what is kept
    g = tanh   (W_g x + U_g h + b_g)      what would be written
    o = sigmoid(W_o x + U_o h + b_o)      what is shown
    c' = f * c + i * g
    h' = o * tanh(c')

The fast path is torch.nn.LSTM (oneDNN on processors, cuDNN on GPUs), whose weights are those of the four
gates on top of each other and which has two biases where one would do. `LSTM.by_gates` is the same layer as
it stands above; a test holds both to each other. Peephole connections are left out.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

States = tuple[Tensor, ...]


class RecurrentLayer(nn.Module, ABC):
    """One layer: a sequence in, a sequence of the same length out, and a state carried along."""

    tensors: int
    """How many (B, D) tensors its state has."""

    @abstractmethod
    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """x (B, T, input_size) and the state before it to the outputs (B, T, size) and the state after it."""

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None: ...


class LSTM(RecurrentLayer):
    """Long short-term memory; its state is (h, c)."""

    tensors = 2

    def __init__(self, input_size: int, size: int):
        super().__init__()
        self.size = size
        # Made without memory first: torch's own initialisation would draw from the global generator.
        self.cell = nn.LSTM(input_size, size, batch_first=True, device="meta").to_empty(device="cpu")

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform within 1 / sqrt(size); forget gates begin open (bias 1; Jozefowicz et al. 2015)."""
        bound = 1.0 / math.sqrt(self.size)
        with torch.no_grad():
            for name, parameter in self.cell.named_parameters():
                if name.startswith("bias"):
                    parameter.zero_()
                else:
                    parameter.uniform_(-bound, bound, generator=generator)
            self.cell.bias_ih_l0[self.size : 2 * self.size] = 1.0

    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        h, c = state
        output, (h, c) = self.cell(x, (h[None].contiguous(), c[None].contiguous()))
        return output, (h[0], c[0])

    def by_gates(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """The same as forward, a step and a gate at a time: to be read, and to test the fast path."""
        w_i, w_f, w_g, w_o = self.cell.weight_ih_l0.chunk(4)
        u_i, u_f, u_g, u_o = self.cell.weight_hh_l0.chunk(4)
        b_i, b_f, b_g, b_o = (self.cell.bias_ih_l0 + self.cell.bias_hh_l0).chunk(4)
        h, c = state
        outputs = []
        for x_t in x.unbind(dim=1):
            i = torch.sigmoid(x_t @ w_i.T + h @ u_i.T + b_i)
            f = torch.sigmoid(x_t @ w_f.T + h @ u_f.T + b_f)
            g = torch.tanh(x_t @ w_g.T + h @ u_g.T + b_g)
            o = torch.sigmoid(x_t @ w_o.T + h @ u_o.T + b_o)
            c = f * c + i * g
            h = o * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h, c)


CELLS: dict[str, type[LSTM]] = {"lstm": LSTM}
"""What `--cell` takes."""
