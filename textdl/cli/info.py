"""`textdl info`: what is in a model directory, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from textdl.cli.options import JsonFlag
from textdl.cli.output import say, table, write_json


def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and check its sha256.")] = False,
    json: JsonFlag = False,
) -> int:
    """What a model is, what it was trained on, and what it says of itself."""
    from textdl.storage import Reader

    reader = Reader(model)
    if verify:
        reader.verify()
    if json:
        write_json(reader.config, "-")
        return 0
    shown = {key: value for key, value in reader.config.items() if key not in ("files", "notes")}
    rows = [list(row) for key, value in shown.items() for row in _rows(key, value)]
    rows.append(["bytes on disk", f"{reader.size():,}"])
    table(["what", "value"], rows)
    for note in reader.config.get("notes", []):
        say(f"note: {note}")
    if verify:
        say(f"{len(reader.config['files'])} files verified: every sha256 is as written")
    return 0


def _rows(key: str, value: Any) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [row for inner, item in value.items() for row in _rows(f"{key}.{inner}", item)]
    return [(key, value)]
