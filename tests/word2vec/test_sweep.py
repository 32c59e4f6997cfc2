from __future__ import annotations

import numpy as np
import pytest

from textdl.encoded import Encoded
from textdl.errors import TextdlError
from textdl.word2vec import Config, kernels, noise
from textdl.word2vec.sweep import Pass, Updates

V = 40


def text() -> Encoded:
    rng = np.random.default_rng(4)
    return Encoded.from_lines([np.minimum(rng.zipf(1.3, 9) + 2, V - 1) for _ in range(300)], V)


def updates(workers: int, **options: object) -> Updates:
    config = Config(dim=12, window=3, workers=workers, sample=0.05, **options)  # type: ignore[arg-type]
    width = kernels.padded(12)
    inputs, outputs = kernels.aligned(V, width), kernels.aligned(V, width)
    inputs.reshape(V, width)[:, :12] = np.random.default_rng(2).normal(0, 0.1, (V, 12))
    made = Updates(config, text().counts(), inputs, outputs, workers=workers)
    made.chunk = 64
    return made


def trained(workers: int, **options: object) -> tuple[bytes, float]:
    made = updates(workers, **options)
    done = [made.run(text(), key=noise.stream_key(1, e), rate=lambda n: 0.05 - 1e-5 * n) for e in range(2)]
    assert all(p.words == text().tokens for p in done)
    return b"".join(matrix.tobytes() for matrix in made.matrices()), done[1].nats


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("loss", ["ns", "hs"])
def test_deterministic_is_what_one_worker_does(model, loss):
    alone = trained(1, model=model, loss=loss)
    for workers in (1, 2, 5):
        assert trained(workers, model=model, loss=loss, deterministic=True) == alone


@pytest.mark.parametrize(("tokens", "workers", "chunk"), [(1000, 3, 64), (1000, 2, 1000), (10, 4, 64), (129, 2, 64)])
@pytest.mark.parametrize("in_order", [False, True])
def test_every_chunk_is_taken_once(tokens, workers, chunk, in_order):
    sweep = Pass(tokens, workers, chunk, in_order)
    seen = np.zeros(tokens, int)
    turn, expected = 0, 0
    while (taken := sweep.take([0, 0, workers - 1][turn % 3])) is not None:  # others never come: their part is taken
        start, stop, _ = taken
        assert start % chunk == 0
        assert 0 < stop - start <= chunk
        assert not in_order or start == expected
        seen[start:stop] += 1
        turn, expected = turn + 1, stop
    assert (seen == 1).all()


def test_measuring_changes_nothing_and_does_not_depend_on_the_workers():
    losses = set()
    for workers in (1, 3):
        made = updates(workers)
        made.outputs[:] = made.inputs[::-1]
        before = made.inputs.tobytes(), made.outputs.tobytes()
        losses.add(made.measure(text(), key=noise.stream_key(1, 9)).nats)
        assert (made.inputs.tobytes(), made.outputs.tobytes()) == before
    assert len(losses) == 1


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_loss_that_is_not_a_number_ends_the_pass(deterministic):
    made = updates(3, deterministic=deterministic)
    made.inputs[5 * made.width] = np.nan
    with pytest.raises(TextdlError, match="broke down"):
        made.run(text(), key=noise.stream_key(1, 0), rate=lambda _: 0.05)


def test_what_is_watched_can_end_the_pass():
    made = updates(2, deterministic=True)
    long = Encoded.from_lines([np.full(50_000, 5) for _ in range(40)], V)
    made.choices.keep[5] = 1
    done = made.run(long, key=noise.stream_key(1, 0), rate=lambda _: 0.05, watch=lambda _: True)
    assert done.stopped
    assert done.words < long.tokens
