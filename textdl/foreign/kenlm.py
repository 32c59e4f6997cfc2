"""KenLM's binary files (Heafield 2011), read by KenLM itself: `pip install kenlm` builds it, with a C++ compiler.

Its module says what a word costs after a state, and nothing of which words there are. They stand at the end of the
file, in the order of their numbers, each followed by a zero byte, unless it was built without them.
What comes out is what `query` prints: log10 p, here in nats.

A whole distribution takes a call for each word, so sampling is slow; scoring is not.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from textdl.encoded import BOS, EOS, Encoded
from textdl.errors import ModelError, UsageError
from textdl.protocols import Floats, Ints, ScorePolicy, State
from textdl.storage import Writer
from textdl.vocabulary import SPECIALS

MAGIC = b"mmap lm http://kheafield.com/code"
_LN10 = float(np.log(10.0))
_BLOCK = 1 << 16
_SETTINGS, _COUNTS = 88, 108
"""Where they begin in a file; the settings with one byte for the order."""


def is_kenlm(path: Path) -> bool:
    """Whether a file is one of KenLM's binary ones."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


@dataclass(frozen=True)
class KenlmState:
    """A KenLM state for each history."""

    states: list[Any]

    def select(self, rows: Ints) -> KenlmState:
        return KenlmState([self.states[i] for i in np.asarray(rows).tolist()])


class KenlmModel:
    """A KenLM model as a protocols.LanguageModel. `pieces` are its words, in textdl's numbering."""

    policy = ScorePolicy()

    def __init__(self, path: Path):
        """Raises UsageError without the module, or where it cannot read the file; ModelError for a file without words."""
        self._kenlm = _module(path)
        try:
            self._model = self._kenlm.Model(str(path))
        except (OSError, RuntimeError) as error:
            raise UsageError(f"{path}: kenlm {metadata.version('kenlm')} cannot read it: {error}") from error
        words, self._ngrams = _words(path), _counts(path)
        self.pieces = [word for word in words if word not in SPECIALS]
        self._names = ["<unk>", "<s>", "</s>", *self.pieces]
        self.vocab_size = len(self._names)

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        policy = policy or self.policy
        if contexts is not None:
            raise UsageError("An n-gram model has no source lines to look at; leave the contexts out.")
        if policy.unit != "line" or policy.window is not None or policy.stride is not None:
            raise UsageError(f"KenLM scores line by line, with all that its order takes in; `{policy}` cannot be had")
        score, names, model = self._model.BaseScore, self._names, self._model
        out: list[float] = []
        for row in range(len(lines)):
            state, after = self._kenlm.State(), self._kenlm.State()
            model.BeginSentenceWrite(state)
            for token in [*lines.line(row).tolist(), EOS][: None if policy.line_end else -1]:
                out.append(score(state, names[token], after))
                state, after = after, state
            if len(out) >= _BLOCK:
                yield np.array(out, np.float32) * np.float32(_LN10)
                out = []
        yield np.array(out, np.float32) * np.float32(_LN10)

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, KenlmState]:
        if contexts is not None:
            raise UsageError("An n-gram model has no source lines to look at; leave the contexts out.")
        states = []
        for line in [[]] if prefixes is None else [prefixes.line(i).tolist() for i in range(len(prefixes))]:
            state = self._kenlm.State()
            self._model.BeginSentenceWrite(state)
            for token in line:
                after = self._kenlm.State()
                self._model.BaseScore(state, self._names[token], after)
                state = after
            states.append(state)
        return self._distributions(states), KenlmState(states)

    def step(self, state: State, last: Ints) -> tuple[Floats, KenlmState]:
        if not isinstance(state, KenlmState):
            raise UsageError("A KenLM model was given the state of another kind of model.")
        states = []
        for before, token in zip(state.states, np.asarray(last).tolist(), strict=True):
            after = self._kenlm.State()
            self._model.BaseScore(before, self._names[token], after)
            states.append(after)
        return self._distributions(states), KenlmState(states)

    def describe(self) -> dict[str, Any]:
        return {"size": sum(self._ngrams), "order": self._model.order}

    def save(self, out: Writer) -> None:
        raise UsageError("a KenLM file is evaluated as it is; textdl does not write it")

    def _distributions(self, states: list[Any]) -> Floats:
        made, after = np.empty((len(states), self.vocab_size), np.float32), self._kenlm.State()
        for row, state in enumerate(states):
            made[row] = [self._model.BaseScore(state, name, after) for name in self._names]
        made *= np.float32(_LN10)
        made[:, BOS] = -np.inf
        return made


def _module(path: Path) -> Any:
    try:
        return import_module("kenlm")
    except ImportError as error:
        raise UsageError(
            f"{path} is a binary file of KenLM's, which its own module reads: pip install kenlm (it needs cmake and a C++ "
            "compiler). The ARPA file that it was made from needs nothing."
        ) from error


def _counts(path: Path) -> list[int]:
    """The n-grams of each order, which stand behind 88 bytes that say what the file is and 20 of settings."""
    with path.open("rb") as file:
        head = file.read(_COUNTS + 8 * 255)
    found: list[int] = np.frombuffer(head, "<u8", head[_SETTINGS], _COUNTS).tolist()
    return found


def _words(path: Path) -> list[str]:
    """The words of a file by their numbers."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = data.rfind(b"<unk>\0")
        if begin < 0 or data[-1:] != b"\0":
            raise ModelError(
                f"{path}: its words are not in it, so no text can be looked up. Build it again, without -i, or "
                "give the ARPA file."
            )
        return data[begin:-1].decode("utf-8", "surrogateescape").split("\0")
