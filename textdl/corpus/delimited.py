"""CSV and TSV.

- CSV: RFC 4180, strictly; `,`, `;` or tab, whichever is most frequent in the first line. The first row names the
  columns; where `field` is a number that is no such name, it counts columns from 1 and there is no such row.
- TSV: the same without quoting, for corpora in TSV have none: a quote is text, and no text has a tab or line end.

A line with nothing in it is a blank line where there is one column; where there are several it is a record
without text, counted as such.
"""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from textdl.corpus.fields import GIVE_FIELD, SAMPLE, TEXT_NAMES, add_text, choose_field, quoted_names
from textdl.corpus.ledger import Ledger
from textdl.errors import CorpusError, UsageError

_CHARACTERS = 1 << 20
"""Of one batch of lines, about."""
_LONGEST_FIELD = 1 << 27
"""Characters of one CSV field: more is a quote that is never closed."""


def read_csv(batches: Iterator[list[str]], name: str, field: str | None, ledger: Ledger) -> Iterator[list[str]]:
    """The text of the records in the lines of a file; see records.read_records."""
    first = next(batches, [])
    delimiter = _delimiter(first)
    if delimiter != ",":
        said = "tabs" if delimiter == "\t" else "semicolons"
        ledger.notes.append(f"{name} has {said} between its fields.")
    lines = (line + "\n" for batch in chain([first], batches) for line in batch)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    yield from _rows(lambda: _next_rows(rows, name), name, field, ledger)


def read_tsv(batches: Iterator[list[str]], name: str, field: str | None, ledger: Ledger) -> Iterator[list[str]]:
    """The same of lines cut at tabs."""
    number = 0

    def next_rows() -> list[tuple[int, list[str]]]:
        nonlocal number
        batch = next(batches, [])
        number += len(batch)
        return [(at, line.split("\t")) for at, line in enumerate(batch, number - len(batch) + 1)]

    yield from _rows(next_rows, name, field, ledger, quoting=False)


def _next_rows(rows: Any, name: str) -> list[tuple[int, list[str]]]:
    """Rows of about a million characters, each with the line it begins in; none at the end."""
    found: list[tuple[int, list[str]]] = []
    size = 0
    begin = rows.line_num + 1
    with _long_fields():
        try:
            for row in rows:
                found.append((begin, row))
                begin = rows.line_num + 1
                size += 64 + sum(map(len, row))
                if size > _CHARACTERS:
                    break
        except csv.Error as error:
            raise _not_csv(error, f"{name}, line {begin:,}", rows.line_num - begin + 1) from error
    return found


def _not_csv(error: csv.Error, where: str, length: int) -> CorpusError:
    what = str(error)
    if "unexpected end of data" in what or "field limit" in what:
        return CorpusError(
            f"{where}: a quote is opened in this record and not closed in the {length:,} lines that follow. "
            'Close it, or write quotes within a field twice (""); without quoting the file is TSV.'
        )
    if "new-line character" in what:
        return CorpusError(
            f"{where}: a carriage return within a field that is not quoted. Quote it, or convert the line ends."
        )
    over = f" (the record goes over {length:,} lines: is a quote before it not closed?)" if length > 1 else ""
    return CorpusError(
        f"{where}: not CSV: {what}{over}. A field with quotes in it must be quoted as a whole, its own quotes written "
        'twice ("").'
    )


_long_lock = threading.Lock()
_long_users = 0
_usual_limit = 0


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lets csv read long fields. The limit is the whole process's: it is put back as soon as nobody needs it."""
    global _long_users, _usual_limit
    with _long_lock:
        if not _long_users:
            _usual_limit = csv.field_size_limit(_LONGEST_FIELD)
        _long_users += 1
    try:
        yield
    finally:
        with _long_lock:
            _long_users -= 1
            if not _long_users:
                csv.field_size_limit(_usual_limit)


def _delimiter(lines: Sequence[str]) -> str:
    """Of `,`, `;` and tab the one that is most frequent in the first line, quoted fields aside."""
    first = next((line for line in lines if line), "")
    plain = re.sub(r'"(?:[^"]|"")*(?:"|\Z)', "", first)
    return max(",;\t", key=plain.count)


