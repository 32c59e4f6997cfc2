"""What both encoder-decoders do alike: the options of training, what is chosen where they are left open, `fit`.

An architecture is a network and a Config of its own. What is left open is chosen as in neural/family.py, but for what pairs
ask for: the size by the target tokens that training will see, found by trying where there is a budget; dropout by
the number of passes, up to more than language models have, since a corpus of pairs is small and read often.

After each validation the same few sources are translated, so that one sees what a loss means (`watch`).
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from textdl.checkpoint import Progress
from textdl.errors import CorpusError, UsageError
from textdl.layers.device import named_device
from textdl.neural.family import Rung, TrainingConfig
from textdl.protocols import Run
from textdl.seq2seq.batching import PairBatches, PairData, Side, pair_batches
from textdl.seq2seq.model import Seq2SeqModel
from textdl.seq2seq.network import EncoderDecoder
from textdl.training.loop import Trainer
from textdl.training.objective import mean_nats
from textdl.training.optimisers import OPTIMISERS
from textdl.training.parallel import Team, joined, local_device
from textdl.training.plan import Plan, Settings

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

    BY: ClassVar[Side] = "target"
    """The side that batches have no padding in."""

    batch_positions: int | None = None
    """Tokens of a batch, both sides, padding counted; in each process."""
    label_smoothing: float = 0.1
    ema: float = 0.999
    schedule: str = "cosine"
    patience: int = 10
    weight_decay: float | None = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context != "line":
            raise UsageError(f"--context {self.context}: pairs of lines are independent, so it can only be line.")
        if self.batch_size is not None:
            raise UsageError("--batch-size counts rows; batches of pairs are counted in tokens, by --batch-positions.")

    @abstractmethod
    def build(self, data: PairData, sizes: Mapping[str, int], generator: torch.Generator) -> EncoderDecoder:
        """The network, not yet initialised. generator: where dropout draws from."""

    def steps(self, sizes: Mapping[str, int], vocab_size: int) -> int:
        """Not asked for: a pair is read whole."""
        raise NotImplementedError

    def network(self, vocab_size: int, sizes: Mapping[str, int], generator: torch.Generator) -> EncoderDecoder:
        """Not asked for: see `build`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Choices:
    """What a Config left open. JSON."""

    sizes: dict[str, int]
    batch_positions: int
    learning_rate: float
    weight_decay: float
    epochs: float


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
    device = local_device(named_device(config.device), run)
    if run.checkpoint is not None:
        run.checkpoint.check({"the kind of device": device.type, "the processes": run.ranks})
    with joined(run, device) as team:
        found = run.checkpoint.load() if run.checkpoint is not None else None
        return _Training(data, config, valid, run, watch, device, team).train(found)


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


