"""The Transformer as a language model: a decoder alone (Vaswani et al. 2017; Liu et al. 2018; GPT, Radford et al. 2018).

    x_t = sqrt(D) (E w_t + ...)          embedding of the token before, for the first of a line of </s>; where
                                         `ngrams` is above 1, of the last few together too (ngram_embedding.py)
    x_t = layer(x_1 .. x_t)              some times over: attention under a causal mask, feed-forward
    P(w_{t+1}) = softmax(E R norm(x_t) + b)

Input and output share the matrix E (Press and Wolf 2017). R, random at first (as in the output of BERT, Devlin et al. 2019),
keeps a new network from predicting the token it was fed: E norm(x_t) is greatest there, by sqrt(D) nats. At most
`window` tokens are seen at once; how longer texts are read is in layers/windows.py. Training is done in bfloat16 where
the processor has it in hardware, weights and the optimiser's sums in float32; what a trained model says is float32.

State, once there is one: how many positions each row has seen, (B,), the ids there, (B, room), and the keys and
values of all layers, (B, layers, 2, heads, room, E). It is written in place and grows by doubling. In training
and scoring nothing is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.errors import UsageError
from textdl.layers.adaptive_softmax import AdaptiveSoftmax
from textdl.layers.attention import LayerCache
from textdl.layers.device import fast_bfloat16
from textdl.layers.dropout import LockedDropout
from textdl.layers.language_model import TorchLanguageModel
from textdl.layers.masks import Causal, View
from textdl.layers.network import Network, States, WindowedNetwork
from textdl.layers.ngram_embedding import NgramEmbedding
from textdl.layers.positions import POSITIONS
from textdl.layers.residual import norm
from textdl.layers.softmax import Softmax
from textdl.layers.transformer import ACTIVATIONS, TransformerLayer
from textdl.neural.family import LanguageModelConfig, characters, train_network
from textdl.storage import Reader
from textdl.training.config import Rung, check_choice

if TYPE_CHECKING:
    from textdl.layers.one_row import OneRow

_ROOM = 32
"""Positions that a cache has room for, at least."""


class _Place(NamedTuple):
    """Where in a text the ids of a call stand."""

    positions: Tensor
    """(T,), or (B, T) where rows differ."""
    view: View
    before: Tensor
    """(B, order - 1) ids before the first, -1 where there are none."""
    caches: list[LayerCache | None]
    """A layer each; None where nothing is kept."""


@dataclass(frozen=True)
class Config(LanguageModelConfig):
    """Options of `textdl train transformer`."""

    FAMILY = "transformer"
    COUNTS = ("embedding_size", "heads", "layers", "window", "inner_size", "ngrams")

    embedding_size: int | None = None
    """D, features of a token."""
    heads: int | None = None
    """Of attention; they share the features."""
    layers: int | None = None
    """On top of each other."""
    window: int | None = None
    """Tokens seen at once."""
    inner_size: int | None = None
    """Features of the feed-forward net; None: 4 D."""
    ngrams: int | None = None
    """Tokens that are looked up together, at most."""
    positions: str = "rotary"
    """rotary, learned, sinusoidal or none."""
    activation: str = "relu2"
    """relu2 or gelu."""
    cutoffs: tuple[int, ...] = ()
    """The first id of each cluster of an adaptive softmax; none: the full one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("positions", self.positions, tuple(POSITIONS))
        check_choice("activation", self.activation, tuple(ACTIVATIONS))

    def ladder(self, vocab_size: int) -> Sequence[Rung]:
        """See TrainingConfig."""
        few = characters(vocab_size)
        ngrams = 3 if few else 1
        # Short windows are many predictions in little time; what lies further back is worth it once these are learnt.
        return (
            Rung(0, 0, {"embedding_size": 128, "heads": 2, "layers": 2, "window": 64, "ngrams": ngrams}),
            Rung(100_000, 0, {"embedding_size": 128, "heads": 2, "layers": 3, "window": 64, "ngrams": ngrams}),
            Rung(500_000, 20_000_000, {"embedding_size": 256, "heads": 4, "layers": 6, "window": 256 if few else 128, "ngrams": ngrams}),
        )  # fmt: skip

    def steps(self, sizes: Mapping[str, int], vocab_size: int) -> int:
        """See LanguageModelConfig."""
        return sizes["window"]

    def adamw_rate(self, sizes: Mapping[str, int], vocab_size: int) -> float:
        """See TrainingConfig."""
        return 4e-3 * math.sqrt(128 / sizes["embedding_size"])

    def network(self, vocab_size: int, sizes: Mapping[str, int], generator: torch.Generator) -> Network:
        """See LanguageModelConfig."""
        return TransformerNetwork(
            vocab_size=vocab_size, inner_size=self.inner_size, positions=self.positions, activation=self.activation,
            cutoffs=self.cutoffs, generator=generator, **sizes,
        )  # fmt: skip


