"""Temporary directories and files that say whose they are, so that what a killed process left is cleared away by the next.

A name is `PURPOSE.HOST.PID.RANDOM`. What is of this machine and whose process is gone is removed; what is of another
machine, which may share the file system, when it is two days old.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from textdl.errors import CorpusError, UsageError

_FOREIGN = 48 * 3600.0
"""Seconds that a directory of another machine is left alone."""
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def make(purpose: str) -> Path:
    """A new directory in $TMPDIR, which the caller removes. What killed processes left there goes.

    Raises:
        UsageError: see `check_tmpdir`.
        OSError: there is no room.
    """
    check_tmpdir()
    home = Path(tempfile.gettempdir())
    sweep(home, "textdl-*")
    return Path(tempfile.mkdtemp(prefix=mark(f"textdl-{purpose}"), dir=home))


@contextmanager
def temporary(purpose: str) -> Iterator[Path]:
    """The same, gone at the end of the `with` block."""
    directory = make(purpose)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def check_tmpdir() -> None:
    """Raises UsageError where $TMPDIR cannot be used: Python would silently take another directory."""
    wanted = os.environ.get("TMPDIR")
    if wanted and not (os.path.isdir(wanted) and os.access(wanted, os.W_OK | os.X_OK)):
        raise UsageError(
            f"TMPDIR is {wanted}, which is not a directory one may write to. Make it, name another, or unset TMPDIR."
        )


def no_room(error: OSError) -> CorpusError:
    """What to say when a temporary file cannot be written."""
    return CorpusError(
        f"a temporary file in {tempfile.gettempdir()} cannot be written "
        f"({error.strerror or error}). Make room, or set TMPDIR to a directory that has some."
    )


@contextmanager
def telling_of_no_room() -> Iterator[None]:
    """Around a block that writes temporary files, and closes them: a full disk is said to be theirs.

    Raises:
        CorpusError: there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _FULL:  # what is opened by name has it in the error
            raise no_room(error) from error
        raise


def mark(purpose: str) -> str:
    """The beginning of a name that says whose it is."""
    return f"{purpose}.{re.sub('[^A-Za-z0-9-]', '-', socket.gethostname())}.{os.getpid()}."


def sweep(home: Path, pattern: str) -> None:
    """Remove what is marked, of a pattern, and whose process is gone."""
    for path in home.glob(pattern):
        if not marked(path) or alive(path) or path.is_symlink():
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def marked(path: Path) -> bool:
    """Whether a name was made with `mark`."""
    parts = path.name.rsplit(".", 3)
    return len(parts) == 4 and parts[2].isdecimal()


def alive(path: Path) -> bool:
    """Whether the process that a name was marked by may still be there."""
    if not marked(path):
        return False
    _, host, pid, _ = path.name.rsplit(".", 3)
    if host == mark("").split(".")[1] and os.name == "posix":
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            return True
        return True
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < _FOREIGN
    return False


def owner(path: Path) -> int | None:
    """The process of this machine that a name was marked by; None where it is gone, or cannot be told."""
    if not alive(path) or os.name != "posix":
        return None
    _, host, pid, _ = path.name.rsplit(".", 3)
    return int(pid) if host == mark("").split(".")[1] else None
