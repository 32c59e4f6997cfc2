"""The estimation again in plain Python: slow, short, and meant to be read beside smoothing.py.

n-grams are tuples of ids, counts are dictionaries, and each smoothing is written as its paper has it.
Tests hold the fast counting and the shared recursion against this.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textdl.encoded import BOS, EOS
from textdl.ngram.smoothing import absolute_discount, modified_discounts

Gram = tuple[int, ...]


@dataclass
class Estimate:
    """Everything that is known of a small model."""

    order: int
    vocab_size: int
    count: dict[Gram, int]
    """What the smoothing counts, before pruning."""
    kept: set[Gram]
    """The n-grams of two words and more that pruning leaves."""
    denominator: dict[Gram, float]
    """T of every context that occurred."""
    gamma: dict[Gram, float]
    """G of those: the weight of the shorter context."""
    taken: dict[Gram, float]
    """What was taken from the count of each n-gram."""
    uniform_below: bool
    """add-k: the uniform distribution stands for that of the shorter context."""

    def probability(self, context: Gram, word: int) -> float:
        """p(word | context), the context cut to order - 1 words."""
        context = context[len(context) - self.order + 1 :] if len(context) >= self.order else context
        uniform = 1 / (self.vocab_size - 1)
        if word == BOS:
            return 0.0
        if context and context not in self.denominator:
            return self.probability(context[1:], word)
        gram = (*context, word)
        seen = 0.0
        if gram in self.count and (not context or gram in self.kept):
            seen = max(self.count[gram] - self.taken[gram], 0.0) / self.denominator[context]
        below = uniform if not context or self.uniform_below else self.probability(context[1:], word)
        return seen + self.gamma[context] * below


def occurrences(lines: Iterable[Sequence[int]], order: int) -> Counter[Gram]:
    """How often each n-gram of up to `order` words occurs."""
    occurs: Counter[Gram] = Counter()
    for line in lines:
        words = (BOS, *map(int, line), EOS)
        for n in range(1, order + 1):
            occurs.update(words[i : i + n] for i in range(len(words) - n + 1))
    return occurs


def adjusted(occurs: Counter[Gram], order: int) -> dict[Gram, int]:
    """The number of different words before each n-gram; occurrences at the highest order and after <s>."""
    counts = {g: c for g, c in occurs.items() if len(g) == order or g[0] == BOS}
    for g in occurs:
        if len(g) > 1 and g[1:] not in counts:
            counts[g[1:]] = 0
    for g in occurs:
        if 1 < len(g) <= order and g[1] != BOS:
            counts[g[1:]] += 1
    return counts


def estimate(
    lines: Iterable[Sequence[int]],
    order: int,
    vocab_size: int,
    thresholds: Sequence[int] = (),
    smoothing: str = "kneser-ney",
    k: float = 1.0,
) -> Estimate:
    """Count and smooth. thresholds: for each order, n-grams that occur so often or less are pruned."""
    thresholds = thresholds or [0] * order
    occurs = occurrences(lines, order)
    count = adjusted(occurs, order) if smoothing == "kneser-ney" else dict(occurs)
    count.pop((BOS,), None)
    kept = {g for g in count if len(g) > 1 and occurs[g] > thresholds[len(g) - 1]}

    taken = dict.fromkeys(count, 0.0)
    for n in range(1, order + 1):
        of_order = Counter(a for g, a in count.items() if len(g) == n)
        having = [of_order[j] for j in (1, 2, 3, 4)]
        for g, a in count.items():
            if len(g) == n and smoothing == "kneser-ney":
                taken[g] = modified_discounts(having).values[min(a, 3) - 1]
            if len(g) == n and smoothing == "absolute":
                taken[g] = absolute_discount(having).values[0]

    continuations: dict[Gram, list[Gram]] = defaultdict(list)
    for g in count:
        continuations[g[:-1]].append(g)
    denominator, gamma = {}, {}
    for context, grams in continuations.items():
        total = sum(count[g] for g in grams)
        if smoothing == "witten-bell":
            given = float(len(grams))
        elif smoothing == "add-k":
            given = k * (vocab_size - 1)
        else:
            given = 0.0
        denominator[context] = total + given
        for g in grams:
            given += taken[g] if g in kept or not context else count[g]
        gamma[context] = given / denominator[context]
    return Estimate(order, vocab_size, count, kept, denominator, gamma, taken, smoothing == "add-k")


def log_probability(model: Estimate, context: Gram, word: int) -> float:
    """ln p(word | context); -inf where it is 0."""
    p = model.probability(context, word)
    return math.log(p) if p else -math.inf
