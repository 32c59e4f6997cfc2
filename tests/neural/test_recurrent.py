import time

import numpy as np
import pytest

from textdl.encoded import BOS, UNK, Encoded
from textdl.errors import CorpusError, UsageError
from textdl.neural.recurrent import Config, fit
from textdl.protocols import LanguageModel, Run, ScorePolicy

V = 12
TINY = {"embedding_size": 8, "hidden_size": 8, "batch_size": 4, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(1)
    lines = [(np.arange(n) + start) % 8 + 3 for n, start in rng.integers(1, 12, (80, 2))]  # counting, from anywhere
    return Encoded.from_lines([*lines, [11]], V)  # 11 is seen once


@pytest.mark.parametrize("context", ["line", "stream"])
def test_it_learns_to_count(text, context):
    run = Run()
    model = fit(text, Config(**TINY, context=context, bptt=8, epochs=20, dropout=0.0), valid=text, run=run)
    assert isinstance(model, LanguageModel)
    assert model.policy == ScorePolicy(context)
    values = np.concatenate(list(model.score(text)))
    p = text.counts() / text.counts().sum()
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert -values.mean() < 0.75 * entropy
    assert run.figures["valid_loss"] == pytest.approx(-values.mean(), rel=0.03 if context == "stream" else 1e-4)
    log_probs, _ = model.start(prefixes=Encoded.from_lines([[3, 4, 5]], V))
    assert log_probs[0].argmax() == 6
    assert log_probs[0, BOS] == -np.inf
    assert np.isfinite(log_probs[0, UNK])


def test_same_seed_same_model(text):
    models = [fit(text, Config(**TINY, epochs=2), run=Run(seed=seed)) for seed in (5, 5, 6)]
    scores = [np.concatenate(list(m.score(text))) for m in models]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


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


def test_nothing_to_train_on():
    with pytest.raises(CorpusError, match="no lines"):
        fit(Encoded.from_lines([], V), Config())


@pytest.mark.parametrize("lines", [[[]], [[3]], [[], [], [3]]])
def test_very_little_to_train_on(lines):
    text = Encoded.from_lines(lines, V)
    for context in ("line", "stream"):
        fit(text, Config(**TINY, context=context, epochs=2), valid=text)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("cell", "gru2", "--cell gru2: .*lstm"),
        ("context", "page", "--context page: expected line or stream"),
        ("hidden_size", 0, "--hidden-size 0: expected a whole number"),
        ("layers", 0, "--layers"),
        ("bptt", -1, "--bptt"),
        ("batch_size", 1.5, "--batch-size"),
        ("learning_rate", 0, "--learning-rate 0: expected a number above 0"),
        ("learning_rate", float("nan"), "--learning-rate"),
        ("epochs", float("inf"), "--epochs"),
        ("clip", 0, "--clip"),
        ("dropout", 1, "--dropout 1: expected at least 0 and below 1"),
        ("unk_rate", -0.1, "--unk-rate"),
        ("weight_decay", -1, "--weight-decay"),
    ],
)
def test_wrong_options_are_named(option, value, message):
    with pytest.raises(UsageError, match=message):
        Config(**{option: value})
