"""Checkpoints: whole or not there, for one training only, and never destroyed unasked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.checkpoint import Checkpoint
from textdl.errors import ModelError, UsageError
from textdl.storage import Writer, saving

WHO = {"family": "test", "--dim": 3, "--alpha": None, "--deterministic": False, "the text": "3fa1"}


def saved(output: Path, epoch: int = 2) -> Checkpoint:
    made = Checkpoint(output)
    made.check(WHO)
    for number in range(1, epoch + 1):
        arrays = {"vectors": np.full((2, 3), number, np.float32), "bits": np.arange(number, dtype=np.uint64)}
        made.save(arrays, {"epoch": number}, [{"loss": 1.5}] * number, done=f"{number} of 9 epochs")
    return made


def test_what_is_saved_is_found(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m.training"]
    again = Checkpoint(tmp_path / "m", resume=True)
    again.check(WHO)
    assert again.written == "2 of 9 epochs"
    found = again.load()
    assert found is not None
    assert found.arrays["vectors"].tolist() == [[2.0] * 3] * 2
    assert found.arrays["bits"].dtype == np.uint64
    assert (found.state, found.curve) == ({"epoch": 2}, [{"loss": 1.5}] * 2)
    again.remove()
    assert not (tmp_path / "m.training").exists()
    again.remove()


def test_one_that_is_there_is_never_destroyed_unasked(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    with pytest.raises(UsageError, match=r"m\.training holds .*: test, 2 of 9 epochs, 20.*--resume; .* --no-resume"):
        Checkpoint(tmp_path / "m")
    anew = Checkpoint(tmp_path / "m", resume=False)
    anew.check({**WHO, "--dim": 4})
    assert anew.load() is None
    assert Checkpoint(tmp_path / "m", resume=True).written == "2 of 9 epochs"  # until there is a new one
    anew.save({}, {"epoch": 1}, [], done="1 of 9 epochs")
    assert Checkpoint(tmp_path / "m", resume=True).written == "1 of 9 epochs"


def test_nothing_to_go_on_from(tmp_path: Path) -> None:
    fresh = Checkpoint(tmp_path / "m", resume=True)
    fresh.check(WHO)
    assert fresh.written is None
    assert fresh.load() is None
    (tmp_path / "n.training").mkdir()
    (tmp_path / "n.training" / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="is not a textdl model, so it is left alone"):
        Checkpoint(tmp_path / "n")


def test_another_training_is_refused_with_what_differs(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    other = Checkpoint(tmp_path / "m", resume=True)
    other.check({"family": "test", "--deterministic": False})  # what is known first is compared first
    with pytest.raises(UsageError, match=r"--dim is 4, was 3; --alpha is 0\.1, was not given\. Give the command"):
        other.check({**WHO, "--dim": 4, "--alpha": 0.1})
    with pytest.raises(UsageError, match=r"--deterministic is on, was off; the text is 81bc, was 3fa1\."):
        other.check({**WHO, "--deterministic": True, "the text": "81bc"})
    assert other.load() is not None


@settings(max_examples=20)
@given(
    identity=st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    )
)
def test_identities_go_through_the_file(identity: dict[str, str | int | float | bool | None], tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    output = tmp_path_factory.mktemp("c") / "m"
    made = Checkpoint(output)
    made.check(identity)
    made.save({}, {}, [], done="a")
    Checkpoint(output, resume=True).check(identity)


def test_a_damaged_one_is_one_sentence(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    for path in [p for p in (tmp_path / "m.training").iterdir() if p.name != "config.json"]:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        said = rf"m\.training is damaged and cannot be resumed .*{path.name}.*--no-resume"
        with pytest.raises(ModelError, match=said):
            Checkpoint(tmp_path / "m", resume=True)
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        with pytest.raises(ModelError, match=rf"damaged and cannot be resumed .*{path.name}.*sha256"):
            Checkpoint(tmp_path / "m", resume=True).load()
        path.write_bytes(data)
    config = tmp_path / "m.training" / "config.json"
    card = json.loads(config.read_text())
    config.write_text(json.dumps(card | {"checkpoint": 99}))
    with pytest.raises(ModelError, match=r"version 99, expected 3"):
        Checkpoint(tmp_path / "m", resume=True)
    config.write_text("{")
    with pytest.raises(UsageError, match="not empty and is not a textdl model"):
        Checkpoint(tmp_path / "m", resume=True)


def test_a_model_under_its_name_is_left_alone(tmp_path: Path) -> None:
    with saving(tmp_path / "m.training", {"family": "test"}) as out:
        out.text("a.txt", "a")
    with pytest.raises(ModelError, match="no checkpoint that this textdl knows"):
        Checkpoint(tmp_path / "m", resume=True)


def test_a_full_disk_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = saved(tmp_path / "m")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Writer, "array", full)
    for save in (made.save, made.begin):
        with pytest.raises(ModelError, match="No space left on device"):
            save({"vectors": np.zeros(3)}, {}, [], done="3 of 9 epochs")
            made.wait()
    assert made.written == "2 of 9 epochs"
    monkeypatch.undo()
    assert Checkpoint(tmp_path / "m", resume=True).written == "2 of 9 epochs"
    made.begin({}, {"epoch": 3}, [], done="3 of 9 epochs")
    made.wait()
    assert made.written == "3 of 9 epochs"


TRAINS = """
import os, sys
from pathlib import Path
from textdl.checkpoint import Checkpoint

