"""Counting all n-grams up to an order: the positions of a text, sorted by the words that begin there.

Positions are grouped by their first word; ranges of first words are tasks that threads take. In a task
positions are sorted by as many further words as fit a 64-bit key beside the number of their group and
their own number, in batches that fit the cache (np.sort on plain uint64 is vectorised); positions that
are then still equal to a neighbour are sorted by the next words, and so on. One walk over the sorted
positions then writes the n-grams of all orders in the order of their words: with how often each occurs,
how many different words come before it (its adjusted count), and how many children it has. Nothing is
hashed, and no order has too many words for a key.

Lines are read as <s> w1 .. wk </s>, blank ones as <s> </s>. No n-gram crosses a line end.

Where that does not fit the memory that is allowed, one pass over the text writes what lies around each
position, (word before, w1 .. wN), to files by ranges of w1. Such a file is a small text in which
positions are N + 1 apart, and a task like any other; the counts go to files, too. A file that is still
too large is distributed by its next word and walked through part after part. The result is the same.
"""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from textdl import scratch
from textdl.encoded import BOS, EOS, Encoded
from textdl.errors import CorpusError, UsageError
from textdl.memory import free_memory
from textdl.ngram import counting_kernels as kernels
from textdl.ngram.levels import Column, Counts, FilePart, Part, slices
from textdl.protocols import Run

_BATCH = 1 << 17
"""Positions that are sorted at once: keys of 1 MB."""
_WALK = 1 << 16
"""Positions a call of the walk: under 0.2 s, and the size of a part."""
_TASK = 1 << 20
"""Positions a task in memory, if no one word has more."""
_LEAST = 1 << 16
"""Records of a task on disk, however little memory there is."""
_FILES = 64
"""Files that records are distributed to at once."""
_READ = 1 << 20
"""Positions read or marked at once."""
_USED = 0.75
"""Of the memory of a thread that counts files; the rest is what malloc cannot use again."""
_BITS = 22
"""Bits that a packed n-gram takes beside its word, about."""


@dataclass(frozen=True)
class _Plan:
    """What is the same for all tasks."""

    order: int
    vocab_size: int
    adjust: bool
    """Whether counts below the highest order are numbers of different words before."""
    thresholds: tuple[int, ...]

    @property
    def word_bits(self) -> int:
        return _bits(self.vocab_size - 1)

    @property
    def id_type(self) -> np.dtype[Any]:
        """The narrowest type of an id."""
        return np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.int32)

    def wants_raw(self, n: int) -> bool:
        """Whether pruning needs how often n-grams of order n occur beside their counts."""
        return self.adjust and n < self.order and self.thresholds[n - 1] > 0


@dataclass
class _Result:
    """The n-grams that a task has found: parts of the columns of each level from 2, and the level of words."""

    word: list[list[Part]]
    count: list[list[Part]]
    children: list[list[Part]]
    raw: list[list[Part]]
    tally: NDArray[np.int64]
    """See `counting_kernels.emit`."""
    unigrams: list[NDArray[np.int64]] = field(default_factory=list)
    """(3, nodes) word, count, children."""


