import math
import time

import numpy as np
import pytest
import torch

from textdl.encoded import Encoded
from textdl.errors import TextdlError
from textdl.neural.recurrent import RecurrentNetwork
from textdl.protocols import Run
from textdl.training.batching import TextCut, TrainingBatches
from textdl.training.loop import Settings, Trainer
from textdl.training.objective import Validation, mean_nats

V = 12
PATTERN = Encoded.from_lines([[3, 4, 5, 6, 7, 8, 9, 10, 11]] * 40, V)


class Scripted:
    """A validation that says what it is told to, then goes on with the last figure."""

    tokens = 10

    def __init__(self, *losses):
        self.losses = list(losses)
        self.asked = []

    def __call__(self, tokens=None):
        self.asked.append(tokens)
        return self.losses.pop(0) if len(self.losses) > 1 else self.losses[0]


def trainer(run, validation=None, **changes):
    noise = torch.Generator().manual_seed(1)
    network = RecurrentNetwork(
        vocab_size=V, cell="lstm", embedding_size=8, hidden_size=8, layers=1, tied=True, generator=noise
    )
    network.initialise(torch.Generator().manual_seed(1))
    network.dropout.rate = 0.1
    cut = TextCut("stream", 10, 4, PATTERN)
    if validation == "real":
        validation = Validation(network, PATTERN, cut)
    settings = {
        "learning_rate": 0.01, "warmup": 0.1, "weight_decay": 0.01, "clip": 1.0, "epochs": 20, "patience": 5
    } | changes  # fmt: skip
    return Trainer(
        network, TrainingBatches(PATTERN, cut, 0.0, run), Settings(**settings), run,
        epoch_tokens=400, generator=noise, validation=validation,
    )  # fmt: skip


def weights(t):
    return {k: v.clone() for k, v in t.network.state_dict().items()}


def test_it_learns_a_pattern():
    run = Run()
    t = trainer(run, "real")
    began = t._validate(None)
    t.train(t.plan())
    assert run.figures["valid_loss"] < 0.2 < 2 < began
    losses = [r["valid_loss"] for r in run.curve]
    assert losses[-1] < losses[0]
    assert {"step", "epoch", "train_loss", "learning_rate", "tokens_per_second", "gradient_norm"} < set(run.curve[0])
    assert run.figures["steps"] == run.figures["plan"]["steps"] == run.curve[-1]["step"] == 200
    assert run.figures["epochs"] == pytest.approx(20)
    assert "200 steps" in run.notes[-1]
    assert run.seconds["training"] > 0


def test_same_seed_same_weights():
    results = []
    for seed in (1, 1, 2):
        t = trainer(Run(seed=seed), "real", epochs=3)
        t.train(t.plan())
        results.append(weights(t)["softmax.weight"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_no_validation_is_fine():
    run = Run()
    t = trainer(run, epochs=3)
    t.train(t.plan())
    assert "valid_loss" not in run.figures
    assert run.curve[-1]["valid_loss"] is None


def test_the_best_weights_are_kept():
    kept = {}

    class Watching(Scripted):
        def __call__(self, tokens=None):
            loss = super().__call__(tokens)
            if loss == 1.0:
                kept.update(weights(t))
            return loss

    run = Run()
    t = trainer(run, Watching(3.0, 1.0, 2.0), epochs=5, patience=100)
    t.train(t.plan())
    assert run.figures["valid_loss"] == 1.0
    for name, value in t.network.state_dict().items():
        assert torch.equal(value, kept[name])


def test_patience():
    run = Run()
    t = trainer(run, Scripted(3.0, 1.0, 2.0), patience=3)
    t.train(t.plan())
    assert len(run.curve) == 5  # 3, 1, then three in vain
    assert run.figures["steps"] < run.figures["plan"]["steps"]
    assert "3 validations without improvement" in run.notes[-1]


def test_a_loss_that_is_not_finite_ends_training_before_the_step():
    t = trainer(Run())
    plan = t.plan()
    with torch.no_grad():
        t.network.softmax.bias[3] = math.nan
    with pytest.raises(TextdlError, match=r"step 1 .*lower --learning-rate"):
        t.train(plan)
    assert not torch.isnan(t.network.softmax.weight).any()


def test_a_loss_that_is_not_finite_goes_back_to_the_best():
    class Poisoning(Scripted):
        def __call__(self, tokens=None):
            if len(self.asked) == 1:  # after the second validation the weights are ruined
                with torch.no_grad():
                    t.network.softmax.bias[3] = math.nan
            return super().__call__(tokens)

    run = Run()
    t = trainer(run, Poisoning(1.0, 2.0))
    t.train(t.plan())
    assert "no longer finite" in run.notes[-1]
    assert run.figures["valid_loss"] == 1.0
    assert all(torch.isfinite(p).all() for p in t.network.parameters())


class Impatient(Run):
    """Presses Ctrl-C at the tenth step."""

    def progress(self, stage, done, total, unit, text=""):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 10:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("epochs", "validated"), [(100, False), (3, True)])  # validated every 25 and 3 steps
def test_interrupted(epochs, validated):
    run = Impatient()
    t = trainer(run, Scripted(1.0), epochs=epochs)
    t.train(t.plan())
    assert run.interrupted
    assert run.figures["steps"] == 10
    assert ("valid_loss" in run.figures) == validated
    assert "Interrupted at step 10" in run.notes[-1]


def test_a_deadline_becomes_a_plan_and_is_kept():
    run = Run(deadline=time.monotonic() + 1.5)
    t = trainer(run, "real")
    before = weights(t)
    plan = t.plan()
    for name, value in t.network.state_dict().items():
        assert torch.equal(value, before[name])  # the probe left nothing behind
    assert plan.steps >= 1
    assert plan.step_seconds > 0
    t.train(plan)
    assert time.monotonic() < run.deadline + 5  # generous: machines are shared
    assert run.figures["steps"] >= 1
    assert run.curve[-1]["learning_rate"] < 0.01
    assert run.figures["plan"]["steps"] == plan.steps


def test_a_deadline_that_has_passed_still_gives_a_model():
    run = Run(deadline=time.monotonic() - 1)
    t = trainer(run, "real")
    t.train(t.plan())
    assert run.figures["steps"] == 1


def test_a_plan_is_revised_both_ways():
    t = trainer(Run(deadline=time.monotonic() + 100))
    t._steps = 10
    assert t._revised(110, 1.0, 105.0) == 110  # 102 possible, 100 remain: about right
    assert t._revised(110, 2.0, 100.0) == 10 + 49
    assert t._revised(110, 0.5, 100.0) == 10 + 196
    assert t._revised(110, 1.0, -5.0) == 11


def test_validation_is_the_same_whatever_the_rows():
    t = trainer(Run())
    one = mean_nats(t.network, TextCut("line", 4, 1, PATTERN)(PATTERN))
    many = mean_nats(t.network, TextCut("line", 128, 16, PATTERN)(PATTERN))
    np.testing.assert_allclose(one, many, rtol=1e-5)
    assert t.network.training
