"""Translations against references: BLEU (Papineni et al. 2002) and chrF (Popovic 2015), by sacrebleu (Post 2018).

Each figure carries sacrebleu's signature, which says how text was cut and cased: two BLEUs compare only where theirs are equal.
Chinese is cut by sacrebleu's own tokenizer `zh`, everything else by `13a`; texts are given as they are, detokenised. Two
systems are compared by paired bootstrap (Koehn 2004). The one file that imports sacrebleu.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textdl.errors import UsageError
from textdl.evaluation.bootstrap import interval

_HAN = range(0x4E00, 0xA000)


@dataclass(frozen=True)
class Figure:
    """A score of one system, 0 to 100."""

    name: str
    value: float
    signature: str


@dataclass(frozen=True)
class Difference:
    """How much better the first of two systems is on the same lines."""

    name: str
    difference: float
    low: float
    high: float
    """The 95 % interval."""

    def __str__(self) -> str:
        settled = "" if self.low <= 0 <= self.high else ", settled"
        return f"{self.name} {self.difference:+.2f} (95 %: {self.low:+.2f} to {self.high:+.2f}{settled})"


def measure(translations: Sequence[str], references: Sequence[str], *, lowercase: bool = False) -> list[Figure]:
    """BLEU and chrF of a whole text.

    Raises:
        UsageError: the numbers of lines differ, there are none, or sacrebleu is not installed.
    """
    figures = []
    for metric in _metrics(translations, references, lowercase):
        score = metric.corpus_score(list(translations), [list(references)])
        figures.append(Figure(str(score.name), float(score.score), str(metric.get_signature())))
    return figures


def paired(
    translations: Sequence[str],
    others: Sequence[str],
    references: Sequence[str],
    *,
    lowercase: bool = False,
    seed: int = 1,
) -> list[Difference]:
    """The differences of two systems, each with the interval in which 95 % of resampled texts put it."""
    found = []
    for metric in _metrics(translations, references, lowercase):
        statistics = []
        for system in (translations, others):
            if len(system) != len(references):
                raise UsageError(f"{len(system):,} translations and {len(references):,} references: give one for each.")
            statistics.append(np.array(metric._extract_corpus_statistics(list(system), [list(references)])))

        def difference(rows: Any, metric: Any = metric, pair: Any = statistics) -> float:
            a, b = (float(metric._aggregate_and_compute(part[rows].tolist()).score) for part in pair)
            return a - b

        whole = difference(np.arange(len(references)))
        limits = interval(difference, len(references), seed=seed) or (whole, whole)
        found.append(Difference(metric.corpus_score([""], [[""]]).name, whole, *limits))
    return found


def _metrics(translations: Sequence[str], references: Sequence[str], lowercase: bool) -> list[Any]:
    if len(translations) != len(references) or not references:
        raise UsageError(
            f"{len(translations):,} translations and {len(references):,} references: give one reference for each line."
        )
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise UsageError('BLEU needs sacrebleu. Run `pip install "textdl[translation]"`.') from error
    cut = "zh" if _mostly_han(references) else "13a"
    return [BLEU(tokenize=cut, lowercase=lowercase), CHRF(lowercase=lowercase)]


def _mostly_han(lines: Sequence[str]) -> bool:
    letters = [c for line in lines[:1000] for c in line if c.isalpha()]
    return 2 * sum(ord(c) in _HAN for c in letters) > len(letters)
