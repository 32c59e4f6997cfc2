r"""Bytes to lines: decompression, decoding, line ends.

A line ends at `\n` only; `\r\n` becomes `\n`; nothing else is touched. Bytes are read in blocks that
are cut after their last `\n`, decoded and split as a whole, so that memory is bounded by the block or
the longest line. Encodings whose line end is not the one byte 0x0A (UTF-16, UTF-32) are first turned
into UTF-8. .zst is read through pyarrow, which comes with `datasets`. A
compressed file may be several streams, one after the other, and end with zeros; anything else behind a stream is refused.

A lone `\r` is text; a file that has nothing else to end a line gets a note.

Nothing guesses an encoding to read by it; a guess is only made to say which one to ask for.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast, get_args

from textdl.corpus.ledger import Ledger, percent
from textdl.errors import CorpusError, TextTypeError, UsageError
from textdl.scratch import no_room

Errors = Literal["strict", "replace"]

_BLOCK = 1 << 20
_SAMPLE = 1 << 14
"""Characters of a block that are looked at for private ones."""
_PRIVATE = re.compile("[\ue000-\uf8ff]")
COMPRESSIONS = {
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
    b"PAR1": "a Parquet table (name it .parquet and it is read as one)",
    b"ARROW1": "an Arrow table (the directory of a saved data set is hf:DIR)",
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
        TextTypeError: it is no str.
    """
    if not isinstance(encoding, str):
        raise TextTypeError(f'encoding= must be a str such as "gb18030", got {encoding!r}')
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)  # refuses base64, rot13 and the like, which are codecs but not of text
        if info.name in _NOTATIONS:
            raise LookupError
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"no encoding is called {encoding!r}. Names are such as utf-8, gb18030, big5, shift_jis, utf-16, cp1252."
        ) from error
    return info.name


def check_errors(errors: str) -> Errors:
    """The same, if it is one.

    Raises:
        UsageError: it is neither `strict` nor `replace`.
    """
    if errors not in get_args(Errors):
        raise UsageError(f'--errors (errors=) must be "strict" or "replace", got {errors!r}')
    return cast(Errors, errors)


_NOTATIONS = frozenset(
    ("unicode_escape", "raw-unicode-escape", "unicode-escape", "idna", "punycode", "undefined", "utf-7")
)
"""Codecs for other things than files of text; some give lone surrogates."""

STAND_IN = "textdl.stand-in"
"""An error handler of codecs."""
_LONE = "\udc80"
codecs.register_error(STAND_IN, lambda error: (_LONE, error.end))  # type: ignore[attr-defined]


def replace_stand_ins(text: str, ledger: Ledger) -> str:
    """U+FFFD for every stand-in that the error handler STAND_IN has put; unlike U+FFFD it can be counted."""
    if found := text.count(_LONE):
        ledger.replaced += found
        return text.replace(_LONE, "\ufffd")
    return text


REPLACE = '--errors replace (in Python errors="replace")'


def replace_surrogates(text: str, where: str, errors: Errors, ledger: Ledger) -> str:
    """The same text without lone surrogates, which JSON escapes and Python's own strings can hold.

    Raises:
        CorpusError: there is one, and they are not to be replaced; it says where.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        if errors == "strict":
            raise CorpusError(
                f"{where}: a lone surrogate (U+{ord(text[error.start]):04X}) is no character; it comes from a broken "
                f'JSON escape or from reading with errors="surrogateescape". Mend the text, or read with {REPLACE}.'
            ) from error
        ledger.replaced += sum("\ud800" <= c <= "\udfff" for c in text)
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def read_lines(path: Path, name: str, encoding: str, errors: Errors, ledger: Ledger) -> Iterator[list[str]]:
    """The lines of one file in lists, without line ends. Counts line ends, marks and repairs in the ledger.

    Args:
        name: what messages call the file.

    Raises:
        CorpusError: it cannot be opened, decompressed or decoded, or is not text.
    """
    with opened(path, name) as file:
        yield from _lines(file, name, check_encoding(encoding), errors, ledger)


@contextmanager
def opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed. What goes wrong in reading them is a CorpusError that names the file."""
    try:
        with _open(path, name) as file:
            yield file
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise _damaged(name, error) from error
    except OSError as error:
        if is_compressed(path):
            raise _damaged(name, error) from error
        raise CorpusError(f"{name}: cannot be read ({error.strerror or error}).") from error


def copy(file: Any, out: Any) -> None:
    """Copy a stream to a temporary file; a full disk is a CorpusError."""
    while block := file.read(1 << 20):
        try:
            out.write(block)
        except OSError as error:
            raise no_room(error) from error
    try:
        out.flush()
    except OSError as error:
        raise no_room(error) from error