def _rows(
    next_rows: Callable[[], list[tuple[int, list[str]]]],
    name: str,
    field: str | None,
    ledger: Ledger,
    quoting: bool = True,
) -> Iterator[list[str]]:
    """The cells of one column as lines. A line with nothing in it is text in a table of one column, else it has none."""
    rows = next_rows()
    blank: list[tuple[int, list[str]]] = []  # lines before the first row
    while rows and rows[0][1] in _BLANK:
        blank.append(rows[0])
        rows = rows[1:] or next_rows()
    if not rows:
        ledger.records += len(blank)
        ledger.records_without_text += len(blank)
        return
    while len(rows) == 1 and (more := next_rows()):
        rows += more
    header = [cell.strip() for cell in rows[0][1]]
    width = len(header)
    if field is not None and field not in header and field.isdecimal():
        column = int(field) - 1
        if not 0 <= column < width:
            raise UsageError(f"{name} has {width:,} columns, and --field {field} is none of them; they count from 1.")
        if width > 1 or rows[0][1][0].strip().lower() in TEXT_NAMES:
            ledger.notes.append(
                f"{name}: column {field} was asked for by its number, so the first row ({quoted_names(header, 4)}) is text too. "
                "If it names the columns, give --field a name."
            )
        rows = blank + rows
    else:
        if len(rows) == 1 and width > 1:
            ledger.notes.append(f"{name} has a row of names ({quoted_names(header, 4)}) and no other row.")
            return
        sample = [row for _, row in rows[1 : SAMPLE + 1] if len(row) == width]
        field, column = _column(header, sample, name, field, ledger)
        rows = blank + rows[1:]
    if not quoting and any(_quoted(row[column]) for _, row in rows[:SAMPLE] if len(row) == width):
        ledger.notes.append(
            f"{name}: quotes in TSV are text, and some texts here are quoted. If those quotes are not meant, "
            "rename the file to .csv, which may have tabs."
        )
    while True:
        texts: list[str] = []
        for number, row in rows:
            if len(row) != width:
                if row not in _BLANK:
                    raise CorpusError(
                        f"{name}, line {number:,}: {len(row):,} fields where the first row has {width:,}"
                        f"{_cells(row)}. Quote fields that hold the separator, or mend that line."
                    )
                if width > 1:
                    ledger.records += 1
                    ledger.records_without_text += 1
                    continue
                row = [""]
            ledger.records += 1
            text = row[column]
            if "\n" in text:
                add_text(text, texts, ledger, crlf=False)
            else:
                texts.append(text)
        if texts:
            yield texts
        rows = next_rows()
        if not rows:
            return


_BLANK: tuple[list[str], ...] = ([], [""])
"""What a line with nothing in it reads as: to csv, split at tabs."""


def _cells(row: list[str]) -> str:
    return f" ({', '.join(repr(cell[:20]) for cell in row[:4])}{', ...' if len(row) > 4 else ''})"


def _quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _column(
    header: list[str], sample: list[list[str]], name: str, field: str | None, ledger: Ledger
) -> tuple[str, int]:
    """(name, index) of the column that holds the text; without `field`, numbers are none."""
    if field is None:
        kinds = dict.fromkeys(header, "empty")
        for row in sample:
            for column, cell in zip(header, row, strict=True):
                if cell and kinds[column] != "str":
                    kinds[column] = "number" if _is_number(cell) else "str"
        if len(header) == 1:
            field = header[0]
            if field.lower() not in TEXT_NAMES:
                ledger.notes.append(
                    f"{name}: the first row, {field[:40]!r}, names the only column. If it is text, give --field 1."
                )
        else:
            try:
                field = choose_field(kinds, name, ledger)
            except UsageError as error:
                raise UsageError(f"{error} A number counts columns from 1, where no row names them.") from error
    wanted = field.strip()
    if wanted not in header:
        raise UsageError(
            f"{name}: no column is called {field!r}. The first row has {quoted_names(header)}. {GIVE_FIELD} "
            "A number counts columns from 1, where no row names them."
        )
    if header.count(wanted) > 1:
        raise UsageError(f"{name}: {header.count(wanted)} columns are called {field!r}. Rename all but one.")
    return wanted, header.index(wanted)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
