"""The cache of compiled kernels is that of these sources, and of no others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import textdl
from textdl.kernels import fingerprint

SOURCE = Path(textdl.__file__).parent
WHERE = "import os, textdl.kernels; print(os.environ['NUMBA_CACHE_DIR'])"


def directory_of(cache: Path) -> Path:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["TEXTDL_CACHE"] = str(cache)
    done = subprocess.run([sys.executable, "-c", WHERE], env=environment, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def test_a_changed_or_moved_kernel_changes_the_fingerprint(tmp_path):
    (tmp_path / "inner").mkdir()
    kernel = tmp_path / "inner" / "a.py"
    kernel.write_text("from textdl.kernels import kernel\n")
    first = fingerprint(tmp_path)
    (tmp_path / "other.py").write_text("nothing of ours\n")
    assert fingerprint(tmp_path) == first
    kernel.write_text("from textdl.kernels import kernel\nx = 1\n")
    changed = fingerprint(tmp_path)
    assert changed != first
    kernel.rename(tmp_path / "a.py")
    assert fingerprint(tmp_path) not in (first, changed)


def test_the_directory_is_named_by_the_sources_and_sweeps_what_is_old(tmp_path):
    home = tmp_path / "numba"
    for name, days in (("old", 40), ("recent", 3)):
        (home / name).mkdir(parents=True)
        os.utime(home / name, (time.time() - days * 86400,) * 2)
    used = directory_of(tmp_path)
    assert used == home / fingerprint(SOURCE)
    assert sorted(path.name for path in home.iterdir()) == sorted([used.name, "recent"])


def test_without_a_place_for_a_cache_there_is_a_temporary_one(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert directory_of(tmp_path / "file").is_dir()
