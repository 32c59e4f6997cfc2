"""Sides out of step: from the beginning, from later on, where all lines are about equally long; and nothing where nothing is."""

import numpy as np
import pytest

from textdl.corpus.alignment import alignment


def lines(count, seed=1, *, lengths=(1, 15), questions=0.2):
    """Pairs of made-up translations: the target has about as many letters, and a question mark and digits where the source has."""
    rng = np.random.default_rng(seed)
    sources, targets = [], []
    for _ in range(count):
        words = int(rng.integers(*lengths))
        number = f" {rng.integers(10, 99)}" if rng.random() < 0.1 else ""
        asked = rng.random() < questions
        sources.append("word " * words + number + ("?" if asked else "."))
        targets.append("字" * (2 * words + int(rng.integers(0, 3))) + number + ("？" if asked else "。"))
    return sources, targets


def lost(texts, n):
    return [*texts[:n], *texts[n + 1 :], "x."]


def test_pairs_that_belong_together():
    found = alignment(zip(*lines(1000), strict=True))
    assert found.shift == 0
    assert found.lengths > 0.9
    assert not list(found.sentences())


@pytest.mark.parametrize(("n", "about"), [(0, 0), (20, 0), (700, 750), (1200, 1250)])
def test_a_lost_line(n, about):
    sources, targets = lines(1500)
    found = alignment(zip(sources, lost(targets, n), strict=True))
    assert (found.shift, found.first) == (-1, about)
    assert found.moved > found.standing + 0.3
    (sentence,) = found.sentences()
    assert "line i of the target belongs to line i+1 of the source" in sentence
    assert (f"from about pair {about + 1:,} on" in sentence) == (about > 0)
    other = alignment(zip(lost(sources, n), targets, strict=True))
    assert (other.shift, other.first) == (1, about)
    assert "line i-1 of the source" in next(other.sentences())


def test_three_lost_lines():
    sources, targets = lines(600)
    assert alignment(zip(sources, [*targets[3:], "a.", "b.", "c."], strict=True)).shift == -3


@pytest.mark.parametrize("places", [(300, 900), (900, 300)])
def test_of_two_lost_lines_the_first_is_named(places):
    sources, targets = lines(1600)
    for n in places:
        targets = lost(targets, n)
    found = alignment(zip(sources, targets, strict=True))
    assert (found.shift, found.first) == (-1, 250)  # the block that 300 falls into


def test_lines_of_one_length_are_told_apart_by_questions_and_numbers():
    sources, targets = lines(1000, lengths=(5, 6))
    assert alignment(zip(sources, targets, strict=True)).shift == 0
    assert alignment(zip(sources, lost(targets, 300), strict=True)).shift == -1


def test_where_lines_say_nothing_nothing_is_said():
    same = [("a b c.", "甲乙丙。")] * 500
    assert not list(alignment(same).sentences())
    sources, targets = lines(99)
    assert not list(alignment(zip(sources, lost(targets, 0), strict=True)).sentences())
    assert not list(alignment([]).sentences())


def test_lines_that_have_nothing_to_do_with_each_other():
    sources, _ = lines(1000)
    _, targets = lines(1000, seed=2)
    (sentence,) = alignment(zip(sources, targets, strict=True)).sentences()
    assert "do the lines belong together?" in sentence
