"""User dictionaries of jieba: `word [frequency] [tag]` a line.

Read as jieba reads them, with and without a byte-order mark, with any line ends, blank lines skipped. More
kindly in one respect: any white space separates the fields, where jieba takes a tab, a second space or U+3000
for a part of the word. More strictly in another: a frequency that is no whole number, a tag that is not
of lower-case letters, or a word of more than 1,000 characters is an error with its line, where jieba takes the whole
line for one long word.

A word may hold spaces (`Edu Trust认证 2000`), but jieba never finds it: it cuts at white space.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from textdl.errors import CorpusError

_TAG = re.compile(r"[a-z]+")
_FREQUENCY = re.compile(r"[0-9]{1,100}")  # of more digits than a few thousand Python makes no number
_LIKE_A_NUMBER = re.compile(r"[-+]?\d[\d.,_]*(?:[eE][-+]?\d+)?%?")
LARGEST = 1 << 50
"""A frequency above it is no count of anything, and would not be exact in floating point."""
_LONGEST = 1000
"""Characters of a word: more is a dictionary without line ends, over which jieba's search takes the square of its length."""


@dataclass(frozen=True)
class Entry:
    """One line."""

    line: int
    """Its number, from 1."""
    word: str
    frequency: int | None = None
    """None: jieba finds one that makes the word come out whole, or tries to."""
    tag: str = ""
    """A part of speech; the tokenizer makes no use of it."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.word, "" if self.frequency is None else str(self.frequency), self.tag)))


def parse(data: bytes, name: str) -> list[Entry]:
    """The entries of a user dictionary; name: for messages.

    Raises:
        CorpusError: it is not UTF-8, or a line is not of that form; the message has the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(data, name, error) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [_entry(number, line, name) for number, line in enumerate(lines, 1) if line and not line.isspace()]


def _entry(number: int, line: str, name: str) -> Entry:
    fields = line.split()
    tag = fields.pop() if len(fields) > 1 and _TAG.fullmatch(fields[-1]) else ""
    frequency = int(fields.pop()) if len(fields) > 1 and _FREQUENCY.fullmatch(fields[-1]) else None
    if (frequency is None and any(map(_LIKE_A_NUMBER.fullmatch, fields[1:]))) or (frequency or 0) > LARGEST:
        raise CorpusError(
            f"user dictionary {name}, line {number:,}: expected `word [frequency] [tag]`, the frequency a whole number "
            f"up to {LARGEST:,} in the digits 0-9, the tag of letters a-z; got {line.strip()[:80]!r}"
        )
    word = " ".join(fields)
    if len(word) > _LONGEST:
        raise CorpusError(
            f"user dictionary {name}, line {number:,}: expected a word of at most {_LONGEST:,} characters, got one of "
            f"{len(word):,}, {word[:20]!r}... Put each entry on a line of its own, or leave that line out."
        )
    return Entry(number, word, frequency, tag)


def _not_utf8(data: bytes, name: str, error: UnicodeDecodeError) -> CorpusError:
    number = data.count(b"\n", 0, error.start) + 1
    beyond = [c for c in data.decode("utf-8", "replace") if c > "\x7f"]
    encoding = ""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "UTF-16"
    elif 2 * beyond.count("\ufffd") > len(beyond):  # else it is UTF-8 but for a few bytes
        try:
            data.decode("gb18030")
            encoding = "GB18030"
        except UnicodeDecodeError:
            pass
    where = f"user dictionary {name}, line {number:,}: expected UTF-8, but"
    if encoding:
        source, target = shlex.quote(name), shlex.quote(f"utf8-{name}")
        return CorpusError(
            f"{where} it looks like {encoding}. Convert it with `iconv -f {encoding} -t UTF-8 {source} > {target}`, "
            "or save it as UTF-8 in an editor."
        )
    return CorpusError(
        f"{where} there is the byte {data[error.start]:#04x}. Mend that line, or, if others are in another encoding too, "
        "save the dictionary as UTF-8 in an editor."
    )


def written(entries: Iterable[Entry]) -> bytes:
    """The file that reads as these entries: UTF-8 without a mark, single spaces, line feeds."""
    return "".join(f"{entry}\n" for entry in entries).encode()
