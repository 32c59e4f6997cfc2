import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from textdl.errors import ModelError, UsageError
from textdl.storage import Reader, Writer, check_output, check_room, is_model, saving


def write(directory: Path, value: int) -> None:
    with saving(directory, {"family": "test", "value": value}) as out:
        out.array("weights.npy", np.full(4, value))
        out.text("speller/notes.txt", f"value {value}")
        out.tensors("weights.safetensors", {"a": np.full(2, value, np.float32)})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "m", 7)
    reader = Reader(tmp_path / "m")
    reader.verify()
    assert reader.config["value"] == 7
    assert reader.array("weights.npy").tolist() == [7] * 4
    assert isinstance(reader.array("weights.npy"), np.memmap)
    assert reader.text("speller/notes.txt") == "value 7"
    assert reader.tensors("weights.safetensors")["a"].tolist() == [7, 7]
    assert reader.size() == sum(
        f.stat().st_size for f in (tmp_path / "m").rglob("*") if f.is_file() and f.name != "config.json"
    )


def test_a_second_save_replaces_the_first_and_leaves_open_maps_alone(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    (tmp_path / "m" / "my-notes.txt").write_text("mine")
    open_map = Reader(tmp_path / "m").array("weights.npy")
    write(tmp_path / "m", 2)
    assert open_map.tolist() == [1] * 4
    assert Reader(tmp_path / "m").array("weights.npy").tolist() == [2] * 4
    assert (tmp_path / "m" / "my-notes.txt").read_text() == "mine"
    assert len(list((tmp_path / "m").rglob("weights*.npy"))) == 1


def test_a_failed_save_leaves_the_old_model(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    with pytest.raises(ZeroDivisionError), saving(tmp_path / "m", {}) as out:
        out.array("weights.npy", np.zeros(9))
        _ = 1 / 0
    assert Reader(tmp_path / "m").array("weights.npy").tolist() == [1] * 4
    with pytest.raises(ZeroDivisionError), saving(tmp_path / "new", {}) as out:
        out.array("weights.npy", np.zeros(9))
        _ = 1 / 0
    assert not (tmp_path / "new").exists()


def test_what_a_killed_save_left_is_cleared_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "m"
    directory.mkdir()
    (directory / ".unfinished").touch()
    killed = Writer(directory, 1)  # a process that wrote this and died
    killed.array("old.npy", np.zeros(3))
    assert is_model(directory)
    with pytest.raises(ModelError, match="training ended before the model was saved"):
        Reader(directory)
    write(directory, 3)
    assert not (directory / "old.npy").exists()
    assert not (directory / ".unfinished").exists()
    assert Reader(directory).config["value"] == 3


def test_saving_again_and_again_from_what_was_loaded(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    for generation in (2, 3, 4):
        reader = Reader(tmp_path / "m")
        array = reader.array("weights.npy")
        with saving(tmp_path / "m", reader.card) as out:
            out.array("weights.npy", array)
        assert Reader(tmp_path / "m").config["generation"] == generation
        assert array.tolist() == [1] * 4
    Reader(tmp_path / "m").verify()


def test_nothing_is_removed_once_the_new_model_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "m", 1)
    replace = os.replace

    def interrupted(source: Path, target: Path) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "m", 2)
    monkeypatch.undo()
    assert Reader(tmp_path / "m").array("weights.npy").tolist() == [2] * 4
    write(tmp_path / "m", 3)
    assert len(list((tmp_path / "m").rglob("weights*.npy"))) == 1


def test_a_full_disk_is_one_sentence_for_tensors_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: str) -> None:
        raise SafetensorError("I/O error: File too large (os error 27)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(ModelError, match=r"the disk is full, or a file became larger .*; nothing was saved"):
        with saving(tmp_path / "m", {}) as out:
            out.tensors("weights.safetensors", {})


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    with pytest.raises(ModelError, match="No space left on device; the model that was there is unchanged"):
        with saving(tmp_path / "m", {}) as out:
            out.array("weights.npy", np.zeros(9))
            raise OSError(28, os.strerror(28))
    assert Reader(tmp_path / "m").config["value"] == 1


def test_other_directories_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="is not empty and is not a textdl model"):
        check_output(tmp_path / "thesis")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        check_output(tmp_path / "file")
    with pytest.raises(UsageError, match="takes no files"):
        check_output(tmp_path / "file" / "m")
    check_output(tmp_path / "new" / "deep")


@pytest.mark.skipif(os.name == "nt", reason="limits of the shell")
def test_room_is_looked_for_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr("shutil.disk_usage", lambda _: (10**9, 9 * 10**8, 10**8))
    check_room(tmp_path / "new" / "m", 10**8)
    with pytest.raises(UsageError, match=r"has room for 100 MB, and 200 MB will be written"):
        check_room(tmp_path / "new" / "m", 10**8, files=2)
    monkeypatch.setattr("shutil.disk_usage", lambda _: (0, 0, 0))  # a system of files that does not tell
    check_room(tmp_path, 10**8)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10**7, resource.RLIM_INFINITY))
    with pytest.raises(
        UsageError, match=r"a file of 100\.0 MB will be written, and this shell allows 10\.0 MB.*ulimit -f"
    ):
        check_room(tmp_path, 10**8)


def test_damage_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "m"
    with pytest.raises(UsageError, match="no such model"):
        Reader(directory)
    directory.mkdir()
    with pytest.raises(UsageError, match=r"has no config\.json"):
        Reader(directory)
    write(directory, 1)
    data = (directory / "weights.npy").read_bytes()
    (directory / "weights.npy").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"weights\.npy has 80 bytes, config\.json says 160"):
        Reader(directory)
    (directory / "weights.npy").write_bytes(data[:-1] + b"\x01")
    with pytest.raises(ModelError, match="sha256"):
        Reader(directory).verify()
    (directory / "weights.npy").unlink()
    with pytest.raises(ModelError, match=r"weights\.npy is missing"):
        Reader(directory)
    text = (directory / "config.json").read_text()
    (directory / "config.json").write_text(text[: len(text) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        Reader(directory)


def test_a_file_outside_the_directory_is_never_touched(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    outside = tmp_path / "precious"
    outside.touch()
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["files"]["weights.npy"]["file"] = "../precious"
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="does not list its files"):
        Reader(tmp_path / "m")
    with pytest.raises(ModelError, match="does not list its files"):
        write(tmp_path / "m", 2)
    assert outside.exists()


def test_another_format_says_so(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    config = json.loads((tmp_path / "m" / "config.json").read_text()) | {"textdl_format": 99}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="format 99; this textdl reads format 1"):
        Reader(tmp_path / "m")
    with pytest.raises(ModelError, match="format 99"):
        check_output(tmp_path / "m")


@pytest.mark.parametrize("name", ["words.txt", "more.npy"])
def test_what_is_read_whole_is_what_was_saved(tmp_path: Path, name: str) -> None:
    """A flipped bit leaves the size as it was."""
    with saving(tmp_path / "m", {}) as out:
        out.text("words.txt", "a\nb\n")
        out.array("more.npy", np.arange(10))
    path = tmp_path / "m" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    reader = Reader(tmp_path / "m")
    with pytest.raises(ModelError, match=r"is damaged .*sha256"):
        reader.text(name) if name.endswith("txt") else reader.array(name)
