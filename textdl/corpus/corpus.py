"""`Corpus`: lines that can be read again and again in bounded memory; and how one is opened.

A str is an existing path or a catalog name, a list is lines. The first complete pass counts the ledger
and the fingerprint; parts (splits, held-out lines) are views that read their base and pass on what is theirs.
"""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from textdl.corpus import split as splitting
from textdl.corpus.builtin import extracted
from textdl.corpus.entries import Entry, catalog
from textdl.corpus.ledger import Ledger, quantity
from textdl.corpus.reading import Errors, check_encoding, check_errors
from textdl.corpus.sources import (
    AtLeastOne,
    Block,
    Chain,
    Distinct,
    Files,
    Hashed,
    Lines,
    Sentences,
    Source,
    SpooledBytes,
    SpooledLines,
    add_counts,
    not_a_line,
    standard_input,
)
from textdl.errors import CorpusError, TextTypeError, UsageError

Unit = Literal["line", "stream"]

_MARKUP = frozenset((".json", ".xml", ".html", ".htm"))
_SLICE = 1 << 20


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
            CorpusError: a file cannot be read, decompressed or decoded, a line cannot be UTF-8, or the text has changed.
        """
        if self.fingerprint is not None:
            yield from self._source.batches(Ledger())
            return
        ledger = Ledger()
        digest = hashlib.sha256()
        for batch in self._source.batches(ledger):
            text = "\n".join(batch)
            for start in range(0, len(text), _SLICE):
                digest.update(text[start : start + _SLICE].encode())
            digest.update(b"\n")
            ledger.lines += len(batch)
            ledger.blank += batch.count("") + sum(map(str.isspace, batch))
            ledger.characters += len(text) - len(batch) + 1
            ledger.nuls += text.count("\0")
            del text
            yield batch
        if self.fingerprint is None:
            add_counts(ledger, self.ledger)
            self.fingerprint = digest.hexdigest()

    @property
    def size_hint(self) -> int | None:
        """Bytes, for progress, where they are known without reading."""
        return self._source.size()

    def files(self) -> list[tuple[Path, str, str | None]]:
        """The files it is read from: (path, what messages call it, `jsonl`, `csv`, `tsv` or `parquet`; None is plain text).

        None for lines and data sets, nor for standard input before it has been read.
        """
        return self._source.files()

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
        low, high = splitting.limits(part, ratios, self.name)
        source: Source
        if self.unit == "line":
            source = Hashed(self, splitting.share_of, lambda: (low, high))
        else:
            source = Block(self, lambda lines: (round(lines * low), round(lines * high)))
        return self._view(source, f"{self.name}:{part}")

    def hold_out(self, share: float = 0.05, unit: Unit | None = None) -> tuple[Corpus, Corpus]:
        """(train, valid): the last 5 % of a stream, a hashed 5 % of independent lines; at least one line.

        unit: how the parts will be read, where that is not what the corpus is.

        Raises:
            UsageError: the share is not between 0 and 1.
        """
        splitting.check_share(share)
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
        """Each line once, where it first occurs; the ledger counts the others. Blank lines (empty or white space) all stay.

        Reads the text once more to find them, in bounded memory: a bit a line, besides 100 MB or so.
        """
        return self._view(Distinct(self), f"{self.name} without duplicates")

    def sentences(self) -> Corpus:
        """Its lines cut into sentences, a line each; blank lines stay. The ledger counts what that added and dropped."""
        return self._view(Sentences(self), f"{self.name} in sentences")

    def _view(self, source: Source, name: str) -> Corpus:
        return Corpus(source, name=name, unit=self.unit, notes=self.ledger.notes)


@dataclass(frozen=True)
class _Reading:
    """How text is to be read: the arguments of `open_corpus`."""

    encoding: str
    errors: Errors
    field: str | None
    streaming: bool
    spool: bool = False


def open_corpus(
    source: Any,
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    field: str | None = None,
    streaming: bool = False,
    split: str | None = None,
    spool: bool = False,
) -> Corpus:
    """Text from wherever it is.

    Args:
        source: a str or Path (file or directory; text, .jsonl, .csv, .tsv or .parquet; plain or .gz, .bz2, .xz, .zst),
            a pattern of files (`data/**/*.txt`), a catalog name with an optional `:train`, `:valid` or `:test`,
            `hf:NAME[@CONFIG][:SPLIT]` through the `datasets` library, `-` for standard input, a re-iterable of str (its
            items are lines), a list of Path objects (read one after the other), or a Corpus.
        encoding: of files and standard input; the built-in corpora, Parquet and lists have none.
        errors: `strict`, or `replace`: what cannot be decoded, and lone surrogates, becomes U+FFFD and is counted.
        field: the field of tables and data sets that holds the text; found where that is clear.
        streaming: read a data set of the hub over the network, without keeping it, instead of downloading it first.
        split: `train`, `valid` or `test`: only that part, as textdl cuts it.
        spool: allow a generator, which can be read only once: its lines are copied to a temporary file first.

    Raises:
        UsageError: a str that is neither a path nor a pattern nor a name, an unknown encoding, field or split.
        CorpusError: a data set cannot be had.
        TextTypeError: not text: bytes, a number, a generator without `spool`, items that are not str; or an
            encoding or field that is no str.
    """
    corpus = _open(source, _reading(encoding, errors, field, streaming, spool))
    return corpus if split is None else corpus.split(split)


def open_corpora(
    sources: Sequence[str | Path],
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    field: str | None = None,
    streaming: bool = False,
) -> Corpus:
    """Several paths, patterns or names, read one after the other: what the command line passes.

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
    how = _reading(encoding, errors, field, streaming)
    return _chain([_open(source, how) for source in sources])


