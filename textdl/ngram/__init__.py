"""n-gram language models: counting, smoothing, the model, ARPA files.

    counting.py          text -> all n-grams with their counts, in memory or through files
    counting_kernels.py  the compiled loops of that
    levels.py            the counts level by level, pruned, with the weights of contexts: what is packed
    smoothing.py         counts -> probabilities: Kneser-Ney as KenLM's lmplz, absolute, Witten-Bell, add-k, mle
    reference.py         counting and smoothing again, in plain Python, to read and to test against
    packed.py            the levels as a compact trie, in memory or mapped from files
    kernels.py           the compiled loops of queries
    memory.py            reading packed arrays inside them: addresses, prefetch
    model.py             the LanguageModel
    arpa.py              ARPA files as text
    arpa_loading.py      from such a file to a model
    arpa_kernels.py      the compiled loops that read them

Uses numpy and numba, which are loaded by the first `fit` or `load`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import EOS, UNK, Encoded
from textdl.errors import UsageError
from textdl.protocols import Run, TrainingData
from textdl.storage import Reader

if TYPE_CHECKING:
    from textdl.ngram.model import NgramModel

__all__ = ["MAX_ORDER", "SMOOTHINGS", "Config", "NgramModel", "fit", "load"]

SMOOTHINGS = ("kneser-ney", "absolute", "witten-bell", "add-k", "mle")
MAX_ORDER = 32


@dataclass(frozen=True)
class Config:
    """What an n-gram model is estimated with."""

    order: int = 5
    """The longest n-grams, in words: n - 1 words of context."""
    smoothing: str = "kneser-ney"
    """How probability is kept for what was not seen; one of SMOOTHINGS, described in smoothing.py."""
    prune: tuple[int, ...] = ()
    """For each order from 1, n-grams that occur so often or less are dropped; the last stands for
    all higher orders. (0, 0, 1): trigrams and longer ones that occur once."""
    k: float | None = None
    """What add-k adds to every count; None: 1."""
    memory: int | None = None
    """Bytes that the process should stay below while it counts, by using files in $TMPDIR; None: half of what is free."""
    workers: int = 0
    """Threads; 0: one for each core. The model does not depend on it."""

    def __post_init__(self) -> None:
        for name in ("order", "memory", "workers"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _whole(name, value))
        if not 1 <= self.order <= MAX_ORDER:
            raise UsageError(f"--order {self.order}: an n-gram model has an order of 1 to {MAX_ORDER}.")
        if self.smoothing not in SMOOTHINGS:
            raise UsageError(f"--smoothing {self.smoothing}: no such smoothing. There is: {', '.join(SMOOTHINGS)}.")
        if self.k is not None and self.smoothing != "add-k":
            raise UsageError(f"--k {self.k:g}: {self.smoothing} adds nothing to counts. Choose --smoothing add-k.")
        if self.k is not None and not 0 < self.k < math.inf:
            raise UsageError(f"--k {self.k:g}: what is added to every count is above 0. Without it, --smoothing mle.")
        if self.memory is not None and self.memory <= 0:
            raise UsageError(f"--memory {self.memory}: expected a number of bytes above 0.")
        if self.workers < 0:
            raise UsageError(f"--workers {self.workers}: expected a number of threads, or 0 for one for each core.")
        self._check_prune()

    def _check_prune(self) -> None:
        if isinstance(self.prune, str) or not isinstance(self.prune, Iterable):
            raise UsageError(f"--prune {self.prune!r}: expected a threshold for each order, such as (0, 0, 1)")
        object.__setattr__(self, "prune", tuple(_whole("prune", threshold) for threshold in self.prune))
        given = ",".join(map(str, self.prune))
        if len(self.prune) > self.order:
            raise UsageError(f"--prune {given}: {len(self.prune)} thresholds for a model of --order {self.order}.")
        if self.prune and self.prune[0] != 0:
            raise UsageError(
                f"--prune {given}: unigrams are never pruned, so the first threshold is 0. "
                "To leave out rare words, cut the vocabulary."
            )
        if any(not 0 <= threshold < 1 << 63 for threshold in self.prune):
            raise UsageError(f"--prune {given}: thresholds are counts, from 0 up")
        if list(self.prune) != sorted(self.prune):
            raise UsageError(
                f"--prune {given}: thresholds may not fall from one order to the next, "
                "or n-grams would be kept whose parts are not."
            )
        if any(self.prune) and self.smoothing in ("add-k", "mle"):
            raise UsageError(
                f"--prune {given}: {self.smoothing} has no weight for shorter contexts that could get what is pruned. "
                "Choose --smoothing kneser-ney, absolute or witten-bell."
            )

    @property
    def thresholds(self) -> tuple[int, ...]:
        """`prune` for every order."""
        return self.prune + (self.prune[-1:] or (0,)) * (self.order - len(self.prune))


def _whole(name: str, value: Any) -> int:
    """A whole number as an int; numpy's are taken, bools are none."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(f"--{name} {value!r}: expected a whole number")
    return int(value)


