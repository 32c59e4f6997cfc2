"""Every language model, the same text and the same time: two minutes each, on English words and on Chinese characters.

All share a vocabulary, so perplexities of tokens compare too. Expected is what one core came to. A machine that is half as
fast, or twice, comes to something else: hence the tolerance for networks, of a sixth of a perplexity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textdl.evaluating import evaluate
from textdl.models import train
from textdl.protocols import Run
from textdl.recipes.recipe import Figure, Recipe

_SECONDS = 120.0
_TEXTS = {"English": ("en-wiki", "word"), "Chinese": ("zh-peoples-daily", "char")}
_NEURAL: dict[str, tuple[str, dict[str, Any]]] = {
    "feed-forward": ("nnlm", {}),
    "Elman": ("rnn", {"cell": "elman"}),
    "Jordan": ("rnn", {"cell": "jordan"}),
    "GRU": ("rnn", {"cell": "gru"}),
    "LSTM": ("rnn", {"cell": "lstm"}),
    "Transformer": ("transformer", {}),
}
_EXPECTED = {
    "English": {
        "unigram": (615.95, 2.2887),
        "5-gram": (228.11, 2.0160),
        "feed-forward": (217.26, 2.0026),
        "Elman": (188.46, 1.9635),
        "Jordan": (291.63, 2.0834),
        "GRU": (168.01, 1.9320),
        "LSTM": (172.67, 1.9395),
        "Transformer": (196.31, 1.9747),
    },
    "Chinese": {
        "unigram": (712.24, 9.4930),
        "5-gram": (56.719, 5.8426),
        "feed-forward": (94.178, 6.5741),
        "Elman": (79.396, 6.3278),
        "Jordan": (131.64, 7.0573),
        "GRU": (67.091, 6.0849),
        "LSTM": (65.748, 6.0557),
        "Transformer": (82.844, 6.3892),
    },
}
"""(ppl/token, bits/char)"""
_COUNTED = ("unigram", "5-gram")
"""The same on every machine."""


def cook(directory: Path, run: Run) -> dict[str, float]:
    figures: dict[str, float] = {}
    for language, (corpus, tokenizer) in _TEXTS.items():
        text: dict[str, Any] = {"tokenizer": tokenizer, "min_count": 2, "run": run}
        models = [train("ngram", f"{corpus}:train", order=5, output=directory / f"{language}-5-gram", **text)]
        models += [
            train(
                family, f"{corpus}:train", valid=f"{corpus}:valid", budget=_SECONDS, seed=1,
                output=directory / f"{language}-{name}", **options, **text,
            )
            for name, (family, options) in _NEURAL.items()
        ]  # fmt: skip
        evaluation = evaluate(models, f"{corpus}:test", words="word" if tokenizer == "word" else "jieba", run=run)
        names = ["unigram", "5-gram", *_NEURAL]
        for name, result in zip(names, [evaluation.baselines[1], *evaluation.results], strict=True):
            figures[f"{language}, {name}: ppl/token"] = result.ppl_token
            figures[f"{language}, {name}: bits/char"] = result.bits_per_char or 0.0
    return figures


def _figures() -> tuple[Figure, ...]:
    figures = []
    for language, expected in _EXPECTED.items():
        for name, (ppl, bits) in expected.items():
            shares = (1e-4, 1e-4) if name in _COUNTED else (1 / 6, 1 / 20)
            figures += [
                Figure(f"{language}, {name}: ppl/token", ppl, ppl * shares[0]),
                Figure(f"{language}, {name}: bits/char", bits, bits * shares[1]),
            ]
    return tuple(figures)


RECIPE = Recipe("All language models at equal time, English words and Chinese characters", 28.0, _figures(), cook)
