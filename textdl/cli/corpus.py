"""`textdl corpus ...`: the built-in texts, and what any text is made of."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textdl.cli.options import Corpora, CorpusOptions, JsonFlag, Quiet, TextOptions, spread
from textdl.cli.output import TerminalRun, say, table, write_json
from textdl.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from textdl.corpus import Corpus
    from textdl.corpus.statistics import Statistics, TokenStatistics

app = typer.Typer(no_args_is_help=True, help="List, show, describe and split text; check aligned pairs.")


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
@spread
def show(
    corpus: Corpora,
    reading: CorpusOptions,
    n: Annotated[int, typer.Option("-n", min=1, help="How many lines.")] = 10,
) -> int:
    """The first lines, as they would be trained on; for a built-in corpus also its source and terms."""
    from textdl.corpus import catalog

    text = reading.open(corpus)
    for entry in catalog():
        if entry.name in (name.partition(":")[0] for name in corpus):
            say(f"{entry.title}\nsource: {entry.source}\nterms: {entry.licence}\n{entry.url}\n")
    for line in islice(text, n):
        sys.stdout.write(line + "\n")
    for note in text.ledger.notes:
        say(f"note: {note}")
    return 0


@app.command()
@spread
def stats(
    corpus: Corpora,
    reading: CorpusOptions,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            "--tokenizer", metavar="T",
            help="Count its tokens; may be repeated. auto, char, word, ...; none: no tokens. Left out: auto and char.",
        ),
    ] = None,
    frequent: Annotated[int, typer.Option("--frequent", min=1, help="So many of the most frequent characters.")] = 20,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="Write pictures. Needs matplotlib (the extra `plot`).")
    ] = None,
    quiet: Quiet = False,
    json: JsonFlag = False,
) -> int:  # fmt: skip
    """Lines, characters, duplicates, what is strange, and what tokenizers make of it."""
    from textdl import corpus as corpora

    others = ", ".join(spec for spec in tokenizer or () if spec != "none")
    if others and "none" in (tokenizer or ()):
        raise UsageError(f"--tokenizer none means no tokens, and --tokenizer is also {others}; give one or the other")
    run = TerminalRun(quiet=quiet)
    text = reading.open(corpus)
    if plot is not None:
        from textdl.figures import drawing

        with drawing(""):  # says now, and not after all the counting, that matplotlib is missing
            pass
    with run.shown():
        found = corpora.stats(text, frequent=frequent, run=run)
        tokens = _tokens(text, tokenizer, found.characters, run)
    encodings = _encodings(text)
    pictures: list[Path] = []
    if plot is not None:
        from textdl.corpus.plots import plot as draw

        pictures = draw(plot, text.name, found, tokens)
    if json:
        write_json(
            {
                "corpus": text.name, **found.to_dict(), "encodings": encodings, "tokenizers": [t.to_dict() for t in tokens],
                "ledger": text.ledger.to_dict(), "pictures": list(map(str, pictures)),
            },
            "-",
        )  # fmt: skip
    else:
        _tell(found, tokens, encodings)
    if not quiet:
        for sentence in text.ledger.sentences():
            say(sentence)
        if not found.lines:
            say(f"{text.name} is empty: there is no line in it.")
        if pictures:
            say(f"Pictures: {', '.join(path.name for path in pictures)} in {plot}")
    return 0


def _tokens(text: Corpus, specs: list[str] | None, characters: int, run: TerminalRun) -> list[TokenStatistics]:
    from textdl import tokenizers
    from textdl.corpus.statistics import token_statistics
    from textdl.encoding import encode_corpus
    from textdl.preparation import automatic

    if not characters or "none" in (specs or ()):
        return []
    wanted = [automatic(text) if spec == "auto" else spec for spec in specs or ["auto", "char"]]
    found = []
    for tokenizer in [tokenizers.create(spec) for spec in dict.fromkeys(wanted)]:
        encoded = encode_corpus(text, tokenizer, run=run)
        found.append(
            token_statistics(
                tokenizer.spec, encoded.data, encoded.counts, characters=characters, lacking=encoded.lacking
            )
        )
    return found


def _encodings(text: Corpus) -> dict[str, str]:
    """What the encoding of each file that was read looks like; of many, the first hundred."""
    from textdl.corpus.statistics import encoding_of

    files = [(path, name) for path, name, form in text.files() if form != "parquet"]
    return {name: encoding_of(path) for path, name in files[:100]}


def _tell(found: Statistics, tokens: list[TokenStatistics], encodings: dict[str, str]) -> None:
    from textdl.corpus.ledger import percent
    from textdl.corpus.oddities import KINDS
    from textdl.vocabulary import escape

    kinds = dict.fromkeys(encodings.values())
    rows: list[list[object]] = [
        ["lines", f"{found.lines:,}", ""],
        ["  blank", f"{found.blank:,}", percent(found.blank, found.lines)],
        ["  same as an earlier one", f"{found.duplicates:,}", percent(found.duplicates, found.lines)],
        ["characters", f"{found.characters:,}", f"{found.distinct_characters:,} different"],
    ]
    rows += [[f"  {kind}", f"{n:,}", percent(n, found.characters)] for kind, n in found.scripts.items()]
    rows += [
        ["line length, median", f"{found.median:g}", ""],
        ["  shortest", f"{found.shortest:,}", ""],
        ["  longest", f"{found.longest:,}", f"line {found.longest_line:,}" if found.lines else ""],
    ]
    if len(kinds) == 1 or len(encodings) > 5:
        rows.append(["encoding", "; ".join(kinds), ""])
    else:
        rows += [[f"encoding of {file}", name, ""] for file, name in encodings.items()]
    table(["what", "value", ""], rows)
    if found.lines:
        _next_table(f"length of lines ({found.lines:,} lines)")
        most = max(number for _, _, number in found.lengths)
        table(
            ["characters", "lines", "share", ""],
            [
                [
                    f"{a:,}" if a == b else f"{a:,} to {b:,}",
                    f"{n:,}",
                    percent(n, found.lines),
                    "█" * round(24 * n / most),
                ]
                for a, b, n in found.lengths
            ],
        )
    if found.frequent:
        _next_table("most frequent characters")
        table(
            ["character", "code point", "count", "share"],
            [[escape(c), f"U+{ord(c):04X}", f"{n:,}", percent(n, found.characters)] for c, n in found.frequent],
        )
    if found.strange:
        _next_table("strange characters")
        table(
            ["kind", "text", "code point", "count", "first in line", "name"],
            [
                [o.kind, o.text if o.text.isprintable() else "", o.code_points, f"{o.count:,}", f"{o.line:,}", o.name]
                for o in found.strange
            ],
        )
        for kind, (different, number) in found.strange_kinds.items():
            say(f"{kind}: {KINDS[kind]}. {different:,} different, {number:,} in all.")
    if tokens:
        _next_table("tokens")
        table(
            [
                "tokenizer", "tokens", "types", "tokens/line", "characters/token", "once only", "top 1,000", "top 10,000",
                "Heaps", "Zipf",
            ],
            [
                [
                    t.tokenizer, f"{t.tokens:,}", f"{t.types:,}", f"{t.tokens_per_line:.1f}", f"{t.characters_per_token:.2f}",
                    f"{100 * t.hapax_share:.1f} %", f"{100 * t.coverage[1000]:.1f} %", f"{100 * t.coverage[10_000]:.1f} %",
                    f"{t.heaps.exponent:.3f} ±{100 * (t.heaps.off - 1):.0f} %" if t.heaps else "",
                    f"{t.zipf.exponent:.3f} ±{100 * (t.zipf.off - 1):.0f} %" if t.zipf else "",
                ]
                for t in tokens
            ],
        )  # fmt: skip
        say(
            "once only: share of types; top: share of tokens; Heaps: types grow with tokens to this power; Zipf: counts fall "
            "with rank to this power; ± how far the points lie from that straight line (it is no proof of a power law)."
        )
        for t in tokens:
            if t.lacking_tokens:
                say(
                    f"{t.tokenizer}: {t.lacking_tokens:,} tokens of {t.lacking_types:,} types are not in its inventory."
                )


def _next_table(title: str) -> None:
    """A title; in a pipe a line that begins with #, behind an empty one."""
    print(f"\n{title}" if sys.stdout.isatty() else f"\n# {title}")