class TransformerNetwork(WindowedNetwork):
    """Embedding, Transformer layers, softmax."""

    def __init__(
        self, *, vocab_size: int, embedding_size: int, heads: int, layers: int, window: int, inner_size: int | None = None,
        ngrams: int = 1, positions: str = "rotary", activation: str = "relu2", cutoffs: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ):  # fmt: skip
        """
        Args:
            embedding_size: D, features of a token.
            window: tokens seen at once, at most.
            inner_size: of the feed-forward net; None: 4 D.
            ngrams: tokens that are looked up together, at most.
            cutoffs: of an adaptive softmax; none: the full one.
            generator: where dropout draws from, on the network's device.

        Raises:
            UsageError: an unknown name, or sizes that do not fit each other.
        """
        super().__init__()
        for option, value, known in (("positions", positions, POSITIONS), ("activation", activation, ACTIVATIONS)):
            if value not in known:
                raise UsageError(f"--{option} {value}: there is none of that name. Choose one of: {', '.join(known)}.")
        if window < 1:
            raise UsageError(f"--window {window}: a network must see 1 token or more.")
        if ngrams < 1:
            raise UsageError(f"--ngrams {ngrams}: expected 1, for single tokens, or more.")
        size = embedding_size
        inner_size = inner_size or 4 * size
        self._hyperparameters = {
            "vocab_size": vocab_size, "embedding_size": size, "heads": heads, "layers": layers, "window": window,
            "inner_size": inner_size, "ngrams": ngrams, "positions": positions, "activation": activation,
            "cutoffs": list(cutoffs),
        }  # fmt: skip
        self.window = window
        self.size, self.heads, self.order = size, heads, ngrams
        self.dropout = LockedDropout(0.0, generator or torch.Generator())
        self.layers = nn.ModuleList(
            TransformerLayer(size, heads, inner_size, activation, self.dropout) for _ in range(layers)
        )
        self.ngrams = NgramEmbedding(vocab_size, size, ngrams)
        self.positions = POSITIONS[positions](size, heads, window)
        self.turn = nn.Parameter(torch.zeros(size, size))  # R
        self._one_row: OneRow | None = None
        self.softmax = AdaptiveSoftmax(vocab_size, size, cutoffs) if cutoffs else Softmax(vocab_size, size)

    def initialise(
        self, generator: torch.Generator, counts: Tensor | None = None, embeddings: Tensor | None = None
    ) -> None:
        """Random weights.

        Args:
            counts: (V,), of the ids in the training text.
            embeddings: (V, D), word vectors to begin with; all 0 where there is none.

        Raises:
            UsageError: the embeddings do not fit.
        """
        for layer in self.layers:
            layer.initialise(generator)
        self.positions.initialise(generator)
        self.softmax.initialise(generator, counts)
        with torch.no_grad():
            self.turn.normal_(0.0, 1.0 / math.sqrt(self.size), generator=generator)
        if embeddings is not None:
            self.softmax.begin_with(embeddings)

    def cache(self, rows: int, room: int = 0) -> States:
        self._one_row = None  # weights may have moved since
        room = min(self.window, max(_ROOM, room))
        shape = (rows, len(self.layers), 2, self.heads, room, self.size // self.heads)
        return (
            torch.zeros(rows, dtype=torch.int64, device=self.device),
            torch.zeros(rows, room, dtype=torch.int64, device=self.device),
            # Zeros, not any numbers: what is masked is still multiplied, and 0 times not-a-number is none.
            torch.zeros(shape, device=self.device),
        )

    def forward(self, ids: Tensor, state: States) -> tuple[Tensor, States]:
        place, state = self._continued(ids, state) if state else (self._begun(ids), state)
        # A row of the matrix has norm 1 at the start, which suits the softmax; a layer wants features of variance 1.
        x = (self.softmax.embed(ids) + self.ngrams(ids, place.before)) * math.sqrt(self.size)
        x = self.dropout(self.positions.add(x, place.positions))
        if self.training and fast_bfloat16(x.device):
            x = x.bfloat16()
        rotation = self.positions.rotation(place.positions, x.dtype)
        if state and ids.shape == (1, 1) and x.device.type == "cpu":
            return self._alone().hidden(x[0, 0], state[2][0], int(place.positions), rotation)[None, None], state
        stream = x, norm(x)
        for layer, cache in zip(self.layers, place.caches, strict=True):
            stream = layer(stream, place.view, rotation, cache)
        return F.linear(stream[1], self.turn.to(x.dtype)).float(), state

    def _alone(self) -> OneRow:
        if self._one_row is None:
            from textdl.layers.one_row import OneRow

            self._one_row = OneRow(self.layers, self.turn)
        return self._one_row

    def _begun(self, ids: Tensor) -> _Place:
        rows, steps = ids.shape
        return _Place(
            torch.arange(steps, device=ids.device),
            View.of(Causal(), steps, steps, ids.device),
            ids.new_full((rows, self.order - 1), -1),
            [None] * len(self.layers),
        )

    def _continued(self, ids: Tensor, state: States) -> tuple[_Place, States]:
        lengths, history, cache = state
        steps = ids.shape[1]
        low, high = (int(n) for n in torch.aminmax(lengths)) if len(lengths) else (0, 0)
        end = high + steps
        history, cache = self._with_room(history, cache, end)
        before = history[:, :0]
        if self.order > 1:
            earlier = lengths[:, None] - torch.arange(self.order - 1, 0, -1, device=ids.device)
            before = history.gather(1, earlier.clamp_min(0)).masked_fill_(earlier < 0, -1)
        positions = lengths[:, None] + torch.arange(steps, device=ids.device)
        history.scatter_(1, positions, ids)
        first: int | Tensor
        if low == high and len(ids):  # the same for all rows: no table, and nothing is written row by row
            positions, first, view = positions[0], low, View.of(Causal(), steps, end, ids.device)
        else:
            first, view = positions, View.at(Causal(), positions, end)
        caches: list[LayerCache | None] = [LayerCache(layer, first, end) for layer in cache.unbind(1)]
        return _Place(positions, view, before, caches), (lengths + steps, history, cache)

    def _with_room(self, history: Tensor, cache: Tensor, positions: int) -> tuple[Tensor, Tensor]:
        """Both with room for so many positions: twice as many as now, if now there are too few."""
        room = history.shape[1]
        if positions <= room:
            return history, cache
        assert positions <= self.window
        more = min(self.window, max(positions, 2 * room)) - room
        return F.pad(history, (0, more)), F.pad(cache, (0, 0, 0, more))

    def hyperparameters(self) -> dict[str, Any]:
        return dict(self._hyperparameters)


fit = train_network


def load(reader: Reader) -> TorchLanguageModel:
    """The model that `TorchLanguageModel.save` wrote."""
    return TorchLanguageModel.load(reader, TransformerNetwork)
