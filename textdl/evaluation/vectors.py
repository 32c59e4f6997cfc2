"""How good word vectors are: similarity judged by people, and analogies; one model, or several side by side.

Similarity: Spearman's rank correlation (mean ranks for ties) of cosines and human scores, over the pairs whose two
words are known. Analogies: the share of questions `a is to b as c is to d` whose d is the best answer, over those
whose four words are known; by 3CosAdd (Mikolov et al. 2013) or 3CosMul (Levy and Goldberg 2014, equation 4, cosines
shifted to 0..1, epsilon 0.001), the words of the question left out.

A model that knows fewer words is asked fewer and easier questions, and has fewer wrong answers to choose from. So
several models are also compared on common ground: the questions that all of them cover, with answers among the words
that all of them know.

Intervals are of 95 %, from 1,000 seeded resamples: of the pairs of words, or, for analogies, of the pairs a:b, each
with all its questions, because those stand or fall together. They say what another choice of questions would give,
not what another training run would.

WordSim-353 (Finkelstein et al. 2002), SimLex-999 (Hill et al. 2015) and the Google analogies (Mikolov et al. 2013)
come with gensim's test data and are read from there without importing it.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import UNK
from textdl.errors import UsageError
from textdl.evaluation.bootstrap import interval, ratio_interval
from textdl.protocols import Floats, Ints, WordVectors
from textdl.vocabulary import SPECIALS

Pair = tuple[str, str, float]
Case = Literal["auto", "keep", "lower"]
"""`auto`: as written, else in lower case; `lower`: in lower case; `keep`: as written."""
Method = Literal["add", "mul"]
"""`add`: 3CosAdd, `mul`: 3CosMul."""
Interval = tuple[float, float]

_COSINES = 1 << 24
"""So many cosines are held at a time: 64 MB."""
_EPSILON = 0.001


@dataclass(frozen=True)
class Analogies:
    """The questions of one section: rows of a, b, c and the answer d."""

    section: str
    questions: list[tuple[str, str, str, str]]


@dataclass(frozen=True)
class Subject:
    """Word vectors as a benchmark meets them."""

    name: str
    vectors: WordVectors
    pieces: Callable[[str], Sequence[str]] | None = None
    """How the tokenizer of the training text cuts a word; None: words are looked up as they are."""
    case: Case = "auto"

    def __post_init__(self) -> None:
        if self.case not in ("auto", "keep", "lower"):
            raise UsageError(f"case is {self.case!r}; expected auto, keep or lower")

    def find(self, word: str) -> int:
        """The id of a word, as it is or as the tokenizer writes it; UNK where it is unknown or cut in pieces."""
        forms = {"keep": (word,), "lower": (word.lower(),), "auto": (word, word.lower())}[self.case]
        for form in dict.fromkeys(forms):
            for written in ([form], self.pieces(form) if self.pieces else []):
                if len(written) == 1 and (number := self.vectors.vocab.id(written[0])) != UNK:
                    return number
        return UNK

    def cuts(self, word: str) -> bool:
        """Whether a word is unknown because the tokenizer makes several pieces of it."""
        return self.pieces is not None and self.find(word) == UNK and len(self.pieces(word)) > 1

    def key(self, piece: str) -> str:
        """What two models must share to know the same word."""
        return piece if self.case == "keep" else piece.lower()


@dataclass(frozen=True)
class Score:
    """What one model reached on one benchmark or section: Spearman's correlation, or the share answered rightly."""

    model: str
    covered: int
    """Questions whose words it knows all."""
    cut: int
    """Of the others, those with a word that its tokenizer cuts into several pieces."""
    value: float
    """On the questions it covers; NaN where none, or where ranks are undefined."""
    interval: Interval | None
    common: float
    """On common ground; equal to `value` for a single model."""
    common_interval: Interval | None
    difference: float
    """On common ground, from the first model; 0 for the first."""
    difference_interval: Interval | None


