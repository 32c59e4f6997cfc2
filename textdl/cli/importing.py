"""`textdl import`: a model from a file of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import JsonFlag, Output, Quiet
from textdl.cli.output import TerminalRun, say, write_json


def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An ARPA file or word vectors, plain, .gz, .bz2, .xz or .zst.")
    ],
    output: Output,
    tokenizer: Annotated[
        str, typer.Option("--tokenizer", metavar="T", help="What cuts text as the text of the model was cut.")
    ] = "whitespace",
    quiet: Quiet = False,
    json: JsonFlag = False,
) -> int:
    """A textdl model from an ARPA file (KenLM, SRILM) or word vectors (word2vec, fastText's .vec, GloVe)."""
    from textdl.importing import import_model

    run = TerminalRun(quiet=quiet)
    with run.shown():
        model = import_model(file, tokenizer=tokenizer, output=output, run=run)
    if json:
        write_json({**model.card, "model": str(model.directory)}, "-")
    if not quiet:
        for line in model.summary():
            say(line)
    return 0
