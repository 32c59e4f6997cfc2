"""Modified Kneser-Ney in plain Python: slow, short, and meant to be read beside kneser_ney.py.

n-grams are tuples of ids, counts are dictionaries, and every formula is written as in the paper.
Tests hold the fast estimation against this one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from textdl.encoded import BOS, EOS
from textdl.ngram.kneser_ney import discounts

Gram = tuple[int, ...]


def estimate(
    lines: Iterable[Sequence[int]], order: int, vocab_size: int, thresholds: Sequence[int] = ()
) -> tuple[dict[Gram, float], dict[Gram, float]]:
    """p(last word | words before) of every n-gram, and the back-off weight of every context."""
    thresholds = thresholds or [0] * order
    occurs: Counter[Gram] = Counter()
    for line in lines:
        words = (BOS, *map(int, line), EOS)
        for n in range(1, order + 1):
            occurs.update(words[i : i + n] for i in range(len(words) - n + 1))

    adjusted = {g: c for g, c in occurs.items() if len(g) == order or (g[0] == BOS and len(g) > 1)}
    for g in occurs:
        if len(g) > 1 and g[1:] not in adjusted:
            adjusted[g[1:]] = 0
    for g in occurs:
        if len(g) > 1 and len(g[1:]) < order:
            adjusted[g[1:]] += 1
    adjusted.pop((BOS,), None)

    amount = {0: [0.0] * 4}
    for n in range(1, order + 1):
        of_order = Counter(a for g, a in adjusted.items() if len(g) == n)
        amount[n] = [0.0, *discounts([of_order[j] for j in (1, 2, 3, 4)], n).values]

    def discount(g: Gram) -> float:
        return amount[len(g)][min(adjusted[g], 3)]

    continuations: dict[Gram, list[Gram]] = defaultdict(list)
    for g in adjusted:
        continuations[g[:-1]].append(g)
    total = {c: sum(adjusted[g] for g in gs) for c, gs in continuations.items()}
    kept = {g for g in adjusted if occurs[g] > thresholds[len(g) - 1]}
    backoff = {
        c: sum(discount(g) if g in kept else adjusted[g] for g in gs) / total[c] for c, gs in continuations.items()
    }

    p: dict[Gram, float] = {}
    for w in range(vocab_size):
        if w != BOS:
            seen = (adjusted[(w,)] - discount((w,))) / total[()] if (w,) in adjusted else 0.0
            p[(w,)] = seen + backoff[()] / (vocab_size - 1)
    for g in sorted(kept, key=len):
        if len(g) > 1:
            p[g] = (adjusted[g] - discount(g)) / total[g[:-1]] + backoff[g[:-1]] * p[g[1:]]
    return p, {c: weight for c, weight in backoff.items() if c in p or c == (BOS,)}


def log_probability(p: dict[Gram, float], backoff: dict[Gram, float], context: Gram, word: int) -> float:
    """ln p(word | context), backing off from the whole context."""
    if (*context, word) in p:
        return math.log(p[(*context, word)])
    return math.log(backoff.get(context, 1.0)) + log_probability(p, backoff, context[1:], word)
