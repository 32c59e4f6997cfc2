"""What is chosen where a Config leaves it open, and the network and the trainer that are made of it.

- The network: the largest on the family's ladder for which the corpus is long enough, and for which training will see
  as many tokens as that size needs to be better than a smaller one. With a budget that is found by trying: each
  size in turn takes a few real steps, whose speed says how many tokens the budget is good for.
- The batch: as large as leaves enough steps to be taken.
- Dropout: the more, the more often the same text is read.

All of it is in Run.figures["config"], and in the checkpoint, which a resumed training follows without trying again.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from textdl.arguments import option
from textdl.checkpoint import Progress
from textdl.errors import TextdlError, UsageError
from textdl.layers.device import free_memory, named_device
from textdl.layers.network import Network
from textdl.protocols import Run
from textdl.training.batching import Batch
from textdl.training.config import Rung, TrainingConfig
from textdl.training.loop import Trainer, Validate
from textdl.training.optimisers import OPTIMISERS
from textdl.training.parallel import Team, joined, local_device
from textdl.training.plan import Plan, Settings

_TIMES = 6
"""Numbers in memory for each number of a network, at least: the weight, its gradient, a sum of the optimiser's, copies of the
weight and the sum to go back to, and the best weight."""


@dataclass(frozen=True)
class Choices:
    """What a Config left open. JSON."""

    sizes: dict[str, int]
    batch: dict[str, int]
    """By the names of the Config."""
    learning_rate: float
    weight_decay: float
    epochs: float


class Training(ABC):
    """One training: what was chosen, and the network and the trainer made of it."""

    def __init__(
        self, config: TrainingConfig, run: Run, device: torch.device, team: Team, *, vocab_size: int, tokens: int
    ) -> None:
        """tokens: predictions in one pass over the data, line ends included."""
        self.config, self.run, self.device, self.team = config, run, device, team
        self.vocab_size, self.tokens = vocab_size, tokens

    def train(self, found: Progress | None) -> Network:
        """From the beginning, or from where a checkpoint was written."""
        config, run = self.config, self.run
        choices = self._choose() if found is None else Choices(**found.state["choices"])
        trainer = self._trainer(choices)
        plan = trainer.plan() if found is None else Plan(**found.state["plan"])
        rate = config.dropout_for(plan.epochs)
        config.set_dropout(trainer.network, rate)
        asked = {name: value for name, value in asdict(config).items() if value is not None}
        chosen = asdict(choices)
        run.figures["config"] = {
            **asked, **chosen, **chosen["batch"], **chosen["sizes"], "dropout": rate, "epochs": plan.epochs,
            "precision": plan.precision, "device": str(self.device), "processes": self.team.size,
        }  # fmt: skip
        del run.figures["config"]["sizes"], run.figures["config"]["batch"]
        if found is None:
            sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in choices.sizes.items())
            parameters = sum(p.numel() for p in trainer.network.parameters())
            run.note(
                f"Network: {sizes}; {parameters:,} parameters, batches of {self.batches_told(choices)}, dropout {rate:g}."
            )
        trainer.train(plan, found)
        return trainer.network

    # What the kinds of training differ in

    @abstractmethod
    def network(self, choices: Choices, noise: torch.Generator) -> Network:
        """Not yet initialised. noise: where dropout draws from."""

    @abstractmethod
    def initialise(self, network: Network) -> None:
        """Random weights."""

    @abstractmethod
    def probed_batch(self, sizes: dict[str, int]) -> dict[str, int]:
        """While sizes are tried."""

    @abstractmethod
    def batch(self, sizes: dict[str, int], trained: float) -> dict[str, int]:
        """For a network of these sizes that will see so many tokens."""

    @abstractmethod
    def batches(self, choices: Choices) -> Callable[[int], Iterator[Batch]]:
        """Those of epoch 0, 1, ...; each is of all processes together."""

    @abstractmethod
    def batches_told(self, choices: Choices) -> str:
        """`64 rows`."""

    @abstractmethod
    def validation(self, network: Network, choices: Choices) -> Validate | None:
        """On held-out text, if there is any."""

    def watch(self, network: Network) -> Callable[[], dict[str, Any]] | None:
        """Called after each validation; what it returns comes into the training curve."""
        return None

    def sizes(self, rung: Rung) -> dict[str, int]:
        """Of a rung, with what the Config says already."""
        return {name: getattr(self.config, name) or value for name, value in rung.sizes.items()}

    # The same for all

    def _choose(self) -> Choices:
        """By the rules at the top of this file."""
        ladder = [rung for rung in self.config.ladder(self.vocab_size) if rung.corpus <= self.tokens]
        if self.run.deadline is None:
            trained = self.config.passes(self.tokens) * self.tokens
            sizes = [self.sizes(rung) for rung in ladder if rung.trained <= trained][-1]
        else:
            if self.config.epochs is not None:
                self.run.note(f"--epochs {self.config.epochs:g} has no effect: --budget says how long to train.")
            sizes, trained = self._largest_affordable(ladder, self.run.deadline)
        return self._choices(sizes, self.batch(sizes, trained))

    def _largest_affordable(self, ladder: Sequence[Rung], deadline: float) -> tuple[dict[str, int], float]:
        """Sizes, and the tokens that training will see."""
        best: dict[str, int] = {}
        trained = 0.0
        at_once = max(
            i for i, rung in enumerate(ladder) if rung.trained == 0
        )  # better than those before it from the start
        for rung in ladder[at_once:]:
            sizes = self.sizes(rung)
            if best and (trained < rung.trained or sizes == best):
                break
            (left,) = self.team.agree(max(0.0, deadline - time.monotonic()))
            speed = self._trainer(self._choices(sizes, self.probed_batch(sizes))).speed(min(3.0, 0.01 * left))
            affordable = 0.9 * left * speed
            if best and affordable < rung.trained:
                break
            best, trained = sizes, affordable
        return best, trained

    def _choices(self, sizes: dict[str, int], batch: dict[str, int]) -> Choices:
        config = self.config
        optimiser = OPTIMISERS[config.optimiser]
        return Choices(
            sizes=sizes,
            batch=batch,
            learning_rate=config.learning_rate or optimiser.rate * config.adamw_rate(sizes, self.vocab_size),
            weight_decay=optimiser.weight_decay if config.weight_decay is None else config.weight_decay,
            epochs=config.passes(self.tokens),
        )

    def _trainer(self, choices: Choices) -> Trainer:
        config, run, team = self.config, self.run, self.team
        # Each process drops other features, of other rows.
        noise = torch.Generator(self.device).manual_seed(run.seed + (team.rank << 40))
        with torch.device("meta"):  # shapes without memory
            self._check_memory(choices.sizes, lambda: self.network(choices, torch.Generator()))
        network = self.network(choices, noise)
        self.initialise(network)
        network.to(self.device)
        shared = {f.name for f in fields(Settings)} & {f.name for f in fields(config)}
        settings = {name: getattr(config, name) for name in shared}
        settings |= {
            "learning_rate": choices.learning_rate, "weight_decay": choices.weight_decay, "epochs": choices.epochs
        }  # fmt: skip
        return Trainer(
            network, self.batches(choices), Settings(**settings), run, epoch_tokens=self.tokens, generator=noise,
            validation=self.validation(network, choices), team=team, choices=asdict(choices), watch=self.watch(network),
        )  # fmt: skip

    def _check_memory(self, sizes: Mapping[str, int], shape: Callable[[], Network]) -> None:
        """Raises UsageError for a network that cannot be trained in the memory there is."""
        told = ", ".join(f"{option(name)} {value}" for name, value in sizes.items())
        try:
            numbers = sum(p.numel() for p in shape().parameters())
        except RuntimeError as error:  # more bytes than can be counted
            raise UsageError(f"{told}: no machine has memory for such a network. Choose a smaller one.") from error
        needed, free = 4 * _TIMES * numbers, free_memory(self.device)
        if free is not None and needed > free:
            raise UsageError(
                f"{told}: that network has {numbers:,} numbers to learn, for which training takes {needed / 1e9:,.1f} GB of "
                f"memory or more; {free / 1e9:,.1f} GB are free. Choose a smaller one."
            )


def trained(config: TrainingConfig, run: Run, make: Callable[[torch.device, Team], Training]) -> Network:
    """The network that comes of a training, which goes on from run.checkpoint if that has something to go on from.

    As one of run.ranks processes it trains together with the others.

    Raises:
        UsageError: a network for which there is no memory.
        TextdlError: the loss became infinite or NaN, also with a lower learning rate; or memory ran out.
    """
    device = local_device(named_device(config.device), run)
    if run.checkpoint is not None:
        run.checkpoint.check({"the kind of device": device.type, "the processes": run.ranks})
    with joined(run, device) as team:
        found = run.checkpoint.load() if run.checkpoint is not None else None
        try:
            return make(device, team).train(found)
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            rows = next(option(name) for name in vars(config) if name.startswith("batch_"))
            raise TextdlError(
                f"training: memory ran out ({' '.join(str(error).split()):.200}). Choose a smaller network, or a smaller {rows}: "
                "--accumulate makes one step of several batches."
            ) from error
