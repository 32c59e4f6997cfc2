"""The compiled loops of training. Each works on a range of positions or nodes, so that a call is short.

`stream` is text with its marks: <s> w1 .. wk </s> line after line, one more entry before the first <s>
and at least as many <s> after the last </s> as an n-gram has words. `positions` are places in it, sorted
so far by the first `depth` words that begin there, and `shared[i]` is how many words position i has in
common with position i - 1: less than `depth` where a group of equal beginnings starts. Nothing follows
</s>; positions whose n-grams are equal to their ends are given shared = ENDED.

`shared` has one entry more than `positions`. Arrays of ids are int32, keys uint64, numbers of nodes and
occurrences int64; positions are int32 where the stream is short enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS
from textdl.kernels import exact_kernel, kernel
from textdl.ngram.smoothing import weights

Array = NDArray[Any]

ENDED = 255
"""More words than any order has."""

WORD, BEGIN, ADJUSTED, CHILDREN, SERIAL = range(5)
"""The columns of `open_nodes`."""


# --- the text


@kernel
def mark(ids: Array, offsets: Array, cursor: Array, stream: Array, at: int) -> int:
    """Write lines with their <s> and </s> to the stream from `at` on, while there is room and there are ids.

    cursor: line, token, whether the <s> of the line is written; moved on. ids begins with that token.
    Returns where the stream ends.
    """
    line, token, inside = cursor[0], cursor[1], cursor[2]
    first = token
    while at < len(stream) and line < len(offsets) - 1:
        if not inside:
            stream[at] = BOS
            inside = 1
        elif token < offsets[line + 1]:
            if token - first == len(ids):
                break
            stream[at] = ids[token - first]
            token += 1
        else:
            stream[at] = EOS
            line += 1
            inside = 0
        at += 1
    cursor[0], cursor[1], cursor[2] = line, token, inside
    return at


@kernel
def sort_by_word(stream: Array, free: Array, positions: Array, start: int, stop: int) -> None:
    """Put the positions start..stop where their words belong; free[w] is the next free place of w."""
    for p in range(start, stop):
        w = stream[p]
        positions[free[w]] = p
        free[w] += 1


@kernel
def distribute(
    stream: Array, first: int, step: int, size: int, depth: int, width: int, bucket_of: Array, free: Array,
    records: Array,
) -> None:  # fmt: skip
    """records (size, width): what lies around each position, from the word before it on, sorted by buckets.

    The positions are first, first + step and so on, `size` of them. bucket_of: (V,) the bucket of the word
    `depth` places on. free: (buckets + 1,) zeros; afterwards the rows of bucket b end at free[b].
    """
    for i in range(size):
        free[bucket_of[word_at(stream, first + i * step, depth)] + 1] += 1
    for b in range(1, len(free)):
        free[b] += free[b - 1]
    for i in range(size):
        p = first + i * step
        bucket = bucket_of[word_at(stream, p, depth)]
        row = free[bucket]
        free[bucket] = row + 1
        for j in range(width):
            records[row, j] = stream[p - 1 + j]


@kernel
def word_at(stream: Array, p: int, depth: int) -> Any:
    """The word `depth` places after position p, or <s> where the line has ended before."""
    for j in range(depth):
        if stream[p + j] == EOS:
            return np.int32(BOS)
    return stream[p + depth]


@kernel
def histogram(stream: Array, first: int, step: int, size: int, depth: int, counts: Array) -> None:
    """Add to counts (V,) how often each word is the one `depth` places after first, first + step and so on."""
    for i in range(size):
        counts[word_at(stream, first + i * step, depth)] += 1


# --- sorting


@kernel
def batch_end(shared: Array, start: int, stop: int, depth: int, most: int) -> int:
    """Where a batch of whole groups ends that begins at start: after `most` positions or one larger group."""
    end = start + most
    if end >= stop:
        return stop
    while end > start and shared[end] >= depth:
        end -= 1
    if end == start:
        end = start + most
        while end < stop and shared[end] >= depth:
            end += 1
    return end


@kernel
def unsorted(shared: Array, start: int, stop: int, depth: int) -> tuple[int, int]:
    """How many positions are in groups of two or more that have not ended, and how many groups those are."""
    size = groups = 0
    i = start
    while i < stop:
        j = i + 1
        while j < stop and shared[j] >= depth:
            j += 1
        if j - i > 1 and shared[i + 1] != ENDED:
            size += j - i
            groups += 1
        i = j
    return size, groups


@kernel
def pack_keys(
    stream: Array, positions: Array, shared: Array, start: int, stop: int, depth: int, words: int, word_bits: int,
    index_bits: int, slots: Array, held: Array, keys: Array,
) -> None:  # fmt: skip
    """For each unsorted position the key `group | its next words | its number among them`.

    slots and held: where it lies in positions, and what lies there.
    """
    size, group = 0, -1
    i = start
    while i < stop:
        j = i + 1
        while j < stop and shared[j] >= depth:
            j += 1
        if j - i > 1 and shared[i + 1] != ENDED:
            group += 1
            for slot in range(i, j):
                slots[size] = slot
                held[size] = positions[slot]
                keys[size] = group
                size += 1
        i = j
    # Reading the words in a loop of their own, without branches to guess, has many of them on their way at once.
    for i in range(size):
        key, p = keys[i], held[i] + depth
        ended = False
        for k in range(words):
            w = np.int32(0) if ended else stream[p + k]
            key = (key << np.uint64(word_bits)) | np.uint64(w)
            ended = ended or w == EOS
        keys[i] = (key << np.uint64(index_bits)) | np.uint64(i)


@kernel
def unpack_keys(
    keys: Array, size: int, depth: int, words: int, word_bits: int, index_bits: int, slots: Array, held: Array,
    positions: Array, shared: Array,
) -> None:  # fmt: skip
    """Put the positions in the order of their sorted keys."""
    index_mask = (np.uint64(1) << np.uint64(index_bits)) - np.uint64(1)
    word_mask = (np.uint64(1) << np.uint64(word_bits)) - np.uint64(1)
    all_words = np.uint64(words * word_bits)
    before = ~np.uint64(0)
    for k in range(size):
        key = keys[k]
        positions[slots[k]] = held[np.int64(key & index_mask)]
        beginning = key >> np.uint64(index_bits)
        different = beginning ^ before
        if k > 0 and (different >> all_words) == np.uint64(0):
            common = 0
            ended = False
            shift = all_words
            while common < words:
                shift -= np.uint64(word_bits)
                if (different >> shift) != np.uint64(0):
                    break
                common += 1
                ended = ended or ((beginning >> shift) & word_mask) == np.uint64(EOS)
            shared[slots[k]] = ENDED if ended else depth + common
        before = beginning


# --- counting


@kernel
def gather(stream: Array, positions: Array, start: int, stop: int, records: Array) -> None:
    """records (at least stop - start, order + 1): the word before each position and those from it on.

    Apart from `emit`, whose branches would keep the processor from reading many at once.
    """
    for i in range(start, stop):
        p = positions[i] - 1
        for j in range(records.shape[1]):
            records[i - start, j] = stream[p + j]


@kernel
def resume(stream: Array, p: int, depth: int, order: int, open_nodes: Array) -> int:
    """How many words position p shares with the position before it, whose `depth` nodes are open."""
    for n in range(1, depth + 1):
        if stream[p + n - 1] != open_nodes[n, WORD]:
            return n - 1
    return 0 if depth == 0 else (depth if depth == order else ENDED)


@kernel
def close(
    n: int, order: int, now: int, adjust: bool, cuts: Array, open_nodes: Array, made: Array, tally: Array,
    out_word: Array, out_count: Array, out_raw: Array, out_children: Array,
) -> None:  # fmt: skip
    """Write the open node of level n, which began at occurrence open_nodes[n, BEGIN] and ends before `now`."""
    raw = now - open_nodes[n, BEGIN]
    # Nothing comes before <s>, so what begins with it keeps its occurrences.
    count = open_nodes[n, ADJUSTED] if adjust and n < order and open_nodes[1, WORD] != BOS else raw
    at = made[n]
    made[n] = at + 1
    out_word[n, at] = open_nodes[n, WORD]
    out_count[n, at] = count
    out_raw[n, at] = raw
    out_children[n, at] = open_nodes[n, CHILDREN]
    tally[n, min(count, 5)] += 1
    tally[n, 6] += raw > cuts[n]


@kernel
def emit(
    records: Array, shared: Array, start: int, stop: int, order: int, adjust: bool, cuts: Array, stamps: Array,
    progress: Array, open_nodes: Array, made: Array, tally: Array,
    out_word: Array, out_count: Array, out_raw: Array, out_children: Array,
) -> None:  # fmt: skip
    """Go through the records of sorted positions start..stop and write every node when the last of its positions has gone by.

    The nodes of the n-grams that begin at the position before are open: progress[0] is how many words
    deep, progress[1] how many occurrences there have been. What one call leaves open the next continues.

    adjust: count the different words before each n-gram below the highest order. stamps (order, V): the
    serial number of the last node of each level that had the word before it. A word that is new to
    a node was stamped nowhere deeper, and one that is not is stamped in all that are shorter.
    made (order + 1,): rows written to out_word and the others (order + 1, rows).
    tally (order + 1, 7): nodes with the count 0 .. 4, 5 or more, and with more occurrences than cuts (order + 1,).
    """
    depth, now = int(progress[0]), int(progress[1])
    for i in range(start, stop):
        record, common = records[i - start], int(shared[i])
        if common < depth or depth == 0:
            for n in range(depth, common, -1):
                close(n, order, now, adjust, cuts, open_nodes, made, tally, out_word, out_count, out_raw, out_children)
            n = common + 1
            while n <= order:
                w = record[n]
                if n > 1 and w == BOS:
                    break  # the line has ended
                open_nodes[n - 1, CHILDREN] += 1
                open_nodes[n, WORD] = w
                open_nodes[n, BEGIN] = now
                open_nodes[n, ADJUSTED] = 1
                open_nodes[n, CHILDREN] = 0
                open_nodes[n, SERIAL] += 1
                n += 1
            depth = n - 1
        if adjust:
            before = record[0]
            # A node that the next position does not continue needs no stamp: most have one occurrence.
            for n in range(common + 1, min(depth, order - 1, int(shared[i + 1])) + 1):
                stamps[n, before] = open_nodes[n, SERIAL]
            for n in range(min(common, depth, order - 1), 0, -1):
                if stamps[n, before] == open_nodes[n, SERIAL]:
                    break
                stamps[n, before] = open_nodes[n, SERIAL]
                open_nodes[n, ADJUSTED] += 1
        now += 1
    progress[0], progress[1] = depth, now


@kernel
def close_all(
    order: int, adjust: bool, cuts: Array, progress: Array, open_nodes: Array, made: Array, tally: Array,
    out_word: Array, out_count: Array, out_raw: Array, out_children: Array,
) -> None:  # fmt: skip
    """Write what `emit` has left open."""
    for n in range(progress[0], 0, -1):
        close(n, order, progress[1], adjust, cuts, open_nodes, made, tally, out_word, out_count, out_raw, out_children)
    progress[0] = 0


# --- smoothing


@exact_kernel
def weigh_contexts(
    children: Array, counts: Array, raw: Array, cut: int, n: int, parameters: Array, scanned: int,
    left: Array, marked: Array, denominator: Array, gamma: Array,
) -> None:  # fmt: skip
    """T, G and what pruning leaves of contexts whose children, n-grams of order n, have counts and raw.

    children: how many each context has. A child with raw <= cut is pruned; left gets how many are not.
    """
    first = 0
    for c in range(len(children)):
        total = types = lost = n1 = n2 = n3 = 0
        for i in range(first, first + children[c]):
            a = counts[i]
            total += a
            types += 1
            if raw[i] <= cut:
                lost += a
            elif a == 1:
                n1 += 1
            elif a == 2:
                n2 += 1
            else:
                n3 += 1
        first += children[c]
        left[c] = n1 + n2 + n3
        marked[c] = left[c] > scanned or left[c] < types
        if types:
            denominator[c], gamma[c] = weights(total, n1, n2, n3, types, n, parameters, lost)
