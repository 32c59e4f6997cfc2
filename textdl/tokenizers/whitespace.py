"""White space: for text that is segmented already, and to meet KenLM.

Splits on the separators KenLM splits on (space, tab, CR, NUL, VT, FF) and on nothing else: U+3000
and U+0085 stay inside a piece. Lossless on lines whose pieces are separated by single spaces only,
so not lossless by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from textdl.tokenizers.base import BaseTokenizer

_PIECE = re.compile(r"[^ \t\r\0\v\f]+")


class WhitespaceTokenizer(BaseTokenizer):
    """`encode("我们  去 。") == ["我们", "去", "。"]`."""

    name = "whitespace"
    lossless = False

    def _segment(self, line: str) -> list[str]:
        return _PIECE.findall(line)

    def _pieces(self, line: str) -> Iterator[str]:
        return (match[0] for match in _PIECE.finditer(line))

    def decode(self, pieces: Sequence[str]) -> str:
        return " ".join(pieces)
