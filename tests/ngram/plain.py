"""Levels unfolded into tuples and dictionaries, and probabilities from them: what tests compare."""

from typing import NamedTuple

import numpy as np

from textdl.encoded import BOS
from textdl.ngram import counting, smoothing
from textdl.ngram.levels import SCANNED, Levels
from textdl.ngram.smoothing import weights
from textdl.protocols import Run


class Node(NamedTuple):
    count: int
    children: int
    stored: tuple[float, float] | None
    """T and G, where the context is marked."""


def levels_of(lines, order, name="kneser-ney", thresholds=(), k=1.0, run=None, **options):
    """Count and estimate."""
    run = run or Run()
    counts = counting.count(lines, order, run, adjust=name == "kneser-ney", thresholds=thresholds, **options)
    return Levels(counts, smoothing.estimate(name, lines.vocab_size, counts.having[1:, 1:], k=k))


def unfold(levels):
    """Every node by its n-gram; checks on the way that children lie where they should."""
    nodes = {}
    parents = [()] * levels.vocab_size
    for n in range(1, levels.order + 1):
        grams, following = [], []
        for block in levels.blocks(n):
            assert block.word.dtype == block.children.dtype == np.int32
            assert block.count.dtype == np.int64
            assert block.denominator.dtype == block.gamma.dtype == np.float64
            assert len(block.word) == len(block.count) == len(block.children) == len(block.marked)
            assert len(block.denominator) == len(block.gamma) == block.marked.sum()
            stored = iter(zip(block.denominator.tolist(), block.gamma.tolist(), strict=True))
            for word, count, children, marked in zip(
                block.word.tolist(), block.count.tolist(), block.children.tolist(), block.marked.tolist(), strict=True
            ):
                gram = (*parents[len(grams)], word)
                grams.append(gram)
                nodes[gram] = Node(count, children, next(stored) if marked else None)
                following += [gram] * children
                assert marked or children <= SCANNED
        assert grams == sorted(set(grams))
        assert len(grams) == levels.sizes[n - 1] == len(parents)
        parents = following
    assert not parents
    return nodes


class Plain:
    """p(word | context) from levels, context by context, as a model has to compute it."""

    def __init__(self, levels):
        self.levels, self.nodes = levels, unfold(levels)
        self.parameters = levels.smoothing.parameters
        self.children = {}
        for gram, node in self.nodes.items():
            if len(gram) > 1:
                self.children.setdefault(gram[:-1], []).append(node.count)

    def weights(self, context):
        """T and G, or None where the context says nothing."""
        node = self.nodes.get(context)
        if node is None or (not node.children and not node.stored):
            return None
        if node.stored:
            return node.stored
        counts = self.children[context]
        number = [counts.count(1), counts.count(2), sum(c > 2 for c in counts)]
        return weights(sum(counts), *number, len(counts), len(context) + 1, self.parameters)

    def probability(self, context, word):
        context = context[max(0, len(context) - self.levels.order + 1) :]
        if not context or word == BOS:
            return float(self.levels.unigram[word])
        found = self.weights(context)
        if found is None:
            return self.probability(context[1:], word)
        t, g = found
        node = self.nodes.get((*context, word))
        seen = max(node.count - self.parameters[len(context) + 1, min(node.count, 3)], 0.0) / t if node else 0.0
        smoothing = self.levels.smoothing
        return seen + g * (smoothing.uniform if smoothing.interpolates_uniform else self.probability(context[1:], word))


def content(levels):
    """Everything in levels, to compare bit for bit."""
    columns = []
    for n in range(1, levels.order + 1):
        blocks = list(levels.blocks(n))
        names = ("word", "count", "children", "marked", "denominator", "gamma")
        columns += [np.concatenate([getattr(b, name) for b in blocks] or [np.empty(0)]) for name in names]
    return [levels.sizes, levels.statistics, levels.smoothing, levels.unigram, *columns]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(content(a), content(b), strict=True))
