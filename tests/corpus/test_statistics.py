"""What a corpus is made of, and what a tokenizer makes of it."""

import bz2
import codecs

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.corpus import mostly_han, open_corpus, stats
from textdl.corpus.statistics import Strange, encoding_of, script_of, token_statistics
from textdl.errors import CorpusError
from textdl.vocabulary import build


def test_a_small_corpus_counted_by_hand():
    found = stats(open_corpus(["中文 ab1，", "", "ж々", "ж々", "é\t"]), frequent=2)
    # characters: 7 + 0 + 2 + 2 + 2 = 13; Han 中 文 々 々, Latin a b é, Cyrillic ж ж
    assert (found.lines, found.blank, found.characters, found.duplicates) == (5, 1, 13, 1)
    assert found.scripts == {"Han": 4, "Latin": 3, "Cyrillic": 2, "white space": 2, "digits": 1, "punctuation": 1}
    assert (found.shortest, found.median, found.longest, found.longest_line) == (0, 2, 7, 1)
    assert found.lengths == [(0, 0, 1), (1, 1, 0), (2, 3, 3), (4, 7, 1)]
    assert found.distinct_characters == 11
    assert found.frequent == [("ж", 2), ("々", 2)]
    assert (found.strange, found.strange_kinds) == ([], {})
    assert found.to_dict()["lines"] == 5


def test_the_median_of_an_even_number():
    assert stats(open_corpus(["a", "bbb", "cc", "dddddd"])).median == 2.5
    empty = stats(open_corpus([]))
    assert (empty.median, empty.lengths, empty.longest_line, empty.scripts) == (0, [], 0, {})


def test_strange_characters_have_their_first_line(tmp_path):
    path = tmp_path / "t.txt"
    lines = ["good"] * 100_000  # so that it takes several blocks
    lines[70_000] = "a\u200bb\ue000\ue000"
    lines[80_000] = "\u0301x\0\ue001"
    lines[90_000] = "x\u200b锟斤拷锟斤拷"
    path.write_text("\n".join(lines), "utf-8")
    found = stats(open_corpus(path), strange=1)
    assert found.strange == [
        Strange("NUL", "\0", "U+0000", "", 1, 80_001),
        Strange("private use", "\ue000", "U+E000", "", 2, 70_001),
        Strange("zero width", "\u200b", "U+200B", "ZERO WIDTH SPACE", 2, 70_001),
        Strange("lone mark", "\u0301", "U+0301", "COMBINING ACUTE ACCENT", 1, 80_001),
        Strange("misread", "锟斤拷", "U+951F U+65A4 U+62F7", "U+FFFD in UTF-8, read as GBK", 2, 90_001),
    ]
    assert found.strange_kinds["private use"] == (2, 3)
    assert found.longest_line == 90_001


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=30), max_size=10))
def test_the_sums_hold_for_any_text(lines):
    found = stats(open_corpus(lines), frequent=10_000, strange=10_000)
    assert found.characters == sum(map(len, lines)) == sum(found.scripts.values()) == sum(n for _, n in found.frequent)
    assert found.lines == len(lines) == sum(number for _, _, number in found.lengths)
    assert found.blank == sum(not line.strip() for line in lines)
    filled = [line for line in lines if line.strip()]
    assert found.duplicates == len(filled) - len(set(filled))
    for odd in found.strange:
        number, line = sum(line.count(odd.text) for line in lines), lines[odd.line - 1]
        if odd.kind not in ("lone mark", "misread"):
            assert odd.count == number
        assert odd.text in line


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("中", "Han"), ("a", "Latin"), ("Ａ", "Latin"), ("ア", "Katakana"), ("ｱ", "Katakana"), ("あ", "Hiragana"),
        ("한", "Hangul"), ("א", "Hebrew"), ("ᚠ", "other letters"), ("1", "digits"), ("１", "digits"), ("Ⅷ", "digits"),
        ("，", "punctuation"), ("+", "symbols"), ("👍", "symbols"), ("\u3000", "white space"), ("\0", "other"),
        ("\u0301", "combining marks"), ("ª", "other letters"),
    ],
)  # fmt: skip
def test_scripts(character, script):
    assert script_of(character) == script


