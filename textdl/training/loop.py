"""The training loop of every neural family.

With a deadline, a few real steps are timed and undone; they become a plan, a number of steps, before the
first step is taken, and the learning rate spans exactly those. Should the machine turn out slower or faster
than it was then, which on a shared one it does, the number of steps is revised on the way and the rest of the
schedule is squeezed or stretched: training still ends in time and with small steps. Without a deadline the plan follows from the number of epochs, and the same seed gives the
same weights on the same machine with the same number of threads.

The weights that validated best are kept in memory and are the result. Loss and gradients are watched:
training stops before a step that is not finite.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from typing import Protocol

import torch
from torch import Tensor

from textdl.errors import TextdlError
from textdl.layers.language_model import Network, States
from textdl.protocols import Run
from textdl.training.batching import Batch
from textdl.training.objective import next_token_loss
from textdl.training.optimisers import OPTIMISERS
from textdl.training.schedule import Schedule

_VALIDATIONS = 10
"""Validations in a run with a deadline."""
_VALIDATION_TOKENS = 20_000
"""Tokens of one validation, at most; the last one takes all there are if time allows."""
_WINDOW = 20
"""Steps over which the present speed is measured."""


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know; families have defaults for it."""

    learning_rate: float
    warmup: float
    weight_decay: float
    clip: float
    epochs: float
    """Passes over the data where there is no deadline."""
    patience: int
    """Validations without improvement after which training stops."""
    optimiser: str = "adamw"


@dataclass(frozen=True)
class Plan:
    """What training will do, settled before the first step."""

    steps: int
    epochs: float
    """Passes over the data that these steps make."""
    validations: int
    """How many, evenly spread; the last one after the last step."""
    validation_tokens: int
    step_seconds: float | None = None
    """Measured by the probe; None without a deadline."""
    validation_seconds: float = 0.0
    final_seconds: float = 0.0
    """Kept free for the validation of the result on all of the validation text; 0: there will be none."""


