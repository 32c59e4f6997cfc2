"""How good models are: `evaluate`, `compare` and `evaluate_vectors`, from whatever the user has to figures.

A language model is a textdl model or its directory, or somebody else's (see foreign/): an ARPA or KenLM file, a directory
of Hugging Face's, or a `Subject` around any Python object. Each becomes a `Subject`, and from there evaluation/card.py
is the one way. Word vectors are textdl's, a file of others, or an object of gensim's; evaluation/vectors.py takes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from textdl import tokenizers
from textdl.bundle import Model, load
from textdl.corpus import Corpus, line_fingerprint, open_corpus
from textdl.encoded import EOS
from textdl.errors import TextTypeError, UsageError
from textdl.evaluation import card
from textdl.evaluation import vectors as benchmarks
from textdl.evaluation.card import Evaluation, Subject
from textdl.evaluation.compare import Comparison, enough
from textdl.evaluation.compare import compare as compare_results
from textdl.evaluation.copying import Copied, copied
from textdl.evaluation.perplexity import Result
from textdl.evaluation.spelling import Speller, rarest
from textdl.foreign import huggingface
from textdl.foreign.kenlm import KenlmModel, is_kenlm
from textdl.foreign.python import adopted
from textdl.generation.sampling import collect, sample
from textdl.importing import import_model, words_as_pieces
from textdl.preparation import automatic
from textdl.protocols import Run, ScorePolicy, Tokenizer
from textdl.storage import Reader
from textdl.tokenizers.parallel import encode_lines
from textdl.vocabulary import Vocabulary

Evaluable = Model | Subject | str | os.PathLike[str]
"""What can be evaluated: a model, or where it is."""
_KINDS = "a model that train() or load() gave, the path of a model, or what adopt() made of an object"

_BASELINE_ORDER = 5


def evaluate(
    models: Evaluable | Sequence[Evaluable],
    text: Any,
    *,
    source: Any = None,
    words: str | Tokenizer = "auto",
    policy: ScorePolicy | None = None,
    baseline_text: Any = None,
    tokenizer: str | Tokenizer = "whitespace",
    details: bool = False,
    top: Sequence[int] = (),
    encoding: str = "utf-8",
    run: Run | None = None,
) -> Evaluation:
    """One or more language models, of any families, on the same raw text.

    Args:
        models: models, their directories, or those of other programs.
        text: what `train` takes as a corpus.
        source: the source lines, for sequence-to-sequence models: line n belongs to line n of the text.
        words: the tokenizer that declares what a word is for ppl/word; `auto` is jieba for Chinese.
        policy: None: each model's own.
        baseline_text: training text; a 5-gram model of its characters is shown for scale.
        tokenizer: what cut the text of ARPA and KenLM files.
        details: also what the HTML report shows.
        top: also the top-k accuracy for these k.
        encoding: of the files.
        run: receives progress and notes.

    Returns:
        Results in the order of the models, and as baselines the uniform and unigram models of the first one's
        vocabulary, and the one of `baseline_text`.

    Raises:
        UsageError: nothing to evaluate, or something that is no language model.
        CorpusError, ModelError: see evaluation/card.py.
    """
    run = run or Run()
    if policy is not None and not isinstance(policy, ScorePolicy):
        raise UsageError(
            f"policy={policy!r}: expected a textdl.protocols.ScorePolicy, such as ScorePolicy('stream', 64, 32)"
        )
    if isinstance(top, str | int):
        raise UsageError(f"top={top!r}: expected a list of whole numbers, such as [1, 5]")
    subjects = _distinct([subject(model, tokenizer=tokenizer, run=run) for model in _several(models)])
    lines = open_corpus(text, encoding=encoding)
    segmenter = _segmenter(words, lines)
    sources = None if source is None else open_corpus(source, encoding=encoding)
    evaluation = card.evaluate(
        subjects, lines, segmenter, line_fingerprint=line_fingerprint, policy=policy, source=sources,
        baseline=None if baseline_text is None else _baseline(open_corpus(baseline_text, encoding=encoding), run),
        details=details, top=top, encode_lines=encode_lines, run=run,
    )  # fmt: skip
    for sentence in lines.ledger.sentences()[1:]:
        run.note(sentence)
    return evaluation


def compare(
    *models: Evaluable | Result | Evaluation | list[Evaluable | Result],
    text: Any = None,
    source: Any = None,
    words: str | Tokenizer = "auto",
    tokenizer: str | Tokenizer = "whitespace",
    run: Run | None = None,
) -> Comparison:
    """Rank what can be ranked: results, all of an evaluation, or models evaluated on `text`.

    Raises:
        UsageError: fewer than two, models without a text, or a text without models.
        NotComparableError: with the reasons, where nothing can.
    """
    given: list[Evaluable | Result] = []
    for model in models:
        if isinstance(model, Evaluation):
            given += model.results
        elif isinstance(model, list):
            given += model
        else:
            given.append(model)
    enough(given)
    others = [m for m in given if not isinstance(m, Result)]
    if not others:
        if text is not None or source is not None:
            raise UsageError("a text (--text) and source lines (--source) go with models, and only results were given")
        return compare_results([m for m in given if isinstance(m, Result)])
    if text is None:
        raise UsageError(
            f"{_told(others)}: no results of an evaluation (`textdl eval --json FILE`), so taken for models, which are "
            "compared on a text: give text=... (--text FILE)"
        )
    made = iter(evaluate(others, text, source=source, words=words, tokenizer=tokenizer, run=run).results)
    return compare_results([m if isinstance(m, Result) else next(made) for m in given])


def copying(
    models: Evaluable | Sequence[Evaluable],
    training: Any,
    text: Any = None,
    *,
    samples: int = 200,
    max_tokens: int = 100,
    words: str | Tokenizer = "auto",
    encoding: str = "utf-8",
    seed: int = 1,
    run: Run | None = None,
) -> list[Copied]:
    """How much of what models write stands in their training text (see evaluation/copying.py).

    Args:
        training: the text they were trained on.
        text: other text of the kind; as many of its lines are looked at for comparison.
        samples: drawn from each model, of at most `max_tokens` tokens.
        words: the tokenizer that declares what a word is.

    A sequence-to-sequence model writes nothing of its own and is left out, with a note.
    """
    run = run or Run()
    subjects = _distinct([subject(model, run=run) for model in _several(models)])
    known = open_corpus(training, encoding=encoding)
    known.require_text()
    segmenter = _segmenter(words, known)

    def cut(lines: Iterable[str]) -> Iterator[list[str]]:
        return ([piece for piece in line if not piece.isspace()] for line in encode_lines(segmenter, lines))

    texts: dict[str, Iterable[list[str]]] = {}
    for one in subjects:
        if one.encode_source is not None:
            run.note(f"{one.name} writes from a source, not by itself: no samples are drawn from it")
            continue
        drawn = collect(sample(one.model, n=samples, max_tokens=max_tokens, seed=seed), samples)
        lines = [one.tokenizer.decode([one.vocab.piece(i) for i in row if i != EOS]) for row in drawn]
        texts[f"samples of {one.name}"] = cut(lines)
    if text is not None:
        texts["held-out text"] = cut(islice(open_corpus(text, encoding=encoding), samples))
    return copied(texts, cut(known), run=run) if texts else []


def evaluate_vectors(
    models: Any,
    *,
    pairs: Mapping[str, Sequence[benchmarks.Pair]] | None = None,
    analogies: Mapping[str, Sequence[benchmarks.Analogies]] | None = None,
    method: benchmarks.Method = "add",
    among: int | None = None,
    seed: int = 1,
    run: Run | None = None,
) -> list[benchmarks.Row]:
    """Word vectors on benchmarks of similarity and analogy; several on the questions that all of them cover.

    Args:
        models: one or a list of textdl models, their directories, files of other programs (word2vec's text and binary
            format, fastText's .vec, GloVe), and gensim's KeyedVectors or Word2Vec in memory.
        pairs: judgements of similarity by name; None: WordSim-353 and SimLex-999.
        analogies: None: Google's.
        method, among, seed: see evaluation/vectors.py.

    Raises:
        UsageError: something that has no word vectors; ModelError: it cannot be read.
    """
    one = isinstance(models, Model | str | os.PathLike) or _of_gensim(models) is not None
    subjects = [vector_subject(model, run=run) for model in ([models] if one else models)]
    names = [subject.name for subject in subjects]
    return benchmarks.evaluate(
        [replace(s, name=f"{s.name} ({i})") if names.count(s.name) > 1 else s for i, s in enumerate(subjects, 1)],
        {"WordSim-353": benchmarks.wordsim353(), "SimLex-999": benchmarks.simlex999()} if pairs is None else pairs,
        {"Google": benchmarks.google_analogies()} if analogies is None else analogies,
        method=method, among=among, seed=seed,
    )  # fmt: skip


def vector_subject(model: Any, *, run: Run | None = None) -> benchmarks.Subject:
    """Word vectors as the benchmarks take them; see `evaluate_vectors`."""
    if (keyed := _of_gensim(model)) is not None:
        from textdl.word2vec.gensim_interop import from_gensim

        return benchmarks.Subject(type(model).__name__, from_gensim(keyed))
    if not isinstance(model, Model):
        if not isinstance(model, str | os.PathLike):
            raise UsageError(
                f"a {type(model).__name__} holds no word vectors; expected a textdl model, its path, a file of vectors, or "
                "gensim's KeyedVectors"
            )
        path = Path(model)
        if path.is_file():
            return benchmarks.Subject(path.name, import_model(path, run=run).vectors)
        model = load(path)
    return benchmarks.Subject(model.name, model.vectors, model.words)


def _of_gensim(model: Any) -> Any:
    """A KeyedVectors of gensim's, or that of its Word2Vec; None for anything else."""
    keyed = getattr(model, "wv", model)
    return keyed if hasattr(keyed, "index_to_key") and hasattr(keyed, "vectors") else None


def subject(model: Evaluable, *, tokenizer: str | Tokenizer = "whitespace", run: Run | None = None) -> Subject:
    """A model as the evaluation takes it.

    Raises:
        UsageError: it holds no language model; ModelError: it cannot be read.
    """
    if isinstance(model, Subject):
        return model
    if not isinstance(model, Model):
        if not isinstance(model, str | os.PathLike):
            raise UsageError(f"{model!r:.40} is no model; expected {_KINDS}")
        path = Path(model)
        if huggingface.is_huggingface(path):
            return _huggingface(path)
        if is_kenlm(path):
            return _kenlm(path, tokenizer)
        if path.is_file():
            imported = import_model(path, tokenizer=tokenizer, run=run)
            return replace(_subject(imported), name=path.name, bytes_on_disk=path.stat().st_size)
        model = load(path)
    return _subject(model)


def _subject(model: Model) -> Subject:
    return Subject(
        model.name,
        model.language_model,
        model.tokenizer,
        model.vocab,
        model.speller,
        np.asarray(model.lines),
        Reader(model.directory).size() if model.directory else None,
        model.source.encode if model.source is not None else None,
    )


def adopt(model: Any, tokenizer: str | Tokenizer, pieces: Sequence[str], *, name: str | None = None) -> Subject:
    """Any Python object with `score`, `start` and `step` (see protocols.LanguageModel), to be evaluated.

    Args:
        tokenizer: what cuts a line into pieces.
        pieces: pieces[i] has the id i + 3; 0 to 2 are <unk>, <s> and </s>.

    Raises:
        TextTypeError: pieces that are no list of str.
        UsageError: it lacks a method, or is of another number of tokens.
    """
    known = [pieces] if isinstance(pieces, str) else list(pieces)
    if isinstance(pieces, str) or not all(isinstance(piece, str) for piece in known):
        raise TextTypeError(f"the pieces of {type(model).__name__} are {repr(pieces)[:40]}; expected a list of str")
    cut = _tokenizer(tokenizer)
    vocab = Vocabulary(known)
    return Subject(str(name or type(model).__name__), adopted(model, known), cut, vocab, _spelled(vocab, cut))


def _kenlm(path: Path, tokenizer: str | Tokenizer) -> Subject:
    model = KenlmModel(path)
    cut = _tokenizer(tokenizer)
    vocab = Vocabulary(words_as_pieces(model.pieces, cut))
    return Subject(path.name, model, cut, vocab, _spelled(vocab, cut), bytes_on_disk=path.stat().st_size)


def _huggingface(path: Path) -> Subject:
    model, cut = huggingface.load(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Subject(path.name, model, cut, Vocabulary(list(cut.inventory)), bytes_on_disk=size)


def _spelled(vocab: Vocabulary, tokenizer: Tokenizer) -> Speller:
    """A speller for a model that came without: of all types, for nobody says which are rare."""
    return Speller.fit(rarest(vocab, {}), vocab.pieces, single_code_point=tokenizer.single_code_points)


def _baseline(text: Corpus, run: Run) -> Subject:
    """A 5-gram model of the characters of a text: what anyone can have in seconds, for any language."""
    from textdl.models import train

    made = train("ngram", text, tokenizer="char", order=_BASELINE_ORDER, run=Run(seed=run.seed))
    return Subject(
        f"{_BASELINE_ORDER}-gram of characters", made.language_model, made.tokenizer, made.vocab, made.speller,
        np.asarray(made.lines),
    )  # fmt: skip


def _several(models: Evaluable | Sequence[Evaluable]) -> Sequence[Evaluable]:
    if isinstance(models, Model | Subject | str | os.PathLike):
        return [models]
    if not isinstance(models, Iterable):
        raise UsageError(f"{models!r:.40} is no model; expected {_KINDS}, or a list of such")
    return list(models)


def _tokenizer(tokenizer: str | Tokenizer) -> Tokenizer:
    if not isinstance(tokenizer, str | Tokenizer):
        raise UsageError(
            f"a tokenizer of the type {type(tokenizer).__name__}; expected a name, such as 'jieba', or one"
        )
    return tokenizers.create(tokenizer) if isinstance(tokenizer, str) else tokenizer


def _segmenter(words: str | Tokenizer, text: Corpus) -> Tokenizer:
    """What declares a word."""
    if words == "auto":
        return tokenizers.create(automatic(text))
    try:
        return _tokenizer(words)
    except UsageError as error:
        raise UsageError(str(error).replace("--tokenizer", "--words")) from error


def _told(models: Sequence[Evaluable]) -> str:
    return ", ".join(getattr(model, "name", None) or str(model) for model in models)


def _distinct(subjects: Sequence[Subject]) -> list[Subject]:
    """With distinct names, for a table."""
    names = [s.name for s in subjects]
    return [replace(s, name=f"{s.name} ({i})") if names.count(s.name) > 1 else s for i, s in enumerate(subjects, 1)]
