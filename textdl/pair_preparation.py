"""From pairs of lines to what an encoder-decoder trains on: held-out pairs, pieces, vocabularies, ids, speller.

What `preparation.py` is to one text. Pieces are learnt on the fly (SentencePiece) unless a tokenizer is named: joint
ones where both sides are written alike, so that names and numbers are the same pieces on both sides, else apart. What may
be wrong with the pairs is looked for here, and said before any training: files out of step, sides exchanged, long pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np
from numpy.typing import NDArray

from textdl import tokenizers
from textdl.arguments import check_tokenizers
from textdl.bundle import Source
from textdl.corpus import Corpus, Pairs, line_fingerprints
from textdl.corpus.alignment import alignment
from textdl.corpus.pairs import PairLedger
from textdl.corpus.toys import COPYING
from textdl.encoded import UNK, Encoded
from textdl.encoding import encode_corpus
from textdl.errors import CorpusError, UsageError
from textdl.evaluation.spelling import Speller, rarest
from textdl.preparation import Resegmented
from textdl.protocols import Run, Tokenizer, TrainingData
from textdl.vocabulary import Vocabulary, select

MOST_HELD_OUT = 1000
"""Pairs, where none are given: as many as it takes to tell models apart."""
MAX_TOKENS = 256
"""Longer pairs are left out of training: the memory of attention grows with the square of the length."""
_SAMPLE = 4000
"""Pairs that are looked at to say how a side is written, or whether sides are in step."""
_CHARACTERS_PER_PIECE = 250
"""Of the text, for each piece learnt: 8,000 pieces for a corpus of 29,000 pairs, fewer for less."""
_FEWEST, _MOST = 600, 8000
"""Pieces learnt, where it is not said how many."""


@dataclass(frozen=True)
class PreparedPairs:
    """All that training and the saved model need."""

    pairs: Pairs
    """What is trained on, held-out pairs not among it."""
    source: Source
    target: Source
    joint: bool
    """Whether both sides have one vocabulary; then `source` is `target`."""
    data: tuple[TrainingData, TrainingData]
    """(source, target)"""
    valid: tuple[Encoded, Encoded]
    shown: list[tuple[str, str]]
    """A few of the pairs held out, to be looked at while training goes on."""
    min_count: int
    speller: Speller
    lines: NDArray[np.uint64]
    """Fingerprints of the target lines trained on, sorted."""
    ledger: PairLedger
    too_long: int
    """Pairs left out for their tokens."""


def prepare_pairs(
    pairs: Pairs,
    *,
    valid: Pairs | None,
    tokenizer: str | Tokenizer = "auto",
    source_tokenizer: str | Tokenizer | None = None,
    joint: bool | None = None,
    vocab_size: int | None = None,
    min_count: int = 2,
    max_tokens: int = MAX_TOKENS,
    subword_regularization: float | None = None,
    processes: int = 0,
    run: Run,
) -> PreparedPairs:
    """Prepare pairs.

    Args:
        valid: held-out pairs; None: a share is held out.
        tokenizer: of both sides, or where there is a source_tokenizer of the target: `auto`, `bpe` and `unigram` are learnt.
        joint: one vocabulary for both sides; None: where both are written alike and have the same tokenizer.
        vocab_size: pieces to learn; None: by the length of the text.
        min_count: types with fewer tokens become <unk>, where the tokenizer has no inventory.
        max_tokens: pairs with more tokens on a side are left out, also of those held out.
        subword_regularization: pieces are drawn anew for each epoch, with this strength.

    Raises:
        CorpusError: no pairs, or the files do not belong together line by line.
        UsageError: options that do not go together.
    """
    check_tokenizers(tokenizer=tokenizer, source_tokenizer=source_tokenizer or "auto")
    if min_count < 1:
        raise UsageError(f"--min-count {min_count}: expected 1 or more")
    if max_tokens < 1:
        raise UsageError(f"--max-length {max_tokens}: expected 1 or more")
    if vocab_size is not None and vocab_size < 1:
        raise UsageError(f"--vocab-size {vocab_size}: expected 1 or more")
    with run.timing("reading"):
        pairs.require_text()
        ledger = pairs.read()
        for sentence in ledger.sentences()[1:]:
            run.note(sentence)
        profiles = [Profile.of(side) for side in (pairs.source, pairs.target)]
        for sentence in doubts(pairs, ledger):
            run.note(sentence)
        if valid is None:
            pairs, valid = _held_out(pairs, ledger, run)
        else:
            valid.require_text()
            for sentence in [*valid.read().sentences()[1:], *exchanged(profiles, valid, pairs.name)]:
                run.note(f"{valid.name}: {sentence}")
        pairs.read()
        lines = line_fingerprints(pairs.target)
    if tokenizer == "auto":
        tokenizer = pairs.tokenizer
    alike = profiles[0].written_like(profiles[1])
    made_source, made = _tokenizers(pairs, tokenizer, source_tokenizer, joint, alike, vocab_size, run)
    same = made_source is made
    if joint and not same:
        raise UsageError("--joint: two tokenizers have two vocabularies. Leave out --source-tokenizer, or --joint.")
    joint = same and (alike if joint is None else joint)
    with run.timing("encoding"):
        if joint:
            whole = _encoded(pairs.both, made, min_count, processes, run)
            number = len(whole[1]) // 2
            sides = [(whole[0], half) for half in (whole[1].lines(0, number), whole[1].lines(number, 2 * number))]
            lacking = whole[2]
        else:
            encoded = [
                _encoded(text, tokenizer, min_count, processes, run)
                for text, tokenizer in ((pairs.source, made_source), (pairs.target, made))
            ]
            sides, lacking = [(vocab, data) for vocab, data, _ in encoded], encoded[1][2]
        target = Source(made, sides[1][0])
        source = target if joint else Source(made_source, sides[0][0])
        data: list[TrainingData] = []
        kept = _short([text for _, text in sides], max_tokens, pairs.name)
        for (_, text), side, corpus in zip(sides, (source, target), (pairs.source, pairs.target), strict=True):
            if subword_regularization is not None:
                again = Resegmented(corpus, side.tokenizer, side.vocab, subword_regularization, run.seed)
                data.append(_Kept(again, kept) if not kept.all() else again)
            else:
                data.append(text if kept.all() else text.select(np.flatnonzero(kept)))
        whole_valid = source.encode(valid.source), target.encode(valid.target)
        usable = np.flatnonzero(_short(whole_valid, max_tokens, valid.name))
        watched = whole_valid[0].select(usable), whole_valid[1].select(usable)
    if lost := len(whole_valid[0]) - len(usable):
        run.note(
            f"{valid.name}: {lost:,} pairs with more than {max_tokens} tokens on a side are left out of validation"
        )
    if too_long := int((~kept).sum()):
        places = ", ".join(f"{i + 1:,}" for i in np.flatnonzero(~kept)[:3])
        run.note(
            f"{too_long:,} pairs with more than {max_tokens} tokens on a side are left out of training (pair {places}"
            f"{', ...' if too_long > 3 else ''} of those kept); --max-length takes longer ones, if there is memory."
        )
    for sentence in _unlike_training(watched, (source, target), data, valid):
        run.note(sentence)
    with run.timing("speller"):
        speller = Speller.fit(
            rarest(target.vocab, lacking), target.vocab.pieces, single_code_point=made.single_code_points
        )
    first = usable[:64]
    looked_at = first[np.linspace(0, len(first) - 1, min(3, len(first))).astype(int)].tolist()
    shown = [pair for i, pair in enumerate(islice(valid, looked_at[-1] + 1)) if i in looked_at]
    return PreparedPairs(
        pairs, source, target, joint, (data[0], data[1]), watched, shown, min_count, speller, lines, ledger, too_long
    )


def _short(sides: Sequence[Encoded], max_tokens: int, name: str) -> NDArray[np.bool_]:
    """(pairs,) whether both sides have at most so many tokens.

    Raises:
        CorpusError: none have.
    """
    short: NDArray[np.bool_] = np.logical_and(*(np.diff(side.offsets) <= max_tokens for side in sides))
    if not short.any():
        raise CorpusError(
            f"{name}: every pair has more than {max_tokens} tokens on a side. Cut the lines, or give a larger --max-length."
        )
    return short


class _Kept:
    """A corpus without some of its lines, in every epoch."""

    def __init__(self, data: TrainingData, kept: NDArray[np.bool_]):
        self._data, self._rows = data, np.flatnonzero(kept)

    @property
    def vocab_size(self) -> int:
        return self._data.vocab_size

    def epoch(self, number: int) -> Encoded:
        return self._data.epoch(number).select(self._rows)


def _encoded(
    text: Corpus, tokenizer: Tokenizer, min_count: int, processes: int, run: Run
) -> tuple[Vocabulary, Encoded, dict[str, int]]:
    """The vocabulary of a side, the side in its ids, and the types that it lacks."""
    whole = encode_corpus(text, tokenizer, run=run, processes=processes)
    least = 1 if tokenizer.inventory is not None else min_count
    chosen = select(whole.types(), whole.counts, min_count=least, fixed=tokenizer.inventory)
    if not chosen.vocab.pieces:
        raise CorpusError(f"{text.name}: every type is cut: none occurs --min-count {min_count} times.")
    return chosen.vocab, whole.through(chosen), chosen.cut | whole.lacking


def _held_out(pairs: Pairs, ledger: PairLedger, run: Run) -> tuple[Pairs, Pairs]:
    share = min(0.05, MOST_HELD_OUT / max(1, ledger.kept))
    train, valid = pairs.hold_out(share)
    try:
        for part in (train, valid):
            part.require_text()
    except CorpusError as error:
        raise CorpusError(
            f"{pairs.name}: too few pairs to hold {share:.0%} of them out for validation. Give held-out pairs with "
            "--valid, or more pairs."
        ) from error
    run.note(f"no held-out pairs are given: {share:.1%} of the pairs, chosen by their content, are held out")
    return train, valid


# -- tokenizers ------------------------------------------------------------------------------------


def _tokenizers(
    pairs: Pairs, wanted: str | Tokenizer, of_source: str | Tokenizer | None, joint: bool | None, alike: bool,
    vocab_size: int | None, run: Run,
) -> tuple[Tokenizer, Tokenizer]:  # fmt: skip
    """(source, target); the same object where both sides are cut alike."""
    if of_source is not None:
        return _made(of_source, pairs.source, vocab_size, "the source", run), _made(
            wanted, pairs.target, vocab_size, "the target", run
        )
    learnt = isinstance(wanted, str) and wanted in ("auto", "bpe", "unigram")
    if learnt and not (alike if joint is None else joint):
        if joint is None:
            run.note("source and target are written in different characters: pieces are learnt for each side apart")
        return _made(wanted, pairs.source, vocab_size, "the source", run), _made(
            wanted, pairs.target, vocab_size, "the target", run
        )
    both = _made(wanted, pairs.both, vocab_size, "both sides", run)
    return both, both


def _made(wanted: str | Tokenizer, text: Corpus, vocab_size: int | None, side: str, run: Run) -> Tokenizer:
    if not isinstance(wanted, str):
        return wanted
    if wanted not in ("auto", "bpe", "unigram"):
        if vocab_size is not None:
            raise UsageError(f"--vocab-size is for pieces that are learnt; {wanted} has its own way to cut")
        return tokenizers.create(wanted)
    from textdl.tokenizers import sentencepiece

    with run.timing("tokenizer"):
        ledger = text.read()
        size = vocab_size or min(_MOST, max(_FEWEST, ledger.characters // _CHARACTERS_PER_PIECE))
        model = "unigram" if wanted == "unigram" else "bpe"
        learnt, _ = sentencepiece.train(text, vocab_size=size, model=model, seed=run.seed, run=run)
    run.note(f"{model} of {len(learnt.inventory or ()):,} pieces learnt from {side}")
    return cast(Tokenizer, learnt)


# -- what may be wrong -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Profile:
    """How a text is written: the shares of its letters, and of its runs of three characters."""

    letters: dict[str, float]
    trigrams: dict[str, float]

    @classmethod
    def of(cls, lines: Iterable[str]) -> Profile:
        """Of the first lines of a text."""
        letters: Counter[str] = Counter()
        trigrams: Counter[str] = Counter()
        for line in islice(lines, _SAMPLE):
            line = line[:1000].lower()
            letters.update(filter(str.isalpha, line))
            trigrams.update(line[i : i + 3] for i in range(len(line) - 2))
        return cls(_shares(letters), _shares(trigrams))

    def written_like(self, other: Profile) -> bool:
        """Whether both use the same letters, mostly."""
        return not self.letters or not other.letters or _overlap(self.letters, other.letters) > 0.5

    def nearness(self, other: Profile) -> float:
        """0 to 1: languages apart are near 0.2, two texts of one language near 0.6."""
        return _overlap(self.trigrams, other.trigrams)


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total()
    return {key: number / total for key, number in counts.items()}


def _overlap(a: dict[str, float], b: dict[str, float]) -> float:
    return sum(min(share, b[key]) for key, share in a.items() if key in b)


def exchanged(profiles: Sequence[Profile], valid: Pairs, name: str) -> Iterator[str]:
    """A sentence where the sides of held-out pairs are more like the other side of the training pairs."""
    others = [Profile.of(side) for side in (valid.source, valid.target)]
    straight = sum(profile.nearness(other) for profile, other in zip(profiles, others, strict=True))
    crossed = sum(profile.nearness(other) for profile, other in zip(profiles, reversed(others), strict=True))
    if crossed > 1.5 * straight and crossed > 0.2:
        yield (
            f"its source is written like the target of {name}, and the other way round: are --valid-source and "
            "--valid-target exchanged?"
        )


def doubts(pairs: Pairs, ledger: PairLedger) -> Iterator[str]:
    """Sentences on what looks wrong with training pairs."""
    if ledger.kept and ledger.copies > 0.2 * ledger.kept and pairs.name != COPYING:
        yield (
            f"in {ledger.copies / ledger.kept:.0%} of the pairs the target is the source again: a model of them will copy. "
            "Are both sides meant to be in one language?"
        )
    yield from alignment(pairs).sentences()


def _unlike_training(
    watched: Sequence[Encoded], sides: Sequence[Source], data: Sequence[TrainingData], valid: Pairs
) -> Iterator[str]:
    """A sentence for each side of the held-out pairs that is full of what training never saw."""
    for name, text, side, trained in zip(("source", "target"), watched, sides, data, strict=True):
        if not text.tokens:
            continue
        counts = trained.epoch(0).counts()
        usual = counts[UNK] / max(1, counts.sum())
        seen = counts > 0
        seen[UNK] = False
        share = 1.0 - float(seen[text.ids].mean())
        if share > 0.1 + 2 * usual:
            yield (
                f"{share:.0%} of the {name} tokens of {valid.name} never occur in the training pairs (by {side.tokenizer.spec}): "
                "another language, script, or way of cutting? What is unknown cannot be translated."
            )
