"""The report card and the comparison as tables of strings. Nothing is printed here.

A `Table` is titles, rows and footnotes; the command line shows it with rules on a terminal and as TSV in a pipe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from textdl.evaluation.accuracy import Accuracy
from textdl.evaluation.compare import Comparison, Place, Ranking, bar, leak, rank
from textdl.evaluation.perplexity import Result, out, to_document

COLUMNS = (
    "model",
    "tokens",
    "unk %",
    "closed ppl/token",
    "excl ppl/token",
    "open ppl/word",
    "ppl/char",
    "bits/char",
    "vs best",
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
    for_scale: int = 0
    """Rows at the end that take no part in what the others are compared by."""


def report_card(
    results: Sequence[Result], baselines: Sequence[Result] = (), accuracy: Sequence[Accuracy] = ()
) -> Table:
    """One row a model, best first; those not ranked are marked * and come after, baselines last.

    accuracy: of each result, or of none.
    """
    able = [r for r in results if bar(r) is None]
    places = rank("bits/char", able).places if able else []
    rest = [r for r in results if bar(r) is not None]
    text = (places[0].result if places else [*rest, *baselines][0]).text
    title = (
        f"{text.lines:,} lines, {text.words:,} words, {text.characters:,} characters, {text.bytes:,} bytes "
        "(each with its line ends)"
    )
    right = {id(r): found for r, found in zip(results, accuracy, strict=False)}
    ks = list(accuracy[0].shares) if accuracy else []
    rows = [_row(place.result, place) for place in places]
    rows += [_row(r, None, marked=True) for r in rest] + [_row(r, None) for r in baselines]
    if ks:
        for row, r in zip(rows, [*(place.result for place in places), *rest, *baselines], strict=True):
            found = right.get(id(r))
            row += ["-" if found is None else f"{100 * found.shares[k]:.1f}" for k in ks]
    notes = _footnotes(results, baselines, places)
    if accuracy:
        notes.append(
            f"top k %: the next token is among the k likeliest; over {_range([a.tokens for a in accuracy])} tokens. It "
            "compares models of the same tokens only, and an unknown token is never right."
        )
    return Table(title, [*COLUMNS, *(f"top {k} %" for k in ks)], rows, notes, len(baselines))


def card_document(
    results: Sequence[Result], baselines: Sequence[Result] = (), accuracy: Sequence[Accuracy] = ()
) -> dict[str, Any]:
    """What `textdl eval --json` writes: `to_document`, with how far each model is behind the best, and top-k accuracy."""
    document = to_document(results, baselines)
    able = [r for r in results if bar(r) is None]
    places = {id(place.result): place for place in (rank("bits/char", able).places if able else [])}
    for i, (entry, result) in enumerate(zip(document["models"], results, strict=True)):
        place = places.get(id(result))
        entry["behind_best"] = (
            {"not_ranked": bar(result)}
            if place is None
            else {"bits_per_char": place.difference, "interval": place.interval, "settled": place.settled}
        )
        if accuracy:
            entry["next_token"] = accuracy[i].to_dict()
    return document


def comparison_tables(comparison: Comparison) -> list[Table]:
    """A table for each ranking; what was refused and what differs is below the last."""
    tables = [_ranking(ranking) for ranking in comparison.rankings]
    tables[-1].footnotes.extend([*comparison.labels, *comparison.refusals])
    return tables


def _row(result: Result, place: Place | None, *, marked: bool = False) -> list[str]:
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
        _behind(place),
        _bits(result.bits_per_byte),
        "-" if result.size is None else format_count(result.size),
        "-" if result.bytes is None else f"{result.bytes / 1e6:,.1f}",
        "-" if result.tokens_per_second is None else format_count(result.tokens_per_second),
    ]


def _behind(place: Place | None) -> str:
    if place is None:
        return "-"
    if place.settled is None and place.difference == 0:
        return "best"
    return f"+{place.difference:.4f}" + ("" if place.settled else " ~" if place.settled is False else " ?")


def _ranking(ranking: Ranking) -> Table:
    text = ranking.places[0].result.text
    title = f"{ranking.unit} on {text.lines:,} lines (sha256 {text.sha256[:8]})"
    if ranking.unit == "ppl/token":
        rows = [
            [str(i), p.result.model, format_perplexity(p.result.closed, p.result.tokens), p.result.context]
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
                result.context,
            ]
        )
    columns = ["rank", "model", "bits/char", "bits/byte", "ppl/char", "behind the best", "95 %", "settled", "context"]
    notes = []
    if any(place.interval is not None for place in ranking.places):
        notes.append(
            "Settled: 95 % of paired bootstrap resamples of the lines put the difference on the same side of 0."
        )
    return Table(title, columns, rows, notes)


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _footnotes(results: Sequence[Result], baselines: Sequence[Result], places: Sequence[Place]) -> list[str]:
    notes = [f"* {reason}; not ranked." for r in results if (reason := bar(r)) is not None]
    notes += [said for r in [*results, *baselines] if (said := leak(r)) is not None]
    if untold := [r.model for r in results if r.leak_checked is None]:
        notes.append(f"Nothing is known of the training lines of {', '.join(untold)}: a leak could not be found.")
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
    policies = {r.context: [s.model for s in results if s.context == r.context] for r in results}
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
    if any(place.settled for place in places):
        notes.append(
            "vs best: bits/char behind the best model; 95 % of resamples, paired by line, agree that it is behind."
        )
    if any(place.settled is False for place in places):
        notes.append("~ behind the best, but not settled: 0 is in the 95 % of paired resamples of the lines.")
    if any(place.settled is None and place.difference for place in places):
        notes.append("? too few lines for a paired test.")
    return notes


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """What `textdl compare --json` writes."""
    return {
        "rankings": [
            {
                "unit": ranking.unit,
                "places": [
                    {
                        "model": place.result.model,
                        "value": out(place.value),
                        "difference": out(place.difference),
                        "interval": place.interval,
                        "settled": place.settled,
                    }
                    for place in ranking.places
                ],
            }
            for ranking in comparison.rankings
        ],
        "refusals": comparison.refusals,
        "labels": comparison.labels,
    }


def format_perplexity(nats: float | None, count: int) -> str:
    """Also where it is beyond float64: 1.3e+2171."""
    if nats is None:
        return "-"
    if math.isinf(nats):
        return "inf"
    if not count:
        return "-"
    log10 = nats / count / math.log(10)
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
