"""Recurrent language models (Mikolov et al. 2010; with LSTM: Sundermeyer, Schlueter and Ney 2012).

    e_t = E w_t                      embedding of the token before; for the first of a line, of </s>
    h_t = cell(e_t, h_{t-1})         one or more layers
    P(w_{t+1}) = softmax(E P h_t + b)

With `tied`, input and output share the one matrix E, and P is a matrix of its own (Press and Wolf 2017; Inan et
al. 2017). Without P the cell must speak the language of its input: by character that cost 0.07 nats. Dropout is locked over time (Gal and Ghahramani
2016) on embeddings, between layers and on outputs. The bias b begins as the logarithm of the frequencies, so
training starts from the unigram model.

Sizes left open follow the size of the corpus, dropout and passes the time there is; what was chosen is in
Run.figures. Left out: dropped recurrent weights, averaged SGD and activation penalties (Merity et al. 2018),
which need hundreds of epochs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.encoded import Encoded
from textdl.errors import CorpusError, UsageError
from textdl.layers.device import best_device
from textdl.layers.dropout import LockedDropout
from textdl.layers.language_model import Network, States, TorchLanguageModel
from textdl.layers.recurrent import CELLS
from textdl.layers.softmax import Softmax
from textdl.protocols import Run, ScorePolicy, TrainingData
from textdl.storage import Reader
from textdl.training.batching import TextCut, TrainingBatches
from textdl.training.loop import Settings, Trainer
from textdl.training.objective import Validation


@dataclass(frozen=True)
class Config:
    """Options of `textdl train rnn`. None: chosen by the size of the corpus and written to the card."""

    cell: str = "lstm"
    """The recurrent cell: lstm."""
    context: Literal["line", "stream"] = "line"
    """`line`: lines are independent, the state is reset; `stream`: one text, the state is carried over lines."""
    embedding_size: int | None = None
    """Features of a token."""
    hidden_size: int | None = None
    """Features of the cell."""
    layers: int = 1
    """Cells on top of each other."""
    tied: bool = True
    """One matrix for input and output, with a projection before the output."""
    dropout: float | None = None
    """Probability of dropping a feature; None: by the number of passes over the data."""
    bptt: int | None = None
    """Steps through which gradients flow. Longer lines are read in parts."""
    batch_size: int = 32
    """Rows side by side; lines of ordinary length side by side where lines are independent."""
    learning_rate: float | None = None
    """The highest rate of the schedule."""
    warmup: float = 0.03
    """Share of training during which the rate rises."""
    weight_decay: float = 0.1
    """AdamW's, on matrices."""
    clip: float = 1.0
    """The gradient is scaled down to this norm."""
    epochs: float | None = None
    """Passes over the data, where no --budget says how long."""
    patience: int = 5
    """Validations without improvement after which training stops."""
    unk_rate: float = 0.25
    """Share of the tokens of types seen once that are read as <unk>, drawn anew in each epoch."""

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise UsageError(f"--cell {self.cell}: there is no such cell. Choose one of: {', '.join(CELLS)}.")
        if self.context not in ("line", "stream"):
            raise UsageError(f"--context {self.context}: expected line or stream.")
        for name in ("embedding_size", "hidden_size", "layers", "bptt", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and (value < 1 or int(value) != value):
                raise UsageError(f"{_option(name)} {value}: expected a whole number of at least 1.")
        for name in ("learning_rate", "clip", "epochs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{_option(name)} {value}: expected a number above 0.")
        for name in ("dropout", "warmup", "unk_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UsageError(f"{_option(name)} {value}: expected at least 0 and below 1.")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"--weight-decay {self.weight_decay}: expected 0 or more.")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class _Chosen:
    """What a Config left open."""

    embedding_size: int
    hidden_size: int
    bptt: int
    learning_rate: float
    epochs: float


def _choose(config: Config, tokens: int, vocab_size: int) -> _Chosen:
    """tokens: predictions in an epoch."""
    few = vocab_size < 1000  # characters, not words
    # With many types, nearly all time and memory of a step go into matrices of V by the embedding size.
    small = few or tokens < 100_000 or vocab_size > 40_000
    return _Chosen(
        embedding_size=config.embedding_size or (128 if small else 256),
        hidden_size=config.hidden_size or (192 if tokens < 100_000 else 384),
        bptt=config.bptt or (128 if config.context == "line" else 64 if few else 35),
        learning_rate=config.learning_rate or (8e-3 if few else 4e-3),
        epochs=config.epochs or min(40.0, max(2.0, round(10e6 / tokens))),
    )


def _dropout(epochs: float) -> float:
    """The more often the same text is read, the more."""
    for limit, rate in ((1.5, 0.0), (4.0, 0.1), (10.0, 0.2), (20.0, 0.3)):
        if epochs <= limit:
            return rate
    return 0.4


class RecurrentNetwork(Network):
    """Embedding, recurrent layers, softmax."""

    def __init__(
        self, *, vocab_size: int, cell: str, embedding_size: int, hidden_size: int, layers: int, tied: bool,
        generator: torch.Generator | None = None,
    ):  # fmt: skip
        """generator: where dropout draws from, on the network's device."""
        super().__init__()
        generator = generator or torch.Generator()
        self._hyperparameters = {
            "vocab_size": vocab_size, "cell": cell, "embedding_size": embedding_size, "hidden_size": hidden_size,
            "layers": layers, "tied": tied,
        }  # fmt: skip
        self.hidden_size = hidden_size
        sizes = [embedding_size] + [hidden_size] * layers
        self.layers = nn.ModuleList(CELLS[cell](a, b) for a, b in pairwise(sizes))
        self.dropout = LockedDropout(0.0, generator)
        output_size = embedding_size if tied else hidden_size
        self.projection = nn.Parameter(torch.zeros(output_size, hidden_size)) if tied else None
        self.softmax = Softmax(vocab_size, output_size)
        self.embedding = None if tied else nn.Parameter(torch.zeros(vocab_size, embedding_size))

    def initialise(self, generator: torch.Generator, counts: Tensor | None = None) -> None:
        """Random weights. counts (V,): of the ids in the training text."""
        for layer in self.layers:
            layer.initialise(generator)
        self.softmax.initialise(generator, counts)
        with torch.no_grad():
            for matrix in (self.embedding, self.projection):
                if matrix is not None:
                    matrix.normal_(0.0, 1.0 / math.sqrt(matrix.shape[1]), generator=generator)

    def initial_state(self, rows: int) -> States:
        tensors = sum(layer.tensors for layer in self.layers)
        return tuple(torch.zeros(rows, self.hidden_size, device=self.device) for _ in range(tensors))

    def forward(self, ids: Tensor, state: States) -> tuple[Tensor, States]:
        matrix = self.softmax.weight if self.embedding is None else self.embedding
        # A row of the matrix has norm 1 at the start, which suits the softmax; a cell wants features of variance 1.
        x = self.dropout(F.embedding(ids, matrix) * math.sqrt(matrix.shape[1]))
        after: list[Tensor] = []
        for layer in self.layers:
            before = state[len(after) : len(after) + layer.tensors]
            x, new = layer(x, before)
            x = self.dropout(x)
            after.extend(new)
        return (x if self.projection is None else x @ self.projection.T), tuple(after)

    def hyperparameters(self) -> dict[str, Any]:
        return dict(self._hyperparameters)


def fit(
    data: TrainingData, config: Config, *, valid: Encoded | None = None, run: Run | None = None
) -> TorchLanguageModel:
    """Train a recurrent language model. Same seed and no deadline: same weights on the same machine and threads.

    Raises:
        CorpusError: there is nothing to train on.
        TextdlError: the loss became infinite or NaN.
    """
    run = run or Run()
    text = data.epoch(0)
    tokens = text.tokens + len(text)
    if tokens == 0:
        raise CorpusError("training rnn: the corpus has no lines. Give it some text.")
    chosen = _choose(config, tokens, data.vocab_size)
    device = best_device()
    noise = torch.Generator(device).manual_seed(run.seed)
    network = RecurrentNetwork(
        vocab_size=data.vocab_size, cell=config.cell, embedding_size=chosen.embedding_size,
        hidden_size=chosen.hidden_size, layers=config.layers, tied=config.tied, generator=noise,
    )  # fmt: skip
    network.initialise(torch.Generator().manual_seed(run.seed), torch.from_numpy(text.counts()))
    network.to(device)

    cut = TextCut(config.context, chosen.bptt, config.batch_size, text)
    batches = TrainingBatches(data, cut, config.unk_rate, run)
    trainer = Trainer(
        network,
        batches,
        Settings(
            learning_rate=chosen.learning_rate, warmup=config.warmup, weight_decay=config.weight_decay,
            clip=config.clip, epochs=chosen.epochs, patience=config.patience,
        ),
        run,
        epoch_tokens=tokens,
        generator=noise,
        validation=Validation(network, valid, cut) if valid is not None and len(valid) > 0 else None,
    )  # fmt: skip
    plan = trainer.plan()
    network.dropout.rate = _dropout(plan.epochs) if config.dropout is None else config.dropout
    run.figures["config"] = {
        **asdict(config), **asdict(chosen), "dropout": network.dropout.rate, "epochs": plan.epochs
    }  # fmt: skip
    trainer.train(plan)
    return TorchLanguageModel(network, ScorePolicy(unit=config.context))


def load(reader: Reader) -> TorchLanguageModel:
    """The model that `TorchLanguageModel.save` wrote."""
    return TorchLanguageModel.load(reader, RecurrentNetwork)
