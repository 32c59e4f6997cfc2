"""The compiled loops that pack a model and ask it. packed.py says how a model is laid out.

Every smoothing is one recursion over the orders n = 1 .. N, from the unigrams up, for the context c of
n - 1 words and the word w, a being the count of the n-gram cw, or 0:

    p_n(w) = max(a - D_n(a), 0) / T(c) + G(c) p_{n-1}(w)        p_n = p_{n-1} where there is no such context

A model read from an ARPA file goes up in the same way, in logarithms: log p_n is what the file says
of cw, or else log p_{n-1} plus the back-off weight of c.

The state of a history is its contexts, int64 (N - 1,): contexts[k] is the node, at level k + 1, of its
last k + 1 words, or -1. A query would wait for memory more than it computes, so `score` looks up all
contexts of one order for a whole block of the text, then those of the next: none waits for another, and
memory is asked well before it is read. `predict` is one step alone. reference.py computes the same from
dictionaries, in plain Python.

A kernel gets a model as one table of numbers and addresses, `Packed.table`: arrays as arguments of the
many small functions would each be counted in and out, which costs more than what the functions do. So
nothing that is read from a file is trusted with an address: nodes are kept below the size of their
level, rows below the length of their array, and every loop has an end. A damaged model gives wrong
numbers; it neither hangs nor crashes.

All of it is exact (no re-ordered sums): a number does not depend on the block or the kernel it comes from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS
from textdl.kernels import exact_kernel, kernel
from textdl.ngram.memory import address_of, load32, load64, load_double, load_float, ones, prefetch, times_high
from textdl.ngram.smoothing import EXTRA, FLAT, weights

Array = NDArray[Any]
Int = Any
Float = Any
"""int64 and float64; outside of compiled code also what numpy or Python has for them."""

BLOCK = 512
"""Items that are scored together: what they wait for has to stay in the nearest caches."""
SCANNED = 16
"""A context with more children has a row in `weights`."""
PER_BUCKET = 4
"""Children for one bucket, on average."""

VOCABULARY, EXPLICIT, UNIFORM, UNIGRAM_AT, SHARE_AT = range(5)
"""Numbers in a row of `Packed.table`. Row n is level n. Row 0 is the model: these five, which all rows have.
What ends in _AT is an address."""
SIZE, ABOVE, PER_LINE, INVERSE, HEAD, WIDTH, WORD_MASK, WORD_END, CODE_MASK, CODE_END, END_MASK = range(5, 16)
"""INVERSE: 2**64 / PER_LINE, rounded up: the upper half of its product with a node below 2**40 is the quotient."""
MARKED, BUCKETS, LARGE = range(16, 19)
LINES_AT, WEIGHTS_AT, BUCKETS_AT, LARGE_NODE_AT, LARGE_COUNT_AT, LOGP_AT, BACKOFF_AT = range(19, 26)
PARAMETERS = 26
"""Six float64: the row of `Smoothing.parameters`."""
COLUMNS = 32
_ROW = 8 * COLUMNS

LINE = 64
"""Bytes of a line of nodes: what memory hands over at once."""
HEAD_BITS = 96
MOST_PER_LINE = 24
BASE_BITS = 40
_BASE = (1 << BASE_BITS) - 1
ROW = 24
"""Bytes of a row of `weights`: T, G, and where the buckets of the context begin."""


# --- the table. A level is the address of its row.


@exact_kernel
def level_of(model: Int, n: Int) -> Int:
    """Level n of the table whose address is `model`."""
    return model + n * _ROW


@exact_kernel
def get(level: Int, column: Int) -> Int:
    """A number of a row."""
    return load64(level + 8 * column)


@exact_kernel
def parameter(level: Int, i: Int) -> Float:
    """Of n-grams of a level: 0, D1, D2, D3, e, f; see smoothing.py."""
    return load_double(level + 8 * (PARAMETERS + i))


# --- one node


@exact_kernel
def line_of_node(level: Int, node: Int) -> Int:
    """node // PER_LINE, without a division."""
    return times_high(node, get(level, INVERSE))


@exact_kernel
def line_at(level: Int, node: Int) -> Int:
    """The address of the line of a node."""
    return get(level, LINES_AT) + line_of_node(level, node) * LINE


