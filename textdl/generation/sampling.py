"""Drawing text from any language model, a token at a time, many rows at once.

Rows are drawn in groups, so that memory does not grow with their number, and the first are done early. Every row has a random stream of its own, made from the seed, its prompt and its number: the first
sample is the same however many are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import EOS, Encoded
from textdl.errors import UsageError
from textdl.generation.transforms import Transform, apply
from textdl.protocols import Floats, Ints, LanguageModel, State

_BLOCK = 128
_CELLS = 1 << 22
"""Probabilities of a group of rows: 16 MB, of which a few copies are made."""


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

    All rows of a group are given their first token, in order of row, then all that go on their second, and so on;
    then comes the next group. How many rows a group has depends on the size of the vocabulary alone.

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
    prompts = next((len(given) for given in (contexts, prefixes) if given is not None), 1)
    size = max(1, _CELLS // model.vocab_size)
    started = range(0)
    for first in range(0, prompts * n, size):
        rows = np.arange(first, min(first + size, prompts * n))
        of_rows = rows // n
        needed = range(int(of_rows[0]), int(of_rows[-1]) + 1)
        if needed != started:
            begins, begun = model.start(*(_lines(given, needed) for given in (contexts, prefixes)))
            started = needed
        copies = of_rows - needed.start
        streams = {
            row: np.random.default_rng(np.random.SeedSequence(seed, spawn_key=divmod(row, n))) for row in rows.tolist()
        }
        yield from _group(
            model, begins[copies], begun.select(copies), rows, streams, max_tokens, transforms, stop_at_line_end
        )


def _lines(given: Encoded | None, needed: range) -> Encoded | None:
    return None if given is None else given.lines(needed.start, needed.stop)


def _group(
    model: LanguageModel,
    log_probs: Floats,
    state: State,
    rows: Ints,
    streams: Mapping[int, np.random.Generator],
    max_tokens: int,
    transforms: Sequence[Transform],
    stop_at_line_end: bool,
) -> Iterator[Token]:
    """Some rows to their ends. log_probs (B, V) and the state are those of the first tokens."""
    for left in reversed(range(max_tokens)):
        ids = draw(apply(log_probs, transforms), np.array([streams[row].random() for row in rows.tolist()]))
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
