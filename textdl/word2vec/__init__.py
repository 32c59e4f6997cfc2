"""Word vectors from text: skip-gram with negative sampling (Mikolov, Sutskever, Chen, Corrado, Dean 2013).

`fit` turns an encoded corpus into a `Word2Vec`, which answers as `Vectors`; `formats` and
`gensim_interop` exchange vectors with others.
"""

from __future__ import annotations

from textdl.storage import Reader
from textdl.word2vec.extending import Start, inherited
from textdl.word2vec.model import Config, Word2Vec
from textdl.word2vec.planning import Plan, plan
from textdl.word2vec.train import fit, held_out_loss
from textdl.word2vec.vectors import Vectors

__all__ = [
    "Config", "Plan", "Start", "Vectors", "Word2Vec", "fit", "held_out_loss", "inherited", "load", "plan",
]  # fmt: skip


def load(reader: Reader) -> Vectors:
    """A saved model, as memory maps: a Word2Vec, or Vectors where nothing to train on was kept. Raises ModelError."""
    return Word2Vec.load(reader) if "context.npy" in reader else Vectors.load(reader)
