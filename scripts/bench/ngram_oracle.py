"""Hold textdl's n-gram models against what KenLM's lmplz and query wrote.

    python scripts/bench/ngram_oracle.py [DIR]

DIR holds, for a text NAME, NAME.train.txt and NAME.test.txt, and for a model NAME.oN[.prune-A-B-..]
the ARPA file (.arpa.gz) and the totals of the test sentences (.query.txt). Models are trained on the
text split at single spaces; every n-gram's log10 probability and back-off weight and every sentence's
total are compared. Exits with 1 where an entry differs by more than 1e-5, a total by more than 1e-4,
or the n-grams are not the same.
"""

from __future__ import annotations

import math
import re
import sys
import time
from pathlib import Path

import numpy as np

from textdl.encoded import UNK
from textdl.ngram import Config, NgramModel, arpa, fit
from textdl.protocols import Run
from textdl.vocabulary import Vocabulary, build

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "kenlm"


def pieces(path: Path) -> list[list[str]]:
    """Lines split at single spaces, as lmplz splits them; a blank line has no pieces."""
    text = path.read_text("utf-8").removesuffix("\n")
    return [[piece for piece in line.split(" ") if piece] for line in text.split("\n")]


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
    run = Run()
    began = time.perf_counter()
    model = fit(corpus, Config(int(order), prune=thresholds), run=run)
    seconds = time.perf_counter() - began

    ours = entries(model, vocab)
    worst_p = worst_backoff = 0.0
    strange = 0
    for words, p, backoff in arpa.read(stem.with_name(stem.name + ".arpa.gz")):
        # lmplz does not escape; pieces are compared in our written form, specials as they are
        key = " ".join(w if w in ("<unk>", "<s>", "</s>") else vocab.written(vocab.id(w)) for w in words)
        if key not in ours:
            strange += 1
            continue
        mine = ours.pop(key)
        if key != "<s>":  # probability 1 there, 0 here: nobody predicts it
            worst_p = max(worst_p, abs(mine[0] - p))
        worst_backoff = max(worst_backoff, abs(mine[1] - backoff))

    test = vocab.encode_lines(pieces(stem.with_name(f"{name}.test.txt")))
    logs = np.concatenate(list(model.score(test))).astype(np.float64) / math.log(10)
    totals = np.add.reduceat(logs, test.offsets[:-1] + np.arange(len(test)))
    query = stem.with_name(stem.name + ".query.txt").read_text("utf-8")
    expected = np.array([(float(t), int(u)) for t, u in re.findall(r"Total: (\S+) OOV: (\d+)", query)])
    unknown = np.array([(test.line(i) == UNK).sum() for i in range(len(test))])
    same = len(expected) == len(test) and bool((unknown == expected[:, 1]).all())
    worst_total = float(np.abs(totals - expected[:, 0]).max()) if same else math.inf

    fine = worst_p <= 1e-5 and worst_backoff <= 1e-5 and worst_total <= 1e-4 and not strange and not ours
    print(
        f"{stem.name:38} {model.describe()['size']:>9,} {strange:>5} {len(ours):>5} {worst_p:9.1e} {worst_backoff:9.1e} "
        f"{len(test):>5} {worst_total:9.1e} {seconds:7.2f}  {'equal' if fine else 'DIFFERENT'}"
    )
    for sentence in run.notes:
        print(f"    {sentence}")
    return fine


def main() -> int:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
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
