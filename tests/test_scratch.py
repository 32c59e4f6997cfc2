"""Temporary directories: where they are, and what a killed process leaves."""

import errno
import os
import subprocess
import sys
import tempfile

import pytest

from textdl import scratch
from textdl.errors import CorpusError, UsageError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # what Python has settled on before
    return tmp_path


def test_gone_at_the_end(home):
    with scratch.temporary("test") as directory:
        assert directory.parent == home
        (directory / "a").write_text("a")
        with scratch.temporary("test") as other:
            assert directory.exists()
            assert other != directory
    assert list(home.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for by signal")
def test_what_a_killed_process_left_is_removed_by_the_next(home):
    code = (
        "import os\nfrom textdl import scratch\n(scratch.make('test') / 'a').write_text('a')\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = home.iterdir()
    assert left.name.startswith("textdl-test.")
    (home / "textdl-by-somebody-else").mkdir()
    mine = scratch.make("test")
    foreign = home / "textdl-test.another-machine.1.abc"
    foreign.mkdir()
    scratch.make("test")
    assert not left.exists()
    assert mine.exists()
    assert foreign.exists()
    assert (home / "textdl-by-somebody-else").exists()
    os.utime(foreign, (1, 1))
    scratch.make("test")
    assert not foreign.exists()


@pytest.mark.parametrize("kind", ["none", "file"])
def test_a_tmpdir_that_is_none_is_refused(tmp_path, monkeypatch, kind):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / kind))
    with pytest.raises(UsageError, match=f"TMPDIR is .*{kind}, which is not a directory one may write to"):
        scratch.make("test")


def test_a_full_disk_is_told_with_its_place(home):
    with pytest.raises(CorpusError, match=f"a temporary file in {home} cannot be written .No space.* set TMPDIR"):
        with scratch.telling_of_no_room():
            raise OSError(errno.ENOSPC, "No space left on device")
    for other in (OSError(errno.ENOSPC, "No space left on device", "named"), ConnectionResetError("by peer")):
        with pytest.raises(OSError, match=r"named|by peer"), scratch.telling_of_no_room():
            raise other


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for by signal")
def test_whose_a_name_is(tmp_path):
    own = tmp_path / (scratch.mark("v1.2") + "abc")
    own.touch()
    assert scratch.owner(own) == os.getpid()
    assert scratch.owner(tmp_path / f"v1.2.another-machine.{os.getpid()}.abc") is None
    assert scratch.owner(tmp_path / scratch.mark("").replace(str(os.getpid()), str(2**22 + 1)) / "abc") is None
    assert scratch.owner(tmp_path / "thesis.txt") is None
