"""`textdl tokenizer ...`: train SentencePiece, and see what a tokenizer makes of text."""

from __future__ import annotations

import functools
import io
import os
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from textdl.cli.options import Corpora, CorpusOptions, JsonFlag, Quiet, Seed, TextOptions, spread
from textdl.cli.output import TerminalRun, say, table, write_json

if TYPE_CHECKING:
    from textdl.corpus import Corpus

app = typer.Typer(no_args_is_help=True, help="Train, encode, decode, compare; check a user dictionary.")

Spec = Annotated[
    str, typer.Option("--tokenizer", metavar="T", help="char, word, whitespace, jieba[:USER.txt], sp:FILE.")
]
Input = Annotated[str, typer.Argument(metavar="[FILE]", help="A text file; - for stdin.")]
Workers = Annotated[
    int, typer.Option("--workers", "--processes", min=0, metavar="N", help="Processes that tokenize; 0: one a core.")
]
_LONG = 1 << 20  # characters: the pieces of a longer line are written as they are found


@app.command()
@spread
def train(
    corpus: Corpora,
    reading: CorpusOptions,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NAME", help="Writes NAME.model.")],
    model: Annotated[str, typer.Option("--model", help="unigram or bpe.")] = "unigram",
    vocab_size: Annotated[
        int, typer.Option("--vocab-size", min=1, help="Pieces, 256 bytes and 3 specials included; fewer if need be.")
    ] = 8000,
    coverage: Annotated[
        float, typer.Option("--coverage", help="Share of the text whose characters are pieces; the rest is bytes.")
    ] = 0.9995,
    symbols: Annotated[
        str | None, typer.Option("--symbols", metavar="A,B|FILE", help="Always one piece each; a file has one a line.")
    ] = None,
    sample: Annotated[
        str, typer.Option("--sample", metavar="N", help="Characters to learn from, drawn evenly: 50M, 800k, all.")
    ] = "20M",
    seed: Seed = 1,
    quiet: Quiet = False,
) -> int:
    """Learn SentencePiece pieces from text, with defaults that are safe for Chinese."""
    from textdl.errors import ModelError, UsageError
    from textdl.tokenizers.sentencepiece import SentencePieceTokenizer
    from textdl.tokenizers.sentencepiece import train as learn

    path = output if output.suffix == ".model" else output.with_name(output.name + ".model")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"-o {output}: {path.parent} is not a directory one may write to")
    if path.exists():
        try:
            SentencePieceTokenizer(path.read_bytes(), path.name)
        except (OSError, ModelError) as error:
            raise UsageError(f"-o {output}: {path} is there and no SentencePiece model, so it is left alone") from error
    text = reading.open(corpus)
    with TerminalRun(quiet, seed=seed).shown() as run:
        made, _ = learn(
            text, vocab_size=vocab_size, model=model, coverage=coverage, sample=_characters(sample),
            symbols=_symbols(symbols), seed=seed, run=run,
        )  # fmt: skip
    made.write(path)
    if not quiet:
        for sentence in text.ledger.sentences():
            say(sentence)
        say(f"{len(made.inventory or ()):,} pieces and 3 specials written; use them with --tokenizer sp:{path}")
    return 0


def _characters(text: str) -> int | None:
    """`50M`, `800k`, `all` (None)."""
    if text == "all":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text)
    if match is None:
        from textdl.errors import UsageError

        raise UsageError(f"--sample takes a number of characters such as 50M or 800k, or all; got {text!r}")
    return int(float(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]])


def _symbols(text: str | None) -> list[str]:
    """From a file, one a line, if there is one of that name; else what stands between commas."""
    if text is None:
        return []
    if not Path(text).is_file():
        return text.split(",")
    from textdl.corpus import open_corpora

    return [line for line in open_corpora([text]) if line]


@app.command()
@spread
def encode(tokenizer: Spec, reading: TextOptions, file: Input = "-", workers: Workers = 1) -> int:
    r"""Pieces separated by spaces, one line a line.

    A space within a piece is written ▁, other white space and controls as \\uXXXX: `decode` undoes it exactly.
    """
    from textdl.tokenizers import create
    from textdl.vocabulary import escape

    text = reading.open([file])
    made = create(tokenizer)
    if made.overlapping:
        say(f"note: the pieces of {made.spec} overlap; `decode` cannot restore the text")
    elif not made.lossless:
        say(f"note: {made.spec} is not lossless: `decode` may not restore every line exactly")
    written = functools.lru_cache(1 << 16)(escape)
    out = _utf8_out()
    if workers != 1:
        from textdl.tokenizers.parallel import encode_lines

        for pieces in encode_lines(made, text, processes=workers):
            out.write(" ".join(map(written, pieces)) + "\n")
        return 0
    for line in text:
        if len(line) <= _LONG:
            out.write(" ".join(map(written, made.encode(line))) + "\n")
            continue
        rest = made.iterate(line)
        space = ""
        while batch := list(islice(rest, 1 << 16)):
            out.write(space + " ".join(map(written, batch)))
            space = " "
        out.write("\n")
    return 0


