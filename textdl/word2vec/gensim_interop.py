"""gensim's KeyedVectors in memory, both ways. The one file that imports gensim, and only when asked.

gensim's own files (`.kv`, `.model`) are pickles, which can run any code when they are read: textdl
does not read them. `formats.read` says how to convert them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from textdl.vocabulary import SPECIALS, Vocabulary
from textdl.word2vec.vectors import Vectors


def to_gensim(vectors: Vectors) -> Any:
    """A gensim KeyedVectors with the same words in the same order, counts included."""
    from gensim.models import KeyedVectors

    first = len(SPECIALS)
    keyed = KeyedVectors(vectors.dim, count=0, dtype=np.float32)
    words = vectors.vocab.pieces
    if words:
        keyed.add_vectors(words, np.array(vectors.vectors[first:]))
        for word, count in zip(words, vectors.vocab.counts[first:], strict=True):
            keyed.set_vecattr(word, "count", int(count))
    return keyed


def from_gensim(keyed: Any) -> Vectors:
    """From a gensim KeyedVectors; a word that reads `<s>` is a word like any other."""
    first = len(SPECIALS)
    words = [str(word) for word in keyed.index_to_key]
    counts = np.zeros(first + len(words), np.int64)
    if "count" in keyed.expandos:
        counts[first:] = keyed.expandos["count"]
    matrix = np.zeros((first + len(words), keyed.vector_size), np.float32)
    matrix[first:] = keyed.vectors
    return Vectors(Vocabulary(words, counts), matrix)
