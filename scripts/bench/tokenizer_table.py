"""The table of tokenizers in docs/tokenizers.md: one command, each tokenizer in a process of its own.

    python scripts/bench/tokenizer_table.py

Chinese: the test part of zh-peoples-daily-words, SentencePiece trained on its training part. English: the test
part of en-wiki, likewise. The figures are those of `textdl tokenizer eval`; characters/s is the best of --runs,
encoding alone, one process, dictionaries read and kernels compiled before. Memory is the largest resident size of
`textdl tokenizer encode` over the same text, the interpreter and its libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TEXTDL = [sys.executable, "-m", "textdl", "tokenizer"]
COLUMNS = ("tokenizer", "F1", "OOV recall", "pieces/char", "bytes/piece", "types", "chars/s", "peak MB", "lossless")


def evaluated(spec: str, language: str) -> dict[str, Any]:
    done = subprocess.run([*TEXTDL, "eval", spec, "--lang", language, "--json"], stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)["tokenizers"][0]
    return figures


def peak(spec: str, text: str) -> float:
    """MB resident, at most, of a process that encodes a text."""
    command = [*TEXTDL, "encode", "--tokenizer", spec, text]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: failed with status {status}")
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def row(spec: str, language: str, text: str, runs: int) -> list[str]:
    results = [evaluated(spec, language) for _ in range(runs)]
    figures, words = results[0]["text"], results[0]["words"] or {}
    speed = max(result["text"]["characters_per_second"] for result in results)
    lossless = "yes" if results[0]["lossless"] else f"no: {figures['restored']:.0%} of lines come back"
    return [
        f"`{spec if not spec.startswith('sp:') else 'sp:' + Path(spec[3:]).name}`",
        f"{words['f1']:.3f}" if words else "–",
        f"{words['oov_recall']:.3f}" if words else "–",
        f"{figures['pieces_per_character']:.3f}",
        f"{figures['bytes_per_piece']:.2f}",
        f"{figures['types']:,}",
        f"{speed / 1e6:.2f} M",
        f"{peak(spec, text):.0f}",
        lossless,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each tokenizer; the best speed counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for language, corpus, specs in (
            ("zh", "zh-peoples-daily", ["jieba", "jieba,hmm=no", "jieba,mode=search", "word", "char"]),
            ("en", "en-wiki", ["word", "word,digits=each", "word,lower=yes", "whitespace", "char"]),
        ):
            for model in ("unigram", "bpe"):
                name = str(Path(folder, f"{language}-{model}-8000"))
                options = ["-o", name, "--model", model, "--vocab-size", "8000", "--quiet"]
                subprocess.run([*TEXTDL, "train", f"{corpus}:train", *options], check=True)
                specs.append(f"sp:{name}.model")
            print(f"\n{corpus}:test\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
            for spec in specs:
                print(f"| {' | '.join(row(spec, language, f'{corpus}:test', args.runs))} |", flush=True)


if __name__ == "__main__":
    main()
