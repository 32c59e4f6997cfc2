"""Beam search over any language model, for all source lines at once.

Hypotheses are ranked by log P / lp(length) with the length penalty of Wu et al. (2016, equation 14),
lp(n) = ((5 + n) / 6) ** alpha, where n counts the line end; alpha 0 ranks by probability. All ends of
lines at a step are looked at, not only those among the best, and a line is done when no hypothesis
that is still open could overtake its worst finished one. Left out: coverage penalty, diversity.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.protocols import LanguageModel


@dataclass(frozen=True)
class Hypothesis:
    """One way to go on."""

    ids: list[int]
    """Without </s>."""
    log_prob: float
    """Nats, of all tokens and the line end, if it has one."""
    score: float
    """log_prob over the length penalty."""
    finished: bool
    """Whether it has come to a line end; false where max_tokens cut it off."""


def beam_search(
    model: LanguageModel,
    *,
    width: int = 5,
    max_tokens: int = 100,
    length_penalty: float = 0.0,
    n_best: int = 1,
    contexts: Encoded | None = None,
    prefixes: Encoded | None = None,
) -> list[list[Hypothesis]]:
    """The n_best hypotheses of each source line or prompt, best first.

    Args:
        width: hypotheses kept open per line.
        max_tokens: tokens per hypothesis at most, the line end not counted. Hypotheses that reach it
            are given only where fewer than n_best come to their line end.
        length_penalty: alpha, 0 or more; above 0 favours longer lines.

    Raises:
        UsageError: an impossible value.
    """
    for name, value, least in (("width", width, 1), ("max-tokens", max_tokens, 1), ("n-best", n_best, 1)):
        if value < least:
            raise UsageError(f"{name} {value}: it is {least} or more")
    if n_best > width:
        raise UsageError(f"n-best {n_best} from a beam of {width}; the beam must be as wide")
    if not length_penalty >= 0:
        raise UsageError(f"length penalty {length_penalty}: it is 0 or more")

    def hypothesis(ids: list[int], total: float, finished: bool) -> Hypothesis:
        return Hypothesis(ids, total, total / penalty(len(ids) + finished), finished)

    def penalty(length: int) -> float:
        return float(((5 + length) / 6) ** length_penalty)

    log_probs, state = model.start(contexts, prefixes)
    vocab_size = log_probs.shape[1]
    results: list[list[Hypothesis]] = [[] for _ in log_probs]  # those finished, best first
    owner = list(range(len(log_probs)))  # the line of each row; rows of a line are neighbours
    ids: list[list[int]] = [[] for _ in owner]  # per row
    totals = np.zeros(len(owner))  # per row

    for length in range(max_tokens + 1):
        candidates = log_probs.astype(np.float64) + totals[:, None]
        ends = candidates[:, EOS].copy()
        candidates[:, [UNK, BOS, EOS]] = -np.inf
        picked: list[tuple[int, int]] = []  # rows and the tokens they go on with
        for number, group in groupby(range(len(owner)), key=owner.__getitem__):
            rows = list(group)
            found = results[number] + [hypothesis(ids[r], float(ends[r]), True) for r in rows if ends[r] > -np.inf]
            found = sorted(found, key=lambda h: -h.score)[:n_best]
            results[number] = found
            if length == max_tokens:
                by_total = sorted(rows, key=lambda r: -totals[r])[: n_best - len(found)]
                found += [hypothesis(ids[r], float(totals[r]), False) for r in by_total]
                continue
            flat = candidates[rows].ravel()
            best = np.argpartition(-flat, width - 1)[:width] if width < flat.size else np.arange(flat.size)
            best = best[np.lexsort((best, -flat[best]))]
            best = best[flat[best] > -np.inf]
            # a log-probability only falls, and no penalty is above that of the greatest length
            done = len(found) == n_best and len(best) and flat[best[0]] / penalty(max_tokens + 1) <= found[-1].score
            if not done:
                picked += [(rows[i // vocab_size], int(i % vocab_size)) for i in best]
        if not picked:
            break
        totals = np.array([candidates[row, token] for row, token in picked])
        owner = [owner[row] for row, _ in picked]
        ids = [[*ids[row], token] for row, token in picked]
        log_probs, state = model.step(
            state.select(np.array([row for row, _ in picked])), np.array([token for _, token in picked])
        )
    return results
