"""`textdl corpus ...`: the built-in texts, and what any text is made of."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import Corpora, Encoding, JsonFlag, Quiet
from textdl.cli.output import say, table, write_json

app = typer.Typer(no_args_is_help=True, help="List, show, describe and split text.")


@app.command("list")
def list_(json: JsonFlag = False) -> int:
    """The built-in corpora, which need no download."""
    from textdl.corpus import catalog

    if json:
        write_json(
            [{**vars(e), "size": vars(e.size), "splits": {k: vars(v) for k, v in e.splits.items()}} for e in catalog()],
            "-",
        )
        return 0
    columns = ["name", "language", "lines", "characters", "unit", "title"]
    table(
        columns,
        [[e.name, e.language, f"{e.size.lines:,}", f"{e.size.characters:,}", e.unit, e.title] for e in catalog()],
    )
    return 0


@app.command()
def show(
    corpus: Corpora,
    n: Annotated[int, typer.Option("-n", min=1, help="How many lines.")] = 10,
    encoding: Encoding = "utf-8",
) -> int:
    """The first lines; for a built-in corpus also where it comes from and on what terms."""
    from textdl.corpus import catalog, open_corpora

    for entry in catalog():
        if corpus[0].partition(":")[0] == entry.name:
            say(f"{entry.title}\nsource: {entry.source}\nterms: {entry.licence}\n{entry.url}\n")
    for line in islice(open_corpora(corpus, encoding=encoding), n):
        sys.stdout.write(line + "\n")
    return 0


@app.command()
def stats(corpus: Corpora, encoding: Encoding = "utf-8", json: JsonFlag = False) -> int:
    """Lines, characters by script, lengths, duplicates, the most frequent characters."""
    from textdl.corpus import open_corpora
    from textdl.corpus import stats as count
    from textdl.vocabulary import escape

    text = open_corpora(corpus, encoding=encoding)
    found = count(text)
    if json:
        write_json({**found.to_dict(), "ledger": text.ledger.to_dict()}, "-")
        return 0
    rows: list[list[object]] = [
        ["lines", f"{found.lines:,}"],
        ["blank lines", f"{found.blank:,}"],
        ["duplicate lines", f"{found.duplicates:,}"],
        ["characters", f"{found.characters:,}"],
    ]
    rows += [[f"  {script}", f"{number:,}"] for script, number in found.scripts.items() if number]
    rows.append(["line length: shortest, median, longest", f"{found.shortest:,}, {found.median:g}, {found.longest:,}"])
    rows.append(["most frequent characters", " ".join(escape(character) for character, _ in found.frequent)])
    table(["what", "value"], rows)
    for sentence in text.ledger.sentences():
        say(sentence)
    return 0


@app.command()
def split(
    corpus: Corpora,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Gets train.txt, valid.txt, test.txt.")],
    ratios: Annotated[str, typer.Option("--ratios", metavar="N,N,N", help="Shares of the parts.")] = "8,1,1",
    unit: Annotated[
        str | None,
        typer.Option("--unit", help="line: by content, duplicates stay together; stream: contiguous blocks."),
    ] = None,
    encoding: Encoding = "utf-8",
    quiet: Quiet = False,
) -> int:
    """Cut text into training, validation and test files."""
    from textdl.corpus import open_corpora, write_split
    from textdl.errors import UsageError

    try:
        shares = [float(share) for share in ratios.split(",")]
    except ValueError as error:
        raise UsageError(f"--ratios takes numbers separated by commas, such as 8,1,1; got {ratios!r}") from error
    text = open_corpora(corpus, encoding=encoding)
    if unit is not None:
        if unit not in ("line", "stream"):
            raise UsageError(f"--unit must be line or stream, got {unit!r}")
        text.unit = unit  # type: ignore[assignment]
    counts = write_split(text, output, shares)
    if not quiet:
        how = "by content" if text.unit == "line" else "in contiguous blocks"
        say(", ".join(f"{part}.txt {lines:,} lines" for part, lines in counts.items()) + f" ({how}) in {output}")
    return 0
