"""`Corpus`: lines that can be read again and again in bounded memory; and how one is opened.

A str is an existing path or a catalog name, a list is lines. The first complete pass counts the ledger
and the fingerprint; parts (splits, held-out lines) are views that read their base and pass on what is theirs.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from textdl.corpus import split as splitting
from textdl.corpus.builtin import extracted
from textdl.corpus.entries import Entry, catalog
from textdl.corpus.ledger import Ledger
from textdl.corpus.reading import Errors, check_encoding
from textdl.corpus.sources import (
    AtLeastOne,
    Block,
    Chain,
    Distinct,
    Files,
    Hashed,
    Lines,
    Source,
    Spooled,
    not_a_line,
    standard_input,
)
from textdl.errors import CorpusError, TextTypeError, UsageError

Unit = Literal["line", "stream"]

_TABLE = frozenset((".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".xml", ".html"))


class Corpus:
    """Re-iterable lines. `for line in corpus` yields str without line ends; blank lines are "".

    Made by `open_corpus`. Memory is bounded by a block of the file or its longest line.
    """

    def __init__(self, source: Source, *, name: str, unit: Unit = "line", notes: Iterable[str] = ()):
        self._source = source
        self.name = name
        """For the model's card: a file or catalog name, never a whole path."""
        self.unit: Unit = unit
        """`line`: lines are independent of each other; `stream`: each continues the last."""
        self.ledger = Ledger(notes=list(notes))
        """Complete once the corpus has been read once; until then only its notes are filled."""
        self.fingerprint: str | None = None
        r"""sha256 of all lines, each with a \n, in UTF-8; None until the corpus has been read once."""

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}, unit={self.unit!r})"

    def __iter__(self) -> Iterator[str]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[str]]:
        """The lines in lists of any length: the fast way to read.

        Raises:
            CorpusError: a file cannot be read, decompressed or decoded, or a line cannot be UTF-8.
        """
        if self.fingerprint is not None:
            yield from self._source.batches(Ledger())
            return
        ledger = Ledger()
        digest = hashlib.sha256()
        for batch in self._source.batches(ledger):
            text = "\n".join(batch)
            try:
                digest.update(text.encode())
            except UnicodeEncodeError as error:
                line = ledger.lines + text.count("\n", 0, error.start) + 1
                raise CorpusError(
                    f"{self.name}, line {line:,}: a lone surrogate (U+{ord(text[error.start]):04X}) is no character. "
                    'It comes from reading with errors="surrogateescape" or from a broken JSON escape: mend the text.'
                ) from error
            digest.update(b"\n")
            ledger.lines += len(batch)
            ledger.blank += batch.count("") + sum(map(str.isspace, batch))
            ledger.characters += len(text) - len(batch) + 1
            ledger.nuls += text.count("\0")
            del text
            yield batch
        if self.fingerprint is None:
            for counted in fields(Ledger):
                if isinstance(value := getattr(ledger, counted.name), int):
                    setattr(self.ledger, counted.name, value)
            self.fingerprint = digest.hexdigest()

    @property
    def size_hint(self) -> int | None:
        """Bytes, for progress, where they are known without reading."""
        return self._source.size()

    def read(self) -> Ledger:
        """The complete ledger: reads the corpus once if that has not been done."""
        if self.fingerprint is None:
            for _ in self.batches():
                pass
        return self.ledger

    def require_text(self) -> None:
        """What every use that trains or scores calls first. Reads up to the first line that is not blank.

        Raises:
            CorpusError: there is no line, or all are blank.
        """
        if self.fingerprint is None:
            for batch in self.batches():
                if any(line and not line.isspace() for line in batch):
                    return
        if self.ledger.lines == self.ledger.blank:
            blank = f"only blank lines ({self.ledger.lines:,})" if self.ledger.lines else "empty"
            raise CorpusError(f"{self.name} is {blank}: there is no text in it. Give a corpus with at least one line.")

    def split(self, part: str, ratios: Sequence[float] = splitting.RATIOS) -> Corpus:
        """train, valid or test: independent lines by content, a stream in contiguous blocks.

        Raises:
            UsageError: there is no such part, or the ratios are impossible.
        """
        if part not in splitting.SPLITS[: len(ratios)]:
            raise UsageError(
                f"no split is called {part!r}; there are {', '.join(splitting.SPLITS[: len(ratios)])}, as in {self.name}:train"
            )
        ends = [0.0, *splitting.bounds(ratios)]
        i = splitting.SPLITS.index(part)
        source: Source
        if self.unit == "line":
            source = Hashed(self, splitting.share_of, lambda: (ends[i], ends[i + 1]))
        else:
            source = Block(self, lambda lines: (round(lines * ends[i]), round(lines * ends[i + 1])))
        return self._view(source, f"{self.name}:{part}")

    def hold_out(self, share: float = 0.05, unit: Unit | None = None) -> tuple[Corpus, Corpus]:
        """(train, valid): the last 5 % of a stream, a hashed 5 % of independent lines; at least one line.

        unit: how the parts will be read, where that is not what the corpus is.

        Raises:
            UsageError: the share is not between 0 and 1.
        """
        if not 0 < share < 1:
            raise UsageError(f"the share to hold out must be between 0 and 1, such as 0.05; got {share}")
        sources: tuple[Source, Source]
        unit = unit or self.unit
        if unit == "line":
            limit = AtLeastOne(self, share)
            of = splitting.held_out_share_of
            sources = Hashed(self, of, lambda: (limit(), 1.0)), Hashed(self, of, lambda: (0.0, limit()))
        else:

            def cut(lines: int) -> int:
                return lines - min(max(1, round(lines * share)), max(lines - 1, 0))

            sources = Block(self, lambda n: (0, cut(n))), Block(self, lambda n: (cut(n), n))
        percent = f"{100 * share:g} %"
        parts = (
            self._view(sources[0], f"{self.name} without {percent}"),
            self._view(sources[1], f"{percent} of {self.name}"),
        )
        for part in parts:
            part.unit = unit
        return parts

    def without_duplicates(self) -> Corpus:
        """Each line once, where it first occurs; the ledger counts the others. Needs 64 bits a distinct line, and more."""
        return self._view(Distinct(self), f"{self.name} without duplicates")

    def _view(self, source: Source, name: str) -> Corpus:
        return Corpus(source, name=name, unit=self.unit, notes=self.ledger.notes)


