"""One pass over a text with one model: the sums that every figure of the report is made of.

The text is tokenized and encoded once (`encoded_text`), and each unknown token leaves behind what its
spelling costs. `score` then runs the model and keeps, in float64 and nats, the closed, the excl and the
open total, and the open total of every line for the bootstrap.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textdl import scratch
from textdl.encoded import UNK, Encoded, EncodedWriter
from textdl.errors import CorpusError, ModelError, UsageError
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import checked_lines
from textdl.protocols import LanguageModel, Run, ScorePolicy, Tokenizer
from textdl.vocabulary import Vocabulary

_BLOCK = 1 << 18
_IN_MEMORY = 1 << 25
"""Tokens; a longer text is encoded into a temporary directory."""
_ABOVE_ONE = 1e-3
"""A log-probability above this is no rounding error."""


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A test text as one tokenizer and vocabulary see it."""

    lines: Encoded
    characters: NDArray[np.int64]
    """(lines,) code points, the line end included."""
    costs: NDArray[np.float64] | None
    """(unknown tokens,) nats of their spelling, in file order; None without a speller."""
    unknown: int
    lossy_lines: int
    """Lines that do not come back from their pieces."""
    lossy_example: tuple[str, str] | None
    """A line and what came back."""
    tokenizer: str
    token_key: str
    unique: bool
    """Whether a text has only one way to be written in pieces, so that P(pieces) is P(text)."""


@contextmanager
def encoded_text(
    tokenizer: Tokenizer, vocab: Vocabulary, speller: Speller | None, lines: Iterable[str], run: Run | None = None
) -> Iterator[EncodedText]:
    """Tokenize and encode a text; it lives as long as the `with` block.

    Raises:
        CorpusError: no lines.
    """
    with scratch.temporary("eval") as directory:
        yield _encode(tokenizer, vocab, speller, lines, directory, run or Run())


def _encode(
    tokenizer: Tokenizer, vocab: Vocabulary, speller: Speller | None, lines: Iterable[str], directory: Path, run: Run
) -> EncodedText:
    waiting: deque[str] = deque()  # tokenizers may read ahead

    def passing() -> Iterator[str]:
        for line in checked_lines(lines):
            waiting.append(line)
            yield line

    spool = _Spool(directory, len(vocab))
    characters: list[int] = []
    costs: list[NDArray[np.float64]] = []
    known_costs: dict[str, float] = {}
    unknown = lossy = done = 0
    example: tuple[str, str] | None = None
    block: list[str] = []
    lengths: list[int] = []

    def flush() -> None:
        nonlocal unknown
        ids = vocab.encode(block)
        spool.append(ids, np.array(lengths, np.int64))
        strangers = [block[i] for i in np.flatnonzero(ids == UNK)]
        unknown += len(strangers)
        if speller is not None and strangers:
            new = list(dict.fromkeys(piece for piece in strangers if piece not in known_costs))
            if len(known_costs) > _BLOCK:
                known_costs.clear()
                new = list(dict.fromkeys(strangers))
            known_costs.update(zip(new, -speller.log_probs_unknown(new), strict=True))
            costs.append(np.array([known_costs[piece] for piece in strangers]))
        block.clear()
        lengths.clear()

    for pieces in tokenizer.encode_lines(passing()):
        line = waiting.popleft()
        characters.append(len(line) + 1)
        if (back := tokenizer.decode(pieces)) != line:
            lossy += 1
            example = example or (line, back)
        block += pieces
        lengths.append(len(pieces))
        if len(block) + len(lengths) >= _BLOCK:
            done += len(lengths)
            flush()
            run.progress("encoding the text", done, None, "lines")
    flush()
    if not characters:
        raise CorpusError("The text to evaluate on is empty: it has no lines. Give a text with at least one line.")
    return EncodedText(
        lines=spool.finish(),
        characters=np.array(characters, np.int64),
        costs=None if speller is None else np.concatenate([np.empty(0), *costs]),
        unknown=unknown,
        lossy_lines=lossy,
        lossy_example=example,
        tokenizer=tokenizer.spec,
        token_key=f"{tokenizer.fingerprint}+{vocab.fingerprint}",
        unique=speller is not None and speller.single_code_point,
    )


