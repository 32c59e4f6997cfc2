"""Bytes to lines: line ends, marks, encodings, compression, and what is refused."""

import bz2
import gzip
import lzma
import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textdl.corpus import open_corpora, open_corpus, reading
from textdl.corpus.reading import guess_encoding
from textdl.errors import CorpusError, UsageError

ODD = "a\u3000b\x85c\x0bd\x0ce\x1cf\u2028g\rh"  # str.splitlines would cut this in eight


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(path, **options):
    return list(open_corpus(path, **options))


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\n\n", ["a", ""]),
        ("\n", [""]),
        ("\na", ["", "a"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\rb\n", ["a\rb"]),
        ("a\r\r\nb", ["a\r", "b"]),
        ("a\0b\n", ["a\0b"]),
        (ODD + "\n" + ODD, [ODD, ODD]),
        ("\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]),
        ("\ufeff", []),
    ],
)
def test_a_line_ends_at_the_newline_only(tmp_path, data, lines):
    assert read(write(tmp_path / "t.txt", data)) == lines


def reference(data):
    """What reading means, in the plainest words."""
    text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n") if text else []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.sampled_from("ab \r\n\0\x85\u3000\u2028\ufeff汉😀"), max_size=40), st.integers(1, 7))
def test_any_bytes_in_blocks_of_any_size(tmp_path, text, block):
    path = write(tmp_path / "t.txt", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        patch.setattr(reading, "_wide_by_zeros", lambda _: None)  # which eight such characters can look like
        corpus = open_corpus(path)
        assert list(corpus) == reference(text.encode())
        assert list(corpus) == reference(text.encode())
        assert corpus.ledger.lines == len(reference(text.encode()))
        assert corpus.ledger.characters == sum(map(len, reference(text.encode())))
        assert corpus.ledger.crlf == text.removeprefix("\ufeff").count("\r\n")
        assert corpus.ledger.boms == text.startswith("\ufeff")
        assert open_corpus(reference(text.encode())).read().blank == corpus.ledger.blank


def test_a_line_longer_than_many_blocks(tmp_path):
    line = "word " * 1_000_000
    assert read(write(tmp_path / "t.txt", f"{line}\nb")) == [line, "b"]


def test_the_ledger_counts_what_was_mended(tmp_path):
    corpus = open_corpus(write(tmp_path / "t.txt", b"\xef\xbb\xbfa\r\n \r\n\nb\0\xff\n"), errors="replace")
    assert list(corpus) == ["a", " ", "", "b\0\ufffd"]
    ledger = corpus.ledger
    assert (ledger.lines, ledger.blank, ledger.characters) == (4, 2, 5)
    assert (ledger.crlf, ledger.boms, ledger.nuls, ledger.replaced) == (2, 1, 1, 1)


def test_a_replacement_character_of_the_text_is_not_counted(tmp_path):
    corpus = open_corpus(write(tmp_path / "t.txt", "\ufffd".encode() + b"\xff"), errors="replace")
    assert list(corpus) == ["\ufffd\ufffd"]
    assert corpus.ledger.replaced == 1


CHINESE = "这是一个中文的句子，我们在这里学习语言模型。\n" * 20


def test_gb18030_is_named_with_line_and_column(tmp_path):
    path = write(tmp_path / "notes.txt", b"abc\n" * 17 + b"hello \xb1\xb1\xbe\xa9\n" + CHINESE.encode("gb18030"))
    with pytest.raises(CorpusError, match=r"notes\.txt, line 18: not UTF-8 \(byte 0xb1 at column 7\); it looks like "
                       r"GB18030\. Rerun with --encoding gb18030"):  # fmt: skip
        read(path)
    assert read(path, encoding="gb18030")[17] == "hello 北京"


def test_the_line_number_counts_earlier_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 5)
    with pytest.raises(CorpusError, match=r"line 8: not UTF-8 .*column 2"):
        read(write(tmp_path / "t.txt", b"ab\n" * 7 + b"x\xff\n" + b"ab\n" * 9))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        ("這是一個中文的句子，我們在這裡學習語言模型。\n" * 20, "big5"),
        ("これは日本語の文です。ことばをまなびます。\n" * 20, "shift_jis"),
        ("이것은 한국어 문장입니다. 언어 모형을 배웁니다.\n" * 20, "euc_kr"),
        ("北京", "gb18030"),
        ("青山不老，绿水长流。\n", "gb18030"),
        ("これは日本語の文です。ことばをまなびます。\n" * 20, "euc_jp"),
        ("Le café est fermé, mais l'été est déjà là.\n" * 20, "cp1252"),
    ],
)
def test_the_guess(text, encoding):
    assert guess_encoding(text.encode(encoding), "utf-8") == encoding
    assert guess_encoding(text.encode(), encoding) == "utf-8"


