r"""Splits to files.

What is written reads back as the same lines. Plain text has no escapes for that, but two of its rules are enough: a first
line that begins with U+FEFF, of which reading drops one as a byte-order mark, gets another; and a line that ends in \r, which
would become a part of the line end, gets the line end \r\n.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from textdl.corpus.corpus import Corpus
from textdl.corpus.ledger import quantity
from textdl.corpus.split import RATIOS, SPLITS, bounds
from textdl.errors import CorpusError, UsageError


def write_split(corpus: Corpus, directory: str | Path, ratios: Sequence[float] = RATIOS) -> dict[str, int]:
    """Write train.txt, valid.txt and test.txt; the lines of each are returned.

    Nothing is left behind when it fails, and no file is overwritten, be it one that appears meanwhile. Lines that other
    programs may read differently become a note in the ledger of the corpus.

    Args:
        ratios: two (train, valid) or three.

    Raises:
        UsageError: a file is there already, or the ratios are impossible.
        CorpusError: the corpus has no text, or the files cannot be written.
    """
    directory = Path(directory)
    if not 2 <= len(ratios) <= len(SPLITS):
        raise UsageError(f"two or three ratios make a split, such as 8,1,1; got {tuple(ratios)}")
    bounds(ratios)
    parts = SPLITS[: len(ratios)]
    for part in parts:
        if (directory / f"{part}.txt").exists():
            raise _exists(directory / f"{part}.txt")
    corpus.require_text()
    counts: dict[str, int] = {}
    returns = 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as leftovers:
            written = []
            for part in parts:
                view = corpus.split(part, ratios)
                with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{part}-", delete=False) as out:
                    path = Path(out.name)
                    leftovers.callback(path.unlink, missing_ok=True)
                    for batch in view.batches():
                        returns += sum(line.endswith("\r") for line in batch)
                        out.write(_written(batch, first=not out.tell()))
                    out.flush()
                    os.fsync(out.fileno())
                counts[part] = view.read().lines
                written.append((path, directory / f"{part}.txt"))
            with ExitStack() as placed:
                for path, final in written:
                    final.open("xb").close()  # takes the name, unless somebody else has it by now
                    placed.callback(final.unlink, missing_ok=True)
                    shutil.copymode(final, path)  # what the umask allows
                    os.replace(path, final)
                placed.pop_all()
    except FileExistsError as error:
        raise _exists(error.filename) from error
    except OSError as error:
        raise CorpusError(f"cannot write the split to {directory}: {error.strerror or error}.") from error
    if returns:
        corpus.ledger.notes.append(
            rf"{quantity(returns, 'line')} with a carriage return at the end written with the line end \r\n: so it is read "
            "back, but other programs may see one line end or two. If it is not meant, take it out of the text."
        )
    return counts


def _written(batch: list[str], *, first: bool) -> bytes:
    """Lines as a file holds them. first: they are the first ones of it."""
    text = "\n".join(batch) + "\n"
    if "\r\n" in text:
        text = text.replace("\r\n", "\r\r\n")
    if first and text.startswith("\ufeff"):
        text = "\ufeff" + text
    return text.encode()


def _exists(path: object) -> UsageError:
    return UsageError(f"{path} exists and is not overwritten. Choose another directory.")
