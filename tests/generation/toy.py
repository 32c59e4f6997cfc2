"""A bigram model to generate from."""

from dataclasses import dataclass

import numpy as np

from textdl.encoded import BOS
from textdl.protocols import ScorePolicy


@dataclass
class History:
    last: np.ndarray
    used: bool = False

    def select(self, rows):
        assert not self.used
        return History(self.last[rows])


class Bigram:
    """P(next | last) from a (V, V) table; counts its steps, and refuses a state that was used up."""

    def __init__(self, table, policy=None):
        with np.errstate(divide="ignore"):
            self.table = np.log(np.asarray(table, np.float64)).astype(np.float32)
        self.vocab_size = len(self.table)
        self.policy = policy or ScorePolicy()
        self.steps = 0

    @classmethod
    def random(cls, vocab_size, seed=0, policy=None):
        table = np.random.default_rng(seed).random((vocab_size, vocab_size)) ** 2 + 0.02
        table[:, BOS] = 0
        return cls(table / table.sum(1, keepdims=True), policy)

    def start(self, contexts=None, prefixes=None):
        lines = prefixes if prefixes is not None else contexts
        if lines is None:
            last = np.array([BOS])
        else:
            last = np.array([line[-1] if len(line) else BOS for line in map(lines.line, range(len(lines)))])
        return self.table[last].copy(), History(last)

    def step(self, state, last):
        assert not state.used
        assert len(state.last) == len(last)
        state.used = True
        self.steps += 1
        return self.table[last].copy(), History(np.array(last))
