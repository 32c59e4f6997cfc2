"""Training that can go on after it was stopped: a checkpoint beside the model directory.

While `-o DIR` is being trained, `DIR.training` holds the state after the last whole epoch or validation. It
is written as a model is (see storage.py): a kill at any moment leaves the checkpoint before or the new one.
It knows which training it belongs to, by a flat mapping of names to values (`--dim`: 300, `the text`: its
fingerprint), and is refused to another one with the differences named. When the model has been saved, it goes.

Of a family it takes named arrays, a state that is JSON, and the training curve, and gives them back. No pickle.
`begin` writes while training goes on, since a disk may take seconds; then a kill also loses what was being written.

Two processes that train to one DIR would destroy each other's files. So from `load`, where training begins, an empty file
beside DIR names the process, until the model is saved, and another process of this machine is refused; of two that begin
in the same instant both may be. The file of a killed process is in nobody's way. Whether a process of another machine
still lives cannot be told, so its file is not heeded.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from textdl import scratch
from textdl.errors import ModelError, UsageError
from textdl.storage import Reader, check_output, discard, fsync, is_model, reason, saving

VERSION = 3

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Progress:
    """How far training had come."""

    arrays: dict[str, NDArray[Any]]
    """As memory maps."""
    state: dict[str, Any]
    curve: list[dict[str, Any]]


class Checkpoint:
    """The checkpoint of one training."""

    def __init__(self, output: Path, resume: bool | None = None) -> None:
        """
        Args:
            output: the directory of the model that is trained.
            resume: True: go on from the checkpoint, if there is one; False: write over it; None: there must be none.

        Raises:
            UsageError: there is one and resume is None, or something else has its name; or another process trains there.
            ModelError: it is damaged, or of another version.
        """
        absolute = output.absolute()
        self.directory = absolute.with_name(f"{absolute.name}.training")
        self.name = f"{output.name or absolute.name}.training"
        """For messages."""
        self.written: str | None = None
        """How far the training came that this object has resumed or saved."""
        self.resumed = False
        """Whether it goes on from another training."""
        self._identity: dict[str, Value] = {}
        self._writer: threading.Thread | None = None
        self._error: Exception | None = None
        self._found: Reader | None = None
        self._mark: Path | None = None
        self._release: Callable[[], object] = lambda: None
        check_output(self.directory)
        self._alone()
        if resume is False or not is_model(self.directory) or not (self.directory / "config.json").exists():
            return  # a first save that was killed leaves no config.json
        found = self._opened()
        if resume is None:
            raise UsageError(
                f"{self.name} holds a training that was not finished: {found.card['about']}. To go on with it, give the "
                "same command with --resume; to start anew and write over it, --no-resume (in Python, resume=True or False)."
            )
        self._found, self.resumed = found, True
        self.written = found.card["done"]

    def check(self, identity: Mapping[str, Value]) -> None:
        """Say what training this is, at once or bit by bit: names as the user knows them, and values.

        Raises:
            UsageError: the checkpoint to go on from differs.
        """
        self._identity |= identity
        if self._found is None:
            return
        was = self._found.card["identity"]
        differences = [
            f"{name} is {_shown(value)}, was {_shown(was.get(name))}"
            for name, value in identity.items()
            if value != was.get(name)
        ]
        if differences:
            raise UsageError(
                f"{self.name} cannot be resumed, it belongs to another training: {'; '.join(differences)}. Give the "
                "command as it was, or start anew with --no-resume."
            )

    def load(self) -> Progress | None:
        """What was saved last, by this training or by the one it goes on from; None where there is nothing.

        Training begins here: from now on, other processes are refused.

        Raises:
            ModelError: it is damaged.
            UsageError: another process trains there.
        """
        self._hold()
        found = self._found
        if found is None:
            return None
        try:
            found.verify()
            arrays = {name: found.array(f"{name}.npy") for name in found.card["arrays"]}
            curve = [json.loads(line) for line in found.text("curve.jsonl").split("\n") if line]
            return Progress(arrays, found.json("state.json"), curve)
        except (ModelError, ValueError) as error:
            raise self._damaged(error) from error

    def save(
        self,
        arrays: Mapping[str, NDArray[Any]],
        state: Mapping[str, Any],
        curve: Sequence[Mapping[str, Any]],
        *,
        done: str,
    ) -> None:
        """Replace the checkpoint. It is durable when this returns.

        Args:
            arrays: by name, a file name each.
            state: JSON.
            done: how far training is, for a person: `3 of 5 epochs`.

        Raises:
            ModelError: it cannot be written; the one before is still there.
        """
        family = self._identity.get("family", "model")
        card = {
            "family": f"unfinished {family}",
            "checkpoint": VERSION,
            "about": f"{family}, {done}, {time.strftime('%Y-%m-%d %H:%M')}",
            "done": done,
            "identity": self._identity,
            "arrays": list(arrays),
        }
        try:
            with saving(self.directory, card) as out:
                for name, array in arrays.items():
                    out.array(f"{name}.npy", array)
                out.json("state.json", state)
                out.text("curve.jsonl", "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in curve))
            fsync(self.directory.parent)
            self._found = Reader(self.directory)
        except (OSError, UsageError) as error:  # somebody else writes there
            why = reason(error) if isinstance(error, OSError) else error
            raise ModelError(f"cannot save to {self.name}: {why}") from error
        self.written = done

    def begin(
        self,
        arrays: Mapping[str, NDArray[Any]],
        state: Mapping[str, Any],
        curve: Sequence[Mapping[str, Any]],
        *,
        done: str,
    ) -> None:
        """`save` in a thread. The arrays must not change before `wait` returns, which is due before the next."""

        def write() -> None:
            try:
                self.save(arrays, state, records, done=done)
            except Exception as error:  # whatever it is, `wait` raises it
                self._error = error

        assert self._writer is None
        state, records = dict(state), list(curve)
        self._writer = threading.Thread(target=write, name="checkpoint")
        self._writer.start()

    def wait(self) -> None:
        """Until what was begun is written.

        Raises:
            ModelError: it cannot be; the one before is still there.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def remove(self) -> None:
        """The model has been saved: the checkpoint is needed no more. Files of other origin stay."""
        self._found = self.written = None
        discard(self.directory)
        self._release()
        self._mark = None

    def _alone(self) -> None:
        """Raises UsageError where another process of this machine trains to the same directory."""
        if _rank():
            return
        home, name = self.directory.parent, glob.escape(f".{self.directory.name}.")
        scratch.sweep(home, f"{name}*")
        for path in home.glob(f"{name}*"):
            if path != self._mark and (process := scratch.owner(path)) not in (None, os.getpid()):
                raise UsageError(
                    f"{self.name.removesuffix('.training')} is being trained by process {process}. Wait for its end, or "
                    f"choose another -o. If that process is something else, remove {path}"
                )

    def _hold(self) -> None:
        """Leave a mark until `remove`, or until this object or the process is gone. Of several ranks, the first does."""
        if self._mark is not None or _rank():
            return
        self._mark = self.directory.with_name(scratch.mark(f".{self.directory.name}") + secrets.token_hex(4))
        try:
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
        except OSError as error:
            raise ModelError(f"cannot save to {self.name}: {reason(error)}. Choose another -o.") from error
        self._release = weakref.finalize(self, _unmark, self._mark, os.getpid())
        try:
            self._alone()  # looked for again: of two that left marks, at least one sees the other's
        except UsageError:
            self._release()
            raise

    def _opened(self) -> Reader:
        try:
            found = Reader(self.directory)
        except (ModelError, UsageError) as error:
            raise self._damaged(error) from error
        if found.card.get("checkpoint") != VERSION:
            raise ModelError(
                f"{self.name} is no checkpoint that this textdl knows (version {found.card.get('checkpoint')}, "
                f"expected {VERSION}). Start anew with --no-resume, or choose another -o."
            )
        return found

    def _damaged(self, error: Exception) -> ModelError:
        what = str(error).partition(". Copy ")[0].replace(": the model is damaged", "").rstrip(".")
        return ModelError(
            f"the checkpoint {self.name} is damaged and cannot be resumed ({what.removeprefix(f'{self.directory}: ')}). "
            "Start anew with --no-resume."
        )


def _rank() -> int:
    """Among the processes that torchrun started to train one model; 0 of a process alone."""
    return int(os.environ.get("RANK", "0"))


def _unmark(path: Path, process: int) -> None:
    if os.getpid() == process:  # and not a fork of it
        path.unlink(missing_ok=True)


def _shown(value: Value) -> str:
    return (
        {True: "on", False: "off"}[value] if isinstance(value, bool) else "not given" if value is None else f"{value}"
    )
