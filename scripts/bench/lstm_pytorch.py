"""Training speed of an LSTM of 2 x 200 with tied embeddings beside PyTorch's example, in one run.

    git clone https://github.com/pytorch/examples
    python scripts/bench/lstm_pytorch.py english.txt --examples examples/word_language_model

Both read the same words, the 10,000 most frequent ones and <unk>, in 20 rows of 35 steps, with dropout 0.2, two
threads, one pass. Speed is that of the steps, validation apart: of the example, the median of what it prints; of textdl, what
it says of itself, all tokens over the seconds of all steps. Runs alternate. Precision is what either does by itself:
float32 there, bfloat16 for products here where the processor has it.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROWS, STEPS, SIZE = 20, 35, 200


def prepare(source: Path, directory: Path, words: int, tokens: int) -> None:
    """train.txt, valid.txt and test.txt, in which rare words are <unk>."""
    lines: list[list[str]] = []
    left = tokens
    with source.open(encoding="utf-8") as file:
        for line in file:
            if cut := line.split():
                lines.append(cut)
                left -= len(cut)
            if left <= 0:
                break
    counts = Counter(word for line in lines for word in line)
    known = {word for word, _ in counts.most_common(words - 2)}  # and <unk>, and the line end
    text = [" ".join(word if word in known else "<unk>" for word in line) for line in lines]
    held = len(text) // 50
    for name, part in (("train", text[: -2 * held]), ("valid", text[-2 * held : -held]), ("test", text[-held:])):
        (directory / f"{name}.txt").write_text("\n".join(part) + "\n", "utf-8")


def example(code: Path, data: Path) -> tuple[float, float]:
    """Tokens a second, and wall seconds of the process with its validation and test."""
    command = [
        sys.executable, "main.py", "--data", str(data), "--model", "LSTM", "--emsize", str(SIZE), "--nhid", str(SIZE), "--tied",
        "--epochs", "1", "--batch_size", str(ROWS), "--bptt", str(STEPS), "--log-interval", "20", "--save", str(data / "model.pt"),
    ]  # fmt: skip
    began = time.perf_counter()
    done = subprocess.run(command, cwd=code, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    times = [float(found) for found in re.findall(r"ms/batch +([\d.]+)", done.stdout)]
    if not times:
        raise SystemExit(f"the example did not train:\n{done.stderr[-2000:]}")
    return ROWS * STEPS / (statistics.median(times) / 1000), wall


def textdl_run(data: Path, number: int) -> tuple[float, float]:
    """The same of textdl."""
    import textdl

    lines = (data / "valid.txt").read_text("utf-8").splitlines()[:20]
    began = time.perf_counter()
    model = textdl.train(
        "rnn", data / "train.txt", tokenizer="whitespace", output=data / f"model{number}", valid=lines, context="stream", layers=2,
        hidden_size=SIZE, embedding_size=SIZE, batch_size=ROWS, bptt=STEPS, dropout=0.2, epochs=1.0,
    )  # fmt: skip
    wall = time.perf_counter() - began
    return model.card["figures"]["tokens_per_second"], wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--examples", type=Path, required=True, help="the directory word_language_model")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "2"
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        prepare(given.text, data, 10_000, given.tokens)
        theirs, ours = [], []
        for number in range(given.runs):
            theirs.append(example(given.examples, data))
            ours.append(textdl_run(data, number))
            print(
                f"tokens/s: example {theirs[-1][0]:,.0f} ({theirs[-1][1]:.0f} s in all), textdl {ours[-1][0]:,.0f} "
                f"({ours[-1][1]:.0f} s in all)", flush=True
            )  # fmt: skip
        a, b = (statistics.median(speed for speed, _ in runs) for runs in (ours, theirs))
        print(f"textdl {a:,.0f}, example {b:,.0f} tokens/s: {a / b:.1f} times")


if __name__ == "__main__":
    main()
