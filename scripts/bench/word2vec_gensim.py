"""textdl's word2vec beside gensim's, in one run: speed, memory and quality of all four modes.

    python scripts/bench/word2vec_gensim.py english.txt.gz
    python scripts/bench/word2vec_gensim.py poetry.zh.txt.gz --tokenizer jieba --similarity 240.txt --seeds 3
    python scripts/bench/word2vec_gensim.py english.txt.gz --model skipgram --loss ns --scaling scaling.png

Both are given one file of words separated by spaces, blank lines left out, and train in a process of their
own, from its start to saved vectors: gensim from `corpus_file`, its fastest path; textdl by `textdl.train`, with
compiled kernels (as from the second run on) and nothing of the text in its cache. The training loop is gensim's
`train` call and textdl's passes; words are raw words, all of the file times epochs, for both. Vocabulary,
encoding, compiling (loading what is compiled) and saving stand beside it. Runs alternate, so that what else the
machine does meets both. Memory is the peak of the process.

Quality: Spearman's correlation with WordSim-353 and SimLex-999 and the accuracy of the Google analogies among the
30,000 most frequent words, or files of one's own; means over seeds with standard errors. `equal` is said where
textdl's mean is not below gensim's by more than max(0.01, three standard errors of the difference).
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SYSTEMS = ("gensim", "textdl")
NAMES = {("skipgram", "ns"): "skip-gram NS", ("skipgram", "hs"): "skip-gram HS",
         ("cbow", "ns"): "CBOW NS", ("cbow", "hs"): "CBOW HS"}  # fmt: skip


# In a process of its own


def train_gensim(job: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    from gensim.models import Word2Vec

    seconds = {"import": time.perf_counter() - began}
    began = time.perf_counter()
    hierarchical = job["loss"] == "hs"
    model = Word2Vec(
        vector_size=job["dim"], window=job["window"], negative=0 if hierarchical else job["negative"],
        hs=int(hierarchical), sg=int(job["model"] == "skipgram"), sample=1e-3, min_count=job["min_count"],
        workers=job["workers"], seed=job["seed"], epochs=job["epochs"],
    )  # fmt: skip
    model.build_vocab(corpus_file=job["corpus"])
    seconds["vocabulary"] = time.perf_counter() - began
    began = time.perf_counter()
    model.train(
        corpus_file=job["corpus"], total_examples=model.corpus_count, total_words=model.corpus_total_words,
        epochs=job["epochs"],
    )  # fmt: skip
    seconds["training"] = time.perf_counter() - began
    began = time.perf_counter()
    model.wv.save(job["output"])
    return seconds | {"saving": time.perf_counter() - began}


def train_textdl(job: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    import textdl
    from textdl.protocols import Run

    textdl.train  # noqa: B018  (loaded when asked for)
    imported = time.perf_counter() - began
    run = Run(seed=job["seed"])
    names = ("model", "loss", "dim", "window", "negative", "epochs", "workers", "min_count")
    textdl.train(
        "word2vec", job["corpus"], output=job["output"], tokenizer="whitespace", keep_punctuation=True, run=run,
        **{name: job[name] for name in names}, **job["options"],
    )  # fmt: skip
    return {"import": imported, **run.seconds}


def child(job: dict[str, Any]) -> None:
    seconds = {"gensim": train_gensim, "textdl": train_textdl}[job["system"]](job)
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": seconds, "megabytes": peak / 1024}))


# Beside each other


def run(job: dict[str, Any], kernels: Path) -> dict[str, Any]:
    """Seconds of the stages and of the whole, and the peak of memory, of one training in its own process."""
    with tempfile.TemporaryDirectory(prefix="textdl-cache-") as cache:
        environment = os.environ | {"TEXTDL_CACHE": cache, "NUMBA_CACHE_DIR": str(kernels)}
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--child", json.dumps(job)], env=environment, stdout=subprocess.PIPE, check=True
        )
        whole = time.perf_counter() - began
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result | {"whole": whole}


def quality(job: dict[str, Any], benchmarks: dict[str, Any]) -> dict[str, float]:
    from textdl.evaluation.vectors import analogy_benchmark, similarity_benchmark

    if job["system"] == "gensim":
        keyed = importlib.import_module("gensim.models").KeyedVectors.load(job["output"])
        vectors = importlib.import_module("textdl.word2vec.gensim_interop").from_gensim(keyed)
    else:
        vectors = importlib.import_module("textdl").load(job["output"]).model
    return {
        name: float(
            similarity_benchmark(vectors, questions)["spearman"] if kind == "similarity"
            else analogy_benchmark(vectors, questions, among=30_000)["accuracy"]
        )
        for name, (kind, questions) in benchmarks.items()
    }  # fmt: skip


def lines_of(path: Path, args: argparse.Namespace) -> Iterator[list[str]]:
    """Lines of words; with --line-length, broken anew after so many words."""
    from textdl.tokenizers import create

    tokenizer = create(args.tokenizer) if args.tokenizer != "whitespace" else None
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        text = (line.rstrip("\n").lower() for line in itertools.islice(file, args.lines))
        lines = tokenizer.encode_lines(text) if tokenizer else (line.split() for line in text)
        words: list[str] = []
        for line in lines:
            # What gensim would cut at cannot be a word of both.
            line = [word for word in line if word and not any(map(str.isspace, word))]
            if not args.line_length:
                if line:
                    yield line
                continue
            words += line
            while len(words) >= args.line_length:
                yield words[: args.line_length]
                words = words[args.line_length :]
        if words:
            yield words


def benchmarks_of(args: argparse.Namespace) -> dict[str, Any]:
    from textdl.evaluation import vectors as judged

    if args.similarity or args.analogies:
        return {path.stem: ("similarity", judged.read_pairs(path)) for path in args.similarity} | {
            path.stem: ("analogies", judged.read_analogies(path)) for path in args.analogies
        }
    return {
        "WordSim-353": ("similarity", judged.wordsim353()),
        "SimLex-999": ("similarity", judged.simlex999()),
        "analogies": ("analogies", judged.google_analogies()),
    }


def standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def verdict(name: str, mode: tuple[str, str], gensim: list[float], textdl: list[float]) -> str:
    """One line: both means, the difference, and whether the rule of the module is met."""
    if any(map(math.isnan, gensim + textdl)):
        return f"{NAMES[mode]}\t{name}\t\t\ttoo few of its words are known"
    difference = statistics.mean(textdl) - statistics.mean(gensim)
    error = (standard_error(gensim) ** 2 + standard_error(textdl) ** 2) ** 0.5
    said = "equal" if difference >= -max(0.01, 3 * error) else "BELOW"
    said = "above" if difference > 3 * error and difference > 0 else said
    means = " ".join(f"{statistics.mean(v):.4f}±{standard_error(v):.4f}" for v in (gensim, textdl))
    return f"{NAMES[mode]}\t{name}\t{means}\t{difference:+.4f}±{error:.4f}\t{said}"


def scaling(args: argparse.Namespace, corpus: Path, work: Path) -> None:
    """Draw the seconds of the whole process against the size of the text and the number of workers."""
    from textdl.figures import drawing

    found: list[tuple[str, int, int, float, float]] = []
    lines = corpus.read_text(encoding="utf-8").splitlines(keepends=True)
    mode = {"model": args.model[0], "loss": args.loss[0]}
    print("system\twords\tworkers\twhole s\ttraining s")
    for share in (8, 4, 2, 1):
        part = work / f"part{share}.txt"
        part.write_text("".join(lines[: len(lines) // share]), encoding="utf-8")
        count = sum(map(len, map(str.split, lines[: len(lines) // share])))
        for workers in sorted({1, args.workers}):
            for system in SYSTEMS:
                job = job_of(args, system, 1, part, work / "scaling") | mode | {"workers": workers}
                best = min((run(job, args.kernels) for _ in range(2)), key=lambda r: float(r["whole"]))
                found.append((system, count, workers, best["whole"], best["seconds"]["training"]))
                print(
                    f"{system}\t{count}\t{workers}\t{best['whole']:.2f}\t{best['seconds']['training']:.2f}", flush=True
                )
    with drawing("") as canvas:
        figure = canvas.figure(10, 4)
        for axes, column, title in zip(figure.subplots(1, 2), (3, 4), ("whole process", "training loop"), strict=True):
            for system, workers in itertools.product(SYSTEMS, sorted({1, args.workers})):
                points = [(row[1] / 1e6, row[column]) for row in found if row[0] == system and row[2] == workers]
                axes.plot(
                    *zip(*points, strict=True), marker="o", label=f"{system}, {workers} worker{'s' * (workers > 1)}"
                )
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.set_xticks([row[1] / 1e6 for row in found if row[0] == SYSTEMS[0] and row[2] == 1])
            axes.xaxis.set_major_formatter("{x:.2g}")
            axes.yaxis.set_major_formatter("{x:.2g}")
            axes.set_xlabel(f"million words, {args.epochs} epochs")
            axes.set_ylabel("seconds")
            axes.set_title(f"{NAMES[mode['model'], mode['loss']]}: {title}")
            axes.legend()
        canvas.save(figure, args.scaling)


def job_of(args: argparse.Namespace, system: str, seed: int, corpus: Path, output: Path) -> dict[str, Any]:
    names = ("dim", "window", "negative", "epochs", "workers", "min_count")
    job = {name: getattr(args, name) for name in names}
    return job | {
        "system": system, "seed": seed, "corpus": str(corpus), "output": f"{output}.{system}",
        "options": json.loads(args.options),
    }  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text, plain or .gz; it is trained on in lower case")
    parser.add_argument("--tokenizer", default="whitespace", help="as for `textdl train`")
    parser.add_argument("--model", nargs="+", default=["skipgram", "cbow"])
    parser.add_argument("--loss", nargs="+", default=["ns", "hs"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--negative", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--options", default="{}", help="more for textdl, as JSON: '{\"deterministic\": true}'")
    parser.add_argument("--line-length", type=int, help="break the text anew into lines of so many words")
    parser.add_argument("--lines", type=int, help="so many lines of the text alone")
    parser.add_argument("--similarity", type=Path, nargs="*", default=[], help="files instead of the English ones")
    parser.add_argument("--analogies", type=Path, nargs="*", default=[], help="the same")
    parser.add_argument("--scaling", type=Path, help="draw cost against size and workers into this file instead")
    parser.add_argument("--quick", action="store_true", help="the first 60,000 lines, one seed")
    args = parser.parse_args()
    if args.quick:
        args.lines, args.seeds = 60_000, 1

    with tempfile.TemporaryDirectory(prefix="word2vec-gensim-") as directory:
        work = Path(directory)
        args.kernels = work / "kernels"
        corpus = work / "corpus.txt"
        words = lines = 0
        with corpus.open("w", encoding="utf-8") as out:
            for line in lines_of(args.text, args):
                out.write(" ".join(line) + "\n")
                words += len(line)
                lines += 1
        print(
            f"{words:,} words on {lines:,} lines; dim {args.dim}, window {args.window}, {args.negative} noise words, "
            f"{args.epochs} epochs, min-count {args.min_count}, {args.workers} workers; load {os.getloadavg()[0]:.1f}"
        )
        modes = [(model, loss) for model in args.model for loss in args.loss]
        small = work / "small.txt"
        small.write_text("a b c d e f g h i j\n" * 5000, encoding="utf-8")
        for model, loss in modes:  # compile
            run(job_of(args, "textdl", 1, small, work / "small") | {"model": model, "loss": loss}, args.kernels)
        if args.scaling:
            return scaling(args, corpus, work)
        compare(args, modes, corpus, words, work)


def compare(args: argparse.Namespace, modes: list[tuple[str, str]], corpus: Path, words: int, work: Path) -> None:
    benchmarks = benchmarks_of(args)
    print("mode\tseed\tsystem\twords/s\ttraining s\twhole s\tMB\t" + "\t".join(benchmarks) + "\tother seconds")
    runs: dict[tuple[tuple[str, str], str], list[dict[str, Any]]] = {}
    for mode, seed, system in itertools.product(modes, range(1, args.seeds + 1), SYSTEMS):
        model, loss = mode
        job = job_of(args, system, seed, corpus, work / f"{model}.{loss}.{seed}") | {"model": model, "loss": loss}
        result = run(job, args.kernels)
        result["quality"] = quality(job, benchmarks)
        runs.setdefault((mode, system), []).append(result)
        others = " ".join(f"{k} {v:.2f}" for k, v in result["seconds"].items() if k != "training" and v >= 0.005)
        print(
            f"{NAMES[mode]}\t{seed}\t{system}\t{words * args.epochs / result['seconds']['training']:,.0f}\t"
            f"{result['seconds']['training']:.2f}\t{result['whole']:.2f}\t{result['megabytes']:.0f}\t"
            + "\t".join(f"{score:.4f}" for score in result["quality"].values())
            + f"\t{others}",
            flush=True,
        )
    print("\nmode\tbenchmark\tgensim, textdl\tdifference\tverdict")
    for mode, name in itertools.product(modes, benchmarks):
        scores = [[r["quality"][name] for r in runs[mode, system]] for system in SYSTEMS]
        print(verdict(name, mode, *scores))
    print("\nmode\ttraining loop, times as fast\twhole process\tmemory, textdl / gensim (medians; lowest to highest)")
    for mode in modes:
        cells = []
        for of, over in (
            (lambda r: r["seconds"]["training"], False), (lambda r: r["whole"], False), (lambda r: r["megabytes"], True)
        ):  # fmt: skip
            pairs = zip(runs[mode, "gensim"], runs[mode, "textdl"], strict=True)
            ratios = [of(t) / of(g) if over else of(g) / of(t) for g, t in pairs]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"{NAMES[mode]}\t" + "\t".join(cells))


if __name__ == "__main__":
    main()
