"""Files that a command writes."""

import errno
import os
import threading
from pathlib import Path

import pytest

from textdl import scratch
from textdl.cli import output
from textdl.cli.output import json_file, report_file
from textdl.errors import UsageError


def test_two_write_one_report_at_once(tmp_path, monkeypatch):
    file = tmp_path / "r[1].html"
    (tmp_path / "r[1].html.part").write_text("of the user's")
    left = tmp_path / f"r[1].html.{scratch.mark('').split('.')[1]}.{2**22 + 1}.part"  # by a process that is gone
    left.write_text("half")
    with report_file("--html", file) as out:
        out.write("first")
        monkeypatch.setattr(os, "getpid", os.getppid)
        with report_file("--html", file) as other:
            other.write("second")
        monkeypatch.undo()
        assert file.read_text() == "second"
    assert file.read_text() == "first"
    assert {path.name for path in tmp_path.iterdir()} == {"r[1].html", "r[1].html.part"}


def test_what_breaks_off_leaves_the_old_file(tmp_path):
    file = tmp_path / "r.json"
    file.write_text("old")
    with (
        pytest.raises(UsageError, match=r"--json .*r.json: cannot write it \(No space left"),
        json_file(str(file)) as out,
    ):
        out.write("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(KeyboardInterrupt), report_file("--html", file) as out:
        out.write("new")
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError), report_file("--html", file):
        open(tmp_path / "what is read")  # noqa: SIM115
    assert file.read_text() == "old"
    with report_file("--html", file) as out:
        out.write("new")
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["r.json"]


def test_links_stay_links_and_names_may_be_any_bytes(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with report_file("--html", tmp_path / "link") as out:
        out.write("a\udc80文")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text("utf-8") == "a\\udc80文"


def test_what_cannot_be_written(tmp_path):
    for path in (tmp_path, tmp_path / "no" / "r.json"):
        with pytest.raises(UsageError, match=r"--json .*: cannot write it"), json_file(str(path)):
            pass


def test_pipes_and_devices_are_written_as_they_are(tmp_path):
    with json_file("/dev/null") as out:
        out.write("x")
    assert not Path("/dev/null").is_file()
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    with json_file(str(tmp_path / "pipe")) as out:
        out.write("{}")
    reader.join(5)
    assert read == ["{}"]


def test_the_rate_of_a_stage_that_goes_on_counts_what_came_since(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 20.0, 40.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    run = output.TerminalRun()
    run.progress("training", 0, 4000, "tokens")
    run.progress("training", 1000, 4000, "tokens")  # 1,000 in 10 s
    run.note("validated")
    run.progress("training", 2000, 4000, "tokens")  # at second 20
    run.progress("training", 3000, 4000, "tokens")  # 1,000 in 20 s, and 1,000 to go
    lines = capsys.readouterr().err.splitlines()
    assert "1,000 of 4,000 tokens, 100 tokens/s, 0:30 left" in lines[0]
    assert "3,000 of 4,000 tokens, 50 tokens/s, 0:20 left" in lines[-1]


def test_a_stage_that_begins_again_has_no_rate_below_zero(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 5.0, 20.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    run = output.TerminalRun()
    run.progress("scoring", 4000, 4000, "tokens")  # one model done
    run.progress("scoring", 1000, 4000, "tokens")  # the next
    run.progress("scoring", 2500, 4000, "tokens")
    assert "2,500 of 4,000 tokens, 100 tokens/s, 0:15 left" in capsys.readouterr().err
