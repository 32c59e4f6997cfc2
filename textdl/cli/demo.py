"""`textdl demo`: the whole job on built-in text, with the library's own functions and nothing canned."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import Quiet, Seed
from textdl.cli.output import TerminalRun, say, table


@dataclass(frozen=True)
class Scene:
    """What the demo does in one language."""

    corpus: str
    tokenizer: str
    words: tuple[str, ...]
    prompt: str


SCENES = {
    "en": Scene("en-wiki", "word", ("war", "city", "language", "water", "king"), "The"),
    "zh": Scene("zh-peoples-daily", "jieba", ("北京", "经济", "总统", "足球", "春节"), "中国"),
}
LSTM_SECONDS = 160.0


def demo(
    lang: Annotated[str, typer.Option("--lang", help="en or zh.")] = "en",
    task: Annotated[
        str, typer.Option("--task", help="language: vectors and language models; translate: from Chinese.")
    ] = "language",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where to; demo-LANG or demo-translate if left out."),
    ] = None,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> int:
    """Vectors, n-gram models and an LSTM on built-in text; neighbours, a report card, samples. Under 5 minutes."""
    import textdl
    from textdl.cli.evaluate import show
    from textdl.corpus import open_corpus
    from textdl.errors import UsageError
    from textdl.evaluation.report import report_card

    if task == "translate":
        from textdl.cli.demo_translate import demo_translate

        return demo_translate(output or Path("demo-translate"), seed=seed, quiet=quiet)
    if task != "language":
        raise UsageError(f"--task must be language or translate, got {task!r}")
    if lang not in SCENES:
        raise UsageError(f"--lang must be one of {', '.join(SCENES)}, got {lang!r}")
    scene, began = SCENES[lang], time.monotonic()
    root = output or Path(f"demo-{lang}")
    train, test = open_corpus(f"{scene.corpus}:train"), open_corpus(f"{scene.corpus}:test")
    valid = open_corpus(f"{scene.corpus}:valid")

    def section(title: str) -> None:
        say(f"\n== {title}")

    def fit(family: str, name: str, title: str, **settings: object) -> textdl.Model:
        section(title)
        run = TerminalRun(quiet=quiet, seed=seed)
        with run.shown():
            model = textdl.train(family, train, output=root / name, run=run, **settings)  # type: ignore[arg-type]
        if run.interrupted:
            raise KeyboardInterrupt
        for sentence in model.summary():
            say(f"   {sentence}")
        return model

    ledger = train.read()
    say(f"Text: {scene.corpus} ({ledger.lines:,} lines, {ledger.characters:,} characters to train on). Output: {root}/")

    vectors = fit(
        "word2vec", "vectors", "1. Word vectors: skip-gram with negative sampling",
        tokenizer=scene.tokenizer, dim=100, epochs=15, min_count=5,
    )  # fmt: skip
    table(
        ["word", "nearest"],
        [[word, "  ".join(f"{w} {s:.2f}" for w, s in vectors.similar(word, k=6))] for word in scene.words],
    )
    fit("ngram", "ngram", "2. A 4-gram model of words", tokenizer=scene.tokenizer, order=4, min_count=2)
    fit("ngram", "ngram-char", "3. A 6-gram model of characters", tokenizer="char", order=6)
    fit(
        "rnn", "lstm", f"4. An LSTM of words, {LSTM_SECONDS:.0f} seconds",
        tokenizer=scene.tokenizer, valid=valid, min_count=2, budget=LSTM_SECONDS,
    )  # fmt: skip

    section("5. Which is better? On the held-out part of the text")
    models = [root / name for name in ("ngram", "ngram-char", "lstm")]
    run = TerminalRun(quiet=quiet)
    with run.shown():
        card = textdl.evaluate(models, test, run=run)
    show(report_card(card.results, card.baselines), quiet=quiet)

    section("6. Samples")
    rows = [
        [path.name, text]
        for path in models
        for text in textdl.sample(path, prompt=scene.prompt, n=2, max_tokens=60, temperature=0.8, seed=seed)
    ]
    table(["model", "text"], rows)
    sys.stdout.flush()
    say(f"\nDone in {time.monotonic() - began:.0f} s. Everything is in {root}/. Next, try:")
    if shutil.which("textdl") is None:
        say(f"  source {Path(sys.executable).parent / 'activate'}")
    for line in (
        f"textdl similar {root}/vectors {scene.words[1]}",
        f"textdl sample {root}/lstm --prompt {scene.prompt} -n 5 --temperature 0.7",
        f"textdl compare {root}/ngram {root}/lstm --text {scene.corpus}:test",
        "textdl train ngram YOUR.txt -o my-model   (then eval, sample, score)",
    ):
        say(f"  {line}")
    return 0
