"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from textdl.cli import (
    cache,
    corpus,
    demo,
    evaluate,
    generate,
    importing,
    info,
    reproduce,
    similar,
    tokenizer,
    train,
    translate,
    vectors,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Word vectors and language models from raw text, and perplexities that can be compared.",
)


def _version(wanted: bool) -> None:
    if wanted:
        import textdl

        print(f"textdl {textdl.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None: ...


app.add_typer(train.app, name="train")
app.command("import")(importing.import_file)
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(corpus.app, name="corpus")
app.command("eval")(evaluate.evaluate)
app.command("compare")(evaluate.compare)
app.command("score")(evaluate.score)
app.command("sample")(generate.sample)
app.command("translate")(translate.translate)
app.command("similar")(similar.similar)
app.command("analogy")(similar.analogy)
vectors.app.command("similarity")(similar.similarity)
vectors.app.command("odd")(similar.odd)
app.add_typer(vectors.app, name="vectors")
app.add_typer(cache.app, name="cache")
app.command("info")(info.info)
app.command("demo")(demo.demo)
app.command("reproduce")(reproduce.reproduce)
