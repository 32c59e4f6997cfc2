"""What a training will take, told before it: vocabulary, tokens, memory, minutes.

The speed is measured: real updates on matrices of the full size, which are then thrown away.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from textdl import memory
from textdl.encoded import Encoded
from textdl.protocols import Run, TrainingData
from textdl.vocabulary import SPECIALS
from textdl.word2vec import kernels, noise
from textdl.word2vec.extending import Start
from textdl.word2vec.model import Config
from textdl.word2vec.sweep import Pass, Updates
from textdl.word2vec.train import check_types, learning_rate, matrices, word_counts

_PROBE = 1.5
"""Seconds of updates that are timed..."""
_WARM_UP = 0.3
"""...after these: caches fill, the clock rises, pages are mapped."""


@dataclass(frozen=True)
class Plan:
    """What `fit` with the same arguments will do."""

    words: int
    """In the vocabulary."""
    tokens: int
    """In an epoch, known or not."""
    kept_tokens: int
    """Of them, on average, those that are known and not thinned out."""
    epochs: int
    workers: int
    matrix_bytes: int
    """Word vectors and vectors of targets, the copy of them that is made in the end or kept on the way, with patience that
    of the best epoch, and the vectors to go on from."""
    text_bytes: int
    """Encoded text; mapped from disk where it is long, and then given back when memory is short."""
    peak_bytes: int | None
    """Most that the process will hold: vectors, and what it took to come this far, text and compiled code included; None
    where the system does not tell."""
    words_per_second: float
    """Measured; tokens, known or not, in a second."""
    seconds: float
    """Of training; reading and tokenizing are done."""

    def rows(self) -> list[tuple[str, str]]:
        """For a person."""
        share = self.kept_tokens / max(self.tokens, 1)
        return [
            ("words in the vocabulary", f"{self.words:,}"),
            ("tokens in an epoch", f"{self.tokens:,}"),
            ("of them kept", f"{self.kept_tokens:,} ({share:.1%}; the others are unknown or thinned out)"),
            ("memory for vectors", f"{self.matrix_bytes / 1e6:,.0f} MB"),
            ("memory for text", f"{self.text_bytes / 1e6:,.0f} MB"),
            *([("memory in all", f"{self.peak_bytes / 1e6:,.0f} MB")] if self.peak_bytes is not None else []),
            ("speed", f"{self.words_per_second:,.0f} words/s with {self.workers} worker(s)"),
            ("training", f"{_duration(self.seconds)} for {self.epochs:,} epochs"),
        ]


def plan(data: TrainingData, config: Config, *, run: Run | None = None, start: Start | None = None) -> Plan:
    """Measure what training will take. Nothing is changed.

    Raises:
        CorpusError: fewer than two types of words.
    """
    run = run or Run()
    corpus = data.epoch(0)
    seen = word_counts(corpus, data.vocab_size)
    counts = seen if start is None else start.counts
    check_types(counts)
    workers = config.threads(corpus.tokens)
    with run.timing("compile"):
        few = np.array([0, 0, 0, 1, 1])
        Updates(config, few, *matrices(few, config, run.seed), workers=1).compile()
    before = memory.peak()
    updates = Updates(config, counts, *matrices(counts, config, run.seed, start), workers=workers)
    with run.timing("probe"):
        speed = _speed(updates, corpus, config, run.seed)
    known = len(counts) - len(SPECIALS)
    keep = noise.choices(counts, sample=config.sample, exponent=config.ns_exponent).keep
    copies = (2 if config.patience else 1) * config.dim
    vectors = 2 * 4 * len(counts) * (kernels.padded(config.dim) + copies)
    if start is not None:
        vectors += start.model.vectors.nbytes + start.model.context.nbytes
    return Plan(
        words=known,
        tokens=corpus.tokens,
        kept_tokens=round(float(seen @ keep.astype(np.float64))),
        epochs=config.epochs,
        workers=workers,
        matrix_bytes=vectors,
        text_bytes=corpus.ids.nbytes + corpus.offsets.nbytes,
        peak_bytes=before + vectors if before is not None else None,
        words_per_second=round(speed, 1),
        seconds=round(config.epochs * corpus.tokens / speed, 3),
    )


def _speed(updates: Updates, corpus: Encoded, config: Config, seed: int) -> float:
    """Tokens a second, once warm. A short text is read again and again."""
    rate = learning_rate(config, 0.0)
    words, seconds, number = 0, 0.0, 0
    for limit in (_WARM_UP, _PROBE):
        words, seconds = 0, 0.0
        end = time.perf_counter() + limit

        def watch(_: Pass, end: float = end) -> bool:
            return time.perf_counter() > end

        while not words or time.perf_counter() < end:
            sweep = updates.run(corpus, key=noise.stream_key(seed, number), rate=lambda _: rate, watch=watch)
            words, seconds, number = words + sweep.words, seconds + sweep.seconds, number + 1
    return words / max(seconds, 1e-9)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
