"""The compiled loops of jieba's segmentation: its prefix dictionary, its best path, its hidden Markov model.

The dictionary is a trie in a hash table: `keys` holds node << 21 | character, or -1, and `children` the node
it leads to; linear probing, a power of two of slots. The children of the root (node 0) that are on the
Basic Multilingual Plane also stand in `roots` (65536,), 0 where there is none. `logs[node]` is the logarithm
of the frequency of a word, NO_WORD for a node that is only the beginning of words and for a word of frequency 0;
`forced[node]` is true for a word that was given that, which the hidden Markov model must not put together again.

Sums are in jieba's order and ties go where jieba's `max` over tuples takes them, so the results are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.kernels import exact_kernel
from textdl.tokenizers.trie import child, key_of, place

Array = NDArray[Any]

NO_WORD = -1.0
_IMPOSSIBLE = -3.14e100  # jieba's MIN_FLOAT
FIRST_HAN, LAST_HAN = 0x4E00, 0x9FD5
"""What jieba takes for Chinese."""


@exact_kernel
def insert(
    keys: Array, children: Array, roots: Array, nodes: int, letters: Array, offsets: Array, found: Array
) -> int:  # fmt: skip
    """Add words; there must be room for their letters.

    letters: (L,) uint32, the characters of all words; offsets: (W + 1,) where each begins.
    found: (W,) gets the node of each word.

    Returns:
        The number of nodes there are now.
    """
    for word in range(len(offsets) - 1):
        node = 0
        for i in range(offsets[word], offsets[word + 1]):
            key = key_of(node, letters[i])
            slot = place(keys, key)
            if keys[slot] == -1:
                keys[slot] = key
                children[slot] = nodes
                if node == 0 and letters[i] < len(roots):
                    roots[letters[i]] = nodes
                nodes += 1
            node = children[slot]
        found[word] = node
    return nodes


@exact_kernel
def rehash(keys: Array, children: Array, new_keys: Array, new_children: Array) -> None:
    """Put everything into a table of another size, whose keys are all -1."""
    for old in range(len(keys)):
        if keys[old] != -1:
            slot = place(new_keys, keys[old])
            new_keys[slot] = keys[old]
            new_children[slot] = children[old]


@exact_kernel
def find(keys: Array, children: Array, letters: Array, start: int, stop: int) -> int:
    """The node of letters[start:stop], or -1."""
    node = 0
    for i in range(start, stop):
        node = child(keys, children, node, letters[i])
        if node == -1:
            break
    return node


@exact_kernel
def _in_block(c: int) -> bool:
    """Whether jieba looks a character up; all others stand alone. The same as `jieba.IN_BLOCK`."""
    return bool(
        (FIRST_HAN <= c <= LAST_HAN)
        or _alphanumeric(c)
        or c == 0x2B or c == 0x23 or c == 0x26 or c == 0x2E or c == 0x5F or c == 0x25 or c == 0x2D  # + # & . _ % -
    )  # fmt: skip


@exact_kernel
def _alphanumeric(c: int) -> bool:
    return bool((0x61 <= c <= 0x7A) or (0x41 <= c <= 0x5A) or (0x30 <= c <= 0x39))


@exact_kernel
def segment(
    letters: Array, keys: Array, children: Array, roots: Array, logs: Array, forced: Array, log_total: float,
    emissions: Array, hmm: bool, ends: Array,
) -> int:  # fmt: skip
    """Cut a line as jieba's exact mode does.

    Args:
        letters: (N,) uint32.
        forced: (nodes,) whether a word was ever given the frequency 0.
        emissions: (Han characters, 4) log-probabilities of a character in the states B, M, E, S.
        ends: (N,) int32, gets where each piece ends.

    Returns:
        The number of pieces.
    """
    pieces = 0
    start = 0
    score = np.empty(len(letters) + 1)
    step = np.empty(len(letters) + 1, np.int32)
    back = np.empty((0, 4), np.int8)
    while start < len(letters):
        if not _in_block(letters[start]):
            if letters[start] == 0x0D and start + 1 < len(letters) and letters[start + 1] == 0x0A:
                start += 1
            start += 1
            ends[pieces] = start
            pieces += 1
            continue
        stop = start + 1
        while stop < len(letters) and _in_block(letters[stop]):
            stop += 1
        _best_path(letters, start, stop, keys, children, roots, logs, log_total, score, step)
        at = buffer = start
        while at < stop:
            end = step[at]
            single = end == at + 1
            if hmm:
                if not single:
                    if buffer < at:
                        if len(back) < at - buffer:
                            back = np.empty((2 * (at - buffer), 4), np.int8)
                        pieces = _recognize(
                            letters, buffer, at, keys, children, logs, forced, emissions, back, ends, pieces
                        )
                    ends[pieces] = end
                    pieces += 1
                    buffer = end
            elif not (single and _alphanumeric(letters[at])):
                if buffer < at:
                    ends[pieces] = at
                    pieces += 1
                ends[pieces] = end
                pieces += 1
                buffer = end
            at = end
        if buffer < stop:
            if hmm:
                if len(back) < stop - buffer:
                    back = np.empty((2 * (stop - buffer), 4), np.int8)
                pieces = _recognize(letters, buffer, stop, keys, children, logs, forced, emissions, back, ends, pieces)
            else:
                ends[pieces] = stop
                pieces += 1
        start = stop
    return pieces


@exact_kernel
def _best_path(
    letters: Array, start: int, stop: int, keys: Array, children: Array, roots: Array, logs: Array,
    log_total: float, score: Array, step: Array,
) -> None:  # fmt: skip
    """step[i] becomes the end of the word that begins at i on the best way from i to stop."""
    score[stop] = 0.0
    for i in range(stop - 1, start - 1, -1):
        best, end = -np.inf, -1
        node: Any = np.int64(roots[letters[i]])
        if node == 0:
            node = -1
        j = i + 1
        while node != -1:
            if logs[node] >= 0:
                reached = logs[node] - log_total + score[j]
                if reached >= best:  # of equal ones jieba takes the longest
                    best, end = reached, j
            if j == stop:
                break
            node = child(keys, children, node, letters[j])
            j += 1
        if end == -1:
            best, end = 0.0 - log_total + score[i + 1], i + 1
        score[i] = best
        step[i] = end


@exact_kernel
def _recognize(
    letters: Array, start: int, stop: int, keys: Array, children: Array, logs: Array, forced: Array,
    emissions: Array, back: Array, ends: Array, pieces: int,
) -> int:  # fmt: skip
    """Cut single characters that stand side by side, unless together they are a word: then they stay apart."""
    if stop == start + 1:
        ends[pieces] = stop
        return pieces + 1
    node = find(keys, children, letters, start, stop)
    if node != -1 and logs[node] >= 0:
        for i in range(start, stop):
            ends[pieces] = i + 1
            pieces += 1
        return pieces
    i = start
    while i < stop:
        j = i + 1
        if FIRST_HAN <= letters[i] <= LAST_HAN:
            while j < stop and FIRST_HAN <= letters[j] <= LAST_HAN:
                j += 1
            pieces = _viterbi(letters, i, j, keys, children, forced, emissions, back, ends, pieces)
            i = j
            continue
        if _alphanumeric(letters[i]):  # [a-zA-Z0-9]+(?:\.\d+)?%?
            while j < stop and _alphanumeric(letters[j]):
                j += 1
            if j + 1 < stop and letters[j] == 0x2E and 0x30 <= letters[j + 1] <= 0x39:
                j += 2
                while j < stop and 0x30 <= letters[j] <= 0x39:
                    j += 1
            if j < stop and letters[j] == 0x25:
                j += 1
        else:  # everything up to the next of those, or the next Chinese
            while j < stop and not _alphanumeric(letters[j]) and not FIRST_HAN <= letters[j] <= LAST_HAN:
                j += 1
        ends[pieces] = j
        pieces += 1
        i = j
    return pieces


@exact_kernel
def _viterbi(
    letters: Array, start: int, stop: int, keys: Array, children: Array, forced: Array, emissions: Array,
    back: Array, ends: Array, pieces: int,
) -> int:  # fmt: skip
    """The best tags (0 B, 1 M, 2 E, 3 S) of letters[start:stop], and the words they mean."""
    of = emissions[letters[start] - FIRST_HAN]
    b, m = -0.26268660809250016 + of[0], _IMPOSSIBLE + of[1]
    e, s = _IMPOSSIBLE + of[2], -1.4652633398537678 + of[3]
    for i in range(start + 1, stop):
        of = emissions[letters[i] - FIRST_HAN]
        k = i - start
        from_e, from_s = e + -0.5897149736854513 + of[0], s + -0.7211965654669841 + of[0]
        back[k, 0] = 3 if from_s >= from_e else 2  # ties go to the letter that comes later in the alphabet
        new_b = max(from_e, from_s)
        from_m, from_b = m + -1.2603623820268226 + of[1], b + -0.916290731874155 + of[1]
        back[k, 1] = 1 if from_m >= from_b else 0
        new_m = max(from_m, from_b)
        from_b, from_m = b + -0.510825623765990 + of[2], m + -0.33344856811948514 + of[2]
        back[k, 2] = 1 if from_m >= from_b else 0
        new_e = max(from_b, from_m)
        from_s, from_e = s + -0.6658631448798212 + of[3], e + -0.8085250474669937 + of[3]
        back[k, 3] = 3 if from_s >= from_e else 2
        new_s = max(from_s, from_e)
        b, m, e, s = new_b, new_m, new_e, new_s
    state = 3 if s >= e else 2
    for k in range(stop - start - 1, 0, -1):  # the tag of a character takes the place of its way back
        before = back[k, state]
        back[k, 0] = state
        state = before
    back[0, 0] = state
    begin = done = start
    for i in range(start, stop):
        tag = back[i - start, 0]
        if tag == 0:
            begin = i
        elif tag == 2:
            pieces = _word(letters, begin, i + 1, keys, children, forced, ends, pieces)
            done = i + 1
        elif tag == 3:
            ends[pieces] = i + 1
            pieces += 1
            done = i + 1
    if done < stop:
        pieces = _word(letters, done, stop, keys, children, forced, ends, pieces)
    return pieces


@exact_kernel
def _word(
    letters: Array, start: int, stop: int, keys: Array, children: Array, forced: Array, ends: Array, pieces: int
) -> int:  # fmt: skip
    node = find(keys, children, letters, start, stop)
    if node != -1 and forced[node]:
        for i in range(start, stop):
            ends[pieces] = i + 1
            pieces += 1
        return pieces
    ends[pieces] = stop
    return pieces + 1


@exact_kernel
def words_within(letters: Array, cuts: Array, keys: Array, children: Array, logs: Array, spans: Array) -> int:
    """Search mode: before each word longer than 2, the words of 2 characters in it, then those of 3 if it is longer than 3.

    cuts: (P,) where the words end; spans: (3 N, 2) int32, gets (start, end) of the pieces. Returns how many there are.
    """
    pieces = 0
    start = 0
    for stop in cuts:
        for length in (2, 3):
            if stop - start > length:
                for i in range(start, stop - length + 1):
                    node = find(keys, children, letters, i, i + length)
                    if node != -1 and logs[node] >= 0:
                        spans[pieces, 0], spans[pieces, 1] = i, i + length
                        pieces += 1
        spans[pieces, 0], spans[pieces, 1] = start, stop
        pieces += 1
        start = stop
    return pieces


@exact_kernel
def words_from(letters: Array, keys: Array, children: Array, logs: Array, offsets: Array, ends: Array) -> int:
    """Full mode: where the words end that begin at each character; the character alone where none does.

    offsets: (N + 1,) int64, gets where those of a character stand in ends. Returns how many there are, or -1 for
    too little room in ends.
    """
    found = 0
    for i in range(len(letters)):
        offsets[i] = found
        node = 0
        for j in range(i, len(letters)):
            node = child(keys, children, node, letters[j])
            if node == -1:
                break
            if logs[node] >= 0:
                if found == len(ends):
                    return -1
                ends[found] = j + 1
                found += 1
        if found == offsets[i]:
            if found == len(ends):
                return -1
            ends[found] = i + 1
            found += 1
    offsets[len(letters)] = found
    return found
