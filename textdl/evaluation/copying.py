"""How much of what a model writes stands in its training text: the share of copied n-grams, by n.

A model that memorises has a low perplexity on what it was trained on and samples that read well, because others
wrote them. The share of n-grams of its samples that occur in the training text tells (McCoy et al. 2023, "How much do
language models copy from their training data?"). It means something beside the same share for text that the model
did not write and was not trained on: short n-grams recur in any text.

n-grams are of words of a declared segmenter, the same for all models, and never cross a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textdl.evaluation.report import Table
from textdl.protocols import Run

LENGTHS = (2, 3, 4, 5, 7, 10)
_OFTEN = 1 << 12


@dataclass(frozen=True)
class Copied:
    """n-grams of some texts, by length."""

    name: str
    ngrams: dict[int, int]
    """All of them, by n."""
    found: dict[int, int]
    """Those that occur in the training text."""

    def share(self, n: int) -> float | None:
        """None where the texts have no n-gram of that length."""
        return self.found[n] / self.ngrams[n] if self.ngrams[n] else None

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.name, "ngrams": self.ngrams, "copied": {n: self.share(n) for n in self.ngrams}}


def copied(
    texts: Mapping[str, Iterable[Sequence[str]]],
    training: Iterable[Sequence[str]],
    *,
    lengths: Sequence[int] = LENGTHS,
    run: Run | None = None,
) -> list[Copied]:
    """Which n-grams of some texts occur in another, which is read once and never held.

    Args:
        texts: lines of words, by name: the samples of each model, and text to compare them with.
        training: lines of words.
        lengths: rising values of n.
    """
    own = {name: [tuple(line) for line in lines] for name, lines in texts.items()}
    wanted: dict[int, set[tuple[str, ...]]] = {n: set() for n in lengths}
    for lines in own.values():
        for line in lines:
            for n in lengths:
                wanted[n].update(line[i : i + n] for i in range(len(line) - n + 1))
    found: dict[int, set[tuple[str, ...]]] = {n: set() for n in lengths}
    for number, words in enumerate(training):
        line = tuple(words)
        for i in range(len(line)):
            for n in lengths:
                gram = line[i : i + n]
                if len(gram) < n or gram not in wanted[n]:
                    break  # so no longer one is wanted either
                found[n].add(gram)
        if run is not None and number % _OFTEN == 0:
            run.progress("looking for copies", number, None, "lines")
    made = []
    for name, lines in own.items():
        grams = {n: [line[i : i + n] for line in lines for i in range(len(line) - n + 1)] for n in lengths}
        counts = {n: len(some) for n, some in grams.items()}
        made.append(Copied(name, counts, {n: sum(g in found[n] for g in some) for n, some in grams.items()}))
    return made


def copied_table(rows: Sequence[Copied], segmenter: str) -> Table:
    """A row for each text."""
    lengths = list(rows[0].ngrams)
    cells = [[r.name, *("-" if (s := r.share(n)) is None else f"{100 * s:.1f}" for n in lengths)] for r in rows]
    return Table(
        "Share of n-grams that stand in the training text, in %",
        ["text", *(f"{n}-grams" for n in lengths)],
        cells,
        [
            f"n-grams of words of {segmenter}. Samples far above the held-out text are copied; long ones nobody writes "
            "by chance."
        ],
    )
