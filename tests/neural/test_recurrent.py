import time

import numpy as np
import pytest

from textdl.encoded import UNK, Encoded
from textdl.neural.recurrent import Config, fit
from textdl.protocols import Run

V = 12
TINY = {"embedding_size": 8, "hidden_size": 8, "batch_size": 4, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(1)
    lines = [(np.arange(n) + start) % 8 + 3 for n, start in rng.integers(1, 12, (80, 2))]  # counting, from anywhere
    return Encoded.from_lines([*lines, [11]], V)  # 11 is seen once


def test_unknown_words_are_learnt_from_words_seen_once(text):
    rare = Encoded.from_lines([*(text.line(i) for i in range(80)), *[[i] for i in range(12, 112)]], 112)

    def unknown(rate):
        run = Run()
        model = fit(rare, Config(**TINY, epochs=10, unk_rate=rate), run=run)
        return model.start()[0][0, UNK], run.notes[0]

    often, note = unknown(0.5)
    never, _ = unknown(0.0)
    assert often > never + 1
    assert "50% of the 100 words seen once" in note


def test_open_choices_are_written_down(text):
    run = Run(deadline=time.monotonic() + 1)
    model = fit(text, Config(batch_size=4), run=run)
    config = run.figures["config"]
    assert all(value is not None for value in config.values())
    assert config["embedding_size"] == model.describe()["embedding_size"]
    assert run.figures["plan"]["steps"] >= 1


@pytest.mark.parametrize("changes", [{"layers": 2}, {"tied": False, "hidden_size": 6}, {"hidden_size": 12}])
def test_shapes_of_network(text, changes):
    model = fit(text, Config(**TINY | changes, epochs=1), run=Run())
    assert np.isfinite(np.concatenate(list(model.score(text)))).all()
