"""`textdl tokenizer ...`: train SentencePiece, and see what a tokenizer makes of text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import Corpora, Encoding, Quiet, Seed
from textdl.cli.output import say

app = typer.Typer(no_args_is_help=True, help="Train, encode, decode.")

Spec = Annotated[
    str, typer.Option("--tokenizer", metavar="T", help="char, word, whitespace, jieba[:USER.txt], sp:FILE.")
]
Input = Annotated[str, typer.Argument(metavar="[FILE]", help="A text file; - for stdin.")]


@app.command()
def train(
    corpus: Corpora,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NAME", help="Writes NAME.model.")],
    model: Annotated[str, typer.Option("--model", help="unigram or bpe.")] = "unigram",
    vocab_size: Annotated[int, typer.Option("--vocab-size", min=1, help="Pieces, 256 bytes included.")] = 8000,
    encoding: Encoding = "utf-8",
    seed: Seed = 1,
    quiet: Quiet = False,
) -> int:
    """Learn SentencePiece pieces from text, with defaults that are safe for Chinese."""
    from textdl.corpus import open_corpora
    from textdl.errors import UsageError
    from textdl.tokenizers.sentencepiece import train as learn

    path = output if output.suffix == ".model" else output.with_name(output.name + ".model")
    if not path.parent.is_dir():
        raise UsageError(f"-o {output}: there is no directory {path.parent}")
    made, notes = learn(open_corpora(corpus, encoding=encoding), vocab_size=vocab_size, model=model, seed=seed)
    made.write(path)
    if not quiet:
        for note in notes:
            say(f"note: {note}")
        say(
            f"{len(made.inventory or ()):,} pieces (3 more stand for specials) written; use them with --tokenizer sp:{path}"
        )
    return 0


@app.command()
def encode(tokenizer: Spec, file: Input = "-", encoding: Encoding = "utf-8") -> int:
    """Pieces separated by spaces, one line a line; see `escape` in the documentation of the vocabulary."""
    from textdl.corpus import open_corpora
    from textdl.tokenizers import create
    from textdl.vocabulary import escape

    for pieces in create(tokenizer).encode_lines(open_corpora([file], encoding=encoding)):
        sys.stdout.write(" ".join(map(escape, pieces)) + "\n")
    return 0


@app.command()
def decode(tokenizer: Spec, file: Input = "-", encoding: Encoding = "utf-8") -> int:
    """Undo `encode`."""
    from textdl.corpus import open_corpora
    from textdl.tokenizers import create
    from textdl.vocabulary import unescape

    made = create(tokenizer)
    for line in open_corpora([file], encoding=encoding):
        sys.stdout.write(made.decode([unescape(piece) for piece in line.split(" ") if piece]) + "\n")
    return 0
