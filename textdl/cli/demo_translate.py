"""`textdl demo --task translate`: a Chinese-English Transformer from the built-in everyday sentences, in two minutes."""

from __future__ import annotations

from pathlib import Path

from textdl.cli.output import TerminalRun, say, table

SECONDS = 100.0
_ASKED = ("我喜欢喝茶。", "她在学中文。", "他不是老师。", "明天我去学校。", "猫在桌子下面。")


def demo_translate(root: Path, *, seed: int, quiet: bool) -> int:
    """Train, translate what is held out, and show what one translation looked at."""
    from textdl import translation
    from textdl.corpus import open_pairs
    from textdl.errors import UsageError
    from textdl.evaluation import translation as metrics

    pairs = open_pairs("everyday")
    train, held_out = pairs.hold_out(0.1)
    say(f"{pairs.read().kept} Chinese sentences with their English, written for textdl. Output: {root}/")
    run = TerminalRun(quiet=quiet, seed=seed)
    with run.shown():
        model = translation.train(
            train, valid=held_out, source_tokenizer="char", tokenizer="word", min_count=1, output=root / "zh-en", run=run,
            budget=SECONDS, dropout=0.2,
        )  # fmt: skip
    if run.interrupted:
        raise KeyboardInterrupt
    kept = list(held_out)
    sources, references = ([pair[side] for pair in kept] for side in (0, 1))
    texts = [found.text for found in translation.translate(model, sources)]
    table(["held out", "translation", "reference"], list(zip(sources, texts, references, strict=True))[:10])
    for figure in metrics.measure(texts, references):
        say(f"{figure.name} {figure.value:.1f} on {len(texts)} sentences held out  {figure.signature}")
    table(
        ["asked", "translation"],
        [[line, found.text] for line, found in zip(_ASKED, translation.translate(model, _ASKED), strict=True)],
    )
    picture = root / "attention.png"
    try:
        translation.draw_attention(model, _ASKED[0], next(translation.translate(model, _ASKED[:1])).text, picture)
        say(f"What the translation of {_ASKED[0]} looked at: {picture}")
    except UsageError as error:  # matplotlib is not installed
        say(str(error))
    say(
        f"With {len(kept)} sentences held out of {pairs.read().kept}, this shows the way, not what is possible. Next, try:"
    )
    say(f"  textdl translate {root}/zh-en 我想喝水。 --n-best 3")
    say("  textdl train seq2seq --source YOUR.zh --target YOUR.en -o my-model --budget 15m --sanity")
    return 0
