"""Word vectors and the questions one asks of them.

Which words are near, how alike two are, a is to b as c is to what, which of several is the odd one out.

All answers are exact. Every word is compared, block by block, in float32 matrix products on all
cores. A float32 dot product of two unit vectors of D numbers is off by at most D * 2^-24 (the standard
bound, Higham 2002, eq. 3.5), so every word that could still be among the k best is computed again in
float64 and ranked by that: the answer does not depend on BLAS, blocks or threads, and ties go to the
smaller id.

Analogies, on vectors of length 1 and without the three words of the question, by
- `add`, 3CosAdd: the word d of greatest cos(d, b - a + c) (Mikolov et al. 2013; Levy and Goldberg 2014, eq. 2);
- `mul`, 3CosMul: the greatest cos(d, b) cos(d, c) / (cos(d, a) + 0.001), each cosine moved to 0..1 by
  (1 + cos) / 2 (Levy and Goldberg 2014, eq. 4).

Vectors may be stored as float16; they are computed with as float32 and float64, so the only loss is
the rounding of the numbers themselves. Vectors shorter than 1e-30 or longer than 1e30 are beyond float32.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import UNK
from textdl.errors import ModelError, UnknownWordError, UsageError
from textdl.storage import Reader, Writer
from textdl.vocabulary import SPECIALS, Vocabulary
from textdl.word2vec.spelled_alike import Spellings

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Method = Literal["add", "mul"]
Answer = list[tuple[int, float]]

_TILE = 1 << 23  # cosines at a time: few large products, as BLAS meets its threads at each
_LEAST_BLOCK, _MOST_BLOCK = 1 << 10, 1 << 18  # words
_QUERIES = 1 << 8  # at a time
_ROWS = 1 << 12  # computed again in float64 at a time
_EPSILON = 0.001  # of 3CosMul


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; expected a whole number")
    return int(value)


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class Vectors:
    """A vector for every word of a vocabulary; implements `protocols.WordVectors`.

    vectors: (V, D) float32 or float16, specials first, whose rows are zero.
    """

    explain: Callable[[str], str | None] | None = None
    """Says more about a word that is not here (how it is tokenized, how often it was seen), if set."""

    def __init__(self, vocab: Vocabulary | None, vectors: NDArray[Any]) -> None:
        """vocab may be set later.

        Raises:
            UsageError: shapes do not fit, or a special has a vector.
        """
        if vectors.ndim != 2 or vectors.dtype not in (np.float32, np.float16):
            raise UsageError(
                f"word vectors of shape {vectors.shape}, {vectors.dtype}; expected (words, dim), float32 or float16"
            )
        if vectors[: len(SPECIALS)].any():
            raise UsageError("the vectors of <unk>, <s> and </s> (the first three rows) must be zero")
        self.vectors = vectors
        self._vocab: Vocabulary | None = None
        if vocab is not None:
            self.vocab = vocab

    @property
    def vocab(self) -> Vocabulary:
        """The words; until they are set, every word is named by its id."""
        if self._vocab is None:
            self._vocab = Vocabulary([str(i) for i in range(len(SPECIALS), len(self.vectors))])
        return self._vocab

    @vocab.setter
    def vocab(self, vocab: Vocabulary) -> None:
        if len(vocab) != len(self.vectors):
            raise UsageError(f"a vocabulary of {len(vocab):,} for {len(self.vectors):,} word vectors")
        self._vocab = vocab
        self.__dict__.pop("_spellings", None)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    # Nearest words

    def nearest(
        self, query: Floats, k: int, exclude: Sequence[int] = (), *, among: NDArray[np.bool_] | None = None
    ) -> Answer:
        """The k ids of greatest cosine with query (D,), best first; fewer where there are fewer words.

        Args:
            query: (D,) any length but 0.
            k: at least 1.
            exclude: ids that are not wanted.
            among: (V,) the words that may be answers, as `frequent` gives them; None: all.

        Raises:
            UsageError: k is below 1, or query has another shape or no direction.
        """
        return self.nearest_of_many(np.asarray(query)[None], k, [exclude], among=among)[0]

    def nearest_of_many(
        self,
        queries: NDArray[Any],
        k: int,
        excludes: Sequence[Sequence[int]],
        *,
        among: NDArray[np.bool_] | None = None,
    ) -> list[Answer]:
        """`nearest` for each of queries (Q, D), which share the matrix products."""
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise UsageError(f"a query of {queries.shape[-1]} numbers for vectors of {self.dim}")
        units = queries.astype(np.float64)
        lengths = np.linalg.norm(units, axis=1)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise UsageError("a query vector that is zero or not finite has no nearest words")
        units /= lengths[:, None]
        return self._best(_Cosine(units[:, None]), k, excludes, among)

    def analogy(self, a: int, b: int, c: int, k: int, method: Method = "add") -> Answer:
        """The k ids d that best complete `a is to b as c is to d`, with their scores (see the module)."""
        return self.analogies(np.array([[a, b, c]]), k, method)[0]

    def analogies(
        self,
        questions: NDArray[np.int64],
        k: int,
        method: Method = "add",
        *,
        among: NDArray[np.bool_] | None = None,
    ) -> list[Answer]:
        """`analogy` for each row a, b, c of questions (Q, 3)."""
        if method not in get_args(Method):
            raise UsageError(f"method is {method!r}; expected add (3CosAdd) or mul (3CosMul)")
        questions = np.asarray(questions).reshape(-1, 3)
        units = self.units(questions)
        excludes: list[list[int]] = questions.tolist()
        if method == "add":
            return self.nearest_of_many(units[:, 1] - units[:, 0] + units[:, 2], k, excludes, among=among)
        return self._best(_Product(units), k, excludes, among)

    def similarity(self, a: int, b: int) -> float:
        """The cosine of two words; 0 where one has no vector."""
        x, y = self.units(np.array([a, b]))
        return float(np.clip(x @ y, -1, 1))

    def units(self, ids: NDArray[np.int64]) -> Doubles:
        """(..., D) the vectors of some words at length 1; zero where they are zero."""
        rows: Doubles = self.vectors[ids].astype(np.float64)
        lengths = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
        rows /= np.where(lengths > 0, lengths, 1)
        return rows

    def frequent(self, among: int | None = None, min_count: int = 0) -> NDArray[np.bool_] | None:
        """(V,) the `among` most frequent words that were seen `min_count` times or more; None: all words.

        Where counts are not known (files of others), the order of the words stands for their frequency,
        as those files are written.

        Raises:
            UsageError: `among` is below 1, `min_count` is asked for where no counts are known, or no word is left.
        """
        among, min_count = None if among is None else _whole("among", among), _whole("min_count", min_count)
        if among is None and min_count <= 0:
            return None
        if among is not None and among < 1:
            raise UsageError(f"among is {among}; expected a number of words, 1 or more")
        counts = self.vocab.counts.copy()
        counts[: len(SPECIALS)] = -1
        if min_count > 0 and not (counts > 0).any():
            raise UsageError("min_count: these vectors came without counts; among=N takes the first N words instead")
        allowed = counts >= min_count
        if among is not None and among < len(counts) - len(SPECIALS):
            allowed[np.argsort(-counts, kind="stable")[among:]] = False
        allowed[: len(SPECIALS)] = False
        if not allowed.any():
            raise UsageError(
                f"min_count {min_count:,} leaves no word: the most frequent was seen {counts.max():,} times"
            )
        return allowed

    @cached_property
    def _scale(self) -> Floats:
        """(V,) 1 / length; 0 for zero vectors."""
        scale = np.zeros(len(self.vectors), np.float32)

        def fill(begin: int, end: int) -> None:
            block = self.vectors[begin:end].astype(np.float32, copy=False)
            with np.errstate(over="ignore", under="ignore"):
                squares = np.einsum("ij,ij->i", block, block).astype(np.float64)
            odd = np.flatnonzero((squares > 1e30) | (squares < 1e-30))  # also what float32 could not hold
            squares[odd] = np.square(block[odd], dtype=np.float64).sum(axis=1)
            np.divide(1, np.sqrt(squares), out=squares, where=squares > 0)
            scale[begin:end] = squares

        size = _MOST_BLOCK
        with ThreadPoolExecutor(cores()) as pool:
            for done in [pool.submit(fill, i, i + size) for i in range(0, len(scale), size)]:
                done.result()
        return scale

    def _best(
        self, scores: _Cosine, k: int, excludes: Sequence[Sequence[int]], among: NDArray[np.bool_] | None
    ) -> list[Answer]:
        """The k words of the greatest score for each query."""
        k = _whole("k", k)
        if k < 1:
            raise UsageError(f"k is {k}; ask for at least 1 word")
        if len(excludes) != len(scores.units):
            raise UsageError(f"{len(excludes)} lists of words to leave out for {len(scores.units)} queries")
        first, last = len(SPECIALS), len(self.vectors)
        if among is not None:
            places = np.flatnonzero(among[first:]) + first
            first, last = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
            if len(places) == last - first:
                among = None
        _ = self._scale
        answers: list[Answer] = []
        group = max(1, min(_QUERIES, _TILE // k))
        for start in range(0, len(scores.units), group):
            some, left_out = scores[start : start + group], excludes[start : start + group]
            size = max(_LEAST_BLOCK, k, min(_MOST_BLOCK, _TILE // some.units.shape[0] // some.units.shape[1]))
            search = _Search(self, some, k, left_out, among)
            for begin in range(first, last, size):
                search.look(begin, min(begin + size, last))
            answers += search.answers()
        return answers

    # Words

    def lookup(self, word: str) -> int:
        """The id of a word.

        Raises:
            UnknownWordError: it is not here; says what is spelled alike.
        """
        number = self.vocab.id(word)
        if number == UNK:
            raise UnknownWordError(self._unknown(word))
        return number

    def vector(self, word: str) -> Floats:
        row: Floats = self.vectors[self.lookup(word)]
        return row

    def similar(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The k words of greatest cosine with a word, itself left out. Raises UnknownWordError."""
        number = self.lookup(word)
        return self._named(self.nearest(self.vectors[number], k, (number,)))

    def analogy_words(self, a: str, b: str, c: str, k: int = 10) -> list[tuple[str, float]]:
        """The k words that best complete `a is to b as c is to ...`. Raises UnknownWordError."""
        return self._named(self.analogy(self.lookup(a), self.lookup(b), self.lookup(c), k))

    def _named(self, found: Answer) -> list[tuple[str, float]]:
        return [(self.vocab.piece(i), cosine) for i, cosine in found]

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.vocab.pieces)

    def _unknown(self, word: str) -> str:
        """`'x' is not in the vocabulary of N words: why, if known; nearest known spelling: y.`"""
        said = [more] if self.explain is not None and (more := self.explain(word)) else []
        if alike := self._spellings.nearest(word):
            said.append("nearest known spelling: " + ", ".join(alike))
        known = f"{word!r} is not in the vocabulary of {len(self.vocab) - len(SPECIALS):,} words"
        return (f"{known}: {'; '.join(said)}" if said else known) + "."

    # Files

    def describe(self) -> dict[str, Any]:
        """size: how many numbers; words: how many have a vector, specials apart."""
        about = {"size": int(self.vectors.size), "words": len(self.vectors) - len(SPECIALS), "dim": self.dim}
        return about if self.vectors.dtype == np.float32 else {**about, "numbers": str(self.vectors.dtype)}

    def save(self, out: Writer) -> None:
        """vectors.npy; the vocabulary is the caller's to write."""
        out.array("vectors.npy", np.ascontiguousarray(self.vectors))

    @classmethod
    def load(cls, reader: Reader) -> Vectors:
        """As a memory map; with the vocabulary, if the directory has vocab.txt.

        Raises:
            ModelError: a file is missing or damaged.
        """
        try:
            return cls(load_vocab(reader), reader.array("vectors.npy"))
        except UsageError as error:
            raise ModelError(f"{reader.directory} is damaged: {error}. Copy the model again.") from error


