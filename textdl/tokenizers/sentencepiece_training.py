"""What `sentencepiece.train` is made of: a sample of the text, an alphabet, and a process that learns.

The library learns in a process of its own, `python -m textdl.tokenizers.sentencepiece_training DIR`. So Ctrl-C
ends it at once, where the library would go on; its memory is given back; and where it ends itself, or
the system ends it for its memory, that is an error like any other. It is given sentences in a file, without
the characters that are not to be pieces: lines are broken there. That is how any coverage can be had (the
library's own option ends at 0.98), and why it never meets the characters it marks things with.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from textdl.errors import CorpusError, TextTypeError, UsageError
from textdl.protocols import Run
from textdl.tokenizers.sentencepiece_format import LONGEST, cut, import_sentencepiece, protect

SPECIALS = 3
"""<unk>, <s> and </s>, which the library wants."""
_NO_PIECE = "\0\t\n\r\u2585"  # what ends a line or a string for the library, and what it marks the unknown with
_SHRINKS = 0.75  # of the pieces of a unigram model, this share survives a round
_SPARE = 1.1  # rounds end at so many times the vocabulary


def draw(
    lines: Iterable[str], path: Path, sample: int | None, seed: int, run: Run, note: Callable[[str], None]
) -> Counter[str]:
    """Write the lines to learn from, protected and cut, to path. Returns their characters and how often they occur.

    Where there are more than `sample` characters, all parts of lines have the same chance to be drawn.

    Raises:
        CorpusError: there is no text, or it cannot be read again for drawing.
    """
    limit = math.inf if sample is None else sample
    counts: Counter[str] = Counter()
    number = total = cut_up = 0
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for number, line in enumerate(lines, 1):
            if not isinstance(line, str):
                raise TextTypeError(f"lines to learn from must be str, got {type(line).__name__}: {line!r:.60}")
            total += len(line)
            cut_up += len(line) > LONGEST
            if total <= limit:
                for part in map(protect, cut(line, LONGEST)):
                    counts.update(part)
                    out.write(part + "\n")
            if number % 10_000 == 0:
                run.progress("reading text", total, None, "characters")
    if not total:
        raise CorpusError("no text to learn pieces from: every line is empty")
    if total > limit:
        counts.clear()
        chance = random.Random(seed)
        again = drawn = 0
        with path.open("w", encoding="utf-8", newline="\n") as out:
            for i, line in enumerate(lines):
                again += len(line)
                for part in cut(line, LONGEST):
                    if chance.random() < limit / total:
                        counts.update(protect(part))
                        out.write(protect(part) + "\n")
                        drawn += 1
                if i % 10_000 == 0:
                    run.progress("drawing a sample", again, total, "characters")
        if again != total:
            raise CorpusError(
                f"the text had {total:,} characters when it was read first and {again:,} when it was read again for a "
                "sample. Give lines that can be read twice, such as a list or a corpus"
            )
        if not counts:
            raise UsageError(f"--sample {sample:,}: none of the {number:,} lines was drawn. Take more")
        what = "lines" if not cut_up else "lines and parts of lines"
        note(
            f"learning from {counts.total():,} of {total:,} characters: {drawn:,} {what} of {number:,}, drawn with "
            f"seed {seed}; --sample says how many"
        )
    if cut_up:
        note(f"lines over {LONGEST:,} characters, cut into parts for learning pieces: {cut_up:,}")
    return counts


def alphabet(counts: Counter[str], coverage: float, room: int, fixed: int, note: Callable[[str], None]) -> list[str]:
    """The characters that become pieces, the most frequent first: as many as cover so much and there is room for.

    fixed: entries of the vocabulary that are no characters.

    Raises:
        CorpusError: there is none.
    """
    usable = Counter({character: count for character, count in counts.items() if character not in _NO_PIECE})
    if not usable:
        raise CorpusError("no text to learn pieces from: there are only control characters")
    ordered = sorted(usable, key=lambda character: (-usable[character], character))
    covered = list(accumulate(usable[character] for character in ordered))
    enough = coverage * usable.total()
    wanted = next((i for i, count in enumerate(covered, 1) if count >= enough), len(ordered))
    if wanted > room:
        note(
            f"the vocabulary has room for {room:,} of the {wanted:,} characters that cover {100 * coverage:g} % of the "
            f"text; they cover {100 * covered[room - 1] / usable.total():.3g} %, the others are spelled in bytes. "
            f"--vocab-size {wanted + fixed:,} holds them all, more leaves room for longer pieces"
        )
    return ordered[: min(wanted, room)]


def write_sentences(source: Path, target: Path, left_out: Iterable[str], symbols: Sequence[str]) -> None:
    """Break the lines of source where a character stands that is no piece, and at symbols: they are one already.

    Raises:
        CorpusError: nothing is left.
    """
    between = [re.escape(protect(symbol)) for symbol in sorted(symbols, key=len, reverse=True)]
    characters = "".join(map(re.escape, sorted(left_out)))
    breaks = re.compile("|".join([*between, f"[{_NO_PIECE}{characters}]"]))
    empty = True
    with source.open(encoding="utf-8", newline="\n") as text, target.open("w", encoding="utf-8", newline="\n") as out:
        for line in text:
            sentences = breaks.sub("\n", line)
            empty = empty and not sentences.strip("\n")
            out.write(sentences)
    if empty:
        raise CorpusError("nothing is left to learn pieces from: the text has no more than the symbols")


def memory(counts: Counter[str], model: str) -> float:
    """Bytes the library will need at its peak, about.

    Measured with 1 to 25 M characters of English and of Chinese poems, 8,000 to 32,000 pieces. Scripts without
    spaces need more: there a sentence is one word, and hardly any occurs twice.
    """
    unspaced = sum(count for character, count in counts.items() if character >= "\u0e00")  # from Thai on
    spaced = counts.total() - unspaced
    return 20e6 + (24 * spaced + 55 * unspaced if model == "unigram" else 8 * spaced + 90 * unspaced)


def learn(folder: Path, options: dict[str, Any], merges: int, run: Run) -> bytes:
    """The serialized model that the library makes of folder/sentences.

    merges: the pieces of several characters there is room for, to tell how far a BPE model is.

    Raises:
        CorpusError: it could not, for a reason that is told.
    """
    (folder / "options").write_text(json.dumps(options), "utf-8")
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "textdl.tokenizers.sentencepiece_training", str(folder)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        said = follow(process.stderr, options["vocab_size"], merges, run)
        status = process.wait()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    if status == 0:
        return (folder / "model").read_bytes()
    if (folder / "error").exists():
        said = (folder / "error").read_text("utf-8")
    if status == -9 or "bad_alloc" in said:
        raise CorpusError("the process that learns pieces ran out of memory, or was killed. Take a smaller --sample")
    raise CorpusError(f"SentencePiece could not learn from this text: {said or f'it ended with status {status}'}")


def follow(log: Iterable[bytes], vocab_size: int, merges: int, run: Run) -> str:
    """Tell how far the library is, by what it logs. Returns the last thing it said."""
    said = ""
    first = done = 0
    for raw in log:
        line = raw.decode("utf-8", "replace").strip()
        said = line or said
        if found := re.search(r"EM sub_iter=\d+ size=(\d+)", line):
            size = int(found[1])
            first, done = first or size, done + 1
            rounds = 1 + max(0, math.ceil(math.log(first / (_SPARE * vocab_size)) / -math.log(_SHRINKS)))
            run.progress("learning pieces", done, max(2 * rounds, done), "rounds", f"{size:,} candidates")
        elif found := re.search(r"(?:Added|Merged): freq=\S+ (?:size|merges)=(\d+)", line):
            run.progress("learning pieces", int(found[1]), merges, "merges")
        elif "suffix array" in line:
            run.progress("collecting candidates", 0, None, "candidates")
    return said


def main() -> None:
    """In the process that learns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # and if that one is gone, the next line of the log does
    folder = Path(sys.argv[1])
    options = json.loads((folder / "options").read_text("utf-8"))
    model = io.BytesIO()
    try:
        with (folder / "sentences").open(encoding="utf-8", newline="\n") as lines:
            import_sentencepiece().SentencePieceTrainer.train(
                sentence_iterator=(line[:-1] for line in lines if line != "\n"), model_writer=model, **options
            )
        (folder / "model").write_bytes(model.getvalue())
    except (RuntimeError, OSError, MemoryError) as error:
        (folder / "error").write_text(str(error) or type(error).__name__, "utf-8")
        sys.exit(1)


if __name__ == "__main__":
    main()
