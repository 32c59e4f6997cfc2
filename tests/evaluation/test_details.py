import math
import re

import numpy as np
import pytest
from contracts.dummy import Bigram
from hypothesis import given, settings
from hypothesis import strategies as st

import textdl
from textdl.evaluation import details
from textdl.evaluation import score as score_module
from textdl.evaluation.baselines import uniform
from textdl.evaluation.html import page
from textdl.evaluation.report import report_card
from textdl.evaluation.spelling import Speller
from textdl.protocols import ScorePolicy
from textdl.vocabulary import Vocabulary

from .pieces import Splitter, card, char, subject

LINES = st.lists(st.text("abx ", max_size=12), min_size=1, max_size=30)


def watched(lines, *, policy=None):
    vocab = Vocabulary(["a", "b", " "], np.array([0, 9, 9, 12, 1, 0]))
    speller = Speller.fit(["x"], vocab.pieces, single_code_point=True)
    evaluation = card(
        subject("m", Bigram.random(6, 1), char(), vocab, speller), lines=lines, policy=policy, details=True
    )
    return evaluation[0], evaluation.details[0]


@settings(max_examples=15)
@given(LINES, st.sampled_from([1, 2, 5, 1000]), st.booleans())
def test_shares_add_up_to_the_text(lines, block, line_end):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_module, "_BLOCK", block)
        result, found = watched(lines, policy=ScorePolicy(line_end=line_end))
    total = result.closed if result.open is None else result.open
    for breakdown in found.breakdowns:
        assert sum(share.tokens for share in breakdown.shares) == result.tokens
        if line_end:
            assert sum(share.bits for share in breakdown.shares) * math.log(2) == pytest.approx(total, rel=1e-5)
    kinds = {share.kind for share in found.breakdowns[0].shares}
    assert kinds <= {"line end", "unknown", "never", "once", "10 to 99 times"}
    assert ("unknown" in kinds) == any("x" in line for line in lines)
    shown = found.first
    assert [line.number for line in shown] == [
        i for i, line in enumerate(lines[: details.FIRST], 1) if line or line_end
    ]
    for line in shown:
        text = lines[line.number - 1]
        assert "".join(token.text for token in line.tokens) == text + "⏎" * line_end
        assert line.bits_per_token * len(line.tokens) == pytest.approx(sum(t.bits for t in line.tokens))
        assert [token.known for token in line.tokens] == [c != "x" for c in text] + [True] * line_end


@pytest.mark.parametrize("block", [1, 2, 1000])
def test_each_unknown_token_carries_its_own_spelling(monkeypatch, block):
    monkeypatch.setattr(score_module, "_BLOCK", block)
    vocab = Vocabulary(["a"])
    speller = Speller.fit({"x": 100, "y": 1}, ["a"], single_code_point=True)
    lines = ["ax", "yax", "", "yy"]
    found = card(subject("m", uniform(4), char(), vocab, speller), lines=lines, details=True).details[0]
    for line in found.first:
        for token in line.tokens:
            spelling = 0.0 if token.known else -speller.log_prob_unknown(token.text)
            assert token.bits == pytest.approx((math.log(3) + spelling) / math.log(2), rel=1e-5)


class Bytes(Splitter):
    """Three tokens for a Chinese character, as byte-level tokenizers have; others are themselves."""

    def encode(self, line):
        return [f"<{byte}>" for byte in line.encode()]

    def decode(self, pieces):
        return bytes(int(piece[1:-1]) for piece in pieces).decode(errors="replace")


@pytest.mark.parametrize(
    ("line", "shown"),
    [("a中b文", ["a", "中", "b", "文", "⏎"]), ("a\ufffd", ["a", "\ufffd", "\ufffd", "\ufffd", "⏎"])],
)
def test_bytes_are_shown_as_the_character_they_make(line, shown):
    vocab = Vocabulary([f"<{i}>" for i in range(256)])
    found = card(subject("m", uniform(259), Bytes(), vocab, None), lines=[line], details=True).details[0]
    (first,) = found.first
    assert [token.text for token in first.tokens] == shown
    assert sum(token.pieces for token in first.tokens) == len(line.encode()) + 1
    assert first.more == 0
    assert [token.bits for token in first.tokens] == pytest.approx([t.pieces * math.log2(258) for t in first.tokens])


