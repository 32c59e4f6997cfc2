"""`python -m textdl.tokenizers.worker DIR`: tokenizes what it reads. See `parallel`, which starts it.

It lives as long as its standard input is open. Ctrl-C is for the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from textdl import tokenizers
from textdl.errors import TextdlError
from textdl.storage import Reader
from textdl.tokenizers.parallel import FRAME, REPLY, Numbering, read_exactly


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = sys.stdin.buffer
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else prints must not end up among the replies
    numbering = Numbering()
    tokenizer = None
    while head := source.read(FRAME.size):
        lines = read_exactly(source, FRAME.unpack(head)[0]).decode("utf-8", "surrogatepass").split("\n")
        try:
            tokenizer = tokenizer or tokenizers.load(Reader(Path(sys.argv[1])))
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


if __name__ == "__main__":
    try:
        main()
    except (EOFError, BrokenPipeError):  # the process that started this one is gone
        os._exit(1)
