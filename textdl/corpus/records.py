r"""Tables to lines: JSONL, CSV, TSV and Parquet, of whose records one field is the text.

What a file is, its name says (`form_of`); it may be compressed besides. Without `field` the text is the only
field of strings, else the one that has one of the usual names (`TEXT_NAMES`). Text with line ends inside becomes
several lines, and an empty text is a blank line.

- JSONL: a record a line, an object or a bare string; a field within a field has dots (`a.b`). Blank lines are none.
- CSV: RFC 4180, strictly; `,`, `;` or tab, whichever is most frequent in the first line. The first row names the
  columns; where `field` is a number that is no such name, it counts columns from 1 and there is no such row.
- TSV: the same without quoting, for corpora in TSV have none: a quote is text, and no text has a tab or line end.
- Parquet: a column of strings, read in batches; structs within have dots.

A CSV or TSV line with nothing in it is a blank line where there is one column; where there are several it is a record
without text, counted as such.

Nothing is unescaped beyond what the format says: a `\n` of two characters stays two characters.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textdl.corpus.fingerprints import temporary_path
from textdl.corpus.ledger import Ledger
from textdl.corpus.reading import (
    COMPRESSIONS,
    REPLACE,
    STAND_IN,
    Errors,
    is_compressed,
    opened,
    read_lines,
    replace_stand_ins,
    replace_surrogates,
)
from textdl.errors import CorpusError, UsageError
from textdl.scratch import no_room

if TYPE_CHECKING:
    import pyarrow as pa

FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
TEXT_NAMES = (
    "text", "content", "sentence", "line", "body", "document", "article", "paragraph", "review", "comment", "message",
    "文本", "内容", "正文", "句子",
)  # fmt: skip
"""Names of the field that holds the text, in the order in which they are looked for."""

_SAMPLE = 100
"""Records that decide which field is the text."""
_CHARACTERS = 1 << 20
"""Of one batch of lines, about."""
_TOGETHER = 1 << 24
"""Bytes of texts of a column that are decoded as a whole."""
_LONGEST_FIELD = 1 << 27
"""Characters of one CSV field: more is a quote that is never closed."""


def form_of(path: Path) -> str | None:
    """`jsonl`, `csv`, `tsv` or `parquet` by the file's name; None is plain text."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return FORMS.get(suffixes[-1]) if suffixes else None


def read_records(
    path: Path, name: str, encoding: str, errors: Errors, field: str | None, ledger: Ledger
) -> Iterator[list[str]]:
    """The text of one table in lists of lines. Counts records and repairs in the ledger.

    Args:
        path: of a file that has a form.
        name: what messages call it.
        encoding: of JSONL, CSV and TSV.
        errors: `replace` also puts U+FFFD for lone surrogates.
        field: the name of the field (its number, for CSV and TSV without a row of names); None finds it.

    Raises:
        CorpusError: the file cannot be read, or a record is not what the form says; with the line.
        UsageError: there is no such field, or none was given and it is not clear which it is.
    """
    form = form_of(path)
    if form == "parquet":
        yield from _parquet(path, name, errors, field, ledger)
    elif form == "jsonl":
        yield from _jsonl(read_lines(path, name, encoding, errors, ledger), name, errors, field, ledger)
    elif form == "csv":
        yield from _csv(read_lines(path, name, encoding, errors, ledger), name, field, ledger)
    else:
        yield from _tsv(read_lines(path, name, encoding, errors, ledger), name, field, ledger)


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
            what += f", but {_names(binary)} {'is' if len(binary) == 1 else 'are'} binary: bytes, which may be text in UTF-8"
        raise UsageError(f"{name}: {what}. It has {_listed(columns)}. {_GIVE_FIELD}")
    chosen = candidates[0]
    if len(columns) > 1:
        note = f"The field {chosen!r} is read, of {_names(columns)}; --field chooses another (field= in Python)."
        if note not in ledger.notes:
            ledger.notes.append(note)
    return chosen


_GIVE_FIELD = "Name the field of the text with --field (field= in Python)."


def _names(columns: Iterable[str], most: int = 12) -> str:
    columns = list(columns)
    more = f" and {len(columns) - most:,} more" if len(columns) > most else ""
    return ", ".join(f"{column[:40]!r}" for column in columns[:most]) + more


def _listed(columns: Mapping[str, str], most: int = 12) -> str:
    """`'id' (int), 'text' (str)`, cut short where there are many."""
    found = [f"{column[:40]!r} ({kind})" for column, kind in islice(columns.items(), most)]
    return ", ".join(found) + (f" and {len(columns) - most:,} more" if len(columns) > most else "")


