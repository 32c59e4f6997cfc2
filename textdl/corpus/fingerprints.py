"""64-bit fingerprints of lines: which lines are the same as an earlier one, and which a model was trained on.

Fingerprints are written to a temporary file in the order of the lines, then dealt out by their high bits into
buckets that are sorted one at a time. So any number of lines takes the memory of one bucket, besides the result.
Two different lines have the same fingerprint with a chance of 2**-64; among 70 million lines there is such a pair
once in 7,500 corpora.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from textdl import scratch

Fingerprints = NDArray[np.uint64]

_BUCKET = 1 << 21
"""Fingerprints sorted at once, about: 16 MB, and as much again for their positions."""
_CHUNK = 1 << 18
"""Fingerprints dealt out at once."""
_IN_MEMORY = 1 << 23
"""A result of more fingerprints (64 MB) stays on disk, memory-mapped."""


def line_fingerprint(line: str) -> int:
    """64 bits that stand for a line: BLAKE2b of its UTF-8, little-endian."""
    return int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "little")


def line_fingerprints(lines: Iterable[str]) -> Fingerprints:
    """(distinct lines,) the sorted fingerprints of all lines, each once. What `lines.npy` holds.

    Above 64 MB the array is a read-only map of a temporary file.

    Raises:
        CorpusError: the temporary directory has no room.
    """
    with temporary_file() as file, temporary_file() as result:
        write_fingerprints(lines, file)
        count = 0
        for bucket in _buckets(file, _FINGERPRINT):
            ordered = np.sort(bucket["fingerprint"])  # np.unique is far slower
            distinct = ordered[np.r_[True, ordered[1:] != ordered[:-1]]]
            _write(result, distinct)
            count += len(distinct)
        if count > _IN_MEMORY:
            return np.memmap(result, np.uint64, "r", shape=(count,))
        result.seek(0)
        return np.frombuffer(bytearray(result.read()), np.uint64)


def repeated_lines(lines: Iterable[str]) -> tuple[int, NDArray[np.uint8]]:
    """(how many lines there are, a bit for each: whether an earlier line is the same), packed as np.packbits does.

    Raises:
        CorpusError: the temporary directory has no room.
    """
    with temporary_file() as file:
        count = write_fingerprints(lines, file)
        repeated = np.zeros((count + 7) // 8, np.uint8)
        for bucket in _buckets(file, _PLACED):
            order = np.argsort(bucket["fingerprint"], kind="stable")  # positions stay in order among equals
            ordered = bucket["fingerprint"][order]
            places = bucket["position"][order[1:][ordered[1:] == ordered[:-1]]]
            np.bitwise_or.at(repeated, places >> 3, (128 >> (places & 7)).astype(np.uint8))
        return count, repeated


def write_fingerprints(lines: Iterable[str], file: IO[bytes]) -> int:
    """Append the fingerprint of every line; returns how many."""
    found = map(line_fingerprint, lines)
    count = 0
    while len(chunk := np.fromiter(islice(found, _CHUNK), np.uint64)):
        _write(file, chunk)
        count += len(chunk)
    return count


_FINGERPRINT = np.dtype([("fingerprint", np.uint64)])
_PLACED = np.dtype([("fingerprint", np.uint64), ("position", np.int64)])


def _buckets(file: IO[bytes], entry: np.dtype[np.void]) -> Iterator[NDArray[np.void]]:
    """All fingerprints, with their positions or without, by rising high bits: what is in one bucket is in no other."""
    count = file.seek(0, 2) // 8
    bits = max(0, (count - 1) // _BUCKET).bit_length()
    if bits == 0:
        if count:
            yield _entries(file, 0, count, entry)
        return
    starts = np.zeros((1 << bits) + 1, np.int64)
    for at in range(0, count, _CHUNK):
        high = (_entries(file, at, min(_CHUNK, count - at), entry)["fingerprint"] >> np.uint64(64 - bits)).astype(
            np.int64
        )
        starts[1:] += np.bincount(high, minlength=1 << bits)
    starts = np.cumsum(starts)
    with temporary_file() as dealt:
        ends = starts[:-1].copy()
        for at in range(0, count, _CHUNK):
            entries = _entries(file, at, min(_CHUNK, count - at), entry)
            high = (entries["fingerprint"] >> np.uint64(64 - bits)).astype(np.int64)
            entries = entries[np.argsort(high, kind="stable")]
            cuts = np.r_[0, np.cumsum(np.bincount(high, minlength=1 << bits))]
            for bucket in np.unique(high).tolist():
                part = entries[cuts[bucket] : cuts[bucket + 1]]
                dealt.seek(int(ends[bucket]) * entry.itemsize)
                _write(dealt, part)
                ends[bucket] += len(part)
        for bucket in range(1 << bits):
            size = int(starts[bucket + 1] - starts[bucket])
            if size:
                dealt.seek(int(starts[bucket]) * entry.itemsize)
                yield np.frombuffer(dealt.read(size * entry.itemsize), entry)


def _entries(file: IO[bytes], start: int, count: int, entry: np.dtype[np.void]) -> NDArray[np.void]:
    file.seek(8 * start)
    entries = np.empty(count, entry)
    entries["fingerprint"] = np.frombuffer(file.read(8 * count), np.uint64)
    if entry.names and "position" in entry.names:
        entries["position"] = np.arange(start, start + count)
    return entries


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """A file without a name that is gone at the end of the `with` block.

    Raises:
        CorpusError: there is nowhere to put it, or no room for what is written.
        UsageError: $TMPDIR is no directory.
    """
    scratch.check_tmpdir()
    with scratch.telling_of_no_room():
        try:
            file = tempfile.TemporaryFile(prefix="textdl-")  # noqa: SIM115
        except OSError as error:
            raise scratch.no_room(error) from error
        with file:
            yield file


def temporary_path(suffix: str = "") -> Path:
    """An empty file, closed, which the caller removes.

    Raises:
        CorpusError: there is nowhere to put it.
        UsageError: $TMPDIR is no directory.
    """
    scratch.check_tmpdir()
    try:
        handle, path = tempfile.mkstemp(suffix, "textdl-")
    except OSError as error:
        raise scratch.no_room(error) from error
    os.close(handle)
    return Path(path)


def _write(file: IO[bytes], array: NDArray[np.void] | Fingerprints) -> None:
    try:
        file.write(array.tobytes())
        file.flush()
    except OSError as error:
        raise scratch.no_room(error) from error
