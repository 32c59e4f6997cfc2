"""The smoothings: by hand, against plain Python, against lmplz; and every context sums to one."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import BOS, Encoded
from textdl.ngram import SMOOTHINGS, NgramModel, reference, smoothing
from textdl.ngram.packed import pack
from textdl.ngram.smoothing import FALLBACK, Discounts, Smoothing
from textdl.protocols import Run
from textdl.vocabulary import build

from .plain import Plain, levels_of

TINY = Path(__file__).parents[1] / "data" / "kenlm-tiny"
A, B, EOS = 3, 4, 2


def test_discounts():
    # Y = 8 / (8 + 2*4) = 1/2; D1 = 1 - 2/2 * 4/8; D2 = 2 - 3/2 * 2/4; D3 = 3 - 4/2 * 1/2
    assert smoothing.modified_discounts([8, 4, 2, 1]) == Discounts((0.5, 1.25, 2.0))
    assert smoothing.modified_discounts([8, 4, 2, 0]).values[2] == 3.0  # no count 4 is needed
    assert smoothing.modified_discounts([8, 0, 2, 1]) == Discounts(FALLBACK, "none has the count 2")
    # Y = 1/2; D2 = 2 - 3/2 * 8/4 = -1
    found = smoothing.modified_discounts([8, 4, 8, 1])
    assert found == Discounts(FALLBACK, "D2 would be -1.00")


def test_absolute_discount():
    assert smoothing.absolute_discount([8, 4, 2, 1]) == Discounts((0.5, 0.5, 0.5))  # 8 / (8 + 2*4)
    assert smoothing.absolute_discount([8, 0, 2, 1]) == Discounts((0.5, 0.5, 0.5), "none has the count 2")
    assert smoothing.absolute_discount([0, 4, 2, 1]).missing == "none has the count 1"


def plain(lines, order, name, vocab_size=5, **options):
    return Plain(levels_of(Encoded.from_lines(lines, vocab_size), order, name, **options))


def check(model, expected):
    for gram, p in expected.items():
        assert model.probability(gram[:-1], gram[-1]) == pytest.approx(p, rel=1e-12), gram


def test_kneser_ney_by_hand():
    """`a b` and `a` with a=3, b=4: four words can be predicted, <unk> </s> a b.

    Unigrams. Words seen before: a 1 (<s>), b 1 (a), </s> 2 (a, b); 4 in all. No count 3: D = 0.5, 1, 1.5.
    What is left over: (0.5 + 0.5 + 1) / 4 = 1/2, so 1/8 for each of the four.
    p(a) = p(b) = 0.5/4 + 1/8 = 1/4; p(</s>) = (2 - 1)/4 + 1/8 = 3/8; p(<unk>) = 1/8.
    Bigrams. <s> a 2; a b 1, a </s> 1; b </s> 1. D = 0.5, 1, 1.5 again.
    <s>: 1/2 left over; p(a) = (2 - 1)/2 + 1/2 * 1/4 = 5/8.
    a:   (0.5 + 0.5)/2 = 1/2 left over; p(b) = 0.5/2 + 1/2 * 1/4 = 3/8; p(</s>) = 0.5/2 + 1/2 * 3/8 = 7/16.
    b:   1/2 left over; p(</s>) = 0.5 + 1/2 * 3/8 = 11/16; p(a) = 1/2 * 1/4.
    """
    check(plain([[A, B], [A]], 2, "kneser-ney"), {
        (0,): 1/8, (BOS,): 0, (EOS,): 3/8, (A,): 1/4, (B,): 1/4,
        (BOS, A): 5/8, (A, EOS): 7/16, (A, B): 3/8, (B, EOS): 11/16, (B, A): 1/8,
        (0, A): 1/4, (EOS, A): 1/4,
    })  # fmt: skip


def test_kneser_ney_of_order_1_by_hand():
    """`a a a b`, one line, a=3, b=4, c=5 never seen: counts a 3, b 1, </s> 1; 5 in all; D = 0.5, 1, 1.5.

    Left over (1.5 + 0.5 + 0.5)/5 = 1/2, so 1/10 for each of <unk> </s> a b c.
    p(a) = 1.5/5 + 1/10, p(b) = p(</s>) = 0.5/5 + 1/10.
    """
    model = plain([[3, 3, 3, 4]], 1, "kneser-ney", vocab_size=6)
    check(model, {(0,): 0.1, (1,): 0, (2,): 0.2, (3,): 0.4, (4,): 0.2, (5,): 0.1})


def test_absolute_by_hand():
    """`a b`, `a`, `b` with a=3, b=4: four words can be predicted.

    Words: a 2, b 2, </s> 3; 7 in all; none occurs once: D = 0.5. Left over 3 * 0.5/7 = 3/14, 3/56 for each.
    p(a) = 1.5/7 + 3/56 = 15/56; p(</s>) = 2.5/7 + 3/56 = 23/56; p(<unk>) = 3/56.
    Bigrams: <s> a 2, <s> b 1, a b 1, a </s> 1, b </s> 2: n1 = 3, n2 = 2, D = 3/7.
    After a: left over 2 * 3/7 / 2 = 3/7; p(b) = (1 - 3/7)/2 + 3/7 * 15/56 = 2/7 + 45/392.
    After b: left over 3/7 / 2 = 3/14; p(</s>) = (2 - 3/7)/2 + 3/14 * 23/56.
    """
    model = plain([[A, B], [A], [B]], 2, "absolute")
    check(model, {(0,): 3/56, (A,): 15/56, (EOS,): 23/56, (A, B): 2/7 + 45/392, (B, EOS): 11/14 + 69/784})  # fmt: skip


def test_witten_bell_by_hand():
    """The same text. Words: 7 in all, 3 types: T = 10. p(a) = 2/10 + 3/10 * 1/4 = 11/40; p(<unk>) = 3/40.

    After a: 2 in all, 2 types: T = 4; p(b) = 1/4 + 2/4 * 11/40 = 31/80; p(a) = 2/4 * 11/40.
    """
    model = plain([[A, B], [A], [B]], 2, "witten-bell")
    check(model, {(A,): 11/40, (EOS,): 15/40, (0,): 3/40, (A, B): 31/80, (A, A): 11/80})  # fmt: skip


def test_add_k_by_hand():
    """The same text, k = 1/2, V' = 4. p(a) = 2.5/9; after a: p(b) = 1.5/4, p(a) = 0.5/4. <unk> says nothing."""
    model = plain([[A, B], [A], [B]], 2, "add-k", k=0.5)
    check(model, {(A,): 2.5/9, (0,): 0.5/9, (A, B): 1.5/4, (A, A): 0.5/4, (0, A): 2.5/9})  # fmt: skip