@dataclass(frozen=True)
class Row:
    """A benchmark, or a section of one, with the scores of all models."""

    benchmark: str
    section: str
    """A section of analogies; `semantic`, `syntactic`, `all` for sums; empty for similarity."""
    measure: Literal["spearman", "accuracy"]
    questions: int
    common: int
    """Questions that all models cover."""
    scores: list[Score]


def evaluate(
    subjects: Sequence[Subject],
    similarity: Mapping[str, Sequence[Pair]],
    analogies: Mapping[str, Sequence[Analogies]],
    *,
    method: Method = "add",
    among: int | None = None,
    seed: int = 1,
) -> list[Row]:
    """All models on all benchmarks, which have names; with intervals.

    Args:
        among: analogies are asked and answered among the so many most frequent words only, as is the custom for
            published figures; None: all words.

    Returns:
        Rows in the order given; after the sections of one set of analogies their sums.

    Raises:
        UsageError: no subjects, two of one name, or an unknown method.
    """
    names = [subject.name for subject in subjects]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"models to evaluate: {', '.join(names) or 'none'}; give one or more, of different names")
    candidates = [_frequent(subject, among) for subject in subjects]
    shared = _shared(subjects, candidates)
    rows = [_similarity_row(subjects, name, pairs, seed) for name, pairs in similarity.items()]
    for name, sections in analogies.items():
        rows += _analogy_rows(subjects, candidates, shared, name, sections, method, seed)
    return rows


def similarity_benchmark(vectors: WordVectors, pairs: Sequence[Pair], *, case: Case = "auto") -> dict[str, Any]:
    """How the cosines of pairs rank beside their scores, without an interval.

    Returns:
        pairs: how many were given; covered: how many have both words; spearman: from -1 to 1, NaN
        where fewer than two are covered or all scores are equal.
    """
    cosines, _ = _cosines(Subject("", vectors, case=case), pairs)
    known = ~np.isnan(cosines)
    value = spearman(_judgements(pairs)[known], cosines[known])
    return {"pairs": len(pairs), "covered": int(known.sum()), "spearman": value}


def analogy_benchmark(
    vectors: WordVectors,
    sections: Sequence[Analogies],
    *,
    case: Case = "auto",
    among: int | None = None,
    method: Method = "add",
) -> dict[str, Any]:
    """The share of analogies answered rightly, without an interval. Arguments as of `evaluate`.

    Returns:
        questions, covered, correct, accuracy (NaN where nothing is covered), and `sections`, the same
        for each section, in order, with its name.
    """
    subject = Subject("", vectors, case=case)
    candidates = _frequent(subject, among)
    rows: list[dict[str, Any]] = []
    for section in sections:
        right = _right(vectors, _ids(subject, section.questions)[0], candidates, method)
        rows.append(_tally(len(right), int((right >= 0).sum()), int((right > 0).sum())) | {"section": section.section})
    total = _tally(*(sum(row[key] for row in rows) for key in ("questions", "covered", "correct")))
    return {**total, "sections": rows}


def _tally(questions: int, covered: int, correct: int) -> dict[str, Any]:
    accuracy = correct / covered if covered else math.nan
    return {"questions": questions, "covered": covered, "correct": correct, "accuracy": accuracy}


# Words that models know


def _frequent(subject: Subject, among: int | None) -> Ints:
    """The ids that may be asked for and answered."""
    mask = subject.vectors.frequent(among)
    return np.arange(len(SPECIALS), len(subject.vectors.vocab)) if mask is None else np.flatnonzero(mask)


def _shared(subjects: Sequence[Subject], candidates: Sequence[Ints]) -> list[Ints]:
    """For each subject those of its candidates that all others have too."""
    keys = [
        [subject.key(subject.vectors.vocab.piece(int(i))) for i in ids]
        for subject, ids in zip(subjects, candidates, strict=True)
    ]
    if len(keys) == 1:
        return list(candidates)
    common = set(keys[0]).intersection(*keys[1:])
    return [
        ids[np.fromiter((key in common for key in own), bool, len(own))]
        for own, ids in zip(keys, candidates, strict=True)
    ]


def _ids(subject: Subject, questions: Sequence[Sequence[str]]) -> tuple[Ints, NDArray[np.bool_]]:
    """(Q, words of a question) ids, and (Q,) whether a word is cut by the tokenizer."""
    find, cuts = cache(subject.find), cache(subject.cuts)
    ids = np.array([[find(word) for word in question] for question in questions], np.int64)
    cut = np.array([any(map(cuts, question)) for question in questions], bool)
    return ids.reshape(len(questions), -1), cut


# Similarity


def _similarity_row(subjects: Sequence[Subject], name: str, pairs: Sequence[Pair], seed: int) -> Row:
    judged = _judgements(pairs)
    found = [_cosines(subject, pairs) for subject in subjects]
    common = ~np.isnan([cosines for cosines, _ in found]).any(axis=0)
    first = found[0][0]
    scores = []
    for i, (subject, (cosines, cut)) in enumerate(zip(subjects, found, strict=True)):
        known = ~np.isnan(cosines)
        value, around = _correlation(judged[known], cosines[known], seed)
        same = value, around
        if not np.array_equal(common, known):
            same = _correlation(judged[common], cosines[common], seed)
        difference, apart = 0.0, None
        if i:
            difference, apart = _difference(judged[common], first[common], cosines[common], seed)
        scores.append(Score(subject.name, int(known.sum()), int(cut.sum()), value, around, *same, difference, apart))
    return Row(name, "", "spearman", len(pairs), int(common.sum()), scores)


