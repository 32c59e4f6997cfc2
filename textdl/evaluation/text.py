r"""What is counted on the raw text, once and alike for all models: the denominators and the text key.

A line end is one character, one byte and one word, and every line has one, also a last line without.
Nothing is normalised here, and the key says so: a text is its lines, so one that was read with `\r\n` is the same text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.errors import CorpusError, ModelError, TextTypeError, UsageError
from textdl.protocols import Run, Tokenizer

LEAK_LENGTH = 10
"""Characters: shorter lines recur by chance and are not called leaked."""
_WAITING = 1 << 16
"""Fingerprints that are looked up together."""
_OFTEN = 1 << 12
"""Lines between two reports of progress."""


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
            made = cls(**values)
        except TypeError as error:
            raise ModelError(f"the text of these results cannot be read ({error}). Evaluate again.") from error
        for f in fields(made):
            value = getattr(made, f.name)
            if not isinstance(value, str if f.type == "str" else int) or isinstance(value, bool):
                raise ModelError(f"the {f.name} of the text of these results are {value!r}. Evaluate again.")
        if not 1 <= made.lines <= min(made.words, made.characters) or made.bytes < made.characters:
            raise ModelError(
                f"a text of {made.lines:,} lines cannot have {made.words:,} words, {made.characters:,} characters and "
                f"{made.bytes:,} bytes: these results were changed. Evaluate again."
            )
        return made


def count_text(
    lines: Iterable[str],
    segmenter: Tokenizer,
    *,
    normalisation: str = "none",
    encode_lines: Callable[[Tokenizer, Iterable[str]], Iterator[list[str]]] | None = None,
    leaks: Leaks | None = None,
    run: Run | None = None,
) -> TextCounts:
    """Count in one pass; no more is held than the segmenter reads ahead.

    Args:
        lines: without their line ends.
        segmenter: declares what a word is; any tokenizer, the same for all models.
        normalisation: the name of what was done to the text before, or `none`.
        encode_lines: how lines are tokenized, where not by the segmenter itself.
        leaks: is shown every line.
        run: receives progress.

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
            if leaks is not None:
                leaks.add(line)
            if run is not None and number % _OFTEN == 0:
                run.progress("counting the text", number, None, "lines")
            yield line

    for pieces in (encode_lines or (lambda cut, some: cut.encode_lines(some)))(segmenter, tally()):
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
            f"the text to evaluate on is the str {lines[:40]!r}; give a list of lines: [{lines[:20]!r}], or of a file "
            f"textdl.open_corpus({lines[:20]!r})"
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


class Leaks:
    """Lines of a text that models were trained on, found while the text is counted.

    A model keeps 64-bit fingerprints of its training lines, not the lines. Lines of fewer than LEAK_LENGTH
    characters are not looked for.
    """

    def __init__(self, trained: Sequence[NDArray[np.uint64]], line_fingerprint: Callable[[str], int]):
        """trained: the fingerprints of each model, sorted; none of a model that has none. line_fingerprint: made them."""
        self._trained, self._fingerprint = trained, line_fingerprint
        self._waiting: list[int] = []
        self._found = [0] * len(trained)
        self._looked = 0

    def add(self, line: str) -> None:
        if len(line) >= LEAK_LENGTH:
            self._waiting.append(self._fingerprint(line))
            if len(self._waiting) >= _WAITING:
                self._look()

    def of(self, model: int) -> tuple[int | None, int | None]:
        """How many lines a model was trained on, and how many were looked for; None where it has no fingerprints."""
        self._look()
        return (self._found[model], self._looked) if len(self._trained[model]) else (None, None)

    def _look(self) -> None:
        lines = np.array(self._waiting, np.uint64)
        for i, known in enumerate(self._trained):
            if len(known):
                at = np.minimum(np.searchsorted(known, lines), len(known) - 1)
                self._found[i] += int(np.count_nonzero(known[at] == lines))
        self._looked += len(lines)
        self._waiting.clear()
