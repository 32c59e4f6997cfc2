"""Any object with the three methods of protocols.LanguageModel: `score`, `start`, `step`.

Whoever has a model of their own, trained anywhere, writes these three over ids 3.. (0 to 2 are <unk>, <s> and </s>,
see encoded.py) and names the pieces; what else the protocol asks for is supplied here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from textdl.encoded import Encoded
from textdl.errors import UsageError
from textdl.protocols import Floats, Ints, LanguageModel, ScorePolicy, State
from textdl.storage import Writer
from textdl.vocabulary import SPECIALS

_METHODS = ("score", "start", "step")


class Adopted:
    """The object, with what it may lack: a vocabulary size, a policy (line by line), a description."""

    def __init__(self, model: Any, vocab_size: int):
        self._model = model
        self.vocab_size = vocab_size
        self.policy: ScorePolicy = getattr(model, "policy", ScorePolicy())
        self._score: Callable[..., Iterator[Floats]] = model.score

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        yield from self._score(lines, contexts, policy=policy or self.policy)

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


def adopted(model: Any, pieces: Sequence[str]) -> LanguageModel:
    """An object with the three methods as a language model of some pieces: pieces[i] has the id i + 3.

    Raises:
        UsageError: it lacks a method, or is a model of another number of tokens.
    """
    if lacking := [name for name in _METHODS if not callable(getattr(model, name, None))]:
        raise UsageError(
            f"{type(model).__name__} has no {' and no '.join(lacking)}: a language model has score(lines, contexts, "
            "policy=), start(contexts, prefixes) and step(state, last). See textdl/protocols.py."
        )
    size = len(SPECIALS) + len(pieces)
    own = getattr(model, "vocab_size", size)
    if own != size:
        raise UsageError(
            f"a model of {own:,} tokens and {len(pieces):,} pieces; with <unk>, <s> and </s> they are {size:,}"
        )
    return Adopted(model, size)
