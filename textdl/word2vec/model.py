"""What word2vec is told (`Config`) and what it gives (`Word2Vec`): word vectors that can be trained on.

Beside the word vectors, a model keeps the vectors of words as targets (`context`) and the counts
behind its noise words, so that training can go on and its loss on other text can be computed.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.errors import ModelError, UsageError
from textdl.storage import Reader, Writer
from textdl.vocabulary import Vocabulary
from textdl.word2vec.vectors import Floats, Vectors, load_vocab


@dataclass(frozen=True)
class Config:
    """Hyper-parameters, named and set as in word2vec."""

    model: str = "skipgram"
    """What predicts what: `skipgram`, from a word each word around it."""
    loss: str = "ns"
    """How: `ns`, negative sampling."""
    dim: int = 300
    """Numbers in a vector."""
    window: int = 5
    """The widest distance of two words that meet; each target draws 1 to `window`."""
    negative: int = 5
    """Noise words for each target."""
    sample: float = 1e-3
    """Words more frequent than this share of the text are thinned out; 0: none."""
    epochs: int = 5
    """Passes over the text."""
    alpha: float = 0.025
    """Learning rate at the start..."""
    min_alpha: float = 1e-4
    """...falling in a straight line, over all words of all epochs, to this one."""
    ns_exponent: float = 0.75
    """Noise words are drawn from counts to this power."""
    workers: int = 0
    """Threads; 0: as many as there are cores, fewer for short texts. With 1, the same seed gives the same bytes."""

    def __post_init__(self) -> None:
        if self.model != "skipgram":
            raise UsageError(f"model is {self.model!r}; expected skipgram")
        if self.loss != "ns":
            raise UsageError(f"loss is {self.loss!r}; expected ns (negative sampling)")
        _whole("dim", self.dim, 1, 65536)
        _whole("window", self.window, 1, 100)
        _whole("negative", self.negative, 1, 1000)
        _whole("epochs", self.epochs, 1, 1_000_000)
        _whole("workers", self.workers, 0, 1024)
        _number("sample", self.sample, 0, 1)
        _number("alpha", self.alpha, 1e-12, 10)
        _number("min_alpha", self.min_alpha, 0, 10)
        _number("ns_exponent", self.ns_exponent, -10, 10)
        if self.min_alpha > self.alpha:
            raise UsageError(f"min_alpha is {self.min_alpha}, above alpha, {self.alpha}; the learning rate falls")

    def threads(self, tokens: int) -> int:
        """Threads for a text of so many tokens."""
        if self.workers:
            return self.workers
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return max(1, min(cores, tokens // 20_000))


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
        model = {"skipgram": "skip-gram"}[self.config.model]
        loss = {"ns": f"{self.config.negative} noise words"}[self.config.loss]
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
