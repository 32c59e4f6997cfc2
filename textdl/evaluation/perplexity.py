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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import Encoded
from textdl.errors import CorpusError, ModelError
from textdl.evaluation.bootstrap import ratio_interval
from textdl.evaluation.score import EncodedText, encoded_text, score
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import TextCounts
from textdl.protocols import LanguageModel, Run, ScorePolicy, Tokenizer
from textdl.vocabulary import Vocabulary


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
    """One model on one text. Totals are in nats; what JSON does not carry is left out of comparisons of results."""

    model: str
    text: TextCounts
    tokenizer: str
    vocab_size: int
    token_key: str
    """Tokenizer and vocabulary: equal keys, equal tokens."""
    policy: str
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
    line_nats: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    """(lines,) open total of each; not in JSON."""
    line_characters: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

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
            "closed": {"nats": _out(self.closed), "ppl_token": _out(self.ppl_token)},
            "excl": {
                "nats": _out(self.excl),
                "tokens": self.excl_tokens,
                "ppl_token": _out(self.excl_ppl_token),
            },
            "open": {
                "nats": _out(self.open),
                "ppl_word": _out(self.ppl_word),
                "ppl_char": _out(self.ppl_char),
                "bits_per_char": _out(self.bits_per_char),
                "bits_per_char_interval": None if self.interval is None else list(self.interval),
                "bits_per_byte": _out(self.bits_per_byte),
                "upper_bound": not self.unique,
            },
            "lossy": {
                "lines": self.lossy_lines,
                "example": None if self.lossy_example is None else list(self.lossy_example),
            },
            "policy": self.policy,
            "tokenizer": self.tokenizer,
            "vocab_size": self.vocab_size,
            "keys": {"text": self.text.key, "token": self.token_key},
            "size": self.size,
            "bytes": self.bytes,
            "tokens_per_second": self.tokens_per_second,
            "leaked_lines": self.leaked,
            "leak_checked_lines": self.leak_checked,
            "versions": self.versions,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], text: TextCounts) -> Result:
        """Raises ModelError where it is not what `to_dict` gives."""
        try:
            interval, example = values["open"]["bits_per_char_interval"], values["lossy"]["example"]
            opened = values["open"]["nats"]
            return cls(
                model=values["model"],
                text=text,
                tokenizer=values["tokenizer"],
                vocab_size=values["vocab_size"],
                token_key=values["keys"]["token"],
                policy=values["policy"],
                tokens=values["tokens"],
                line_ends=values["line_ends"],
                unknown=values["unknown"]["tokens"],
                zeros=values["zero_probability"],
                closed=float(values["closed"]["nats"]),
                excl=float(values["excl"]["nats"]),
                excl_tokens=values["excl"]["tokens"],
                open=None if opened is None else float(opened),
                lossy_lines=values["lossy"]["lines"],
                lossy_example=None if example is None else (example[0], example[1]),
                unique=not values["open"]["upper_bound"],
                interval=None if interval is None else (interval[0], interval[1]),
                size=values["size"],
                bytes=values["bytes"],
                tokens_per_second=values["tokens_per_second"],
                leaked=values["leaked_lines"],
                leak_checked=values["leak_checked_lines"],
                versions=values["versions"],
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelError(f"these are not results of `textdl eval --json` ({error!r}). Evaluate again.") from error


def evaluate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    vocab: Vocabulary,
    speller: Speller | None,
    lines: Iterable[str],
    counts: TextCounts,
    *,
    policy: ScorePolicy | None = None,
    contexts: Encoded | None = None,
    name: str,
    bytes_on_disk: int | None = None,
    leaked: int | None = None,
    leak_checked: int | None = None,
    run: Run | None = None,
) -> Result:
    """One model on one raw text.

    Args:
        speller: None where the tokenizer knows every text, so that nothing is unknown.
        lines: the text that `counts` was made of: a list, or anything that can be read again.
        contexts: the source lines of a seq2seq model.
        bytes_on_disk, leaked, leak_checked: passed through into the result.

    Raises:
        CorpusError: no lines, or other lines than those counted.
        UsageError, ModelError: see `score`.
    """
    with encoded_text(tokenizer, vocab, speller, lines, run) as text:
        return measure(
            model,
            text,
            counts,
            policy=policy,
            contexts=contexts,
            name=name,
            bytes_on_disk=bytes_on_disk,
            leaked=leaked,
            leak_checked=leak_checked,
            run=run,
        )


def measure(
    model: LanguageModel,
    text: EncodedText,
    counts: TextCounts,
    *,
    policy: ScorePolicy | None = None,
    contexts: Encoded | None = None,
    name: str,
    bytes_on_disk: int | None = None,
    leaked: int | None = None,
    leak_checked: int | None = None,
    run: Run | None = None,
) -> Result:
    """`evaluate` on a text that is encoded already: for baselines, and models that share a vocabulary."""
    if len(text.lines) != counts.lines or int(text.characters.sum()) != counts.characters:
        raise CorpusError(
            f"The text had {counts.lines:,} lines and {counts.characters:,} characters when it was counted, and now "
            f"{len(text.lines):,} and {int(text.characters.sum()):,}. Give a path or a list: it is read more than once."
        )
    totals = score(model, text, policy=policy, contexts=contexts, run=run)
    interval = None
    if totals.open_lines is not None:
        interval = ratio_interval(totals.open_lines / math.log(2), text.characters)
    size = model.describe().get("size")
    return Result(
        model=name,
        text=counts,
        tokenizer=text.tokenizer,
        vocab_size=text.lines.vocab_size,
        token_key=text.token_key,
        policy=str(policy or model.policy),
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
        line_nats=totals.open_lines,
        line_characters=text.characters,
    )


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
    """The results under "models" of what `to_document` gave; without their per-line totals.

    Raises:
        ModelError: it is something else.
    """
    if not isinstance(document, dict) or not isinstance(document.get("text"), dict):
        raise ModelError('these are not results of `textdl eval --json`: there is no "text". Evaluate again.')
    text = TextCounts.from_dict(document["text"])
    return [Result.from_dict(values, text) for values in document.get("models", [])]


def _out(value: float | None) -> float | str | None:
    """A figure as JSON can hold it."""
    return "inf" if value is not None and math.isinf(value) else value


def _versions() -> dict[str, str]:
    try:
        own = metadata.version("textdl")
    except metadata.PackageNotFoundError:
        own = "unknown"
    return {"textdl": own, "numpy": np.__version__, "python": platform.python_version()}
