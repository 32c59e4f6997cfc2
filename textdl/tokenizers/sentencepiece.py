"""SentencePiece (Kudo and Richardson 2018): subword pieces learned from text.

`train` has defaults that are safe for Chinese: no normalisation (the library's own NFKC turns ，into
a comma for good), byte fallback (no character is ever unknown), a soft vocabulary limit, long lines
cut instead of skipped. A model is its own vocabulary: `inventory` lists its pieces in id order.

Pieces here are text: the library's U+2581 is a space again. A literal U+2581, which the library
would lose, is written with a private-use escape before encoding and restored after decoding.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from textdl.errors import CorpusError, ModelError, UsageError
from textdl.storage import Reader, Writer
from textdl.tokenizers.base import BaseTokenizer

_SPACE = "\u2581"
_ESCAPE = "\uf8fe"  # private use: written before "a" for itself and before "b" for U+2581
_PROBES = ("  a  b ", "，！Ａ１㈱", "\ta\u3000b", "e\u0301\u2581\uf8fe", "<s> <unk> <0x41>", "嗨🙂\u200d")
_LONGEST = 4000  # characters: a longer line is cut for training, where the library would skip it
_THREADS = 2  # unigram training gives another vocabulary for another number of threads


class SentencePieceTokenizer(BaseTokenizer):
    """A trained model. Lossless where the model does not normalise; probed, not believed."""

    name = "sp"

    def __init__(self, model: bytes, model_name: str = "sentencepiece.model", **options: str) -> None:
        super().__init__(**options)
        self._model, self._model_name = model, model_name
        self._processor = _import_sentencepiece().SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except (RuntimeError, OSError) as error:
            raise ModelError(f"{model_name}: not a SentencePiece model, or one that is cut short") from error
        size = self._processor.get_piece_size()
        self._bytes = {
            self._processor.id_to_piece(i): int(self._processor.id_to_piece(i)[3:5], 16)
            for i in range(size)
            if self._processor.is_byte(i)
        }
        special = (self._processor.is_control, self._processor.is_unknown, self._processor.is_unused)
        self.inventory = [
            self._processor.id_to_piece(i).replace(_SPACE, " ")
            for i in range(size)
            if not any(is_(i) for is_ in special)
        ]

    @classmethod
    def from_spec(cls, argument: str, options: dict[str, str]) -> Self:
        if not argument:
            raise UsageError("--tokenizer sp: name a model, as in sp:zh.model; `textdl tokenizer train` makes one")
        try:
            return cls(Path(argument).read_bytes(), Path(argument).name, **options)
        except OSError as error:
            raise UsageError(f"--tokenizer sp:{argument}: cannot read it ({error.strerror})") from error

    @classmethod
    def from_saved(cls, options: dict[str, str], reader: Reader) -> Self:
        return cls(reader.bytes("tokenizer/sentencepiece.model"), **options)

    def save(self, out: Writer) -> None:
        super().save(out)
        out.bytes("tokenizer/sentencepiece.model", self._model)

    def write(self, path: Path) -> None:
        """The model as a file that `--tokenizer sp:FILE` and SentencePiece itself read."""
        path.write_bytes(self._model)

    def _argument(self) -> str:
        return f":{self._model_name}"

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "model": hashlib.sha256(self._model).hexdigest()[:12]}

    @cached_property
    def lossless(self) -> bool:
        return super().lossless and all(self.decode(self.encode(probe)) == probe for probe in _PROBES)

    def _segment(self, line: str) -> list[str]:
        pieces: list[str] = self._processor.encode(_protect(line), out_type=str)
        return [piece.replace(_SPACE, " ") for piece in pieces]

    def decode(self, pieces: Sequence[str]) -> str:
        if not self._bytes:
            return _restore("".join(pieces))
        data = bytearray()
        for piece in pieces:
            value = self._bytes.get(piece)
            data += piece.encode("utf-8", "surrogatepass") if value is None else bytes((value,))
        return _restore(data.decode("utf-8", "replace"))


def train(
    lines: Iterable[str],
    *,
    vocab_size: int = 8000,
    model: str = "unigram",
    coverage: float = 0.9995,
    sample: int = 2_000_000,
    seed: int = 1,
) -> tuple[SentencePieceTokenizer, list[str]]:
    """Learn pieces from lines.

    Args:
        vocab_size: pieces to learn, the 256 bytes included; fewer where the text supports fewer.
        model: `unigram` (Kudo 2018) or `bpe` (Sennrich et al. 2016).
        coverage: share of characters to have as pieces; the rest is spelled in bytes.
        sample: lines at most that the learner sees, drawn with the seed.

    Returns:
        The tokenizer, and notes for the user (a smaller vocabulary, cut lines).
    """
    if model not in ("unigram", "bpe"):
        raise UsageError(f"--model must be unigram or bpe, got {model!r}")
    sentencepiece = _import_sentencepiece()
    notes: list[str] = []
    cut = _Cutter(lines)

    def learn(size: int) -> bytes:
        out = io.BytesIO()
        sentencepiece.set_random_generator_seed(seed)
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(cut), model_writer=out, model_type=model, vocab_size=size,
            character_coverage=coverage, normalization_rule_name="identity", remove_extra_whitespaces=False,
            add_dummy_prefix=False, byte_fallback=True, hard_vocab_limit=model != "unigram",
            max_sentence_length=8 * _LONGEST, input_sentence_size=sample, shuffle_input_sentence=True,
            num_threads=_THREADS, minloglevel=2,
        )  # fmt: skip
        return out.getvalue()

    try:
        try:
            trained = learn(vocab_size)
        except RuntimeError as error:
            limit = re.search(r"value <= (\d+)", str(error))
            if limit is None:
                raise
            trained = learn(int(limit[1]))
    except RuntimeError as error:
        too_small = re.search(r"smaller than required_chars\D*\d+ vs (\d+)", str(error))
        if too_small:
            raise UsageError(
                f"--vocab-size {vocab_size} is too small: the characters and the 256 bytes alone need {too_small[1]}"
            ) from error
        raise CorpusError(f"SentencePiece could not learn from this text: {error}") from error
    made = SentencePieceTokenizer(trained)
    assert made.inventory is not None
    if len(made.inventory) < vocab_size - 3:
        notes.append(f"asked for {vocab_size:,} pieces; the text supports {len(made.inventory):,}, which are used")
    if cut.lines_cut:
        notes.append(f"{cut.lines_cut:,} lines over {_LONGEST:,} characters were cut into parts for learning pieces")
    return made, notes


class _Cutter:
    """Lines as the learner takes them: protected, never empty, never too long."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.lines_cut = 0

    def __iter__(self) -> Iterator[str]:
        self.lines_cut = 0
        seen = False
        for line in self._lines:
            self.lines_cut += len(line) > _LONGEST
            for start in range(0, len(line), _LONGEST):
                seen = True
                yield _protect(line[start : start + _LONGEST]).replace("\0", " ")  # the learner ends a line at NUL
        if not seen:
            raise CorpusError("no text to learn pieces from: every line is empty")


def _protect(line: str) -> str:
    if _SPACE in line or _ESCAPE in line:
        return line.replace(_ESCAPE, _ESCAPE + "a").replace(_SPACE, _ESCAPE + "b")
    return line


def _restore(text: str) -> str:
    text = text.replace(_SPACE, " ")  # where space is not a piece, it was spelled in bytes
    if _ESCAPE in text:
        return re.sub(_ESCAPE + "([ab])", lambda m: _ESCAPE if m[1] == "a" else _SPACE, text)
    return text


def _import_sentencepiece() -> Any:
    with warnings.catch_warnings():  # SWIG types without a module, on Python 3.12
        warnings.simplefilter("ignore")
        import sentencepiece
    return sentencepiece
