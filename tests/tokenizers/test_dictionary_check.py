"""What becomes of the words of a user dictionary, and the frequency that mends it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.tokenizers.dictionary_check import check, correct, occurrences
from textdl.tokenizers.jieba import JiebaTokenizer
from textdl.tokenizers.jieba_dictionary import words_of_jieba
from textdl.tokenizers.user_dictionary import parse, written


def entries(text):
    return parse(text.encode(), "u.txt")


def only(text, **how):
    (verdict,), _ = check(entries(text), **how)
    return verdict


def test_a_word_that_is_whole():
    for line in ("云计算 5", "台中", "C++ 3", "か 2"):
        verdict = only(line)
        assert verdict.whole
        assert (verdict.why, verdict.needs, verdict.failed) == ("", None, False)


def test_a_frequency_that_is_too_low_and_the_lowest_that_does():
    verdict = only("中出 3")
    assert verdict.pieces == ["中", "出"]
    words = words_of_jieba()
    total = math.log(words.total + 3)
    parts = math.log(words.frequency("中")) + math.log(words.frequency("出")) - 2 * total
    assert f"中 + 出 have the log-probability {parts:.2f}, the word {math.log(3) - total:.2f}" in verdict.why
    assert JiebaTokenizer(f"中出 {verdict.needs}".encode()).encode("中出") == ["中出"]
    assert JiebaTokenizer(f"中出 {verdict.needs - 1}".encode()).encode("中出") == ["中", "出"]
    assert verdict.suggested == JiebaTokenizer("中出 3".encode()).dictionary.suggest("中出")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Edu Trust认证 2000", "always cuts at a space"),
        ("A/B测试 50", r"always cuts at / \(U\+002F\)"),
        ("か行 9", r"always cuts at か \(U\+304B\)"),
        ("cafe\u0301 9", "decomposed characters, 'café' is its composed form"),
    ],
)
def test_characters_that_jieba_always_cuts_at(line, why):
    verdict = only(line)
    assert verdict.failed
    assert verdict.needs is None
    import re

    assert re.search(why, verdict.why)


def test_frequency_zero_is_meant():
    verdict = only("价格便宜 0")
    assert not verdict.whole
    assert not verdict.failed
    assert "tells jieba to split it" in verdict.why


def test_of_duplicates_the_last_counts():
    first, second = check(entries("北京大学 3 nt\n北京大学 50 nt"))[0]
    assert "given again in line 2" in first.why
    assert not first.failed
    assert second.whole
    corrected = check(entries("北京大学 500\n北京大学 5"))[1]
    assert [entry.line for entry in corrected] == [2]
    assert corrected[0].frequency > 5


def test_words_that_depend_on_each_other_are_mended_together():
    text = "中出 3\n中出来 1\n出来中 1\n北京大学中 1\n来中出来中 1 n\n天安门广场看 1\n台中"
    verdicts, corrected = check(entries(text))
    tokenizer = JiebaTokenizer(written(corrected))
    for verdict, entry in zip(verdicts, corrected, strict=True):
        assert tokenizer.encode(entry.word) == [entry.word]
        assert verdict.needs in (None, entry.frequency)
    assert corrected[4].tag == "n"
    assert corrected[6].frequency is None  # whole as it was


LINE = st.tuples(st.text("中出来北京大学市长江的a1", min_size=1, max_size=4), st.none() | st.integers(0, 30))


@given(st.lists(LINE, max_size=6), st.booleans())
@settings(max_examples=60)
def test_a_corrected_dictionary_makes_every_word_whole(lines, hmm):
    found = dict(lines)
    text = "\n".join(word + ("" if frequency is None else f" {frequency}") for word, frequency in found.items())
    corrected = correct(entries(text), hmm=hmm)
    tokenizer = JiebaTokenizer(written(corrected), "u.txt", hmm="yes" if hmm else "no")
    for entry in corrected:
        assert entry.frequency == 0 or tokenizer.encode(entry.word) == [entry.word]
        assert entry.frequency == found[entry.word] or entry.frequency > (found[entry.word] or 0)


def test_in_a_text():
    dictionary = entries("北京大学 500\n长江大桥市长 2\n中出 3\n研究 0\n龘 5")
    text = ["我去北京大学，在北京大学出版社。", "南京市长江大桥市长江大桥", "中出现", "", "龘"]
    seen = {o.word: o for o in occurrences(dictionary, text)}
    assert set(seen) == {"北京大学", "长江大桥市长", "中出", "龘"}
    assert (seen["北京大学"].found, seen["北京大学"].whole) == (2, 1)
    assert seen["北京大学"].why == "within the longer 北京大学出版社"
    assert seen["北京大学"].example == "在 北京大学出版社 。"
    assert seen["长江大桥市长"].why == "a neighbour takes a part of it"
    assert (seen["中出"].found, seen["中出"].whole, seen["中出"].why) == (1, 0, "a neighbour takes a part of it")
    assert (seen["龘"].found, seen["龘"].whole, seen["龘"].why) == (1, 1, "")


@given(st.lists(st.text("中出来北京大学长江", max_size=20), max_size=4))
@settings(max_examples=50)
def test_occurrences_are_those_of_find(lines):
    tokenizer = JiebaTokenizer("中出 3\n北京\n京大".encode())
    pieces = list(tokenizer.encode_lines(lines))
    for o in occurrences(tokenizer.entries, lines):
        assert o.found == sum(line.startswith(o.word, i) for line in lines for i in range(len(line)))
        assert o.whole == sum(line.count(o.word) for line in pieces)
