"""The options that every training of a network has, and what a family says of itself.

What is left open is chosen by choosing.py.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textdl.arguments import option
from textdl.errors import UsageError
from textdl.layers.network import Network
from textdl.training.optimisers import OPTIMISERS
from textdl.training.schedule import SCHEDULES


@dataclass(frozen=True)
class Rung:
    """A size of network, and when it is worth its time."""

    corpus: int
    """Tokens of the training text, at least."""
    trained: int
    """Tokens that training sees, at least; a text read twice counts twice."""
    sizes: Mapping[str, int]
    """By the names of the Config."""


@dataclass(frozen=True)
class TrainingConfig:
    """The options of training. None: chosen by the corpus and the time there is, and written to the card."""

    FAMILY: ClassVar[str]
    """What a user types."""
    COUNTS: ClassVar[tuple[str, ...]] = ()
    """The family's own fields that are whole numbers of at least 1."""
    PASSES: ClassVar[tuple[float, float, float]] = (2.0, 40.0, 10e6)
    """Over the data, where nothing says how many: at least, at most, and between them as many as make so many tokens."""
    DROPOUTS: ClassVar[tuple[tuple[float, float], ...]] = (
        (1.5, 0.0), (4.0, 0.1), (10.0, 0.2), (20.0, 0.3), (math.inf, 0.4)
    )  # fmt: skip
    """(passes, dropout up to so many): the more often the same text is read, the more."""

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
            ("optimiser", tuple(OPTIMISERS)),
            ("schedule", SCHEDULES),
            ("precision", (None, "float32", "bfloat16")),
        ):
            check_choice(name, getattr(self, name), known)
        check_counts(self, *self.COUNTS, "accumulate", "patience")
        for name in ("learning_rate", "clip", "epochs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{option(name)} {value}: expected a number above 0.")
        check_shares(self, "dropout", "warmup", "unk_rate", "label_smoothing", "ema")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"--weight-decay {self.weight_decay}: expected 0 or more.")

    def passes(self, tokens: int) -> float:
        """Over data of so many tokens, where there is no --budget."""
        least, most, seen = self.PASSES
        return self.epochs or min(most, max(least, round(seen / tokens)))

    def dropout_for(self, passes: float) -> float:
        """What is set, or what suits so many passes over the data."""
        if self.dropout is not None:
            return self.dropout
        return next(rate for limit, rate in self.DROPOUTS if passes <= limit)

    # What a family says of itself

    @abstractmethod
    def ladder(self, vocab_size: int) -> Sequence[Rung]:
        """Sizes from small to large; the first is for any corpus and time. What is set in the Config takes precedence."""

    @abstractmethod
    def adamw_rate(self, sizes: Mapping[str, int], vocab_size: int) -> float:
        """The learning rate that suits AdamW."""

    def set_dropout(self, network: Network, rate: float) -> None:
        """Once the number of passes is known. `dropout` is what is asked for, `rate` what is meant where that is None."""
        network.dropout.rate = rate


def check_choice(name: str, value: str | None, known: Sequence[str | None]) -> None:
    """Raises UsageError where an option is none of the known ones."""
    if value not in known:
        names = [choice for choice in known if choice is not None]
        expected = " or ".join(names) if len(names) == 2 else f"one of: {', '.join(names)}"
        raise UsageError(f"{option(name)} {value}: expected {expected}.")


def check_counts(config: TrainingConfig, *names: str) -> None:
    """Raises UsageError where one of these options is set and no whole number of at least 1."""
    for name in names:
        value = getattr(config, name)
        if value is not None and (not 1 <= value < 1 << 31 or int(value) != value):
            raise UsageError(f"{option(name)} {value}: expected a whole number of at least 1, below 2^31.")


def check_shares(config: TrainingConfig, *names: str) -> None:
    """Raises UsageError where one of these options is no share."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value < 1:
            raise UsageError(f"{option(name)} {value}: expected at least 0 and below 1.")
