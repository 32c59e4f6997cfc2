"""Subword regularisation of SentencePiece models: pieces drawn at random, by compiled loops.

The library draws too, but its random numbers differ from process to process whatever the seed (0.2.3). Here they
are splitmix64 (Steele et al. 2014), begun anew for each line from the seed and a key of the line.

Text is code points, normalized as the model wants it (U+2581 for a space). The pieces are a trie in a hash table:
`keys` holds node << 21 | code point, or -1, and `children` the node it leads to; linear probing, a power of two of
slots. `piece_at[node]` is the id of the piece that ends there, or -1. A user-defined symbol is always one piece:
from left to right, the longest that begins somewhere.

Unigram: a segmentation is drawn with a probability in proportion to P(segmentation)^alpha (Kudo 2018, equation 8,
with all segmentations for l). Forward sums, and at each end the last piece is drawn while its sum grows.
BPE: each merge is left out with probability alpha when its turn comes (Provilkov et al. 2020, algorithm 1).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import exact_kernel
from textdl.tokenizers.trie import child, key_of, place

Array = NDArray[Any]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SMALL, _LARGE = 1e-100, 1e100
_PENALTY = 10.0  # a character that is no piece scores so much less than the worst piece, as in the library
_UNKNOWN = -1


class Pieces:
    """The pieces of a model, ready to draw from."""

    def __init__(
        self,
        kind: str,
        pieces: Mapping[int, str],
        scores: Sequence[float],
        symbols: Sequence[int],
        byte_ids: Sequence[int],
    ):
        """kind: unigram or bpe; pieces: by id, without specials and bytes; scores: of all ids; byte_ids: 256, or none."""
        self._kind = kind
        self._scores = np.array(scores, np.float64)
        self._is_symbol = np.zeros(len(scores), np.bool_)
        self._is_symbol[list(symbols)] = True
        self._byte_ids = np.array(byte_ids, np.int32)
        letters, offsets = _letters(list(pieces.values()))
        self._longest = int(np.diff(offsets).max(initial=1))
        self._lowest = min((scores[i] for i in pieces), default=0.0)
        self._keys = np.full(1 << max(4, (2 * len(letters)).bit_length()), -1, np.int64)
        self._children = np.full(len(self._keys), -1, np.int32)
        self._piece_at = np.full(len(letters) + 1, -1, np.int32)
        build(letters, offsets, np.array(list(pieces), np.int32), self._keys, self._children, self._piece_at)

    def draw(self, texts: Sequence[str], keys: Sequence[int], alpha: float, seed: int) -> list[list[int]]:
        """Ids for each text. What is drawn follows from the text, its key, alpha and the seed.

        An id below 0 stands for the unknown character -id - 2, where a model has no pieces for bytes.

        Raises:
            UnicodeEncodeError: a text has a lone surrogate.
        """
        letters, offsets = _letters(texts)
        out = np.empty(4 * len(letters), np.int32)
        counts = np.empty(len(texts), np.int64)
        digest = hashlib.blake2b(str(seed).encode(), digest_size=8).digest()
        given = letters, offsets, np.array(keys, np.uint64), np.uint64(int.from_bytes(digest, "little"))
        trie = self._keys, self._children, self._piece_at, self._is_symbol
        if self._kind == "unigram":
            weights = np.exp(alpha * self._scores)
            unknown = math.exp(alpha * (self._lowest - _PENALTY))
            written = draw_unigram(*given, *trie, weights, unknown, self._longest, self._byte_ids, out, counts)
        else:
            written = draw_bpe(*given, *trie, self._scores, alpha, self._byte_ids, out, counts)
        ids: list[int] = out[:written].tolist()
        ends = np.cumsum(counts).tolist()
        return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _letters(texts: Sequence[str]) -> tuple[Array, Array]:
    """Code points of all texts (N,) uint32, and where each begins (L + 1,)."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32), offsets


@exact_kernel
def build(letters: Array, offsets: Array, ids: Array, keys: Array, children: Array, piece_at: Array) -> int:
    """Put pieces into empty tables; returns the number of nodes.

    letters: (L,) uint32, the code points of all pieces; offsets: (P + 1,) where each begins; ids: (P,).
    keys, children: (S,) filled with -1, S at least twice L; piece_at: (L + 1,) filled with -1.
    """
    nodes = 1
    for piece in range(len(ids)):
        node = 0
        for i in range(offsets[piece], offsets[piece + 1]):
            key = key_of(node, letters[i])
            slot = place(keys, key)
            if keys[slot] == -1:
                keys[slot] = key
                children[slot] = nodes
                nodes += 1
            node = children[slot]
        piece_at[node] = ids[piece]
    return nodes


@exact_kernel
def _mix(state: Any) -> Any:
    z = np.uint64(state)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@exact_kernel