def test_mle_by_hand():
    """The same text: relative frequencies, and 0; an unseen history uses the next shorter one."""
    model = plain([[A, B], [A], [B]], 3, "mle")
    check(model, {(A,): 2/7, (0,): 0, (A, B): 1/2, (A, A): 0, (0, A): 2/7, (BOS, A, B): 1/2, (B, A, B): 1/2})  # fmt: skip


corpora = st.integers(4, 7).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=8), min_size=1, max_size=12).map(
        lambda lines: (lines, v)
    )
)
ways = [(name, ()) for name in SMOOTHINGS]
ways += [(name, cut) for name in ("kneser-ney", "absolute", "witten-bell") for cut in ((0, 0, 1), (0, 1, 2), (0, 3))]


@pytest.mark.parametrize(("name", "prune"), ways)
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@settings(deadline=None, max_examples=4)
@given(corpora, st.sampled_from([0.01, 1.0]), st.data())
def test_as_the_reference_and_sums_to_one(name, prune, order, corpus, k, data):
    """After every context of the text, of any length, with <s> and <unk>, and others; so does the packed model."""
    lines, size = corpus
    thresholds = (*prune, *(prune[-1:] or (0,)) * order)[:order]
    levels = levels_of(Encoded.from_lines(lines, size), order, name, thresholds, k=k)
    model = Plain(levels)
    expected = reference.estimate(lines, order, size, thresholds, name, k)
    contexts = {()} | {gram[:n] for gram in expected.count for n in range(1, len(gram)) if len(gram) <= order}
    contexts |= {(BOS,), (0,), tuple(data.draw(st.lists(st.integers(0, size - 1), max_size=order)))}
    for context in contexts:
        p = [model.probability(context, w) for w in range(size)]
        assert p == pytest.approx([expected.probability(context, w) for w in range(size)], rel=1e-9, abs=1e-15)
        check_sum(p, name, 1e-12)
    prefixes = Encoded.from_lines([c[c[:1] == (BOS,) :] for c in contexts if BOS not in c[1:] and EOS not in c], size)
    rows, _ = NgramModel(pack(levels)).start(prefixes=prefixes)
    for i, row in enumerate(np.exp(rows.astype(np.float64))):
        context = (BOS, *prefixes.line(i).tolist())
        assert row == pytest.approx([expected.probability(context, w) for w in range(size)], rel=1e-5)
        check_sum(row, name, 1e-5)


