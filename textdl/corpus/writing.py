"""Splits to files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from textdl.corpus.corpus import Corpus
from textdl.corpus.split import RATIOS, SPLITS, bounds
from textdl.errors import CorpusError, UsageError


def write_split(corpus: Corpus, directory: str | Path, ratios: Sequence[float] = RATIOS) -> dict[str, int]:
    """Write train.txt, valid.txt and test.txt; the lines of each are returned.

    Nothing is left behind when it fails, and nothing is ever overwritten.

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
            raise UsageError(f"{directory / part}.txt exists and is not overwritten. Choose another directory.")
    corpus.require_text()
    counts: dict[str, int] = {}
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
                        out.write(("\n".join(batch) + "\n").encode())
                    out.flush()
                    os.fsync(out.fileno())
                path.chmod(0o644)
                counts[part] = view.read().lines
                written.append((path, directory / f"{part}.txt"))
            for path, final in written:
                os.replace(path, final)
    except OSError as error:
        raise CorpusError(f"cannot write the split to {directory}: {error.strerror or error}.") from error
    return counts
