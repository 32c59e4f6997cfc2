"""From a corpus to what a family trains on: held-out text, pieces, vocabulary, ids, speller, ledger.

The one path that every `train` takes, whatever the family. Text is read once for its fingerprints and
once to be tokenized; nothing is left out without a count in the ledger or a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textdl import tokenizers
from textdl.arguments import check_tokenizers
from textdl.corpus import Corpus, Ledger, line_fingerprint, line_fingerprints, mostly_han
from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.encoding import EncodedCorpus, encode_corpus
from textdl.errors import CorpusError, UsageError
from textdl.evaluation.spelling import Speller, rarest
from textdl.protocols import Run, Tokenizer, TrainingData
from textdl.tokenizers.parallel import encode_lines
from textdl.vocabulary import SPECIALS, LeftOut, Vocabulary, escape, read_pieces, select

HELD_OUT = 0.05
"""Of a corpus, where a family needs held-out text and none is given."""


@dataclass(frozen=True)
class Prepared:
    """All that training and the saved model need."""

    text: Corpus
    """What is trained on, held-out lines not among it."""
    tokenizer: Tokenizer
    vocab: Vocabulary
    data: TrainingData
    valid: Encoded | None
    min_count: int
    speller: Speller | None
    lines: NDArray[np.uint64]
    """Fingerprints of the training lines, sorted."""
    ledger: Ledger
    """Of everything that was read, held-out lines included."""
    left_out: LeftOut | None
    """The types outside the vocabulary; None where other texts, or an inventory, had a say in it."""


def prepare(
    text: Corpus,
    *,
    tokenizer: str | Tokenizer,
    valid: Corpus | None,
    hold_out: bool,
    unit: str,
    min_count: int,
    max_vocab: int | None,
    vocabulary: Path | None,
    keep: Callable[[str], bool] | None,
    subword_regularization: float | None,
    processes: int,
    spelled: bool,
    run: Run,
    extends: Vocabulary | None = None,
    read_before: NDArray[np.uint64] | None = None,
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
        vocabulary: a file of the pieces to know, instead of choosing them by their counts.
        keep: pieces for which this is False are cut.
        subword_regularization: the tokenizer's pieces are drawn anew for each epoch, with this strength.
        processes: for tokenizing; 0: one for each core.
        spelled: fit a speller for unknown words, as language models need it.
        run: receives progress, notes and seconds.
        extends: a vocabulary all of whose pieces are kept; those of the text come to it, and counts are added up...
        read_before: ...but for lines with these fingerprints, sorted, whose counts it has.

    Raises:
        CorpusError: no text, or too little to hold some out.
        UsageError: an impossible tokenizer or vocabulary size.
    """
    check_tokenizers(tokenizer=tokenizer)
    if max_vocab is not None and max_vocab < 1:
        raise UsageError(f"--max-vocab {max_vocab}: a vocabulary has at least one type")
    if min_count < 1:
        raise UsageError(f"--min-count {min_count}: expected 1 or more")
    with run.timing("reading"):
        text.require_text()
        ledger = replace(text.read())
        if valid is not None:
            valid.require_text()
            for remark in valid.read().remarks():
                run.note(f"{valid.name}: {remark}")
        elif hold_out:
            text, valid = _held_out(text, unit, run)
        spelled_out = dict.fromkeys(SPECIALS, 0)
        lines = line_fingerprints(_looked_through(text, spelled_out))
    made = _tokenizer(tokenizer, text, run)
    if vocabulary is not None:
        min_count, max_vocab, keep = 1, None, None
    if subword_regularization is not None:
        list(made.sampled([""], alpha=subword_regularization, seed=0))  # refuses before any work
    fixed: Sequence[str] | None = _fixed(vocabulary, made) if vocabulary is not None else None
    _note_lost(text, made, run)
    with run.timing("encoding"):
        whole = encode_corpus(text, made, run=run, processes=processes)
    with run.timing("vocabulary"):
        if made.inventory is not None:
            if max_vocab is not None or keep is not None:
                run.note(f"{made.spec} has a vocabulary of its own, of which nothing is cut")
            min_count, max_vocab, keep = 1, None, None
            fixed = made.inventory
        if extends is not None:
            assert read_before is not None
            unread = _unread(text, whole, read_before, run)
            joined = _joined(extends, whole, min_count, keep, unread=unread, fixed=made.inventory is not None)
            fixed = joined.pieces
        chosen = select(
            whole.types(), whole.counts, min_count=min_count, max_size=max_vocab,
            keep=keep, fixed=fixed,
        )  # fmt: skip
        vocab, left_out = chosen.vocab if extends is None else joined, chosen.cut | whole.lacking
        data = whole.through(chosen)
    if not chosen.vocab.counts[len(SPECIALS) :].any():
        most = max(left_out.values(), default=0)
        raise CorpusError(
            f"{text.name}: every type is cut. "
            + (
                f"No piece of {vocabulary} occurs in it."
                if vocabulary
                else f"The most frequent occurs {most:,} time{'s' * (most != 1)}: lower --min-count {min_count}."
            )
        )
    _note_specials(spelled_out, made, vocab, run)
    with run.timing("encoding"):
        watched = vocab.encode_lines(encode_lines(made, valid, processes=processes)) if valid is not None else None
    speller = None
    if spelled:
        with run.timing("speller"):
            speller = Speller.fit(rarest(vocab, left_out), vocab.pieces, single_code_point=made.single_code_points)
    ledger.tokens, ledger.types = data.tokens, len(vocab.pieces)
    ledger.cut_types = chosen.cut_types + whole.lacking_types
    ledger.cut_tokens = int(chosen.vocab.counts[UNK])
    ledger.lines_held_out = ledger.lines - len(data)
    ledger.characters_held_out = ledger.characters - text.read().characters
    ledger.tokens_held_out = watched.tokens if watched is not None and ledger.lines_held_out else None
    trained: TrainingData = data
    if subword_regularization is not None:
        trained = Resegmented(text, made, vocab, subword_regularization, run.seed)
    told = chosen.left_out if extends is None and made.inventory is None else None
    return Prepared(text, made, vocab, trained, watched, min_count, speller, lines, ledger, told)


