"""How fast text becomes pieces, and ids: textdl's tokenizers beside jieba, SentencePiece and the `tokenizers` library.

    python scripts/bench/tokenizer_speed.py poetry.zh.txt.gz english.txt.gz --limit 20M --repeat 3
    python scripts/bench/tokenizer_speed.py poetry.zh.txt.gz --scale 2G --tokenizers char,jieba

`pieces`: lines in memory to lists of str, by `textdl.tokenizers.parallel.encode_lines`. `ids`: a file to an encoded
corpus on disk, by `textdl.encoding.encode_corpus`, with an empty cache. The peers get the same lines: jieba one after
the other, and in its own processes (`enable_parallel`, which gives one list without line structure); SentencePiece with
the very models that textdl trained; `tokenizers` with WordPiece, BPE and Unigram of the same vocabulary size trained on
the same text, in batches and its own threads. SentencePiece is also given batches, in its own threads.

Each measurement is a process of its own, which begins with some lines that do not count: what is loaded or compiled once
is not in the figures, and the processes that textdl starts for a text are. MB/s are those of the text in UTF-8, the best
of --repeat; runs alternate. `x` is the ratio to the peer named. Memory is the highest sum over the process and all it
has started, sampled: RSS counts what processes share once for each, PSS once. Linux only.

--scale makes a text of that size by repeating the lines in another order each time, and measures `ids` only.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WARM = 2000  # lines that do not count
BATCH = 1000


def lines_of(path: Path, limit: float) -> Iterator[str]:
    """Until so many bytes."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    size = 0
    with opener(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            size += len(line.encode())
            if size > limit:
                return
            yield line.rstrip("\n")


# --- what is measured; each of these runs in a process of its own


def consume(results: Iterable[object]) -> None:
    """Nobody keeps what comes out, ours or theirs."""
    deque(results, maxlen=0)


def pieces(spec: str, processes: int) -> Callable[[list[str]], object]:
    from textdl.tokenizers import create
    from textdl.tokenizers.parallel import encode_lines

    tokenizer = create(spec)

    return lambda lines: consume(encode_lines(tokenizer, lines, processes=processes))


def ids(spec: str, processes: int) -> Callable[[Path], object]:
    from textdl.corpus import open_corpus
    from textdl.encoding import encode_corpus
    from textdl.tokenizers import create

    tokenizer = create(spec)
    return lambda path: encode_corpus(open_corpus(path), tokenizer, processes=processes)


def peer_jieba(_: str, processes: int) -> Callable[[list[str]], object]:
    import jieba

    jieba.setLogLevel(60)
    jieba.initialize()
    if processes == 1:
        return lambda lines: consume(map(jieba.lcut, lines))

    def run(lines: list[str]) -> None:
        jieba.enable_parallel(processes)
        consume(jieba.cut("\n".join(lines)))
        jieba.disable_parallel()

    return run


def peer_sentencepiece(model: str, threads: int) -> Callable[[list[str]], object]:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    if threads == 1:
        return lambda lines: consume(processor.encode(line, out_type=str) for line in lines)
    return lambda lines: consume(
        processor.encode(lines[i : i + BATCH], out_type=str, num_threads=threads) for i in range(0, len(lines), BATCH)
    )


def peer_tokenizers(file: str, threads: int) -> Callable[[list[str]], object]:
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)

    def run(lines: list[str]) -> None:
        for i in range(0, len(lines), BATCH):  # strings are made when they are asked for
            consume(encoding.tokens for encoding in tokenizer.encode_batch_fast(lines[i : i + BATCH]))

    return run


MEASURED: dict[str, Callable[[str, int], Callable[[Any], object]]] = {
    "pieces": pieces, "ids": ids, "jieba": peer_jieba, "sentencepiece": peer_sentencepiece, "tokenizers": peer_tokenizers,
}  # fmt: skip


def job(what: str, argument: str, processes: int, path: Path) -> None:
    """Prints the seconds."""
    run = MEASURED[what](argument, processes)
    given: Any
    if what == "ids":
        warm = path.with_suffix(".warm")
        run(warm)
        given = path
    else:
        given = path.read_text("utf-8").split("\n")[:-1]
        run(given[:WARM])
    began = time.perf_counter()
    run(given)
    print(time.perf_counter() - began)


# --- around them


