"""`textdl info`: what is in a model directory, and whether it is whole."""

from __future__ import annotations

from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textdl.cli.options import JsonFlag
from textdl.cli.output import say, table, write_json

if TYPE_CHECKING:
    from textdl.storage import Reader


def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and check its sha256.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the training curve: .png or .svg. Needs the extra `plot`."),
    ] = None,
    json: JsonFlag = False,
) -> int:
    """What a model is, what it was trained on, and what it says of itself."""
    from textdl.corpus import Ledger
    from textdl.storage import Reader

    reader = Reader(model)
    if plot is not None:
        from textdl import curves

        log = reader.text("log.jsonl") if "log.jsonl" in reader else ""
        curves.plot(plot, model.resolve().name, [loads(line) for line in log.split("\n") if line])
        say(f"Drawn to {plot}")
    if verify:
        reader.verify()
    if json:
        write_json(reader.config, "-")
        return 0
    card = reader.card
    notes, ledger, about = card.pop("notes", []), card.pop("ledger", None), card.get("describe", {})
    orders = _orders(about)
    hidden = {"ngrams", "statistics", "discounts", "fallback", "bytes_per_ngram_by_order"} if orders else set()
    card["describe"] = {key: value for key, value in about.items() if key not in hidden}
    card["figures"] = {key: value for key, value in card.get("figures", {}).items() if key not in about}
    chosen = card.get("config", {}) | card["figures"].pop("config", {})  # what was left open, as it was decided
    card["config"] = {key: value for key, value in chosen.items() if value is not None}
    card["describe"] = {key: v for key, v in card["describe"].items() if (key, v) not in card["config"].items()}
    rows = [list(row) for key, value in card.items() for row in _rows(key, value)]
    rows.append(["bytes on disk", f"{reader.size():,}"])
    table(["what", "value"], rows)
    if orders:
        print()
        table(list(orders[0]), [list(order.values()) for order in orders], "by order")
    if card.get("family") == "word2vec" and (epochs := _epochs(reader)):
        print()
        table(list(epochs[0]), [list(epoch.values()) for epoch in epochs], "by epoch")
    if ledger is not None:
        for line in [*Ledger(**ledger).table(), *Ledger(**ledger).remarks()]:
            say(line)
    for note in notes:
        say(f"note: {note}")
    if verify:
        say(f"{len(reader.config['files'])} files verified: every sha256 is as written")
    return 0


def _orders(about: dict[str, Any]) -> list[dict[str, object]]:
    """What an n-gram model says of each of its orders; nothing for other models."""
    found = []
    for i, statistics in enumerate(about.get("statistics", [])):
        row: dict[str, object] = {"order": i + 1, **{key: f"{number:,}" for key, number in statistics.items()}}
        if about.get("discounts"):
            row |= {f"D{j}": f"{value:.4f}" for j, value in enumerate(about["discounts"][i], 1)}
            row["D from"] = "fallback" if i + 1 in about["fallback"] else "counts"
        found.append({**row, "bytes each": f"{about['bytes_per_ngram_by_order'][i]:.2f}"})
    return found


def _epochs(reader: Reader) -> list[dict[str, object]]:
    """How the training of word vectors went: losses in nats per prediction."""
    found = []
    for line in filter(None, reader.text("log.jsonl").split("\n") if "log.jsonl" in reader else []):
        record = loads(line)
        row: dict[str, object] = {"epoch": record["epoch"], "loss": _loss(record["loss"])}
        if "valid_loss" in record:
            row["held-out loss"] = f"{record['valid_loss']:.4f}"
        found.append(
            {**row, "words/s": f"{record['words_per_second']:,.0f}", "learning rate": f"{record['alpha']:.5f}"}
        )
    return found


def _loss(nats: float | None) -> str:
    return f"{nats:.4f}" if nats is not None else "no predictions"


def _rows(key: str, value: Any) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [row for inner, item in value.items() for row in _rows(f"{key}.{inner}", item)]
    if isinstance(value, float):
        return [(key, f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:.6g}")]
    return [(key, value)]
