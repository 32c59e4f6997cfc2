"""Random choices of word2vec: which tokens are kept, how wide a window is, which words are noise.

Every choice is a pure function of (seed, epoch, position of the token in the corpus, number of the
draw), through the finaliser of SplitMix64 (Steele, Lea, Flood 2014). So results do not depend on how
the corpus is cut into chunks, the readable reference meets the same choices as the kernels, and a
kernel can look ahead at the noise words of the next token.

Noise words are drawn from counts ** exponent (Mikolov et al. 2013, section 2.2) by Walker's alias
method (Vose 1991): exact, two look-ups, 8 bytes a word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK
from textdl.kernels import kernel
from textdl.word2vec.kernels import GROUP, STRIDE, Floats, Ids, Offsets

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)

KEEP, WINDOW, NOISE = 0, 1, 2
"""Numbers of the draws at a position; noise word k has NOISE + k."""


@kernel
def draw(key: np.uint64, position: int, draws: int, number: int) -> np.uint64:
    """64 random bits for draw `number` of `draws` at a token's position."""
    z = key + np.uint64(position * draws + number) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@kernel
def below(bits: np.uint64, n: int) -> np.int64:
    """An integer in [0, n) from the upper 32 bits."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@kernel
def unit(bits: np.uint64) -> np.float32:
    """A number in [0, 1), a multiple of 2 ** -24."""
    return np.float32(bits >> np.uint64(40)) * np.float32(2.0**-24)


@kernel
def noise_word(bits: np.uint64, threshold: NDArray[np.uint32], alias: NDArray[np.int32]) -> np.int64:
    """A word from the alias table: the upper bits choose the column, the lower the half."""
    column = below(bits, len(threshold))
    other = np.int64(alias[column])  # looked up always: a branch here could not be predicted
    return column if np.uint32(bits & np.uint64(0xFFFFFFFF)) < threshold[column] else other


def stream_key(seed: int, epoch: int) -> np.uint64:
    """The key of one epoch's draws."""
    sequence = np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, epoch])
    return np.uint64(sequence.generate_state(1, np.uint64)[0])


@dataclass(frozen=True)
class Choices:
    """What the draws are compared with."""

    keep: NDArray[np.float32]
    """(V,) probability that a token is kept; 0 for <unk>, 1 for rare words."""
    threshold: NDArray[np.uint32]
    """(V,) alias table: draws below it stay in their column..."""
    alias: NDArray[np.int32]
    """(V,) ...and others go to this word."""


def choices(counts: NDArray[np.int64], *, sample: float, exponent: float) -> Choices:
    """From the counts of words. Specials are never kept and never noise.

    keep is word2vec's sqrt(s / f) + s / f, with f the word's share of all known tokens; sample 0 keeps all.
    """
    weights = counts.astype(np.float64)
    weights[[UNK, BOS, EOS]] = 0
    keep = (weights > 0).astype(np.float64)
    if sample > 0:
        ratio = sample * weights.sum() / np.maximum(weights, 1)
        keep *= np.minimum(np.sqrt(ratio) + ratio, 1)
    known = weights > 0
    noise = np.zeros_like(weights)
    noise[known] = (weights[known] / weights.max()) ** exponent  # of shares, for the powers of counts may overflow
    threshold, alias = _alias(noise * (len(noise) / noise.sum()))
    return Choices(keep.astype(np.float32), threshold, alias)


@kernel
def _alias(scaled: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Vose's algorithm on weights whose mean is 1."""
    n = len(scaled)
    scaled = scaled.copy()
    threshold = np.empty(n, np.uint32)
    alias = np.arange(n).astype(np.int32)
    stack = np.empty(n, np.int64)  # columns below 1 grow from the left, others from the right
    small, large = 0, n
    for i in range(n):
        if scaled[i] < 1.0:
            stack[small] = i
            small += 1
        else:
            large -= 1
            stack[large] = i
    while small > 0 and large < n:
        small -= 1
        low, high = stack[small], stack[large]
        threshold[low] = np.uint32(scaled[low] * 4294967295.0)
        alias[low] = high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            large += 1
            stack[small] = high
            small += 1
    for k in range(small):
        threshold[stack[k]] = np.uint32(0xFFFFFFFF)
    for k in range(large, n):
        threshold[stack[k]] = np.uint32(0xFFFFFFFF)
    return threshold, alias


@kernel
def noise_rows(
    words: Ids,
    where: Offsets,
    begin: int,
    end: int,
    key: np.uint64,
    draws: int,
    negative: int,
    threshold: NDArray[np.uint32],
    alias: Ids,
    bounds: Offsets,
    rows: Ids,
    signs: Floats,
) -> None:
    """Output rows and signs of the targets of a `Batch`: the target itself and noise words, one draw each."""  # fmt: skip
    group = 0
    for i in range(begin, end):
        bounds[i - begin] = group
        for first in range(0, negative + 1, GROUP):
            for m in range(GROUP):
                word, sign = np.int64(words[i]), np.float32(1)
                if first + m > 0:
                    sign = np.float32(0)
                    if first + m <= negative:
                        drawn = noise_word(draw(key, where[i], draws, NOISE + first + m - 1), threshold, alias)
                        sign = np.float32(-(drawn != word))  # noise that hits the target is dropped
                        word = drawn
                rows[group * STRIDE + m] = word
                signs[group * STRIDE + m] = sign
            group += 1
    bounds[end - begin] = group
