"""What a tokenizing process does: see `parallel`, which starts it.

It lives as long as its standard input is open. Ctrl-C is for the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import IO

import numpy as np

from textdl import tokenizers
from textdl.errors import TextdlError
from textdl.storage import Reader
from textdl.tokenizers.parallel import FRAME, REPLY, Numbering, read_exactly


def main(directory: str, replies: int) -> None:
    """Tokenize with the tokenizer saved in `directory`, and write to the file descriptor `replies`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with os.fdopen(replies, "wb") as out:
            _serve(Path(directory), sys.stdin.buffer, out)
    except (EOFError, BrokenPipeError):  # the process that started this one is gone
        os._exit(1)


def _serve(directory: Path, source: IO[bytes], out: IO[bytes]) -> None:
    numbering = Numbering()
    tokenizer = None
    while head := source.read(FRAME.size):
        lines = read_exactly(source, FRAME.unpack(head)[0]).decode("utf-8", "surrogatepass").split("\n")
        try:
            tokenizer = tokenizer or tokenizers.load(Reader(directory))
            fresh, new, ids, lengths = numbering.block(tokenizer, lines)
        except Exception as error:
            kind = type(error).__name__ if isinstance(error, TextdlError) else "TextdlError"
            message = str(error) if isinstance(error, TextdlError) else f"{type(error).__name__}: {error}"
            told = json.dumps({"kind": kind, "message": message}).encode()
            out.write(REPLY.pack(False, -len(told), 0, 0) + told)
            out.flush()
            return
        pieces = "\n".join(new).encode("utf-8", "surrogatepass")
        out.write(REPLY.pack(fresh, len(pieces), len(lengths), len(ids)) + pieces)
        out.write(lengths.astype(np.int64).data)
        out.write(ids.data)
        out.flush()
