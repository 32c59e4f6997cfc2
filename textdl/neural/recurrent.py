"""Recurrent language models (Elman 1990; Mikolov et al. 2010; with LSTM: Sundermeyer, Schlueter and Ney 2012).

    e_t = E w_t + ...                embedding of the token before, for the first of a line of </s>; where `ngrams` is
                                     above 1, of the last few together too (ngram_embedding.py)
    h_t = cell(e_t, h_{t-1})         one or more layers
    P(w_{t+1}) = softmax(E P h_t + b)

With `tied`, input and output share the one matrix E, and P is a matrix of its own (Press and Wolf 2017; Inan et
al. 2017). Without P the cell must speak the language of its input: by character that cost 0.07 nats. The bias b
begins as the logarithm of the frequencies, so training starts from the unigram model.

Dropout is locked over time (Gal and Ghahramani 2016) on embeddings, between layers and on outputs; of whole types
and of recurrent weights (Merity et al. 2018) it is there and off. Layer normalisation (Ba et al. 2016) stands before each
layer, not at each gate, so that the kernels of the cells stay as they are.

Sizes left open follow the corpus and the time there is, see family.py. Left out: averaged SGD and activation penalties (Merity et al. 2018), which need hundreds of epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.errors import UsageError
from textdl.layers.adaptive_softmax import output_layer
from textdl.layers.dropout import EmbeddingDropout, LockedDropout, WeightDropout
from textdl.layers.embedding import begin_with
from textdl.layers.language_model import Network, States, TorchLanguageModel
from textdl.layers.ngram_embedding import NgramEmbedding
from textdl.layers.recurrent import CELLS, Jordan
from textdl.layers.recurrent.jordan import Output
from textdl.layers.softmax import Softmax
from textdl.neural.family import LanguageModelConfig, characters, train_network
from textdl.storage import Reader
from textdl.training.config import Rung, check_choice, check_shares


@dataclass(frozen=True)
class Config(LanguageModelConfig):
    """Options of `textdl train rnn`."""

    FAMILY = "rnn"
    COUNTS = ("embedding_size", "hidden_size", "layers", "bptt", "ngrams")

    cell: str = "lstm"
    """The recurrent cell: lstm, gru, elman, elman-relu or jordan."""
    embedding_size: int | None = None
    """Features of a token."""
    hidden_size: int | None = None
    """Features of the cell."""
    layers: int = 1
    """Cells on top of each other."""
    ngrams: int | None = None
    """Tokens that are looked up together, at most."""
    tied: bool = True
    """One matrix for input and output, with a projection before the output."""
    layer_norm: bool = False
    """Whether what goes into each layer is normalised."""
    residual: bool = False
    """Whether each layer adds to what it is given."""
    cutoffs: tuple[int, ...] = ()
    """The first id of each cluster of an adaptive softmax; none: the full one."""
    bptt: int | None = None
    """Steps through which gradients flow. Longer lines are read in parts."""
    embedding_dropout: float = 0.0
    """Probability of dropping a type from a batch."""
    weight_dropout: float = 0.0
    """Probability of dropping a recurrent weight from a batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("cell", self.cell, tuple(CELLS))
        check_shares(self, "embedding_dropout", "weight_dropout")

    def ladder(self, vocab_size: int) -> Sequence[Rung]:
        """See TrainingConfig."""
        # With many types, nearly all time and memory of a step go into matrices of V by the embedding size.
        few = characters(vocab_size)
        wide = 128 if few or vocab_size > 40_000 else 256
        rungs = [
            Rung(0, 0, {"embedding_size": 128, "hidden_size": 192, "ngrams": 1}),
            Rung(100_000, 0, {"embedding_size": wide, "hidden_size": 384, "ngrams": 1}),
        ]
        if few:
            rungs.append(Rung(500_000, 10_000_000, {"embedding_size": wide, "hidden_size": 512, "ngrams": 1}))
        return rungs

    def steps(self, sizes: Mapping[str, int], vocab_size: int) -> int:
        """See LanguageModelConfig."""
        return self.bptt or (128 if self.context == "line" else 64 if characters(vocab_size) else 35)

    def adamw_rate(self, sizes: Mapping[str, int], vocab_size: int) -> float:
        """See TrainingConfig."""
        return 4e-3 if sizes["hidden_size"] > 400 or not characters(vocab_size) else 8e-3

    def network(self, vocab_size: int, sizes: Mapping[str, int], generator: torch.Generator) -> Network:
        """See LanguageModelConfig."""
        return RecurrentNetwork(
            vocab_size=vocab_size, cell=self.cell, layers=self.layers, tied=self.tied, layer_norm=self.layer_norm,
            residual=self.residual, cutoffs=self.cutoffs, generator=generator,
            embedding_size=sizes["embedding_size"], hidden_size=sizes["hidden_size"], ngrams=sizes["ngrams"],
        )  # fmt: skip

    def set_dropout(self, network: Network, rate: float) -> None:
        """See TrainingConfig."""
        super().set_dropout(network, rate)
        network.embedding_dropout.rate = self.embedding_dropout
        network.weight_dropout.rate = self.weight_dropout


