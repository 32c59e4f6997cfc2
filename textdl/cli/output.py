"""What the command line prints: results to stdout, everything else to stderr.

On a terminal results are tables and long work has a progress bar; in a pipe results are TSV and
progress is a plain line now and then.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import escape
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from textdl import scratch
from textdl.errors import UsageError
from textdl.protocols import Run

if TYPE_CHECKING:
    from rich.console import Console

    from textdl.corpus import Corpus


_DRAWN = 400
"""Rows of a table that goes on."""


def say(text: str = "") -> None:
    """A sentence for the person, on stderr."""
    print(text, file=sys.stderr, flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table on a terminal, TSV in a pipe. Numbers are flush right and never broken over lines."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in cells:
            print("\t".join(cell.replace("\t", " ") for cell in row))
        return
    from rich.cells import cell_len
    from rich.console import Console

    console = Console()
    if title:
        console.print(title, highlight=False, markup=False)
    numbers = [_is_number(row[i] for row in cells) for i in range(len(columns))]
    widths = [max(cell_len(row[i]) for row in [list(columns), *cells]) + 2 for i in range(len(columns))]
    if sum(widths) <= console.width or numbers.count(True) < 4:
        _draw(console, columns, cells, numbers)
        return
    # too wide: figures become rows, and as many models stand side by side as there is room for
    room = max(
        1,
        (console.width - max(map(cell_len, columns)) - 2) // (max(cell_len(cell) for row in cells for cell in row) + 2),
    )
    for start in range(0, len(cells), room):
        part = cells[start : start + room]
        turned = [[column, *(row[i] for row in part)] for i, column in enumerate(columns)]
        _draw(console, turned[0], turned[1:], [False] + [True] * len(part))


def rows_as_they_come(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table of any length: TSV in a pipe, row by row; on a terminal a few hundred rows at a time."""
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in rows:
            print("\t".join("" if cell is None else str(cell).replace("\t", " ") for cell in row))
        return
    from rich.console import Console

    left, console = iter(rows), Console()
    while part := [["" if cell is None else str(cell) for cell in row] for row in islice(left, _DRAWN)]:
        _draw(console, columns, part, [_is_number(row[i] for row in part) for i in range(len(columns))])


def _is_number(cells: Iterable[str]) -> bool:
    return all(cell.lstrip("-+±")[:1].isdigit() or cell in ("", "-", "–", "—") for cell in cells)


def _draw(console: Console, columns: Sequence[str], cells: Sequence[Sequence[str]], numbers: Sequence[bool]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, number in zip(columns, numbers, strict=True):
        drawn.add_column(Text(column), justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in cells:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def size(number: float) -> str:
    """Bytes for a person: `1.5 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def write_json(value: Any, file: str) -> None:
    """To a file, or to stdout for `-`."""
    with json_file(file) as out:
        out.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def json_file(file: str) -> Iterator[IO[str]]:
    """Where `--json FILE` is to be written; stdout for `-`."""
    if file == "-":
        yield sys.stdout
        return
    with report_file("--json", Path(file)) as out:
        yield out


def check_reports(
    reports: Mapping[str, str | Path | None], corpora: Iterable[Corpus | None] = (), models: Iterable[Path] = ()
) -> None:
    """Refuse, before any work, a report that could not be written or would replace what is read.

    Args:
        reports: files by their options; `-` of --json is stdout.
        models: files and directories that are read.

    Raises:
        UsageError: says which, and why.
    """
    read = {file.resolve() for corpus in corpora if corpus is not None for file, _, _ in corpus.files()}
    taken: dict[Path, str] = {}
    kept = [model.resolve() for model in models]
    for option, name in reports.items():
        if name is None or (option == "--json" and str(name) == "-"):
            continue
        path = Path(name).resolve()
        if str(name) == "-" or path.is_dir():
            raise UsageError(f"{option} {name}: a file is expected; name one, such as card{option.replace('--', '.')}")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {name}: there is no directory {path.parent}. Make it first, or name another.")
        if path in read:
            raise UsageError(f"{option} {name} is a text that is read, and would be lost. Name another file.")
        if any(path == model or model in path.parents for model in kept):
            raise UsageError(f"{option} {name} is, or lies in, what is read, and stays as it is. Name another file.")
        if path in taken:
            raise UsageError(f"{option} {name} is the file of {taken[path]} too. Name two files.")
        taken[path] = option


@contextmanager
def report_file(option: str, path: Path) -> Iterator[IO[str]]:
    """A file that gets its name when it is whole: what was there before stays until then.

    Raises:
        UsageError: it cannot be written; names the option.
    """
    target = path.resolve()
    whole = not target.exists() or target.is_file()  # else a device or a pipe, which is written as it is
    part = target.with_name(scratch.mark(target.name) + "part") if whole else target  # two may write at once
    scratch.sweep(target.parent, f"{escape(target.name)}.*.part")
    try:
        with part.open("w", encoding="utf-8", errors="backslashreplace") as out:
            yield out
        if whole:
            os.replace(part, target)
    except OSError as error:
        if error.filename not in (None, str(part), str(target)):
            raise  # of something that was read meanwhile
        raise UsageError(f"{option} {path}: cannot write it ({error.strerror or error})") from error
    finally:
        if whole:
            part.unlink(missing_ok=True)


class TerminalRun(Run):
    """A Run that shows what goes on: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, quiet: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self._quiet = quiet
        self._stage = ""
        self._began = self._printed = self._found = self._done = 0.0
        self._bar: Any = None
        self._task: Any = None

    def note(self, sentence: str) -> None:
        super().note(sentence)
        if not self._quiet:
            self._end_bar()
            say(f"note: {sentence}")

    def show(self, sentence: str) -> None:
        if not self._quiet:
            self._end_bar()
            say(sentence)

    def progress(self, stage: str, done: float, total: float | None, unit: str, text: str = "") -> None:
        if self._quiet:
            return
        now = time.monotonic()
        if stage != self._stage or done < self._done:  # the same again, of another model
            self._end_bar()
            self._stage, self._began, self._printed, self._found = stage, now, now, done
        self._done = done
        if sys.stderr.isatty():
            self._draw(stage, done, total, unit, text)
        elif now - self._printed >= 10:
            self._printed = now
            rate = (done - self._found) / max(now - self._began, 1e-9)
            of = f" of {total:,.0f}" if total else ""
            left = f", {_clock((total - done) / rate)} left" if total and rate > 0 else ""
            say(f"{stage}: {done:,.0f}{of} {unit}, {_rate(rate)} {unit}/s{left}  {text}".rstrip())

    def _draw(self, stage: str, done: float, total: float | None, unit: str, text: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(24), TaskProgressColumn(),
                TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[text]}"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task(stage, total=total, rate="", text="")
            self._bar.start()
        rate = (done - self._found) / max(time.monotonic() - self._began, 1e-9)
        self._bar.update(self._task, completed=done, total=total, rate=f"{_rate(rate)} {unit}/s", text=text)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._stage = ""

    @contextmanager
    def shown(self) -> Iterator[TerminalRun]:
        """Takes the bar away at the end, whatever ends the work."""
        try:
            yield self
        finally:
            self._end_bar()


def _rate(value: float) -> str:
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.1f} {letter}"
    return f"{value:.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
