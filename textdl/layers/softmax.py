"""The output layer: a softmax over the whole vocabulary, without the (tokens, V) matrix it is defined by.

    log P(v | h) = w_v . h + b_v - log sum_u exp(w_u . h + b_u),   u over all ids but <s>

<s> is never predicted: its logit is -inf in training and after it, so the other probabilities sum to 1.

Training needs the loss and three gradients, and all of them follow from P - onehot(target). They are
computed at once, in chunks of rows, in the forward pass; backward only scales them. Where the processor
multiplies bfloat16 in hardware, the products of training are done in it (5 times as fast as float32 and
plain autograd at V = 20 000; relative error of the gradient 0.003). What a trained model says is float32.

Label smoothing (Szegedy et al. 2016) needs no other pass: the uniform part of the target is the same for all
rows, so its share of the gradients is made of sum_v w_v and of sum_n h_n.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from textdl.encoded import BOS
from textdl.layers.device import fast_bfloat16
from textdl.layers.embedding import begin_with
from textdl.layers.output import OutputLayer
from textdl.layers.softmax_gradient import add_up, softmax_gradient
from textdl.simd import LANES

_TRAINING_ELEMENTS = 1 << 23
"""Logits in memory at once while training: 16 MB in bfloat16; with three times as many the products take half as long again."""
_SCORING_ELEMENTS = 1 << 22
"""Logits in memory at once while scoring: 16 MB."""

_ROWS = 64
"""Rows of a product are a multiple of this while training."""
_TOGETHER = 32
"""bfloat16 that the processor multiplies at once: features are a multiple of it while training, which is quicker than fewer."""


class Softmax(OutputLayer):
    """See OutputLayer. `weight` (V, D) may be looked up as the embedding too."""

    def __init__(self, vocab_size: int, size: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.weight = nn.Parameter(torch.zeros(vocab_size, size))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self._scratch = Scratch()

    def initialise(self, generator: torch.Generator, counts: Tensor | None = None) -> None:
        """See OutputLayer."""
        with torch.no_grad():
            self.weight.normal_(0.0, 1.0 / math.sqrt(self.weight.shape[1]), generator=generator)
            if counts is not None:
                self.bias.copy_(log_frequencies(counts))

    def embed(self, ids: Tensor) -> Tensor:
        """See OutputLayer."""
        return F.embedding(ids, self.weight)

    def begin_with(self, vectors: Tensor) -> None:
        """See OutputLayer."""
        begin_with(self.weight, vectors)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """See OutputLayer."""
        return F.log_softmax(self._logits(hidden), dim=1)

    def pick(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """See OutputLayer."""
        rows = max(1, _SCORING_ELEMENTS // self.vocab_size)
        parts = []
        for h, t in zip(hidden.split(rows), targets.split(rows), strict=True):
            logits = self._logits(h)
            parts.append(logits.gather(1, t[:, None])[:, 0] - logits.logsumexp(dim=1))
        return torch.cat(parts) if parts else hidden.new_zeros(0)

    def loss(self, hidden: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """See OutputLayer."""
        loss, self.nats = fused_loss(
            hidden, self.weight, self.bias, targets, self._scratch, label_smoothing, barred=BOS
        )  # fmt: skip
        return loss

    def release(self) -> None:
        """See OutputLayer."""
        self._scratch.release()

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = F.linear(hidden, self.weight, self.bias)
        logits[:, BOS] = -math.inf
        return logits


def log_frequencies(counts: Tensor) -> Tensor:
    """Of ids that were counted, as if each had been seen half a time more."""
    smoothed = counts.double() + 0.5
    return (smoothed / smoothed.sum()).log()


class Scratch:
    """Memory for a chunk of logits, kept between steps: to hand so much back and ask for it anew costs a fifth of them."""

    def __init__(self) -> None:
        self.memory: Tensor | None = None

    def matrix(self, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """As many of the rows as may be in memory at once, a multiple of _ROWS; of any content.

        Its columns are a multiple of what a kernel takes at once.
        """
        columns = -(-columns // LANES) * LANES
        rows = min(max(1, -(-rows // _ROWS)), max(1, _TRAINING_ELEMENTS // columns // _ROWS)) * _ROWS
        kept = self.memory
        if kept is None or kept.numel() < rows * columns or kept.dtype != dtype or kept.device != device:
            kept = self.memory = torch.empty(rows * columns, dtype=dtype, device=device)
        return kept[: rows * columns].view(rows, columns)

    def release(self) -> None:
        """Give it back."""
        self.memory = None


def fused_loss(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, scratch: Scratch, label_smoothing: float = 0.0,
    *, barred: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Cross-entropy of softmax(hidden weight^T + bias), summed over the rows, and the nats of the targets alone.

    Args:
        hidden: (N, D).
        weight: (V, D).
        bias: (V,).
        targets: (N,).
        barred: the id whose probability is 0.
    """
    dtype = torch.bfloat16 if fast_bfloat16(hidden.device) else torch.float32
    memory = scratch.matrix(len(targets), len(weight), dtype, hidden.device)
    loss, nats = _FusedLoss.apply(hidden, weight, bias, targets, memory, label_smoothing, barred)
    return loss, nats


