"""Words of any script that separates them, by rule; CJK runs become characters. Lossless.

A piece is a run of letters, digits and marks (an apostrophe between letters and a point or comma
between digits belong to it), a single CJK character, a single other character, or white space.

Between two pieces a rule says what to expect: nothing next to a CJK character, else one space. Only
what differs from that is written down: a missing space as the joiner U+FFED on the punctuation, any
other white space as a piece of its own. So `decode` restores every line exactly:

    "Hello, world"  ->  Hello  ￭,  world
    "(don't)"       ->  (￭  don't  ￭)
    "用 Python写"    ->  用  " "  Python  写

`digits=each` makes every decimal digit a piece, for models that should see numbers of any length (B2B 3.14 becomes
B  ￭2￭  B  3  ￭.￭  1  ￭4). `digits=zero` writes every digit as 0, for a small vocabulary: that loses what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import regex

from textdl.tokenizers.base import BaseTokenizer

JOINER = "\uffed"

_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}"
_FULL_WIDTH = r"[[\u3000-\u303f\uff00-\uffef]--[\p{L}\p{N}]]"  # full-width punctuation


def _pattern(letter: str, digit: str) -> Any:
    """letter: the characters of words; digit: those that stand alone. A match of WIDE may be a whole run."""
    return regex.compile(
        rf"(\s+)"
        rf"|({JOINER}|([[{_CJK}{_FULL_WIDTH}]--[\s\p{{M}}{JOINER}]]{{1,4096}})\p{{M}}*|[{_CJK}{_FULL_WIDTH}]\p{{M}}*)"
        rf"|({letter}+(?:(?:['’](?=\p{{L}})|(?<=\p{{Nd}})[.,](?=\p{{Nd}})){letter}+)*)"
        rf"|({digit})"
        rf"|(.)",
        regex.V1 | regex.DOTALL,
    )


_WHITE, _WIDE, _RUN, _WORD, _DIGIT, _OTHER = range(1, 7)  # the groups
_OPEN = (_WHITE, _WIDE)
"""Kinds after which nothing is expected before the next piece."""
_PIECE = _pattern(rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{_CJK}]]", r"\p{Nd}")
_PIECE_OR_DIGIT = _pattern(rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{_CJK}]--[\p{{Nd}}]]", r"\p{Nd}")
_ANY_DIGIT = regex.compile(r"\p{Nd}")


class WordTokenizer(BaseTokenizer):
    """Options: `digits`, `lower` and `normalize`; see the module."""

    name = "word"
    OPTIONS: ClassVar = {"digits": ("keep", "each", "zero"), **BaseTokenizer.OPTIONS}

    def __init__(self, /, **options: str) -> None:
        super().__init__(**options)
        self._find = (_PIECE_OR_DIGIT if self.options["digits"] == "each" else _PIECE).finditer

    @property
    def lossless(self) -> bool:
        return super().lossless and self.options["digits"] != "zero"

    def normalized(self, line: str) -> str:
        line = super().normalized(line)
        return _ANY_DIGIT.sub("0", line) if self.options["digits"] == "zero" else line

    def _segment(self, line: str) -> list[str]:
        return list(self._pieces(line))

    def _pieces(self, line: str) -> Iterator[str]:
        held = ""  # the last piece: what follows may put a joiner on it
        left, gap = _WHITE, ""  # a line begins as if after white space: nothing is expected
        for match in self._find(line):
            right, piece = match.lastindex, match[0]
            if right == _WHITE:
                gap = piece
                continue
            if right == _WIDE or left in _OPEN:  # nothing is expected between them
                if held:
                    yield held
                if gap:
                    yield gap
                    gap = ""
                if right == _WIDE and len(piece) > 1 and (run := match[_RUN]):
                    yield from run[:-1]
                    piece = piece[len(run) - 1 :]
            elif gap == " ":
                yield held
                gap = ""
            elif gap:
                yield held
                yield gap
                gap = ""
            elif (right == _WORD and left != _WORD) or (right == _DIGIT and left == _OTHER):
                yield held + JOINER  # it goes on punctuation if there is some, else on a digit
            else:
                yield held
                piece = JOINER + piece
            held, left = piece, right
        if held:
            yield held
        if gap:
            yield gap

    def decode(self, pieces: Sequence[str]) -> str:
        parts: list[str] = []
        left, joined = _WHITE, False
        for piece in pieces:
            right, text, before, after = _parse(piece)
            if not (joined or before or left in _OPEN or right in _OPEN):
                parts.append(" ")
            parts.append(text)
            left, joined = right, after
        return "".join(parts)


@lru_cache(maxsize=1 << 16)
def _parse(piece: str) -> tuple[int, str, bool, bool]:
    """Kind, text, joined to what is before, joined to what is after."""
    before = len(piece) > 1 and piece[0] == JOINER
    text = piece[1:] if before else piece
    after = len(text) > 1 and text[-1] == JOINER
    text = text[:-1] if after else text
    match = _PIECE.match(text)
    return (match.lastindex if match else _OTHER), text, before, after