@exact_kernel
def bits_from(line: Int, bit: Int) -> Int:
    """What is in a line, whose address is given, from a bit on; never read beyond the line."""
    beyond = (bit >> 3) - (LINE - 8)
    byte = (bit >> 3) - (beyond & ~(beyond >> 63))  # the smaller of two, without a branch
    return load64(line + byte) >> (bit - 8 * byte)


@exact_kernel
def field(level: Int, node: Int) -> Int:
    """The bits of a node, word, code and end from the lowest on, and whatever is above."""
    line = line_of_node(level, node)
    place = node - line * get(level, PER_LINE)
    return bits_from(get(level, LINES_AT) + line * LINE, get(level, HEAD) + place * get(level, WIDTH))


@exact_kernel
def word_of(level: Int, node: Int) -> Int:
    return field(level, node) & get(level, WORD_MASK)


@exact_kernel
def children(level: Int, c: Int) -> tuple[Int, Int, Int]:
    """Of a context: its first child, the end of its children, its row in `weights` or -1."""
    number = line_of_node(level, c)
    place = c - number * get(level, PER_LINE)
    line = get(level, LINES_AT) + number * LINE
    width, code_end, mask = get(level, WIDTH), get(level, CODE_END), get(level, END_MASK)
    bit = HEAD_BITS + place * width
    end = (bits_from(line, bit) >> code_end) & mask
    begin = (bits_from(line, bit - width) >> code_end) & mask & -np.int64(place > 0)
    head = load64(line)
    base, marks = head & _BASE, head >> BASE_BITS
    row = load32(line + 8) + ones(marks & ((1 << place) - 1))
    row |= (marks >> place & 1) - 1  # no mark: -1
    if row >= get(level, MARKED):
        row = -1
    above = get(level, ABOVE)
    return min(base + begin, above), min(base + end, above), row


@exact_kernel
def large(level: Int, node: Int) -> Int:
    """The count of a node that does not fit its field; 1 if it is not listed, which is damage."""
    nodes = get(level, LARGE_NODE_AT)
    low, high = 0, get(level, LARGE)
    end = high
    while low < high:
        middle = (low + high) >> 1
        if load64(nodes + 8 * middle) < node:
            low = middle + 1
        else:
            high = middle
    if low < end and load64(nodes + 8 * low) == node:
        return max(1, load64(get(level, LARGE_COUNT_AT) + 8 * low))
    return 1


@exact_kernel
def count_in(level: Int, node: Int, bits: Int) -> Int:
    """The count of a node whose field is given."""
    mask = get(level, CODE_MASK)
    code = (bits >> get(level, WORD_END)) & mask
    return code + 1 if code != mask else large(level, node)


# --- one word among the children of a context


@exact_kernel
def bucket_of(share: Float, buckets: Int) -> Int:
    """The bucket of a word: as far along as the word is among all bigrams."""
    return max(0, min(np.int64(np.float64(share) * buckets), buckets - 1))


@exact_kernel
def bucket_at(level: Int, first: Int, end: Int, row: Int, w: Int) -> Int:
    """The address of the bucket of w among the children first..end, which have a row; 0 if there is none."""
    buckets = (end - first) // PER_BUCKET
    start = load64(get(level - _ROW, WEIGHTS_AT) + ROW * row + 16)
    if start < 0 or start + buckets >= get(level - _ROW, BUCKETS):
        return 0
    b = bucket_of(load_float(get(level, SHARE_AT) + 4 * w), buckets)
    return get(level - _ROW, BUCKETS_AT) + 4 * (start + b)


@exact_kernel
def within(first: Int, end: Int, at: Int) -> tuple[Int, Int]:
    """Of the children first..end, those in the bucket at an address, see `bucket_at`."""
    if at == 0:
        return first, end
    return min(first + load32(at), end), min(first + load32(at + 4), end)


@exact_kernel
def find(level: Int, first: Int, end: Int, w: Int) -> tuple[Int, Int]:
    """The node among first..end whose last word is w, or -1, and its field."""
    while end - first > SCANNED:
        middle = (first + end) >> 1
        if word_of(level, middle) > w:
            end = middle
        else:
            first = middle
    if first >= end:
        return -1, 0
    mask, width, per_line = get(level, WORD_MASK), get(level, WIDTH), get(level, PER_LINE)
    number = line_of_node(level, first)
    place = first - number * per_line
    line = get(level, LINES_AT) + number * LINE
    head = get(level, HEAD)
    while True:
        bits = bits_from(line, head + place * width)
        if bits & mask >= w:
            return first if bits & mask == w else -1, bits
        first += 1
        if first == end:
            return -1, 0
        place += 1
        if place == per_line:
            place = 0
            line += LINE


