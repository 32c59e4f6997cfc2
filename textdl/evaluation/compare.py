"""Which figures may be held against each other, and the ranking of those that may.

The text key equal and every model lossless on that text: bits/char, bits/byte and ppl/char compare,
through the open total. The token key (tokenizer and vocabulary) equal as well: ppl/token compares, and
there a lossy tokenizer does no harm, since all lose the same. Everything else is refused with the
reason. How much context a model was given is labelled, never a bar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from textdl.errors import NotComparableError, UsageError
from textdl.evaluation.bootstrap import ratio_interval
from textdl.evaluation.perplexity import Result
from textdl.evaluation.text import LEAK_LENGTH

Unit = Literal["bits/char", "ppl/token"]
_ROUNDING = 1e-6
"""Of a total: what float32 and another batch or machine make of it."""


@dataclass(frozen=True)
class Place:
    """A model in a ranking."""

    result: Result
    value: float
    difference: float
    """From the best, in the ranking's unit."""
    interval: tuple[float, float] | None = None
    """95 % of paired resamples have their difference in bits/char in here; None without per-line totals."""

    @property
    def settled(self) -> bool | None:
        """Whether the interval leaves out 0, and what is 0 but for rounding; None where there is none."""
        if self.interval is None:
            return None
        near = _ROUNDING * self.value
        return not (self.interval[0] <= near and self.interval[1] >= -near)


@dataclass(frozen=True)
class Ranking:
    """Models in falling order of merit, on one text, by one figure."""

    unit: Unit
    places: list[Place]


@dataclass(frozen=True)
class Comparison:
    """At least one ranking."""

    rankings: list[Ranking]
    refusals: list[str] = field(default_factory=list)
    """Sentences: what is not compared, and why."""
    labels: list[str] = field(default_factory=list)
    """Sentences: what differs and does not bar."""


def bar(result: Result) -> str | None:
    """Why a result takes no part in a ranking across tokenizers; None where it does. A sentence without its end."""
    if result.zeros:
        return (
            f"{result.model} gives {result.zeros:,} of {result.tokens:,} tokens probability 0, so its total is infinite"
        )
    if result.lossy_lines:
        return (
            f"the tokenizer of {result.model} ({result.tokenizer}) does not give back {result.lossy_lines:,} of "
            f"{result.text.lines:,} lines{_example(result)}"
        )
    if result.open is None:
        if not result.line_ends:
            return f"{result.model} was scored without line ends, so its total is not that of the text"
        return f"{result.model} has {result.unknown:,} unknown tokens and no spelling model to say what they are"
    return None


def compare(results: Sequence[Result]) -> Comparison:
    """Rank what can be ranked.

    Raises:
        UsageError: fewer than two results.
        NotComparableError: no two of them have a figure in common; the message holds the reasons.
    """
    enough(results)
    rankings: list[Ranking] = []
    results = _distinct(results)
    refusals = [f"{_sentence(reason)} Not ranked by bits/char." for r in results if (reason := bar(r)) is not None]
    texts = _groups(results, [f"{r.text.key} {r.text.characters} {r.text.bytes}" for r in results])
    if len(texts) > 1:
        parts = "; ".join(
            f"{_names(group)} {group[0].text.lines:,} lines ({group[0].text.key[7:15]})" for group in texts
        )
        refusals.append(f"Nothing is compared across texts: {parts}.")
    for same_text in texts:
        able = [r for r in same_text if bar(r) is None]
        if len(able) > 1:
            rankings.append(rank("bits/char", able))
        tokens = _groups(same_text, [f"{r.token_key} {bool(r.line_ends)}" for r in same_text])
        for same_tokens in tokens:
            finite = [r for r in same_tokens if r.tokens and math.isfinite(r.closed)]
            if len(finite) > 1:
                rankings.append(rank("ppl/token", finite))
        words = _groups(same_text, [r.text.segmenter for r in same_text])
        if len(words) > 1:
            parts = "; ".join(f"{_names(same)}: {same[0].text.segmenter}" for same in words)
            refusals.append(f"ppl/word is not compared, for the words are not the same: {parts}.")
        if len(tokens) > 1:
            counts = ", ".join(
                f"{group[0].model} has {group[0].vocab_size:,} {group[0].tokenizer} tokens"
                + ("" if group[0].line_ends else " and no line ends")
                for group in tokens
            )
            refusals.append(f"ppl/token is not compared: {counts}.")
    if not rankings:
        raise NotComparableError("Nothing can be compared. " + " ".join(refusals))
    return Comparison(rankings, refusals, _labels(texts))


