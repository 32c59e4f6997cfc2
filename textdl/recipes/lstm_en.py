"""A small LSTM of English words, two passes over 106 articles of Wikipedia, beside the unigram model.

Sums of floats depend on the machine, and two passes amplify that: hence the tolerance.
"""

from __future__ import annotations

from pathlib import Path

from textdl.evaluating import evaluate
from textdl.models import train
from textdl.protocols import Run
from textdl.recipes.recipe import Figure, Recipe


def cook(directory: Path, run: Run) -> dict[str, float]:
    model = train(
        "rnn", "en-wiki:train", tokenizer="word", valid="en-wiki:valid", min_count=3, epochs=2, embedding_size=128,
        hidden_size=128, batch_size=32, output=directory / "lstm", seed=1, run=run,
    )  # fmt: skip
    evaluation = evaluate(model, "en-wiki:test", words="word", run=run)
    lstm, unigram = evaluation[0], evaluation.baselines[1]
    return {
        "tokens": float(lstm.tokens),
        "unigram: closed ppl/token": unigram.ppl_token,
        "LSTM: closed ppl/token": lstm.ppl_token,
        "LSTM: bits/char": lstm.bits_per_char or 0.0,
    }


RECIPE = Recipe(
    "An LSTM of 128 features, two passes over English Wikipedia",
    3.0,
    (
        Figure("tokens", 49881.0, 0.0),
        Figure("unigram: closed ppl/token", 475.008, 0.05),
        Figure("LSTM: closed ppl/token", 138.4, 3.0),
        Figure("LSTM: bits/char", 1.972, 0.01),
    ),
    cook,
)
