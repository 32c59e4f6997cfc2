"""Training: epochs, learning rate, held-out loss. sweep.py makes one pass."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import CorpusError, UsageError
from textdl.protocols import Run, TrainingData
from textdl.vocabulary import SPECIALS, Vocabulary
from textdl.word2vec import kernels, noise
from textdl.word2vec.model import Config, Word2Vec
from textdl.word2vec.sweep import Pass, Rate, Updates
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
    workers = config.threads(corpus.tokens)
    updates = Updates(config, counts, *_start(counts, config, run.seed), workers=workers)
    with run.timing("compile"):
        updates.compile()
    if workers > 1:
        run.note(
            f"{workers} threads without locks: another run gives slightly other vectors. workers=1 repeats exactly."
        )

    words = corpus.tokens * config.epochs
    passes: list[Pass] = []
    with run.timing("training"):
        try:
            for epoch in range(config.epochs):
                if epoch:
                    corpus = data.epoch(epoch)
                    _check(corpus, data.vocab_size)
                rate = _rate(config, epoch, words)
                watch = partial(_watch, run, config, epoch, corpus.tokens, words, rate)
                done = updates.run(corpus, key=noise.stream_key(run.seed, epoch), rate=rate, watch=watch)
                passes.append(done)
                if done.stopped:
                    run.note("Training stopped early: out of time.")
                    break
                record = {
                    "epoch": epoch + 1, "loss": done.loss, "words_per_second": done.words / max(done.seconds, 1e-9),
                    "alpha": rate(done.words),
                }  # fmt: skip
                if valid is not None:
                    record["valid_loss"] = _held_out(updates, valid, run.seed)
                run.record(**record)
                run.figures.update(record)
        except KeyboardInterrupt:
            run.interrupted = True
            run.note(f"Training was interrupted after {len(passes):,} of {config.epochs:,} epochs.")
    pairs = sum(p.pairs for p in passes)
    if not pairs and not run.interrupted:
        raise CorpusError(
            "word2vec found no two known words near each other on any line. Give more text, lower "
            "--min-count, or, for a small text, do not thin out frequent words: --sample 0."
        )
    run.figures.update(words=sum(p.words for p in passes), pairs=pairs, workers=workers)
    vectors, context = updates.matrices()
    return Word2Vec(config, vectors, context, counts, vocab)


def _rate(config: Config, epoch: int, words: int) -> Rate:
    """The learning rate in an epoch: a straight line over the words of all epochs."""
    slope = (config.alpha - config.min_alpha) / max(words, 1)
    # Epochs may differ a little in length where each is a fresh segmentation: the rate starts where it should.
    alpha = config.alpha - (config.alpha - config.min_alpha) * epoch / config.epochs
    return lambda done: max(config.min_alpha, alpha - slope * done)


def _watch(run: Run, config: Config, epoch: int, tokens: int, words: int, rate: Rate, sofar: Pass) -> bool:
    """Report; true when time is up."""
    done = min(epoch * tokens + sofar.words, words)
    loss = f"loss {sofar.loss:.4f}, " if sofar.loss is not None else ""
    text = f"epoch {epoch + 1}/{config.epochs}, {loss}alpha {rate(sofar.words):.4f}"
    run.progress("training", done, words, "words", text)
    return run.deadline is not None and time.monotonic() > run.deadline and done < words


def _held_out(updates: Updates, text: Encoded, seed: int) -> float:
    loss = updates.measure(text, key=noise.stream_key(seed, _HELD_OUT)).loss
    if loss is None:
        raise CorpusError("the validation text has no two known words near each other. Give more of it.")
    return loss


def held_out_loss(model: Word2Vec, text: Encoded, *, seed: int = 1) -> float:
    """Mean nats per pair of target and context word on a text, as `valid_loss` in training."""
    _check(text, len(model.vectors))
    width = kernels.padded(model.dim)
    inputs, outputs = (_widened(matrix, width) for matrix in (model.vectors, model.context))
    return _held_out(Updates(model.config, model.counts, inputs, outputs, workers=1), text, seed)


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
