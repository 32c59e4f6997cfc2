"""A trained model and all that travels with it, and the table of families.

`Model` is what `textdl.train` and `textdl.load` return: the family's own model with the tokenizer, the
vocabulary, the speller and the card. It takes raw text, and hands ids to the model inside.
Adding a family is a line in FAMILIES.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textdl import tokenizers
from textdl.corpus import Ledger
from textdl.errors import ModelError, UsageError
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import checked_lines
from textdl.protocols import LanguageModel, Tokenizer, WordVectors
from textdl.storage import Reader, saving
from textdl.vocabulary import Vocabulary


@dataclass(frozen=True)
class Family:
    """How a model family is reached: `module` has Config, fit(data, config, ...) and load(reader)."""

    module: str
    title: str
    min_count: int
    """Types with fewer tokens are cut when the user does not say."""
    validation: Literal["none", "optional", "needed"]
    """Whether training looks at held-out text; `needed`: 5 % of the corpus is held out where none is given."""
    epochs: bool
    """Whether training goes over the text in epochs, each of which may be segmented in its own way."""
    budget: bool
    """Whether training can be told how long to take."""
    keep: Callable[[str], bool] | None = None
    """Pieces that the family leaves out unless told otherwise."""


def has_letter_or_digit(piece: str) -> bool:
    return any(character.isalnum() for character in piece)


FAMILIES = {
    "ngram": Family("textdl.ngram", "n-gram language model", 1, "none", False, False),
    "word2vec": Family("textdl.word2vec", "word vectors", 5, "optional", True, False, has_letter_or_digit),
    "rnn": Family("textdl.neural.recurrent", "recurrent language model", 2, "needed", True, True),
}


class Model:
    """A trained model and all that belongs to it.

    model: a LanguageModel or WordVectors, by family.
    card: what `config.json` says of it: hyper-parameters, corpus, ledger, seconds, figures, notes.
    """

    def __init__(
        self, family: str, model: Any, tokenizer: Tokenizer, vocab: Vocabulary, card: dict[str, Any],
        speller: Speller, lines: NDArray[np.uint64], curve: Sequence[Mapping[str, Any]] = (),
    ) -> None:  # fmt: skip
        self.family, self.model, self.tokenizer, self.vocab, self.card = family, model, tokenizer, vocab, card
        self.speller, self.lines, self.curve = speller, lines, list(curve)
        self.directory: Path | None = None
        if isinstance(model, WordVectors):
            model.vocab, model.explain = vocab, self._explain

    def __repr__(self) -> str:
        return f"<textdl {FAMILIES[self.family].title}, {self.tokenizer.spec}, {len(self.vocab.pieces):,} types>"

    @property
    def name(self) -> str:
        return self.directory.name if self.directory else self.family

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write a model directory. What was there before stays until the new one is complete."""
        directory = Path(directory)
        with saving(directory, self.card) as out:
            self.model.save(out)
            self.tokenizer.save(out)
            out.text("vocab.txt", self.vocab.to_text())
            self.speller.save(out)
            out.array("lines.npy", self.lines)
            out.text("log.jsonl", "".join(_json_line(record) for record in self.curve))
        self.directory = directory

    @property
    def ledger(self) -> Ledger:
        """What was read of the corpus, and what became of it."""
        return Ledger(**self.card["ledger"])

    def summary(self) -> list[str]:
        """Sentences for after training: what was read, what was dropped, how long it took."""
        said = [*self.ledger.table(), *self.ledger.remarks()]
        spent = {stage: seconds for stage, seconds in self.card["seconds"].items() if seconds >= 0.05}
        if spent:
            said.append("Seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in spent.items()) + ".")
        if self.card["interrupted"]:
            said.append("Training was stopped by Ctrl-C; this is the model as it was then.")
        if self.directory:
            said.append(f"Saved to {self.directory} ({Reader(self.directory).size() / 1e6:,.1f} MB).")
        return said

    # -- language models --------------------------------------------------------------------------

    @property
    def language_model(self) -> LanguageModel:
        if isinstance(self.model, WordVectors):
            raise UsageError(
                f"{self.name} holds word vectors, which give no probabilities; this takes a language model "
                "(textdl train ngram or rnn). Word vectors answer `similar`, `analogy` and `vectors eval`."
            )
        model: LanguageModel = self.model
        return model

    def score(self, line: str) -> list[tuple[str, float]]:
        """Each piece of a line, then the line end, with its natural log-probability.

        An unknown piece has the closed probability of <unk> plus the cost of its spelling.
        """
        return next(self.score_lines([line]))

    def score_lines(self, lines: Iterable[str]) -> Iterator[list[tuple[str, float]]]:
        """`score` for every line, with the context that `evaluate` gives: a stream model carries its state on."""
        pieces = list(self.tokenizer.encode_lines(checked_lines(lines)))
        scores = np.concatenate([*self.language_model.score(self.vocab.encode_lines(pieces)), np.empty(0, np.float32)])
        strangers = list({piece for line in pieces for piece in line if piece not in self.vocab})
        spelled = dict(zip(strangers, self.speller.log_probs_unknown(strangers).tolist(), strict=True))
        begin = 0
        for line in pieces:
            known = [spelled.get(piece, 0.0) for piece in line]
            here = scores[begin : begin + len(line) + 1].tolist()
            yield [(p, s + k) for p, s, k in zip([*line, "</s>"], here, [*known, 0.0], strict=True)]
            begin += len(line) + 1

    def export_arpa(self, path: str | os.PathLike[str]) -> None:
        """Write an n-gram model in the ARPA format; compressed where the name ends in .gz."""
        from textdl.ngram import NgramModel, arpa

        if not isinstance(self.model, NgramModel):
            raise UsageError(f"{self.name} is a {FAMILIES[self.family].title}; only n-gram models have an ARPA form")
        arpa.write(self.model, self.vocab, Path(path))

    # -- word vectors -----------------------------------------------------------------------------

    @property
    def vectors(self) -> WordVectors:
        if not isinstance(self.model, WordVectors):
            raise UsageError(
                f"{self.name} is a {FAMILIES[self.family].title} and has no word vectors to ask; "
                "train them with `textdl train word2vec`."
            )
        return self.model

    def word_id(self, word: str) -> int:
        """The id of a raw word, tokenized as the training text was.

        Raises:
            UnknownWordError: with how the tokenizer cuts the word and the nearest known spelling.
        """
        pieces = [word] if word in self.vocab else self._words(word)
        return self.vectors.lookup(pieces[0] if len(pieces) == 1 and pieces[0] in self.vocab else word)

    def _words(self, text: str) -> list[str]:
        return [piece for piece in self.tokenizer.encode(text) if not piece.isspace()]

    def _explain(self, word: str) -> str:
        """Why a word may be unknown."""
        pieces, said = self._words(word), []
        if len(pieces) > 1:
            known = " ".join(piece for piece in pieces if piece in self.vocab) or "none"
            said.append(f"{self.tokenizer.spec} cuts it into {' / '.join(pieces)}; known of these: {known}.")
        if (least := self.card["min_count"]) > 1:
            said.append(f"Words seen fewer than {least} times were left out.")
        return " ".join(said)

    def similar(self, *words: str, k: int = 10) -> list[tuple[str, float]]:
        """The k words nearest by cosine to a word, or to the centroid of several."""
        vectors = self.vectors
        if not words or not all(isinstance(word, str) for word in words):
            raise UsageError(f"similar takes words, such as similar('cat', 'dog'); got {words!r:.60}")
        ids = [self.word_id(word) for word in words]
        rows = np.asarray(vectors.vectors)[ids]
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        centre = (rows / np.where(norms > 0, norms, 1)).mean(axis=0)
        return [(self.vocab.piece(i), score) for i, score in vectors.nearest(centre, k, exclude=ids)]

    def similarity(self, a: str, b: str) -> float:
        """The cosine of two words."""
        return self.vectors.similarity(self.word_id(a), self.word_id(b))

    def analogy(self, a: str, b: str, c: str, k: int = 10) -> list[tuple[str, float]]:
        """The k words d that best complete: a is to b as c is to d (3CosAdd, Mikolov et al. 2013)."""
        ids = [self.word_id(word) for word in (a, b, c)]
        return [(self.vocab.piece(i), score) for i, score in self.vectors.analogy(ids[0], ids[1], ids[2], k)]


def load(directory: str | os.PathLike[str]) -> Model:
    """A saved model.

    Raises:
        UsageError: it is not a textdl model; ModelError: it is a damaged or unfinished one.
    """
    if not isinstance(directory, str | os.PathLike):
        raise UsageError(f"load takes the directory of a model, got {directory!r:.60}")
    reader = Reader(Path(directory))
    family = reader.config.get("family")
    if family not in FAMILIES:
        raise UsageError(f"{directory}: of family {family!r}; this textdl knows {', '.join(FAMILIES)}")
    vocab = Vocabulary.from_text(reader.text("vocab.txt"), reader.path("vocab.txt"))
    fitted = import_module(FAMILIES[family].module).load(reader)
    tokenizer = tokenizers.load(reader)
    speller = Speller.load(reader)
    curve = [json.loads(line) for line in reader.text("log.jsonl").split("\n") if line]
    if speller is None:
        raise ModelError(f"{directory}: it has no spelling model, so it is not whole. Copy it again or train it again.")
    model = Model(family, fitted, tokenizer, vocab, reader.card, speller, reader.array("lines.npy"), curve)
    model.directory = Path(directory)
    return model


def _json_line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