@settings(max_examples=15)
@given(LINES, st.sampled_from([1, 3, 1000]))
def test_the_worst_lines(lines, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_module, "_BLOCK", block)
        patch.setattr(details, "WORST", 3)
        patch.setattr(details, "FIRST", 0)
        _, found = watched(lines)
    assert not found.first
    bits = [line.bits_per_token for line in found.worst]
    assert bits == sorted(bits, reverse=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(details, "WORST", 1000)
        _, every = watched(lines)
    assert {line.number for line in every.worst} == {i for i, line in enumerate(lines, 1) if len(line) + 1 >= 5}
    assert bits == pytest.approx([line.bits_per_token for line in every.worst][:3])


def test_long_lines_are_cut():
    _, found = watched(["ab" * 500])
    (line,) = found.first
    assert (len(line.tokens), line.more) == (details.SHOWN, 1001 - details.SHOWN)


def test_match_lengths_are_those_of_the_ngram_model(english):
    model = textdl.train("ngram", english, order=3)
    found = textdl.evaluate(model, ["the cat saw the dog at home.", "zzz the"], details=True).details[0]
    titles = [breakdown.title for breakdown in found.breakdowns]
    assert titles == [
        "By how often the token was seen in training",
        "By the place of the token in its line",
        "By the longest known n-gram that the token ends",
    ]
    matches = {share.kind: share.tokens for share in found.breakdowns[2].shares}
    tokens = list(model.score_tokens(["the cat saw the dog at home.", "zzz the"]))
    for n in (1, 2, 3):
        assert matches.get(f"{n}-gram", 0) == sum(t.length == n and t.spelling is None for t in tokens)
    assert matches["unknown"] == 1


def test_the_page_needs_nothing_else_and_escapes_text():
    vocab = Vocabulary(list("<b>&x文字"))
    subjects = [subject(name, uniform(len(vocab)), char(), vocab, None) for name in ("<one>", "two")]
    evaluation = card(*subjects, lines=["<b>x</b>".replace("/", ""), "文字 ", "&&&&&&"], details=True)
    html = page("A <title>", report_card(evaluation.results, evaluation.baselines), evaluation.details)
    assert html.startswith("<!doctype html>")
    assert "charset=utf-8" in html
    assert "width=device-width" in html
    assert not re.search(r"<script|<link|src=|url\(|@import|http", html)
    assert "A &lt;title&gt;" in html
    assert "<one>" not in html
    assert html.count("<table>") == html.count("</table>")
    assert html.count("<b ") == html.count("</b>")
    assert 'href="#m1"' in html
    assert ">文</b>" in html
    assert ">␣</b>" in html  # a space can be seen
    assert "class=wide" in html


def test_the_first_lines_of_all_models_stand_together_best_first():
    vocab, lines = Vocabulary(["a", "b"]), ["abba", "", "שלום"]
    worse = np.tile([0.1, 0, 0.1, 0.1, 0.7], (5, 1))
    speller = Speller.fit([], vocab.pieces, single_code_point=True)
    subjects = [
        subject("worse", Bigram(worse), char(), vocab, speller),
        subject("m", uniform(5), char(), vocab, speller),
    ]
    evaluation = card(*subjects, lines=lines, details=True)
    drawn = report_card(evaluation.results, evaluation.baselines)
    html = page("t", drawn, evaluation.details)
    assert [row[0] for row in drawn.rows] == ["m", "worse", "uniform (worse)"]
    assert html.index("<h2 id=m1>m</h2>") < html.index("<h2 id=m0>worse</h2>")
    first = re.search(r"<small>line 1</small>.*?</li>", html)[0]
    assert first.index('<a href="#m1">m</a><span>2.00</span>') < first.index('<a href="#m0">worse</a>')
    assert first.count(">a</b>") == 4
    assert html.count("<small>line 1</small>") == html.count("<small>line 2</small>") == 1
    assert len(re.findall(r'<span class=text dir=auto lang="">', html)) == 10  # 3 first lines and 2 worst of each
    assert (drawn.for_scale, html.count("<tr class=scale>")) == (1, 1)
    alone = page("t", drawn, evaluation.details[:1])
    assert "<small><span>" in alone  # whose line it is needs no word
    assert "The first lines" not in page("t", drawn, [])


def test_a_token_is_text_and_no_markup():
    tokens = ["<script>alert(1)</script>", 'a"b', "\u202e", "\x00", "中", "a\u200bb", "  "]
    vocab = Vocabulary(tokens)
    whole = Splitter("whole", r"<script>.*?</script>|a\"b|a\u200bb|  |.")
    evaluation = card(subject("m", uniform(len(vocab)), whole, vocab, None), lines=["".join(tokens)], details=True)
    html = page("t", report_card(evaluation.results), evaluation.details)
    assert "<script" not in html
    assert ">&lt;script&gt;alert(1)&lt;/script&gt;</b>" in html
    assert ">中</b>" in html
    assert ">U+202E</b>" in html  # would turn the rest of the page round
    assert ">U+0000</b>" in html
    assert ">aU+200Bb</b>" in html
    assert ">␣␣</b>" in html


def test_a_page_shows_what_is_infinite():
    vocab = Vocabulary(["a", "b"])
    table = np.full((5, 5), 1 / 3)
    table[:, [1, 4]] = 0
    evaluation = card(subject("mle", Bigram(table), char(), vocab, None), lines=["abbbbb", "aaaaa"], details=True)
    html = page("t", report_card(evaluation.results), evaluation.details)
    assert 'data-b="∞ bits"' in html
    assert "∞ bits/char" in html
    assert "nan" not in html