class _FusedLoss(torch.autograd.Function):
    """Cross-entropy of a linear layer; forward computes the gradients, backward scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, scratch: Tensor, smoothing: float,
        barred: int | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        dtype, size, features = scratch.dtype, len(scratch), hidden.shape[1]
        # The bias is the weight of one feature more, which is 1: so it and its gradient cost no pass over the logits.
        width = -(-(features + 1) // _TOGETHER) * _TOGETHER
        low_weight = weight.new_zeros(scratch.shape[1], width, dtype=dtype)
        low_weight[: len(weight), :features] = weight.detach()
        low_weight[: len(weight), features] = bias.detach()
        nats = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden)
        gradient: Tensor | None = None
        for first in range(0, len(targets), size):
            t = targets[first : first + size]
            # Whole multiples of _ROWS only: oneDNN compiles a kernel for every shape it meets.
            p = scratch[: -(-len(t) // _ROWS) * _ROWS]
            h = torch.zeros(len(p), width, dtype=dtype, device=hidden.device)
            h[: len(t), :features] = hidden.detach()[first : first + size]
            h[: len(t), features] = 1.0
            torch.mm(h, low_weight.T, out=p)
            p[:, len(weight) :] = -math.inf
            if barred is not None:
                p[:, barred] = -math.inf
            nats += softmax_gradient(p[: len(t)], t, 1.0 - smoothing)
            p[len(t) :] = 0.0
            hidden_gradient[first : first + size] = torch.mm(p, low_weight)[: len(t), :features]
            part = p.T @ h
            if gradient is None:
                gradient = part.float()
            else:
                add_up(gradient, part)
        if gradient is None:
            gradient = hidden.new_zeros(len(weight), width)
        weight_gradient, bias_gradient = gradient[: len(weight), :features], gradient[: len(weight), features]
        loss = nats
        if smoothing > 0.0:
            gradients = (hidden_gradient, weight_gradient, bias_gradient)
            loss = _smoothed(hidden, weight, bias, targets, nats, smoothing, barred, *gradients)
        ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        ctx.mark_non_differentiable(nats)
        return loss.clone(), nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        return hidden * gradient, (weight * gradient).contiguous(), bias * gradient, None, None, None, None


def _smoothed(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, nats: Tensor, smoothing: float, barred: int | None,
    hidden_gradient: Tensor, weight_gradient: Tensor, bias_gradient: Tensor,
) -> Tensor:  # fmt: skip
    """The loss with the uniform part of the targets; takes that part off the gradients.

    sum_v log p_v = sum_v logit_v - V log Z, and log Z = logit_target - log p_target.
    """
    spread = torch.full_like(bias, smoothing / (len(bias) - (barred is not None)))  # e / V: uniform's share of an id
    if barred is not None:
        spread[barred] = 0.0
    weight_sum, bias_sum, hidden_sum = spread @ weight, spread @ bias, hidden.sum(0)
    hidden_gradient -= weight_sum
    weight_gradient.addr_(spread, hidden_sum, alpha=-1.0)
    bias_gradient -= spread * len(targets)
    target_logits = (hidden * F.embedding(targets, weight)).sum() + F.embedding(targets, bias[:, None]).sum()
    log_z = target_logits + nats
    logits = hidden_sum @ weight_sum + bias_sum * len(targets)
    return (1.0 - smoothing) * nats + smoothing * log_z - logits
