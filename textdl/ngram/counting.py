"""Counting all n-grams up to an order: the positions of a text, sorted by what begins there.

Positions are grouped by their first word, then every group is sorted by the second word, every
group of those by the third, and so on. The groups of each round are the n-grams of that order, in
the order that the trie wants them; the size of a group is the count. Nothing is hashed, no key has
to fit a machine word at any order, and the memory does not grow with repetition: beside the trie it
is four int32 per token.

Lines are read as <s> w1 .. wk </s>, blank ones as <s> </s>. No n-gram crosses a line end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, Encoded
from textdl.errors import CorpusError
from textdl.ngram import kernels
from textdl.ngram.trie import Trie, slices
from textdl.protocols import Run

_CHUNK = 1 << 20
"""Positions a kernel call: under 0.2 s."""


def marked(lines: Encoded) -> NDArray[np.int32]:
    """(tokens + 2 lines,) the text with <s> before and </s> after every line."""
    numbers = 2 * np.arange(len(lines), dtype=np.int64)
    bos = lines.offsets[:-1] + numbers
    eos = lines.offsets[1:] + numbers + 1
    out = np.empty(lines.tokens + 2 * len(lines), np.int32)
    token = np.ones(len(out), np.bool_)
    token[bos] = token[eos] = False
    out[bos], out[eos] = BOS, EOS
    out[token] = lines.ids
    return out


def count(lines: Encoded, order: int, run: Run) -> tuple[Trie, NDArray[np.int32]]:
    """Every n-gram of 1..order words in the lines, and how often it occurs (nodes,); the root 0 times.

    Raises:
        CorpusError: there is no line, or more text than one trie can number.
    """
    size = lines.vocab_size
    if len(lines) == 0:
        raise CorpusError("An n-gram model was to be trained on no lines at all. Give it a corpus with text.")
    if lines.tokens + 2 * len(lines) >= 2**31 - size:
        raise CorpusError(
            f"{lines.tokens:,} tokens on {len(lines):,} lines are more than an n-gram model can number "
            "(2,147,483,647). Train on a part of the corpus."
        )
    stream = marked(lines)
    counts = np.bincount(stream, minlength=size).astype(np.int32)
    assert len(counts) == size, "an id beyond the vocabulary"
    assert counts[BOS] == counts[EOS] == len(lines), "<s> and </s> are not stored"

    total = order * len(stream)
    run.progress("counting", 0, total, "tokens")
    word = np.arange(size, dtype=np.int32)
    begin = (np.cumsum(counts, dtype=np.int64) - counts).astype(np.int32)
    positions = np.empty(len(stream), np.int32)
    free = begin.copy()
    for start in range(0, len(stream), _CHUNK):
        kernels.sort_by_word(stream, free, positions, start, min(start + _CHUNK, len(stream)))
    del free

    starts = [0, 1, 1 + size]
    words = [np.full(1, -1, np.int32), word]
    suffixes = [np.zeros(1 + size, np.int32)]
    firsts = [np.ones(1, np.int32)]
    all_counts = [np.zeros(1, np.int32), counts]
    if order > 1:
        node_at = stream + np.int32(1)  # the node of the n-gram that begins at each position
        following = np.empty(len(stream), np.int32)
        histogram = np.zeros(size, np.int64)
        packed = np.empty(int(counts.max()), np.uint64)
    for n in range(2, order + 1):
        done = (n - 1) * len(stream)
        first = np.empty(len(word), np.int32)
        made = starts[-1]
        if made + len(stream) >= 2**31:
            raise CorpusError(
                f"The corpus has more than 2,147,483,647 n-grams of up to {n} words, more than one model can number. "
                "Choose a lower --order, or train on a part of the corpus."
            )
        for start, stop in slices(counts, _CHUNK):
            kernels.sort_contexts(
                stream, n - 1, positions, begin, counts, word, following, histogram, packed, start, stop
            )
            made = kernels.count_children(following, begin, counts, word, first, made, start, stop)
            run.progress("counting", done + begin[stop - 1], total, "tokens", f"{n}-grams")
        firsts.append(first)

        child_word, child_begin, child_count = (np.empty(made - starts[-1], np.int32) for _ in range(3))
        made = 0
        for start, stop in slices(counts, _CHUNK):
            made = kernels.make_children(
                following, begin, counts, word, child_word, child_begin, child_count, made, start, stop
            )
        word, begin, counts = child_word, child_begin, child_count

        suffix = np.empty(len(word), np.int32)
        for start in range(0, len(word), _CHUNK):
            kernels.read_suffixes(node_at, positions, begin, suffix, start, min(start + _CHUNK, len(word)))
        if n < order:
            for start, stop in slices(counts, _CHUNK):
                kernels.place_nodes(node_at, positions, begin, counts, starts[-1], start, stop)
        words.append(word)
        suffixes.append(suffix)
        all_counts.append(counts)
        starts.append(starts[-1] + len(word))
    firsts.append(np.array([starts[-1]], np.int32))
    run.progress("counting", total, total, "tokens")
    if order > 1:
        del node_at, following, packed
    del stream, positions, begin
    trie = Trie(tuple(starts), _join(words), _join(firsts), _join(suffixes))
    return trie, _join(all_counts)


def _join(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """np.concatenate that lets go of the parts, as each is a good share of the memory there is."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole
