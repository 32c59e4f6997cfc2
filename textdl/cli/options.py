"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import copy
import functools
import inspect
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast, get_type_hints

import typer

from textdl.cache import parse_size
from textdl.errors import UsageError

if TYPE_CHECKING:
    from textdl.corpus import Corpus

Corpora = Annotated[
    list[str],
    typer.Argument(
        metavar="CORPUS...",
        help="Files (text, JSONL, CSV, TSV, Parquet), a directory or 'glob', - for stdin, a built-in corpus "
        "(NAME[:SPLIT]) or a hub data set (hf:NAME@CONFIG:SPLIT).",
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The model directory to write.")]
SourceText = Annotated[
    str | None,
    typer.Option(
        "--source", metavar="FILE", help="Source lines, for sequence-to-sequence models: one for each line of text."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same result where it is promised.")]
Encoding = Annotated[str, typer.Option("--encoding", help="Of the text files.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")]
JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for stdout.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str | None, option: str = "--budget") -> float | None:
    """`90`, `90s`, `10m`, `1.5h`, `30d` in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{option} takes a time such as 90s, 10m or 1h, got {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def size(text: str | None, option: str) -> int | None:
    """`500M`, `4G`, `1.5G` in bytes."""
    if text is None:
        return None
    number = parse_size(text)
    if not number:
        raise UsageError(f"{option} takes a size such as 500M or 4G, got {text!r}")
    return number


def since_start(budget: float | None) -> float | None:
    """What is left of a budget that began when this process did."""
    if budget is None:
        return None
    left = budget - (time.time() - _process_start())
    if left <= 0:
        raise UsageError(f"--budget {budget:g}s was over before the work began; give more")
    return left


def _process_start() -> float:
    """Seconds since the epoch at which this process started; now, where the system does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        import os

        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, StopIteration, IndexError):
        return time.time()


@dataclass(frozen=True)
class TextOptions:
    """How text is read: the options of every command that reads some. A command gets them by `spread`."""

    PANEL: ClassVar = "Reading text"

    encoding: Annotated[str, typer.Option("--encoding", help="Of the files.")] = "utf-8"
    errors: Annotated[
        str, typer.Option("--errors", help="strict, or replace: what cannot be decoded becomes U+FFFD, counted.")
    ] = "strict"
    field: Annotated[
        str | None, typer.Option("--field", metavar="NAME", help="The column or key of tables that holds the text.")
    ] = None
    streaming: Annotated[
        bool, typer.Option("--streaming", help="hf: only: read over the network instead of downloading first.")
    ] = False

    def open(self, corpora: Sequence[str]) -> Corpus:
        """The text that was asked for, read as asked."""
        from textdl.corpus import open_corpora

        return open_corpora(
            corpora, encoding=self.encoding, errors=cast(Any, self.errors), field=self.field, streaming=self.streaming
        )


@dataclass(frozen=True)
class CorpusOptions(TextOptions):
    """The same for commands that train on text or take it apart: it may also be changed on the way in."""

    dedup: Annotated[
        bool, typer.Option("--dedup", help="Drop lines that are the same as an earlier one; blank ones stay.")
    ] = False
    split_sentences: Annotated[
        bool, typer.Option("--split-sentences", help="Cut lines into sentences (Chinese and English).")
    ] = False

    def open(self, corpora: Sequence[str]) -> Corpus:
        """Duplicates go first, then lines are split."""
        text = TextOptions.open(self, corpora)
        if self.dedup:
            text = text.without_duplicates()
        return text.sentences() if self.split_sentences else text


@dataclass(frozen=True)
class TrainOptions:
    """The options of every `train`, whatever the family."""

    PANEL: ClassVar = "Tokens, vocabulary, output"

    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer", metavar="T", help="auto, char, word, whitespace, jieba[:USER.txt], sp:FILE; NAME,key=value."
        ),
    ] = "auto"
    min_count: Annotated[int | None, typer.Option("--min-count", min=1, help="Types seen less become <unk>.")] = None
    max_vocab: Annotated[int | None, typer.Option("--max-vocab", min=1, help="At most so many types.")] = None
    vocab: Annotated[
        Path | None, typer.Option("--vocab", metavar="FILE", help="The pieces to know, one a line, as in vocab.txt.")
    ] = None
    processes: Annotated[
        int, typer.Option("--processes", min=0, help="That tokenize; 0: one for each core. The result is the same.")
    ] = 0
    seed: Seed = 1
    quiet: Quiet = False
    json: JsonFlag = False


