"""Drawing text from any language model, a token at a time, many rows at once.

Every row has a random stream of its own, made from the seed, its prompt and its number: the first
sample is the same however many are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import EOS, Encoded
from textdl.errors import UsageError
from textdl.generation.transforms import Transform, apply
from textdl.protocols import Floats, Ints, LanguageModel

_BLOCK = 128


class Token(NamedTuple):
    """One token more."""

    row: int
    """Sample j of prompt i is row i * n + j."""
    id: int
    """</s> is the last of its row."""


def sample(
    model: LanguageModel,
    *,
    n: int = 1,
    max_tokens: int = 100,
    transforms: Sequence[Transform] = (),
    seed: int = 1,
    contexts: Encoded | None = None,
    prefixes: Encoded | None = None,
    stop_at_line_end: bool = True,
) -> Iterator[Token]:
    """Draw n continuations of every prompt, token by token, so that they can be shown as they grow.

    All rows are given their first token, in order of row, then all that go on their second, and so on.

    Args:
        max_tokens: drawn per row at most, a line end counted.
        transforms: see transforms.py; `<unk>` and `<s>` are never drawn in any case.
        contexts, prefixes: source lines and prompts, as in `LanguageModel.start`; without either there
            is one empty prompt.
        stop_at_line_end: a row is finished by </s>; otherwise it goes on into the next line, which only
            a model of streams can do.

    Raises:
        UsageError: at once, not at the first step.
    """
    if n < 1:
        raise UsageError(f"{n} samples were asked for; 1 or more can be drawn")
    if max_tokens < 1:
        raise UsageError(f"max-tokens {max_tokens}: it is a number of tokens, 1 or more")
    if seed < 0:
        raise UsageError(f"seed {seed}: it is a number from 0 up")
    if not stop_at_line_end and model.policy.unit != "stream":
        raise UsageError("this model was trained line by line, so a sample ends where its line ends")
    return _tokens(model, n, max_tokens, transforms, seed, contexts, prefixes, stop_at_line_end)


def _tokens(
    model: LanguageModel,
    n: int,
    max_tokens: int,
    transforms: Sequence[Transform],
    seed: int,
    contexts: Encoded | None,
    prefixes: Encoded | None,
    stop_at_line_end: bool,
) -> Iterator[Token]:
    log_probs, state = model.start(contexts, prefixes)
    prompts = len(log_probs)
    if n > 1:
        copies = np.repeat(np.arange(prompts), n)
        log_probs, state = log_probs[copies], state.select(copies)
    streams = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i, j))) for i in range(prompts) for j in range(n)
    ]
    rows = np.arange(prompts * n)
    for left in reversed(range(max_tokens)):
        ids = draw(apply(log_probs, transforms), np.array([streams[row].random() for row in rows]))
        yield from map(Token, rows.tolist(), ids.tolist())
        if stop_at_line_end:
            going = np.flatnonzero(ids != EOS)
            if len(going) < len(rows):
                rows, ids, state = rows[going], ids[going], state.select(going)
        if not left or not len(rows):
            return
        log_probs, state = model.step(state, ids)


def draw(log_probs: Floats, uniform: NDArray[np.float64]) -> Ints:
    """(B,) one token a row, by inverting its distribution function at uniform (B,) in [0, 1).

    Probabilities are summed in blocks, and one by one only in the block that the draw falls into: a running sum
    over a large vocabulary would take longer than the model itself.
    """
    rows, size = log_probs.shape
    probs = np.zeros((rows, -(-size // _BLOCK), _BLOCK), np.float32)
    np.exp(log_probs - log_probs.max(axis=1, keepdims=True), out=probs.reshape(rows, -1)[:, :size])
    sums = probs.sum(axis=2).astype(np.float64)
    ends = np.cumsum(sums, axis=1)
    ids = np.empty(rows, np.int64)
    for row, target in enumerate(uniform * ends[:, -1]):
        # rounding must not lead past the last block, or the last token in it, of any probability
        block = min(np.searchsorted(ends[row], target, side="right"), np.flatnonzero(sums[row])[-1])
        inside = np.cumsum(probs[row, block], dtype=np.float64)
        rest = target - (ends[row, block] - sums[row, block])
        token = min(np.searchsorted(inside, rest, side="right"), np.flatnonzero(probs[row, block])[-1])
        ids[row] = block * _BLOCK + token
    return ids


def collect(tokens: Iterable[Token], rows: int) -> list[list[int]]:
    """The ids of each row; </s> is left out where it ends the row."""
    texts: list[list[int]] = [[] for _ in range(rows)]
    for token in tokens:
        texts[token.row].append(token.id)
    return [ids[:-1] if ids and ids[-1] == EOS else ids for ids in texts]
