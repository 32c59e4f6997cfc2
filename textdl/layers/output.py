"""What an output layer is: hidden vectors to the probabilities of V ids, without a (tokens, V) matrix in training."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class OutputLayer(nn.Module, ABC):
    """Hidden vectors (N, D) to log-probabilities over V ids. <s> is never predicted, so the others sum to 1."""

    vocab_size: int
    nats: Tensor
    """Of the last call of `loss`: the sum of the nats of its targets, without label smoothing or gradient."""

    @abstractmethod
    def initialise(self, generator: torch.Generator, counts: Tensor | None = None) -> None:
        """Small random weights; counts (V,): biases that give the frequencies of the ids as first guess."""

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """ids of any shape to (..., D): the output weights of the ids, of length about 1, as an input embedding."""

    @abstractmethod
    def begin_with(self, vectors: Tensor) -> None:
        """Overwrite the embedding of ids with vectors (V, D); see embedding.begin_with."""

    @abstractmethod
    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """(N, D) to (N, V), float32."""

    @abstractmethod
    def pick(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(N,) log-probability of each target, float32, in chunks of bounded memory. No gradient."""

    @abstractmethod
    def loss(self, hidden: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Sum of the nats of the targets (N,): a scalar with gradients to hidden vectors and parameters.

        label_smoothing: share e of the target that is spread over all ids (Szegedy et al. 2016); the loss is then
        sum_v -q(v) log p(v) with q = (1 - e) onehot + e uniform, and the nats of the targets are in `nats`.
        """

    @abstractmethod
    def release(self) -> None:
        """Give back the memory kept between training steps."""
