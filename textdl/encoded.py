"""Encoded text: the one form every model is trained on and scored on.

`ids` holds the tokens of all lines end to end, `offsets` where each line starts. Specials are not
stored: that a line begins with <s> and ends with </s> follows from the offsets. No line is ever
split here; models cut what they need inside.

On disk it is two .npy files that are opened as memory maps. `EncodedWriter` appends to files, so
that a corpus larger than memory never is in memory (filling a memory map would count as memory).
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from textdl import scratch
from textdl.errors import ModelError

_IN_MEMORY = 1 << 26
_COUNTED = 1 << 20
"""Ids at a time."""

UNK, BOS, EOS = 0, 1, 2
"""The ids of <unk>, <s> and </s> in every vocabulary. Padding is a mask in textdl, not an id."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Lines of ids.

    ids: int32 (tokens,), every one in [0, vocab_size), never <s> or </s>.
    offsets: int64 (lines + 1,); line i is ids[offsets[i]:offsets[i + 1]]; offsets[0] is 0.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    vocab_size: int

    @classmethod
    def from_lines(cls, lines: Iterable[Sequence[int] | NDArray[np.integer[Any]]], vocab_size: int) -> Encoded:
        """From sequences of ids: `Encoded.from_lines([[3, 4], []], 5)` has two lines."""
        arrays = [np.asarray(line, dtype=np.int32) for line in lines]
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(a) for a in arrays], out=offsets[1:])
        ids = np.concatenate(arrays) if arrays else np.empty(0, np.int32)
        return cls(ids, offsets, vocab_size)

    def __len__(self) -> int:
        """The number of lines."""
        return len(self.offsets) - 1

    @property
    def tokens(self) -> int:
        """The number of tokens, line ends not counted."""
        return int(self.offsets[-1])

    def line(self, i: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def lines(self, start: int, stop: int) -> Encoded:
        """Lines start..stop as a view: ids are not copied."""
        stop = min(stop, len(self))
        offsets = self.offsets[start : stop + 1]
        return Encoded(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0], self.vocab_size)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Encoded:
        """The named lines, in that order; rows may repeat."""
        return Encoded.from_lines((self.line(int(i)) for i in rows), self.vocab_size)

    def through(self, table: NDArray[np.int32], vocab_size: int) -> Encoded:
        """The same lines in another numbering: id i becomes table[i].

        In memory up to 64 M tokens; beyond that in a temporary file that lives as long as the result.
        """
        if self.tokens <= _IN_MEMORY:
            return Encoded(table[self.ids] if self.tokens else self.ids, self.offsets, vocab_size)
        directory = scratch.make("encoded")
        try:
            with EncodedWriter(directory, vocab_size) as out:
                for block in self.blocks():
                    out.append(table[block.ids], np.diff(block.offsets))
            made = Encoded.open(directory, vocab_size)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        if os.name == "posix":  # what is mapped stays readable, and a kill leaves nothing behind
            shutil.rmtree(directory, ignore_errors=True)
        else:
            weakref.finalize(made.ids, shutil.rmtree, directory, ignore_errors=True)
        return made

    def blocks(self, tokens: int = 1 << 22) -> Iterator[Encoded]:
        """The lines in order, in blocks of about so many tokens; a longer line is a block of its own."""
        start = 0
        while start < len(self):
            stop = int(np.searchsorted(self.offsets, self.offsets[start] + tokens, "right")) - 1
            stop = min(max(stop, start + 1), len(self))
            yield self.lines(start, stop)
            start = stop

    def epoch(self, number: int) -> Encoded:
        """Every epoch sees the same segmentation: an Encoded is the simplest TrainingData."""
        return self

    def stream(self) -> NDArray[np.int32]:
        """(tokens + lines,) ids with </s> after every line: what there is to predict, in order."""
        return np.insert(self.ids, self.offsets[1:], np.int32(EOS))

    def counts(self) -> NDArray[np.int64]:
        """(V,) how often each id occurs; </s> once a line, <s> never."""
        counts = np.zeros(self.vocab_size, np.int64)
        for start in range(0, len(self.ids), _COUNTED):  # bincount makes 8 bytes of each id
            counts += np.bincount(self.ids[start : start + _COUNTED], minlength=self.vocab_size)
        counts[EOS] += len(self)
        return counts

    def save(self, directory: Path) -> None:
        with EncodedWriter(directory, self.vocab_size) as out:
            out.append(self.ids, np.diff(self.offsets))

    @classmethod
    def open(cls, directory: Path, vocab_size: int) -> Encoded:
        """As memory maps.

        Raises:
            ModelError: the files are missing or do not belong together.
        """
        try:
            ids = np.load(directory / "ids.npy", mmap_mode="r", allow_pickle=False)
            offsets = np.load(directory / "offsets.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"{directory}: no readable encoded corpus ({error}). Encode it again.") from error
        if len(offsets) == 0 or offsets[-1] != len(ids):
            raise ModelError(f"{directory}: ids.npy and offsets.npy do not belong together. Encode it again.")
        return cls(ids, offsets, vocab_size)


class EncodedWriter:
    """Appends blocks of lines to ids.npy and offsets.npy; a context manager.

    The .npy header needs the length, so room for the longest header is left and filled in at the end.
    """

    def __init__(self, directory: Path, vocab_size: int):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.vocab_size = directory, vocab_size
        self._tokens = self._lines = self._end = 0
        self._files: list[BinaryIO] = []
        for name in ("ids.npy", "offsets.npy"):
            file = (directory / name).open("wb")
            file.write(bytes(_HEADER))
            self._files.append(file)
        self._files[1].write(np.zeros(1, "<i8").tobytes())

    def append(self, ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> None:
        """ids of len(lengths) whole lines, end to end."""
        self.append_ids(ids)
        self.append_lengths(lengths)

    def append_ids(self, ids: NDArray[np.int32]) -> None:
        """Tokens alone; the lengths of their lines are given apart, and must add up to them in the end."""
        self._files[0].write(np.ascontiguousarray(ids, "<i4").data)
        self._tokens += len(ids)

    def append_lengths(self, lengths: NDArray[np.int64]) -> None:
        ends = self._end + np.cumsum(lengths, dtype=np.int64)
        self._files[1].write(ends.astype("<i8").data)
        self._lines += len(lengths)
        self._end = int(ends[-1]) if len(ends) else self._end

    def __enter__(self) -> EncodedWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file, dtype, size in zip(self._files, ("<i4", "<i8"), (self._tokens, self._lines + 1), strict=True):
            file.seek(0)
            file.write(_npy_header(dtype, size))
            file.close()


_HEADER = 128


def _npy_header(dtype: str, size: int) -> bytes:
    """A version 1.0 .npy header of exactly _HEADER bytes (numpy.lib.format, NEP 1)."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({size},), }}"
    return b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little") + text.ljust(_HEADER - 11).encode() + b"\n"
