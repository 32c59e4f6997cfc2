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
    Subject,
    analogy_benchmark,
    best_answers,
    evaluate,
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
    """As much of WordVectors as a benchmark needs."""

    def __init__(self, words: dict[str, list[float]]) -> None:
        self.vocab = Vocabulary(list(words))
        self.vectors = np.array([[0.0] * len(next(iter(words.values())))] * 3 + list(words.values()), np.float32)

    def similarity(self, a, b):
        x, y = self.vectors[a], self.vectors[b]
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    def frequent(self, among=None):
        ids = np.arange(len(self.vocab))
        return None if among is None else (ids >= 3) & (ids < 3 + among)


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
        ("a b nan\nc d 1\n", "line 1: expected `word1 word2 score`, got 'a b nan'"),
        ("a b 7.x\nc d 1\n", "line 1"),
        ("a\tb\t\nc d 1\n", "line 1"),
        ("a b seven\n", "line 1"),
        ("word1 word2 score\nc d inf\n", "line 2"),
        ("", "no pairs"),
    ],
)
def test_bad_pairs(tmp_path, text, message):
    (tmp_path / "p").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / "p")


def test_a_heading_is_told(tmp_path):
    (tmp_path / "p").write_text("Word 1,Word 2,Human (mean)\na,b,1\n")
    said = []
    assert read_pairs(tmp_path / "p", said.append) == [("a", "b", 1.0)]
    assert said == [
        f"{tmp_path / 'p'}: the first line is taken for a heading, not for a pair: Word 1,Word 2,Human (mean)"
    ]


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


def test_a_file_given_by_the_wrong_option(tmp_path):
    (tmp_path / "a").write_text(": capitals\na b c d\n")
    with pytest.raises(UsageError, match=r"line 1: .*looks like analogies, which are given by --analogies"):
        read_pairs(tmp_path / "a")
    (tmp_path / "p").write_text("a b 1\n")
    with pytest.raises(UsageError, match=r"line 1: .*similarity judgements, which are given by --pairs"):
        read_analogies(tmp_path / "p")


def brute_force(x, question, candidates, method):
    """Levy and Goldberg 2014, equations 3 and 4, in float64."""
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    a, b, c = (units @ units[i] for i in question)
    if method == "add":
        score = b - a + c
    else:
        a, b, c = ((cosine + 1) / 2 for cosine in (a, b, c))
        score = b * c / (a + 0.001)
    allowed = [i for i in candidates if i not in question]
    return max(allowed, key=lambda i: score[i])


@pytest.mark.parametrize("method", ["add", "mul"])
def test_answers_are_the_best_of_all(method, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3003, 5)).astype(np.float32)
    questions = rng.integers(3, 60, (40, 3))
    for candidates in (np.arange(3, 3003), np.arange(3, 50), np.sort(rng.permutation(np.arange(3, 3003))[:700])):
        expected = [brute_force(x.astype(float), q, candidates, method) for q in questions.tolist()]
        assert best_answers(x, questions, candidates, method=method).tolist() == expected
        monkeypatch.setattr("textdl.evaluation.vectors._COSINES", 1)  # the smallest blocks
        assert best_answers(x, questions, candidates, method=method).tolist() == expected
        monkeypatch.undo()
    halved = best_answers(x.astype(np.float16), questions, np.arange(3, 3003), method=method)
    assert np.mean(halved == best_answers(x, questions, np.arange(3, 3003), method=method)) > 0.8


def test_answers_agree_with_what_vectors_say():
    word2vec = pytest.importorskip("textdl.word2vec")
    matrix = np.random.default_rng(1).normal(size=(203, 6)).astype(np.float32)
    matrix[:3] = 0
    v = word2vec.Vectors(Vocabulary([f"w{i}" for i in range(200)]), matrix)
    questions = np.random.default_rng(2).integers(3, 203, (50, 3))
    for method in ("add", "mul"):
        found = [answers[0][0] for answers in v.analogies(questions, 1, method)]
        assert best_answers(matrix, questions, np.arange(3, 203), method=method).tolist() == found


def test_nothing_to_answer_with():
    x = np.eye(6, dtype=np.float32)
    assert best_answers(x, np.array([[3, 4, 5]]), np.array([3, 4, 5])).tolist() == [0]
    assert best_answers(x, np.zeros((0, 3), np.int64), np.arange(3, 6)).tolist() == []
    with pytest.raises(UsageError, match="method is 'div'"):
        best_answers(x, np.array([[3, 4, 5]]), np.array([3]), method="div")


def test_a_word_that_the_tokenizer_cuts_is_not_covered():
    pieces = {"kingly queen": ["kingly", "queen"], "KING": ["king"], "zebra": ["zebra"]}
    subject = Subject("m", Plain(ROYAL), lambda word: pieces.get(word, [word]), case="keep")
    assert subject.vectors.vocab.piece(subject.find("KING")) == "king"  # as the tokenizer writes it
    pairs = [("man", "KING", 1.0), ("man", "kingly queen", 2.0), ("man", "zebra", 3.0), ("man", "queen", 4.0)]
    score = evaluate([subject], {"own": pairs}, {})[0].scores[0]
    assert (score.covered, score.cut) == (2, 1)


