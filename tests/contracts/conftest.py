"""The language models that every contract test runs on. A new family is one entry in FACTORIES."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from textdl.encoded import UNK, Encoded
from textdl.evaluation import baselines
from textdl.protocols import LanguageModel, Run, ScorePolicy
from textdl.storage import Reader
from textdl.vocabulary import Vocabulary

from .dummy import Bigram

VOCAB_SIZE = 13


@dataclass(frozen=True)
class Factory:
    """How to come by a tiny trained model of one kind, and by a saved one."""

    train: Callable[[Encoded, Encoded], LanguageModel]
    """From training and held-out text."""
    load: Callable[[Reader], LanguageModel]


@dataclass(frozen=True)
class Subject:
    name: str
    model: LanguageModel
    load: Callable[[Reader], LanguageModel]


def _ngram(**config: Any) -> Factory:
    def train(data: Encoded, valid: Encoded) -> LanguageModel:
        from textdl import ngram

        return ngram.fit(data, ngram.Config(**config), run=Run())

    def load(reader: Reader) -> LanguageModel:
        from textdl import ngram

        return ngram.load(reader)

    return Factory(train, load)


def _rnn(**config: Any) -> Factory:
    def train(data: Encoded, valid: Encoded) -> LanguageModel:
        from textdl.neural import recurrent

        small = {"embedding_size": 12, "hidden_size": 12, "epochs": 1, "batch_size": 8, "bptt": 8}
        return recurrent.fit(data, recurrent.Config(**small | config), valid=valid, run=Run())

    def load(reader: Reader) -> LanguageModel:
        from textdl.neural import recurrent

        return recurrent.load(reader)

    return Factory(train, load)


def _unigram(data: Encoded, valid: Encoded) -> LanguageModel:
    return baselines.unigram(Vocabulary([str(i) for i in range(3, VOCAB_SIZE)], data.counts()))


FACTORIES = {
    "dummy-line": Factory(lambda data, valid: Bigram.fit(data), Bigram.load),
    "dummy-stream": Factory(lambda data, valid: Bigram.fit(data, ScorePolicy("stream")), Bigram.load),
    "uniform": Factory(lambda data, valid: baselines.uniform(VOCAB_SIZE), baselines.ContextFree.load),
    "unigram": Factory(_unigram, baselines.ContextFree.load),
    "ngram-1": _ngram(order=1),
    "ngram-2": _ngram(order=2),
    "ngram-3": _ngram(order=3),
    "ngram-5": _ngram(order=5),
    "ngram-3-pruned": _ngram(order=3, prune=(0, 0, 1)),
    "rnn-line": _rnn(context="line"),
    "rnn-stream": _rnn(context="stream"),
}


def text(lines: int, seed: int) -> Encoded:
    """Lines of 0 to 20 ids in which what comes next depends on the last two; <unk> is among them.

    The last id is never used, so every model is also asked about what it has not seen.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(lines):
        ids = [int(rng.integers(3, VOCAB_SIZE - 1))]
        while len(ids) < 20 and rng.random() > 0.15:
            ids.append(UNK if rng.random() < 0.05 else 3 + (3 * ids[-1] + ids[max(-2, -len(ids))]) % (VOCAB_SIZE - 4))
        made.append(ids if rng.random() > 0.1 else [])
    return Encoded.from_lines(made, VOCAB_SIZE)


@pytest.fixture(scope="session", params=FACTORIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    factory = FACTORIES[request.param]
    return Subject(request.param, factory.train(text(300, 1), text(30, 2)), factory.load)


@pytest.fixture(scope="session")
def model(subject: Subject) -> LanguageModel:
    return subject.model
