"""What all neural language models do alike: the options of training, what is chosen where they are left open, `fit`.

A family is a network and a Config of its own, which says what sizes there are and how the network is built from
them. What is left open is chosen so:

- The network: the largest on the family's ladder for which the corpus is long enough, and for which training will see
  as many tokens as that size needs to be better than a smaller one. With a budget that is found by trying: each
  size in turn takes a few real steps, whose speed says how many tokens the budget is good for.
- The batch: as many rows as leave _STEPS steps or more to be taken; a power of 2 from 16 to 64.
- Dropout: the more, the more often the same text is read.

All of it is in Run.figures["config"], and in the checkpoint, which a resumed training follows without trying again.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from textdl.arguments import option
from textdl.checkpoint import Progress
from textdl.encoded import Encoded
from textdl.errors import CorpusError, UsageError
from textdl.layers.device import named_device
from textdl.layers.language_model import Network, TorchLanguageModel
from textdl.protocols import Floats, Run, ScorePolicy, TrainingData
from textdl.training.batching import TextCut, TrainingBatches
from textdl.training.loop import Trainer
from textdl.training.objective import Validation
from textdl.training.optimisers import OPTIMISERS
from textdl.training.parallel import Team, joined, local_device
from textdl.training.plan import Plan, Settings
from textdl.training.schedule import SCHEDULES

_STEPS = 300
"""Steps that training should have, before rows are put side by side to save time."""
_PROBED_ROWS = 32
"""Rows of a batch while sizes are tried."""
_FEW_TYPES = 1000
"""Below it types are characters, not words."""


@dataclass(frozen=True)
class Rung:
    """A size of network, and when it is worth its time."""

    corpus: int
    """Tokens of the training text, at least."""
    trained: int
    """Tokens that training sees, at least; a text read twice counts twice."""
    sizes: Mapping[str, int]
    """By the names of the Config."""


def characters(vocab_size: int) -> bool:
    """Whether the pieces are characters rather than words, going by how many types there are."""
    return vocab_size < _FEW_TYPES


@dataclass(frozen=True)
class TrainingConfig:
    """The options of training. None: chosen by the corpus and the time there is, and written to the card."""

    FAMILY: ClassVar[str]
    """What a user types."""
    COUNTS: ClassVar[tuple[str, ...]] = ()
    """The family's own fields that are whole numbers of at least 1."""

    context: Literal["line", "stream"] = "line"
    """`line`: lines are independent, the state is reset; `stream`: one text, the state is carried over lines."""
    batch_size: int | None = None
    """Rows side by side, in each process; lines of ordinary length side by side where lines are independent."""
    accumulate: int = 1
    """Batches whose gradients make one step."""
    dropout: float | None = None
    """Probability of dropping a feature; None: by the number of passes over the data."""
    optimiser: str = "adamw"
    """One of training/optimisers.py."""
    learning_rate: float | None = None
    """The highest rate of the schedule."""
    schedule: str = "cosine"
    """How the rate falls; one of training/schedule.py."""
    warmup: float = 0.03
    """Share of training during which the rate rises."""
    weight_decay: float | None = None
    """On matrices; None: what suits the optimiser."""
    clip: float = 1.0
    """The gradient is scaled down to this norm."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all ids."""
    ema: float = 0.0
    """Decay of a moving average of the weights, which is the result where it validates better; 0: none."""
    epochs: float | None = None
    """Passes over the data, where no --budget says how long."""
    patience: int = 5
    """Validations without improvement after which training stops."""
    unk_rate: float = 0.25
    """Share of the tokens of types seen once that are read as <unk>, drawn anew in each epoch."""
    precision: str | None = None
    """float32, or bfloat16 for products while training; None: bfloat16 where the hardware has it and is faster so."""
    compile: bool = False
    """Whether torch compiles the network first."""
    device: str | None = None
    """cpu, cuda, cuda:1 or mps; None: the GPU where there is one."""

    def __post_init__(self) -> None:
        """Raises UsageError with the option that is wrong."""
        for name, known in (
            ("context", ("line", "stream")),
            ("optimiser", tuple(OPTIMISERS)),
            ("schedule", SCHEDULES),
            ("precision", (None, "float32", "bfloat16")),
        ):
            check_choice(name, getattr(self, name), known)
        for name in (*self.COUNTS, "batch_size", "accumulate", "patience"):
            value = getattr(self, name)
            if value is not None and (value < 1 or int(value) != value):
                raise UsageError(f"{option(name)} {value}: expected a whole number of at least 1.")
        for name in ("learning_rate", "clip", "epochs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{option(name)} {value}: expected a number above 0.")
        check_shares(self, "dropout", "warmup", "unk_rate", "label_smoothing", "ema")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"--weight-decay {self.weight_decay}: expected 0 or more.")

    # What a family says of itself

    @abstractmethod
    def ladder(self, vocab_size: int) -> Sequence[Rung]:
        """Sizes from small to large; the first is for any corpus and time. What is set in the Config takes precedence."""

    @abstractmethod
    def steps(self, sizes: Mapping[str, int], vocab_size: int) -> int:
        """Tokens of a row in a batch."""

    @abstractmethod
    def adamw_rate(self, sizes: Mapping[str, int], vocab_size: int) -> float:
        """The learning rate that suits AdamW."""

    @abstractmethod
    def network(self, vocab_size: int, sizes: Mapping[str, int], generator: torch.Generator) -> Network:
        """The network, not yet initialised. generator: where dropout draws from."""

    def set_dropout(self, network: Network, rate: float) -> None:
        """Once the number of passes is known. `dropout` is what is asked for, `rate` what is meant where that is None."""
        network.dropout.rate = rate


