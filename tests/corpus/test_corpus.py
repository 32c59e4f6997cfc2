"""What is a corpus, what is refused and how; passes, views, fingerprints."""

import hashlib
import io
import os
import sys
import threading
from itertools import chain, compress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.corpus import Ledger, catalog, open_corpora, open_corpus, statistics, write_split
from textdl.corpus.sentences import split_sentences
from textdl.corpus.split import bounds, split_lines
from textdl.errors import CorpusError, TextTypeError, UsageError

LINES = [f"line {i}" for i in range(1000)]


def fingerprint(lines):
    return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()


def test_lines_and_files_are_one(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("\n".join(LINES))
    for corpus in (open_corpus(LINES), open_corpus(tuple(LINES)), open_corpus(path), open_corpus(str(path))):
        assert corpus.fingerprint is None
        assert list(corpus) == LINES
        assert list(corpus) == LINES
        assert corpus.fingerprint == fingerprint(LINES)
        assert corpus.ledger.to_dict() == Ledger(lines=1000, characters=sum(map(len, LINES))).to_dict()
        assert corpus.unit == "line"


def test_a_pass_that_was_given_up_counts_nothing():
    corpus = open_corpus(LINES * 10)
    assert next(iter(corpus)) == "line 0"
    assert corpus.ledger.lines == 0
    assert corpus.fingerprint is None
    assert len(list(zip(corpus, corpus, strict=True))) == 10_000  # two passes at once
    assert corpus.ledger.lines == 10_000


def test_later_passes_keep_what_later_stages_wrote():
    corpus = open_corpus(LINES)
    corpus.read().tokens = 7
    list(corpus)
    assert corpus.ledger.tokens == 7


def test_a_list_may_carry_its_line_ends():
    corpus = open_corpus(["a\n", "b\r\n", "c"])
    assert list(corpus) == ["a", "b", "c"]
    assert corpus.ledger.crlf == 1
    with pytest.raises(CorpusError, match="line 2 of the list has a line end inside"):
        list(open_corpus(["a", "b\nc\n"]))


def test_a_directory_is_its_files_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_text("2")
    (tmp_path / "1.txt").write_text("1\n")
    (tmp_path / ".hidden").write_text("no")
    assert list(open_corpus(tmp_path)) == ["1", "2"]
    assert open_corpus(tmp_path).name == tmp_path.name
    assert open_corpus(tmp_path).size_hint == 3
    (tmp_path / "b" / "empty").mkdir()
    with pytest.raises(UsageError, match="a directory without files"):
        open_corpus(tmp_path / "b" / "empty")


def test_paths_in_a_list(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    assert list(open_corpus([tmp_path / "a", tmp_path / "b"])) == ["a", "b"]
    with pytest.raises(TextTypeError, match=r"line 2 is a PosixPath, not a str. A list holds lines or paths"):
        open_corpus(["a", tmp_path / "b"])
    told = open_corpus([str(tmp_path / "a")]).ledger.notes
    assert "name of a file that exists" in told[0]


def test_a_path_beats_a_catalog_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "en-wiki").write_text("mine")
    assert list(open_corpus("en-wiki")) == ["mine"]


def test_standard_input_can_be_read_again(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("中\r\n\x85".encode())))
    corpus = open_corpora(["-"])
    assert corpus.name == "stdin"
    assert list(corpus) == list(corpus) == ["中", "\x85"]
    with pytest.raises(UsageError, match="name it once"):
        open_corpora(["-", "-"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_can_be_read_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("a\nb",))
    writer.start()
    corpus = open_corpus(tmp_path / "pipe")
    assert list(corpus) == list(corpus) == ["a", "b"]
    writer.join()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (7, "got int"),
        (None, "got NoneType"),
        (b"text", "bytes are not text yet"),
        (iter(["a"]), "can be read only once.*Pass list.*spool=True"),
        ((line for line in "ab"), "a generator can be read only once"),
        ({"a", "b"}, "a set is not a sequence"),
        ({"a": 1}, "a dict is not a sequence"),
        (["a", 2], "line 2 is a int, not a str"),
        ([["a", "b"]], "line 1 is a list, not a str. Lines are raw text"),
        ([b"a"], "line 1 is a bytes, not a str. Decode it"),
    ],
)
def test_what_is_no_text(source, message):
    with pytest.raises(TextTypeError, match=message):
        open_corpus(source)