def fit(
    data: TrainingData,
    config: Config,
    *,
    valid: Encoded | None = None,  # noqa: ARG001  (the one signature of every family)
    run: Run | None = None,
) -> NgramModel:
    """Count and estimate. `valid` is not used: there is nothing to tune.

    Raises:
        CorpusError: the corpus has no lines, or there is no room on disk for what does not fit the memory.
        UsageError: even with files it takes more memory than config.memory.
    """
    from textdl.ngram import counting, smoothing
    from textdl.ngram.levels import Levels
    from textdl.ngram.model import NgramModel
    from textdl.ngram.packed import pack

    run = run or Run()
    with run.timing("compile"):
        _compile()
    lines = data.epoch(0)
    if config.memory is not None:
        counting.check_memory(config.memory, lines, config.order, config.workers)
    with run.timing("counting"):
        counts = counting.count(
            lines,
            config.order,
            run,
            adjust=config.smoothing == smoothing.KNESER_NEY,
            thresholds=config.thresholds,
            memory=config.memory,
            workers=config.workers,
        )
    with run.timing("estimating"):
        run.progress("estimating", 0, int(counts.kept.sum()), "n-grams")
        found = smoothing.estimate(
            config.smoothing, lines.vocab_size, counts.having[1:, 1:], k=1.0 if config.k is None else config.k
        )
        levels = Levels(counts, found)
        model = NgramModel(pack(levels))
        run.progress("estimating", int(counts.kept.sum()), int(counts.kept.sum()), "n-grams")
    smoothing.note(found, run)
    _note_unknown(counts.words, config.smoothing, run)
    about = model.describe()
    run.figures.update({key: about[key] for key in ("ngrams", "discounts", "fallback")})
    run.figures["statistics"] = levels.statistics
    run.figures["counted_on_disk"] = levels.on_disk
    return model


def _note_unknown(counts: NDArray[np.int64], smoothing: str, run: Run) -> None:
    """Words that nobody has cut: then <unk> is a guess, and a text with unknown words looks worse than it need."""
    words = counts[EOS + 1 :]  # but for <s> and </s>, which are no words, and <unk>
    once = int((words == 1).sum())
    if not counts[UNK] and once >= 50 and 200 * once > words.sum():
        gets = "has probability 0" if smoothing == "mle" else "gets what smoothing leaves for one unseen word"
        gets += ", as in KenLM" if smoothing == "kneser-ney" else ""
        run.note(
            f"<unk> was not seen in training and {gets}. "
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
    from textdl.ngram import counting, smoothing
    from textdl.ngram.levels import Levels
    from textdl.ngram.packed import pack

    counting.compile_kernels()
    counts = counting.count(Encoded.from_lines([[3]], 4), 3, Run(), memory=1 << 62, workers=1)
    pack(Levels(counts, smoothing.estimate(smoothing.KNESER_NEY, 4, counts.having[1:, 1:])))
