"""Words of any script that separates them, by rule; CJK runs become characters. Lossless.

A piece is a run of letters, digits and marks (an apostrophe between letters and a point or comma
between digits belong to it), a single CJK character, a single other character, or white space.

Between two pieces a rule says what to expect: nothing next to a CJK character, else one space. Only
what differs from that is written down: a missing space as the joiner U+FFED on the punctuation, any
other white space as a piece of its own. So `decode` restores every line exactly:

    "Hello, world"  ->  Hello  ￭,  world
    "(don't)"       ->  (￭  don't  ￭)
    "用 Python写"    ->  用  " "  Python  写
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import regex

from textdl.tokenizers.base import BaseTokenizer

JOINER = "\uffed"

_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}"
_WIDE = r"[[\u3000-\u303f\uff00-\uffef]--[\p{L}\p{N}]]"  # full-width punctuation
_LETTER = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{_CJK}]]"
_PIECE = regex.compile(
    rf"(?P<white>\s+)"
    rf"|(?P<wide>{JOINER}|(?:[{_CJK}]|{_WIDE})[\p{{M}}\ufe00-\ufe0f]*)"
    rf"|(?P<word>{_LETTER}+(?:(?:['’](?=\p{{L}})|(?<=\p{{Nd}})[.,](?=\p{{Nd}})){_LETTER}+)*)"
    rf"|(?P<other>.)",
    regex.V1 | regex.DOTALL,
)


class WordTokenizer(BaseTokenizer):
    """See the module."""

    name = "word"

    def _segment(self, line: str) -> list[str]:
        pieces: list[str] = []
        left, gap = "white", ""  # a line begins as if after white space: nothing is expected
        for match in _PIECE.finditer(line):
            right, piece = match.lastgroup, match[0]
            if right == "white":
                gap = piece
                continue
            expected = "" if left in ("white", "wide") or right == "wide" else " "
            if gap and gap != expected:
                pieces.append(gap)
            elif gap != expected:
                if right == "word" and left == "other":
                    pieces[-1] += JOINER
                else:
                    piece = JOINER + piece
            pieces.append(piece)
            left, gap = right, ""
        if gap:
            pieces.append(gap)
        return pieces

    def decode(self, pieces: Sequence[str]) -> str:
        parts: list[str] = []
        left, joined = "white", False
        for piece in pieces:
            right, text, before, after = _parse(piece)
            if not (joined or before or left in ("white", "wide") or right in ("white", "wide")):
                parts.append(" ")
            parts.append(text)
            left, joined = right, after
        return "".join(parts)


@lru_cache(maxsize=1 << 16)
def _parse(piece: str) -> tuple[str, str, bool, bool]:
    """Kind, text, joined to what is before, joined to what is after."""
    before = len(piece) > 1 and piece[0] == JOINER
    text = piece[1:] if before else piece
    after = len(text) > 1 and text[-1] == JOINER
    text = text[:-1] if after else text
    match = _PIECE.match(text)
    return (match.lastgroup if match else "other"), text, before, after
