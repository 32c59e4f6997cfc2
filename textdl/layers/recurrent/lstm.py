"""LSTM, long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000).

    i = sigmoid(W_i x + U_i h + b_i)      what is written
    f = sigmoid(W_f x + U_f h + b_f)      what is kept
    g = tanh   (W_g x + U_g h + b_g)      what would be written
    o = sigmoid(W_o x + U_o h + b_o)      what is shown
    c' = f * c + i * g
    h' = o * tanh(c')

The fast path is torch's kernel (oneDNN on processors, cuDNN on GPUs). Peephole connections are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from textdl.layers.recurrent.base import RecurrentLayer, States, library


class LSTM(RecurrentLayer):
    """Its state is (h, c)."""

    tensors = 2
    gates = 4

    def initialise(self, generator: torch.Generator) -> None:
        """As the others; forget gates begin open (bias 1; Jozefowicz et al. 2015)."""
        super().initialise(generator)
        with torch.no_grad():
            self.bias[self.size : 2 * self.size] = 1.0

    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.forward."""
        before = tuple(tensor[None].contiguous() for tensor in state)
        weights = [self.input, self._recurrent(), self.bias, torch.zeros_like(self.bias)]
        output, h, c = library(torch.lstm, x, before, weights)
        return output, (h[0], c[0])

    def by_equations(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """See RecurrentLayer.by_equations."""
        w_i, w_f, w_g, w_o = self.input.chunk(4)
        u_i, u_f, u_g, u_o = self.recurrent.chunk(4)
        b_i, b_f, b_g, b_o = self.bias.chunk(4)
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
