"""Reading on token by token with a network that sees W tokens at once, in the windows of windows.py.

The state of B histories is that of WindowedNetwork.cache: the ids of the present window of each row and what the
network keeps of them. A token more costs one position, until the window is full: then its W - S last tokens
are read again as the context of the next one. Rows may be at different places in their windows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from textdl.encoded import EOS, Encoded
from textdl.layers.network import States, WindowedNetwork
from textdl.layers.windows import window_of

_POSITIONS = 8192
"""Rows times positions read at once: bounds memory."""


def begun(network: WindowedNetwork, prefixes: Encoded, window: int, stride: int) -> tuple[Tensor, States]:
    """(B, D) hidden vectors after </s> and each prefix, and the state there."""
    targets = np.diff(prefixes.offsets)  # the number of the token that comes next; </s> is before token 0
    starts = window_of(targets, window, stride) * stride
    lengths = targets - starts + 1
    ids = np.full((len(prefixes), int(lengths.max(initial=1))), EOS, np.int64)
    for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        ids[row, 0 if start else 1 : length] = prefixes.line(row)[max(0, start - 1) :]
    inputs, seen = (torch.tensor(array, device=network.device) for array in (ids, lengths))
    state = network.cache(*ids.shape)
    hidden = _read(network, inputs, state)
    state[0].copy_(seen)  # shorter rows were read on behind their end
    last = hidden.gather(1, (seen - 1)[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]
    return last, state


def continued(
    network: WindowedNetwork, last: Tensor, state: States, window: int, stride: int
) -> tuple[Tensor, States]:  # fmt: skip
    """(B, 1, D) hidden vectors after `last` (B, 1), and the state there. Uses up `state`."""
    lengths, ids, kept = state
    if len(lengths) and int(lengths.max()) == window:
        full = (lengths == window).nonzero()[:, 0]
        context = ids[full, stride:window]
        again = network.cache(*context.shape)
        if window > stride:
            _read(network, context, again)
        lengths[full] = window - stride
        ids[full, : window - stride] = context
        kept[full, ..., : window - stride, :] = again[2][..., : window - stride, :]
    result: tuple[Tensor, States] = network(last, state)
    return result


def _read(network: WindowedNetwork, ids: Tensor, state: States) -> Tensor:
    """(B, T) ids into an empty state with room for them, in parts of bounded memory; (B, T, D) hidden vectors."""
    rows = max(1, _POSITIONS // ids.shape[1])
    parts = [
        network(part, tuple(t[first : first + rows] for t in state))[0]
        for first, part in zip(range(0, max(1, len(ids)), rows), ids.split(rows), strict=True)
    ]
    return torch.cat(parts)
