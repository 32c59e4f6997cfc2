"""`textdl reproduce`: run a named recipe and hold what comes out against what is expected."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from textdl import scratch
from textdl.cli.options import JsonFile, Quiet
from textdl.cli.output import TerminalRun, check_reports, say, table, write_json


def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A recipe; left out: list them.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Keep the models there; left out: they are not kept."),
    ] = None,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> int:
    """Train and evaluate by a recipe: got, expected, tolerance. Exit 1 where a figure is off."""
    from textdl.recipes import NAMES, recipe

    if name is None:
        table(["recipe", "minutes", "what"], [[n, f"{recipe(n).minutes:g}", recipe(n).title] for n in NAMES])
        return 0
    chosen = recipe(name)
    check_reports({"--json": json}, models=[] if output is None else [output])
    if not quiet:
        say(f"{chosen.title}: about {chosen.minutes:g} minute{'s' * (chosen.minutes != 1)} on two cores.")
    run = TerminalRun(quiet=quiet)
    with scratch.temporary("reproduce") if output is None else nullcontext(output) as directory, run.shown():
        figures = chosen.reproduce(directory, run)
    if json is not None:
        write_json({"recipe": name, "figures": [figure.to_dict() for figure in figures]}, json)
    if json != "-":
        table(
            ["figure", "got", "expected", "tolerance", "held"],
            [
                [f.name, f"{f.got:,.4f}", f"{f.expected:,.4f}", f"{f.tolerance:g}", "yes" if f.held else "NO"]
                for f in figures
            ],
        )
    return 0 if all(figure.held for figure in figures) else 1