@exact_kernel
def locate(level: Int, first: Int, end: Int, row: Int, w: Int) -> tuple[Int, Int]:
    """`find` among all children of a context."""
    if row >= 0:
        first, end = within(first, end, bucket_at(level, first, end, row, w))
    return find(level, first, end, w)


@exact_kernel
def scan(level: Int, first: Int, end: Int, w: Int) -> tuple[Int, Int, Float, Float]:
    """`weigh` where there is no row: the few children are read one by one, and T and G made of them."""
    if first >= end:
        return -1, 0, 0.0, 0.0
    width, head, per_line = get(level, WIDTH), get(level, HEAD), get(level, PER_LINE)
    word_mask, word_end, code_mask = get(level, WORD_MASK), get(level, WORD_END), get(level, CODE_MASK)
    number = line_of_node(level, first)
    place = first - number * per_line
    line = get(level, LINES_AT) + number * LINE
    end = min(end, first + SCANNED)
    node, found = -1, 0
    total, n1, n2 = 0, 0, 0
    for child in range(first, end):
        bits = bits_from(line, head + place * width)
        place += 1
        if place == per_line:
            place = 0
            line += LINE
        code = (bits >> word_end) & code_mask
        a = code + 1
        if code == code_mask:
            a = large(level, child)
        total += a
        n1 += a == 1
        n2 += a == 2
        if (bits & word_mask) == w:
            node, found = child, a
    types = end - first
    # the same numbers as a row of Smoothing.parameters, but no array
    d1, d2, d3 = parameter(level, 1), parameter(level, 2), parameter(level, 3)
    parameters: Any = ((0.0, d1, d2, d3, parameter(level, EXTRA), parameter(level, FLAT)),)
    t, g = weights(total, n1, n2, types - n1 - n2, types, 0, parameters)
    return node, found, t, g


@exact_kernel
def stored_weights(level: Int, row: Int) -> tuple[Float, Float]:
    """T and G of a context with a row, whose children are at `level`."""
    stored = get(level - _ROW, WEIGHTS_AT) + ROW * row
    return load_double(stored), load_double(stored + 8)


@exact_kernel
def weigh(level: Int, first: Int, end: Int, row: Int, w: Int) -> tuple[Int, Int, Float, Float]:
    """Among the children first..end: the node of w or -1, its count or 0, T and G of their context.

    row: see `children`. T is 0 where there are no children at all. A model from an ARPA file has no
    counts: 0.
    """
    if get(level, EXPLICIT):
        node, _ = locate(level, first, end, row, w)
        return node, 0, 0.0, 0.0
    if row < 0:
        return scan(level, first, end, w)
    node, bits = locate(level, first, end, row, w)
    t, g = stored_weights(level, row)
    return node, count_in(level, node, bits) if node >= 0 else 0, t, g


@exact_kernel
def weigh_context(level: Int, first: Int, end: Int, row: Int) -> tuple[Float, Float]:
    """T and G of a context, see `weigh`; not for a model from an ARPA file."""
    if row >= 0:
        return stored_weights(level, row)
    _, _, t, g = scan(level, first, end, -1)
    return t, g


# --- one word after one history


@exact_kernel
def said(level: Int, node: Int) -> bool:
    """Whether an ARPA file has the n-gram; NaN is for those that are there only as contexts of longer ones."""
    return node >= 0 and not np.isnan(logp(level, node))


@exact_kernel
def logp(level: Int, node: Int) -> Float:
    return np.float64(load_float(get(level, LOGP_AT) + 4 * node))


@exact_kernel
def backoff(level: Int, c: Int) -> Float:
    return np.float64(load_float(get(level, BACKOFF_AT) + 4 * c))


