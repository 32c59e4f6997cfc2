"""The report card: some models, of any families, on one raw text. The one way from a text to figures.

The text is read once to be counted (with the leak check on the way), and once for each tokenizer: models that
share one share the pass, and those that share the vocabulary share the ids. Then every model scores it once.
What it is told of a model is a `Subject`, and of that only what protocols.py says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import Encoded
from textdl.errors import ModelError, UsageError
from textdl.evaluation import baselines
from textdl.evaluation.accuracy import Accuracy, check, top_k
from textdl.evaluation.details import Details, Explains, Watcher
from textdl.evaluation.perplexity import Result, measure, settled
from textdl.evaluation.score import EncodedText, EncodeLines, encoded_texts
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import Leaks, TextCounts, count_text
from textdl.protocols import LanguageModel, Run, ScorePolicy, Tokenizer
from textdl.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Subject:
    """A language model with what stands between it and text."""

    name: str
    model: LanguageModel
    tokenizer: Tokenizer
    vocab: Vocabulary
    speller: Speller | None = None
    """What spells unknown tokens; None where nothing can be unknown."""
    trained: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    """Fingerprints of the training lines, sorted; none where they are not known."""
    bytes_on_disk: int | None = None
    encode_source: Callable[[Iterable[str]], Encoded] | None = None
    """Source lines to the ids that a sequence-to-sequence model takes as contexts; None for models of one text."""


@dataclass(frozen=True)
class Evaluation:
    """The report card, with what a number means beside it."""

    results: list[Result]
    """In the order of the models."""
    baselines: list[Result]
    details: list[Details] = field(default_factory=list)
    """Of each model, where they were asked for."""
    accuracy: list[Accuracy] = field(default_factory=list)
    """Of each model, where it was asked for."""

    def __getitem__(self, i: int) -> Result:
        return self.results[i]


def evaluate(
    subjects: Sequence[Subject],
    lines: Iterable[str],
    segmenter: Tokenizer,
    *,
    line_fingerprint: Callable[[str], int],
    policy: ScorePolicy | None = None,
    source: Iterable[str] | None = None,
    baseline: Subject | None = None,
    details: bool = False,
    top: Sequence[int] = (),
    encode_lines: EncodeLines | None = None,
    run: Run | None = None,
) -> Evaluation:
    """Every figure of some models on one raw text.

    Args:
        lines: a list, or anything that can be read again.
        segmenter: declares what a word is for ppl/word.
        line_fingerprint: made the fingerprints of training lines.
        policy: None: each model's own.
        source: the source lines, for models that need them; the others do without.
        baseline: a model that is shown for scale, beside the uniform and the unigram model of the first subject.
        details: also what the HTML report shows.
        top: also how often the next token is among the k likeliest, for these k.
        encode_lines: how lines are tokenized; None: by the tokenizers themselves.

    Raises:
        UsageError: no model, or one that needs source lines and has none, or cannot follow the policy.
        CorpusError: no lines, or others each time they are read.
        ModelError: a model broke its contract.
    """
    run = run or Run()
    if not subjects:
        raise UsageError("no model to evaluate; give one or more model directories")
    every = [*subjects, *([baseline] if baseline is not None else [])]
    for subject in subjects:
        _askable(subject, settled(policy, subject.model), top, source)
    if source is not None and not any(subject.encode_source for subject in subjects):
        run.note("none of the models takes source lines: they are not used")
    leaks = Leaks([subject.trained for subject in every], line_fingerprint)
    counts = count_text(lines, segmenter, encode_lines=encode_lines, leaks=leaks, run=run)
    given = None if source is None else _named(source)
    contexts = [_contexts(subject, source, counts.lines) for subject in every]
    judged: dict[int, tuple[Result, Details | None, Accuracy | None]] = {}
    simple: list[Result] = []
    groups: dict[str, list[int]] = {}
    for i, subject in enumerate(every):
        groups.setdefault(subject.tokenizer.fingerprint, []).append(i)
    for group in groups.values():
        readers = [every[i] for i in group]
        with encoded_texts(readers, lines, counts.lines, encode_lines=encode_lines, run=run) as texts:
            explains = {s.vocab.fingerprint: s.model for s in readers if isinstance(s.model, Explains)}
            for i, subject, text in zip(group, readers, texts, strict=True):
                more = i < len(subjects)
                asked = settled(policy, subject.model) if more else _plain(policy)
                watcher = None
                if details and more:
                    watcher = Watcher(subject, text, asked, explains.get(subject.vocab.fingerprint))
                leaked, checked = leaks.of(i)
                found = None
                with _named_in_errors(subject):
                    result = measure(
                        subject.model, text, counts, name=subject.name, policy=asked, contexts=contexts[i],
                        source=given if contexts[i] is not None else None, bytes_on_disk=subject.bytes_on_disk,
                        leaked=leaked, leak_checked=checked, watch=watcher, run=run,
                    )  # fmt: skip
                    if top and more:
                        found = top_k(subject.model, text.lines, top, policy=asked, contexts=contexts[i], run=run)
                judged[i] = result, watcher.details(lines) if watcher is not None else None, found
                if i == 0:
                    simple = _baselines(subject, text, counts, asked)
    if baseline is not None:
        simple.append(judged.pop(len(subjects))[0])
    results, shown, accuracy = zip(*(judged[i] for i in range(len(subjects))), strict=True)
    return Evaluation(
        list(results),
        simple,
        [one for one in shown if one is not None],
        [one for one in accuracy if one is not None],
    )


def _askable(subject: Subject, policy: ScorePolicy, top: Sequence[int], source: Iterable[str] | None) -> None:
    """Look, before the text is read, whether a model can do what is asked; on a card of many, which one cannot."""
    if subject.encode_source is not None and source is None:
        raise UsageError(
            f"{subject.name} is a sequence-to-sequence model: give the source lines, one for each line of the text "
            "(--source FILE)"
        )
    with _named_in_errors(subject):
        if top:
            check(subject.model, top, policy)
        if subject.encode_source is None:
            for _ in subject.model.score(Encoded.from_lines([[]], subject.model.vocab_size), policy=policy):
                pass


@contextmanager
def _named_in_errors(subject: Subject) -> Iterator[None]:
    """On a card of many: which model it is that cannot, or does not."""
    try:
        yield
    except (UsageError, ModelError) as error:
        raise type(error)(f"{subject.name}: {error}") from error


def _baselines(subject: Subject, text: EncodedText, counts: TextCounts, policy: ScorePolicy) -> list[Result]:
    """The uniform and the unigram model of a subject's vocabulary."""
    plain = _plain(policy)
    bases = [("uniform", baselines.uniform(len(subject.vocab)))]
    if subject.vocab.counts.any():  # none are known of a model that another program made
        bases.append(("unigram", baselines.unigram(subject.vocab)))
    return [measure(base, text, counts, name=f"{title} ({subject.name})", policy=plain) for title, base in bases]


def _plain(policy: ScorePolicy | None) -> ScorePolicy:
    """Line by line, for what is shown for scale and could follow no other: only which tokens count is the same."""
    return ScorePolicy(line_end=policy is None or policy.line_end)


def _contexts(subject: Subject, source: Iterable[str] | None, lines: int) -> Encoded | None:
    if subject.encode_source is None or source is None:
        return None
    contexts = subject.encode_source(source)
    if len(contexts) != lines:
        raise UsageError(
            f"{len(contexts):,} source lines for {lines:,} lines of text; line n of one belongs to line n of the other"
        )
    return contexts


def _named(source: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in source:
        digest.update(line.encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"
