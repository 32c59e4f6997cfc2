"""The compiled loops that pack a model and ask it. packed.py says how a model is laid out.

Every smoothing is one recursion over the orders n = 1 .. N, from the unigrams up, for the context c of
n - 1 words and the word w, a being the count of the n-gram cw, or 0:

    p_n(w) = max(a - D_n(a), 0) / T(c) + G(c) p_{n-1}(w)        p_n = p_{n-1} where there is no such context

A model read from an ARPA file goes up in the same way, in logarithms: log p_n is what the file says
of cw, or else log p_{n-1} plus the back-off weight of c.

The state of a history is its contexts, int64 (N - 1,): contexts[k] is the node, at level k + 1, of its
last k + 1 words, or -1. A query waits for memory more than it computes, so `score` walks many stretches
of the text side by side ("lanes"), and each asks for what its next step will read while the others
work. `predict` is one step alone. reference.py computes the same from dictionaries, in plain Python.

A kernel gets a model as one table of numbers and addresses, `Packed.table`: arrays as arguments of the
many small functions would each be counted in and out, which costs more than what the functions do. So
nothing that is read from a file is trusted with an address: nodes are kept below the size of their
level, rows below the length of their array, and every loop has an end. A damaged model gives wrong
numbers; it neither hangs nor crashes.

All of it is exact (no re-ordered sums): a number does not depend on the lane or the kernel it comes from.
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

LANES = 16
SCANNED = 16
"""A context with more children has T and G in `weights`."""

COLUMNS = 22
"""Numbers in a row of `Packed.table`. Row n is level n; row 0 is the model."""
# row 0
ORDER, VOCABULARY, EXPLICIT, UNIGRAM_AT, SHARE_AT, UNIFORM = range(6)
# rows 1 .. N; what ends in _AT is an address
SIZE, ABOVE, WIDTH, WORD_END, CODE_END, HEAD, PER_LINE, MARKED, LARGE = range(9)
LINES_AT, WEIGHTS_AT, LARGE_NODE_AT, LARGE_COUNT_AT, LOGP_AT, BACKOFF_AT = range(9, 15)
INVERSE = 15
"""2**64 / PER_LINE, rounded up: the upper half of its product with a node below 2**40 is the quotient."""
PARAMETERS = 16
"""Six float64: the row of `Smoothing.parameters`."""
_ROW = 8 * COLUMNS

LINE = 64
"""Bytes of a line of nodes: what memory hands over at once."""
HEAD_BITS = 96
MOST_PER_LINE = 24
BASE_BITS = 40
_BASE = (1 << BASE_BITS) - 1


# --- the table


@exact_kernel
def get(model: Int, n: Int, column: Int) -> Int:
    """A number of the table whose address is `model`."""
    return load64(model + n * _ROW + 8 * column)


@exact_kernel
def parameter(model: Int, n: Int, i: Int) -> Float:
    """Of n-grams of order n: 0, D1, D2, D3, e, f; see smoothing.py."""
    return load_double(model + n * _ROW + 8 * (PARAMETERS + i))


# --- one node


@exact_kernel
def line_of_node(model: Int, n: Int, node: Int) -> Int:
    """node // PER_LINE, without a division."""
    return times_high(node, get(model, n, INVERSE))


@exact_kernel
def bits_from(line: Int, bit: Int) -> Int:
    """What is in a line, whose address is given, from a bit on; never read beyond the line."""
    byte = min(bit >> 3, LINE - 8)
    return load64(line + byte) >> (bit - 8 * byte)


@exact_kernel
def field(model: Int, n: Int, node: Int) -> Int:
    """The bits of a node, word, code and end from the lowest on, and whatever is above."""
    line = line_of_node(model, n, node)
    place = node - line * get(model, n, PER_LINE)
    return bits_from(get(model, n, LINES_AT) + line * LINE, get(model, n, HEAD) + place * get(model, n, WIDTH))


@exact_kernel
def word_of(model: Int, n: Int, node: Int) -> Int:
    return field(model, n, node) & ((1 << get(model, n, WORD_END)) - 1)


