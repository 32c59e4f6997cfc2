"""Aligned pairs: what is left out, what is counted, and which side of a split a pair is on."""

import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.corpus import open_corpus
from textdl.corpus.pairs import KINDS, open_pairs
from textdl.errors import CorpusError, TextTypeError, UsageError


def parallel(lines, seed=1):
    """English-like sources whose targets are a third as long, give or take."""
    draw = random.Random(seed)
    sources = [" ".join(draw.choice(["a", "word", "longer"]) for _ in range(draw.randint(1, 30))) for _ in range(lines)]
    return sources, ["字" * round(len(source) * draw.uniform(0.27, 0.4) + 0.5) for source in sources]


SOURCES = ["a cat", "", "", "two dogs here", "b", "a cat", "x" * 100, "a cat"]
TARGETS = ["une chat", "rien", "", " ", "b", "une chat", "y", "un chat"]


def test_every_pair_is_kept_or_counted_with_its_line():
    pairs = open_pairs(SOURCES, TARGETS)
    kept = [("a cat", "une chat"), ("b", "b"), ("a cat", "une chat"), ("a cat", "un chat")]
    assert list(pairs) == kept
    assert list(pairs) == kept
    found = pairs.read()
    assert (found.read, found.kept, found.dropped) == (8, 4, 4)
    assert {kind: getattr(found, kind) for kind in KINDS} == {
        "blank": 1, "blank_source": 1, "blank_target": 1, "unlike": 1, "copies": 1, "duplicates": 1,
    }  # fmt: skip
    assert {kind: [e.line for e in shown] for kind, shown in found.examples.items()} == {
        "blank_source": [2], "blank": [3], "blank_target": [4], "copies": [5], "unlike": [7], "duplicates": [6],
    }  # fmt: skip
    assert found.examples["unlike"][0].source == "x" * 80
    assert (found.source_characters, found.target_characters) == (16, 24)
    assert "1 pair left out: absurd length ratio (line 7)." in found.sentences()
    assert found.to_dict()["examples"]["blank_source"] == [{"line": 2, "source": "", "target": "rien"}]
    assert (list(pairs.source), list(pairs.target)) == ([s for s, _ in kept], [t for _, t in kept])
    assert pairs.source.read().lines == 4


def test_a_ratio_is_absurd_beside_the_median_and_never_for_short_lines():
    sources, targets = parallel(300)
    assert open_pairs(sources, targets).read().unlike == 0
    assert open_pairs(sources, targets).read().median_ratio == pytest.approx(1 / 3, rel=0.1)
    sources += ["ok", "y" * 90, "z" * 20]
    targets += ["字" * 5, "字" * 4, "字" * 90]
    # With m = 1/3: (15 + 5) / (2 + 5) = 2.9; (12 + 5) / 95 = 1/5.6; (270 + 5) / 25 = 11
    assert [e.line for e in open_pairs(sources, targets).read().examples["unlike"]] == [303]
    assert [e.line for e in open_pairs(sources, targets, max_ratio=5).read().examples["unlike"]] == [302, 303]
    assert open_pairs(sources, targets, max_ratio=None).read().kept == 303


@pytest.mark.parametrize("compressed", [False, True])
def test_columns_of_a_file(tmp_path, compressed):
    path = tmp_path / ("t.tsv.gz" if compressed else "t.tsv")
    text = 'one\t"一\tCC-BY\nid\ttwo"\t二\n\nthree\t三\r\n'.encode()
    path.write_bytes(gzip.compress(text) if compressed else text)
    assert list(open_pairs(path)) == [("one", '"一'), ("id", 'two"'), ("three", "三")]
    assert open_pairs(str(path)).read().blank == 1
    assert list(open_pairs(["a\tb\tc"], columns=(3, 1))) == [("c", "a")]
    with pytest.raises(CorpusError, match=r"t.tsv.*, line 4: 2 columns, and columns 1 and 3 were asked for: 'three"):
        open_pairs(path, columns=(1, 3)).read()
    with pytest.raises(CorpusError, match=r"line 1: 1 column, and .* or give two files"):
        open_pairs(["no tab"]).read()


def test_tuples_are_pairs():
    assert list(open_pairs([("a\tb", "c"), ("d", "e")])) == [("a\tb", "c"), ("d", "e")]
    with pytest.raises(TextTypeError, match=r"pair 2 is \('d',\), not a tuple \(source, target\)"):
        open_pairs([("a", "b"), ("d",)])


def test_two_files(tmp_path):
    (tmp_path / "a.txt").write_bytes("我\n你\n".encode("gb18030"))
    (tmp_path / "b.txt").write_bytes("ich\ndu\n".encode("gb18030"))
    pairs = open_pairs(tmp_path / "a.txt", tmp_path / "b.txt", encoding="gb18030")
    assert pairs.name == "a.txt + b.txt"
    assert list(pairs) == [("我", "ich"), ("你", "du")]


@pytest.mark.parametrize("surplus", [1, -1, 7])
@pytest.mark.parametrize("place", [0, 40, 700, 999])
def test_unequal_texts_are_refused_with_the_place(place, surplus):
    sources, targets = parallel(1000)
    longer, shorter = (sources, targets) if surplus > 0 else (targets, sources)
    extra = [longer[3 * i + 1] for i in range(abs(surplus))]
    longer = longer[:place] + extra + longer[place:]
    with pytest.raises(CorpusError, match=f"{1000 + abs(surplus):,}") as caught:
        open_pairs(*((longer, shorter) if surplus > 0 else (shorter, longer))).read()
    told = str(caught.value)
    assert "1,000" in told
    near = int(told.split("near line ")[1].split(" ")[0].replace(",", ""))
    assert abs(near - place - 1) <= 3


