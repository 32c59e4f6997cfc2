"""What both encoder-decoders do alike: how pairs are cut into batches, `fit`.

An architecture is a network and a Config of its own. What is left open is chosen by training/choosing.py, by target tokens.

After each validation the same few sources are translated, so that one sees what a loss means (`watch`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from textdl.errors import CorpusError
from textdl.layers.network import Network
from textdl.protocols import Run
from textdl.seq2seq.batching import PairBatches, PairData, Side, pair_batches
from textdl.seq2seq.model import Seq2SeqModel
from textdl.seq2seq.network import EncoderDecoder
from textdl.training.batching import Batch
from textdl.training.choosing import Choices, Training, trained
from textdl.training.config import TrainingConfig
from textdl.training.objective import mean_nats
from textdl.training.parallel import Team

_STEPS = 1500
"""Steps that training should have, before batches are made larger to save time."""
_SMALLEST, _LARGEST = 1024, 8192
"""Positions of a batch, both sides together, in each process."""
_PROBED = 4096
"""The same while sizes are tried."""
Watch = Callable[[Seq2SeqModel], dict[str, Any]]
"""Called after each validation; what it returns comes into the training curve."""


@dataclass(frozen=True)
class Seq2SeqConfig(TrainingConfig):
    """The options of `train seq2seq`, whatever the architecture."""

    PASSES = (4.0, 60.0, 12e6)
    DROPOUTS = ((6.0, 0.1), (15.0, 0.2), (math.inf, 0.3))
    BY: ClassVar[Side] = "target"
    """The side that batches have no padding in."""

    batch_positions: int | None = None
    """Tokens of a batch, both sides, padding counted; in each process."""
    label_smoothing: float = 0.1
    ema: float = 0.999
    schedule: str = "cosine"
    patience: int = 10
    weight_decay: float | None = 0.01

    @abstractmethod
    def build(self, data: PairData, sizes: Mapping[str, int], generator: torch.Generator) -> EncoderDecoder:
        """The network, not yet initialised. generator: where dropout draws from."""


def train_pairs(
    data: PairData,
    config: Seq2SeqConfig,
    *,
    valid: PairData | None = None,
    run: Run | None = None,
    watch: Watch | None = None,
) -> Seq2SeqModel:
    """The `fit` of both architectures; see neural.family.train_network.

    Args:
        watch: is given the model as it is after each validation.

    Raises:
        CorpusError: there is nothing to train on.
        TextdlError: the loss became infinite or NaN, also with a lower learning rate.
    """
    run = run or Run()
    source, target = data.epoch(0)
    if len(source) != len(target):
        raise CorpusError(f"training seq2seq: {len(source):,} sources and {len(target):,} targets are no pairs.")
    if not len(source):
        raise CorpusError("training seq2seq: there are no pairs. Give it some.")

    def made(device: torch.device, team: Team) -> Training:
        return _PairTraining(data, valid, watch, config, run, device, team)

    return Seq2SeqModel(cast(EncoderDecoder, trained(config, run, made)))


class PairValidation:
    """Nats per target token on pairs held out."""

    def __init__(self, network: EncoderDecoder, valid: PairData, positions: int, by: Side, team: Team):
        self._network, self._positions, self._by, self._team = network, positions, by, team
        self._source, self._target = valid.epoch(0)
        self.tokens = self._target.tokens + len(self._target)

    def __call__(self, tokens: int | None = None) -> float:
        """On pairs from all over with about so many target tokens; None: on all."""
        source, target = self._source, self._target
        if tokens is not None and tokens < self.tokens:
            some = np.linspace(0, len(target) - 1, max(1, len(target) * tokens // self.tokens)).astype(np.int64)
            source, target = source.select(some), target.select(some)
        batches = pair_batches(source, target, self._positions, self._by)
        nats: float = mean_nats(self._network, batches, self._team)
        return nats


class _PairTraining(Training):
    """Pairs of lines."""

    config: Seq2SeqConfig

    def __init__(self, data: PairData, valid: PairData | None, watch: Watch | None, *given: Any) -> None:
        source, self._target = data.epoch(0)
        tokens = self._target.tokens + len(self._target)
        super().__init__(*given, vocab_size=data.target.vocab_size, tokens=tokens)
        self._data, self._watch = data, watch
        self._valid = valid if valid is not None and len(valid.epoch(0)[0]) else None
        self._positions = tokens + source.tokens + len(source)
        self._batches = PairBatches(data, 1, self.config.BY, self.config.unk_rate, self.run)

    def network(self, choices: Choices, noise: torch.Generator) -> Network:
        return self.config.build(self._data, choices.sizes, noise)

    def initialise(self, network: Network) -> None:
        counts: Tensor = torch.from_numpy(self._target.counts())
        network.initialise(torch.Generator().manual_seed(self.run.seed), counts)

    def probed_batch(self, sizes: dict[str, int]) -> dict[str, int]:
        return {"batch_positions": self.config.batch_positions or _PROBED}

    def batch(self, sizes: dict[str, int], trained: float) -> dict[str, int]:
        """As many positions as leave _STEPS steps, within limits."""
        positions = trained / self.tokens * self._positions / (_STEPS * self.config.accumulate * self.team.size)
        usual = int(2 ** math.floor(math.log2(min(_LARGEST, max(_SMALLEST, positions)))))
        return {"batch_positions": self.config.batch_positions or usual}

    def batches(self, choices: Choices) -> Callable[[int], Iterator[Batch]]:
        return self._batches.through(self._in_all(choices))

    def batches_told(self, choices: Choices) -> str:
        return f"{choices.batch['batch_positions']:,} tokens of both sides"

    def validation(self, network: Network, choices: Choices) -> PairValidation | None:
        if self._valid is None:
            return None
        assert isinstance(network, EncoderDecoder)
        return PairValidation(network, self._valid, max(_LARGEST, self._in_all(choices)), self.config.BY, self.team)

    def watch(self, network: Network) -> Callable[[], dict[str, Any]] | None:
        watch = self._watch
        if watch is None or self.team.rank > 0:
            return None
        assert isinstance(network, EncoderDecoder)
        return lambda: watch(Seq2SeqModel(network))  # made anew: that puts dropout off

    def _in_all(self, choices: Choices) -> int:
        """Positions of a batch of all processes together."""
        return choices.batch["batch_positions"] * self.team.size
