"""Beam search over any language model, for all source lines at once.

Hypotheses are ranked by log P / lp(length) with the length penalty of Wu et al. (2016, equation 14),
lp(n) = ((5 + n) / 6) ** alpha, where n counts the line end; alpha 0 ranks by probability.

When is a line done? Left to itself the search is exact within its beam: all ends of lines at a step are looked at, and a
line is done when no hypothesis that is still open could overtake its worst finished one. Without `exact` it is done as
translation systems have it: only ends among the best `width` of a step count, and a line is done once there were `width` of
them (Kasai et al. 2022) and no open hypothesis, at the length that it has now, ranks above the worst finished one. That takes far
fewer steps, and with a length penalty often translates better, as very long lines are never reached. (To count ends alone loses
the best one: a model sure of itself leaves little to all other tokens alike, so </s> is among the best few at every step.)

Rows of lines that are done are dropped, so the batch shrinks. Left out: coverage penalty, diversity.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import EOS, Encoded
from textdl.errors import UsageError
from textdl.generation.beam_kernels import FIRST, best, ending
from textdl.protocols import Candidates, Floats, Ints, LanguageModel, Ranking, State

MOST_PENALTY = 10.0
"""The greatest alpha; 1 is usual."""


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


@dataclass
class _Line:
    """The search for one line."""

    number: int
    limit: int
    found: list[Hypothesis] = field(default_factory=list)
    """Finished, best first, at most n_best."""
    ended: int = 0
    """Finished in all."""


@dataclass(frozen=True)
class _Step:
    """What may come next, for each row."""

    log_probs: Floats
    """(B, V), or (B, K) of some tokens."""
    tokens: Ints | None
    """(B, K) which; None: all."""
    ends: Floats
    """(B,) log-probabilities of the line end."""


def _ranked(found: Candidates, state: State) -> tuple[_Step, State]:
    return _Step(found.log_probs, found.tokens, found.ends), state


def _whole(log_probs: Floats, state: State) -> tuple[_Step, State]:
    return _Step(log_probs, None, log_probs[:, EOS]), state


class _Past:
    """How each open row came about: its parent in the step before, and its last token."""

    def __init__(self) -> None:
        self._steps: list[tuple[list[int], list[int]]] = []  # lists: one number of an array takes ten times as long

    @property
    def length(self) -> int:
        return len(self._steps)

    def extend(self, parents: Ints, tokens: Ints) -> None:
        self._steps.append((parents.tolist(), tokens.tolist()))

    def ids(self, row: int) -> list[int]:
        """All tokens of a row."""
        found = []
        for parents, tokens in reversed(self._steps):
            found.append(tokens[row])
            row = parents[row]
        return found[::-1]


def beam_search(
    model: LanguageModel,
    *,
    width: int = 5,
    max_tokens: int | Ints = 100,
    length_penalty: float = 0.0,
    n_best: int = 1,
    exact: bool = True,
    contexts: Encoded | None = None,
    prefixes: Encoded | None = None,
) -> list[list[Hypothesis]]:
    """The n_best hypotheses of each source line or prompt, best first.

    Args:
        width: hypotheses kept open per line.
        max_tokens: tokens per hypothesis at most, the line end not counted; one number, or one for each line. Hypotheses
            that reach it are given only where fewer than n_best come to their line end.
        length_penalty: alpha, 0 to 10; above 0 favours longer lines.
        exact: see above.

    Raises:
        UsageError: an impossible value.
    """
    for name, value, least in (
        ("width", width, 1),
        ("max-tokens", np.min(max_tokens, initial=1 << 30), 1),
        ("n-best", n_best, 1),
    ):
        if value < least:
            raise UsageError(f"{name} {value}: it is {least} or more")
    if n_best > width:
        raise UsageError(f"n-best {n_best} from a beam of {width}; the beam must be as wide")
    if not 0 <= length_penalty <= MOST_PENALTY:
        raise UsageError(f"length penalty {length_penalty}: it is 0 to {MOST_PENALTY:g}")
    return _Search(width, length_penalty, n_best, exact).run(model, max_tokens, contexts, prefixes)


@dataclass(frozen=True)
class _Search:
    width: int
    length_penalty: float
    n_best: int
    exact: bool

    def run(
        self, model: LanguageModel, max_tokens: int | Ints, contexts: Encoded | None, prefixes: Encoded | None
    ) -> list[list[Hypothesis]]:
        ranking = model if isinstance(model, Ranking) else None
        if ranking is not None:
            step, state = _ranked(*ranking.start_best(self.width, contexts, prefixes))
        else:
            step, state = _whole(*model.start(contexts, prefixes))
        limits = np.broadcast_to(max_tokens, len(step.ends)).tolist()
        lines = [_Line(number, limit) for number, limit in enumerate(limits)]
        results = [line.found for line in lines]
        bounds = np.arange(len(lines) + 1)  # where the rows of each open line begin
        past = _Past()
        totals = np.zeros(len(lines))  # per row
        while lines:
            rows, tokens, values, counts = self._best(step, totals, bounds)
            ends = totals + step.ends
            ended = np.empty(len(totals), np.bool_)
            ending(ends, bounds, values, counts, 0 if self.exact else self.width, ended)
            anything = np.logical_or.reduceat(ended, bounds[:-1]).tolist()
            first_values, numbers, starts = values[:, 0].tolist(), counts.tolist(), bounds.tolist()
            going: list[int] = []
            for i, line in enumerate(lines):
                first, last = starts[i], starts[i + 1]
                if anything[i]:
                    for row in (first + np.flatnonzero(ended[first:last])).tolist():
                        line.ended += 1
                        self._keep(line, past, row, float(ends[row]))
                if past.length == line.limit:
                    self._cut_off(line, past, totals, first, last)
                elif numbers[i] and not self._done(line, first_values[i], past.length + 1):
                    going.append(i)
            lines = [lines[i] for i in going]
            if lines:
                counts = counts[going]
                chosen = np.arange(self.width) < counts[:, None]
                parents, last_tokens, totals = rows[going][chosen], tokens[going][chosen], values[going][chosen]
                bounds = np.concatenate(([0], np.cumsum(counts)))
                past.extend(parents, last_tokens)
                state = state.select(parents)
                if ranking is not None:
                    step, state = _ranked(*ranking.step_best(self.width, state, last_tokens))
                else:
                    step, state = _whole(*model.step(state, last_tokens))
        return results

    def _best(
        self, step: _Step, totals: NDArray[np.float64], bounds: Ints
    ) -> tuple[Ints, Ints, NDArray[np.float64], Ints]:
        """Of each line the rows and tokens to go on with and their totals, (lines, width), and how many there are."""
        shape = len(bounds) - 1, self.width
        rows, tokens, values = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)
        counts = np.zeros(len(rows), np.int64)
        specials = FIRST if step.tokens is None else 0
        best(step.log_probs, specials, totals, bounds, self.width, rows, tokens, values, counts)
        return rows, tokens if step.tokens is None else step.tokens[rows, tokens], values, counts

    def _keep(self, line: _Line, past: _Past, row: int, total: float) -> None:
        """A hypothesis that ends, if it is among the best so far; of equal ones the first."""
        hypothesis = self._hypothesis(past.ids(row), total, True)
        if len(line.found) == self.n_best and hypothesis.score <= line.found[-1].score:
            return
        line.found.append(hypothesis)
        line.found.sort(key=lambda h: -h.score)
        del line.found[self.n_best :]

    def _cut_off(
        self, line: _Line, past: _Past, totals: NDArray[np.float64], first: int, last: int
    ) -> None:  # fmt: skip
        """Where too few have ended, the most probable of those that have not."""
        ended = [hypothesis.ids for hypothesis in line.found]
        for row in sorted(range(first, last), key=lambda row: -totals[row]):
            if len(line.found) == self.n_best:
                return
            if (ids := past.ids(row)) not in ended:
                line.found.append(self._hypothesis(ids, float(totals[row]), False))

    def _done(self, line: _Line, best_open: float, length: int) -> bool:
        """Whether a line needs no more steps. best_open: the highest total of so many tokens that goes on."""
        if len(line.found) < self.n_best or (not self.exact and line.ended < self.width):
            return False
        # a log-probability only falls, and no penalty is above that of the greatest length
        return best_open / self._lp(line.limit + 1 if self.exact else length) <= line.found[-1].score

    def _hypothesis(self, ids: list[int], total: float, finished: bool) -> Hypothesis:
        return Hypothesis(ids, total, total / self._lp(len(ids) + finished), finished)

    def _lp(self, length: int) -> float:
        return float(((5 + length) / 6) ** self.length_penalty)
