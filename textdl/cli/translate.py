"""`textdl translate`: lines through a sequence-to-sequence model, how good that is, and what it looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import Encoding, JsonFile, Quiet, two_columns
from textdl.cli.output import TerminalRun, check_reports, report_file, rows_as_they_come, say, write_json


def translate(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    sentences: Annotated[list[str] | None, typer.Argument(metavar="[SENTENCE...]", help="What to translate; or --input.")] = None,
    source: Annotated[str | None, typer.Option("--input", "--source", metavar="FILE", help="Translate the lines of a file; - for stdin.")] = None,
    pairs: Annotated[str | None, typer.Option("--pairs", metavar="FILE", help="Instead of --input and --reference: lines of both with a tab between, everyday, or toy:TASK:LENGTH.")] = None,
    columns: Annotated[str, typer.Option("--columns", metavar="S,T", help="The columns of --pairs, from 1: 2,1 turns round.")] = "1,2",
    reference: Annotated[str | None, typer.Option("--reference", metavar="FILE", help="How people translated the lines: gives BLEU and chrF.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the translations there; with --n-best a table of line, score, translation.")] = None,
    versus: Annotated[str | None, typer.Option("--versus", metavar="FILE", help="With --reference: another system's translations, for paired bootstrap.")] = None,
    beam: Annotated[int, typer.Option("--beam", min=1, help="Hypotheses kept open, up to 500; 1: greedy.")] = 5,
    length_penalty: Annotated[float, typer.Option("--length-penalty", help="0 to 10; above 0 favours longer translations.")] = 1.0,
    n_best: Annotated[int, typer.Option("--n-best", min=1, help="Show so many of each, with their scores.")] = 1,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, show_default=False, help="Of a translation at most (twice the source and 10).")] = None,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="What every translation begins with.")] = "",
    split_sentences: Annotated[bool, typer.Option("--split-sentences", help="Cut long lines into sentences, translate these, and join them.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Multiply in float32, not in bfloat16 where that is faster.")] = False,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="BLEU and chrF without regard to case (sacrebleu -lc).")] = False,
    attention: Annotated[Path | None, typer.Option("--attention", metavar="FILE", help="Draw what the first line's translation looked at: .png, .svg or .pdf.")] = None,
    encoding: Encoding = "utf-8",
    json: JsonFile = None,
    quiet: Quiet = False,
) -> int:  # fmt: skip
    """Translate sentences or the lines of a file, one a line. BLEU and chrF where there is a --reference."""
    from textdl import translation
    from textdl.bundle import load
    from textdl.corpus import open_corpus, open_pairs
    from textdl.errors import CorpusError, UsageError
    from textdl.evaluation.attention_map import check_picture

    if sum(given not in (None, []) for given in (sentences, source, pairs)) != 1:
        raise UsageError("give either sentences to translate, or --input FILE, or --pairs FILE")
    if pairs is None and columns != "1,2":
        raise UsageError(f"--columns {columns} is for --pairs, which are not given")
    if pairs is not None and reference is not None:
        raise UsageError("--pairs brings its own references: leave out --reference, or give --input")
    if versus is not None and reference is None and pairs is None:
        raise UsageError("--versus compares two systems by --reference, which is missing")
    if attention is not None:
        check_picture(attention)
    run = TerminalRun(quiet=quiet)
    corpora = [None if name is None else open_corpus(name, encoding=encoding) for name in (source, reference, versus)]
    reports = {"--output": output, "--json": json, "--attention": attention}
    check_reports(reports, corpora, [model, *([Path(pairs)] if pairs is not None else [])])
    lines, references, others = (None if corpus is None else list(corpus) for corpus in corpora)
    lines = lines or sentences or []
    if pairs is not None:
        opened = list(open_pairs(pairs, encoding=encoding, columns=two_columns(columns), max_ratio=None))
        lines, references = [line for line, _ in opened], [line for _, line in opened]
    for name, given in (("--reference", references), ("--versus", others)):
        if given is not None and len(given) != len(lines):
            raise UsageError(
                f"{name} has {len(given):,} lines for {len(lines):,} to translate: line i must belong to line i"
            )
    if not lines:
        raise CorpusError(f"{source or pairs} has no lines to translate. Give a text with at least one line.")
    loaded = load(model)
    if attention is not None:
        translation.check_attention(loaded, lines[0])
    translations = translation.translate(
        loaded, lines, beam=beam, length_penalty=length_penalty, n_best=n_best, max_tokens=max_tokens, prefix=prefix,
        split_sentences=split_sentences, quick=not exact, run=run,
    )  # fmt: skip
    heads = ["line", "score", "translation"]
    made: list[translation.Translation] = []

    def rows() -> Iterator[list[object]]:
        """What is printed or written, as it comes."""
        for i, found in enumerate(translations, 1):
            made.append(found)
            if n_best == 1:
                yield [found.text]
            else:
                scored = zip(found.scores, found.texts, strict=True)
                yield from ([i, f"{score:.3f}", text.replace("\t", " ")] for score, text in scored)

    with run.shown():
        if output is not None:
            written = ["\t".join(map(str, row)) + "\n" for row in rows()]
            heading = "\t".join(heads) + "\n" if n_best > 1 else ""
            with report_file("--output", output) as out:
                out.write(heading + "".join(written))
        elif json == "-":
            deque(rows(), maxlen=0)
        elif n_best > 1:
            rows_as_they_come(heads, rows())
        else:
            for (text,) in rows():
                print(text)
    texts = [translated.text for translated in made]
    document: dict[str, object] = {
        "model": str(model),
        "translations": [[*t.texts] for t in made],
        "scores": [[score if score > -inf else None for score in t.scores] for t in made],
        "not_translated": [i for i, t in enumerate(made, 1) if -inf in t.scores],
    }
    if references is not None:
        from textdl.evaluation import translation as metrics

        measured = metrics.measure(texts, references, lowercase=lowercase)
        for figure in measured:
            say(f"{figure.name} {figure.value:.2f}  {figure.signature}")
        same = sum(text == right for text, right in zip(texts, references, strict=True))
        say(f"{same:,} of {len(texts):,} lines are exactly the reference.")
        if same and not round(measured[0].value, 2):
            say("BLEU counts runs of up to four words; where no right line has so many it is 0 and says nothing.")
        document["exact"] = same
        document["metrics"] = {
            figure.name: {"value": figure.value, "signature": figure.signature} for figure in measured
        }
        if others is not None:
            compared = metrics.paired(texts, others, references, lowercase=lowercase)
            for difference in compared:
                say(str(difference))
            document["versus"] = [vars(difference) for difference in compared]
    if json is not None:
        write_json(document, json)
    if attention is not None:
        translation.draw_attention(loaded, lines[0], texts[0], attention)
        say(f"Attention of the first line: {attention}")
    return 0