@exact_kernel
def combine(level: Int, lower: Float, c: Int, node: Int, a: Int, t: Float, g: Float) -> Float:
    """p_n from p_{n-1}, see the module; for a model from an ARPA file log p_n from log p_{n-1}.

    c: the context, of the level below; node, a, t, g: as `weigh` gives them.
    """
    if get(level, EXPLICIT):
        return logp(level, node) if said(level, node) else lower + backoff(level - _ROW, c)
    if t <= 0:
        return lower
    below = load_double(level + 8 * UNIFORM)
    return max(a - parameter(level, min(a, 3)), 0.0) / t + g * (below if below > 0 else lower)


@exact_kernel
def begin(contexts: Array) -> None:
    """The contexts (N - 1,) of the first word of a line: <s> and nothing before it."""
    contexts[:] = -1
    if len(contexts):
        contexts[0] = BOS


@exact_kernel
def move(contexts: Array, found: Array, w: Int) -> None:
    """contexts (N - 1,) after w, where found[k] is the node that w made of contexts[k], or -1."""
    for k in range(len(contexts) - 1, 0, -1):
        contexts[k] = found[k - 1]
    if len(contexts):
        contexts[0] = w


@exact_kernel
def follow(model: Int, contexts: Array, found: Array, w: Int) -> None:
    """`move` contexts (N - 1,) on by w, of which nothing is known yet; found: (N - 1,) scratch."""
    for k in range(len(contexts) - 1):  # nothing follows from the longest
        found[k] = -1
        if contexts[k] >= 0:
            first, end, row = children(level_of(model, k + 1), contexts[k])
            found[k], _ = locate(level_of(model, k + 2), first, end, row, w)
    move(contexts, found, w)


@exact_kernel
def predict(model: Int, contexts: Array, w: Int, found: Array, told: Array) -> Float:
    """p(w), or log p(w) of a model from an ARPA file, after contexts (N - 1,).

    found: (N - 1,) gets the nodes of w, for `move`. told: (2,) gets the length of the n-gram that p is
    taken from and the sum of the log back-off weights of the longer contexts, which do not know w.
    """
    p = load_double(get(model, UNIGRAM_AT) + 8 * w)
    told[0], told[1] = 1.0, 0.0
    for k in range(len(contexts)):
        c, n = contexts[k], k + 2
        found[k] = -1
        if c < 0:
            continue
        level = level_of(model, n)
        first, end, row = children(level - _ROW, c)
        node, a, t, g = weigh(level, first, end, row, w)
        found[k] = node
        p = combine(level, p, c, node, a, t, g)
        if get(model, EXPLICIT):
            if said(level, node):
                told[0], told[1] = n, 0.0
            else:
                told[1] += backoff(level - _ROW, c)
        elif node >= 0:
            told[0], told[1] = n, 0.0
        elif t > 0:
            told[1] += np.log(g)
    return p


# --- a text


@exact_kernel
def line_of(offsets: Array, line_end: bool, item: Int) -> Int:
    """The line of an item. Items are the tokens and, with line_end, the ends of the lines, in order."""
    low, high = 0, len(offsets) - 1
    while low + 1 < high:
        middle = (low + high) >> 1
        if offsets[middle] + (middle if line_end else 0) <= item:
            low = middle
        else:
            high = middle
    return low


@exact_kernel
def enter(model: Int, ids: Array, offsets: Array, line: Int, token: Int, contexts: Array, found: Array) -> None:
    """The contexts (N - 1,) before ids[token], from the N - 1 words before it."""
    begin(contexts)
    first = offsets[line]
    if token - first > len(contexts):
        first = token - len(contexts)
        contexts[:] = -1
    for i in range(first, token):
        follow(model, contexts, found, np.int64(ids[i]))


