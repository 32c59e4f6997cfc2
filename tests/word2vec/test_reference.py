"""The readable reference: against hand-worked cases, against finite differences, and the kernels against it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from textdl.encoded import Encoded
from textdl.word2vec import Config, kernels, noise, reference
from textdl.word2vec.sweep import Updates

V = 60


def corpus(seed: int = 0, lines: int = 40, unknown: float = 0.1, longest: int = 30) -> Encoded:
    """Zipf-like ids on lines of 0 to `longest` tokens, some of them blank, some tokens unknown."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(lines):
        row = np.minimum(rng.zipf(1.3, rng.integers(0, longest + 1)) + 2, V - 1)
        row[rng.random(len(row)) < unknown] = 0
        rows.append(row)
    return Encoded.from_lines([[], *rows, []], V)


def matrices(dim: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.3, (V, dim)).astype(np.float32) for _ in range(2)]


def updates_on(text: Encoded, config: Config, inputs: np.ndarray, outputs: np.ndarray, chunk: int = 0) -> Updates:
    width = kernels.padded(config.dim)
    flat = []
    for matrix in (inputs, outputs):
        rows = kernels.aligned(V, width)
        rows.reshape(V, width)[:, : config.dim] = matrix
        flat.append(rows)
    made = Updates(config, text.counts(), *flat, workers=1)
    made.chunk = chunk or made.chunk
    return made


MODES = list(itertools.product(("skipgram", "cbow"), ("ns", "hs")))


@pytest.mark.parametrize(("model", "loss"), MODES)
@pytest.mark.parametrize(
    ("dim", "window", "dynamic", "negative", "gradient"),
    [
        (16, 5, True, 5, "corrected"), (20, 2, False, 5, "word2vec"), (7, 3, True, 1, "corrected"),
        (33, 5, False, 13, "corrected"), (100, 40, True, 7, "word2vec"),
    ],
)  # fmt: skip
def test_the_kernels_agree_with_the_reference(model, loss, dim, window, dynamic, negative, gradient):
    text = corpus()
    config = Config(
        model=model, loss=loss, dim=dim, window=window, dynamic_window=dynamic, negative=negative, sample=0.05,
        cbow_gradient=gradient, workers=1,
    )  # fmt: skip
    inputs, outputs = matrices(dim)
    updates = updates_on(text, config, inputs, outputs, chunk=97)
    key = noise.stream_key(3, 0)
    done = updates.run(text, key=key, rate=lambda tokens: 0.03 - 3e-5 * tokens)

    vectors, context = inputs.copy(), outputs.copy()
    nats, predictions = reference.train_pass(
        text, text.counts(), vectors, context, model=model, loss=loss, window=window, dynamic=dynamic,
        negative=negative, sample=0.05, corrected=gradient == "corrected", key=key,
        rate=lambda position: 0.03 - 3e-5 * position,
    )  # fmt: skip
    assert done.pairs == predictions > 100
    assert done.nats == pytest.approx(nats, rel=1e-5)
    found = updates.matrices()
    np.testing.assert_allclose(found[0], vectors, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], context, rtol=0, atol=1e-5)
    assert np.abs(vectors - inputs).max() > 0.05
    assert np.abs(context - outputs).max() > 0.05


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("corrected", [True, False])
def test_steps_follow_the_gradient_of_the_loss(model, corrected):
    """Finite differences of the written loss, in float64; a context and a noise word are there twice."""
    rng = np.random.default_rng(0)
    inputs, outputs = rng.normal(0, 0.5, (9, 4)), rng.normal(0, 0.5, (9, 4))
    contexts, rows = np.array([3, 5, 3, 4]), np.array([6, 7, 7, 8])
    signs = np.array([1, -1, -1, -1], np.float32)
    loss_of = reference.skipgram_loss if model == "skipgram" else reference.cbow_loss
    moved = [inputs.copy(), outputs.copy()]
    rate = 1e-3
    if model == "skipgram":
        loss = reference.skipgram_step(*moved, contexts, rows, signs, rate)
    else:
        loss = reference.cbow_step(*moved, contexts, rows, signs, rate, corrected=corrected)
    assert loss == loss_of(inputs, outputs, contexts, rows, signs)
    for which, matrix in enumerate((inputs, outputs)):
        gradient = np.zeros_like(matrix)
        for at in np.ndindex(*matrix.shape):
            sides = []
            for change in (1e-5, -1e-5):
                nudged = [inputs.copy(), outputs.copy()]
                nudged[which][at] += change
                sides.append(loss_of(*nudged, contexts, rows, signs))
            gradient[at] = (sides[0] - sides[1]) / 2e-5
        # word2vec's gradient of CBOW is the right one times the number of contexts, for the contexts alone.
        scale = len(contexts) if (model, which, corrected) == ("cbow", 0, False) else 1
        np.testing.assert_allclose(moved[which] - matrix, -rate * scale * gradient, rtol=1e-4, atol=1e-9)


