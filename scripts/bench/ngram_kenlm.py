"""textdl's n-gram models beside KenLM, in one run: training, size, opening, scoring, sampling.

    python scripts/bench/ngram_kenlm.py poetry.txt --order 5 --lmplz bin/lmplz --build-binary bin/build_binary

TEXT has one sentence a line, pieces separated by single spaces (by character: a space after each), plain
or .gz; both programs read it so. KenLM trains with lmplz and is packed by build_binary, as trie and as
probing; textdl counts, packs, saves and opens. Then both score the same lines of the text from Python:
kenlm's module a sentence at a time, `score` and `full_scores`; textdl in bulk, from ids and from text.
Their totals are compared. Figures of textdl on the left, ratios such that above 1 is in its favour. Last,
what a first use takes in a new Python: with kernels that are compiled and kept on disk, and without.

KenLM is never part of textdl. To have it here:
    its programs: cmake with -DKENLM_MAX_ORDER=10 on a copy of github.com/kpu/kenlm (needs Boost)
    its module:   pip install --target DIR kenlm, then --kenlm-module DIR
What is not given is left out, and said.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textdl import ngram
from textdl.generation.sampling import sample
from textdl.ngram import Config, NgramModel, arpa
from textdl.protocols import Run
from textdl.storage import Reader, saving
from textdl.vocabulary import Vocabulary, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--lines", type=int, default=100_000, help="so many lines of the text are scored")
    parser.add_argument("--lmplz", type=Path)
    parser.add_argument("--build-binary", type=Path)
    parser.add_argument("--kenlm-module", type=Path, help="directory with the kenlm module")
    parser.add_argument("--kenlm-model", type=Path, help="prefix of PREFIX.trie and PREFIX.probing made before")
    parser.add_argument("--memory", default="50%", help="lmplz's -S")
    parser.add_argument("--threads", type=int, default=0, help="threads that textdl scores with; 0: one a core")
    parser.add_argument("--arpa", action="store_true", help="also let KenLM score what textdl writes as ARPA")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ngram-kenlm-") as directory:
        _bench(args, Path(directory))


def _bench(args: argparse.Namespace, directory: Path) -> None:
    plain = args.text
    if plain.suffix == ".gz":
        plain = directory / "text"
        plain.write_bytes(gzip.decompress(args.text.read_bytes()))
    peers = _kenlm_train(args, plain, directory)
    vocab, model, seconds = _textdl_train(args, plain, directory)

    about = model.describe()
    count = about["size"]
    print(f"\n{count:,} n-grams {about['ngrams']}, {model.threads} threads")
    row("text to queryable, s", sum(seconds.values()), *peers.get("seconds", ()), lower=True)
    print("    " + ", ".join(f"{stage} {s:.1f}" for stage, s in seconds.items()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    row("peak memory, GB", peak, *peers.get("memory", ()), lower=True)
    stored = sum(f.stat().st_size for f in (directory / "model" / "ngram").iterdir())
    row(
        "bytes per n-gram, trie", stored / count, *(f.stat().st_size / count for f in peers.get("trie", ())), lower=True
    )
    print(f"    by order {about['bytes_per_ngram_by_order']}")

    module = _kenlm_module(args)
    opened = [best(partial(module.Model, str(file))) for file in peers.get("trie", ())] if module else []
    row(
        "opening, ms",
        1e3 * best(lambda: ngram.load(Reader(directory / "model"))),
        *(1e3 * s for s in opened),
        lower=True,
    )
    _score(args, plain, directory, vocab, model, module, peers)
    _sample(model)
    _first_use(directory)


def _textdl_train(
    args: argparse.Namespace, plain: Path, directory: Path
) -> tuple[Vocabulary, NgramModel, dict[str, float]]:
    run, seconds = Run(), {}
    ngram.fit(build([["a"]])[1], Config(2))  # what compiling takes is told apart from the work
    began = time.perf_counter()
    vocab, corpus, _ = build(lines_of(plain))
    seconds["encoding"] = time.perf_counter() - began
    model = ngram.fit(corpus, Config(args.order), run=run)
    seconds |= run.seconds
    began = time.perf_counter()
    with saving(directory / "model", {}) as out:
        model.save(out)
    del model, corpus
    loaded = NgramModel(ngram.load(Reader(directory / "model")).packed, threads=args.threads)
    seconds["saving"] = time.perf_counter() - began
    return vocab, loaded, seconds


def _kenlm_train(args: argparse.Namespace, plain: Path, directory: Path) -> dict[str, Any]:
    """Seconds and memory of lmplz and build_binary probing; where the binaries are."""
    if args.kenlm_model:
        return {kind: [Path(f"{args.kenlm_model}.{kind}")] for kind in ("trie", "probing")}
    if not args.lmplz or not args.build_binary:
        print("KenLM is not trained: --lmplz and --build-binary say where its programs are.")
        return {}
    made = directory / "kenlm.arpa"
    began = time.perf_counter()
    command = [args.lmplz, "-o", str(args.order), "-S", args.memory, "-T", directory, "--discount_fallback"]
    with plain.open("rb") as text, made.open("wb") as out:
        memory = [_run(command, text, out)]
    memory.append(_run([args.build_binary, "probing", made, directory / "kenlm.probing"]))
    seconds = time.perf_counter() - began
    _run([args.build_binary, "-T", directory / "t", "trie", made, directory / "kenlm.trie"])
    made.unlink()
    kinds = {kind: [directory / f"kenlm.{kind}"] for kind in ("trie", "probing")}
    return {"seconds": [seconds], "memory": [max(memory)], **kinds}


def _run(command: list[Any], text: Any = None, out: Any = subprocess.DEVNULL) -> float:
    """Its peak memory in GB."""
    done = subprocess.Popen([str(c) for c in command], stdin=text, stdout=out, stderr=subprocess.PIPE)
    assert done.stderr is not None
    said = done.stderr.read()
    _, status, used = os.wait4(done.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed:\n{said.decode()[-2000:]}")
    return used.ru_maxrss / 1e6


def _kenlm_module(args: argparse.Namespace) -> Any:
    if args.kenlm_module:
        sys.path.insert(0, str(args.kenlm_module))
    try:
        return importlib.import_module("kenlm")
    except ImportError as error:
        print(f"KenLM is not asked: {error}. --kenlm-module says where its Python module is.")
        return None


def _score(
    args: argparse.Namespace,
    plain: Path,
    directory: Path,
    vocab: Vocabulary,
    model: NgramModel,
    module: Any,
    peers: Any,
) -> None:
    texts = plain.read_text("utf-8").removesuffix("\n").split("\n")
    begin = max(0, (len(texts) - args.lines) // 2)
    texts = texts[begin : begin + args.lines]
    encoded = vocab.encode_lines(map(split, texts))
    tokens = encoded.tokens + len(encoded)
    total = sum(float(part.sum(dtype=np.float64)) for part in model.score(encoded)) / math.log(10)

    def from_ids() -> None:
        for _ in model.score(encoded):
            pass

    def from_text() -> None:
        for _ in model.score(vocab.encode_lines(map(split, texts))):
            pass

    ids, text = tokens / best(from_ids) / 1e6, tokens / best(from_text) / 1e6
    one = tokens / best(lambda: [*NgramModel(model.packed, threads=1).score(encoded)]) / 1e6
    print(f"scoring {tokens:,} tokens of the text, M tokens/s ({one:.2f} with one thread)")
    kinds = [kind for kind in ("trie", "probing") if kind in peers] if module else []
    for kind in kinds:
        (file,) = peers[kind]
        peer = module.Model(str(file))
        theirs = sum(peer.score(line) for line in texts)
        fast = tokens / best(partial(_ask, peer.score, texts)) / 1e6
        full = tokens / best(partial(_ask, partial(_full_scores, peer), texts)) / 1e6
        row(f"  ids, {kind} score", ids, fast)
        row(f"  text, {kind} score", text, fast)
        row(f"  ids, {kind} full_scores", ids, full)
        print(f"    log10 p of all: {total:.3f}, {kind} {theirs:.3f}")
    if not kinds:
        row("  ids", ids)
        row("  text", text)
    if args.arpa and module:
        began = time.perf_counter()
        arpa.write(model, vocab, directory / "textdl.arpa")
        print(f"ARPA written in {time.perf_counter() - began:.1f} s")
        peer = module.Model(str(directory / "textdl.arpa"))
        written = [" ".join(map(vocab.written, encoded.line(i))) for i in range(len(encoded))]
        print(f"    log10 p of all by KenLM of what textdl wrote: {sum(map(peer.score, written)):.3f}")


def _ask(score: Callable[[str], object], texts: list[str]) -> None:
    for line in texts:
        score(line)


def _full_scores(peer: Any, line: str) -> list[Any]:
    return [*peer.full_scores(line)]


def _sample(model: NgramModel) -> None:
    contexts = model.start()[1]
    rng = np.random.default_rng(1)
    tokens = rng.integers(3, model.vocab_size, 1000)

    def steps() -> None:
        state = contexts
        for token in tokens:
            _, state = model.step(state.select(np.zeros(1, np.int64)), np.array([token]))

    row("10,000 distributions, s", 10 * best(steps, 2))
    drawn = 0
    began = time.perf_counter()
    for seed in range(100_000):
        drawn += sum(1 for _ in sample(model, max_tokens=10_000 - drawn, seed=seed))
        if drawn >= 10_000:
            break
    row("sampling 10,000 tokens one by one, s", time.perf_counter() - began)
    began = time.perf_counter()
    drawn = sum(1 for _ in sample(model, n=200, max_tokens=50, seed=1))
    row("sampling 10,000 tokens, 200 rows, s", (time.perf_counter() - began) * 10_000 / drawn)


_NEW_PYTHON = """
import sys
from pathlib import Path
import numpy as np
from textdl import ngram
from textdl.encoded import Encoded
from textdl.storage import Reader
if sys.argv[1] == "train":
    ngram.fit(Encoded.from_lines([[3, 4]], 5), ngram.Config(5))
