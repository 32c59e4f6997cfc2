"""textdl's character models beside nanoGPT, whole processes on the same text, in one run.

    git clone https://github.com/karpathy/nanoGPT
    python scripts/bench/neural_nanogpt.py tinyshakespeare.txt --nanogpt nanoGPT --seeds 3

The first 90 % of the text train, the last 10 % are predicted whole, a line end counts as a character.

Training: nanoGPT runs the configuration its README gives for a CPU (0.8 M parameters, window 64, 2,000 steps) with
two threads, from the start of the process to its end. Then `textdl train FAMILY --budget` gets the seconds that
took, and no other setting. nanoGPT's network is measured by its own code on all windows of 64 side by side; textdl's
by `textdl eval`.

Sampling: one network of that shape each, 1 and 64 texts at once, after a first text that nobody times. nanoGPT's
`generate` crops its context to the window and reads it again for each token; textdl keeps keys and values, and its
figure includes making text of the tokens.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHAPE = {"block_size": 64, "n_layer": 4, "n_head": 4, "n_embd": 128}

MEASURE = """
import sys, time, torch, numpy as np
sys.path.insert(0, '.')
from model import GPT, GPTConfig
torch.set_num_threads(2)
saved = torch.load('out/ckpt.pt', map_location='cpu', weights_only=True)
model = GPT(GPTConfig(**saved['model_args']))
model.load_state_dict(saved['model'])
model.eval()
ids = torch.from_numpy(np.fromfile('data/shakespeare_char/val.bin', np.uint16).astype(np.int64))
nats = count = 0.0
with torch.no_grad():
    for i in range(0, len(ids) - 1, 64):
        x, y = ids[i : i + 64][None], ids[i + 1 : i + 65][None]
        x = x[:, : y.shape[1]]
        nats += model(x, y)[1].item() * y.numel()
        count += y.numel()
    print('nats', nats / count)
    for rows in (1, 64):
        start = torch.zeros(rows, 1, dtype=torch.int64)
        model.generate(start, 10)
        began = time.perf_counter()
        model.generate(start, 500, temperature=1.0)
        print('sample', rows, rows * 500 / (time.perf_counter() - began))
"""


def train_nanogpt(code: Path, iterations: int) -> float:
    """Wall seconds."""
    shape = [f"--{name}={value}" for name, value in SHAPE.items()]
    command = [
        sys.executable, "train.py", "config/train_shakespeare_char.py", "--device=cpu", "--compile=False", "--eval_iters=20",
        "--log_interval=500", "--batch_size=12", f"--max_iters={iterations}", f"--lr_decay_iters={iterations}",
        "--dropout=0.0", "--out_dir=out", *shape,
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, cwd=code, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure_nanogpt(code: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=code, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        name, *values = line.split()
        if name == "nats":
            figures["nats"] = float(values[0])
        elif name == "sample":
            figures[f"sample {values[0]}"] = float(values[1])
    return figures


def train_textdl(family: str, text: Path, seconds: float, seed: int, output: Path) -> tuple[float, float, str]:
    """Nats per character, wall seconds, and what was trained."""
    command = [
        sys.executable, "-m", "textdl", "train", family, str(text / "train.txt"), "-o", str(output), "--valid",
        str(text / "valid.txt"), "--tokenizer", "char", "--context", "stream", "--budget", f"{seconds:.0f}s",
        "--seed", str(seed), "--quiet",
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    card = json.loads((output / "config.json").read_text("utf-8"))
    notes = " ".join(note for note in card["notes"] if note.startswith("Network"))
    done = subprocess.run(
        [sys.executable, "-m", "textdl", "eval", str(output), "--text", str(text / "valid.txt"), "--json", "-", "--quiet"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return math.log(json.loads(done.stdout)["models"][0]["closed"]["ppl_token"]), wall, notes


def sample_textdl(text: Path, output: Path) -> dict[str, float]:
    """Characters a second of a network of nanoGPT's shape."""
    import textdl

    textdl.train(
        "transformer", text / "train.txt", output=output, tokenizer="char", context="stream", embedding_size=SHAPE["n_embd"],
        heads=SHAPE["n_head"], layers=SHAPE["n_layer"], window=SHAPE["block_size"], epochs=0.02, ngrams=1,
    )  # fmt: skip
    model = textdl.load(output)
    figures = {}
    for rows in (1, 64):
        textdl.sample(model, n=rows, max_tokens=10, across_lines=True)
        began = time.perf_counter()
        drawn = textdl.sample(model, n=rows, max_tokens=500, across_lines=True)
        figures[f"sample {rows}"] = sum(map(len, drawn)) / (time.perf_counter() - began)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--nanogpt", type=Path, required=True, help="its code")
    parser.add_argument("--families", nargs="*", default=["rnn", "transformer"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=2000, help="of nanoGPT")
    parser.add_argument("--seconds", type=float, help="for textdl; what nanoGPT took")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "2"
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        code, text = directory / "nanogpt", directory / "text"
        shutil.copytree(given.nanogpt, code, ignore=shutil.ignore_patterns(".git"))
        shutil.copy(given.text, code / "data/shakespeare_char/input.txt")
        (code / "data/shakespeare_char/requests.py").touch()  # imported to download the text, which is there
        subprocess.run(
            [sys.executable, "data/shakespeare_char/prepare.py"], cwd=code, check=True, stdout=subprocess.DEVNULL
        )
        text.mkdir()
        whole = given.text.read_text("utf-8")
        cut = int(0.9 * len(whole))
        (text / "train.txt").write_text(whole[:cut], "utf-8")
        (text / "valid.txt").write_text(whole[cut:], "utf-8")
        wall = train_nanogpt(code, given.iterations)
        peer = measure_nanogpt(code)
        print(f"{'nanoGPT':12} {peer['nats']:.4f} nats/character, {wall:.0f} s", flush=True)
        for family in given.families:
            nats = []
            for seed in range(1, given.seeds + 1):
                found, took, about = train_textdl(
                    family, text, given.seconds or wall, seed, directory / f"{family}-{seed}"
                )
                print(f"{family:12} {found:.4f} nats/character, {took:.0f} s, seed {seed}. {about}", flush=True)
                nats.append(found)
            print(
                f"{family:12} {statistics.mean(nats):.4f} on average, from {min(nats):.4f} to {max(nats):.4f}",
                flush=True,
            )
        ours = sample_textdl(text, directory / "shape")
        for rows in (1, 64):
            a, b = ours[f"sample {rows}"], peer[f"sample {rows}"]
            print(f"sampling, {rows:2} at once: {a:,.0f} characters/s, nanoGPT {b:,.0f}: {a / b:.1f} times")


if __name__ == "__main__":
    main()
