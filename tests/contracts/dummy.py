"""A hand-made language model: the contract at its smallest, for tests of what is written against it."""

from dataclasses import dataclass

import numpy as np

from textdl.encoded import BOS, EOS
from textdl.protocols import ScorePolicy


@dataclass
class History:
    last: np.ndarray
    used: bool = False

    def select(self, rows):
        assert not self.used, "step has used this state up"
        return History(self.last[rows])


class Bigram:
    """P(next | last) from a (V, V) table of probabilities; row BOS starts a line. Counts its steps."""

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

    @classmethod
    def fit(cls, data, policy=None):
        table = np.ones((data.vocab_size, data.vocab_size))
        last = BOS
        for token in data.stream():
            table[last, token] += 1
            last = BOS if token == EOS and (policy is None or policy.unit == "line") else token
        table[:, BOS] = 0
        return cls(table / table.sum(1, keepdims=True), policy)

    def score(self, lines, contexts=None, *, policy=None):
        policy = policy or self.policy
        last = BOS
        for i in range(len(lines)):
            if policy.unit == "line":
                last = BOS
            out = []
            for token in [*lines.line(i).tolist(), EOS]:
                out.append(self.table[last, token])
                last = token
            yield np.array(out if policy.line_end else out[:-1], np.float32)

    def start(self, contexts=None, prefixes=None):
        lines = prefixes if prefixes is not None else contexts
        if prefixes is None:
            last = np.full(1 if lines is None else len(lines), BOS)
        else:
            last = np.array([line[-1] if len(line) else BOS for line in map(lines.line, range(len(lines)))], int)
        return self.table[last], History(last)

    def step(self, state, last):
        assert not state.used, "step has used this state up"
        assert len(state.last) == len(last)
        state.used = True
        self.steps += 1
        return self.table[last], History(np.array(last))

    def describe(self):
        return {"size": self.table.size}

    def save(self, out):
        out.array("table.npy", self.table)
        out.json("policy.json", self.policy.unit)

    @classmethod
    def load(cls, reader):
        model = cls(np.ones((1, 1)), ScorePolicy(reader.json("policy.json")))
        model.table = reader.array("table.npy", mmap=False)
        model.vocab_size = len(model.table)
        return model
