"""jieba: Chinese words (fxsjy/jieba 0.42.1, a unigram model over a dictionary plus an HMM).

Exactly jieba's own segmentation, computed by compiled loops over its dictionary: `import jieba` never
happens, so there are no warnings, no log lines, no shared cache file and no state that other code in the
process could change (`jieba.del_word` forces splits for every instance). White space comes out as pieces,
as jieba gives it. `jieba:user.txt` adds a user dictionary.

`mode=search` and `mode=full` are jieba's `cut_for_search` and `cut_all`: their pieces overlap, so the line
cannot be put together again, and `decode` separates them with spaces. Full mode has no HMM. jieba's
full mode also gives empty pieces around white space, which are left out here.

A line of more than 262,144 characters is cut into parts where jieba itself always cuts: behind white
space and where a run of Chinese, letters and digits begins or ends. Only such a run that is itself longer than that is
cut somewhere, for `encode` and `iterate` alike; the pieces still join to the line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from textdl.errors import UsageError
from textdl.storage import Reader, Writer
from textdl.tokenizers.base import BaseTokenizer
from textdl.tokenizers.user_dictionary import Entry, parse, written

if TYPE_CHECKING:
    from textdl.tokenizers.jieba_dictionary import Dictionary

PART = 1 << 18
"""Characters that are segmented at once, at most."""
_FILE = "user_dictionary.txt"

IN_BLOCK = r"\u4E00-\u9FD5a-zA-Z0-9+#&._%\-"
"""Of a class in a pattern: the characters that jieba looks up; all others stand alone."""
_BLOCK = re.compile(f"[{IN_BLOCK}]")
_PARTS = re.compile(rf"([{IN_BLOCK}]+)|\r\n|\s|[^{IN_BLOCK}\s]+")
_LETTER = re.compile("[a-zA-Z0-9]")


class JiebaTokenizer(BaseTokenizer):
    """Options: `hmm=no` leaves out the HMM that finds words the dictionary lacks; `mode`."""

    name = "jieba"
    OPTIONS: ClassVar = {"hmm": ("yes", "no"), "mode": ("exact", "search", "full"), **BaseTokenizer.OPTIONS}

    def __init__(self, dictionary: bytes = b"", dictionary_name: str = "user dictionary", /, **options: str) -> None:
        """dictionary: a user dictionary, `word [frequency] [tag]` a line, UTF-8.

        Raises:
            CorpusError: the dictionary is not one.
        """
        super().__init__(**options)
        self.entries: list[Entry] = parse(dictionary, dictionary_name)
        self._dictionary_name = dictionary_name
        self._hmm = self.options["hmm"] == "yes"
        self._cut = {"exact": self._exact, "search": self._search, "full": self._full}[self.options["mode"]]

    @classmethod
    def from_spec(cls, argument: str, options: dict[str, str]) -> Self:
        if not argument:
            return cls(**options)
        try:
            return cls(Path(argument).read_bytes(), Path(argument).name, **options)
        except OSError as error:
            raise UsageError(
                f"--tokenizer jieba:{argument}: cannot read the user dictionary ({error.strerror})"
            ) from error

    @classmethod
    def from_saved(cls, options: dict[str, str], reader: Reader) -> Self:
        name = f"tokenizer/{_FILE}"
        return cls(reader.bytes(name) if name in reader else b"", _FILE, **options)

    def save(self, out: Writer) -> None:
        super().save(out)
        if self.entries:
            out.bytes(f"tokenizer/{_FILE}", written(self.entries))

    def _argument(self) -> str:
        return f":{self._dictionary_name}" if self.entries else ""

    @property
    def overlapping(self) -> bool:
        return self.options["mode"] != "exact"

    @property
    def lossless(self) -> bool:
        return super().lossless and not self.overlapping

    def identity(self) -> dict[str, Any]:
        from textdl.tokenizers.jieba_dictionary import version

        plain = written(Entry(0, entry.word, entry.frequency) for entry in self.entries)
        user = hashlib.sha256(plain).hexdigest()[:12] if plain else ""
        return {**super().identity(), **version(), "user_dictionary": user}

    @cached_property
    def dictionary(self) -> Dictionary:
        """jieba's and the user's. Made when first used, in a third of a second."""
        from textdl.tokenizers.jieba_dictionary import words_of_jieba

        return words_of_jieba().with_entries(self.entries) if self.entries else words_of_jieba()

    def _segment(self, line: str) -> list[str]:
        return self._cut(line) if len(line) <= PART else list(self._pieces(line))

    def _pieces(self, line: str) -> Iterator[str]:
        for part in parts(line, PART):
            yield from self._cut(part)

    def _exact(self, line: str) -> list[str]:
        return self.dictionary.cut(line, hmm=self._hmm)

    def _search(self, line: str) -> list[str]:
        return self.dictionary.cut_for_search(line, hmm=self._hmm)

    def _full(self, line: str) -> list[str]:
        pieces: list[str] = []
        for match in _PARTS.finditer(line):
            pieces += self._all_words(match[0]) if match[1] else (match[0],)
        return pieces

    def _all_words(self, block: str) -> Iterator[str]:
        """All words in a block, as jieba's `cut_all` gives them: letters that are no words are collected."""
        collected = ""
        covered = 0  # where the longest word so far ended
        for start, ends in enumerate(self.dictionary.words_from(block)):
            if collected and not _LETTER.match(block, start):
                yield collected
                collected = ""
            if len(ends) == 1 and start >= covered:
                word = block[start : ends[0]]
                if _LETTER.match(word):
                    collected += word
                else:
                    yield word
                covered = ends[0]
            else:
                for end in ends:
                    if end > start + 1:
                        yield block[start:end]
                        covered = end
        if collected:
            yield collected

    def decode(self, pieces: Sequence[str]) -> str:
        return (" " if self.overlapping else "").join(pieces)


def parts(line: str, limit: int) -> Iterator[str]:
    """A line in parts of at most `limit` characters, cut where it does not change jieba's result if possible."""
    start = 0
    while len(line) - start > limit:
        end = start + limit
        while end > start and not _independent(line[end - 1], line[end]):
            end -= 1
        if end == start:
            end = start + limit
        yield line[start:end]
        start = end
    yield line[start:]


def _independent(before: str, after: str) -> bool:
    """Whether jieba, in every mode, cuts the same before and after this place if it is given the sides alone."""
    if (_BLOCK.match(before) is None) != (_BLOCK.match(after) is None):
        return True
    return before.isspace() and not (before == "\r" and after == "\n")
