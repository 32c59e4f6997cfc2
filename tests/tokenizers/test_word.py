"""`word`: where it cuts, what it writes down, and that it comes back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.tokenizers import create

AWKWARD = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    st.sampled_from(" \t\u3000\u0085\u2028\uffed\u302a\ufe0f.,'’\"()_a我漢が，。ab12１２\u0301<s>/\\🙂\u200d\x00\x0b")
)


def test_only_unexpected_spacing_is_written():
    word = create("word")
    assert word.encode("Hello, world") == ["Hello", "￭,", "world"]
    assert word.encode("Hello , world") == ["Hello", ",", "world"]
    assert word.encode("(don't)") == ["(￭", "don't", "￭)"]
    assert word.encode("3.14, 1,000 a_b") == ["3.14", "￭,", "1,000", "a_b"]
    assert word.encode("我用 Python写，") == ["我", "用", " ", "Python", "写", "，"]
    assert word.encode("a  b") == ["a", "  ", "b"]
    assert word.encode(" 我。\u3000 你") == [" ", "我", "。", "\u3000 ", "你"]
    assert word.encode("漢\u302a字\ufe0f") == ["漢\u302a", "字\ufe0f"]


def test_digits_one_by_one():
    each = create("word,digits=each")
    assert each.encode("B2B 3.14") == ["B", "￭2￭", "B", "3", "￭.￭", "1", "￭4"]
    assert each.encode("in 1998, he") == ["in", "1", "￭9", "￭9", "￭8", "￭,", "he"]
    assert each.encode("１２月 (2)") == ["１", "￭２", "月", " ", "(￭", "2", "￭)"]
    assert each.lossless


def test_digits_as_zeros_lose_what_they_were():
    zero = create("word,digits=zero")
    assert zero.encode("1998年 ٣.14") == ["0000", "年", " ", "0.00"]
    assert not zero.lossless
    assert zero.normalized("a 12") == "a 00" != "a 12"
    assert zero.normalized("a b") == "a b"


@pytest.mark.parametrize("spec", ["word", "word,digits=each"])
@given(line=AWKWARD)
@settings(max_examples=300)
def test_every_line_comes_back(spec, line):
    tokenizer = create(spec)
    pieces = tokenizer.encode(line)
    assert tokenizer.decode(pieces) == line
    assert all(pieces)
    if spec.endswith("each"):
        assert all(sum(character.isdecimal() for character in piece) <= 1 for piece in pieces)
        assert all(len(piece.strip("￭")) == 1 for piece in pieces if any(map(str.isdecimal, piece)))


@given(line=AWKWARD)
def test_what_changes_the_line_comes_back_changed(line):
    for spec in ("word,digits=zero", "word,lower=yes", "word,normalize=NFKC,digits=zero,lower=yes"):
        tokenizer = create(spec)
        assert tokenizer.decode(tokenizer.encode(line)) == tokenizer.normalized(line)


def test_a_long_run_is_the_same_pieces():
    word = create("word")
    line = "漢" * 5000 + "\u0301" + "字，" * 3000
    assert word.encode(line) == ["漢"] * 4999 + ["漢\u0301"] + ["字", "，"] * 3000
