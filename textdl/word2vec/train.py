"""Training: threads, chunks, learning rate, losses.

Threads share the matrices without locks (Hogwild, Recht et al. 2011), as word2vec and gensim do. Each
takes chunks from the front of its own stretch of the corpus, so that two threads seldom meet the same
rare words; one that has finished takes from the end of the longest stretch left. A chunk lasts a few
hundredths of a second, between which a thread sees that it is to stop.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import CorpusError, TextdlError, UsageError
from textdl.protocols import Run, TrainingData
from textdl.vocabulary import SPECIALS, Vocabulary
from textdl.word2vec import kernels, noise
from textdl.word2vec.model import Config, Word2Vec
from textdl.word2vec.vectors import Floats

_HELD_OUT = 0xFFFFFFFF
"""The `epoch` of the random choices on held-out text: always the same."""


def fit(
    data: TrainingData,
    config: Config,
    *,
    valid: Encoded | None = None,
    run: Run | None = None,
    vocab: Vocabulary | None = None,
) -> Word2Vec:
    """Word vectors from text. Unknown tokens (id 0) are dropped before windows are made.

    Each epoch is recorded in run.curve: `epoch` from 1, `loss` (mean nats per pair of target and
    context word, noise words included, while the vectors change), `valid_loss` (the same on `valid`
    with noise words that stay the same), `words_per_second`, `alpha` at its end.
    Ctrl-C and run.deadline end training early; the vectors so far are returned.

    Args:
        vocab: the words; may be set on the result later.

    Raises:
        CorpusError: fewer than two types of words, or no line with two known words.
        TextdlError: the loss is no longer a number.
    """
    run = run or Run()
    corpus = data.epoch(0)
    counts = _counts(corpus, data.vocab_size)
    if valid is not None:
        _check(valid, data.vocab_size)
    with run.timing("compile"):
        noise.choices(np.ones(4, np.int64), sample=0, exponent=1)
    choices = noise.choices(counts, sample=config.sample, exponent=config.ns_exponent)
    workers = config.threads(corpus.tokens)
    training = _Training(config, choices, *_start(counts, config, run.seed), run=run, workers=workers)
    with run.timing("compile"):
        training.compile()
    if workers > 1:
        run.note(
            f"{workers} threads without locks: another run gives slightly other vectors. workers=1 repeats exactly."
        )

    words = corpus.tokens * config.epochs
    sweeps: list[_Sweep] = []
    with run.timing("training"):
        try:
            for epoch in range(config.epochs):
                if epoch:
                    corpus = data.epoch(epoch)
                    _check(corpus, data.vocab_size)
                sweeps.append(_Sweep(corpus.tokens, workers, training.chunk, epoch))
                training.sweep(corpus, sweeps[-1], words)
                if sweeps[-1].stopped:
                    run.note("Training stopped early: out of time.")
                    break
                record = sweeps[-1].record()
                if valid is not None:
                    record["valid_loss"] = training.held_out(valid)
                run.record(**record)
                run.figures.update(record)
        except KeyboardInterrupt:
            run.interrupted = True
            run.note(f"Training was interrupted after {sum(s.words for s in sweeps):,} of {words:,} words.")
    pairs = sum(s.pairs for s in sweeps)
    if not pairs and not run.interrupted:
        raise CorpusError(
            "word2vec found no two known words near each other on any line. Give more text, lower "
            "--min-count, or, for a small text, do not thin out frequent words: --sample 0."
        )
    run.figures.update(words=sum(s.words for s in sweeps), pairs=pairs, workers=workers)
    vectors, context = training.matrices()
    return Word2Vec(config, vectors, context, counts, vocab)


def held_out_loss(model: Word2Vec, text: Encoded, *, seed: int = 1) -> float:
    """Mean nats per pair of target and context word on a text, as `valid_loss` in training."""
    _check(text, len(model.vectors))
    choices = noise.choices(model.counts, sample=model.config.sample, exponent=model.config.ns_exponent)
    width = kernels.padded(model.dim)
    inputs, outputs = (_widened(matrix, width) for matrix in (model.vectors, model.context))
    run = Run(seed=seed)
    return _Training(model.config, choices, inputs, outputs, run=run, workers=1).held_out(text)


def _check(text: Encoded, vocab_size: int) -> None:
    """The kernels trust every id."""
    if text.vocab_size != vocab_size or (
        text.tokens and not 0 <= int(text.ids.min()) <= int(text.ids.max()) < vocab_size
    ):
        raise UsageError(f"a text encoded with another vocabulary than the {vocab_size:,} pieces trained on")


def _counts(corpus: Encoded, vocab_size: int) -> NDArray[np.int64]:
    """(V,) how often each word occurs; 0 for specials."""
    _check(corpus, vocab_size)
    counts = corpus.counts()
    counts[[UNK, BOS, EOS]] = 0
    types = int(np.count_nonzero(counts))
    if types < 2:
        raise CorpusError(
            f"word2vec needs at least 2 different words, the text has {types} after rare ones were cut. "
            "Lower --min-count or give more text."
        )
    return counts


def _start(counts: NDArray[np.int64], config: Config, seed: int) -> tuple[Floats, Floats]:
    """Word vectors uniform in +-0.5 / dim, target vectors zero, in padded rows."""
    rng = np.random.default_rng(seed)
    start = (rng.random((len(counts), config.dim), np.float32) - np.float32(0.5)) / np.float32(config.dim)
    start[: len(SPECIALS)] = 0
    width = kernels.padded(config.dim)
    return _widened(start, width), kernels.aligned(len(counts), width)


def _widened(matrix: Floats, width: int) -> Floats:
    flat = kernels.aligned(len(matrix), width)
    flat.reshape(len(matrix), width)[:, : matrix.shape[1]] = matrix
    return flat


@dataclass
class _Sweep:
    """One pass over a text, as several threads make it."""

    tokens: int
    workers: int
    chunk: int
    epoch: int = 0
    words: int = 0
    """Tokens done."""
    nats: float = 0.0
    pairs: int = 0
    alpha: float = 0.0
    """Learning rate at the end."""
    stopped: bool = False
    """Set to end it early."""
    error: BaseException | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        bounds = [self.tokens * i // self.workers for i in range(self.workers + 1)]
        self._left = [list(pair) for pair in pairwise(bounds)]
        self._lock = threading.Lock()
        self._taken = 0

    def take(self, worker: int) -> tuple[int, int, int] | None:
        """The next chunk for a worker, from start to stop, and the tokens taken before it; None: no more."""
        with self._lock:
            if self.stopped or self.error:
                return None
            own = self._left[worker]
            if own[0] < own[1]:
                start, stop = own[0], min(own[0] + self.chunk, own[1])
                own[0] = stop
            else:
                other = max(self._left, key=lambda span: span[1] - span[0])
                if other[0] == other[1]:
                    return None
                start, stop = max(other[0], other[1] - self.chunk), other[1]
                other[1] = start
            before = self._taken
            self._taken += stop - start
            return start, stop, before

    def add(self, words: int, nats: float, pairs: int) -> None:
        with self._lock:
            self.words += words
            self.nats += nats
            self.pairs += pairs

    @property
    def loss(self) -> float | None:
        return self.nats / self.pairs if self.pairs else None

    def record(self) -> dict[str, float | int | None]:
        speed = self.words / self.seconds if self.seconds else None
        return {"epoch": self.epoch + 1, "loss": self.loss, "words_per_second": speed, "alpha": self.alpha}


class _Training:
    """The matrices and everything that stays the same from epoch to epoch."""

    def __init__(
        self, config: Config, choices: noise.Choices, inputs: Floats, outputs: Floats, *, run: Run, workers: int
    ) -> None:
        self.config, self.choices, self.run, self.workers = config, choices, run, workers
        self.inputs, self.outputs = inputs, outputs
        self.width = kernels.padded(config.dim)
        # A chunk is fixed by the work in it, about 1e9 operations at most, not by the clock: a run can be repeated.
        work = 6 * (config.window + 1) * (config.negative + 1) * self.width
        self.chunk = min(max(1_000_000_000 // work, 256), 1 << 16)
        self._scratch = [kernels.Scratch(self.chunk, config.window, config.negative) for _ in range(workers)]

    def compile(self) -> None:
        """Call the kernel once, on nothing that matters."""
        self._chunk(Encoded.from_lines([[0]], 1), np.uint64(0), 0, (0, 1, 0), rates=(0.0, 0.0, 0.0), pace=1)

    def sweep(self, corpus: Encoded, sweep: _Sweep, words: int) -> None:
        """Train on one pass; `words` are those of all epochs, over which the learning rate falls."""
        config = self.config
        slope = (config.alpha - config.min_alpha) / max(words, 1)
        # Epochs may differ a little in length where each is a fresh segmentation: the rate starts where it should.
        alpha = config.alpha - (config.alpha - config.min_alpha) * sweep.epoch / config.epochs
        key = noise.stream_key(self.run.seed, sweep.epoch)
        self._run(corpus, sweep, key, (alpha, slope, config.min_alpha), words)
        sweep.alpha = max(config.min_alpha, alpha - slope * sweep.words)

    def held_out(self, text: Encoded) -> float:
        """Mean nats per pair with the fixed choices; updates at a learning rate of 0 change nothing."""
        sweep = _Sweep(text.tokens, self.workers, self.chunk)
        self._run(text, sweep, noise.stream_key(self.run.seed, _HELD_OUT), (0.0, 0.0, 0.0))
        if sweep.loss is None:
            raise CorpusError("the validation text has no two known words near each other. Give more of it.")
        return sweep.loss

    def matrices(self) -> tuple[Floats, Floats]:
        """(V, D) word vectors and target vectors."""
        vectors, context = (
            np.ascontiguousarray(matrix.reshape(-1, self.width)[:, : self.config.dim])
            for matrix in (self.inputs, self.outputs)
        )
        return vectors, context

    def _run(
        self, corpus: Encoded, sweep: _Sweep, key: np.uint64, rates: tuple[float, float, float], words: int = 0
    ) -> None:
        threads = [
            threading.Thread(target=self._work, args=(sweep, corpus, key, worker, rates), daemon=True)
            for worker in range(sweep.workers)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                threads[0].join(0.1)
                threads[-1].join(0.05)
                if words:
                    self._report(sweep, corpus.tokens, words, rates)
        except BaseException:  # Ctrl-C among them: no thread outlives the call
            sweep.stopped = True
            raise
        finally:
            for thread in threads:
                thread.join()
            sweep.seconds = time.perf_counter() - began
        if sweep.error is not None:
            raise sweep.error

    def _report(self, sweep: _Sweep, tokens: int, words: int, rates: tuple[float, float, float]) -> None:
        done = min(sweep.epoch * tokens + sweep.words, words)
        alpha = max(rates[2], rates[0] - rates[1] * sweep.words)
        loss = f"loss {sweep.loss:.4f}, " if sweep.loss is not None else ""
        text = f"epoch {sweep.epoch + 1}/{self.config.epochs}, {loss}alpha {alpha:.4f}"
        self.run.progress("training", done, words, "words", text)
        if self.run.deadline is not None and time.monotonic() > self.run.deadline and done < words:
            sweep.stopped = True

    def _work(
        self, sweep: _Sweep, corpus: Encoded, key: np.uint64, worker: int, rates: tuple[float, float, float]
    ) -> None:
        """The life of one thread."""
        try:
            while (chunk := sweep.take(worker)) is not None:
                totals = self._chunk(corpus, key, worker, chunk, rates=rates, pace=sweep.workers)
                nats = float(totals[kernels.LOSS])
                sweep.add(chunk[1] - chunk[0], nats, int(totals[kernels.PAIRS]))
                if not math.isfinite(nats):
                    raise TextdlError(
                        f"training broke down in epoch {sweep.epoch + 1}: the loss is {nats}. The vectors grew without "
                        f"bound; lower the learning rate (--alpha, now {self.config.alpha:g})."
                    )
        except BaseException as error:  # handed to the thread that waits
            sweep.error = error

    def _chunk(
        self, corpus: Encoded, key: np.uint64, worker: int, chunk: tuple[int, int, int],
        *, rates: tuple[float, float, float], pace: int,
    ) -> NDArray[np.float64]:  # fmt: skip
        totals = np.zeros(3)
        start, stop, before = chunk
        config, choices, scratch = self.config, self.choices, self._scratch[worker]
        kernels.skipgram(
            _constant(corpus.ids), _constant(corpus.offsets), start, stop,
            choices.keep, choices.threshold, choices.alias, key,
            self.inputs, self.outputs, self.width, config.window, config.negative,
            rates[0], rates[1], rates[2], before, pace,
            scratch.kept, scratch.where, scratch.contexts, scratch.rows, scratch.steps, scratch.signs,
            totals,
        )  # fmt: skip
        return totals


def _constant(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory as a plain read-only array: memory maps and arrays are then one type to numba."""
    plain = np.asarray(array).view(np.ndarray)
    plain.flags.writeable = False
    return plain