@dataclass
class Measured:
    seconds: float
    rss: int
    """Bytes; 0 where the system does not tell."""
    pss: int


class Memory(threading.Thread):
    """Watches a process and all it has started."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self.rss, self.pss, self._ended = pid, 0, 0, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            family = self._family()
            self.rss = max(self.rss, sum(_field(f"/proc/{pid}/status", "VmRSS") for pid in family))
            self.pss = max(self.pss, sum(_field(f"/proc/{pid}/smaps_rollup", "Pss") for pid in family))

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _family(self) -> set[int]:
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
        family = {self._pid}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        return family


def _field(path: str, name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def measure(what: str, argument: str, processes: int, path: Path) -> Measured:
    with tempfile.TemporaryDirectory(dir=path.parent) as cache:
        # compiled code is kept, what was encoded is not
        environment = {**os.environ, "TEXTDL_CACHE": cache, "NUMBA_CACHE_DIR": str(path.parent / "numba")}
        process = subprocess.Popen(
            [sys.executable, __file__, "--job", json.dumps([what, argument, processes, str(path)])],
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        memory = Memory(process.pid)
        memory.start()
        out, _ = process.communicate()
        memory.stop()
    if process.returncode:
        raise SystemExit(f"{what} {argument}: exit {process.returncode}")
    return Measured(float(out.splitlines()[-1]), memory.rss, memory.pss)


def train(lines: list[str], directory: Path, size: int) -> dict[str, str]:
    """SentencePiece models: kind to file. The text's first 2 M characters are enough for a benchmark."""
    from textdl.tokenizers import sentencepiece

    files = {}
    for kind in ("unigram", "bpe"):
        made, _ = sentencepiece.train(lines, vocab_size=size, model=kind, sample=2_000_000)
        made.write(directory / f"{kind}.model")
        files[kind] = str(directory / f"{kind}.model")
    return files


def train_tokenizers(lines: list[str], directory: Path, size: int) -> dict[str, str]:
    """Models of the `tokenizers` library, with the pre-tokenization that goes with each."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made: dict[str, tuple[Any, Any, Any]] = {
        "WordPiece": (
            models.WordPiece(unk_token="[UNK]"), pre_tokenizers.BertPreTokenizer(),
            trainers.WordPieceTrainer(vocab_size=size, special_tokens=["[UNK]"], show_progress=False),
        ),
        "BPE": (
            models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False),
            trainers.BpeTrainer(
                vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
            ),
        ),
        "Unigram": (
            models.Unigram(), pre_tokenizers.Metaspace(),
            trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False),
        ),
    }  # fmt: skip
    files = {}
    characters = 0
    for taken, line in enumerate(lines):
        characters += len(line)
        if characters > 2_000_000:
            lines = lines[:taken]
            break
    for name, (model, split, trainer) in made.items():
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = split
        try:
            tokenizer.train_from_iterator(lines, trainer)
        except Exception as error:  # the library raises nothing more particular
            print(f"tokenizers, {name}: not measured, for it could not be trained: {error}")
            continue
        files[name] = str(directory / f"{name}.json")
        tokenizer.save(files[name])
    return files


def number(text: str) -> float:
    """`20M`, `2G`, `500k`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a number of bytes such as 20M or 2G, got {text!r}")
    return float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match[2]]


def write(path: Path, lines: list[str], size: float = 0) -> int:
    """All lines, again and again in another order until so many bytes are written. Returns how many were."""
    path.with_suffix(".warm").write_text("\n".join(lines[:WARM]) + "\n", "utf-8", newline="\n")
    written = 0
    order, shuffle = list(lines), random.Random(1)
    with path.open("wb") as out:
        while not written or written < size:
            written += out.write(("\n".join(order) + "\n").encode())
            shuffle.shuffle(order)
        if size:
            out.truncate(int(size))
    if not size:
        return written
    with path.open("rb+") as out:  # the last line whole
        out.seek(-min(int(size), 1 << 20), os.SEEK_END)
        cut = out.tell() + out.read().rfind(b"\n") + 1
        out.truncate(cut)
    return cut