def count(
    lines: Encoded,
    order: int,
    run: Run,
    *,
    adjust: bool = True,
    thresholds: Sequence[int] = (),
    memory: int | None = None,
    workers: int = 0,
) -> Counts:
    """Every n-gram of 1..order words in the lines, with its counts.

    Args:
        adjust: count an n-gram below the highest order by the different words before it (Kneser-Ney),
            unless it begins with <s>; else by its occurrences. <s> itself has the count 0.
        thresholds: for each order, how often n-grams may occur and be pruned; they are counted here all the same.
        memory: bytes that the process should stay below; None: half of what is free.
        workers: threads; 0: one for each core. The result does not depend on it.

    Raises:
        CorpusError: there is no line, or no room on disk.
    """
    if len(lines) == 0:
        raise CorpusError("An n-gram model was to be trained on no lines at all. Give it a corpus with text.")
    plan = _Plan(order, lines.vocab_size, adjust, tuple(thresholds) or (0,) * order)
    workers = workers or cores()
    occurs = _occurrences(lines)
    if order == 1:
        return _collect(plan, occurs, [])
    memory = free_memory() // 2 if memory is None else memory
    free = memory - resident_memory() - _reserve(plan, int(occurs.sum()))
    if _memory_needed(plan, lines, workers) <= free:
        return _collect(plan, occurs, _count_in_memory(plan, lines, occurs, workers, run))
    workers = max(1, min(workers, free // _thread_memory(plan, _LEAST)))
    directory = None
    try:
        directory = scratch.make("ngram")
        results = _count_on_disk(plan, lines, occurs, free, workers, directory, run)
    except BaseException as error:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError):
            needed = 2 * (order + 1) * plan.id_type.itemsize * int(occurs.sum())
            raise CorpusError(
                f"Counting the n-grams of {lines.tokens:,} tokens, which do not fit {memory:,} bytes of memory, needs "
                f"some {needed:,} bytes in {directory or 'a temporary directory'}, and writing there failed: "
                f"{error.strerror or error}. Make room there, set TMPDIR to a directory on a larger disk, or allow "
                "more --memory."
            ) from error
        raise
    found = _collect(plan, occurs, results)
    found.directory = directory
    weakref.finalize(found, shutil.rmtree, directory, ignore_errors=True)
    return found


def check_memory(memory: int, lines: Encoded, order: int, workers: int = 0) -> None:
    """Raises UsageError where `count` could not stay below so many bytes. Ask when kernels are compiled."""
    plan = _Plan(order, lines.vocab_size, True, (0,) * order)
    held = resident_memory()
    on_disk = max(_thread_memory(plan, _LEAST), _packing_memory(plan))
    needed = min(on_disk, _memory_needed(plan, lines, workers or cores()))
    least = held + _reserve(plan, lines.tokens + 2 * len(lines)) + needed
    if order > 1 and memory < least:
        raise UsageError(
            f"--memory {memory / 1e6:.0f}M: the process holds {held / 1e6:.0f} MB before it counts, with the kernels, "
            f"the vocabulary of {lines.vocab_size:,} and what it knows of the text. Give --memory "
            f"{-(-least // 10_000_000) * 10}M or more."
        )


def compile_kernels() -> None:
    """Go once through what `count` may call, so that the time it takes to compile is told apart."""
    _count_in_memory(_Plan(3, 4, True, (0, 0, 0)), Encoded.from_lines([[3], [3]], 4), np.array([0, 2, 2, 2]), 1, Run())
    stream, free = np.array([EOS, BOS, EOS, BOS], np.int32), np.zeros(2, np.int64)
    kernels.histogram(stream, 1, 1, 1, 0, np.zeros(4, np.int64))
    kernels.distribute(stream, 1, 1, 1, 0, 3, np.zeros(4, np.int32), free, np.empty((1, 3), np.int32))


def _occurrences(lines: Encoded) -> NDArray[np.int64]:
    """(V,) how often each word occurs, with <s> and </s> once a line."""
    counts = np.zeros(lines.vocab_size, np.int64)
    for start in range(0, lines.tokens, _READ):
        found = np.bincount(lines.ids[start : start + _READ], minlength=lines.vocab_size)
        assert len(found) == lines.vocab_size, "an id beyond the vocabulary"
        counts += found
        _let_go(lines.ids)
    assert counts[BOS] == counts[EOS] == 0, "<s> and </s> are not stored"
    counts[BOS] = counts[EOS] = len(lines)
    return counts


def _collect(plan: _Plan, occurs: NDArray[np.int64], results: Sequence[_Result]) -> Counts:
    """Join what the tasks have found, in their order, and count the counts."""
    levels = range(plan.order + 1)
    counts = Counts(
        order=plan.order,
        vocab_size=plan.vocab_size,
        word=[Column(part for r in results for part in r.word[n]) for n in levels],
        count=[Column(part for r in results for part in r.count[n]) for n in levels],
        children=[Column(part for r in results for part in r.children[n]) for n in levels],
        raw=[Column(part for r in results for part in r.raw[n]) for n in levels],
        having=np.zeros((plan.order + 1, 5), np.int64),
        kept=np.zeros(plan.order + 1, np.int64),
        words=occurs,
        thresholds=plan.thresholds,
    )
    unigram_counts = occurs.copy() if plan.order == 1 or not plan.adjust else np.zeros_like(occurs)
    children = np.zeros(plan.vocab_size, np.int32)
    for result in results:
        for word, count, number in result.unigrams:
            unigram_counts[word] = count
            children[word] = number
    unigram_counts[BOS] = 0
    counts.word[1] = Column([np.arange(plan.vocab_size, dtype=plan.id_type)])
    counts.count[1] = Column([unigram_counts])
    counts.children[1] = Column([children] if plan.order > 1 else [])
    counts.having[1] = np.bincount(np.minimum(unigram_counts, 5), minlength=6)[:5]
    counts.kept[1] = plan.vocab_size
    for result in results:
        counts.having[2:] += result.tally[2:, :5]
        counts.kept[2:] += result.tally[2:, 6]
    return counts


# --- the walk


class _Counter:
    """One thread's: counts the n-grams that begin at positions given in the order of their first words."""

    def __init__(self, plan: _Plan, stopped: threading.Event):
        self.plan, self.stopped = plan, stopped
        rows = plan.order + 1
        self._cuts = np.array([0, *plan.thresholds], np.int64)
        self._stamps = np.zeros((plan.order, plan.vocab_size if plan.adjust else 1), np.int64)
        self._open = np.zeros((rows, 5), np.int64)
        self._progress = np.zeros(2, np.int64)
        self._made = np.zeros(rows, np.int64)
        self._out = (
            np.empty((rows, _WALK + 1), np.int32),
            np.empty((rows, _WALK + 1), np.int64),
            np.empty((rows, _WALK + 1), np.int64),
            np.empty((rows, _WALK + 1), np.int32),
        )
        self._records = np.empty((_WALK, rows), np.int32)
        self._slots = self._held = np.empty(0, np.int32)
        self._keys = np.empty(0, np.uint64)

    def begin(self, put: Callable[[NDArray[Any]], Part]) -> None:
        """A new task. put: where the columns go."""
        levels = range(self.plan.order + 1)
        self._put = put
        self._tally = np.zeros((len(levels), 7), np.int64)
        self._result = _Result(
            word=[[] for _ in levels],
            count=[[] for _ in levels],
            children=[[] for _ in levels],
            raw=[[] for _ in levels],
            tally=self._tally,
        )

    def add(self, stream: NDArray[np.int32], positions: NDArray[Any], shared: NDArray[np.uint8], depth: int) -> None:
        """Positions sorted by their first `depth` words; they become sorted by all."""
        shared[-1] = kernels.ENDED  # what comes next may share everything
        start = 0
        while start < len(positions) and not self.stopped.is_set():
            stop = kernels.batch_end(shared, start, len(positions), depth, _BATCH)
            self._sort(stream, positions, shared, start, stop, depth)
            if start == 0:
                shared[0] = kernels.resume(stream, positions[0], self._progress[0], self.plan.order, self._open)
            for i in range(start, stop, _WALK):
                end = min(i + _WALK, stop)
                kernels.gather(stream, positions, i, end, self._records)
                kernels.emit(
                    self._records, shared, i, end, self.plan.order, self.plan.adjust, self._cuts, self._stamps,
                    self._progress, self._open, self._made, self._tally, *self._out,
                )  # fmt: skip
                self._flush()
            start = stop

    def finish(self) -> _Result:
        kernels.close_all(
            self.plan.order, self.plan.adjust, self._cuts, self._progress, self._open, self._made, self._tally,
            *self._out,
        )  # fmt: skip
        self._flush()
        return self._result

    def _sort(
        self, stream: NDArray[np.int32], positions: NDArray[Any], shared: NDArray[np.uint8], start: int, end: int,
        depth: int,
    ) -> None:  # fmt: skip
        order, word_bits = self.plan.order, self.plan.word_bits
        while start < end and depth < order:
            stop = kernels.batch_end(shared, start, end, depth, _BATCH)
            size, groups = kernels.unsorted(shared, start, stop, depth)
            if size:
                index_bits = _bits(size - 1)
                words = min((64 - index_bits - _bits(groups - 1)) // word_bits, order - depth)
                assert words > 0, "2^17 positions leave room for a word, and so do 2^33 of one group"
                if len(self._keys) < size:
                    self._slots = np.empty(size, positions.dtype)
                    self._held = np.empty(size, positions.dtype)
                    self._keys = np.empty(size, np.uint64)
                kernels.pack_keys(
                    stream, positions, shared, start, stop, depth, words, word_bits, index_bits,
                    self._slots, self._held, self._keys,
                )  # fmt: skip
                self._keys[:size].sort()
                kernels.unpack_keys(
                    self._keys, size, depth, words, word_bits, index_bits, self._slots, self._held, positions, shared
                )
                self._sort(stream, positions, shared, start, stop, depth + words)
            start = stop

    def _flush(self) -> None:
        """Move what has been written to columns, in the narrowest types."""
        plan, result = self.plan, self._result
        word, count, raw, children = self._out
        for n in range(1, plan.order + 1):
            size = int(self._made[n])
            if size == 0:
                continue
            if n == 1:
                result.unigrams.append(np.array([word[1, :size], count[1, :size], children[1, :size]], np.int64))
                continue
            result.word[n].append(self._put(word[n, :size].astype(plan.id_type)))
            result.count[n].append(self._put(_narrow(count[n, :size])))
            if n < plan.order:
                result.children[n].append(self._put(_narrow(children[n, :size])))
            if plan.wants_raw(n):
                result.raw[n].append(self._put(_narrow(raw[n, :size])))
        self._made[:] = 0


def _in_threads(
    plan: _Plan, sizes: Sequence[int], task: Callable[[_Counter, int], _Result], workers: int, run: Run, total: int
) -> list[_Result]:
    """Results of task(counter, i) for every i, in order; the largest are begun first."""
    stopped = threading.Event()
    counters: SimpleQueue[_Counter] = SimpleQueue()
    for _ in range(workers):
        counters.put(_Counter(plan, stopped))

    def work(i: int) -> _Result:
        counter = counters.get()
        try:
            return task(counter, i)
        finally:
            counters.put(counter)

    done = 0
    with ThreadPoolExecutor(workers, "textdl-ngram") as pool:
        futures = {pool.submit(work, int(i)): int(i) for i in np.argsort(-np.asarray(sizes), kind="stable")}
        try:
            for future in as_completed(futures):
                future.result()
                done += sizes[futures[future]]
                run.progress("counting", done, total, "tokens")
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    results: dict[int, _Result] = {i: future.result() for future, i in futures.items()}
    return [results[i] for i in range(len(sizes))]


# --- in memory


def _count_in_memory(plan: _Plan, lines: Encoded, occurs: NDArray[np.int64], workers: int, run: Run) -> list[_Result]:
    total = int(occurs.sum())
    run.progress("counting", 0, total, "tokens")
    stream = np.full(1 + total + plan.order, BOS, np.int32)
    stream[0] = EOS
    cursor, at = np.zeros(3, np.int64), 1
    offsets = _fixed(lines.offsets, np.int64)
    while at < 1 + total:
        at = kernels.mark(_next_ids(lines, cursor), offsets, cursor, stream[: min(at + _READ, 1 + total)], at)
        _let_go(lines.ids)

    ends = np.cumsum(occurs)
    positions = np.empty(total, _position_type(len(stream)))
    _sort_by_word(stream, 1, 1 + total, ends - occurs, positions, workers)
    ranges = list(slices(occurs, _TASK))

    def task(counter: _Counter, i: int) -> _Result:
        words = np.arange(*ranges[i])[occurs[slice(*ranges[i])] > 0]
        counter.begin(lambda column: column)
        if len(words):
            begin, start, stop = ends[words] - occurs[words], ends[words[0]] - occurs[words[0]], ends[words[-1]]
            shared = np.ones(stop - start + 1, np.uint8)
            if words[0] <= EOS <= words[-1]:
                shared[ends[EOS] - occurs[EOS] - start : ends[EOS] - start] = kernels.ENDED
            shared[begin - start] = 0
            counter.add(stream, positions[start:stop], shared, 1)
        return counter.finish()

    return _in_threads(plan, [int(occurs[lo:hi].sum()) for lo, hi in ranges], task, workers, run, total)


def _sort_by_word(
    stream: NDArray[np.int32], start: int, stop: int, begin: NDArray[np.int64], positions: NDArray[Any], workers: int
) -> None:
    """Positions start..stop in the order of their words, stably: each thread places a part of the stream."""
    cuts = np.linspace(start, stop, workers + 1).astype(np.int64)
    parts = list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))

    def histogram(part: tuple[int, int]) -> NDArray[np.int64]:
        return np.bincount(stream[part[0] : part[1]], minlength=len(begin))

    def place(part: tuple[int, int], free: NDArray[np.int64]) -> None:
        for at in range(part[0], part[1], _READ):
            kernels.sort_by_word(stream, free, positions, at, min(at + _READ, part[1]))

    with ThreadPoolExecutor(workers, "textdl-ngram") as pool:
        frees = [begin]
        for counts in pool.map(histogram, parts):
            frees.append(frees[-1] + counts)
        list(pool.map(place, parts, [free.copy() for free in frees[:-1]]))


