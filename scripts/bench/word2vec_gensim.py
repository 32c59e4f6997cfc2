"""textdl's skip-gram beside gensim's, in one run: speed of the training loop, and quality.

    python scripts/bench/word2vec_gensim.py english.txt.gz --seeds 5

Both read the same words: the text in lower case, split on white space, blank lines left out. gensim
trains from `corpus_file`, its fastest path, and is timed over the `train` call, after the vocabulary;
textdl over its training loop, after encoding and compiling. Words are raw words, all of the file
times epochs, those below --min-count included, for both. Quality: Spearman's correlation with
WordSim-353 and SimLex-999, the mean over the seeds and its standard error. Runs alternate.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textdl import word2vec
from textdl.encoded import Encoded
from textdl.evaluation.vectors import similarity_benchmark, simlex999, wordsim353
from textdl.protocols import Run, WordVectors
from textdl.vocabulary import Vocabulary, build
from textdl.word2vec import gensim_interop


def lines_of(path: Path, quick: bool, length: int | None) -> Iterator[list[str]]:
    """Lines of words; with `length`, broken anew after so many words."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        words: list[str] = []
        for number, line in enumerate(file):
            if quick and number == 60_000:
                break
            words = words + line.lower().split() if length else line.lower().split()
            while length and len(words) >= length:
                yield words[:length]
                words = words[length:]
            if words and not length:
                yield words
        if words and length:
            yield words


def train_gensim(path: Path, seed: int, args: argparse.Namespace) -> tuple[float, WordVectors]:
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=args.dim, window=args.window, negative=args.negative, sample=1e-3, min_count=args.min_count,
        workers=args.workers, sg=1, seed=seed, alpha=0.025, min_alpha=1e-4, epochs=args.epochs,
    )  # fmt: skip
    model.build_vocab(corpus_file=str(path))
    began = time.perf_counter()
    model.train(
        corpus_file=str(path), total_examples=model.corpus_count, total_words=model.corpus_total_words,
        epochs=args.epochs,
    )  # fmt: skip
    return time.perf_counter() - began, gensim_interop.from_gensim(model.wv)


def train_textdl(encoded: Encoded, vocab: Vocabulary, seed: int, args: argparse.Namespace) -> tuple[float, WordVectors]:
    run = Run(seed=seed)
    config = word2vec.Config(
        dim=args.dim, window=args.window, negative=args.negative, epochs=args.epochs, workers=args.workers
    )
    vectors = word2vec.fit(encoded, config, run=run, vocab=vocab)
    return run.seconds["training"], vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="English text, plain or .gz")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--negative", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--line-length", type=int, help="break the text anew into lines of so many words")
    parser.add_argument("--quick", action="store_true", help="the first 60,000 lines, one seed")
    args = parser.parse_args()
    seeds = range(1, 2 if args.quick else args.seeds + 1)

    benchmarks = {"WordSim-353": wordsim353(), "SimLex-999": simlex999()}
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory) / "corpus.txt"
        raw = lines = 0
        with corpus.open("w", encoding="utf-8") as out:
            for words in lines_of(args.text, args.quick, args.line_length):
                out.write(" ".join(words) + "\n")
                raw += len(words)
                lines += 1
        with corpus.open(encoding="utf-8") as text:
            vocab, encoded, _ = build((line.split() for line in text), min_count=args.min_count)
        assert encoded.tokens == raw
        print(
            f"{raw:,} words on {lines:,} lines, lower case, split on white space; {len(vocab) - 3:,} types occur "
            f"{args.min_count} times or more"
        )
        print(
            f"skip-gram, dim {args.dim}, window {args.window}, negative {args.negative}, {args.epochs} epochs, "
            f"{args.workers} workers; load {os.getloadavg()[0]:.1f}"
        )
        print("seed\tsystem\tseconds\twords/s\t" + "\t".join(benchmarks))
        results: dict[str, list[list[float]]] = {"gensim": [], "textdl": []}
        for seed in seeds:
            for system, rows in results.items():
                seconds, vectors = (
                    train_gensim(corpus, seed, args) if system == "gensim" else train_textdl(encoded, vocab, seed, args)
                )
                scores = [float(similarity_benchmark(vectors, pairs)["spearman"]) for pairs in benchmarks.values()]
                rows.append([raw * args.epochs / seconds, *scores])
                shown = "\t".join(f"{score:.4f}" for score in scores)
                print(f"{seed}\t{system}\t{seconds:.2f}\t{rows[-1][0]:,.0f}\t{shown}", flush=True)

    columns = {system: [list(column) for column in zip(*rows, strict=True)] for system, rows in results.items()}
    print("\nsystem\twords/s (median)\t" + "\t".join(f"{name} (mean ± s.e.)" for name in benchmarks))
    for system, (speeds, *quality) in columns.items():
        shown = "\t".join(f"{statistics.mean(s):.4f} ± {standard_error(s):.4f}" for s in quality)
        print(f"{system}\t{statistics.median(speeds):,.0f}\t{shown}")
    ratios = [t / g for g, t in zip(columns["gensim"][0], columns["textdl"][0], strict=True)]
    print(f"ratio\t{statistics.median(ratios):.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})\t", end="")
    differences = (
        statistics.mean(t) - statistics.mean(g)
        for g, t in zip(columns["gensim"][1:], columns["textdl"][1:], strict=True)
    )
    print("\t".join(f"{difference:+.4f}" for difference in differences))


def standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


if __name__ == "__main__":
    main()
