"""What all neural language models do alike: how text is cut into batches, `fit`.

A family is a network and a Config of its own, which says what sizes there are and how the network is built from
them. What is left open is chosen by training/choosing.py; here: a batch has as many rows as leave _STEPS steps or more to be
taken, a power of 2 from 16 to 64.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from textdl.encoded import Encoded
from textdl.errors import CorpusError
from textdl.layers.language_model import Network, TorchLanguageModel
from textdl.protocols import Floats, Run, ScorePolicy, TrainingData
from textdl.training.batching import Batch, TextCut, TrainingBatches
from textdl.training.choosing import Choices, Training, trained
from textdl.training.config import Rung, TrainingConfig, check_choice, check_counts
from textdl.training.objective import Validation

_STEPS = 300
"""Steps that training should have, before rows are put side by side to save time."""
_PROBED_ROWS = 32
"""Rows of a batch while sizes are tried."""
_FEW_TYPES = 1000
"""Below it types are characters, not words."""


def characters(vocab_size: int) -> bool:
    """Whether the pieces are characters rather than words, going by how many types there are."""
    return vocab_size < _FEW_TYPES


@dataclass(frozen=True)
class LanguageModelConfig(TrainingConfig):
    """The options of `train nnlm`, `rnn` and `transformer`."""

    context: Literal["line", "stream"] = "line"
    """`line`: lines are independent, the state is reset; `stream`: one text, the state is carried over lines."""
    batch_size: int | None = None
    """Rows side by side, in each process; lines of ordinary length side by side where lines are independent."""

    def __post_init__(self) -> None:
        """See TrainingConfig."""
        super().__post_init__()
        check_choice("context", self.context, ("line", "stream"))
        check_counts(self, "batch_size")

    @abstractmethod
    def steps(self, sizes: Mapping[str, int], vocab_size: int) -> int:
        """Tokens of a row in a batch; of a Transformer, the window."""

    @abstractmethod
    def network(self, vocab_size: int, sizes: Mapping[str, int], generator: torch.Generator) -> Network:
        """The network, not yet initialised. generator: where dropout draws from."""


def train_network(
    data: TrainingData,
    config: LanguageModelConfig,
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

    def made(device: torch.device, team: Any) -> Training:
        return _TextTraining(data, valid, embeddings, config, run, device, team)

    return TorchLanguageModel(trained(config, run, made), ScorePolicy(unit=config.context))


class _TextTraining(Training):
    """Lines, or a stream of them."""

    config: LanguageModelConfig

    def __init__(self, data: TrainingData, valid: Encoded | None, embeddings: Floats | None, *given: Any) -> None:
        self._text = data.epoch(0)
        super().__init__(*given, vocab_size=data.vocab_size, tokens=self._text.tokens + len(self._text))
        self._valid = valid if valid is not None and len(valid) > 0 else None
        self._embeddings = None if embeddings is None else torch.from_numpy(np.array(embeddings, np.float32))
        self._batches = TrainingBatches(data, self._cut(1, 1), self.config.unk_rate, self.run)

    def sizes(self, rung: Rung) -> dict[str, int]:
        """Vectors to begin with are as long as they are."""
        sizes = super().sizes(rung)
        if self._embeddings is not None and getattr(self.config, "embedding_size", None) is None:
            sizes["embedding_size"] = self._embeddings.shape[1]
        return sizes

    def network(self, choices: Choices, noise: torch.Generator) -> Network:
        return self.config.network(self.vocab_size, choices.sizes, noise)

    def initialise(self, network: Network) -> None:
        counts: Tensor = torch.from_numpy(self._text.counts())
        network.initialise(
            torch.Generator().manual_seed(self.run.seed),
            counts,
            *(() if self._embeddings is None else (self._embeddings,)),
        )

    def probed_batch(self, sizes: dict[str, int]) -> dict[str, int]:
        return self._rows(sizes, _PROBED_ROWS)

    def batch(self, sizes: dict[str, int], trained: float) -> dict[str, int]:
        steps = self.config.steps(sizes, self.vocab_size)
        lengths = np.minimum(np.diff(self._text.offsets) + 1, steps)
        row = float(lengths.mean()) if self.config.context == "line" else steps
        rows = trained / (_STEPS * row * self.config.accumulate * self.team.size)
        return self._rows(sizes, int(2 ** min(6, max(4, math.floor(math.log2(max(rows, 1.0)))))))

    def _rows(self, sizes: dict[str, int], usual: int) -> dict[str, int]:
        return {"bptt": self.config.steps(sizes, self.vocab_size), "batch_size": self.config.batch_size or usual}

    def batches(self, choices: Choices) -> Callable[[int], Iterator[Batch]]:
        return self._batches.through(self._cut(**choices.batch))

    def batches_told(self, choices: Choices) -> str:
        return f"{choices.batch['batch_size']} rows"

    def validation(self, network: Network, choices: Choices) -> Validation | None:
        return None if self._valid is None else Validation(network, self._valid, self._cut(**choices.batch), self.team)

    def _cut(self, bptt: int, batch_size: int) -> TextCut:
        """A batch is that of all processes together."""
        return TextCut(self.config.context, bptt, batch_size * self.team.size, self._text)
