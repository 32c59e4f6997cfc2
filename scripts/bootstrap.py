"""Make .venv ready: create it, install textdl with its development tools at the pinned versions.

Run by the Makefile with whatever Python 3 there is, so this file keeps to the standard library and
to old syntax. Does nothing when .venv is up to date. Every failure ends in one sentence.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import NoReturn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
OLDEST, NEWEST = (3, 11), (3, 13)
INPUTS = ("constraints.txt", "pyproject.toml", "setup.py")


def stop(sentence: str) -> NoReturn:
    sys.stderr.write("set-up stopped: " + sentence + "\n")
    sys.exit(1)


def suitable_python() -> str:
    """This interpreter if its version will do, else the first on PATH whose version does."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return found
    stop(
        f"textdl needs Python 3.{OLDEST[1]} to 3.{NEWEST[1]}, and {sys.executable} is "
        f"{sys.version_info[0]}.{sys.version_info[1]}. Install one, or name it: make PYTHON=/path/to/python3.12"
    )


def digest() -> str:
    sha = hashlib.sha256()
    for name in INPUTS:
        with open(os.path.join(ROOT, name), "rb") as file:
            sha.update(file.read())
    return sha.hexdigest()


def main() -> None:
    stamp = os.path.join(VENV, ".textdl-ready")
    python = os.path.join(VENV, "bin", "python")
    wanted = digest()
    if os.path.exists(stamp) and os.path.exists(python):
        with open(stamp) as file:
            if file.read().strip() == wanted and subprocess.call([python, "-c", "import textdl"]) == 0:
                return

    if not os.path.exists(python) or subprocess.call([python, "-c", "import pip"], stderr=subprocess.DEVNULL) != 0:
        base = suitable_python()
        print(f"creating .venv with {base}")
        if subprocess.call([base, "-c", "import venv, ensurepip"], stderr=subprocess.DEVNULL) != 0:
            stop(
                "this Python has no venv module. On Debian or Ubuntu: sudo apt install python3-venv; "
                "or name another Python: make PYTHON=/path/to/python3.12"
            )
        if subprocess.call([base, "-m", "venv", "--clear", VENV]) != 0:
            stop(f"python -m venv failed (see above); is {ROOT} writable, is the disk full?")

    print("installing textdl and its tools at the versions of constraints.txt (a few minutes the first time)")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["-c", "constraints.txt", "-e", ".[demo,dev]"]
    if subprocess.call(command, cwd=ROOT) != 0:
        stop(
            "pip could not install everything (see above). No network? Set the proxy or a mirror "
            "(PIP_INDEX_URL) and run the same command again; what is installed already stays."
        )
    with open(stamp, "w") as file:
        file.write(wanted)
    print("ready: .venv/bin/textdl --help")


if __name__ == "__main__":
    main()