@exact_kernel
def score(table: Array, ids: Array, offsets: Array, line_end: bool, start: Int, block: Int, out: Array) -> None:
    """out (items,) float64: p, or log p for a model from an ARPA file, of the items from start on.

    `block` items at a time, and for these order by order, in rounds. Within a round nothing waits for
    anything else, and each asks memory for what the next one reads: where the children of the contexts
    are; in which bucket a word is, where they are many; where the bucket is; the word among them.
    """
    model = address_of(table)
    inner = len(table) - 2  # N - 1
    explicit = get(model, EXPLICIT) != 0
    contexts, scratch = np.empty(inner, np.int64), np.empty(inner, np.int64)
    word, fresh = np.empty(block, np.int64), np.empty(block, np.bool_)
    # the contexts of the items at one level, and what the words made of them: contexts of the next item
    before, after = np.empty(block + 1, np.int64), np.empty(block + 1, np.int64)
    few, many = np.empty((block, 3), np.int64), np.empty((block, 5), np.int64)
    line = line_of(offsets, line_end, start)
    token = start - (line if line_end else 0)
    enter(model, ids, offsets, line, token, contexts, scratch)
    opening = False  # whether the next item is the first of a line
    for done in range(0, len(out), block):
        p = out[done : done + block]
        if inner:
            before[0] = contexts[0]
        for i in range(len(p)):
            while not line_end and token == offsets[line + 1]:
                line += 1
                opening = True
            fresh[i] = opening
            if opening:
                before[i] = BOS
            w = np.int64(EOS)
            opening = token == offsets[line + 1]
            if opening:
                line += 1
            else:
                w = np.int64(ids[token])
                token += 1
            word[i] = before[i + 1] = w
            p[i] = load_double(get(model, UNIGRAM_AT) + 8 * w)
        for k in range(inner):
            level = level_of(model, k + 2)
            contexts[k] = before[len(p)]
            fews, manys = 0, 0
            for i in range(len(p)):
                after[i + 1] = -1
                if before[i] < 0:
                    continue
                first, end, row = children(level - _ROW, before[i])
                if row >= 0:
                    many[manys, 0], many[manys, 1], many[manys, 2], many[manys, 3] = i, first, end, row
                    manys += 1
                    prefetch(get(level - _ROW, WEIGHTS_AT) + ROW * row)
                else:
                    few[fews, 0], few[fews, 1], few[fews, 2] = i, first, end
                    fews += 1
                    prefetch(line_at(level, first))
                    prefetch(line_at(level, end - 1))
            for j in range(manys):
                at = bucket_at(level, many[j, 1], many[j, 2], many[j, 3], word[many[j, 0]])
                many[j, 4] = at
                prefetch(at)
            for j in range(manys):
                first, end = within(many[j, 1], many[j, 2], many[j, 4])
                many[j, 1], many[j, 2] = first, end
                prefetch(line_at(level, first))
                prefetch(line_at(level, end - 1))
            for j in range(fews):
                i = few[j, 0]
                if explicit:
                    node, _ = find(level, few[j, 1], few[j, 2], word[i])
                    a, t, g = 0, 0.0, 0.0
                else:
                    node, a, t, g = scan(level, few[j, 1], few[j, 2], word[i])
                after[i + 1] = node
                p[i] = combine(level, p[i], before[i], node, a, t, g)
            for j in range(manys):
                i = many[j, 0]
                node, bits = find(level, many[j, 1], many[j, 2], word[i])
                after[i + 1] = node
                a = count_in(level, node, bits) if node >= 0 else 0
                t, g = stored_weights(level, many[j, 3])
                p[i] = combine(level, p[i], before[i], node, a, t, g)
            if k + 1 < inner:
                before[0] = contexts[k + 1]
                before[1:] = after[1:]
                for i in range(len(p)):
                    if fresh[i]:
                        before[i] = -1


@exact_kernel
def explain(table: Array, ids: Array, offsets: Array, line_end: bool, start: Int, out: Array, told: Array) -> None:
    """`score`, one item after the other; told: (items, 2), what `predict` tells of each."""
    model = address_of(table)
    inner = len(table) - 2
    contexts, found = np.empty(inner, np.int64), np.empty(inner, np.int64)
    line = line_of(offsets, line_end, start)
    token = start - (line if line_end else 0)
    enter(model, ids, offsets, line, token, contexts, found)
    for item in range(len(out)):
        while not line_end and token == offsets[line + 1]:
            line += 1
            begin(contexts)
        w = np.int64(EOS)
        if token < offsets[line + 1]:
            w = np.int64(ids[token])
        out[item] = predict(model, contexts, w, found, told[item])
        if w == EOS:
            line += 1
            begin(contexts)
        else:
            token += 1
            move(contexts, found, w)


# --- many histories


@exact_kernel
def advance(table: Array, contexts: Array, ids: Array, offsets: Array) -> None:
    """contexts (B, N - 1), each moved on by its line of (ids, offsets)."""
    found = np.empty(contexts.shape[1], np.int64)
    for b in range(len(contexts)):
        for i in range(offsets[b], offsets[b + 1]):
            follow(address_of(table), contexts[b], found, np.int64(ids[i]))


