"""What a corpus is made of."""

import pytest

from textdl.corpus import mostly_han, open_corpus, stats


def test_a_small_corpus_counted_by_hand():
    found = stats(open_corpus(["中文 ab1，", "", "ж々", "ж々", "é\t"]), frequent=2)
    # characters: 7 + 0 + 2 + 2 + 2 = 13; Han 中 文 々 々, Latin a b é, Cyrillic ж ж
    assert (found.lines, found.blank, found.characters, found.duplicates) == (5, 1, 13, 1)
    assert found.scripts == {
        "Han": 4, "Latin": 3, "other letters": 2, "digits": 1, "punctuation": 1, "white space": 2, "other": 0,
    }  # fmt: skip
    assert (found.shortest, found.median, found.longest) == (0, 2, 7)
    assert found.frequent == [("ж", 2), ("々", 2)] or found.frequent[0][1] == 2
    assert found.to_dict()["lines"] == 5


def test_the_median_of_an_even_number():
    assert stats(open_corpus(["a", "bbb", "cc", "dddddd"])).median == 2.5
    assert stats(open_corpus([])).median == 0


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
