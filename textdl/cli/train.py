"""`textdl train FAMILY`: one command for each family, one way through for all."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from textdl.cli.options import (
    Corpora,
    CorpusOptions,
    NetworkOptions,
    NetworkRunOptions,
    Output,
    TextOptions,
    TrainOptions,
    seconds,
    since_start,
    size,
    spread,
)
from textdl.cli.output import TerminalRun, say, table, write_json
from textdl.cli.train_seq2seq import seq2seq
from textdl.errors import TextdlError, UsageError

app = typer.Typer(no_args_is_help=True, help="Train a model on raw text.")
app.command()(seq2seq)


@app.command()
@spread
def ngram(
    corpus: Corpora,
    output: Output,
    reading: CorpusOptions,
    training: TrainOptions,
    order: Annotated[int, typer.Option(help="Length of the longest n-gram.")] = 5,
    smoothing: Annotated[
        str, typer.Option(help="kneser-ney (modified, as KenLM), absolute, witten-bell, add-k or mle.")
    ] = "kneser-ney",
    k: Annotated[float | None, typer.Option("--k", help="What add-k adds to every count; left out: 1.")] = None,
    prune: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="By order from 1: drop n-grams seen so often or less; 0,0,1.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="300M, 4G: stay below while counting, with files; 300M is the least. Left out: half of the free.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Threads; 0: one for each core. The model is the same.")] = 0,
    arpa: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write an ARPA file (.gz: compressed).")
    ] = None,
) -> int:
    """An n-gram language model."""
    if arpa is not None and smoothing == "add-k":
        raise UsageError("--arpa: an ARPA file cannot hold add-k, whose unseen words do not follow the shorter context")
    limit = size(memory, "--memory")
    if limit is not None and limit < 300_000_000:
        raise UsageError(f"--memory {memory}: the process alone takes up to 250 MB; give 300M or more")
    return _train(
        "ngram", corpus, output, reading, training, arpa=arpa, order=order, smoothing=smoothing, k=k,
        memory=limit, workers=workers, prune=_numbers(prune, "--prune", "0,0,1"),
    )  # fmt: skip


_LEARNT = "What is learnt (when left out: what is in brackets, or with --from that model's)"
_EPOCHS = "Training (the same)"
_STOPPING = "Watching, stopping and going on"


@app.command()
@spread
def word2vec(
    corpus: Corpora,
    output: Output,
    reading: CorpusOptions,
    training: TrainOptions,
    model: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_LEARNT, help="skipgram: each word predicts each word around it; cbow: their mean predicts the word, which is quicker (skipgram).")] = None,
    loss: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_LEARNT, help="ns, negative sampling: tell the word from noise words; hs, hierarchical softmax: find it in a Huffman tree (ns).")] = None,
    dim: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_LEARNT, help="Numbers in a vector (300).")] = None,
    window: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_LEARNT, help="Words on each side at most (5).")] = None,
    dynamic_window: Annotated[bool | None, typer.Option("--dynamic-window/--fixed-window", show_default=False, rich_help_panel=_LEARNT, help="Draw the width of each window from 1 to --window, so that near words count more; or always the whole (dynamic).")] = None,
    negative: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_LEARNT, help="ns: noise words for each target (5).")] = None,
    ns_exponent: Annotated[float | None, typer.Option(show_default=False, rich_help_panel=_LEARNT, help="ns: noise words are drawn by their count to this power; 1: as often as they are, 0: all alike (0.75).")] = None,
    sample: Annotated[float | None, typer.Option(show_default=False, rich_help_panel=_LEARNT, help="Share of the text above which words are thinned out; 0: none (0.001).")] = None,
    cbow_gradient: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_LEARNT, help="cbow: corrected: n words share the gradient of their mean, 1/n each; word2vec: each gets all of it (corrected).")] = None,
    keep_punctuation: Annotated[
        bool,
        typer.Option("--keep-punctuation", rich_help_panel=_LEARNT, help="Also learn pieces without a letter or digit."),
    ] = False,
    epochs: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_EPOCHS, help="Passes over the text (5).")] = None,
    alpha: Annotated[float | None, typer.Option(show_default=False, rich_help_panel=_EPOCHS, help="Learning rate at the start (by model and gradient).")] = None,
    min_alpha: Annotated[float | None, typer.Option(show_default=False, rich_help_panel=_EPOCHS, help="Learning rate at the end (0.0001).")] = None,
    schedule: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_EPOCHS, help="linear or cosine from one to the other, or constant: stays at --alpha (linear).")] = None,
    workers: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_EPOCHS, help="Threads; 0: one for each core, fewer for a short text (0).")] = None,
    deterministic: Annotated[
        bool | None,
        typer.Option(
            "--deterministic/--lock-free", show_default=False, rich_help_panel=_EPOCHS,
            help="Same seed, same bytes with any number of workers, more slowly; or that with one alone (lock-free).",
        ),
    ] = None,
    valid: Annotated[
        str | None,
        typer.Option("--valid", metavar="FILE", rich_help_panel=_STOPPING, help="Held-out text: its loss after each epoch."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default=False, rich_help_panel=_STOPPING,
            help="Stop after N epochs in a row whose loss on --valid is 0.5 % above the lowest, and keep the best; 0: never (0).",
        ),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume", show_default=False, rich_help_panel=_STOPPING,
            help="Go on from the checkpoint in DIR.training that a stopped training left; or begin anew over it.",
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="MODEL", rich_help_panel=_STOPPING,
            help="Train this model on: more epochs, or new text with new words. It stays as it is; -o is the new one.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", rich_help_panel=_STOPPING, help="Tell vocabulary, memory and minutes; train nothing."),
    ] = False,
) -> int:  # fmt: skip
    """Word vectors: skip-gram or CBOW, with negative sampling or hierarchical softmax."""
    settings: dict[str, Any] = {
        "keep_punctuation": keep_punctuation, "start_from": start_from, "model": model, "loss": loss, "dim": dim,
        "window": window, "dynamic_window": dynamic_window, "negative": negative, "ns_exponent": ns_exponent,
        "sample": sample, "cbow_gradient": cbow_gradient, "epochs": epochs, "alpha": alpha, "min_alpha": min_alpha,
        "schedule": schedule, "workers": workers, "deterministic": deterministic, "patience": patience,
    }  # fmt: skip
    if dry_run:
        return _plan("word2vec", corpus, output, reading, training, valid=valid, **settings)
    return _train("word2vec", corpus, output, reading, training, valid=valid, resume=resume, **settings)


_SHAPE = "Network (when left out: what is in brackets)"
_Size = Annotated[
    int | None,
    typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Features of a token (by corpus and time)."),
]
_Hidden = Annotated[
    int | None,
    typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Features of the hidden layer (by corpus and time)."),
]
_Tied = Annotated[
    bool | None,
    typer.Option(
        "--tied/--untied", show_default=False, rich_help_panel=_SHAPE, help="One matrix for input and output (tied)."
    ),
]
_Cutoffs = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        show_default=False,
        rich_help_panel=_SHAPE,
        help="For many types: an adaptive softmax, whose clusters begin at these ids, such as 2000,10000 (the full one).",
    ),
]
_EmbeddingDropout = Annotated[
    float | None,
    typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Share of types dropped from a batch (0)."),
]
_Bptt = Annotated[
    int | None,
    typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Tokens of a row in a batch; gradients go no further back (by text)."),
]  # fmt: skip


@app.command()
@spread
def nnlm(
    corpus: Corpora,
    output: Output,
    reading: CorpusOptions,
    training: TrainOptions,
    network: NetworkOptions,
    running: NetworkRunOptions,
    order: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="n: a token is predicted from the n - 1 before it (5; by character 9).")] = None,
    embedding_size: _Size = None,
    hidden_size: _Hidden = None,
    tied: _Tied = None,
    direct: Annotated[bool | None, typer.Option("--direct/--no-direct", show_default=False, rich_help_panel=_SHAPE, help="Connect the embeddings to the output, too (no).")] = None,
    cutoffs: _Cutoffs = None,
    bptt: _Bptt = None,
    embedding_dropout: _EmbeddingDropout = None,
) -> int:  # fmt: skip
    """A feed-forward n-gram language model (Bengio et al. 2003)."""
    return _train_network(
        "nnlm", corpus, output, reading, training, network, running, order=order, embedding_size=embedding_size,
        hidden_size=hidden_size, tied=tied, direct=direct, cutoffs=cutoffs, bptt=bptt,
        embedding_dropout=embedding_dropout,
    )  # fmt: skip


@app.command()
@spread
def rnn(
    corpus: Corpora,
    output: Output,
    reading: CorpusOptions,
    training: TrainOptions,
    network: NetworkOptions,
    running: NetworkRunOptions,
    cell: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="lstm, gru, elman, elman-relu or jordan (lstm).")] = None,
    embedding_size: _Size = None,
    hidden_size: _Hidden = None,
    layers: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Cells on top of each other (1).")] = None,
    ngrams: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Tokens that are looked up together, at most (1).")] = None,
    tied: _Tied = None,
    layer_norm: Annotated[bool | None, typer.Option("--layer-norm/--no-layer-norm", show_default=False, rich_help_panel=_SHAPE, help="Normalise what goes into each layer (no).")] = None,
    residual: Annotated[bool | None, typer.Option("--residual/--no-residual", show_default=False, rich_help_panel=_SHAPE, help="Each layer adds to what it is given (no).")] = None,
    cutoffs: _Cutoffs = None,
    bptt: _Bptt = None,
    embedding_dropout: _EmbeddingDropout = None,
    weight_dropout: Annotated[float | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Share of recurrent weights dropped from a batch (0).")] = None,
) -> int:  # fmt: skip
    """A recurrent language model: LSTM, GRU, Elman or Jordan."""
    return _train_network(
        "rnn", corpus, output, reading, training, network, running, cell=cell, embedding_size=embedding_size,
        hidden_size=hidden_size, layers=layers, ngrams=ngrams, tied=tied, layer_norm=layer_norm, residual=residual,
        cutoffs=cutoffs, bptt=bptt, embedding_dropout=embedding_dropout, weight_dropout=weight_dropout,
    )  # fmt: skip


@app.command()
@spread
def transformer(
    corpus: Corpora,
    output: Output,
    reading: CorpusOptions,
    training: TrainOptions,
    network: NetworkOptions,
    running: NetworkRunOptions,
    embedding_size: _Size = None,
    heads: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Of attention; they share the features (by corpus and time).")] = None,
    layers: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="On top of each other (by corpus and time).")] = None,
    window: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Tokens seen at once (by corpus and time).")] = None,
    inner_size: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Features inside a layer (4 times those of a token).")] = None,
    ngrams: Annotated[int | None, typer.Option(show_default=False, rich_help_panel=_SHAPE, help="Tokens that are looked up together, at most (by character 3, else 1).")] = None,
    positions: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="rotary, learned, sinusoidal or none (rotary).")] = None,
    activation: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, rich_help_panel=_SHAPE, help="relu2, squared ReLU, or gelu (relu2).")] = None,
    cutoffs: _Cutoffs = None,
) -> int:  # fmt: skip
    """A Transformer language model (a decoder alone)."""
    return _train_network(
        "transformer", corpus, output, reading, training, network, running, embedding_size=embedding_size, heads=heads,
        layers=layers, window=window, inner_size=inner_size, ngrams=ngrams, positions=positions,
        activation=activation, cutoffs=cutoffs,
    )  # fmt: skip


def _train_network(
    family: str, corpus: list[str], output: Path, reading: CorpusOptions, training: TrainOptions,
    network: NetworkOptions, running: NetworkRunOptions, *, cutoffs: str | None, **shape: Any,
) -> int:  # fmt: skip
    options = {**vars(network), **vars(running), **shape}
    return _train(
        family, corpus, output, reading, training, cutoffs=_numbers(cutoffs, "--cutoffs", "2000,10000"), **options
    )


def _numbers(text: str | None, option: str, example: str) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"{option} takes counts separated by commas, such as {example}; got {text!r}")
    return tuple(map(int, parts))


def _plan(
    family: str, corpus: list[str], output: Path, reading: CorpusOptions, training: TrainOptions, *,
    valid: str | None, **settings: Any,
) -> int:  # fmt: skip
    """Say what training would take."""
    import textdl

    run = TerminalRun(quiet=training.quiet, seed=training.seed)
    settings |= _common(reading, training, valid)
    with run.shown():
        found = textdl.plan(family, reading.open(corpus), output=output, run=run, **settings)
    if training.json:
        seconds = {stage: round(seconds, 3) for stage, seconds in run.seconds.items()}
        write_json({**asdict(found), "spent": seconds, "notes": run.notes}, "-")
    else:
        table(["what", "value"], found.rows())
    return 0


def _common(reading: CorpusOptions, training: TrainOptions, valid: str | None) -> dict[str, Any]:
    """What every family takes, in the words of `textdl.train`."""
    shared = {name: getattr(training, name) for name in ("tokenizer", "min_count", "max_vocab", "vocab", "processes")}
    return shared if valid is None else {**shared, "valid": TextOptions.open(reading, [valid])}


def _train(
    family: str, corpus: list[str], output: Path, reading: CorpusOptions, training: TrainOptions, *,
    arpa: Path | None = None, budget: str | None = None, valid: str | None = None, **settings: Any,
) -> int:  # fmt: skip
    """Train, save, and say what was read, what was dropped, and where the model is."""
    import textdl
    from textdl import bundle, memory, models

    first = models.launched()[0] == 0  # the others of several processes are silent
    run = TerminalRun(quiet=training.quiet or not first, seed=training.seed)
    if arpa is not None:
        bundle.check_arpa(arpa, output)
    settings |= _common(reading, training, valid)
    with run.shown():
        trained = textdl.train(
            family, reading.open(corpus), output=output, run=run, budget=since_start(seconds(budget)), **settings
        )
        if arpa is not None:
            try:
                trained.export_arpa(arpa)
            except TextdlError as error:
                raise type(error)(
                    f"{error} The model itself is saved in {trained.directory}; "
                    f"`textdl.load({str(trained.directory)!r}).export_arpa(FILE)` in Python writes the ARPA file alone."
                ) from error
            except KeyboardInterrupt:
                run.interrupted = True
                run.note(f"Ctrl-C: the ARPA file was not written. The model itself is saved in {trained.directory}.")
    if training.json and first:
        write_json({**trained.card, "peak_memory_bytes": memory.peak(), "model": str(trained.directory)}, "-")
    if not training.quiet and first:
        for line in trained.summary():
            say(line)
    return 130 if run.interrupted else 1 if run.failed else 0
