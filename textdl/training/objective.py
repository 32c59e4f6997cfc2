"""What language models are trained on and validated by: the nats of the next token."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from textdl.encoded import Encoded
from textdl.layers.language_model import Network, States
from textdl.training.batching import Batch, TextCut, sample


def next_token_loss(network: Network, batch: Batch, state: States | None) -> tuple[Tensor, States]:
    """Sum of nats over the targets of a batch, and the state after it. state: None begins anew."""
    inputs, targets = _on_device(network, batch)
    if state is None:
        state = network.initial_state(len(inputs))
    hidden, state = network(inputs, state)
    valid = targets >= 0
    return network.softmax.loss(hidden[valid], targets[valid]), state


@torch.inference_mode()
def mean_nats(network: Network, batches: Iterable[Batch]) -> float:
    """Nats per predicted token, line ends included, in eval mode and float32."""
    training: bool = network.training
    network.eval()
    try:
        nats = 0.0
        tokens = 0
        state: States = ()
        for batch in batches:
            inputs, targets = _on_device(network, batch)
            if batch.fresh:
                state = network.initial_state(len(inputs))
            hidden, state = network(inputs, state)
            valid = targets >= 0
            nats -= network.softmax.pick(hidden[valid], targets[valid]).double().sum().item()
            tokens += batch.tokens
        return nats / tokens
    finally:
        network.train(training)


class Validation:
    """Nats per token on a text held out. A stream is read in as many rows as in training, each from a fresh state."""

    def __init__(self, network: Network, text: Encoded, cut: TextCut):
        self._network, self._text, self._cut = network, text, cut
        self.tokens = text.tokens + len(text)

    def __call__(self, tokens: int | None = None) -> float:
        """On a sample of so many tokens; None: on all."""
        text = self._text if tokens is None else sample(self._text, tokens)
        nats: float = mean_nats(self._network, self._cut(text))
        return nats


def _on_device(network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
    return (
        torch.tensor(batch.inputs, dtype=torch.int64, device=network.device),
        torch.tensor(batch.targets, dtype=torch.int64, device=network.device),
    )
