"""The ledger: what was read of a corpus, what was mended, what was left out. It travels with the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Ledger:
    """Counts of one complete pass over a corpus. The fields from `tokens` on belong to later stages.

    A field that is None has not been counted (yet).
    """

    lines: int = 0
    blank: int = 0
    """Lines of nothing but white space; they count as lines."""
    characters: int = 0
    """Unicode code points, line ends not counted."""
    crlf: int = 0
    r"""Line ends that were \r\n and are \n now."""
    boms: int = 0
    """Byte-order marks at the start of files, dropped."""
    replaced: int = 0
    """Characters put for bytes that could not be decoded (errors="replace")."""
    nuls: int = 0
    """U+0000, kept as text."""
    duplicates_dropped: int = 0
    """Lines left out because an earlier one is the same."""
    lines_held_out: int | None = None
    tokens: int | None = None
    types: int | None = None
    cut_types: int | None = None
    """Types too rare for the vocabulary; their tokens became <unk>."""
    cut_tokens: int | None = None
    notes: list[str] = field(default_factory=list)
    """Sentences that a person should see."""

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """What a person is told: always the size, everything else only where it is not nothing."""
        told = [f"Read {_count(self.lines, 'line')} ({self.blank:,} blank), {_count(self.characters, 'character')}."]
        if self.crlf:
            told.append(rf"{_count(self.crlf, 'line end')} \r\n read as \n.")
        if self.boms:
            told.append(f"{_count(self.boms, 'byte-order mark')} dropped.")
        if self.replaced:
            told.append(f"{_count(self.replaced, 'character')} replaced by U+FFFD: bytes that could not be decoded.")
        if self.nuls:
            told.append(f"{_count(self.nuls, 'NUL character')} kept as text; that is rarely meant.")
        if self.duplicates_dropped:
            told.append(f"{_count(self.duplicates_dropped, 'duplicate line')} dropped.")
        if self.lines_held_out:
            told.append(f"{_count(self.lines_held_out, 'line')} held out for validation.")
        if self.tokens is not None:
            types = f" of {_count(self.types, 'type')}" if self.types is not None else ""
            told.append(f"{_count(self.tokens, 'token')}{types}.")
        if self.cut_types:
            tokens = f" ({_count(self.cut_tokens, 'token')})" if self.cut_tokens is not None else ""
            told.append(f"{_count(self.cut_types, 'rare type')}{tokens} read as <unk>.")
        return told + self.notes


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
