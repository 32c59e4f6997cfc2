"""Word vectors and the questions one asks of them: which words are near, and a is to b as c is to what.

All answers are exact: every word is compared, in blocks, by matrix products. The few best are then
computed again in float64, so that equal vectors tie whatever the BLAS did, and ties go to the smaller
id. Analogies are 3CosAdd on vectors of length 1 (Mikolov et al. 2013; Levy and Goldberg 2014, eq. 2),
without the three words of the question.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import UNK
from textdl.errors import UnknownWordError, UsageError
from textdl.storage import Reader, Writer
from textdl.vocabulary import SPECIALS, Vocabulary

Floats = NDArray[np.float32]
_BLOCK = 1 << 16  # words compared at a time
_CLOSE = 1e-4  # cosines this near to the k-th best are computed again in float64


class Vectors:
    """A vector for every word of a vocabulary; implements `protocols.WordVectors`.

    vectors: (V, D) float32, specials first, whose rows are zero.
    """

    explain: Callable[[str], str | None] | None = None
    """Says more about a word that is not here (how it is tokenized, how often it was seen), if set."""

    def __init__(self, vocab: Vocabulary | None, vectors: Floats) -> None:
        """vocab may be set later.

        Raises:
            UsageError: shapes do not fit, or a special has a vector.
        """
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise UsageError(f"word vectors of shape {vectors.shape}, {vectors.dtype}; expected (words, dim), float32")
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

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    @cached_property
    def _scale(self) -> Floats:
        """(V,) 1 / length; 0 for zero vectors."""
        lengths = np.concatenate([np.linalg.norm(block, axis=1) for block in self._blocks()])
        scale: Floats = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return scale

    def _blocks(self) -> list[Floats]:
        return [self.vectors[i : i + _BLOCK] for i in range(0, len(self.vectors), _BLOCK)]

    def nearest(self, query: Floats, k: int, exclude: Sequence[int] = ()) -> list[tuple[int, float]]:
        """The k ids of greatest cosine with query (D,), best first; fewer where there are fewer words.

        Raises:
            UsageError: k is below 1, or query has another shape or no direction.
        """
        return self.nearest_of_many(np.asarray(query)[None], k, [exclude])[0]

    def nearest_of_many(
        self, queries: Floats, k: int, excludes: Sequence[Sequence[int]]
    ) -> list[list[tuple[int, float]]]:
        """`nearest` for each of queries (Q, D); queries share the matrix products."""
        if k < 1:
            raise UsageError(f"k is {k}; ask for at least 1 word")
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise UsageError(f"a query of {queries.shape[-1]} numbers for vectors of {self.dim}")
        exact = queries.astype(np.float64)
        lengths = np.linalg.norm(exact, axis=1)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise UsageError("a query vector that is zero or not finite has no nearest words")
        exact /= lengths[:, None]
        queries = exact.astype(np.float32)
        size = max(1, (1 << 24) // len(self.vectors))  # queries at a time: 64 MB of cosines
        answers: list[list[tuple[int, float]]] = []
        for start in range(0, len(queries), size):
            with np.errstate(invalid="ignore"):  # BLAS may flag what it read beyond the end of a short row
                cosines = np.concatenate([queries[start : start + size] @ block.T for block in self._blocks()], axis=1)
            cosines *= self._scale
            cosines[:, : len(SPECIALS)] = -np.inf
            for row, unit, exclude in zip(cosines, exact[start:], excludes[start:], strict=False):
                row[list(exclude)] = -np.inf
                answers.append(self._best(row, unit, k))
        return answers

    def _best(self, cosines: Floats, unit: NDArray[np.float64], k: int) -> list[tuple[int, float]]:
        k = min(k, int(np.count_nonzero(cosines > -np.inf)))
        if k == 0:
            return []
        bar = np.partition(cosines, len(cosines) - k)[len(cosines) - k]
        ids = np.flatnonzero(cosines >= bar - _CLOSE)
        if len(ids) > 100 * k + 1000:  # a crowd of equals: the first are as good as any
            surely = np.flatnonzero(cosines > bar + _CLOSE)
            ids = np.union1d(surely, np.setdiff1d(ids, surely)[: 100 * k])
        rows = self.vectors[ids].astype(np.float64)
        lengths = np.sqrt((rows * rows).sum(axis=1))
        values = (rows * unit).sum(axis=1) / np.where(lengths > 0, lengths, 1)
        order = np.lexsort((ids, -values))[:k]
        return [(int(ids[i]), float(np.clip(values[i], -1, 1))) for i in order]

    def similarity(self, a: int, b: int) -> float:
        """The cosine of two words; 0 where one has no vector."""
        x, y = self._unit(a), self._unit(b)
        return float(np.clip(x @ y, -1, 1))

    def analogy(self, a: int, b: int, c: int, k: int) -> list[tuple[int, float]]:
        """The k ids d that best complete `a is to b as c is to d`, with the cosine of d and b - a + c."""
        return self.analogies(np.array([[a, b, c]]), k)[0]

    def analogies(self, questions: NDArray[np.int64], k: int) -> list[list[tuple[int, float]]]:
        """`analogy` for each row a, b, c of questions (Q, 3)."""
        if not len(questions):
            return []
        units = self.vectors[questions].astype(np.float64) * self._scale[questions][..., None]
        queries = units[:, 1] - units[:, 0] + units[:, 2]
        return self.nearest_of_many(queries.astype(np.float32), k, [[int(i) for i in row] for row in questions])

    def _unit(self, id: int) -> NDArray[np.float64]:
        x = self.vectors[id].astype(np.float64)
        length = float(np.sqrt(x @ x))
        unit: NDArray[np.float64] = x / (length or 1.0)
        return unit

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

    def _named(self, found: list[tuple[int, float]]) -> list[tuple[str, float]]:
        return [(self.vocab.piece(i), cosine) for i, cosine in found]

    def _unknown(self, word: str) -> str:
        parts = [f"{word!r} is not in the vocabulary of {len(self.vocab) - len(SPECIALS):,} words"]
        alike = self._spelled_alike(word)
        if alike:
            parts.append("nearest known spelling: " + ", ".join(alike))
        more = self.explain(word) if self.explain is not None else None
        return "; ".join(parts) + "." + (f" {more}" if more else "")

    def _spelled_alike(self, word: str, count: int = 3, most: int = 5000) -> list[str]:
        """Known words spelled nearly as this one, among the `most` frequent that could be."""
        cases = [w for w in (word.lower(), word.upper(), word.capitalize()) if w != word and w in self.vocab]
        letters = set(word)
        could_be: list[str] = []
        for piece in self.vocab.pieces:
            if abs(len(piece) - len(word)) <= 2 and not letters.isdisjoint(piece):
                could_be.append(piece)
                if len(could_be) == most:
                    break
        close = difflib.get_close_matches(word, could_be, n=count, cutoff=0.5)
        return list(dict.fromkeys(cases + close))[:count]

    # Files

    def describe(self) -> dict[str, Any]:
        """size: how many numbers; words: how many have a vector, specials apart."""
        return {
            "size": int(self.vectors.size),
            "words": len(self.vectors) - len(SPECIALS),
            "dim": self.dim,
        }

    def save(self, out: Writer) -> None:
        """vectors.npy; the vocabulary is the caller's to write."""
        out.array("vectors.npy", np.ascontiguousarray(self.vectors))

    @classmethod
    def load(cls, reader: Reader) -> Vectors:
        """As a memory map; with the vocabulary, if the directory has vocab.txt."""
        return cls(load_vocab(reader), reader.array("vectors.npy"))


def load_vocab(reader: Reader) -> Vocabulary | None:
    if "vocab.txt" not in reader:
        return None
    return Vocabulary.from_text(reader.text("vocab.txt"), reader.path("vocab.txt"))
