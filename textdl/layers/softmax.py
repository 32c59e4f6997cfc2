"""The output layer: a softmax over the whole vocabulary, without the (tokens, V) matrix it is defined by.

    log P(v | h) = w_v . h + b_v - log sum_u exp(w_u . h + b_u),   u over all ids but <s>

<s> is never predicted: its logit is -inf in training and after it, so the other probabilities sum to 1.

Training needs the loss and three gradients, and all of them follow from P - onehot(target). They are
computed at once, in chunks of rows, in the forward pass; backward only scales them. Where the processor
multiplies bfloat16 in hardware, the products of training are done in it (5 times as fast as float32 and
plain autograd at V = 20 000; relative error of the gradient 0.003). What a trained model says is float32.
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

_TRAINING_ELEMENTS = 3 << 23
"""Logits in memory at once while training: 48 MB in bfloat16."""
_SCORING_ELEMENTS = 1 << 22
"""Logits in memory at once while scoring: 16 MB."""

_ROWS = 64
"""Rows of a product are a multiple of this while training."""


class Softmax(nn.Module):
    """Hidden vectors (N, D) to log-probabilities over V ids. `weight` may be looked up as the embedding too."""

    def __init__(self, vocab_size: int, size: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.weight = nn.Parameter(torch.zeros(vocab_size, size))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self._scratch: Tensor | None = None

    def initialise(self, generator: torch.Generator, counts: Tensor | None = None) -> None:
        """Small random weights; counts (V,): biases that give the frequencies of the ids as first guess."""
        with torch.no_grad():
            self.weight.normal_(0.0, 1.0 / math.sqrt(self.weight.shape[1]), generator=generator)
            if counts is not None:
                smoothed = counts.double() + 0.5
                self.bias.copy_((smoothed / smoothed.sum()).log())

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """(N, D) to (N, V), float32."""
        return F.log_softmax(self._logits(hidden), dim=1)

    def pick(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(N,) log-probability of each target, float32, in chunks of bounded memory. No gradient."""
        rows = max(1, _SCORING_ELEMENTS // self.vocab_size)
        parts = []
        for h, t in zip(hidden.split(rows), targets.split(rows), strict=True):
            logits = self._logits(h)
            parts.append(logits.gather(1, t[:, None])[:, 0] - logits.logsumexp(dim=1))
        return torch.cat(parts) if parts else hidden.new_zeros(0)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum of the nats of the targets (N,): a scalar with gradients to hidden, weight and bias."""
        dtype = torch.bfloat16 if fast_bfloat16(hidden.device) else torch.float32
        rows = min(-(-len(targets) // _ROWS), max(1, _TRAINING_ELEMENTS // self.vocab_size // _ROWS)) * _ROWS
        if self._scratch is None or len(self._scratch) < rows or self._scratch.dtype != dtype:
            # Kept between steps: to hand so much memory back and ask for it anew costs a fifth of the step.
            self._scratch = torch.empty(rows, self.vocab_size, dtype=dtype, device=hidden.device)
        result: Tensor = _SoftmaxLoss.apply(hidden, self.weight, self.bias, targets, self._scratch)
        return result

    def release(self) -> None:
        """Give back the memory kept between training steps."""
        self._scratch = None

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = F.linear(hidden, self.weight, self.bias)
        logits[:, BOS] = -math.inf
        return logits


class _SoftmaxLoss(torch.autograd.Function):
    """Cross-entropy of a linear layer; forward computes the gradients, backward scales them."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, scratch: Tensor) -> Tensor:
        dtype, size = scratch.dtype, len(scratch)
        low_weight, low_bias = weight.detach().to(dtype), bias.detach().to(dtype)
        nats = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient: Tensor | None = None
        bias_gradient = torch.zeros_like(bias)
        for first in range(0, len(targets), size):
            t = targets[first : first + size]
            # Whole multiples of _ROWS only: oneDNN compiles a kernel for every shape it meets.
            p = scratch[: -(-len(t) // _ROWS) * _ROWS]
            h = torch.zeros(len(p), hidden.shape[1], dtype=dtype, device=hidden.device)
            h[: len(t)] = hidden.detach()[first : first + size]
            torch.addmm(low_bias, h, low_weight.T, out=p)
            p[:, BOS] = -math.inf
            torch.softmax(p, 1, out=p)
            p[len(t) :] = 0.0
            place = (torch.arange(len(t), device=p.device), t)  # scatter_ takes 30 ms for what these take none
            chosen = p[place]
            nats -= chosen.float().clamp_min(1e-38).log().sum()
            p[place] = chosen - 1.0
            hidden_gradient[first : first + size] = torch.mm(p, low_weight)[: len(t)]
            part = p.T @ h
            weight_gradient = part.float() if weight_gradient is None else weight_gradient.add_(part)
            bias_gradient += p.sum(0)
        ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        return hidden * gradient, weight * gradient, bias * gradient, None, None
