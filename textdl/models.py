"""The top of the library: text meets models.

`train(family, corpus, ...)` and `load(directory)` return a `Model`: the family's own model with the
tokenizer, the vocabulary, the speller and the card that travel with it. Only this file, the command
line and the page know every family; adding one is a line in FAMILIES.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

import textdl
from textdl import tokenizers
from textdl.corpus import Ledger, open_corpus
from textdl.corpus.split import line_fingerprint
from textdl.encoded import EOS
from textdl.errors import ModelError, UsageError
from textdl.evaluation import baselines
from textdl.evaluation.compare import Comparison
from textdl.evaluation.compare import compare as compare_results
from textdl.evaluation.perplexity import Result, measure
from textdl.evaluation.score import encoded_text
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import checked_lines, count_text, leaked_lines
from textdl.generation.sampling import sample as sample_ids
from textdl.generation.transforms import transforms
from textdl.preparation import automatic, prepare
from textdl.protocols import LanguageModel, Run, ScorePolicy, Tokenizer, WordVectors
from textdl.storage import Reader, check_output, is_model, saving
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
    budget: bool
    """Whether training can be told how long to take."""
    keep: Callable[[str], bool] | None = None
    """Pieces that the family leaves out unless told otherwise."""


def has_letter_or_digit(piece: str) -> bool:
    return any(character.isalnum() for character in piece)


FAMILIES = {
    "ngram": Family("textdl.ngram", "n-gram language model", 1, "none", False),
    "word2vec": Family("textdl.word2vec", "word vectors", 5, "optional", False, has_letter_or_digit),
    "rnn": Family("textdl.neural.recurrent", "recurrent language model", 2, "needed", True),
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

    def summary(self) -> list[str]:
        """Sentences for after training: what was read, what was dropped, how long it took."""
        said = Ledger(**self.card["ledger"]).sentences()
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
        begin = 0
        for line in pieces:
            known = [0.0 if piece in self.vocab else self.speller.log_prob_unknown(piece) for piece in line]
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


def train(
    family: str,
    corpus: Any,
    *,
    tokenizer: str | Tokenizer = "auto",
    output: str | os.PathLike[str] | None = None,
    valid: Any = None,
    min_count: int | None = None,
    max_vocab: int | None = None,
    keep_punctuation: bool = False,
    encoding: str = "utf-8",
    seed: int | None = None,
    budget: float | None = None,
    run: Run | None = None,
    **config: Any,
) -> Model:
    """Train a model on raw text.

    Args:
        family: `ngram`, `word2vec` or `rnn`.
        corpus: a path, the name of a built-in corpus, a list of lines, or a Corpus.
        tokenizer: what `--tokenizer` takes, or a Tokenizer; `auto` looks at the text.
        output: a directory to save to; refused before any work if it holds something else.
        valid: held-out text; families that need it hold out 5 % where it is None.
        min_count: types with fewer tokens become <unk> (ngram 1, word2vec 5, rnn 2).
        max_vocab: at most so many types.
        keep_punctuation: word2vec only: also train on pieces without a letter or digit.
        encoding: of the files.
        seed: same seed, same model, where the family promises it; None: that of `run`, which is 1.
        budget: seconds for everything from this call to the saved model (rnn).
        run: receives progress, notes and figures.
        config: the family's own settings, e.g. order=3; None means the default.

    Raises:
        UsageError, CorpusError: with what was found and what to do.
    """
    run = run or Run()
    run.seed = run.seed if seed is None else seed
    for name, value in (("seed", run.seed), ("min_count", min_count), ("max_vocab", max_vocab)):
        if value is not None and (not isinstance(value, int) or not 0 <= value < 1 << 63):
            raise UsageError(f"{_option(name)} {value!r}: expected a whole number from 0 up")
    if budget is not None and not (isinstance(budget, int | float) and budget > 0):
        raise UsageError(f"--budget {budget!r}: expected a number of seconds above 0")
    began = time.monotonic()
    entry = _family(family)
    module = import_module(entry.module)
    if output is not None:
        check_output(Path(output))
    if budget is not None:
        if not entry.budget:
            raise UsageError(f"--budget is for neural models; {family} takes the time its text takes")
        run.deadline = began + budget - _reserve(budget)

    text = open_corpus(corpus, encoding=encoding)
    settings = _config(module.Config, family, config, unit=text.unit)
    if valid is not None and entry.validation == "none":
        raise UsageError(f"--valid is for families that train in steps; {family} counts, and evaluates with `eval`")
    prepared = prepare(
        text,
        tokenizer=tokenizer,
        valid=open_corpus(valid, encoding=encoding) if valid is not None else None,
        hold_out=entry.validation == "needed",
        unit=getattr(settings, "context", text.unit),
        min_count=entry.min_count if min_count is None else min_count,
        max_vocab=max_vocab,
        keep=None if keep_punctuation else entry.keep,
        run=run,
    )
    fitted = module.fit(prepared.data, settings, valid=prepared.valid, run=run)
    made, vocab, text = prepared.tokenizer, prepared.vocab, prepared.text
    card = {
        "family": family,
        "textdl": textdl.__version__,
        "config": asdict(settings),
        "seed": run.seed,
        "min_count": prepared.min_count,
        "tokenizer": {"spec": made.spec, "fingerprint": made.fingerprint, "lossless": made.lossless},
        "vocabulary": {"size": len(vocab), "fingerprint": vocab.fingerprint},
        "corpus": {"name": text.name, "fingerprint": text.fingerprint, "unit": text.unit},
        "ledger": prepared.ledger.to_dict(),
        "train_seconds": round(sum(run.seconds.get(s, 0.0) for s in ("counting", "estimating", "training")), 3),
        "seconds": {stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        "figures": run.figures,
        "notes": run.notes,
        "interrupted": run.interrupted,
        "describe": fitted.describe(),
        "versions": _versions(),
    }
    model = Model(family, fitted, made, vocab, card, prepared.speller, prepared.lines, run.curve)
    if output is not None:
        directory = Path(output)
        if run.interrupted and is_model(directory):
            directory = _free(directory.with_name(directory.name + ".interrupted"))
        with run.timing("saving"):
            model.save(directory)
    return model


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


@dataclass(frozen=True)
class Evaluation:
    """The report card of some models on one text, with what a number means beside it."""

    results: list[Result]
    baselines: list[Result]

    def __getitem__(self, i: int) -> Result:
        return self.results[i]


def evaluate(
    models: Model | str | os.PathLike[str] | Sequence[Model | str | os.PathLike[str]],
    text: Any,
    *,
    words: str = "auto",
    policy: ScorePolicy | None = None,
    encoding: str = "utf-8",
    run: Run | None = None,
) -> Evaluation:
    """One or more language models, of any families, on the same raw text.

    Args:
        models: models or their directories.
        text: what `train` takes as a corpus.
        words: the tokenizer that declares what a word is for ppl/word; `auto` is jieba for Chinese.
        policy: None: each model's own.

    Returns:
        Results in the order of the models, and the uniform and unigram models of the first one's
        vocabulary as baselines.
    """
    run = run or Run()
    loaded = [_loaded(m) for m in ([models] if isinstance(models, Model | str | os.PathLike) else models)]
    if not loaded:
        raise UsageError("no model to evaluate; give one or more model directories")
    for model in loaded:
        _ = model.language_model
    lines = open_corpus(text, encoding=encoding)
    counts = count_text(lines, tokenizers.create(automatic(lines) if words == "auto" else words))
    for sentence in lines.ledger.sentences()[1:]:
        run.note(sentence)
    results: list[Result] = []
    simple: list[Result] = []
    for name, model in zip(_names(loaded), loaded, strict=True):
        leaked = leaked_lines(lines, model.lines, line_fingerprint)
        with encoded_text(model.tokenizer, model.vocab, model.speller, lines, run) as encoded:
            results.append(
                measure(
                    model.language_model, encoded, counts, policy=policy, name=name, leaked=leaked, run=run,
                    bytes_on_disk=Reader(model.directory).size() if model.directory else None,
                )
            )  # fmt: skip
            if not simple:
                for title, base in (
                    ("uniform", baselines.uniform(len(model.vocab))),
                    ("unigram", baselines.unigram(model.vocab)),
                ):
                    simple.append(measure(base, encoded, counts, policy=policy, name=f"{title} ({name})"))
    return Evaluation(results, simple)


def compare(*models: Model | str | os.PathLike[str] | Result, text: Any = None, run: Run | None = None) -> Comparison:
    """Rank what can be ranked: results, or models evaluated on `text`.

    Raises:
        NotComparableError: with the reasons, where nothing can.
    """
    results = [m for m in models if isinstance(m, Result)]
    others = [m for m in models if not isinstance(m, Result)]
    if others:
        if text is None:
            raise UsageError("models are compared on a text: give text=... (--text FILE), or results of an evaluation")
        results += evaluate(others, text, run=run).results
    return compare_results(results)


def sample(
    model: Model | str | os.PathLike[str],
    *,
    prompt: str = "",
    n: int = 1,
    max_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 1,
) -> list[str]:
    """n texts drawn from a language model, each with its prompt, up to its line end."""
    texts = [""] * n
    for row, text in stream(
        model, prompt=prompt, n=n, max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    ):
        texts[row] = text
    return texts


def stream(
    model: Model | str | os.PathLike[str],
    *,
    prompt: str = "",
    n: int = 1,
    max_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 1,
) -> Iterator[tuple[int, str]]:
    """`sample` as it goes: (row, the whole text of the row so far) after every token."""
    loaded = _loaded(model)
    pieces = loaded.tokenizer.encode(next(checked_lines([prompt])))
    rows = [list(pieces) for _ in range(n)]
    drawn = sample_ids(
        loaded.language_model,
        n=n,
        max_tokens=max_tokens,
        transforms=transforms(temperature=temperature, top_k=top_k, top_p=top_p),
        seed=seed,
        prefixes=loaded.vocab.encode_lines([pieces]),
    )
    for row in range(n):
        yield row, loaded.tokenizer.decode(pieces)
    for token in drawn:
        if token.id != EOS:
            rows[token.row].append(loaded.vocab.piece(token.id))
            yield token.row, loaded.tokenizer.decode(rows[token.row])


# -- inside ----------------------------------------------------------------------------------------


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise UsageError(f"no model family {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _config(cls: Any, family: str, given: Mapping[str, Any], unit: str) -> Any:
    """The family's Config. A family that can read lines or a stream takes what the corpus is."""
    known = {field.name for field in fields(cls)}
    kinds: dict[Any, Any] = {int: int, float: (int, float), str: str, bool: bool}
    for name, hint in get_type_hints(cls).items():
        wanted = tuple(kinds[part] for part in (get_args(hint) or (hint,)) if part in kinds)
        if wanted and given.get(name) is not None and not any(isinstance(given[name], kind) for kind in wanted):
            raise UsageError(f"{_option(name)} {given[name]!r}: expected {hint if get_args(hint) else hint.__name__}")
    given = {"context": unit, **given} if "context" in known and given.get("context") is None else given
    if unknown := sorted(set(given) - known):
        raise UsageError(f"{family} has no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return cls(**{key: value for key, value in given.items() if value is not None})


def peak_memory() -> dict[str, int]:
    """Bytes this process has held at most, where the system tells."""
    try:
        import resource
    except ImportError:
        return {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_bytes": peak if sys.platform == "darwin" else peak * 1024}


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """What `textdl compare --json` writes."""
    return {
        "rankings": [
            {
                "unit": ranking.unit,
                "places": [
                    {
                        "model": place.result.model,
                        "value": place.value,
                        "difference": place.difference,
                        "interval": place.interval,
                    }
                    for place in ranking.places
                ],
            }
            for ranking in comparison.rankings
        ],
        "refusals": comparison.refusals,
        "labels": comparison.labels,
    }


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _free(directory: Path) -> Path:
    """The directory itself, or the first of its name with a number that does not exist."""
    taken = (directory.with_name(f"{directory.name}-{i}") for i in itertools.count(2))
    return directory if not directory.exists() else next(path for path in taken if not path.exists())


def _loaded(model: Model | str | os.PathLike[str]) -> Model:
    return model if isinstance(model, Model) else load(model)


def _names(models: Sequence[Model]) -> list[str]:
    """Distinct names for a table."""
    names = [model.name for model in models]
    return [f"{name} ({i})" if names.count(name) > 1 else name for i, name in enumerate(names, 1)]


def _reserve(budget: float) -> float:
    """Seconds kept for what follows training: saving."""
    return min(2.0 + 0.02 * budget, 0.2 * budget)


def _json_line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in ("numpy", "numba", "torch", "jieba", "sentencepiece")
    }
