"""Skip-gram vectors of English Wikipedia, and the only figures that are the same on every machine: what was read.

Vectors of two and a half million characters are too few for a benchmark of similarity to say much; the held-out loss
says whether training works.
"""

from __future__ import annotations

from pathlib import Path

from textdl.models import train
from textdl.protocols import Run
from textdl.recipes.recipe import Figure, Recipe


def cook(directory: Path, run: Run) -> dict[str, float]:
    model = train(
        "word2vec", "en-wiki:train", tokenizer="word", valid="en-wiki:valid", dim=100, epochs=5, deterministic=True,
        output=directory / "vectors", seed=1, run=run,
    )  # fmt: skip
    return {
        "words": float(len(model.vocab.pieces)),
        "held-out loss, nats": float(model.card["figures"]["valid_loss"]),
        "similarity of France and Germany": model.similarity("France", "Germany"),
    }


RECIPE = Recipe(
    "Skip-gram vectors with negative sampling, English Wikipedia",
    1.0,
    (
        Figure("words", 7381.0, 0.0),
        Figure("held-out loss, nats", 2.5945, 0.02),
        Figure("similarity of France and Germany", 0.947, 0.05),
    ),
    cook,
)
