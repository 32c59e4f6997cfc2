"""Named recipes: train, evaluate, and hold what comes out against what is expected. `textdl reproduce NAME` runs one.

A recipe is the whole of an experiment: the text (a built-in corpus, so that it is the same everywhere), the settings,
the figures, and how far each may be off. Guides and benchmarks quote their numbers from here. Adding a recipe is a file
with a `RECIPE`, and a line in NAMES.
"""

from __future__ import annotations

from importlib import import_module

from textdl.errors import UsageError
from textdl.recipes.recipe import Figure, Recipe

__all__ = ["NAMES", "Figure", "Recipe", "recipe"]

NAMES = {
    "ngram-en": "textdl.recipes.ngram_en",
    "ngram-zh": "textdl.recipes.ngram_zh",
    "lstm-en": "textdl.recipes.lstm_en",
    "families": "textdl.recipes.families",
    "word2vec-en": "textdl.recipes.word2vec_en",
}


def recipe(name: str) -> Recipe:
    """Raises UsageError for a name that is none."""
    if name not in NAMES:
        raise UsageError(f"no recipe {name!r}; there are {', '.join(NAMES)}")
    found: Recipe = import_module(NAMES[name]).RECIPE
    return found
