from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from textdl import word2vec
from textdl.encoded import Encoded
from textdl.errors import CorpusError
from textdl.word2vec import Config, Start, noise, planning


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(planning, "_PROBE", 0.02)
    monkeypatch.setattr(planning, "_WARM_UP", 0.01)


def test_a_plan_tells_what_training_takes():
    rng = np.random.default_rng(1)
    text = Encoded.from_lines([np.minimum(rng.zipf(1.2, 20) + 2, 99) for _ in range(50)] + [[0, 0]], 100)
    config = Config(dim=20, sample=0.01, epochs=7, workers=2)
    found = word2vec.plan(text, config)
    assert (found.words, found.tokens, found.epochs, found.workers) == (97, 1002, 7, 2)
    counts = text.counts()
    counts[:3] = 0
    kept = noise.choices(counts, sample=0.01, exponent=0.75).keep
    assert found.kept_tokens == round(float(counts @ kept)) < 1000
    assert found.matrix_bytes == 2 * 4 * 100 * (32 + 20)  # rows are padded to a multiple of 16
    assert found.words_per_second > 0
    assert found.seconds == pytest.approx(7 * 1002 / found.words_per_second, abs=1e-3)
    assert len(found.rows()) == 8
    assert found.peak_bytes > found.matrix_bytes + 50e6  # there is an interpreter, too
    best = word2vec.plan(text, Config(dim=20, patience=2, workers=2))
    assert best.matrix_bytes - found.matrix_bytes == 2 * 4 * 100 * 20
    assert set(asdict(found)) >= {"words", "seconds"}


def test_the_plan_of_going_on_counts_all_words():
    text = Encoded.from_lines([[3, 4, 3]], 5)
    model = word2vec.fit(text, Config(dim=4, sample=0, epochs=1))
    start = Start(model, np.array([0, 1, 2, 4, 5]), np.array([0, 0, 0, 9, 2, 1]), epochs=1)
    assert word2vec.plan(Encoded.from_lines([[3, 4]], 6), Config(dim=4), start=start).words == 3
    again = word2vec.plan(text, Config(dim=4), start=Start(model, np.arange(5), model.counts, 1))
    assert again.matrix_bytes - word2vec.plan(text, Config(dim=4)).matrix_bytes == 2 * 4 * 5 * 4
    with pytest.raises(CorpusError, match="at least 2 different words"):
        word2vec.plan(Encoded.from_lines([[3, 3]], 5), Config(dim=4))


@pytest.mark.parametrize(("seconds", "text"), [(5.04, "5.0 seconds"), (130, "2 minutes"), (9000, "2.5 hours")])
def test_durations(seconds, text):
    assert planning._duration(seconds) == text