@exact_kernel
def distributions(table: Array, contexts: Array, rows: Array) -> None:
    """rows (B, V) float64: p, or log p for a model from an ARPA file, of every word after contexts (B, N - 1).

    The recursion turned inside out: what a word has from each of its n-grams, times the G of the longer
    contexts (plus their back-off weights, in logarithms), and from its unigram, times all of them.
    """
    model = address_of(table)
    explicit = get(model, EXPLICIT) != 0
    uniform = load_double(model + 8 * UNIFORM)
    unigram = get(model, UNIGRAM_AT)
    inner, v = contexts.shape[1], rows.shape[1]
    first, end, total, scale = np.zeros(inner, np.int64), np.zeros(inner, np.int64), np.ones(inner), np.ones(inner)
    for b in range(len(rows)):
        left = 0.0 if explicit else 1.0  # what comes to the shorter contexts
        end[:] = first
        for k in range(inner - 1, -1, -1):
            c = contexts[b, k]
            if c < 0:
                continue
            f, e, row = children(level_of(model, k + 1), c)
            scale[k] = left
            if explicit:
                left += backoff(level_of(model, k + 1), c)
            else:
                t, g = weigh_context(level_of(model, k + 2), f, e, row)
                if t <= 0:
                    continue
                total[k] = t
                left *= g
            first[k], end[k] = f, e
            if uniform > 0:  # in place of all that is shorter
                for w in range(v):
                    rows[b, w] = left * uniform
                rows[b, BOS] = 0.0
                left = -1.0
                break
        if explicit:
            for w in range(v):
                rows[b, w] = load_double(unigram + 8 * w) + left
        elif left >= 0:
            for w in range(v):
                rows[b, w] = load_double(unigram + 8 * w) * left
        for k in range(inner):
            level = level_of(model, k + 2)
            for node in range(first[k], end[k]):
                bits = field(level, node)
                w = bits & get(level, WORD_MASK)
                if w >= v:
                    continue
                if explicit:
                    if said(level, node):
                        rows[b, w] = scale[k] + logp(level, node)
                else:
                    a = count_in(level, node, bits)
                    rows[b, w] += scale[k] * max(a - parameter(level, min(a, 3)), 0.0) / total[k]


# --- all n-grams


@exact_kernel
def bounds(table: Array, n: Int, contexts: Array) -> Array:
    """(2 k,) the first child and the end of the children of each of contexts (k,) of level n."""
    out = np.empty(2 * len(contexts), np.int64)
    for i in range(len(contexts)):
        out[2 * i], out[2 * i + 1], _ = children(level_of(address_of(table), n), contexts[i])
    return out


@exact_kernel
def parent_of(model: Int, n: Int, node: Int) -> Int:
    """The context, of level n - 1, whose child is a node of level n."""
    low, high = 0, get(level_of(model, n - 1), SIZE) - 1
    while low < high:
        middle = (low + high) >> 1
        if children(level_of(model, n - 1), middle)[1] <= node:
            low = middle + 1
        else:
            high = middle
    return low


@exact_kernel
def spell(table: Array, n: Int, start: Int, words: Array) -> None:
    """words (nodes, n): the n-grams that are the nodes of level n from start on."""
    model = address_of(table)
    last_word = get(model, VOCABULARY) - 1
    nodes = np.arange(start, start + len(words))
    for level in range(n, 1, -1):
        this, below = level_of(model, level), level_of(model, level - 1)
        parent, last = parent_of(model, level, nodes[0]), get(below, SIZE) - 1
        end = children(below, parent)[1]
        for i in range(len(nodes)):
            node = nodes[i]
            words[i, level - 1] = min(word_of(this, node), last_word)
            while end <= node and parent < last:
                parent += 1
                end = children(below, parent)[1]
            nodes[i] = parent
    words[:, 0] = nodes


