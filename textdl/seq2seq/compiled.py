"""Translating with a Transformer on a processor: what its `read` and `step` do, as `Seq2SeqModel.quick` wants it.

torch does the products, in bfloat16 where the processor has it in hardware; layers/many_rows.py does what is between them.
Unlike the readable steps,
- keys and values lie in slots, and a row says which are its own, so a beam that drops or repeats rows moves no keys;
- sources lie end to end, and the keys and values of all layers are one product;
- E R is one matrix, so a step has one product less;
- in pre-norm, what is added up from layer to layer stays float32;
- rows come in few numbers, as oneDNN compiles a kernel for every shape it meets (3 ms each).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from textdl.encoded import BOS, EOS, Encoded
from textdl.layers import many_rows
from textdl.layers.squared_relu import squared_relu
from textdl.layers.threads import by_rows
from textdl.protocols import Candidates, Floats, Ints
from textdl.seq2seq.model import Seq2SeqModel, padded_sources
from textdl.seq2seq.network import EncoderDecoder
from textdl.seq2seq.transformer import TransformerSeq2Seq
from textdl.simd import LANES

_ROOM = 32
"""Positions of a row that its table has room for, at least."""
_SLOTS = 128
"""Slots for each source to begin with: a beam of 5 for 25 steps. Memory that is not written to is not taken."""
_POSITIONS = 8192
"""Positions of sources that are read together: bounds memory."""
_ROWS = 32
"""That are worth a thread, at least."""
_TOGETHER = 256
"""Rows whose logits are in memory at once, about what the processor has near; more rows come in multiples of it."""


def compiled(network: EncoderDecoder) -> CompiledModel | None:
    """A model that translates as fast as it can be done here; None: of another network, elsewhere, or of odd features."""
    if not isinstance(network, TransformerSeq2Seq) or network.device.type != "cpu":
        return None
    return None if network.size // network.heads % LANES else CompiledModel(network)


class _Matrix:
    """Rows that torch sees as `rows`, kernels as `flat`, where bfloat16 is uint16. Zeros at first."""

    def __init__(self, rows: int, columns: int, dtype: torch.dtype):
        low = dtype == torch.bfloat16
        self.flat: Any = np.zeros(rows * columns, np.uint16 if low else np.float32)
        self.rows: Tensor = torch.from_numpy(self.flat).view(dtype).view(rows, columns)


class _Numbers:
    """Memory for the steps of a search, so many rows at most."""

    def __init__(self, rows: int, size: int, inner_size: int, columns: int, dtype: torch.dtype):
        self.x = _Matrix(rows, size, torch.float32)
        self.normed, self.context, self.added, self.query = (_Matrix(rows, size, dtype) for _ in range(4))
        self.projected, self.inner = _Matrix(rows, 3 * size, dtype), _Matrix(rows, inner_size, dtype)
        self.logits = _Matrix(min(rows, _TOGETHER), columns, dtype)


def _made_up(rows: int) -> int:
    """To few numbers: powers of two, multiples of a quarter of _TOGETHER, multiples of it."""
    step = _TOGETHER if rows > _TOGETHER else _TOGETHER // 4
    return -(-rows // step) * step if rows > step // 2 else max(16, 1 << (rows - 1).bit_length())


def _product(x: _Matrix, weight: Tensor, result: _Matrix, rows: int) -> None:
    """result = x weight, for so many rows. There is memory for `_made_up(rows)`; what is in it behind the rows is any."""
    number = _made_up(rows)
    torch.mm(x.rows[:number], weight, out=result.rows[:number])


class _Search:
    """What all histories that go on from one `start` share."""

    def __init__(self, bounds: Ints, sources: list[Any], width: int):
        """
        Args:
            bounds: (N + 1,) where each source begins.
            sources: of each decoder layer, the keys and values it looks at, (tokens * width,); width: 2 D.
        """
        self.bounds, self.sources, self.width = bounds, sources, width
        self.used = 0
        self.slots = [np.empty(_SLOTS * len(bounds) * width, source.dtype) for source in sources]
        self.numbers: _Numbers | None = None

    def take(self, rows: int) -> Ints:
        """A new slot for each row, in all layers."""
        first, self.used = self.used, self.used + rows
        if self.used * self.width > len(self.slots[0]):
            for i, old in enumerate(self.slots):
                self.slots[i] = np.empty(2 * self.used * self.width, old.dtype)
                self.slots[i][: first * self.width] = old[: first * self.width]
        return np.arange(first, self.used)


class CompiledState:
    """What is known of B histories."""

    def __init__(self, search: _Search, owners: Ints, lengths: Ints, past: Ints):
        """owners: (B,) the source of each; lengths: (B,) its positions so far; past: (B, room) their slots."""
        self.search, self.owners, self.lengths, self.past = search, owners, lengths, past

    def select(self, rows: Ints) -> CompiledState:
        """See protocols.State."""
        return CompiledState(self.search, self.owners[rows], self.lengths[rows], self.past[rows])

    def extended(self) -> CompiledState:
        """One position more of each row. Uses up this state."""
        past, longest = self.past, int(self.lengths.max(initial=0))
        if longest == past.shape[1]:
            past = np.pad(past, ((0, 0), (0, longest)))
        past[np.arange(len(past)), self.lengths] = self.search.take(len(past))
        return CompiledState(self.search, self.owners, self.lengths + 1, past)


class CompiledModel(Seq2SeqModel):
    """A Ranking. Scores are those of the network."""

    network: TransformerSeq2Seq

    @torch.inference_mode()
    def __init__(self, network: TransformerSeq2Seq):
        """network: on a processor, each head of a multiple of `LANES` features."""
        super().__init__(network)
        layers = network.decoder_layers
        self._dtype = layers[0].attention.weight.dtype
        self._size, self._width = network.size, network.size // network.heads
        self._inner_size = len(layers[0].feed_forward.inner)
        self._post_norm = layers[0].post_norm
        self._relu2 = layers[0].feed_forward.activation is squared_relu
        self._weights = [
            tuple(
                weight.to(self._dtype).T.contiguous()
                for weight in (
                    layer.attention.weight.flatten(0, 1), layer.attention.output, layer.cross.weight[0], layer.cross.output,
                    layer.feed_forward.inner, layer.feed_forward.output,
                )
            )
            for layer in layers
        ]  # fmt: skip
        self._gains: list[tuple[Floats, Floats]] = [
            (layer.attention.gains.numpy(), layer.cross.gains.numpy()) for layer in layers
        ]
        self._keys_values = torch.cat([layer.cross.weight[1:].flatten(0, 1) for layer in layers]).to(self._dtype)
        more = -network.vocab_size % LANES
        softmax = network.softmax
        self._output = F.pad(softmax.weight @ network.turn, (0, 0, 0, more)).to(self._dtype).T.contiguous()
        bias = F.pad(softmax.bias, (0, more), value=-math.inf)
        bias[BOS] = -math.inf
        self._bias: Floats = bias.numpy()

    def quick(self) -> Seq2SeqModel:
        """See Seq2SeqModel."""
        return self

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, Any]:
        """See protocols.LanguageModel."""
        numbers, state = self._begun(contexts, prefixes)
        return self._log_probs(numbers, len(state.owners)), state

    def step(self, state: Any, last: Ints) -> tuple[Floats, Any]:
        """See protocols.LanguageModel."""
        numbers, state = self._continued(state, self._checked_ids(last))
        return self._log_probs(numbers, len(state.owners)), state

    def start_best(
        self, number: int, contexts: Encoded | None = None, prefixes: Encoded | None = None
    ) -> tuple[Candidates, CompiledState]:
        """See protocols.Ranking."""
        numbers, state = self._begun(contexts, prefixes)
        return self._best(numbers, len(state.owners), number), state

    def step_best(self, number: int, state: CompiledState, last: Ints) -> tuple[Candidates, CompiledState]:
        """See protocols.Ranking."""
        numbers, state = self._continued(state, self._checked_ids(last))
        return self._best(numbers, len(state.owners), number), state

    # ------------------------------------------------------------------ sources

    @torch.inference_mode()
    def _begun(self, contexts: Encoded | None, prefixes: Encoded | None) -> tuple[_Numbers, CompiledState]:
        """`normed` behind each prefix. A row lasts as long as its prefix."""
        sources, prefixes = self._checked_starts(contexts, prefixes)
        rows = len(sources)
        steps = np.diff(prefixes.offsets) + 1
        most = int(steps.max(initial=1))
        state = CompiledState(
            self._searched(sources), np.arange(rows), np.zeros(rows, np.int64), np.zeros((rows, most + _ROOM), np.int64)
        )
        numbers, state = self._continued(state, np.full(rows, EOS))
        hidden = numbers.normed.rows.clone()
        for step in range(1, most):
            lasting = np.flatnonzero(steps > step)
            ids = prefixes.ids[prefixes.offsets[lasting] + step - 1].astype(np.int64)
            part, after = self._continued(state.select(lasting), ids)
            state.lengths[lasting], state.past[lasting] = after.lengths, after.past
            hidden[torch.from_numpy(lasting)] = part.normed.rows[: len(lasting)]
        numbers.normed.rows.copy_(hidden)
        return numbers, state

    def _searched(self, sources: Encoded) -> _Search:
        """A search in these sources, which are read."""
        ids, lengths = padded_sources(sources, np.arange(len(sources)))
        rows = max(1, _POSITIONS // ids.shape[1])
        parts = []
        for first in range(0, max(1, len(ids)), rows):
            part = slice(first, first + rows)
            packed, at = self.network._encoded(self._tensor(ids[part]), self._tensor(lengths[part]))
            parts.append(self._slots(F.linear(packed, self._keys_values), at.tokens))
        bounds = np.concatenate(([0], np.cumsum(lengths)))
        return _Search(bounds, [np.concatenate(layer) for layer in zip(*parts, strict=True)], 2 * self._size)

    def _slots(self, projected: Tensor, tokens: int) -> list[Any]:
        """(tokens, layers * 2 D) keys and values of sources, layer by layer."""
        layers = len(self._weights)
        low = self._dtype == torch.bfloat16
        flat = (projected.view(torch.uint16) if low else projected).numpy().ravel()
        made = [np.empty(tokens * 2 * self._size, flat.dtype) for _ in range(layers)]
        for layer, slots in enumerate(made):
            many_rows.keys_values(flat, layers, layer, slots, self._size, self._width)
        return made

    # ------------------------------------------------------------------ steps

    @torch.inference_mode()
    def _continued(self, state: CompiledState, ids: Ints) -> tuple[_Numbers, CompiledState]:
        """What the decoder makes of one token more of each row, `normed`."""
        rows, size, post_norm = len(ids), self._size, self._post_norm
        lengths = state.lengths
        same = rows > 0 and bool((lengths == lengths[0]).all())
        positions = torch.from_numpy(lengths[:1] if same else lengths[:, None])
        state, search = state.extended(), state.search
        n = self._numbers(search, rows)
        network = self.network
        embedded = network.softmax.embed(torch.from_numpy(ids))[:, None] * math.sqrt(size)
        n.x.rows[:rows] = network.positions.add(embedded, positions)[:, 0]
        cos, sin = self._rotation(positions, rows)
        if post_norm:
            n.normed.rows.copy_(n.x.rows)
        else:
            many_rows.norm(n.x.flat, rows, n.normed.flat, size)
        for weights, gains, slots, sources in zip(
            self._weights, self._gains, search.slots, search.sources, strict=True
        ):
            projection, output, query, output_across, inner, output_inner = weights
            _product(n.normed, projection, n.projected, rows)
            self._attend_past(n, state, slots, gains[0], cos, sin)
            _product(n.context, output, n.added, rows)
            many_rows.add_norm(n.x.flat, n.added.flat, rows, n.normed.flat, size, post_norm)
            _product(n.normed, query, n.query, rows)
            self._attend_sources(n, state, sources, gains[1])
            _product(n.context, output_across, n.added, rows)
            many_rows.add_norm(n.x.flat, n.added.flat, rows, n.normed.flat, size, post_norm)
            _product(n.normed, inner, n.inner, rows)
            if self._relu2:
                many_rows.squared_relu(n.inner.flat, rows * self._inner_size)
            else:
                n.inner.rows.copy_(F.gelu(n.inner.rows))
            _product(n.inner, output_inner, n.added, rows)
            many_rows.add_norm(n.x.flat, n.added.flat, rows, n.normed.flat, size, post_norm)
        return n, state

    def _attend_past(
        self, n: _Numbers, state: CompiledState, slots: Any, gains: Floats, cos: Floats, sin: Floats
    ) -> None:
        size = self._size

        def some(first: int, last: int) -> None:
            many_rows.attend_past(
                n.projected.flat[3 * size * first : 3 * size * last], state.past[first:last], state.lengths[first:last], slots,
                gains, size, cos[first:last], sin[first:last], n.context.flat[size * first : size * last],
            )  # fmt: skip

        by_rows(len(state.lengths), _ROWS, some)

    def _attend_sources(self, n: _Numbers, state: CompiledState, sources: Any, gains: Floats) -> None:
        size = self._size

        def some(first: int, last: int) -> None:
            rows = slice(size * first, size * last)
            many_rows.attend_sources(
                n.query.flat[rows], state.owners[first:last], state.search.bounds, sources, gains, size,
                n.context.flat[rows],
            )  # fmt: skip

        by_rows(len(state.owners), _ROWS, some)

    def _numbers(self, search: _Search, rows: int) -> _Numbers:
        """Memory for so many rows."""
        if search.numbers is None or len(search.numbers.x.rows) < rows:
            search.numbers = _Numbers(_made_up(rows), self._size, self._inner_size, len(self._bias), self._dtype)
        return search.numbers

    def _rotation(self, positions: Tensor, rows: int) -> tuple[Floats, Floats]:
        """(B, E / 2) cosines and sines; of no columns where nothing is turned."""
        rotation = self.network.positions.rotation(positions, torch.float32)
        if rotation is None:
            nothing = np.empty((rows, 0), np.float32)
            return nothing, nothing
        cos, sin = (part.reshape(-1, part.shape[-1]).expand(rows, -1).contiguous().numpy() for part in rotation)
        return cos, sin

    @torch.inference_mode()
    def _logits(self, numbers: _Numbers, rows: int) -> Iterator[tuple[slice, Any]]:
        """Logits without their bias, some rows at a time."""
        for first in range(0, rows, _TOGETHER):
            number = min(_TOGETHER, rows - first)
            many = _made_up(number)
            torch.mm(numbers.normed.rows[first : first + many], self._output, out=numbers.logits.rows[:many])
            yield slice(first, first + number), numbers.logits.flat

    def _log_probs(self, numbers: _Numbers, rows: int) -> Floats:
        found = np.empty((rows, self.vocab_size), np.float32)
        for part, logits in self._logits(numbers, rows):
            many_rows.log_probabilities(logits, self._bias, found[part])
        return found

    def _best(self, numbers: _Numbers, rows: int, number: int) -> Candidates:
        tokens, log_probs = np.zeros((rows, number), np.int64), np.empty((rows, number), np.float32)
        ends = np.empty(rows, np.float32)
        columns = len(self._bias)
        for part, logits in self._logits(numbers, rows):
            into = tokens[part], log_probs[part], ends[part]

            def some(first: int, last: int, logits: Any = logits, into: tuple[Any, ...] = into) -> None:
                found = (array[first:last] for array in into)
                many_rows.best(logits[columns * first : columns * last], self._bias, *found)

            by_rows(part.stop - part.start, _ROWS, some)
        return Candidates(tokens, log_probs, ends)
