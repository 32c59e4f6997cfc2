"""A 5-gram model of English words, and one of characters, on 106 articles of Wikipedia.

Counting is exact, so every machine has the same figures.
"""

from __future__ import annotations

from pathlib import Path

from textdl.evaluating import evaluate
from textdl.models import train
from textdl.protocols import Run
from textdl.recipes.recipe import Figure, Recipe


def cook(directory: Path, run: Run) -> dict[str, float]:
    words = train("ngram", "en-wiki:train", tokenizer="word", order=5, output=directory / "words", run=run)
    characters = train("ngram", "en-wiki:train", tokenizer="char", order=6, output=directory / "characters", run=run)
    word, char = evaluate([words, characters], "en-wiki:test", words="word", run=run).results
    return {
        "words: closed ppl/token": word.ppl_token,
        "words: unknown, %": 100 * word.unknown_rate,
        "words: bits/char": word.bits_per_char or 0.0,
        "characters: bits/char": char.bits_per_char or 0.0,
    }


RECIPE = Recipe(
    "Kneser-Ney 5-grams of words and 6-grams of characters, English Wikipedia",
    0.5,
    (
        Figure("words: closed ppl/token", 596.08244, 0.01),
        Figure("words: unknown, %", 7.23843, 0.001),
        Figure("words: bits/char", 2.16775, 0.0005),
        Figure("characters: bits/char", 2.03307, 0.0005),
    ),
    cook,
)
