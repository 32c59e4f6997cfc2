"""The Transformer as it was published: an encoder and a decoder (Vaswani et al. 2017).

    x_s = sqrt(D) E u_s + ...                    source tokens and </s>
    x_s = layer(x_1 .. x_S)                      N times: self-attention, all see all; feed-forward
    m   = norm(x)                                the memory
    y_t = sqrt(D) E w_t + ...                    </s>, then target tokens
    y_t = layer(y_1 .. y_t, m)                   N times: self-attention under a causal mask; cross-attention, where
                                                 queries are of y and keys and values of m; feed-forward
    P(w_{t+1}) = softmax(E R norm(y_t) + b)

With a joint vocabulary, source, target and output share the matrix E (Press and Wolf 2017; Vaswani et al. 2017, 3.4); else the
source has one of its own. R, random at first (as in the output of BERT, Devlin et al. 2019), is not in the papers. Without it
E norm(y_t) is greatest at w_t itself, by some 9 nats at D 128, since y_t begins as its embedding; a new network learns to drown
that in a constant, and hardly anything else for hundreds of steps.

Normalisation, positions and initialisation are those of layers/transformer.py. Trained in bfloat16 where the processor has
it in hardware; what a trained model says is float32.

Whole sources and targets are read end to end, without padding (layers/packing.py); a step of translating has rows of one token.

Memory: lengths (N,), then the keys and values of each decoder layer, (N, H, S, E). State: how many positions each
row has seen (B,), and the keys and values of the decoder's own past, (B, layers, 2, H, room, E).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.encoded import BOS
from textdl.errors import UsageError
from textdl.layers.attention import LayerCache, MultiHeadAttention
from textdl.layers.device import fast_bfloat16
from textdl.layers.dropout import Dropout
from textdl.layers.masks import Causal, Padding, View
from textdl.layers.network import States
from textdl.layers.packing import Packing
from textdl.layers.positions import POSITIONS, Rotation
from textdl.layers.residual import norm
from textdl.layers.softmax import Softmax
from textdl.layers.transformer import ACTIVATIONS, FeedForward, Layer, Stream
from textdl.seq2seq.batching import PairData
from textdl.seq2seq.family import Seq2SeqConfig, train_pairs
from textdl.seq2seq.network import EncoderDecoder, Memory, Sharing
from textdl.training.config import Rung, check_choice

_ACROSS = 2.0
"""How sharply a new decoder looks at the source, g of attention.py: what it learns lies between 1.3 and 1.9."""
_ROOM = 32
"""Positions that a cache has room for, at least."""
LONGEST = 1024
"""Positions that `learned` has vectors for; what lies behind shares the last one."""


@dataclass(frozen=True)
class Config(Seq2SeqConfig):
    """Options of `textdl train seq2seq --arch transformer`."""

    FAMILY = "seq2seq"
    COUNTS = ("size", "heads", "layers", "decoder_layers", "inner_size", "batch_positions")

    size: int | None = None
    """D, features of a token."""
    heads: int | None = None
    """Of attention; they share the features."""
    layers: int | None = None
    """Of the encoder, and of the decoder."""
    decoder_layers: int | None = None
    """Of the decoder, where it has another number."""
    inner_size: int | None = None
    """Features of the feed-forward net; None: four times those of a token."""
    positions: str = "sinusoidal"
    """sinusoidal, rotary, learned or none."""
    activation: str = "relu2"
    """relu2 or gelu."""
    norm: str = "pre"
    """pre or post: where normalisation stands."""
    optimiser: str = "muon"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("positions", self.positions, tuple(POSITIONS))
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_choice("norm", self.norm, ("pre", "post"))

    def ladder(self, vocab_size: int) -> Sequence[Rung]:
        """See TrainingConfig."""
        return (
            Rung(0, 0, {"size": 128, "heads": 2, "layers": 2}),
            Rung(50_000, 4_000_000, {"size": 192, "heads": 4, "layers": 3}),
            Rung(1_000_000, 8_000_000, {"size": 256, "heads": 4, "layers": 4}),
        )

    def adamw_rate(self, sizes: Mapping[str, int], vocab_size: int) -> float:
        """See TrainingConfig."""
        return 3e-3 * math.sqrt(128 / sizes["size"])

    def build(self, data: PairData, sizes: Mapping[str, int], generator: torch.Generator) -> EncoderDecoder:
        """See Seq2SeqConfig."""
        return TransformerSeq2Seq(
            source_vocab_size=data.source.vocab_size, vocab_size=data.target.vocab_size, joint=data.joint,
            decoder_layers=self.decoder_layers, inner_size=self.inner_size, positions=self.positions,
            activation=self.activation, post_norm=self.norm == "post", generator=generator, **sizes,
        )  # fmt: skip


class EncoderLayer(Layer):
    """Self-attention and feed-forward, of rows end to end."""

    def __init__(
        self, size: int, heads: int, inner_size: int, activation: str, dropout: Dropout, *, post_norm: bool
    ) -> None:  # fmt: skip
        super().__init__(dropout, post_norm=post_norm)
        self.attention = MultiHeadAttention(size, heads)
        self.feed_forward = FeedForward(size, inner_size, activation)

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights."""
        self.attention.initialise(generator)
        self.feed_forward.initialise(generator)

    def forward(self, stream: Stream, at: Packing, rotation: Rotation | None) -> Stream:
        """Of x (N, D)."""
        stream = self.added(stream, lambda x: self.attention.packed(x, at, rotation))
        return self.added(stream, self.feed_forward)


