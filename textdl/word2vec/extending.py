"""Training on: more epochs on old text, or new text with new words, from vectors that are there.

Old words keep their vectors and new ones begin as in any training. Counts of both texts are added up, each line once,
which sets the noise words and the thinning. Random choices are those of epochs that were not used before. Under hierarchical
softmax other counts are another Huffman tree, whose inner nodes begin at zero: they are learnt before they move any word.
Fitting them to the old vectors first, in an extra pass, was tried, and gave a higher loss on held-out text.

A word that does not occur in the new text keeps its word vector while others move: cosines between the two kinds
mean less than before. So `report` says how many there are, and how far the others went.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.errors import UsageError
from textdl.vocabulary import SPECIALS, Vocabulary
from textdl.word2vec.model import Config, Word2Vec
from textdl.word2vec.vectors import Floats

_FIXED = ("model", "loss", "dim")
"""What the matrices are made of."""
_SHOWN = 10
_BLOCK = 4096
"""Words compared at once, so that no matrix is copied."""


@dataclass(frozen=True, eq=False)
class Start:
    """Where training goes on from."""

    model: Word2Vec
    ids: NDArray[np.int64]
    """(V of `model`,) the ids of its words, specials included, in the vocabulary trained on now."""
    counts: NDArray[np.int64]
    """(V now,) of the words in all texts together."""
    epochs: int
    """That the model has been trained for already."""

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.model.vectors):
            raise UsageError(f"{len(self.ids):,} ids for the {len(self.model.vectors):,} words to go on from")

    @property
    def same_words(self) -> bool:
        """Whether words and counts are as they were, and with them the Huffman tree."""
        return np.array_equal(self.ids, np.arange(len(self.counts))) and np.array_equal(
            self.counts[len(SPECIALS) :], self.model.counts[len(SPECIALS) :]
        )

    def grow(self, vectors: Floats, context: Floats) -> None:
        """Put what is known into (V, D) fresh matrices."""
        vectors[self.ids] = self.model.vectors
        if self.model.config.loss == "ns" or self.same_words:
            context[self.ids] = self.model.context


def inherited(model: Word2Vec, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a model, but for those that are given anew. None: not given.

    Raises:
        UsageError: one is given that the vectors are made of.
    """
    old = asdict(model.config)
    given = {name: value for name, value in given.items() if value is not None}
    for name in _FIXED:
        if given.get(name, old[name]) != old[name]:
            raise UsageError(
                f"--{name} {given[name]}: the vectors that training goes on from have {name} {old[name]}. "
                f"Leave --{name} out, or train a new model."
            )
    return {**old, "patience": 0, **given}


def check(start: Start, config: Config, vocab_size: int) -> None:
    """Raises UsageError where the old vectors do not fit what is to be trained."""
    inherited(start.model, {name: getattr(config, name) for name in _FIXED})
    if len(start.counts) != vocab_size:
        raise UsageError(f"{len(start.counts):,} counts for a vocabulary of {vocab_size:,}")


def report(start: Start, vectors: Floats, seen: NDArray[np.int64], vocab: Vocabulary) -> dict[str, Any]:
    """What became of the words.

    Args:
        vectors: (V, D) after training.
        seen: (V,) counts in the new text alone.
        vocab: the words trained on now.

    Returns:
        new_words with new_examples, the most frequent first; trained_words, old ones that occur in the text, with the
        mean_cosine of their old and new vectors and those that drifted_most; frozen_words, old ones that do not occur.
    """
    old = start.ids[len(SPECIALS) :]
    new = np.setdiff1d(np.arange(len(SPECIALS), len(vectors)), old)
    lengths, cosines = np.zeros(len(old)), np.zeros(len(old))
    for first in range(0, len(old), _BLOCK):
        rows = slice(first, first + _BLOCK)
        before, after = start.model.vectors[len(SPECIALS) :][rows], vectors[old[rows]]
        lengths[rows] = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        cosines[rows] = np.einsum("ij,ij->i", before, after) / np.where(lengths[rows] > 0, lengths[rows], 1)
    trained = np.flatnonzero((seen[old] > 0) & (lengths > 0))
    most = trained[np.argsort(cosines[trained], kind="stable")][:_SHOWN]
    return {
        "new_words": len(new),
        "new_examples": [vocab.piece(i) for i in new[np.argsort(-seen[new], kind="stable")][:_SHOWN].tolist()],
        "trained_words": len(trained),
        "mean_cosine": float(cosines[trained].mean()) if len(trained) else None,
        "drifted_most": [[vocab.piece(int(old[i])), round(float(cosines[i]), 4)] for i in most],
        "frozen_words": int(np.count_nonzero(seen[old] == 0)),
    }


def sentences(found: Mapping[str, Any], *, turned: bool) -> list[str]:
    """The report for a person. turned: a new Huffman tree has turned the vectors of the words that were trained on."""
    new = f"{found['new_words']:,} new words" if found["new_words"] else "no new words"
    if found["new_words"]:
        new += f" (most frequent: {', '.join(found['new_examples'])})"
    said = [
        f"{new}; {found['frozen_words']:,} old words do not occur in this text, and their vectors stay as they were."
    ]
    if found["trained_words"]:
        drifted = ", ".join(f"{word} {cosine:.2f}" for word, cosine in found["drifted_most"])
        said.append(
            f"{found['trained_words']:,} old words were trained on: mean cosine of old and new vector "
            f"{found['mean_cosine']:.3f}; drifted most: {drifted}."
        )
    if turned and found["frozen_words"] and (found["trained_words"] or found["new_words"]):
        said.append(
            "The new Huffman tree turned the words that were trained on, while the others stayed: a cosine of one of each "
            "kind means hardly anything. To compare all words, train on all the text together, anew."
        )
    return said