# By hand. Word vectors x3 = (1, 0), x4 = (0, 1); the sentence is `3 4 3`; window 1, so the target 4 has the
# contexts 3 and 3, each target 3 has the context 4. The learning rate is 0 until it matters.


def test_skipgram_with_noise_by_hand():
    # Target row y0 = (ln 3, 0), noise row y1 = (0, 0). Context (1, 0): products ln 3 and 0.
    # sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2: loss -log 3/4 - log 1/2 = log 8/3.
    # Pulls at rate 1: target 1 - 3/4 = 1/4, noise -1/2.
    inputs, outputs = np.array([[1.0, 0.0]]), np.array([[math.log(3), 0.0], [0.0, 0.0]])
    loss = reference.skipgram_step(inputs, outputs, np.array([0]), np.array([0, 1]), np.array([1, -1], np.float32), 1.0)
    assert loss == pytest.approx(math.log(8 / 3))
    np.testing.assert_allclose(inputs, [[1 + math.log(3) / 4, 0]])
    np.testing.assert_allclose(outputs, [[math.log(3) + 1 / 4, 0], [-1 / 2, 0]])


def test_cbow_with_noise_by_hand():
    # Contexts (2, 0) and (0, 2): mean (1, 1). Target row (ln 3, 0), noise row (0, 0), as above: pulls 1/4, -1/2.
    # The mean is pulled by (ln 3 / 4, 0); half of it for each context if corrected, all of it if not.
    for corrected, share in ((True, 0.5), (False, 1.0)):
        inputs, outputs = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[math.log(3), 0.0], [0.0, 0.0]])
        loss = reference.cbow_step(
            inputs, outputs, np.array([0, 1]), np.array([0, 1]), np.array([1, -1], np.float32), 1.0,
            corrected=corrected,
        )  # fmt: skip
        assert loss == pytest.approx(math.log(8 / 3))
        pulled = share * math.log(3) / 4
        np.testing.assert_allclose(inputs, [[2 + pulled, 0], [pulled, 2]])
        np.testing.assert_allclose(outputs, [[math.log(3) + 1 / 4, 1 / 4], [-1 / 2, -1 / 2]])


def test_paths_by_hand():
    # Counts a 1, b 2, c 4 (ids 3, 4, 5): a and b are joined (weight 3, node 1), then with c (node 0, the root).
    # The joined part, 3, is lighter than c, 4: a is right-right (+1, +1), b (+1, -1), c (-1).
    paths = reference.huffman_paths(np.array([9, 9, 9, 1, 2, 4]))
    assert {w: (rows.tolist(), signs.tolist()) for w, (rows, signs) in paths.items()} == {
        3: ([0, 1], [1, 1]), 4: ([0, 1], [1, -1]), 5: ([0], [-1]),
    }  # fmt: skip


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_hierarchical_softmax_by_hand(model):
    # The tree above; word b = (+1 at node 0, -1 at node 1). Node vectors (ln 3, 0), (0, ln 2); context (1, 1).
    # Right answers have probabilities sigmoid(ln 3) = 3/4 and sigmoid(-ln 2) = 1/3: loss -log 1/4.
    # Pulls at rate 1: 1/4 and -2/3.
    rows, signs = reference.huffman_paths(np.array([9, 9, 9, 1, 2, 4]))[4]
    inputs, outputs = np.array([[1.0, 1.0]]), np.array([[math.log(3), 0.0], [0.0, math.log(2)]])
    step = reference.skipgram_step if model == "skipgram" else reference.cbow_step
    assert step(inputs, outputs, np.array([0]), rows, signs, 1.0) == pytest.approx(math.log(4))
    np.testing.assert_allclose(inputs, [[1 + math.log(3) / 4, 1 - 2 / 3 * math.log(2)]])
    np.testing.assert_allclose(outputs, [[math.log(3) + 1 / 4, 1 / 4], [-2 / 3, math.log(2) - 2 / 3]])


def test_hierarchical_softmax_sums_to_one():
    counts = corpus().counts()
    rng = np.random.default_rng(2)
    inputs, outputs = rng.normal(0, 1, (1, 5)), rng.normal(0, 1, (V, 5))
    losses = [
        reference.skipgram_loss(inputs, outputs, np.array([0]), rows, signs)
        for rows, signs in reference.huffman_paths(counts).values()
    ]
    assert np.exp(-np.array(losses)).sum() == pytest.approx(1)
