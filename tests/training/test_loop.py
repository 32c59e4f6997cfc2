import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from textdl.checkpoint import Checkpoint
from textdl.encoded import Encoded
from textdl.errors import TextdlError
from textdl.layers.device import precision
from textdl.neural.recurrent import RecurrentNetwork
from textdl.protocols import Run
from textdl.storage import Writer
from textdl.training import loop
from textdl.training.batching import TextCut, TrainingBatches, line_batches
from textdl.training.loop import Trainer
from textdl.training.objective import Validation, mean_nats
from textdl.training.optimisers import OPTIMISERS
from textdl.training.parallel import Team
from textdl.training.plan import Plan, Settings
from textdl.training.snapshot import Snapshot

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


def trainer(run, validation=None, context="stream", **changes):
    noise = torch.Generator().manual_seed(1)
    network = RecurrentNetwork(
        vocab_size=V, cell="lstm", embedding_size=8, hidden_size=8, layers=1, tied=True, generator=noise
    )
    network.initialise(torch.Generator().manual_seed(1))
    network.dropout.rate = 0.1
    cut = TextCut(context, 7, 4, PATTERN) if context == "line" else TextCut(context, 10, 4, PATTERN)
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
    with pytest.raises(TextdlError, match=r"step 1 .*the learning rate is not why: .* less dropout"):
        t.train(plan)
    assert not torch.isnan(t.network.softmax.weight).any()


class Poisoning(Scripted):
    """Ruins the weights in its second validation, and in those after it if it is `bent` on that."""

    def __init__(self, *losses, bent=False):
        super().__init__(*losses)
        self.bent = bent

    def __call__(self, tokens=None):
        if len(self.asked) == 1 or (self.bent and self.asked):
            with torch.no_grad():
                self.network.softmax.bias[3] = math.nan
        return super().__call__(tokens)


def test_after_a_loss_that_is_not_finite_training_goes_back_and_on_more_slowly():
    run = Run()
    valid = Poisoning(1.0, 2.0)
    t = trainer(run, valid, patience=100, epochs=3)
    valid.network = t.network
    t.train(t.plan())
    (note,) = (note for note in run.notes if "no longer finite" in note)
    assert "goes back to step 3 and on with half the learning rate" in note
    assert "at step 7 " in note  # validated every 3 steps; ruined in the second one
    assert run.figures["valid_loss"] == 1.0
    assert run.figures["steps"] == 30
    assert not run.failed
    rates = {r["step"]: r["learning_rate"] for r in run.curve}
    assert rates[9] < 0.6 * t._schedule.rate(9 / 30)
    assert all(torch.isfinite(p).all() for p in t.network.parameters())


def test_a_training_that_breaks_down_again_and_again_ends_with_its_best_weights():
    run = Run()
    valid = Poisoning(1.0, 2.0, bent=True)
    t = trainer(run, valid, epochs=3, patience=100)
    valid.network = t.network
    t.train(t.plan())
    assert run.failed
    assert "stopped early: the loss or its gradient is no longer finite at step 7" in run.notes[-1]
    assert sum("goes back to step 3" in note for note in run.notes) == 3
    assert all(torch.isfinite(p).all() for p in t.network.parameters())
    assert run.figures["best_step"] == 3


def test_the_advice_is_a_rate_that_has_not_failed(monkeypatch):
    class Doomed(Run):
        """Ruins the weights in each step but the first."""

        def progress(self, *told):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls > 1:
                with torch.no_grad():
                    t.network.softmax.bias[3] = math.nan

    monkeypatch.setattr(loop, "_LONGEST", -1.0)  # a copy after every step
    t = trainer(Doomed(), epochs=3)
    with pytest.raises(TextdlError, match=r"at step 3 .*lower --learning-rate, such as 0\.0004"):  # 0.01 / 8 / 3
        t.train(t.plan())