class Resegmented:
    """A corpus whose every epoch is another segmentation: subword regularisation (Kudo 2018), BPE-dropout."""

    def __init__(self, text: Corpus, tokenizer: Tokenizer, vocab: Vocabulary, alpha: float, seed: int):
        self._text, self._tokenizer, self._vocab, self._alpha, self._seed = text, tokenizer, vocab, alpha, seed
        self._number = -1
        self._epoch = Encoded.from_lines([], len(vocab))

    @property
    def vocab_size(self) -> int:
        return len(self._vocab)

    def epoch(self, number: int) -> Encoded:
        if number != self._number:
            seed = int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])
            drawn = self._tokenizer.sampled(self._text, alpha=self._alpha, seed=seed)
            self._number, self._epoch = number, self._vocab.encode_lines(drawn)
        return self._epoch


def _joined(
    known: Vocabulary, whole: EncodedCorpus, min_count: int, keep: Callable[[str], bool] | None, *,
    unread: NDArray[np.int64], fixed: bool,
) -> Vocabulary:  # fmt: skip
    """A vocabulary and what the types of a text bring to it, in order of the joint counts.

    unread: see `_unread`. A type that is not known was not counted before either, so all its tokens are.
    fixed: the order stands.
    """
    counts = dict(zip(known.pieces, known.counts[len(SPECIALS) :].tolist(), strict=True))
    cut = 0
    for (piece, number), more in zip(whole.types(), unread[len(SPECIALS) :].tolist(), strict=True):
        if piece in known:
            counts[piece] += more
        elif number >= min_count and (keep is None or keep(piece)):
            counts[piece] = number
        else:
            cut += more
    pieces = list(counts)  # an inventory has named them all, in its own order
    if not fixed:
        pieces.sort(key=lambda piece: (-counts[piece], piece))
    specials = known.counts[: len(SPECIALS)] + unread[: len(SPECIALS)]
    specials[UNK] += cut
    return Vocabulary(pieces, np.concatenate((specials, np.array([counts[piece] for piece in pieces], np.int64))))