def test_unequal_texts_without_a_place():
    sources, targets = parallel(300)
    random.Random(2).shuffle(targets)
    with pytest.raises(CorpusError, match=r"lines has 300 lines and lines 299: .* by line. Mend the texts"):
        open_pairs(sources, targets[1:]).read()
    with pytest.raises(CorpusError, match="blank on one side only is line 2 "):
        open_pairs(["a", "", "b", ""], ["a", "b", "b"]).read()
    with pytest.raises(CorpusError, match="lines has 2 lines and lines 0"):
        open_pairs(["a", "b"], []).read()


def test_a_side_without_duplicates_is_refused():
    with pytest.raises(UsageError, match="lines of one side cannot be dropped"):
        open_pairs(open_corpus(["a", "a", "b"]).without_duplicates(), ["x", "y"]).read()


def test_no_text_and_wrong_arguments():
    with pytest.raises(CorpusError, match=r"no pair with text on both sides. Read 1 pair; 0 kept."):
        open_pairs(["a"], [" "]).require_text()
    open_pairs(["a"], ["b"]).require_text()
    assert open_pairs([], []).read().kept == 0
    for columns in ((0, 1), (1, 1), (1,)):
        with pytest.raises(UsageError, match="two different numbers"):
            open_pairs(["a\tb"], columns=columns)
    with pytest.raises(UsageError, match="--max-ratio"):
        open_pairs(["a"], ["b"], max_ratio=1)
    for name in ("missing.tsv", "zh-reviews", "", "a\0b", 300 * "x"):
        with pytest.raises(UsageError, match=r"is neither a file .* built-in pairs, which are everyday, toy:copy"):
            open_pairs(name)


def test_what_was_mended_in_reading_the_sides_is_said(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\xff\r\ntwo\0\n" * 9)
    (tmp_path / "b.jsonl").write_text('{"id": "1", "text": "eins"}\n{"id": "2", "text": "zwei"}\n' * 9)
    pairs = open_pairs(tmp_path / "a.txt", tmp_path / "b.jsonl", errors="replace")
    mended = [
        "The source, a.txt: 9 line ends \\r\\n read as \\n.",
        "The source, a.txt: 1 byte-order mark dropped.",
        "The source, a.txt: 9 characters replaced by U+FFFD: they could not be decoded.",
        "The source, a.txt: 9 NUL characters kept as text; that is rarely meant.",
    ]
    told = pairs.read().notes
    assert told[:4] == mended
    assert "The field 'text' is read" in told[4]
    assert len(told) == 5
    assert pairs.read().sentences()[-5:] == told
    assert pairs.split("train").read().notes == pairs.hold_out()[0].read().notes == told
    assert pairs.target.read().notes == told
    (tmp_path / "t.tsv").write_bytes(b"one\xff\teins\r\n")
    (note, replaced) = open_pairs(tmp_path / "t.tsv", errors="replace").read().notes
    assert note == "t.tsv: 1 line end \\r\\n read as \\n."
    assert replaced == "t.tsv: 1 character replaced by U+FFFD: they could not be decoded."
    with pytest.raises(UsageError, match=r"--errors .* must be"):
        open_pairs(tmp_path / "t.tsv", errors="ignore")


def test_parts_are_by_the_source_and_stay_where_they_are():
    sources = [f"line {i % 60}" for i in range(120)]  # every source twice, with two translations
    targets = [f"Zeile {i}" for i in range(120)]
    pairs = open_pairs(sources, targets)
    parts = [list(pairs.split(part)) for part in ("train", "valid", "test")]
    assert sorted(pair for part in parts for pair in part) == sorted(pairs)
    assert all(parts)
    sides = [{source for source, _ in part} for part in parts]
    assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
    more = open_pairs([*sources, "new"], [*targets, "neu"])
    assert set(parts[0]) <= set(more.split("train"))
    train, valid = pairs.hold_out(0.05)
    assert not {source for source, _ in train} & {source for source, _ in valid}
    assert train.read().kept + valid.read().kept == 120
    tiny = open_pairs(["a", "b"], ["c", "d"]).hold_out(0.0001)
    assert [len(list(part)) for part in tiny] == [1, 1]
    with pytest.raises(UsageError, match="no split is called"):
        pairs.split("dev")
    with pytest.raises(UsageError, match="between 0 and 1"):
        pairs.hold_out(1)


def test_the_fingerprint_is_of_the_pairs_that_are_kept():
    def of(*sides):
        pairs = open_pairs(*sides)
        pairs.read()
        return pairs.fingerprint

    assert of(["a", "b"], ["c", "d"]) == of(["a\tc", "\t", "b\td"])
    assert of(["a", "b"], ["c", "d"]) != of(["a", "b"], ["d", "c"])
    assert len({of(["a"], ["b"]), of(["b"], ["a"]), of([], [])}) == 3


@given(st.lists(st.tuples(st.text("ab \u3000我", max_size=12), st.text("ab 我", max_size=12)), max_size=20))
def test_the_sum_holds_for_any_pairs(rows):
    pairs = open_pairs([s for s, _ in rows], [t for _, t in rows], max_ratio=1.5)
    found = pairs.read()
    kept = list(pairs)
    assert found.read == len(rows) == found.kept + found.dropped
    assert found.kept == len(kept)
    assert found.duplicates == len(kept) - len(set(kept))
    assert found.copies == sum(s == t for s, t in kept)
    assert all(s.strip() and t.strip() for s, t in kept)