@exact_kernel
def line_at(model: Int, n: Int, node: Int) -> Int:
    """The address of the line of a node."""
    return get(model, n, LINES_AT) + line_of_node(model, n, node) * LINE


@exact_kernel
def children(model: Int, n: Int, c: Int) -> tuple[Int, Int, Int]:
    """Of context c of level n: its first child, the end of its children, its row in `weights` or -1."""
    width, code_end = get(model, n, WIDTH), get(model, n, CODE_END)
    mask = (1 << (width - code_end)) - 1
    number = line_of_node(model, n, c)
    place = c - number * get(model, n, PER_LINE)
    line = get(model, n, LINES_AT) + number * LINE
    bit = HEAD_BITS + place * width
    begin, end = 0, (bits_from(line, bit) >> code_end) & mask
    if place > 0:
        begin = (bits_from(line, bit - width) >> code_end) & mask
    head = load64(line)
    base, marks = head & _BASE, head >> BASE_BITS
    row = -1
    if (marks >> place) & 1:
        row = load32(line + 8) + ones(marks & ((1 << place) - 1))
        if row >= get(model, n, MARKED):
            row = -1
    above = get(model, n, ABOVE)
    return min(base + begin, above), min(base + end, above), row


@exact_kernel
def large(model: Int, n: Int, node: Int) -> Int:
    """The count of a node that does not fit its field; 1 if it is not listed, which is damage."""
    nodes = get(model, n, LARGE_NODE_AT)
    low, high = 0, get(model, n, LARGE)
    end = high
    while low < high:
        middle = (low + high) >> 1
        if load64(nodes + 8 * middle) < node:
            low = middle + 1
        else:
            high = middle
    if low < end and load64(nodes + 8 * low) == node:
        return max(1, load64(get(model, n, LARGE_COUNT_AT) + 8 * low))
    return 1


@exact_kernel
def count(model: Int, n: Int, node: Int) -> Int:
    """The count of a node of level n."""
    word_end = get(model, n, WORD_END)
    mask = (1 << (get(model, n, CODE_END) - word_end)) - 1
    code = (field(model, n, node) >> word_end) & mask
    return code + 1 if code != mask else large(model, n, node)


@exact_kernel
def share(model: Int, w: Int) -> Float:
    """Of all bigrams, how many end with a smaller word than w."""
    return np.float64(load_float(get(model, 0, SHARE_AT) + 4 * w))


@exact_kernel
def guess(model: Int, first: Int, end: Int, w: Int) -> Int:
    """Where among many children first..end the word w should be: as far along as among all bigrams."""
    return max(first, min(first + np.int64((end - first) * share(model, w)), end - 1))


@exact_kernel
def better_guess(model: Int, n: Int, first: Int, end: Int, w: Int, at: Int) -> Int:
    """From a guess and the word that is there, which has to be read."""
    there = min(word_of(model, n, at), get(model, 0, VOCABULARY) - 1)
    return max(first, min(at + np.int64((end - first) * (share(model, w) - share(model, there))), end - 1))


@exact_kernel
def find(model: Int, n: Int, first: Int, end: Int, w: Int, at: Int) -> Int:
    """The node of level n among first..end whose last word is w, or -1.

    at: a guess where it is. From its line the search goes up or down by lines, in steps that grow, until
    w is between; then halves what is left. Lines are what memory gives, so a good guess saves most of it.
    """
    if first >= end:
        return -1
    per_line, width, head = get(model, n, PER_LINE), get(model, n, WIDTH), get(model, n, HEAD)
    mask = (1 << get(model, n, WORD_END)) - 1
    lines = get(model, n, LINES_AT)
    # w is, if at all, in a line from low to high - 1
    low, high, step = line_of_node(model, n, first), line_of_node(model, n, end - 1) + 1, 1
    if high - low > 1:
        middle = line_of_node(model, n, at)
        if middle > low and (bits_from(lines + middle * LINE, head) & mask) > w:
            high = middle
            while high - step > low:
                if (bits_from(lines + (high - step) * LINE, head) & mask) <= w:
                    low = high - step
                    break
                high -= step
                step *= 2
        elif (bits_from(lines + middle * LINE, head + (per_line - 1) * width) & mask) >= w and middle + 1 < high:
            low, high = middle, middle + 1
        else:
            low = middle
            while low + step < high:
                if (bits_from(lines + (low + step) * LINE, head) & mask) > w:
                    high = low + step
                    break
                low += step
                step *= 2
        while high - low > 1:
            middle = (low + high) >> 1
            if (bits_from(lines + middle * LINE, head) & mask) <= w:
                low = middle
            else:
                high = middle
    first = max(first, low * per_line)
    end = min(end, (low + 1) * per_line)
    found = -1
    bit = head + (first - low * per_line) * width
    for node in range(first, end):
        if (bits_from(lines + low * LINE, bit) & mask) == w:
            found = node
        bit += width
    return found