def _unread(text: Corpus, whole: EncodedCorpus, read: NDArray[np.uint64], run: Run) -> NDArray[np.int64]:
    """(types + specials,) tokens and line ends of the lines that were not trained on before, and a note where some were.

    read: sorted fingerprints of those that were.
    """
    known = np.zeros(len(whole.data), bool)
    done = 0
    for batch in text.batches():
        found = np.fromiter(map(line_fingerprint, batch), np.uint64, len(batch))
        places = np.searchsorted(read, found)
        known[done : done + len(batch)] = places < np.searchsorted(read, found, side="right")
        done += len(batch)
    counts = np.zeros(len(whole.counts), np.int64)
    lines = again = done = 0
    for block in whole.data.blocks():
        old, lengths = known[done : done + len(block)], np.diff(block.offsets)
        counts += np.bincount(block.ids[np.repeat(~old, lengths)], minlength=len(counts))
        lines, again = lines + int((lengths > 0).sum()), again + int((old & (lengths > 0)).sum())
        done += len(block)
    counts[[BOS, EOS]] = int((~known).sum())
    if again == lines:
        run.note(f"{text.name} was trained on before: its counts are not added a second time")
    elif again:
        run.note(
            f"{again:,} of the {lines:,} lines of {text.name} ({again / lines:.1%}) were trained on before: they are trained "
            "on again, and their counts are not added a second time"
        )
    return counts


def _difference(line: str, other: str) -> str:
    """Around the first place where two lines differ."""
    at = next((i for i, (a, b) in enumerate(zip(line, other, strict=False)) if a != b), min(len(line), len(other)))
    start = max(0, at - 4)
    return f"{line[start : at + 8]!r} to {other[start : at + 8]!r}"


def _looked_through(text: Iterable[str], found: dict[str, int]) -> Iterator[str]:
    """The lines; on the way it is counted how often they spell what specials are called."""
    for line in text:
        if "<" in line:
            for special in found:
                found[special] += line.count(special)
        yield line


def _note_specials(found: Mapping[str, int], tokenizer: Tokenizer, vocab: Vocabulary, run: Run) -> None:
    """Say what becomes of text that spells the name of a special: it is never taken for the special itself."""
    for special, times in found.items():
        if not times:
            continue
        spells = f"the text spells {special} {times:,} time{'s' * (times > 1)}"
        if special in vocab:
            run.note(
                f"{spells}: that is an ordinary word here, not the special one. Where it stands for rare words, as in "
                "the Penn Treebank's files, list the known words in a file and give it with --vocab."
                if special == "<unk>"
                else f"{spells}: that is an ordinary word here, not the special one"
            )
        elif tokenizer.encode(special) == [special]:
            run.note(f"{spells}: that word is not in the vocabulary, so it counts as unknown, as other such words do")
        else:
            run.note(
                f"{spells}: that is text like any other, which {tokenizer.spec} cuts into "
                f"{' '.join(map(escape, tokenizer.encode(special)))}"
                + ("; to have it as one word, use --tokenizer whitespace" if special == "<unk>" else "")
            )


def _fixed(path: Path, tokenizer: Tokenizer) -> list[str]:
    if tokenizer.inventory is not None:
        raise UsageError(f"--vocab {path}: {tokenizer.spec} has a vocabulary of its own")
    return read_pieces(path)


def _note_lost(text: Corpus, tokenizer: Tokenizer, run: Run) -> None:
    """Say how many lines a tokenizer that normalises changes, and show one."""
    if tokenizer.lossless:
        return
    changed, example = 0, ""
    for line in text:
        if (other := tokenizer.normalized(line)) != line:
            changed += 1
            example = example or _difference(line, other)
    if changed:
        run.note(
            f"{tokenizer.spec} changes {changed:,} of {text.ledger.lines:,} lines, such as {example}: what is lost "
            "cannot come back, and perplexities of other tokenizers cannot be compared with this model's"
        )


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
