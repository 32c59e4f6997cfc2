"""`textdl train seq2seq`: from pairs of lines to a model that translates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from textdl.cli.options import (
    JsonFlag,
    LearningOptions,
    NetworkRunOptions,
    Output,
    Quiet,
    Seed,
    seconds,
    since_start,
    spread,
    two_columns,
)
from textdl.cli.output import TerminalRun, say, write_json
from textdl.errors import UsageError


@dataclass(frozen=True)
class PairOptions:
    """Where the pairs are, and how they are cut."""

    PANEL: ClassVar = "Pairs and pieces"

    source: Annotated[
        str | None,
        typer.Option("--source", metavar="FILE", help="The source lines; line i belongs to line i of --target."),
    ] = None
    target: Annotated[str | None, typer.Option("--target", metavar="FILE", help="The target lines.")] = None
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs", metavar="FILE", help="Instead: one file, or built-in pairs, with tabs between the columns."
        ),
    ] = None
    columns: Annotated[
        str,
        typer.Option("--columns", metavar="S,T", help="The columns of --pairs and --valid, from 1: 2,1 turns round."),
    ] = "1,2"
    encoding: Annotated[str, typer.Option("--encoding", help="Of the files.")] = "utf-8"
    valid_source: Annotated[
        str | None,
        typer.Option("--valid-source", metavar="FILE", help="Held-out sources (5 % of the pairs, at most 1000)."),
    ] = None
    valid_target: Annotated[str | None, typer.Option("--valid-target", metavar="FILE", help="Their targets.")] = None
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer", metavar="T",
            help="bpe or unigram: pieces learnt from the pairs; or char, word, whitespace, jieba, sp:FILE. auto: bpe.",
        ),
    ] = "auto"  # fmt: skip
    source_tokenizer: Annotated[
        str | None, typer.Option("--source-tokenizer", metavar="T", help="Of the source, where it is another one.")
    ] = None
    joint: Annotated[
        bool | None,
        typer.Option(
            "--joint/--separate", show_default=False,
            help="One vocabulary for both sides, and one embedding (where both are written alike).",
        ),
    ] = None  # fmt: skip
    vocab_size: Annotated[
        int | None, typer.Option("--vocab-size", show_default=False, help="Pieces to learn (by the text, up to 8000).")
    ] = None
    min_count: Annotated[
        int, typer.Option("--min-count", min=1, help="Types seen less become <unk>; not learnt pieces.")
    ] = 2
    max_length: Annotated[
        int,
        typer.Option("--max-length", min=1, help="Pairs with more tokens on a side are not trained on, and counted."),
    ] = 256
    max_ratio: Annotated[
        float, typer.Option("--max-ratio", help="Nor are pairs whose lengths are so many times more unlike than usual.")
    ] = 6.0
    processes: Annotated[int, typer.Option("--processes", min=0, help="That tokenize; 0: one for each core.")] = 0
    sanity: Annotated[
        bool,
        typer.Option(
            "--sanity",
            help="First learn 100 pairs by heart, in a fifth of --budget at most; stop with the reason if that fails.",
        ),
    ] = False
    seed: Seed = 1
    quiet: Quiet = False
    json: JsonFlag = False

    def opened(self, valid: str | None) -> tuple[Any, Any]:
        """The pairs to train on, and those held out."""
        from textdl.corpus import open_pairs
        from textdl.corpus.pairs import Pairs

        def pair(one: str | None, source: str | None, target: str | None, names: str) -> Pairs | None:
            if one is None and source is None and target is None:
                return None
            if (one is None) == (source is None and target is None) or (source is None) != (target is None):
                raise UsageError(f"give {names}")
            if source == target == "-":
                raise UsageError(
                    "--source - --target -: standard input is one text. Give --pairs -, with tabs, or two files."
                )
            return open_pairs(
                one if one is not None else source, target, encoding=self.encoding, columns=two_columns(self.columns),
                max_ratio=self.max_ratio,
            )  # fmt: skip

        train = pair(self.pairs, self.source, self.target, "--source and --target, or --pairs, and not both")
        if train is None:
            raise UsageError("give the pairs to train on: --source FILE and --target FILE, or --pairs FILE")
        held_out = pair(valid, self.valid_source, self.valid_target, "--valid-source and --valid-target, or --valid")
        return train, held_out


_SHAPE = "Network (when left out: what is in brackets)"


@spread
def seq2seq(
    output: Output,
    reading: PairOptions,
    learning: LearningOptions,
    running: NetworkRunOptions,
    arch: Annotated[str, typer.Option(metavar="NAME", rich_help_panel=_SHAPE, help="transformer or rnn.")] = "transformer",
    size: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Features of a token (by corpus and time).")] = None,
    layers: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Of the encoder and of the decoder (by corpus and time).")] = None,
    decoder_layers: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="transformer: of the decoder (--layers).")] = None,
    heads: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="transformer: of attention (by corpus and time).")] = None,
    inner_size: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="transformer: features inside a layer (4 times those of a token).")] = None,
    positions: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="transformer: sinusoidal, rotary, learned or none (sinusoidal).")] = None,
    activation: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="transformer: relu2 or gelu (relu2).")] = None,
    norm: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="transformer: pre or post (pre).")] = None,
    cell: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="rnn: lstm, gru, elman or elman-relu (lstm).")] = None,
    attention: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="rnn: multiplicative, additive or none (multiplicative).")] = None,
    batch_positions: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=LearningOptions.PANEL, help="Tokens of a batch, both sides and padding counted (by corpus and time).")] = None,
) -> int:  # fmt: skip
    """An encoder-decoder: a Transformer, or recurrent with attention or without. It translates."""
    from textdl import memory, translation
    from textdl.models import launched

    first = launched()[0] == 0  # the others of several processes are silent
    run = TerminalRun(quiet=reading.quiet or not first, seed=reading.seed)
    options = {**vars(learning), **vars(running)}
    budget, valid = options.pop("budget"), options.pop("valid")
    pairs, held_out = reading.opened(valid)
    shape: dict[str, Any] = {
        "size": size, "layers": layers, "decoder_layers": decoder_layers, "heads": heads, "inner_size": inner_size,
        "positions": positions, "activation": activation, "norm": norm, "cell": cell, "attention": attention,
        "batch_positions": batch_positions,
    }  # fmt: skip
    shared = {
        name: getattr(reading, name)
        for name in (
            "tokenizer", "source_tokenizer", "joint", "vocab_size", "min_count", "max_length", "processes", "sanity"
        )
    }  # fmt: skip
    with run.shown():
        model = translation.train(
            pairs, arch=arch, output=output, valid=held_out, run=run, budget=since_start(seconds(budget)), **shared, **shape,
            **options,
        )  # fmt: skip
    if reading.json and first:
        write_json({**model.card, "peak_memory_bytes": memory.peak(), "model": str(model.directory)}, "-")
    if not reading.quiet and first:
        for line in model.summary():
            say(line)
    return 130 if run.interrupted else 1 if run.failed else 0
