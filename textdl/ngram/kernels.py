"""The compiled loops of n-gram models. Each works on a range of nodes or tokens, so that a call is short.

The arrays are those of `Trie` (trie.py); `node` is always a number in it, `w` an id of the vocabulary.
Arrays have one dtype each: int32 but for `logp`, `backoff`, `prob` and `gamma` (float32) and
`cursor`, `offsets` and `histogram` (int64). What queries read is marked read-only by the
caller, so that each kernel is compiled once, whether a model was just trained or is a memory map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS
from textdl.kernels import kernel

Array = NDArray[Any]

# --- counting


@kernel
def sort_by_word(stream: Array, begin: Array, positions: Array, start: int, stop: int) -> None:
    """Put positions start..stop where their words belong; begin[w] is the next free place of w."""
    for i in range(start, stop):
        w = stream[i]
        positions[begin[w]] = i
        begin[w] += 1


@kernel
def sort_contexts(
    stream: Array, shift: int, positions: Array, begin: Array, count: Array, word: Array,
    following: Array, histogram: Array, packed: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """Sort the positions of each context of start..stop by the word `shift` further on, stably.

    following: gets those words, in the same order as the positions.
    histogram: (V,) zeros, left as zeros; packed: uint64, room for the positions of the largest context.
    """
    for c in range(start, stop):
        if word[c] == EOS:
            continue  # nothing follows a line end
        b, m = begin[c], count[c]
        e = b + m
        for k in range(b, e):
            following[k] = stream[positions[k] + shift]
        if m < 16:
            for k in range(b + 1, e):
                w, p = following[k], positions[k]
                j = k
                while j > b and following[j - 1] > w:
                    following[j] = following[j - 1]
                    positions[j] = positions[j - 1]
                    j -= 1
                following[j] = w
                positions[j] = p
        elif m * 4 < len(histogram):
            for k in range(m):
                packed[k] = (np.uint64(following[b + k]) << np.uint64(32)) | np.uint64(positions[b + k])
            packed[:m].sort()
            for k in range(m):
                following[b + k] = np.int32(packed[k] >> np.uint64(32))
                positions[b + k] = np.int32(packed[k] & np.uint64(0xFFFFFFFF))
        else:
            for k in range(b, e):
                histogram[following[k]] += 1
            place = 0
            for v in range(len(histogram)):
                place, histogram[v] = place + histogram[v], place
            for k in range(b, e):
                w = following[k]
                packed[histogram[w]] = (np.uint64(w) << np.uint64(32)) | np.uint64(positions[k])
                histogram[w] += 1
            for k in range(m):
                following[b + k] = np.int32(packed[k] >> np.uint64(32))
                positions[b + k] = np.int32(packed[k] & np.uint64(0xFFFFFFFF))
            histogram[:] = 0


@kernel
def count_children(
    following: Array, begin: Array, count: Array, word: Array, first: Array, made: int, start: int, stop: int
) -> int:
    """first[c] of the contexts start..stop, where `made` nodes come before; how many there are then."""
    for c in range(start, stop):
        first[c] = made
        if word[c] == EOS:
            continue
        previous = np.int32(-1)
        for k in range(begin[c], begin[c] + count[c]):
            made += following[k] != previous
            previous = following[k]
    return made


@kernel
def make_children(
    following: Array, begin: Array, count: Array, word: Array,
    child_word: Array, child_begin: Array, child_count: Array, made: int, start: int, stop: int,
) -> int:  # fmt: skip
    """Write the nodes that `count_children` counted; `made` counts from 0."""
    for c in range(start, stop):
        if word[c] == EOS:
            continue
        previous = np.int32(-1)
        for k in range(begin[c], begin[c] + count[c]):
            if following[k] != previous:
                previous = following[k]
                child_word[made] = previous
                child_begin[made] = k
                child_count[made] = 1
                made += 1
            else:
                child_count[made - 1] += 1
    return made


@kernel
def read_suffixes(node_at: Array, positions: Array, begin: Array, suffix: Array, start: int, stop: int) -> None:
    """suffix[g] of the n-grams start..stop: the (n-1)-gram that begins one position later."""
    for g in range(start, stop):
        suffix[g] = node_at[positions[begin[g]] + 1]


@kernel
def place_nodes(
    node_at: Array, positions: Array, begin: Array, count: Array, offset: int, start: int, stop: int
) -> None:
    """node_at[position] of every occurrence of the n-grams start..stop; g is node offset + g."""
    for g in range(start, stop):
        for k in range(begin[g], begin[g] + count[g]):
            node_at[positions[k]] = offset + g


# --- estimating


@kernel
def count_left(suffix: Array, adjusted: Array, start: int, stop: int) -> None:
    """Every n-gram is one left extension of its suffix."""
    for g in range(start, stop):
        adjusted[suffix[g]] += 1


@kernel
def interpolate(
    first: Array, suffix: Array, adjusted: Array, raw: Array, cut: int, discount: Array,
    prob: Array, gamma: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """Probabilities of all continuations of the contexts start..stop, and what the contexts leave over.

    p(w | c) = (a(cw) - D(a(cw))) / sum_v a(cv) + gamma(c) p(w | c without its first word),
    gamma(c) = (D1 N1(c) + D2 N2(c) + D3 N3+(c) + the a of what is pruned) / sum_v a(cv).

    An n-gram with raw[g] <= cut is to be pruned: its whole count goes to gamma.
    """
    for c in range(start, stop):
        b, e = first[c], first[c + 1]
        if b == e:
            continue
        total = 0
        left = 0.0
        for g in range(b, e):
            a = adjusted[g]
            total += a
            left += discount[min(a, 3)] if raw[g] > cut else np.float64(a)
        g_c = left / total
        gamma[c] = g_c
        for g in range(b, e):
            a = adjusted[g]
            prob[g] = (a - discount[min(a, 3)]) / total + g_c * prob[suffix[g]]


# --- queries


@kernel
def find(word: Array, first: Array, c: Any, w: Any) -> Any:
    """The node of w after the context c, or -1."""
    if c == 0:
        return 1 + w  # every word has its unigram, in the order of the ids
    lo, hi = np.int64(first[c]), np.int64(first[c + 1])
    end = hi
    while lo < hi:
        middle = (lo + hi) >> 1
        if word[middle] < w:
            lo = middle + 1
        else:
            hi = middle
    if lo < end and word[lo] == w:
        return lo
    return -1


@kernel
def score(
    word: Array, first: Array, suffix: Array, logp: Array, backoff: Array, ids: Array, offsets: Array,
    cursor: Array, line_end: bool, out: Array, matched: Array,
) -> int:  # fmt: skip
    """Score tokens and line ends from the cursor on until `out` is full or the text ends.

    cursor: line, token, context node; moved on. matched: the node of the n-gram that was found.
    Returns how many were scored.
    """
    inner = len(backoff)  # nodes below this can be contexts
    bos = 1 + BOS if inner > 1 + BOS else 0
    line, token, c = cursor[0], cursor[1], cursor[2]
    made = 0
    while line < len(offsets) - 1 and made < len(out):
        ends = token == offsets[line + 1]
        if ends and not line_end:
            line += 1
            c = bos
            continue
        w = np.int64(EOS) if ends else np.int64(ids[token])
        total = 0.0
        g = find(word, first, c, w)
        while g < 0:
            total += backoff[c]
            c = suffix[c]
            g = find(word, first, c, w)
        out[made] = total + logp[g]
        matched[made] = g
        made += 1
        if ends:
            line += 1
            c = bos
        else:
            token += 1
            c = g if g < inner else np.int64(suffix[g])
    cursor[0], cursor[1], cursor[2] = line, token, c
    return made


@kernel
def advance(
    word: Array, first: Array, suffix: Array, inner: int, nodes: Array, ids: Array, offsets: Array, out: Array
) -> None:
    """out[b]: the context after nodes[b] has been continued with line b of (ids, offsets)."""
    for b in range(len(nodes)):
        c: Any = np.int64(nodes[b])
        for k in range(offsets[b], offsets[b + 1]):
            g = find(word, first, c, np.int64(ids[k]))
            while g < 0:
                c = np.int64(suffix[c])
                g = find(word, first, c, np.int64(ids[k]))
            c = g if g < inner else np.int64(suffix[g])
        out[b] = c


@kernel
def distribution(
    word: Array, first: Array, suffix: Array, logp: Array, backoff: Array, c: Any, chain: Array, row: Array
) -> None:
    """row (V,): log p of every word after the context c. chain: int32, one place for each order.

    All words get what the unigrams give them; then each longer context in turn overwrites its
    explicit continuations.
    """
    depth = 0
    total = 0.0
    while c != 0:
        chain[depth] = c
        depth += 1
        total += backoff[c]
        c = suffix[c]
    weight = np.float32(total)
    for w in range(len(row)):
        row[w] = logp[1 + w] + weight
    while depth > 0:
        depth -= 1
        c = chain[depth]
        total -= backoff[c]
        for g in range(first[c], first[c + 1]):
            row[word[g]] = total + logp[g]


@kernel
def distributions(
    word: Array, first: Array, suffix: Array, logp: Array, backoff: Array, nodes: Array, chain: Array, rows: Array
) -> None:
    """rows (B, V): `distribution` of each of nodes (B,)."""
    for b in range(len(nodes)):
        distribution(word, first, suffix, logp, backoff, np.int64(nodes[b]), chain, rows[b])