def _judgements(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    return np.array([score for _, _, score in pairs], float)


def _cosines(subject: Subject, pairs: Sequence[Pair]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(pairs,) cosines, NaN where a word is unknown; (pairs,) whether one is cut by the tokenizer."""
    ids, cut = _ids(subject, [pair[:2] for pair in pairs])
    cosines = [subject.vectors.similarity(int(a), int(b)) if UNK not in (a, b) else math.nan for a, b in ids]
    return np.array(cosines, float), cut


def _correlation(judged: NDArray[np.float64], cosines: NDArray[np.float64], seed: int) -> tuple[float, Interval | None]:
    found = spearman(judged, cosines)
    if abs(found) == 1.0:  # as two pairs must give; resamples then say nothing
        return found, None
    return found, interval(lambda rows: spearman(judged[rows], cosines[rows]), len(judged), seed=seed)


def _difference(
    judged: NDArray[np.float64], first: NDArray[np.float64], other: NDArray[np.float64], seed: int
) -> tuple[float, Interval | None]:
    """How much better `other` correlates than `first`; both on the same draws."""

    def difference(rows: NDArray[np.int64]) -> float:
        return spearman(judged[rows], other[rows]) - spearman(judged[rows], first[rows])

    return difference(np.arange(len(judged))), interval(difference, len(judged), seed=seed)


def spearman(x: Sequence[float] | NDArray[np.float64], y: Sequence[float] | NDArray[np.float64]) -> float:
    """Spearman's rank correlation; ties share the mean of their ranks. NaN where one is constant."""
    if len(x) < 2:
        return math.nan
    a, b = (ranks - ranks.mean() for ranks in (_ranks(np.asarray(x, float)), _ranks(np.asarray(y, float))))
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size else math.nan


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    mean: NDArray[np.float64] = (ends - (counts - 1) / 2)[places]
    return mean


# Analogies


def _analogy_rows(
    subjects: Sequence[Subject], candidates: Sequence[Ints], shared: Sequence[Ints], name: str,
    sections: Sequence[Analogies], method: Method, seed: int,
) -> list[Row]:  # fmt: skip
    questions = [question for section in sections for question in section.questions]
    part = np.repeat(np.arange(len(sections)), [len(section.questions) for section in sections])
    _, unit = np.unique([f"{i}\t{q[0]}\t{q[1]}" for i, q in zip(part, questions, strict=True)], return_inverse=True)
    own, on_common, cuts = [], [], []
    for subject, among, same in zip(subjects, candidates, shared, strict=True):
        ids, cut = _ids(subject, questions)
        own.append(_right(subject.vectors, ids, among, method))
        on_common.append(_right(subject.vectors, ids, same, method) if len(subjects) > 1 else own[0])
        cuts.append(cut)
    common = (np.array(on_common) >= 0).all(axis=0)

    def row(title: str, here: NDArray[np.bool_]) -> Row:
        both = here & common
        scores = []
        for subject, right, right_common, cut in zip(subjects, own, on_common, cuts, strict=True):
            known = here & (right >= 0)
            better = (right_common - on_common[0])[both]
            scores.append(
                Score(
                    subject.name, int(known.sum()), int((cut & here).sum()),
                    *_share(right[known], unit[known], seed), *_share(right_common[both], unit[both], seed),
                    *_share(better, unit[both], seed),
                )
            )  # fmt: skip
        return Row(name, title, "accuracy", int(here.sum()), int(both.sum()), scores)

    rows = [row(section.section, part == i) for i, section in enumerate(sections)]
    syntactic = np.array([section.section.startswith("gram") for section in sections])  # as word2vec names them
    if syntactic.any() and not syntactic.all():
        rows += [row("semantic", ~syntactic[part]), row("syntactic", syntactic[part])]
    if [section.section for section in sections] != ["all"]:
        rows.append(row("all", np.ones(len(part), bool)))
    return rows


def _share(right: NDArray[np.int8], unit: Ints, seed: int) -> tuple[float, Interval | None]:
    """The mean and its interval; no interval where all are equal, for resamples then say nothing."""
    if not len(right):
        return math.nan, None
    asked = np.bincount(unit)
    total = np.bincount(unit, right)[asked > 0].astype(np.float64)
    around = ratio_interval(total, asked[asked > 0], seed=seed) if right.min() < right.max() else None
    return float(right.mean()), around


def _right(vectors: WordVectors, ids: Ints, candidates: Ints, method: Method) -> NDArray[np.int8]:
    """(Q,) 1: answered rightly, 0: not, -1: not asked, because a word is not among the candidates."""
    allowed = np.zeros(len(vectors.vocab), bool)
    allowed[candidates] = True
    asked = allowed[ids].all(axis=1) if len(ids) else np.zeros(0, bool)
    right = np.full(len(ids), -1, np.int8)
    answers = best_answers(vectors.vectors, ids[asked, :3], candidates, method=method)
    right[asked] = answers == ids[asked, 3]
    return right


def best_answers(vectors: Floats, questions: Ints, candidates: Ints, *, method: Method = "add") -> Ints:
    """(Q,) the candidate d that best completes each row a, b, c of questions (Q, 3), which are no answers.

    vectors (V, D); of equals the first; UNK where there is no candidate. In float32. Benchmarks ask about few words in
    many combinations, so the cosines of each word are computed once, and a question adds or multiplies three rows.
    """
    if method not in ("add", "mul"):
        raise UsageError(f"method is {method!r}; expected add (3CosAdd) or mul (3CosMul)")
    words, rows = np.unique(questions, return_inverse=True)
    rows = rows.reshape(-1, 3)
    asked = _units(vectors[words])
    best = np.full(len(questions), -np.inf, np.float32)
    answers = np.full(len(questions), UNK, np.int64)
    column = np.full(len(vectors), -1)
    size = min(max(_COSINES // max(len(words), 1), 1024), 16384)
    for start in range(0, len(candidates), size):
        block = candidates[start : start + size]
        column[block] = np.arange(len(block))
        cosines = asked @ _units(vectors[block]).T
        if method == "mul":
            cosines += 1
            cosines /= 2
        own = column[questions]
        scores = np.empty(len(block), np.float32)
        for i, (a, b, c) in enumerate(rows):
            if method == "add":
                np.subtract(cosines[b], cosines[a], out=scores)
                scores += cosines[c]
            else:
                np.multiply(cosines[b], cosines[c], out=scores)
                scores /= cosines[a] + _EPSILON
            scores[own[i, own[i] >= 0]] = -np.inf
            found = scores.argmax()
            if scores[found] > best[i]:
                best[i], answers[i] = scores[found], block[found]
        column[block] = -1
    return answers


def _units(rows: Floats) -> Floats:
    rows = rows.astype(np.float32, copy=False)  # they may be kept as float16
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Floats = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units


# Files


def wordsim353() -> list[Pair]:
    """353 pairs by relatedness, 0 to 10. Raises UsageError where gensim is not installed."""
    return read_pairs(_gensim_data("wordsim353.tsv"))


def simlex999() -> list[Pair]:
    """999 pairs by similarity, 0 to 10. Raises UsageError where gensim is not installed."""
    return read_pairs(_gensim_data("simlex999.txt"))


def google_analogies() -> list[Analogies]:
    """19,544 questions in 14 sections. Raises UsageError where gensim is not installed."""
    return read_analogies(_gensim_data("questions-words.txt"))


def _gensim_data(name: str) -> Path:
    spec = importlib.util.find_spec("gensim")  # finds, imports nothing
    for place in (spec.submodule_search_locations if spec else None) or ():
        path = Path(place) / "test" / "test_data" / name
        if path.exists():
            return path
    raise UsageError(f"{name} comes with gensim, which is not installed here. Install gensim or give a file of pairs.")


_NAME = re.compile(r"(?!(nan|inf|infinity)$)[^\W\d_]", re.IGNORECASE)
"""How the name of a column begins: with a letter; and it is none of the letters that stand for numbers."""


def read_pairs(path: Path, tell: Callable[[str], object] = lambda _: None) -> list[Pair]:
    """`word1 word2 score` a line, separated by a tab, comma or spaces; `#` begins a comment.

    Raises:
        UsageError: the file is missing, or a line is not of that form; says which. A first line whose third field
            is a word, with further lines behind it, is taken for a heading, which `tell` is told.
    """
    pairs: list[Pair] = []
    lines = list(_lines(path))
    for number, line in lines:
        fields = _fields(line)
        if number == 1 and len(lines) > 1 and len(fields) > 2 and _NAME.match(fields[2]) and not line.startswith(":"):
            tell(f"{path}: the first line is taken for a heading, not for a pair: {line[:60]}")
            continue
        try:
            first, second, score = fields[0], fields[1], float(fields[2])
            if not math.isfinite(score) or not first or not second:
                raise ValueError
        except (IndexError, ValueError):
            hint = _other(line.startswith(":") or len(fields) == 4, "analogies", "--analogies")
            raise UsageError(f"{path}, line {number}: expected `word1 word2 score`, got {line[:60]!r}{hint}") from None
        pairs.append((first, second, score))
    if not pairs:
        raise UsageError(f"{path} has no pairs of words; expected lines of `word1 word2 score`")
    return pairs


def read_analogies(path: Path) -> list[Analogies]:
    """`a b c d` a line, separated by tabs, commas or spaces, in sections opened by `: name`.

    Raises:
        UsageError: the file is missing or a line has not four words; says which.
    """
    sections: list[Analogies] = []
    for number, line in _lines(path):
        if line.startswith(":"):
            sections.append(Analogies(line[1:].strip(" \t"), []))
            continue
        words = _fields(line)
        if len(words) != 4 or not all(words):
            hint = _other(len(words) == 3, "similarity judgements", "--pairs")
            raise UsageError(f"{path}, line {number}: expected four words or `: section`, got {line[:60]!r}{hint}")
        if not sections:
            sections.append(Analogies("all", []))
        sections[-1].questions.append((words[0], words[1], words[2], words[3]))
    if not any(section.questions for section in sections):
        raise UsageError(f"{path} has no analogies; expected lines of four words")
    return [section for section in sections if section.questions]


def _other(looks: bool, kind: str, option: str) -> str:
    return f"; this looks like {kind}, which are given by {option}" if looks else ""


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    """Numbered lines without blank ones and comments."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error}). Convert it first.") from error
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r")
        if line and not line.startswith("#"):
            yield number, line


def _fields(line: str) -> list[str]:
    for separator in ("\t", ","):
        if separator in line:
            return [field.strip(" ") for field in line.split(separator)]
    return re.split(" +", line)
