"""JSONL: a record a line, an object or a bare string; a field within a field has dots (`a.b`). Blank lines are none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from textdl.corpus.fields import GIVE_FIELD, SAMPLE, add_text, choose_field, listed
from textdl.corpus.ledger import Ledger
from textdl.corpus.reading import Errors, replace_surrogates
from textdl.errors import CorpusError, UsageError


def read_jsonl(
    batches: Iterator[list[str]], name: str, errors: Errors, field: str | None, ledger: Ledger
) -> Iterator[list[str]]:
    """The text of the records in the lines of a file; see records.read_records."""
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
                add_text(text, texts, ledger)
            else:
                texts.append(text)
            if field is not None and line.count(f'"{field}"') > 1:
                _check_unique(line, field, f"{name}, line {number:,}")
        if texts:
            yield texts
    if keys and not found:
        raise UsageError(f"{name}: no record has a field {field!r}. They have {listed(keys)}. {GIVE_FIELD}")


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
    for line in lines[:SAMPLE]:
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
                f"{where}: the field {field!r} leads into a {_kind(value)}; dots go into objects only. {GIVE_FIELD}"
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
    return CorpusError(f"{what} It has {listed(_flat(record))}. {GIVE_FIELD}")


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
