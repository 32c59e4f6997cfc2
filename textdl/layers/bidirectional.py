"""A sequence read from both sides (Schuster and Paliwal 1997): what stands before a token and what comes after it.

    forward_t  = cell(x_t, forward_{t-1})
    backward_t = cell'(x_t, backward_{t+1})
    y_t = (forward_t, backward_t)

For encoders, which have the whole text before them; what predicts the next word must not see it.

Rows of different lengths are padded behind. A kernel cannot stop a row half way, so the steps are cut where a row
ends, and those that go on go on: a call for every different length, no padding read. The backward cell reads
each row turned round within its length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textdl.layers.dropout import WeightDropout
from textdl.layers.recurrent.base import RecurrentLayer, States


class Bidirectional(nn.Module):
    """Two cells of one kind, from left and from right."""

    def __init__(
        self, cell: type[RecurrentLayer], input_size: int, size: int, dropout: WeightDropout | None = None
    ):  # fmt: skip
        super().__init__()
        self.forwards = cell(input_size, size, dropout)
        self.backwards = cell(input_size, size, dropout)

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights."""
        self.forwards.initialise(generator)
        self.backwards.initialise(generator)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, States, States]:
        """x (B, T, input_size) padded behind, lengths (B,) int64 from 0 to T.

        Returns:
            (B, T, 2 size), 0 at the padding; the state of the one cell after the last token and that of the
            other after the first, each as the cell has it.
        """
        steps = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # its own inverse
        rows = torch.arange(len(x), device=x.device)[:, None]
        left, after_last = read_rows(self.forwards, x, lengths)
        right, after_first = read_rows(self.backwards, x[rows, turned], lengths)
        return torch.cat((left, right[rows, turned]), dim=2), after_last, after_first


def read_rows(layer: RecurrentLayer, x: Tensor, lengths: Tensor) -> tuple[Tensor, States]:
    """The outputs (B, T, size), 0 past the end of a row, and each row's state at its own end."""
    state = layer.initial_state(len(x))
    order = torch.argsort(lengths, descending=True, stable=True)
    x, sorted_lengths = x[order], lengths[order].tolist()
    outputs: list[Tensor] = []
    ended: list[States] = []  # rows that have come to their end, the longest last
    first, rows = 0, len(x)
    for length in sorted(set(sorted_lengths)):
        if length > first:
            output, state = layer(x[:rows, first:length], state)
            outputs.append(nn.functional.pad(output, (0, 0, 0, 0, 0, len(x) - rows)))
        going_on = sum(other > length for other in sorted_lengths)
        ended.append(tuple(tensor[going_on:] for tensor in state))
        state = tuple(tensor[:going_on] for tensor in state)
        first, rows = length, going_on
    back = torch.argsort(order)
    padding = x.new_zeros(len(x), x.shape[1] - first, layer.size)
    joined = tuple(torch.cat(tensors[::-1])[back] for tensors in zip(*ended, strict=True)) if ended else state
    return torch.cat((*outputs, padding), dim=1)[back], joined
