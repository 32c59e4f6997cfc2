"""Word vectors from text: skip-gram with negative sampling (Mikolov, Sutskever, Chen, Corrado, Dean 2013).

`fit` turns an encoded corpus into a `Word2Vec`, which answers as `Vectors`; `formats` and
`gensim_interop` exchange vectors with others.
"""

from __future__ import annotations

from textdl.storage import Reader
from textdl.word2vec.model import Config, Word2Vec
from textdl.word2vec.train import fit, held_out_loss
from textdl.word2vec.vectors import Vectors

__all__ = ["Config", "Vectors", "Word2Vec", "fit", "held_out_loss", "load"]


def load(reader: Reader) -> Word2Vec:
    """A saved model, as memory maps. Raises ModelError."""
    return Word2Vec.load(reader)