def test_an_open_file_can_be_read_only_once(tmp_path):
    (tmp_path / "t.txt").write_text("a")
    with (tmp_path / "t.txt").open() as file, pytest.raises(TextTypeError, match="the path of the file itself"):
        open_corpus(file)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("en-wikki", "'en-wikki' is neither a file .* Did you mean en-wiki?"),
        ("nothing.txt", "'nothing.txt' is neither.* The catalog has en-wiki, "),
        ("", "'' is neither"),
        ("first line\nsecond", r"looks like text. Pass \[text\]"),
        ("long " * 100, "looks like text"),
        (Path("no/such"), "no/such: there is no such file"),
    ],
)
def test_names_of_nothing(source, message):
    with pytest.raises(UsageError, match=message):
        open_corpus(source)
    with pytest.raises(UsageError, match="no corpus was named"):
        open_corpora([])


@pytest.mark.parametrize("lines", [[], ["", " ", "\u3000"]])
def test_nothing_to_train_on(lines):
    corpus = open_corpus(lines)
    with pytest.raises(CorpusError, match=r"lines is (empty|only blank lines)"):
        corpus.require_text()
    open_corpus(["", "a"]).require_text()


def test_a_lone_surrogate_is_refused_with_its_line():
    lines = ["a", "b\ud800"]
    for corpus in (open_corpus(lines), open_corpus(lines).split("train"), open_corpus(iter(lines), spool=True)):
        with pytest.raises(
            CorpusError, match=r"line 2 of the list: a lone surrogate \(U\+D800\).* --errors replace \(in Py"
        ):
            list(corpus)


def test_lone_surrogates_are_replaced_and_counted():
    corpus = open_corpus(["a", "b\ud800\udfff\ufffd😀"], errors="replace")
    assert list(corpus) == list(corpus) == ["a", "b\ufffd\ufffd\ufffd😀"]
    assert corpus.ledger.replaced == 2


# What can be read once, or changes


class Around:
    """Re-iterable to look at, but around one generator."""

    def __init__(self, lines):
        self.lines = (line for line in lines)

    def __iter__(self):
        return self.lines


class Passes:
    """Gives other lines in every pass."""

    def __init__(self, *passes):
        self.passes = passes
        self.begun = 0

    def __iter__(self):
        self.begun += 1
        yield from self.passes[min(self.begun, len(self.passes)) - 1]


def test_one_generator_in_disguise_is_refused():
    with pytest.raises(TextTypeError, match=r"a Around can be read only once.*Pass list.*spool=True"):
        open_corpus(Around("ab"))
    assert list(open_corpus(Around("ab"), spool=True)) == ["a", "b"]


def test_spooled_lines_are_the_lines(tmp_path):
    lines = ["\ufeffa", "b\r", "", "\x85\u2028中", "c\n", "d\r\n"]
    corpus = open_corpus((line for line in lines), spool=True)
    for _ in range(2):
        assert list(corpus) == ["\ufeffa", "b\r", "", "\x85\u2028中", "c", "d"]
    assert corpus.ledger.crlf == 1
    assert corpus.ledger.boms == 0
    assert list(corpus.without_duplicates().split("train")) == list(open_corpus(list(corpus)).split("train"))
    with pytest.raises(TextTypeError, match="line 2 is a int"):
        list(open_corpus(iter(["a", 2]), spool=True))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=5)))
def test_any_lines_can_be_spooled(lines):
    assert list(open_corpus(iter(lines), spool=True)) == lines


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (["a", "c"], "something from line 1 to 2 is not what it was"),
        (["a"], "something from line 1 to 1 is not what it was, or is gone"),
        (["a", "b", "c"], "something from line 1 to 3"),
        ([], "there were more than 0 lines, and now there are no more"),
    ],
)
def test_another_second_pass_is_noticed(second, message):
    lines = Passes(["a", "b"], second)
    corpus = open_corpus(lines)
    list(corpus)
    with pytest.raises(CorpusError, match=f"not the same in every pass: .*{message}.*spool=True"):
        list(corpus)
    assert list(open_corpus(Passes(["a", "b"], second), spool=True).without_duplicates()) == ["a", "b"]


def test_a_change_behind_the_first_batch_is_noticed():
    for second in (LINES * 9, LINES * 10 + ["more"], LINES * 9 + ["other"] * 1000):
        corpus = open_corpus(Passes(LINES * 10, second))
        list(corpus)
        with pytest.raises(CorpusError, match="not the same in every pass"):
            list(corpus.without_duplicates())
    begun = open_corpus(Passes(LINES * 10, LINES))  # the first pass need not have been complete
    begun.require_text()
    with pytest.raises(CorpusError, match="not the same in every pass"):
        list(begun)


