"""What learning and encoding with SentencePiece share: its marks, long lines, the fields of a model file."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

SPACE = "\u2581"
ESCAPES = "\uf8fe\uf8fd\uf8fc"
"""Private use: the first is written before the second for itself, and before the third for U+2581."""
LONGEST = 4000
"""Characters: a longer line is cut into parts, for learning and for encoding."""
_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_BEFORE_SPACE = re.compile("(?<=[^ ])(?= )")
_AFTER_STOP = re.compile("(?<=[。！？；，、：…])(?![。！？；，、：…”’』」）】》〉])")


def cut(line: str, longest: int, whole: Collection[str] = ()) -> Iterator[str]:
    """A line in parts of at most `longest` characters.

    It is cut before a space that follows another character, else after Chinese punctuation, else anywhere
    but before a combining mark; never inside one of the strings `whole`, where that can be helped.
    """
    start = 0
    while len(line) - start > longest:
        end = _place(line, start, start + longest, whole)
        yield line[start:end]
        start = end
    yield line[start:]


def _place(line: str, start: int, high: int, whole: Collection[str]) -> int:
    """The last good place to cut: a natural one in the second half, else any."""
    low = max(start + 1, (start + high) // 2)
    for natural in (_BEFORE_SPACE, _AFTER_STOP):
        for match in reversed([*natural.finditer(line, low, high + 1)]):
            if match.start() <= high and not _straddled(line, match.start(), whole):
                return match.start()
    for place in range(high, start, -1):
        joined = unicodedata.category(line[place])[0] == "M" or "\u200d" in line[place - 1 : place + 1]
        between = line[place - 1].isspace() and not line[place].isspace()  # models that trim white space would lose it
        if not joined and not between and not _straddled(line, place, whole):
            return place
    return high


def _straddled(line: str, place: int, whole: Collection[str]) -> bool:
    """Whether one of the strings stands before and after the place."""
    return any(line.find(text, max(0, place - len(text) + 1), place + len(text) - 1) >= 0 for text in whole)


def protect(text: str) -> str:
    """The text as the library is given it: the escape for U+2581 instead of it."""
    if SPACE in text or ESCAPES[0] in text:
        return text.replace(ESCAPES[0], ESCAPES[:2]).replace(SPACE, ESCAPES[0] + ESCAPES[2])
    return text


def restore(text: str) -> str:
    """Undo `protect`."""
    if ESCAPES[0] in text:
        return re.sub(f"{ESCAPES[0]}([{ESCAPES[1:]}])", lambda m: ESCAPES[0] if m[1] == ESCAPES[1] else SPACE, text)
    return text


@dataclass(frozen=True)
class About:
    """What the library's Python interface does not tell of a model."""

    kind: str = "unigram"
    symbols: tuple[str, ...] = ()
    """User-defined: always whole."""
    rules: bool = False
    """It has rules of normalisation."""
    dummy_prefix: bool = True
    """A space is put before every line ..."""
    dummy_suffix: bool = False
    """... or after it."""
    trims: bool = True
    """White space at the ends is dropped, and within made single."""


def describe(model: bytes) -> About:
    """Read from the serialized ModelProto (sentencepiece_model.proto of the library names the fields)."""
    kind, suffix, dummy, trims, rules = 1, False, True, True, False
    symbols = []
    for field, value in _fields(model):
        if field == 1 and isinstance(value, bytes) and value.endswith(b"\x18\x04"):  # a piece, of the type USER_DEFINED
            symbols += [part.decode() for number, part in _fields(value) if number == 1 and isinstance(part, bytes)]
        elif field == 2 and isinstance(value, bytes):  # how it was trained
            trainer = dict(_fields(value))
            kind, suffix = int(trainer.get(3, kind)), bool(trainer.get(24, suffix))
        elif field == 3 and isinstance(value, bytes):  # its normalizer
            normalizer = dict(_fields(value))
            rules = bool(normalizer.get(2, rules))
            dummy, trims = bool(normalizer.get(3, dummy)), bool(normalizer.get(4, trims))
    return About(
        _KINDS.get(kind, str(kind)),
        tuple(restore(symbol.replace(SPACE, " ")) for symbol in symbols),
        rules,
        dummy and not suffix,
        dummy and suffix,
        trims,
    )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of the fields of a protocol buffer that the library has read, so is well-formed."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        wire = tag & 7
        if wire == 0:
            yield tag >> 3, varint()
        else:
            length = varint() if wire == 2 else 8 if wire == 1 else 4
            yield tag >> 3, message[at : at + length]
            at += length


def import_sentencepiece() -> Any:
    """The library. It is imported here only."""
    with warnings.catch_warnings():  # SWIG types without a module, on Python 3.12
        warnings.simplefilter("ignore")
        import sentencepiece
    return sentencepiece
