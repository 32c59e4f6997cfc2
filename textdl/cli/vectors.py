"""`textdl similar`, `textdl analogy` and `textdl vectors ...`: asking word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import JsonFlag
from textdl.cli.output import say, table, write_json

app = typer.Typer(no_args_is_help=True, help="Evaluate and export word vectors.")

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL")]
Neighbours = Annotated[int, typer.Option("-k", min=1, help="How many.")]


def similar(
    model: ModelPath,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="One word, or several for their centroid.")],
    k: Neighbours = 10,
    json: JsonFlag = False,
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
    json: JsonFlag = False,
) -> int:
    """A is to B as C is to ...?"""
    import textdl

    return _ranked(textdl.load(model).analogy(a, b, c, k=k), json)


def _ranked(found: list[tuple[str, float]], json: bool) -> int:
    if json:
        write_json([{"word": word, "cosine": round(score, 6)} for word, score in found], "-")
    else:
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
    json: JsonFlag = False,
) -> int:
    """WordSim-353, SimLex-999 and Google's analogies, and files of one's own."""
    import textdl
    from textdl.evaluation import vectors as benchmarks

    vectors = textdl.load(model).vectors
    similarity = {"WordSim-353": benchmarks.wordsim353(), "SimLex-999": benchmarks.simlex999()}
    similarity |= {str(path): benchmarks.read_pairs(path) for path in pairs or []}
    rows: list[list[object]] = []
    for name, judged in similarity.items():
        found = benchmarks.similarity_benchmark(vectors, judged)
        rows.append([name, "", found["pairs"], found["covered"], "Spearman", _figure(found["spearman"])])
    sets = {"Google analogies": benchmarks.google_analogies()}
    sets |= {str(path): benchmarks.read_analogies(path) for path in analogies or []}
    for name, sections in sets.items():
        found = benchmarks.analogy_benchmark(vectors, sections)
        rows += [
            [name, part["section"], part["questions"], part["covered"], "accuracy", _figure(part["accuracy"])]
            for part in (*found["sections"], {**found, "section": "all"})
        ]
    columns = ["benchmark", "section", "questions", "covered", "measure", "value"]
    if json:
        write_json([dict(zip(columns, row, strict=True)) for row in rows], "-")
    else:
        table(columns, rows)
    if not any(row[3] for row in rows):
        say("None of these words are known: the built-in benchmarks are English. Give your own: --pairs, --analogies.")
    return 0


def _figure(value: float) -> str:
    """Nothing where no question was covered."""
    return "" if value != value else f"{value:.4f}"


@app.command()
def export(
    model: ModelPath,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="FILE.txt or FILE.bin.")],
) -> int:
    """Write word2vec's text or binary format, which gensim and others read."""
    import textdl
    from textdl.errors import UsageError
    from textdl.word2vec import formats

    if output.suffix not in (".txt", ".vec", ".bin"):
        raise UsageError(f"-o {output}: name it .txt (or .vec) for text, .bin for word2vec's binary format")
    loaded = textdl.load(model)
    _ = loaded.vectors
    (formats.write_binary if output.suffix == ".bin" else formats.write_text)(loaded.model, output)
    say(f"{len(loaded.vocab) - 3:,} vectors written to {output}")
    return 0
