"""n-gram language models: counting, smoothing, the model, ARPA files.

    counting.py    text -> a trie of all n-grams with counts
    kneser_ney.py  counts -> probabilities: interpolated modified Kneser-Ney, as KenLM's lmplz
    trie.py        the one structure for counts, look-ups and next-word distributions
    model.py       the LanguageModel
    arpa.py        ARPA files
    reference.py   the estimation again, in plain Python, to read and to test against
    kernels.py     the compiled loops

Uses numpy and numba, which are loaded by the first `fit` or `load`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import UNK, Encoded
from textdl.errors import UsageError
from textdl.protocols import Run, TrainingData
from textdl.storage import Reader

if TYPE_CHECKING:
    from textdl.ngram.model import NgramModel

__all__ = ["MAX_ORDER", "SMOOTHINGS", "Config", "NgramModel", "fit", "load"]

SMOOTHINGS = ("kneser-ney",)
MAX_ORDER = 32


@dataclass(frozen=True)
class Config:
    """What an n-gram model is estimated with."""

    order: int = 5
    """The longest n-grams, in words: n - 1 words of context."""
    smoothing: str = "kneser-ney"
    """How probability is kept for what was not seen; one of SMOOTHINGS."""
    prune: tuple[int, ...] = ()
    """For each order from 1, n-grams that occur so often or less are dropped; the last stands for
    all higher orders. (0, 0, 1): trigrams and longer ones that occur once."""

    def __post_init__(self) -> None:
        if not 1 <= self.order <= MAX_ORDER:
            raise UsageError(f"--order {self.order}: an n-gram model has an order of 1 to {MAX_ORDER}.")
        if self.smoothing not in SMOOTHINGS:
            raise UsageError(f"--smoothing {self.smoothing}: no such smoothing. There is: {', '.join(SMOOTHINGS)}.")
        object.__setattr__(self, "prune", tuple(self.prune))
        given = ",".join(map(str, self.prune))
        if len(self.prune) > self.order:
            raise UsageError(f"--prune {given}: {len(self.prune)} thresholds for a model of --order {self.order}.")
        if self.prune and self.prune[0] != 0:
            raise UsageError(
                f"--prune {given}: unigrams are never pruned, so the first threshold is 0. "
                "To leave out rare words, cut the vocabulary."
            )
        if list(self.prune) != sorted(self.prune):
            raise UsageError(
                f"--prune {given}: thresholds may not fall from one order to the next, "
                "or n-grams would be kept whose parts are not."
            )

    @property
    def thresholds(self) -> tuple[int, ...]:
        """`prune` for every order."""
        return self.prune + (self.prune[-1:] or (0,)) * (self.order - len(self.prune))


def fit(
    data: TrainingData,
    config: Config,
    *,
    valid: Encoded | None = None,  # noqa: ARG001  (the one signature of every family)
    run: Run | None = None,
) -> NgramModel:
    """Count and estimate. `valid` is not used: there is nothing to tune.

    Raises:
        CorpusError: the corpus has no lines, or too many tokens to number.
    """
    from textdl.ngram import counting, kneser_ney
    from textdl.ngram.model import NgramModel

    run = run or Run()
    with run.timing("compile"):
        _compile()
    with run.timing("counting"):
        trie, counts = counting.count(data.epoch(0), config.order, run)
    with run.timing("estimating"):
        trie, logp, backoff, discounts = kneser_ney.estimate(trie, counts, config.thresholds, run)
    kneser_ney.note(discounts, run)
    _note_unknown(data.epoch(0).counts(), run)
    model = NgramModel(trie, logp, backoff, smoothing=config.smoothing, discounts=tuple(discounts))
    about = model.describe()
    run.figures.update({key: about[key] for key in ("ngrams", "discounts", "fallback")})
    return model


def _note_unknown(counts: NDArray[np.int64], run: Run) -> None:
    """Words that nobody has cut: then <unk> is a guess, and a text with unknown words looks worse than it need."""
    once = int((counts == 1).sum())
    if not counts[UNK] and once >= 50 and 200 * once > counts.sum():
        run.note(
            f"<unk> was not seen in training and gets what smoothing leaves for one unseen word, as in KenLM. "
            f"{once:,} words were seen once: with --min-count 2 its probability is learnt from them."
        )


def load(reader: Reader) -> NgramModel:
    """Open a saved model as memory maps. Raises ModelError where its files do not fit together."""
    from textdl.ngram import model

    return model.load(reader)


def __getattr__(name: str) -> Any:
    """`NgramModel` when it is asked for: it needs numba."""
    if name == "NgramModel":
        from textdl.ngram.model import NgramModel

        return NgramModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _compile() -> None:
    """Go once through the kernels of training, so that what compiling takes is told apart."""
    from textdl.ngram import counting, kneser_ney

    silent = Run()
    kneser_ney.estimate(*counting.count(Encoded.from_lines([[3]], 4), 3, silent), (0, 0, 0), silent)