@exact_kernel
def weigh(model: Int, n: Int, first: Int, end: Int, row: Int, w: Int, at: Int) -> tuple[Int, Int, Float, Float]:
    """Among the children first..end, of level n: the node of w or -1, its count or 0, T and G of their context.

    row: see `children`; at: see `find`.

    T is 0 where there are no children at all. Few children are read one by one, and T and G made of them.
    A model from an ARPA file has no counts: 0.
    """
    if get(model, 0, EXPLICIT):
        return find(model, n, first, end, w, at), 0, 0.0, 0.0
    if row >= 0:
        node = find(model, n, first, end, w, at)
        stored = get(model, n - 1, WEIGHTS_AT) + 16 * row
        return node, count(model, n, node) if node >= 0 else 0, load_double(stored), load_double(stored + 8)
    if first >= end:
        return -1, 0, 0.0, 0.0
    width, word_end, head, per_line = (
        get(model, n, WIDTH),
        get(model, n, WORD_END),
        get(model, n, HEAD),
        get(model, n, PER_LINE),
    )
    word_mask, code_mask = (1 << word_end) - 1, (1 << (get(model, n, CODE_END) - word_end)) - 1
    line = line_of_node(model, n, first)
    place = first - line * per_line
    line = get(model, n, LINES_AT) + line * LINE
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
            a = large(model, n, child)
        total += a
        n1 += a == 1
        n2 += a == 2
        if (bits & word_mask) == w:
            node, found = child, a
    types = end - first
    # the same numbers as a row of Smoothing.parameters, but no array
    d1, d2, d3 = parameter(model, n, 1), parameter(model, n, 2), parameter(model, n, 3)
    parameters: Any = ((0.0, d1, d2, d3, parameter(model, n, EXTRA), parameter(model, n, FLAT)),)
    t, g = weights(total, n1, n2, types - n1 - n2, types, 0, parameters)
    return node, found, t, g


# --- one word after one history


@exact_kernel
def said(model: Int, n: Int, node: Int) -> bool:
    """Whether an ARPA file has the n-gram; NaN is for those that are there only as contexts of longer ones."""
    return node >= 0 and not np.isnan(logp(model, n, node))


@exact_kernel
def logp(model: Int, n: Int, node: Int) -> Float:
    return np.float64(load_float(get(model, n, LOGP_AT) + 4 * node))


@exact_kernel
def backoff(model: Int, n: Int, c: Int) -> Float:
    return np.float64(load_float(get(model, n, BACKOFF_AT) + 4 * c))


@exact_kernel
def combine(model: Int, n: Int, lower: Float, c: Int, node: Int, a: Int, t: Float, g: Float) -> Float:
    """p_n from p_{n-1}, see the module; for a model from an ARPA file log p_n from log p_{n-1}.

    c: the context, of level n - 1; node, a, t, g: as `weigh` gives them.
    """
    if get(model, 0, EXPLICIT):
        return logp(model, n, node) if said(model, n, node) else lower + backoff(model, n - 1, c)
    if t <= 0:
        return lower
    below = load_double(model + 8 * UNIFORM)
    return max(a - parameter(model, n, min(a, 3)), 0.0) / t + g * (below if below > 0 else lower)


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
            first, end, _ = children(model, k + 1, contexts[k])
            found[k] = find(model, k + 2, first, end, w, guess(model, first, end, w))
    move(contexts, found, w)