def _damaged(name: str, error: Exception) -> CorpusError:
    told = str(getattr(error, "strerror", None) or error).rstrip(".")
    return CorpusError(
        f"{name}: the compressed data is damaged or cut off ({told}). Download or compress the file again."
    )


def is_compressed(path: Path) -> bool:
    """Whether the file's first bytes are those of gzip, bzip2, xz or Zstandard."""
    try:
        return _compression(path) is not None
    except OSError:
        return False


def _compression(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(16)
    for suffix, magic in COMPRESSIONS.items():
        if head.startswith(magic) and (suffix != ".bz2" or head[4:10] in _BZIP2_BLOCK):
            return suffix
    return None


def _open(path: Path, name: str) -> IO[bytes]:
    found = _compression(path)
    promised = path.suffix.lower()
    if promised in COMPRESSIONS and found is None:
        if path.stat().st_size == 0:
            raise CorpusError(f"{name} is empty: not even the header of a {promised} file. Download it again.")
        raise CorpusError(
            f"{name} is called {promised} but its content is not. If it is plain text, rename it; else download it again."
        )
    openers: dict[str, Callable[[Path], IO[bytes]]] = {
        ".gz": lambda p: cast(IO[bytes], gzip.GzipFile(p)),
        ".bz2": lambda p: io.BufferedReader(_Streams(p, name, bz2.BZ2Decompressor)),
        ".xz": lambda p: io.BufferedReader(_Streams(p, name, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ))),
        ".zst": lambda p: _zstandard(p, name),
    }
    return openers[found](path) if found else path.open("rb", buffering=0)


