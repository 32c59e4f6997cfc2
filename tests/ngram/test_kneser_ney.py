"""The estimates: by hand, against the plain reference, and against lmplz."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl import ngram
from textdl.encoded import UNK, Encoded
from textdl.ngram import Config, arpa, kneser_ney, reference
from textdl.ngram.kneser_ney import FALLBACK, Discounts
from textdl.protocols import Run
from textdl.vocabulary import build

TINY = Path(__file__).parents[1] / "data" / "kenlm-tiny"


def table(model):
    """p and back-off of every n-gram, by its ids."""
    p, backoff = {}, {}
    for n in range(1, model.order + 1):
        for nodes, words in model.trie.ngrams(n):
            for node, gram in zip(range(nodes.start, nodes.stop), map(tuple, words.tolist()), strict=True):
                p[gram] = math.exp(model.logp[node])
                if n < model.order:
                    backoff[gram] = math.exp(model.backoff[node])
    return p, backoff


def test_discounts():
    # Y = 8 / (8 + 2*4) = 1/2; D1 = 1 - 2/2 * 4/8; D2 = 2 - 3/2 * 2/4; D3 = 3 - 4/2 * 1/2
    assert kneser_ney.discounts([8, 4, 2, 1], 2) == Discounts((0.5, 1.25, 2.0))
    assert kneser_ney.discounts([8, 4, 2, 0], 2).values[2] == 3.0  # no count 4 is needed
    assert kneser_ney.discounts([8, 0, 2, 1], 3) == Discounts(FALLBACK, "no 3-gram has the count 2")
    # Y = 1/2; D2 = 2 - 3/2 * 8/4 = -1
    assert kneser_ney.discounts([8, 4, 8, 1], 3) == Discounts(FALLBACK, "the one for 3-grams of count 2 would be -1.00")


def test_by_hand():
    """`a b` and `a` with a=3, b=4: four words can be predicted, <unk> </s> a b.

    Unigrams. Words seen before: a 1 (<s>), b 1 (a), </s> 2 (a, b); 4 in all. No count 3: D = 0.5, 1, 1.5.
    What is left over: (0.5 + 0.5 + 1) / 4 = 1/2, so 1/8 for each of the four.
    p(a) = p(b) = 0.5/4 + 1/8 = 1/4; p(</s>) = (2 - 1)/4 + 1/8 = 3/8; p(<unk>) = 1/8.
    Bigrams. <s> a 2; a b 1, a </s> 1; b </s> 1. D = 0.5, 1, 1.5 again.
    <s>: 1/2 left over; p(a) = (2 - 1)/2 + 1/2 * 1/4 = 5/8.
    a:   (0.5 + 0.5)/2 = 1/2 left over; p(b) = 0.5/2 + 1/2 * 1/4 = 3/8; p(</s>) = 0.5/2 + 1/2 * 3/8 = 7/16.
    b:   1/2 left over; p(</s>) = 0.5 + 1/2 * 3/8 = 11/16.
    """
    p, backoff = table(ngram.fit(Encoded.from_lines([[3, 4], [3]], 5), Config(2)))
    assert p == pytest.approx({
        (0,): 1/8, (1,): 0, (2,): 3/8, (3,): 1/4, (4,): 1/4,
        (1, 3): 5/8, (3, 2): 7/16, (3, 4): 3/8, (4, 2): 11/16,
    })  # fmt: skip
    assert backoff == pytest.approx({(0,): 1, (1,): 1/2, (2,): 1, (3,): 1/2, (4,): 1/2})  # fmt: skip


def test_order_1_by_hand():
    """`a a a b`, one line, a=3, b=4, c=5 never seen: counts a 3, b 1, </s> 1; 5 in all; D = 0.5, 1, 1.5.

    Left over (1.5 + 0.5 + 0.5)/5 = 1/2, so 1/10 for each of <unk> </s> a b c.
    p(a) = 1.5/5 + 1/10, p(b) = p(</s>) = 0.5/5 + 1/10.
    """
    p, _ = table(ngram.fit(Encoded.from_lines([[3, 3, 3, 4]], 6), Config(1)))
    assert p == pytest.approx({(0,): 0.1, (1,): 0, (2,): 0.2, (3,): 0.4, (4,): 0.2, (5,): 0.1})


def lines(path):
    return [line.split(" ") for line in (TINY / path).read_text("utf-8").splitlines()]


def test_as_lmplz():
    vocab, corpus, _ = build(lines("tiny.train.txt"))
    run = Run()
    model = ngram.fit(corpus, Config(3), run=run)
    assert model.describe()["fallback"] == [1]  # the bigrams and trigrams have discounts of their own
    assert len(run.notes) == 1
    assert "order 1: no 1-gram has the count 3)" in run.notes[0]
    p, backoff = table(model)
    seen = 0
    for words, log_p, log_backoff in arpa.read(TINY / "tiny.o3.arpa"):
        gram = tuple({"<unk>": 0, "<s>": 1, "</s>": 2}.get(w, vocab.id(w)) for w in words)
        if gram != (1,):  # lmplz gives <s> itself the probability 1
            assert math.log10(p[gram]) == pytest.approx(log_p, abs=1e-5)
        assert math.log10(backoff.get(gram, 1)) == pytest.approx(log_backoff, abs=1e-5)
        seen += 1
    assert seen == len(p)

    test = vocab.encode_lines(lines("tiny.test.txt"))
    totals = re.findall(r"Total: (\S+) OOV: (\d+)", (TINY / "tiny.o3.query.txt").read_text("utf-8"))
    for i, (total, unknown) in enumerate(totals):
        (logs,) = model.score(test.lines(i, i + 1))
        assert logs.sum(dtype=np.float64) / math.log(10) == pytest.approx(float(total), abs=1e-4)
        assert (test.line(i) == UNK).sum() == int(unknown)


corpora = st.integers(4, 7).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=8), min_size=1, max_size=12).map(
        lambda lines: Encoded.from_lines(lines, v)
    )
)


@settings(deadline=None, max_examples=100)
@given(corpora, st.integers(1, 5), st.sampled_from([(), (0, 0, 1), (0, 1, 2), (0, 3)]))
def test_as_the_reference(corpus, order, prune):
    config = Config(order, prune=prune[:order])
    p, backoff = table(ngram.fit(corpus, config))
    texts = [corpus.line(i).tolist() for i in range(len(corpus))]
    expected_p, expected_backoff = reference.estimate(texts, order, corpus.vocab_size, config.thresholds)
    assert p.pop((1,)) == 0
    assert p == pytest.approx(expected_p, rel=1e-5)
    for gram, weight in backoff.items():
        assert weight == pytest.approx(expected_backoff.get(gram, 1.0), rel=1e-5)


def test_as_the_reference_with_discounts_of_its_own():
    rng = np.random.default_rng(0)
    corpus = Encoded.from_lines([np.minimum(rng.zipf(1.5, rng.integers(0, 20)), 60) + 2 for _ in range(150)], 63)
    model = ngram.fit(corpus, Config(4, prune=(0, 0, 1)))
    assert model.describe()["fallback"] == []
    p, backoff = table(model)
    texts = [corpus.line(i).tolist() for i in range(len(corpus))]
    expected_p, expected_backoff = reference.estimate(texts, 4, 63, (0, 0, 1, 1))
    p.pop((1,))
    assert p == pytest.approx(expected_p, rel=1e-5)
    assert {g: w for g, w in backoff.items() if w < 0.9999999} == pytest.approx(
        {g: w for g, w in expected_backoff.items() if w < 0.9999999 and g}, rel=1e-5
    )
