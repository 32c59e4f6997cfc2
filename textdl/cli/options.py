"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from textdl.errors import UsageError

Corpora = Annotated[
    list[str],
    typer.Argument(metavar="CORPUS...", help="Files, a directory, - for stdin, or a built-in corpus (NAME[:SPLIT])."),
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The model directory to write.")]
Tokenizer = Annotated[
    str,
    typer.Option(
        "--tokenizer", metavar="T", help="auto, char, word, whitespace, jieba[:USER.txt], sp:FILE; NAME,key=value."
    ),
]
Encoding = Annotated[str, typer.Option("--encoding", help="Of the text files.")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same result where it is promised.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")]
Valid = Annotated[str | None, typer.Option("--valid", metavar="FILE", help="Held-out text.")]
MinCount = Annotated[int | None, typer.Option("--min-count", min=1, help="Types seen less often become <unk>.")]
MaxVocab = Annotated[int | None, typer.Option("--max-vocab", min=1, help="At most so many types.")]
JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for stdout.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None, option: str = "--budget") -> float | None:
    """`90`, `90s`, `10m`, `1.5h` in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{option} takes a time such as 90s, 10m or 1h, got {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def since_start(budget: float | None) -> float | None:
    """What is left of a budget that began when this process did."""
    if budget is None:
        return None
    left = budget - (time.time() - _process_start())
    if left <= 0:
        raise UsageError(f"--budget {budget:g}s was over before the work began; give more")
    return left


def _process_start() -> float:
    """Seconds since the epoch at which this process started; now, where the system does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        import os

        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, StopIteration, IndexError):
        return time.time()