def test_one_damaged_line_is_not_another_encoding(tmp_path):
    for damage in (b"\xe4\xb8", b"\xe4", b"\xff\xff\xff"):
        with pytest.raises(CorpusError, match="that line is damaged"):
            read(write(tmp_path / "t.txt", "中文文字文字中文".encode() * 8 + damage))
    with pytest.raises(CorpusError, match=r"line 41: not UTF-8 .*that line is damaged"):
        read(write(tmp_path / "t.txt", CHINESE.encode() * 2 + b"\xe4\xb8\n" + CHINESE.encode()))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "big5", "utf-8-sig"])
def test_other_encodings_give_the_same_lines(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(reading, "_BLOCK", 7)
    path = write(tmp_path / "t.txt", "中文\r\n\n一二三\nabc".encode(encoding))
    assert read(path, encoding=encoding) == ["中文", "", "一二三", "abc"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_mark_of_utf16_is_recognised(tmp_path, encoding):
    path = write(tmp_path / "t.txt", "abc\n".encode(encoding))
    with pytest.raises(CorpusError, match=f"byte-order mark of {encoding.upper()}. Rerun with --encoding {encoding}"):
        read(path)
    corpus = open_corpus(path, encoding=encoding)
    assert list(corpus) == ["abc"]
    assert corpus.ledger.boms == 1


def test_utf16_without_a_mark_is_recognised(tmp_path):
    with pytest.raises(CorpusError, match="looks like UTF-16-LE"):
        read(write(tmp_path / "t.txt", ("plain ascii text\n" * 9).encode("utf-16-le")))


def test_an_unknown_encoding(tmp_path):
    with pytest.raises(UsageError, match="no encoding is called 'utf-9'"):
        open_corpus(["a"], encoding="utf-9")
    with pytest.raises(UsageError, match="no encoding is called 'base64'"):
        open_corpus(["a"], encoding="base64")


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compressed(tmp_path, suffix, compress):
    data = ("中文\nabc\n" * 1000).encode()
    path = write(tmp_path / f"t.txt{suffix}", compress(data))
    assert read(path) == ["中文", "abc"] * 1000
    assert open_corpus(path).size_hint is None
    path.rename(tmp_path / "unnamed")
    assert len(read(tmp_path / "unnamed")) == 2000
    cut = write(tmp_path / f"cut{suffix}", compress(random.Random(1).randbytes(5000))[:-20])
    with pytest.raises(CorpusError, match=rf"cut\{suffix}: the compressed data is damaged or cut off"):
        read(cut)
    with pytest.raises(CorpusError, match=f"false{suffix} is called {suffix} but its content is not"):
        read(write(tmp_path / f"false{suffix}", "plain"))
    with pytest.raises(CorpusError, match="is empty"):
        read(write(tmp_path / f"empty{suffix}", ""))


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_what_is_behind_the_compressed_data(tmp_path, suffix, compress):
    data = ("中文\nabc\n" * 1000).encode()
    streams = compress(data) + compress(b"") + bytes(8) + compress(b"x\n" * 500_000) + bytes(4)
    assert read(write(tmp_path / f"t{suffix}", streams)) == ["中文", "abc"] * 1000 + ["x"] * 500_000
    for garbage in (b"garbage", b"\0\0\0\0g", compress(data)[:5], b"\n" * (3 << 20)):
        path = write(tmp_path / f"bad{suffix}", compress(data) + garbage)
        with pytest.raises(CorpusError, match=rf"bad\{suffix}: (the compressed data is damaged|behind the end of the)"):
            read(path)
    if suffix != ".gz":
        with pytest.raises(
            CorpusError, match=r"there is something else, which begins with b'more tha'\. If it is not meant"
        ):
            read(write(tmp_path / f"bad{suffix}", compress(data) + b"more than this"))


@pytest.mark.parametrize(("compress", "block"), [(bz2.compress, 1), (bz2.compress, 7), (lzma.compress, 1)])
def test_streams_in_blocks_of_any_size(tmp_path, monkeypatch, compress, block):
    path = write(tmp_path / "t", compress(b"a\nb") + bytes(4) + compress(b"c\n" * 300) + bytes(8))
    monkeypatch.setattr(reading, "_BLOCK", block)
    assert read(path) == ["a", "bc", *["c"] * 299]


def test_damaged_in_the_middle(tmp_path):
    data = bytearray(gzip.compress(random.Random(1).randbytes(5000)))
    data[2000:2100] = bytes(100)
    with pytest.raises(CorpusError, match=r"damaged or cut off|not UTF-8"):
        read(write(tmp_path / "t.gz", bytes(data)))


def test_zstandard(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "t.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(b"a\nb\n" * 1000)
    assert read(path) == ["a", "b"] * 1000
    with pytest.raises(CorpusError, match=r"damaged or cut off \(.*\)\. Download or compress the file again\."):
        read(write(tmp_path / "cut.zst", path.read_bytes()[:-5]))


@pytest.mark.parametrize(
    ("head", "what"), [(b"\x89PNG\r\n\x1a\n\0\0", "PNG image"), (b"%PDF-1.4\n", "PDF"), (b"PK\x03\x04", "ZIP archive")]
)
def test_other_kinds_of_files(tmp_path, head, what):
    with pytest.raises(CorpusError, match=rf"t\.txt is an? {what}"):
        read(write(tmp_path / "t.txt", head + b"\xff\0"))


def test_binary_without_a_name(tmp_path):
    with pytest.raises(CorpusError, match="looks like a binary file"):
        read(write(tmp_path / "t.bin", bytes(range(256)) * 4))


def test_chained_files_do_not_run_together(tmp_path):
    a, b = write(tmp_path / "a.txt", "\ufeff1\n2"), write(tmp_path / "b.txt", "\ufeff3\r\n")
    corpus = open_corpora([str(a), str(b)])
    assert list(corpus) == ["1", "2", "3"]
    assert corpus.name == "a.txt, b.txt"
    assert (corpus.ledger.boms, corpus.ledger.crlf) == (2, 1)


# Encodings: what is found is named with its line and the flag that reads it


def test_a_byte_order_mark_in_every_encoding(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "utf-32", "gb18030", "utf-16-le", "utf-16-be"):
        mark = "\ufeff" if encoding in ("gb18030", "utf-16-le", "utf-16-be") else ""
        path = write(tmp_path / "t.txt", (mark + "中\r\nb").encode(encoding))
        corpus = open_corpus(path, encoding=encoding)
        assert list(corpus) == ["中", "b"]
        assert (corpus.ledger.boms, corpus.ledger.crlf) == (1, 1)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_chinese_utf16_without_a_mark(tmp_path, encoding):
    with pytest.raises(
        CorpusError, match=rf"looks like {encoding.upper()} without a .*Rerun with --encoding {encoding} \(in P"
    ):
        read(write(tmp_path / "t.txt", CHINESE.encode(encoding)))


def test_utf16_asked_for_what_is_utf8(tmp_path):
    path = write(tmp_path / "t.txt", CHINESE)
    with pytest.raises(
        CorpusError, match=r"not UTF-16: there is no byte of 0, and it reads as UTF-8\. Leave out --encoding"
    ):
        read(path, encoding="utf-16")
    odd = write(tmp_path / "odd.txt", b"a\0b\0c")
    with pytest.raises(
        CorpusError, match=r"after line 1: not UTF-16-LE \(truncated data\).*--encoding .*--errors replace"
    ):
        read(odd, encoding="utf-16-le")
    assert read(odd, encoding="utf-16-le", errors="replace") == ["ab\ufffd"]


def test_another_encoding_asked_for_what_is_utf8(tmp_path):
    corpus = open_corpus(write(tmp_path / "t.txt", "é" * 40 + CHINESE), encoding="latin-1")
    corpus.read()
    assert "t.txt is read as ISO8859-1, as asked, but it looks like UTF-8." in corpus.ledger.notes[0]
    assert open_corpus(write(tmp_path / "t.txt", CHINESE.encode("big5", "ignore")), encoding="big5").read().notes == []


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16-le", "utf-8", "big5"])
def test_replacing_counts_exactly(tmp_path, encoding):
    text = "中文\n" if encoding == "big5" else "中\ufffd文\n"
    path = write(tmp_path / "t.txt", text.encode(encoding) * 3 + (b"\x00\xdc\n\0" if "16" in encoding else b"\xff\n"))
    corpus = open_corpus(path, encoding=encoding, errors="replace")
    assert list(corpus) == [*[text[:-1]] * 3, "\ufffd"]
    assert corpus.ledger.replaced == 1


def test_two_encodings_joined_at_line_1_000_001(tmp_path):
    path = write(tmp_path / "t.txt", "好的\n".encode() * 1_000_000 + CHINESE.encode("gb18030"))
    with pytest.raises(
        CorpusError,
        match=r"line 1,000,001: not UTF-8 \(byte 0xd5 at column 1\); up to there it is UTF-8, from there on it looks like "
        r"GB18030: files in two encodings were joined\. Convert that part \(iconv -f gb18030 -t utf-8\), or .*--errors replace",
    ):
        read(path)
    path = write(tmp_path / "t.txt", "好的\n".encode() * 1_000_000 + b"\xff\n" + "好的\n".encode() * 100)
    with pytest.raises(
        CorpusError, match=r"line 1,000,001: .*that line is damaged\. Mend it, or read with --errors replace"
    ):
        read(path)


@pytest.mark.parametrize("lines", [1, 2, 3, 20])
def test_a_few_joined_lines_are_looked_at(tmp_path, lines):
    path = write(tmp_path / "t.txt", "好的，\n".encode() * 1000 + "我们在这里。\n".encode("gb18030") * lines)
    with pytest.raises(CorpusError, match=r"line 1,001: .*from there on it looks like GB18030: files in two encodings"):
        read(path)


def test_what_follows_a_block_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 10)  # of which the second ends with the damaged line
    with pytest.raises(CorpusError, match=r"line 2: .*; the rest is UTF-8, so that line is damaged"):
        read(write(tmp_path / "t.txt", "好的，\n".encode() + b"\xb0\xa1aaaaaaa\n" + "好的，".encode() * 9 + b"\n"))


@pytest.mark.parametrize("end", [b"\xe5\xa5", "好\n".encode() + b"\xff"])
def test_of_a_damaged_end_nothing_is_said_on_the_rest(tmp_path, end):
    path = write(tmp_path / "t.txt", "好的，\n".encode() * 9 + end)
    with pytest.raises(
        CorpusError, match=r"; up to there it is UTF-8, so that line is damaged\. Mend it, or read with"
    ):
        read(path)


@pytest.mark.parametrize("text", [CHINESE, "plain\n" * 9 + "Á Í à ”\n" * 3, "é\n" * 30 + "Á Í ”\n"])
def test_utf8_read_as_cp1252(tmp_path, text):
    path = write(tmp_path / "t.txt", text)
    with pytest.raises(CorpusError, match=r"not CP1252 .*; it looks like UTF-8\. Rerun with --encoding utf-8"):
        read(path, encoding="cp1252")
    path = write(tmp_path / "t.txt", "é\n".encode("cp1252") * 30 + "Á\n".encode())
    with pytest.raises(CorpusError, match=r"up to there it is CP1252, from there on it looks like UTF-8"):
        read(path, encoding="cp1252")
    path = write(tmp_path / "t.txt", "é\n".encode("cp1252") * 30 + b"\x81\n" + "é\n".encode("cp1252") * 30)
    with pytest.raises(CorpusError, match=r"the rest is CP1252, so that line is damaged"):
        read(path, encoding="cp1252")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["one\ntwo\n", "no line end", "A short English line", CHINESE])
def test_wide_encodings_without_a_mark_however_short(tmp_path, encoding, text):
    path = write(tmp_path / "t.txt", text.encode(encoding))
    with pytest.raises(
        CorpusError,
        match=rf"looks like {encoding.upper()} without a byte-order mark\. Rerun with --encoding {encoding} ",
    ):
        read(path)
    assert read(path, encoding=encoding) == text.removesuffix("\n").split("\n")
    wrong = encoding[:-2] + ("be" if encoding.endswith("le") else "le")
    if text != CHINESE:
        with pytest.raises(CorpusError, match=rf"not {wrong.upper()}: .* is 0, as in {encoding.upper()}\. Rerun"):
            read(path, encoding=wrong)


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be"])
def test_utf32_of_what_is_valid_utf8(tmp_path, encoding):
    with pytest.raises(CorpusError, match=f"half of every four bytes is 0; it looks like {encoding.upper()}"):
        read(write(tmp_path / "t.txt", "Это русский\n".encode(encoding)))


def test_some_bytes_of_zero_are_text(tmp_path):
    for text in ("a\0b\0c", "a\0bc\0de\0", "\0" * 12, "a\0\0b\0\0c\0\0"):
        assert read(write(tmp_path / "t.txt", text)) == [text]


def test_surrogates_in_utf8(tmp_path):
    half = "\ud83d".encode("utf-8", "surrogatepass")
    both = "\ud83d\ude00".encode("utf-8", "surrogatepass")
    for data, message in (
        (both, r"two halves of a surrogate pair .* is CESU-8 .*\(uconv -f CESU-8 -t UTF-8\), or read with --errors"),
        (half, r"that is a lone surrogate, .* cut in two\. Mend the line, or read with --errors replace"),
    ):
        path = write(tmp_path / "t.txt", CHINESE.encode() + "好的 ".encode() + data + b"!\n" + CHINESE.encode())
        with pytest.raises(CorpusError, match=r"line 21: not UTF-8 \(byte 0xed at column 4\); " + message):
            read(path)
    path = write(tmp_path / "t.txt", both + "我们在这里。".encode("gb18030"))
    with pytest.raises(CorpusError, match=r"line 1: .*; it looks like GB18030"):
        read(path)


def test_many_private_characters_are_noted(tmp_path):
    path = write(tmp_path / "t.txt", ("文" * 100 + "\ue000\ue001\n").encode("gb18030"))
    (note,) = open_corpus(path, encoding="gb18030").read().notes
    assert "read as GB18030, as asked, and 1.96 % of the characters beyond ASCII are private ones" in note
    write(path, ("文" * 100 + "a" * 900 + "\ue000\n").encode("gb18030"))
    assert open_corpus(path, encoding="gb18030").read().notes == []
    assert open_corpus(write(path, "\ue000\n" * 9)).read().notes == []


def test_a_late_first_letter_beyond_ascii(tmp_path):
    path = write(tmp_path / "t.txt", b"plain words\n" * 100_000 + "Le café est fermé.\n".encode("cp1252") * 20)
    with pytest.raises(CorpusError, match=r"line 100,001: .*looks like CP1252\. Rerun with --encoding cp1252"):
        read(path)


def test_old_mac_line_ends_are_said(tmp_path):
    corpus = open_corpus(write(tmp_path / "t.txt", "a\rb\rc\r"))
    assert list(corpus) == ["a\rb\rc\r"]
    assert "is one line: it has no line feed but 3 carriage returns" in corpus.ledger.notes[0]
    assert open_corpus(write(tmp_path / "t.txt", "a\rb\rc\nd\n")).read().notes == []


@pytest.mark.parametrize("encoding", ["unicode_escape", "utf-7", "idna", "undefined", "punycode", "rot13", "a\0b", "é"])
def test_codecs_of_other_things(encoding):
    with pytest.raises(UsageError, match="no encoding is called"):
        open_corpus(["a"], encoding=encoding)


def test_wide_encodings_without_a_mark_are_asked_for_by_their_order(tmp_path):
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(tmp_path / "t.txt", CHINESE.encode(encoding))
        with pytest.raises(CorpusError, match=f"UTF-16 without a byte-order mark. Rerun with --encoding {encoding}"):
            read(path, encoding="utf-16")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=80),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030", "big5", "shift_jis", "cp1252", "hz",
                     "iso2022_jp", "cp037"]),
    st.sampled_from(["strict", "replace"]),
    st.integers(1, 9),
)  # fmt: skip
def test_any_bytes_in_any_encoding_give_lines_or_a_sentence(tmp_path, data, encoding, errors, block):
    path = write(tmp_path / "t.txt", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        corpus = open_corpus(path, encoding=encoding, errors=errors)
        try:
            lines = list(corpus)
        except CorpusError as error:
            if "t.txt" not in str(error):
                raise
        else:
            assert list(corpus) == lines
            assert all("\n" not in line for line in lines)


PEAK = """
import resource, sys
from textdl.corpus import open_corpus
open_corpus(sys.argv[1]).without_duplicates
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(open_corpus(sys.argv[2]).read().characters, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units")
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_long_line_is_held_less_than_three_times(tmp_path, suffix):
    line = "这是一个中文的句子，" * 1_000_000  # 30 MB
    write(tmp_path / "short.txt", "a")
    data = line.encode()
    path = write(tmp_path / f"t.txt{suffix}", gzip.compress(data, 1) if suffix else data)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "short.txt", path], capture_output=True, text=True, check=True
    )
    characters, kilobytes = map(int, done.stdout.split())
    assert characters == len(line)
    assert kilobytes * 1024 < 3 * len(data)