class _Training:
    """One training: what was chosen, and the network and the trainer made of it."""

    def __init__(
        self, data: PairData, config: Seq2SeqConfig, valid: PairData | None, run: Run, watch: Watch | None,
        device: torch.device, team: Team,
    ) -> None:  # fmt: skip
        self._data, self._config, self._run, self._watch = data, config, run, watch
        self._device, self._team = device, team
        self._valid = valid if valid is not None and len(valid.epoch(0)[0]) else None
        source, self._target = data.epoch(0)
        self._tokens = self._target.tokens + len(self._target)
        self._positions_in_all = self._tokens + source.tokens + len(source)
        self._batches = PairBatches(data, 1, config.BY, config.unk_rate, run)
        self._default_epochs = config.epochs or min(60.0, max(4.0, round(12e6 / self._tokens)))

    def train(self, found: Progress | None) -> Seq2SeqModel:
        config, run = self._config, self._run
        choices = self._choose() if found is None else Choices(**found.state["choices"])
        network, trainer = self._trainer(choices)
        plan = trainer.plan() if found is None else Plan(**found.state["plan"])
        rate = _dropout(plan.epochs) if config.dropout is None else config.dropout
        config.set_dropout(network, rate)
        asked = {name: value for name, value in asdict(config).items() if value is not None}
        run.figures["config"] = {
            **asked, **asdict(choices), **choices.sizes, "dropout": rate, "epochs": plan.epochs,
            "precision": plan.precision, "device": str(self._device), "processes": self._team.size,
        }  # fmt: skip
        run.figures["config"].pop("sizes")
        if found is None:
            sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in choices.sizes.items())
            parameters = sum(p.numel() for p in network.parameters())
            run.note(
                f"Network: {network.arch}, {sizes}; {parameters:,} parameters, batches of {choices.batch_positions:,} tokens "
                f"of both sides, dropout {rate:g}."
            )
        trainer.train(plan, found)
        return Seq2SeqModel(network)

    def _choose(self) -> Choices:
        config, tokens = self._config, self._tokens
        ladder = [rung for rung in config.ladder(self._data.target.vocab_size) if rung.corpus <= tokens]
        if self._run.deadline is None:
            trained = self._default_epochs * tokens
            sizes = [self._sizes(rung) for rung in ladder if rung.trained <= trained][-1]
        else:
            sizes, trained = self._largest_affordable(ladder, self._run.deadline)
        return self._choices(sizes, self._positions(trained))

    def _sizes(self, rung: Rung) -> dict[str, int]:
        return {name: getattr(self._config, name) or value for name, value in rung.sizes.items()}

    def _largest_affordable(self, ladder: Sequence[Rung], deadline: float) -> tuple[dict[str, int], float]:
        """Sizes, and the target tokens that training will see."""
        best: dict[str, int] = {}
        trained = 0.0
        for rung in ladder:
            sizes = self._sizes(rung)
            if best and (trained < rung.trained or sizes == best):
                break
            (left,) = self._team.agree(max(0.0, deadline - time.monotonic()))
            _, trainer = self._trainer(self._choices(sizes, self._config.batch_positions or _PROBED))
            affordable = 0.9 * left * trainer.speed(min(3.0, 0.01 * left))
            if best and affordable < rung.trained:
                break
            best, trained = sizes, affordable
        return best, trained

    def _positions(self, trained: float) -> int:
        """Of a batch: as many as leave _STEPS steps, within limits."""
        if self._config.batch_positions is not None:
            return self._config.batch_positions
        positions = (
            trained / self._tokens * self._positions_in_all / (_STEPS * self._config.accumulate * self._team.size)
        )
        return int(2 ** math.floor(math.log2(min(_LARGEST, max(_SMALLEST, positions)))))

    def _choices(self, sizes: dict[str, int], positions: int) -> Choices:
        config = self._config
        optimiser = OPTIMISERS[config.optimiser]
        rate = optimiser.rate * config.adamw_rate(sizes, self._data.target.vocab_size)
        return Choices(
            sizes=sizes,
            batch_positions=positions,
            learning_rate=config.learning_rate or rate,
            weight_decay=optimiser.weight_decay if config.weight_decay is None else config.weight_decay,
            epochs=self._default_epochs,
        )

    def _trainer(self, choices: Choices) -> tuple[EncoderDecoder, Trainer]:
        config, run, team = self._config, self._run, self._team
        # Each process drops other features, of other rows.
        noise = torch.Generator(self._device).manual_seed(run.seed + (team.rank << 40))
        network = config.build(self._data, choices.sizes, noise)
        counts: Tensor = torch.from_numpy(self._target.counts())
        network.initialise(torch.Generator().manual_seed(run.seed), counts)
        network.to(self._device)
        positions = choices.batch_positions * team.size
        shared = {f.name for f in fields(Settings)} & {f.name for f in fields(config)}
        settings = {name: getattr(config, name) for name in shared}
        settings |= {
            "learning_rate": choices.learning_rate, "weight_decay": choices.weight_decay, "epochs": choices.epochs
        }  # fmt: skip
        valid, watch = self._valid, self._watch
        trainer = Trainer(
            network, self._batches.through(positions), Settings(**settings), run, epoch_tokens=self._tokens, generator=noise,
            validation=PairValidation(network, valid, positions, config.BY, team) if valid is not None else None,
            team=team, choices=asdict(choices),
            watch=(lambda: watch(Seq2SeqModel(network))) if watch is not None and team.rank == 0 else None,
        )  # fmt: skip
        return network, trainer


def _dropout(epochs: float) -> float:
    """The more often the same text is read, the more."""
    for limit, rate in ((2.0, 0.0), (6.0, 0.1), (15.0, 0.2)):
        if epochs <= limit:
            return rate
    return 0.3