def compare(text: Path, args: argparse.Namespace, directory: Path) -> None:
    lines = list(lines_of(text, args.limit))
    path = directory / "text.txt"
    megabytes = write(path, lines) / 1e6
    print(f"\n{text.name}: {megabytes:.1f} MB, {len(lines):,} lines; load {os.getloadavg()[0]:.1f}", flush=True)
    models = train(lines, directory, args.vocab_size)
    specs = {"char": "char", "word": "word", "whitespace": "whitespace", "jieba": "jieba"}
    specs |= {f"sp {kind}": f"sp:{file}" for kind, file in models.items()}
    if args.tokenizers:
        specs = {name: spec for name, spec in specs.items() if name in args.tokenizers.split(",")}
    rows: list[tuple[str, str, str, int, str]] = []  # name, what, argument, processes, name of the peer
    for processes in args.processes:
        if "jieba" in specs:
            rows.append(("jieba itself", "jieba", "", processes, ""))
        for kind, file in models.items():
            if f"sp {kind}" in specs:
                rows.append((f"SentencePiece itself, {kind}", "sentencepiece", file, processes, ""))
        if find_spec("tokenizers") is None:
            print("the `tokenizers` library is not installed, so it is not measured: pip install tokenizers")
        else:
            trained = train_tokenizers(lines, directory, args.vocab_size)
            rows += [(f"tokenizers, {name}", "tokenizers", file, processes, "") for name, file in trained.items()]
        for name, spec in specs.items():
            peer = (
                "jieba itself" if name == "jieba" else f"SentencePiece itself, {name[3:]}" if spec[:3] == "sp:" else ""
            )
            rows += [(name, what, spec, processes, peer) for what in ("pieces", "ids")]
    results: dict[tuple[str, str, int], list[Measured]] = {}
    for _ in range(args.repeat):
        for name, what, argument, processes, _ in rows:
            results.setdefault((name, what, processes), []).append(measure(what, argument, processes, path))
    print("tokenizer\tresult\tprocesses or threads\tMB/s\tx\tRSS MB\tPSS MB")
    best = {key: min(found, key=lambda m: m.seconds) for key, found in results.items()}
    for name, what, _, processes, peer in rows:
        found = best[name, what, processes]
        ratio = ""
        if peer:
            beside = best[peer, "jieba" if "jieba" in peer else "sentencepiece", processes]
            ratio = f"{beside.seconds / found.seconds:.2f} of {peer}"
        shown = what if what in ("pieces", "ids") else "pieces"
        memory = "\t".join(f"{value / 1e6:,.0f}" if value else "-" for value in (found.rss, found.pss))
        print(f"{name}\t{shown}\t{processes}\t{megabytes / found.seconds:.1f}\t{ratio}\t{memory}", flush=True)


def scale(text: Path, args: argparse.Namespace, directory: Path) -> None:
    lines = list(lines_of(text, args.limit))
    models = {f"sp {kind}": f"sp:{file}" for kind, file in train(lines, directory, args.vocab_size).items()}
    path = directory / "text.txt"
    megabytes = write(path, lines, args.scale) / 1e6
    print(f"\n{text.name} repeated to {megabytes:,.0f} MB; load {os.getloadavg()[0]:.1f}", flush=True)
    del lines
    print("tokenizer\tprocesses\tseconds\tMB/s\tRSS MB\tPSS MB")
    for name in (args.tokenizers or "char,word,whitespace,jieba,sp unigram,sp bpe").split(","):
        for processes in args.processes:
            found = measure("ids", models.get(name, name), processes, path)
            memory = "\t".join(f"{value / 1e6:,.0f}" if value else "-" for value in (found.rss, found.pss))
            speed = megabytes / found.seconds
            print(f"{name}\t{processes}\t{found.seconds:.1f}\t{speed:.1f}\t{memory}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--job"]:
        what, argument, processes, path = json.loads(sys.argv[2])
        job(what, argument, processes, Path(path))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+", help="UTF-8, plain or .gz")
    parser.add_argument("--limit", type=number, default=20e6, help="bytes of each text at most (20M)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--vocab-size", type=int, default=16_000)
    parser.add_argument("--tokenizers", help="only these: char,word,whitespace,jieba,sp unigram,sp bpe")
    parser.add_argument("--scale", type=number, help="repeat the text to so many bytes; ids only")
    args = parser.parse_args()
    for text in args.texts:
        with tempfile.TemporaryDirectory(prefix="textdl-bench-") as directory:
            (scale if args.scale else compare)(text, args, Path(directory))


if __name__ == "__main__":
    main()