def _add(text: str, lines: list[str], ledger: Ledger, *, crlf: bool = True) -> None:
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


# JSONL


def _jsonl(
    batches: Iterator[list[str]], name: str, errors: Errors, field: str | None, ledger: Ledger
) -> Iterator[list[str]]:
    decoder = json.JSONDecoder(strict=False)  # a raw tab within a string is no reason to refuse it
    decode = decoder.raw_decode
    keys: dict[str, str] = {}  # of records that lack the field, as long as all do
    found = False  # whether any record has the field
    number = 0
    for batch in batches:
        texts: list[str] = []
        for at, line in enumerate(batch):
            number += 1
            try:
                record, end = decode(line)
            except (ValueError, RecursionError):
                end = -1
            if end != len(line):
                if not line or line.isspace():
                    continue
                record = _parse(decoder, line, f"{name}, line {number:,}")
            ledger.records += 1
            if type(record) is dict:
                if field is None:
                    field = choose_field(_columns(decoder, batch[at:]), name, ledger)
                text = record.get(field)
                if text is None:
                    text, there = _nested(record, field, f"{name}, line {number:,}")
                    found = found or there
                    if text is None:
                        ledger.records_without_text += 1
                        if not found and len(keys) < 100:
                            keys.update(_flat(record))
                        continue
            else:
                text = record
            if type(text) is not str:
                raise _not_text(record, field, text, f"{name}, line {number:,}", found)
            found = True
            if "\\u" in line:
                text = replace_surrogates(text, f"{name}, line {number:,}", errors, ledger)
            if "\n" in text:
                _add(text, texts, ledger)
            else:
                texts.append(text)
            if field is not None and line.count(f'"{field}"') > 1:
                _check_unique(line, field, f"{name}, line {number:,}")
        if texts:
            yield texts
    if keys and not found:
        raise UsageError(f"{name}: no record has a field {field!r}. They have {_listed(keys)}. {_GIVE_FIELD}")


def _parse(decoder: json.JSONDecoder, line: str, where: str) -> Any:
    try:
        return decoder.decode(line)
    except json.JSONDecodeError as error:
        start = line.lstrip()[:1]
        hint = ""
        if start in ("{", "[") and error.pos >= len(line.rstrip()):
            hint = " A record must be on one line: convert it, as with jq -c . FILE."
        raise CorpusError(
            f"{where}: not JSON ({error.msg} at column {error.colno:,}, {line[error.pos : error.pos + 20]!r})."
            f"{hint or ' Each line must be a JSON object or string.'}"
        ) from error
    except RecursionError as error:
        raise CorpusError(f"{where}: JSON nested too deeply to be read. Leave that record out.") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise CorpusError(
            f"{where}: a number of more than {sys.get_int_max_str_digits():,} digits, which is not read. Make it a string "
            "or leave that record out."
        ) from error


def _columns(decoder: json.JSONDecoder, lines: Sequence[str]) -> dict[str, str]:
    """The fields of the first records, with their types: str where any is a str."""
    found: dict[str, str] = {}
    for line in lines[:_SAMPLE]:
        try:
            record = decoder.decode(line)
        except (ValueError, RecursionError):  # the line's turn will come
            continue
        if isinstance(record, dict):
            for key, value in record.items():
                kind = _kind(value)
                if kind == "str" or found.get(key, "null") == "null":
                    found[key] = kind
    return found


def _kind(value: object) -> str:
    return "null" if value is None else {"dict": "object"}.get(type(value).__name__, type(value).__name__)


def _flat(record: dict[str, Any]) -> dict[str, str]:
    """Its fields and, dotted, theirs."""
    found: dict[str, str] = {}
    for key, value in record.items():
        found[key] = _kind(value)
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": _kind(deeper) for inner, deeper in value.items()}
    return found


def _nested(record: dict[str, Any], field: str, where: str) -> tuple[Any, bool]:
    """(value, whether the field is there): of a field that is null or missing, or that has dots."""
    if field in record:
        return record[field], True
    value: Any = record
    for key in field.split("."):
        if value is None:
            return None, True
        if not isinstance(value, dict):
            raise CorpusError(
                f"{where}: the field {field!r} leads into a {_kind(value)}; dots go into objects only. {_GIVE_FIELD}"
            )
        if key not in value:
            return None, False
        value = value[key]
    return value, True


