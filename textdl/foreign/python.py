"""Any object with the three methods of protocols.LanguageModel: `score`, `start`, `step`.

Whoever has a model of their own, trained anywhere, writes these three over ids 3.. (0 to 2 are <unk>, <s> and </s>,
see encoded.py) and names the pieces; what else the protocol asks for is supplied here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from textdl.encoded import Encoded
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


class Adopted:
    """The object, with what it may lack: a vocabulary size, a policy (line by line), a description."""

    def __init__(self, model: Any, vocab_size: int):
        self._model, self._name = model, type(model).__name__
        self.vocab_size = vocab_size
        self.policy: ScorePolicy = getattr(model, "policy", ScorePolicy())

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        found = self._model.score(lines, contexts, policy=policy or self.policy)
        for some in [found] if isinstance(found, np.ndarray) else found:
            try:
                array = np.asarray(some, np.float32)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ModelError(f"{self._name}.score gave {_kind(some)} ({error}). {_ARRAYS}") from error
            if array.ndim != 1:
                raise ModelError(f"{self._name}.score gave an array of the shape {array.shape}. {_ARRAYS}")
            yield array

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, State]:
        found: tuple[Floats, State] = self._model.start(contexts, prefixes)
        return found

    def step(self, state: State, last: Ints) -> tuple[Floats, State]:
        found: tuple[Floats, State] = self._model.step(state, last)
        return found

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
