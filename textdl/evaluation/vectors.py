"""How good word vectors are: similarity judged by people, and analogies.

Similarity: Spearman's rank correlation (mean ranks for ties) of cosines and human scores, over the
pairs whose two words are known; how many were covered is part of the result. Analogies: the share of
questions `a is to b as c is to d` whose d is the first answer (3CosAdd), by section and in all, over
the questions whose four words are known, again with the coverage.

WordSim-353 (Finkelstein et al. 2002), SimLex-999 (Hill et al. 2015) and the Google analogies (Mikolov
et al. 2013) come with gensim's test data and are read from there without importing it. Files of one's
own: `word1 word2 score` separated by tabs, commas or spaces; analogies in sections that `: name` opens.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import UNK
from textdl.errors import UsageError
from textdl.protocols import WordVectors
from textdl.vocabulary import SPECIALS, Vocabulary

Pair = tuple[str, str, float]
Case = Literal["auto", "keep", "lower"]
"""`auto`: as written, else in lower case; `lower`: in lower case; `keep`: as written."""


@dataclass(frozen=True)
class Analogies:
    """The questions of one section: rows of a, b, c and the answer d."""

    section: str
    questions: list[tuple[str, str, str, str]]


def similarity_benchmark(vectors: WordVectors, pairs: Sequence[Pair], *, case: Case = "auto") -> dict[str, Any]:
    """How the cosines of pairs rank beside their scores.

    Returns:
        pairs: how many were given; covered: how many have both words; spearman: from -1 to 1, NaN
        where fewer than two are covered or all scores are equal.
    """
    find = _finder(vectors.vocab, case)
    scores: list[float] = []
    cosines: list[float] = []
    for first, second, score in pairs:
        a, b = find(first), find(second)
        if a != UNK and b != UNK:
            scores.append(score)
            cosines.append(vectors.similarity(a, b))
    return {"pairs": len(pairs), "covered": len(scores), "spearman": spearman(scores, cosines)}


def analogy_benchmark(
    vectors: WordVectors, sections: Sequence[Analogies], *, case: Case = "auto", among: int | None = None
) -> dict[str, Any]:
    """The share of analogies answered rightly.

    Args:
        among: only questions whose words are all among the so many most frequent are asked, as is the
            custom; any word may be the answer. None: all words.

    Returns:
        questions, covered, correct, accuracy (NaN where nothing is covered), and `sections`, the same
        for each section, in order, with its name.
    """
    find = _finder(vectors.vocab, case)
    bound = len(vectors.vocab) if among is None else len(SPECIALS) + among
    rows: list[dict[str, Any]] = []
    for section in sections:
        ids = [tuple(find(word) for word in question) for question in section.questions]
        known = [q for q in ids if UNK not in q and max(q) < bound]
        correct = sum(best == q[3] for q, best in zip(known, _answers(vectors, known), strict=True))
        rows.append(_tally(len(ids), len(known), correct) | {"section": section.section})
    total = _tally(*(sum(row[key] for row in rows) for key in ("questions", "covered", "correct")))
    return {**total, "sections": rows}


def _tally(questions: int, covered: int, correct: int) -> dict[str, Any]:
    accuracy = correct / covered if covered else math.nan
    return {"questions": questions, "covered": covered, "correct": correct, "accuracy": accuracy}


def _answers(vectors: WordVectors, questions: Sequence[Sequence[int]]) -> Iterator[int]:
    """The best d for each question; together where the vectors can, which is many times faster."""
    together = getattr(vectors, "analogies", None)
    if together is not None:
        for found in together(np.array([q[:3] for q in questions], np.int64).reshape(-1, 3), 1):
            yield found[0][0] if found else UNK
    else:
        for a, b, c, _ in questions:
            found = vectors.analogy(a, b, c, 1)
            yield found[0][0] if found else UNK


def _finder(vocab: Vocabulary, case: Case) -> Callable[[str], int]:
    if case not in ("auto", "keep", "lower"):
        raise UsageError(f"case is {case!r}; expected auto, keep or lower")

    def find(word: str) -> int:
        number = UNK if case == "lower" else vocab.id(word)
        return vocab.id(word.lower()) if number == UNK and case != "keep" else number

    return find


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
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


def read_pairs(path: Path) -> list[Pair]:
    """`word1 word2 score` a line, separated by a tab, comma or spaces; `#` begins a comment.

    Raises:
        UsageError: the file is missing, or a line is not of that form; says which. A first line whose
            third field is no number is taken for a heading.
    """
    pairs: list[Pair] = []
    for number, line in _lines(path):
        fields = _fields(line)
        try:
            first, second, score = fields[0], fields[1], float(fields[2])
            if not math.isfinite(score) or not first or not second:
                raise ValueError
        except (IndexError, ValueError):
            if number == 1 and len(fields) >= 3:
                continue
            raise UsageError(f"{path}, line {number}: expected `word1 word2 score`, got {line[:60]!r}") from None
        pairs.append((first, second, score))
    if not pairs:
        raise UsageError(f"{path} has no pairs of words; expected lines of `word1 word2 score`")
    return pairs


def read_analogies(path: Path) -> list[Analogies]:
    """`a b c d` a line, separated by spaces or tabs, in sections opened by `: name`.

    Raises:
        UsageError: the file is missing or a line has not four words; says which.
    """
    sections: list[Analogies] = []
    for number, line in _lines(path):
        if line.startswith(":"):
            sections.append(Analogies(line[1:].strip(" \t"), []))
            continue
        words = _fields(line)
        if len(words) != 4:
            raise UsageError(f"{path}, line {number}: expected four words or `: section`, got {line[:60]!r}")
        if not sections:
            sections.append(Analogies("all", []))
        sections[-1].questions.append((words[0], words[1], words[2], words[3]))
    if not any(section.questions for section in sections):
        raise UsageError(f"{path} has no analogies; expected lines of four words")
    return sections


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
