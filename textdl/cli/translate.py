"""`textdl translate`: lines through a sequence-to-sequence model, how good that is, and what it looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import Encoding, JsonFile, Quiet
from textdl.cli.output import TerminalRun, say, table, write_json


def translate(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    sentences: Annotated[list[str] | None, typer.Argument(metavar="[SENTENCE...]", help="What to translate; or --input.")] = None,
    source: Annotated[str | None, typer.Option("--input", "--source", metavar="FILE", help="Translate the lines of a file; - for stdin.")] = None,
    reference: Annotated[str | None, typer.Option("--reference", metavar="FILE", help="How people translated the lines: gives BLEU and chrF.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the translations there.")] = None,
    versus: Annotated[str | None, typer.Option("--versus", metavar="FILE", help="With --reference: another system's translations, for paired bootstrap.")] = None,
    beam: Annotated[int, typer.Option("--beam", min=1, help="Hypotheses kept open; 1: greedy.")] = 5,
    length_penalty: Annotated[float, typer.Option("--length-penalty", help="Above 0 favours longer translations.")] = 1.0,
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
    from textdl.corpus import open_corpus
    from textdl.errors import UsageError

    if (source is None) == (not sentences):
        raise UsageError("give either sentences to translate or --input FILE")
    if versus is not None and reference is None:
        raise UsageError("--versus compares two systems by --reference, which is missing")
    run = TerminalRun(quiet=quiet)
    lines = list(open_corpus(source, encoding=encoding)) if source is not None else list(sentences or [])
    references = list(open_corpus(reference, encoding=encoding)) if reference is not None else None
    others = list(open_corpus(versus, encoding=encoding)) if versus is not None else None
    for name, given in (("--reference", references), ("--versus", others)):
        if given is not None and len(given) != len(lines):
            raise UsageError(
                f"{name} has {len(given):,} lines for {len(lines):,} to translate: line i must belong to line i"
            )
    loaded = load(model)
    parts = translation.cut(lines) if split_sentences else [[line] for line in lines]
    with run.shown():
        found = iter(
            translation.translate(
                loaded, [line for part in parts for line in part], beam=beam, length_penalty=length_penalty,
                n_best=n_best, max_tokens=max_tokens, prefix=prefix, quick=not exact, run=run,
            )
        )  # fmt: skip
        made = [translation.joined([next(found) for _ in part]) for part in parts]
        list(found)  # notes come at the end
    texts = [translated.text for translated in made]
    if output is not None:
        output.write_text("".join(f"{text}\n" for text in texts), "utf-8", newline="\n")
    elif json != "-" and n_best > 1:
        table(
            ["line", "score", "translation"],
            [
                [i, f"{score:.3f}", text]
                for i, t in enumerate(made, 1)
                for score, text in zip(t.scores, t.texts, strict=True)
            ],
        )
    elif json != "-":
        for text in texts:
            print(text)
    document: dict[str, object] = {
        "model": str(model),
        "translations": [[*t.texts] for t in made],
        "scores": [t.scores for t in made],
    }
    if references is not None:
        from textdl.evaluation import translation as metrics

        measured = metrics.measure(texts, references, lowercase=lowercase)
        for figure in measured:
            say(f"{figure.name} {figure.value:.2f}  {figure.signature}")
        document["metrics"] = {
            figure.name: {"value": figure.value, "signature": figure.signature} for figure in measured
        }
        if others is not None:
            compared = metrics.paired(texts, others, references, lowercase=lowercase)
            for difference in compared:
                say(str(difference))
            document["versus"] = [vars(difference) for difference in compared]
    if attention is not None:
        translation.draw_attention(loaded, lines[0], texts[0], attention)
        say(f"Attention of the first line: {attention}")
    if json is not None:
        write_json(document, json)
    return 0
