"""An ARPA file becomes a model.

Loading goes through the file once, in blocks. Lines as they nearly always are go through compiled loops
(arpa_kernels.py); a line that these do not take is read, or refused, by the plain reader that `read` is, too. A
section is collected in sorted runs, which are merged when it ends (an ARPA file may be in any order: lmplz sorts by
the last word first), and leaves only its keys in memory, in which the next section looks up its contexts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl import scratch
from textdl.encoded import BOS, EOS, UNK
from textdl.errors import ModelError
from textdl.ngram import arpa_kernels
from textdl.ngram.arpa import LN10, ZERO, Lines, Opener, ngrams, plain_or_gz, wrong
from textdl.ngram.model import NgramModel
from textdl.ngram.packed import LogBlock, pack
from textdl.protocols import Run
from textdl.vocabulary import SPECIALS, Vocabulary

_BLOCK = 1 << 20
"""n-grams packed at a time."""
_TEXT = 1 << 22
"""Bytes of a file at a time."""
_MISSING = -100.0
"""log10 p of an <unk> that the file lacks: KenLM's default."""
_RUN = 1 << 20
"""n-grams that are sorted at a time, at least."""
_SAMPLED = 1 << 12
"""Of so many keys of a run one is looked at, to merge runs."""
_IN_MEMORY = 1 << 22
"""n-grams of a model that is not packed into files."""


def load(path: Path, *, opened: Opener = plain_or_gz, run: Run | None = None) -> tuple[NgramModel, Vocabulary]:
    """A model that says what an ARPA file says, and its vocabulary: the words as they stand, in the order of the file.

    While the file is read an n-gram takes 8 bytes of memory, up to 24 in the section that is being read, and 16 of
    disk in $TMPDIR. A model of more than four million n-grams is in files there, mapped, as long as it is kept.

    Args:
        opened: see `read`.
        run: is told how far it is, and what the file lacks.

    Raises:
        UsageError: there is no such file.
        ModelError: it is not an ARPA file, with the number of the line.
    """
    run = run or Run()
    with scratch.temporary("arpa") as directory:
        loader = _Loader(path, opened, directory, run)
        try:
            loader.read()
        except ModelError as error:
            told = isinstance(error.__cause__, (EOFError, zlib.error, OSError))
            if not told and (damage := _damage(path, opened)):
                raise ModelError(f"{error}. The compressed data is damaged ({damage}): copy it again.") from error
            raise
        return NgramModel(pack(loader, run=run)), Vocabulary(loader.words)


def _damage(path: Path, opened: Opener) -> str:
    """What the checksum of a compressed file says, which comes at its end; nothing where it is whole."""
    with opened(path) as file:
        try:
            while file.read(_TEXT):
                pass
        except (EOFError, zlib.error, OSError) as error:
            return str(error)
    return ""


