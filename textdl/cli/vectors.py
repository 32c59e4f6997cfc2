"""`textdl similar`, `textdl analogy` and `textdl vectors ...`: asking word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import JsonFile
from textdl.cli.output import say, table, write_json

app = typer.Typer(no_args_is_help=True, help="Evaluate and export word vectors.")

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL")]
Neighbours = Annotated[int, typer.Option("-k", min=1, help="How many.")]


def similar(
    model: ModelPath,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="One word, or several for their centroid.")],
    k: Neighbours = 10,
    json: JsonFile = None,
) -> int:
    """The words nearest to a word, or to the centroid of several."""
    import textdl

    return _ranked(textdl.load(model).similar(*words, k=k), json)


def analogy(
    model: ModelPath,
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    c: Annotated[str, typer.Argument(metavar="C")],
    k: Neighbours = 10,
    json: JsonFile = None,
) -> int:
    """A is to B as C is to ...?"""
    import textdl

    return _ranked(textdl.load(model).analogy(a, b, c, k=k), json)


def _ranked(found: list[tuple[str, float]], json: str | None) -> int:
    if json is not None:
        write_json([{"word": word, "cosine": round(score, 6)} for word, score in found], json)
    if json != "-":
        table(["word", "cosine"], [[word, f"{score:.4f}"] for word, score in found])
    return 0


@app.command("eval")
def evaluate(
    model: ModelPath,
    pairs: Annotated[
        list[Path] | None, typer.Option("--pairs", metavar="FILE", help="Own similarity judgements: word, word, score.")
    ] = None,
    analogies: Annotated[
        list[Path] | None, typer.Option("--analogies", metavar="FILE", help="Own analogies: four words a line.")
    ] = None,
    json: JsonFile = None,
) -> int:
    """WordSim-353, SimLex-999 and Google's analogies, and files of one's own."""
    import textdl
    from textdl.evaluation import vectors as benchmarks

    loaded = textdl.load(model)
    rows = benchmarks.run_all(loaded.vectors, pairs=pairs or [], analogies=analogies or [])
    if json is not None:
        write_json(rows, json)
    if json != "-":
        columns = ["benchmark", "questions", "covered", "measure", "value"]
        table(columns, [[row[column] for column in columns] for row in rows])
    return 0


@app.command()
def export(
    model: ModelPath,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="FILE.txt or FILE.bin.")],
) -> int:
    """Write word2vec's text or binary format, which gensim and others read."""
    import textdl
    from textdl.word2vec import formats

    loaded = textdl.load(model)
    formats.write(loaded.vectors, output)
    say(f"{len(loaded.vocab) - 3:,} vectors written to {output}")
    return 0