def enough(compared: Sequence[object]) -> None:
    """Raises UsageError where there are fewer than two."""
    if len(compared) < 2:
        raise UsageError(f"{len(compared)} result to compare; give two or more.")


def _distinct(results: Sequence[Result]) -> list[Result]:
    """Results of equal names are numbered, by where they stand among all."""
    names = [r.model for r in results]
    return [replace(r, model=f"{r.model} ({i})") if names.count(r.model) > 1 else r for i, r in enumerate(results, 1)]


def rank(unit: Unit, results: Sequence[Result]) -> Ranking:
    """Results that may be compared in this unit, best first, each with its distance from the best."""

    def value(result: Result) -> float:
        if unit == "ppl/token":
            return result.ppl_token
        assert result.bits_per_char is not None
        return result.bits_per_char

    # by the totals, which have not overflowed where a perplexity has
    ordered = sorted(results, key=lambda r: r.closed / r.tokens if unit == "ppl/token" else value(r))
    best = ordered[0]
    places: list[Place] = []
    for result in ordered:
        interval = None
        if unit == "bits/char" and result is not best:
            interval = _paired(result, best)
        difference = value(result) - value(best) if math.isfinite(value(result)) else math.inf
        places.append(Place(result, value(result), 0.0 if result is best else difference, interval))
    return Ranking(unit, places)


def _paired(result: Result, best: Result) -> tuple[float, float] | None:
    if result.unit_nats is None or best.unit_nats is None or result.unit_characters is None:
        return None
    if len(result.unit_nats) != len(best.unit_nats):  # results of versions that cut a text into other runs of lines
        return None
    return ratio_interval((result.unit_nats - best.unit_nats) / math.log(2), result.unit_characters)


def _groups(results: Sequence[Result], keys: Sequence[str]) -> list[list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result, key in zip(results, keys, strict=True):
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _labels(texts: Sequence[Sequence[Result]]) -> list[str]:
    labels: list[str] = []
    for group in texts:
        policies = _groups(group, [r.context for r in group])
        if len(policies) > 1:
            parts = "; ".join(f"{_names(same)}: {same[0].context}" for same in policies)
            labels.append(f"The models were given different context: {parts}.")
        versions = _groups(group, [r.versions.get("textdl", "") for r in group])
        if len(versions) > 1:
            parts = "; ".join(f"{_names(same)}: {same[0].versions.get('textdl', 'unknown')}" for same in versions)
            labels.append(f"The results come from different versions of textdl: {parts}.")
        labels += [said for r in group if (said := leak(r)) is not None]
    return labels


def leak(result: Result) -> str | None:
    """What is to be said of a model that was trained on lines of the text; None where it was not, or none is known."""
    if not result.leaked or not result.leak_checked:
        return None
    return (
        f"{result.model} was trained on {result.leaked:,} of the {result.leak_checked:,} lines of this text that have "
        f"{LEAK_LENGTH} characters or more ({result.leaked / result.leak_checked:.1%}), which flatters it."
    )


def _names(results: Sequence[Result]) -> str:
    return ", ".join(result.model for result in results)


def _example(result: Result) -> str:
    """The first difference of the example, so that a person sees what is lost."""
    if result.lossy_example is None:
        return ""
    line, back = result.lossy_example
    at = next((i for i, (a, b) in enumerate(zip(line, back, strict=False)) if a != b), min(len(line), len(back)))
    start = max(at - 5, 0)
    return f" (such as {line[start : at + 10]!r}, which comes back as {back[start : at + 10]!r})"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "." if text.startswith("the ") else text + "."
