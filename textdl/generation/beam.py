"""Beam search over any language model, for all source lines at once.

Hypotheses are ranked by log P / lp(length) with the length penalty of Wu et al. (2016, equation 14),
lp(n) = ((5 + n) / 6) ** alpha, where n counts the line end; alpha 0 ranks by probability.

When is a line done? Left to itself the search is exact within its beam: all ends of lines at a step are looked at, and a
line is done when no hypothesis that is still open could overtake its worst finished one. With `patience` p it is done as
translation systems have it (Kasai et al. 2022): when p * width ends have come up among the best `width` of a step. That
takes fewer steps, and with a length penalty often translates better, as very long lines are never reached.

Rows of lines that are done are dropped, so the batch shrinks. Left out: coverage penalty, diversity.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import EOS, Encoded
from textdl.errors import UsageError
from textdl.generation.beam_kernels import best
from textdl.protocols import Ints, LanguageModel


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


def beam_search(
    model: LanguageModel,
    *,
    width: int = 5,
    max_tokens: int | Ints = 100,
    length_penalty: float = 0.0,
    n_best: int = 1,
    patience: float | None = None,
    contexts: Encoded | None = None,
    prefixes: Encoded | None = None,
) -> list[list[Hypothesis]]:
    """The n_best hypotheses of each source line or prompt, best first.

    Args:
        width: hypotheses kept open per line.
        max_tokens: tokens per hypothesis at most, the line end not counted; one number, or one for each line. Hypotheses
            that reach it are given only where fewer than n_best come to their line end.
        length_penalty: alpha, 0 or more; above 0 favours longer lines.
        patience: see above; None: exact.

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
    if not length_penalty >= 0:
        raise UsageError(f"length penalty {length_penalty}: it is 0 or more")
    if patience is not None and not patience > 0:
        raise UsageError(f"patience {patience}: it is above 0")
    return _Search(width, length_penalty, n_best, patience).run(model, max_tokens, contexts, prefixes)


@dataclass(frozen=True)
class _Search:
    width: int
    length_penalty: float
    n_best: int
    patience: float | None

    def run(
        self, model: LanguageModel, max_tokens: int | Ints, contexts: Encoded | None, prefixes: Encoded | None
    ) -> list[list[Hypothesis]]:
        log_probs, state = model.start(contexts, prefixes)
        limits = np.broadcast_to(max_tokens, len(log_probs)).tolist()
        lines = [_Line(number, limit) for number, limit in enumerate(limits)]
        results = [line.found for line in lines]
        bounds = np.arange(len(lines) + 1)  # where the rows of each open line begin
        ids: list[list[int]] = [[] for _ in lines]  # per row
        totals = np.zeros(len(lines))  # per row
        length = 0
        while lines:
            shape = len(lines), self.width
            rows, tokens, values = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)
            counts = np.zeros(len(lines), np.int64)
            best(log_probs, totals, bounds, self.width, rows, tokens, values, counts)
            ends = totals + log_probs[:, EOS]
            open_lines: list[_Line] = []
            picked: list[tuple[int, int, float]] = []
            sizes = [0]
            for i, line in enumerate(lines):
                first, last = int(bounds[i]), int(bounds[i + 1])
                going = values[i, : counts[i]]
                self._end(line, ids, ends, first, last, going)
                if length == line.limit:
                    self._cut_off(line, ids, totals, first, last)
                elif len(going) and not self._done(line, float(going[0])):
                    open_lines.append(line)
                    sizes.append(len(going))
                    picked += zip(
                        rows[i, : counts[i]].tolist(), tokens[i, : counts[i]].tolist(), going.tolist(), strict=True
                    )
            lines = open_lines
            if lines:
                parents = [row for row, _, _ in picked]
                ids = [[*ids[row], token] for row, token, _ in picked]
                totals = np.array([value for _, _, value in picked])
                bounds = np.cumsum(sizes)
                log_probs, state = model.step(
                    state.select(np.array(parents)), np.array([token for _, token, _ in picked])
                )
            length += 1
        return results

    def _end(
        self, line: _Line, ids: list[list[int]], ends: NDArray[np.float64], first: int, last: int,
        going: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Hypotheses of a line that end here; with patience, only those among the best of the step."""
        for row in range(first, last):
            if ends[row] == -np.inf:
                continue
            if self.patience is not None:
                better = int((going > ends[row]).sum() + (ends[first:last] > ends[row]).sum())
                if better >= self.width:
                    continue
            line.ended += 1
            self._keep(line, self._hypothesis(ids[row], float(ends[row]), True))

    def _keep(self, line: _Line, hypothesis: Hypothesis) -> None:
        """Among the best so far, if it is; of equal ones the first."""
        if len(line.found) == self.n_best and hypothesis.score <= line.found[-1].score:
            return
        line.found.append(hypothesis)
        line.found.sort(key=lambda h: -h.score)
        del line.found[self.n_best :]

    def _cut_off(
        self, line: _Line, ids: list[list[int]], totals: NDArray[np.float64], first: int, last: int
    ) -> None:  # fmt: skip
        """Where too few have ended, the most probable of those that have not."""
        wanted = self.n_best - len(line.found)
        by_total = sorted(range(first, last), key=lambda row: -totals[row])[:wanted]
        line.found += [self._hypothesis(ids[row], float(totals[row]), False) for row in by_total]

    def _done(self, line: _Line, best_open: float) -> bool:
        """Whether a line needs no more steps."""
        if len(line.found) < self.n_best:
            return False
        if self.patience is not None and line.ended >= self.patience * self.width:
            return True
        # a log-probability only falls, and no penalty is above that of the greatest length
        return best_open / self._lp(line.limit + 1) <= line.found[-1].score

    def _hypothesis(self, ids: list[int], total: float, finished: bool) -> Hypothesis:
        return Hypothesis(ids, total, total / self._lp(len(ids) + finished), finished)

    def _lp(self, length: int) -> float:
        return float(((5 + length) / 6) ** self.length_penalty)