def check_choice(name: str, value: str | None, known: Sequence[str | None]) -> None:
    """Raises UsageError where an option is none of the known ones."""
    if value not in known:
        names = [choice for choice in known if choice is not None]
        expected = " or ".join(names) if len(names) == 2 else f"one of: {', '.join(names)}"
        raise UsageError(f"{option(name)} {value}: expected {expected}.")


def check_shares(config: TrainingConfig, *names: str) -> None:
    """Raises UsageError where one of these options is no share."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value < 1:
            raise UsageError(f"{option(name)} {value}: expected at least 0 and below 1.")


@dataclass(frozen=True)
class Choices:
    """What a Config left open. JSON."""

    sizes: dict[str, int]
    bptt: int
    """Tokens of a row in a batch; of a Transformer, the window."""
    batch_size: int
    learning_rate: float
    weight_decay: float
    epochs: float


def train_network(
    data: TrainingData,
    config: TrainingConfig,
    *,
    valid: Encoded | None = None,
    run: Run | None = None,
    embeddings: Floats | None = None,
) -> TorchLanguageModel:
    """The `fit` of every family. Same seed and no deadline: same weights on the same machine and threads.

    Goes on from run.checkpoint, if that has something to go on from, and writes it. As one of run.ranks processes it
    trains together with the others.

    Args:
        embeddings: (V, D) vectors that the input embedding begins with; rows of zeros where there is none.

    Raises:
        CorpusError: there is nothing to train on.
        TextdlError: the loss became infinite or NaN, also with a lower learning rate.
    """
    run = run or Run()
    text = data.epoch(0)
    if text.tokens + len(text) == 0:
        raise CorpusError(f"training {config.FAMILY}: the corpus has no lines. Give it some text.")
    device = local_device(named_device(config.device), run)
    if run.checkpoint is not None:
        run.checkpoint.check({"the kind of device": device.type, "the processes": run.ranks})
    with joined(run, device) as team:
        found = run.checkpoint.load() if run.checkpoint is not None else None
        training = _Training(data, config, valid, run, embeddings, device, team)
        return training.train(found)


class _Training:
    """One training: what was chosen, and the network and the trainer made of it."""

    def __init__(
        self, data: TrainingData, config: TrainingConfig, valid: Encoded | None, run: Run, embeddings: Floats | None,
        device: torch.device, team: Team,
    ) -> None:  # fmt: skip
        self._config, self._run, self._device, self._team = config, run, device, team
        self._valid = valid if valid is not None and len(valid) > 0 else None
        self._vocab_size = data.vocab_size
        self._text = data.epoch(0)
        self._tokens = self._text.tokens + len(self._text)
        self._embeddings = None if embeddings is None else torch.from_numpy(np.array(embeddings, np.float32))
        self._batches = TrainingBatches(data, self._cut(1, 1), config.unk_rate, run)
        self._default_epochs = config.epochs or min(40.0, max(2.0, round(10e6 / self._tokens)))

    def train(self, found: Progress | None) -> TorchLanguageModel:
        config, run = self._config, self._run
        choices = self._choose() if found is None else Choices(**found.state["choices"])
        trainer = self._trainer(choices)
        plan = trainer.plan() if found is None else Plan(**found.state["plan"])
        rate = _dropout(plan.epochs) if config.dropout is None else config.dropout
        config.set_dropout(trainer.network, rate)
        asked = {name: value for name, value in asdict(config).items() if value is not None}
        run.figures["config"] = {
            **asked, **asdict(choices), **choices.sizes, "dropout": rate, "epochs": plan.epochs,
            "precision": plan.precision, "device": str(self._device), "processes": self._team.size,
        }  # fmt: skip
        run.figures["config"].pop("sizes")
        if found is None:
            sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in choices.sizes.items())
            parameters = sum(p.numel() for p in trainer.network.parameters())
            run.note(
                f"Network: {sizes}; {parameters:,} parameters, batches of {choices.batch_size} rows, dropout {rate:g}."
            )
        trainer.train(plan, found)
        return TorchLanguageModel(trainer.network, ScorePolicy(unit=config.context))

    # Choices

    def _choose(self) -> Choices:
        """By the rules at the top of this file."""
        config, tokens = self._config, self._tokens
        ladder = [rung for rung in config.ladder(self._vocab_size) if rung.corpus <= tokens]
        if self._run.deadline is None:
            trained = self._default_epochs * tokens
            sizes = [self._sizes(rung) for rung in ladder if rung.trained <= trained][-1]
        else:
            sizes, trained = self._largest_affordable(ladder, self._run.deadline)
        return self._choices(sizes, config.batch_size or self._rows(trained, sizes))

    def _sizes(self, rung: Rung) -> dict[str, int]:
        """Of a rung, with what the Config says already."""
        sizes = {name: getattr(self._config, name) or value for name, value in rung.sizes.items()}
        if self._embeddings is not None and getattr(self._config, "embedding_size", None) is None:
            sizes["embedding_size"] = self._embeddings.shape[1]
        return sizes

    def _largest_affordable(self, ladder: Sequence[Rung], deadline: float) -> tuple[dict[str, int], float]:
        """Sizes, and the tokens that training will see."""
        best: dict[str, int] = {}
        trained = 0.0
        for rung in ladder:
            sizes = self._sizes(rung)
            if best and (trained < rung.trained or sizes == best):
                break
            (left,) = self._team.agree(max(0.0, deadline - time.monotonic()))
            choices = self._choices(sizes, self._config.batch_size or _PROBED_ROWS)
            affordable = 0.9 * left * self._trainer(choices).speed(min(3.0, 0.01 * left))
            if best and affordable < rung.trained:
                break
            best, trained = sizes, affordable
        return best, trained

    def _rows(self, trained: float, sizes: Mapping[str, int]) -> int:
        steps = self._config.steps(sizes, self._vocab_size)
        lengths = np.minimum(np.diff(self._text.offsets) + 1, steps)
        row = float(lengths.mean()) if self._config.context == "line" else steps
        rows = trained / (_STEPS * row * self._config.accumulate * self._team.size)
        return int(2 ** min(6, max(4, math.floor(math.log2(max(rows, 1.0))))))

    def _choices(self, sizes: dict[str, int], rows: int) -> Choices:
        config = self._config
        optimiser = OPTIMISERS[config.optimiser]
        return Choices(
            sizes=sizes,
            bptt=config.steps(sizes, self._vocab_size),
            batch_size=rows,
            learning_rate=config.learning_rate or optimiser.rate * config.adamw_rate(sizes, self._vocab_size),
            weight_decay=optimiser.weight_decay if config.weight_decay is None else config.weight_decay,
            epochs=self._default_epochs,
        )

    # What is made of them

    def _cut(self, steps: int, rows: int) -> TextCut:
        """A batch is that of all processes together."""
        return TextCut(self._config.context, steps, rows * self._team.size, self._text)

    def _trainer(self, choices: Choices) -> Trainer:
        config, run, team = self._config, self._run, self._team
        # Each process drops other features, of other rows.
        noise = torch.Generator(self._device).manual_seed(run.seed + (team.rank << 40))
        network = config.network(self._vocab_size, choices.sizes, noise)
        counts: Tensor = torch.from_numpy(self._text.counts())
        network.initialise(torch.Generator().manual_seed(run.seed), counts, *self._begin_with())
        network.to(self._device)
        cut = self._cut(choices.bptt, choices.batch_size)
        shared = {f.name for f in fields(Settings)} & {f.name for f in fields(config)}
        settings = {name: getattr(config, name) for name in shared}
        settings |= {
            "learning_rate": choices.learning_rate, "weight_decay": choices.weight_decay, "epochs": choices.epochs
        }  # fmt: skip
        return Trainer(
            network, self._batches.through(cut), Settings(**settings), run, epoch_tokens=self._tokens, generator=noise,
            validation=Validation(network, self._valid, cut, team) if self._valid is not None else None,
            team=team, choices=asdict(choices),
        )  # fmt: skip

    def _begin_with(self) -> tuple[Tensor, ...]:
        return () if self._embeddings is None else (self._embeddings,)


def _dropout(epochs: float) -> float:
    """The more often the same text is read, the more."""
    for limit, rate in ((1.5, 0.0), (4.0, 0.1), (10.0, 0.2), (20.0, 0.3)):
        if epochs <= limit:
            return rate
    return 0.4
