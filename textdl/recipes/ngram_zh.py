"""The same comparison in Chinese: words of jieba against characters, on the People's Daily of January 1998.

Which unit is better cannot be read off perplexities of tokens; bits a character say it.
"""

from __future__ import annotations

from pathlib import Path

from textdl.evaluating import evaluate
from textdl.models import train
from textdl.protocols import Run
from textdl.recipes.recipe import Figure, Recipe


def cook(directory: Path, run: Run) -> dict[str, float]:
    corpus = "zh-peoples-daily"
    words = train("ngram", f"{corpus}:train", tokenizer="jieba", order=4, output=directory / "words", run=run)
    characters = train("ngram", f"{corpus}:train", tokenizer="char", order=5, output=directory / "characters", run=run)
    word, char = evaluate([words, characters], f"{corpus}:test", words="jieba", run=run).results
    return {
        "words: closed ppl/token": word.ppl_token,
        "characters: closed ppl/token": char.ppl_token,
        "words: bits/char": word.bits_per_char or 0.0,
        "characters: bits/char": char.bits_per_char or 0.0,
    }


RECIPE = Recipe(
    "Kneser-Ney 4-grams of jieba's words and 5-grams of characters, People's Daily",
    0.7,
    (
        Figure("words: closed ppl/token", 675.26133, 0.01),
        Figure("characters: closed ppl/token", 57.16017, 0.01),
        Figure("words: bits/char", 6.40177, 0.0005),
        Figure("characters: bits/char", 5.84738, 0.0005),
    ),
    cook,
)