@exact_kernel
def tabulate(table: Array, words: Array, p: Array, weight: Array) -> None:
    """What an ARPA file says of n-grams words (k, n), in order: p (k,), and the back-off weight (k,) or 1.

    Logarithms of both for a model from an ARPA file. What n-grams have in common with the one before is
    not looked up again: after[i] are the contexts after i words.
    """
    model = address_of(table)
    n, inner = words.shape[1], len(table) - 2
    after, found, told = np.full((n, inner), -1, np.int64), np.empty(inner, np.int64), np.empty(2)
    explicit = get(model, EXPLICIT) != 0
    for i in range(len(words)):
        same = 0
        while i and same < n - 1 and words[i, same] == words[i - 1, same]:
            same += 1
        for k in range(same, n - 1):
            after[k + 1] = after[k]
            follow(model, after[k + 1], found, np.int64(words[i, k]))
        p[i] = predict(model, after[n - 1], np.int64(words[i, n - 1]), found, told)
        weight[i] = 0.0 if explicit else 1.0
        c = np.int64(words[i, 0])
        if n > 1:
            c = found[n - 2]
        if n <= inner and c >= 0:
            if explicit:
                weight[i] = backoff(level_of(model, n), c)
            else:
                first, end, row = children(level_of(model, n), c)
                t, g = weigh_context(level_of(model, n + 1), first, end, row)
                if t > 0:
                    weight[i] = g


# --- packing


@kernel
def count_lengths(count: Array, lengths: Array) -> None:
    """Add to lengths[b] how many of the counts have b bits."""
    for i in range(len(count)):
        bits, rest = 0, count[i]
        while rest > 0:
            bits += 1
            rest >>= 1
        lengths[bits] += 1


@kernel
def widest_lines(children: Array, before: Int, last: Array, widest: Array) -> None:
    """Add contexts to what is known of lines of every length: widest[m] is the most children that m have.

    before: contexts before these; last: (lengths,) all children before the line that is begun, last[0] before these.
    """
    sums = np.empty(len(children) + 1, np.int64)
    sums[0] = last[0]
    for i in range(len(children)):
        sums[i + 1] = sums[i] + children[i]
    last[0] = sums[-1]
    for m in range(1, len(widest)):
        for i in range(m - before % m, len(sums), m):
            widest[m] = max(widest[m], sums[i] - last[m])
            last[m] = sums[i]


@kernel
def pack_lines(
    word: Array, count: Array, children: Array, marked: Array, word_end: Int, code_end: Int, width: Int,
    head: Int, per_line: Int, state: Array, out: Array,
) -> Int:  # fmt: skip
    """Append nodes to out (lines, 8) uint64; how many lines are full. out[0] is the one begun before.

    state: nodes in the line so far, first child of the line, next child, marked nodes so far.
    """
    mask = (np.int64(1) << (code_end - word_end)) - 1
    line = 0
    for i in range(len(word)):
        place = state[0]
        if place == 0 and head:
            state[1] = state[2]
            out[line, 0] = state[1]
            out[line, 1] = state[3]
        value = np.uint64(0)
        if word_end:
            value = np.uint64(word[i]) | np.uint64(min(count[i] - 1, mask)) << np.uint64(word_end)
        if head:
            state[2] += children[i]
            value |= np.uint64(state[2] - state[1]) << np.uint64(code_end)
            if marked[i]:
                out[line, 0] |= np.uint64(1) << np.uint64(BASE_BITS + place)
                state[3] += 1
        bit = head + place * width
        at, shift = bit >> 6, bit & 63
        out[line, at] |= value << np.uint64(shift)
        if shift + width > 64:
            out[line, at + 1] |= value >> np.uint64(64 - shift)
        state[0] += 1
        if state[0] == per_line:
            state[0] = 0
            line += 1
    return line


@kernel
def fill_buckets(word: Array, node: Int, first: Array, size: Array, share: Array, state: Array, out: Array) -> Int:
    """Append to out (entries,) uint32 where buckets of contexts begin; how many. See packed.py.

    word: (nodes,) of the level above the contexts, from `node` on; first, size: (contexts,) the children of
    those that have buckets; state: contexts done, and of the next one children and entries done.
    """
    entries = 0
    while state[0] < len(first):
        r = state[0]
        buckets = size[r] // PER_BUCKET
        while state[1] < size[r]:
            at = first[r] + state[1] - node
            if at >= len(word):
                return entries
            b = bucket_of(share[word[at]], buckets)
            while state[2] <= b:
                out[entries] = state[1]
                entries += 1
                state[2] += 1
            state[1] += 1
        while state[2] <= buckets:
            out[entries] = size[r]
            entries += 1
            state[2] += 1
        state[0] += 1
        state[1] = state[2] = 0
    return entries
