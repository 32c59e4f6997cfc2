"""The cache: whole entries or none, whoever makes them and whatever kills them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from textdl import cache
from textdl.errors import CorpusError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTDL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(text="x"):
    def build(directory: Path) -> None:
        (directory / "a.txt").write_text(text)

    return build


def test_an_entry_is_made_once_and_used_again():
    path = cache.cached("encoded", "k", "a text", made("one"))
    assert (path / "a.txt").read_text() == "one"
    assert cache.cached("encoded", "k", "a text", made("two")) == path
    assert (path / "a.txt").read_text() == "one"
    [entry] = cache.entries()
    assert (entry.kind, entry.about, entry.path) == ("encoded", "a text", path)
    assert entry.bytes == sum(file.stat().st_size for file in path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "missing", "card"])
def test_a_damaged_entry_is_made_again(damage):
    path = cache.cached("encoded", "k", "", made("first"))
    if damage == "cut":
        (path / "a.txt").write_text("fir")
    elif damage == "missing":
        (path / "a.txt").unlink()
    else:
        (path / "entry.json").write_text('{"files": [')
    assert (cache.cached("encoded", "k", "", made("again")) / "a.txt").read_text() == "again"


def test_what_fails_leaves_nothing(home):
    def broken(directory: Path) -> None:
        (directory / "a.txt").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CorpusError, match=r"No space left.*textdl cache clear.*TEXTDL_CACHE"):
        cache.cached("encoded", "k", "", broken)
    assert list((home / "encoded").iterdir()) == []


def test_two_that_make_the_same_entry_both_get_it(home):
    barrier = threading.Barrier(2)
    got = []

    def build(directory: Path) -> None:
        (directory / "a.txt").write_text("same")
        barrier.wait(10)

    threads = [threading.Thread(target=lambda: got.append(cache.cached("encoded", "k", "", build))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [home / "encoded" / "k"] * 2
    assert [path.name for path in (home / "encoded").iterdir()] == ["k"]


def test_a_killed_process_leaves_no_entry_and_is_swept_up(home):
    code = (
        "import os; from textdl import cache\n"
        "def build(d):\n (d / 'a.txt').write_text('half'); os.kill(os.getpid(), 9)\n"
        "cache.cached('encoded', 'k', '', build)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode != 0
    [left] = (home / "encoded").iterdir()
    assert left.name.startswith(".")
    assert cache.cached("encoded", "k", "", made()).is_dir()
    assert [path.name for path in (home / "encoded").iterdir()] == ["k"]


def test_without_a_place_to_write_it_is_temporary(tmp_path):
    (tmp_path / "file").write_text("")
    code = (
        "from textdl import cache\n"
        "path = cache.cached('encoded', 'k', '', lambda d: (d / 'a.txt').write_text('x'))\n"
        "print((path / 'a.txt').read_text())"
    )
    (tmp_path / "tmp").mkdir()
    env = {**os.environ, "TEXTDL_CACHE": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "x\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_clearing_leaves_what_is_being_built(home):
    seen = []

    def build(directory: Path) -> None:
        (directory / "a.txt").write_text("x")
        (directory / "entry.json").write_text('{"files": {"a.txt": 1}}')  # as when it is sealed and not yet renamed
        assert cache.entries()[0].about == "files"
        seen.append(cache.clear())

    assert (cache.cached("encoded", "k", "", build) / "a.txt").is_file()
    assert seen == [0]


def test_what_was_used_longest_ago_goes_first(monkeypatch):
    monkeypatch.setenv("TEXTDL_CACHE_LIMIT", "2500")
    paths = [cache.cached("encoded", str(i), "", made("x" * 1000)) for i in range(2)]
    old = time.time() - 10_000
    os.utime(paths[1] / "entry.json", (old, old))
    cache.cached("encoded", "2", "", made("x" * 1000))
    assert [path.is_dir() for path in paths] == [True, False]
    cache.cached("encoded", "3", "", made("x" * 1000))
    assert paths[0].is_dir(), "used a moment ago: it stays, whatever the limit"


def test_clearing(home):
    kept = cache.cached("encoded", "k", "", made())
    (home / "corpora").mkdir()
    (home / "corpora" / "zh.txt").write_text("text")
    assert cache.clear({"corpora"}) == 4
    assert kept.is_dir()
    assert not list((home / "corpora").iterdir())
    assert cache.clear(unused_for=60) == 0
    assert cache.clear() > 0
    assert cache.entries() == []


@pytest.mark.parametrize(("text", "number"), [("500", 500), ("1.5k", 1500), ("20G", 20 * 10**9), ("3 TB", 3 * 10**12)])
def test_limits(monkeypatch, text, number):
    monkeypatch.setenv("TEXTDL_CACHE_LIMIT", text)
    assert cache.limit() == number


def test_a_limit_that_is_no_size(monkeypatch):
    monkeypatch.setenv("TEXTDL_CACHE_LIMIT", "much")
    with pytest.raises(UsageError, match="TEXTDL_CACHE_LIMIT is 'much'"):
        cache.limit()
