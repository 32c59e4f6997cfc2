"""Tokenizing in several processes, with line structure and order kept.

Each process runs `worker.main` with a saved copy of the tokenizer, in a Python started for it: nothing is
forked and the caller's `__main__` is not imported, so it works the same on every platform and inside
any program. Text goes to a process as UTF-8; what comes back is ids in the numbering of that process,
with the pieces it met for the first time: far less than the pieces themselves.

A text of less than eight million characters is tokenized here: starting processes would take longer. So is any text
whose pieces are single characters or stand between white space, which compiled code does faster than text is handed over.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textdl import errors, scratch
from textdl.errors import TextdlError, UsageError
from textdl.protocols import Tokenizer
from textdl.storage import saving
from textdl.tokenizers.base import BaseTokenizer
from textdl.tokenizers.whitespace import WhitespaceTokenizer

if TYPE_CHECKING:
    from textdl.tokenizers.whitespace_kernels import Words

SMALL = 8_000_000
"""Characters of text below which no process is started: it would take a second to be of use."""
COMPILED = 1 << 15
"""Characters of a block below which words between white space are not worth loading compiled code for."""
_BLOCK = 1 << 17
"""Characters sent to a process at a time."""
_LONG = 1 << 20
"""Characters of a line that is tokenized here, as it comes: nothing is gained by handing it over."""
_MOST = 16
"""More processes than this are not started unless asked for: one process has to take in what they give."""
FRAME = struct.Struct("<q")
REPLY = struct.Struct("<?qqq")
"""Numbering begun anew; bytes of new pieces, joined by line feeds; lines; tokens."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some lines, tokenized. Ids are the numbering of one `numberer`, which `new` extends."""

    numberer: int
    fresh: bool
    """The numbering begins anew with this block."""
    new: list[str]
    """Pieces met for the first time: they take the next ids."""
    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    """(lines,) tokens of each line."""
    unfinished: bool = False
    """The last line goes on in the next block."""


