"""`textdl train FAMILY`: one command for each family, one way through for all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from textdl.cli.options import (
    Corpora,
    CorpusOptions,
    Output,
    TextOptions,
    TrainOptions,
    Valid,
    seconds,
    since_start,
    size,
    spread,
)
from textdl.cli.output import TerminalRun, say, write_json
from textdl.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Train a model on raw text.")


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
            metavar="SIZE", help="500M, 4G: stay below while counting, with files. Left out: half of the free."
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
    if limit is not None and limit < 250_000_000:
        raise UsageError(f"--memory {memory}: the process alone takes some 200 MB; give 300M or more")
    return _train(
        "ngram", corpus, output, reading, training, arpa=arpa, order=order, smoothing=smoothing, k=k,
        memory=limit, workers=workers, prune=_thresholds(prune),
    )  # fmt: skip


@app.command()
@spread
def word2vec(
    corpus: Corpora,
    output: Output,
    reading: CorpusOptions,
    training: TrainOptions,
    model: Annotated[str, typer.Option(help="skipgram.")] = "skipgram",
    loss: Annotated[str, typer.Option(help="ns: negative sampling.")] = "ns",
    dim: Annotated[int, typer.Option(help="Length of a vector.")] = 300,
    window: Annotated[int, typer.Option(help="Words on each side at most.")] = 5,
    negative: Annotated[int, typer.Option(help="Noise words for each target.")] = 5,
    sample: Annotated[float, typer.Option(help="Frequency above which words are thinned; 0: none.")] = 1e-3,
    epochs: Annotated[int, typer.Option(help="Passes over the text.")] = 5,
    workers: Annotated[int, typer.Option(help="Threads; 0: one for each core.")] = 0,
    keep_punctuation: Annotated[
        bool, typer.Option("--keep-punctuation", help="Also train on pieces without a letter or digit.")
    ] = False,
    valid: Valid = None,
) -> int:
    """Word vectors: skip-gram with negative sampling."""
    return _train(
        "word2vec", corpus, output, reading, training, valid=valid, keep_punctuation=keep_punctuation, model=model,
        loss=loss, dim=dim, window=window, negative=negative, sample=sample, epochs=epochs, workers=workers,
    )  # fmt: skip


@app.command()
@spread
def rnn(
    corpus: Corpora,
    output: Output,
    reading: CorpusOptions,
    training: TrainOptions,
    cell: Annotated[str, typer.Option(help="lstm.")] = "lstm",
    context: Annotated[
        str | None, typer.Option(help="line: state reset at every line; stream: carried. Left out: as the corpus is.")
    ] = None,
    embedding_size: Annotated[int | None, typer.Option(help="Left out: by the size of the corpus.")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Left out: by the size of the corpus.")] = None,
    layers: Annotated[int, typer.Option(help="Cells on top of each other.")] = 1,
    dropout: Annotated[float | None, typer.Option(help="Left out: by the number of passes.")] = None,
    batch_size: Annotated[int, typer.Option(help="Rows side by side.")] = 32,
    bptt: Annotated[int | None, typer.Option(help="Steps through which gradients flow.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest of the schedule.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the text, without --budget.")] = None,
    patience: Annotated[int, typer.Option(help="Validations without improvement before stopping.")] = 5,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="90s, 10m, 1h: for the whole command, from start to saved model.")
    ] = None,
    subword_regularization: Annotated[
        float | None,
        typer.Option(metavar="ALPHA", help="sp: draw the pieces anew for each epoch; unigram or BPE-dropout, 0.1."),
    ] = None,
    valid: Valid = None,
) -> int:
    """A recurrent language model (LSTM)."""
    return _train(
        "rnn", corpus, output, reading, training, valid=valid, subword_regularization=subword_regularization,
        budget=budget, cell=cell, context=context, embedding_size=embedding_size, hidden_size=hidden_size, layers=layers, dropout=dropout,
        batch_size=batch_size, bptt=bptt, learning_rate=learning_rate, epochs=epochs, patience=patience,
    )  # fmt: skip


def _thresholds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() for part in parts):
        raise UsageError(f"--prune takes counts separated by commas, such as 0,0,1; got {text!r}")
    return tuple(map(int, parts))


def _train(
    family: str, corpus: list[str], output: Path, reading: CorpusOptions, training: TrainOptions, *,
    arpa: Path | None = None, budget: str | None = None, valid: str | None = None, **settings: Any,
) -> int:  # fmt: skip
    """Train, save, and say what was read, what was dropped, and where the model is."""
    import textdl
    from textdl import models

    run = TerminalRun(quiet=training.quiet, seed=training.seed)
    if arpa is not None and (arpa.is_dir() or not arpa.absolute().parent.is_dir()):
        raise UsageError(f"--arpa {arpa}: expected a file in a directory that exists")
    if valid is not None:
        settings["valid"] = TextOptions.open(reading, [valid])
    for name in ("tokenizer", "min_count", "max_vocab", "vocab", "processes"):
        settings[name] = getattr(training, name)
    with run.shown():
        trained = textdl.train(
            family, reading.open(corpus), output=output, run=run, budget=since_start(seconds(budget)), **settings
        )
        if arpa is not None:
            trained.export_arpa(arpa)
    if training.json:
        write_json({**trained.card, **models.peak_memory(), "model": str(trained.directory)}, "-")
    if not training.quiet:
        for line in trained.summary():
            say(line)
    return 130 if run.interrupted else 0
