"""The feed-forward n-gram model (Bengio et al. 2003): a neural network that sees the last n - 1 words.

    x_t = (E w_{t-n+2}, ..., E w_t)          embeddings side by side; </s> where a text has not begun
    h_t = tanh(H x_t + d)
    P(w_{t+1}) = softmax(E (P h_t + Q x_t) + b)

Q x_t are the direct connections from words to output, an option. In the paper they are a matrix W of V rows of their
own; here W = E Q, of the rank of the embeddings. Without `tied` the output has a matrix other than E, which is
what the paper has, and no P.

It carries no memory but the ids themselves, so all steps of all rows are one product with H. Where n-gram counts
know a word sequence or back off, this model knows that words with like embeddings are followed alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.encoded import EOS
from textdl.errors import UsageError
from textdl.layers.adaptive_softmax import output_layer
from textdl.layers.dropout import EmbeddingDropout, LockedDropout
from textdl.layers.embedding import begin_with
from textdl.layers.language_model import Network, States, TorchLanguageModel
from textdl.neural.family import LanguageModelConfig, characters, train_network
from textdl.storage import Reader
from textdl.training.config import Rung, check_shares


@dataclass(frozen=True)
class Config(LanguageModelConfig):
    """Options of `textdl train nnlm`."""

    FAMILY = "nnlm"
    COUNTS = ("order", "embedding_size", "hidden_size", "bptt")

    order: int | None = None
    """n: a token is predicted from the n - 1 before it."""
    embedding_size: int | None = None
    """Features of a token."""
    hidden_size: int | None = None
    """Features of the hidden layer."""
    tied: bool = True
    """One matrix for input and output, with a projection before the output."""
    direct: bool = False
    """Whether there are connections from the embeddings to the output."""
    cutoffs: tuple[int, ...] = ()
    """The first id of each cluster of an adaptive softmax; none: the full one."""
    bptt: int | None = None
    """Tokens of a row in a batch. Longer lines are read in parts."""
    embedding_dropout: float = 0.0
    """Probability of dropping a type from a batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self, "embedding_dropout")

    def ladder(self, vocab_size: int) -> Sequence[Rung]:
        """See TrainingConfig."""
        order = 9 if characters(vocab_size) else 5
        wide = 64 if characters(vocab_size) else 128 if vocab_size > 40_000 else 192
        return (
            Rung(0, 0, {"order": order, "embedding_size": 64, "hidden_size": 192}),
            Rung(100_000, 0, {"order": order, "embedding_size": wide, "hidden_size": 512}),
        )

    def steps(self, sizes: Mapping[str, int], vocab_size: int) -> int:
        """See LanguageModelConfig."""
        return self.bptt or (128 if self.context == "line" else 64)

    def adamw_rate(self, sizes: Mapping[str, int], vocab_size: int) -> float:
        """See TrainingConfig."""
        return 4e-3

    def network(self, vocab_size: int, sizes: Mapping[str, int], generator: torch.Generator) -> Network:
        """See LanguageModelConfig."""
        return FeedForwardNetwork(
            vocab_size=vocab_size, tied=self.tied, direct=self.direct, cutoffs=self.cutoffs, generator=generator,
            order=sizes["order"], embedding_size=sizes["embedding_size"], hidden_size=sizes["hidden_size"],
        )  # fmt: skip

    def set_dropout(self, network: Network, rate: float) -> None:
        """See TrainingConfig."""
        super().set_dropout(network, rate)
        network.embedding_dropout.rate = self.embedding_dropout


class FeedForwardNetwork(Network):
    """Embeddings of the last words, one hidden layer, output layer. Its state: the (B, n - 2) ids before the next one."""

    def __init__(
        self, *, vocab_size: int, order: int, embedding_size: int, hidden_size: int, tied: bool, direct: bool = False,
        cutoffs: Sequence[int] = (), generator: torch.Generator | None = None,
    ):  # fmt: skip
        """
        Args:
            order: n: a word is predicted from the n - 1 before it.
            tied: one matrix for input and output.
            direct: connections from the embeddings to the output, past the hidden layer.
            cutoffs: of an adaptive softmax; none: the full one.
            generator: where dropout draws from, on the network's device.

        Raises:
            UsageError: an order below 2.
        """
        super().__init__()
        if order < 2:
            raise UsageError(f"--order {order}: a network predicts a word from those before it, so 2 is the least.")
        generator = generator or torch.Generator()
        self._hyperparameters = {
            "vocab_size": vocab_size, "order": order, "embedding_size": embedding_size, "hidden_size": hidden_size,
            "tied": tied, "direct": direct, "cutoffs": list(cutoffs),
        }  # fmt: skip
        self.order, self.embedding_size = order, embedding_size
        self.dropout = LockedDropout(0.0, generator)
        self.embedding_dropout = EmbeddingDropout(0.0, generator)
        seen = (order - 1) * embedding_size
        output_size = embedding_size if tied else hidden_size
        self.hidden = nn.Parameter(torch.zeros(hidden_size, seen))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self.projection = nn.Parameter(torch.zeros(output_size, hidden_size)) if tied else None
        self.direct = nn.Parameter(torch.zeros(output_size, seen)) if direct else None
        self.softmax = output_layer(vocab_size, output_size, cutoffs)
        self.embedding = None if tied else nn.Parameter(torch.zeros(vocab_size, embedding_size))

    def initialise(
        self, generator: torch.Generator, counts: Tensor | None = None, embeddings: Tensor | None = None
    ) -> None:
        """Random weights; direct connections begin at 0. Arguments and errors: see RecurrentNetwork.initialise."""
        self.softmax.initialise(generator, counts)
        with torch.no_grad():
            for matrix in (self.hidden, self.embedding, self.projection):
                if matrix is not None:
                    matrix.normal_(0.0, 1.0 / math.sqrt(matrix.shape[1]), generator=generator)
        if embeddings is not None:
            if self.embedding is None:
                self.softmax.begin_with(embeddings)
            else:
                begin_with(self.embedding, embeddings)

    def initial_state(self, rows: int) -> States:
        return (torch.full((rows, self.order - 2), EOS, dtype=torch.int64, device=self.device),)

    def forward(self, ids: Tensor, state: States) -> tuple[Tensor, States]:
        ids = torch.cat((state[0], ids), dim=1)
        x = self.softmax.embed(ids) if self.embedding is None else F.embedding(ids, self.embedding)
        # A row of the matrix has norm 1 at the start, which suits the softmax; tanh wants features of variance 1.
        x = self.dropout(self.embedding_dropout(x * math.sqrt(self.embedding_size), ids, self.vocab_size))
        steps = ids.shape[1] - (self.order - 2)
        seen = torch.cat([x[:, first : first + steps] for first in range(self.order - 1)], dim=2)
        y = self.dropout(torch.tanh(F.linear(seen, self.hidden, self.bias)))
        if self.projection is not None:
            y = F.linear(y, self.projection)
        if self.direct is not None:
            y = y + F.linear(seen, self.direct)
        return y, (ids[:, steps:],)

    def hyperparameters(self) -> dict[str, Any]:
        return dict(self._hyperparameters)


fit = train_network


def load(reader: Reader) -> TorchLanguageModel:
    """The model that `TorchLanguageModel.save` wrote."""
    return TorchLanguageModel.load(reader, FeedForwardNetwork)
