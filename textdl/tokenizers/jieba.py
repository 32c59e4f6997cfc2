"""jieba: Chinese words (fxsjy/jieba 0.42.1, a unigram model over a dictionary plus an HMM). Lossless.

Exactly jieba's own segmentation, from an instance of our own: no shared global state, no messages,
and its dictionary cache in the user's cache directory instead of a predictable temporary file. White
space comes out as pieces, as jieba gives it. `jieba:user.txt` adds a user dictionary.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tempfile
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from textdl.errors import CorpusError, UsageError
from textdl.storage import Reader, Writer, cache_directory
from textdl.tokenizers.base import BaseTokenizer


class JiebaTokenizer(BaseTokenizer):
    """Options: `hmm=no` leaves out the HMM that finds words the dictionary lacks."""

    name = "jieba"
    OPTIONS: ClassVar = {"hmm": ("yes", "no"), **BaseTokenizer.OPTIONS}

    def __init__(self, dictionary: bytes = b"", dictionary_name: str = "", **options: str) -> None:
        """dictionary: a user dictionary, `word [frequency] [tag]` a line, UTF-8."""
        super().__init__(**options)
        self._dictionary, self._dictionary_name = dictionary, dictionary_name
        self._hmm = self.options["hmm"] == "yes"

    @classmethod
    def from_spec(cls, argument: str, options: dict[str, str]) -> Self:
        if not argument:
            return cls(b"", **options)
        try:
            return cls(Path(argument).read_bytes(), Path(argument).name, **options)
        except OSError as error:
            raise UsageError(
                f"--tokenizer jieba:{argument}: cannot read the user dictionary ({error.strerror})"
            ) from error

    @classmethod
    def from_saved(cls, options: dict[str, str], reader: Reader) -> Self:
        name = "tokenizer/user_dictionary.txt"
        return cls(reader.bytes(name) if name in reader else b"", "user_dictionary.txt", **options)

    def save(self, out: Writer) -> None:
        super().save(out)
        if self._dictionary:
            out.bytes("tokenizer/user_dictionary.txt", self._dictionary)

    def _argument(self) -> str:
        return f":{self._dictionary_name}" if self._dictionary else ""

    def identity(self) -> dict[str, Any]:
        jieba = _import_jieba()
        with jieba.Tokenizer().get_dict_file() as file:
            words = hashlib.sha256(file.read()).hexdigest()[:12]
        user = hashlib.sha256(self._dictionary).hexdigest()[:12] if self._dictionary else ""
        return {**super().identity(), "jieba": jieba.__version__, "dictionary": words, "user_dictionary": user}

    @cached_property
    def _jieba(self) -> Any:
        """The instance; reading the dictionary takes a second the first time and a third of it later."""
        instance = _import_jieba().Tokenizer()
        try:
            directory = cache_directory("jieba")
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                instance.tmp_dir = str(directory)
        except (OSError, RuntimeError):
            instance.tmp_dir = tempfile.mkdtemp(prefix="textdl-jieba-")
        instance.initialize()
        if self._dictionary:
            try:
                instance.load_userdict(io.BytesIO(self._dictionary))
            except ValueError as error:
                raise CorpusError(
                    f"user dictionary {self._dictionary_name}: not one that jieba reads. Expected UTF-8, `word [frequency] [tag]` a line."
                ) from error
        return instance

    def _segment(self, line: str) -> list[str]:
        return list(self._jieba.cut(line, HMM=self._hmm))

    def decode(self, pieces: Sequence[str]) -> str:
        return "".join(pieces)


def _import_jieba() -> Any:
    with warnings.catch_warnings():  # invalid escapes in its source, and pkg_resources
        warnings.simplefilter("ignore")
        import jieba
    jieba.setLogLevel(logging.WARNING)
    return jieba