class DecoderLayer(Layer):
    """Self-attention under a causal mask, cross-attention, feed-forward."""

    def __init__(
        self, size: int, heads: int, inner_size: int, activation: str, dropout: Dropout, *, post_norm: bool
    ) -> None:  # fmt: skip
        super().__init__(dropout, post_norm=post_norm)
        self.attention = MultiHeadAttention(size, heads)
        self.cross = MultiHeadAttention(size, heads)
        self.feed_forward = FeedForward(size, inner_size, activation)

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights."""
        self.attention.initialise(generator)
        self.cross.initialise(generator, _ACROSS)
        self.feed_forward.initialise(generator)

    def forward(self, stream: Stream, at: Packing, rotation: Rotation | None, memory: tuple[Tensor, Packing]) -> Stream:
        """Of y (N, D), whole targets end to end."""
        stream = self.added(stream, lambda y: self.attention.packed(y, at, rotation, causal=True))
        stream = self.added(stream, lambda y: self.cross.packed(y, at, memory=memory))
        return self.added(stream, self.feed_forward)

    def step(
        self, stream: Stream, view: View, rotation: Rotation | None, cache: LayerCache, keys_values: tuple[Tensor, Tensor],
        source_view: View, sharing: Sharing | None,
    ) -> Stream:  # fmt: skip
        """Of y (B, 1, D), one token more of each row.

        Args:
            view, rotation, cache: of its own past, see MultiHeadAttention.forward.
            keys_values: of the memory, `cross.keys_values(memory)`; source_view: who looks at what of it.
            sharing: see EncoderDecoder.step.
        """

        def across(y: Tensor) -> Tensor:
            if sharing is None:
                return self.cross.across(y, keys_values, source_view)
            return sharing.apart(self.cross.across(sharing.together(y), keys_values, source_view))

        stream = self.added(stream, lambda y: self.attention(y, view, rotation, cache))
        stream = self.added(stream, across)
        return self.added(stream, self.feed_forward)


class TransformerSeq2Seq(EncoderDecoder):
    """Embeddings, encoder layers, decoder layers, softmax."""

    arch = "transformer"

    def __init__(
        self, *, source_vocab_size: int, vocab_size: int, joint: bool, size: int, heads: int, layers: int,
        decoder_layers: int | None = None, inner_size: int | None = None, positions: str = "sinusoidal",
        activation: str = "relu2", post_norm: bool = False, generator: torch.Generator | None = None,
    ):  # fmt: skip
        """
        Args:
            joint: source and target have one vocabulary, and share its matrix.
            size: D, features of a token.
            layers: of the encoder, and of the decoder where decoder_layers is None.
            inner_size: of the feed-forward nets; None: 4 D.
            generator: where dropout draws from, on the network's device.

        Raises:
            UsageError: an unknown name, or sizes that do not fit each other.
        """
        super().__init__()
        for option, value, known in (("positions", positions, POSITIONS), ("activation", activation, ACTIVATIONS)):
            if value not in known:
                raise UsageError(f"--{option} {value}: there is none of that name. Choose one of: {', '.join(known)}.")
        if joint and source_vocab_size != vocab_size:
            raise UsageError(
                f"a joint vocabulary is one: source and target cannot have {source_vocab_size:,} and {vocab_size:,} types."
            )
        inner_size = inner_size or 4 * size
        decoder_layers = decoder_layers or layers
        self._hyperparameters: dict[str, Any] = {
            "source_vocab_size": source_vocab_size, "vocab_size": vocab_size, "joint": joint, "size": size, "heads": heads,
            "layers": layers, "decoder_layers": decoder_layers, "inner_size": inner_size, "positions": positions,
            "activation": activation, "post_norm": post_norm,
        }  # fmt: skip
        self.source_vocab_size = source_vocab_size
        self._low: Tensor | None = None
        self.size, self.heads, self.post_norm = size, heads, post_norm
        self.dropout = Dropout(0.0, generator or torch.Generator())
        self.layers = nn.ModuleList(
            EncoderLayer(size, heads, inner_size, activation, self.dropout, post_norm=post_norm) for _ in range(layers)
        )
        self.decoder_layers = nn.ModuleList(
            DecoderLayer(size, heads, inner_size, activation, self.dropout, post_norm=post_norm)
            for _ in range(decoder_layers)
        )
        self.positions = POSITIONS[positions](size, heads, LONGEST)
        self.softmax: Softmax = Softmax(vocab_size, size)
        self.turn = nn.Parameter(torch.zeros(size, size))  # R
        self.source_embedding = None if joint else nn.Parameter(torch.zeros(source_vocab_size, size))

    def initialise(self, generator: torch.Generator, counts: Tensor | None = None) -> None:
        """Random weights. counts: (V,), of the ids in the target side of the training text."""
        for layer in (*self.layers, *self.decoder_layers):
            layer.initialise(generator)
        self.positions.initialise(generator)
        self.softmax.initialise(generator, counts)
        with torch.no_grad():
            for matrix in (self.source_embedding, self.turn):
                if matrix is not None:
                    matrix.normal_(0.0, 1.0 / math.sqrt(self.size), generator=generator)

    def force(self, sources: Tensor, lengths: Tensor, ids: Tensor, target_lengths: Tensor) -> Tensor:
        """See EncoderDecoder."""
        memory = self._encoded(sources, lengths)
        at = Packing(target_lengths, self.heads)
        stream, rotation = self._embedded(self.softmax.embed(at.pack(ids)), at.positions)
        for layer in self.decoder_layers:
            stream = layer(stream, at, rotation, memory)
        return at.unpack(self._hidden(stream), ids.shape[1])

    def read(self, sources: Tensor, lengths: Tensor) -> Memory:
        """See EncoderDecoder."""
        packed, at = self._encoded(sources, lengths)
        memory = at.unpack(packed, sources.shape[1])
        return lengths, *(part for layer in self.decoder_layers for part in layer.cross.keys_values(memory))

    def _encoded(self, sources: Tensor, lengths: Tensor) -> tuple[Tensor, Packing]:
        """(N, D), and where each source is in it."""
        at = Packing(lengths, self.heads)
        ids = at.pack(sources)
        embedded = self.softmax.embed(ids) if self.source_embedding is None else F.embedding(ids, self.source_embedding)
        stream, rotation = self._embedded(embedded, at.positions)
        for layer in self.layers:
            stream = layer(stream, at, rotation)
        return stream[1], at

    def _embedded(self, x: Tensor, positions: Tensor) -> tuple[Stream, Rotation | None]:
        """Embeddings of length about 1 as features of variance 1, with their positions."""
        x = self.positions.add(x * math.sqrt(self.size), positions)
        if (self.training or self._low is not None) and fast_bfloat16(x.device):
            x = x.bfloat16()
        x = self.dropout(x)
        return (x, x if self.post_norm else norm(x)), self.positions.rotation(positions, x.dtype)

    def begin(self, memory: Memory) -> States:
        """See EncoderDecoder."""
        lengths = memory[0]
        shape = (len(lengths), len(self.decoder_layers), 2, self.heads, _ROOM, self.size // self.heads)
        # Zeros, not any numbers: what is masked is still multiplied, and 0 times not-a-number is none.
        return torch.zeros_like(lengths), torch.zeros(shape, dtype=memory[1].dtype, device=lengths.device)

    def step(
        self, ids: Tensor, memory: Memory, state: States, sharing: Sharing | None = None
    ) -> tuple[Tensor, States]:  # fmt: skip
        """See EncoderDecoder."""
        lengths, cache = state
        low, high = (int(n) for n in torch.aminmax(lengths)) if len(lengths) else (0, 0)
        end, room = high + 1, cache.shape[4]
        if end > room:
            cache = F.pad(cache, (0, 0, 0, room))
        positions = lengths[:, None]
        first: int | Tensor
        if low == high and len(ids):  # the same for all rows: no table, and nothing is written row by row
            positions, first, view = positions[0], low, View()
        else:
            first, view = positions, View.at(Causal(), positions, end)
        sources = memory[1].shape[2]
        full = bool((memory[0] == sources).all())
        source_view = View() if full else View.of(Padding(memory[0]), 1, sources, ids.device)
        stream, rotation = self._embedded(self.softmax.embed(ids)[:, None], positions)
        for i, (layer, kept) in enumerate(zip(self.decoder_layers, cache.unbind(1), strict=True)):
            keys_values = memory[2 * i + 1 : 2 * i + 3]
            stream = layer.step(stream, view, rotation, LayerCache(kept, first, end), keys_values, source_view, sharing)
        return self._hidden(stream)[:, 0], (lengths + 1, cache)

    def _hidden(self, stream: Stream) -> Tensor:
        """(..., D) what the decoder has made of its tokens, as the softmax takes it."""
        read = stream[1]
        return F.linear(read, self.turn.to(read.dtype)).float()

    def look(self, source: Tensor, ids: Tensor) -> Tensor | None:
        """See EncoderDecoder: the mean over the heads of the decoder layer whose heads are the most of one mind.

        A layer in which the heads look at the same token says which source token a target token is made from; in
        others they divide the work.
        """
        memory = self._encoded(source[None], torch.tensor([len(source)], device=source.device))
        at = Packing(torch.tensor([len(ids)], device=ids.device), self.heads)
        stream, rotation = self._embedded(self.softmax.embed(at.pack(ids[None])), at.positions)
        looked = []
        for layer in self.decoder_layers:
            _, query = layer.added(stream, lambda y, layer=layer: layer.attention.packed(y, at, rotation, causal=True))
            keys, _ = layer.cross.keys_values(memory[0][None, : len(source)])
            looked.append(layer.cross.weights(query[None, : len(ids)], keys, View())[0])
            stream = layer(stream, at, rotation, memory)
        by_layer = torch.stack(looked).mean(1)  # (layers, T, S)
        return by_layer[int(by_layer.amax(2).mean(1).argmax())]

    @torch.no_grad()
    def lowered(self) -> EncoderDecoder:
        """See EncoderDecoder."""
        if not fast_bfloat16(self.device):
            return self
        low = TransformerSeq2Seq(**self._hyperparameters)
        low.to(self.device)
        low.load_state_dict(self.state_dict())
        low.layers.bfloat16()
        low.decoder_layers.bfloat16()
        low._low = low.softmax.weight.bfloat16()
        return low

    def next_log_probabilities(self, hidden: Tensor) -> Tensor:
        """See EncoderDecoder."""
        if self._low is None:
            return self.softmax.log_probabilities(hidden)
        logits = F.linear(hidden.bfloat16(), self._low).float() + self.softmax.bias
        logits[:, BOS] = -math.inf
        return F.log_softmax(logits, dim=1)

    def hyperparameters(self) -> dict[str, Any]:
        return dict(self._hyperparameters)


fit = train_pairs
