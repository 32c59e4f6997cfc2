"""`textdl vectors ...`: evaluating, drawing and exporting word vectors. Asking them is in similar.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from textdl.cli.options import JsonFlag, Seed
from textdl.cli.output import say, table, write_json

if TYPE_CHECKING:
    from textdl.evaluation.vectors import Row

app = typer.Typer(no_args_is_help=True, help="Evaluate and export word vectors.")

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL")]


@app.command("eval")
def evaluate(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...",
            help="One, or several to compare; also files of word2vec's, fastText's and GloVe's format.",
        ),
    ],
    pairs: Annotated[
        list[Path] | None,
        typer.Option("--pairs", metavar="FILE", help="Own judgements of similarity: word, word, score a line."),
    ] = None,
    analogies: Annotated[
        list[Path] | None,
        typer.Option(
            "--analogies", metavar="FILE", help="Own analogies: four words a line, sections opened by ': name'."
        ),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="Of analogies: add (3CosAdd) or mul (3CosMul).")] = "add",
    among: Annotated[
        int | None,
        typer.Option("--among", metavar="N", min=1, help="Analogies among the N most frequent words only, as 30000."),
    ] = None,
    sections: Annotated[bool, typer.Option("--sections", help="Also each section of the analogies.")] = False,
    seed: Seed = 1,
    json: JsonFlag = False,
) -> int:
    """WordSim-353, SimLex-999 and Google's analogies, and files of one's own; several models on common ground.

    A word that a model does not know as it is written is looked up in lower case.
    """
    from dataclasses import asdict, replace

    from textdl.evaluating import vector_subject
    from textdl.evaluation import vectors as benchmarks

    similarity = {"WordSim-353": benchmarks.wordsim353(), "SimLex-999": benchmarks.simlex999()}
    similarity |= {path.name: benchmarks.read_pairs(path, say) for path in pairs or []}
    questions = {"Google": benchmarks.google_analogies()}
    questions |= {path.name: benchmarks.read_analogies(path) for path in analogies or []}
    names = [path.name for path in models]
    subjects = [
        replace(vector_subject(path), name=path.name if names.count(path.name) == 1 else str(path)) for path in models
    ]
    rows = benchmarks.evaluate(subjects, similarity, questions, method=cast(Any, method), among=among, seed=seed)
    if json:
        write_json([asdict(row) for row in rows], "-")
        return 0
    unknown = [row.benchmark for row in rows if row.section in ("", "all") and not any(s.covered for s in row.scores)]
    shown = [
        row for row in rows
        if row.benchmark not in unknown and (sections or row.section in ("", "semantic", "syntactic", "all"))
    ]  # fmt: skip
    if shown:
        _scores(shown, several=len(models) > 1)
    for name in unknown:
        say(f"{name}: none of its questions can be asked of these words.")
    if any(score.cut for row in shown for score in row.scores):
        say("cut: questions with a word that the model's tokenizer cuts into several pieces; not covered.")
    return 0


def _scores(rows: Sequence[Row], several: bool) -> None:
    """What each model reaches on the questions it covers; then all on the questions that all cover."""
    cut = any(score.cut for row in rows for score in row.scores)
    own = [
        [_title(row), *([score.model] if several else []), row.questions, score.covered,
         f"{100 * score.covered / row.questions:.1f}", *([score.cut] if cut else []), _figure(score.value),
         _interval(score.interval)]
        for row in rows for score in row.scores
    ]  # fmt: skip
    columns = ["benchmark", *(["model"] if several else []), "questions", "covered", "%", *(["cut"] if cut else [])]
    table([*columns, "value", "95 %"], own, "Each model on the questions it covers" if several else "")
    if several:
        print()
        common = [
            [_title(row), row.common, score.model, _figure(score.common),
             "" if score is row.scores[0] else _figure(score.difference, "+"), _interval(score.difference_interval, "+")]
            for row in rows for score in row.scores
        ]  # fmt: skip
        title = "On common ground: questions that all cover, answers among words that all know"
        table(["benchmark", "questions", "model", "value", "difference", "95 %"], common, title)
        say(
            f"difference: from {rows[0].scores[0].model}, on the same questions. An interval around 0: another choice of "
            "questions might turn it round."
        )
    say("value: Spearman's correlation for pairs of words, the share of right answers for analogies.")


def _title(row: Row) -> str:
    return f"{row.benchmark} {row.section}" if row.section else row.benchmark


def _figure(value: float, sign: str = "") -> str:
    """Nothing where it is not defined."""
    return "" if value != value else f"{value:{sign}.4f}"


def _interval(bounds: tuple[float, float] | None, sign: str = "") -> str:
    return f"{bounds[0]:{sign}.3f}..{bounds[1]:{sign}.3f}" if bounds else ""


@app.command()
def plot(
    model: ModelPath,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="FILE.png, .svg or .pdf.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORD]...", help="Words to draw.")] = None,
    near: Annotated[
        list[str] | None,
        typer.Option(
            "--near", metavar="WORD", help="This word and the --top nearest to it; may be given several times."
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", metavar="N", min=1, help="The N nearest (20), or without --near the N most frequent (100)."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", help="pca, or tsne, which keeps only neighbours together.")
    ] = "pca",
    seed: Seed = 1,
) -> int:
    """A map of words in the plane: those named, the nearest to some, or the most frequent."""
    import numpy as np

    import textdl
    from textdl.evaluation import vector_map

    loaded = textdl.load(model)
    vectors, vocab = loaded.vectors, loaded.vocab
    centres = [loaded.word_id(word) for word in near or []]
    named = [loaded.word_id(word) for word in words or []]
    around = [[vocab.id(word) for word, _ in loaded.similar(centre, k=top or 20)] for centre in near or []]
    frequent = 0 if near else top or (0 if words else 100)
    mask = vectors.frequent(frequent) if frequent else None
    common = np.flatnonzero(mask).tolist() if mask is not None else list(range(3, len(vocab))) if frequent else []
    ids = list(dict.fromkeys([*centres, *named, *(i for group in around for i in group), *common]))
    rows = vectors.units(np.array(ids, np.int64))
    points, shares = vector_map.project(rows, cast(Any, method), seed=seed)

    coloured: dict[str, Any] = {}
    if len(centres) == 1:
        coloured["shades"] = np.array([vectors.similarity(centres[0], i) for i in ids])
        coloured["shade_title"] = f"cosine with {vocab.piece(centres[0])}"
    elif centres:
        owner = {i: k for k in reversed(range(len(around))) for i in around[k]} | {i: k for k, i in enumerate(centres)}
        coloured["groups"] = [
            vector_map.Group(vocab.piece(i), [n for n, j in enumerate(ids) if owner.get(j) == k])
            for k, i in enumerate(centres)
        ]
    elif len(ids) >= 12:
        number = min(8, round((len(ids) / 2) ** 0.5))
        cluster = vector_map.clusters(rows, number, seed=seed)
        coloured["groups"] = [vector_map.Group("", np.flatnonzero(cluster == k).tolist()) for k in range(number)]
    left_out = vector_map.draw_map(
        output,
        [vocab.piece(i) for i in ids],
        points,
        large=range(len(centres) + len(named)) if len(ids) > len(centres) + len(named) else (),
        title=f"{len(ids)} words of {loaded.name}, {'PCA' if method == 'pca' else 't-SNE'}",
        axes_titles=[f"{100 * share:.0f} % of the variance" for share in shares],
        **coloured,
    )
    say(f"{len(ids)} words drawn to {output}" + (", coloured by cluster (k-means)." if not near and coloured else "."))
    if left_out:
        say(f"{left_out} of them have a point and no label, for want of room: draw fewer words.")
    if method == "tsne":
        say("t-SNE: neighbours are neighbours; distances between groups and their sizes mean nothing.")
    return 0


@app.command()
def export(
    model: ModelPath,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE|DIR", help="FILE.txt, .vec or .bin (also .gz), or a directory to ask only."
        ),
    ],
    float16: Annotated[bool, typer.Option("--float16", help="Directories: numbers of 16 bits, half the size.")] = False,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Text: without its first line it is as GloVe's.")
    ] = True,
) -> int:
    """Write word2vec's text or binary format, which gensim and others read, or a smaller model to ask only."""
    import textdl

    loaded = textdl.load(model)
    notes = loaded.export_vectors(output, header=header, float16=float16)
    say(f"{len(loaded.vocab.pieces):,} vectors written to {output}")
    for note in notes:
        say(note)
    return 0
