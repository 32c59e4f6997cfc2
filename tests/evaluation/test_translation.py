import math

import pytest

from textdl.errors import UsageError
from textdl.evaluation.translation import measure, paired

REFERENCES = ["the cat sat on the mat", "there is a house", "it rains today in the city"]


def test_bleu_by_hand():
    """One line, one of six words wrong at the end: precisions 5/6, 4/5, 3/4, 2/3, no brevity penalty."""
    bleu, chrf = measure(["the cat sat on the hat"], ["the cat sat on the mat"])
    assert bleu.name == "BLEU"
    assert bleu.value == pytest.approx(100 * math.exp(sum(map(math.log, (5 / 6, 4 / 5, 3 / 4, 2 / 3))) / 4))
    assert "tok:13a" in bleu.signature
    assert chrf.name == "chrF2"
    assert 0 < chrf.value < 100


def test_chinese_is_cut_by_character():
    bleu, _ = measure(["我 喜欢猫和狗"], ["我喜欢猫和狗"])
    assert "tok:zh" in bleu.signature
    assert bleu.value == pytest.approx(100)


def test_case_may_be_left_out():
    assert measure(["A B C D E"], ["a b c d e"])[0].value == 0
    lower = measure(["A B C D E"], ["a b c d e"], lowercase=True)[0]
    assert lower.value == pytest.approx(100)
    assert "case:lc" in lower.signature


def test_two_systems_are_resampled_together():
    good, bad = REFERENCES * 10, ["the dog sat", "a house is there", "rain in city"] * 10
    difference, _ = paired(good, bad, REFERENCES * 10)
    assert difference.difference == pytest.approx(
        measure(good, REFERENCES * 10)[0].value - measure(bad, REFERENCES * 10)[0].value
    )
    assert 0 < difference.low < difference.difference < difference.high
    assert "settled" in str(difference)
    same, _ = paired(bad, bad, REFERENCES * 10)
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_lines_must_be_as_many():
    with pytest.raises(UsageError, match="one reference for each line"):
        measure(["a"], [])
    with pytest.raises(UsageError, match="one for each"):
        paired(["a"], ["a", "b"], ["a"])
