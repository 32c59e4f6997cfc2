r"""What is counted on the raw text, once and alike for all models: the denominators and the text key.

A line end is one character, one byte and one word, and every line has one, also a last line without.
Nothing is normalised here; what was normalised while reading (`\r\n`) is named in the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.errors import CorpusError, ModelError, TextTypeError, UsageError
from textdl.protocols import Tokenizer

LEAK_LENGTH = 10
"""Characters: shorter lines recur by chance and are not called leaked."""


@dataclass(frozen=True)
class TextCounts:
    """One text. All counts include one for each line end."""

    lines: int
    characters: int
    """Unicode code points."""
    bytes: int
    """In UTF-8."""
    words: int
    """Pieces of the reference segmenter that are not white space."""
    segmenter: str
    """The specification of the reference segmenter and its fingerprint."""
    sha256: str
    """Of the lines in UTF-8, each followed by one line feed."""
    line_end: str = "LF"
    normalisation: str = "none"

    @property
    def key(self) -> str:
        """Equal keys: the same text, counted the same way."""
        return f"sha256:{self.sha256} {self.line_end} {self.normalisation}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TextCounts:
        """Raises ModelError where it is not what `to_dict` gives."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"the text of these results cannot be read ({error}). Evaluate again.") from error


def count_text(lines: Iterable[str], segmenter: Tokenizer, *, normalisation: str = "none") -> TextCounts:
    """Count in one pass; no more is held than the segmenter reads ahead.

    Args:
        lines: without their line ends.
        segmenter: declares what a word is; any tokenizer, the same for all models.
        normalisation: the name of what was done to the text before, or `none`.

    Raises:
        CorpusError: no lines.
        TextTypeError, UsageError: see `checked_lines`.
    """
    number = characters = size = words = 0
    digest = hashlib.sha256()

    def tally() -> Iterator[str]:
        nonlocal number, characters, size
        for line in checked_lines(lines):
            data = line.encode("utf-8")
            digest.update(data + b"\n")
            number += 1
            characters += len(line) + 1
            size += len(data) + 1
            yield line

    for pieces in segmenter.encode_lines(tally()):
        words += 1 + sum(not piece.isspace() for piece in pieces)
    if number == 0:
        raise CorpusError("The text to evaluate on is empty: it has no lines. Give a text with at least one line.")
    return TextCounts(
        lines=number,
        characters=characters,
        bytes=size,
        words=words,
        segmenter=f"{segmenter.spec} ({segmenter.fingerprint[:16]})",
        sha256=digest.hexdigest(),
        normalisation=normalisation,
    )


def checked_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines, each looked at.

    Raises:
        TextTypeError: a str where lines are due, or a line that is not a str.
        UsageError: a line with a line feed inside, or with a lone surrogate.
    """
    if isinstance(lines, str):
        raise TextTypeError(
            f"the text to evaluate on is the str {lines[:40]!r}; give a list of lines: [{lines[:20]!r}]"
        )
    for number, line in enumerate(lines, 1):
        if not isinstance(line, str):
            raise TextTypeError(f"line {number} of the text is a {type(line).__name__}; every line must be a str")
        if "\n" in line:
            raise UsageError(
                f"line {number} of the text holds a line feed; split it there: lines come without their ends"
            )
        if not line.isascii():
            try:
                line.encode("utf-8")
            except UnicodeEncodeError as error:
                raise UsageError(
                    f"line {number} of the text holds a lone surrogate (U+{ord(line[error.start]):04X}): "
                    "it was decoded wrongly. Read it with its right encoding."
                ) from error
        yield line


def leaked_lines(
    lines: Iterable[str], fingerprints: NDArray[np.uint64], line_fingerprint: Callable[[str], int]
) -> tuple[int, int]:
    """How many lines of LEAK_LENGTH characters or more occur in the training text, and how many such lines there are.

    Args:
        fingerprints: of the training lines, sorted.
        line_fingerprint: the function that made them.
    """
    found = np.fromiter((line_fingerprint(line) for line in lines if len(line) >= LEAK_LENGTH), np.uint64)
    if not len(fingerprints):
        return 0, len(found)
    at = np.minimum(np.searchsorted(fingerprints, found), len(fingerprints) - 1)
    return int(np.count_nonzero(fingerprints[at] == found)), len(found)