class _Loader:
    """Brings the n-grams of a file into order, and is then what `pack` takes."""

    smoothing: None = None

    def __init__(self, path: Path, opened: Opener, directory: Path, run: Run):
        self._path, self._opened, self._directory, self._run = path, opened, directory, run
        self._announced: list[int] = []
        self._unigrams: list[tuple[str, float, float, int]] = []
        """word, log10 p, log10 back-off, line."""
        self._ids: dict[str, int] = {}
        self._table: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32]]
        self._numbers = np.empty(0, np.int32)
        """The ids of the words by their place in the table."""
        self._levels: list[_Level] = []
        """From order 2."""
        self._searched = _searched([])
        """All but the last."""

    @property
    def words(self) -> list[str]:
        """In the order of their ids, without specials."""
        return [word for word, number in self._ids.items() if number > EOS]

    @property
    def on_disk(self) -> bool:
        """Whether the packed model should be in files, too."""
        return sum(self.sizes) > _IN_MEMORY

    @property
    def statistics(self) -> list[dict[str, int]]:
        return [{"ngrams": size} for size in self._announced]

    def read(self) -> None:
        """The whole file."""
        for order, line in ngrams(self._path, self._opened, self._announced, self._in_bulk):
            p, backoff = line.numbers(order)
            if order == 1:
                self._unigrams.append((line.fields[1], p, backoff, line.number))
                continue
            self._begin(order)
            words = line.fields[1 : order + 1]
            try:
                ids = [self._ids[word] for word in words]
            except KeyError as error:
                raise line.error(f"expected words that are 1-grams ({error.args[0]!r} is none)") from None
            self._add(np.array([ids], np.int32), np.array([p]), np.array([backoff]))
        self._begin(len(self._announced))
        if self._levels:
            self._end()
        for level in self._levels:
            level.keys = np.empty(0, np.uint64)
        self.order = 1 + len(self._levels)
        self.sizes = [self.vocab_size, *(level.size for level in self._levels)]

    def _in_bulk(self, order: int, lines: Lines, left: int) -> int:
        """See `ngrams`."""
        if order == 1:
            return 0
        self._begin(order)
        taken = 0
        while taken < left:
            if lines.at == len(lines.block) and not lines.fill():
                break
            text = np.frombuffer(lines.block, np.uint8)
            rows = min(left - taken, len(text) // (2 * order + 2) + 1)
            ids, p, backoff = np.empty((rows, order), np.int32), np.empty(rows), np.empty(rows)
            found, at, passed = arpa_kernels.parse(text, lines.at, order, *self._table, ids, p, backoff)
            lines.at, lines.number = at, lines.number + passed
            self._add(self._numbers[ids[:found]], p[:found], backoff[:found])
            taken += found
            done = sum(self._announced[: order - 1]) + self._levels[-1].rows
            self._run.progress("reading", done, sum(self._announced), "n-grams", f"{order}-grams")
            if found < rows and at < len(text):
                break  # a line to be looked at
        return taken

    def _begin(self, order: int) -> None:
        """Sections up to that of an order: the words are known, and the levels before it whole."""
        if not self._ids:
            self._vocabulary()
        while 1 + len(self._levels) < order:
            if self._levels:
                self._end()
            below = self._levels[-1].size if self._levels else self.vocab_size
            n = 2 + len(self._levels)
            self._searched = _searched(self._levels)
            self._levels.append(_Level(n, below, self.vocab_size, n == len(self._announced), self._directory))

    def _vocabulary(self) -> None:
        """Give every word its id: the specials', then as in the file. <UNK> is <unk> where that is not there."""
        if not self._unigrams:
            raise ModelError(f"{self._path} has no 1-grams: it is no model.")
        known = {word for word, *_ in self._unigrams}
        specials = dict(zip(SPECIALS, (UNK, BOS, EOS), strict=True))
        if "<unk>" not in known:
            specials["<UNK>"] = UNK
        following = len(SPECIALS)
        for word, _, _, number in self._unigrams:
            if word in self._ids:
                raise wrong(self._path, number, "expected every 1-gram once", word)
            self._ids[word] = specials.get(word, following)
            following += word not in specials
        for name in ("<unk>", "</s>"):
            if specials[name] not in (self._ids.get(word) for word in specials):
                self._run.note(f"{self._path} has no {name}: it is given log10 p = {_MISSING:g}, as KenLM does.")
        written = [word.encode() for word in self._ids]
        ends = np.zeros(len(written) + 1, np.int64)
        np.cumsum([len(word) for word in written], out=ends[1:])
        slots = np.full(1 << (2 * len(written)).bit_length(), -1, np.int32)
        self._table = np.frombuffer(b"".join(written), np.uint8), ends, slots
        arpa_kernels.enter_words(*self._table)
        self._numbers = np.fromiter(self._ids.values(), np.int32)
        self.vocab_size = following
        self.unigram = np.full(following, _MISSING * LN10)
        self._backoff = np.zeros(following, np.float32)
        self.unigram[self._numbers] = _natural(np.array([p for _, p, _, _ in self._unigrams]))
        self.unigram[BOS] = -np.inf
        self._backoff[self._numbers] = _natural(np.array([weight for _, _, weight, _ in self._unigrams]))
        self._unigrams.clear()

    def _add(self, ids: NDArray[np.int32], p: NDArray[np.float64], backoff: NDArray[np.float64]) -> None:
        """n-grams (rows, n) to the last level, with log10 p and back-off."""
        logp, weight = _natural(p), _natural(backoff)
        logp[ids[:, -1] == BOS] = -np.inf  # nobody predicts <s>
        level = self._levels[-1]
        keys = np.empty(len(ids), np.uint64)
        start = 0
        while start < len(ids):
            found = start + arpa_kernels.resolve(ids[start:], level.bits, *self._searched, keys[start:])
            level.append(keys[start:found], logp[start:found], weight[start:found])
            if found < len(ids):  # its beginning is missing
                level.strays.append((ids[found], float(logp[found]), float(weight[found])))
            start = found + 1

    def _end(self) -> None:
        """The last level is whole: give strays the contexts they lack, bring it into order, count its parents' children."""
        level = self._levels[-1]
        if level.strays:
            ids = np.stack([stray[0] for stray in level.strays])
            for n in range(2, level.order):  # from the shortest up
                here = self._levels[n - 2]
                keys = self._keys(np.ascontiguousarray(ids[:, :n]))
                moved = here.insert(np.setdiff1d(keys, here.keys))
                self._levels[n - 1].renumber(moved, here.size)
            logs = np.array([stray[1:] for stray in level.strays], np.float32)
            level.strays = []
            level.append(self._keys(ids), logs[:, 0], logs[:, 1])
        twice = level.finish()
        if twice is not None:
            self._refuse_twice(self._spelled(twice))

    def _keys(self, ids: NDArray[np.int32]) -> NDArray[np.uint64]:
        """Of n-grams whose contexts are all there."""
        keys, n = np.empty(len(ids), np.uint64), ids.shape[1]
        found = arpa_kernels.resolve(ids, self._levels[0].bits, *_searched(self._levels[: n - 2]), keys)
        assert found == len(ids)
        return keys

    def _spelled(self, key: int) -> list[int]:
        """The words of an n-gram of the last level."""
        ids: list[int] = []
        for level in self._levels[::-1]:
            ids.append(key & ((1 << level.bits) - 1))
            parent = key >> level.bits
            key = int(self._levels[level.order - 3].keys[parent]) if level.order > 2 else parent
        return [key, *ids[::-1]]

    def _refuse_twice(self, ids: list[int]) -> None:
        """Say in which lines an n-gram is."""
        numbers = []
        for order, line in ngrams(self._path, self._opened):
            if order == len(ids) and [self._ids.get(word) for word in line.fields[1 : order + 1]] == ids:
                numbers.append(line.number)
                if len(numbers) == 2:
                    break
        first, second = numbers
        raise ModelError(
            f"{self._path}, line {second}: the same {len(ids)}-gram as in line {first}; expected each once."
        )

    def blocks(self, n: int) -> Iterator[LogBlock]:
        """Level n, for `pack`."""
        size = self.sizes[n - 1]
        level = self._levels[n - 2] if n > 1 else None
        above = self._levels[n - 1] if n < self.order else None
        for start in range(0, size, _BLOCK):
            k = min(_BLOCK, size - start)
            if level is None:
                word, logp = (
                    np.arange(start, start + k, dtype=np.int32),
                    self.unigram[start : start + k].astype(np.float32),
                )
                backoff = self._backoff[start : start + k]
            else:
                word, logp, backoff = (
                    level.column("word", start, k),
                    level.column("logp", start, k),
                    np.zeros(k, np.float32),
                )
                if above is not None:
                    backoff = level.column("backoff", start, k)
            children = np.zeros(k, np.int32) if above is None else above.column("children", start, k)
            none = np.empty(0)
            yield LogBlock(word, np.ones(k, np.int64), children, np.zeros(k, np.bool_), none, none, logp, backoff)


def _natural(log10: NDArray[np.float64]) -> NDArray[np.float32]:
    """Natural logarithms; what stands for log10 of 0 is -inf."""
    return np.where(log10 <= ZERO, -np.inf, log10 * LN10).astype(np.float32)


_Searched = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _searched(levels: Sequence[_Level]) -> _Searched:
    """Levels 2, 3, .. as `arpa_kernels.resolve` takes them; they must be kept and stay as they are."""
    rows = np.zeros((3, 2 + len(levels)), np.int64)
    starts = np.zeros((2 + len(levels), arpa_kernels.BUCKETS + 1), np.int64)
    for m, level in enumerate(levels, 2):
        rows[:, m] = level.keys.ctypes.data, level.size, level.shift
        starts[m] = level.starts
    return rows[0], rows[1], rows[2], starts


class _Level:
    """The n-grams of one order: as they come, in sorted runs; when it is whole, in files but for the keys.

    The key of an n-gram is the place of its first n - 1 words in the level below << bits | its last word.
    """

    def __init__(self, order: int, below: int, vocab_size: int, highest: bool, directory: Path):
        """below: how many n-grams the order below has."""
        self.order, self.bits = order, (vocab_size - 1).bit_length()
        self._below, self._highest, self._directory = below, highest, directory
        self.rows = 0
        """n-grams that came."""
        self.keys, self._logp = np.empty(0, np.uint64), np.empty(0, np.float32)
        self._backoff = np.empty(0, np.float32)
        self._runs = [0]
        """Where runs begin, and where the last one ends."""
        self.strays: list[tuple[NDArray[np.int32], float, float]] = []
        """Words, log p, back-off of n-grams whose first n - 1 words are no n-gram of the file."""
        self.size = self.shift = 0
        self.starts = np.empty(0, np.int64)
        """`arpa_kernels.index` of the keys."""

    # as they come

    def append(self, keys: NDArray[np.uint64], logp: NDArray[np.float32], backoff: NDArray[np.float32]) -> None:
        end = self.rows + len(keys)
        if end > len(self.keys):
            room = max(end, min(2 * self.rows, self.rows + 2 * _RUN))
            self.keys.resize(room, refcheck=False)  # in place, as far as the system can
            self._logp.resize(room, refcheck=False)
            self._backoff.resize(0 if self._highest else room, refcheck=False)
        self.keys[self.rows : end], self._logp[self.rows : end] = keys, logp
        if not self._highest:
            self._backoff[self.rows : end] = backoff
        self.rows = end
        if end - self._runs[-1] >= _RUN:
            self._sort()

    def _sort(self) -> None:
        """What came since the last run becomes one, or a part of the last where it goes on."""
        begin = self._runs[-1]
        run = slice(begin, self.rows)
        if (self.keys[run][1:] < self.keys[run][:-1]).any():
            by = np.argsort(self.keys[run], kind="stable")
            self.keys[run], self._logp[run] = self.keys[run][by], self._logp[run][by]
            if not self._highest:
                self._backoff[run] = self._backoff[run][by]
        if len(self._runs) > 1 and begin < self.rows and self.keys[begin] >= self.keys[begin - 1]:
            self._runs.pop()
        self._runs.append(self.rows)

    # when it is whole

    def finish(self) -> int | None:
        """Merge the runs into files. Returns a key that came twice, if there is one."""
        self._sort()
        self.size = self.rows
        in_order = len(self._runs) == 2
        merged = self.keys if in_order else np.empty(0 if self._highest else self.rows, np.uint64)
        children = np.zeros(self._below, np.int32)
        done, last = 0, -1
        with ExitStack() as stack:
            word_file, logp_file, backoff_file = (
                stack.enter_context(self._file(name).open("wb")) for name in ("word", "logp", "backoff")
            )
            for keys, logp, backoff in self._merged():
                twice = np.flatnonzero(keys[1:] == keys[:-1])
                if len(twice) or int(keys[0]) == last:
                    return int(keys[twice[0]]) if len(twice) else last
                last = int(keys[-1])
                if not in_order and not self._highest:
                    merged[done : done + len(keys)] = keys
                done += len(keys)
                self._count_children(keys, children)
                word_file.write(self._words(keys).data)
                logp_file.write(logp.data)
                backoff_file.write(backoff.data)
        children.tofile(self._file("children"))
        merged.resize(0 if self._highest else self.rows, refcheck=False)
        self.keys, self._logp, self._backoff = merged, np.empty(0, np.float32), np.empty(0, np.float32)
        self._index()
        return None

    def _merged(self) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.float32]]]:
        """All n-grams in order, about a run at a time: of every run what is below the next of some keys."""
        runs = list(pairwise(self._runs))
        samples = np.sort(np.concatenate([self.keys[begin:end:_SAMPLED] for begin, end in runs]))
        at = [begin for begin, _ in runs]
        for bound in [*samples[_RUN // _SAMPLED :: _RUN // _SAMPLED], None]:
            parts = []
            for i, (_, end) in enumerate(runs):
                until = end if bound is None else at[i] + int(np.searchsorted(self.keys[at[i] : end], bound))
                parts.append(slice(at[i], until))
                at[i] = until
            columns = [
                np.concatenate([column[part] for part in parts]) for column in (self.keys, self._logp, self._backoff)
            ]
            if len(columns[0]) == 0:
                continue
            if len(runs) > 1:
                by = np.argsort(columns[0], kind="stable")
                columns = [column[by] if len(column) else column for column in columns]
            yield columns[0], columns[1], columns[2]

    def _words(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        return (keys & np.uint64((1 << self.bits) - 1)).astype(np.int32)

    def _count_children(self, keys: NDArray[np.uint64], children: NDArray[np.int32]) -> None:
        """Add to children (below,) those that keys are, which are sorted."""
        parents = (keys >> np.uint64(self.bits)).astype(np.int64)
        if len(parents):
            counted = np.bincount(parents - parents[0])
            children[parents[0] : parents[0] + len(counted)] += counted.astype(np.int32)

    def _index(self) -> None:
        total = max(self._below - 1, 0).bit_length() + self.bits
        self.shift = max(0, total - arpa_kernels.BUCKETS.bit_length() + 1)
        self.starts = np.zeros(arpa_kernels.BUCKETS + 1, np.int64)
        arpa_kernels.index(self.keys, self.shift, self.starts)

    def _file(self, name: str) -> Path:
        return self._directory / f"{self.order}-{name}"

    def column(self, name: str, start: int, count: int) -> NDArray[Any]:
        """Of n-grams start.. the `word`, `logp` or `backoff`; or, of those one order below, how many `children` are here."""
        dtype = np.dtype(np.int32 if name in ("word", "children") else np.float32)
        return np.fromfile(self._file(name), dtype, count, offset=start * dtype.itemsize)

    # where contexts are missing, which is rare

    def insert(self, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Add n-grams that are only contexts to a level that is whole. Returns the new places of those that were there."""
        merged = np.sort(np.concatenate([self.keys, keys]))
        moved = np.searchsorted(merged, self.keys)
        for name, missing in (("logp", np.nan), ("backoff", 0.0)):
            column = np.full(len(merged), missing, np.float32)
            column[moved] = self.column(name, 0, self.size)
            column.tofile(self._file(name))
        self.keys, self.size = merged, len(merged)
        self._words(merged).tofile(self._file("word"))
        self._recount()
        return moved.astype(np.uint64)

    def renumber(self, moved: NDArray[np.uint64], below: int) -> None:
        """The level below has other places now: moved[i] for i; it has `below` n-grams."""
        self._below = below
        mask = np.uint64((1 << self.bits) - 1)
        keys = self.keys[: self.rows if self.size == 0 else self.size]
        for start in range(0, len(keys), _RUN):
            part = keys[start : start + _RUN]
            part[:] = moved[part >> np.uint64(self.bits)] << np.uint64(self.bits) | part & mask
        if self.size:
            self._recount()

    def _recount(self) -> None:
        children = np.zeros(self._below, np.int32)
        self._count_children(self.keys, children)
        children.tofile(self._file("children"))
        self._index()