def _uniform(state: Any) -> float:
    """In [0, 1)."""
    return float(_mix(state) >> np.uint64(11)) * 2.0**-53


@exact_kernel
def _symbol_length(
    letters: Array, start: int, stop: int, keys: Array, children: Array, piece_at: Array, is_symbol: Array
) -> int:
    """Of the longest symbol that begins at start; 0 where there is none."""
    node = longest = 0
    for i in range(start, stop):
        node = child(keys, children, node, letters[i])
        if node == -1:
            break
        if piece_at[node] >= 0 and is_symbol[piece_at[node]]:
            longest = i + 1 - start
    return longest


@exact_kernel
def _spell(letter: int, byte_ids: Array, out: Array, at: int) -> int:
    """Write an unknown character as the ids of its bytes in UTF-8; returns where the next id goes."""
    if len(byte_ids) == 0:
        out[at] = _UNKNOWN - 1 - letter
        return at + 1
    if letter < 0x80:
        out[at] = byte_ids[letter]
        return at + 1
    size = 2 if letter < 0x800 else 3 if letter < 0x10000 else 4
    first = 0xC0 if size == 2 else 0xE0 if size == 3 else 0xF0
    out[at] = byte_ids[first | (letter >> (6 * (size - 1)))]
    for i in range(1, size):
        out[at + i] = byte_ids[0x80 | ((letter >> (6 * (size - 1 - i))) & 0x3F)]
    return at + size


@exact_kernel
def draw_unigram(
    letters: Array, offsets: Array, line_keys: Array, seed: Any,
    keys: Array, children: Array, piece_at: Array, is_symbol: Array, weights: Array, unknown: float, longest: int,
    byte_ids: Array, out: Array, counts: Array,
) -> int:  # fmt: skip
    """Draw the pieces of lines.

    letters: (N,) uint32; offsets: (L + 1,); line_keys: (L,) uint64.
    weights: (V,) exp(alpha * score) of each piece; unknown: that of a character that is no piece.
    longest: code points of the longest piece.
    out: (4 N,) int32 gets the ids; counts: (L,) how many of each line.

    Returns:
        The number of ids.
    """
    written = 0
    symbols = is_symbol.any()
    widest = 0
    for line in range(len(counts)):
        widest = max(widest, offsets[line + 1] - offsets[line])
    sums = np.empty(widest + longest + 2)
    back = np.empty(widest + 1, np.int32)
    piece = np.empty(widest + 1, np.int32)
    for line in range(len(counts)):
        begin, end = offsets[line], offsets[line + 1]
        size = end - begin
        state = _mix(seed ^ _mix(line_keys[line]))
        sums[: size + longest + 2] = 0.0
        sums[0] = 1.0
        stop = -1  # where the next symbol begins
        start = length = 0
        while start < size:
            if symbols and start > stop:
                stop = start
                length = 0
                while stop < size:
                    length = _symbol_length(letters, begin + stop, end, keys, children, piece_at, is_symbol)
                    if length:
                        break
                    stop += 1
            if symbols and start == stop and length:
                node = 0
                for i in range(start, start + length):
                    node = child(keys, children, node, letters[begin + i])
                sums[start + length] = sums[start]
                back[start + length] = start
                piece[start + length] = piece_at[node]
                start += length
                continue
            if sums[start] < _SMALL or sums[start] > _LARGE:
                factor = 1.0 / sums[start]
                for i in range(start, start + longest + 1):
                    sums[i] *= factor
            node = 0
            single = False
            last = stop if symbols else size
            for i in range(start, min(last, start + longest)):
                node = child(keys, children, node, letters[begin + i])
                if node == -1:
                    break
                found = piece_at[node]
                if found >= 0:
                    single = single or i == start
                    weight = sums[start] * weights[found]
                    sums[i + 1] += weight
                    state += _GOLDEN
                    if _uniform(state) * sums[i + 1] <= weight:
                        back[i + 1] = start
                        piece[i + 1] = found
            if not single:
                weight = sums[start] * unknown
                sums[start + 1] += weight
                state += _GOLDEN
                if _uniform(state) * sums[start + 1] <= weight:
                    back[start + 1] = start
                    piece[start + 1] = _UNKNOWN
            start += 1
        # from the last end to the first, and each is told which one follows
        at = size
        following = size
        while at > 0:
            before = back[at]
            back[at] = following
            following = at
            at = before
        first = written
        at = 0
        while at < size:
            at, begun = following, at
            following = back[at]
            if piece[at] == _UNKNOWN:
                written = _spell(int(letters[begin + begun]), byte_ids, out, written)
            else:
                out[written] = piece[at]
                written += 1
        counts[line] = written - first
    return written


