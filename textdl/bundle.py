"""A trained model and all that travels with it, and the table of families.

`Model` is what `textdl.train` and `textdl.load` return: the family's own model with the tokenizer, the
vocabulary, the speller and the card. It takes raw text, and hands ids to the model inside.
Adding a family is a line in FAMILIES.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textdl import tokenizers
from textdl.corpus import Corpus, Ledger
from textdl.encoded import Encoded
from textdl.errors import ModelError, TextdlError, UnknownWordError, UsageError
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import checked_lines
from textdl.protocols import Floats, LanguageModel, Tokenizer, WordVectors
from textdl.storage import Reader, check_output, saving
from textdl.vocabulary import LeftOut, Vocabulary, unescape


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
    """Whether training goes over the text in epochs, each of which may be segmented in its own way, and can be resumed."""
    network: bool
    """Whether it is a network: training can be told how long to take, begin with word vectors, and be shared by processes."""
    keep: Callable[[str], bool] | None = None
    """Pieces that the family leaves out unless told otherwise."""
    language_model: bool = True
    """Whether it gives probabilities, so that unknown words have to be spelled."""
    goes_on: bool = False
    """Whether training starts from a saved model, and can be planned."""


def has_letter_or_digit(piece: str) -> bool:
    return any(character.isalnum() for character in piece)


FAMILIES = {
    "ngram": Family("textdl.ngram", "n-gram language model", 1, "none", False, False),
    "word2vec": Family(
        "textdl.word2vec",
        "word vectors",
        5,
        "optional",
        True,
        False,
        has_letter_or_digit,
        language_model=False,
        goes_on=True,
    ),
    "nnlm": Family("textdl.neural.feedforward", "feed-forward language model", 2, "needed", True, True),
    "rnn": Family("textdl.neural.recurrent", "recurrent language model", 2, "needed", True, True),
    "transformer": Family("textdl.neural.transformer", "Transformer language model", 2, "needed", True, True),
    "seq2seq": Family("textdl.seq2seq.architectures", "sequence-to-sequence model", 2, "needed", True, True),
}


@dataclass(frozen=True)
class Source:
    """How the source side of a sequence-to-sequence model is read; its target side is the model's own."""

    tokenizer: Tokenizer
    vocab: Vocabulary

    def encode(self, lines: Iterable[str]) -> Encoded:
        """Raw source lines as the `contexts` of `LanguageModel`."""
        return self.vocab.encode_lines(self.tokenizer.encode_lines(checked_lines(lines)))


class TokenScore(NamedTuple):
    """What a language model says of one token; natural logarithms."""

    text: str
    """The piece; `</s>` for the line end."""
    line_end: bool
    closed: float
    """log p of the piece, or of <unk> where it is unknown."""
    spelling: float | None
    """log p of its spelling, given that it is unknown; None where it is known."""
    length: int | None = None
    """n-gram models: words of the longest n-gram that is known, as KenLM's `query -v` says it."""
    backoff: float | None = None
    """n-gram models: the sum of the log back-off weights in `closed`."""

    @property
    def logp(self) -> float:
        """What the token costs as text: `closed`, and its spelling where it is unknown."""
        return self.closed + (self.spelling or 0.0)


_TOGETHER = 1 << 18
"""Characters that are scored together. A longer line is cut into pieces as they are needed, and never all at once."""
_AT_ONCE = 1 << 13
"""Tokens whose pieces are held."""
_LEFT_OUT = "left-out.txt"
_PLUS, _MINUS = ("+", "\uff0b"), ("-", "\uff0d", "\u2212")
"""Signs between words, as keyboards have them."""

Ranked = list[tuple[str, float]]
"""Words with their scores, best first."""