else:
    model = ngram.load(Reader(Path(sys.argv[2])))
    list(model.score(Encoded.from_lines([[3]], model.vocab_size)))
    if sys.argv[1] == "sample":
        model.step(model.start()[1], np.array([3]))
"""


def _first_use(directory: Path) -> None:
    """From the start of Python to the first result."""
    for name, work in (("train on a line", "train"), ("open and score", "score"), ("and a step", "sample")):
        command = [sys.executable, "-c", _NEW_PYTHON, work, str(directory / "model")]

        def use(kernels: Path, command: list[str] = command) -> None:
            subprocess.run(command, env={**os.environ, "NUMBA_CACHE_DIR": str(kernels)}, check=True)

        with tempfile.TemporaryDirectory(prefix="ngram-kernels-") as kernels:
            cold = best(partial(use, Path(kernels)), 1)
            row(f"new process, {name}: s", best(partial(use, Path(kernels))))
        print(f"    without kernels on disk {cold:.1f}")


def row(name: str, ours: float, *theirs: float, lower: bool = False) -> None:
    """A figure, the peer's, and the ratio: above 1 is in our favour."""
    ratios = [f"{other / ours if lower else ours / other:6.1f}x" for other in theirs]
    print(f"{name:38} {ours:9.3f} " + " ".join(f"{other:9.3f} {r}" for other, r in zip(theirs, ratios, strict=True)))


def best(work: Callable[[], object], times: int = 3) -> float:
    """Seconds, the best of several runs."""
    found = math.inf
    for _ in range(times):
        began = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - began)
    return found


def lines_of(path: Path) -> list[list[str]]:
    return [split(line) for line in path.read_text("utf-8").removesuffix("\n").split("\n")]


def split(line: str) -> list[str]:
    return [piece for piece in line.split(" ") if piece]


if __name__ == "__main__":
    main()