class Numbering(dict[str, int]):
    """Pieces to ids in order of first sight, until there are too many to hold."""

    MOST = 1 << 19

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._of_code_point: NDArray[np.int32] | None = None
        self._words: Words | None = None
        self._of_word: NDArray[np.int32] = np.empty(0, np.int32)

    def __missing__(self, piece: str) -> int:
        self[piece] = number = len(self)
        self.pieces.append(piece)
        return number

    def _begin(self) -> tuple[bool, int]:
        """Begin anew where there are too many. Whether that was done, and how many pieces are known."""
        fresh = len(self) > self.MOST
        if fresh:
            self.clear()
            self.pieces.clear()
            self._of_code_point = self._words = None
        return fresh, len(self)

    def block(self, tokenizer: Tokenizer, lines: Sequence[str]) -> tuple[bool, list[str], NDArray[Any], NDArray[Any]]:
        """(fresh, new, ids, lengths) of some lines."""
        fresh, known = self._begin()
        if tokenizer.single_code_points:
            lines = list(map(tokenizer.normalized, lines))
            ids = self._code_points("".join(lines))
            lengths = np.fromiter(map(len, lines), np.int64, len(lines))
        elif (
            isinstance(tokenizer, WhitespaceTokenizer)
            and sum(map(len, lines)) >= COMPILED
            and (found := self._between_spaces(tokenizer, lines))
        ):
            ids, lengths = found
        else:
            pieces = list(tokenizer.encode_lines(lines))
            lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
            ids = np.fromiter(map(self.__getitem__, chain.from_iterable(pieces)), np.int32, int(lengths.sum()))
        return fresh, self.pieces[known:], ids, lengths

    def _code_points(self, text: str) -> NDArray[np.int32]:
        """The ids of the characters of a text, without a str for each: ten times as fast."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        if self._of_code_point is None:
            self._of_code_point = np.full(0x110000, -1, np.int32)
        ids = self._of_code_point[codes]
        if len(ids) and ids.min() < 0:
            for code in np.unique(codes[ids < 0]).tolist():
                self._of_code_point[code] = self[chr(code)]
            ids = self._of_code_point[codes]
        return ids

    def _between_spaces(
        self, tokenizer: WhitespaceTokenizer, lines: Sequence[str]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]] | None:
        """The ids of words between white space; None where a line holds a line feed."""
        if self._words is None:
            from textdl.tokenizers.whitespace_kernels import Words

            self._words, self._of_word = Words(), np.empty(0, np.int32)
        found = self._words.number(list(map(tokenizer.normalized, lines)))
        if found is None:
            return None
        new, numbers, lengths = found
        if new:
            self._of_word = np.append(self._of_word, np.array([self[word] for word in new], np.int32))
        return self._of_word[numbers], lengths

    def long_line(self, tokenizer: Tokenizer, line: str, numberer: int) -> Iterator[Block]:
        """One line in blocks, so that its pieces never are in memory all at once."""
        pieces = tokenizer.iterate(line)
        unfinished = True
        while unfinished:
            fresh, known = self._begin()
            ids = np.fromiter(map(self.__getitem__, islice(pieces, _LONG)), np.int32)
            unfinished = len(ids) == _LONG
            yield Block(numberer, fresh, self.pieces[known:], ids, np.array([len(ids)]), unfinished)


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encode_lines(tokenizer: Tokenizer, lines: Iterable[str], *, processes: int = 0) -> Iterator[list[str]]:
    """`tokenizer.encode_lines(lines)`, in worker processes where that pays. Order is kept.

    Args:
        processes: 0: one for each core.

    Raises:
        TextdlError: whatever the tokenizer raises, or a worker process that died.
    """
    if (processes or cores()) == 1 or _compiled(tokenizer):
        yield from tokenizer.encode_lines(lines)
        return
    known: dict[int, list[str]] = {}
    line: list[str] = []
    for block in blocks(tokenizer, ([line] for line in lines), processes=processes):
        pieces = known.setdefault(block.numberer, [])
        if block.fresh:
            pieces.clear()
        pieces += block.new
        ids = block.ids.tolist()
        start = 0
        last = len(block.lengths) - 1
        for number, length in enumerate(block.lengths.tolist()):
            line += [pieces[i] for i in ids[start : start + length]]
            start += length
            if number < last or not block.unfinished:
                yield line
                line = []


def blocks(tokenizer: Tokenizer, batches: Iterable[list[str]], *, processes: int = 0) -> Iterator[Block]:
    """Tokenize batches of lines; blocks come in the order of the lines.

    Raises:
        TextdlError: as `encode_lines`.
    """
    processes = processes or min(cores(), _MOST)
    if not isinstance(tokenizer, BaseTokenizer):  # the caller's own: another process could not load it
        processes = 1
    if _compiled(tokenizer):
        processes = 1
    source = _regrouped(batches)
    first: list[list[str]] = []
    if processes > 1:
        size = 0
        for group in source:
            first.append(group)
            size += sum(map(len, group))
            if size >= SMALL:
                break
        else:
            processes = 1
    source = chain(first, source)
    numbering = Numbering()
    if processes == 1:
        for group in source:
            if len(group[0]) > _LONG:
                yield from numbering.long_line(tokenizer, group[0], 0)
            else:
                yield Block(0, *numbering.block(tokenizer, group))
        return
    with ExitStack() as stack:
        folder = stack.enter_context(scratch.temporary("tokenizer"))
        with saving(folder / "model", {}) as out:
            tokenizer.save(out)
        idle: SimpleQueue[_Worker] = SimpleQueue()
        pool = ThreadPoolExecutor(processes)
        stack.callback(pool.shutdown, cancel_futures=True)  # after the workers are stopped
        for number in range(processes):
            worker = _Worker(number, folder / "model")
            stack.callback(worker.stop)
            idle.put(worker)

        def work(group: list[str]) -> Block:
            worker = idle.get()
            try:
                return worker.tokenize(group)
            finally:
                idle.put(worker)

        waiting: deque[Future[Block]] = deque()
        for group in source:
            if len(group[0]) > _LONG:
                while waiting:
                    yield waiting.popleft().result()
                yield from numbering.long_line(tokenizer, group[0], processes)
                continue
            waiting.append(pool.submit(work, group))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _compiled(tokenizer: Tokenizer) -> bool:
    """Whether tokenizing is quicker than handing the text over."""
    return tokenizer.single_code_points or isinstance(tokenizer, WhitespaceTokenizer)


def _regrouped(batches: Iterable[list[str]]) -> Iterator[list[str]]:
    """Lines in groups of about _BLOCK characters; a very long line comes alone."""
    group: list[str] = []
    size = 0
    for batch in batches:
        for line in batch:
            if len(line) > _BLOCK and group:
                yield group
                group, size = [], 0
            group.append(line)
            size += len(line) + 1
            if size >= _BLOCK:
                yield group
                group, size = [], 0
    if group:
        yield group


class _Worker:
    """One process. Used by one thread at a time."""

    def __init__(self, number: int, tokenizer: Path):
        self.number = number
        # -P and appending: files of the working directory must not be taken for modules. Standard output is kept for
        # replies before anything else is imported, so that nothing printed can end up among them.
        program = (
            "import os, sys; replies = os.dup(1); os.dup2(2, 1); sys.path.append(sys.argv[2]); "
            "from textdl.tokenizers.worker import main; main(sys.argv[1], replies)"
        )
        command = [sys.executable, "-P", "-c", program, str(tokenizer), str(Path(__file__).parents[2])]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise TextdlError(f"a tokenizing process cannot be started ({error.strerror}). Use fewer.") from error

    def tokenize(self, lines: list[str]) -> Block:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            data = "\n".join(lines).encode("utf-8", "surrogatepass")
            self._process.stdin.write(FRAME.pack(len(data)))
            self._process.stdin.write(data)
            self._process.stdin.flush()
            fresh, text, count, tokens = REPLY.unpack(read_exactly(self._process.stdout, REPLY.size))
            written = read_exactly(self._process.stdout, abs(text)).decode("utf-8", "surrogatepass")
            if text < 0:
                raise _error(written)
            if count != len(lines):
                raise UsageError("a line to be tokenized has a line feed inside; split it there first")
            lengths = np.frombuffer(read_exactly(self._process.stdout, 8 * count), np.int64)
            ids = np.frombuffer(read_exactly(self._process.stdout, 4 * tokens), np.int32)
        except (EOFError, OSError) as error:
            status = self._process.wait()
            raise TextdlError(
                f"a tokenizing process ended ({'signal' if status < 0 else 'exit'} {abs(status)}), perhaps for want of "
                "memory. Run again with fewer processes."
            ) from error
        return Block(self.number, fresh, written.split("\n") if written else [], ids, lengths)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what is in its buffer has nowhere to go
                    pipe.close()


def read_exactly(file: IO[bytes], size: int) -> bytes:
    """Raises EOFError where the file ends before."""
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _error(written: str) -> TextdlError:
    """The error that a worker met."""
    told = json.loads(written)
    kind = getattr(errors, told["kind"], TextdlError)
    made: TextdlError = kind(told["message"])
    return made
