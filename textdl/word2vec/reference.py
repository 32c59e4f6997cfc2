"""word2vec in plain numpy: what the fast kernels do, written to be read. Nobody trains with this.

A word has two vectors: its row of `inputs` (x, the word vector that is kept in the end) and, as a word to
be predicted, something in `outputs` (y). For each target, a token of the text, and the tokens near it,
its contexts, two choices make the four modes:

1. Which yes-or-no questions tell the target from other words. Each is a row y of `outputs` with a sign s,
   +1 where the right answer is yes; a vector h answers rightly with probability sigmoid(s h . y).
   - `noise_rows`, negative sampling: "is it this word?", asked of the target (yes) and of a few words drawn
     at random (no). The softmax over the vocabulary has become a choice between two classes, real and noise.
   - `path_rows`, hierarchical softmax: "left or right?" at each inner node of a binary tree on the way from
     the root to the target. The product of the answers is a probability over all words, which sums to 1.
2. Who answers.
   - `skipgram_step`: each context vector by itself.
   - `cbow_step`: the mean of the context vectors.

The loss is -log of the probability of the right answers, in nats; a step moves every vector against its
gradient. All gradients of one target are taken from the same state. Float32 sums run in another order
than in the kernels; else a kernel in one thread gives the same numbers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.word2vec import noise
from textdl.word2vec.noise import KEEP, NOISE, WINDOW, Choices

Matrix = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
Signs = NDArray[np.float32]
Questions = tuple[Rows, Signs]


def sigmoid(z: Matrix) -> Matrix:
    """1 / (1 + exp(-z)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -z)))


# The two losses and their steps


def skipgram_loss(inputs: Matrix, outputs: Matrix, contexts: Rows, rows: Rows, signs: Signs) -> float:
    """Nats that all contexts together need to tell the target: the sum over all pairs of -log sigmoid(s x . y)."""
    products = inputs[contexts] @ outputs[rows].T
    return float(np.logaddexp(0, -signs * products.astype(np.float64)).sum())  # log(1 + exp(-z)) = -log sigmoid(z)


def skipgram_step(inputs: Matrix, outputs: Matrix, contexts: Rows, rows: Rows, signs: Signs, rate: float) -> float:
    """One step of gradient descent on `skipgram_loss`, in place. Returns the loss before it."""
    loss = skipgram_loss(inputs, outputs, contexts, rows, signs)
    x, y = inputs[contexts], outputs[rows]
    # The derivative of -log sigmoid(z) is -sigmoid(-z): large where the answer is wrong, 0 where it is sure.
    pull = rate * signs * sigmoid(-signs * (x @ y.T))  # (contexts, rows)
    np.add.at(inputs, contexts, pull @ y)  # add.at: a word may be there twice
    np.add.at(outputs, rows, pull.T @ x)
    return loss


def cbow_loss(inputs: Matrix, outputs: Matrix, contexts: Rows, rows: Rows, signs: Signs) -> float:
    """Nats that the mean of the contexts needs to tell the target."""
    products = outputs[rows] @ inputs[contexts].mean(axis=0)
    return float(np.logaddexp(0, -signs * products.astype(np.float64)).sum())


def cbow_step(
    inputs: Matrix, outputs: Matrix, contexts: Rows, rows: Rows, signs: Signs, rate: float, *, corrected: bool = True
) -> float:
    """One step of gradient descent on `cbow_loss`, in place. Returns the loss before it.

    Each context is 1/n of the mean, so it gets 1/n of the gradient by the mean (Irsoy, Benton, Stratos 2021).
    Without `corrected` it gets all of it, as in word2vec.c and gensim.
    """
    loss = cbow_loss(inputs, outputs, contexts, rows, signs)
    h, y = inputs[contexts].mean(axis=0), outputs[rows]
    pull = rate * signs * sigmoid(-signs * (y @ h))  # (rows,)
    share = 1 / len(contexts) if corrected else 1.0
    np.add.at(inputs, contexts, (pull @ y) * np.float32(share))
    np.add.at(outputs, rows, np.outer(pull, h))
    return loss


# The two ways to ask


