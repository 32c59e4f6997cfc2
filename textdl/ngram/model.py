"""A back-off n-gram model behind the `LanguageModel` protocol.

p(w | h) is that of the longest n-gram h'w that is in the trie, times the back-off weights of the
longer contexts that were passed over (Katz's form; an interpolated model is written in it, too).
The state of a history is one number: the node of the longest context in the trie. What is said of
the storage is in trie.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, Encoded
from textdl.errors import ModelError, UsageError
from textdl.ngram import kernels
from textdl.ngram.kneser_ney import Discounts
from textdl.ngram.trie import Trie
from textdl.protocols import Floats, Ints, ScorePolicy, State
from textdl.storage import Reader, Writer

_CHUNK = 1 << 18
"""Tokens a kernel call and a yielded array."""


@dataclass(frozen=True)
class NgramState:
    """nodes: (B,) the longest context in the trie of each history."""

    nodes: NDArray[np.int32]

    def select(self, rows: Ints) -> NgramState:
        return NgramState(self.nodes[np.asarray(rows, np.int64)])


class NgramModel:
    """Made by `fit` or `load`."""

    policy = ScorePolicy("line")

    def __init__(
        self, trie: Trie, logp: Floats, backoff: Floats, *, smoothing: str, discounts: tuple[Discounts, ...] = ()
    ):
        """logp: (nodes,), -inf for <s>; backoff: (contexts,). Both logs are natural."""
        self.trie = trie
        self.order, self.vocab_size = trie.order, trie.vocab_size
        self.logp, self.backoff = logp, backoff
        self.smoothing, self.discounts = smoothing, discounts
        self._bos = 1 + BOS if self.order > 1 else 0  # the context of a line's first word
        self._shape = (_fixed(trie.word), _fixed(trie.first), _fixed(trie.suffix))
        self._arrays = (*self._shape, _fixed(logp), _fixed(backoff))

    # --- LanguageModel

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        """See the protocol.

        Raises:
            UsageError: a policy other than line by line with a window of at least order - 1, contexts,
                or lines of another vocabulary.
        """
        _no_contexts(contexts)
        line_end = self._check(policy or self.policy)
        self._check_vocabulary(lines)
        return (logs for logs, _ in self._scored(lines, line_end))

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, State]:
        _no_contexts(contexts)
        if prefixes is None:
            prefixes = Encoded.from_lines([[]], self.vocab_size)
        self._check_vocabulary(prefixes)
        beginnings = NgramState(np.full(len(prefixes), self._bos, np.int32))
        return self._continue(beginnings, prefixes.ids, prefixes.offsets)

    def step(self, state: State, last: Ints) -> tuple[Floats, State]:
        if not isinstance(state, NgramState):
            raise UsageError("An n-gram model was given the state of another kind of model.")
        ids = np.asarray(last)
        if ids.shape != state.nodes.shape or (ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size):
            raise UsageError(
                f"step() wants an id below {self.vocab_size} for each of {len(state.nodes)} histories, got {ids!r}."
            )
        return self._continue(state, ids, np.arange(len(ids) + 1))

    def describe(self) -> dict[str, Any]:
        """size: all n-grams; ngrams: by order; discounts: by order; fallback: orders with substitute discounts."""
        return {
            "size": sum(self.trie.sizes),
            "order": self.order,
            "ngrams": self.trie.sizes,
            "smoothing": self.smoothing,
            "discounts": [list(d.values) for d in self.discounts],
            "fallback": [n for n, d in enumerate(self.discounts, 1) if d.missing],
        }

    def save(self, out: Writer) -> None:
        out.json("ngram/config.json", {
            "starts": self.trie.starts,
            "smoothing": self.smoothing,
            "discounts": [asdict(d) for d in self.discounts],
        })  # fmt: skip
        out.array("ngram/word.npy", self.trie.word)
        out.array("ngram/first.npy", self.trie.first)
        out.array("ngram/suffix.npy", self.trie.suffix)
        out.array("ngram/logp.npy", self.logp)
        out.array("ngram/backoff.npy", self.backoff)

    # --- beyond the protocol

    def explain(self, lines: Encoded, *, line_end: bool = True) -> Iterator[tuple[Floats, NDArray[np.int8]]]:
        """What `score` yields, with the length of the n-gram that each was found as (1: a unigram)."""
        self._check_vocabulary(lines)
        for logs, nodes in self._scored(lines, line_end):
            yield logs, self.trie.orders(nodes)

    # --- inside

    def _scored(self, lines: Encoded, line_end: bool) -> Iterator[tuple[Floats, NDArray[np.int32]]]:
        cursor = np.array([0, 0, self._bos], np.int64)
        ids, offsets = _fixed(lines.ids, np.int32), _fixed(lines.offsets, np.int64)
        left = lines.tokens + len(lines) * line_end
        while left:
            size = min(left, _CHUNK)
            logs, nodes = np.empty(size, np.float32), np.empty(size, np.int32)
            made = kernels.score(*self._arrays, ids, offsets, cursor, line_end, logs, nodes)
            assert made == size, "a text that ends before its last offset"
            left -= made
            yield logs, nodes

    def _continue(self, state: NgramState, ids: NDArray[Any], offsets: NDArray[Any]) -> tuple[Floats, NgramState]:
        nodes = np.empty(len(state.nodes), np.int32)
        kernels.advance(
            *self._shape,
            len(self.backoff),
            _fixed(state.nodes),
            _fixed(ids, np.int32),
            _fixed(offsets, np.int64),
            nodes,
        )
        rows = np.empty((len(nodes), self.vocab_size), np.float32)
        kernels.distributions(*self._arrays, _fixed(nodes), np.empty(self.order, np.int32), rows)
        return rows, NgramState(nodes)

    def _check(self, policy: ScorePolicy) -> bool:
        if policy.unit != "line":
            raise UsageError(
                f"An n-gram model resets at each line; it cannot carry its context from line to line ({policy}). "
                "Score it by line."
            )
        if policy.window is not None and policy.window < self.order - 1:
            raise UsageError(
                f"A {self.order}-gram model always looks at {self.order - 1} words and resets at each line; "
                f"a window of {policy.window} cannot be had. Train a model of --order {policy.window + 1} instead."
            )
        return policy.line_end

    def _check_vocabulary(self, lines: Encoded) -> None:
        if lines.vocab_size != self.vocab_size:
            raise UsageError(
                f"Ids of a vocabulary of {lines.vocab_size} were given to a model with one of {self.vocab_size}. "
                "Encode the text with the model's own vocabulary."
            )


def load(reader: Reader) -> NgramModel:
    """Open a saved model; the arrays are memory maps.

    Raises:
        ModelError: files are missing or do not belong together.
    """
    config = reader.json("ngram/config.json")
    try:
        trie = Trie(
            starts=tuple(int(s) for s in config["starts"]),
            word=reader.array("ngram/word.npy"),
            first=reader.array("ngram/first.npy"),
            suffix=reader.array("ngram/suffix.npy"),
        )
        logp, backoff = reader.array("ngram/logp.npy"), reader.array("ngram/backoff.npy")
        found = tuple(Discounts(tuple(d["values"]), d["missing"]) for d in config["discounts"])
        smoothing = str(config["smoothing"])
        nodes, contexts = trie.starts[-1], trie.starts[-2]
        expected = {
            "word": (trie.word, np.int32, nodes),
            "first": (trie.first, np.int32, contexts + 1),
            "suffix": (trie.suffix, np.int32, nodes),
            "logp": (logp, np.float32, nodes),
            "backoff": (backoff, np.float32, contexts),
        }
        wrong = [n for n, (a, dtype, size) in expected.items() if a.dtype != dtype or a.shape != (size,)]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(
            f"{reader.path('ngram/config.json')} does not describe an n-gram model ({error!r}). Train it again."
        ) from error
    if wrong:
        raise ModelError(
            f"{reader.path(f'ngram/{wrong[0]}.npy')} does not belong to its config.json: it has another length or "
            "type. Copy the model again or train it again."
        )
    return NgramModel(trie, logp, backoff, smoothing=smoothing, discounts=found)


def _fixed(array: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
    """A read-only view of plain array type, so that trained and mapped models share compiled kernels."""
    view = np.ascontiguousarray(array, dtype).view(np.ndarray)
    view.flags.writeable = False
    return view


def _no_contexts(contexts: Encoded | None) -> None:
    if contexts is not None:
        raise UsageError("An n-gram model has no source lines to look at; leave the contexts out.")