@pytest.mark.parametrize(("name", "value"), [("encoding", 5), ("encoding", None), ("field", 3)])
def test_options_of_another_type(tmp_path, name, value):
    (tmp_path / "t.parquet").touch()
    with pytest.raises(TextTypeError, match=rf"^{name}= must be a str.* got {value}"):
        open_corpus(tmp_path / "t.parquet", **{name: value})


def test_long_lines_make_small_batches():
    corpus = open_corpus(["x" * 600_000] * 5)
    assert [len(batch) for batch in corpus.batches()] == [2, 2, 1]


def test_a_file_that_changes_is_noticed(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("a")
    corpus = open_corpus(path)
    list(corpus)
    path.write_text("ab")
    with pytest.raises(CorpusError, match="was changed while it was in use"):
        list(corpus)


def test_a_file_that_is_gone(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("a")
    corpus = open_corpus(path)
    path.unlink()
    with pytest.raises(CorpusError, match=r"t\.txt: cannot be read \(No such file"):
        list(corpus)


# Splits and held-out lines


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_the_parts_are_the_whole(unit):
    corpus = open_corpus(LINES)
    corpus.unit = unit
    parts = [list(corpus.split(part)) for part in ("train", "valid", "test")]
    assert sorted(chain.from_iterable(parts)) == sorted(LINES)
    if unit == "stream":
        assert parts == [LINES[:800], LINES[800:900], LINES[900:]]
    else:
        assert parts == split_lines(LINES)
        assert 740 < len(parts[0]) < 860
    train, valid = corpus.hold_out(0.05)
    assert sorted([*train, *valid]) == sorted(LINES)
    assert 25 < len(list(valid)) < 75
    assert list(train.split("valid")) != []
    assert train.name == "lines without 5 %"


def test_adding_lines_moves_none():
    few, many = open_corpus(LINES[:500]), open_corpus(LINES)
    for part in ("train", "valid", "test"):
        assert list(many.split(part))[: len(list(few.split(part)))] == list(few.split(part))


def test_holding_out_of_a_split_is_no_split_of_it():
    train = open_corpus([str(i) for i in range(20_000)]).split("train")
    assert 0.04 < train.hold_out(0.05)[1].read().lines / train.read().lines < 0.06


@given(st.lists(st.text(max_size=3), min_size=1, max_size=30), st.sampled_from(["line", "stream"]))
def test_something_is_always_held_out(lines, unit):
    lines = [line.replace("\n", "") for line in lines]
    try:
        "".join(lines).encode()
    except UnicodeEncodeError:
        return
    corpus = open_corpus(lines)
    corpus.unit = unit
    train, valid = (list(part) for part in corpus.hold_out(0.05))
    assert sorted(train + valid) == sorted(lines)
    if unit == "line":
        assert valid
        assert not set(train) & set(valid)
    else:
        assert train + valid == lines
        assert len(valid) == min(max(1, round(0.05 * len(lines))), len(lines) - 1)


@given(
    st.lists(st.sampled_from("abcdefgh")),
    st.lists(st.floats(0, 9), min_size=1, max_size=4).filter(lambda r: sum(r) > 0),
)
def test_split_lines_keeps_duplicates_together(lines, ratios):
    parts = split_lines(lines, ratios)
    assert sorted(chain.from_iterable(parts)) == sorted(lines)
    assert sum(len(set(part)) for part in parts) == len(set(lines))


def test_bad_splits():
    with pytest.raises(UsageError, match="no split is called 'dev'; there are train, valid, test"):
        open_corpus(LINES).split("dev")
    with pytest.raises(UsageError, match="ratios must be"):
        bounds((0, 0))
    with pytest.raises(UsageError, match="between 0 and 1"):
        open_corpus(LINES).hold_out(5)


# Views and the ledger


def test_duplicates_are_dropped_and_counted():
    corpus = open_corpus(["ab", "b", "ab", "ab"]).without_duplicates()
    assert list(corpus) == list(corpus) == ["ab", "b"]
    ledger = corpus.ledger
    assert (ledger.duplicates_dropped, ledger.duplicate_characters) == (2, 4)
    assert (ledger.lines, ledger.characters, ledger.lines_read, ledger.characters_read) == (2, 3, 4, 7)
    assert "2 duplicate lines dropped." in corpus.ledger.sentences()
    assert list(open_corpus(LINES * 9).without_duplicates()) == LINES
    assert list(open_corpus([]).without_duplicates()) == []


def test_blank_lines_are_no_duplicates():
    lines = ["a", "", "b", "", " ", "a", " ", "\u3000", "\u3000"]
    corpus = open_corpus(lines).without_duplicates()
    assert list(corpus) == ["a", "", "b", "", " ", " ", "\u3000", "\u3000"]
    assert (corpus.ledger.duplicates_dropped, corpus.ledger.blank) == (1, 6)
    assert statistics.stats(open_corpus(lines)).duplicates == 1


def test_sentences():
    text = ["他来了。 我走了！", "", " ", "One line.", "  Mr. Smith left. Why?  "]
    corpus = open_corpus(text)
    corpus.unit = "stream"
    view = corpus.sentences()
    assert list(view) == ["他来了。", "我走了！", "", " ", "One line.", "Mr. Smith left.", "Why?"]
    ledger = view.ledger
    assert (ledger.lines_split, ledger.sentences_added, ledger.characters_between) == (2, 2, 6)
    assert (ledger.lines, ledger.lines_read, ledger.blank) == (7, 5, 2)
    assert ledger.characters_read == sum(map(len, text))
    assert view.unit == "stream"
    assert view.name == "lines in sentences"


PIECES = ["他来了。", "“好吗？”", "He left.", " ", "Why?", "a", "\u3000", "\0"]
VIEWS = ["dedup", "sentences", "train", "held out", "trained on"]


def view_of(corpus, view):
    if view == "dedup":
        return corpus.without_duplicates()
    if view == "sentences":
        return corpus.sentences()
    return corpus.split("train") if view == "train" else corpus.hold_out(0.3)[view == "held out"]


def plainly(lines, view, unit):
    """(lines, dropped lines, sentences added) of a view, in the plainest words."""
    if view == "dedup":
        gone = [bool(line.strip()) and line in lines[:i] for i, line in enumerate(lines)]
        return [line for line, g in zip(lines, gone, strict=True) if not g], list(compress(lines, gone)), 0
    if view == "sentences":
        parts = [split_sentences(line) or [line] for line in lines]
        return list(chain.from_iterable(parts)), [], sum(map(len, parts)) - len(parts)
    corpus = open_corpus(lines)
    corpus.unit = unit
    return list(view_of(corpus, view)), [], 0


@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), min_size=1, max_size=20),
    st.lists(st.sampled_from(VIEWS), max_size=4),
    st.sampled_from(["line", "stream"]),
)
def test_the_sums_of_the_ledger_hold_for_every_chain_of_views(lines, views, unit):
    corpus = open_corpus(lines)
    corpus.unit = unit
    read = lines
    dropped, added = [], 0
    for view in views:
        before = lines
        corpus = view_of(corpus, view)
        lines, gone, more = plainly(lines, view, unit)
        if view in ("dedup", "sentences"):
            dropped, added = dropped + gone, added + more
        else:  # a part: what was left out before it is in the ledger of its base
            read, dropped, added = lines, [], 0
            assert set(lines) <= set(before)
    assert list(corpus) == list(corpus) == lines
    ledger = corpus.ledger
    assert ledger.lines == len(lines)
    assert ledger.characters == sum(map(len, lines))
    assert ledger.blank == sum(not line or line.isspace() for line in lines)
    assert ledger.nuls == "".join(lines).count("\0")
    assert (ledger.duplicates_dropped, ledger.duplicate_characters) == (len(dropped), sum(map(len, dropped)))
    assert ledger.sentences_added == added
    assert ledger.lines_read == len(read)
    assert ledger.characters_read == sum(map(len, read))
    assert corpus.fingerprint == fingerprint(lines)


