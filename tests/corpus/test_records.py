"""Tables to lines: what is written by csv, json and pyarrow comes back, and what is wrong is said with its line."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textdl.corpus import delimited, fields, open_corpora, open_corpus, parquet, reading
from textdl.errors import CorpusError, TextdlError, UsageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TEXT = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.text(st.sampled_from('a中\n\r",;\t\0 \u2028'))
    | st.just("a\r\r\n\nb\r")
)
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def expected(texts):
    """The lines that texts mean, in the plainest words."""
    lines = []
    for text in texts:
        lines += text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return lines


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(path, **options):
    corpus = open_corpus(path, **options)
    lines = list(corpus)
    assert list(corpus) == lines
    assert corpus.ledger.lines == len(lines)
    return lines


def ledger(path, **options):
    return open_corpus(path, **options).read()


def as_csv(rows, **options):
    out = io.StringIO()
    csv.writer(out, **options).writerows(rows)
    return out.getvalue()


# Round trips


@FILES
@given(st.lists(TEXT, max_size=8), st.booleans(), st.integers(1, 50))
def test_jsonl_round_trip(tmp_path, texts, escaped, block):
    data = "".join(json.dumps({"n": i, "text": text}, ensure_ascii=escaped) + "\n" for i, text in enumerate(texts))
    path = write(tmp_path / "t.jsonl", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        assert read(path) == read(path, field="text") == expected(texts)
    found = ledger(path)
    assert found.records == len(texts)
    assert found.records_of_several_lines == sum(len(expected([text])) > 1 for text in texts)
    assert found.crlf == sum(text.count("\r\n") for text in texts)


@FILES
@given(
    st.lists(TEXT, max_size=8),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from([",", ";", "\t"]),
    st.integers(1, 50),
)
def test_csv_round_trip(tmp_path, texts, quoting, delimiter, block):
    rows = [["n", "text"], *enumerate(texts)]
    path = write(tmp_path / "t.csv", as_csv(rows, quoting=quoting, delimiter=delimiter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        patch.setattr(delimited, "_CHARACTERS", block)
        assert read(path, field="text") == expected(texts)
        if any(texts):
            assert read(path) == expected(texts)
    assert ledger(path, field="text").records == len(texts)


@FILES
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r"), max_size=9), max_size=8))
def test_tsv_round_trip(tmp_path, texts):
    path = write(tmp_path / "t.tsv", "n\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts)))
    assert read(path, field="text") == texts
    assert read(path, field="2") == ["text", *texts]


@FILES
@given(
    st.lists(TEXT | st.none(), max_size=8),
    st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()]),
    st.integers(1, 4),
)
def test_parquet_round_trip(tmp_path, texts, kind, group):
    array = pa.array(texts, pa.string()).cast(kind)
    pq.write_table(pa.table({"n": range(len(texts)), "body": array}), tmp_path / "t.parquet", row_group_size=group)
    there = [text for text in texts if text is not None]
    assert read(tmp_path / "t.parquet") == read(tmp_path / "t.parquet", field="body") == expected(there)
    found = ledger(tmp_path / "t.parquet")
    assert (found.records, found.records_without_text) == (len(texts), len(texts) - len(there))
    assert found.records_of_several_lines == sum(len(expected([text])) > 1 for text in there)


@FILES
@given(st.binary(max_size=60), st.sampled_from([".jsonl", ".csv", ".tsv", ".parquet", ".json"]))
def test_any_bytes_give_lines_or_a_sentence(tmp_path, data, suffix):
    path = write(tmp_path / f"t{suffix}", data)
    for options in ({}, {"field": "1"}, {"field": "a", "errors": "replace"}):
        try:
            read(path, **options)
        except TextdlError as error:
            if "t" + suffix not in str(error):
                raise


@FILES
@given(st.text(st.sampled_from('{}[]":,\\u d80tex1\n'), max_size=30))
def test_any_json_gives_lines_or_a_sentence(tmp_path, text):
    path = write(tmp_path / "t.jsonl", '{"text": "a"}\n' + text)
    try:
        assert read(path)[0] == "a"
    except TextdlError as error:
        if "t.jsonl" not in str(error):
            raise


# JSONL


def test_jsonl_fields(tmp_path):
    rows = [
        {"id": "a1", "text": "x", "of": {"deep": "d", "n": 1}},
        {"id": "a2", "text": None, "of": None},
        {"id": "a3"},
    ]
    path = write(tmp_path / "t.ndjson", "\ufeff" + "\r\n\r\n".join(map(json.dumps, rows)) + "\r\n")
    assert read(path) == ["x"]
    found = ledger(path)
    assert (found.records, found.records_without_text, found.boms) == (3, 2, 1)
    assert found.notes == [
        "The field 'text' is read, of 'id', 'text', 'of'; --field chooses another (field= in Python)."
    ]
    assert read(path, field="id") == ["a1", "a2", "a3"]
    assert read(path, field="of.deep") == ["d"]
    assert ledger(path, field="of.deep").records_without_text == 2
    assert read(write(tmp_path / "dots.jsonl", '{"a.b": "x", "a": {"b": "y"}}\n'), field="a.b") == ["x"]


def test_bare_strings(tmp_path):
    assert read(write(tmp_path / "t.jsonl", '"a"\n\n"b\\nc"\n{"text": "d"}\n""\n')) == ["a", "b", "c", "d", ""]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (
            '{"text": "a"}\n{"text": \n',
            {},
            r"t\.jsonl, line 2: not JSON \(Expecting value at column 10.*on one line.*jq",
        ),
        ("plain text\n", {}, r"line 1: not JSON \(Expecting value at column 1, 'plain text'\)\. Each line must be"),
        ('{"text": "a"} x\n', {}, r"line 1: not JSON \(Extra data"),
        ("[" * 100_000 + "\n", {}, "line 1: (JSON nested too deeply|not JSON)"),
        ('{"text": "a", "n": ' + "1" * 5000 + "}\n", {}, r"line 1: a number of more than 4,300 digits, .*string or"),
        ('["a"]\n', {}, "line 1: a list, where an object with a field of text, or a string, is expected"),
        ("7\n", {}, "line 1: a int, where"),
        ('{"text": 5}\n', {"field": "text"}, r"line 1: the field 'text' is a int, not a str\. It has 'text' \(int\)"),
        (
            '{"text": "a"}\n{"text": 5}\n',
            {},
            r"line 2: the field 'text' is a int, not a str\. .* make it a string there, or leave that record out; --errors",
        ),
        ('{"a": {"b": [1]}}\n', {"field": "a.b.c"}, r"line 1: the field 'a\.b\.c' leads into a list; dots go into"),
        ('\n{"text": "a", "text": "b"}\n', {}, "line 2: the field 'text' is there more than once"),
        (
            '\n{"text": "a\\ud800"}\n',
            {},
            r"line 2: a lone surrogate \(U\+D800\).*read with --errors replace \(in Python err",
        ),
    ],
)
def test_bad_jsonl(tmp_path, data, options, message):
    with pytest.raises(CorpusError, match=message):
        read(write(tmp_path / "t.jsonl", data), **options)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (
            '{"a": "1", "b": "2"}\n',
            {},
            r"which field is the text is not clear\. It has 'a' \(str\), 'b' \(str\)\. Name .*--fi",
        ),
        ('{"a": 1}\n', {}, r"no field holds text\. It has 'a' \(int\)"),
        (
            '{"a": 1, "c": {"d": 2}}\n{"b": 2}\n',
            {"field": "txt"},
            r"no record has a field 'txt'\. They have 'a' .*'c\.d' .*'b'",
        ),
    ],
)
def test_unclear_fields_of_jsonl(tmp_path, data, options, message):
    with pytest.raises(UsageError, match=message):
        read(write(tmp_path / "t.jsonl", data), **options)


def test_surrogates_are_replaced_and_counted(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"text": "a\\ud800b\\udc00\\ud83d\\ude00\\ufffd"}\n')
    assert read(path, errors="replace") == ["a\ufffdb\ufffd😀\ufffd"]
    assert ledger(path, errors="replace").replaced == 2


def test_a_tab_within_json_is_text(tmp_path):
    assert read(write(tmp_path / "t.jsonl", '{"text": "a\tb"}')) == ["a\tb"]


# Which field


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"id": "int", "x": "str"}, "x"),
        ({"title": "str", "Text": "str"}, "Text"),
        ({"content": "str", "text": "str"}, "text"),
        ({"title": "str", "内容": "str"}, "内容"),
        ({"title": "str", "text": "null"}, "text"),
        ({"x": "null", "n": "int"}, "x"),
    ],
)
def test_the_field_that_is_the_text(columns, chosen):
    assert fields.choose_field(columns, "t", reading.Ledger()) == chosen


# CSV and TSV


def test_csv_of_all_kinds(tmp_path):
    path = write(tmp_path / "t.csv", '\ufeff"id" , text\r\n1,"a ""b"", c"\r\n\r\n2,"d\r\ne"\r\n3,\r\n')
    with pytest.raises(CorpusError, match=r"t\.csv, line 1: not CSV"):  # a space after a quoted name
        read(path)
    path = write(tmp_path / "t.csv", '\ufeff"id", text\r\n1,"a ""b"", c"\r\n\r\n2,"d\r\ne"\r\n3,\r\n')
    assert read(path) == ['a "b", c', "d", "e", ""]
    found = ledger(path)
    assert (found.records, found.records_of_several_lines, found.boms, found.blank) == (4, 1, 1, 1)
    assert found.records_without_text == 1  # the line with nothing in it
    assert found.crlf == 6
    assert read(path, field=" text ") == ['a "b", c', "d", "e", ""]
    gbk = write(tmp_path / "g.csv", "编号;内容\n1;北京\n".encode("gb18030"))
    assert read(gbk, encoding="gb18030") == ["北京"]
    assert ledger(gbk, encoding="gb18030").notes[0].endswith("g.csv has semicolons between its fields.")


def test_columns_by_number(tmp_path):
    path = write(tmp_path / "t.tsv", '\nHi.\t嗨。\n\n"Quoted"\t“引”\n')
    assert read(path, field="2") == ["嗨。", "“引”"]
    notes = ledger(path, field="1").notes
    assert "column 1 was asked for by its number, so the first row ('Hi.', '嗨。') is text too" in notes[0]
    assert "quotes in TSV are text" in notes[1]
    assert read(path, field="1") == ["Hi.", '"Quoted"']
    assert read(write(tmp_path / "one.tsv", "\na\n\nb\n"), field="1") == ["", "a", "", "b"]
    assert read(write(tmp_path / "years.csv", "1990,text\n5,x\n"), field="1990") == ["5"]
    for wrong in ("0", "3"):
        with pytest.raises(UsageError, match=rf"has 2 columns, and --field {wrong} is none of them"):
            read(path, field=wrong)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_line_with_nothing_in_it_does_not_vanish(tmp_path, suffix):
    one = write(tmp_path / f"one{suffix}", "text\na\n\nb\n\n")
    assert read(one) == ["a", "", "b", ""]
    assert read(one, field="1") == ["text", "a", "", "b", ""]
    assert (ledger(one).records, ledger(one).blank, ledger(one).records_without_text) == (4, 2, 0)
    comma = "," if suffix == ".csv" else "\t"
    two = write(tmp_path / f"two{suffix}", f"\nid{comma}text\n1{comma}a\n\n2{comma}\n\n")
    assert read(two) == ["a", ""]
    for field, records_read in (("text", 5), ("2", 6)):
        found = ledger(two, field=field)
        assert (found.records, found.records_without_text) == (records_read, 3)
    nothing = ledger(write(tmp_path / f"nothing{suffix}", "\n\n"))
    assert (nothing.lines, nothing.records, nothing.records_without_text) == (0, 2, 2)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (
            "a,b\n1,2\n",
            {},
            r"no field holds text\. It has 'a' \(number\), 'b' \(number\).*A number counts columns from 1",
        ),
        ("Hi.,there\nx,y\n", {}, "which field is the text is not clear"),
        ("id,text\n1,x\n", {"field": "txt"}, r"no column is called 'txt'\. The first row has 'id', 'text'"),
        ("text,text\n1,x\n", {"field": "text"}, "2 columns are called 'text'. Rename all but one"),
    ],
)
def test_unclear_columns(tmp_path, data, options, message):
    with pytest.raises(UsageError, match=message):
        read(write(tmp_path / "t.csv", data), **options)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "t.csv",
            "id,text\n1,a\n2,b,c\n",
            r"t\.csv, line 3: 3 fields where the first row has 2 \('2', 'b', 'c'\)\. Quote",
        ),
        ("t.csv", 'id,text\n1,"a\nb"\n2\n', r"line 4: 1 fields where the first row has 2"),
        ("t.tsv", "id\ttext\n1\ta\n\n2\n", r"line 4: 1 fields where"),
        (
            "t.csv",
            'id,text\n1,a\n2,"b\n3,c\n4,d\n',
            r"line 3: a quote is opened in this record and not closed in the 3 lines",
        ),
        (
            "t.csv",
            'id,text\n1,"b\n3,c\n4,"d"\n',
            r"line 2: not CSV: .*goes over 3 lines: is a quote before it not closed",
        ),
        ("t.csv", "id,text\n1,a\r2,b\n", "line 2: a carriage return within a field that is not quoted"),
    ],
)
def test_bad_tables(tmp_path, name, data, message):
    with pytest.raises(CorpusError, match=message):
        read(write(tmp_path / name, data), field="text")


def test_a_quote_that_swallows_the_rest_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_LONGEST_FIELD", 10_000)
    path = write(tmp_path / "t.csv", 'id,text\n1,"a\n' + "2,b\n" * 100_000)
    with pytest.raises(
        CorpusError, match=r"line 2: a quote is opened in this record and not closed in the 2,\d\d\d lines"
    ):
        read(path)
    assert csv.field_size_limit() == 131072


def test_a_long_field(tmp_path):
    text = "word " * 100_000
    path = write(tmp_path / "t.csv", f'id,text\n1,"{text}\n{text}"\n2,b\n')
    corpus = open_corpus(path)
    batches = corpus.batches()
    next(batches)
    assert csv.field_size_limit() == 131072  # the process's own, also between two batches
    batches.close()
    assert list(corpus) == [text, text, "b"]


def test_a_table_without_rows(tmp_path):
    assert read(write(tmp_path / "empty.csv", "")) == []
    assert read(write(tmp_path / "blank.csv", "\n\n")) == []
    path = write(tmp_path / "t.csv", "id,words\n")
    assert read(path) == []
    assert "t.csv has a row of names ('id', 'words') and no other row" in ledger(path).notes[0]
    path = write(tmp_path / "one.csv", "It was a dark night\nand so on\n")
    assert read(path) == ["and so on"]
    assert (
        "the first row, 'It was a dark night', names the only column. If it is text, give --field 1"
        in ledger(path).notes[0]
    )
    assert read(path, field="1") == ["It was a dark night", "and so on"]


# Parquet


def test_parquet_columns(tmp_path):
    struct = pa.array([{"en": "a", "zh": {"s": "甲"}}, None, {"en": None, "zh": None}])
    table = pa.table({"pair": struct, "tags": [["x"], [], []], "raw": pa.array([b"r", b"\xff", None])})
    pq.write_table(table, tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", field="pair.en") == ["a"]
    assert read(tmp_path / "t.parquet", field="pair.zh.s") == ["甲"]
    assert ledger(tmp_path / "t.parquet", field="pair.en").records_without_text == 2
    with pytest.raises(UsageError, match=r"no field holds text, but 'raw' is binary: bytes.* It has 'pair' \(struct"):
        read(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=r"no column is called 'pair\.de'.*'pair\.en' \(str\)"):
        read(tmp_path / "t.parquet", field="pair.de")
    with pytest.raises(UsageError, match=r"the column 'tags' is list<.*not str"):
        read(tmp_path / "t.parquet", field="tags")
    with pytest.raises(CorpusError, match=r"record 2: not UTF-8 \(byte 0xff\).*--errors replace \(in Python"):
        read(tmp_path / "t.parquet", field="raw")
    assert read(tmp_path / "t.parquet", field="raw", errors="replace") == ["r", "\ufffd"]
    assert ledger(tmp_path / "t.parquet", field="raw", errors="replace").replaced == 1


def test_damaged_parquet(tmp_path):
    pq.write_table(pa.table({"text": [str(i) for i in range(1000)]}), tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    for damaged in (b"", b"text", data[:-10], data[100:], data[:8] + bytes(500) + data[508:]):
        with pytest.raises(CorpusError, match=r"bad\.parquet: damaged or not a Parquet table"):
            read(write(tmp_path / "bad.parquet", damaged))
    with pytest.raises(CorpusError, match=r"t\.txt is a Parquet table \(name it \.parquet"):
        read(write(tmp_path / "t.txt", data))


# Files and directories


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), ("", bytes)]
)
def test_every_form_may_be_compressed(tmp_path, suffix, compress):
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"]}), table)
    for form, data in {
        ".jsonl": b'{"text": "a"}\n{"text": "b"}\n',
        ".csv": b'text,n\na,1\n"b",2\n',
        ".tsv": b"n\ttext\n1\ta\n2\tb\n",
        ".parquet": table.getvalue(),
        ".txt": b"a\nb\n",
    }.items():
        assert read(write(tmp_path / f"t{form}{suffix}", compress(data))) == ["a", "b"]
    assert open_corpus(tmp_path / f"t.csv{suffix}").size_hint is None


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not tell which files are open")
def test_a_copy_of_a_compressed_table_is_closed_before_it_is_read_and_removed(tmp_path, monkeypatch):
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"]}), table)
    path = write(tmp_path / "t.parquet.gz", gzip.compress(table.getvalue()))
    copies = []
    plainly = parquet._parquet_table

    def watched(copy, *rest):
        copies.append(copy)
        opened = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        assert str(copy) not in opened  # Windows opens no file twice
        return plainly(copy, *rest)

    monkeypatch.setattr(parquet, "_parquet_table", watched)
    assert read(path) == ["a", "b"]
    with pytest.raises(UsageError, match="no column is called 'x'"):
        read(path, field="x")
    assert len(copies) == 3
    assert not any(copy.exists() for copy in copies)


def test_directories_and_globs_mix_forms(tmp_path, monkeypatch):
    (tmp_path / "d" / "deep").mkdir(parents=True)
    write(tmp_path / "d" / "1.jsonl", '{"text": "a"}')
    write(tmp_path / "d" / "2.txt", "b")
    write(tmp_path / "d" / "deep" / "3.csv", "n,text\n1,c\n")
    corpus = open_corpus(tmp_path / "d")
    assert list(corpus) == ["a", "b", "c"]
    assert "d holds 2 tables and 1 file read as plain text, such as 2.txt" in corpus.ledger.notes[0]
    monkeypatch.chdir(tmp_path)
    assert list(open_corpus("d/*")) == ["a", "b"]
    assert list(open_corpus("d/**")) == ["a", "b", "c"]
    assert list(open_corpora(["d/**/*.csv", "d/[1].*"])) == ["c", "a"]
    assert open_corpus("d/*.jsonl").name == "*.jsonl"
    assert open_corpus("d/*.jsonl").ledger.notes == []
    with pytest.raises(UsageError, match=r"no file matches the pattern 'd/\*\.tsv'"):
        open_corpus("d/*.tsv")
    write(tmp_path / "[x].txt", "itself")
    assert list(open_corpus("[x].txt")) == ["itself"]


def test_a_field_of_plain_text_is_not_ignored_unsaid(tmp_path):
    corpus = open_corpus(write(tmp_path / "t.txt", "a"), field="text")
    assert list(corpus) == ["a"]
    assert corpus.ledger.notes == ["--field text is for tables; t.txt is plain text, read as it stands."]
    assert "--streaming is for data sets" in open_corpus(tmp_path / "t.txt", streaming=True).ledger.notes[0]
    with pytest.raises(UsageError, match=r"--field .* is empty"):
        open_corpus(tmp_path / "t.txt", field=" ")


@pytest.mark.parametrize("data", ['[{"text": "a"},\n{"text": "b"}]', "[1]", '{\n "a": 1\n}\n', '{"data": ["a"]}'])
def test_one_json_value_is_refused(tmp_path, data):
    with pytest.raises(CorpusError, match=r"t\.json is one JSON (array|object), not lines of text\. Convert it.*jq -c"):
        read(write(tmp_path / "t.json", data))


def test_other_json_is_read_as_it_stands_and_that_is_said(tmp_path):
    path = write(tmp_path / "t.json", '{"a": 1}\n{"a": 2}\n')
    assert read(path) == ['{"a": 1}', '{"a": 2}']
    assert "read as plain text" in ledger(path).notes[0]
    assert "when its name ends in .jsonl" in ledger(path).notes[0]