made = Checkpoint(Path(sys.argv[1]))
made.load()
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
made.save({}, {}, [], done="1 of 9 epochs")
print("training", flush=True)
input()
made.remove()
print("done", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for by signal")
@pytest.mark.parametrize("name", ["m", "a/v1.2 [b]"])
def test_another_process_that_trains_there_is_not_disturbed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / name
    early = Checkpoint(output)
    command = [sys.executable, "-c", TRAINS, str(output)]
    with subprocess.Popen([*command, "goes on"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "training\n"
        said = rf"{re.escape(output.name)} is being trained by process {other.pid}\. Wait for its end, or choose another -o"
        for resume in (None, True, False):
            with pytest.raises(UsageError, match=said):
                Checkpoint(output, resume)
        with pytest.raises(UsageError, match=said):
            early.load()
        monkeypatch.setenv("RANK", "1")  # of several processes that train one model only the first leaves a mark
        assert Checkpoint(output, resume=True).load() is not None
        monkeypatch.delenv("RANK")
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"
    assert list(output.parent.iterdir()) == []
    mine = Checkpoint(output)
    mine.load()
    Checkpoint(output).load()  # in the same process, where an earlier training was given up
    assert len(list(output.parent.iterdir())) == 1
    del mine
    assert list(output.parent.iterdir()) == []
    assert subprocess.run([*command, "killed"], check=False).returncode == -9
    assert len(list(output.parent.iterdir())) == 1
    Checkpoint(output)
    assert list(output.parent.iterdir()) == []


def test_whatever_goes_wrong_in_the_thread_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = saved(tmp_path / "m")
    shutil.rmtree(tmp_path / "m.training")
    (tmp_path / "m.training").mkdir()
    (tmp_path / "m.training" / "thesis.txt").write_text("precious")
    made.begin({}, {"epoch": 3}, [], done="3 of 9 epochs")
    with pytest.raises(ModelError, match=r"cannot save to m\.training: .* is not a textdl model"):
        made.wait()

    def gone(*_: object) -> None:
        raise FileNotFoundError(2, os.strerror(2))

    monkeypatch.setattr("textdl.storage.os.replace", gone)
    made = Checkpoint(tmp_path / "n")
    made.begin({}, {"epoch": 1}, [], done="1 of 9 epochs")
    with pytest.raises(ModelError, match=r"cannot save to n\.training: No such file or directory"):
        made.wait()

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Writer, "json", broken)
    made.begin({}, {"epoch": 1}, [], done="1 of 9 epochs")
    with pytest.raises(RuntimeError, match="a defect"):
        made.wait()


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from textdl.checkpoint import Checkpoint

output, resume, step = Path(sys.argv[1]), sys.argv[2] == "resume", int(sys.argv[3])
seen = 0

def die(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        seen += 1
        if seen == step:
            os._exit(9)

made = Checkpoint(output, resume)
before = made.load()
sys.addaudithook(die)
if sys.argv[4] == "remove":
    made.remove()
else:
    number = before.state["epoch"] + 1 if before else 1
    made.save({"vectors": np.full(3, number)}, {"epoch": number}, [{}] * number, done=str(number))
"""


@pytest.mark.parametrize(("what", "stride"), [("save", 5), ("remove", 3)])
def test_a_kill_at_any_moment_leaves_the_one_before_or_the_next(what: str, stride: int, tmp_path: Path) -> None:
    saved(tmp_path / "m", 1)
    seen = []
    for step in range(1, 1000, stride):
        output = tmp_path / f"m{step}"
        shutil.copytree(tmp_path / "m.training", tmp_path / f"m{step}.training")
        command = [sys.executable, "-c", KILLED, str(output), "resume", str(step), what]
        code = subprocess.run(command, check=False, timeout=60).returncode
        found = Checkpoint(output, resume=True).load()
        seen.append(found.state["epoch"] if found is not None else None)
        if found is not None:
            assert found.arrays["vectors"].ravel()[0] == seen[-1]
            assert len(found.curve) == seen[-1]
        else:
            saved(output, 3)  # what was left behind is in nobody's way
        if code == 0:
            break
    after = 2 if what == "save" else None
    assert set(seen) == {1, after}
    assert seen == sorted(seen, key=[1, after].index)
