"""Every figure of one model on one text. One total, many denominators.

    closed   <unk> is one token; not a probability of the text.            ppl/token only
    excl     unknown tokens dropped from sum and count.                    ppl/token only
    open     unknown tokens spelled out (see spelling.py): a code length.  ppl/word, ppl/char, bits/char, bits/byte

Each is L divided by a count, L the total in nats in float64; perplexities of lines are never averaged.

In JSON a figure beyond every float is the string "inf", one that there is not is null; NaN never occurs.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import Encoded
from textdl.errors import CorpusError, ModelError
from textdl.evaluation.bootstrap import ratio_interval
from textdl.evaluation.score import EncodedText, Watch, score
from textdl.evaluation.text import TextCounts
from textdl.protocols import LanguageModel, Run, ScorePolicy

_CLOSE = 1e-6
"""Relative; totals of one model are that close on any machine."""


def perplexity(nats: float, count: int) -> float:
    """exp(nats / count); inf where that is beyond float64, nan-free for a count of 0."""
    if count == 0:
        return 1.0
    try:
        return math.exp(nats / count)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Result:
    """One model on one text. Totals are in nats."""

    model: str
    text: TextCounts
    tokenizer: str
    vocab_size: int
    token_key: str
    """Tokenizer and vocabulary: equal keys, equal tokens."""
    policy: ScorePolicy
    tokens: int
    """Predicted, line ends included."""
    line_ends: int
    unknown: int
    zeros: int
    """Tokens the model gave probability 0; the totals are then infinite."""
    closed: float
    excl: float
    excl_tokens: int
    open: float | None
    lossy_lines: int = 0
    lossy_example: tuple[str, str] | None = None
    unique: bool = False
    """Whether P(pieces) is P(text); otherwise `open` bounds the code length from above."""
    interval: tuple[float, float] | None = None
    """95 % of bootstrap resamples have their bits/char in here."""
    size: int | None = None
    """Parameters or n-grams."""
    bytes: int | None = None
    """On disk."""
    tokens_per_second: float | None = None
    leaked: int | None = None
    """Lines of the text that the model was trained on, of those that were looked for:"""
    leak_checked: int | None = None
    """lines of `text.LEAK_LENGTH` characters or more."""
    versions: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    """Which source lines a sequence-to-sequence model was given: sha256 and name; None: it saw the text alone."""
    unit_nats: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    """(units,) open total of each unit of the bootstrap (see `bootstrap.units`): what paired tests are made of."""
    unit_characters: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

    @property
    def context(self) -> str:
        """What a token was predicted from, for a person."""
        return str(self.policy) + (", given the source" if self.source else "")

    @property
    def unknown_rate(self) -> float:
        """Of the tokens, line ends not counted."""
        return self.unknown / max(self.tokens - self.line_ends, 1)

    @property
    def ppl_token(self) -> float:
        return perplexity(self.closed, self.tokens)

    @property
    def excl_ppl_token(self) -> float:
        return perplexity(self.excl, self.excl_tokens)

    @property
    def ppl_word(self) -> float | None:
        return None if self.open is None else perplexity(self.open, self.text.words)

    @property
    def ppl_char(self) -> float | None:
        return None if self.open is None else perplexity(self.open, self.text.characters)

    @property
    def bits_per_char(self) -> float | None:
        return None if self.open is None else self.open / (self.text.characters * math.log(2))

    @property
    def bits_per_byte(self) -> float | None:
        return None if self.open is None else self.open / (self.text.bytes * math.log(2))

    def to_dict(self) -> dict[str, Any]:
        """The entry under "models", without the text."""
        return {
            "model": self.model,
            "tokens": self.tokens,
            "line_ends": self.line_ends,
            "unknown": {"tokens": self.unknown, "rate": self.unknown_rate},
            "zero_probability": self.zeros,
            "closed": {"nats": out(self.closed), "ppl_token": out(self.ppl_token) if self.tokens else None},
            "excl": {
                "nats": out(self.excl),
                "tokens": self.excl_tokens,
                "ppl_token": out(self.excl_ppl_token) if self.excl_tokens else None,
            },
            "open": {
                "nats": out(self.open),
                "ppl_word": out(self.ppl_word),
                "ppl_char": out(self.ppl_char),
                "bits_per_char": out(self.bits_per_char),
                "bits_per_char_interval": None if self.interval is None else list(self.interval),
                "bits_per_byte": out(self.bits_per_byte),
                "upper_bound": not self.unique,
            },
            "lossy": {
                "lines": self.lossy_lines,
                "example": None if self.lossy_example is None else list(self.lossy_example),
            },
            "policy": asdict(self.policy),
            "source": self.source,
            "tokenizer": self.tokenizer,
            "vocab_size": self.vocab_size,
            "keys": {"text": self.text.key, "token": self.token_key},
            "size": self.size,
            "bytes": self.bytes,
            "tokens_per_second": self.tokens_per_second,
            "leaked_lines": self.leaked,
            "leak_checked_lines": self.leak_checked,
            "versions": self.versions,
            "units": None
            if self.unit_nats is None or self.unit_characters is None
            else {
                "nats": [out(x) for x in self.unit_nats.tolist()],
                "characters": self.unit_characters.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], text: TextCounts) -> Result:
        """Raises ModelError where it is not what `to_dict` gives, or its figures contradict one another."""
        try:
            interval, example = values["open"]["bits_per_char_interval"], values["lossy"]["example"]
            opened, units = values["open"]["nats"], values["units"]
            found = cls(
                model=_text(values["model"]),
                text=text,
                tokenizer=_text(values["tokenizer"]),
                vocab_size=_count(values["vocab_size"]),
                token_key=_text(values["keys"]["token"]),
                policy=ScorePolicy(**values["policy"]),
                source=None if values["source"] is None else _text(values["source"]),
                tokens=_count(values["tokens"]),
                line_ends=_count(values["line_ends"]),
                unknown=_count(values["unknown"]["tokens"]),
                zeros=_count(values["zero_probability"]),
                closed=_nats(values["closed"]["nats"]),
                excl=_nats(values["excl"]["nats"]),
                excl_tokens=_count(values["excl"]["tokens"]),
                open=None if opened is None else _nats(opened),
                lossy_lines=_count(values["lossy"]["lines"]),
                lossy_example=None if example is None else (_text(example[0]), _text(example[1])),
                unique=not values["open"]["upper_bound"],
                interval=None if interval is None else (float(interval[0]), float(interval[1])),
                size=None if values["size"] is None else _count(values["size"]),
                bytes=None if values["bytes"] is None else _count(values["bytes"]),
                tokens_per_second=None if (speed := values["tokens_per_second"]) is None else float(speed),
                leaked=None if values["leaked_lines"] is None else _count(values["leaked_lines"]),
                leak_checked=None if values["leak_checked_lines"] is None else _count(values["leak_checked_lines"]),
                versions={_text(name): _text(version) for name, version in values["versions"].items()},
                unit_nats=None if units is None else np.array(units["nats"], np.float64),
                unit_characters=None if units is None else np.array(units["characters"], np.int64),
            )
            wrong = found._contradiction()
            if wrong is None:
                derived = {name: value for name, value in found.to_dict().items() if name != "units"}
                wrong = _differs("", values, derived)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise ModelError(f"these are not results of `textdl eval --json` ({error!r}). Evaluate again.") from error
        if wrong is not None:
            raise ModelError(f"the results of {found.model} were changed or cut off: {wrong}. Evaluate again.")
        return found

    def _contradiction(self) -> str | None:
        """What cannot be in a result that was read from a file; None where all goes together."""
        text = self.text
        if self.line_ends != (text.lines if self.policy.line_end else 0):
            return f"{self.line_ends:,} line ends were counted of {text.lines:,} lines"
        if self.unknown + self.excl_tokens != self.tokens or not self.line_ends <= self.excl_tokens:
            return f"{self.unknown:,} unknown and {self.excl_tokens:,} other tokens are not {self.tokens:,}"
        if self.zeros > self.tokens or (self.zeros > 0) != math.isinf(self.closed):
            return f"{self.zeros:,} tokens of probability 0 and a total of {self.closed:g} nats"
        if self.interval is not None and not self.interval[0] <= self.interval[1]:
            return f"its bits/char are between {self.interval[0]:g} and {self.interval[1]:g}"
        if self.lossy_lines > text.lines:
            return f"{self.lossy_lines:,} of {text.lines:,} lines do not come back"
        if self.open is None:
            return None if self.unknown or not self.line_ends else "there is no open total, and nothing is unknown"
        if self.excl > self.closed * (1 + _CLOSE) or self.closed > self.open * (1 + _CLOSE):
            return f"excl {self.excl:g}, closed {self.closed:g} and open {self.open:g} nats do not rise"
        if self.unit_nats is not None and self.unit_characters is not None:
            shape, total = self.unit_nats.shape, float(self.unit_nats.sum())
            if self.unit_characters.shape != shape or int(self.unit_characters.sum()) != text.characters:
                return f"its units do not have the {text.characters:,} characters of the text"
            if len(shape) != 1 or not math.isclose(total, self.open, rel_tol=_CLOSE, abs_tol=_CLOSE * max(shape)):
                return f"its units have {total:g} nats and the text {self.open:g}"
        return None


def _differs(name: str, said: Any, computed: Any) -> str | None:
    """What a file says that does not follow from its totals, up to rounding; None where all does."""
    if isinstance(computed, dict):
        parts = (_differs(f"{name} {key}".lstrip(), said[key], value) for key, value in computed.items())
        return next((part for part in parts if part is not None), None)
    if isinstance(computed, float) and isinstance(said, int | float) and math.isclose(said, computed, rel_tol=_CLOSE):
        return None
    return None if said == computed else f"{name} is {said!r}, and {computed!r} by its totals and counts"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _nats(value: Any) -> float:
    """A total as it is in JSON, where one beyond every float is "inf"."""
    number = math.inf if value == "inf" else value
    if not isinstance(number, int | float) or isinstance(number, bool) or not number >= -_CLOSE:
        raise ValueError(f"{value!r} is no total of surprisals")
    return float(number)


def measure(
    model: LanguageModel,
    text: EncodedText,
    counts: TextCounts,
    *,
    name: str,
    policy: ScorePolicy | None = None,
    contexts: Encoded | None = None,
    source: str | None = None,
    bytes_on_disk: int | None = None,
    leaked: int | None = None,
    leak_checked: int | None = None,
    watch: Watch | None = None,
    run: Run | None = None,
) -> Result:
    """Every figure of one model on one text that is encoded already.

    Args:
        policy: None: the model's own.
        contexts: the source lines of a sequence-to-sequence model; `source` names them.
        bytes_on_disk, leaked, leak_checked: passed through into the result.
        watch: sees all that is scored.

    Raises:
        CorpusError: other lines than those counted.
        UsageError, ModelError: see `score`.
    """
    if len(text.lines) != counts.lines or int(text.characters.sum()) != counts.characters:
        raise CorpusError(
            f"The text had {counts.lines:,} lines and {counts.characters:,} characters when it was counted, and now "
            f"{len(text.lines):,} and {int(text.characters.sum()):,}. Give a path or a list: it is read more than once."
        )
    policy = settled(policy, model)
    totals = score(model, text, policy=policy, contexts=contexts, watch=watch, run=run)
    interval = None
    if totals.open_units is not None:
        interval = ratio_interval(totals.open_units / math.log(2), text.characters)
    size = model.describe().get("size")
    return Result(
        model=name,
        text=counts,
        tokenizer=text.tokenizer,
        vocab_size=text.lines.vocab_size,
        token_key=text.token_key,
        policy=policy,
        source=source,
        tokens=totals.tokens,
        line_ends=totals.line_ends,
        unknown=text.unknown,
        zeros=totals.zeros,
        closed=totals.closed,
        excl=totals.excl,
        excl_tokens=totals.excl_tokens,
        open=totals.open,
        lossy_lines=text.lossy_lines,
        lossy_example=text.lossy_example,
        unique=text.unique,
        interval=interval,
        size=None if size is None else int(size),
        bytes=bytes_on_disk,
        tokens_per_second=totals.tokens / totals.seconds if totals.seconds > 0 else None,
        leaked=leaked,
        leak_checked=leak_checked,
        versions=_versions(),
        unit_nats=totals.open_units,
        unit_characters=text.characters,
    )


def settled(policy: ScorePolicy | None, model: LanguageModel) -> ScorePolicy:
    """The policy with what it leaves open filled in, so that a result says what was done.

    The window is the model's own where it has one, the stride half of another window (see layers/windows.py).
    """
    if policy is None:
        return model.policy
    window = model.policy.window if policy.window is None else policy.window
    if window is None or model.policy.window is None:
        return policy
    own = model.policy.stride if window == model.policy.window else None
    stride = policy.stride if policy.stride is not None else own or max(1, window // 2)
    return replace(policy, window=window, stride=stride)


def to_document(results: Sequence[Result], baselines: Sequence[Result] = ()) -> dict[str, Any]:
    """The object that `textdl eval --json` writes: results of one text."""
    first = [*results, *baselines][0]
    assert all(r.text.key == first.text.key for r in [*results, *baselines]), "one document, one text"
    return {
        "text": first.text.to_dict(),
        "models": [result.to_dict() for result in results],
        "baselines": [result.to_dict() for result in baselines],
    }


def from_document(document: Any) -> list[Result]:
    """The results under "models" of what `to_document` gave.

    Raises:
        ModelError: it is something else.
    """
    if not isinstance(document, dict) or not isinstance(document.get("text"), dict):
        raise ModelError('these are not results of `textdl eval --json`: there is no "text". Evaluate again.')
    text = TextCounts.from_dict(document["text"])
    models = document.get("models")
    if not isinstance(models, list) or not models:
        raise ModelError('these are not results of `textdl eval --json`: there are no "models". Evaluate again.')
    return [Result.from_dict(values, text) for values in models]


def out(value: float | None) -> float | str | None:
    """A figure as JSON can hold it."""
    return "inf" if value is not None and math.isinf(value) else value


def _versions() -> dict[str, str]:
    try:
        own = metadata.version("textdl")
    except metadata.PackageNotFoundError:
        own = "unknown"
    return {"textdl": own, "numpy": np.__version__, "python": platform.python_version()}
