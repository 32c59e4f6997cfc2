"""Any object with the three methods of protocols.LanguageModel: `score`, `start`, `step`.

Whoever has a model of their own, trained anywhere, writes these three over ids 3.. (0 to 2 are <unk>, <s> and </s>,
see encoded.py) and names the pieces; what else the protocol asks for is supplied here.

What comes back is looked at, for a mistake would make a model that looks too good: distributions sum to 1, and `score`
gives the first token of a text what `start` gives it. (A `start` that raises NotImplementedError is not asked; then
`score` is believed.)
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textdl.encoded import EOS, Encoded
from textdl.errors import ModelError, UsageError
from textdl.protocols import Floats, Ints, LanguageModel, ScorePolicy, State
from textdl.storage import Writer
from textdl.vocabulary import SPECIALS

_METHODS = {
    "score": ("score(lines, contexts, policy=policy)", (None, None), {"policy": None}),
    "start": ("start(contexts, prefixes)", (None, None), {}),
    "step": ("step(state, last)", (None, None), {}),
}
"""How each method is called."""
_ARRAYS = "It gives flat arrays of numbers that, joined, hold one log-probability for each token and line end."
_PAIR = "It gives a pair: (B, V) natural log-probabilities, each row of which sums to 1, and a state."
_CLOSE = 1e-2
"""Nats, and of a sum of probabilities: what a network in half precision may be off."""


@dataclass(frozen=True)
class _Remembered:
    """The state of an object of the user's."""

    state: Any
    owner: str

    def select(self, rows: Ints) -> _Remembered:
        if not callable(getattr(self.state, "select", None)):
            raise ModelError(
                f"the state of {self.owner} is {_kind(self.state)} without select(rows), by which histories are repeated "
                "and dropped. See State in textdl/protocols.py."
            )
        return _Remembered(self.state.select(rows), self.owner)


class Adopted:
    """The object, with what it may lack: a vocabulary size, a policy (line by line), a description."""

    def __init__(self, model: Any, vocab_size: int):
        self._model, self._name = model, type(model).__name__
        self.vocab_size = vocab_size
        self.policy: ScorePolicy = getattr(model, "policy", ScorePolicy())

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        policy = policy or self.policy
        found = self._model.score(lines, contexts, policy=policy)
        if not isinstance(found, Iterable):
            raise ModelError(f"{self._name}.score gave {_kind(found)}. {_ARRAYS}")
        begun = False
        for some in [found] if isinstance(found, np.ndarray) else found:
            try:
                array = np.asarray(some, np.float32)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ModelError(f"{self._name}.score gave {_kind(some)} ({error}). {_ARRAYS}") from error
            if array.ndim != 1:
                raise ModelError(f"{self._name}.score gave an array of the shape {array.shape}. {_ARRAYS}")
            if len(array) and not begun:
                self._check_first(float(array[0]), lines, contexts, policy)
                begun = True
            yield array

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, State]:
        given = contexts if contexts is not None else prefixes
        return self._looked_at("start", self._model.start(contexts, prefixes), 1 if given is None else len(given))

    def step(self, state: State, last: Ints) -> tuple[Floats, State]:
        if not isinstance(state, _Remembered):
            raise UsageError(f"{self._name} was given the state of another kind of model.")
        return self._looked_at("step", self._model.step(state.state, last), len(last))

    def _looked_at(self, method: str, found: Any, rows: int) -> tuple[Floats, State]:
        """What a method gave, in an array of our own. Raises ModelError where it is no distribution."""
        if not isinstance(found, tuple) or len(found) != 2:
            raise ModelError(f"{self._name}.{method} gave {_kind(found)}. {_PAIR}")
        try:
            log_probs = np.array(found[0], np.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"{self._name}.{method} gave {_kind(found[0])} ({error}). {_PAIR}") from error
        if log_probs.shape != (rows, self.vocab_size):
            raise ModelError(
                f"{self._name}.{method} gave an array of the shape {log_probs.shape}, expected {(rows, self.vocab_size)}. "
                f"{_PAIR}"
            )
        with np.errstate(over="ignore"):
            sums = np.exp(log_probs, dtype=np.float64).sum(1)
        if len(wrong := sums[~(np.abs(sums - 1) < _CLOSE)]):  # NaN is wrong too
            raise ModelError(f"{self._name}.{method} gave probabilities that sum to {wrong[0]:.4g}. {_PAIR}")
        return log_probs, _Remembered(found[1], self._name)

    def _check_first(self, given: float, lines: Encoded, contexts: Encoded | None, policy: ScorePolicy) -> None:
        """Raises ModelError where `start` gives the first token of the text another probability than `score` does."""
        first = [*lines.line(0)[:1].tolist(), *[EOS] * policy.line_end]
        if not first:
            return  # an empty line whose end is not scored
        try:
            log_probs, _ = self.start(None if contexts is None else contexts.lines(0, 1))
        except NotImplementedError:
            return
        expected = float(log_probs[0, first[0]])
        if not np.isclose(given, expected, rtol=_CLOSE, atol=_CLOSE):
            raise ModelError(
                f"{self._name}.score gives the first token of the text {given:.4f} and {self._name}.start {expected:.4f}; "
                "both are to be its natural log-probability after <s>. Mend one of them."
            )

    def describe(self) -> dict[str, Any]:
        describe = getattr(self._model, "describe", None)
        return dict(describe()) if describe is not None else {}

    def save(self, out: Writer) -> None:
        raise UsageError("this model was made by another program, which has to save it")


def _kind(value: Any) -> str:
    return f"{value!r}" if isinstance(value, int | float) else f"a {type(value).__name__}"


def adopted(model: Any, pieces: Sequence[str]) -> LanguageModel:
    """An object with the three methods as a language model of some pieces: pieces[i] has the id i + 3.

    Raises:
        UsageError: it lacks a method, or one is called otherwise; or it is a model of another number of tokens.
    """
    name = type(model).__name__
    if lacking := [method for method in _METHODS if not callable(getattr(model, method, None))]:
        raise UsageError(
            f"{name} has no {' and no '.join(lacking)}: a language model has score(lines, contexts, policy=), "
            "start(contexts, prefixes) and step(state, last). See textdl/protocols.py."
        )
    for method, (call, given, named) in _METHODS.items():
        try:
            inspect.signature(getattr(model, method)).bind(*given, **named)
        except TypeError as error:
            raise UsageError(f"{name}.{method} is called as {call}, and takes something else: {error}") from error
    if not isinstance(policy := getattr(model, "policy", ScorePolicy()), ScorePolicy):
        raise UsageError(f"{name}.policy is {policy!r}; expected a textdl.protocols.ScorePolicy, or none")
    size = len(SPECIALS) + len(pieces)
    own = getattr(model, "vocab_size", size)
    if own != size:
        raise UsageError(
            f"a model of {own:,} tokens and {len(pieces):,} pieces; with <unk>, <s> and </s> they are {size:,}"
        )
    return Adopted(model, size)
