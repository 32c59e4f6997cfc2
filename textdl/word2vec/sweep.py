"""One pass over a text by several threads: who takes which chunk, at what learning rate.

Threads share the matrices without locks (Hogwild, Recht et al. 2011), as word2vec and gensim do. Each
takes chunks from the front of its own stretch of the corpus, so that two threads seldom meet the same
rare words; one that has finished takes from the end of the longest stretch left. A chunk lasts a few
hundredths of a second, between which a thread sees that it is to stop.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import Encoded
from textdl.errors import TextdlError
from textdl.word2vec import kernels, noise
from textdl.word2vec.model import Config
from textdl.word2vec.vectors import Floats

Rate = Callable[[int], float]
"""The learning rate when so many tokens of this pass are done."""


@dataclass
class Pass:
    """One pass over a text, as several threads make it."""

    tokens: int
    workers: int
    chunk: int
    words: int = 0
    """Tokens done."""
    nats: float = 0.0
    pairs: int = 0
    """Predictions made: (target, context) pairs."""
    seconds: float = 0.0
    stopped: bool = False
    """Set to end it early."""
    error: BaseException | None = None

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
        """Mean nats per prediction; None before the first."""
        return self.nats / self.pairs if self.pairs else None


class Updates:
    """The matrices and everything that stays the same from pass to pass."""

    def __init__(
        self, config: Config, counts: NDArray[np.int64], inputs: Floats, outputs: Floats, *, workers: int
    ) -> None:
        """inputs, outputs: flat padded rows, see `kernels.aligned`; changed in place. counts: (V,)."""
        self.config, self.workers = config, workers
        self.inputs, self.outputs = inputs, outputs
        self.choices = noise.choices(counts, sample=config.sample, exponent=config.ns_exponent)
        self.width = kernels.padded(config.dim)
        # A chunk is fixed by the work in it, about 1e9 operations at most, not by the clock: a run can be repeated.
        work = 6 * (config.window + 1) * (config.negative + 1) * self.width
        self.chunk = min(max(1_000_000_000 // work, 256), 1 << 16)
        self._scratch = [kernels.Scratch(self.chunk, config.window, config.negative) for _ in range(workers)]

    def compile(self) -> None:
        """Call the kernel once, on nothing that matters."""
        self._chunk(Encoded.from_lines([[0]], 1), np.uint64(0), 0, (0, 1), 0.0, 0.0)

    def run(
        self, corpus: Encoded, *, key: np.uint64, rate: Rate, watch: Callable[[Pass], bool] = lambda _: False
    ) -> Pass:
        """Train on one pass.

        Args:
            key: of the random choices, see `noise.stream_key`.
            watch: called some ten times a second; true ends the pass early.

        Raises:
            TextdlError: the loss is no longer a number.
        """
        sweep = Pass(corpus.tokens, self.workers, self.chunk)
        threads = [
            threading.Thread(target=self._work, args=(sweep, corpus, key, worker, rate), daemon=True)
            for worker in range(sweep.workers)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                threads[0].join(0.1)
                threads[-1].join(0.05)
                sweep.seconds = time.perf_counter() - began
                if watch(sweep):
                    sweep.stopped = True
        except BaseException:  # Ctrl-C among them: no thread outlives the call
            sweep.stopped = True
            raise
        finally:
            for thread in threads:
                thread.join()
            sweep.seconds = time.perf_counter() - began
        if sweep.error is not None:
            raise sweep.error
        return sweep

    def measure(self, text: Encoded, *, key: np.uint64) -> Pass:
        """The loss on a text; updates at a learning rate of 0 change nothing."""
        return self.run(text, key=key, rate=lambda _: 0.0)

    def matrices(self) -> tuple[Floats, Floats]:
        """(V, D) word vectors and output vectors."""
        vectors, context = (
            np.ascontiguousarray(matrix.reshape(-1, self.width)[:, : self.config.dim])
            for matrix in (self.inputs, self.outputs)
        )
        return vectors, context

    def _work(self, sweep: Pass, corpus: Encoded, key: np.uint64, worker: int, rate: Rate) -> None:
        """The life of one thread."""
        try:
            while (chunk := sweep.take(worker)) is not None:
                start, stop, before = chunk
                alpha, last = rate(before), rate(before + sweep.workers * (stop - start))
                slope = (alpha - last) / (stop - start)
                totals = self._chunk(corpus, key, worker, (start, stop), alpha, slope)
                nats = float(totals[kernels.LOSS])
                sweep.add(stop - start, nats, int(totals[kernels.PAIRS]))
                if not math.isfinite(nats):
                    raise TextdlError(
                        f"training broke down: the loss is {nats}. The vectors grew without bound; lower the learning "
                        f"rate (--alpha, now {self.config.alpha:g})."
                    )
        except BaseException as error:  # handed to the thread that waits
            sweep.error = error

    def _chunk(
        self, corpus: Encoded, key: np.uint64, worker: int, span: tuple[int, int], alpha: float, slope: float
    ) -> NDArray[np.float64]:
        totals = np.zeros(3)
        config, choices, scratch = self.config, self.choices, self._scratch[worker]
        kernels.skipgram(
            _constant(corpus.ids), _constant(corpus.offsets), span[0], span[1],
            choices.keep, choices.threshold, choices.alias, key,
            self.inputs, self.outputs, self.width, config.window, config.negative,
            alpha, slope,
            scratch.kept, scratch.where, scratch.contexts, scratch.rows, scratch.steps, scratch.signs,
            totals,
        )  # fmt: skip
        return totals


def _constant(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory as a plain read-only array: memory maps and arrays are then one type to numba."""
    plain = np.asarray(array).view(np.ndarray)
    plain.flags.writeable = False
    return plain
