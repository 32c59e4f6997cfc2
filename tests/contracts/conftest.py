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


def _nnlm(**config: Any) -> Factory:
    def train(data: Encoded, valid: Encoded) -> LanguageModel:
        from textdl.neural import feedforward

        small = {"order": 3, "embedding_size": 12, "hidden_size": 12, "epochs": 1, "batch_size": 8, "bptt": 8}
        return feedforward.fit(data, feedforward.Config(**small | config), valid=valid, run=Run())

    def load(reader: Reader) -> LanguageModel:
        from textdl.neural import feedforward

        return feedforward.load(reader)

    return Factory(train, load)


def _transformer(unit: str, stride: int | None = None, **shape: Any) -> Factory:
    """Windows of 8 tokens, so that most lines are longer than one."""

    def train(data: Encoded, valid: Encoded) -> LanguageModel:
        import torch

        from textdl.layers.language_model import TorchLanguageModel
        from textdl.layers.windows import pieces
        from textdl.neural.transformer import TransformerNetwork

        small = {"embedding_size": 8, "heads": 2, "layers": 2, "window": 8, "inner_size": 16}
        network = TransformerNetwork(vocab_size=VOCAB_SIZE, **small | shape)
        network.initialise(torch.Generator().manual_seed(1), torch.from_numpy(data.counts()))
        optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
        (piece,) = pieces(iter([data]), unit, 8, 4)
        for rows in np.array_split(np.random.default_rng(1).permutation(len(piece.starts)), 12):
            inputs, targets = (torch.from_numpy(array) for array in piece.rows(rows)[:2])
            hidden, _ = network(inputs, network.initial_state(len(rows)))
            loss = network.softmax.loss(hidden[targets >= 0], targets[targets >= 0])
            optimiser.zero_grad()
            (loss / (targets >= 0).sum()).backward()
            optimiser.step()
        return TorchLanguageModel(network, ScorePolicy("stream" if unit == "stream" else "line", stride=stride))

    def load(reader: Reader) -> LanguageModel:
        from textdl.neural import transformer

        return transformer.load(reader)

    return Factory(train, load)


class Conditioned:
    """A sequence-to-sequence model with one source for all lines: a language model like any other."""

    def __init__(self, model: Any):
        self.model, self.vocab_size, self.policy = model, model.vocab_size, model.policy
        self.describe, self.save, self.step = model.describe, model.save, model.step

    def _sources(self, lines: int) -> Encoded:
        return Encoded.from_lines([[3, 4, 8, 3]] * lines, self.model.source_vocab_size)

    def score(self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None) -> Any:
        return self.model.score(lines, self._sources(len(lines)), policy=policy)

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> Any:
        return self.model.start(self._sources(1 if prefixes is None else len(prefixes)), prefixes)


def _seq2seq(arch: str, *, joint: bool = False, **config: Any) -> Factory:
    """Sources are the targets turned round, in a vocabulary of their own."""

    def pairs(target: Encoded) -> Any:
        from textdl.seq2seq.batching import PairData

        rows = range(len(target))
        size = VOCAB_SIZE if joint else VOCAB_SIZE + 4
        source = Encoded.from_lines([target.line(i)[::-1] for i in rows], size)
        return PairData(source, target, joint)

    def train(data: Encoded, valid: Encoded) -> LanguageModel:
        from textdl.seq2seq.architectures import module

        chosen = module(arch)
        small = {"size": 8, "layers": 2, "epochs": 1, "batch_positions": 200}
        small |= {"heads": 2, "inner_size": 16} if arch == "transformer" else {}
        model = chosen.fit(pairs(data), chosen.Config(**small | config), valid=pairs(valid), run=Run())
        return Conditioned(model)

    def load(reader: Reader) -> LanguageModel:
        from textdl.seq2seq.architectures import load

        return Conditioned(load(reader))

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
    "rnn-gru": _rnn(cell="gru", layers=2, layer_norm=True, residual=True),
    "rnn-gru-dropout": _rnn(cell="gru", dropout=0.2, embedding_dropout=0.1, weight_dropout=0.3),
    "rnn-elman": _rnn(cell="elman", context="stream", tied=False),
    "rnn-elman-relu": _rnn(cell="elman-relu", cutoffs=(6, 9)),
    "rnn-jordan": _rnn(cell="jordan"),
    "rnn-jordan-stream": _rnn(cell="jordan", context="stream", tied=False, hidden_size=10),
    "nnlm-line": _nnlm(),
    "nnlm-stream": _nnlm(context="stream", order=5, direct=True),
    "nnlm-2": _nnlm(order=2, tied=False, cutoffs=(7,)),
    "transformer-line": _transformer("line"),
    "transformer-stream": _transformer("stream"),
    "transformer-stride-1": _transformer("line", stride=1, positions="learned"),
    "transformer-stride-7": _transformer("stream", stride=7, positions="sinusoidal", activation="gelu"),
    "transformer-stride-8": _transformer("line", stride=8, positions="none"),
    "transformer-ngrams": _transformer("line", ngrams=3),
    "seq2seq-transformer": _seq2seq("transformer"),
    "seq2seq-rotary-post-norm": _seq2seq("transformer", joint=True, positions="rotary", norm="post", decoder_layers=1),
    "seq2seq-additive": _seq2seq("rnn", joint=True, cell="gru", attention="additive"),
    "seq2seq-without-attention": _seq2seq("rnn", cell="elman", attention="none", layers=1),
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
