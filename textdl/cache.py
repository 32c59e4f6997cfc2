"""Things that can be made again, kept per user: `$TEXTDL_CACHE`, or the system's place for caches.

An entry is a directory under `KIND/KEY`, made in a hidden directory beside it and renamed when it is
whole: two processes that make the same entry at once both succeed, the first to finish is kept, and a
killed process leaves nothing that could be taken for an entry. `entry.json` lists the files with their
sizes; an entry that does not match is made again. The entries used longest ago go when all together are
larger than `$TEXTDL_CACHE_LIMIT` (20G).
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdl import scratch
from textdl.errors import CorpusError, UsageError
from textdl.storage import cache_directory, fsync

_LIMIT = "20G"
_CARD = "entry.json"
_GRACE = 3600.0
"""Seconds after its last use in which an entry is not taken away: somebody may be about to open it."""


@dataclass(frozen=True)
class Entry:
    """One thing in the cache."""

    kind: str
    """`encoded`: corpora as ids; `corpora`: built-in texts; `jieba`, `numba`: what these packages keep."""
    path: Path
    bytes: int
    used: float
    """Seconds since the epoch."""
    about: str
    """What it is, for a person."""


def cached(kind: str, key: str, about: str, build: Callable[[Path], None]) -> Path:
    """The directory of an entry, made by `build(directory)` if it is not there.

    Where no cache can be written it is made in a temporary directory, which goes when the process ends.

    Args:
        key: names the entry and everything it depends on; a file name.
        about: what it is, shown by `textdl cache`.

    Raises:
        CorpusError: the disk is full, or fails.
        UsageError: $TEXTDL_CACHE_LIMIT is no size.
    """
    limit()
    try:
        home = cache_directory(kind)
        final = home / key
        if _whole(final):
            with suppress(OSError):
                os.utime(final / _CARD)
            return final
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        staging = Path(tempfile.mkdtemp(prefix=scratch.mark(""), dir=home))
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        home, final = None, None
        staging = scratch.make("cache")
    try:
        build(staging)
        _seal(staging, about)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, OSError):
            raise CorpusError(
                f"cannot write to {staging.parent}: {error.strerror or error}. Make room there, empty the cache with "
                "`textdl cache clear`, or set TEXTDL_CACHE to a directory on a larger disk."
            ) from error
        raise
    if home is None or final is None:
        return _for_this_process(staging)
    if final.exists() and not _whole(final):
        shutil.rmtree(final, ignore_errors=True)
    try:
        os.rename(staging, final)
    except OSError:
        if not _whole(final):
            return _for_this_process(staging)
        shutil.rmtree(staging, ignore_errors=True)  # another process was first
    with suppress(OSError):
        _make_room(final)
    return final


def drop(directory: Path) -> None:
    """Remove an entry that turned out to be damaged, so that it is made again."""
    shutil.rmtree(directory, ignore_errors=True)


def entries() -> list[Entry]:
    """Everything in the cache, the largest first. Directories of other packages are one entry each."""
    found = []
    try:
        root = cache_directory("")
        kinds = sorted(path for path in root.iterdir() if path.is_dir())
    except (OSError, RuntimeError):
        return []
    for kind in kinds:
        with suppress(OSError):  # another process may be clearing up
            rest = 0
            for path in kind.iterdir():
                if (path / _CARD).is_file() and not path.name.startswith("."):
                    with suppress(OSError):
                        found.append(_entry(kind.name, path))
                else:
                    rest += _size(path)
            if rest:
                found.append(Entry(kind.name, kind, rest, kind.stat().st_mtime, "files"))
    return sorted(found, key=lambda entry: -entry.bytes)


def clear(kinds: set[str] | None = None, *, unused_for: float = 0.0) -> int:
    """Remove entries; the bytes that became free are returned. What another process is building stays.

    Args:
        kinds: only these; None: all.
        unused_for: only what has not been used for so many seconds.
    """
    freed = 0
    for entry in entries():
        if (kinds is None or entry.kind in kinds) and time.time() - entry.used >= unused_for:
            if entry.path.name != entry.kind:
                freed += entry.bytes
                shutil.rmtree(entry.path, ignore_errors=True)
                continue
            for path in entry.path.iterdir():
                if not scratch.alive(path) and (path.name.startswith(".") or not (path / _CARD).is_file()):
                    freed += _size(path)
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)
    return freed


def limit() -> int:
    """Bytes that the cache may hold: `$TEXTDL_CACHE_LIMIT`, such as 500M or 20G.

    Raises:
        UsageError: it is no size.
    """
    text = os.environ.get("TEXTDL_CACHE_LIMIT", _LIMIT)
    number = parse_size(text)
    if number is None:
        raise UsageError(f"TEXTDL_CACHE_LIMIT is {text!r}; expected a size such as 500M or 20G")
    return number


def parse_size(text: str) -> int | None:
    """`500M`, `1.5 GB`, `20000` in bytes; None where it is no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    return int(float(match[1]) * 1000 ** " KMGT".index(match[2] or " ")) if match else None


def _for_this_process(directory: Path) -> Path:
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _entry(kind: str, path: Path) -> Entry:
    about = ""
    with suppress(OSError, ValueError, AttributeError):
        about = str(json.loads((path / _CARD).read_text("utf-8")).get("about", ""))
    return Entry(kind, path, _size(path), (path / _CARD).stat().st_mtime, about)


def _seal(staging: Path, about: str) -> None:
    files = sorted(path for path in staging.iterdir() if path.is_file())
    for path in files:
        fsync(path)
    card: dict[str, Any] = {"about": about, "files": {path.name: path.stat().st_size for path in files}}
    (staging / _CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", "utf-8")
    fsync(staging / _CARD)
    fsync(staging)


def _whole(directory: Path) -> bool:
    try:
        files = json.loads((directory / _CARD).read_text("utf-8"))["files"]
        return all((directory / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _make_room(new: Path) -> None:
    """Take away what was used longest ago until the rest fits."""
    kept = [entry for entry in entries() if entry.path.name != entry.kind]
    total, most = sum(entry.bytes for entry in kept), limit()
    for entry in sorted(kept, key=lambda entry: entry.used):
        if total <= most:
            return
        if entry.path != new and time.time() - entry.used > _GRACE:
            shutil.rmtree(entry.path, ignore_errors=True)
            total -= entry.bytes


def _sweep(home: Path) -> None:
    """Remove what killed processes left."""
    for path in home.glob(".*"):
        if path.is_dir() and not scratch.alive(path):
            shutil.rmtree(path, ignore_errors=True)


def _size(path: Path) -> int:
    total = 0
    with suppress(OSError):
        if path.is_file():
            return path.stat().st_size
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total
