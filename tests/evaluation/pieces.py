"""Tokenizers and models small enough to reason about."""

import re
from dataclasses import dataclass

import numpy as np

from textdl.encoded import BOS, EOS
from textdl.protocols import ScorePolicy


class Splitter:
    """A tokenizer from a regular expression."""

    inventory = None
    lossless = True

    def __init__(self, spec="words", pattern=r"\s|[^\s]+", lower=False):
        self.spec, self._pattern, self._lower = spec, re.compile(pattern, re.DOTALL), lower

    @property
    def fingerprint(self):
        return f"{self.spec}:{self._pattern.pattern}:{self._lower}"

    def encode(self, line):
        return self._pattern.findall(line.lower() if self._lower else line)

    def encode_lines(self, lines):
        return (self.encode(line) for line in lines)

    def decode(self, pieces):
        return "".join(pieces)

    def save(self, out):
        raise NotImplementedError


def char():
    return Splitter("char", r".")


@dataclass
class History:
    last: np.ndarray

    def select(self, rows):
        return History(self.last[rows])


class Bigram:
    """P(next | last) from a (V, V) table of probabilities; row BOS starts a line."""

    def __init__(self, table, policy=None):
        with np.errstate(divide="ignore"):
            self.table = np.log(np.asarray(table, np.float64)).astype(np.float32)
        self.vocab_size = len(self.table)
        self.policy = policy or ScorePolicy()

    @classmethod
    def random(cls, vocab_size, seed=0, policy=None):
        table = np.random.default_rng(seed).random((vocab_size, vocab_size)) + 0.05
        table[:, BOS] = 0
        return cls(table / table.sum(1, keepdims=True), policy)

    def score(self, lines, contexts=None, *, policy=None):
        policy = policy or self.policy
        last = BOS
        for i in range(len(lines)):
            if policy.unit == "line":
                last = BOS
            ids = lines.line(i).tolist()
            out = []
            for id in [*ids, EOS] if policy.line_end else ids:
                out.append(self.table[last, id])
                last = id
            yield np.array(out, np.float32)

    def start(self, contexts=None, prefixes=None):
        if prefixes is None:
            last = np.full(1 if contexts is None else len(contexts), BOS)
        else:
            last = np.array([line[-1] if len(line) else BOS for line in map(prefixes.line, range(len(prefixes)))])
        return self.table[last].copy(), History(last)

    def step(self, state, last):
        return self.table[last].copy(), History(np.array(last))

    def describe(self):
        return {"size": self.vocab_size**2}

    def save(self, out):
        out.array("table.npy", np.exp(self.table.astype(np.float64)))

    @classmethod
    def load(cls, reader):
        return cls(reader.array("table.npy"))