def test_a_validation_that_gives_no_number_is_never_the_best():
    run = Run()
    t = trainer(run, Scripted(math.nan, 1.0, math.inf, math.nan), patience=100, epochs=5)
    t.train(t.plan())
    assert run.figures["valid_loss"] == 1.0
    assert [record["valid_loss"] for record in run.curve[:4]] == [None, 1.0, None, None]
    run = Run()
    t = trainer(run, Scripted(math.nan, 2.0, math.nan, 3.0), ema=0.9, patience=100, epochs=5)
    t.train(t.plan())
    assert run.figures["valid_loss"] == 2.0
    assert run.figures["averaged"]


def test_a_network_that_gives_no_numbers_is_no_model():
    t = trainer(Run(), Scripted(math.nan), epochs=5)
    with pytest.raises(
        TextdlError, match=r"there is no model. Train again with a lower --learning-rate, such as 0.003"
    ):
        t.train(t.plan())


@pytest.mark.parametrize(
    ("factor", "epochs", "advice"),
    [
        (1, 5, "of another kind"),
        (1, 0.5, "give it more time"),
        (100, 5, "with a lower --learning-rate"),
        (100, 0.02, "give it more time"),
    ],
)
def test_a_model_that_is_worse_than_chance_is_called_so(factor, epochs, advice):
    run = Run()
    t = trainer(run, Scripted(50.0), epochs=epochs)
    step = t._step

    def told(batches, rate):
        done = step(batches, rate)
        return replace(done, nats=factor * done.nats)

    t._step = told
    t.train(t.plan())
    (note,) = (note for note in run.notes if "worse than chance" in note)
    assert "50.000 nats" in note
    assert "all 12 types for equally likely gives 2.398" in note  # ln 11: <s> is never predicted
    assert advice in note
    assert not any("Memorising" in note for note in run.notes)


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


def test_bfloat16_that_is_not_to_be_had_is_said(monkeypatch):
    monkeypatch.setattr(loop, "fast_bfloat16", lambda device: False)
    run = Run()
    t = trainer(run, precision="bfloat16")
    assert t.plan().precision == "float32"
    assert any(note.startswith("--precision bfloat16: this machine does not") for note in run.notes)


def test_a_deadline_becomes_a_plan_and_is_kept():
    trainer(Run(deadline=time.monotonic() - 1)).plan()  # compiles the kernels
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


def test_a_deadline_that_has_passed_is_not_spent_on_trying():
    t = trainer(Run(deadline=time.monotonic() - 1))
    step, taken = t._step, []
    t._step = lambda *given: taken.append(1) or step(*given)
    t.plan()
    assert len(taken) == 1


def test_an_epoch_is_all_batches_whatever_the_first_ones_are():
    (whole, *_) = line_batches(Encoded.from_lines([[3, 4, 5], [6, 7, 8], [9, 10, 11]], V), 100, 10)
    batches = [whole.part(slice(0, 1))] * 60 + [whole] * 30
    t = trainer(Run())
    t = Trainer(
        t.network, lambda _: iter(batches), replace(t._settings, epochs=1), Run(),
        epoch_tokens=60 * 4 + 30 * 12, generator=t._generator,
    )  # fmt: skip
    assert t.plan().steps == 90


def test_validation_is_the_same_whatever_the_rows():
    t = trainer(Run())
    one = mean_nats(t.network, TextCut("line", 4, 1, PATTERN)(PATTERN))
    many = mean_nats(t.network, TextCut("line", 128, 16, PATTERN)(PATTERN))
    np.testing.assert_allclose(one, many, rtol=1e-5)
    assert t.network.training


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_learns(name):
    run = Run()
    rate = {"sgd": 1.0, "muon": 0.03}.get(name, 0.01 * OPTIMISERS[name].rate)
    t = trainer(run, "real", optimiser=name, learning_rate=rate, epochs=8)
    t.train(t.plan())
    assert run.figures["valid_loss"] < 1.2


def one_step(t, *batches):
    before = weights(t)
    with precision("float32"):
        step = t._step(list(batches), 0.1)
    return step, {name: after - before[name] for name, after in weights(t).items()}


