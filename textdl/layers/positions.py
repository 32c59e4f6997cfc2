"""Where a token stands. Attention alone is blind to order: it sums over a set.

    none         nothing; a causal mask alone lets a network count what it sees (Haviv et al. 2022)
    learned      x_t + P_t, a vector for each of the W positions (Gehring et al. 2017)
    sinusoidal   x_t + (sin, cos)(t / 10000^(2i/D)), for positions never trained on too (Vaswani et al. 2017, 3.5)
    rotary       queries and keys are turned, pair i of features by the angle t / 10000^(2i/E), so that their
                 product knows only how far apart they are (Su et al. 2021, equation 34)

The first three are added to the embedding; rotary works inside each attention. Feature i is paired with
feature i + E/2, not with its neighbour: the same thing in another order, and quicker.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from textdl.errors import UsageError

Rotation = tuple[Tensor, Tensor]
"""(..., T, 1, E / 2) cosines and sines, for all heads alike."""

_LONGEST = 10000.0
"""The wave lengths go from 2 pi to this times 2 pi."""


class Positions(nn.Module):
    """No positions; the base of all kinds. Positions are int64, (T,) or (B, T) where rows differ."""

    def __init__(self, size: int, heads: int, window: int):
        """size: D; heads: that share it; window: positions there are."""
        super().__init__()

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights, where there are any."""

    def add(self, x: Tensor, positions: Tensor) -> Tensor:
        """Embeddings (B, T, D) of variance 1 with their positions in them."""
        return x

    def rotation(self, positions: Tensor, dtype: torch.dtype) -> Rotation | None:
        """By what queries and keys are turned, for `rotate`; None: they are not."""
        return None


class Learned(Positions):
    """A vector for each position; what lies behind the window shares the last."""

    def __init__(self, size: int, heads: int, window: int):
        super().__init__(size, heads, window)
        self.weight = nn.Parameter(torch.zeros(window, size))

    def initialise(self, generator: torch.Generator) -> None:
        """Small beside the tokens: what is near in the text must not begin by being far in the features."""
        with torch.no_grad():
            self.weight.normal_(0.0, 0.2, generator=generator)

    def add(self, x: Tensor, positions: Tensor) -> Tensor:
        """See Positions."""
        return x + nn.functional.embedding(positions.clamp_max(len(self.weight) - 1), self.weight)


class Sinusoidal(Positions):
    """Waves of D / 2 lengths."""

    frequencies: Tensor

    def __init__(self, size: int, heads: int, window: int):
        super().__init__(size, heads, window)
        self.register_buffer("frequencies", _frequencies(size, "the features of a token"), persistent=False)

    def add(self, x: Tensor, positions: Tensor) -> Tensor:
        """See Positions. The waves have variance 1/2, tokens variance 1."""
        angle = positions[..., None] * self.frequencies
        return x + torch.cat((angle.sin(), angle.cos()), dim=-1).to(x.dtype)


class Rotary(Positions):
    """Queries and keys turned by their position."""

    frequencies: Tensor

    def __init__(self, size: int, heads: int, window: int):
        super().__init__(size, heads, window)
        self.register_buffer("frequencies", _frequencies(size // heads, "the features of each head"), persistent=False)

    def rotation(self, positions: Tensor, dtype: torch.dtype) -> Rotation:
        """See Positions."""
        angle = (positions[..., None] * self.frequencies)[..., None, :]
        return angle.cos().to(dtype), angle.sin().to(dtype)


def _frequencies(size: int, what: str) -> Tensor:
    if size % 2:
        raise UsageError(
            f"{what} are {size}, but these --positions need pairs of features: choose a size and --heads that make it even."
        )
    return torch.exp(torch.arange(0, size, 2) * (-math.log(_LONGEST) / size))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """x (B, T, H, E) with each pair of features (a, b) turned: (a cos - b sin, a sin + b cos)."""
    if not x.requires_grad:
        return _turned(x, *rotation, 1.0)
    result: Tensor = _Rotate.apply(x, *rotation)
    return result


class _Rotate(torch.autograd.Function):
    """Backward turns the other way. Written by hand: through autograd each step takes half as long again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(gradient, cos, sin, -1.0), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, direction: float) -> Tensor:
    y = torch.empty_like(x)
    (a, b), (c, d) = x.chunk(2, dim=-1), y.chunk(2, dim=-1)
    torch.mul(a, cos, out=c).addcmul_(b, sin, value=-direction)
    torch.mul(b, cos, out=d).addcmul_(a, sin, value=direction)
    return y


POSITIONS: dict[str, type[Positions]] = {
    "rotary": Rotary, "learned": Learned, "sinusoidal": Sinusoidal, "none": Positions
}  # fmt: skip
"""What `--positions` takes."""