def test_write_split(tmp_path):
    out = tmp_path / "new" / "split"
    counts = write_split(open_corpus(LINES), out)
    assert sum(counts.values()) == 1000
    assert sorted(p.name for p in out.iterdir()) == ["test.txt", "train.txt", "valid.txt"]
    assert list(open_corpus(out / "valid.txt")) == list(open_corpus(LINES).split("valid"))
    with pytest.raises(UsageError, match=r"train\.txt exists and is not overwritten"):
        write_split(open_corpus(LINES), out)
    with pytest.raises(CorpusError, match="no text"):
        write_split(open_corpus([]), tmp_path / "empty")
    with pytest.raises(CorpusError, match="lone surrogate"):
        write_split(open_corpus([*LINES * 9, "\ud800"]), tmp_path / "bad")
    assert list((tmp_path / "bad").iterdir()) == []
    assert set(write_split(open_corpus(LINES), tmp_path / "two", (9, 1))) == {"train", "valid"}


def test_the_ledger_tells_only_what_there_is():
    assert Ledger(lines=1, characters=2).sentences() == ["Read 1 line, 2 characters."]
    full = Ledger(
        lines=10, characters=90, blank=1, records=8, records_without_text=2, records_of_several_lines=1, crlf=2, boms=1,
        replaced=3, nuls=1, duplicates_dropped=4, duplicate_characters=20, lines_split=2, sentences_added=3,
        characters_between=5, lines_held_out=5, characters_held_out=40, tokens_held_out=30, tokens=50, types=20,
        cut_types=10, cut_tokens=12, notes=["Mind."],
    )  # fmt: skip
    told = full.sentences()
    assert told[0] == "Read 11 lines, 115 characters."  # 10 + 4 - 3 and 90 + 20 + 5
    for sentence in (
        "1 line blank.",
        "8 records read.",
        "2 records without text gave no line.",
        "1 record with line ends inside gave several lines.",
        r"2 line ends \r\n read as \n.",
        "1 byte-order mark dropped.",
        "3 characters replaced by U+FFFD: they could not be decoded.",
        "1 NUL character kept as text; that is rarely meant.",
        "4 duplicate lines dropped.",
        "2 lines split into 5 sentences.",
        "5 lines held out for validation.",
        "50 tokens of 20 types.",
        "Mind.",
    ):
        assert sentence in told
    assert full.rows() == [
        ("read", 11, 115, None),
        ("duplicates dropped", -4, -20, None),
        ("split into sentences", 3, -5, None),
        ("held out", -5, -40, 30),
        ("trained on", 5, 50, 50),
    ]
    for column in (1, 2):
        assert sum(row[column] for row in full.rows()[:-1]) == full.rows()[-1][column]


