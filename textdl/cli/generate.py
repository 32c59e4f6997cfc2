"""`textdl sample`: text drawn from a language model, shown as it comes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from textdl.cli.options import Seed, SourceText


def sample(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    prompt: Annotated[str, typer.Option("--prompt", metavar="P", help="Text to continue.")] = "",
    n: Annotated[int, typer.Option("-n", min=1, help="How many texts.")] = 1,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Length of a text at most.")] = 100,
    temperature: Annotated[float, typer.Option("--temperature", help="Below 1: more of the likely; 0: only it.")] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Only the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", help="Only the likeliest tokens that make up p.")] = None,
    across_lines: Annotated[
        bool, typer.Option("--across-lines", help="Go on over line ends, up to --max-tokens; for models of streams.")
    ] = False,
    source: SourceText = None,
    seed: Seed = 1,
) -> int:
    """Draw texts from a language model, one a line; with --across-lines, a blank line between them.

    A sequence-to-sequence model draws them for each line of --source.
    """
    from textdl.bundle import load
    from textdl.models import samples, stream

    loaded = load(model)
    settings = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    settings["across_lines"] = across_lines
    if source is not None:
        from textdl.corpus import open_corpus

        settings["source"] = open_corpus(source)
    if n == 1 and source is None:  # a single text is shown token by token
        shown = ""
        for text in stream(loaded, seed=seed, **settings):  # type: ignore[arg-type]
            stable = text.rstrip("\ufffd")  # a character whose bytes are not all there yet
            if stable.startswith(shown):
                sys.stdout.write(stable[len(shown) :])
                sys.stdout.flush()
                shown = stable
        print(text[len(shown) :])
    else:
        for text in samples(loaded, n=n, seed=seed, **settings):  # type: ignore[arg-type]
            print(text, end="\n\n" if across_lines else "\n", flush=True)
    return 0
