"""The readable form of the fast kernels: the same updates, step for step, in plain numpy.

Skip-gram with negative sampling (Mikolov et al. 2013, equation 4): for a target word w and a word c
within the window around it, with noise words n_1..n_K, minimise

    -log sigmoid(x_c . y_w) - sum over k of log sigmoid(-x_c . y_nk)

x are the word vectors (`inputs`), y the vectors of words as targets (`outputs`). All words c of one
window meet the same noise words and are updated from the same state, which is what makes the kernel
fast; noise words come in groups, each group seeing the updates of the one before. Orders of float32
addition aside, a kernel in one thread gives the same numbers; nobody trains with this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import Encoded
from textdl.word2vec import noise
from textdl.word2vec.kernels import GROUP
from textdl.word2vec.noise import KEEP, NOISE, WINDOW, Choices


def skipgram_epoch(
    corpus: Encoded,
    choices: Choices,
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    *,
    window: int,
    negative: int,
    key: np.uint64,
    alpha: float,
    slope: float,
) -> tuple[float, int]:
    """Update inputs and outputs (V, D) in place with one pass; return nats and (target, context) pairs.

    The learning rate at position p of the corpus is alpha - slope * p.
    """
    draws = NOISE + negative
    nats, pairs = 0.0, 0
    for line in range(len(corpus)):
        positions = [
            p
            for p in range(int(corpus.offsets[line]), int(corpus.offsets[line + 1]))
            if noise.unit(_draw(key, p, draws, KEEP)) < choices.keep[corpus.ids[p]]
        ]
        words = corpus.ids[positions]
        for i, position in enumerate(positions):
            reach = 1 + int(noise.below(_draw(key, position, draws, WINDOW), window))
            near = [*range(i - 1, max(i - reach, 0) - 1, -1), *range(i + 1, min(i + reach, len(words) - 1) + 1)]
            if not near:
                continue
            contexts = words[near]
            rate = np.float32(alpha - slope * position)
            drawn = [
                noise.noise_word(_draw(key, position, draws, NOISE + k), choices.threshold, choices.alias)
                for k in range(negative)
            ]
            slots = [int(words[i]), *drawn]
            for first in range(0, len(slots), GROUP):
                group = slots[first : first + GROUP]
                signs = np.array([1 if first + m == 0 else -1 for m in range(len(group))], np.float32)
                here = (signs > 0) | (np.array(group) != words[i])  # noise that hit the target is dropped
                nats += _step(inputs, outputs, contexts, np.array(group)[here], signs[here], rate)
            pairs += len(near)
    return nats, pairs


def _step(
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    contexts: NDArray[np.int32],
    targets: NDArray[np.int64],
    signs: NDArray[np.float32],
    rate: np.float32,
) -> float:
    """One gradient step for all contexts x targets; signs +1 for the target, -1 for noise. Returns nats."""
    z = -signs * (inputs[contexts] @ outputs[targets].T)  # (contexts, targets); the loss is softplus(z)
    steps = (signs * rate) / (1 + np.exp(-z))  # minus the gradient by the products, times the rate
    old = outputs[targets]
    change = np.zeros_like(old)
    for k, word in enumerate(contexts):  # one after the other: a word may be there twice
        change += np.outer(steps[k], inputs[word])
        inputs[word] += steps[k] @ old
    np.add.at(outputs, targets, change)
    return float(np.logaddexp(0, z.astype(np.float64)).sum())


def _draw(key: np.uint64, position: int, draws: int, number: int) -> np.uint64:
    return np.uint64(noise.draw(key, position, draws, number))  # numba hands back a plain int
