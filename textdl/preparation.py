"""From a corpus to what a family trains on: held-out text, pieces, vocabulary, ids, speller, ledger.

The one path that every `train` takes, whatever the family. Text is read once for its fingerprints and
once to be tokenized; nothing is left out without a count in the ledger or a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from textdl import tokenizers
from textdl.corpus import Corpus, Ledger, line_fingerprints, mostly_han
from textdl.encoded import Encoded
from textdl.errors import CorpusError, UsageError
from textdl.evaluation.spelling import Speller, rarest
from textdl.protocols import Run, Tokenizer
from textdl.vocabulary import Vocabulary, count, cut

HELD_OUT = 0.05
"""Of a corpus, where a family needs held-out text and none is given."""


@dataclass(frozen=True)
class Prepared:
    """All that training and the saved model need."""

    text: Corpus
    """What is trained on, held-out lines not among it."""
    tokenizer: Tokenizer
    vocab: Vocabulary
    data: Encoded
    valid: Encoded | None
    min_count: int
    speller: Speller
    lines: NDArray[np.uint64]
    """Fingerprints of the training lines, sorted."""
    ledger: Ledger
    """Of everything that was read, held-out lines included."""


def prepare(
    text: Corpus,
    *,
    tokenizer: str | Tokenizer,
    valid: Corpus | None,
    hold_out: bool,
    unit: str,
    min_count: int,
    max_vocab: int | None,
    keep: Callable[[str], bool] | None,
    run: Run,
) -> Prepared:
    """Prepare a corpus.

    Args:
        text: the corpus.
        tokenizer: a specification, `auto`, or a Tokenizer.
        valid: held-out text.
        hold_out: take 5 % of the corpus where there is no `valid`.
        unit: `line` or `stream`: how the family reads the text, and so how a part is held out.
        min_count: types with fewer tokens become <unk>.
        max_vocab: at most so many types.
        keep: pieces for which this is False are cut.
        run: receives progress, notes and seconds.

    Raises:
        CorpusError: no text, or too little to hold some out.
        UsageError: an impossible tokenizer or vocabulary size.
    """
    if not isinstance(tokenizer, str | Tokenizer):
        raise UsageError(f"tokenizer: expected a name such as 'jieba' or a Tokenizer, got {tokenizer!r:.60}")
    if max_vocab is not None and max_vocab < 1:
        raise UsageError(f"--max-vocab {max_vocab}: a vocabulary has at least one type")
    if min_count < 1:
        raise UsageError(f"--min-count {min_count}: expected 1 or more")
    with run.timing("reading"):
        text.require_text()
        ledger = replace(text.read())
        if valid is not None:
            valid.require_text()
        elif hold_out:
            text, valid = _held_out(text, unit, run)
        lines = line_fingerprints(text)
    made = _tokenizer(tokenizer, text, run)
    with run.timing("encoding"):
        vocab, data, left_out = count(_watched(made.encode_lines(text), run), made.inventory)
    with run.timing("vocabulary"):
        if made.inventory is None:
            vocab, data, left_out = cut(vocab, data, min_count=min_count, max_size=max_vocab, keep=keep)
        else:
            min_count = 1
            if max_vocab is not None or keep is not None:
                run.note(f"{made.spec} has a vocabulary of its own, of which nothing is cut")
    if not vocab.pieces:
        raise CorpusError(
            f"{text.name}: every type is cut, for the most frequent occurs {max(left_out.values(), default=0):,} times. "
            f"Lower --min-count {min_count}."
        )
    with run.timing("encoding"):
        watched = vocab.encode_lines(made.encode_lines(valid)) if valid is not None else None
    with run.timing("speller"):
        speller = Speller.fit(rarest(vocab, left_out), vocab.pieces, single_code_point=made.single_code_points)
    ledger.tokens, ledger.types = data.tokens, len(vocab.pieces)
    ledger.cut_types, ledger.cut_tokens = len(left_out), sum(left_out.values())
    ledger.lines_held_out = ledger.lines - len(data)
    return Prepared(text, made, vocab, data, watched, min_count, speller, lines, ledger)


def automatic(lines: Iterable[str]) -> str:
    """The tokenizer that `auto` means for a text."""
    return "jieba" if mostly_han(lines) else "word"


def _tokenizer(wanted: str | Tokenizer, text: Corpus, run: Run) -> Tokenizer:
    if not isinstance(wanted, str):
        return wanted
    if wanted != "auto":
        return tokenizers.create(wanted)
    chosen = automatic(text)
    run.note(f"tokenizer: {chosen} (the text is {'mostly' if chosen == 'jieba' else 'not mostly'} Chinese)")
    return tokenizers.create(chosen)


def _held_out(text: Corpus, unit: str, run: Run) -> tuple[Corpus, Corpus]:
    name = text.name
    parts = text.hold_out(HELD_OUT, "stream" if unit == "stream" else "line")
    try:
        for part in parts:
            part.require_text()
    except CorpusError as error:
        raise CorpusError(
            f"{name}: too little text to hold {HELD_OUT:.0%} of it out for validation. "
            "Give held-out text with --valid FILE, or more lines."
        ) from error
    how = "the last 5 % of the text" if unit == "stream" else "5 % of the lines, chosen by their content,"
    run.note(f"no --valid given: {how} is held out to watch training")
    return parts


def _watched(pieces: Iterable[list[str]], run: Run) -> Iterator[list[str]]:
    """Passes tokenized lines through and reports progress."""
    done = 0
    for number, line in enumerate(pieces, 1):
        done += len(line)
        if number % 256 == 0:
            run.progress("tokenizing", done, None, "tokens")
        yield line