@exact_kernel
def _push(heap: Array, size: int, pair: int, scores: Array, lefts: Array) -> int:
    """Put a pair into the heap: the best score first, then the leftmost."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if not _before(pair, heap[above], scores, lefts):
            break
        heap[at] = heap[above]
        at = above
    heap[at] = pair
    return size + 1


@exact_kernel
def _before(one: int, other: int, scores: Array, lefts: Array) -> bool:
    return bool(scores[one] > scores[other] or (scores[one] == scores[other] and lefts[one] < lefts[other]))


@exact_kernel
def _drop_first(heap: Array, size: int, scores: Array, lefts: Array) -> int:
    size -= 1
    pair = heap[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and _before(heap[below + 1], heap[below], scores, lefts):
            below += 1
        if not _before(heap[below], pair, scores, lefts):
            break
        heap[at] = heap[below]
        at = below
    heap[at] = pair
    return size


@exact_kernel
def draw_bpe(
    letters: Array, offsets: Array, line_keys: Array, seed: Any,
    keys: Array, children: Array, piece_at: Array, is_symbol: Array, piece_scores: Array, dropout: float,
    byte_ids: Array, out: Array, counts: Array,
) -> int:  # fmt: skip
    """Draw the pieces of lines: as `draw_unigram`, with (V,) scores that say which merge comes first.

    A part of the line is known by where it begins: `ends` says where it ends, 0 that it has become part of another.
    """
    written = 0
    symbols = is_symbol.any()
    widest = 0
    for line in range(len(counts)):
        widest = max(widest, offsets[line + 1] - offsets[line])
    ends = np.empty(widest + 1, np.int32)
    before = np.empty(widest + 1, np.int32)
    nodes = np.empty(widest + 1, np.int32)  # of the trie; -1: no piece begins so
    frozen = np.empty(widest + 1, np.bool_)
    heap = np.empty(3 * widest + 3, np.int32)
    scores = np.empty(3 * widest + 3, np.float64)
    lefts = np.empty(3 * widest + 3, np.int32)
    middles = np.empty(3 * widest + 3, np.int32)
    rights = np.empty(3 * widest + 3, np.int32)
    merged = np.empty(3 * widest + 3, np.int32)
    for line in range(len(counts)):
        begin, end = offsets[line], offsets[line + 1]
        size = end - begin
        state = _mix(seed ^ _mix(line_keys[line]))
        pairs = waiting = 0
        start = 0
        last = -1
        while start < size:
            length = 0
            if symbols:
                length = _symbol_length(letters, begin + start, end, keys, children, piece_at, is_symbol)
            frozen[start] = length > 0
            length = max(length, 1)
            node = 0
            for i in range(start, start + length):
                node = child(keys, children, node, letters[begin + i]) if node >= 0 else -1
                ends[i] = 0
            nodes[start] = node
            ends[start] = start + length
            before[start] = last
            last = start
            start += length
        left = 0
        right = ends[0] if size else 0
        while size and right < size:
            if not frozen[left] and not frozen[right]:
                node = nodes[left]
                for i in range(right, ends[right]):
                    node = child(keys, children, node, letters[begin + i]) if node >= 0 else -1
                if node >= 0 and piece_at[node] >= 0:
                    scores[pairs] = piece_scores[piece_at[node]]
                    lefts[pairs], middles[pairs], rights[pairs], merged[pairs] = left, right, ends[right], node
                    waiting = _push(heap, waiting, pairs, scores, lefts)
                    pairs += 1
            left, right = right, ends[right]
        while waiting:
            pair = heap[0]
            waiting = _drop_first(heap, waiting, scores, lefts)
            left, middle, right = lefts[pair], middles[pair], rights[pair]
            if ends[left] != middle or ends[middle] != right:
                continue  # one of the two has become something else meanwhile
            state += _GOLDEN
            if _uniform(state) < dropout:
                continue
            ends[left], ends[middle] = right, 0
            nodes[left] = merged[pair]
            if right < size:
                before[right] = left
            for side in range(2):
                if side == 0:
                    one, other = before[left], left
                else:
                    one, other = left, right
                if one < 0 or other >= size or frozen[one] or frozen[other]:
                    continue
                node = nodes[one]
                for i in range(other, ends[other]):
                    node = child(keys, children, node, letters[begin + i]) if node >= 0 else -1
                if node >= 0 and piece_at[node] >= 0:
                    scores[pairs] = piece_scores[piece_at[node]]
                    lefts[pairs], middles[pairs], rights[pairs], merged[pairs] = one, other, ends[other], node
                    waiting = _push(heap, waiting, pairs, scores, lefts)
                    pairs += 1
        first = written
        start = 0
        while start < size:
            node = nodes[start]
            if node >= 0 and piece_at[node] >= 0:
                out[written] = piece_at[node]
                written += 1
            else:  # a single character
                written = _spell(int(letters[begin + start]), byte_ids, out, written)
            start = ends[start]
        counts[line] = written - first
    return written
