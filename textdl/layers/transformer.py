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

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.layers.attention import LayerCache, MultiHeadAttention
from textdl.layers.dropout import Dropout, LockedDropout
from textdl.layers.masks import View
from textdl.layers.positions import Rotation
from textdl.layers.residual import add_and_norm
from textdl.layers.squared_relu import feed_forward, squared_relu

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu2": squared_relu, "gelu": F.gelu}
"""What `--activation` takes: the square of ReLU, or GELU (Hendrycks and Gimpel 2016)."""


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
            return feed_forward(x.flatten(0, -2), inner, output).view_as(x)
        return F.linear(self.activation(F.linear(x, inner)), output)


Stream = tuple[Tensor, Tensor]
"""What a layer adds to, and what it reads: x and norm(x) in pre-norm, in post-norm x twice. Both (..., D)."""


class Layer(nn.Module):
    """Parts that add to a stream, one after the other."""

    def __init__(self, dropout: Dropout | LockedDropout, *, post_norm: bool):
        """dropout: of what a part adds; shared by all layers."""
        super().__init__()
        self.dropout, self.post_norm = dropout, post_norm

    def added(self, stream: Stream, part: Callable[[Tensor], Tensor]) -> Stream:
        """The stream with what a part makes of it."""
        x, read = stream
        x, read = add_and_norm(x, part(read), self.dropout)
        return (read, read) if self.post_norm else (x, read)


class TransformerLayer(Layer):
    """Self-attention and feed-forward."""

    def __init__(
        self, size: int, heads: int, inner_size: int, activation: str, dropout: LockedDropout, *, post_norm: bool = False
    ):  # fmt: skip
        super().__init__(dropout, post_norm=post_norm)
        self.attention = MultiHeadAttention(size, heads)
        self.feed_forward = FeedForward(size, inner_size, activation)

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights."""
        self.attention.initialise(generator)
        self.feed_forward.initialise(generator)

    def forward(
        self, stream: Stream, view: View, rotation: Rotation | None = None, cache: LayerCache | None = None
    ) -> Stream:
        """Of x (B, T, D); see MultiHeadAttention.forward."""
        stream = self.added(stream, lambda x: self.attention(x, view, rotation, cache))
        return self.added(stream, self.feed_forward)
