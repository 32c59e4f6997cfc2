"""The README keeps its promises: its file map is the tree, its commands run, its Python runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)


def test_the_file_map_is_the_tree() -> None:
    mapped = set(re.findall(r"^\| `textdl/([^`]+)` \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    there = {p.name + ("/" if p.is_dir() else "") for p in (ROOT / "textdl").iterdir() if not p.name.startswith("_")}
    assert mapped == {name for name in there if name.endswith(("/", ".py"))}


@pytest.mark.parametrize("name", READMES)
def test_its_python_runs(name: str) -> None:
    for code in blocks(name, "python"):
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert float(done.stdout.split("\n")[0]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", READMES)
def test_its_commands_run(name: str, texts: Path, tmp_path: Path) -> None:
    lang = "en" if name == "README.md" else "zh"
    shutil.copy(texts / f"{lang}.txt", tmp_path / "my.txt")
    shutil.copy(texts / f"{lang}-test.txt", tmp_path / "held-out.txt")
    commands = [
        shlex.split(line, comments=True)
        for block in blocks(name, "sh")
        for line in block.splitlines()
        if line.startswith("textdl ")
    ]
    assert len(commands) == 15
    for command in commands:
        short = ["10s" if word == "10m" else word for word in command[1:]]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("textdl")), *short],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)


def test_both_readmes_name_the_same_commands() -> None:
    def named(name: str) -> list[str]:
        return [
            word
            for block in blocks(name, "sh")
            for word in re.findall(r"^(?:textdl \w+|make \w+)", block, re.MULTILINE)
        ]

    assert sorted(named(READMES[0])) == sorted(named(READMES[1]))
