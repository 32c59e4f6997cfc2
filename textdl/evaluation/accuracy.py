"""How often the next token is among the k likeliest: top-k accuracy, beside perplexity.

It says what a person sees who lets the model suggest the next word, and perplexity does not: whether the
right one is near the top, however sure the model was. It depends on the tokens, so it compares models of
one token key only.

A token that the model does not know is never right, and <unk> is no suggestion. Where several tokens are
equally likely their order is a draw: the expected accuracy is given, so that the uniform model has k of V - 2.
The model is asked for whole distributions (`start`, `step`), V numbers a token, so only some lines are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.protocols import Floats, Ints, LanguageModel, Run, ScorePolicy

TOKENS = 10_000
"""Looked at, about."""
_CELLS = 1 << 24
"""Probabilities held at once: lines side by side times the vocabulary."""
_ROWS = 64
_LINE = 256
"""Tokens of a line that are looked at, at most."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of tokens; line ends are tokens where the policy counts them."""

    tokens: int
    """That were looked at."""
    lines: int
    shares: dict[int, float]
    """By k."""

    def to_dict(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "lines": self.lines, "top": {str(k): share for k, share in self.shares.items()}}


def top_k(
    model: LanguageModel,
    lines: Encoded,
    ks: Sequence[int],
    *,
    policy: ScorePolicy,
    contexts: Encoded | None = None,
    tokens: int = TOKENS,
    run: Run | None = None,
) -> Accuracy:
    """Step through lines that are spread evenly over the text; through its beginning, where the state is carried.

    Raises:
        UsageError: a k below 1, or a policy other than the model's, which is the only one that it can be stepped by.
    """
    run = run or Run()
    check(model, ks, policy)
    counter = _Counter([min(k, model.vocab_size) for k in ks])
    if policy.unit == "stream":
        rows = _stream(model, lines, tokens, policy, counter, run)
    else:
        rows = _lines(model, lines, contexts, tokens, policy, counter, run)
    seen = max(counter.tokens, 1)
    return Accuracy(
        counter.tokens, rows, {int(k): float(right) / seen for k, right in zip(ks, counter.right, strict=True)}
    )


def check(model: LanguageModel, ks: Sequence[int], policy: ScorePolicy) -> None:
    """Whether `top_k` can be had: raises what it raises, before any work."""
    if any(not isinstance(k, Integral) or isinstance(k, bool) or k < 1 for k in ks):
        raise UsageError(f"--top {','.join(map(str, ks))}: expected whole numbers from 1 up")
    if (policy.unit, policy.window, policy.stride) != (model.policy.unit, model.policy.window, model.policy.stride):
        raise UsageError(
            f"--top: the model is asked token by token as it was trained, `{model.policy}`, not `{policy}`. Leave out "
            "--top, or --unit, --window and --stride."
        )


class _Counter:
    """Counts what was right."""

    def __init__(self, ks: Sequence[int]):
        self._ks = np.array(ks)
        self.right = np.zeros(len(ks))
        self.tokens = 0

    def add(self, log_probs: Floats, targets: Ints) -> None:
        """log_probs: (B, V), used up; targets: (B,)."""
        log_probs[:, [UNK, BOS]] = -np.inf
        here = log_probs[np.arange(len(targets)), targets][:, None]
        above = np.count_nonzero(log_probs > here, axis=1)[:, None]
        equal = np.count_nonzero(log_probs == here, axis=1)[:, None]
        chance = np.clip((self._ks - above) / equal, 0.0, 1.0)
        self.right += chance[targets != UNK].sum(0)
        self.tokens += len(targets)


def _lines(
    model: LanguageModel, lines: Encoded, contexts: Encoded | None, tokens: int, policy: ScorePolicy,
    counter: _Counter, run: Run,
) -> int:  # fmt: skip
    wanted = max(1, round(tokens * len(lines) / max(lines.tokens + len(lines), 1)))
    chosen = np.linspace(0, len(lines), min(len(lines), wanted), endpoint=False).astype(np.int64)
    side_by_side = max(1, min(_ROWS, _CELLS // model.vocab_size))
    for first in range(0, len(chosen), side_by_side):
        rows = chosen[first : first + side_by_side]
        rows = rows[np.argsort(-(lines.offsets[rows + 1] - lines.offsets[rows]), kind="stable")]  # the longest first
        lengths = np.minimum(lines.offsets[rows + 1] - lines.offsets[rows], _LINE)
        given = (
            contexts.select(rows) if contexts is not None else Encoded.from_lines([[]] * len(rows), model.vocab_size)
        )
        log_probs, state = model.start(contexts=given) if contexts is not None else model.start(prefixes=given)
        for step in range(int(lengths[0]) + int(policy.line_end)):
            going = int(np.count_nonzero(lengths + policy.line_end > step))
            if going < len(log_probs):
                state, log_probs = state.select(np.arange(going)), log_probs[:going]
            inside = lengths[:going] > step
            targets = np.full(going, EOS, np.int64)
            targets[inside] = lines.ids[lines.offsets[rows[:going]][inside] + step]
            cut = ~inside & (lines.offsets[rows[:going] + 1] - lines.offsets[rows[:going]] > _LINE)
            counter.add(log_probs[~cut], targets[~cut])
            more = int(np.count_nonzero(lengths + policy.line_end > step + 1))
            if more:
                log_probs, state = model.step(state.select(np.arange(more)), targets[:more])
        run.progress("next tokens", first + len(rows), len(chosen), "lines")
    return len(chosen)


def _stream(model: LanguageModel, lines: Encoded, tokens: int, policy: ScorePolicy, counter: _Counter, run: Run) -> int:
    log_probs, state = model.start()
    for row in range(len(lines)):
        for target in [*lines.line(row).tolist(), EOS]:
            if target != EOS or policy.line_end:
                counter.add(log_probs.copy(), np.array([target]))
            if counter.tokens >= tokens:
                return row + 1
            log_probs, state = model.step(state, np.array([target]))
        run.progress("next tokens", counter.tokens, tokens, "tokens")
    return len(lines)