@app.command()
@spread
def split(
    corpus: Corpora,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Gets train.txt, valid.txt, test.txt.")],
    reading: CorpusOptions,
    ratios: Annotated[str, typer.Option("--ratios", metavar="N,N,N", help="Shares of the parts.")] = "8,1,1",
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit",
            help="line: by content, duplicates stay together; stream: contiguous blocks. Left out: as the corpus is (files: "
            "line).",
        ),
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Cut text into training, validation and test files."""
    from textdl.corpus import write_split

    try:
        shares = [float(share) for share in ratios.split(",")]
    except ValueError as error:
        raise UsageError(f"--ratios takes numbers separated by commas, such as 8,1,1; got {ratios!r}") from error
    text = reading.open(corpus)
    if unit is not None:
        if unit not in ("line", "stream"):
            raise UsageError(f"--unit must be line or stream, got {unit!r}")
        text.unit = unit  # type: ignore[assignment]
    counts = write_split(text, output, shares)
    if not quiet:
        for sentence in text.read().sentences():
            say(sentence)
        how = "by content" if text.unit == "line" else "in contiguous blocks"
        say(", ".join(f"{part}.txt {lines:,} lines" for part, lines in counts.items()) + f" ({how}) in {output}")
        for (part, lines), share in zip(counts.items(), shares, strict=True):
            if not lines and share:
                say(f"note: {part}.txt got no line: the text is too short for it. Give more text, or another --ratios.")
    return 0


@app.command()
@spread
def pairs(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A text, or a file of tab-separated columns.")],
    reading: TextOptions,
    target: Annotated[
        str | None, typer.Argument(metavar="[TARGET]", help="A text of as many lines; none for columns.")
    ] = None,
    columns: Annotated[
        str, typer.Option("--columns", metavar="S,T", help="Of one file: the columns of source and target.")
    ] = "1,2",
    max_ratio: Annotated[
        float,
        typer.Option("--max-ratio", help="Leave out targets so many times longer or shorter than usual; 0: none."),
    ] = 6.0,
    quiet: Quiet = False,
    json: JsonFlag = False,
) -> int:
    """Check aligned texts: what is blank, absurdly long or short, copied or double, with line numbers."""
    from textdl.corpus.pairs import KINDS, open_pairs

    limit = max_ratio or None
    if target is not None:
        sides = [reading.open([side]) for side in (source, target)]
        found = open_pairs(*sides, max_ratio=limit)
    else:
        parts = columns.replace(",", " ").split()
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise UsageError(f"--columns takes two numbers, such as 1,2; got {columns!r}")
        if reading.field is not None:
            raise UsageError("--field is for two texts; columns of one file are chosen with --columns")
        numbers = int(parts[0]), int(parts[1])
        text = source if Path(source).is_file() else reading.open([source])
        found = open_pairs(text, encoding=reading.encoding, errors=reading.errors, columns=numbers, max_ratio=limit)
    ledger = found.read()
    if not ledger.read:
        raise CorpusError(f"{found.name} is empty: there is no pair in it. Give texts with at least one line.")
    if json:
        write_json({"pairs": found.name, **ledger.to_dict(), "fingerprint": found.fingerprint}, "-")
        return 0
    table(["what", "pairs", "share", "first in line"], ledger.rows())
    shown = [
        [KINDS[kind], f"{e.line:,}", e.source, e.target] for kind, examples in ledger.examples.items() for e in examples
    ]
    if shown:
        _next_table("examples")
        table(["kind", "line", "source", "target"], shown)
    if not quiet and ledger.median_ratio is not None:
        say(
            f"{ledger.source_characters:,} source and {ledger.target_characters:,} target characters are kept; "
            f"usually {ledger.median_ratio:.2f} target characters for one of the source."
        )
    if not quiet:
        for note in ledger.notes:
            say(f"note: {note}")
    return 0
