from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.word2vec import spelled_alike
from textdl.word2vec.spelled_alike import Spellings

WORDS = ["garden", "Paris", "北京", "微博", "东京", "北京市", "garment", "the", "a", "江泽民", "receive"]


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("gardn", "garden"), ("gadren", "garden"), ("PARIS", "Paris"), ("recieve", "receive"), ("江泽明", "江泽民"),
        ("北京是", "北京"), ("薇博", "微博"),
    ],
)  # fmt: skip
def test_slips_find_their_word(word, first):
    assert Spellings(WORDS).nearest(word)[0] == first


def test_nothing_alike():
    known = Spellings(WORDS)
    assert known.nearest("上海") == known.nearest("") == known.nearest("x" * 1000) == []
    assert Spellings([]).nearest("a") == []
    assert Spellings(["", "a"]).nearest("a") == ["a"]


def distance(a: str, b: str) -> int:
    """Optimal string alignment, by its recurrence."""
    rows = [[max(i, j) if not i or not j else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            costs = [rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1])]
            if i > 1 and j > 1 and (a[i - 1], a[i - 2]) == (b[j - 2], b[j - 1]):
                costs.append(rows[i - 2][j - 2] + 1)
            rows[i][j] = min(costs)
    return rows[-1][-1]


words = st.lists(st.text("abcd北京", min_size=1, max_size=7), unique=True, max_size=40)


@given(words, st.text("abcd北京", min_size=1, max_size=7), st.integers(1, 5))
@settings(max_examples=100)
def test_the_nearest_are_found(known, word, count):
    near = [1 - distance(word, other) / max(len(word), len(other)) for other in known]
    order = sorted((i for i in range(len(known)) if near[i] >= 0.5), key=lambda i: (-near[i], i))
    assert Spellings(known).nearest(word, count) == [known[i] for i in order[:count]]


def test_a_few_at_a_time_change_nothing(monkeypatch):
    known = Spellings([f"{a}{b}{c}" for a in "abc" for b in "abc" for c in "abcdef"])
    found = known.nearest("abz", 10)
    monkeypatch.setattr(spelled_alike, "_AT_ONCE", 2)
    assert known.nearest("abz", 10) == found
