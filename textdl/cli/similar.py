"""`textdl similar`, `textdl analogy`, `textdl vectors similarity`, `textdl vectors odd`: asking word vectors.

With words, one question. Without: on a terminal, questions line by line until Ctrl-D; in a pipe or from
`--input`, a question a line, answered as soon as lines are there, those that are there together.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from textdl.cli.options import JsonFlag
from textdl.cli.output import say, table, write_json
from textdl.errors import TextdlError, UsageError

if TYPE_CHECKING:
    from textdl.bundle import Ranked

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL")]
Neighbours = Annotated[int, typer.Option("-k", min=1, help="How many.")]
Among = Annotated[int | None, typer.Option("--among", min=1, metavar="N", help="Only the N most frequent words.")]
MinCount = Annotated[int, typer.Option("--min-count", min=0, metavar="N", help="Only words seen N times or more.")]
Input = Annotated[
    str | None, typer.Option("--input", metavar="FILE", help="A question a line; - for stdin, the default in a pipe.")
]
_NONE = "textdl: there is no other word to answer with"
Answer = Callable[[list[str]], "list[Ranked | TextdlError]"]


def similar(
    model: ModelPath,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD...]", help="One word, or several for their centroid.")
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", metavar="WORD", help="A word to subtract; may be given again.")
    ] = None,
    k: Neighbours = 10,
    among: Among = None,
    min_count: MinCount = 0,
    questions: Input = None,
    json: JsonFlag = False,
) -> int:
    """The words nearest to a word, or to the centroid of several. Without words: asks for them, a - b + c."""
    import textdl

    if words or minus:
        _no_input(questions)
        found = textdl.load(model).similar(*words or [], minus=minus or [], k=k, among=among, min_count=min_count)
        return _ranked(found, "cosine", json)
    loaded = textdl.load(model)
    return _lines(
        lambda lines: loaded.similar_lines(lines, k=k, among=among, min_count=min_count), "cosine", questions, json,
        f"{_size(loaded)} A word gives the words near it; several, those near their centroid; a - b + c subtracts b. "
        "Ctrl-D ends.",
    )  # fmt: skip


def analogy(
    model: ModelPath,
    words: Annotated[list[str] | None, typer.Argument(metavar="[A B C]")] = None,
    method: Annotated[
        str, typer.Option("--method", help="add: 3CosAdd, near b - a + c; mul: 3CosMul, near b and c, far from a.")
    ] = "add",
    k: Neighbours = 10,
    among: Among = None,
    min_count: MinCount = 0,
    questions: Input = None,
    json: JsonFlag = False,
) -> int:
    """A is to B as C is to ...? Without words: asks for them, three a line."""
    import textdl

    how: Any = {"method": cast(Any, method), "k": k, "among": among, "min_count": min_count}
    scores = "score" if method == "mul" else "cosine"
    if words:
        _no_input(questions)
        if len(words) != 3:
            raise UsageError(f"analogy takes three words, A B C, got {len(words)}")
        a, b, c = words
        return _ranked(textdl.load(model).analogy(a, b, c, **how), scores, json)
    loaded = textdl.load(model)
    return _lines(
        lambda lines: loaded.analogy_lines(lines, **how), scores, questions, json,
        f"{_size(loaded)} Three words, a b c: a is to b as c is to what? Ctrl-D ends.",
    )  # fmt: skip


def similarity(
    model: ModelPath,
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    json: JsonFlag = False,
) -> int:
    """How alike two words are: the cosine of their vectors."""
    import textdl

    cosine = textdl.load(model).similarity(a, b)
    if json:
        write_json({"words": [a, b], "cosine": cosine}, "-")
    else:
        table(["a", "b", "cosine"], [[a, b, f"{cosine:.4f}"]])
    return 0


def odd(
    model: ModelPath,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Three words or more.")],
    json: JsonFlag = False,
) -> int:
    """Which word fits least among several: the first of the list, by its cosine to the mean of all."""
    import textdl

    return _ranked(textdl.load(model).odd_one_out(*words), "cosine", json)


def _no_input(questions: str | None) -> None:
    if questions is not None:
        raise UsageError("give words or --input, not both")


def _size(model: Any) -> str:
    return f"{len(model.vocab.pieces):,} words of {model.vectors.vectors.shape[1]} numbers."


def _document(found: Ranked, score: str) -> list[dict[str, Any]]:
    return [{"word": word, score: value} for word, value in found]


def _ranked(found: Ranked, score: str, json: bool) -> int:
    if not found:
        say(_NONE)
    if json:
        write_json(_document(found, score), "-")
    else:
        table(["word", score], [[word, f"{value:.4f}"] for word, value in found])
    return 0


def _lines(answer: Answer, score: str, questions: str | None, json: bool, help_line: str) -> int:
    if questions is None and sys.stdin.isatty() and sys.stdout.isatty():
        return _asked(answer, score, help_line)
    if not json:
        print("\t".join(("question", "word", score)))
    given = failed = 0
    for lines in _given(questions):
        for line, found in zip(lines, answer(lines), strict=True):
            given += 1
            if isinstance(found, TextdlError):
                failed += 1
                say(f"textdl: {found}")
            elif not found:
                say(f"{_NONE}: {line}")
            if json:
                told = {"error": str(found)} if isinstance(found, TextdlError) else {"found": _document(found, score)}
                print(json_format.dumps({"question": line, **told}, ensure_ascii=False))
            elif not isinstance(found, TextdlError):
                for word, value in found:
                    print("\t".join((line.replace("\t", " "), word.replace("\t", " "), f"{value:.4f}")))
        sys.stdout.flush()
    if failed:
        say(f"textdl: {failed:,} of {given:,} questions have no answer")
    return 1 if failed else 0


def _given(questions: str | None) -> Iterator[list[str]]:
    """The lines that are there, as they come; blank ones ask nothing."""
    if questions in (None, "-"):
        yield from _as_they_come(sys.stdin.buffer)
        return
    try:
        with Path(str(questions)).open("rb") as file:
            yield from _as_they_come(file)
    except OSError as error:
        raise UsageError(f"--input {questions}: cannot read it ({error.strerror})") from error


def _as_they_come(source: Any) -> Iterator[list[str]]:
    rest = b""
    while data := source.read1(1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        if lines := _decoded(whole):
            yield lines
    if lines := _decoded([rest]):
        yield lines


def _decoded(lines: Sequence[bytes]) -> list[str]:
    """What is not UTF-8 becomes U+FFFD, which no word is."""
    decoded = (line.decode("utf-8", "replace").strip(" \t\r\u3000") for line in lines)
    return [line for line in decoded if line]


def _asked(answer: Answer, score: str, help_line: str) -> int:
    """Questions on a terminal, with the history of the line editor where there is one."""
    with suppress(ImportError):
        import readline  # noqa: F401  (input then edits lines and remembers them)
    say(help_line)
    while True:
        try:
            line = input("> ").strip(" \t\r\u3000")
        except EOFError:
            print()
            return 0
        if not line:
            continue
        (found,) = answer([line])
        if isinstance(found, TextdlError):
            say(f"{found}")
        elif not found:
            say(_NONE)
        else:
            table(["word", score], [[word, f"{value:.4f}"] for word, value in found])
