"""jieba's dictionary and hidden Markov model, read from the files of the package, which is not imported.

jieba itself keeps the dictionary as a Python dict, unmarshalled from a file in the temporary directory that
everyone may have written. Here it is a trie in arrays (see jieba_kernels.py), made from `dict.txt` in a third of
a second, so there is nothing to cache. Frequencies, totals and the suggestion for a word without a
frequency are jieba's own arithmetic.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import math
import warnings
from collections.abc import Sequence
from copy import copy
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.errors import UsageError
from textdl.tokenizers import jieba_kernels as kernels
from textdl.tokenizers.user_dictionary import Entry

_IMPOSSIBLE = -3.14e100  # a character that the model has not seen in a state


class Dictionary:
    """Words and their frequencies. `words_of_jieba()` makes one, `with_entries` another with more words."""

    def __init__(self) -> None:
        self.total = 0
        """The sum of all frequencies ever given, as jieba counts it."""
        self._nodes = 1
        self._keys = np.full(2, -1, np.int64)
        self._children = np.zeros(2, np.int32)
        self._roots = np.zeros(1 << 16, np.int32)
        self._frequencies = np.zeros(1, np.int64)
        self._logs = np.full(1, kernels.NO_WORD)
        self._forced = np.zeros(1, np.bool_)

    def with_entries(self, entries: Sequence[Entry]) -> Dictionary:
        """A copy with the words of a user dictionary. An entry without a frequency gets the one that jieba suggests for it."""
        made = copy(self)
        for name in ("_keys", "_children", "_roots", "_frequencies", "_logs", "_forced"):
            setattr(made, name, getattr(self, name).copy())
        made._reserve(sum(len(entry.word) for entry in entries))
        for entry in entries:
            given = entry.frequency
            made.add([entry.word], [made.suggest(entry.word) if given is None else given])
            if given == 0:
                made._forced[made._find(entry.word)] = True
        return made

    def add(self, words: Sequence[str], frequencies: Sequence[int]) -> None:
        """Add words that are not empty, or change their frequencies."""
        offsets = np.zeros(len(words) + 1, np.int64)
        np.cumsum(list(map(len, words)), out=offsets[1:])
        self._reserve(int(offsets[-1]))
        nodes = np.empty(len(words), np.int64)
        self._nodes = kernels.insert(
            self._keys, self._children, self._roots, self._nodes, code_points("".join(words)), offsets, nodes
        )
        self._frequencies[nodes] = frequencies  # the last one wins where a word is given twice
        self._logs[nodes] = [math.log(f) if f else kernels.NO_WORD for f in frequencies]
        self.total += sum(frequencies)

    def _reserve(self, letters: int) -> None:
        """Room for words with so many letters together; the table stays at most half full."""
        need = self._nodes + letters
        if need > len(self._frequencies):
            more = max(need, len(self._frequencies) * 9 // 8) - len(self._frequencies)
            self._frequencies = np.append(self._frequencies, np.zeros(more, np.int64))
            self._logs = np.append(self._logs, np.full(more, kernels.NO_WORD))
            self._forced = np.append(self._forced, np.zeros(more, np.bool_))
        if 2 * need > len(self._keys):
            self._resize(need)

    def _resize(self, nodes: int) -> None:
        slots = 1 << (2 * nodes).bit_length()
        if slots == len(self._keys):
            return
        keys, children = np.full(slots, -1, np.int64), np.zeros(slots, np.int32)
        kernels.rehash(self._keys, self._children, keys, children)
        self._keys, self._children = keys, children

    def _trim(self) -> None:
        self._frequencies = self._frequencies[: self._nodes].copy()
        self._logs = self._logs[: self._nodes].copy()
        self._forced = self._forced[: self._nodes].copy()
        self._resize(self._nodes)

    def _find(self, word: str) -> int:
        return int(kernels.find(self._keys, self._children, code_points(word), 0, len(word)))

    def frequency(self, word: str) -> int | None:
        """0: only the beginning of words; None: not even that."""
        node = self._find(word)
        return None if node == -1 else int(self._frequencies[node])

    def replace(self, word: str, frequency: int) -> None:
        """Give a word that is here another frequency, and the total what that makes of it."""
        node = self._find(word)
        self.total += frequency - int(self._frequencies[node])
        self._frequencies[node] = frequency
        self._logs[node] = math.log(frequency) if frequency else kernels.NO_WORD

    def suggest(self, word: str) -> int:
        """The frequency that jieba thinks makes a word come out whole (its `suggest_freq`)."""
        share = 1.0
        for part in self.cut(word, hmm=False):
            frequency = self.frequency(part)
            share *= (1 if frequency is None else frequency) / float(self.total)
        known = self.frequency(word)
        return max(int(share * self.total) + 1, 1 if known is None else known)

    def cut(self, line: str, *, hmm: bool) -> list[str]:
        """Exact mode. All of the line at once: some 30 bytes a character."""
        ends = self._ends(code_points(line), hmm).tolist()
        return [line[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    def cut_for_search(self, line: str, *, hmm: bool) -> list[str]:
        """Search mode: the shorter words inside a word come before it."""
        letters = code_points(line)
        spans = np.empty((3 * len(letters), 2), np.int32)
        cuts = self._ends(letters, hmm)
        pieces = kernels.words_within(letters, cuts, self._keys, self._children, self._logs, spans)
        return [line[a:b] for a, b in spans[:pieces].tolist()]

    def words_from(self, block: str) -> list[list[int]]:
        """For each character, where the words end that begin with it; it alone where none does."""
        letters = code_points(block)
        offsets = np.empty(len(letters) + 1, np.int64)
        ends = np.empty(4 * len(letters), np.int32)
        while (found := kernels.words_from(letters, self._keys, self._children, self._logs, offsets, ends)) < 0:
            ends = np.empty(2 * len(ends), np.int32)
        all_ends, at = ends[:found].tolist(), offsets.tolist()
        return [all_ends[a:b] for a, b in pairwise(at)]

    def _ends(self, letters: NDArray[np.uint32], hmm: bool) -> NDArray[np.int32]:
        ends = np.empty(len(letters), np.int32)
        pieces = kernels.segment(
            letters, self._keys, self._children, self._roots, self._logs, self._forced, math.log(self.total),
            emissions(), hmm, ends,
        )  # fmt: skip
        return ends[:pieces]


def code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@functools.cache
def words_of_jieba() -> Dictionary:
    """The dictionary that comes with jieba; shared, so never added to."""
    made = Dictionary()
    with (_package() / "dict.txt").open(encoding="utf-8", newline="\n") as file:
        while lines := [line.split(" ", 2) for line in islice(file, 1 << 12)]:  # in parts, to hold little at a time
            made.add([fields[0] for fields in lines], [int(fields[1]) for fields in lines])
    made._trim()
    return made


@functools.cache
def emissions() -> NDArray[np.float64]:
    """(Han characters, 4) log-probabilities in the states B, M, E, S."""
    path = _package() / "finalseg" / "prob_emit.py"
    spec = importlib.util.spec_from_file_location("textdl_jieba_prob_emit", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)  # nothing but one dict
    table = np.full((kernels.LAST_HAN - kernels.FIRST_HAN + 1, 4), _IMPOSSIBLE)
    for state, letter in enumerate("BMES"):
        for character, logarithm in module.P[letter].items():
            if kernels.FIRST_HAN <= ord(character) <= kernels.LAST_HAN:
                table[ord(character) - kernels.FIRST_HAN, state] = logarithm
    return table


@functools.cache
def version() -> dict[str, str]:
    """What of jieba is used, for a fingerprint."""
    digest = hashlib.sha256((_package() / "dict.txt").read_bytes())
    return {"jieba": importlib.metadata.version("jieba"), "dictionary": digest.hexdigest()[:12]}


@functools.cache
def _package() -> Path:
    spec = importlib.util.find_spec("jieba")  # finds it without importing it
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("--tokenizer jieba: the package jieba is not installed. Run `pip install jieba==0.42.1`.")
    return Path(spec.submodule_search_locations[0])