def _not_text(record: object, field: str | None, text: object, where: str, found: bool) -> CorpusError:
    """found: whether a record before has text in the field."""
    if not isinstance(record, dict):
        return CorpusError(
            f"{where}: a {_kind(record)}, where an object with a field of text, or a string, is expected."
        )
    what = f"{where}: the field {field!r} is a {_kind(text)}, not a str."
    if found:
        return CorpusError(
            f"{what} In the records before it is text, so make it a string there, or leave that record out; --errors is for "
            "characters and does not help."
        )
    return CorpusError(f"{what} It has {_listed(_flat(record))}. {_GIVE_FIELD}")


def _check_unique(line: str, field: str, where: str) -> None:
    """Of two fields of one name JSON readers keep the last; here that would lose text."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if sum(key == field for key, _ in pairs) > 1:
            raise CorpusError(f"{where}: the field {field!r} is there more than once. Join them or rename one.")
        return dict(pairs)

    json.JSONDecoder(strict=False, object_pairs_hook=check).decode(line)


def refuse_one_value(batches: Iterator[list[str]], name: str) -> Iterator[list[str]]:
    """The lines of a .json file that is read as plain text: not one array or object over many lines, or on one.

    Raises:
        CorpusError: it is such a value.
    """
    first = next(batches, [])
    filled = list(islice((line for line in first if line and not line.isspace()), 2))
    if filled and filled[0].lstrip()[0] in "[{":
        try:
            if len(filled) < 2:
                raise ValueError
            for line in filled:
                json.loads(line)
        except (ValueError, RecursionError):
            array = filled[0].lstrip()[0] == "["
            raise CorpusError(
                f"{name} is one JSON {'array' if array else 'object'}, not lines of text. Convert it to a record a line, "
                f"as with jq -c '{'.[]' if array else '.data[]'}' FILE.json > FILE.jsonl"
            ) from None
    if first:
        yield first
    yield from batches


# CSV and TSV


def _csv(batches: Iterator[list[str]], name: str, field: str | None, ledger: Ledger) -> Iterator[list[str]]:
    first = next(batches, [])
    delimiter = _delimiter(first)
    if delimiter != ",":
        said = "tabs" if delimiter == "\t" else "semicolons"
        ledger.notes.append(f"{name} has {said} between its fields.")
    lines = (line + "\n" for batch in chain([first], batches) for line in batch)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    yield from _rows(lambda: _next_rows(rows, name), name, field, ledger)


def _tsv(batches: Iterator[list[str]], name: str, field: str | None, ledger: Ledger) -> Iterator[list[str]]:
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
                f"{name}: column {field} was asked for by its number, so the first row ({_names(header, 4)}) is text too. "
                "If it names the columns, give --field a name."
            )
        rows = blank + rows
    else:
        if len(rows) == 1 and width > 1:
            ledger.notes.append(f"{name} has a row of names ({_names(header, 4)}) and no other row.")
            return
        sample = [row for _, row in rows[1 : _SAMPLE + 1] if len(row) == width]
        field, column = _column(header, sample, name, field, ledger)
        rows = blank + rows[1:]
    if not quoting and any(_quoted(row[column]) for _, row in rows[:_SAMPLE] if len(row) == width):
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
                _add(text, texts, ledger, crlf=False)
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
            f"{name}: no column is called {field!r}. The first row has {_names(header)}. {_GIVE_FIELD} "
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


# Parquet, and Arrow tables from wherever


def _parquet(path: Path, name: str, errors: Errors, field: str | None, ledger: Ledger) -> Iterator[list[str]]:
    if is_compressed(path):
        plain = temporary_path(".parquet")
        try:
            with plain.open("wb") as out, opened(path, name) as file:
                copy(file, out)
            yield from _parquet_table(plain, name, errors, field, ledger)
        finally:
            plain.unlink(missing_ok=True)
    else:
        yield from _parquet_table(path, name, errors, field, ledger)


def copy(file: Any, out: Any) -> None:
    """Copy a stream to a temporary file; a full disk is a CorpusError."""
    while block := file.read(1 << 20):
        try:
            out.write(block)
        except OSError as error:
            raise no_room(error) from error
    try:
        out.flush()
    except OSError as error:
        raise no_room(error) from error


def _parquet_table(path: Path, name: str, errors: Errors, field: str | None, ledger: Ledger) -> Iterator[list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=1 << 20) as table:
            column = arrow_field(table.schema_arrow, name, field, ledger)
            before = ledger.records
            for batch in table.iter_batches(_batch_rows(table.metadata), columns=[column]):
                yield from lines_of(batch, column, name, errors, ledger, before)
    except (pa.ArrowException, OSError) as error:
        told = " ".join(str(error).split())[:200].rstrip(".")
        raise CorpusError(f"{name}: damaged or not a Parquet table ({told}). Write or download it again.") from error


def _batch_rows(metadata: Any) -> int:
    """Rows of about 4 MB, all columns taken for text."""
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(1 << 16, (rows << 22) // max(int(size), 1)))


def arrow_field(schema: pa.Schema, name: str, field: str | None, ledger: Ledger) -> str:
    """The column of an Arrow schema that holds the text: `field`, if that is one; else it is found.

    Raises:
        UsageError: there is no such column, it holds no text, or it is not clear which one does.
    """
    columns = {column: _arrow_kind(schema.field(i).type) for i, column in enumerate(schema.names)}
    if field is None:
        return choose_field(columns, name, ledger)
    kind = columns.get(field)
    if kind is None:
        columns |= _arrow_flat(schema)
        kind = columns.get(field)
    if kind is None:
        raise UsageError(f"{name}: no column is called {field!r}. It has {_listed(columns)}. {_GIVE_FIELD}")
    if schema.names.count(field) > 1:
        raise UsageError(f"{name}: {schema.names.count(field)} columns are called {field!r}. Rename all but one.")
    if kind not in ("str", "binary"):
        raise UsageError(f"{name}: the column {field!r} is {kind}, not str. It has {_listed(columns)}. {_GIVE_FIELD}")
    return field


def _arrow_flat(schema: pa.Schema) -> dict[str, str]:
    """The fields of struct columns, dotted, at any depth."""
    import pyarrow as pa

    found: dict[str, str] = {}
    open_ = [(schema.field(i).name, schema.field(i).type) for i in range(len(schema.names))]
    while open_:
        name, kind = open_.pop()
        if pa.types.is_struct(kind):
            for i in range(kind.num_fields):
                inner = kind.field(i)
                found[f"{name}.{inner.name}"] = _arrow_kind(inner.type)
                open_.append((f"{name}.{inner.name}", inner.type))
    return found


def _arrow_kind(kind: Any) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "str"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return "binary"
    return str(kind)[:40]


def lines_of(
    batch: pa.RecordBatch | pa.Table, field: str, name: str, errors: Errors, ledger: Ledger, before: int
) -> Iterator[list[str]]:
    """The lines of one batch of an Arrow table.

    Args:
        batch: rows of it.
        field: what `arrow_field` gave.
        name: what messages call the table.
        errors: what to do with text that is not UTF-8.
        ledger: counts records.
        before: records that it had counted when the table began.

    Raises:
        CorpusError: a text is not UTF-8.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _arrow_column(batch, field)
    for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
        if pa.types.is_dictionary(chunk.type):
            chunk = chunk.dictionary_decode()
        first = ledger.records - before + 1
        ledger.records += len(chunk)
        ledger.records_without_text += chunk.null_count
        values = pc.cast(chunk, pa.large_binary())
        binary = values.drop_null() if values.null_count else values
        if not len(binary):
            continue
        lines: list[str] | None = None
        if binary.nbytes <= _TOGETHER:
            lines = _split_together(binary)
        if lines is None:
            lines = []
            for number, scalar in enumerate(values, first):
                if scalar.is_valid:
                    _add(_decoded(scalar.as_buffer(), f"{name}, record {number:,}", errors, ledger), lines, ledger)
        yield lines


def _split_together(texts: pa.LargeBinaryArray) -> list[str] | None:
    """Texts as lines where each is one and all are UTF-8, else None: several times as fast as one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ended = pc.binary_join_element_wise(texts, pa.scalar(b"\n", pa.large_binary()), pa.scalar(b"", pa.large_binary()))
    _, offsets, data = ended.buffers()
    data = memoryview(data)[: np.frombuffer(offsets, np.int64)[ended.offset + len(ended)] - 1]
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    return lines if len(lines) == len(texts) else None


def _decoded(data: pa.Buffer, where: str, errors: Errors, ledger: Ledger) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        if errors == "strict":
            raise CorpusError(
                f"{where}: not UTF-8 (byte 0x{error.object[error.start]:02x}). Write the table again with its text decoded, "
                f"or read with {REPLACE}."
            ) from error
        return replace_stand_ins(str(data, "utf-8", STAND_IN), ledger)


def _arrow_column(batch: pa.RecordBatch | pa.Table, field: str) -> Any:
    import pyarrow.compute as pc

    if field in batch.schema.names:
        return batch.column(field)
    path = field.split(".")
    return pc.struct_field(batch.column(path[0]), path[1:])
