"""A model as it is stored and asked: counts, bit-packed in a trie, opened as memory maps.

Level n, 1 .. N, holds the n-grams in the order of their ids; a node is a number within its level, and
the nodes of level 1 are the ids. The children of a node are side by side in the next level, sorted by
word. No probabilities are stored: they follow from the counts (smoothing.py, kernels.py), and over 90 %
of long n-grams occur once. The arrays, little-endian, the levels one after the other in each:

    lines        bytes. 64 of them, a cache line, hold as many nodes of one level as fit, at most 24:
                   bits  0-39   the first child of the first node of the line
                   bits 40-63   marks of its nodes
                   bits 64-95   marked nodes of the level before this line
                   then a field for each node, from its lowest bit on:
                     word       as many bits as the ids need; none at level 1
                     code       of the count: 1, 2, .. have 0, 1, ..; all ones mean that it is in `large`
                     end        where its children end, from the first child of the line on
                 The highest level has no children, and its lines are fields alone.
    weights      (marked,) rows of the marked nodes, those with more than 16 children, or with children that
                 were pruned: float64 T and G, and int64, which of the `buckets` of the level is its first.
                 T and G of others are computed from their children.
    buckets      uint32: where to look for a word among many children. A context of m > 16 children has m // 4
                 buckets, equal parts of `share`; here is how many of its children are before each, and m at
                 the end.
    large_node, large_count   int64: counts that do not fit their field, by node
    unigram      float64 (V,): p of the words without context
    share        float32 (V,): which share of all bigrams ends with a smaller word

So whoever has found a node also has, on the line that he reads it from, where its children are. How many
bits codes and ends have is chosen level by level, so that the whole is smallest.

A model that was read from an ARPA file has no counts. Its codes have 0 bits, T and G are 0, unigram holds
log p, and

    logp         float32 (nodes of all levels,) log p; NaN where the n-gram is only the context of others
    backoff      float32 (nodes of levels 1 .. N - 1,) log back-off weights

After Germann, Joanis and Larkin, "Tightly Packed Tries" (2009), and Heafield's TRIE ("KenLM: Faster and
Smaller Language Model Queries", 2011), which hold probabilities; counts and lines are this project's.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from textdl import scratch
from textdl.errors import CorpusError, ModelError
from textdl.ngram import kernels
from textdl.ngram.levels import SCANNED, Block
from textdl.ngram.smoothing import Smoothing
from textdl.protocols import Run
from textdl.storage import Reader, Writer

FORMAT = 3
_MAX_CODE_BITS = 24
_MAX_WIDTH = 56  # what eight bytes hold wherever they begin
_LARGE_BITS = 1024  # what a count costs that does not fit its field: 128 bits, and the time to look it up
_ROW = np.dtype([("denominator", "<f8"), ("gamma", "<f8"), ("buckets", "<i8")])
_DTYPES: dict[str, Any] = {
    "lines": "u1", "weights": _ROW, "buckets": "<u4", "large_node": "<i8", "large_count": "<i8", "unigram": "<f8",
    "share": "<f4", "logp": "<f4", "backoff": "<f4",
}  # fmt: skip


class PackableLevels(Protocol):
    """What `pack` needs of `levels.Levels`, or of an ARPA file."""

    order: int
    vocab_size: int
    sizes: list[int]

    @property
    def smoothing(self) -> Smoothing | None:
        """None: the blocks are LogBlocks."""

    @property
    def statistics(self) -> list[dict[str, int]]: ...

    @property
    def unigram(self) -> NDArray[np.float64]: ...

    def blocks(self, n: int) -> Iterator[Block]: ...


@dataclass(frozen=True)
class LogBlock(Block):
    """A block of a model from an ARPA file; its counts are not read, and no context is marked."""

    logp: NDArray[np.float32]
    """(nodes,)"""
    backoff: NDArray[np.float32]
    """(nodes,) 0 where the file has none."""


@dataclass(frozen=True)
class LevelShape:
    """What config.json says of one level."""

    size: int
    """Nodes."""
    word_bits: int
    code_bits: int
    end_bits: int
    """What a field is made of."""
    per_line: int
    """Nodes in a line."""
    marked: int = 0
    """Nodes that have a row in `weights`."""
    buckets: int = 0
    """Numbers in `buckets`."""
    large: int = 0
    """Nodes whose counts do not fit their field."""

    @property
    def width(self) -> int:
        return self.word_bits + self.code_bits + self.end_bits

    @property
    def head(self) -> int:
        """Bits of a line before its fields; ends are what it is for."""
        return kernels.HEAD_BITS if self.end_bits else 0


@dataclass(frozen=True, eq=False)
class Packed:
    """A model's arrays and what they mean; see the module."""

    vocab_size: int
    levels: tuple[LevelShape, ...]
    smoothing: Smoothing | None
    """None: log-probabilities as an ARPA file gave them."""
    statistics: list[dict[str, int]]
    """For each order: ngrams, n1 .. n4, pruned."""
    arrays: dict[str, NDArray[Any]]
    """By the names above."""
    paths: dict[str, Path] | None = None
    """The files that the arrays are maps of; None: they are in memory."""

    @property
    def order(self) -> int:
        return len(self.levels)

    @property
    def sizes(self) -> list[int]:
        """n-grams of each order, from 1."""
        return [level.size for level in self.levels]

    @property
    def places(self) -> list[Place]:
        """Where each level begins in each array, and behind the last one where all end."""
        return _places(self.levels)

    @cached_property
    def table(self) -> NDArray[np.int64]:
        """(N + 1, columns) the model as kernels take it, see there. Valid as long as this object is kept."""
        at = {name: array.ctypes.data for name, array in self.arrays.items()}
        rows = np.zeros((self.order + 1, kernels.COLUMNS), np.int64)
        doubles = rows.view(np.float64)
        rows[:, kernels.VOCABULARY], rows[:, kernels.EXPLICIT] = self.vocab_size, self.smoothing is None
        rows[:, kernels.UNIGRAM_AT], rows[:, kernels.SHARE_AT] = at["unigram"], at["share"]
        if self.smoothing is not None:
            doubles[:, kernels.UNIFORM] = self.smoothing.uniform if self.smoothing.interpolates_uniform else 0.0
            doubles[1:, kernels.PARAMETERS :] = self.smoothing.parameters[1:]
        for row, level, place in zip(rows[1:], self.levels, self.places, strict=False):
            row[kernels.SIZE], row[kernels.MARKED], row[kernels.LARGE] = level.size, level.marked, level.large
            row[kernels.BUCKETS] = level.buckets
            row[kernels.WIDTH], row[kernels.HEAD], row[kernels.PER_LINE] = level.width, level.head, level.per_line
            row[kernels.INVERSE] = np.uint64(-(-(1 << 64) // level.per_line)).view(np.int64)
            row[kernels.WORD_END], row[kernels.CODE_END] = level.word_bits, level.word_bits + level.code_bits
            row[kernels.WORD_MASK], row[kernels.CODE_MASK] = (1 << level.word_bits) - 1, (1 << level.code_bits) - 1
            row[kernels.END_MASK] = (1 << level.end_bits) - 1
            row[kernels.LINES_AT] = at["lines"] + place.lines
            row[kernels.WEIGHTS_AT] = at["weights"] + _ROW.itemsize * place.marked
            row[kernels.BUCKETS_AT] = at["buckets"] + 4 * place.buckets
            row[kernels.LARGE_NODE_AT] = at["large_node"] + 8 * place.large
            row[kernels.LARGE_COUNT_AT] = at["large_count"] + 8 * place.large
            row[kernels.LOGP_AT] = at["logp"] + 4 * place.nodes
            row[kernels.BACKOFF_AT] = at["backoff"] + 4 * place.nodes
        rows[1:-1, kernels.ABOVE] = rows[2:, kernels.SIZE]
        rows.flags.writeable = False
        return rows

    def bytes_per_level(self) -> list[int]:
        """What each level takes on disk."""
        explicit = self.smoothing is None
        found = []
        for n, (a, b) in enumerate(pairwise(self.places), 1):
            logs = 4 * (b.nodes - a.nodes) * (1 + (n < self.order)) if explicit else 0
            rest = _ROW.itemsize * (b.marked - a.marked) + 4 * (b.buckets - a.buckets) + 16 * (b.large - a.large)
            found.append(b.lines - a.lines + rest + logs + (12 * self.vocab_size if n == 1 else 0))
        return found

    def save(self, out: Writer) -> None:
        """ngram/config.json and ngram/*.npy. Files are copied as files: they may be larger than memory."""
        out.json("ngram/config.json", {
            "format": FORMAT,
            "vocab_size": self.vocab_size,
            "levels": [asdict(level) for level in self.levels],
            "smoothing": self.smoothing.to_json() if self.smoothing else None,
            "statistics": self.statistics,
        })  # fmt: skip
        for name, array in self.arrays.items():
            if self.paths is not None:
                shutil.copyfile(self.paths[name], out.path(_file(name)))
            else:
                out.array(_file(name), array)


class Place(NamedTuple):
    """Where a level begins: numbers of nodes, bytes of lines, marked nodes, their buckets, large counts."""

    nodes: int = 0
    lines: int = 0
    marked: int = 0
    buckets: int = 0
    large: int = 0


def _places(levels: tuple[LevelShape, ...]) -> list[Place]:
    places = [Place()]
    for level in levels:
        before = places[-1]
        places.append(Place(
            before.nodes + level.size,
            before.lines + -(-level.size // level.per_line) * kernels.LINE,
            before.marked + level.marked,
            before.buckets + level.buckets,
            before.large + level.large,
        ))  # fmt: skip
    return places


def _file(name: str) -> str:
    return f"ngram/{name.replace('_', '-')}.npy"


def _lengths(vocab_size: int, levels: tuple[LevelShape, ...], explicit: bool) -> dict[str, int]:
    """Of every array."""
    places = _places(levels)
    end = places[-1]
    return {
        "lines": end.lines,
        "weights": end.marked,
        "buckets": end.buckets,
        "large_node": end.large,
        "large_count": end.large,
        "unigram": vocab_size,
        "share": vocab_size,
        "logp": end.nodes if explicit else 0,
        "backoff": places[-2].nodes if explicit else 0,
    }


# --- packing


class _Sink:
    """An array of known length that is written from its beginning to its end, in memory or in a file."""

    def __init__(self, name: str, length: int, directory: Path | None):
        self._dtype = np.dtype(_DTYPES[name])
        self._left = length
        self._array = self._file = self._path = None
        if directory is None:
            self._array = np.empty(length, self._dtype)
        else:
            self._path = directory / f"{name}.npy"
            self._file = self._path.open("wb")
            header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (length,)}
            np.lib.format.write_array_header_1_0(self._file, header)

    def write(self, values: NDArray[Any]) -> None:
        values = np.ascontiguousarray(values)
        values = values.view(self._dtype) if self._dtype == np.uint8 else values.astype(self._dtype, copy=False)
        values = values.reshape(-1)
        assert len(values) <= self._left, "levels that are not what they were a moment ago"
        if self._array is not None:
            begin = len(self._array) - self._left
            self._array[begin : begin + len(values)] = values
        else:
            assert self._file is not None
            self._file.write(values.data)
        self._left -= len(values)

    def close(self) -> NDArray[Any]:
        assert self._left == 0, "levels that are not what they were a moment ago"
        if self._array is not None:
            return self._array
        assert self._file is not None
        assert self._path is not None
        self._file.close()
        array: NDArray[Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return array


def pack(levels: PackableLevels, directory: Path | None = None, run: Run | None = None) -> Packed:
    """Pack levels, a few megabytes of them at a time; into .npy files in a directory if one is given.

    Levels that are on disk, because they are too large for memory, are packed into a temporary directory
    that is removed with the result. They are read twice: for the widths, and then for what is in them.
    """
    run = run or Run()
    if directory is None and getattr(levels, "on_disk", False):
        directory = scratch.make("ngram")
        try:
            packed = pack(levels, directory, run)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        weakref.finalize(packed, shutil.rmtree, directory, ignore_errors=True)
        return packed
    total = 2 * sum(levels.sizes)
    done = 0

    def reading(n: int) -> Iterator[Block]:
        nonlocal done
        for block in levels.blocks(n):
            yield block
            done += len(block.word)
            run.progress("packing", done, total, "n-grams", f"{n}-grams")

    share = np.zeros(levels.vocab_size, np.int64)
    shapes = tuple(_survey(n, reading(n), levels, share) for n in range(1, levels.order + 1))
    lengths = _lengths(levels.vocab_size, shapes, levels.smoothing is None)
    sinks = {name: _Sink(name, length, directory) for name, length in lengths.items()}
    shares = ((np.cumsum(share) - share) / max(1, share.sum())).astype(np.float32)
    sinks["unigram"].write(levels.unigram)
    sinks["share"].write(shares)
    below = _Bucketed()
    for n, shape in enumerate(shapes, 1):
        below = _pack_level(n, reading(n), levels, shape, sinks, below, shares)
    return Packed(
        levels.vocab_size, shapes, levels.smoothing, levels.statistics,
        {name: _fixed(sink.close()) for name, sink in sinks.items()},
        None if directory is None else {name: directory / f"{name}.npy" for name in sinks},
    )  # fmt: skip


def _survey(n: int, blocks: Iterator[Block], levels: PackableLevels, share: NDArray[np.int64]) -> LevelShape:
    """The shape of level n: what has to be known before its first byte is written. share: (V,) see the module."""
    counted = levels.smoothing is not None and n > 1
    lengths = np.zeros(65, np.int64)  # nodes by the bits of their count
    last, widest = np.zeros(kernels.MOST_PER_LINE + 1, np.int64), np.zeros(kernels.MOST_PER_LINE + 1, np.int64)
    marked = buckets = size = 0
    for block in blocks:
        marked += int(_marks(block).sum())
        buckets += int(_buckets(block.children).sum())
        if n < levels.order:
            kernels.widest_lines(block.children, size, last, widest)
        size += len(block.word)
        if n == 2:
            share += np.bincount(block.word, minlength=len(share))
        if counted:
            kernels.count_lengths(block.count, lengths)
    assert size == levels.sizes[n - 1], f"level {n} has another size than was said"
    widest[1:] = np.maximum(widest[1:], last[0] - last[1:])  # the line that is not full
    word_bits = (levels.vocab_size - 1).bit_length() if n > 1 else 0
    too_large = size - np.cumsum(lengths)  # [b]: counts of more than b bits
    best: tuple[int, LevelShape] | None = None
    for code_bits in range(_MAX_CODE_BITS + 1) if counted else (0,):
        large = int(too_large[code_bits]) if counted else 0
        shape = _fitted(LevelShape(size, word_bits, code_bits, 0, 1, marked, buckets, large), widest, n == levels.order)
        if shape is not None:
            cost = -(-size // shape.per_line) * 8 * kernels.LINE + _LARGE_BITS * large
            best = min(best or (cost, shape), (cost, shape), key=lambda pair: pair[0])
    if best is None:
        raise CorpusError(
            f"A vocabulary of {levels.vocab_size:,} is too large for an n-gram model in which single words are "
            f"followed by up to {int(widest[1]):,} others. Cut the vocabulary, or choose a lower --order."
        )
    return best[1]


def _fitted(shape: LevelShape, widest: NDArray[np.int64], highest: bool) -> LevelShape | None:
    """With as many nodes to a line as it holds together with the ends that they need; None if not one fits."""
    if highest:
        return replace(shape, per_line=8 * kernels.LINE // max(1, shape.width)) if shape.width <= _MAX_WIDTH else None
    for per_line in range(kernels.MOST_PER_LINE, 1, -1):
        fitted = replace(shape, end_bits=max(1, int(widest[per_line]).bit_length()), per_line=per_line)
        if fitted.width <= _MAX_WIDTH and fitted.head + fitted.width * per_line <= 8 * kernels.LINE:
            return fitted
    return None


def _marks(block: Block) -> NDArray[np.bool_]:
    """Which nodes have a row: those of an ARPA file where there are buckets."""
    return block.children > SCANNED if isinstance(block, LogBlock) else block.marked


def _buckets(children: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many numbers in `buckets` nodes have."""
    return np.where(children > SCANNED, children // kernels.PER_BUCKET + 1, 0).astype(np.int64)


class _Bucketed(NamedTuple):
    """The contexts of a level that have buckets: where their children begin in the level above, and how many."""

    first: NDArray[np.int64] = np.empty(0, np.int64)
    size: NDArray[np.int64] = np.empty(0, np.int64)


def _pack_level(
    n: int,
    blocks: Iterator[Block],
    levels: PackableLevels,
    shape: LevelShape,
    sinks: dict[str, _Sink],
    below: _Bucketed,
    share: NDArray[np.float32],
) -> _Bucketed:
    """Write level n, and the buckets of the contexts below, which its words belong to."""
    line, state = np.zeros((1, 8), np.uint64), np.zeros(4, np.int64)
    filled = np.zeros(3, np.int64)
    word_end, node, child, bucket = shape.word_bits, 0, 0, 0
    found: list[_Bucketed] = []
    for block in blocks:
        marks = _marks(block)
        out = np.zeros((len(block.word) // shape.per_line + 2, 8), np.uint64)
        out[0] = line[0]
        full = kernels.pack_lines(
            block.word, block.count, block.children, marks, word_end, word_end + shape.code_bits, shape.width,
            shape.head, shape.per_line, state, out,
        )  # fmt: skip
        sinks["lines"].write(out[:full])
        line[0] = out[full]
        if n < levels.order:
            buckets = _buckets(block.children)
            ends, has = np.cumsum(block.children, dtype=np.int64) + child, buckets > 0
            found.append(_Bucketed(ends[has] - block.children[has], block.children[has].astype(np.int64)))
            rows = np.zeros(int(marks.sum()), _ROW)
            if not isinstance(block, LogBlock):
                rows["denominator"], rows["gamma"] = block.denominator, block.gamma
            rows["buckets"] = np.where(has, np.cumsum(buckets) - buckets + bucket, -1)[marks]
            sinks["weights"].write(rows)
            child, bucket = int(ends[-1]) if len(ends) else child, bucket + int(buckets.sum())
        if n > 1:
            starts = np.empty(len(block.word) + levels.vocab_size, np.uint32)
            entries = kernels.fill_buckets(block.word, node, below.first, below.size, share, filled, starts)
            sinks["buckets"].write(starts[:entries])
        if shape.large:
            beyond = np.flatnonzero(block.count >= 1 << shape.code_bits)
            sinks["large_node"].write(beyond + node)
            sinks["large_count"].write(block.count[beyond])
        if isinstance(block, LogBlock):
            sinks["logp"].write(block.logp)
            if n < levels.order:
                sinks["backoff"].write(block.backoff)
        node += len(block.word)
    if state[0]:
        sinks["lines"].write(line)
    return _Bucketed(*(np.concatenate(parts) for parts in zip(*found, strict=True))) if found else _Bucketed()


# --- opening


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view of plain array type, so that trained and mapped models share compiled kernels."""
    view = np.ascontiguousarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view


def load(reader: Reader) -> Packed:
    """Open a saved model as memory maps.

    Raises:
        ModelError: files are missing, do not belong together, or are damaged where it shows; kernels
            stay within the arrays whatever else is damaged, and `textdl info --verify` finds it.
    """
    config = reader.json("ngram/config.json")
    where = reader.path("ngram/config.json")
    try:
        if config["format"] != FORMAT:
            raise ModelError(
                f"{where} is of format {config['format']}; this textdl reads format {FORMAT}. Train the model again."
            )
        levels = tuple(
            LevelShape(**{field.name: int(value[field.name]) for field in fields(LevelShape)})
            for value in config["levels"]
        )
        vocab_size = int(config["vocab_size"])
        smoothing = None if config["smoothing"] is None else Smoothing.from_json(config["smoothing"])
        statistics = [{str(k): int(v) for k, v in row.items()} for row in config["statistics"]]
        if not _possible(vocab_size, levels) or not (smoothing is None or _fits(smoothing, vocab_size, levels)):
            raise ValueError("impossible sizes")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{where} does not describe an n-gram model ({error!r}). Train it again.") from error
    found = {}
    for name, length in _lengths(vocab_size, levels, smoothing is None).items():
        array = reader.array(_file(name))
        if array.dtype != np.dtype(_DTYPES[name]) or array.shape != (length,):
            raise ModelError(
                f"{reader.path(_file(name))} does not belong to its config.json: expected {length:,} numbers of type "
                f"{_DTYPES[name]}, got {array.shape} of {array.dtype}. Copy the model again or train it again."
            )
        found[name] = _fixed(array)
    paths = {name: reader.path(_file(name)) for name in found}
    packed = Packed(vocab_size, levels, smoothing, statistics, found, paths)
    wrong = _damage(packed)
    if wrong:
        raise ModelError(f"{where.parent} is damaged: {wrong}. Copy the model again or train it again.")
    return packed


def _possible(vocab_size: int, levels: tuple[LevelShape, ...]) -> bool:
    return (
        vocab_size >= 3
        and len(levels) >= 1
        and levels[0].size == vocab_size
        and all(
            0 <= level.size < 1 << kernels.BASE_BITS
            and level.word_bits == ((vocab_size - 1).bit_length() if n > 1 else 0)
            and 0 <= level.code_bits <= _MAX_CODE_BITS
            and (level.end_bits > 0 if n < len(levels) else level.end_bits == 0)
            and level.width <= _MAX_WIDTH
            and 2 <= level.per_line <= (kernels.MOST_PER_LINE if n < len(levels) else 8 * kernels.LINE)
            and level.head + level.per_line * level.width <= 8 * kernels.LINE
            and 0 <= level.marked <= level.size
            and 0 <= level.buckets < 1 << kernels.BASE_BITS
            and 0 <= level.large <= level.size
            for n, level in enumerate(levels, 1)
        )
    )


def _fits(smoothing: Smoothing, vocab_size: int, levels: tuple[LevelShape, ...]) -> bool:
    return smoothing.vocab_size == vocab_size and len(smoothing.discounts) == len(levels)


def _damage(packed: Packed) -> str:
    """What is wrong with the arrays, from a look at a thousand contexts of each level; empty if nothing is."""
    if packed.smoothing is not None and not abs(float(packed.arrays["unigram"].sum()) - 1) < 1e-6:
        return "the probabilities of the unigrams do not sum to 1"
    for n in range(1, packed.order):
        size, above = packed.sizes[n - 1], packed.sizes[n]
        contexts = np.unique(np.linspace(0, size - 1, min(size, 1000)).astype(np.int64))
        bounds = kernels.bounds(packed.table, n, contexts)
        if not (above == 0 if size == 0 else bounds[0] == 0 and bounds[-1] == above and (np.diff(bounds) >= 0).all()):
            return f"the {n + 1}-grams are not where the {n}-grams say"
    return ""
