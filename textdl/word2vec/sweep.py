"""One pass over a text by several threads: who takes which chunk, at what learning rate.

Threads share the matrices without locks (Hogwild, Recht et al. 2011), as word2vec and gensim do. Each
takes chunks from the front of its own stretch of the corpus, so that two threads seldom meet the same
rare words; one that has finished takes from the end of the longest stretch left. A chunk lasts a few
hundredths of a second, between which a thread sees that it is to stop.

`deterministic` instead makes the updates chunk by chunk in the order of the text, as one worker does; the
others meanwhile choose what the next chunks need. Byte-equal for any number of workers, at one's speed.
(Rounds of shards trained side by side on copies of their rows, changes added in a fixed order, were tried: copying
cost 2.7 times the work, so two workers were slower than one, and vectors were worse.)
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import Encoded
from textdl.errors import TextdlError
from textdl.word2vec import cbow, huffman, kernels, noise, skipgram
from textdl.word2vec.model import Config
from textdl.word2vec.vectors import Floats
from textdl.word2vec.windows import Batch, windows

Rate = Callable[[int], float]
"""The learning rate when so many tokens of this pass are done."""


@dataclass
class Pass:
    """One pass over a text, as several threads make it."""

    tokens: int
    workers: int
    chunk: int
    in_order: bool = False
    """Whether chunks are trained on one after the other, as one worker would; then others can only prepare."""
    words: int = 0
    """Tokens done."""
    nats: float = 0.0
    pairs: int = 0
    """Predictions made: (target, context) pairs of skip-gram, targets of CBOW."""
    seconds: float = 0.0
    stopped: bool = False
    """Set to end it early."""
    error: BaseException | None = None

    def __post_init__(self) -> None:
        # Whole chunks, so that where they begin does not depend on the number of workers.
        chunks = -(-self.tokens // self.chunk)
        self.stretches = 1 if self.in_order else self.workers
        bounds = [min(chunks * i // self.stretches * self.chunk, self.tokens) for i in range(self.stretches + 1)]
        self._left = [list(pair) for pair in pairwise(bounds)]
        self._lock = threading.Lock()
        self._taken = 0
        self._nats: list[float] = []
        self._turn = threading.Condition()
        self._next = 0

    def take(self, worker: int) -> tuple[int, int, int] | None:
        """The next chunk for a worker, from start to stop, and the tokens taken before it; None: no more."""
        with self._lock:
            if self.stopped or self.error:
                return None
            own = self._left[worker % self.stretches]
            if own[0] < own[1]:
                start, stop = own[0], min(own[0] + self.chunk, own[1])
                own[0] = stop
            else:
                other = max(self._left, key=lambda span: span[1] - span[0])
                if other[0] == other[1]:
                    return None
                start, stop = max(other[0], (other[1] - 1) // self.chunk * self.chunk), other[1]
                other[1] = start
            before = self._taken
            self._taken += stop - start
            return start, stop, before

    @contextmanager
    def turn(self, start: int, stop: int) -> Iterator[None]:
        """Wait until all before `start` is trained on, if chunks have an order."""
        if self.in_order:
            with self._turn:
                self._turn.wait_for(lambda: self._next == start or self.error is not None)
        yield
        with self._turn:
            self._next = stop
            self._turn.notify_all()

    def fail(self, error: BaseException) -> None:
        """End the pass with an error."""
        with self._turn:
            self.error = error
            self._turn.notify_all()

    def add(self, words: int, nats: float, pairs: int) -> None:
        with self._lock:
            self.words += words
            if not math.isfinite(nats):
                raise TextdlError(
                    f"training broke down: the loss is {nats}. The vectors grew without bound; lower the learning rate "
                    "(--alpha)."
                )
            self._nats.append(nats)
            self.nats += nats
            self.pairs += pairs

    def close(self) -> None:
        """Add the nats up again, so that the sum does not depend on the order in which chunks were done."""
        self.nats = math.fsum(self._nats)

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
        self.tree = huffman.tree(counts) if config.loss == "hs" else None
        asked = self.tree.depth if self.tree is not None else 1 + config.negative
        self.untrained = math.log(2) * (1 + config.negative if self.tree is None else self.tree.mean_depth(counts))
        """About the loss of vectors that know nothing: every question is answered with one half."""
        self.groups = -(-asked // kernels.GROUP)
        """Of output rows of one target, at most."""
        self.width = kernels.padded(config.dim)
        # A chunk is fixed by the work in it, about 3e8 operations at most, not by the clock: a run can be repeated.
        work = 6 * (config.window + 1) * asked * self.width
        self.chunk = min(max(300_000_000 // work, 256), 1 << 14)
        self._batches = [Batch(self.chunk, config.window, self.groups) for _ in range(workers)]
        self._scratch = [kernels.Scratch(config.window, self.groups, self.width) for _ in range(workers)]

    def compile(self) -> None:
        """Call the kernel once, on nothing that matters."""
        self.choose(0, Encoded.from_lines([[0]], 1), np.uint64(0), (0, 1))
        self.update(0, 0, 0.0, 0.0)

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
        sweep = Pass(corpus.tokens, self.workers, self.chunk, self.config.in_order)
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
            sweep.close()
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
                alpha, last = rate(before), rate(before + sweep.stretches * (stop - start))
                slope = (alpha - last) / (stop - start)
                self.choose(worker, corpus, key, (start, stop))
                with sweep.turn(start, stop):
                    totals = self.update(worker, start, alpha, slope)
                sweep.add(stop - start, float(totals[kernels.LOSS]), int(totals[kernels.PREDICTIONS]))
        except BaseException as error:  # handed to the thread that waits
            sweep.fail(error)

    def choose(self, worker: int, corpus: Encoded, key: np.uint64, span: tuple[int, int]) -> None:
        """Fill the worker's batch with the targets of a span: their windows and their output rows."""
        batch, config, choices = self._batches[worker], self.config, self.choices
        ids, offsets = _constant(corpus.ids), _constant(corpus.offsets)
        draws = noise.NOISE + (config.negative if self.tree is None else 0)
        batch.begin, batch.end = windows(
            ids, offsets, span[0], span[1], choices.keep, key, draws, config.window, config.dynamic_window,
            batch.words, batch.where, batch.first, batch.last,
        )  # fmt: skip
        if self.tree is None:
            noise.noise_rows(
                batch.words, batch.where, batch.begin, batch.end, key, draws, config.negative,
                choices.threshold, choices.alias, batch.bounds, batch.rows, batch.signs,
            )  # fmt: skip
        else:
            huffman.path_rows(
                batch.words, batch.begin, batch.end, self.tree.offsets, self.tree.nodes, self.tree.signs,
                batch.bounds, batch.rows, batch.signs,
            )  # fmt: skip

    def update(self, worker: int, start: int, alpha: float, slope: float) -> NDArray[np.float64]:
        """Train on the worker's batch, from position `start`; the nats and the predictions."""
        totals = np.zeros(2)
        config, batch, scratch = self.config, self._batches[worker], self._scratch[worker]
        told = (
            batch.words, batch.where, batch.first, batch.last, batch.begin, batch.end,
            batch.bounds, batch.rows, batch.signs,
            self.inputs, self.outputs, self.width, config.window, start, alpha, slope,
        )  # fmt: skip
        if config.model == "skipgram":
            repeats = self.tree is None and self.groups > 1
            skipgram.skipgram(
                *told, repeats, scratch.places, scratch.near, scratch.copies, scratch.steps, scratch.changes, totals
            )
        else:
            corrected = config.cbow_gradient == "corrected"
            cbow.cbow(*told, corrected, scratch.places, scratch.copies, scratch.steps, scratch.changes, totals)
        return totals


def _constant(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory as a plain read-only array: memory maps and arrays are then one type to numba."""
    plain = np.asarray(array).view(np.ndarray)
    plain.flags.writeable = False
    return plain