# --- on disk


def _count_on_disk(
    plan: _Plan, lines: Encoded, occurs: NDArray[np.int64], free: int, workers: int, directory: Path, run: Run
) -> list[_Result]:
    """Write records to files by their first word, then count file by file. free: bytes of memory for that."""
    total = int(occurs.sum())
    left = free // workers - _fixed_memory(plan)
    most = max(_LEAST, int(_USED * left) // _record_memory(plan))
    spill = _Spill(plan, directory, most)
    run.progress("counting", 0, 2 * total, "tokens")
    files = spill.distribute(_marked(lines, plan.order, spill.piece), occurs, 0, run)

    def task(counter: _Counter, i: int) -> _Result:
        path, size = files[i]
        with (directory / f"counts-{i}").open("wb") as out:
            counter.begin(lambda column: _write(out, column))
            spill.walk(counter, path, size, 0)
            return counter.finish()

    return _in_threads(plan, [size for _, size in files], task, workers, run, total)


@dataclass(frozen=True)
class _Text:
    """A piece of a text: `size` positions first, first + step .. of a stream."""

    stream: NDArray[np.int32]
    first: int
    step: int
    size: int


class _Spill:
    """Files of records (word before, w1 .. wN), each a small text."""

    def __init__(self, plan: _Plan, directory: Path, most: int):
        """most: records that fit the memory of one thread."""
        self.plan, self.directory, self.most = plan, directory, most
        self.width = plan.order + 1
        self.piece = min(_READ, max(most // 4, 1))
        self._names = itertools.count()

    def distribute(
        self, text: Iterator[_Text], counts: NDArray[np.int64], depth: int, run: Run | None = None
    ) -> list[tuple[Path, int]]:
        """Copy a text to files by ranges of the word at `depth`, which has `counts` (V,); with their sizes."""
        total = int(counts.sum())
        ranges = list(_ranges(counts, max(self.most, -(-total // _FILES))))
        bucket_of = np.repeat(np.arange(len(ranges), dtype=np.int32), [hi - lo for lo, hi in ranges])
        files = [(self.directory / f"text-{next(self._names)}", int(counts[lo:hi].sum())) for lo, hi in ranges]
        files_open: list[BinaryIO] = []
        try:
            files_open.extend(path.open("wb", buffering=0) for path, _ in files)
            done = 0
            records = np.empty((0, self.width), np.int32)
            for piece in text:
                if len(records) < piece.size:
                    records = np.empty((piece.size, self.width), np.int32)
                free = np.zeros(len(files) + 1, np.int64)
                kernels.distribute(
                    piece.stream, piece.first, piece.step, piece.size, depth, self.width, bucket_of, free, records
                )
                row = 0
                for file, end in zip(files_open, free.tolist(), strict=False):
                    if end > row:
                        _write(file, records[row:end].astype(self.plan.id_type))
                    row = end
                done += piece.size
                if run is not None:
                    run.progress("counting", done / 2, total, "tokens", "to disk")
        finally:
            for file in files_open:
                file.close()
        return files

    def walk(self, counter: _Counter, path: Path, size: int, depth: int) -> None:
        """Count a file, whose records have their first `depth` words in common, and remove it."""
        if counter.stopped.is_set():
            return
        if size > self.most and depth < self.plan.order:
            parts = self._split(counter, path, size, depth)
            for part, part_size in parts:
                self.walk(counter, part, part_size, depth)
            if not parts:
                self.walk(counter, path, size, depth + 1)
            return
        for piece in self._pieces(path, size, self.most):
            positions = np.arange(1, len(piece.stream), self.width, dtype=_position_type(len(piece.stream)))
            shared = np.zeros(piece.size + 1, np.uint8)
            counter.add(piece.stream, positions, shared, 0)
        path.unlink()

    def _split(self, counter: _Counter, path: Path, size: int, depth: int) -> list[tuple[Path, int]]:
        """Distribute a file by the word at `depth`; to no files if there is but one such word.

        A method of its own, so that what it needs for every word is gone before the files are counted.
        """
        counts = np.zeros(self.plan.vocab_size, np.int64)
        for piece in self._pieces(path, size, self.piece):
            if counter.stopped.is_set():
                return []
            kernels.histogram(piece.stream, piece.first, piece.step, piece.size, depth, counts)
        if counts.max() == size:
            return []
        parts = self.distribute(self._pieces(path, size, self.piece), counts, depth)
        path.unlink()
        return parts

    def _pieces(self, path: Path, size: int, most: int) -> Iterator[_Text]:
        """A file in texts of at most so many records. Each takes the place of the one before."""
        dtype = self.plan.id_type
        room = np.empty(min(most, size) * self.width, np.int32)
        for start in range(0, size, most):
            records = min(most, size - start)
            stream = room[: records * self.width]
            for at in range(0, len(stream), _READ):
                part = np.fromfile(
                    path, dtype, min(_READ, len(stream) - at), offset=(start * self.width + at) * dtype.itemsize
                )
                stream[at : at + len(part)] = part
            yield _Text(stream, 1, self.width, records)


def _marked(lines: Encoded, order: int, size: int) -> Iterator[_Text]:
    """The stream with its marks in pieces of `size` positions, each with a word before and `order` after."""
    stream = np.empty(1 + size + order, np.int32)
    stream[0] = EOS
    cursor, end = np.zeros(3, np.int64), 1
    offsets = _fixed(lines.offsets, np.int64)
    while True:
        while cursor[0] < len(lines) and end < len(stream):
            end = kernels.mark(_next_ids(lines, cursor), offsets, cursor, stream, end)
        _let_go(lines.ids)
        _let_go(lines.offsets)
        if cursor[0] == len(lines):
            break
        yield _Text(stream, 1, 1, size)
        stream[: 1 + order] = stream[size:].copy()
        end = 1 + order
    stream = np.append(stream[:end], np.full(order, BOS, np.int32))
    yield _Text(stream, 1, 1, end - 1)


def _ranges(counts: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Cut 0..len(counts) into ranges that have `most` together, or consist of one word that has more."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + most, "right")), start + 1)
        yield start, stop
        start = stop


def _write(file: BinaryIO, array: NDArray[Any]) -> FilePart:
    part = FilePart(file.name, file.tell(), array.dtype, array.size)
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    while len(data):
        data = data[file.write(data.data) :]
    return part


# --- memory


def _memory_needed(plan: _Plan, lines: Encoded, workers: int) -> int:
    """Bytes that counting in memory takes at most, about.

    The n-grams of each order, and beside them first the stream, the positions and the threads, then the packed model.
    """
    total = lines.tokens + 2 * len(lines)
    node = plan.id_type.itemsize + 3  # most counts and numbers of children are a byte
    nodes: int = sum(min(total, plan.vocab_size**n) for n in range(2, plan.order + 1))
    position = _position_type(total + 1 + plan.order).itemsize
    counting = total * (4 + position) + workers * (_fixed_memory(plan) + min(total, 4 * _TASK) * 20)
    packing = nodes * (plan.word_bits + _BITS) // 8 + _packing_memory(plan)
    return nodes * node + max(counting, packing)


def _packing_memory(plan: _Plan) -> int:
    """Bytes that come on top while n-grams are packed, to disk if they were counted there, and saved."""
    return 40_000_000 + 40 * plan.vocab_size


def _reserve(plan: _Plan, total: int) -> int:
    """Bytes for what is not reckoned with, and for where the columns of a text of so many tokens lie on disk."""
    return 10_000_000 + 450 * plan.order * (total // _WALK)


def _thread_memory(plan: _Plan, records: int) -> int:
    """Bytes that a thread needs to count files of so many records."""
    return _fixed_memory(plan) + int(records * _record_memory(plan) / _USED)


def _fixed_memory(plan: _Plan) -> int:
    """Bytes a thread needs whatever it counts."""
    return (plan.order + 1) * ((4 + 24) * _WALK + 8 * plan.vocab_size) + 20 * plan.vocab_size


def _record_memory(plan: _Plan) -> int:
    """Bytes a record of a task on disk takes: itself, its position, what it shares, its key.

    A file that is distributed again, in pieces of a quarter, needs less.
    """
    return 4 * (plan.order + 1) + 4 + 1 + 8 + 4 + 4


def resident_memory() -> int:
    """Bytes of memory that this process has now; 0 where the system does not tell."""
    try:
        return int(mmap.PAGESIZE * int(Path("/proc/self/statm").read_text().split()[1]))
    except (OSError, ValueError, IndexError):
        return 0


def _let_go(array: NDArray[Any]) -> None:
    """Give back the pages of a memory map that has been read: they count as memory until somebody needs it."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode == "r":  # what was written to a private map would be lost
            while isinstance(base, np.ndarray):
                base = base.base
            if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                base.madvise(mmap.MADV_DONTNEED)
            return
        base = base.base


# --- small things


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _position_type(size: int) -> np.dtype[Any]:
    """Of places in a stream of this size."""
    return np.dtype(np.int32 if size < 2**31 else np.int64)


def _next_ids(lines: Encoded, cursor: NDArray[np.int64]) -> NDArray[np.int32]:
    return _fixed(lines.ids[cursor[1] : cursor[1] + _READ], np.int32)


def _fixed(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """A read-only view of plain array type, so that kernels are compiled once for arrays and memory maps."""
    view = np.ascontiguousarray(array, dtype).view(np.ndarray)
    view.flags.writeable = False
    return view


def _narrow(numbers: NDArray[Any]) -> NDArray[Any]:
    """In the narrowest type that holds them."""
    most = int(numbers.max())
    return numbers.astype(
        np.uint8 if most < 256 else np.uint16 if most < 65536 else np.int32 if most < 2**31 else np.int64
    )


def _bits(number: int) -> int:
    """How many bits hold the numbers up to this one."""
    return max(1, number.bit_length())
