"""One position more of one row through all Transformer layers, in one compiled call.

What `TransformerLayer.forward` does with its cache, for a single token: matrices times vectors. Called one by one from
Python, torch's operations, 17 a layer, take ten times as long as their arithmetic; here the limit is reading the weights,
which no batch shares. From two rows on torch is as fast, and used.
"""

# ruff: noqa: ARG001  (numba passes every intrinsic its typing context)

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import carray
from numba.core import types
from numba.extending import intrinsic
from torch import Tensor

from textdl.kernels import kernel
from textdl.layers.positions import Rotation
from textdl.layers.squared_relu import squared_relu
from textdl.layers.transformer import TransformerLayer
from textdl.protocols import Floats, Ints

_EPSILON = 1e-5
"""Of torch's layer normalisation."""
_NOTHING = np.empty(0, np.float32)


class OneRow:
    """The layers of a network and what follows them, as they are now."""

    def __init__(self, layers: Sequence[TransformerLayer], turn: Tensor):
        """
        Args:
            layers: of one shape, pre-norm, float32, on a processor.
            turn: (D, D), R.
        """
        self._weights = [
            part.detach().contiguous()
            for attention, net in ((layer.attention, layer.feed_forward) for layer in layers)
            for part in (attention.weight, attention.output, net.inner, net.output)
        ]
        self._gains = torch.stack([layer.attention.gains.detach() for layer in layers]).numpy()
        self._inner_size = len(layers[0].feed_forward.inner)
        self._relu2 = layers[0].feed_forward.activation is squared_relu
        self._turn = turn.detach().numpy()

    def hidden(self, x: Tensor, cache: Tensor, position: int, rotation: Rotation | None) -> Tensor:
        """R norm(x) behind the layers, (D,).

        Args:
            x: (D,).
            cache: (L, 2, H, C, E), keys and values; those of this position are written into it.
            position: below C; all before it are looked at.
            rotation: of queries and keys, (1, 1, E / 2) twice.
        """
        cos, sin = (_NOTHING, _NOTHING) if rotation is None else (part.numpy().ravel() for part in rotation)
        hidden = x.numpy().copy()
        addresses = np.array([weight.data_ptr() for weight in self._weights]).reshape(-1, 4)
        _through(
            hidden, addresses, self._gains, self._inner_size, self._relu2, self._turn, cache.numpy(), position, cos, sin
        )  # fmt: skip
        return torch.from_numpy(hidden)


@intrinsic
def _floats(typing: Any, address: Any) -> Any:
    """A pointer to float32 from an address."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), code  # type: ignore[attr-defined, unused-ignore]


@kernel
def _through(
    x: Floats,
    weights: Ints,
    gains: Floats,
    inner_size: int,
    relu2: bool,
    turn: Floats,
    cache: Floats,
    position: int,
    cos: Floats,
    sin: Floats,
) -> None:
    size = len(x)
    _, _, heads, _, width = cache.shape
    normed, projected, context = np.empty_like(x), np.empty(3 * size, np.float32), np.empty_like(x)
    added, inner, scores = np.empty_like(x), np.empty(inner_size, np.float32), np.empty(position + 1, np.float32)
    for layer in range(len(weights)):
        keys, values = cache[layer, 0], cache[layer, 1]
        _norm(x, normed)
        _product(carray(_floats(weights[layer, 0]), (3 * size, size)), normed, projected)
        for head in range(2 * heads):  # of queries, then of keys
            part = projected[head * width : (head + 1) * width]
            _norm(part, part)
            _rotate(part, cos, sin)
        for head in range(heads):
            keys[head, position] = projected[size + head * width : size + (head + 1) * width]
            values[head, position] = projected[2 * size + head * width : 2 * size + (head + 1) * width]
            query = projected[head * width : (head + 1) * width]
            _attend(
                query, keys[head], values[head], gains[layer, head], scores, context[head * width : (head + 1) * width]
            )
        _product(carray(_floats(weights[layer, 1]), (size, size)), context, added)
        _add(x, added)
        _norm(x, normed)
        _product(carray(_floats(weights[layer, 2]), (inner_size, size)), normed, inner)
        _activate(inner, relu2)
        _product(carray(_floats(weights[layer, 3]), (size, inner_size)), inner, added)
        _add(x, added)
    _norm(x, normed)
    _product(turn, normed, x)


@kernel
def _product(matrix: Floats, x: Floats, result: Floats) -> None:
    """Four rows at a time, so that x is loaded once for them."""
    rows, columns = matrix.shape
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        a = b = c = d = np.float32(0.0)
        for j in range(columns):
            a += matrix[i, j] * x[j]
            b += matrix[i + 1, j] * x[j]
            c += matrix[i + 2, j] * x[j]
            d += matrix[i + 3, j] * x[j]
        result[i], result[i + 1], result[i + 2], result[i + 3] = a, b, c, d
    for i in range(whole, rows):
        a = np.float32(0.0)
        for j in range(columns):
            a += matrix[i, j] * x[j]
        result[i] = a


@kernel
def _norm(x: Floats, result: Floats) -> None:
    mean = np.float32(0.0)
    for value in x:
        mean += value
    mean /= np.float32(len(x))
    variance = np.float32(0.0)
    for value in x:
        variance += (value - mean) * (value - mean)
    scale = np.float32(1.0) / np.sqrt(variance / np.float32(len(x)) + np.float32(_EPSILON))
    for i in range(len(x)):
        result[i] = (x[i] - mean) * scale


@kernel
def _rotate(x: Floats, cos: Floats, sin: Floats) -> None:
    half = len(x) // 2
    for i in range(len(cos)):
        a, b = x[i], x[half + i]
        x[i], x[half + i] = a * cos[i] - b * sin[i], a * sin[i] + b * cos[i]


@kernel
def _attend(query: Floats, keys: Floats, values: Floats, gain: float, scores: Floats, result: Floats) -> None:
    width = len(query)
    scale = np.float32(gain / math.sqrt(width))
    highest = np.float32(-np.inf)
    for s in range(len(scores)):
        score = np.float32(0.0)
        for e in range(width):
            score += query[e] * keys[s, e]
        scores[s] = score * scale
        highest = max(highest, scores[s])
    total = np.float32(0.0)
    for s in range(len(scores)):
        scores[s] = np.exp(scores[s] - highest)
        total += scores[s]
    result[:] = np.float32(0.0)
    for s in range(len(scores)):
        weight = scores[s] / total
        for e in range(width):
            result[e] += weight * values[s, e]


@kernel
def _activate(x: Floats, relu2: bool) -> None:
    for i in range(len(x)):
        if relu2:
            x[i] = max(x[i], np.float32(0.0)) ** 2
        else:
            x[i] = np.float32(0.5) * x[i] * np.float32(1.0 + math.erf(x[i] * np.float32(math.sqrt(0.5))))


@kernel
def _add(x: Floats, added: Floats) -> None:
    for i in range(len(x)):
        x[i] += added[i]
