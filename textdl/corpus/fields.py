"""Which field of a table is the text, and a record's text as lines.

Without `--field` it is the only field of strings, else the one that has one of the usual names (`TEXT_NAMES`). Text with
line ends inside becomes several lines, and an empty text is a blank line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from textdl.corpus.ledger import Ledger
from textdl.errors import UsageError

TEXT_NAMES = (
    "text", "content", "sentence", "line", "body", "document", "article", "paragraph", "review", "comment", "message",
    "文本", "内容", "正文", "句子",
)  # fmt: skip
"""Names of the field that holds the text, in the order in which they are looked for."""
SAMPLE = 100
"""Records that decide which field is the text."""


def choose_field(columns: Mapping[str, str], name: str, ledger: Ledger) -> str:
    """The field that holds the text where the user has not said which.

    Args:
        columns: the type of each, as messages call it; `str` is text.

    Raises:
        UsageError: it is not clear which.
    """
    candidates: list[str] = []
    strings: list[str] = []
    for kinds in (("str",), ("null", "empty"), ("number",)):  # of CSV, where a number is text if the name says so
        candidates += [c for known in TEXT_NAMES for c, kind in columns.items() if c.lower() == known and kind in kinds]
        if kinds != ("number",):
            strings = strings or [column for column, kind in columns.items() if kind in kinds]
    if len(strings) == 1:
        candidates.append(strings[0])
    if not candidates:
        binary = [column for column, kind in columns.items() if kind == "binary"]
        what = "which field is the text is not clear" if strings else "no field holds text"
        if binary and not strings:
            what += f", but {quoted_names(binary)} {'is' if len(binary) == 1 else 'are'} binary: bytes, which may be text in UTF-8"
        raise UsageError(f"{name}: {what}. It has {listed(columns)}. {GIVE_FIELD}")
    chosen = candidates[0]
    if len(columns) > 1:
        note = f"The field {chosen!r} is read, of {quoted_names(columns)}; --field chooses another (field= in Python)."
        if note not in ledger.notes:
            ledger.notes.append(note)
    return chosen


GIVE_FIELD = "Name the field of the text with --field (field= in Python)."


def quoted_names(columns: Iterable[str], most: int = 12) -> str:
    """`'id', 'text'`, cut short where there are many."""
    columns = list(columns)
    more = f" and {len(columns) - most:,} more" if len(columns) > most else ""
    return ", ".join(f"{column[:40]!r}" for column in columns[:most]) + more


def listed(columns: Mapping[str, str], most: int = 12) -> str:
    """`'id' (int), 'text' (str)`, cut short where there are many."""
    found = [f"{column[:40]!r} ({kind})" for column, kind in islice(columns.items(), most)]
    return ", ".join(found) + (f" and {len(columns) - most:,} more" if len(columns) > most else "")


def add_text(text: str, lines: list[str], ledger: Ledger, *, crlf: bool = True) -> None:
    r"""A record's text as lines; a \n at its end ends the last one. crlf: whether \r\n has yet to become \n."""
    if crlf and "\r\n" in text:
        ledger.crlf += text.count("\r\n")
        text = text.replace("\r\n", "\n")
    parts = text.split("\n")
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    if len(parts) > 1:
        ledger.records_of_several_lines += 1
    lines += parts
