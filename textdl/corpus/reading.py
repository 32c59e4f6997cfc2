r"""Bytes to lines: decompression, decoding, line ends.

A line ends at `\n` only; `\r\n` becomes `\n`; nothing else is touched. Bytes are read in blocks that
are cut after their last `\n`, decoded and split as a whole, so that memory is bounded by the block or
the longest line. Encodings whose line end is not the one byte 0x0A (UTF-16, UTF-32) are first turned
into UTF-8. .zst is read through pyarrow, which comes with `datasets`.

Nothing guesses an encoding to read by it; a guess is only made to say which one to ask for.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

from textdl.corpus.ledger import Ledger
from textdl.errors import CorpusError, UsageError

Errors = Literal["strict", "replace"]

_BLOCK = 1 << 20
_MAGIC = {
    ".gz": b"\x1f\x8b\x08",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\x00",
    ".zst": b"\x28\xb5\x2f\xfd",
}
_BZIP2_BLOCK = (b"1AY&SY", b"\x17rE8P\x90")  # what follows BZh and a digit: a block, or the end of an empty file
_FOREIGN = {
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"PK\x03\x04": "a ZIP archive (.docx and .xlsx are such)",
    b"%PDF-": "a PDF document",
    b"PAR1": "a Parquet table",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x80\x04\x95": "a pickle",
    b"\x80\x02}": "a pickle",
    b"SQLite format 3\x00": "an SQLite database",
}


def check_encoding(encoding: str) -> str:
    """The codec's own name for an encoding.

    Raises:
        UsageError: Python knows no such text encoding.
    """
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)  # refuses base64, rot13 and the like, which are codecs but not of text
    except LookupError as error:
        raise UsageError(
            f"no encoding is called {encoding!r}. Names are such as utf-8, gb18030, big5, shift_jis, utf-16, cp1252."
        ) from error
    return info.name


def read_lines(path: Path, name: str, encoding: str, errors: Errors, ledger: Ledger) -> Iterator[list[str]]:
    """The lines of one file in lists, without line ends. Counts line ends, marks and repairs in the ledger.

    Args:
        name: what messages call the file.

    Raises:
        CorpusError: it cannot be opened, decompressed or decoded, or is not text.
    """
    try:
        with _open(path, name) as file:
            yield from _lines(file, name, check_encoding(encoding), errors, ledger)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise CorpusError(
            f"{name}: the compressed data is damaged or cut off ({error}). Download or compress the file again."
        ) from error
    except OSError as error:
        what = "the compressed data is damaged or cut off" if is_compressed(path) else "cannot be read"
        raise CorpusError(f"{name}: {what} ({error.strerror or error}).") from error


def is_compressed(path: Path) -> bool:
    """Whether the file's first bytes are those of gzip, bzip2, xz or Zstandard."""
    try:
        return _compression(path) is not None
    except OSError:
        return False