@exact_kernel
def predict(model: Int, contexts: Array, w: Int, found: Array, told: Array) -> Float:
    """p(w), or log p(w) of a model from an ARPA file, after contexts (N - 1,).

    found: (N - 1,) gets the nodes of w, for `move`. told: (2,) gets the length of the n-gram that p is
    taken from and the sum of the log back-off weights of the longer contexts, which do not know w.
    """
    p = load_double(get(model, 0, UNIGRAM_AT) + 8 * w)
    told[0], told[1] = 1.0, 0.0
    for k in range(len(contexts)):
        c, n = contexts[k], k + 2
        found[k] = -1
        if c < 0:
            continue
        first, end, row = children(model, n - 1, c)
        node, a, t, g = weigh(model, n, first, end, row, w, guess(model, first, end, w))
        found[k] = node
        p = combine(model, n, p, c, node, a, t, g)
        if get(model, 0, EXPLICIT):
            if said(model, n, node):
                told[0], told[1] = n, 0.0
            else:
                told[1] += backoff(model, n - 1, c)
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
def score(table: Array, ids: Array, offsets: Array, line_end: bool, start: Int, lanes: Int, out: Array) -> None:
    """out (items,) float64: p, or log p for a model from an ARPA file, of the items from start on.

    The items are cut into `lanes` stretches of equal length, which go on side by side, a word at a time.
    Each word takes three rounds. In the first, every lane looks up where the children of its contexts are,
    and asks memory for them; where there are many, for a guess. In the second it makes the guesses better.
    In the third it reads what it asked for, which has come in the meantime.
    """
    model = address_of(table)
    inner = len(table) - 2  # N - 1
    length = (len(out) + lanes - 1) // lanes
    contexts = np.empty((lanes, inner), np.int64)
    first, end, row, at, found = (
        contexts.copy(), contexts.copy(), contexts.copy(), contexts.copy(), contexts.copy(),
    )  # fmt: skip
    token, line, word = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    for lane in range(lanes):
        if lane * length < len(out):
            item = start + lane * length
            line[lane] = line_of(offsets, line_end, item)
            token[lane] = item - (line[lane] if line_end else 0)
            enter(model, ids, offsets, line[lane], token[lane], contexts[lane], found[lane])
    for step in range(length):
        for lane in range(lanes):
            if lane * length + step >= len(out):
                break
            while not line_end and token[lane] == offsets[line[lane] + 1]:
                line[lane] += 1
                for k in range(inner):
                    contexts[lane, k] = -1 if k else BOS
            w = np.int64(EOS)
            if token[lane] < offsets[line[lane] + 1]:
                w = np.int64(ids[token[lane]])
            word[lane] = w
            prefetch(get(model, 0, UNIGRAM_AT) + 8 * w)
            for k in range(inner):
                c = contexts[lane, k]
                if c >= 0:
                    f, e, r = children(model, k + 1, c)
                    first[lane, k], end[lane, k], row[lane, k] = f, e, r
                    at[lane, k] = f
                    if e - f > SCANNED:
                        at[lane, k] = guess(model, f, e, w)
                        prefetch(line_at(model, k + 2, at[lane, k]))
                    elif e > f:
                        near, far = line_at(model, k + 2, f), line_at(model, k + 2, e - 1)
                        prefetch(near)
                        if near != far:
                            prefetch(far)
                    if r >= 0:
                        prefetch(get(model, k + 1, WEIGHTS_AT) + 16 * r)
        for lane in range(lanes):
            if lane * length + step >= len(out):
                break
            for k in range(inner):
                if contexts[lane, k] >= 0 and end[lane, k] - first[lane, k] > SCANNED:
                    f, e, w = first[lane, k], end[lane, k], word[lane]
                    at[lane, k] = better_guess(model, k + 2, f, e, w, at[lane, k])
                    prefetch(line_at(model, k + 2, at[lane, k]))
        for lane in range(lanes):
            if lane * length + step >= len(out):
                break
            w = word[lane]
            p = load_double(get(model, 0, UNIGRAM_AT) + 8 * w)
            for k in range(inner):
                c = contexts[lane, k]
                node = -1
                if c >= 0:
                    node, a, t, g = weigh(model, k + 2, first[lane, k], end[lane, k], row[lane, k], w, at[lane, k])
                    p = combine(model, k + 2, p, c, node, a, t, g)
                found[lane, k] = node
            out[lane * length + step] = p
            if w == EOS:
                line[lane] += 1
                for k in range(inner):
                    contexts[lane, k] = -1 if k else BOS
            else:
                token[lane] += 1
                for k in range(inner - 1, 0, -1):
                    contexts[lane, k] = found[lane, k - 1]
                if inner:
                    contexts[lane, 0] = w


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
    explicit = get(model, 0, EXPLICIT) != 0
    uniform = load_double(model + 8 * UNIFORM)
    unigram = get(model, 0, UNIGRAM_AT)
    inner, v = contexts.shape[1], rows.shape[1]
    first, end, total, scale = np.zeros(inner, np.int64), np.zeros(inner, np.int64), np.ones(inner), np.ones(inner)
    for b in range(len(rows)):
        left = 0.0 if explicit else 1.0  # what comes to the shorter contexts
        end[:] = first
        for k in range(inner - 1, -1, -1):
            c = contexts[b, k]
            if c < 0:
                continue
            f, e, row = children(model, k + 1, c)
            _, _, t, g = weigh(model, k + 2, f, e, row, -1, f)
            scale[k], total[k] = left, t
            if explicit:
                left += backoff(model, k + 1, c)
            elif t > 0:
                left *= g
            else:
                continue
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
            for node in range(first[k], end[k]):
                w = word_of(model, k + 2, node)
                if w >= v:
                    continue
                if explicit:
                    if said(model, k + 2, node):
                        rows[b, w] = scale[k] + logp(model, k + 2, node)
                else:
                    a = count(model, k + 2, node)
                    rows[b, w] += scale[k] * max(a - parameter(model, k + 2, min(a, 3)), 0.0) / total[k]


