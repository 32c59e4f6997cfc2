"""What language models are trained on and validated by: the nats of the next token."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from textdl.encoded import Encoded
from textdl.layers.language_model import Network, States
from textdl.training.batching import Batch, TextCut, sample
from textdl.training.parallel import Team

Forward = Callable[[Tensor, States], tuple[Tensor, States]]
"""The network, or the same compiled."""


def next_token_loss(
    network: Network,
    batch: Batch,
    state: States | None,
    *,
    label_smoothing: float = 0.0,
    forward: Forward | None = None,
) -> tuple[Tensor, Tensor, States]:
    """The loss of a batch, the sum of nats of its targets, and the state after it. state: None begins anew.

    Without label smoothing the loss is the nats.
    """
    inputs, targets = _on_device(network, batch)
    if state is None:
        state = batch.begin(network)
    hidden, state = (network if forward is None else forward)(inputs, state)
    valid = targets >= 0
    loss = network.softmax.loss(hidden[valid], targets[valid], label_smoothing)
    return loss, network.softmax.nats, state


@torch.inference_mode()
def mean_nats(network: Network, batches: Iterable[Batch], team: Team | None = None) -> float:
    """Nats per predicted token, line ends included, in eval mode and float32."""
    team = team or Team()
    training: bool = network.training
    network.eval()
    try:
        total = torch.zeros(2, dtype=torch.float64)
        state: States = ()
        for whole in batches:
            batch = whole.part(team.share(len(whole.inputs)))
            if not len(batch.inputs):
                continue
            inputs, targets = _on_device(network, batch)
            if batch.fresh:
                state = batch.begin(network)
            hidden, state = network(inputs, state)
            valid = targets >= 0
            total[0] -= network.softmax.pick(hidden[valid], targets[valid]).cpu().double().sum()
            total[1] += batch.tokens
        nats, tokens = team.total(*total.tolist())
        return nats / tokens
    finally:
        network.train(training)


class Validation:
    """Nats per token on a text held out. A stream is read in as many rows as in training, each from a fresh state."""

    def __init__(self, network: Network, text: Encoded, cut: TextCut, team: Team | None = None):
        self._network, self._text, self._cut, self._team = network, text, cut, team
        self.tokens = text.tokens + len(text)

    def __call__(self, tokens: int | None = None) -> float:
        """On a sample of so many tokens; None: on all."""
        text = self._text if tokens is None else sample(self._text, tokens)
        nats: float = mean_nats(self._network, self._cut(text), self._team)
        return nats


def _on_device(network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
    return (
        torch.tensor(batch.inputs, dtype=torch.int64, device=network.device),
        torch.tensor(batch.targets, dtype=torch.int64, device=network.device),
    )
