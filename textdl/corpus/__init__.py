"""Corpora: text that can be read again and again, line by line, with a ledger of what was read."""

from textdl.corpus.corpus import Corpus, open_corpora, open_corpus
from textdl.corpus.entries import catalog
from textdl.corpus.fingerprints import line_fingerprint, line_fingerprints
from textdl.corpus.ledger import Ledger
from textdl.corpus.pairs import Pairs, open_pairs
from textdl.corpus.sentences import split_sentences
from textdl.corpus.statistics import mostly_han, stats
from textdl.corpus.writing import write_split

__all__ = [
    "Corpus", "Ledger", "Pairs", "catalog", "line_fingerprint", "line_fingerprints", "mostly_han", "open_corpora",
    "open_corpus", "open_pairs", "split_sentences", "stats", "write_split",
]  # fmt: skip