class _Streams(io.RawIOBase):
    """The streams of a bzip2 or xz file, one after the other. Python's own readers ignore what follows them and is none."""

    def __init__(self, path: Path, name: str, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]):
        self._file, self._name, self._new = path.open("rb"), name, new
        self._stream = new()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._stream.eof:
                behind = self._stream.unused_data.lstrip(b"\0")
                while not behind and (block := self._file.read(_BLOCK)):
                    behind = block.lstrip(b"\0")
                if not behind:
                    return 0
                self._stream = self._new()
                data = self._begin(behind, len(buffer))
            else:
                block = self._file.read(_BLOCK) if self._stream.needs_input else b""
                if not block and self._stream.needs_input:
                    raise EOFError("it ends within the data")
                data = self._stream.decompress(block, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _begin(self, behind: bytes, size: int) -> bytes:
        try:
            return self._stream.decompress(behind, size)
        except (OSError, lzma.LZMAError) as error:
            raise CorpusError(
                f"{self._name}: behind the end of the compressed data there is something else, which begins with "
                f"{behind[:8]!r}. If it is not meant, cut it off; else download or compress the file again."
            ) from error


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
    returns = 0
    before = False  # whether characters beyond ASCII have been decoded
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding  # a mark is looked for anyway
    transcoded = "\n".encode(encoding) != b"\n"
    source = _transcode(file, name, encoding, errors, ledger) if transcoded else _raw(file)
    codec = "utf-8" if transcoded else encoding
    blocks = _blocks(source)
    private = beyond = 0  # characters of samples
    for block in blocks:
        if not done:
            _check_text(block, name, codec, ledger)
        ended = block.endswith(b"\n")
        if ended:
            del block[-1:]
        try:
            text = block.decode(codec)
        except UnicodeDecodeError as error:
            if errors == "strict":
                block += b"\n" * ended + next(blocks, b"")  # what follows tells what is wrong
                raise _not_decodable(block, error.start, name, codec, done, before) from None
            text = replace_stand_ins(block.decode(codec, STAND_IN), ledger)
        block.clear()  # the generator it came from still holds it
        if not done and text.startswith("\ufeff"):
            text = text[1:]
            ledger.boms += 1
            if not text and not ended:
                return
        if not text.isascii():
            before = True
            if encoding != "utf-8":
                sample = text[:_SAMPLE]
                private += len(_PRIVATE.findall(sample))
                beyond += len(sample) - len(sample.encode("ascii", "ignore"))
        if "\r" in text:
            if "\r\n" in text:
                ledger.crlf += text.count("\r\n")
                text = text.replace("\r\n", "\n")
            if ended and text.endswith("\r"):
                ledger.crlf += 1
                text = text[:-1]
            if not done and "\n" not in text:
                returns = text.count("\r")
        lines = text.split("\n")
        del text  # of one long line, split gives the same object again; of many, a copy
        done += len(lines)
        yield lines
        lines = []
    if private > beyond / 100:
        ledger.notes.append(
            f"{name} is read as {encoding.upper()}, as asked, and {percent(private, beyond)} of the characters beyond ASCII are "
            "private ones, without a meaning outside one font. Is --encoding (encoding=) right?"
        )
    if done == 1 and returns > 1:
        ledger.notes.append(
            f"{name} is one line: it has no line feed but {returns:,} carriage returns, the line ends of old Macs. "
            "If they are meant so, convert it: tr '\\r' '\\n' < FILE"
        )


def _blocks(source: Iterator[bytes]) -> Iterator[bytearray]:
    r"""Blocks of bytes that end after a \n (all but the last). The taker may change them."""
    pending = bytearray()
    for data in source:
        cut = data.rfind(b"\n") + 1
        if cut:
            pending += memoryview(data)[:cut]
            rest = data[cut:]
            del data
            yield pending
            pending = bytearray(rest)
        else:
            pending += data  # grows in place: a long line is held once
    if pending:
        yield pending


def _raw(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(_BLOCK):
        yield data


_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
"""Of the encodings whose order of bytes nothing else tells. The codec drops them."""


def _transcode(file: IO[bytes], name: str, encoding: str, errors: Errors, ledger: Ledger) -> Iterator[bytes]:
    """UTF-16 and the like to UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("strict" if errors == "strict" else STAND_IN)
    lines = 0
    data = file.read(max(_BLOCK, 4))
    _check_magic(data, name)
    marked = data.startswith(_MARKS.get(encoding, ()))
    ledger.boms += marked
    if not marked and len(data) >= 64 and b"\0" not in data and _decodes_but_for_its_end(data[:4096]):
        raise CorpusError(
            f"{name}: not {encoding.upper()}: there is no byte of 0, and it reads as UTF-8. Leave out --encoding {encoding}."
        )
    wide = None if marked else _wide_by_zeros(data[:4096])
    if wide is not None and not wide.startswith(encoding):
        raise CorpusError(
            f"{name}: not {encoding.upper()}: {_ZEROS[wide][2]} is 0, as in {wide.upper()}. {_rerun(wide)}"
        )
    if not marked and data and encoding in _MARKS:
        wide = _wide(data[:4096]) or f"{encoding}-le"
        raise CorpusError(f"{name}: {encoding.upper()} without a byte-order mark. {_rerun(wide)}")
    while True:
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{name}, after line {lines + 1:,}: not {encoding.upper()} ({error.reason}). Give the encoding the file "
                f"is in with --encoding (in Python encoding=), or read with {REPLACE}."
            ) from error
        lines += text.count("\n")
        text = replace_stand_ins(text, ledger)
        if text:
            yield text.encode()
        if not data:
            return
        data = file.read(_BLOCK)


def _not_decodable(block: bytearray, at: int, name: str, encoding: str, lines_before: int, before: bool) -> CorpusError:
    """What to say of the byte at `at`. What follows it decides whether a line is damaged or the encoding another.

    block: what was decoded, and a block more of what follows.
    before: whether characters beyond ASCII came before this block.
    """
    line = lines_before + block.count(b"\n", 0, at) + 1
    begin = block.rfind(b"\n", 0, at) + 1
    column = len(block[begin:at].decode(encoding, "replace")) + 1
    what = f"{name}, line {line:,}: not {encoding.upper()} (byte 0x{block[at]:02x} at column {column:,})"
    if lines_before == 0 and encoding == "utf-8" and (wide := _wide(bytes(block[:4096]))):
        return CorpusError(f"{what}; it looks like {wide.upper()} without a byte-order mark. {_rerun(wide)}")
    if lines_before == 0 and _looks_binary(block):
        return CorpusError(f"{what}; it looks like a binary file, not text. Give a text file.")
    if encoding == "utf-8" and (said := _surrogate(block, at, begin)):
        return CorpusError(f"{what}; {said}, or read with {REPLACE}.")
    start = max(begin, at - (1 << 15))
    after = bytes(block[start : start + (1 << 16)])
    if start + len(after) < len(block):
        after = after[: after.rfind(b"\n", at - start) + 1] or after
    before = before or not block[:begin].isascii()
    guess = guess_encoding(after, encoding)
    if guess == "utf-8" and not block[:begin].isascii():
        before = not _decodes_but_for_its_end(bytes(block[: min(begin, 1 << 16)]))
    lines = [part for part in after.split(b"\n")[:1000] if not part.isascii()]
    wrong = sum(not _decodes(part, encoding) for part in lines)
    mostly_right = 2 * wrong < len(lines) if len(lines) > 1 else False
    good, bad = _beyond_ascii(after)
    damaged = f"so that line is damaged. Mend it, or read with {REPLACE}."
    if guess != "utf-8" and (mostly_right or (encoding == "utf-8" and good > 10 * bad)):
        return CorpusError(f"{what}; the rest is {encoding.upper()}, {damaged}")
    cut_off = encoding == "utf-8" and _decodes_but_for_its_end(bytes(block[at:]))
    if before and wrong < 3 and (guess is None or cut_off or (encoding == "utf-8" and good >= bad)):
        return CorpusError(f"{what}; up to there it is {encoding.upper()}, {damaged}")
    if guess is not None and before:
        return CorpusError(
            f"{what}; up to there it is {encoding.upper()}, from there on it looks like {guess.upper()}: files in two "
            f"encodings were joined. Convert that part (iconv -f {guess} -t {encoding}), or read with {REPLACE}."
        )
    if guess is not None:
        return CorpusError(f"{what}; it looks like {guess.upper()}. {_rerun(guess)}")
    if encoding == "utf-8" and bad < 3:
        return CorpusError(f"{what}; the rest is {encoding.upper()}, {damaged}")
    return CorpusError(
        f"{what}. Rerun with --encoding (in Python encoding=) and the encoding it is in: gb18030, big5, shift_jis, "
        f"cp1252, ...; or read with {REPLACE}."
    )


def _surrogate(block: bytearray, at: int, begin: int) -> str:
    """What to say of half a surrogate pair that was written as UTF-8, in a line that is UTF-8 otherwise; else nothing."""
    line = bytes(block[begin:]).partition(b"\n")[0]
    half = line[at - begin :]
    if not _HALF.match(half):
        return ""
    try:
        line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return ""
    if _BOTH_HALVES.match(half):
        return (
            "two halves of a surrogate pair stand for one character, which is CESU-8 (some Java and database programs write "
            "it), not UTF-8. Convert the file (uconv -f CESU-8 -t UTF-8)"
        )
    return "that is a lone surrogate, which is no character: a surrogate pair was cut in two. Mend the line"


_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_BOTH_HALVES = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")


def _rerun(encoding: str) -> str:
    return f'Rerun with --encoding {encoding} (in Python encoding="{encoding}")'


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _check_magic(head: bytes | bytearray, name: str) -> None:
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise CorpusError(f"{name} is {what}, not text. Convert it to a text file first.")


def _check_text(block: bytearray, name: str, encoding: str, ledger: Ledger) -> None:
    """Refuse what would only be read as text by accident, and say what might be."""
    _check_magic(block, name)
    head = bytes(block[:4096])
    if encoding != "utf-8":
        if sum(b > 0x7F for b in head) >= 16 and _decodes_but_for_its_end(head):
            ledger.notes.append(f"{name} is read as {encoding.upper()}, as asked, but it looks like UTF-8.")
        return
    for mark, utf in (
        (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if head.startswith(mark):
            raise CorpusError(f"{name}: not UTF-8: it begins with the byte-order mark of {utf.upper()}. {_rerun(utf)}")
    if wide := _wide_by_zeros(head):
        raise CorpusError(
            f"{name}: {_ZEROS[wide][2]} is 0; it looks like {wide.upper()} without a byte-order mark. {_rerun(wide)}"
        )


def _decodes_but_for_its_end(data: bytes) -> bool:
    """Whether the beginning of a file is UTF-8; the last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _looks_binary(block: bytes | bytearray) -> bool:
    head = block[:8192]
    controls = sum(head.count(c) for c in range(32) if c not in b"\t\n\v\f\r\x1b")
    return controls > len(head) / 20


_ZEROS = {
    "utf-32-le": ((2, 3), (0,), "the second half of every four bytes"),
    "utf-32-be": ((0, 1), (3,), "the first half of every four bytes"),
    "utf-16-le": ((1, 3), (0, 2), "every other byte"),
    "utf-16-be": ((0, 2), (1, 3), "every other byte"),
}
"""Which of four bytes are mostly 0, which are nearly never, and that in words."""


def _wide_by_zeros(head: bytes) -> str | None:
    """UTF-32 without a mark, and UTF-16 that is mostly ASCII, where the beginning of a file is that; of 8 bytes or more."""
    if len(head) < 8:
        return None
    shares = [head[i::4].count(0) / len(head[i::4]) for i in range(4)]
    for encoding, (zero, filled, _) in _ZEROS.items():
        if all(shares[i] > 0.7 for i in zero) and all(shares[i] < 0.1 for i in filled):
            return encoding
    return None


def _wide(head: bytes) -> str | None:
    """The same and UTF-16 of any text: Chinese lines have a byte of 0 at their ends only."""
    if b"\0" not in head:
        return None
    if found := _wide_by_zeros(head):
        return found
    for encoding in ("utf-16-le", "utf-16-be"):
        text = head[: len(head) // 2 * 2].decode(encoding, "replace")
        if sum(c < "\x7f" or c in _HAN_OR_MARK or c in _KANA or c in _HANGUL for c in text) > 0.9 * len(text):
            return encoding
    return None


def _beyond_ascii(block: bytes | bytearray) -> tuple[int, int]:
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