@app.command()
@spread
def decode(tokenizer: Spec, reading: TextOptions, file: Input = "-") -> int:
    """Undo `encode`: one line of pieces, one line of text."""
    from textdl.errors import CorpusError
    from textdl.tokenizers import create
    from textdl.vocabulary import unescape

    made = create(tokenizer)
    out = _utf8_out()
    for number, line in enumerate(reading.open([file]), 1):
        if wrong := _NOT_ESCAPED.search(line):
            raise CorpusError(
                f"{file}, line {number:,}: {line[wrong.start() : wrong.start() + 6]!r} is not what `tokenizer encode` "
                r"writes: \uXXXX is there no surrogate and no line feed. Is this a file of another program?"
            )
        out.write(made.decode([unescape(piece) for piece in line.split(" ") if piece]) + "\n")
    return 0


_NOT_ESCAPED = re.compile(r"\\u(?:000a|d[89a-f][0-9a-f]{2})")


def _utf8_out() -> TextIO:
    """Standard output as the files are: UTF-8 and line feeds on every platform."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return sys.stdout


@app.command("check-dict")
@spread
def check_dict(
    dictionary: Annotated[Path, typer.Argument(metavar="USER.txt", help=r"`word \[frequency] \[tag]` a line, UTF-8.")],
    reading: TextOptions,
    hmm: Annotated[str, typer.Option("--hmm", help="yes or no, as in jieba:USER.txt,hmm=no.")] = "yes",
    text: Annotated[str | None, typer.Option("--text", metavar="FILE", help="Also look at the words in it.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FIXED.txt", help="Write the corrected dictionary.")
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Which words of a jieba user dictionary do not come out whole, why, and the frequency that would make them.

    Exit code 0: every word comes out whole when it stands alone (those with the frequency 0 need not); 1: some do not.
    What happens to words inside a text (--text) is told but changes nothing of that.
    """
    from textdl.errors import UsageError
    from textdl.tokenizers.dictionary_check import check, occurrences
    from textdl.tokenizers.user_dictionary import parse, written

    if hmm not in ("yes", "no"):
        raise UsageError(f"--hmm must be yes or no, got {hmm!r}")
    try:
        entries = parse(dictionary.read_bytes(), dictionary.name)
    except OSError as error:
        raise UsageError(f"{dictionary}: cannot read the user dictionary ({error.strerror})") from error
    if not entries:
        raise UsageError(f"{dictionary}: there is no word in it. Expected `word [frequency] [tag]` a line.")
    verdicts, corrected = check(entries, hmm=hmm == "yes")
    seen = {o.word: o for o in occurrences(entries, reading.open([text]), hmm=hmm == "yes")} if text else {}
    failed = [verdict for verdict in verdicts if verdict.failed]
    if output is not None:
        try:
            output.write_bytes(written(corrected))
        except OSError as error:
            raise UsageError(f"-o {output}: cannot write it ({error.strerror})") from error
    if json:
        rows = []
        for v in verdicts:
            row = {"line": v.entry.line, "word": v.entry.word, "given": v.entry.frequency, "frequency": v.frequency}
            row |= {"whole": v.whole, "pieces": v.pieces, "why": v.why, "needs": v.needs, "suggested": v.suggested}
            rows.append(row | ({"in_text": vars(seen[v.entry.word])} if v.entry.word in seen else {}))
        write_json({"dictionary": dictionary.name, "hmm": hmm, "whole": not failed, "entries": rows}, "-")
        return 1 if failed else 0
    columns = ["line", "word", "frequency", "pieces", "needs", "jieba suggests", "why"]
    columns += ["found", "whole", "in the text"] if text else []
    table_rows: list[list[object]] = []
    for v in verdicts:
        place = seen.get(v.entry.word)
        cut = place is not None and place.whole < place.found
        if v.why or cut:
            row_: list[object] = [
                v.entry.line,
                v.entry.word,
                v.frequency,
                "/".join(v.pieces),
                v.needs,
                v.suggested,
                v.why,
            ]
            if text:
                row_ += (
                    [place.found, place.whole, f"{place.example}: {place.why}" if cut else ""]
                    if place
                    else ["", "", ""]
                )
            table_rows.append(row_)
    if table_rows:
        table(columns, table_rows)
    number = f"{len(verdicts):,} entr{'y' if len(verdicts) == 1 else 'ies'}"
    if failed:
        say(
            f"{number}: {len(failed):,} do not come out whole, though they should; "
            f"another frequency would make {sum(v.needs is not None for v in failed):,} of them"
        )
    else:
        say(f"{number}, all come out whole{'' if all(v.whole for v in verdicts) else ' that should'}")
    if seen:
        say(
            f"in {text} the words occur {sum(o.found for o in seen.values()):,} times, "
            f"whole {sum(o.whole for o in seen.values()):,} times"
        )
    if output is not None:
        say(f"{output}: {len(corrected):,} entries, with the frequencies that are needed together")
    return 1 if failed else 0


