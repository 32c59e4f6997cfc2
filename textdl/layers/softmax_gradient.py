"""The gradient of cross-entropy by the logits, in one pass over them.

    p = exp(l - max l) / sum exp(l - max l)         of each row, in its place
    gradient = p - k onehot(target)                 k 1, or what label smoothing leaves of it
    nats = -log p_target

`by_equations` is that in torch's operations, five passes; it runs on GPUs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from textdl.kernels import kernel
from textdl.layers.threads import array, by_rows, takes
from textdl.simd import LANES, add, exp_minus, highest, larger, load, mul, splat, store, sub, total, where_negative

_ROWS = 8
"""That are worth a thread, at least."""
_ELEMENTS = 1 << 15
"""The same, where all there is to do is to add."""
_LEAST = 1e-38
"""A probability below it counts as this much."""
_NEVER = -1e30
"""A logit below it has probability 0."""


def by_equations(logits: Tensor, targets: Tensor, keep: float) -> Tensor:
    """Logits (N, V) become their gradients; gives the nats of targets (N,), summed."""
    torch.softmax(logits, 1, out=logits)
    place = (torch.arange(len(targets), device=logits.device), targets)  # scatter_ takes 30 ms for what these take none
    chosen = logits[place]
    logits[place] = chosen - keep
    return -chosen.float().clamp_min(_LEAST).log().sum()


def softmax_gradient(logits: Tensor, targets: Tensor, keep: float) -> Tensor:
    """The same, fast."""
    if not takes(logits):
        return by_equations(logits, targets, keep)
    nats = torch.empty(len(targets))
    arrays = array(logits), targets.numpy(), array(nats)
    by_rows(len(targets), _ROWS, lambda first, last: _gradient(first, last, keep, *arrays))
    return nats.sum()


@kernel
def _gradient(first: int, last: int, keep: float, logits: Any, targets: Any, nats: Any) -> None:
    size = logits.shape[1]
    powers = np.empty(size, np.float32)
    nothing, never = splat(np.float32(0)), splat(np.float32(-_NEVER))
    for row in range(first, last):
        values, target = logits[row], targets[row]
        greatest = load(values, 0)
        for j in range(LANES, size, LANES):
            greatest = larger(greatest, load(values, j))
        top = splat(highest(greatest))
        acc = nothing
        for j in range(0, size, LANES):
            value = load(values, j)
            power = where_negative(add(value, never), nothing, exp_minus(sub(value, top)))
            acc = add(acc, power)
            store(powers, j, power)
        whole = total(acc)
        nats[row] = -math.log(max(powers[target] / whole, np.float32(_LEAST)))
        powers[target] -= np.float32(keep) * whole
        share = splat(np.float32(1.0) / whole)
        for j in range(0, size, LANES):
            store(values, j, mul(load(powers, j), share))


def add_up(whole: Tensor, part: Tensor) -> None:
    """whole (float32) += part (bfloat16 or float32): torch makes a float32 copy of the part first."""
    if not (takes(whole) and takes(part)):
        whole.add_(part)
        return
    arrays = array(whole), array(part)
    by_rows(len(whole), max(1, _ELEMENTS // whole.shape[1]), lambda first, last: _add_up(first, last, *arrays))


@kernel
def _add_up(first: int, last: int, whole: Any, part: Any) -> None:
    for row in range(first, last):
        to, more = whole[row], part[row]
        for j in range(0, whole.shape[1], LANES):
            store(to, j, add(load(to, j), load(more, j)))
