"""The contracts between the layers, on one screen. Read this page first.

Text becomes ids and ids become numbers, in one direction:

    corpus -> Tokenizer -> vocabulary -> Encoded -> a model -> evaluation | generation

Every language model, from a bigram to a Transformer, is a `LanguageModel`: evaluation, sampling and
beam search are written once, against this page, and import no model family and no torch.

Letters used for shapes: B rows of a batch, V vocabulary size (specials included), D dimensions.
All logarithms are natural; all arrays are numpy float32 unless said otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from textdl.checkpoint import Checkpoint
from textdl.encoded import Encoded
from textdl.errors import UsageError
from textdl.storage import Writer
from textdl.vocabulary import Vocabulary

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@runtime_checkable
class Tokenizer(Protocol):
    """Text to pieces and back. Pieces are non-empty strings of text, never specials."""

    spec: str
    """What a user types to get it: `jieba`, `word,lower=yes`, `sp:zh.model`."""
    lossless: bool
    """True when decode(encode(line)) == line for every line, by construction."""
    single_code_points: bool
    """Whether every piece is one Unicode code point, so that no spelling needs an end."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that changes the pieces: options, dictionaries, versions."""

    @property
    def inventory(self) -> Sequence[str] | None:
        """All pieces there can be, in id order (SentencePiece), or None where text decides."""

    @property
    def overlapping(self) -> bool:
        """Whether pieces share characters, so that a line cannot be put together from them."""

    def encode(self, line: str) -> list[str]: ...

    def iterate(self, line: str) -> Iterator[str]:
        """The same pieces one after the other: a line of any length in bounded memory."""

    def normalized(self, line: str) -> str:
        """The text that is cut into pieces; where it is not the line itself, something is lost."""

    def encode_lines(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The same as `encode` on each line, in order; may work in batches."""

    def sampled(self, lines: Iterable[str], *, alpha: float, seed: int) -> Iterator[list[str]]:
        """A segmentation of each line drawn at random. Raises UsageError where there is only one."""

    def decode(self, pieces: Sequence[str]) -> str: ...

    def save(self, out: Writer) -> None:
        """Write `tokenizer/config.json` and whatever files it needs beside it."""


@dataclass(frozen=True)
class ScorePolicy:
    """How much context a token is predicted from. A value, printed with every result."""

    unit: Literal["line", "stream"] = "line"
    """`line`: state is reset at every line; `stream`: carried from each line into the next."""
    window: int | None = None
    """Tokens of context at most; None: as many as the model takes."""
    stride: int | None = None
    """Tokens scored per window; None: the model's own choice."""
    line_end: bool = True
    """Whether the line end is predicted and counted as a token."""

    def __post_init__(self) -> None:
        if self.unit not in ("line", "stream"):
            raise UsageError(f"the unit of a score policy is {self.unit!r}; expected 'line' or 'stream'")
        for name, value in (("window", self.window), ("stride", self.stride)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(
                    f"the {name} of a score policy is {value!r}; expected a whole number from 1 up, or None"
                )
        if not isinstance(self.line_end, bool):
            raise UsageError(f"line_end of a score policy is {self.line_end!r}; expected True or False")

    def __str__(self) -> str:
        parts: list[str] = [self.unit]
        parts += [f"window {self.window}"] if self.window is not None else []
        parts += [f"stride {self.stride}"] if self.stride is not None else []
        return ", ".join(parts + ([] if self.line_end else ["no line end"]))


class State(Protocol):
    """What a model remembers of B histories. Opaque but for `select`."""

    def select(self, rows: Ints) -> State:
        """A state of len(rows) histories: row i continues rows[i]; rows may repeat or be dropped."""


@runtime_checkable
class LanguageModel(Protocol):
    """Ids in, log-probabilities out."""

    vocab_size: int
    policy: ScorePolicy
    """The policy the model was trained for, used when none is given."""

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        """Flat arrays that, joined, hold one log-probability per token and one for each line end.

        In file order; each predicted exactly once. The caller sums in float64. How rows are batched
        is the model's own business and changes a total by less than 1e-6 of it.

        Raises:
            UsageError: the model cannot follow `policy`, or needs contexts and has none.
        """

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, State]:
        """(B, V) log-probabilities of the first token after each prefix, and the state there.

        B is the number of lines of contexts or prefixes; 1 where both are None.
        The rows sum to 1; `<s>` is -inf. The array belongs to the caller.
        """

    def step(self, state: State, last: Ints) -> tuple[Floats, State]:
        """(B, V) log-probabilities after each row has been continued with last (B,). Uses up `state`."""

    def describe(self) -> dict[str, Any]:
        """Figures for a person: at least `size`, the number of parameters or n-grams."""

    def save(self, out: Writer) -> None: ...


@dataclass(frozen=True)
class Candidates:
    """Of what may come after B histories, as much as a beam looks at."""

    tokens: Ints
    """(B, K) the most probable ids, specials left out, best first, of equal ones the first."""
    log_probs: Floats
    """(B, K) of these; -inf where there are fewer, whose tokens mean nothing."""
    ends: Floats
    """(B,) the log-probability of the line end."""


@runtime_checkable
class Ranking(LanguageModel, Protocol):
    """A language model that finds the best tokens sooner than all log-probabilities."""

    def start_best(
        self, number: int, contexts: Encoded | None = None, prefixes: Encoded | None = None
    ) -> tuple[Candidates, State]:
        """As `start`, the `number` best of each row."""

    def step_best(self, number: int, state: State, last: Ints) -> tuple[Candidates, State]:
        """As `step`, the `number` best of each row. Uses up `state`."""


@runtime_checkable
class WordVectors(Protocol):
    """A vector for every word. Not a language model, and not forced to be one."""

    vocab: Vocabulary
    vectors: Floats
    """(V, D), float32 or float16; the rows of specials are zero."""
    explain: Callable[[str], str | None] | None
    """What else to say of an unknown word; whoever has the tokenizer sets it."""

    def lookup(self, word: str) -> int:
        """The id of a word. Raises UnknownWordError with what is spelled alike."""

    def frequent(self, among: int | None = None, min_count: int = 0) -> NDArray[np.bool_] | None:
        """(V,) the `among` most frequent words that were seen `min_count` times; None: all words."""

    def units(self, ids: Ints) -> NDArray[np.float64]:
        """(..., D) the vectors of some words at length 1."""

    def nearest_of_many(
        self,
        queries: NDArray[Any],
        k: int,
        excludes: Sequence[Sequence[int]],
        *,
        among: NDArray[np.bool_] | None = None,
    ) -> list[list[tuple[int, float]]]:
        """For each of queries (Q, D) the k ids of greatest cosine, best first, without those excluded."""

    def similarity(self, a: int, b: int) -> float: ...

    def analogies(
        self, questions: Ints, k: int, method: Literal["add", "mul"] = "add", *, among: NDArray[np.bool_] | None = None
    ) -> list[list[tuple[int, float]]]:
        """For each row a, b, c of questions (Q, 3) the k ids d that best complete `a is to b as c is to d`."""


class TrainingData(Protocol):
    """What `fit` trains on. An `Encoded` is one whose epochs are all alike."""

    @property
    def vocab_size(self) -> int: ...

    def epoch(self, number: int) -> Encoded:
        """The corpus as epoch `number` sees it: a fresh seeded segmentation, where there is one."""


@dataclass
class Run:
    """What a family needs from, and tells, the outside while it trains. This one is silent.

    `fit(data, config, *, valid=None, run=Run())` is the one signature of every family.
    """

    seed: int = 1
    deadline: float | None = None
    """`time.monotonic()` at which training must have ended, or None."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by stage: tokenizer, vocabulary, encoding, compile, training, ..."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What the family wants kept in the card: final losses, discounts, steps, tokens per second."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the user, printed after training and kept in the card."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """The training curve: one record an epoch or a validation; becomes log.jsonl."""
    rank: int = 0
    """Which of the processes this is that train one model together; 0 prints and saves."""
    ranks: int = 1
    """How many there are."""
    checkpoint: Checkpoint | None = None
    """Where the state of training is kept after every epoch, and what to go on from, for families that can."""
    interrupted: bool = False
    """Set by `fit` when Ctrl-C ended training early and the model so far is returned."""
    failed: bool = False
    """Set by `fit` when training broke down and the last good model is returned."""

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def progress(self, stage: str, done: float, total: float | None, unit: str, text: str = "") -> None:
        """Called often while something long goes on. `text`: a loss, a learning rate."""

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def show(self, sentence: str) -> None:
        """Something to look at now, such as what a model makes of an example. It is not kept."""

    def record(self, **values: Any) -> None:
        self.curve.append(values)
