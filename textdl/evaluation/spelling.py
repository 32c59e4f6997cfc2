r"""The spelling model: what an unknown token costs, once the model has said that there is one.

P_spell is a distribution over all non-empty strings of Unicode scalar values, so that

    P(unknown piece w) = P(<unk>) * P_spell(w) / (1 - S),    S = sum of P_spell over the vocabulary

sums to P(<unk>) over all pieces outside the vocabulary: the open total is a code length of the text.

P_spell is a character n-gram with an end symbol, interpolated after Witten and Bell ("The
zero-frequency problem", 1991, method C): with C(h) tokens and N(h) kinds of symbol after history h,

    P(c | h) = (C(h c) + N(h) * P(c | shorter h)) / (C(h) + N(h)).

The last, shortest step is a base that is spread over all of Unicode: first the page of 256 code points
(smoothed counts of the distinct characters seen in it), then uniform in the page. The end symbol
cannot come first: the first position is divided by one minus its probability. For a tokenizer whose
pieces are single code points P_spell is over one code point and has no end symbol.

It is fitted on the rarest and the cut types of the training text (`rarest`), for those are like the
words nobody has seen. It leaves out everything a longer memory would bring: a spelling is short.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textdl.errors import ModelError, UsageError
from textdl.storage import Reader, Writer
from textdl.vocabulary import SPECIALS, Vocabulary

PAGES = tuple(range(p * 256, p * 256 + 256) for p in range(0x1100) if not 0xD8 <= p <= 0xDF)
"""All Unicode scalar values by pages; D8 to DF hold the surrogates, which are not among them."""

_OTHER, _START, _END = 0, 1, 2
_SPECIAL_SYMBOLS = 3
_BITS = 16
_MAX_CHARACTERS = (1 << _BITS) - _SPECIAL_SYMBOLS
_MAX_ORDER = 64 // _BITS
_LEAST_REST = 1e-9
"""1 - S is not taken for less: below, rounding would decide. Too large a rest only lowers a probability."""

Doubles = NDArray[np.float64]


def rarest(
    vocab: Vocabulary, cut: Mapping[str, int], *, at_least: int = 2_000, at_most: int = 200_000
) -> dict[str, int]:
    """The types to fit a speller on, with their weights.

    All cut types by their counts, and once each the types of the vocabulary that were seen at most once
    or, where that is fewer than `at_least` altogether, the rarest of the vocabulary up to that number
    (types of equal count come in or stay out together). More than `at_most` are thinned evenly.
    """
    counts = vocab.counts[len(SPECIALS) :]
    missing = at_least - len(cut)
    limit = 1
    if len(counts) and missing > 0:
        limit = max(limit, int(np.partition(counts, min(missing, len(counts)) - 1)[min(missing, len(counts)) - 1]))
    pieces = vocab.pieces
    types = {pieces[i]: 1 for i in np.flatnonzero(counts <= limit)} | dict(cut)
    if len(types) > at_most:
        names = sorted(types)
        types = {names[i * len(names) // at_most]: 1 for i in range(at_most)}
        types = {name: cut.get(name, 1) for name in types}
    return types


class _Base:
    """Characters nobody has seen: a smoothed share for each block, uniform inside it."""

    def __init__(self, blocks: Sequence[range], counts: NDArray[np.int64]):
        """counts: (blocks,) distinct characters seen in each."""
        self.blocks, self.counts = blocks, counts
        self.starts = np.array([b.start for b in blocks], np.int64)
        self.sizes = np.array([len(b) for b in blocks], np.int64)
        kinds = np.count_nonzero(counts) + 1
        share = (counts + kinds * self.sizes / self.sizes.sum()) / (counts.sum() + kinds)
        self.density: Doubles = share / self.sizes

    @classmethod
    def fit(cls, blocks: Sequence[range], characters: NDArray[np.uint32]) -> _Base:
        empty = cls(blocks, np.zeros(len(blocks), np.int64))
        return cls(blocks, np.bincount(empty.block(characters), minlength=len(blocks)).astype(np.int64))

    def block(self, codes: NDArray[np.uint32]) -> NDArray[np.int64]:
        wide = codes.astype(np.int64)
        block = np.searchsorted(self.starts, wide, "right").astype(np.int64) - 1
        outside = (block < 0) | (wide - self.starts[block] >= self.sizes[block])
        if outside.any():
            raise UsageError(f"U+{int(wide[outside][0]):04X} is not a character the speller covers.")
        return block

    def probability(self, codes: NDArray[np.uint32]) -> Doubles:
        return self.density[self.block(codes)]


class _Order(NamedTuple):
    """Counts after histories of one length. A gram is its symbols, latest lowest, 16 bits each."""

    grams: NDArray[np.uint64]
    counts: Doubles
    histories: NDArray[np.uint64]
    totals: Doubles
    kinds: Doubles

    @classmethod
    def from_counts(cls, grams: NDArray[np.uint64], counts: NDArray[np.int64]) -> _Order:
        """grams: sorted, each once."""
        of = grams >> np.uint64(_BITS)
        first = np.flatnonzero(np.r_[True, of[1:] != of[:-1]]) if len(of) else np.empty(0, np.int64)
        totals = np.add.reduceat(counts, first) if len(of) else counts
        kinds = np.diff(np.r_[first, len(of)])
        return cls(grams, counts.astype(np.float64), of[first], totals.astype(np.float64), kinds.astype(np.float64))

    def interpolate(self, grams: NDArray[np.uint64], shorter: Doubles) -> Doubles:
        """P(symbol | history), from the probabilities after histories one symbol shorter."""
        row, known = _find(self.histories, grams >> np.uint64(_BITS))
        if not known.any():
            return shorter
        at, seen = _find(self.grams, grams)
        kinds = self.kinds[row]
        mixed = (np.where(seen, self.counts[at], 0.0) + kinds * shorter) / (self.totals[row] + kinds)
        return np.where(known, mixed, shorter)


def _find(keys: NDArray[Any], wanted: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each one is in sorted keys, and whether it is there at all."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1).astype(np.int64)
    return at, keys[at] == wanted


class _Layout(NamedTuple):
    """Pieces end to end, each behind a start symbol and before an end symbol, if there is one."""

    symbols: NDArray[np.uint64]
    place: NDArray[np.int64]
    """0 for the start symbol, 1 for the first character, ..."""
    codes: NDArray[np.uint32]
    is_code: NDArray[np.bool_]
    starts: NDArray[np.int64]
    spans: NDArray[np.int64]

    def gram(self, history: int) -> NDArray[np.uint64]:
        """(positions,) grams with so many symbols of history; meaningful where place >= history."""
        gram = self.symbols.copy()
        for back in range(1, history + 1):
            gram[back:] |= self.symbols[:-back] << np.uint64(_BITS * back)
        return gram


class Speller:
    """P_spell and its sum over a vocabulary. Immutable; made by `fit` or `load`."""

    def __init__(
        self,
        characters: NDArray[np.uint32],
        orders: Sequence[_Order],
        base: _Base,
        *,
        end: float,
        single_code_point: bool,
        log_rest: float = 0.0,
    ):
        """characters: sorted; end: P(end symbol) in the base; log_rest: log(1 - S)."""
        self._characters, self._orders, self._base = characters, orders, base
        self._end = 0.0 if single_code_point else end
        self.single_code_point = single_code_point
        self.log_rest = log_rest
        self._not_empty = 1.0 - self._end_first()

    @classmethod
    def fit(
        cls,
        rare_types: Mapping[str, int] | Sequence[str],
        vocab_pieces: Iterable[str],
        *,
        single_code_point: bool,
        order: int = 4,
        blocks: Sequence[range] = PAGES,
    ) -> Speller:
        """Fit on types (with weights), and sum over the vocabulary that unknown pieces are outside of.

        Args:
            rare_types: see `rarest`; may be empty, then every character of Unicode is equally likely.
            vocab_pieces: all pieces of the vocabulary, specials left out.
            single_code_point: pieces are always one code point (the tokenizer `char`).
            order: symbols of an n-gram, 1 to 4.
            blocks: the code points there are; other than all of Unicode only where a test enumerates.

        Raises:
            UsageError: a type that is empty or holds a surrogate.
        """
        if not 1 <= order <= _MAX_ORDER:
            raise UsageError(f"a speller of order {order}; it is 1 to {_MAX_ORDER}")
        if isinstance(rare_types, Mapping):
            types, weights = list(rare_types), np.fromiter(rare_types.values(), np.int64, len(rare_types))
        else:
            types, weights = list(rare_types), np.ones(len(rare_types), np.int64)
        if single_code_point:
            order = 1
        lengths, codes = _codes(types)
        characters, often = np.unique(codes, return_counts=True)
        base = _Base.fit(blocks, characters)
        if len(characters) > _MAX_CHARACTERS:  # what finds no symbol is left to the base
            characters = np.sort(characters[np.argsort(-often, kind="stable")[:_MAX_CHARACTERS]])
        end = (weights.sum() + 1.0) / ((weights * (lengths + 1)).sum() + 2.0)
        bare = cls(characters, (), base, end=end, single_code_point=single_code_point)

        layout = bare._layout(lengths, codes)
        weight = np.repeat(weights, layout.spans)
        orders: list[_Order] = []
        for history in range(order):
            events = (layout.place >= max(history, 1)) & (layout.symbols != _OTHER)
            orders.append(_Order.from_counts(*_count(layout.gram(history)[events], weight[events])))
        speller = cls(characters, orders, base, end=end, single_code_point=single_code_point)
        speller.log_rest = math.log(speller._rest(vocab_pieces))
        return speller

    def log_prob(self, piece: str) -> float:
        """log P_spell(piece), nats."""
        return float(self.log_probs([piece])[0])

    def log_prob_unknown(self, piece: str) -> float:
        """log of P_spell(piece) / (1 - S), nats: what a piece costs, given that it is unknown. Never above 0."""
        return float(self.log_probs_unknown([piece])[0])

    def log_probs_unknown(self, pieces: Sequence[str]) -> Doubles:
        """(len(pieces),) `log_prob_unknown` of each."""
        return np.minimum(self.log_probs(pieces) - self.log_rest, 0.0)

    def log_probs(self, pieces: Sequence[str]) -> Doubles:
        """(len(pieces),) `log_prob` of each.

        Raises:
            UsageError: a piece that is empty, holds a surrogate, or is longer than the one code point there can be.
        """
        parts = [self._log_probs(*_codes(chunk)) for chunk in _chunks(pieces)]
        return np.concatenate(parts) if parts else np.empty(0)

    def save(self, out: Writer) -> None:
        """Write `speller/speller.json` and three arrays beside it."""
        assert self._base.blocks is PAGES, "only a speller of all Unicode is saved"
        out.json(
            "speller/speller.json",
            {
                "single_code_point": self.single_code_point,
                "end": self._end,
                "log_rest": self.log_rest,
                "grams": [len(order.grams) for order in self._orders],
                "pages": {str(i): int(self._base.counts[i]) for i in np.flatnonzero(self._base.counts)},
            },
        )
        out.array("speller/characters.npy", self._characters)
        out.array("speller/grams.npy", np.concatenate([order.grams for order in self._orders]))
        out.array("speller/counts.npy", np.concatenate([order.counts for order in self._orders]).astype(np.int64))

    @classmethod
    def load(cls, reader: Reader) -> Speller | None:
        """What `save` wrote; None where the model has none, since its tokenizer knows every text.

        Raises:
            ModelError: its files do not belong together.
        """
        if "speller/speller.json" not in reader:
            return None
        document = reader.json("speller/speller.json")
        grams = reader.array("speller/grams.npy", mmap=False)
        counts = reader.array("speller/counts.npy", mmap=False)
        try:
            bounds = np.cumsum([0, *document["grams"]])
            if not bounds[-1] == len(grams) == len(counts):
                raise ValueError(f"{bounds[-1]} n-grams announced, {len(grams)} found")
            if len(counts) and counts.min() < 1:
                raise ValueError("a count below 1")
            pages = np.zeros(len(PAGES), np.int64)
            for page, count in document["pages"].items():
                pages[int(page)] = count
            return cls(
                reader.array("speller/characters.npy", mmap=False),
                [_Order.from_counts(grams[a:b], counts[a:b]) for a, b in pairwise(bounds)],
                _Base(PAGES, pages),
                end=float(document["end"]),
                single_code_point=bool(document["single_code_point"]),
                log_rest=float(document["log_rest"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ModelError(f"{reader.directory}: the speller is damaged ({error}). Copy the model again.") from error

    def _layout(self, lengths: NDArray[np.int64], codes: NDArray[np.uint32]) -> _Layout:
        spans = lengths + (1 if self.single_code_point else 2)
        starts = np.cumsum(spans) - spans
        place = np.arange(int(spans.sum())) - np.repeat(starts, spans)
        is_code = (place >= 1) & (place <= np.repeat(lengths, spans))
        symbols = np.full(len(place), _END, np.uint64)
        symbols[starts] = _START
        symbols[is_code] = _symbols(self._characters, codes)
        return _Layout(symbols, place, codes, is_code, starts, spans)

    def _log_probs(self, lengths: NDArray[np.int64], codes: NDArray[np.uint32]) -> Doubles:
        if self.single_code_point and (lengths != 1).any():
            raise UsageError("a piece of several characters for a speller of single code points")
        layout = self._layout(lengths, codes)
        p = np.full(len(layout.place), self._end)
        p[layout.is_code] = (1.0 - self._end) * self._base.probability(codes)
        for history, order in enumerate(self._orders):
            events = np.flatnonzero(layout.place >= max(history, 1))
            p[events] = order.interpolate(layout.gram(history)[events], p[events])
        p[layout.starts] = 1.0  # the start symbol is given
        p[layout.starts + 1] /= self._not_empty
        return np.add.reduceat(np.log(p), layout.starts)

    def _end_first(self) -> float:
        """P(end symbol | nothing yet), which the first position must do without."""
        if self.single_code_point:
            return 0.0
        p = np.array([self._end])
        for history, order in enumerate(self._orders[:2]):
            p = order.interpolate(np.array([_END | (_START << _BITS if history else 0)], np.uint64), p)
        return float(p[0])

    def _rest(self, vocab_pieces: Iterable[str]) -> float:
        """1 - S. Over single code points it is summed itself: S may come near to 1."""
        pieces = list(vocab_pieces)
        if not self.single_code_point:
            return max(1.0 - math.fsum(np.exp(self.log_probs(pieces))), _LEAST_REST)
        known = np.unique(np.array([ord(piece) for piece in pieces if len(piece) == 1], np.uint32))
        base = self._base
        left = base.sizes - np.bincount(base.block(known), minlength=len(base.sizes))
        spread = float((left * base.density).sum())  # what the base gives to all others
        order = self._orders[0]
        if not len(order.histories):
            return spread or 1.0
        at, seen = _find(order.grams, _symbols(self._characters, known))
        others = order.totals[0] - order.counts[at[seen]].sum()
        # 0 where every character there is belongs to the vocabulary: then nothing can be unknown
        return float((others + order.kinds[0] * spread) / (order.totals[0] + order.kinds[0])) or 1.0


def _symbols(characters: NDArray[np.uint32], codes: NDArray[np.uint32]) -> NDArray[np.uint64]:
    at, known = _find(characters, codes)
    return np.where(known, at + _SPECIAL_SYMBOLS, _OTHER).astype(np.uint64)


def _codes(pieces: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Lengths and code points."""
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    if (lengths == 0).any():
        raise UsageError("an empty piece has no spelling: pieces are non-empty strings.")
    try:
        data = "".join(pieces).encode("utf-32-le")
    except UnicodeEncodeError as error:
        found = ord(error.object[error.start])
        raise UsageError(
            f"U+{found:04X} is a lone surrogate, not a character: the text was decoded wrongly. "
            "Read it with its right encoding."
        ) from error
    return lengths, np.frombuffer(data, "<u4").astype(np.uint32, copy=False)


def _chunks(pieces: Sequence[str], size: int = 1 << 15) -> Iterator[Sequence[str]]:
    for start in range(0, len(pieces), size):
        yield pieces[start : start + size]


def _count(grams: NDArray[np.uint64], weights: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Distinct grams, sorted, and their summed weights."""
    if not len(grams):
        return grams, weights
    order = np.argsort(grams, kind="stable")
    grams, weights = grams[order], weights[order]
    first = np.flatnonzero(np.r_[True, grams[1:] != grams[:-1]])
    return grams[first], np.add.reduceat(weights, first)