def test_batches_whose_gradients_are_added_up_are_one_large_batch():
    (whole, *_) = line_batches(Encoded.from_lines([[3, 4, 5], [6, 7], [8], [9, 10, 11, 3]], V), 100, 10)
    halves = [whole.part(slice(0, 2)), whole.part(slice(2, 4))]
    results = []
    for batches in ([whole], halves):
        t = trainer(Run(), optimiser="sgd")
        t.network.dropout.rate = 0.0
        t._step_tokens = 10.0
        results.append(one_step(t, *batches))
    (one, moved), (two, moved_too) = results
    assert one.nats == pytest.approx(two.nats, rel=1e-6)
    assert one.norm == pytest.approx(two.norm, rel=1e-5)
    for name, change in moved.items():
        torch.testing.assert_close(change, moved_too[name], rtol=1e-4, atol=1e-7)


def test_several_batches_a_step():
    run = Run()
    t = trainer(run, accumulate=4, epochs=8)
    plan = t.plan()
    assert plan.steps == 20  # 400 tokens are 10 batches
    t.train(plan)
    assert run.figures["tokens_trained"] == 8 * 400


def test_the_true_loss_is_told_beside_the_smoothed_one():
    run = Run()
    t = trainer(run, "real", label_smoothing=0.2)
    t.train(t.plan())
    last = run.curve[-1]
    assert last["smoothed_loss"] > last["train_loss"] + 0.1
    assert last["train_loss"] > 0.1  # what it is taught is not to be sure


@pytest.mark.parametrize("better", ["average", "last"])
def test_the_average_of_the_weights_is_kept_where_it_is_better(better):
    class Judge(Scripted):
        """Prefers the network with the average in place of its weights, or the other one."""

        def __call__(self, tokens=None):
            self.asked.append(tokens)
            average = len(self.asked) % 2 == 0
            self.seen = {**getattr(self, "seen", {}), average: weights(t)}
            return 1.0 - 0.001 * len(self.asked) + (0.5 if average != (better == "average") else 0.0)

    run, judge = Run(), Judge()
    t = trainer(run, judge, ema=0.9, epochs=3)
    t.train(t.plan())
    assert run.figures["averaged"] == (better == "average")
    kept = judge.seen[better == "average"]
    for name, value in t.network.state_dict().items():
        assert torch.equal(value, kept[name])
    assert not torch.equal(judge.seen[True]["softmax.weight"], judge.seen[False]["softmax.weight"])
    assert {"valid_loss", "average_loss"} < set(run.curve[0])


def test_memorising_is_said():
    run = Run()
    t = trainer(run, Scripted(1.5, 2.5), epochs=20, patience=100)
    t.train(t.plan())
    assert any(note.startswith("Memorising: 0.") and "best: 1.500 at step" in note for note in run.notes)
    run = Run()
    t = trainer(run, "real")
    t.train(t.plan())
    assert not any("Memorising" in note for note in run.notes)


def test_a_gradient_far_larger_than_usual_is_named():
    run = Run()
    t = trainer(run, epochs=10)
    step, taken = t._step, []

    def jumping(batches, rate):
        taken.append(1)
        done = step(batches, rate)
        return replace(done, norm=1e6) if len(taken) == 80 else done

    t._step = jumping
    t.train(t.plan())
    assert run.figures["first_spike"] == {"step": 80, "gradient_norm": 1e6}
    assert any("1 gradients were 10 times as large as usual, the first at step 80" in note for note in run.notes)


def test_without_a_compiler_training_goes_on(monkeypatch):
    def none(network):
        def compiled(*_):
            raise RuntimeError("No working C++ compiler found\nand much more")

        return compiled

    monkeypatch.setattr(torch, "compile", none)
    run = Run()
    t = trainer(run, compile=True, epochs=1)
    t.train(t.plan())
    assert any("compile the network (No working C++ compiler found); training goes on" in note for note in run.notes)
    assert run.figures["steps"] == 10
    monkeypatch.setattr(torch, "compile", lambda network: lambda *call: network(*call))
    run = Run()
    u = trainer(run, compile=True, epochs=1)
    u.train(u.plan())
    assert run.seconds["compile"] > 0
    assert torch.equal(weights(t)["softmax.weight"], weights(u)["softmax.weight"])  # compiling left nothing behind