def open_corpus(source: Any, *, encoding: str = "utf-8", errors: Errors = "strict", split: str | None = None) -> Corpus:
    """Text from wherever it is.

    Args:
        source: a str or Path (file or directory, plain or .gz, .bz2, .xz, .zst), a catalog name with an optional
            `:train`, `:valid` or `:test`, `-` for standard input, a re-iterable of str (its items are lines), a
            list of Path objects (read one after the other), or a Corpus.
        encoding: of files and standard input; the built-in corpora and lists have none.
        errors: `strict`, or `replace`: bytes that cannot be decoded become U+FFFD and are counted.
        split: `train`, `valid` or `test`: only that part.

    Raises:
        UsageError: a str that is neither a path nor a catalog name, an unknown encoding or split.
        TextTypeError: not text: bytes, a number, a generator that could be read only once, items that are not str.
    """
    check_encoding(encoding)
    if errors not in ("strict", "replace"):
        raise UsageError(f'errors must be "strict" or "replace", got {errors!r}')
    corpus = _open(source, encoding, errors)
    return corpus if split is None else corpus.split(split)


def open_corpora(sources: Sequence[str | Path], *, encoding: str = "utf-8", errors: Errors = "strict") -> Corpus:
    """Several paths or catalog names, read one after the other: what the command line passes.

    Unlike `open_corpus`, a list of str is a list of sources here.

    Raises:
        UsageError: there are none, or standard input is named twice; and as `open_corpus`.
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    if not sources:
        raise UsageError("no corpus was named. Give a file, a directory, a catalog name or - for standard input.")
    if list(sources).count("-") > 1:
        raise UsageError("standard input (-) can be read only once; name it once")
    return _chain([open_corpus(source, encoding=encoding, errors=errors) for source in sources])


def _chain(corpora: list[Corpus]) -> Corpus:
    if len(corpora) == 1:
        return corpora[0]
    names = [corpus.name for corpus in corpora]
    return Corpus(
        Chain(corpora),
        name=", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} others",
        unit="stream" if all(corpus.unit == "stream" for corpus in corpora) else "line",
        notes=[note for corpus in corpora for note in corpus.ledger.notes],
    )


def _open(source: Any, encoding: str, errors: Errors) -> Corpus:
    if isinstance(source, Corpus):
        return source
    if isinstance(source, str):
        return _open_name(source, encoding, errors)
    if isinstance(source, os.PathLike):
        path = Path(source)
        if not os.path.exists(path):
            raise UsageError(f"{path}: there is no such file or directory. Check the path.")
        return _open_path(path, encoding, errors)
    return _open_lines(source, encoding, errors)


def _open_name(source: str, encoding: str, errors: Errors) -> Corpus:
    if source == "-":
        return Corpus(Spooled(standard_input, "stdin", encoding, errors), name="stdin")
    if source and os.path.exists(source):
        return _open_path(Path(source), encoding, errors)
    names = {entry.name: entry for entry in catalog()}
    name, colon, part = source.partition(":")
    if name in names:
        corpus = _open_entry(names[name])
        return corpus.split(part) if colon else corpus
    if "\n" in source or len(source) > 255:
        raise UsageError(
            f"a str is a path or a catalog name, and {source[:40]!r}... looks like text. "
            "Pass [text] for one line, or text.split('\\n') for many."
        )
    near = difflib.get_close_matches(name, names, 3, 0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"The catalog has {', '.join(names)}."
    raise UsageError(
        f"{source!r} is neither a file or directory that exists nor the name of a built-in corpus. {hint} "
        "`textdl corpus list` shows all; for text itself pass a list of lines."
    )


def _open_entry(entry: Entry) -> Corpus:
    text = extracted(entry)
    notes = []
    if text.sha256 != entry.sha256:
        notes.append(
            f"{entry.name} differs from the one the catalog describes (another version of {entry.package}?): "
            "figures cannot be compared with published ones."
        )
    source = Files([(text.path, entry.name)], "utf-8", "strict", kept=text)
    return Corpus(source, name=entry.name, unit=entry.unit, notes=notes)


def _open_path(path: Path, encoding: str, errors: Errors) -> Corpus:
    name = path.name or path.resolve().name
    if path.is_dir():
        files = []
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            files += [Path(folder, n) for n in sorted(names) if not n.startswith(".")]
        files = [file for file in files if file.is_file()]
        if not files:
            raise UsageError(f"{path} is a directory without files. Give one that holds text files.")
        return Corpus(Files([(file, str(file)) for file in files], encoding, errors), name=name)
    if not path.is_file():  # a pipe: it can be read only once
        return Corpus(Spooled(lambda: path.open("rb"), str(path), encoding, errors), name=name)
    notes = []
    if _TABLE & {suffix.lower() for suffix in path.suffixes}:
        notes.append(
            f"{name} is read as plain text, every line as it stands. Take the text out first if that is not meant."
        )
    return Corpus(Files([(path, str(path))], encoding, errors), name=name, notes=notes)


def _open_lines(source: Any, encoding: str, errors: Errors) -> Corpus:
    if isinstance(source, (bytes, bytearray, memoryview)):
        raise TextTypeError('bytes are not text yet: decode them, as in data.decode("utf-8").split("\\n")')
    if not isinstance(source, Iterable):
        raise TextTypeError(f"a corpus is a path, a catalog name or lines of str; got {type(source).__name__}")
    if isinstance(source, Iterator):
        raise TextTypeError(
            f"a {type(source).__name__} can be read only once, and a corpus is read several times. "
            "Pass list(lines), or the path of the file itself."
        )
    if isinstance(source, (Set, Mapping)):
        raise TextTypeError(
            f"a {type(source).__name__} is not a sequence of lines. Pass a list, such as sorted(lines)."
        )
    notes = []
    if isinstance(source, (list, tuple)):
        if source and all(isinstance(item, os.PathLike) for item in source):
            return _chain([_open(item, encoding, errors) for item in source])
        for number, item in enumerate(source, 1):
            if not isinstance(item, str):
                raise not_a_line(number, item)
        if 0 < len(source) <= 20 and all(item and len(item) < 256 and os.path.exists(item) for item in source):
            notes.append(
                "A list of str is lines, and every line here is the name of a file that exists. "
                "For the files pass Path objects, or use open_corpora."
            )
    return Corpus(Lines(source), name="lines", notes=notes)