class Model:
    """A trained model and all that belongs to it.

    model: a LanguageModel or WordVectors, by family.
    card: what `config.json` says of it: hyper-parameters, corpus, ledger, seconds, figures, notes.
    """

    def __init__(
        self, family: str, model: Any, tokenizer: Tokenizer, vocab: Vocabulary, card: dict[str, Any],
        speller: Speller | None, lines: NDArray[np.uint64], curve: Sequence[Mapping[str, Any]] = (),
        left_out: Callable[[], LeftOut | None] = lambda: None, source: Source | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            speller: None for word vectors.
            left_out: gives the types outside the vocabulary, where they are known.
            source: of a sequence-to-sequence model.
        """
        self.family, self.model, self.tokenizer, self.vocab, self.card = family, model, tokenizer, vocab, card
        self.speller, self.lines, self.curve, self._left_out = speller, lines, list(curve), left_out
        self.source = source
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
            if self.speller is not None:
                self.speller.save(out)
            if self.source is not None and self.source.vocab is not self.vocab:
                self.source.tokenizer.save(out.under("source"))
                out.text("source/vocab.txt", self.source.vocab.to_text())
            out.array("lines.npy", self.lines)
            out.text("log.jsonl", "".join(_json_line(record) for record in self.curve))
            if (left_out := self._left_out()) is not None:
                out.text(_LEFT_OUT, left_out.to_text())
        self.directory = directory

    @property
    def ledger(self) -> Ledger:
        """What was read of the corpus, and what became of it; nothing, of a model from a file of another program."""
        return Ledger(**self.card["ledger"] or {})

    def summary(self) -> list[str]:
        """Sentences for after training: what was read, what was dropped, how long it took."""
        said = [*self.ledger.table(), *self.ledger.remarks()] if self.card["ledger"] else []
        figures = self.card.get("figures") or {}
        if not isinstance(self.model, WordVectors) and figures.get("valid_loss") is not None:
            loss, tokens = figures["valid_loss"], figures["valid_tokens"]
            said.append(
                f"Held-out text: {loss:.4f} nats a token, perplexity {math.exp(min(loss, 700.0)):,.2f} ({tokens:,} tokens)."
            )
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

    def score(self, line: str, source: str | None = None) -> list[tuple[str, float]]:
        """Each piece of a line, then the line end, with its natural log-probability.

        An unknown piece has the closed probability of <unk> plus the cost of its spelling.
        source: the line that it translates, for sequence-to-sequence models.
        """
        return next(self.score_lines([line], None if source is None else [source]))

    def score_lines(
        self, lines: Iterable[str], source: Iterable[str] | None = None
    ) -> Iterator[list[tuple[str, float]]]:
        """`score` for every line, with the context that `evaluate` gives: a stream model carries its state on."""
        scored: list[tuple[str, float]] = []
        for token in self.score_tokens(lines, source):
            scored.append((token.text, token.logp))
            if token.line_end:
                yield scored
                scored = []

    def score_tokens(self, lines: Iterable[str], source: Iterable[str] | None = None) -> Iterator[TokenScore]:
        """Every token of every line, as soon as it is scored; behind the tokens of a line, its end.

        Of a line no more is held than its text and 12 bytes for each token. Lines are scored some at a time,
        but all together, and read twice, where a model carries its state from line to line.

        source: line i of it is what line i of `lines` translates; sequence-to-sequence models need it.

        Raises:
            UsageError: a source is missing or not wanted, or has another number of lines.
        """
        if self.language_model.policy.unit == "stream":
            self.encode_source(source)
            yield from self._score_block(lines if isinstance(lines, Corpus | Sequence) else list(lines), None)
            return
        sources = None if source is None else checked_lines(source)
        block: list[str] = []
        size = number = 0
        for line in checked_lines(lines):
            if block and size + len(line) > _TOGETHER:
                yield from self._score_block(block, sources)
                block, size = [], 0
            block.append(line)
            size += len(line)
            number += 1
        yield from self._score_block(block, sources)
        if sources is not None and next(sources, None) is not None:
            raise UsageError(
                f"the text has {number:,} line{'s' if number != 1 else ''} and the source more: give one source line for each."
            )

    def encode_source(self, source: Iterable[str] | None) -> Encoded | None:
        """Source lines as the `contexts` of the language model; None for a model of one text, which has none.

        Raises:
            UsageError: source lines are missing, or given to a model of one text.
        """
        if self.source is not None and source is not None:
            return self.source.encode(source)
        if source is not None:
            raise UsageError(f"{self.name} is a {FAMILIES[self.family].title} and reads no source: leave it out.")
        if self.source is not None:
            raise UsageError(
                f"{self.name} is a {FAMILIES[self.family].title}, which says nothing without a source: give the source "
                "lines (--source FILE, source=)."
            )
        return None

    def _score_block(self, lines: Iterable[str], sources: Iterator[str] | None) -> Iterator[TokenScore]:
        """The lines are gone through twice: for their ids, and for their pieces when they are scored."""
        ids = [self.vocab.encode(self._pieces(line)) for line in checked_lines(lines)]
        encoded = Encoded.from_lines(ids, len(self.vocab))
        del ids
        contexts = self.encode_source(None if sources is None else islice(sources, len(encoded)))
        if contexts is not None and len(contexts) < len(encoded):
            raise UsageError("the source has fewer lines than the text: give one source line for each line.")
        speller = self.speller
        assert speller is not None  # a language model has one: `load` sees to it
        tokens = chain.from_iterable(chain(self._pieces(line), [None]) for line in lines)
        for logp, length, backoff in self._explained(encoded, contexts):
            for start in range(0, len(logp), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                pieces = list(islice(tokens, len(logp[part])))
                strangers = list({piece for piece in pieces if piece is not None and piece not in self.vocab})
                spelled = dict(zip(strangers, speller.log_probs_unknown(strangers).tolist(), strict=True))
                columns = [
                    column[part].tolist() if column is not None else repeat(None) for column in (length, backoff)
                ]
                for piece, p, n, weight in zip(pieces, logp[part].tolist(), *columns, strict=False):
                    cost = spelled.get(piece) if piece is not None else None
                    yield TokenScore(piece if piece is not None else "</s>", piece is None, p, cost, n, weight)

    def _pieces(self, line: str) -> Iterable[str]:
        return self.tokenizer.encode(line) if len(line) <= _TOGETHER else self.tokenizer.iterate(line)

    def _explained(
        self, lines: Encoded, contexts: Encoded | None
    ) -> Iterator[tuple[Floats, NDArray[np.int8] | None, Floats | None]]:
        """Log-probabilities of a text; of an n-gram model with what they come from."""
        model = self.language_model
        if self.family == "ngram":
            from textdl.ngram import NgramModel

            assert isinstance(model, NgramModel)
            yield from model.explain(lines)
        else:
            yield from ((logp, None, None) for logp in model.score(lines, contexts))

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
        """The id of a raw word, tokenized as the training text was; a word in the written form is understood too.

        Raises:
            UnknownWordError: with how often it was seen, how the tokenizer cuts it and the nearest known spelling.
        """
        if not isinstance(word, str):
            raise UsageError(f"expected a word, such as 'cat', got {word!r:.60}")
        for known in (word, unescape(word)):
            if known in self.vocab:
                return self.vocab.id(known)
        pieces = self.words(word)
        return self.vectors.lookup(pieces[0] if len(pieces) == 1 and pieces[0] in self.vocab else word)

    def words(self, text: str) -> list[str]:
        """The pieces of a text that are not white space."""
        return [piece for piece in self.tokenizer.encode(text) if not piece.isspace()]

    def _explain(self, word: str) -> str:
        """Why a word is unknown: how often it was seen, and what the tokenizer makes of it."""
        pieces = self.words(word)
        if not pieces:
            return f"{self.tokenizer.spec} finds no word in it"
        said = [self._seen(pieces[0] if len(pieces) == 1 else word)]
        if len(pieces) > 1:
            known = ", ".join(dict.fromkeys(piece for piece in pieces if piece in self.vocab)) or "none"
            said.append(f"{self.tokenizer.spec} cuts it into {' / '.join(pieces)} (known: {known})")
        return "; ".join(filter(None, said))

    def _seen(self, piece: str) -> str:
        least, left_out = self.card["min_count"], self._left_out()
        if left_out is None:
            return f"how often it was seen is not known, min-count {least}" if least > 1 else ""
        times, exact = left_out.at_most(piece)
        if not times:
            return "never seen in training"
        seen = f"seen {'' if exact else 'at most '}{times:,} time{'s' if times > 1 else ''}"
        if times < least:
            return f"{seen}, min-count {least}"
        keep = FAMILIES[self.family].keep
        return f"{seen}, and left out " + (
            "for it has no letter or digit" if keep is not None and not keep(piece) else "by --max-vocab or --vocab"
        )

    def similar(
        self, *words: str, minus: Sequence[str] = (), k: int = 10, among: int | None = None, min_count: int = 0
    ) -> Ranked:
        """The k words nearest by cosine to a word, or to the centroid of several, themselves left out.

        Args:
            words: one or more; each counts as a vector of length 1.
            minus: words whose vectors are subtracted: similar("king", "woman", minus=["man"]).
            k: how many.
            among: only from the so many most frequent words.
            min_count: only words seen so often.

        Raises:
            UnknownWordError: a word is not known; UsageError: no words, or they cancel out.
        """
        if not words and not minus:
            raise UsageError("similar takes words, such as similar('cat', 'dog')")
        if isinstance(minus, str) or not isinstance(minus, Sequence):
            raise UsageError(f"minus takes a list of words, such as ['cat'], got {minus!r:.60}")
        (found,) = self._nearest([self._centroid(words, minus)], k, among, min_count)
        return found

    def similar_lines(
        self, lines: Sequence[str], *, k: int = 10, among: int | None = None, min_count: int = 0
    ) -> list[Ranked | TextdlError]:
        """`similar` for every line, all at once; for one that has no answer, the error, not raised.

        A line is a word, or several with white space between them, where ` - ` subtracts the word behind it:
        `king - man + woman`.
        """
        return self._each(lines, lambda line: self._centroid(*_signed(line, self.vocab)),
                          lambda asked: self._nearest(asked, k, among, min_count))  # fmt: skip

    def similarity(self, a: str, b: str) -> float:
        """The cosine of two words."""
        return self.vectors.similarity(self.word_id(a), self.word_id(b))

    def analogy(
        self, a: str, b: str, c: str, k: int = 10, *, method: Literal["add", "mul"] = "add",
        among: int | None = None, min_count: int = 0,
    ) -> Ranked:  # fmt: skip
        """The k words d that best complete: a is to b as c is to d.

        Args:
            method: `add`, 3CosAdd (Mikolov et al. 2013), or `mul`, 3CosMul (Levy and Goldberg 2014, eq. 4).
            among, min_count: as for `similar`.
        """
        ids = [self.word_id(word) for word in (a, b, c)]
        return self._analogies([ids], k, method, among, min_count)[0]

    def analogy_lines(
        self, lines: Sequence[str], *, k: int = 10, method: Literal["add", "mul"] = "add",
        among: int | None = None, min_count: int = 0,
    ) -> list[Ranked | TextdlError]:  # fmt: skip
        """`analogy` for every line, `a b c`, all at once; for one that has no answer, the error, not raised."""

        def ids(line: str) -> list[int]:
            words = _separated(line)
            if len(words) != 3:
                raise UsageError(f"expected three words, a b c, got {line[:60]!r}")
            return [self.word_id(word) for word in words]

        return self._each(lines, ids, lambda asked: self._analogies(asked, k, method, among, min_count))

    def odd_one_out(self, *words: str) -> Ranked:
        """Words with their cosines to the mean of all, the one that fits least first."""
        if len(words) < 3:
            one_by_one = "; give them one by one: odd_one_out('a', 'b', 'c')" * (len(words) == 1)
            raise UsageError(
                f"the odd one out is found among three words or more, got {', '.join(map(repr, words)):.60}{one_by_one}"
            )
        ids = [self.word_id(word) for word in words]
        if len(set(ids)) == 1:
            raise UsageError(f"the odd one out is found among different words, got {words[0]!r} {len(words)} times")
        units = self.vectors.units(np.array(ids))
        mean = units.mean(axis=0)
        cosines = (units @ mean / (np.linalg.norm(mean) or 1.0)).tolist()
        return sorted(zip(words, cosines, strict=True), key=lambda found: found[1])

    def export_vectors(self, path: str | os.PathLike[str], *, header: bool = True, float16: bool = False) -> list[str]:
        """Write the word vectors for others, or for asking only.

        Args:
            path: FILE.txt or FILE.vec for word2vec's text, FILE.bin for its binary format (all of them also with
                .gz); another name is the directory of a model without what is needed to train on, half as large.
            header: text only: False leaves out the first line, as GloVe does.
            float16: directories only: half as large again, rounded to 11 bits.

        Returns:
            What is to be said of it: that words are written otherwise than they are spelled.

        Raises:
            UsageError: the path cannot be written, or an option does not go with it.
        """
        from textdl.word2vec import Vectors, formats

        path, model = Path(path), self.vectors
        suffix = Path(path.name.removesuffix(".gz")).suffix
        if float16 and suffix in formats.SUFFIXES:
            raise UsageError(f"{path}: float16 is for directories; the formats of others have no such numbers")
        if not header and suffix not in formats.TEXT:
            raise UsageError(f"{path}: only text, {' or '.join(formats.TEXT)}, can be without its first line")
        if suffix in formats.SUFFIXES:
            vectors = Vectors(self.vocab, model.vectors)
            formats.write_text(vectors, path, header=header) if suffix in formats.TEXT else formats.write_binary(
                vectors, path
            )
            return formats.escaped(self.vocab)
        if suffix and not path.is_dir():
            raise UsageError(
                f"{path}: of no known kind. Name a file {', '.join(sorted(formats.SUFFIXES))}, each also with .gz, or a "
                "directory without a dot in its name."
            )
        check_output(path)
        rows = np.asarray(model.vectors)
        if float16 and rows.dtype != np.float16:
            if np.abs(rows).max(initial=0) > np.finfo(np.float16).max:
                raise UsageError(f"{path}: some numbers are too large for float16; leave float16 out")
            rows = rows.astype(np.float16)
        vectors = Vectors(self.vocab, rows)
        card = {**self.card, "describe": vectors.describe()}
        Model(
            self.family, vectors, self.tokenizer, self.vocab, card, self.speller, self.lines, self.curve, self._left_out
        ).save(path)
        return []

    def _centroid(self, words: Sequence[str], minus: Sequence[str]) -> tuple[NDArray[np.float64], list[int]]:
        """The mean of vectors of length 1, with sign, and their ids."""
        ids = [self.word_id(word) for word in (*words, *minus)]
        signs = np.array([1.0] * len(words) + [-1.0] * len(minus))
        centre: NDArray[np.float64] = (self.vectors.units(np.array(ids)) * signs[:, None]).mean(axis=0)
        if np.linalg.norm(centre) < 1e-12:
            asked = " ".join((*words, *(f"- {word}" for word in minus)))
            raise UsageError(f"{asked}: these vectors are zero or cancel out; nothing is near that")
        return centre, ids

    def _nearest(
        self, asked: Sequence[tuple[NDArray[np.float64], list[int]]], k: int, among: int | None, min_count: int
    ) -> list[Ranked]:
        vectors = self.vectors
        found = vectors.nearest_of_many(
            np.stack([centre for centre, _ in asked]), k, [ids for _, ids in asked],
            among=vectors.frequent(among, min_count),
        )  # fmt: skip
        return list(map(self._named, found))

    def _analogies(
        self, asked: Sequence[Sequence[int]], k: int, method: Literal["add", "mul"], among: int | None, min_count: int
    ) -> list[Ranked]:
        vectors = self.vectors
        found = vectors.analogies(np.array(asked, np.int64), k, method, among=vectors.frequent(among, min_count))
        return list(map(self._named, found))

    def _named(self, found: Sequence[tuple[int, float]]) -> Ranked:
        return [(self.vocab.piece(i), score) for i, score in found]

    def _each(
        self, lines: Sequence[str], read: Callable[[str], Any], answer: Callable[[list[Any]], list[Ranked]]
    ) -> list[Ranked | TextdlError]:
        """Read every line, answer together those that can be, and put the answers where their lines are."""
        if isinstance(lines, str):
            raise UsageError(f"expected a list of lines, got the str {lines[:40]!r}; of one line: [{lines[:20]!r}]")
        read_lines: list[Any] = []
        for number, line in enumerate(lines, 1):
            if not isinstance(line, str):
                raise UsageError(f"line {number}: expected a str of words, got {line!r:.60}")
            try:
                read_lines.append(read(line))
            except (UnknownWordError, UsageError) as error:
                read_lines.append(error)
        asked = [found for found in read_lines if not isinstance(found, TextdlError)]
        answers = iter(answer(asked) if asked else [])
        return [found if isinstance(found, TextdlError) else next(answers) for found in read_lines]


def _separated(line: str) -> list[str]:
    """The words of a line: between spaces, tabs and ideographic spaces."""
    return re.findall(r"[^ \t\r\u3000]+", line)


def _signed(line: str, vocab: Vocabulary) -> tuple[list[str], list[str]]:
    """The words of `a - b + c` to add and to subtract. Signs stand by themselves: `co-op` is a word."""
    if line in vocab:
        return [line], []
    plus: list[str] = []
    minus: list[str] = []
    into, sign = plus, ""
    for word in [*_separated(line), _PLUS[0]]:
        if word not in _PLUS and word not in _MINUS:
            into.append(word)
            into, sign = plus, ""
        elif sign:
            raise UsageError(f"{line[:60]!r}: there is no word behind {sign!r}")
        else:
            into, sign = minus if word in _MINUS else plus, word
    if not plus and not minus:
        raise UsageError(f"expected words, such as `a` or `a - b + c`, got {line[:60]!r}")
    return plus, minus


def check_arpa(path: Path, model: Path) -> None:
    """Look whether `export_arpa` may write there, before the model that goes to `model` is trained.

    Raises:
        UsageError: see ngram.arpa.check_target; or it is within the model's directory.
    """
    from textdl.ngram import arpa

    if model.resolve() in path.resolve().parents:
        raise UsageError(f"--arpa {path} lies in {model}, which will be the model. Name a file beside it.")
    arpa.check_target(path)


def load(directory: str | os.PathLike[str]) -> Model:
    """A saved model.

    Raises:
        UsageError: it is not a textdl model; ModelError: it is a damaged or unfinished one.
    """
    if not isinstance(directory, str | os.PathLike):
        raise UsageError(f"load takes the directory of a model, got {directory!r:.60}")
    reader = Reader(Path(directory))
    try:
        return _load(reader)
    except ModelError:
        new = Reader(Path(directory))
        if new.config["generation"] == reader.config["generation"]:
            raise
        return _load(new)  # it was replaced while it was read


def _load(reader: Reader) -> Model:
    directory = reader.directory
    family = reader.config.get("family")
    if "checkpoint" in reader.config:
        raise UsageError(
            f"{directory} is a checkpoint, not a model: the training it belongs to goes on with "
            "the same command and --resume."
        )
    if family not in FAMILIES:
        raise UsageError(f"{directory}: of family {family!r}; this textdl knows {', '.join(FAMILIES)}")
    vocab = Vocabulary.from_text(reader.text("vocab.txt"), reader.path("vocab.txt"))
    fitted = import_module(FAMILIES[family].module).load(reader)
    tokenizer = tokenizers.load(reader)
    speller = Speller.load(reader)
    curve = [json.loads(line) for line in reader.text("log.jsonl").split("\n") if line]
    if speller is None and FAMILIES[family].language_model:
        raise ModelError(f"{directory}: it has no spelling model, so it is not whole. Copy it again or train it again.")

    @cache
    def left_out() -> LeftOut | None:  # read when a word is asked for that is not known
        return LeftOut.from_text(reader.text(_LEFT_OUT), reader.path(_LEFT_OUT)) if _LEFT_OUT in reader else None

    source = None
    if family == "seq2seq":
        source = Source(tokenizer, vocab)
        if "source/vocab.txt" in reader:
            own = reader.under("source")
            source = Source(tokenizers.load(own), Vocabulary.from_text(own.text("vocab.txt"), own.path("vocab.txt")))
    model = Model(
        family, fitted, tokenizer, vocab, reader.card, speller, reader.array("lines.npy"), curve, left_out, source
    )
    model.directory = directory
    return model


def _json_line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
