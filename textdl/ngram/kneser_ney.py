"""Interpolated modified Kneser-Ney smoothing, as KenLM's lmplz estimates it.

Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (TR-10-98, 1998),
equation 26 and section 4; Heafield, Pouzyrevsky, Clark and Koehn, "Scalable Modified Kneser-Ney Language
Model Estimation" (ACL 2013). What the papers leave open is settled as lmplz settles it:

- The count of an n-gram below the highest order is the number of different words before it; an n-gram
  that begins with <s>, before which there is nothing, keeps the count of its occurrences.
- Unigrams are interpolated with a uniform distribution over the vocabulary without <s>; so <unk>, and
  each word that never occurs, gets its share of what the discounts of the unigrams leave.
- <s> is not predicted: its count is 0 and it is not in the sums.
- Pruning drops n-grams by how often they occur, after counting and discounts; what they had goes to
  the back-off weight of their context, so that the model still sums to 1.

Unlike lmplz: a text may hold <unk> (words cut from the vocabulary), which is counted like any word;
discounts that cannot be computed are replaced without being asked, and a note says so; a discount of
exactly 0, which could leave a context no weight for new words, counts as one that cannot be computed.
lmplz counts the counts of the very last n-gram of each order from occurrences; here it is like all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS
from textdl.ngram import kernels
from textdl.ngram.trie import Trie, slices
from textdl.protocols import Floats, Run

FALLBACK = (0.5, 1.0, 1.5)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Discounts:
    """What is taken from n-grams of one order with count 1, 2, and 3 or more."""

    values: tuple[float, float, float]
    missing: str = ""
    """Why they could not be computed and are FALLBACK; empty if they were."""


def discounts(having: Sequence[int] | NDArray[np.int64], n: int) -> Discounts:
    """D_j = j - (j + 1) Y n_{j+1} / n_j with Y = n_1 / (n_1 + 2 n_2).

    having: (n_1, n_2, n_3, n_4), how many n-grams of order n have the count 1, 2, 3, 4.
    """
    counts = [int(h) for h in having]
    for j in (1, 2, 3):
        if counts[j - 1] == 0:
            return Discounts(FALLBACK, f"no {n}-gram has the count {j}")
    y = counts[0] / (counts[0] + 2 * counts[1])
    values = [j - (j + 1) * y * counts[j] / counts[j - 1] for j in (1, 2, 3)]
    for j, value in enumerate(values, 1):
        if not 0 < value <= j:
            return Discounts(FALLBACK, f"the one for {n}-grams of count {j} would be {value:.2f}")
    return Discounts((values[0], values[1], values[2]))


def estimate(
    trie: Trie, counts: NDArray[np.int32], prune: Sequence[int], run: Run
) -> tuple[Trie, Floats, Floats, list[Discounts]]:
    """Probabilities from the counts (nodes,) of all n-grams; `counts` is used up.

    prune: for each order, n-grams that occur so often or less are dropped; 0 for unigrams.

    Returns:
        The trie that is left, log p (nodes,), log back-off (contexts,), the discounts of each order.
    """
    cut = any(prune)
    raw = counts.copy() if cut else counts
    adjusted = _adjust(trie, counts)
    found = [discounts(_having(adjusted[trie.level(n)]), n) for n in range(1, trie.order + 1)]

    prob = np.zeros(len(trie.word), np.float32)
    gamma = np.ones(trie.starts[-2], np.float32)
    _unigrams(trie, adjusted, found[0], prob)
    for n in range(2, trie.order + 1):
        amounts = np.array([0.0, *found[n - 1].values])
        lo, hi = trie.starts[n - 1], trie.starts[n]
        # Where nothing is pruned, `raw` is `adjusted` and 1 at least.
        for start, stop in slices(np.diff(trie.first[lo : hi + 1]), _CHUNK):
            kernels.interpolate(
                trie.first, trie.suffix, adjusted, raw, prune[n - 1], amounts, prob, gamma, lo + start, lo + stop
            )
            run.progress("estimating", int(trie.first[lo + stop]), trie.starts[-1], "n-grams", f"{n}-grams")
    if cut:
        keep = np.ones(len(trie.word), np.bool_)
        for n in range(2, trie.order + 1):
            keep[trie.level(n)] = raw[trie.level(n)] > prune[n - 1]
        gamma = gamma[keep[: len(gamma)]]
        trie, prob = trie.pruned(keep), prob[keep]
    with np.errstate(divide="ignore"):  # <s> has probability 0
        np.log(prob, out=prob)
        np.log(gamma, out=gamma)
    prob[0] = 0.0
    np.minimum(prob, 0.0, out=prob)
    return trie, prob, gamma, found


def note(found: Sequence[Discounts], run: Run) -> None:
    """Say, in one sentence, which discounts are substitutes and why."""
    reasons = [f"order {n}: {d.missing}" for n, d in enumerate(found, 1) if d.missing]
    if reasons:
        run.note(
            f"This text is too small or too regular for Kneser-Ney discounts of its own ({'; '.join(reasons)}), "
            "so 0.5, 1 and 1.5 are taken there."
        )


def _adjust(trie: Trie, counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Turn the counts of the lower orders, in place, into numbers of different words before the n-gram."""
    for n in range(trie.order - 1, 0, -1):
        kept = counts[trie.starting_with_bos(n)].copy()
        counts[trie.level(n)] = 0
        counts[trie.starting_with_bos(n)] = kept
        above = trie.level(n + 1)
        for start in range(above.start, above.stop, _CHUNK):
            kernels.count_left(trie.suffix, counts, start, min(start + _CHUNK, above.stop))
    counts[1 + BOS] = 0
    return counts


def _having(adjusted: NDArray[np.int32]) -> NDArray[np.int64]:
    """n_1 .. n_4."""
    return np.bincount(np.minimum(adjusted, 5), minlength=6)[1:5]


def _unigrams(trie: Trie, adjusted: NDArray[np.int32], discount: Discounts, prob: NDArray[Any]) -> None:
    """p(w) = (a(w) - D(a(w))) / sum_v a(v) + gamma / |V|, for every w but <s>."""
    a = adjusted[trie.level(1)].astype(np.float64)
    taken = np.array([0.0, *discount.values])[np.minimum(adjusted[trie.level(1)], 3)]
    total = a.sum()
    unigrams = (a - taken) / total + taken.sum() / total / (trie.vocab_size - 1)
    unigrams[BOS] = 0.0
    prob[trie.level(1)] = unigrams