class RecurrentNetwork(Network):
    """Embedding, recurrent layers, output layer."""

    def __init__(
        self, *, vocab_size: int, cell: str, embedding_size: int, hidden_size: int, layers: int, tied: bool,
        ngrams: int = 1, layer_norm: bool = False, residual: bool = False, cutoffs: Sequence[int] = (),
        bidirectional: bool = False, generator: torch.Generator | None = None,
    ):  # fmt: skip
        """
        Args:
            tied: one matrix for input and output.
            ngrams: tokens that are looked up together, at most.
            layer_norm: what goes into each layer, and comes out of the last, has mean 0 and variance 1 at each step.
            residual: each layer adds to what it is given, where the sizes agree.
            cutoffs: of an adaptive softmax; none: the full one.
            bidirectional: refused, and why.
            generator: where dropout draws from, on the network's device.

        Raises:
            UsageError: an unknown cell, or options that do not go together.
        """
        super().__init__()
        if cell not in CELLS:
            raise UsageError(f"--cell {cell}: there is no such cell. Choose one of: {', '.join(CELLS)}.")
        if bidirectional:
            raise UsageError(
                "a bidirectional network cannot be a left-to-right language model: when it predicts a word it has "
                "already read that word, from the right. Leave out bidirectional; encoders may have it."
            )
        if cell == "jordan" and (layers > 1 or layer_norm or residual or cutoffs):
            raise UsageError(
                "--cell jordan: its output is fed back from the one hidden layer through the full softmax, so it takes "
                "neither --layers above 1 nor layer normalisation, residual connections or an adaptive softmax."
            )
        if ngrams < 1:
            raise UsageError(f"--ngrams {ngrams}: expected 1, for single tokens, or more.")
        generator = generator or torch.Generator()
        self._hyperparameters = {
            "vocab_size": vocab_size, "cell": cell, "embedding_size": embedding_size, "hidden_size": hidden_size,
            "layers": layers, "tied": tied, "ngrams": ngrams, "layer_norm": layer_norm, "residual": residual, "cutoffs": list(cutoffs),
        }  # fmt: skip
        self.layer_norm, self.residual = layer_norm, residual
        self.embedding_size = embedding_size
        self.dropout = LockedDropout(0.0, generator)
        self.embedding_dropout = EmbeddingDropout(0.0, generator)
        self.weight_dropout = WeightDropout(0.0, generator)
        sizes = [embedding_size] + [hidden_size] * layers
        self.layers = nn.ModuleList(CELLS[cell](a, b, self.weight_dropout) for a, b in pairwise(sizes))
        output_size = embedding_size if tied else hidden_size
        self.projection = nn.Parameter(torch.zeros(output_size, hidden_size)) if tied else None
        self.ngrams = NgramEmbedding(vocab_size, embedding_size, ngrams) if ngrams > 1 else None
        self.softmax = output_layer(vocab_size, output_size, cutoffs)
        self.embedding = None if tied else nn.Parameter(torch.zeros(vocab_size, embedding_size))

    def initialise(
        self, generator: torch.Generator, counts: Tensor | None = None, embeddings: Tensor | None = None
    ) -> None:
        """Random weights.

        Args:
            generator: of the random numbers.
            counts: (V,) of the ids in the training text.
            embeddings: (V, embedding_size), word vectors to begin with; all 0 where there is none.

        Raises:
            UsageError: the embeddings do not fit.
        """
        for layer in self.layers:
            layer.initialise(generator)
        self.softmax.initialise(generator, counts)
        with torch.no_grad():
            for matrix in (self.embedding, self.projection):
                if matrix is not None:
                    matrix.normal_(0.0, 1.0 / math.sqrt(matrix.shape[1]), generator=generator)
        if embeddings is not None:
            if self.embedding is None:
                self.softmax.begin_with(embeddings)
            else:
                begin_with(self.embedding, embeddings)

    def initial_state(self, rows: int) -> States:
        """Of each layer; and the ids before the first, where n-grams are looked up."""
        before = () if self.ngrams is None else (self.ngrams.nothing_before(rows),)
        return (*before, *(tensor for layer in self.layers for tensor in layer.initial_state(rows)))

    def forward(self, ids: Tensor, state: States) -> tuple[Tensor, States]:
        # A row of the matrix has norm 1 at the start, which suits the softmax; a cell wants features of variance 1.
        x = self.softmax.embed(ids) if self.embedding is None else F.embedding(ids, self.embedding)
        after: list[Tensor] = []
        if self.ngrams is not None:
            x = x + self.ngrams(ids, state[0])
            after.append(torch.cat((state[0], ids), dim=1)[:, ids.shape[1] :])
        x = self.embedding_dropout(x * math.sqrt(self.embedding_size), ids, self.vocab_size)
        x = self.dropout(x)
        for layer in self.layers:
            before = state[len(after) : len(after) + layer.tensors]
            into = self._normalised(x)
            y, new = layer(into, before, self._output()) if isinstance(layer, Jordan) else layer(into, before)
            y = self.dropout(y)
            x = x + y if self.residual and x.shape == y.shape else y
            after.extend(new)
        x = self._normalised(x)
        if self.projection is not None:
            x = F.linear(x, self.projection.to(x.dtype))
        return x.float(), tuple(after)

    def _normalised(self, x: Tensor) -> Tensor:
        """Without gain and bias: the matrix that follows can do what they would."""
        return F.layer_norm(x, x.shape[-1:]) if self.layer_norm else x

    def _output(self) -> Output:
        """What a Jordan network feeds back."""
        assert isinstance(self.softmax, Softmax)
        weight = self.softmax.weight
        embedding = weight if self.embedding is None else self.embedding
        return Output(weight, self.softmax.bias, self.projection, embedding, math.sqrt(self.embedding_size))

    def hyperparameters(self) -> dict[str, Any]:
        return dict(self._hyperparameters)


fit = train_network


def load(reader: Reader) -> TorchLanguageModel:
    """The model that `TorchLanguageModel.save` wrote."""
    return TorchLanguageModel.load(reader, RecurrentNetwork)
