"""Does evaluation take memory that grows with the text? Two models on the same lines, repeated to several sizes.

    python scripts/bench/evaluation_size.py [--megabytes 50 200 1000] [--language zh]

Each size is a process of its own: its peak memory and its time, for counting, encoding and scoring together. Memory of
its own is looked at ten times a second; the peak of the system's books also holds pages of temporary files, which it drops
when somebody needs the room (Linux only; elsewhere 0).
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WORDS = {"en": "abcdefghijklmnopqrst", "zh": "的一是不了人我在有他这为之大来以个中上们"}
SPACE = {"en": " ", "zh": ""}


def write(path: Path, megabytes: float, language: str, seed: int) -> None:
    """Lines of made-up words: every line another, some words never seen again."""
    draw, letters, space = random.Random(seed), WORDS[language], SPACE[language]
    words = ["".join(draw.choices(letters, k=draw.randint(1, 6))) for _ in range(20_000)]
    with path.open("w", encoding="utf-8", newline="\n") as out:
        written = 0
        while written < megabytes * 1e6:
            some = [space.join(draw.choices(words, k=12)) for _ in range(1000)]
            written += sum(len(line.encode()) + 1 for line in some)
            out.writelines(line + "\n" for line in some)


class OwnMemory(threading.Thread):
    """Watches the memory of this process that is no page of a file."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0

    def run(self) -> None:
        status = Path("/proc/self/status")
        while status.exists():
            self.most = max(
                self.most,
                *(
                    int(line.split()[1]) << 10
                    for line in status.read_text().splitlines()
                    if line.startswith("RssAnon:")
                ),
            )
            time.sleep(0.1)


def one(text: Path, models: list[Path]) -> None:
    """In the process that is measured."""
    import textdl
    from textdl.memory import peak

    own = OwnMemory()
    own.start()
    began = time.perf_counter()
    card = textdl.evaluate(models, str(text), words="whitespace")
    seconds = time.perf_counter() - began
    tokens = sum(r.tokens for r in card.results)
    print(
        f"{text.stat().st_size / 1e6:8.0f} {card[0].text.lines:12,} {tokens:14,} {own.most / 1e6:8.0f} "
        f"{(peak() or 0) / 1e6:8.0f} {seconds:8.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--language", choices=list(WORDS), default="zh")
    parser.add_argument("--one", type=Path, nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one[0], args.one[1:])
        return
    import textdl

    with tempfile.TemporaryDirectory(prefix="evaluation-size-") as name:
        directory = Path(name)
        write(directory / "train.txt", 2, args.language, 1)
        models = []
        for tokenizer in ("char", "whitespace"):
            textdl.train(
                "ngram", str(directory / "train.txt"), tokenizer=tokenizer, order=3, output=directory / tokenizer
            )
            models.append(directory / tokenizer)
        print(f"{'MB':>8} {'lines':>12} {'tokens scored':>14} {'own MB':>8} {'peak MB':>8} {'seconds':>8}", flush=True)
        for size in args.megabytes:
            write(directory / "test.txt", size, args.language, 2)
            subprocess.run([sys.executable, __file__, "--one", directory / "test.txt", *models], check=True)


if __name__ == "__main__":
    main()