@dataclass(frozen=True)
class LearningOptions:
    """How any network is trained. None: the default, in brackets."""

    PANEL: ClassVar = "Training (when left out: what is in brackets)"

    accumulate: Annotated[
        int | None,
        typer.Option("--accumulate", show_default=False, help="Batches for one step, where memory is short (1)."),
    ] = None
    dropout: Annotated[
        float | None,
        typer.Option(
            "--dropout", show_default=False, help="Share of features dropped (by the number of passes; of toys 0)."
        ),
    ] = None
    optimiser: Annotated[
        str | None,
        typer.Option(
            "--optimiser",
            metavar="NAME",
            show_default=False,
            help="adamw, sgd, adagrad, rmsprop or muon (adamw; muon for the seq2seq Transformer).",
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", show_default=False, help="The highest of the schedule (by optimiser and network)."
        ),
    ] = None
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            metavar="NAME",
            show_default=False,
            help="After the warm-up: cosine, linear, inverse-sqrt or constant (cosine).",
        ),
    ] = None
    warmup: Annotated[
        float | None,
        typer.Option("--warmup", show_default=False, help="Share of training in which the rate rises (0.03)."),
    ] = None
    weight_decay: Annotated[
        float | None,
        typer.Option("--weight-decay", show_default=False, help="Of matrices (by optimiser; seq2seq 0.01)."),
    ] = None
    clip: Annotated[
        float | None, typer.Option("--clip", show_default=False, help="Norm to which a larger gradient is scaled (1).")
    ] = None
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            "--label-smoothing",
            show_default=False,
            help="Share of the target spread over all types (0; seq2seq 0.1, of toys 0).",
        ),
    ] = None
    ema: Annotated[
        float | None,
        typer.Option(
            "--ema",
            metavar="DECAY",
            show_default=False,
            help="Also keep a moving average of the weights, such as 0.999; the better one is the model (0: none; seq2seq 0.999).",
        ),
    ] = None
    unk_rate: Annotated[
        float | None,
        typer.Option(
            "--unk-rate",
            show_default=False,
            help="Where nothing was cut: share of words seen once that are read as <unk> (0.25).",
        ),
    ] = None
    subword_regularization: Annotated[
        float | None,
        typer.Option(
            "--subword-regularization",
            metavar="ALPHA",
            show_default=False,
            help="sp: draw the pieces anew for each epoch; unigram or BPE-dropout, 0.1 (not done).",
        ),
    ] = None


@dataclass(frozen=True)
class NetworkOptions(LearningOptions):
    """The same for `train nnlm`, `rnn` and `transformer`."""

    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME",
            show_default=False,
            help="line: lines are independent; stream: one text, each line follows from the one before (as the corpus is).",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", show_default=False, help="Rows side by side, in each process (by corpus and time)."
        ),
    ] = None
    init_embeddings: Annotated[
        Path | None,
        typer.Option(
            "--init-embeddings",
            metavar="MODEL",
            show_default=False,
            help="Begin with the vectors of this word2vec model.",
        ),
    ] = None


@dataclass(frozen=True)
class NetworkRunOptions:
    """How long a network is trained, where, and what stops it."""

    PANEL: ClassVar = "Time, machine, stopping and going on"

    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="TIME",
            show_default=False,
            help="90s, 10m, 1h: for the whole command, from start to saved model. Sizes and steps follow from it.",
        ),
    ] = None
    epochs: Annotated[
        float | None,
        typer.Option(
            "--epochs",
            show_default=False,
            help="Passes over the text, without --budget (by its length, 2 to 40; seq2seq 4 to 60).",
        ),
    ] = None
    valid: Annotated[
        str | None,
        typer.Option("--valid", metavar="FILE", show_default=False, help="Held-out text (5 % of the corpus)."),
    ] = None
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience",
            metavar="N",
            show_default=False,
            help="Stop after N validations without improvement (5; seq2seq 10).",
        ),
    ] = None
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            show_default=False,
            help="Go on from the checkpoint in DIR.training that a stopped training left, by the plan it had; or begin anew over it.",
        ),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            show_default=False,
            help="cpu, cuda, cuda:1 or mps (the GPU where there is one).",
        ),
    ] = None
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="NAME",
            show_default=False,
            help="float32, or bfloat16 for products (bfloat16 where it is faster).",
        ),
    ] = None
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            show_default=False,
            help="Let torch compile the network first; worth it in long runs (no).",
        ),
    ] = None


def two_columns(text: str) -> tuple[int, int]:
    """The source and the target of `1,2`.

    Raises:
        UsageError: not two numbers.
    """
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--columns takes two numbers such as 1,2; got {text!r}")
    return int(parts[0]), int(parts[1])


def spread(command: Callable[..., int]) -> Callable[..., int]:
    """A command whose parameters of a dataclass type become that dataclass's fields, one option each.

    What several commands share is written once, in a dataclass, and reaches the command as one value.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        options = get_type_hints(groups[name], include_extras=True)
        for f in fields(groups[name]):
            option = copy.copy(options[f.name].__metadata__[0])
            option.rich_help_panel = groups[name].PANEL
            options[f.name] = Annotated[options[f.name].__origin__, option]
        parameters += [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=options[f.name])
            for f in fields(groups[name])
        ]

    @functools.wraps(command)
    def spread_out(**values: Any) -> int:
        for name, group in groups.items():
            values[name] = group(**{f.name: values.pop(f.name) for f in fields(group)})
        return command(**values)

    spread_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread_out.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": int}
    del spread_out.__wrapped__  # typer would look through it
    return spread_out
