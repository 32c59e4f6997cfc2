"""One layer of a Transformer: attention, then a feed-forward net, each added to what was there.

    pre-norm (Xiong et al. 2020)              post-norm (Vaswani et al. 2017)
    x = x + attention(norm(x))                x = norm(x + attention(x))
    x = x + W_2 f(W_1 norm(x))                x = norm(x + W_2 f(W_1 x))

norm is layer normalisation (Ba et al. 2016) without gain and bias: in pre-norm the matrix that follows can do
what they would, and torch's kernel for it is four times as fast on a processor as the one for RMSNorm. There
are no biases. The matrices that write into x begin at 0, so that a new network is its embeddings alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from textdl.layers.attention import LayerCache, MultiHeadAttention
from textdl.layers.dropout import LockedDropout
from textdl.layers.masks import View
from textdl.layers.positions import Rotation


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)^2 (So et al. 2021)."""
    return x.relu().square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu2": squared_relu, "gelu": F.gelu}
"""What `--activation` takes: the square of ReLU, or GELU (Hendrycks and Gimpel 2016)."""


class _SquaredReLUNet(torch.autograd.Function):
    """relu(x W_1^T)^2 W_2^T. What lies between the products is the widest tensor there is: each pass over it counts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inner: Tensor, output: Tensor) -> Tensor:
        positive = (x @ inner.T).relu_()
        squared = positive * positive
        ctx.save_for_backward(x, positive, squared, inner, output)
        return squared @ output.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, positive, squared, inner, output = ctx.saved_tensors
        half = (gradient @ output).mul_(positive)  # of the gradient; the 2 goes into the small matrices
        return half @ (2.0 * inner), 2.0 * (half.T @ x), gradient.T @ squared


def norm(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the features of each position."""
    return F.layer_norm(x, x.shape[-1:])


class FeedForward(nn.Module):
    """W_2 f(W_1 x): the same small net at each position."""

    def __init__(self, size: int, inner_size: int, activation: str):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.inner = nn.Parameter(torch.zeros(inner_size, size))
        self.output = nn.Parameter(torch.zeros(size, inner_size))

    def initialise(self, generator: torch.Generator) -> None:
        """W_2 begins at 0."""
        with torch.no_grad():
            self.inner.normal_(0.0, 1.0 / math.sqrt(self.inner.shape[1]), generator=generator)
            self.output.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to the same shape."""
        inner, output = self.inner.to(x.dtype), self.output.to(x.dtype)
        if self.activation is squared_relu and x.requires_grad:
            flat: Tensor = _SquaredReLUNet.apply(x.flatten(0, -2), inner, output)
            return flat.view_as(x)
        return F.linear(self.activation(F.linear(x, inner)), output)


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward."""

    def __init__(
        self, size: int, heads: int, inner_size: int, activation: str, dropout: LockedDropout, *, post_norm: bool = False
    ):  # fmt: skip
        """dropout: of what each half adds; shared by all layers."""
        super().__init__()
        self.attention = MultiHeadAttention(size, heads)
        self.feed_forward = FeedForward(size, inner_size, activation)
        self.dropout = dropout
        self.post_norm = post_norm

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights."""
        self.attention.initialise(generator)
        self.feed_forward.initialise(generator)

    def forward(
        self, x: Tensor, view: View, rotation: Rotation | None = None, cache: LayerCache | None = None
    ) -> Tensor:
        """x (B, T, D) to the same shape; see MultiHeadAttention.forward."""
        if self.post_norm:
            x = norm(x + self.dropout(self.attention(x, view, rotation, cache)))
            return norm(x + self.dropout(self.feed_forward(x)))
        x = x + self.dropout(self.attention(norm(x), view, rotation, cache))
        return x + self.dropout(self.feed_forward(norm(x)))
