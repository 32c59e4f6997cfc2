"""Model directories: written so that a crash leaves the old model or the new one, never half of one.

config.json names every other file with its size and sha256. A save writes all files under names the
old model does not use, makes them durable, and then replaces config.json: that one rename is the
moment the new model exists; the old model's files are removed afterwards. A process that has them
open as memory maps is not disturbed. While a save goes on, `.unfinished` names the files it has
begun and those it replaces, so that the next save can clear away what a killed one left. Files of
other origin stay.

Only JSON, text, .npy and safetensors are written and read. No pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.errors import ModelError, UsageError

FORMAT = 1
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What the system says where there is no room for more."""
_CONFIG = "config.json"
_UNFINISHED = ".unfinished"


def cache_directory(name: str) -> Path:
    """A per-user directory for things that can be made again: $TEXTDL_CACHE, or the system's place."""
    root = os.environ.get("TEXTDL_CACHE")
    if root is None:
        if os.name == "nt":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home())
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        root = str(base / "textdl")
    return Path(root) / name


def is_model(directory: Path) -> bool:
    """Whether textdl wrote this directory, finished or not."""
    if (directory / _UNFINISHED).exists():
        return True
    try:
        config = json.loads((directory / _CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "textdl_format" in config


def check_output(directory: Path) -> None:
    """Refuse, before any work, a directory that a save would refuse.

    Raises:
        UsageError: it is a file, cannot be written, or holds something that is not a textdl model.
        ModelError: it holds a model that this textdl cannot read, and so will not replace.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; -o takes a directory. Choose another name.")
    if directory.is_dir() and any(directory.iterdir()) and not is_model(directory):
        raise UsageError(
            f"{directory} is not empty and is not a textdl model, so it is left alone. "
            "Choose a new directory or empty it yourself."
        )
    if (directory / _CONFIG).exists():
        _read_config(directory)
    parent = _parent(directory)
    try:
        with tempfile.TemporaryFile(dir=parent, buffering=0) as probe:  # permissions do not tell: root has them all
            probe.write(b"\0")
    except OSError as error:
        raise UsageError(
            f"{directory} cannot be written: {parent} takes no files ({error.strerror}). Choose another place."
        ) from error


def check_room(directory: Path, size: int, *, files: int = 1) -> None:
    """Refuse, before any work, to write files for which there is no room.

    Args:
        directory: where they will be; need not exist.
        size: bytes of each of them.

    Raises:
        UsageError: the disk has less, or the system forbids files of that size (`ulimit -f`).
    """
    parent = _parent(directory)
    total, _, free = shutil.disk_usage(parent)
    if total and free < files * size:  # some systems of files do not tell
        raise UsageError(
            f"{parent} has room for {free / 1e6:,.0f} MB, and {files * size / 1e6:,.0f} MB will be written. Make room, or "
            "choose another place."
        )
    if sys.platform != "win32":
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if most != resource.RLIM_INFINITY and most < size:
            raise UsageError(
                f"a file of {size / 1e6:,.1f} MB will be written, and this shell allows {most / 1e6:,.1f} MB. Raise the "
                "limit: `ulimit -f unlimited`."
            )


def _parent(directory: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    return next(path for path in (directory, *directory.absolute().parents) if path.exists())


class Writer:
    """Collects the files of one save. Names are logical (`vocab.txt`, `speller/counts.npy`)."""

    def __init__(self, directory: Path, generation: int):
        self._directory = directory
        self._generation = generation
        self.files: dict[str, dict[str, Any]] = {}

    def path(self, name: str) -> Path:
        """Where to write the file `name`; it is recorded and must exist when the save ends."""
        logical = Path(name)
        suffix = f"-{self._generation}" if self._generation > 1 else ""
        actual = str(logical.with_name(f"{logical.stem}{suffix}{logical.suffix}").as_posix())
        self.files[name] = {"file": actual}
        with (self._directory / _UNFINISHED).open("a", encoding="utf-8") as journal:
            journal.write(actual + "\n")
        path = self._directory / actual
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def under(self, folder: str) -> Writer:
        """The same save, with `folder/` before all names."""
        return _WriterUnder(self, folder)

    def text(self, name: str, text: str) -> None:
        self.path(name).write_text(text, "utf-8", newline="\n")

    def json(self, name: str, value: Any) -> None:
        self.text(name, json.dumps(value, ensure_ascii=False, indent=1) + "\n")

    def bytes(self, name: str, data: bytes) -> None:
        self.path(name).write_bytes(data)

    def array(self, name: str, array: NDArray[Any]) -> None:
        """`name` ends in .npy."""
        np.save(self.path(name), array, allow_pickle=False)

    def tensors(self, name: str, tensors: Mapping[str, NDArray[Any]]) -> None:
        """`name` ends in .safetensors. Tied tensors must be given once."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        try:
            save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, str(self.path(name)))
        except SafetensorError as error:
            raise OSError(str(error)) from error

    def _seal(self) -> None:
        for entry in self.files.values():
            path = self._directory / entry["file"]
            entry["bytes"] = path.stat().st_size
            entry["sha256"] = _sha256(path)
            fsync(path)


class _WriterUnder(Writer):
    def __init__(self, whole: Writer, folder: str):
        self._whole, self._folder = whole, folder

    def path(self, name: str) -> Path:
        return self._whole.path(f"{self._folder}/{name}")


@contextmanager
def saving(directory: Path, config: dict[str, Any]) -> Iterator[Writer]:
    """Save a model: write files through the Writer; on leaving, config.json is replaced.

    `config` may be filled until the block ends. An exception leaves what was there before.

    Raises:
        UsageError: see check_output.
        ModelError: the disk is full, or writing failed.
    """
    check_output(directory)
    new = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        old = _read_config(directory) if (directory / _CONFIG).exists() else None
        old_files = {entry["file"] for entry in old["files"].values()} if old else set()
        left = _journal(directory)  # by saves that were killed
        _write_journal(directory, left | old_files)
        out = Writer(directory, int(old["generation"]) + 1 if old else 1)
    except OSError as error:
        raise ModelError(f"cannot save to {directory}: {reason(error)}. Nothing was saved. {_advice(error)}") from error
    temporary = directory / f"{_CONFIG}.new"
    try:
        yield out
        out._seal()
        document = {**config, "textdl_format": FORMAT, "generation": out._generation, "files": out.files}
        temporary.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
        fsync(temporary)
        for folder in {(directory / entry["file"]).parent for entry in out.files.values()} | {directory}:
            fsync(folder)
    except BaseException as error:
        _remove(directory, {entry["file"] for entry in out.files.values()} | {temporary.name})
        if new:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            _write_journal(directory, left)
        if isinstance(error, OSError):
            was = "the model that was there is unchanged" if old else "nothing was saved"
            raise ModelError(f"cannot save to {directory}: {reason(error)}; {was}. {_advice(error)}") from error
        raise
    os.replace(temporary, directory / _CONFIG)  # from here on the new model exists: nothing of it may be removed
    fsync(directory)
    _remove(directory, (left | old_files) - {entry["file"] for entry in out.files.values()})
    _write_journal(directory, set())


def reason(error: OSError) -> str:
    """Why something could not be written, for a sentence."""
    if error.errno == errno.EFBIG:
        return "a file became larger than this process may write (ulimit -f), or than the file system allows"
    if error.errno is None:  # numpy counts what it could write, and does not say why that was not all
        return f"the disk is full, or a file became larger than it may ({error})"
    return error.strerror or str(error)


def _advice(error: OSError) -> str:
    full = error.errno in FULL or error.errno is None
    return "Make room there, or save to a larger disk." if full else "Save to another directory."


def discard(directory: Path) -> None:
    """Remove what was saved in a directory, and the directory if nothing else is in it; no matter if it is not there.

    A kill on the way leaves what no reader takes for a model, and what the next save clears away.
    """
    if not is_model(directory):
        return
    names = _journal(directory)
    if (directory / _CONFIG).exists():
        names |= {entry["file"] for entry in _read_config(directory)["files"].values()}
        (directory / _UNFINISHED).write_text("".join(f"{name}\n" for name in sorted(names)), "utf-8")
        (directory / _CONFIG).unlink()
    _remove(directory, names | {f"{_CONFIG}.new"})
    (directory / _UNFINISHED).unlink()
    if not any(directory.iterdir()):
        directory.rmdir()


_SMALL = 1 << 20
"""Bytes of an array up to which its hash is taken when it is opened: a millisecond."""
_OTHER_HASH = "its sha256 is not the one in config.json"


class Reader:
    """The files of a saved model.

    Sizes are checked on opening; hashes of what is read whole, when it is read. Large arrays are mapped into memory, so
    that they open at once: their hashes are for `verify`.
    """

    def __init__(self, directory: Path):
        """Raises ModelError with what is wrong and what to do."""
        self.directory = directory
        if not directory.exists():
            raise UsageError(
                f"{directory}: no such model. Check the path; `textdl train ... -o {directory}` makes one."
            )
        if not directory.is_dir():
            raise UsageError(f"{directory} is a file; a textdl model is a directory with a config.json.")
        if not (directory / _CONFIG).exists():
            if (directory / _UNFINISHED).exists():
                raise ModelError(f"{directory}: training ended before the model was saved. Train it again.")
            raise UsageError(f"{directory} is not a textdl model: it has no config.json.")
        self.config = _read_config(directory)
        if any(not (directory / entry["file"]).exists() for entry in self.config["files"].values()):
            self.config = _read_config(directory)  # a save may have replaced the model just now
        for entry in self.config["files"].values():
            path = directory / entry["file"]
            size = path.stat().st_size if path.exists() else None
            if size != entry["bytes"]:
                found = "is missing" if size is None else f"has {size:,} bytes"
                raise ModelError(
                    f"{directory}: {entry['file']} {found}, config.json says {entry['bytes']:,} bytes: "
                    "the model is damaged. Copy it again or train it again."
                )

    def __contains__(self, name: str) -> bool:
        return name in self.config["files"]

    def under(self, folder: str) -> Reader:
        """The files whose names begin with `folder/`, by what follows."""
        part = object.__new__(Reader)
        part.directory = self.directory
        start = f"{folder}/"
        files = {name.removeprefix(start): e for name, e in self.config["files"].items() if name.startswith(start)}
        part.config = self.config | {"files": files}
        return part

    def path(self, name: str) -> Path:
        if name not in self:
            raise ModelError(f"{self.directory}: config.json lists no {name}: not a whole model. Train it again.")
        file: str = self.config["files"][name]["file"]
        return self.directory / file

    def text(self, name: str) -> str:
        try:
            return self.bytes(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged(name, error) from error

    def json(self, name: str) -> Any:
        try:
            return json.loads(self.text(name))
        except ValueError as error:
            raise self._damaged(name, error) from error

    def bytes(self, name: str) -> bytes:
        try:
            data = self.path(name).read_bytes()
        except OSError as error:
            raise self._damaged(name, error) from error
        if hashlib.sha256(data).hexdigest() != self.config["files"][name]["sha256"]:
            raise self._damaged(name, _OTHER_HASH)
        return data

    def array(self, name: str, *, mmap: bool = True) -> NDArray[Any]:
        if name in self and self.config["files"][name]["bytes"] <= _SMALL:
            self.bytes(name)
        try:
            array: NDArray[Any] = np.load(self.path(name), mmap_mode="r" if mmap else None, allow_pickle=False)
            return array
        except (ValueError, OSError, TokenError) as error:  # TokenError: a header that is no Python
            raise self._damaged(name, error) from error

    def tensors(self, name: str) -> dict[str, NDArray[Any]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(str(self.path(name)))
        except (SafetensorError, ValueError, OSError) as error:
            raise self._damaged(name, error) from error

    @property
    def card(self) -> dict[str, Any]:
        """What the saver put into config.json, without what storage adds to it."""
        return {k: v for k, v in self.config.items() if k not in ("textdl_format", "generation", "files")}

    def size(self) -> int:
        """Bytes on disk."""
        return sum(entry["bytes"] for entry in self.config["files"].values())

    def verify(self) -> None:
        """Read every file and compare its sha256. Raises ModelError for the first that differs."""
        for name, entry in self.config["files"].items():
            if _sha256(self.path(name)) != entry["sha256"]:
                raise self._damaged(name, _OTHER_HASH)

    def _damaged(self, name: str, why: object) -> ModelError:
        return ModelError(f"{self.path(name)} is damaged ({why}). Copy the model again or train it again.")


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / _CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}). Copy the model again or train it again.") from error
    if not isinstance(config, dict) or "textdl_format" not in config:
        raise UsageError(f"{directory} is not a textdl model: its config.json belongs to something else.")
    if config["textdl_format"] != FORMAT:
        raise ModelError(
            f"{path} is of format {config['textdl_format']}; this textdl reads format {FORMAT}. Upgrade textdl or train again."
        )
    files = config.get("files")
    if (
        not isinstance(config.get("generation"), int)
        or not isinstance(files, dict)
        or not all(
            isinstance(e, dict) and _inside(e.get("file")) and isinstance(e.get("bytes"), int) for e in files.values()
        )
    ):
        raise ModelError(f"{path} does not list its files: it was damaged. Copy the model again or train it again.")
    return config


def _journal(directory: Path) -> set[str]:
    """Names that an unfinished save has begun; unsafe ones are dropped."""
    try:
        names = (directory / _UNFINISHED).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    return {name for name in names if _inside(name)}


def _write_journal(directory: Path, names: set[str]) -> None:
    """A first save has an empty journal from its beginning; without a save, no names means no journal."""
    if names or not (directory / _CONFIG).exists():
        (directory / _UNFINISHED).write_text("".join(f"{name}\n" for name in sorted(names)), "utf-8")
    else:
        (directory / _UNFINISHED).unlink(missing_ok=True)


def _inside(name: object) -> bool:
    """Whether a name from a file stays inside the model directory."""
    return isinstance(name, str) and name != "" and not Path(name).is_absolute() and ".." not in Path(name).parts


def _remove(directory: Path, names: set[str]) -> None:
    for name in names:
        path = directory / name
        path.unlink(missing_ok=True)
        if path.parent != directory and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a directory; its renames are journaled
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
