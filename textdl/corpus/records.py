r"""Tables to lines: JSONL, CSV, TSV and Parquet, of whose records one field is the text (fields.py).

What a file is, its name says (`form_of`); it may be compressed besides. Nothing is unescaped beyond what the format
says: a `\n` of two characters stays two characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from textdl.corpus.delimited import read_csv, read_tsv
from textdl.corpus.jsonl import read_jsonl
from textdl.corpus.ledger import Ledger
from textdl.corpus.parquet import read_parquet
from textdl.corpus.reading import COMPRESSIONS, Errors, read_lines

FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}


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
        yield from read_parquet(path, name, errors, field, ledger)
    elif form == "jsonl":
        yield from read_jsonl(read_lines(path, name, encoding, errors, ledger), name, errors, field, ledger)
    elif form == "csv":
        yield from read_csv(read_lines(path, name, encoding, errors, ledger), name, field, ledger)
    else:
        yield from read_tsv(read_lines(path, name, encoding, errors, ledger), name, field, ledger)