class _Spool:
    """Blocks of ids: in memory while they are few, then in files."""

    def __init__(self, directory: Path, vocab_size: int):
        self._directory, self._vocab_size = directory, vocab_size
        self._blocks: list[tuple[NDArray[np.int32], NDArray[np.int64]]] = []
        self._tokens = 0
        self._writer: EncodedWriter | None = None

    def append(self, ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> None:
        self._blocks.append((ids, lengths))
        self._tokens += len(ids) + len(lengths)
        if self._tokens > _IN_MEMORY:
            self._writer = self._writer or EncodedWriter(self._directory, self._vocab_size)
            for block in self._blocks:
                self._writer.append(*block)
            self._blocks.clear()

    def finish(self) -> Encoded:
        if self._writer is not None:
            with self._writer:
                pass
            return Encoded.open(self._directory, self._vocab_size)
        lengths = np.concatenate([lengths for _, lengths in self._blocks])
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return Encoded(np.concatenate([ids for ids, _ in self._blocks]), offsets, self._vocab_size)


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over a text, in nats."""

    tokens: int
    """Predicted, line ends included."""
    line_ends: int
    closed: float
    excl: float
    excl_tokens: int
    open: float | None
    """None without a speller where something is unknown, and where line ends were not scored."""
    zeros: int
    """Tokens of probability 0."""
    open_lines: NDArray[np.float64] | None
    """(lines,) the open total of each."""
    seconds: float


def score(
    model: LanguageModel,
    text: EncodedText,
    *,
    policy: ScorePolicy | None = None,
    contexts: Encoded | None = None,
    run: Run | None = None,
) -> Totals:
    """Run the model over the text once.

    Raises:
        UsageError: model, text and contexts do not belong together.
        ModelError: the model gave a number that is no log-probability, or not one for each token.
    """
    lines, run = text.lines, run or Run()
    policy = policy or model.policy
    if model.vocab_size != lines.vocab_size:
        raise UsageError(f"a model of {model.vocab_size:,} tokens and a vocabulary of {lines.vocab_size:,}")
    if contexts is not None and len(contexts) != len(lines):
        raise UsageError(
            f"{len(contexts):,} source lines for {len(lines):,} lines of text; line n of one belongs to line n of the other"
        )
    end = int(policy.line_end)
    begins = lines.offsets[:-1] + end * np.arange(len(lines))  # where each line starts in what is predicted
    expected = lines.tokens + end * len(lines)
    closed_lines, spelling_lines = np.zeros(len(lines)), np.zeros(len(lines))
    excl, zeros, unknown, position = 0.0, 0, 0, 0
    blank = Encoded.from_lines([[]], lines.vocab_size)
    for _ in model.score(blank, None if contexts is None else contexts.lines(0, 1), policy=policy):
        pass  # what a model loads or compiles first is not counted in its speed
    began = time.perf_counter()
    for array in model.score(lines, contexts, policy=policy):
        if position + len(array) > expected:
            break
        for start in range(0, len(array), _BLOCK):
            nats = -np.asarray(array[start : start + _BLOCK], np.float64)
            here = np.arange(position, position + len(nats))
            position += len(nats)
            if np.isnan(nats).any() or (nats < -_ABOVE_ONE).any():
                bad = nats[np.isnan(nats) | (nats < -_ABOVE_ONE)][0]
                raise ModelError(f"The model gave {-bad} as a log-probability: it is damaged. Train it again.")
            row = np.searchsorted(begins, here, "right") - 1
            first = int(row[0])
            at = here - end * row
            is_end = at >= lines.offsets[row + 1]
            strange = ~is_end & (lines.ids[np.minimum(at, max(lines.tokens - 1, 0))] == UNK if lines.tokens else False)
            sums = np.bincount(row - first, weights=nats)
            closed_lines[first : first + len(sums)] += sums
            excl += float(nats[~strange].sum())
            zeros += int(np.isinf(nats).sum())
            found = int(strange.sum())
            if found and text.costs is not None:
                sums = np.bincount(row[strange] - first, weights=text.costs[unknown : unknown + found])
                spelling_lines[first : first + len(sums)] += sums
            unknown += found
        run.progress("scoring", position, expected, "tokens")
    else:
        if position == expected:
            assert unknown == text.unknown
            opened = (text.costs is not None or not unknown) and policy.line_end
            open_lines = closed_lines + spelling_lines if opened else None
            return Totals(
                tokens=expected,
                line_ends=end * len(lines),
                closed=float(closed_lines.sum()),
                excl=excl,
                excl_tokens=expected - unknown,
                open=None if open_lines is None else float(open_lines.sum()),
                zeros=zeros,
                open_lines=open_lines,
                seconds=time.perf_counter() - began,
            )
    raise ModelError(
        f"The model scored {position:,} tokens or more of a text of {expected:,}; "
        "each token and line end must be scored exactly once."
    )