def test_tokens_counted_by_hand():
    # a b a c | a b | d: 7 tokens of 4 types, first seen at 0, 1, 3, 6; c and d occur once
    vocab, data, _ = build([["a", "b", "a", "c"], ["a", "b"], ["d"]])
    found = token_statistics("whitespace", data, vocab.counts, characters=10)
    assert (found.tokens, found.types) == (7, 4)
    assert found.tokens_per_line == pytest.approx(7 / 3)
    assert found.characters_per_token == pytest.approx(10 / 7)
    assert found.hapax_share == 0.5
    assert found.coverage == {1000: 1.0, 10_000: 1.0}
    assert found.growth == [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 3), (7, 4)]
    assert found.ranks == [(1, 3), (2, 2), (3, 1), (4, 1)]
    assert (found.heaps, found.zipf) == (None, None)


def test_an_inventory_and_what_it_lacks():
    vocab, data, lacking = build([["a", "x", "x", "y"]], inventory=["a", "b"])
    found = token_statistics("sp", data, vocab.counts, characters=4, lacking=lacking)
    assert (found.types, found.tokens, found.lacking_types, found.lacking_tokens) == (3, 4, 2, 3)
    assert found.growth[-1] == (4, 2)  # what is lacking is one type there
    empty = token_statistics("char", *_empty(), characters=0)
    assert (empty.tokens, empty.growth, empty.ranks, empty.hapax_share, empty.heaps) == (0, [], [], 0.0, None)


def _empty():
    vocab, data, _ = build([])
    return data, vocab.counts


def test_laws_that_hold_are_found():
    # type r occurs 20,000 / r times: Zipf's exponent is 1
    ids = np.repeat(np.arange(2000), 20_000 // np.arange(1, 2001))
    vocab, data, _ = build([[str(i) for i in ids]])
    found = token_statistics("t", data, vocab.counts, characters=1)
    assert found.zipf is not None
    assert found.zipf.exponent == pytest.approx(1, abs=0.01)
    assert found.zipf.scale == pytest.approx(20_000, rel=0.02)
    assert found.zipf.ranks == 2000
    assert 1 <= found.zipf.off < 1.02
    # a new type at every square number: V(n) = sqrt(n)
    tokens = [str(int(n**0.5)) for n in range(1, 100_001)]
    vocab, data, _ = build([tokens[i : i + 1000] for i in range(0, 100_000, 1000)])
    found = token_statistics("t", data, vocab.counts, characters=1)
    assert found.heaps is not None
    assert found.heaps.exponent == pytest.approx(0.5, abs=0.01)
    assert found.heaps.scale == pytest.approx(1, abs=0.05)


@given(st.lists(st.lists(st.integers(0, 20).map(str), max_size=30), max_size=8))
def test_growth_does_not_depend_on_the_chunk(lines):
    from textdl.corpus import statistics

    _, data, _ = build(lines)
    flat = [token for line in lines for token in line]
    places = [flat.index(token) for token in dict.fromkeys(flat)]
    assert statistics._first_places(data).tolist() == places
    assert statistics._first_places(data, chunk=3).tolist() == places


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "ASCII"),
        (b"plain\n", "ASCII"),
        ("中文\n".encode(), "UTF-8"),
        ("中".encode() * 400_000, "UTF-8"),  # the sample ends within a character
        (codecs.BOM_UTF8 + "中文".encode(), "UTF-8 with a byte-order mark"),
        (b"a\n" * 1_000_000 + "中文".encode(), "UTF-8"),
        ("中文".encode("utf-16"), "UTF-16"),
        ("plain text\n".encode("utf-16-le"), "UTF-16 or a binary file, by its bytes of 0"),
        ("我们在北京看升旗。\n".encode("gb18030") * 20, "GB18030, by the look of it"),
        (b"\xff\x81\xfe" * 40, "not UTF-8, and like nothing known"),
    ],
)
def test_what_an_encoding_looks_like(data, name, tmp_path):
    (tmp_path / "t.txt").write_bytes(data)
    (tmp_path / "t.bz2").write_bytes(bz2.compress(data))
    assert encoding_of(tmp_path / "t.txt") == encoding_of(tmp_path / "t.bz2") == name


def test_an_encoding_of_nothing(tmp_path):
    with pytest.raises(CorpusError, match="cannot be read"):
        encoding_of(tmp_path / "missing")


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["中文abc中文字"], True),
        (["中 abc"], False),
        (["１２，。", ""], False),
        ([], False),
        (["", " ", "汉字"], True),
        (["日本語のテキストです"], False),
        (["汉"] * 1000 + ["a" * 9000], True),
    ],
)
def test_mostly_han(lines, answer):
    assert mostly_han(lines) is answer