@app.command("eval")
@spread
def evaluate(
    tokenizers: Annotated[list[str], typer.Argument(metavar="T...", help="As for --tokenizer: char, jieba, sp:FILE.")],
    reading: TextOptions,
    gold: Annotated[
        str | None,
        typer.Option("--gold", metavar="FILE", help="A sentence a line, words separated by spaces; or a built-in one."),
    ] = None,
    known: Annotated[
        str | None,
        typer.Option("--known", metavar="FILE", help="Such text too: words that are not in it count as OOV."),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="FILE", help="Raw text for the other figures.")] = None,
    lang: Annotated[
        str | None, typer.Option("--lang", help="zh: no spaces between the words of --gold; en: spaces. Else guessed.")
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Tokenizers side by side: segmentation against a gold standard, and what they make of raw text.

    Without --gold and --text: the test part of zh-peoples-daily-words, or with --lang en that of en-wiki.
    Precision, recall and F1 are over words as spans (SIGHAN); OOV recall over words that --known lacks.
    """
    from textdl.errors import UsageError
    from textdl.evaluation.segmentation import measure, score_words
    from textdl.tokenizers import create

    if lang not in (None, "zh", "en"):
        raise UsageError(f"--lang must be zh or en, got {lang!r}")
    if gold is None and text is None:
        gold, text = (None, "en-wiki:test") if lang == "en" else ("zh-peoples-daily-words:test", None)
    if gold is None and known is not None:
        raise UsageError("--known says which words of --gold are new; give a gold segmentation with --gold")
    if gold is not None and known is None and gold.endswith("-words:test") and not Path(gold).exists():
        known = gold.removesuffix("test") + "train"
    made = [create(spec) for spec in tokenizers]
    segmented = reading.open([gold]) if gold is not None else None
    between = _between(segmented, lang) if segmented is not None else ""
    raw = reading.open([text]) if text is not None else None
    words_known = None
    if known is not None:
        words_known = {word for line in reading.open([known]) for word in line.split(" ")}
    found = []
    for tokenizer in made:
        words = None
        if segmented is not None:
            words = score_words(map(_words, segmented), tokenizer, between=between, known=words_known)
        if raw is not None:
            figures = measure(raw, tokenizer)
        else:
            assert segmented is not None
            figures = measure((between.join(_words(line)) for line in segmented), tokenizer)
        found.append((tokenizer, words, figures))
    if json:
        results = [
            {
                "tokenizer": t.spec, "fingerprint": t.fingerprint, "lossless": t.lossless, "overlapping": t.overlapping,
                "words": words and words.to_dict(), "text": figures.to_dict(),
            }
            for t, words, figures in found
        ]  # fmt: skip
        write_json({"gold": gold, "known": known, "text": text or gold, "tokenizers": results}, "-")
        return 0
    columns = (
        ["tokenizer", "precision", "recall", "F1", "OOV recall", "IV recall"] if gold is not None else ["tokenizer"]
    )
    columns += ["pieces/char", "bytes/piece", "types", "chars/s", "restored"]
    rows: list[list[object]] = []
    for t, words, figures in found:
        row: list[object] = [t.spec]
        if gold is not None:
            names = ("precision", "recall", "f1", "oov_recall", "iv_recall")
            row += [_share(getattr(words, name) if words is not None else None) for name in names]
        row += [_share(figures.pieces_per_character), _share(figures.bytes_per_piece, 2), f"{figures.types:,}"]
        row += [f"{figures.characters_per_second or 0:,.0f}", _share(figures.restored)]
        rows.append(row)
    table(columns, rows)
    for note in _notes(gold, known, text, found):
        say(f"note: {note}")
    return 0


def _words(line: str) -> list[str]:
    return [word for word in line.split(" ") if word]


def _between(gold: Corpus, lang: str | None) -> str:
    """What stands between the words of a gold segmentation where they are printed as text."""
    if lang is None:
        from textdl.corpus import mostly_han

        lang = "zh" if mostly_han(gold) else "en"
    return "" if lang == "zh" else " "


def _share(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _notes(gold: str | None, known: str | None, text: str | None, found: list[tuple[Any, Any, Any]]) -> Iterator[str]:
    words = next((words for _, words, _ in found if words is not None), None)
    if words is not None:
        told = f"{words.gold:,} gold words in {words.lines:,} lines of {gold}"
        if words.oov is not None:
            yield f"{told}, {words.oov_rate:.2%} of them OOV: not among the words of {known}"
        else:
            yield f"{told}; no OOV figures without --known, the words of a training part"
    yield f"pieces, speed and restored lines are of {text or gold}; speed is that of one process"
    for t, words, figures in found:
        if t.overlapping:
            yield f"{t.spec}: its pieces overlap, so precision and recall are not defined and lines are not restored"
        if words is not None and words.lines_left_out:
            yield f"{t.spec}: {words.lines_left_out:,} lines that its pieces do not spell are left out of precision and recall"
        if figures.lines_changed:
            yield f"{t.spec}: its normalisation changes {figures.lines_changed:,} of {figures.lines:,} lines for good"
    if gold is not None and gold.startswith("zh-peoples-daily") and any(t.name == "jieba" for t, _, _ in found):
        yield (
            "jieba's dictionary and HMM were made from the People's Daily of 1998 among others: "
            "its precision and recall on this text flatter it"
        )
