"""Corpora: text that can be read again and again, line by line, with a ledger of what was read."""

from textdl.corpus.corpus import Corpus, open_corpora, open_corpus
from textdl.corpus.entries import catalog
from textdl.corpus.ledger import Ledger
from textdl.corpus.split import line_fingerprint, line_fingerprints
from textdl.corpus.statistics import mostly_han, stats
from textdl.corpus.writing import write_split

__all__ = [
    "Corpus", "Ledger", "catalog", "line_fingerprint", "line_fingerprints", "mostly_han", "open_corpora", "open_corpus",
    "stats", "write_split",
]  # fmt: skip