# Checkpoints


class Stop(Exception):
    pass


class Stopping(Run):
    """Dies in a step."""

    def __init__(self, step, **settings):
        super().__init__(**settings)
        self.left = step

    def progress(self, stage, done, total, unit, text=""):
        self.left -= stage == "training"
        if not self.left:
            raise Stop


@pytest.fixture
def checkpoints_at_every_validation(monkeypatch):
    monkeypatch.setattr(loop, "_APART", -1.0)


MODES = [
    {}, {"context": "line"}, {"accumulate": 3}, {"ema": 0.9}, {"label_smoothing": 0.1},
    *({"optimiser": name} for name in OPTIMISERS if name != "adamw"),
]  # fmt: skip


@pytest.mark.usefixtures("checkpoints_at_every_validation")
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_resumed_training_ends_in_the_same_bits(mode, tmp_path):
    settings = {"validation": "real", "epochs": 5, **mode}
    whole_run = Run()
    whole = trainer(whole_run, **settings)
    whole.train(whole.plan())
    total = whole_run.figures["steps"]
    stopped = trainer(Stopping(total * 2 // 3, checkpoint=Checkpoint(tmp_path / "m")), **settings)
    with pytest.raises(Stop):
        stopped.train(stopped.plan())
    run = Run(checkpoint=Checkpoint(tmp_path / "m", resume=True))
    found = run.checkpoint.load()
    t = trainer(run, **settings)
    t.train(Plan(**found.state["plan"]), found)
    for name, value in t.network.state_dict().items():
        assert torch.equal(value, whole.network.state_dict()[name]), name
    for name in ("steps", "tokens_trained", "valid_loss", "best_step", "train_loss"):
        assert run.figures[name] == whole_run.figures[name]
    told = ("step", "epoch", "train_loss", "valid_loss", "learning_rate", "gradient_norm")
    assert [[r[k] for k in told] for r in run.curve] == [[r[k] for k in told] for r in whole_run.curve]
    assert any(f"of {total:,} steps, by the plan made at its start" in note for note in run.notes)


def test_each_process_draws_on_from_where_it_was():
    t = trainer(Run(), epochs=1)
    t.train(t.plan())
    states = torch.stack([torch.Generator().manual_seed(seed).get_state() for seed in (1, 2)])
    t._team = Team(1, 2)
    t._restore(Snapshot.of(t._position, weights=weights(t), generator={"state": states}))
    assert torch.equal(t._generator.get_state(), states[1])


@pytest.mark.usefixtures("checkpoints_at_every_validation")
def test_the_plan_of_a_budget_is_kept(tmp_path):
    run = Stopping(5, checkpoint=Checkpoint(tmp_path / "m"), deadline=time.monotonic() + 30)
    t = trainer(run, "real")
    plan = t.plan()
    with pytest.raises(Stop):
        t.train(plan)
    run = Run(checkpoint=Checkpoint(tmp_path / "m", resume=True), deadline=time.monotonic() + 1)
    found = run.checkpoint.load()
    assert found.state["plan"]["steps"] == plan.steps
    assert 0 < found.state["left"] < 30
    t = trainer(run, "real", patience=1)
    t._validate = Scripted(1.0, 2.0)  # so that it ends soon
    t.train(Plan(**found.state["plan"]), found)
    assert any("--budget makes no new plan: it has" in note for note in run.notes)


def test_a_checkpoint_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "_APART", -1.0)
    monkeypatch.setattr(Writer, "array", full)
    run = Run(checkpoint=Checkpoint(tmp_path / "m"))
    t = trainer(run, "real", epochs=3)
    t.train(t.plan())
    assert run.figures["steps"] == 30
    assert sum("No space left on device" in note for note in run.notes) == 1
    assert not (tmp_path / "m.training").exists()