class _Cosine:
    """The score of a word for a query: its cosine with the query. units: (Q, 1, D), of length 1."""

    signs = np.ones((1, 1, 1))
    """(1, P, 1) whether a score rises or falls with each of its P cosines."""

    def __init__(self, units: Doubles) -> None:
        self.units = units

    def __getitem__(self, rows: slice) -> _Cosine:
        return type(self)(self.units[rows])

    def of(self, cosines: NDArray[Any]) -> NDArray[Any]:
        """(Q, n) scores from cosines (Q, P, n), which are used up."""
        return cosines[:, 0]


class _Product(_Cosine):
    """3CosMul. units: (Q, 3, D), those of a, b and c."""

    signs = np.array([-1.0, 1.0, 1.0]).reshape(1, 3, 1)

    def of(self, cosines: NDArray[Any]) -> NDArray[Any]:
        cosines += 1
        cosines *= 0.5
        np.maximum(cosines, 0, out=cosines)
        a, b, c = cosines[:, 0], cosines[:, 1], cosines[:, 2]
        a += _EPSILON
        b *= c
        b /= a
        return b


class _Search:
    """The k best words so far for each of Q queries, by scores computed in float64."""

    def __init__(
        self,
        of: Vectors,
        scores: _Cosine,
        k: int,
        excludes: Sequence[Sequence[int]],
        among: NDArray[np.bool_] | None,
    ) -> None:
        self._vectors, self._scores, self._k, self._among = of, scores, k, among
        queries, _, dim = scores.units.shape
        self._flat = scores.units.reshape(-1, dim).astype(np.float32)
        self._excluded = np.array([(q, i) for q, ids in enumerate(excludes) for i in ids], np.int64).reshape(-1, 2)
        self._margin = ((dim + 8) * 2.0**-23 * scores.signs).astype(np.float32)
        self._ids = np.zeros((queries, 0), np.int64)
        self._values = np.zeros((queries, 0))
        self._bars = np.full(queries, -np.inf, np.float32)  # the k-th best score, rounded down

    def look(self, begin: int, end: int) -> None:
        """Compare a block of words."""
        queries, per_query, _ = self._scores.units.shape
        block = self._vectors.vectors[begin:end].astype(np.float32, copy=False)
        with np.errstate(invalid="ignore"):  # BLAS may flag what it read beyond the end of a short row
            cosines = self._flat @ block.T
        cosines *= self._vectors._scale[begin:end]
        cosines = cosines.reshape(queries, per_query, end - begin)
        cosines += self._margin
        most = self._scores.of(cosines)  # no score is above this
        if self._among is not None:
            most[:, ~self._among[begin:end]] = -np.inf
        q, i = self._excluded.T
        here = (i >= begin) & (i < end)
        most[q[here], i[here] - begin] = -np.inf
        if not self._values.shape[1]:  # the first block: any k words set a bar
            k = min(self._k, end - begin)
            top = np.argpartition(most, end - begin - k, axis=1)[:, end - begin - k :]
            self._offer(np.repeat(np.arange(queries), k), top.ravel(), most, begin)
            np.put_along_axis(most, top, -np.inf, axis=1)
        reached = np.flatnonzero(most >= self._bars[:, None])
        self._offer(*np.divmod(reached, end - begin), most, begin)

    def _offer(self, q: NDArray[np.int64], i: NDArray[np.int64], most: NDArray[Any], begin: int) -> None:
        """Compute the scores of words i of a block for queries q, and keep the k best."""
        allowed = most[q, i] > -np.inf
        q, ids = q[allowed], i[allowed] + begin
        values = np.empty(len(q))
        for start in range(0, len(q), _ROWS):
            some = slice(start, start + _ROWS)
            cosines = (self._scores.units[q[some]] * self._vectors.units(ids[some])[:, None]).sum(axis=2)
            values[some] = self._scores.of(np.clip(cosines, -1, 1)[..., None])[:, 0]
        self.merge(q, ids, values)

    def merge(self, q: NDArray[np.int64], ids: NDArray[np.int64], values: Doubles) -> None:
        """Take up words `ids` with their scores for queries `q`."""
        if not len(q):
            return
        held = np.unique(q)
        mine_q, mine_ids, mine_values = self.found(held)
        q, ids, values = np.r_[mine_q, q], np.r_[mine_ids, ids], np.r_[mine_values, values]
        order = np.lexsort((ids, -values, q))
        q, ids, values = q[order], ids[order], values[order]
        place = np.arange(len(q)) - np.searchsorted(q, q)
        keep = place < self._k
        q, ids, values, place = q[keep], ids[keep], values[keep], place[keep]
        if (width := int(place.max()) + 1) > self._ids.shape[1]:
            more = ((0, 0), (0, width - self._ids.shape[1]))
            self._ids = np.pad(self._ids, more, constant_values=UNK)
            self._values = np.pad(self._values, more, constant_values=-np.inf)
        self._ids[q, place], self._values[q, place] = ids, values
        if width >= self._k:
            bars = self._values[held, self._k - 1]
            self._bars[held] = np.nextafter(bars.astype(np.float32), np.float32(-np.inf))

    def found(self, queries: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64], Doubles]:
        """The best so far, of all queries or some, as (query, id, score)."""
        queries = np.arange(len(self._ids)) if queries is None else queries
        ids, values = self._ids[queries].ravel(), self._values[queries].ravel()
        q, there = np.repeat(queries, self._ids.shape[1]), ids != UNK
        return q[there], ids[there], values[there]

    def answers(self) -> list[Answer]:
        return [
            [(i, value) for i, value in zip(ids, values, strict=True) if i != UNK]
            for ids, values in zip(self._ids.tolist(), self._values.tolist(), strict=True)
        ]


def load_vocab(reader: Reader) -> Vocabulary | None:
    if "vocab.txt" not in reader:
        return None
    return Vocabulary.from_text(reader.text("vocab.txt"), reader.path("vocab.txt"))
