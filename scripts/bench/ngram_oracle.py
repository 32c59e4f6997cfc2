"""Hold textdl's n-gram models against what KenLM's lmplz and query say.

    python scripts/bench/ngram_oracle.py [DIR]
    python scripts/bench/ngram_oracle.py --lmplz bin/lmplz --query bin/query --orders 7,10 \
        --prune 0,0,1 --prune 0,1,1,2 --max-vocab 1000 --lines 3000 [--by-character] TEXT

DIR holds what they wrote before: for a text NAME, NAME.train.txt and NAME.test.txt, and for a model
NAME.oN[.vocab-K][.prune-A-B-..] the ARPA file (.arpa.gz) and the totals of the test sentences
(.query.txt). With --lmplz such a directory is made from TEXT (plain or .gz), of which every tenth line
is for testing: a model for each order, whole, pruned, and with a limited vocabulary.

Models are trained on the text split at single spaces; every n-gram's log10 probability and back-off
weight and every sentence's total are compared. Exits with 1 where an entry differs by more than 1e-5, a
total by more than 1e-4, or the n-grams are not the same.

A limited vocabulary. lmplz takes no <unk> in a text, so there the words that are cut stand as CUT, and
lmplz has a word more than they: its own <unk>. textdl is given as many, by a word that does not occur.
Its <unk> is then lmplz's CUT, and that word is lmplz's <unk>. And the text ends with LAST, once: for the
statistics of orders below the highest lmplz takes the occurrences of the n-grams that come last in its
order, which end with the word whose first occurrence is the latest, where all others have adjusted counts.
In a text with all its words that is a rare one, of which the two are the same.
"""

from __future__ import annotations

import argparse
import gzip
import math
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from textdl.encoded import UNK
from textdl.ngram import Config, NgramModel, arpa, fit
from textdl.protocols import Run
from textdl.vocabulary import SPECIALS, Vocabulary, build

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "kenlm"
CUT, NEVER, LAST = "<cut>", "<never>", "<last>"


def make(args: argparse.Namespace, directory: Path) -> None:
    """Let lmplz estimate models of a text, and query score sentences with them."""
    data = args.text.read_bytes()
    text = (gzip.decompress(data) if args.text.suffix == ".gz" else data).decode("utf-8").removesuffix("\n")
    lines = [split(" ".join(line) if args.by_character else line) for line in text.split("\n")[: args.lines]]
    train, test = [line for i, line in enumerate(lines) if i % 10], lines[::10]
    name = re.sub(r"\W", "-", args.text.name)
    for size in [0, *args.max_vocab]:
        if size:
            known = {word for word, _ in Counter(w for line in train for w in line).most_common(size)}
            parts = [[[w if w in known else CUT for w in line] for line in part] for part in (train, test)]
            parts[0].append([LAST])
        else:
            parts = [train, test]
        text_name = f"{name}.vocab-{size}" if size else name
        for kind, part in zip(("train", "test"), parts, strict=True):
            (directory / f"{text_name}.{kind}.txt").write_text("\n".join(map(" ".join, part)) + "\n", "utf-8")
        for order in args.orders:
            for prune in ["", *args.prune]:
                cuts = prune.split(",")[:order] if prune else []
                stem = directory / "-".join([f"{text_name}.o{order}" + (".prune" if prune else ""), *cuts])
                command = [args.lmplz, "-o", order, "-S", "1G", "-T", directory, "--discount_fallback"]
                command += ["--prune", *cuts] if prune else []
                estimated = _output(command, directory / f"{text_name}.train.txt")
                made = stem.with_name(stem.name + ".arpa.gz")
                made.write_bytes(gzip.compress(estimated, 1))
                if args.query and order > 1:  # KenLM reads no unigram models
                    totals = _output(
                        [args.query, "-v", "word", "-v", "sentence", made], directory / f"{text_name}.test.txt"
                    )
                    stem.with_name(stem.name + ".query.txt").write_bytes(totals)