def test_white_space_around_sentences_is_a_row_of_the_table():
    ledger = open_corpus(["  a line ", "\tanother"]).sentences().read()
    ledger.tokens = 3
    assert ledger.rows() == [("read", 2, 17, None), ("split into sentences", 0, -4, None), ("trained on", 2, 13, 3)]
    assert "4 characters of white space around sentences dropped." in ledger.remarks()


@given(
    st.lists(st.lists(st.sampled_from([*PIECES, "\t", "  "]), max_size=4).map("".join), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "line", "stream"]),
)
def test_the_rows_of_the_table_sum_up(lines, dedup, sentences, held_out):
    text = open_corpus(lines)
    text = text.without_duplicates() if dedup else text
    text = text.sentences() if sentences else text
    ledger = text.read()
    left = text.hold_out(0.3, held_out)[0].read() if held_out else ledger
    ledger.lines_held_out = ledger.lines - left.lines
    ledger.characters_held_out = ledger.characters - left.characters
    ledger.tokens = 0
    *rows, last = ledger.rows()
    assert rows[0][1:3] == (len(lines), sum(map(len, lines)))
    assert last[1:3] == (left.lines, left.characters) == (sum(row[1] for row in rows), sum(row[2] for row in rows))


MENDED = [
    "In reading all of t.txt: 2 line ends \\r\\n read as \\n.",
    "In reading all of t.txt: 1 byte-order mark dropped.",
    "In reading all of t.txt: 3 characters replaced by U+FFFD: they could not be decoded.",
]


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_a_part_says_what_was_mended_in_reading_the_whole(tmp_path, unit):
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa\xff\r\nb\xff\xff\r\n" + b"".join(b"%d\n" % i for i in range(50)))
    text = open_corpus(path, errors="replace")
    text.unit = unit
    for part in (text.split("train"), *text.hold_out(), text.split("train").split("test")):
        assert part.ledger.notes == []
        assert part.read().remarks() == MENDED
    assert open_corpora([path], errors="replace").split("valid").sentences().read().notes == MENDED
    assert (part.ledger.replaced, text.ledger.replaced) == (0, 3)


def test_a_part_says_which_field_was_taken(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "1", "text": "a"}\n{"id": "2", "text": null}\n' * 30)
    field, missing = open_corpus(path, split="train").read().notes
    assert "The field 'text' is read" in field
    assert missing == "In reading all of t.jsonl: 30 records without text gave no line."


def test_the_catalog_lists_the_names():
    assert [entry.name for entry in catalog()] == [
        "en-wiki",
        "zh-peoples-daily",
        "zh-peoples-daily-words",
        "zh-reviews",
    ]
