r"""ARPA files: n-gram models as text, the form that KenLM, SRILM and others exchange.

    \data\
    ngram 1=5
    ...
    \2-grams:
    log10 p <tab> words separated by spaces <tab> log10 back-off (left out for the highest order)
    \end\

Words are in their written form (`vocabulary.escape`), which has no white space. <s> is given
probability 1 as lmplz does: its line is there for the back-off weight, and nobody predicts <s>.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from textdl.encoded import BOS
from textdl.errors import ModelError, UsageError
from textdl.ngram.model import NgramModel
from textdl.vocabulary import Vocabulary

_LN10 = math.log(10)


class Entry(NamedTuple):
    """A line of an ARPA file."""

    words: tuple[str, ...]
    """In written form."""
    log10_p: float
    log10_backoff: float
    """0.0 where the file has none."""


def write(model: NgramModel, vocab: Vocabulary, path: Path) -> None:
    """Write the model so that KenLM can load it; compressed where the name ends in .gz.

    Raises:
        UsageError: the vocabulary is another model's, or the file cannot be written.
    """
    if len(vocab) != model.vocab_size:
        raise UsageError(f"A vocabulary of {len(vocab)} does not belong to a model with one of {model.vocab_size}.")
    trie = model.trie
    written = np.array([vocab.written(i) for i in range(len(vocab))], dtype=object)
    try:
        file = _open(path, "wt")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}). Choose another name.") from error
    with file:
        file.write("\\data\\\n" + "".join(f"ngram {n}={size}\n" for n, size in enumerate(trie.sizes, 1)))
        for n in range(1, trie.order + 1):
            file.write(f"\n\\{n}-grams:\n")
            for nodes, words in trie.ngrams(n):
                logs = model.logp[nodes].astype(np.float64) / _LN10
                if n == 1:
                    logs[words[:, 0] == BOS] = 0.0
                texts = map(" ".join, written[words].tolist())
                if n == trie.order:
                    file.writelines(f"{p:.7g}\t{text}\n" for p, text in zip(logs.tolist(), texts, strict=True))
                else:
                    weights = model.backoff[nodes].astype(np.float64) / _LN10
                    rows = zip(logs.tolist(), texts, weights.tolist(), strict=True)
                    file.writelines(f"{p:.7g}\t{text}\t{weight:.7g}\n" for p, text, weight in rows)
        file.write("\n\\end\\\n")


def read(path: Path) -> Iterator[Entry]:
    """The n-grams of an ARPA file, plain or .gz, in the order of the file.

    Raises:
        UsageError: there is no such file.
        ModelError: it is not an ARPA file, or ends early; with the number of the line.
    """
    try:
        with _open(path, "rt") as file:
            yield from _entries(file, path)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError):
            raise UsageError(f"{path}: no such ARPA file. Check the path.") from error
        raise ModelError(f"{path} cannot be read as an ARPA file ({error}). Copy it again.") from error


def _entries(file: IO[str], path: Path) -> Iterator[Entry]:
    sizes: list[int] = []
    order = left = 0
    number = 0
    for number, line in enumerate(file, 1):
        line = line.rstrip("\n")
        where = f"{path}, line {number}"
        if line == "" or line == "\\data\\":
            continue
        if order == 0 and line.startswith("ngram "):
            n, _, size = line[6:].partition("=")
            if n != str(len(sizes) + 1) or not size.isdecimal():
                raise ModelError(f"{where}: expected `ngram {len(sizes) + 1}=COUNT`, got {line[:60]!r}")
            sizes.append(int(size))
        elif line.startswith("\\"):
            if left:
                raise ModelError(f"{where}: {left} {order}-grams are missing before {line[:60]!r}")
            wanted = f"\\{order + 1}-grams:" if order < len(sizes) else "\\end\\"
            if line != wanted or not sizes:
                raise ModelError(f"{where}: expected {wanted if sizes else 'ngram 1=COUNT'}, got {line[:60]!r}")
            if line == "\\end\\":
                return
            left = sizes[order]
            order += 1
        elif left:
            yield _entry(line, order, where)
            left -= 1
        else:
            raise ModelError(f"{where}: expected the next section of an ARPA file, got {line[:60]!r}")
    raise ModelError(f"{path} ends after line {number} without \\end\\: it is not a whole ARPA file. Copy it again.")


def _entry(line: str, order: int, where: str) -> Entry:
    """`p <tab> words [<tab> backoff]`; some tools write spaces for the tabs."""
    if "\t" in line:
        p, words, *rest = line.split("\t")
        gram = tuple(words.split(" "))
    else:
        p, *fields = line.split(" ")
        gram, rest = tuple(fields[:order]), fields[order:]
    try:
        if len(gram) != order or len(rest) > 1:
            raise ValueError
        return Entry(gram, float(p), float(rest[0]) if rest else 0.0)
    except ValueError:
        raise ModelError(f"{where}: expected a {order}-gram with its log-probability, got {line[:60]!r}") from None


def _open(path: Path, mode: str) -> IO[str]:
    r"""Always UTF-8 and \n: other line ends are text."""
    if path.suffix == ".gz":
        return gzip.open(path, mode, compresslevel=6, encoding="utf-8", newline="\n")  # type: ignore[return-value]
    return path.open(mode, encoding="utf-8", newline="\n")
