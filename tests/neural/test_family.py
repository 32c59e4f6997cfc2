import time
from dataclasses import fields

import numpy as np
import pytest
import torch

from textdl.encoded import Encoded
from textdl.errors import CorpusError, TextdlError, UsageError
from textdl.neural import feedforward, recurrent, transformer
from textdl.neural.family import LanguageModelConfig
from textdl.protocols import LanguageModel, Run, ScorePolicy
from textdl.training import choosing
from textdl.training.config import Rung
from textdl.training.loop import Trainer

V = 12
TINY = {
    "nnlm": (feedforward, {"order": 3, "embedding_size": 8, "hidden_size": 8}),
    "rnn": (recurrent, {"embedding_size": 8, "hidden_size": 8}),
    "transformer": (transformer, {"embedding_size": 8, "heads": 2, "layers": 1, "window": 8}),
}
each = pytest.mark.parametrize("family", TINY)


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(1)
    lines = [(np.arange(n) + start) % 8 + 3 for n, start in rng.integers(1, 12, (80, 2))]  # counting, from anywhere
    return Encoded.from_lines([*lines, [11]], V)


def fit(family, text, run=None, valid=None, embeddings=None, **changes):
    module, sizes = TINY[family]
    given = {"batch_size": 4, "learning_rate": 0.02, **sizes, **changes}
    return module.fit(text, module.Config(**given), valid=valid, run=run or Run(), embeddings=embeddings)


@each
@pytest.mark.parametrize("context", ["line", "stream"])
def test_every_family_learns_to_count(family, context, text):
    run = Run()
    model = fit(family, text, run, text, context=context, epochs=20, dropout=0.0)
    assert isinstance(model, LanguageModel)
    assert model.policy.unit == context
    values = np.concatenate(list(model.score(text)))
    p = text.counts() / text.counts().sum()
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert -values.mean() < 0.75 * entropy
    log_probs, _ = model.start(prefixes=Encoded.from_lines([[3, 4, 5]], V))
    assert log_probs[0].argmax() == 6


@each
def test_same_seed_same_model(family, text):
    models = [fit(family, text, Run(seed=seed), epochs=2, dropout=0.2) for seed in (5, 5, 6)]
    scores = [np.concatenate(list(m.score(text))) for m in models]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


@each
def test_what_was_chosen_is_written_down(family, text):
    run = Run()
    module, sizes = TINY[family]
    model = module.fit(text, module.Config(epochs=1), run=run)
    config = run.figures["config"]
    assert all(config[name] is not None for name in (*sizes, "batch_size", "learning_rate", "weight_decay", "device"))
    assert {name: model.describe()[name] for name in sizes} == {name: config[name] for name in sizes}
    assert any(note.startswith("Network: ") and f"{model.describe()['size']:,} par" in note for note in run.notes)


@each
def test_nothing_to_train_on(family):
    with pytest.raises(CorpusError, match=f"training {family}: the corpus has no lines"):
        fit(family, Encoded.from_lines([], V))


@each
@pytest.mark.parametrize("lines", [[[]], [[3]], [[], [], [3]]])
def test_very_little_to_train_on(family, lines):
    text = Encoded.from_lines(lines, V)
    for context in ("line", "stream"):
        fit(family, text, valid=text, context=context, epochs=2)


class Ladder(recurrent.Config):
    """Three sizes."""

    def ladder(self, vocab_size):
        return [
            Rung(0, 0, {"embedding_size": 4, "hidden_size": 4, "ngrams": 1}),
            Rung(0, 2_000, {"embedding_size": 4, "hidden_size": 5, "ngrams": 1}),
            Rung(5_000, 0, {"embedding_size": 4, "hidden_size": 6, "ngrams": 1}),
        ]


def chosen(text, run=None, **changes):
    run = run or Run()
    recurrent.fit(text, Ladder(**{"batch_size": 4, **changes}), run=run)
    return run.figures["config"]


def test_the_more_is_trained_on_the_larger_the_network(text):
    tokens = text.tokens + len(text)
    assert 100 < tokens < 1_000
    assert chosen(text, epochs=1)["hidden_size"] == 4
    assert chosen(text, epochs=2_000 / tokens + 0.1)["hidden_size"] == 5
    long = Encoded.from_lines([text.line(i) for i in range(len(text))] * 12, V)
    assert chosen(long, epochs=0.1)["hidden_size"] == 6
    assert chosen(long, epochs=0.1, hidden_size=3)["hidden_size"] == 3


def test_a_budget_buys_what_is_worth_its_time(text, monkeypatch):
    for tokens_a_second, hidden in ((10, 4), (100_000, 5)):
        tried = []
        monkeypatch.setattr(Trainer, "speed", lambda *_, tried=tried, speed=tokens_a_second: tried.append(1) or speed)
        assert chosen(text, Run(deadline=time.monotonic() + 2))["hidden_size"] == hidden
        assert len(tried) == (1 if hidden == 4 else 2)  # a larger one is not tried where the smaller is too much


def test_sizes_that_need_no_time_to_be_better_are_not_tried_one_by_one(text, monkeypatch):
    long = Encoded.from_lines([text.line(i) for i in range(len(text))] * 12, V)
    tried = []
    monkeypatch.setattr(Trainer, "speed", lambda *_: tried.append(1) or 10)
    assert chosen(long, Run(deadline=time.monotonic() + 2))["hidden_size"] == 6
    assert len(tried) == 1