def _compression(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(16)
    for suffix, magic in _MAGIC.items():
        if head.startswith(magic) and (suffix != ".bz2" or head[4:10] in _BZIP2_BLOCK):
            return suffix
    return None


def _open(path: Path, name: str) -> IO[bytes]:
    found = _compression(path)
    promised = path.suffix.lower()
    if promised in _MAGIC and found is None:
        if path.stat().st_size == 0:
            raise CorpusError(f"{name} is empty: not even the header of a {promised} file. Download it again.")
        raise CorpusError(
            f"{name} is called {promised} but its content is not. If it is plain text, rename it; else download it again."
        )
    openers: dict[str, Callable[[Path], IO[bytes]]] = {
        ".gz": lambda p: io.BufferedReader(gzip.GzipFile(p)),
        ".bz2": bz2.BZ2File,
        ".xz": lzma.LZMAFile,
        ".zst": lambda p: _zstandard(p, name),
    }
    return openers[found](path) if found else path.open("rb", buffering=0)


def _zstandard(path: Path, name: str) -> IO[bytes]:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise CorpusError(
            f'{name} is compressed with Zstandard, which needs pyarrow. Run `pip install pyarrow`, or `zstd -d "{path}"`.'
        ) from error
    stream: IO[bytes] = pa.CompressedInputStream(str(path), "zstd")
    return stream


def _lines(file: IO[bytes], name: str, encoding: str, errors: Errors, ledger: Ledger) -> Iterator[list[str]]:
    """Cut into blocks of whole lines, decode, split."""
    done = 0
    first = True
    for block, codec in _blocks(file, name, encoding, errors, ledger):
        if first:
            _check_text(block, name, codec)
        text = _decode(block, name, codec, errors, done, ledger)
        if first and text.startswith("\ufeff"):
            text = text[1:]
            ledger.boms += 1
        first = False
        if "\r\n" in text:
            ledger.crlf += text.count("\r\n")
            text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        done += len(lines)
        if lines:
            yield lines


def _blocks(file: IO[bytes], name: str, encoding: str, errors: Errors, ledger: Ledger) -> Iterator[tuple[bytes, str]]:
    r"""Blocks of bytes that end after a \n (all but the last), and the encoding they are in."""
    transcoded = "\n".encode(encoding) != b"\n"
    source = _transcode(file, name, encoding, errors, ledger) if transcoded else _raw(file)
    codec = "utf-8" if transcoded or encoding == "utf-8-sig" else encoding
    pending: list[bytes] = []
    for data in source:
        cut = data.rfind(b"\n") + 1
        if not cut:
            pending.append(data)
            continue
        pending.append(data[:cut])
        yield b"".join(pending), codec
        pending = [data[cut:]] if cut < len(data) else []
    if pending:
        yield b"".join(pending), codec


def _raw(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(_BLOCK):
        yield data


def _transcode(file: IO[bytes], name: str, encoding: str, errors: Errors, ledger: Ledger) -> Iterator[bytes]:
    """UTF-16 and the like to UTF-8. The codec drops a byte-order mark it knows: count it here."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    lines = 0
    first = True
    while True:
        data = file.read(_BLOCK)
        if first:
            _check_magic(data, name)
            ledger.boms += encoding in ("utf-16", "utf-32") and data[:2] in (b"\xff\xfe", b"\xfe\xff", b"\0\0")
            first = False
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{name}, after line {lines + 1:,}: not {encoding.upper()} ({error.reason}). "
                "Give the encoding the file is in with --encoding."
            ) from error
        lines += text.count("\n")
        ledger.replaced += text.count("\ufffd") if errors == "replace" else 0
        if text:
            yield text.encode()
        if not data:
            return


def _decode(block: bytes, name: str, encoding: str, errors: Errors, lines_before: int, ledger: Ledger) -> str:
    try:
        return block.decode(encoding)
    except UnicodeDecodeError as error:
        if errors == "replace":
            text = block.decode(encoding, "replace")
            try:
                genuine = block.count("\ufffd".encode(encoding))
            except UnicodeEncodeError:
                genuine = 0
            ledger.replaced += text.count("\ufffd") - genuine
            return text
        raise _not_decodable(block, error, name, encoding, lines_before) from error


def _not_decodable(block: bytes, error: UnicodeDecodeError, name: str, encoding: str, lines_before: int) -> CorpusError:
    at = error.start
    line = lines_before + block.count(b"\n", 0, at) + 1
    begin = block.rfind(b"\n", 0, at) + 1
    column = len(block[begin:at].decode(encoding, "replace")) + 1
    what = f"{name}, line {line:,}: not {encoding.upper()} (byte 0x{block[at]:02x} at column {column:,})"
    if lines_before == 0 and _looks_binary(block):
        return CorpusError(f"{what}; it looks like a binary file, not text. Give a text file.")
    good, bad = _beyond_ascii(block)
    guess = None if encoding == "utf-8" and good > 10 * bad else guess_encoding(block, encoding)
    if guess is not None:
        return CorpusError(f"{what}; it looks like {guess.upper()}. Rerun with --encoding {guess}")
    if encoding == "utf-8" and (good > 10 * bad or bad < 3):
        return CorpusError(
            f'{what}; the rest is {encoding.upper()}, so that line is damaged. Mend it, or read with errors="replace".'
        )
    return CorpusError(
        f"{what}. Rerun with --encoding and the encoding it is in: gb18030, big5, shift_jis, cp1252, ..."
    )


def _check_magic(head: bytes, name: str) -> None:
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise CorpusError(f"{name} is {what}, not text. Convert it to a text file first.")


def _check_text(block: bytes, name: str, encoding: str) -> None:
    """Refuse what would only be read as text by accident."""
    _check_magic(block, name)
    if encoding != "utf-8":
        return
    for mark, utf in (
        (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if block.startswith(mark):
            raise CorpusError(
                f"{name}: not UTF-8: it begins with the byte-order mark of {utf.upper()}. Rerun with --encoding {utf}"
            )
    head = block[:4096]
    if len(head) >= 64:
        even, odd = (head[i::2].count(0) / (len(head) / 2) for i in (0, 1))
        if max(even, odd) > 0.7 and min(even, odd) < 0.1:
            utf = "utf-16-le" if odd > even else "utf-16-be"
            raise CorpusError(
                f"{name}: every other byte is 0; it looks like {utf.upper()} without a byte-order mark. "
                f"Rerun with --encoding {utf}"
            )


def _looks_binary(block: bytes) -> bool:
    head = block[:8192]
    controls = sum(head.count(c) for c in range(32) if c not in b"\t\n\v\f\r\x1b")
    return controls > len(head) / 20


def _beyond_ascii(block: bytes) -> tuple[int, int]:
    """Read as UTF-8: how many characters beyond ASCII there are, and how many places that are not UTF-8."""
    text = block[: 1 << 16].decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return sum(c > "\x7f" for c in text) - bad, bad


_COMMON_HAN = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法"
    "學這個們來為國說時會對發後過樣種經麼還當與無開關長問間動現見"
)


_HAN_OR_MARK = frozenset(map(chr, (*range(0x4E00, 0x9FA6), *range(0x3001, 0x3012), *range(0xFF01, 0xFF5F))))
_KANA = frozenset(map(chr, range(0x3041, 0x3100)))
_HANGUL = frozenset(map(chr, range(0xAC00, 0xD7A4)))
_CHINESE = {"gb18030": _COMMON_HAN.__contains__, "big5": _COMMON_HAN.__contains__}
_JAPANESE = {"shift_jis": _KANA.__contains__, "euc_jp": _KANA.__contains__}
_KOREAN = {"euc_kr": _HANGUL.__contains__}


def guess_encoding(block: bytes, tried: str) -> str | None:
    """The encoding that bytes look like, or None. For advice only: nothing is read by a guess."""
    sample = block[: 1 << 16]
    cut = sample.rfind(b"\n") + 1
    sample = sample[:cut] if cut and len(block) > len(sample) else sample
    high = sum(b > 0x7F for b in sample)
    if not high:
        return None
    if tried != "utf-8" and _share("utf-8", sample, lambda c: c > "\x7f") is not None:
        return "utf-8"
    # In Western European text high bytes stand alone among ASCII letters.
    alone = sum(
        b > 0x7F and (i == 0 or sample[i - 1] < 0x80) and (i + 1 == len(sample) or sample[i + 1] < 0x80)
        for i, b in enumerate(sample)
    )
    good, bad = _beyond_ascii(sample)
    if alone > 0.9 * high and high < 0.2 * len(sample) and tried != "cp1252" and good <= bad:
        return "cp1252"
    for candidates, enough in ((_JAPANESE, 0.4), (_CHINESE, 0.1), (_KOREAN, 0.5)):
        shares = {name: _share(name, sample, common) or 0.0 for name, common in candidates.items() if name != tried}
        best = max(shares, key=shares.__getitem__, default="")
        if shares.get(best, 0.0) >= enough and not (candidates is _KOREAN and high < 20):
            return best
    # Too little or too old to tell by common characters, but Chinese characters throughout.
    if tried != "gb18030" and _share("gb18030", sample, _HAN_OR_MARK.__contains__) == 1:
        return "gb18030"
    return None


def _share(encoding: str, sample: bytes, common: Callable[[str], bool]) -> float | None:
    """The share of common characters among those beyond ASCII; None where the sample is not in the encoding."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError as error:
        if error.end < len(sample) - 3:
            return None
        text = sample[: error.start].decode(encoding)
    beyond = [c for c in text if c > "\x7f"]
    return sum(map(common, beyond)) / len(beyond) if beyond else None
