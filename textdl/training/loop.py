"""The training loop of every neural family.

With a deadline, a few real steps are timed and undone; they become a plan, a number of steps, before the
first step is taken, and the learning rate spans exactly those. Should the machine turn out slower or faster
than it was then, which on a shared one it does, the number of steps is revised on the way and the rest of the
schedule is squeezed or stretched: training still ends in time and with small steps. Without a deadline the plan
follows from the number of epochs, and the same seed gives the same weights on the same machine with the same
number of threads.

At each validation, and in between when that takes long, all that training goes on from is copied, and written to the
checkpoint where there is one (see snapshot.py). The weights that validated best are the result: those of the
network, or their moving average. Loss and gradients are watched. A step that is not finite is not taken: training
goes back to the last copy and on with half the learning rate, and after three times ends with the best weights.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count, islice
from typing import Any, Protocol

import torch
from torch import Tensor

from textdl.checkpoint import Progress
from textdl.errors import ModelError, TextdlError
from textdl.layers.device import fast_bfloat16, precision
from textdl.layers.language_model import Network, States
from textdl.protocols import Run
from textdl.training import allocation
from textdl.training.averaging import WeightAverage
from textdl.training.batching import Batch
from textdl.training.objective import Forward, next_token_loss
from textdl.training.optimisers import OPTIMISERS
from textdl.training.parallel import Team
from textdl.training.plan import Plan, Settings, revised
from textdl.training.schedule import Schedule
from textdl.training.snapshot import Position, Snapshot, optimiser_tensors, restore_optimisers

_VALIDATIONS = 10
"""Validations in a run with a deadline."""
_FEWEST_TOKENS, _MOST_TOKENS = 4_000, 20_000
"""Of one validation; the last one takes all there are if time allows."""
_TRIED_TOKENS = 256
"""Of the validation that is timed, at least."""
_WINDOW = 20
"""Steps over which the present speed is measured."""
_APART = 1.0
"""Seconds between checkpoints, at least..."""
_LONGEST = 60.0
"""...and at most."""
_RETRIES = 3
"""Times that training goes on after a step that was not finite."""
_FEW = 20
"""Steps after which nothing can be said of the learning rate."""
_SPIKE = 10.0
"""How many times its usual size a gradient has that is worth a word."""
_SECOND_PASS = 1.5
"""Passes before which nothing can be known by heart: all that was read was new, or nearly."""
_GAP = 0.01
"""Nats a token between train and valid that are worth a word."""
_COUNTED = 1000
"""Batches that say how many tokens one has: all of them, unless the text is long."""
_NORMS = 50
"""Steps that say what is usual."""


class Validate(Protocol):
    """Mean nats per token over a sample of so many tokens of the validation text; None: all of it."""

    tokens: int
    """How many there are."""

    def __call__(self, tokens: int | None) -> float: ...


@dataclass(frozen=True)
class Step:
    """What one step saw."""

    nats: float
    """Summed over its tokens."""
    loss: float
    """The same with label smoothing."""
    norm: float
    """Of the gradient, before it was clipped."""

    @property
    def finite(self) -> bool:
        return math.isfinite(self.nats + self.loss + self.norm)


class Trainer:
    """Trains one network. `plan`, then `train`; what is known after the plan may be set between the two."""

    def __init__(
        self,
        network: Network,
        batches: Callable[[int], Iterator[Batch]],
        settings: Settings,
        run: Run,
        *,
        epoch_tokens: int,
        generator: torch.Generator,
        validation: Validate | None = None,
        team: Team | None = None,
        choices: Mapping[str, Any] | None = None,
        watch: Callable[[], dict[str, Any]] | None = None,
    ):
        """
        Args:
            batches: the batches of epoch 0, 1, ...
            epoch_tokens: predictions in one epoch, line ends included.
            generator: where dropout draws from; the probe puts it back.
            team: the processes that train together; each is given the same batches.
            choices: what else a checkpoint must tell the one who builds the network again.
            watch: called after each validation; what it returns comes into the curve.
        """
        self.network = network
        self.run = run
        self._batches = batches
        self._settings = settings
        self._epoch_tokens = epoch_tokens
        self._generator = generator
        self._validate = validation
        self._validation_tokens = validation.tokens if validation is not None else 0
        self._team = team or Team()
        self._choices = dict(choices or {})
        self._watch = watch
        self._deadline = run.deadline
        self._schedule = Schedule(settings.learning_rate, settings.warmup, settings.schedule)
        some = [batch.tokens for batch in islice(self._batches(0), _COUNTED)]
        self._step_tokens = statistics.fmean(some) * settings.accumulate
        self._forward: Forward = network
        self._compiled = not settings.compile
        self._state: States | None = None
        self._best: dict[str, Tensor] | None = None
        self._copied: Snapshot | None = None
        self._copied_at = self._written_at = -math.inf
        self._unwritten = False
        """Whether a checkpoint could not be written, which is said once."""
        self._reset()

    # ------------------------------------------------------------------ the plan

    def plan(self) -> Plan:
        """Settle the number of steps. Leaves the network as it was."""
        self._compile()
        if self._settings.precision not in (None, self._precision()):
            self.run.note(
                "--precision bfloat16: this machine does not multiply it in hardware, so training is done in float32."
            )
        if self._deadline is None:
            steps = max(1, round(self._settings.epochs * self._epoch_tokens / self._step_tokens))
            trained = steps * self._step_tokens
            plan = Plan(
                steps=steps,
                epochs=self._settings.epochs,
                validations=min(steps, 40, max(_VALIDATIONS, round(2 * self._settings.epochs))),
                validation_tokens=min(self._validation_tokens, _MOST_TOKENS, max(_FEWEST_TOKENS, int(trained / 40))),
                precision=self._precision(),
                threads=torch.get_num_threads(),
            )
            source = f"{self._settings.epochs:g} epochs"
        else:
            plan = self._timed_plan(self._deadline)
            source = f"{plan.step_seconds:.3g} s a step"
        self.run.note(
            f"Plan: {plan.steps:,} steps, {plan.steps * self._step_tokens:,.0f} tokens, {plan.epochs:.2g} epochs "
            f"({source}; {plan.precision}, {plan.threads} threads)."
        )
        return plan

    def speed(self, seconds: float) -> float:
        """Tokens a second in the best way, from steps of about so many seconds that are undone."""
        return self._step_tokens / self._fastest(seconds)[0]

    def _precision(self) -> str:
        """bfloat16 where the hardware has it and nothing else is asked for."""
        fast = self._settings.precision != "float32" and fast_bfloat16(self.network.device)
        return "bfloat16" if fast else "float32"

    def _timed_plan(self, deadline: float) -> Plan:
        began = time.monotonic()
        (budget,) = self._team.agree(max(0.0, deadline - began))
        step_seconds, best_precision, best_threads = self._fastest(min(10.0, 0.04 * budget))
        tokens, once, final = 0, 0.0, 0.0
        if self._validate is not None:
            affordable = int(0.05 * budget * self._step_tokens / step_seconds)
            trial = min(self._validation_tokens, _FEWEST_TOKENS, max(_TRIED_TOKENS, affordable))
            start = time.monotonic()
            with _threads(best_threads):
                self._validate(trial)
            per_token = (time.monotonic() - start) / trial
            tokens = min(self._validation_tokens, _MOST_TOKENS, max(trial, int(0.012 * budget / per_token)))
            once = tokens * per_token
            if tokens < self._validation_tokens and self._validation_tokens * per_token <= 0.05 * budget:
                final = self._validation_tokens * per_token
        left = 0.97 * (deadline - time.monotonic()) - final - _VALIDATIONS * once
        once, final, left, count_ = self._team.agree(once, final, left, tokens)
        steps = max(1, int(left / step_seconds))
        return Plan(
            steps=steps,
            epochs=steps * self._step_tokens / self._epoch_tokens,
            validations=_VALIDATIONS,
            validation_tokens=int(count_),
            precision=best_precision,
            threads=best_threads,
            step_seconds=step_seconds,
            validation_seconds=once,
            final_seconds=final,
        )

    def _fastest(self, seconds: float) -> tuple[float, str, int]:
        """Of precisions and numbers of threads: seconds a step takes, and with which.

        Where the likeliest takes more than its time, the others are not tried.
        """
        ways = self._ways()
        fastest = (math.inf, *ways[0])
        with self._undone(), allocation.kept():
            began = time.monotonic()
            for name, threads in ways:
                with precision(name), _threads(threads):
                    pace = self._pace(seconds / len(ways))
                if pace < 0.9 * fastest[0]:  # a little is not worth leaving the first way for
                    fastest = (pace, name, threads)
                (over,) = self._team.agree(time.monotonic() - began > 2.0 * seconds)
                if over:
                    break
        return fastest

    def _ways(self) -> list[tuple[str, int]]:
        """Precisions and numbers of threads to choose from, the likeliest first."""
        name, threads = self._precision(), torch.get_num_threads()
        ways = [(name, threads)]
        if self.network.device.type == "cpu":
            if name == "bfloat16" and self._settings.precision is None:
                ways.append(("float32", threads))
            if threads > 1:
                ways.append((name, 1))
        return ways

    def _pace(self, seconds: float) -> float:
        """Seconds a step takes, from some that change the network.

        The first ones warm up caches and kernels. Of the others the faster quarter counts: what slows a step
        down now and then does not last. Past the deadline one step has to do.
        """
        taken: list[float] = []
        end = time.monotonic() + seconds
        feed = self._feed()
        self._state = None
        while True:
            batches = [batch for _, _, batch in islice(feed, self._settings.accumulate)]
            began = time.monotonic()
            self._step(batches, 0.01 * self._settings.learning_rate)
            taken.append(time.monotonic() - began)
            self.run.progress("planning", len(taken), None, "steps")
            now = time.monotonic()
            late = self._deadline is not None and now > self._deadline
            (over,) = self._team.agree(late or (len(taken) >= 4 and now > end))
            if over:
                kept = sorted(taken[2:] or taken)
                return max(self._team.agree(kept[len(kept) // 4])[0], 1e-6)

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """What is done to the network inside is undone at the end."""
        weights, generator = self._weights(), self._generator.get_state()
        weights = {name: tensor.clone() for name, tensor in weights.items()}
        try:
            yield
        finally:
            self.network.load_state_dict(weights)
            self._generator.set_state(generator)
            self._state = None
            self._reset()

    def _compile(self) -> None:
        """Compile the network, if wanted and not yet done; go on without where there is no compiler."""
        if self._compiled:
            return
        self._compiled = True
        self._forward = torch.compile(self.network)
        began = time.monotonic()
        try:
            with self._undone(), precision(self._precision()), self.run.timing("compile"):
                for _, _, batch in islice(self._feed(), 2):
                    self._step([batch], 0.0)
        except Exception as error:  # whatever a compiler or its absence may raise; real errors come again without it
            self._forward = self.network
            reason = str(error).strip().split("\n")[0][:120]
            self.run.note(f"--compile: torch could not compile the network ({reason}); training goes on without.")
            return
        self.run.note(f"Compiling took {time.monotonic() - began:.1f} s.")

    # ------------------------------------------------------------------ training

    def train(self, plan: Plan, found: Progress | None = None) -> None:
        """Follow the plan; the network then has the best weights. Ctrl-C ends it early: see Run.interrupted.

        Args:
            found: what a checkpoint of the same plan has, to go on from.

        Raises:
            TextdlError: the loss became infinite or NaN before any validation, also with a lower learning rate.
        """
        run, settings = self.run, self._settings
        run.figures["plan"] = asdict(plan)
        self._compile()
        self._best = None
        self._position = Position(total=plan.steps, validation_seconds=plan.validation_seconds)
        self._average = WeightAverage(self.network, settings.ema) if settings.ema > 0.0 else None
        if found is not None:
            self._resume(found)
        self._began = time.monotonic() - self._position.seconds
        try:
            with run.timing("training"), precision(plan.precision), _threads(plan.threads), allocation.kept():
                self._follow(plan)
        except KeyboardInterrupt:
            run.interrupted = True
            run.note(
                f"Interrupted at step {self._position.step:,} of {self._position.total:,}; "
                "this is the best model until then."
            )
        finally:
            self._wait()
        self._finish(plan)

    def _follow(self, plan: Plan) -> None:
        settings, p = self._settings, self._position
        feed = self._feed(p.epoch, p.batch)
        recent: deque[float] = deque(maxlen=_WINDOW)
        norms: deque[float] = deque(maxlen=_NORMS)
        if self._copied is None:
            self._copy(plan)
        while p.step < p.total:
            start = time.monotonic()
            read = list(islice(feed, settings.accumulate))
            tokens = sum(batch.tokens for _, _, batch in read)
            rate = self._schedule.rate(p.progress) * p.slowed
            step = self._step([batch for _, _, batch in read], rate)
            if not step.finite:
                if not self._go_back(rate):
                    return
                p = self._position
                feed = self._feed(p.epoch, p.batch)
                norms.clear()
                continue
            if len(norms) == _NORMS and step.norm > _SPIKE * statistics.median(norms):
                p.spikes += 1
                if p.spikes == 1:
                    self.run.figures["first_spike"] = {"step": p.step + 1, "gradient_norm": step.norm}
            norms.append(step.norm)
            p.progress += (1.0 - p.progress) / max(1, p.total - p.step)
            p.step += 1
            p.epoch, p.batch = read[-1][:2]
            p.trained, p.tokens = p.trained + tokens, p.tokens + tokens
            p.nats, p.loss = p.nats + step.nats, p.loss + step.loss
            if self._average is not None:
                self._average.update(p.step)
            now = time.monotonic()
            recent.append(now - start)
            p.recent_seconds, p.stepping = p.recent_seconds + now - start, p.stepping + now - start
            self.run.progress(
                "training", p.trained, p.total * self._step_tokens, "tokens",
                f"loss {step.nats / max(1, tokens):.2f} lr {rate:.1e}",
            )  # fmt: skip
            late = False
            if self._deadline is not None:
                if p.step % 5 == 0 and p.step < p.total:
                    left = plan.final_seconds + ((1.0 - p.progress) * plan.validations + 1.0) * p.validation_seconds
                    p.total = revised(p.total, p.step, statistics.fmean(recent), self._deadline - now - left)
                late = now + plan.final_seconds + p.validation_seconds >= self._deadline
            total, out_of_time, due = map(int, self._team.agree(p.total, late, now - self._copied_at > _LONGEST))
            p.total = p.step if out_of_time else total
            if p.step >= p.total or p.progress * plan.validations >= p.validated + 1 - 1e-9:
                p.validated = int(p.progress * plan.validations + 1e-9)
                self._report(plan, rate, step.norm)
                if p.waited >= settings.patience:
                    if p.best_loss is not None:
                        self.run.note(
                            f"Stopped at step {p.step:,} of {p.total:,}: "
                            f"{p.waited} validations without improvement on {p.best_loss:.4f} nats."
                        )
                    return
                due = 1
            if due and p.step < p.total:
                self._copy(plan)
        if p.total != plan.steps:
            self.run.figures["plan_revised_to"] = p.total

    def _report(self, plan: Plan, rate: float, norm: float) -> None:
        """Validate, keep the best weights, and add to the curve."""
        p, figures = self._position, self.run.figures
        losses: dict[str, float | None] = {"valid_loss": None}
        watched: dict[str, Any] = {}
        if self._validate is not None:
            began = time.monotonic()
            losses["valid_loss"] = best = _finite(self._validate(plan.validation_tokens))
            averaged = False
            if self._average is not None:
                with self._average.in_place():
                    losses["average_loss"] = other = _finite(self._validate(plan.validation_tokens))
                if other is not None and (best is None or other < best):
                    best, averaged = other, True
            if self._watch is not None:
                watched = self._watch()
            p.validation_seconds = time.monotonic() - began
            p.waited += 1
            if best is not None and (p.best_loss is None or best < p.best_loss):
                p.best_loss, p.best_step, p.best_is_average, p.waited = best, p.step, averaged, 0
                chosen = self._average.weights if averaged and self._average is not None else self._weights()
                self._best = {name: tensor.detach().clone() for name, tensor in {**self._weights(), **chosen}.items()}
        figures["tokens_per_second"] = round(p.trained / max(p.stepping, 1e-9))
        figures["train_loss"] = p.nats / max(1, p.tokens)
        if self._settings.label_smoothing > 0.0:
            losses["smoothed_loss"] = p.loss / max(1, p.tokens)
        self.run.record(
            step=p.step,
            epoch=round(p.trained / self._epoch_tokens, 4),
            train_loss=p.nats / max(1, p.tokens),
            **losses,
            learning_rate=rate,
            tokens_per_second=round(p.tokens / max(p.recent_seconds, 1e-9)),
            gradient_norm=norm,
            **watched,
        )
        p.nats = p.loss = p.recent_seconds = 0.0
        p.tokens = 0

    def _go_back(self, rate: float) -> bool:
        """After a step that was not finite: to the last copy, and whether training can go on.

        Raises:
            TextdlError: there is nothing to go back to.
        """
        p, run = self._position, self.run
        what = f"the loss or its gradient is no longer finite at step {p.step + 1:,} (learning rate {rate:.2g})"
        advice = (
            f"Train again with a lower --learning-rate, such as {self._settings.learning_rate * p.slowed / 3:.1g}."
            if p.step > 0
            else "No step was taken before, so the learning rate is not why: train again with less dropout of any kind, or "
            "with a shorter --bptt."
        )
        if self._copied is not None and p.slowed > 0.5**_RETRIES:
            slowed = p.slowed / 2.0
            self._restore(self._copied)
            self._position.slowed = slowed
            run.note(
                f"Training goes back to step {self._position.step:,} and on with half the learning rate: {what}. {advice}"
            )
            return True
        if self._best is None:
            raise TextdlError(f"training: {what}, before any validation that gave a number. {advice}")
        run.failed = True
        run.note(f"Training stopped early: {what}; the best model until then is kept. {advice}")
        return False

    def _finish(self, plan: Plan) -> None:
        """The best weights, and what there is to say.

        Raises:
            TextdlError: there are none that give numbers.
        """
        p, figures = self._position, self.run.figures
        if self._best is not None:
            self.network.load_state_dict(self._best)
        elif not self._sound() or (self._validate is not None and p.validated):
            raise TextdlError(
                f"training: after {p.step:,} steps the network gives infinite losses or none, so there is no model. Train "
                f"again with a lower --learning-rate, such as {self._settings.learning_rate * p.slowed / 3:.1g}."
            )
        figures["steps"] = p.step
        figures["epochs"] = p.trained / self._epoch_tokens
        figures["tokens_trained"] = p.trained
        if p.spikes:
            first = figures.get("first_spike", {"step": 0})
            self.run.note(
                f"{p.spikes:,} gradients were {_SPIKE:g} times as large as usual, the first at step {first['step']:,}; "
                "they were scaled down to --clip. If the curve jumps there, lower --learning-rate."
            )
        if p.best_loss is not None:
            figures["valid_loss"] = p.best_loss
            figures["valid_tokens"] = plan.validation_tokens
            figures["best_step"] = p.best_step
            if self._average is not None:
                figures["averaged"] = p.best_is_average
            if not self._say_if_worse_than_chance():
                self._say_if_memorising()
            self._validate_all(plan)
        self._best = self._copied = None
        self.network.softmax.release()
        self.network.eval()

    def _say_if_worse_than_chance(self) -> bool:
        """Where all ids alike likely would be a better guess, and whether it is so."""
        curve, p, chance = self.run.curve, self._position, math.log(self.network.vocab_size - 1)
        if not curve or p.best_loss is None or p.best_loss <= chance:
            return False
        self.run.note(
            f"The model is worse than chance: {p.best_loss:,.3f} nats a token on held-out text, where to take all "
            f"{self.network.vocab_size:,} types for equally likely gives {chance:.3f}. "
            + (
                "It has hardly been trained: give it more time."
                if p.step < _FEW or (curve[-1]["train_loss"] <= chance and p.trained < self._epoch_tokens)
                else f"Train again with a lower --learning-rate, such as {self._settings.learning_rate * p.slowed / 3:.1g}."
                if curve[-1]["train_loss"] > chance
                else "Is the held-out text of another kind than the one it trains on?"
            )
        )
        return True

    def _say_if_memorising(self) -> None:
        """Where the text is known by heart, more of the same training is of no use."""
        curve, p = self.run.curve, self._position
        if not curve or p.best_loss is None:  # stopped between the validation and its record
            return
        seen, unseen = curve[-1]["train_loss"], curve[-1]["valid_loss"]
        if unseen is None or unseen - seen < _GAP or p.trained < _SECOND_PASS * self._epoch_tokens:
            return
        if unseen - seen > 0.25 * unseen or unseen > 1.02 * p.best_loss > 1.02 * seen:
            self.run.note(
                f"Memorising: {seen:.3f} nats a token on the text it trains on, {unseen:.3f} on held-out text (best: "
                f"{p.best_loss:.3f} at step {p.best_step:,}). More text helps most; else a higher --dropout, a smaller "
                "network, or fewer --epochs."
            )

    def _validate_all(self, plan: Plan) -> None:
        """Measure the result on the whole validation text, where the plan has time for it."""
        if self._validate is None or plan.validation_tokens >= self._validation_tokens or self.run.interrupted:
            return
        if self._deadline is not None:
            seconds = 1.1 * self._position.validation_seconds * self._validation_tokens / plan.validation_tokens
            late = plan.final_seconds == 0.0 or time.monotonic() + seconds > self._deadline
            if self._team.agree(late)[0]:
                return
        try:
            self.run.figures["valid_loss"] = self._validate(None)
            self.run.figures["valid_tokens"] = self._validation_tokens
        except KeyboardInterrupt:
            self.run.interrupted = True

    # ------------------------------------------------------------------ copies and checkpoints

    def _copy(self, plan: Plan) -> None:
        """Copy all that training goes on from, if it is sound, and write it to the checkpoint."""
        p, team = self._position, self._team
        p.seconds = time.monotonic() - self._began
        self._copied_at = time.monotonic()
        if not self._sound():
            return
        rows = self._rows if self._state else 0
        generator = self._generator.get_state()
        self._copied = Snapshot.of(
            p,
            weights=self._weights(),
            average=self._average.weights if self._average is not None else {},
            best=self._best or {},
            optimiser=optimiser_tensors(self._optimisers),
            state={f"{i}": team.gather(t.detach(), rows) for i, t in enumerate(self._state or ())},
            # On the network's device, since that is where processes can add up.
            generator={"state": team.gather(generator.to(self.network.device)[None], team.size)},
        )
        if self.run.checkpoint is None or team.rank > 0:
            return
        if p.step > 0 and self._copied_at - self._written_at < _APART:
            return
        self._wait()
        self._written_at = self._copied_at
        left = None if self._deadline is None else self._deadline - time.monotonic()
        state = {"choices": self._choices, "plan": asdict(plan), "position": self._copied.position, "left": left}
        done = f"{p.step:,} of {p.total:,} steps"
        self.run.checkpoint.begin(self._copied.arrays(), state, self.run.curve, done=done)

    def _wait(self) -> None:
        """Until the checkpoint is written. One that cannot be is no reason to stop."""
        try:
            if self.run.checkpoint is not None and self._team.rank == 0:
                self.run.checkpoint.wait()
        except ModelError as error:
            if not self._unwritten:
                self.run.note(f"A checkpoint could not be written: {error} Training goes on.")
            self._unwritten = True

    def _resume(self, found: Progress) -> None:
        """Go on where a checkpoint was written."""
        run = self.run
        self._copied = Snapshot.from_arrays(found.state["position"], found.arrays)
        self._copied_at = time.monotonic()
        self._restore(self._copied)
        run.curve.extend(found.curve)
        run.seconds["training"] = self._position.seconds
        given, left = self._deadline, found.state["left"]
        self._deadline = None if left is None else time.monotonic() + left
        p = self._position
        sentence = f"Training goes on after {p.step:,} of {p.total:,} steps, by the plan made at its start."
        if given is not None:
            time_left = "it takes as long as it takes" if left is None else f"it has {max(0.0, left):,.0f} s left"
            sentence += f" --budget makes no new plan: {time_left}."
        run.note(sentence)

    def _restore(self, copied: Snapshot) -> None:
        device, team = self.network.device, self._team
        self._position = Position(**copied.position)
        self.network.load_state_dict(copied.kind("weights"))
        if self._average is not None:
            self._average.restore(copied.kind("average"))
        self._best = copied.kind("best") or None
        self._reset()
        restore_optimisers(self._optimisers, copied.kind("optimiser"))
        carried = copied.kind("state")
        state = [carried[f"{i}"].to(device) for i in range(len(carried))]
        self._rows = len(state[0]) if state else 0
        self._state = tuple(t[team.share(len(t))].clone() for t in state) if state else None
        # Cloned: of a row of a matrix set_state reads what lies far behind it, and crashes.
        self._generator.set_state(copied.kind("generator")["state"][team.rank].cpu().clone())

    # ------------------------------------------------------------------ one step

    def _step(self, batches: Sequence[Batch], rate: float) -> Step:
        """One step on the gradients of some batches. It is not taken if it is not finite.

        Raises:
            KeyboardInterrupt: one of several processes was told to stop.
        """
        self.network.train()
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
        nats = smoothed = 0.0
        for whole in batches:
            batch = whole.part(self._team.share(len(whole.inputs)))
            self._rows = len(whole.inputs)
            state = self._state
            self._state = state = None if whole.fresh or state is None else tuple(t.detach() for t in state)
            if batch.tokens == 0:
                self._state = self.network.initial_state(len(batch.inputs)) if state is None else state
                continue
            loss, sum_of_nats, self._state = next_token_loss(
                self.network, batch, state, label_smoothing=self._settings.label_smoothing, forward=self._forward
            )
            # Over the usual number of tokens, not the batch's own: the short rest of a long line weighs what it is.
            (loss / self._step_tokens).backward()
            nats, smoothed = nats + sum_of_nats.item(), smoothed + loss.item()
        nats, smoothed = self._together(nats, smoothed)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.clip).item()
        step = Step(nats, smoothed, norm)
        if step.finite:
            for optimiser in self._optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate
                optimiser.step()
        return step

    def _together(self, nats: float, smoothed: float) -> tuple[float, float]:
        """Add up gradients and losses of all processes, in one message."""
        if self._team.size == 1:
            return nats, smoothed
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        told = gradients[0].new_tensor([nats, smoothed, float(self._team.stopped)])
        message = self._team.sum(torch.cat([*(g.flatten() for g in gradients), told]))
        *parts, told = message.split([*(p.numel() for p in parameters), 3])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        nats, smoothed, stopped = told.tolist()
        if stopped:
            raise KeyboardInterrupt
        return nats, smoothed

    def _reset(self) -> None:
        settings = self._settings
        self._optimisers = OPTIMISERS[settings.optimiser].build(self.network, settings.weight_decay)

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach() for name, t in self.network.state_dict().items()}

    def _sound(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in self._weights().values())

    def _feed(self, epoch: int = 0, done: int = 0) -> Iterator[tuple[int, int, Batch]]:
        """All batches to come after so many of an epoch, each with the epoch and how many of it are then read."""
        for number in count(epoch):
            for index, batch in enumerate(islice(self._batches(number), done, None), done + 1):
                yield number, index, batch
            done = 0


def _finite(nats: float) -> float | None:
    """None in the place of infinity and of what is no number, which JSON cannot hold and nothing compares with."""
    return nats if math.isfinite(nats) else None


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Inside, torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