def judged(n=80):
    """Pairs among words on a circle, judged by their angle with noise."""
    rng = np.random.default_rng(3)
    angle = rng.uniform(0, np.pi, (n, 2))
    words = {f"{side}{i}": [np.cos(a[k]), np.sin(a[k])] for i, a in enumerate(angle) for k, side in enumerate("xy")}
    scores = np.cos(angle[:, 0] - angle[:, 1]) + rng.normal(0, 0.4, n)
    return Plain(words), [(f"x{i}", f"y{i}", float(s)) for i, s in enumerate(scores)]


def test_spearmans_interval_is_that_of_resampled_pairs():
    vectors, pairs = judged()
    row = evaluate([Subject("m", vectors)], {"own": pairs}, {})[0]
    score = row.scores[0]
    assert (row.benchmark, row.measure, row.questions, row.common) == ("own", "spearman", 80, 80)
    assert score.value == score.common == similarity_benchmark(vectors, pairs)["spearman"]
    low, high = score.interval
    # Fisher's approximation: the arctanh of a correlation has a standard error of about 1.03 / sqrt(n - 3).
    expected = np.tanh(np.arctanh(score.value) + np.array([-1.96, 1.96]) * 1.03 / 77**0.5)
    assert (low, high) == (pytest.approx(expected[0], abs=0.07), pytest.approx(expected[1], abs=0.07))
    assert evaluate([Subject("m", vectors)], {"own": pairs}, {}, seed=1)[0] == row
    assert evaluate([Subject("m", vectors)], {"own": pairs}, {}, seed=2)[0].scores[0].interval != score.interval


def test_a_perfect_correlation_has_no_interval():
    # Two pairs are in order or the other way round; resampling them says nothing.
    vectors, pairs = judged()
    for some in (pairs[:2], [pairs[1], (*pairs[0][:2], pairs[1][2] + 1)], [pairs[1], (*pairs[0][:2], pairs[1][2] - 1)]):
        score = evaluate([Subject("m", vectors)], {"own": some}, {})[0].scores[0]
        assert abs(score.value) == 1.0
        assert score.interval is None


def test_several_models_meet_on_the_questions_that_all_cover():
    vectors, pairs = judged()
    fewer = Plain({w: list(map(float, vectors.vectors[i])) for i, w in enumerate(vectors.vocab.pieces[:100], 3)})
    row = evaluate([Subject("all", vectors), Subject("fewer", fewer)], {"own": pairs}, {})[0]
    every, some = row.scores
    assert (row.common, every.covered, some.covered) == (50, 80, 50)
    assert every.common == some.common == some.value != every.value  # the same vectors on the same pairs
    assert (some.difference, some.difference_interval) == (0, (0, 0))
    with pytest.raises(UsageError, match="of different names"):
        evaluate([Subject("a", vectors), Subject("a", fewer)], {}, {})


def test_common_ground_for_analogies_has_the_same_answers_to_choose_from():
    # At length 1, king - man + woman is (0.41, 0.71, 0.71). The larger model has a word just there.
    larger = Plain(ROYAL | {"empress": [0.41, 0.71, 0.71]})
    sections = [Analogies("royal", [("man", "king", "woman", "queen")])]
    row = evaluate([Subject("l", larger), Subject("s", Plain(ROYAL))], {}, {"own": sections})[-1]
    assert [score.value for score in row.scores] == [0, 1]
    assert [score.common for score in row.scores] == [1, 1]


def test_sums_of_google_s_sections():
    known = ("man", "king", "woman", "queen")
    sections = [Analogies("family", [known, known]), Analogies("gram1-x", [("man", "king", "woman", "Paris")])]
    rows = evaluate([Subject("m", Plain(ROYAL))], {}, {"own": sections})
    assert [(row.section, row.questions, row.scores[0].value) for row in rows] == [
        ("family", 2, 1.0), ("gram1-x", 1, 0.0), ("semantic", 2, 1.0), ("syntactic", 1, 0.0),
        ("all", 3, pytest.approx(2 / 3)),
    ]  # fmt: skip
    assert rows[0].scores[0].interval is None  # all right: resampling says nothing
    low, high = rows[-1].scores[0].interval
    assert (low, high) == (0, 1)  # two pairs a:b, of which one has all right answers


def test_among_leaves_out_questions_and_answers():
    larger = Plain(ROYAL | {"empress": [0.41, 0.71, 0.71]})
    sections = [Analogies("royal", [("man", "king", "woman", "queen")])]
    assert analogy_benchmark(larger, sections)["accuracy"] == 0
    assert analogy_benchmark(larger, sections, among=5)["accuracy"] == 1
    assert analogy_benchmark(larger, sections, among=3)["covered"] == 0


@given(st.lists(st.tuples(st.text("ab北 #:,\t", max_size=4), st.text("ab京", max_size=3)), max_size=8))
def test_whatever_a_file_holds_is_read_or_refused_with_its_line(lines):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "f")
        path.write_text("".join(f"{a} {b} 1.5\n" for a, b in lines), "utf-8")
        for read in (read_pairs, read_analogies):
            try:
                assert read(path)
            except UsageError as error:
                assert "line " in str(error) or "has no " in str(error)  # noqa: PT017
