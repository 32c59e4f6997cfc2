"""Parquet, and Arrow tables from wherever: a column of strings, read in batches; structs within have dots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textdl.corpus.fields import GIVE_FIELD, add_text, choose_field, listed
from textdl.corpus.fingerprints import temporary_path
from textdl.corpus.ledger import Ledger
from textdl.corpus.reading import REPLACE, STAND_IN, Errors, copy, is_compressed, opened, replace_stand_ins
from textdl.errors import CorpusError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_TOGETHER = 1 << 24
"""Bytes of texts of a column that are decoded as a whole."""


def read_parquet(path: Path, name: str, errors: Errors, field: str | None, ledger: Ledger) -> Iterator[list[str]]:
    """The text of the rows of a file; see records.read_records."""
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
        raise UsageError(f"{name}: no column is called {field!r}. It has {listed(columns)}. {GIVE_FIELD}")
    if schema.names.count(field) > 1:
        raise UsageError(f"{name}: {schema.names.count(field)} columns are called {field!r}. Rename all but one.")
    if kind not in ("str", "binary"):
        raise UsageError(f"{name}: the column {field!r} is {kind}, not str. It has {listed(columns)}. {GIVE_FIELD}")
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
                    add_text(_decoded(scalar.as_buffer(), f"{name}, record {number:,}", errors, ledger), lines, ledger)
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
