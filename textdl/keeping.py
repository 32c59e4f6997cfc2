"""What a training of any kind leaves on disk: a checkpoint it may go on from, then the model; and words on how it ended."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from textdl.bundle import Model
from textdl.checkpoint import Checkpoint
from textdl.errors import ModelError, UsageError
from textdl.protocols import Run
from textdl.storage import Reader, is_model

_BARELY = 0.1
"""Passes over the data below which a word is due."""


def checkpoint_beside(output: Path, resume: bool | None, run: Run) -> Checkpoint:
    """That of a training which is about to begin. Where there is nothing to go on from, a note says so.

    Raises:
        UsageError: to resume, and there is a model but nothing to go on from; or as Checkpoint.
        ModelError: as Checkpoint.
    """
    checkpoint = Checkpoint(output, resume)
    if resume and checkpoint.written is None:
        if is_model(output):
            raise UsageError(
                f"--resume: {output} is a model already, and there is no {checkpoint.name} to go on from. To train it anew "
                "in its place, leave out --resume."
            )
        run.note(f"there is no {checkpoint.name} to go on from: training starts from the beginning")
    return checkpoint


def say_how_it_ended(run: Run, *, budgeted: bool, of: str) -> None:
    """Notes. of: what was read, such as `the text`."""
    if budgeted and run.figures.get("epochs", 1.0) < _BARELY:
        run.note(f"only {run.figures['epochs']:.1%} of {of} was read in this budget: the model is barely trained")
    checkpoint = run.checkpoint
    if run.interrupted and checkpoint is not None and checkpoint.written is not None:
        run.note(f"{checkpoint.name} holds {checkpoint.written}: the same command with --resume goes on from there.")


def keep(model: Model, output: str | os.PathLike[str], run: Run) -> None:
    """Save a model. Where its training did not come to its end it stands beside a model that is there, unless it goes on from that
    one's own interrupted training. A checkpoint goes once training has come to its end.
    """
    directory = Path(output)
    if (run.interrupted or run.failed) and is_model(directory) and not _goes_on_from(directory, run):
        directory = _free(directory.with_name(f"{directory.name}.interrupted"))
    with run.timing("saving"):
        model.save(directory)
    if run.checkpoint is not None and not run.interrupted:
        run.checkpoint.remove()


def _goes_on_from(directory: Path, run: Run) -> bool:
    """Whether the model there is an earlier state of the same training."""
    try:
        return run.checkpoint is not None and run.checkpoint.resumed and bool(Reader(directory).card["interrupted"])
    except (ModelError, UsageError):
        return False


def _free(directory: Path) -> Path:
    """The directory itself, or the first of its name with a number that does not exist."""
    taken = (directory.with_name(f"{directory.name}-{i}") for i in itertools.count(2))
    return directory if not directory.exists() else next(path for path in taken if not path.exists())
