"""`textdl cache`: what is kept to be quicker the next time, and how to be rid of it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from textdl.cli.options import JsonFlag, Quiet, seconds
from textdl.cli.output import say, size, table, write_json
from textdl.errors import UsageError

app = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    help="Show the cache (encoded corpora, built-in texts, compiled kernels), or clear it.",
)


@app.callback()
def show(context: typer.Context, json: JsonFlag = False) -> int:
    """Show the cache (encoded corpora, built-in texts, compiled kernels), or clear it."""
    from textdl import cache
    from textdl.storage import cache_directory

    if context.invoked_subcommand is not None:
        return 0
    found = cache.entries()
    total = sum(entry.bytes for entry in found)
    if json:
        entries = [{**vars(entry), "path": str(entry.path)} for entry in found]
        write_json({"path": str(cache_directory("")), "bytes": total, "limit": cache.limit(), "entries": entries}, "-")
        return 0
    if found:
        rows = [
            [e.kind, size(e.bytes), time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used)), e.about] for e in found
        ]
        table(["kind", "size", "last used", "what"], rows)
    if cache_directory("").exists() and not cache_directory("").is_dir():
        say(f"{cache_directory('')} is not a directory, so nothing can be kept. Set TEXTDL_CACHE to another.")
    say(
        f"{size(total)} in {cache_directory('')} (TEXTDL_CACHE); "
        f"what was used longest ago goes above {size(cache.limit())} (TEXTDL_CACHE_LIMIT)."
    )
    return 0


@app.command()
def clear(
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only this kind; may be repeated.")] = None,
    unused: Annotated[
        str | None, typer.Option("--unused", metavar="TIME", help="Only what was not used for so long: 12h, 30d.")
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Remove what is in the cache. Everything in it can be made again."""
    from textdl import cache

    kinds = {entry.kind for entry in cache.entries()}
    if kind and (unknown := sorted(set(kind) - kinds)):
        raise UsageError(f"--kind {unknown[0]}: the cache has {', '.join(sorted(kinds)) or 'nothing'}")
    freed = cache.clear(set(kind) if kind else None, unused_for=seconds(unused, "--unused") or 0.0)
    if not quiet:
        say(f"{size(freed)} freed.")
    return 0
