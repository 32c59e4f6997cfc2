"""SentencePiece (Kudo and Richardson 2018): subword pieces learned from text.

A model is its own vocabulary: `inventory` lists its pieces in id order. Any model of the library loads;
`lossless` says whether its pieces hold the line. `train` makes models that do, with defaults that are safe
for Chinese: no normalisation (the library's own NFKC turns ，into a comma for good), byte fallback (no
character is ever unknown), a vocabulary limit that gives way in both directions, long lines cut instead of
skipped, a bounded and seeded sample.

Pieces here are text: the library's U+2581 is a space again. A literal U+2581, which the library
would lose, is written with a private-use escape before encoding and restored after decoding.

The library's search takes memory in proportion to the line and sums log-probabilities in float32, so a
line over 4,000 characters is cut into parts and its pieces are those of the parts: before a space where
there is one, which changes nothing as no piece reaches over it. Else after Chinese punctuation.

Subword regularisation is `sampled`: Kudo (2018) for unigram models, BPE-dropout (Provilkov et al. 2020).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from textdl import scratch
from textdl.errors import CorpusError, ModelError, TextTypeError, UsageError
from textdl.protocols import Run
from textdl.storage import Reader, Writer, fsync
from textdl.tokenizers import sentencepiece_training as training
from textdl.tokenizers.base import BaseTokenizer
from textdl.tokenizers.sentencepiece_format import (
    ESCAPES,
    LONGEST,
    SPACE,
    cut,
    describe,
    import_sentencepiece,
    protect,
    restore,
)

SAMPLE = 20_000_000
"""Characters to learn from: below 2 GB for both kinds of model, in any script."""
_PROBES = ("  a  b ", "，！Ａ１㈱", "\ta\u3000b", "e\u0301\u2581\uf8fe", "<s> <unk> <0x41>", "嗨🙂\u200d", " ", "ab")
_BATCH = 1 << 16  # characters given to the library at a time
_THREADS = 4  # unigram training gives another vocabulary for another number of threads
_WORTH_SAYING = 200e6  # bytes
_RESERVED = re.compile("<unk>|</?s>|<0x[0-9A-F]{2}>")
_NO_SYMBOL = re.compile(f"[\0\n\r{ESCAPES}\ud800-\udfff]")


class SentencePieceTokenizer(BaseTokenizer):
    """A trained model."""

    name = "sp"

    def __init__(self, model: bytes, model_name: str = "sentencepiece.model", **options: str) -> None:
        """model: what the library saved.

        Raises:
            ModelError: it is something else.
        """
        super().__init__(**options)
        self._model, self._model_name = model, model_name
        self._processor = self._load(model)
        pieces = [self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size())]
        special = (self._processor.is_control, self._processor.is_unknown, self._processor.is_unused)
        self._texts = [piece.replace(SPACE, " ") for piece in pieces]
        self._bytes = {piece: int(piece[3:5], 16) for i, piece in enumerate(pieces) if self._processor.is_byte(i)}
        self.inventory = list(
            dict.fromkeys(text for i, text in enumerate(self._texts) if not any(is_(i) for is_ in special))
        )
        self._about = describe(model)

    def _load(self, model: bytes) -> Any:
        processor = import_sentencepiece().SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(model)
        except (RuntimeError, OSError) as error:
            raise ModelError(f"{self._model_name}: not a SentencePiece model, or one that is cut short") from error
        return processor

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
        """The model as a file that `--tokenizer sp:FILE` and SentencePiece itself read. All of it or nothing.

        Raises:
            ModelError: it cannot be written; a file that was there is unchanged.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            try:
                temporary.write_bytes(self._model)
                fsync(temporary)
                os.replace(temporary, path)
                fsync(path.parent)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            was = "the file that was there is unchanged" if path.exists() else "nothing was saved"
            raise ModelError(f"cannot write {path}: {error.strerror or error}; {was}.") from error

    def _argument(self) -> str:
        return f":{self._model_name}"

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "model": hashlib.sha256(self._model).hexdigest()[:12], "cut_over": LONGEST}

    @cached_property
    def lossless(self) -> bool:
        """Probed, not believed."""
        return (
            super().lossless
            and not self._about.rules
            and all(self.decode(self.encode(probe)) == probe for probe in _PROBES)
        )

    def normalized(self, line: str) -> str:
        """As the model's own rules have it too."""
        line = super().normalized(line)
        if not (self._about.rules or self._about.trims):
            return line
        return self._joined(self._prepared(processor, part) for processor, part in self._parts(line))

    def encode(self, line: str) -> list[str]:
        return self._segment(super().normalized(line))  # the library applies the rules itself, once

    def iterate(self, line: str) -> Iterator[str]:
        return self._pieces(super().normalized(line))

    def encode_lines(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Reads ahead some 65,000 characters: the library is faster when it is given many lines."""
        if isinstance(lines, str):
            raise TextTypeError("encode_lines takes lines, got one str; pass [text], or use encode(text)")
        return self._in_batches(lines)

    def _in_batches(self, lines: Iterable[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for line in map(super().normalized, lines):
            if len(line) > LONGEST:
                yield from self._encoded(self._processor, batch)
                batch, size = [], 0
                yield self._segment(line)
                continue
            batch.append(line)
            size += len(line)
            if size >= _BATCH or len(batch) >= _BATCH // 16:
                yield from self._encoded(self._processor, batch)
                batch, size = [], 0
        yield from self._encoded(self._processor, batch)

    def _segment(self, line: str) -> list[str]:
        if len(line) <= LONGEST:
            return self._named(self._found(self._processor, protect(line)))
        return list(self._pieces(line))

    def _pieces(self, line: str) -> Iterator[str]:
        for processor, part in self._parts(line):
            yield from self._named(self._found(processor, protect(part)))

    def _encoded(self, processor: Any, texts: list[str]) -> list[list[str]]:
        """The pieces of texts that need no cut."""
        return list(map(self._named, self._found(processor, list(map(protect, texts)), num_threads=1)))

    def _found(self, processor: Any, text: str | list[str], **how: Any) -> Any:
        """What the library makes of it: ids, which is faster, or strings where an id does not say what was unknown."""
        try:
            return processor.encode(text, out_type=int if self._bytes else str, **how)
        except (RuntimeError, TypeError, UnicodeEncodeError) as error:
            raise self._refused(text, error) from error

    def _prepared(self, processor: Any, part: str) -> str:
        """What the library cuts into pieces: the rules applied, U+2581 for spaces."""
        try:
            prepared: str = processor.normalize(protect(part))
        except (RuntimeError, TypeError, UnicodeEncodeError) as error:
            raise self._refused(part, error) from error
        return prepared

    def _refused(self, text: str | list[str], error: Exception) -> CorpusError | ModelError:
        surrogate = re.search("[\ud800-\udfff]", "".join(text))
        if surrogate:
            return _surrogate(surrogate[0])
        return ModelError(f"{self._model_name}: SentencePiece cannot encode with it: {error}")

    def _named(self, found: list[Any]) -> list[str]:
        if self._bytes:
            return list(map(self._texts.__getitem__, found))
        return [piece.replace(SPACE, " ") for piece in found]

    def _parts(self, line: str) -> Iterator[tuple[Any, str]]:
        """(processor, part): what the model does at the ends of a line, it must not do at those of a part."""
        if len(line) <= LONGEST or self._about.dummy_suffix:  # no model in use has that, so it may take its memory
            yield self._processor, line
            return
        processor = self._processor
        for part in cut(line, LONGEST, self._about.symbols):
            if processor is not self._processor and self._about.trims and not self._processor.normalize(part[0]):
                processor = self._with_prefix[True]  # white space, which would be trimmed, and a space put in its place
            yield processor, part
            processor = self._with_prefix[False]

    @cached_property
    def _with_prefix(self) -> dict[bool, Any]:
        """The same model that puts a space before what it is given, and that does not."""
        ends = {True: b"\x1a\x02\x18\x01", False: b"\x1a\x02\x18\x00"}  # ModelProto.normalizer_spec.add_dummy_prefix
        return {prefix: self._load(self._model + end) for prefix, end in ends.items()}  # the later value holds

    def decode(self, pieces: Sequence[str]) -> str:
        if self._bytes.keys().isdisjoint(pieces):
            return self._joined(pieces)
        data = bytearray()
        for piece in pieces:
            value = self._bytes.get(piece)
            data += piece.encode("utf-8", "surrogatepass") if value is None else bytes((value,))
        return self._joined([data.decode("utf-8", "replace")])

    def _joined(self, texts: Iterable[str]) -> str:
        """Without what the library puts in: U+2581 (spelled in bytes, where it is no piece), a space before a line."""
        text = "".join(texts).replace(SPACE, " ")
        if self._about.dummy_prefix:
            text = text.removeprefix(" ")
        if self._about.dummy_suffix:
            text = text.removesuffix(" ")
        return restore(text)

    def sampled(self, lines: Iterable[str], *, alpha: float, seed: int, first: int = 0) -> Iterator[list[str]]:
        """Subword regularisation: each line in pieces drawn at random, which decode to the same line.

        Args:
            alpha: unigram: the exponent of the probabilities (Kudo 2018, section 3.2): near 0 all segmentations
                are alike, 1 draws from the model. BPE: the share of merges left out (Provilkov et al. 2020).
            seed: the pieces of a line follow from alpha, the seed and the index of the line, and nothing else.
            first: the index of the first line, where a text is drawn in portions.

        Raises:
            UsageError: alpha is not in (0, 1], or the model is of a kind that has one segmentation only.
        """
        if isinstance(lines, str):
            raise TextTypeError("sampled takes lines, got one str; pass [text]")
        if not 0 < alpha <= 1:
            raise UsageError(
                f"subword regularisation: alpha must be over 0 and at most 1 (0.1 is usual), got {alpha:g}"
            )
        if self._about.kind not in ("unigram", "bpe"):
            raise UsageError(
                f"{self._model_name} is a model of {self._about.kind}s, which have one segmentation only: subword "
                "regularisation needs a unigram or BPE model; `textdl tokenizer train` makes one"
            )
        return self._sampled(lines, alpha, seed, first)

    def _sampled(self, lines: Iterable[str], alpha: float, seed: int, first: int) -> Iterator[list[str]]:
        given = super().normalized

        def texts() -> Iterator[tuple[int, int, str]]:
            """(index of the line, number of the part, its text as the model takes it)."""
            for index, line in enumerate(lines, first):
                for number, (processor, part) in enumerate(self._parts(given(line))):
                    yield index, number, self._prepared(processor, part)

        def drawn() -> Iterator[tuple[int, list[int]]]:
            for batch in _batches(texts()):
                keys = [(index << 32) + number for index, number, _ in batch]
                ids = self._drawable.draw([text for _, _, text in batch], keys, alpha, seed)
                yield from zip((index for index, _, _ in batch), ids, strict=True)

        for _, parts in groupby(drawn(), itemgetter(0)):
            yield self._spelled([i for _, ids in parts for i in ids])

    @cached_property
    def _drawable(self) -> Any:
        from textdl.tokenizers.sentencepiece_sampling import Pieces  # with numba, which encoding does without

        processor = self._processor
        special = (processor.is_control, processor.is_unknown, processor.is_unused, processor.is_byte)
        ids = range(processor.get_piece_size())
        pieces = {i: processor.id_to_piece(i) for i in ids if not any(is_(i) for is_ in special)}
        symbols = [processor.piece_to_id(protect(symbol).replace(" ", SPACE)) for symbol in self._about.symbols]
        byte_ids = sorted(filter(processor.is_byte, ids), key=lambda i: self._bytes[self._texts[i]])
        return Pieces(self._about.kind, pieces, [processor.get_score(i) for i in ids], symbols, byte_ids)

    def _spelled(self, ids: list[int]) -> list[str]:
        """The texts of ids; unknown characters that follow each other are one piece, as in the library."""
        if self._bytes:
            return list(map(self._texts.__getitem__, ids))
        pieces: list[str] = []
        for unknown, run in groupby(ids, lambda i: i < 0):
            if unknown:
                pieces.append("".join(chr(-i - 2) for i in run).replace(SPACE, " "))
            else:
                pieces += map(self._texts.__getitem__, run)
        return pieces


def _batches(parts: Iterable[tuple[int, int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    """Some 65,000 characters at a time."""
    batch: list[tuple[int, int, str]] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += len(part[2]) + 16
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def train(
    lines: Iterable[str],
    *,
    vocab_size: int = 8000,
    model: str = "unigram",
    coverage: float = 0.9995,
    sample: int | None = SAMPLE,
    symbols: Iterable[str] = (),
    seed: int = 1,
    run: Run | None = None,
) -> tuple[SentencePieceTokenizer, list[str]]:
    """Learn pieces from lines. The same lines, options and library give the same bytes of a model.

    Args:
        lines: read once, or twice where they hold more than `sample`.
        vocab_size: pieces to learn, the 256 bytes, the symbols and 3 specials included; fewer where the text
            supports fewer. Where the characters need more, the rarest are spelled in bytes.
        model: `unigram` (Kudo 2018) or `bpe` (Sennrich et al. 2016).
        coverage: share of the text whose characters are pieces, the most frequent first; the rest is spelled
            in bytes.
        sample: characters to learn from, about, drawn evenly with the seed where there are more; None: all.
        symbols: strings that are always one piece each.
        run: is told of progress, and the notes as they come.

    Returns:
        The tokenizer, and notes for the user (what was sampled, cut, left out of the vocabulary).

    Raises:
        UsageError: an option that cannot be meant.
        CorpusError: there is no text, or it cannot be learnt from (or not in the memory there is).
    """
    symbols = _checked(symbols)
    fixed = training.SPECIALS + 256 + len(symbols)
    if model not in ("unigram", "bpe"):
        raise UsageError(f"--model must be unigram or bpe, got {model!r}")
    if not 0 < coverage <= 1:
        raise UsageError(f"--coverage must be over 0 and at most 1 (0.9995 is usual), got {coverage:g}")
    if sample is not None and sample < 1:
        raise UsageError(f"--sample must be at least one character, got {sample}")
    if vocab_size <= fixed:
        user = f", {len(symbols):,} symbol{'s' * (len(symbols) > 1)}" if symbols else ""
        raise UsageError(
            f"--vocab-size {vocab_size} is too small: {training.SPECIALS} specials, 256 bytes{user} and one character "
            f"need {fixed + 1:,}"
        )
    if isinstance(lines, str):
        raise TextTypeError("train takes lines, got one str; pass [text]")
    run = run or Run()
    told = len(run.notes)
    options = {
        "model_type": model, "vocab_size": vocab_size, "character_coverage": 1.0,
        "user_defined_symbols": [protect(symbol).replace(" ", SPACE) for symbol in symbols],
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "add_dummy_prefix": False,
        "byte_fallback": True, "hard_vocab_limit": False, "max_sentence_length": 16 * LONGEST,
        "num_threads": _THREADS,
    }  # fmt: skip
    with scratch.temporary("sentencepiece") as folder:
        sampled, sentences = folder / "sample", folder / "sentences"
        try:
            counts = training.draw(lines, sampled, sample, seed, run, run.note)
            kept = training.alphabet(counts, coverage, vocab_size - fixed, fixed, run.note)
            training.write_sentences(sampled, sentences, counts.keys() - set(kept), symbols)
            sampled.unlink()
            if (memory := training.memory(counts, model)) > _WORTH_SAYING:
                run.note(f"{model} pieces of {counts.total():,} characters: this takes about {memory / 1e9:.1f} GB")
            made = SentencePieceTokenizer(training.learn(folder, options, vocab_size - fixed - len(kept), run))
        except OSError as error:
            raise CorpusError(
                f"the sample to learn from cannot be kept in {folder}: {error.strerror or error}. Take a smaller "
                "--sample, or set TMPDIR to a directory with more room"
            ) from error
        except UnicodeEncodeError as error:
            raise _surrogate(error.object[error.start]) from error
    size = len(made.inventory or ()) + training.SPECIALS
    if size < vocab_size:
        run.note(f"asked for {vocab_size:,} pieces; the text supports {size:,}, which are used")
    return made, run.notes[told:]


def _checked(symbols: Iterable[str]) -> tuple[str, ...]:
    """Without repetitions. Raises UsageError for what cannot be a piece."""
    if isinstance(symbols, str):
        raise UsageError("symbols takes strings, got one str; pass [symbol]")
    symbols = tuple(dict.fromkeys(symbols))
    for symbol in symbols:
        if not symbol:
            raise UsageError("--symbols: an empty symbol; each needs at least one character")
        if _RESERVED.fullmatch(symbol):
            raise UsageError(f"--symbols: {symbol} is the name of a special or of a byte; choose another")
        wrong = _NO_SYMBOL.search(symbol)
        if wrong:
            raise UsageError(
                f"--symbols: {symbol!r} has the character U+{ord(wrong[0]):04X}, which SentencePiece cannot have in a "
                "symbol; leave it out"
            )
    return symbols


def _surrogate(character: str) -> CorpusError:
    return CorpusError(
        f"a lone surrogate (U+{ord(character):04X}) is no character, so SentencePiece cannot take it: mend the text"
    )