def noise_rows(target: int, position: int, choices: Choices, *, negative: int, key: np.uint64) -> Questions:
    """Negative sampling: the target, and words drawn from counts ** exponent; those that hit the target are dropped."""
    drawn = [
        int(noise.noise_word(_draw(key, position, NOISE + negative, NOISE + k), choices.threshold, choices.alias))
        for k in range(negative)
    ]
    rows = [target, *(word for word in drawn if word != target)]
    return np.array(rows), np.array([1] + [-1] * (len(rows) - 1), np.float32)


def huffman_paths(counts: NDArray[np.int64]) -> dict[int, Questions]:
    """Hierarchical softmax: the questions on the way to each word that occurs.

    The tree of shortest mean path (Huffman 1952): the two lightest parts are joined until one is left. On
    equal weight words come before parts, words by id and parts by age. +1 is the turn to the lighter part.
    """
    words = [int(w) for w in np.flatnonzero(counts) if w not in (UNK, BOS, EOS)]
    parts: list[tuple[int, int, int, list[int]]] = [(int(counts[w]), 0, w, [w]) for w in words]
    heapq.heapify(parts)
    turns: dict[int, list[tuple[int, int]]] = {w: [] for w in words}
    for node in range(len(words) - 2, -1, -1):  # the root is joined last and is node 0
        lighter, heavier = heapq.heappop(parts), heapq.heappop(parts)
        for sign, (_, _, _, members) in ((1, lighter), (-1, heavier)):
            for word in members:
                turns[word].append((node, sign))
        heapq.heappush(parts, (lighter[0] + heavier[0], 1, -node, lighter[3] + heavier[3]))
    return {
        word: (np.array([node for node, _ in way[::-1]]), np.array([sign for _, sign in way[::-1]], np.float32))
        for word, way in turns.items()
    }


# A pass over a text


def windows(
    corpus: Encoded, choices: Choices, *, window: int, dynamic: bool, key: np.uint64, draws: int
) -> Iterator[tuple[int, int, Rows]]:
    """Position, target and contexts of every target that has contexts, in order.

    Frequent words are thinned out first, so windows reach over the gaps. `draws`: random numbers for each
    position, see `noise.draw`.
    """
    for line in range(len(corpus)):
        positions = [
            p
            for p in range(int(corpus.offsets[line]), int(corpus.offsets[line + 1]))
            if noise.unit(_draw(key, p, draws, KEEP)) < choices.keep[corpus.ids[p]]
        ]
        words = corpus.ids[positions].astype(np.int64)
        for i, position in enumerate(positions):
            reach = 1 + int(noise.below(_draw(key, position, draws, WINDOW), window)) if dynamic else window
            contexts = np.concatenate([words[max(i - reach, 0) : i], words[i + 1 : i + 1 + reach]])
            if len(contexts):
                yield position, int(words[i]), contexts


def train_pass(
    corpus: Encoded,
    counts: NDArray[np.int64],
    inputs: Matrix,
    outputs: Matrix,
    *,
    model: str = "skipgram",
    loss: str = "ns",
    window: int = 5,
    dynamic: bool = True,
    negative: int = 5,
    sample: float = 1e-3,
    exponent: float = 0.75,
    corrected: bool = True,
    key: np.uint64,
    rate: Callable[[int], float],
) -> tuple[float, int]:
    """Train inputs and outputs (V, D) in place; returns nats and predictions (contexts for skip-gram, else targets).

    rate: the learning rate at a position. Options as in `model.Config`.
    """
    choices = noise.choices(counts, sample=sample, exponent=exponent)
    paths = huffman_paths(counts) if loss == "hs" else {}
    draws = NOISE + (negative if loss == "ns" else 0)
    nats, predictions = 0.0, 0
    for position, target, contexts in windows(corpus, choices, window=window, dynamic=dynamic, key=key, draws=draws):
        if loss == "ns":
            rows, signs = noise_rows(target, position, choices, negative=negative, key=key)
        else:
            rows, signs = paths[target]
        step = float(np.float32(rate(position)))
        if model == "skipgram":
            nats += skipgram_step(inputs, outputs, contexts, rows, signs, step)
            predictions += len(contexts)
        else:
            nats += cbow_step(inputs, outputs, contexts, rows, signs, step, corrected=corrected)
            predictions += 1
    return nats, predictions


def _draw(key: np.uint64, position: int, draws: int, number: int) -> np.uint64:
    return np.uint64(noise.draw(key, position, draws, number))  # numba hands back a plain int
