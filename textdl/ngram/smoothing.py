"""From counts to probabilities: five smoothings, which are one recursion with different numbers in it.

For a context c of n - 1 words and a word w, with a the count of the n-gram cw (0 where there is none):

    p_n(w | c) = max(a - D(a), 0) / T(c) + G(c) p_{n-1}(w | c without its first word)
    T(c) = total + e types + f
    G(c) = (D1 n1 + D2 n2 + D3 n3 + e types + f + lost) / T(c)

total is the sum of the counts of the children of c, types how many children there are, n1, n2, n3 how
many of them with the count 1, 2, and 3 or more; lost is the count of children that were pruned, which
n1, n2 and n3 leave out. So each context gives away exactly what it took, and sums to 1. The smoothings:

    kneser-ney   a below the highest order is the number of different words before the n-gram;
                 D1, D2, D3 per order, e = f = 0
    absolute     a = occurrences; D1 = D2 = D3 = n1 / (n1 + 2 n2) per order, e = f = 0
    witten-bell  a = occurrences; D = 0, e = 1, f = 0
    add-k        a = occurrences; D = 0, e = 0, f = k V', and for p_{n-1} the uniform distribution 1 / V'
    mle          a = occurrences; all 0: relative frequencies

V' is the vocabulary without <s>, which nobody predicts: its count is 0 and it is in no sum. A context
that did not occur says nothing: p_n = p_{n-1}, for mle and add-k, too. Unigrams have the empty context
and the uniform distribution over V' below them; so <unk>, and each word that never occurs, gets a share
of what unigrams give away.

Sources. kneser-ney: interpolated modified Kneser-Ney, Chen and Goodman, "An Empirical Study of Smoothing
Techniques for Language Modeling" (TR-10-98, 1998), equation 26 and section 4, as KenLM's lmplz estimates
it: Heafield, Pouzyrevsky, Clark and Koehn, "Scalable Modified Kneser-Ney Language Model Estimation" (ACL
2013). absolute: Ney, Essen and Kneser, "On Structuring Probabilistic Dependences in Stochastic Language
Modelling" (Computer Speech and Language 8, 1994), interpolated. witten-bell: Witten and Bell, "The
Zero-Frequency Problem" (IEEE Trans. Information Theory 37, 1991), method C, interpolated as in Chen and
Goodman, equation 17. add-k: Lidstone (1920); k = 1 is Laplace's.

What the papers leave open is settled as lmplz settles it:

- An n-gram that begins with <s>, before which there is nothing, keeps the count of its occurrences.
- Unigrams are interpolated with the uniform distribution over V', which <unk> is in.
- Pruning drops n-grams by how often they occur, after counting and discounts; what they had goes to G
  of their context, so that the model still sums to 1.

Unlike lmplz: a text may hold <unk> (words cut from the vocabulary), which is counted like any word;
discounts that cannot be computed are replaced without being asked, and a note says so; a discount of
exactly 0, which could leave a context no weight for new words, counts as one that cannot be computed.
lmplz counts the counts of the very last n-gram of each order from occurrences; here it is like all others.
lmplz leaves out the </s> of a last line that no line feed ends; here every line has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS
from textdl.kernels import exact_kernel
from textdl.protocols import Run

KNESER_NEY, ABSOLUTE, WITTEN_BELL, ADD_K, MLE = "kneser-ney", "absolute", "witten-bell", "add-k", "mle"
FALLBACK = (0.5, 1.0, 1.5)
"""lmplz's discounts where a text has none of its own."""
EXTRA, FLAT = 4, 5
"""The columns of `Smoothing.parameters` after the discounts: e and f above."""


@dataclass(frozen=True)
class Discounts:
    """What is taken from n-grams of one order with count 1, 2, and 3 or more."""

    values: tuple[float, float, float]
    missing: str = ""
    """Why they could not be computed and are FALLBACK, in a few words; empty if they were."""


@dataclass(frozen=True)
class Smoothing:
    """All that turns counts into probabilities: saved with a model, read by every kernel."""

    name: str
    vocab_size: int
    discounts: tuple[Discounts, ...]
    """For each order from 1."""
    k: float = 0.0
    """What add-k adds to every count."""

    @property
    def uniform(self) -> float:
        """1 / V': what every word but <s> has below the unigrams."""
        return 1.0 / (self.vocab_size - 1)

    @property
    def interpolates_uniform(self) -> bool:
        """Whether p_{n-1} in the recursion is the uniform distribution at every order (add-k)."""
        return self.name == ADD_K

    @property
    def parameters(self) -> NDArray[np.float64]:
        """(order + 1, 6): for n-grams of order n, row n holds 0, D1, D2, D3, e, f."""
        rows = np.zeros((len(self.discounts) + 1, 6))
        for n, discount in enumerate(self.discounts, 1):
            rows[n, 1:4] = discount.values
            rows[n, EXTRA] = self.name == WITTEN_BELL
            rows[n, FLAT] = self.k * (self.vocab_size - 1) if self.name == ADD_K else 0.0
        return rows

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Smoothing:
        """Raises KeyError, TypeError or ValueError where `value` is not what to_json gave."""
        found = tuple(Discounts(_three(d["values"]), str(d["missing"])) for d in value["discounts"])
        return cls(str(value["name"]), int(value["vocab_size"]), found, float(value["k"]))


