"""The ledger: what was read of a corpus, what was mended, what was left out. It travels with the model.

The sums hold exactly:

    lines read - duplicates + sentences added             = lines held out + lines trained on
    characters read - those of duplicates - those between sentences = held out + trained on
    tokens                                                = known tokens + tokens read as <unk>

A training command prints it as a table (`rows`) and the rest as sentences.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Ledger:
    """Counts of one complete pass over a corpus. The fields from `lines_held_out` on belong to later stages.

    A field that is None has not been counted (yet).
    """

    lines: int = 0
    """What the corpus yields, after duplicates and sentences."""
    characters: int = 0
    """Unicode code points of these lines, line ends not counted."""
    blank: int = 0
    """Lines of nothing but white space; they count as lines."""
    records: int = 0
    """Rows of JSONL, CSV, Parquet or a hub data set; none for plain text."""
    records_without_text: int = 0
    """Rows whose field is missing or null: they give no line."""
    records_of_several_lines: int = 0
    """Rows whose text has line ends inside: each part is a line."""
    crlf: int = 0
    r"""Line ends that were \r\n and are \n now."""
    boms: int = 0
    """Byte-order marks at the start of files, dropped."""
    replaced: int = 0
    """Characters put for bytes that could not be decoded, and for lone surrogates (errors="replace")."""
    nuls: int = 0
    """U+0000, kept as text."""
    duplicates_dropped: int = 0
    """Lines left out because an earlier one is the same; never blank ones."""
    duplicate_characters: int = 0
    """Characters of the lines left out."""
    lines_split: int = 0
    """Lines that were cut into sentences, where that gave more than one."""
    sentences_added: int = 0
    """Lines that there are more for it."""
    characters_between: int = 0
    """White space between and around the sentences of a line, dropped."""
    lines_held_out: int | None = None
    characters_held_out: int | None = None
    tokens_held_out: int | None = None
    tokens: int | None = None
    """Of the lines trained on, line ends not counted."""
    types: int | None = None
    cut_types: int | None = None
    """Types too rare for the vocabulary; their tokens became <unk>."""
    cut_tokens: int | None = None
    notes: list[str] = field(default_factory=list)
    """Sentences that a person should see."""

    @property
    def lines_read(self) -> int:
        """Lines as they were found, before duplicates were dropped and sentences split."""
        return self.lines + self.duplicates_dropped - self.sentences_added

    @property
    def characters_read(self) -> int:
        return self.characters + self.duplicate_characters + self.characters_between

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    def rows(self) -> list[tuple[str, int, int, int | None]]:
        """(what, lines, characters, tokens) of the table: read, less what was left out, is what was trained on."""
        rows: list[tuple[str, int, int, int | None]] = [("read", self.lines_read, self.characters_read, None)]
        if self.duplicates_dropped:
            rows.append(("duplicates dropped", -self.duplicates_dropped, -self.duplicate_characters, None))
        if self.sentences_added or self.characters_between:
            rows.append(("split into sentences", self.sentences_added, -self.characters_between, None))
        held_out = self.lines_held_out or 0
        if held_out:
            rows.append(("held out", -held_out, -(self.characters_held_out or 0), self.tokens_held_out))
        if self.tokens is not None:
            characters = self.characters - (self.characters_held_out or 0)
            rows.append(("trained on", self.lines - held_out, characters, self.tokens))
        return rows

    def table(self) -> list[str]:
        """`rows` as lines of text, with a head and what became of the tokens."""
        rows = [(what, f"{lines:,}", f"{c:,}", "" if t is None else f"{t:,}") for what, lines, c, t in self.rows()]
        if self.cut_tokens:
            rows.append((f"  as <unk> ({quantity(self.cut_types, 'rare type')})", "", "", f"{self.cut_tokens:,}"))
        if self.types is not None:
            rows.append(("  types known", "", "", f"{self.types:,}"))
        columns = [("", "lines", "characters", "tokens"), *rows]
        widths = [max(len(row[i]) for row in columns) for i in range(4)]
        return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in columns]

    def remarks(self) -> list[str]:
        """What else a person is told: what was mended and what is odd, only where it is not nothing."""
        told = []
        if self.blank:
            told.append(f"{quantity(self.blank, 'line')} blank.")
        if self.records:
            told.append(f"{quantity(self.records, 'record')} read.")
        told += self.mended()
        if self.lines_split:
            sentences = self.lines_split + self.sentences_added
            told.append(f"{quantity(self.lines_split, 'line')} split into {sentences:,} sentences.")
        if self.characters_between:
            told.append(f"{quantity(self.characters_between, 'character')} of white space around sentences dropped.")
        return told + self.notes

    def mended(self) -> list[str]:
        """Of the remarks those on what was mended in reading, or should have been at the source."""
        told = []
        if self.records_without_text:
            told.append(f"{quantity(self.records_without_text, 'record')} without text gave no line.")
        if self.records_of_several_lines:
            told.append(
                f"{quantity(self.records_of_several_lines, 'record')} with line ends inside gave several lines."
            )
        if self.crlf:
            told.append(rf"{quantity(self.crlf, 'line end')} \r\n read as \n.")
        if self.boms:
            told.append(f"{quantity(self.boms, 'byte-order mark')} dropped.")
        if self.replaced:
            told.append(f"{quantity(self.replaced, 'character')} replaced by U+FFFD: they could not be decoded.")
        if self.nuls:
            told.append(f"{quantity(self.nuls, 'NUL character')} kept as text; that is rarely meant.")
        return told

    def sentences(self) -> list[str]:
        """The whole ledger as sentences, the size first."""
        told = [f"Read {quantity(self.lines_read, 'line')}, {quantity(self.characters_read, 'character')}."]
        if self.duplicates_dropped:
            told.append(f"{quantity(self.duplicates_dropped, 'duplicate line')} dropped.")
        if self.lines_held_out:
            told.append(f"{quantity(self.lines_held_out, 'line')} held out for validation.")
        if self.tokens is not None:
            types = f" of {quantity(self.types, 'type')}" if self.types is not None else ""
            told.append(f"{quantity(self.tokens, 'token')}{types}.")
        if self.cut_types:
            tokens = f" ({quantity(self.cut_tokens, 'token')})" if self.cut_tokens is not None else ""
            told.append(f"{quantity(self.cut_types, 'rare type')}{tokens} read as <unk>.")
        return told + self.remarks()


def quantity(number: int | None, noun: str) -> str:
    """`1 line`, `2,000 lines`; None is none."""
    number = number or 0
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(number: int, total: int) -> str:
    """`12.50 %`, `<0.01 %`; nothing of nothing."""
    return "<0.01 %" if 0 < number < total / 20_000 else f"{100 * number / total:.2f} %" if total else ""
