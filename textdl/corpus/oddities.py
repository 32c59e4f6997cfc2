"""Characters that clean text seldom has, and signs that text was decoded wrongly somewhere on its way."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

KINDS = {
    "replacement": "U+FFFD stands where bytes could not be decoded, here or before",
    "NUL": "U+0000 is hardly ever text",
    "control": "control characters other than tabs",
    "C1 control": "U+0080 to U+009F, mostly cp1252 that was read as Latin-1",
    "unassigned": "no character in this Python's Unicode",
    "private use": "means something in one font only",
    "zero width": "cannot be seen, and makes equal words differ",
    "direction": "marks that turn the direction of writing; cannot be seen",
    "line separator": "ends a line elsewhere, not here",
    "format": "other invisible characters",
    "radical": "looks like a Chinese character and is none, as from PDF files",
    "lone mark": "a combining mark that begins a line has nothing to combine with",
    "misread": "text in one encoding was read as another",
}
"""Kind of oddity to what is odd about it, the gravest first."""

_ZERO_WIDTH = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u2060\u3164\ufeff\uffa0")
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SEPARATORS = frozenset("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
_CATEGORIES = {"Cc": "control", "Cn": "unassigned", "Co": "private use", "Cf": "format"}


def kind_of(character: str) -> str | None:
    """What is odd about a character by itself, or None."""
    if character in "\t\n":
        return None
    if character == "\0":
        return "NUL"
    if character == "\ufffd":
        return "replacement"
    if character in _ZERO_WIDTH:
        return "zero width"
    if character in _DIRECTION:
        return "direction"
    if character in _SEPARATORS:
        return "line separator"
    if "\x80" <= character <= "\x9f":
        return "C1 control"
    if 0x2E80 <= ord(character) <= 0x2FDF and unicodedata.category(character) != "Cn":
        return "radical"
    return _CATEGORIES.get(unicodedata.category(character))


def code_points(text: str) -> str:
    """`U+0041 U+0301`."""
    return " ".join(f"U+{ord(character):04X}" for character in text)


def name_of(character: str) -> str:
    """Unicode's name; nothing for the many that have none."""
    return unicodedata.name(character, "")


@dataclass(frozen=True)
class Misreading:
    """What one wrong decoding looks like."""

    what: str
    guard: str
    """Characters, one of which is in every match."""
    pattern: re.Pattern[str]


def _gbk(second: int) -> str:
    """What the last byte of a misread mark makes together with the lead byte of the Chinese character behind it."""
    return "".join(bytes([second, lead]).decode("gbk") for lead in range(0xE3, 0xEA))


_BEHIND_COMMA, _BEHIND_STOP = _gbk(0x8C), _gbk(0x82)  # ，is EF BC 8C, 。is E3 80 82
_REST = "\u0080-\u00bf" + "".join(bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0))
MISREADINGS = (
    Misreading("U+FFFD in UTF-8, read as GBK", "锟", re.compile("锟斤拷|锟斤|锟絓")),
    Misreading("memory filled with 0xCC, read as GBK", "烫", re.compile("烫烫烫+")),
    Misreading("memory filled with 0xCD, read as GBK", "屯", re.compile("屯屯屯+")),
    Misreading("Chinese in UTF-8, read as GBK", "锛銆", re.compile(f"锛[{_BEHIND_COMMA}]|銆[{_BEHIND_STOP}]")),
    Misreading("a byte-order mark in UTF-8, read as cp1252", "ï", re.compile("ï»¿")),
    Misreading("UTF-8, read as cp1252 or Latin-1", "ÃÂâ", re.compile(f"[ÃÂ][{_REST}]|â[\u0080€][{_REST}]")),
    Misreading(
        "Chinese in UTF-8, read as cp1252 or Latin-1",
        "äåæçèéïã",
        re.compile(f"(?:[ä-éïã][{_REST}]{{2}}){{2,}}"),
    ),
)
