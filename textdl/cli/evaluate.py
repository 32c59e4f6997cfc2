"""`textdl eval`, `textdl compare` and `textdl score`: how good is a model, and which is better."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textdl.cli.options import JsonFile, Quiet, TextOptions, spread
from textdl.cli.output import TerminalRun, say, table, write_json

if TYPE_CHECKING:
    from textdl.evaluation.perplexity import Result
    from textdl.evaluation.report import Table

Text = Annotated[str, typer.Option("--text", metavar="FILE", help="Held-out raw text: a file, -, or NAME:SPLIT.")]
Words = Annotated[
    str, typer.Option("--words", metavar="T", help="The tokenizer that says what a word is, for ppl/word.")
]


@spread
def evaluate(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Model directories, of any families.")],
    text: Text,
    reading: TextOptions,
    words: Words = "auto",
    json: JsonFile = None,
    quiet: Quiet = False,
) -> int:
    """One report card for language models of any family on the same raw text."""
    import textdl
    from textdl.evaluation.perplexity import to_document
    from textdl.evaluation.report import report_card

    run = TerminalRun(quiet=quiet)
    with run.shown():
        card = textdl.evaluate(list(models), reading.open([text]), words=words, run=run)
    if json is not None:
        write_json(to_document(card.results, card.baselines), json)
    if json != "-":
        show(report_card(card.results, card.baselines), quiet=quiet)
    return 0


@spread
def compare(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="A B...", help="Models (with --text) or files of eval --json.")
    ],
    reading: TextOptions,
    text: Annotated[str | None, typer.Option("--text", metavar="FILE", help="Held-out raw text.")] = None,
    words: Words = "auto",
    json: JsonFile = None,
    quiet: Quiet = False,
) -> int:
    """Rank what can be ranked and refuse the rest with the reason. Exit 3: nothing can be compared."""
    import textdl
    from textdl.evaluation.report import comparison_tables
    from textdl.models import comparison_document

    results: list[Result] = []
    directories: list[Path] = []
    for path in inputs:
        if path.is_file():
            results += _results(path)
        else:
            directories.append(path)
    run = TerminalRun(quiet=quiet)
    with run.shown():
        if directories and text is not None:
            lines = reading.open([text])
            results += textdl.evaluate(directories, lines, words=words, run=run).results
            directories = []
        comparison = textdl.compare(*results, *directories)
    if json is not None:
        write_json(comparison_document(comparison), json)
    if json != "-":
        for drawn in comparison_tables(comparison):
            show(drawn, quiet=quiet)
    return 0


@spread
def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    reading: TextOptions,
    sentences: Annotated[list[str] | None, typer.Argument(metavar="[SENTENCE...]")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="FILE", help="Score the lines of a file.")] = None,
    json: JsonFile = None,
) -> int:
    """Natural log-probability of every token; an unknown one pays for its spelling."""
    import textdl
    from textdl.errors import UsageError
    from textdl.vocabulary import escape

    if (text is None) == (not sentences):
        raise UsageError("give either sentences to score or --text FILE")
    loaded = textdl.load(model)
    lines = reading.open([text]) if text is not None else sentences or []
    everything = []
    rows: list[list[object]] = []
    for number, (line, scores) in enumerate(zip(lines, loaded.score_lines(lines), strict=True), 1):
        everything.append({"line": line, "nats": -sum(s for _, s in scores), "tokens": [list(pair) for pair in scores]})
        end = len(scores) - 1
        rows += [[number, escape(p) if i < end else p, f"{s:.4f}"] for i, (p, s) in enumerate(scores)]
        rows.append([number, "total", f"{sum(s for _, s in scores):.4f}"])
    if json is not None:
        write_json(everything, json)
    if json != "-":
        table(["line", "token", "ln p"], rows)
    return 0


def show(drawn: Table, *, quiet: bool) -> None:
    """A table, then its footnotes, which are for a person only."""
    table(drawn.columns, drawn.rows, drawn.title)
    if not quiet:
        sys.stdout.flush()
        for note in drawn.footnotes:
            say(f"  {note}")


def _results(path: Path) -> list[Result]:
    import json

    from textdl.errors import ModelError, UsageError
    from textdl.evaluation.perplexity import from_document

    try:
        return from_document(json.loads(path.read_text("utf-8")))
    except (ValueError, ModelError) as error:
        raise UsageError(f"{path} is neither a model directory nor a file of `textdl eval --json`: {error}") from error