def check_sum(p, name, tolerance):
    assert sum(p) == pytest.approx(1, abs=tolerance)
    assert p[BOS] == 0
    if name != "mle":
        assert all(q > 0 for w, q in enumerate(p) if w != BOS)


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_as_the_reference_on_more_text(name):
    """Enough for discounts of its own and for contexts with many children."""
    rng = np.random.default_rng(0)
    lines = [(np.minimum(rng.zipf(1.5, rng.integers(0, 20)), 60) + 2).tolist() for _ in range(150)]
    model = Plain(levels_of(Encoded.from_lines(lines, 63), 4, name))
    assert not any(d.missing for d in model.levels.smoothing.discounts)
    assert any(node.stored for node in model.nodes.values())
    expected = reference.estimate(lines, 4, 63, smoothing=name)
    for gram in expected.count:
        if gram[-1] != BOS:
            p = expected.probability(gram[:-1], gram[-1])
            assert model.probability(gram[:-1], gram[-1]) == pytest.approx(p, rel=1e-12)


def test_as_lmplz():
    words = [line.split(" ") for line in (TINY / "tiny.train.txt").read_text("utf-8").splitlines()]
    vocab, corpus, _ = build(words)
    model = Plain(levels_of(corpus, 3))
    assert [d.missing for d in model.levels.smoothing.discounts] == ["none has the count 3", "", ""]
    seen = 0
    for line in (TINY / "tiny.o3.arpa").read_text("utf-8").splitlines():
        entry = re.fullmatch(r"(-?[\d.e-]+)\t([^\t]+)(?:\t(-?[\d.e-]+))?", line)
        if entry is None:
            continue
        gram = tuple({"<unk>": 0, "<s>": 1, "</s>": 2}.get(w, vocab.id(w)) for w in entry[2].split(" "))
        if gram != (BOS,):  # lmplz gives <s> itself the probability 1
            assert math.log10(model.probability(gram[:-1], gram[-1])) == pytest.approx(float(entry[1]), abs=1e-5)
        _, weight = model.weights(gram) or (0, 1)
        assert math.log10(weight) == pytest.approx(float(entry[3] or 0), abs=1e-5)
        seen += 1
    assert seen == len(model.nodes)


def test_weights_are_the_same_wherever_they_are_computed():
    """Compiled or not, with nothing lost given or left out: bit for bit."""
    parameters = Smoothing("kneser-ney", 9, (Discounts((0.1, 0.7, 1.3)), Discounts((0.3, 0.9, 1.7)))).parameters
    for n1, n2, n3 in np.random.default_rng(0).integers(0, 50, (200, 3)).tolist():
        given = (n1 + 2 * n2 + 5 * n3 + 1, n1, n2, n3, n1 + n2 + n3, 2, parameters)
        assert smoothing.weights(*given) == smoothing.weights(*given, 0) == smoothing.weights.py_func(*given)


def test_parameters():
    row = Smoothing("add-k", 11, (Discounts((0, 0, 0)),), k=0.5).parameters[1]
    assert row.tolist() == [0, 0, 0, 0, 0, 5]  # k V' = 0.5 * 10
    assert Smoothing("witten-bell", 11, (Discounts((0, 0, 0)),)).parameters[1].tolist() == [0, 0, 0, 0, 1, 0]
    assert Smoothing("absolute", 11, (Discounts((0.5, 0.5, 0.5)),)).parameters[1].tolist() == [0, 0.5, 0.5, 0.5, 0, 0]


def test_as_json():
    made = Smoothing("kneser-ney", 9, (Discounts(FALLBACK, "why"), Discounts((0.25, 1.0, 2.0))), 0.0)
    assert Smoothing.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_notes():
    run = Run()
    few, own = Discounts(FALLBACK, "none has the count 2"), Discounts((0.4, 1, 1))
    smoothing.note(Smoothing("absolute", 5, (Discounts((0.4,) * 3), Discounts((0.5,) * 3, "none ..."))), run)
    smoothing.note(Smoothing("kneser-ney", 5, (own,)), run)
    smoothing.note(
        Smoothing("kneser-ney", 5, (few, own, *[few] * 3, Discounts(FALLBACK, "D2 would be -1.00"), few)), run
    )
    assert run.notes == [
        "This text is too small or too regular for absolute discounts of its own (order 2: none ...), "
        "so 0.5 is taken there.",
        "This text is too small or too regular for Kneser-Ney discounts of its own (orders 1, 3-5, 7: none has the "
        "count 2; order 6: D2 would be -1.00), so 0.5, 1 and 1.5 are taken there.",
    ]