# --- all n-grams


@exact_kernel
def bounds(table: Array, n: Int, contexts: Array) -> Array:
    """(2 k,) the first child and the end of the children of each of contexts (k,) of level n."""
    out = np.empty(2 * len(contexts), np.int64)
    for i in range(len(contexts)):
        out[2 * i], out[2 * i + 1], _ = children(address_of(table), n, contexts[i])
    return out


@exact_kernel
def parent_of(model: Int, n: Int, node: Int) -> Int:
    """The context, of level n - 1, whose child is a node of level n."""
    low, high = 0, get(model, n - 1, SIZE) - 1
    while low < high:
        middle = (low + high) >> 1
        if children(model, n - 1, middle)[1] <= node:
            low = middle + 1
        else:
            high = middle
    return low


@exact_kernel
def spell(table: Array, n: Int, start: Int, words: Array) -> None:
    """words (nodes, n): the n-grams that are the nodes of level n from start on."""
    model = address_of(table)
    last_word = get(model, 0, VOCABULARY) - 1
    nodes = np.arange(start, start + len(words))
    for level in range(n, 1, -1):
        parent, last = parent_of(model, level, nodes[0]), get(model, level - 1, SIZE) - 1
        end = children(model, level - 1, parent)[1]
        for i in range(len(nodes)):
            node = nodes[i]
            words[i, level - 1] = min(word_of(model, level, node), last_word)
            while end <= node and parent < last:
                parent += 1
                end = children(model, level - 1, parent)[1]
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
    explicit = get(model, 0, EXPLICIT) != 0
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
                weight[i] = backoff(model, n, c)
            else:
                first, end, row = children(model, n, c)
                _, _, t, g = weigh(model, n + 1, first, end, row, -1, first)
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
