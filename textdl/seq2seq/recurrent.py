"""A recurrent encoder-decoder (Sutskever et al. 2014; Cho et al. 2014), with attention or without, so that one sees the difference.

    m_s = cells over u_1 .. u_S, from both sides         the encoder (Schuster and Paliwal 1997)
    h_0 = tanh(B (last forward, last backward))          for each tensor of each decoder layer's state
    h_t = cells over w_0 .. w_t, from h_0                the decoder
    e_ts = score(h_t, m_s)                               multiplicative: h_t W m_s           (Luong et al. 2015, `general`)
                                                         additive: v tanh(W h_t + U m_s)     (Bahdanau et al. 2015)
    c_t = sum_s softmax_s(e_ts) m_s                      the context
    g_t = tanh(C (c_t, h_t))                             (Luong et al. 2015, equation 5); without attention g_t = tanh(C h_t)
    P(w_{t+1}) = softmax(E g_t + b)

All that a decoder without attention knows of a source is h_0, a vector, however long the source is. Attention here looks
from the state after the present token, as in Luong et al.; what it saw is not fed into the next step (no input feeding), so
that in training all steps are one call of the cells and one product of attention.

Memory: lengths (N,), the states h_0 of the decoder layers, each (N, D), and with attention m W or U m (N, S, D) and
m (N, S, 2 D). State: that of the cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.errors import UsageError
from textdl.layers.bidirectional import Bidirectional
from textdl.layers.dropout import LockedDropout
from textdl.layers.network import States
from textdl.layers.recurrent import CELLS, RecurrentLayer
from textdl.layers.softmax import Softmax
from textdl.seq2seq.batching import PairData
from textdl.seq2seq.family import Seq2SeqConfig, train_pairs
from textdl.seq2seq.network import EncoderDecoder, Memory, Sharing
from textdl.training.config import Rung, check_choice

ATTENTIONS = ("multiplicative", "additive", "none")
"""What `--attention` takes."""
_CELLS = ("lstm", "gru", "elman", "elman-relu")
_ELEMENTS = 1 << 23
"""Numbers in memory at once while additive scores are worked out without gradients."""


@dataclass(frozen=True)
class Config(Seq2SeqConfig):
    """Options of `textdl train seq2seq --arch rnn`."""

    FAMILY = "seq2seq"
    COUNTS = ("size", "layers", "batch_positions")
    BY = "source"  # the cells are called anew for each length of source in a batch

    size: int | None = None
    """D, features of a token and of the decoder's cells; the encoder has as many from each side."""
    layers: int | None = None
    """Of the encoder, and of the decoder."""
    cell: str = "lstm"
    """lstm, gru, elman or elman-relu."""
    attention: str = "multiplicative"
    """multiplicative, additive or none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("cell", self.cell, _CELLS)
        check_choice("attention", self.attention, ATTENTIONS)

    def ladder(self, vocab_size: int) -> Sequence[Rung]:
        """See TrainingConfig."""
        return (
            Rung(0, 0, {"size": 128, "layers": 1}),
            Rung(50_000, 2_000_000, {"size": 256, "layers": 1}),
            Rung(200_000, 10_000_000, {"size": 384, "layers": 1}),
        )

    def adamw_rate(self, sizes: Mapping[str, int], vocab_size: int) -> float:
        """See TrainingConfig."""
        return 2e-3

    def build(self, data: PairData, sizes: Mapping[str, int], generator: torch.Generator) -> EncoderDecoder:
        """See Seq2SeqConfig."""
        return RecurrentSeq2Seq(
            source_vocab_size=data.source.vocab_size, vocab_size=data.target.vocab_size, joint=data.joint, cell=self.cell,
            attention=self.attention, generator=generator, **sizes,
        )  # fmt: skip


class RecurrentSeq2Seq(EncoderDecoder):
    """Embeddings, cells on both sides, attention between them, softmax."""

    arch = "rnn"

    def __init__(
        self, *, source_vocab_size: int, vocab_size: int, joint: bool, size: int, layers: int = 1, cell: str = "lstm",
        attention: str = "multiplicative", generator: torch.Generator | None = None,
    ):  # fmt: skip
        """
        Args:
            joint: source and target have one vocabulary, and share its matrix.
            generator: where dropout draws from, on the network's device.

        Raises:
            UsageError: an unknown cell or attention.
        """
        super().__init__()
        for option, value, known in (("cell", cell, _CELLS), ("attention", attention, ATTENTIONS)):
            if value not in known:
                raise UsageError(f"--{option} {value}: there is none of that name. Choose one of: {', '.join(known)}.")
        self._hyperparameters = {
            "source_vocab_size": source_vocab_size, "vocab_size": vocab_size, "joint": joint, "size": size,
            "layers": layers, "cell": cell, "attention": attention,
        }  # fmt: skip
        self.source_vocab_size, self.size, self.attention = source_vocab_size, size, attention
        kind: type[RecurrentLayer] = CELLS[cell]
        self.dropout = LockedDropout(0.0, generator or torch.Generator())
        self.encoder = nn.ModuleList(Bidirectional(kind, size if i == 0 else 2 * size, size) for i in range(layers))
        self.layers = nn.ModuleList(kind(size, size) for _ in range(layers))
        self.bridge = nn.ParameterList(
            nn.Parameter(torch.zeros(size, 2 * size)) for layer in self.layers for _ in range(layer.tensors)
        )
        looks = attention != "none"
        self.key = nn.Parameter(torch.zeros(size, 2 * size)) if looks else None
        self.query = nn.Parameter(torch.zeros(size, size)) if attention == "additive" else None
        self.score = nn.Parameter(torch.zeros(size)) if attention == "additive" else None
        self.combine = nn.Parameter(torch.zeros(size, 3 * size if looks else size))
        self.softmax: Softmax = Softmax(vocab_size, size)
        self.source_embedding = None if joint else nn.Parameter(torch.zeros(source_vocab_size, size))

    def initialise(self, generator: torch.Generator, counts: Tensor | None = None) -> None:
        """Random weights. counts: (V,), of the ids in the target side of the training text."""
        for layer in (*self.encoder, *self.layers):
            layer.initialise(generator)
        self.softmax.initialise(generator, counts)
        matrices = [*self.bridge, self.key, self.query, self.combine, self.source_embedding]
        with torch.no_grad():
            for matrix in matrices:
                if matrix is not None:
                    matrix.normal_(0.0, 1.0 / math.sqrt(matrix.shape[1]), generator=generator)
            if self.score is not None:
                self.score.normal_(0.0, 1.0 / math.sqrt(self.size), generator=generator)

    def read(self, sources: Tensor, lengths: Tensor) -> Memory:
        """See EncoderDecoder."""
        if self.source_embedding is None:
            x = self.softmax.embed(sources)
        else:
            x = F.embedding(sources, self.source_embedding)
        x = self.dropout(x * math.sqrt(self.size))
        ends: list[Tensor] = []
        for layer in self.encoder:
            x, after_last, after_first = layer(x, lengths)
            x = self.dropout(x)
            ends += [torch.cat(pair, dim=1) for pair in zip(after_last, after_first, strict=True)]
        begun = [torch.tanh(F.linear(end, weight)) for end, weight in zip(ends, self.bridge, strict=True)]
        if self.key is None:
            return lengths, *begun
        return lengths, *begun, F.linear(x, self.key.to(x.dtype)), x

    def begin(self, memory: Memory) -> States:
        """See EncoderDecoder."""
        return memory[1 : 1 + len(self.bridge)]

    def force(self, sources: Tensor, lengths: Tensor, ids: Tensor, target_lengths: Tensor) -> Tensor:
        """See EncoderDecoder."""
        memory = self.read(sources, lengths)
        hidden, _ = self._decoded(ids, memory, self.begin(memory))
        return hidden

    def step(
        self, ids: Tensor, memory: Memory, state: States, sharing: Sharing | None = None
    ) -> tuple[Tensor, States]:  # fmt: skip
        """See EncoderDecoder."""
        hidden, after = self._decoded(ids[:, None], memory, state, sharing)
        return hidden[:, 0], after

    def _decoded(
        self, ids: Tensor, memory: Memory, state: States, sharing: Sharing | None = None
    ) -> tuple[Tensor, States]:  # fmt: skip
        """Target ids (B, T) to hidden vectors (B, T, D), and the state after the last. sharing: only where T is 1."""
        y, after = self._cells(ids, state)
        if self.attention == "none":
            seen = y
        else:
            looking = y if sharing is None else sharing.together(y)
            context = self._weights(looking, memory) @ memory[-1].to(y.dtype)
            seen = torch.cat((context if sharing is None else sharing.apart(context), y), dim=2)
        g = torch.tanh(F.linear(seen, self.combine.to(seen.dtype)))
        return self.dropout(g).float(), after

    def _cells(self, ids: Tensor, state: States) -> tuple[Tensor, States]:
        """(B, T, D) what the decoder's cells make of its own past."""
        y = self.dropout(self.softmax.embed(ids) * math.sqrt(self.size))
        after: list[Tensor] = []
        for layer in self.layers:
            y, new = layer(y, state[len(after) : len(after) + layer.tensors])
            y = self.dropout(y)
            after.extend(new)
        return y, tuple(after)

    def _weights(self, y: Tensor, memory: Memory) -> Tensor:
        """(B, T, S) how y (B, T, D) looks at the source."""
        lengths, keys = memory[0], memory[-2].to(y.dtype)
        if self.score is None or self.query is None:
            scores = y @ keys.transpose(1, 2)
        else:
            scores = self._additive(F.linear(y, self.query.to(y.dtype)), keys, self.score.to(y.dtype))
        if not bool((lengths == keys.shape[1]).all()):
            behind = torch.arange(keys.shape[1], device=y.device) >= lengths[:, None, None]
            scores = scores.masked_fill(behind, -math.inf)
        return scores.softmax(dim=2)

    @staticmethod
    def _additive(queries: Tensor, keys: Tensor, score: Tensor) -> Tensor:
        """(B, T, D) and (B, S, D) to (B, T, S). Without gradients some steps at a time: T x S x D numbers are many."""
        size = max(1, queries.shape[1] if torch.is_grad_enabled() else _ELEMENTS // max(1, keys.numel()))
        return torch.cat([torch.tanh(q[:, :, None] + keys[:, None]) @ score for q in queries.split(size, dim=1)], dim=1)

    def look(self, source: Tensor, ids: Tensor) -> Tensor | None:
        """See EncoderDecoder."""
        if self.attention == "none":
            return None
        memory = self.read(source[None], torch.tensor([len(source)], device=source.device))
        y, _ = self._cells(ids[None], self.begin(memory))
        return self._weights(y, memory)[0]

    def hyperparameters(self) -> dict[str, Any]:
        return dict(self._hyperparameters)


fit = train_pairs
