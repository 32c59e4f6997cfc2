from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import UsageError
from textdl.evaluation.vectors import (
    Analogies,
    analogy_benchmark,
    google_analogies,
    read_analogies,
    read_pairs,
    similarity_benchmark,
    simlex999,
    spearman,
    wordsim353,
)
from textdl.vocabulary import Vocabulary


class Plain:
    """The least that is WordVectors, answering one question at a time."""

    def __init__(self, words: dict[str, list[float]]) -> None:
        self.vocab = Vocabulary(list(words))
        self.vectors = np.array([[0.0] * len(next(iter(words.values())))] * 3 + list(words.values()), np.float32)

    def similarity(self, a, b):
        x, y = self.vectors[a], self.vectors[b]
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    def nearest(self, query, k, exclude=()):
        found = [(i, float(self.vectors[i] @ query)) for i in range(3, len(self.vocab)) if i not in exclude]
        return sorted(found, key=lambda pair: -pair[1])[:k]

    def analogy(self, a, b, c, k):
        return self.nearest(self.vectors[b] - self.vectors[a] + self.vectors[c], k, (a, b, c))


ROYAL = {"man": [1, 0, 0], "woman": [1, 1, 0], "king": [1, 0, 1], "queen": [1, 1, 1], "Paris": [-1, 0, 0]}


def test_spearman_by_hand():
    # Ranks 1 2 3 4 beside 1 3 2 4: 1 - 6 (0 + 1 + 1 + 0) / (4 * 15) = 0.8
    assert spearman([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(0.8)
    # With a tie: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4. Centred: -1.5, 0, 0, 1.5 and -1.5, -.5, .5, 1.5:
    # 4.5 / sqrt(4.5 * 5)
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))
    assert math.isnan(spearman([1], [1]))
    assert math.isnan(spearman([1, 1], [1, 2]))


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30))
@settings(deadline=None)
def test_spearman_is_scipys(points):
    stats = pytest.importorskip("scipy.stats")
    x, y = map(list, zip(*points, strict=True))
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_similarity_benchmark():
    pairs = [("man", "woman", 9.0), ("man", "Paris", 1.0), ("king", "queen", 9.5), ("man", "zebra", 5.0)]
    result = similarity_benchmark(Plain(ROYAL), pairs)
    assert result == {"pairs": 4, "covered": 3, "spearman": pytest.approx(1.0)}


def test_case():
    v = Plain(ROYAL)
    pairs = [("Man", "Woman", 9.0), ("man", "Paris", 1.0)]
    assert similarity_benchmark(v, pairs)["covered"] == 2
    assert similarity_benchmark(v, pairs, case="keep")["covered"] == 1
    assert similarity_benchmark(v, pairs, case="lower")["covered"] == 1
    assert math.isnan(similarity_benchmark(v, pairs, case="keep")["spearman"])
    with pytest.raises(UsageError, match="case is 'upper'"):
        similarity_benchmark(v, pairs, case="upper")


SECTIONS = [
    Analogies("royal", [("man", "king", "woman", "queen"), ("man", "king", "woman", "Paris"), ("a", "b", "c", "d")]),
    Analogies("none", [("x", "y", "z", "w")]),
]


def test_analogy_benchmark():
    result = analogy_benchmark(Plain(ROYAL), SECTIONS)
    assert (result["questions"], result["covered"], result["correct"], result["accuracy"]) == (4, 2, 1, 0.5)
    assert [s["section"] for s in result["sections"]] == ["royal", "none"]
    assert result["sections"][0]["accuracy"] == 0.5
    assert math.isnan(result["sections"][1]["accuracy"])
    assert analogy_benchmark(Plain(ROYAL), SECTIONS, among=4)["covered"] == 1  # Paris is the fifth


def test_vectors_that_answer_together_give_the_same():
    class Together(Plain):
        def analogies(self, questions, k):
            return [self.analogy(*map(int, q), k) for q in questions]

    assert repr(analogy_benchmark(Together(ROYAL), SECTIONS)) == repr(analogy_benchmark(Plain(ROYAL), SECTIONS))


def test_the_benchmarks_that_come_with_gensim():
    pytest.importorskip("gensim")
    assert len(wordsim353()) == 353
    assert wordsim353()[0] == ("love", "sex", 6.77)
    assert len(simlex999()) == 999
    sections = google_analogies()
    assert sum(len(s.questions) for s in sections) == 19544
    assert sections[0].section == "capital-common-countries"
    assert sections[0].questions[0] == ("Athens", "Greece", "Baghdad", "Iraq")


def test_finding_them_imports_nothing():
    code = (
        "import sys; from textdl.evaluation.vectors import wordsim353; wordsim353(); sys.exit('gensim' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "text", ["李白\t诗\t9.2\n", "李白 诗 9.2", "李白, 诗, 9.2\r\n", "word1,word2,score\n# x\n\n李白,诗,9.2"]
)
def test_pairs_of_ones_own(tmp_path, text):
    (tmp_path / "p").write_text(text, "utf-8")
    assert read_pairs(tmp_path / "p") == [("李白", "诗", 9.2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\t1\nc\td\n", "line 2: expected `word1 word2 score`"),
        ("a b 1\nc d x\n", "line 2"),
        ("a b nan\nc d inf\n", "line 2"),
        ("", "no pairs"),
    ],
)
def test_bad_pairs(tmp_path, text, message):
    (tmp_path / "p").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / "p")


def test_bad_files(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_pairs(tmp_path / "none")
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_pairs(tmp_path / "b")
    (tmp_path / "a").write_text("a b c\n")
    with pytest.raises(UsageError, match="line 1: expected four words"):
        read_analogies(tmp_path / "a")
    (tmp_path / "a").write_text(": x\n")
    with pytest.raises(UsageError, match="no analogies"):
        read_analogies(tmp_path / "a")


def test_analogies_of_ones_own(tmp_path):
    (tmp_path / "a").write_text("a b c d\n: capitals \n广东 粤剧 浙江 越剧\n", "utf-8")
    assert read_analogies(tmp_path / "a") == [
        Analogies("all", [("a", "b", "c", "d")]),
        Analogies("capitals", [("广东", "粤剧", "浙江", "越剧")]),
    ]