class Validate(Protocol):
    """Mean nats per token over a sample of so many tokens of the validation text; None: all of it."""

    tokens: int
    """How many there are."""

    def __call__(self, tokens: int | None) -> float: ...


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
    ):
        """
        Args:
            batches: the batches of epoch 0, 1, ...
            epoch_tokens: predictions in one epoch, line ends included.
            generator: where dropout draws from; the probe puts it back.
        """
        self.network = network
        self.run = run
        self._batches = batches
        self._settings = settings
        self._epoch_tokens = epoch_tokens
        self._generator = generator
        self._validate = validation
        self._validation_tokens = validation.tokens if validation is not None else 0
        self._schedule = Schedule(settings.learning_rate, settings.warmup)
        self._step_tokens = statistics.fmean(b.tokens for b in islice(self._endless(), 50))
        self._reset()

    # ------------------------------------------------------------------ the plan

    def plan(self) -> Plan:
        """Settle the number of steps. Leaves the network as it was."""
        if self.run.deadline is None:
            steps = max(1, round(self._settings.epochs * self._epoch_tokens / self._step_tokens))
            plan = Plan(
                steps=steps,
                epochs=self._settings.epochs,
                validations=min(steps, 40, max(_VALIDATIONS, round(2 * self._settings.epochs))),
                validation_tokens=min(self._validation_tokens, _VALIDATION_TOKENS),
            )
            source = f"{self._settings.epochs:g} epochs"
        else:
            plan = self._timed_plan(self.run.deadline)
            source = f"{plan.step_seconds:.3g} s a step"
        self.run.figures["plan"] = asdict(plan)
        self.run.note(
            f"Plan: {plan.steps:,} steps, {plan.steps * self._step_tokens:,.0f} tokens, {plan.epochs:.2g} epochs ({source})."
        )
        return plan

    def _timed_plan(self, deadline: float) -> Plan:
        began = time.monotonic()
        budget = max(0.0, deadline - began)
        step_seconds = self._probe(budget)
        tokens, once, final = 0, 0.0, 0.0
        if self._validate is not None:
            trial = min(self._validation_tokens, 4000)
            start = time.monotonic()
            self._validate(trial)
            per_token = (time.monotonic() - start) / trial
            tokens = min(self._validation_tokens, _VALIDATION_TOKENS, max(trial, int(0.012 * budget / per_token)))
            once = tokens * per_token
            if tokens < self._validation_tokens and self._validation_tokens * per_token <= 0.05 * budget:
                final = self._validation_tokens * per_token
        left = 0.97 * (deadline - time.monotonic()) - final - _VALIDATIONS * once
        steps = max(1, int(left / step_seconds))
        return Plan(
            steps=steps,
            epochs=steps * self._step_tokens / self._epoch_tokens,
            validations=_VALIDATIONS,
            validation_tokens=tokens,
            step_seconds=step_seconds,
            validation_seconds=once,
            final_seconds=final,
        )

    def _probe(self, budget: float) -> float:
        """Seconds a step takes, from a few that are undone.

        The first ones warm up caches and kernels. Of the others the faster quarter counts: what slows a step
        down now and then does not last.
        """
        weights = self._copy()
        generator_state = self._generator.get_state()
        seconds: list[float] = []
        end = time.monotonic() + min(10.0, 0.04 * budget)
        state: States | None = None
        for batch in self._endless():
            began = time.monotonic()
            _, _, state = self._step(batch, state, 0.01 * self._settings.learning_rate)
            seconds.append(time.monotonic() - began)
            self.run.progress("planning", len(seconds), None, "steps")
            if len(seconds) >= 4 and time.monotonic() > end:
                break
        self.network.load_state_dict(weights)
        self._generator.set_state(generator_state)
        self._reset()
        kept = sorted(seconds[2:])
        return max(kept[len(kept) // 4], 1e-6)

    # ------------------------------------------------------------------ training

    def train(self, plan: Plan) -> None:
        """Follow the plan; the network then has the best weights. Ctrl-C ends it early: see Run.interrupted.

        Raises:
            TextdlError: the loss became infinite or NaN before any validation.
        """
        self._best: dict[str, Tensor] | None = None
        self._best_loss = math.inf
        self._trained = 0
        self._steps = 0
        self._validation_seconds = 0.0
        try:
            with self.run.timing("training"):
                self._follow(plan)
        except KeyboardInterrupt:
            self.run.interrupted = True
            self.run.note(f"Interrupted at step {self._steps:,} of {plan.steps:,}; this is the best model until then.")
        if self._best is not None:
            self.network.load_state_dict(self._best)
        figures = self.run.figures
        figures["steps"] = self._steps
        figures["epochs"] = self._trained / self._epoch_tokens
        figures["tokens_trained"] = self._trained
        if self._best is not None:
            figures["valid_loss"] = self._best_loss
            figures["valid_tokens"] = plan.validation_tokens
            self._best = None
            self._validate_all(plan)
        self.network.softmax.release()
        self.network.eval()

    def _follow(self, plan: Plan) -> None:
        total = plan.steps
        progress = 0.0
        waited = validated = 0
        validation_seconds = plan.validation_seconds
        state: States | None = None
        recent: deque[float] = deque(maxlen=_WINDOW)
        nats = tokens = 0.0
        began = since = time.monotonic()
        deadline = self.run.deadline
        for batch in self._endless():
            start = time.monotonic()
            rate = self._schedule.rate(progress)
            loss, norm, state = self._step(batch, state, rate)
            if not math.isfinite(loss + norm):
                self._not_finite(rate)
                return
            progress += (1.0 - progress) / max(1, total - self._steps)
            self._steps += 1
            self._trained += batch.tokens
            nats, tokens = nats + loss, tokens + batch.tokens
            now = time.monotonic()
            recent.append(now - start)
            self.run.progress(
                "training", self._trained, total * self._step_tokens, "tokens",
                f"loss {loss / max(1, batch.tokens):.2f} lr {rate:.1e}",
            )  # fmt: skip
            if deadline is not None and self._steps % 5 == 0 and self._steps < total:
                validating = plan.final_seconds + ((1.0 - progress) * plan.validations + 1.0) * validation_seconds
                total = self._revised(total, statistics.fmean(recent), deadline - now - validating)
            out_of_time = deadline is not None and now + plan.final_seconds + validation_seconds >= deadline
            done = self._steps >= total or out_of_time
            if done or progress * plan.validations >= validated + 1 - 1e-9:
                validated = int(progress * plan.validations + 1e-9)
                if self._validate is not None:
                    valid = self._validate(plan.validation_tokens)
                    validation_seconds = self._validation_seconds = time.monotonic() - now
                    waited = 0 if valid < self._best_loss else waited + 1
                    if valid < self._best_loss:
                        self._best_loss, self._best = valid, self._copy()
                else:
                    valid = None
                self.run.figures["tokens_per_second"] = round(self._trained / max(now - began, 1e-9))
                self.run.figures["train_loss"] = nats / max(1.0, tokens)
                self.run.record(
                    step=self._steps,
                    epoch=round(self._trained / self._epoch_tokens, 4),
                    train_loss=nats / max(1.0, tokens),
                    valid_loss=valid,
                    learning_rate=rate,
                    tokens_per_second=round(tokens / max(now - since, 1e-9)),
                    gradient_norm=norm,
                )
                nats = tokens = 0.0
                began += time.monotonic() - now  # validation is not training
                since = time.monotonic()
                if waited >= self._settings.patience:
                    self.run.note(
                        f"Stopped at step {self._steps:,} of {plan.steps:,}: "
                        f"{waited} validations without improvement on {self._best_loss:.4f} nats."
                    )
                    return
            if done:
                return

    def _revised(self, total: int, step_seconds: float, left: float) -> int:
        """The number of steps that can be taken in the seconds left, at the present speed; `total` if about right."""
        remaining = total - self._steps
        possible = max(1, int(0.98 * left / step_seconds))
        if 0.9 * possible <= remaining <= possible:
            return total
        self.run.figures["plan_revised_to"] = self._steps + possible
        return self._steps + possible

    def _not_finite(self, rate: float) -> None:
        what = f"the loss or its gradient is no longer finite at step {self._steps + 1:,} (learning rate {rate:.2g})"
        advice = f"Train again with a lower --learning-rate, such as {self._settings.learning_rate / 3:.1g}."
        if self._best is None:
            raise TextdlError(f"training: {what}, before any validation. {advice}")
        self.run.note(f"Training stopped early: {what}; the best model until then is kept. {advice}")

    def _validate_all(self, plan: Plan) -> None:
        """Measure the result on the whole validation text, where the plan has time for it."""
        if self._validate is None or plan.validation_tokens >= self._validation_tokens or self.run.interrupted:
            return
        if self.run.deadline is not None:
            seconds = 1.1 * self._validation_seconds * self._validation_tokens / plan.validation_tokens
            if plan.final_seconds == 0.0 or time.monotonic() + seconds > self.run.deadline:
                return
        try:
            self.run.figures["valid_loss"] = self._validate(None)
            self.run.figures["valid_tokens"] = self._validation_tokens
        except KeyboardInterrupt:
            self.run.interrupted = True

    # ------------------------------------------------------------------ one step

    def _step(self, batch: Batch, state: States | None, rate: float) -> tuple[float, float, States]:
        """The summed nats of the batch, the norm of the gradient, the state after it. A step that is not finite is not taken."""
        self.network.train()
        state = None if batch.fresh or state is None else tuple(t.detach() for t in state)
        self._optimiser.zero_grad(set_to_none=True)
        loss, state = next_token_loss(self.network, batch, state)
        # Over the usual number of tokens, not the batch's own: the short rest of a long line weighs what it is.
        (loss / self._step_tokens).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.clip).item()
        value = loss.item()
        if math.isfinite(value + norm):
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._optimiser.step()
        return value, norm, state

    def _reset(self) -> None:
        settings = self._settings
        self._optimiser = OPTIMISERS[settings.optimiser](self.network, settings.learning_rate, settings.weight_decay)

    def _copy(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.network.state_dict().items()}

    def _endless(self) -> Iterator[Batch]:
        for epoch in count():
            yield from self._batches(epoch)
