"""Characters: every Unicode code point is a piece. Lossless; the smallest vocabulary there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textdl.tokenizers.base import BaseTokenizer


class CharTokenizer(BaseTokenizer):
    """`encode("我 a") == ["我", " ", "a"]`."""

    name = "char"
    single_code_points = True

    def _segment(self, line: str) -> list[str]:
        return list(line)

    def _pieces(self, line: str) -> Iterator[str]:
        return iter(line)

    def decode(self, pieces: Sequence[str]) -> str:
        return "".join(pieces)
