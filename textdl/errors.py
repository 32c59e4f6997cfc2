"""Every error that textdl raises on purpose.

A message says what was being done, what was found, what was expected and what to do next.
The command line prints it as one sentence, without a traceback, and exits with `exit_code`.
"""

from __future__ import annotations


class TextdlError(Exception):
    """Base of all errors meant for the user. Exit code 1: the work was understood and failed."""

    exit_code = 1

    def __str__(self) -> str:
        # KeyError, which one subclass also is, would print the repr of its message.
        return str(self.args[0]) if self.args else ""


class UsageError(TextdlError, ValueError):
    """An argument that cannot be meant: unknown name, impossible value, missing file. Exit code 2."""

    exit_code = 2


class TextTypeError(TextdlError, TypeError):
    """Text of the wrong type: a str where lines are due, bytes where a str is due. Exit code 2."""

    exit_code = 2


class CorpusError(TextdlError):
    """Text that was found but cannot be used: empty, in another encoding, exhausted."""


class ModelError(TextdlError):
    """A model directory that is missing, unfinished, truncated, or of another format version."""


class UnknownWordError(TextdlError, KeyError):
    """A word that word vectors were asked for and do not have."""


class NotComparableError(TextdlError):
    """Nothing that was asked for can be compared. Exit code 3."""

    exit_code = 3