def _output(command: list[object], text: Path) -> bytes:
    with text.open("rb") as file:
        done = subprocess.run([str(c) for c in command], stdin=file, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def split(line: str) -> list[str]:
    """As lmplz splits; a blank line has no pieces."""
    return [piece for piece in re.split(r"[ \t\r\0]", line) if piece]


def pieces(path: Path) -> list[list[str]]:
    return [split(line) for line in path.read_bytes().decode().removesuffix("\n").split("\n")]


def entries(model: NgramModel, vocab: Vocabulary) -> dict[str, tuple[float, float]]:
    """log10 p and log10 back-off of every n-gram, by its words."""
    found = {}
    for n in range(1, model.order + 1):
        for words, logp, backoff in model.ngrams(n):
            for row, p, weight in zip(words.tolist(), logp.tolist(), backoff.tolist(), strict=True):
                found[" ".join(map(vocab.written, row))] = (p / math.log(10), weight / math.log(10))
    return found


def compare(stem: Path) -> bool:
    name, order, _, prune = re.fullmatch(r"(.+)\.o(\d+)(\.prune-([\d-]+))?", stem.name).groups()  # type: ignore[union-attr]
    thresholds = tuple(map(int, prune.split("-"))) if prune else ()
    vocab, corpus, _ = build(pieces(stem.with_name(f"{name}.train.txt")))
    special = {piece: piece for piece in SPECIALS}
    if CUT in vocab:
        vocab = Vocabulary([piece for piece in vocab.pieces if piece != CUT] + [NEVER])
        corpus = vocab.encode_lines(pieces(stem.with_name(f"{name}.train.txt")))
        special |= {CUT: "<unk>", "<unk>": NEVER}
    run = Run()
    began = time.perf_counter()
    model = fit(corpus, Config(int(order), prune=thresholds), run=run)
    seconds = time.perf_counter() - began

    ours = entries(model, vocab)
    worst_p = worst_backoff = 0.0
    strange = 0
    for words, p, backoff in arpa.read(stem.with_name(stem.name + ".arpa.gz")):
        # lmplz does not escape; pieces are compared in our written form, specials as they are
        key = " ".join(special.get(w) or vocab.written(vocab.id(w)) for w in words)
        if key not in ours:
            strange += 1
            continue
        mine = ours.pop(key)
        if key != "<s>":  # probability 1 there, 0 here: nobody predicts it
            worst_p = max(worst_p, abs(mine[0] - p))
        worst_backoff = max(worst_backoff, abs(mine[1] - backoff))

    scored = stem.with_name(stem.name + ".query.txt")
    worst_total, sentences = 0.0, 0
    if scored.exists():
        worst_total, sentences = totals(scored, stem.with_name(f"{name}.test.txt"), model, vocab)
    fine = worst_p <= 1e-5 and worst_backoff <= 1e-5 and worst_total <= 1e-4 and not strange and not ours
    print(
        f"{stem.name:38} {model.describe()['size']:>9,} {strange:>5} {len(ours):>5} {worst_p:9.1e} {worst_backoff:9.1e} "
        f"{sentences:>5} {worst_total:9.1e} {seconds:7.2f}  {'equal' if fine else 'DIFFERENT'}"
    )
    for sentence in run.notes:
        print(f"    {sentence}")
    return fine


def totals(scored: Path, text: Path, model: NgramModel, vocab: Vocabulary) -> tuple[float, int]:
    """The largest difference of a sentence's log10 total from that of query, and how many sentences there are."""
    test = vocab.encode_lines(pieces(text))
    logs = np.concatenate(list(model.score(test))).astype(np.float64) / math.log(10)
    ours = np.add.reduceat(logs, test.offsets[:-1] + np.arange(len(test)))
    said = [line for line in scored.read_text("utf-8").split("\n") if "Total: " in line]
    # query adds up in float32, which shows in long lines; where it names each word, these are added here
    of_words = [re.findall(r"=\d+ \d+ (\S+)\t", line) for line in said]
    of_lines = [re.findall(r"Total: (\S+) OOV: (\d+)", line)[-1] for line in said]
    expected = np.array([(sum(map(float, w or t[:1])), int(t[1])) for w, t in zip(of_words, of_lines, strict=True)])
    unknown = np.array([(test.line(i) == UNK).sum() for i in range(len(test))])
    same = len(expected) == len(test) and (NEVER in vocab or bool((unknown == expected[:, 1]).all()))
    return (float(np.abs(ours - expected[:, 0]).max()) if same else math.inf), len(test)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, nargs="?", default=DEFAULT, metavar="DIR | TEXT")
    parser.add_argument("--lmplz", type=Path, help="estimate from TEXT with this program")
    parser.add_argument("--query", type=Path, help="and let this one score sentences")
    parser.add_argument("--orders", type=lambda text: [int(n) for n in text.split(",")], default=[5])
    parser.add_argument("--prune", action="append", default=[], metavar="N,N,...")
    parser.add_argument("--max-vocab", action="append", default=[], type=int, help="also with so many types")
    parser.add_argument("--lines", type=int, help="only so many of TEXT")
    parser.add_argument("--by-character", action="store_true", help="of TEXT; spaces are left out")
    args = parser.parse_args()
    if not args.lmplz:
        return check(args.text)
    with tempfile.TemporaryDirectory(prefix="ngram-oracle-") as made:
        make(args, Path(made))
        return check(Path(made))


def check(directory: Path) -> int:
    suffix = ".arpa.gz"
    stems = [path.with_name(path.name.removesuffix(suffix)) for path in sorted(directory.glob("*" + suffix))]
    if not stems:
        print(f"{directory}: no *{suffix} here", file=sys.stderr)
        return 2
    print(
        f"{'model':38} {'n-grams':>9} {'lack':>5} {'extra':>5} {'max dp':>9} {'max dbo':>9} "
        f"{'lines':>5} {'max dsum':>9} {'seconds':>7}"
    )
    equal = [compare(stem) for stem in stems]
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