def test_a_budget_takes_precedence_over_epochs(text):
    run = Run(deadline=time.monotonic() + 1)
    chosen(text, run, epochs=3)
    assert "--epochs 3 has no effect: --budget says how long to train." in run.notes


@pytest.mark.parametrize(
    ("size", "told"), [(100_000, r"--hidden-size 100000, .* numbers to learn, .* are free"), (2**31 - 1, "no machine")]
)
def test_a_network_for_which_there_is_no_memory_is_refused_before_it_is_made(text, monkeypatch, size, told):
    monkeypatch.setattr(choosing, "free_memory", lambda device: 100_000_000_000)
    with pytest.raises(UsageError, match=told):
        chosen(text, hidden_size=size)


def test_memory_that_runs_out_is_said(text, monkeypatch):
    for error, expected, match in (
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), TextdlError, "memory ran out .*--batch-size"),
        (torch.OutOfMemoryError("CUDA out of memory"), TextdlError, "memory ran out"),
        (RuntimeError("something else"), RuntimeError, "^something else$"),
    ):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(Trainer, "train", fail)
        with pytest.raises(expected, match=match):
            chosen(text)


def test_batches_leave_enough_steps(text):
    tokens = text.tokens + len(text)
    row = tokens / len(text)
    assert chosen(text, batch_size=None, epochs=1)["batch_size"] == 16
    run = Run()
    many = Encoded.from_lines([text.line(i) for i in range(len(text))] * 100, V)
    config = recurrent.Config(embedding_size=4, hidden_size=4, patience=1, epochs=3)
    trained = 3 * 100 * tokens

    class Enough(Exception):
        pass

    def refuse(self, plan, found):
        raise Enough

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Enough):
        patch.setattr(Trainer, "train", refuse)
        recurrent.fit(many, config, run=run)
    rows = run.figures["config"]["batch_size"]
    assert trained / (rows * row) >= 300 > trained / (2 * rows * row)


def test_vectors_to_begin_with(text):
    vectors = np.random.default_rng(1).normal(size=(V, 8)).astype(np.float32)
    vectors[:4] = 0
    for family in TINY:
        model = fit(family, text, embeddings=vectors, epochs=0.01, learning_rate=1e-9)
        got = model.network.state_dict()["softmax.weight"].numpy()
        scale = got[4:] / vectors[4:]
        np.testing.assert_allclose(scale, scale[0, 0], rtol=1e-4)
        assert np.abs(got[:4]).sum() > 0
        other = dict(TINY[family][1]) | {"embedding_size": 16}
        with pytest.raises(UsageError, match="train with --embedding-size 8"):
            fit(family, text, embeddings=vectors, **other)


def test_the_window_of_a_transformer_is_how_it_is_scored(text):
    assert fit("transformer", text, epochs=1).policy == ScorePolicy("line", 8, 4)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("context", "page", "--context page: expected line or stream"),
        ("optimiser", "adam", "--optimiser adam: expected one of: adamw, sgd"),
        ("schedule", "step", "--schedule step: expected one of: cosine"),
        ("precision", "float16", "--precision float16: expected float32 or bfloat16"),
        ("batch_size", 1.5, "--batch-size"),
        ("accumulate", 0, "--accumulate 0: expected a whole number"),
        ("patience", 0, "--patience"),
        ("learning_rate", 0, "--learning-rate 0: expected a number above 0"),
        ("learning_rate", float("nan"), "--learning-rate"),
        ("epochs", float("inf"), "--epochs"),
        ("clip", 0, "--clip"),
        ("dropout", 1, "--dropout 1: expected at least 0 and below 1"),
        ("label_smoothing", 1.0, "--label-smoothing"),
        ("ema", 1.0, "--ema"),
        ("unk_rate", -0.1, "--unk-rate"),
        ("weight_decay", -1, "--weight-decay"),
    ],
)
@each
def test_wrong_options_are_named(family, option, value, message):
    with pytest.raises(UsageError, match=message):
        TINY[family][0].Config(**{option: value})


@pytest.mark.parametrize(
    ("family", "option", "value", "message"),
    [
        ("rnn", "cell", "gru2", "--cell gru2: expected one of: lstm, gru"),
        ("rnn", "hidden_size", 0, "--hidden-size 0: expected a whole number"),
        ("rnn", "layers", 0, "--layers"),
        ("rnn", "bptt", -1, "--bptt"),
        ("rnn", "weight_dropout", 1.0, "--weight-dropout"),
        ("nnlm", "order", 0, "--order"),
        ("nnlm", "embedding_dropout", -0.5, "--embedding-dropout"),
        ("transformer", "heads", 0, "--heads"),
        ("transformer", "positions", "relative", "--positions relative: expected one of: rotary"),
        ("transformer", "activation", "tanh", "--activation tanh: expected relu2 or gelu"),
    ],
)
def test_wrong_options_of_a_family_are_named(family, option, value, message):
    with pytest.raises(UsageError, match=message):
        TINY[family][0].Config(**{option: value})


@pytest.mark.parametrize(("device", "message"), [("gpu", "expected cpu, cuda"), ("cuda:99", "torch finds none here")])
def test_a_device_that_is_not_there(device, message, text):
    with pytest.raises(UsageError, match=f"--device {device}: .*{message}"):
        fit("rnn", text, device=device)


def test_every_option_of_training_is_on_the_command_line():
    from textdl.cli.options import NetworkOptions, NetworkRunOptions

    offered = {f.name for options in (NetworkOptions, NetworkRunOptions) for f in fields(options)}
    assert {f.name for f in fields(LanguageModelConfig)} <= offered
