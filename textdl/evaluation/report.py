"""The report card and the comparison as tables of strings. Nothing is printed here.

A `Table` is titles, rows and footnotes; the command line shows it with rules on a terminal and as TSV in a pipe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from textdl.evaluation.compare import Comparison, Ranking, bar
from textdl.evaluation.perplexity import Result
from textdl.evaluation.text import LEAK_LENGTH

COLUMNS = (
    "model",
    "tokens",
    "unk %",
    "closed ppl/token",
    "excl ppl/token",
    "open ppl/word",
    "ppl/char",
    "bits/char",
    "bits/byte",
    "size",
    "MB",
    "tokens/s",
)


@dataclass(frozen=True)
class Table:
    """Strings, ready to be laid out."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    footnotes: list[str] = field(default_factory=list)


def report_card(results: Sequence[Result], baselines: Sequence[Result] = ()) -> Table:
    """One row a model, best first; those not ranked are marked * and come after, baselines last."""
    ranked = sorted((r for r in results if bar(r) is None), key=lambda r: r.bits_per_char or 0.0)
    rest = [r for r in results if bar(r) is not None]
    shown = [*ranked, *rest, *baselines]
    text = shown[0].text
    title = (
        f"{text.lines:,} lines, {text.words:,} words, {text.characters:,} characters, {text.bytes:,} bytes "
        "(each with its line ends)"
    )
    return Table(title, list(COLUMNS), [_row(r, marked=r in rest) for r in shown], _footnotes(results))


def comparison_tables(comparison: Comparison) -> list[Table]:
    """A table for each ranking; what was refused and what differs is below the last."""
    tables = [_ranking(ranking) for ranking in comparison.rankings]
    tables[-1].footnotes.extend([*comparison.labels, *comparison.refusals])
    return tables


def _row(result: Result, *, marked: bool) -> list[str]:
    text = result.text
    return [
        f"{result.model} *" if marked else result.model,
        f"{result.tokens:,}",
        f"{100 * result.unknown_rate:.2f}",
        format_perplexity(result.closed, result.tokens),
        format_perplexity(result.excl, result.excl_tokens),
        format_perplexity(result.open, text.words),
        format_perplexity(result.open, text.characters),
        _bits(result.bits_per_char, result.interval),
        _bits(result.bits_per_byte),
        "-" if result.size is None else format_count(result.size),
        "-" if result.bytes is None else f"{result.bytes / 1e6:,.1f}",
        "-" if result.tokens_per_second is None else format_count(result.tokens_per_second),
    ]


def _ranking(ranking: Ranking) -> Table:
    text = ranking.places[0].result.text
    title = f"{ranking.unit} on {text.lines:,} lines (sha256 {text.sha256[:8]})"
    if ranking.unit == "ppl/token":
        rows = [
            [str(i), p.result.model, format_perplexity(p.result.closed, p.result.tokens), p.result.policy]
            for i, p in enumerate(ranking.places, 1)
        ]
        return Table(title, ["rank", "model", "ppl/token", "context"], rows)
    rows = []
    for i, place in enumerate(ranking.places, 1):
        interval = "-" if place.interval is None else f"{place.interval[0]:+.4f} to {place.interval[1]:+.4f}"
        settled = {None: "-", True: "yes", False: "no"}[place.settled]
        result = place.result
        rows.append(
            [
                str(i),
                result.model,
                f"{place.value:.4f}",
                _bits(result.bits_per_byte),
                format_perplexity(result.open, result.text.characters),
                "-" if i == 1 else f"{place.difference:+.4f}",
                interval,
                settled,
                result.policy,
            ]
        )
    columns = ["rank", "model", "bits/char", "bits/byte", "ppl/char", "behind the best", "95 %", "settled", "context"]
    notes = []
    if any(place.interval is not None for place in ranking.places):
        notes.append(
            "Settled: 95 % of paired bootstrap resamples of the lines put the difference on the same side of 0."
        )
    return Table(title, columns, rows, notes)


def _footnotes(results: Sequence[Result]) -> list[str]:
    notes = [f"* {reason}; not ranked." for r in results if (reason := bar(r)) is not None]
    notes += [
        f"{r.model} was trained on {r.leaked:,} of the {r.leak_checked:,} lines of this text that have {LEAK_LENGTH} "
        f"characters or more ({r.leaked / r.leak_checked:.1%}), which flatters it."
        for r in results
        if r.leaked and r.leak_checked
    ]
    if any(r.unknown for r in results):
        notes.append(
            "closed takes an unknown token for one cheap <unk>: it is not a probability of the text. "
            "excl leaves such tokens out. Only open spells them, and only open ranks."
        )
    else:
        notes.append("Nothing is unknown: closed, excl and open are one total over different counts.")
    bounded = [r.model for r in results if r.open is not None and not r.unique]
    if bounded:
        notes.append(f"Upper bound, for only one segmentation of the text is scored: {', '.join(bounded)}.")
    policies = {r.policy: [s.model for s in results if s.policy == r.policy] for r in results}
    if len(policies) == 1:
        notes.append(f"Context: {next(iter(policies))}.")
    else:
        notes.append(
            "Context: " + "; ".join(f"{', '.join(names)}: {policy}" for policy, names in policies.items()) + "."
        )
    if results:
        notes.append(f"Words are those of {results[0].text.segmenter}.")
    if any(r.interval for r in results):
        notes.append("± holds 95 % of 1,000 bootstrap resamples of the lines.")
    return notes


def format_perplexity(nats: float | None, count: int) -> str:
    """Also where it is beyond float64: 1.3e+2171."""
    if nats is None:
        return "-"
    if math.isinf(nats):
        return "inf"
    log10 = nats / max(count, 1) / math.log(10)
    if log10 < 6:
        value: float = 10**log10
        return f"{value:,.0f}" if value >= 10_000 else f"{value:,.2f}"
    return f"{10 ** (log10 % 1):.1f}e+{int(log10)}"


def format_count(value: float) -> str:
    """950, 12.3 k, 4.5 M, 1.2 G."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.1f} {name}"
    return f"{value:.0f}"


def _bits(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return "-"
    if math.isinf(value):
        return "inf"
    return f"{value:.4f}" + (f" ± {(interval[1] - interval[0]) / 2:.4f}" if interval else "")
