"""What word2vec is told (`Config`) and what it gives (`Word2Vec`): word vectors that can be trained on.

Beside the word vectors, a model keeps the vectors of words as targets (`context`) and the counts
behind its noise words, so that training can go on and its loss on other text can be computed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.errors import ModelError, UsageError
from textdl.storage import Reader, Writer
from textdl.vocabulary import Vocabulary
from textdl.word2vec.vectors import Floats, Vectors, load_vocab

MODELS = ("skipgram", "cbow")
LOSSES = ("ns", "hs")
SCHEDULES = ("linear", "cosine", "constant")
GRADIENTS = ("corrected", "word2vec")

_SKIPGRAM_RATE = 0.025
_CBOW_RATES = {
    ("ns", "corrected"): 0.15,
    ("hs", "corrected"): 0.07,
    ("ns", "word2vec"): 0.05,
    ("hs", "word2vec"): 0.05,
}
"""The corrected gradient is that of word2vec divided by the number of context words, so it wants a greater rate."""


@dataclass(frozen=True)
class Config:
    """Hyper-parameters, named and set as in word2vec."""

    model: str = "skipgram"
    """What predicts what: `skipgram`, from a word each word around it; `cbow`, from the mean of the words around it."""
    loss: str = "ns"
    """How: `ns`, negative sampling; `hs`, hierarchical softmax over a Huffman tree."""
    dim: int = 300
    """Numbers in a vector."""
    window: int = 5
    """The widest distance of two words that meet."""
    dynamic_window: bool = True
    """Each target draws its width from 1 to `window`, so that near words meet more often; False: always `window`."""
    negative: int = 5
    """Noise words for each target; without meaning for `hs`."""
    sample: float = 1e-3
    """Words more frequent than this share of the text are thinned out; 0: none."""
    epochs: int = 5
    """Passes over the text."""
    alpha: float | None = None
    """Learning rate at the start; None: by model, see `learning_rate`."""
    min_alpha: float = 1e-4
    """Learning rate at the end, over all words of all epochs."""
    schedule: str = "linear"
    """The way there: `linear`, `cosine` or `constant` (stays at alpha)."""
    ns_exponent: float = 0.75
    """Noise words are drawn from counts to this power."""
    cbow_gradient: str = "corrected"
    """What each of n context words gets of the gradient of their mean: 1/n of it, as the derivative says
    (`corrected`; Irsoy, Benton and Stratos 2021, eq. 5), or all of it (`word2vec`, as in the original)."""
    workers: int = 0
    """Threads; 0: as many as there are cores, fewer for short texts. With 1, the same seed gives the same bytes."""
    deterministic: bool = False
    """The same seed gives the same bytes for any number of workers, more slowly."""
    patience: int = 0
    """Epochs in a row with a loss on held-out text more than 0.5 % above the lowest, before training stops; 0: never."""

    def __post_init__(self) -> None:
        _one_of("model", self.model, MODELS)
        _one_of("loss", self.loss, LOSSES)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("cbow_gradient", self.cbow_gradient, GRADIENTS)
        for name in ("dynamic_window", "deterministic"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is {getattr(self, name)!r}; expected True or False")
        _whole("dim", self.dim, 1, 65536)
        _whole("window", self.window, 1, 100)
        _whole("negative", self.negative, 1, 1000)
        _whole("epochs", self.epochs, 1, 1_000_000)
        _whole("workers", self.workers, 0, 1024)
        _whole("patience", self.patience, 0, 1_000_000)
        _number("sample", self.sample, 0, 1)
        if self.alpha is not None:
            _number("alpha", self.alpha, 1e-12, 10)
        _number("min_alpha", self.min_alpha, 0, 10)
        _number("ns_exponent", self.ns_exponent, -10, 10)
        if self.schedule != "constant" and self.min_alpha > self.learning_rate:
            raise UsageError(
                f"min_alpha is {self.min_alpha}, above alpha, {self.learning_rate}; the learning rate falls. "
                "Lower min_alpha, or use the schedule constant."
            )

    @property
    def learning_rate(self) -> float:
        """The learning rate at the start: alpha, or what suits the model where it is None."""
        return self.usual_rate if self.alpha is None else self.alpha

    @property
    def usual_rate(self) -> float:
        """The learning rate that suits the model."""
        return _SKIPGRAM_RATE if self.model == "skipgram" else _CBOW_RATES[self.loss, self.cbow_gradient]

    @property
    def in_order(self) -> bool:
        """Whether chunks are trained on one after the other. All paths of a Huffman tree begin at its root: threads that
        write to the same few rows at once are slower than one, which has those rows in its cache.
        """
        return self.deterministic or self.loss == "hs"

    def without_effect(self, given: Collection[str]) -> list[str]:
        """Sentences about those of the given settings that others make meaningless."""
        return [
            f"--{name.replace('_', '-')} has no effect with --{other.replace('_', '-')} {value}."
            for other, value, names in (
                ("loss", "hs", ("negative", "ns_exponent")),
                ("model", "skipgram", ("cbow_gradient",)),
                ("schedule", "constant", ("min_alpha",)),
            )
            for name in names
            if name in given and getattr(self, other) == value
        ]

    def threads(self, tokens: int) -> int:
        """Threads for a text of so many tokens."""
        if self.workers:
            return self.workers
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return max(1, min(cores, tokens // 20_000))


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{name} is {value!r}; expected {' or '.join(known)}")


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{name} is {value!r}; expected a whole number from {low:,} to {high:,}")


def _number(name: str, value: Any, low: float, high: float) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise UsageError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}")


class Word2Vec(Vectors):
    """Trained word vectors, and what is needed to train on."""

    def __init__(
        self,
        config: Config,
        vectors: Floats,
        context: Floats,
        counts: NDArray[np.int64],
        vocab: Vocabulary | None = None,
    ) -> None:
        """vectors and context: (V, D) words as inputs and as targets; counts: (V,) in the training text."""
        super().__init__(vocab, vectors)
        if context.shape != vectors.shape or len(counts) != len(vectors):
            raise UsageError(f"vectors {vectors.shape}, context {context.shape} and {len(counts)} counts do not fit")
        self.config = config
        self.context = context
        self.counts = counts

    def describe(self) -> dict[str, Any]:
        model = {"skipgram": "skip-gram", "cbow": "CBOW"}[self.config.model]
        loss = {"ns": f"{self.config.negative} noise words", "hs": "hierarchical softmax"}[self.config.loss]
        return {**super().describe(), "model": f"{model}, {loss}, window {self.config.window}"}

    def save(self, out: Writer) -> None:
        """vectors.npy, context.npy, counts.npy and word2vec.json; the vocabulary is the caller's to write."""
        super().save(out)
        out.array("context.npy", np.ascontiguousarray(self.context))
        out.array("counts.npy", self.counts)
        out.json("word2vec.json", asdict(self.config))

    @classmethod
    def load(cls, reader: Reader) -> Word2Vec:
        """As memory maps.

        Raises:
            ModelError: a file is missing or damaged.
        """
        options = reader.json("word2vec.json")
        known = {field.name for field in fields(Config)}
        if not isinstance(options, dict) or not options.keys() <= known:
            raise ModelError(f"{reader.path('word2vec.json')} has options that this textdl does not know. Upgrade it.")
        vectors, context, counts = (reader.array(f"{name}.npy") for name in ("vectors", "context", "counts"))
        try:
            return cls(Config(**options), vectors, context, counts, load_vocab(reader))
        except UsageError as error:
            raise ModelError(f"{reader.directory} is damaged: {error}. Copy the model again.") from error