def _reading(encoding: str, errors: str, field: str | None, streaming: bool, spool: bool = False) -> _Reading:
    check_encoding(encoding)
    if not isinstance(field, str | None):
        raise TextTypeError(
            f'field= must be a str, the name of a field such as "text" or its number "1"; got {field!r}'
        )
    if field is not None and not field.strip():
        raise UsageError("--field (field=) is empty. Give the name of the field that holds the text.")
    return _Reading(encoding, check_errors(errors), field, streaming, spool)


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


def _open(source: Any, how: _Reading) -> Corpus:
    if isinstance(source, Corpus):
        return source
    if isinstance(source, str):
        corpus = _open_name(source, how)
    elif isinstance(source, os.PathLike):
        path = Path(source)
        if not os.path.exists(path):
            raise UsageError(f"{path}: there is no such file or directory. Check the path.")
        corpus = _open_path(path, how)
    else:
        corpus = _open_lines(source, how)
    if how.streaming and not isinstance(corpus._source, SpooledLines):
        corpus.ledger.notes.append(f"--streaming is for data sets of the hub (hf:NAME); {corpus.name} is none.")
    return corpus


def _open_name(source: str, how: _Reading) -> Corpus:
    if source == "-":
        spooled = SpooledBytes(standard_input, "stdin", how.encoding, how.errors)
        return Corpus(spooled, name="stdin", notes=_no_fields("stdin", how))
    if source and os.path.exists(source):
        return _open_path(Path(source), how)
    names = {entry.name: entry for entry in catalog()}
    name, colon, part = source.partition(":")
    if name in names:
        corpus = _open_entry(names[name])
        corpus.ledger.notes += _no_fields(name, how)
        return corpus.split(part) if colon else corpus
    if source.startswith("hf:"):
        from textdl.corpus.hub import open_hub

        hub = open_hub(source, how.errors, how.field, how.streaming)
        return Corpus(hub.source, name=hub.name, notes=hub.notes)
    if "\n" not in source and "\0" not in source and (glob.has_magic(source) and len(source) <= 4096):
        files = sorted(Path(found) for found in glob.glob(source, recursive=True) if os.path.isfile(found))
        if files:
            return _open_files(files, Path(source).name, how)
    if "\n" in source or len(source) > 255:
        raise UsageError(
            f"a str is a path or a catalog name, and {source[:40]!r}... looks like text. "
            "Pass [text] for one line, or text.split('\\n') for many."
        )
    if glob.has_magic(source):
        raise UsageError(
            f"no file matches the pattern {source!r}. Check it (** goes into folders, [*] is a star itself); "
            "for text itself pass a list of lines."
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
    source = Files([(text.path, entry.name)], "utf-8", "strict", tables=False, kept=text)
    return Corpus(source, name=entry.name, unit=entry.unit, notes=notes)


def _open_path(path: Path, how: _Reading) -> Corpus:
    name = path.name or path.resolve().name
    if path.is_dir():
        if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
            raise UsageError(f"{path} is a data set that the datasets library has saved. Write hf:{path}")
        files = []
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            files += [Path(folder, n) for n in sorted(names) if not n.startswith(".")]
        files = [file for file in files if file.is_file()]
        if not files:
            raise UsageError(f"{path} is a directory without files. Give one that holds text files.")
        return _open_files(files, name, how)
    if not path.is_file():  # a pipe: it can be read only once
        spooled = SpooledBytes(lambda: path.open("rb"), str(path), how.encoding, how.errors)
        return Corpus(spooled, name=name, notes=_no_fields(name, how))
    return _open_files([path], name, how)


def _open_files(files: list[Path], name: str, how: _Reading) -> Corpus:
    source = Files([(file, str(file)) for file in files], how.encoding, how.errors, how.field)
    plain = [file for file, form in zip(files, source.forms, strict=True) if form is None]
    markup = [file for file in plain if _MARKUP & {suffix.lower() for suffix in file.suffixes}]
    notes = []
    if markup:
        others = f" and {len(markup) - 1:,} others" if len(markup) > 1 else ""
        notes.append(
            f"{markup[0].name}{others} read as plain text, every line as it stands. "
            "Take the text out first if that is not meant; a .json file that holds a record a line is read as "
            "records when its name ends in .jsonl."
        )
    if not any(source.forms):
        notes += _no_fields(name, how)
    elif plain:
        notes.append(
            f"{name} holds {quantity(len(files) - len(plain), 'table')} and {quantity(len(plain), 'file')} read as plain text, "
            f"such as {plain[0].name}. If that is not meant, name the files, or use a pattern such as '{name}/*.jsonl'."
        )
    return Corpus(source, name=name, notes=notes)


def _no_fields(name: str, how: _Reading) -> list[str]:
    return [] if how.field is None else [f"--field {how.field} is for tables; {name} is plain text, read as it stands."]


def _open_lines(source: Any, how: _Reading) -> Corpus:
    if isinstance(source, (bytes, bytearray, memoryview)):
        raise TextTypeError('bytes are not text yet: decode them, as in data.decode("utf-8").split("\\n")')
    if not isinstance(source, Iterable):
        raise TextTypeError(f"a corpus is a path, a catalog name or lines of str; got {type(source).__name__}")
    if _only_once(source):
        if how.spool:
            return Corpus(SpooledLines(Lines(source, how.errors)), name="lines")
        raise TextTypeError(
            f"a {type(source).__name__} can be read only once, and a corpus is read several times. Pass list(lines), "
            "spool=True to copy the lines to a temporary file first, or the path of the file itself."
        )
    if isinstance(source, (Set, Mapping)):
        raise TextTypeError(
            f"a {type(source).__name__} is not a sequence of lines. Pass a list, such as sorted(lines)."
        )
    notes = []
    if isinstance(source, (list, tuple)):
        if source and all(isinstance(item, os.PathLike) for item in source):
            return _chain([_open(item, how) for item in source])
        for number, item in enumerate(source, 1):
            if not isinstance(item, str):
                raise not_a_line(number, item)
        if 0 < len(source) <= 20 and all(item and len(item) < 256 and os.path.exists(item) for item in source):
            notes.append(
                "A list of str is lines, and every line here is the name of a file that exists. "
                "For the files pass Path objects, or use open_corpora."
            )
    lines = Lines(source, how.errors)
    return Corpus(SpooledLines(lines) if how.spool else lines, name="lines", notes=notes)


def _only_once(source: Iterable[Any]) -> bool:
    """Whether an iterable gives the same iterator each time: an iterator, or an object around one."""
    if isinstance(source, (Iterator, list, tuple, Set, Mapping)):
        return isinstance(source, Iterator)
    first, second = iter(source), iter(source)
    if first is second:
        return True
    for iterator in (first, second):
        if hasattr(iterator, "close"):
            iterator.close()
    return False
