"""User dictionaries: read as jieba reads them, and errors that name the line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.errors import CorpusError
from textdl.tokenizers.user_dictionary import Entry, parse, written

JIEBA = re.compile("^(.+?)( [0-9]+)?( [a-z]+)?$")  # its own pattern for a line


def test_fields():
    text = "云计算 5\n李小福 2 nr\n\n  \n创新办 i\n台中\neasy_install 3 eng\nEdu Trust认证 2000\r\n凱特琳\t7\tnz\n韩玉\u3000赏鉴\r鉴 3"
    assert parse(b"\xef\xbb\xbf" + text.encode(), "u.txt") == [
        Entry(1, "云计算", 5), Entry(2, "李小福", 2, "nr"), Entry(5, "创新办", None, "i"), Entry(6, "台中"),
        Entry(7, "easy_install", 3, "eng"), Entry(8, "Edu Trust认证", 2000), Entry(9, "凱特琳", 7, "nz"),
        Entry(10, "韩玉 赏鉴"), Entry(11, "鉴", 3),
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["北京", "a", "n", "nr", "B", "5", "00", "c+"]), min_size=1, max_size=4).map(" ".join))
def test_lines_that_are_accepted_mean_what_they_mean_to_jieba(line):
    try:
        (entry,) = parse(line.encode(), "u.txt")
    except CorpusError:
        assert JIEBA.match(line)[2] is None
        return
    word, frequency, tag = JIEBA.match(line).groups()
    assert (entry.word, entry.frequency, entry.tag) == (word, frequency and int(frequency), (tag or "").strip())


@pytest.mark.parametrize(
    "line",
    [
        "北京 3.5",
        "北京 -1 n",
        "北京 1,000",
        "北京 1e5",
        "北京 100 NZ",
        "北京 １００",
        "北京 99999999999999999999",
        "北京 5%",
        "北京 " + "9" * 4301,
        "北京 " + "9" * 5000 + " ns",
    ],
)
def test_a_malformed_line_is_named(line):
    with pytest.raises(CorpusError, match=r"u\.txt, line 3: expected `word \[frequency\] \[tag\]`"):
        parse(f"上海 5\n\n{line}\n广州".encode(), "u.txt")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("北京 5\n上海".encode("utf-16"), "line 1.*looks like UTF-16.*iconv -f UTF-16 -t UTF-8 u.txt > utf8-u.txt"),
        (b"abc\n" + "上海".encode("gb18030"), "line 2.*looks like GB18030.*iconv -f GB18030"),
        ("上海".encode("gb18030"), r"line 1.*iconv -f GB18030 -t UTF-8 'my words\.txt' > 'utf8-my words\.txt'`"),
        (b"abc\n\xe4\xb8\x8a\xff\n", r"line 2.*there is the byte 0xff\. Mend that line, or"),
        (
            "上海 5\n".encode() + b"\xe4\xb8\n",
            r"line 2.*there is the byte 0xe4\. Mend that line, or",
        ),  # GB18030 as well
    ],
)
def test_another_encoding_is_named(data, message):
    with pytest.raises(CorpusError, match=message) as caught:
        parse(data, "my words.txt" if "my words" in message else "u.txt")
    assert "ITS-ENCODING" not in str(caught.value)


def test_a_word_of_a_thousand_characters_is_the_longest():
    assert parse(("中" * 1000 + " 5").encode(), "u.txt") == [Entry(1, "中" * 1000, 5)]
    with pytest.raises(
        CorpusError,
        match=r"u\.txt, line 2: expected a word of at most 1,000 characters, got one of 100,000, '中+'\.\.\. Put",
    ):
        parse(("上海\n" + "中" * 100_000 + " 5").encode(), "u.txt")


def test_the_largest_frequency_is_named():
    assert parse(b"a 1125899906842624", "u.txt")[0].frequency == 1 << 50
    with pytest.raises(CorpusError, match=r"a whole number up to 1,125,899,906,842,624 in the digits 0-9"):
        parse(b"a " + b"9" * 20, "u.txt")


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_entries_or_an_error_and_entries_are_written_back(data):
    try:
        entries = parse(data, "u.txt")
    except CorpusError:
        return
    again = parse(written(entries), "u.txt")
    assert [(e.word, e.frequency, e.tag) for e in again] == [(e.word, e.frequency, e.tag) for e in entries]