@exact_kernel
def weights(
    total: int, n1: int, n2: int, n3: int, types: int, n: int, parameters: NDArray[np.float64], lost: int = 0
) -> tuple[float, float]:
    """T and G of a context with children (so total > 0), which are n-grams of order n; see the module.

    Used where models are trained and where they are queried: the same operations in the same order
    (`exact_kernel`), so that a value that is computed is the value that would have been stored.
    """
    row = parameters[n]
    given = row[4] * types + row[5]
    t = total + given
    g = (row[1] * n1 + row[2] * n2 + row[3] * n3 + given + lost) / t
    return t, g


def estimate(name: str, vocab_size: int, having: Iterable[NDArray[np.int64]], *, k: float = 1.0) -> Smoothing:
    """The parameters of a smoothing from counts of counts.

    having: for each order from 1, (n_1, n_2, n_3, n_4): how many n-grams have the count 1 .. 4.
    """
    if name == KNESER_NEY:
        found = [modified_discounts(h) for h in having]
    elif name == ABSOLUTE:
        found = [absolute_discount(h) for h in having]
    else:
        found = [Discounts((0.0, 0.0, 0.0)) for _ in having]
    return Smoothing(name, vocab_size, tuple(found), k if name == ADD_K else 0.0)


def modified_discounts(having: Sequence[int] | NDArray[np.int64]) -> Discounts:
    """D_j = j - (j + 1) Y n_{j+1} / n_j with Y = n_1 / (n_1 + 2 n_2)  (Chen and Goodman, equation 26)."""
    counts = [int(h) for h in having]
    for j in (1, 2, 3):
        if counts[j - 1] == 0:
            return Discounts(FALLBACK, f"none has the count {j}")
    y = counts[0] / (counts[0] + 2 * counts[1])
    values = [j - (j + 1) * y * counts[j] / counts[j - 1] for j in (1, 2, 3)]
    for j, value in enumerate(values, 1):
        if not 0 < value <= j:
            return Discounts(FALLBACK, f"D{j} would be {value:.2f}")
    return Discounts(_three(values))


def absolute_discount(having: Sequence[int] | NDArray[np.int64]) -> Discounts:
    """D = n_1 / (n_1 + 2 n_2), which is below 1 only where n_2 is not 0."""
    for j in (1, 2):
        if having[j - 1] == 0:
            return Discounts((0.5, 0.5, 0.5), f"none has the count {j}")
    n1, n2 = int(having[0]), int(having[1])
    value = n1 / (n1 + 2 * n2)
    return Discounts((value, value, value))


def unigrams(counts: NDArray[np.int64], smoothing: Smoothing) -> NDArray[np.float64]:
    """(V,) p(w) from the counts (V,) of the words, of which that of <s> must be 0."""
    assert counts[BOS] == 0, "<s> is not predicted"
    capped = np.bincount(np.minimum(counts, 3), minlength=4)
    total, types = int(counts.sum()), int(capped[1:].sum())
    n1, n2, n3 = (int(c) for c in capped[1:])
    parameters = smoothing.parameters
    t, g = weights(total, n1, n2, n3, types, 1, parameters)
    p: NDArray[np.float64] = np.maximum(counts - parameters[1, np.minimum(counts, 3)], 0.0) / t + g * smoothing.uniform
    p[BOS] = 0.0
    return p


def note(smoothing: Smoothing, run: Run) -> None:
    """Say, in one sentence, of which orders the discounts are substitutes and why."""
    reasons: dict[str, list[int]] = {}
    for n, discounts in enumerate(smoothing.discounts, 1):
        if discounts.missing:
            reasons.setdefault(discounts.missing, []).append(n)
    if reasons:
        orders = "; ".join(f"{_orders(numbers)}: {why}" for why, numbers in reasons.items())
        kind, taken = "Kneser-Ney discounts", "0.5, 1 and 1.5 are"
        if smoothing.name == ABSOLUTE:
            kind, taken = "absolute discounts", "0.5 is"
        run.note(f"This text is too small or too regular for {kind} of its own ({orders}), so {taken} taken there.")


def _orders(numbers: Sequence[int]) -> str:
    """`order 2`, `orders 1, 3-5`, of rising numbers."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    told = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"order{'s' if len(numbers) > 1 else ''} {told}"


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    d1, d2, d3 = (float(v) for v in values)
    return d1, d2, d3
