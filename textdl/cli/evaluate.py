"""`textdl eval`, `textdl compare` and `textdl score`: how good is a model, and which is better."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, ClassVar

import typer

from textdl.cli.options import JsonFile, Quiet, Seed, SourceText, TextOptions, spread
from textdl.cli.output import (
    TerminalRun,
    check_reports,
    json_file,
    report_file,
    rows_as_they_come,
    say,
    table,
    write_json,
)

if TYPE_CHECKING:
    from textdl.bundle import TokenScore
    from textdl.corpus import Corpus
    from textdl.evaluation.perplexity import Result
    from textdl.evaluation.report import Table
    from textdl.protocols import ScorePolicy

_LN10 = math.log(10)

Text = Annotated[str, typer.Option("--text", metavar="FILE", help="Held-out raw text: a file, -, or NAME:SPLIT.")]
Words = Annotated[
    str, typer.Option("--words", metavar="T", help="The tokenizer that says what a word is, for ppl/word.")
]
FileTokenizer = Annotated[
    str, typer.Option("--tokenizer", metavar="T", help="What cut the text of ARPA and KenLM files.")
]


@dataclass(frozen=True)
class PolicyOptions:
    """How much context a token is predicted from. None: as each model was trained."""

    PANEL: ClassVar = "Context (when left out: as each model was trained)"

    unit: Annotated[
        str | None, typer.Option("--unit", metavar="NAME", help="line: state is reset; stream: carried over line ends.")
    ] = None
    window: Annotated[int | None, typer.Option("--window", min=1, help="Tokens of context at most.")] = None
    stride: Annotated[int | None, typer.Option("--stride", min=1, help="New tokens a window (half of it).")] = None
    line_end: Annotated[
        bool, typer.Option("--line-end/--no-line-end", help="Whether line ends are predicted and counted.")
    ] = True

    def policy(self) -> ScorePolicy | None:
        """None where nothing was said."""
        from textdl.errors import UsageError
        from textdl.protocols import ScorePolicy

        if self.unit is None:
            if self.window is None and self.stride is None and self.line_end:
                return None
            raise UsageError("--window, --stride and --no-line-end go with --unit line or --unit stream")
        if self.unit not in ("line", "stream"):
            raise UsageError(f"--unit {self.unit!r}: expected line or stream")
        return ScorePolicy("line" if self.unit == "line" else "stream", self.window, self.stride, self.line_end)


@spread
def evaluate(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...",
            help="Models of any family; also ARPA and KenLM files, and directories of Hugging Face's causal models.",
        ),
    ],
    text: Text,
    reading: TextOptions,
    context: PolicyOptions,
    source: SourceText = None,
    words: Words = "auto",
    baseline_text: Annotated[
        str | None,
        typer.Option(
            "--baseline-text", metavar="FILE", help="Training text: also show a 5-gram model of its characters."
        ),
    ] = None,
    top: Annotated[
        str | None, typer.Option("--top", metavar="K,...", help="Also: the next token is among the K likeliest, in %.")
    ] = None,
    copied: Annotated[
        str | None,
        typer.Option(
            "--copied", metavar="FILE", help="Training text: also the share of samples' n-grams copied from it."
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, show_default=False, help="Drawn from each model for --copied (200)."),
    ] = None,
    tokenizer: FileTokenizer = "whitespace",
    json: JsonFile = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page: the table, surprisal in colour, worst lines."),
    ] = None,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> int:
    """One report card for language models of any family on the same raw text."""
    import textdl
    from textdl.errors import UsageError
    from textdl.evaluating import copying, subject
    from textdl.evaluation.copying import copied_table
    from textdl.evaluation.html import page
    from textdl.evaluation.report import card_document, report_card

    run = TerminalRun(quiet=quiet, seed=seed)
    for model in models:
        if _is_json(model):
            raise UsageError(f"{model} is no model; results of eval --json are put side by side by `textdl compare`")
    if samples is not None and copied is None:
        raise UsageError("--samples says how many are drawn for --copied FILE, which was not given")
    opened, sources, basis, training = _read([text, source, baseline_text, copied], reading)
    assert opened is not None  # --text is required
    check_reports({"--json": json, "--html": html}, [opened, sources, basis, training], models)
    if training is not None:
        training.require_text()  # not after all that comes before its turn
    with run.shown():
        subjects = [subject(model, tokenizer=tokenizer, run=run) for model in models]
        card = textdl.evaluate(
            subjects, opened, source=sources, words=words, policy=context.policy(), baseline_text=basis,
            details=html is not None, top=_numbers(top), run=run,
        )  # fmt: skip
        found = (
            copying(subjects, training, opened, samples=samples or 200, words=words, seed=seed, run=run)
            if training is not None
            else []
        )
    drawn = report_card(card.results, card.baselines, card.accuracy)
    if json is not None:
        document = card_document(card.results, card.baselines, card.accuracy)
        write_json(document | ({"copied": [row.to_dict() for row in found]} if found else {}), json)
    if html is not None:
        with report_file("--html", html) as out:
            out.write(page(f"Report card: {opened.name}", drawn, card.details))
        say(f"Written: {html}")
    if json != "-":
        show(drawn, quiet=quiet)
        if found:
            show(copied_table(found, card.results[0].text.segmenter), quiet=quiet)
    return 0


@spread
def compare(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="A B...", help="Models (with --text) or files of eval --json.")
    ],
    reading: TextOptions,
    text: Annotated[str | None, typer.Option("--text", metavar="FILE", help="Held-out raw text.")] = None,
    source: SourceText = None,
    words: Words = "auto",
    tokenizer: FileTokenizer = "whitespace",
    json: JsonFile = None,
    quiet: Quiet = False,
) -> int:
    """Rank what can be ranked and refuse the rest with the reason. Exit 3: nothing can be compared."""
    import textdl
    from textdl.evaluation.report import comparison_document, comparison_tables

    given: list[Result | Path] = []
    for path in inputs:
        given += _results(path) if _is_json(path) else [path]
    run = TerminalRun(quiet=quiet)
    opened, sources = _read([text, source], reading)
    check_reports({"--json": json}, [opened, sources], inputs)
    with run.shown():
        comparison = textdl.compare(*given, text=opened, source=sources, words=words, tokenizer=tokenizer, run=run)
    if json is not None:
        write_json(comparison_document(comparison), json)
    if json != "-":
        for drawn in comparison_tables(comparison):
            show(drawn, quiet=quiet)
    return 0


@spread
def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    reading: TextOptions,
    sentences: Annotated[list[str] | None, typer.Argument(metavar="[SENTENCE...]")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="FILE", help="Score the lines of a file.")] = None,
    source: SourceText = None,
    json: JsonFile = None,
) -> int:
    """Natural log-probability of every token, of every line and of the text, as they are computed.

    An unknown token pays for <unk> and then for its spelling: both are shown, and their sum. n-gram models
    also show what KenLM's query -v does: log10 p, the length of the n-gram that was found, and the back-off
    weights (log10) that are in log10 p; log10 p of an unknown word is that of <unk>.
    """
    import textdl
    from textdl.errors import UsageError

    if (text is None) == (not sentences):
        raise UsageError("give either sentences to score or --text FILE")
    opened, sources = _read([text, source], reading)
    check_reports({"--json": json}, [opened, sources], [model])
    loaded = textdl.load(model)
    tokens = loaded.score_tokens(opened if opened is not None else sentences or [], sources)
    explained = loaded.family == "ngram"
    columns = ["line", "token", "ln p", "ln <unk>", "spelling", *(["log10 p", "n-gram", "back-off"] * explained)]
    with nullcontext(None) if json is None else json_file(json) as out:
        rows = scored_rows(tokens, explained, out)
        if json == "-":
            deque(rows, maxlen=0)
        else:
            rows_as_they_come(columns, rows)
    return 0


@dataclass
class Sums:
    """Of a line or of the text; natural logarithms."""

    tokens: int = 0
    logp: float = 0.0
    closed: float = 0.0
    unknown: int = 0
    closed_unknown: float = 0.0
    spelling: float = 0.0
    backoff: float = 0.0
    zeros: int = 0

    def add(self, token: TokenScore) -> None:
        self.tokens += 1
        self.logp += token.logp
        self.closed += token.closed
        self.backoff += token.backoff or 0.0
        self.zeros += math.isinf(token.logp)
        if token.spelling is not None:
            self.unknown += 1
            self.closed_unknown += token.closed
            self.spelling += token.spelling

    def row(self, line: int | str, what: str, explained: bool) -> list[object]:
        unknown = [f"{self.closed_unknown:.4f}", f"{self.spelling:.4f}"] if self.unknown else [None, None]
        logs = [f"{self.closed / _LN10:.4f}", None, f"{self.backoff / _LN10:.4f}"] if explained else []
        return [line, what, f"{self.logp:.4f}", *unknown, *logs]

    def document(self, explained: bool) -> dict[str, object]:
        return {
            "nats": nats(self.logp), "tokens": self.tokens, "unknown": self.unknown,
            "nats_unk": nats(self.closed_unknown), "nats_spelling": nats(self.spelling),
            "zero_probability": self.zeros,
            **({"log10": log10(self.closed)} if explained else {}),
        }  # fmt: skip


def scored_rows(tokens: Iterator[TokenScore], explained: bool, out: IO[str] | None) -> Iterator[list[object]]:
    """A row for each token, each line and the text; the same goes to `out` as JSON on the way.

    The object is {"lines": [{"scores": [...], "nats": ..., ...}, ...], "nats": ..., ...}: sums stand behind
    what they are of, and the last token of a line is its end. A token of probability 0 (mle) has "inf" nats and
    null for log10, and so have the sums it is in, which count it under "zero_probability".
    """
    from textdl.vocabulary import escape

    whole, line, number = Sums(), Sums(), 1
    if out is not None:
        out.write('{"lines": [')
    for token in tokens:
        if out is not None:
            begin = "" if line.tokens else f'{"," if number > 1 else ""}\n{{"scores": ['
            out.write(f"{begin}{',' if line.tokens else ''}\n {in_json(token_document(token))}")
        line.add(token)
        whole.add(token)
        unknown = [None, None] if token.spelling is None else [f"{token.closed:.4f}", f"{token.spelling:.4f}"]
        logs: list[object] = []
        if token.backoff is not None:
            logs = [f"{token.closed / _LN10:.4f}", token.length, f"{token.backoff / _LN10:.4f}"]
        piece = token.text if token.line_end else escape(token.text)
        yield [number, piece, f"{token.logp:.4f}", *unknown, *logs]
        if token.line_end:
            yield line.row(number, "total", explained)
            if out is not None:
                out.write(f"],\n {in_json(line.document(explained))[1:]}")
            line, number = Sums(), number + 1
    yield whole.row("all", "total", explained)
    if out is not None:
        out.write(f"],\n{in_json(whole.document(explained))[1:]}\n")


def in_json(value: dict[str, object]) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def token_document(token: TokenScore) -> dict[str, object]:
    """One token in JSON: `nats` in all, and of what they are made; log10 as KenLM gives them, null of 0."""
    unknown = {} if token.spelling is None else {"nats_unk": nats(token.closed), "nats_spelling": nats(token.spelling)}
    logs: dict[str, object] = {}
    if token.backoff is not None:
        logs = {
            "log10": log10(token.closed), "ngram": token.length, "log10_backoff": log10(token.backoff),
        }  # fmt: skip
    return {"token": token.text, "nats": nats(token.logp), **unknown, **logs}


def nats(logp: float) -> float | str:
    """As in `eval --json`: JSON has no infinity, so what is impossible is the string "inf"."""
    return "inf" if math.isinf(logp) else -logp + 0.0  # not -0.0


def log10(logp: float) -> float | None:
    return None if math.isinf(logp) else logp / _LN10 + 0.0


def show(drawn: Table, *, quiet: bool) -> None:
    """A table, then its footnotes, which are for a person only."""
    table(drawn.columns, drawn.rows, drawn.title)
    if not quiet:
        sys.stdout.flush()
        for note in drawn.footnotes:
            say(f"  {note}")


def _read(names: Iterable[str | None], reading: TextOptions) -> list[Corpus | None]:
    """The texts of a command."""
    from textdl.errors import UsageError

    asked = list(names)
    if asked.count("-") > 1:
        raise UsageError("standard input (-) can be one text only, and was given for two: write one to a file")
    return [None if name is None else reading.open([name]) for name in asked]


def _numbers(text: str | None) -> list[int]:
    """`1,5,10`."""
    from textdl.errors import UsageError

    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise UsageError(f"--top {text}: expected whole numbers, such as 1,5,10") from None


def _is_json(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def _results(path: Path) -> list[Result]:
    import json

    from textdl.errors import ModelError, UsageError
    from textdl.evaluation.perplexity import from_document

    try:
        return from_document(json.loads(path.read_text("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is neither a model nor a file of `textdl eval --json`: {error}") from error
    except ModelError as error:
        raise UsageError(f"{path}: {error}") from error
