"""Segmentation figures, against cases worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.errors import CorpusError
from textdl.evaluation.segmentation import measure, score_words, spans
from textdl.tokenizers import create


class Fixed:
    """Cuts each line as it is told."""

    overlapping = False

    def __init__(self, *answers, normalized=str):
        self.answers = [answer.split("|") for answer in answers]
        self.normalized = normalized

    def encode(self, line):
        for answer in self.answers:
            if "".join(answer).replace(" ", "") == self.normalized(line).replace(" ", ""):
                return answer
        return ["?"]

    def decode(self, pieces):
        return "".join(pieces)


def test_a_case_by_hand():
    gold = [["南京市", "长江", "大桥"], [], ["我", "来到", "北京"]]
    found = Fixed("南京|市长|江|大桥", "我|来到|北京")
    counts = score_words(gold, found, known={"我", "北京", "长江"})
    # right: 大桥 (5, 7); 我, 来到, 北京. 6 gold words, 7 found
    assert (counts.lines, counts.gold, counts.found, counts.correct) == (2, 6, 7, 4)
    assert counts.precision == 4 / 7
    assert counts.recall == 4 / 6
    assert counts.f1 == pytest.approx(2 * (4 / 7) * (4 / 6) / (4 / 7 + 4 / 6))
    # unknown: 南京市, 大桥, 来到, of which the last two are right; known: 长江, 我, 北京
    assert (counts.oov, counts.oov_correct) == (3, 2)
    assert counts.oov_recall == 2 / 3
    assert counts.iv_recall == 2 / 3
    assert counts.oov_rate == 1 / 2


def test_without_a_list_of_words_there_are_no_oov_figures():
    counts = score_words([["我", "来"]], create("char"))
    assert counts.f1 == 1
    assert (counts.oov, counts.oov_rate, counts.oov_recall, counts.iv_recall) == (None, None, None, None)
    all_known = score_words([["我", "来"]], create("char"), known={"我", "来"})
    assert (all_known.oov_recall, all_known.iv_recall) == (None, 1.0)


def test_white_space_belongs_to_no_word():
    counts = score_words([["I", "saw", "it", "."]], create("word"), between=" ")
    assert (counts.found, counts.correct) == (4, 4)
    assert score_words([["ab", "c"]], Fixed(" ab| c"), between=" ").f1 == 1


@pytest.mark.parametrize("white", ["\u3000", "\t", " ", "", "\u3000\u3000"])
def test_gold_words_of_white_space_are_none(white):
    gold = [["我", white, "来"], [white]]
    counts = score_words(gold, create("char"), known={"我"})
    assert (counts.lines, counts.gold, counts.found, counts.correct, counts.oov) == (1, 2, 2, 2, 1)
    assert counts.f1 == 1
    with pytest.raises(CorpusError, match="no words"):
        score_words([[white]], create("char"))


def test_joiners_are_no_part_of_a_word():
    counts = score_words([["(", "don't", ")", "B", "2"]], create("word,digits=each"))
    assert (counts.found, counts.correct) == (5, 5)


def test_a_tokenizer_that_changes_the_text_is_compared_with_the_changed_text():
    for spec in ("word,lower=yes", "word,normalize=NFKC", "word,digits=zero"):
        counts = score_words([["Ａ", "，", "好", "2"]], create(spec))
        assert counts.lines_left_out == 0
        assert counts.f1 == 1, spec


def test_lines_that_are_not_spelled_are_counted():
    counts = score_words([["我", "来"], ["ab"]], Fixed("我|来", "x"))
    assert (counts.lines, counts.lines_left_out, counts.gold) == (2, 1, 2)


def test_overlapping_pieces_have_no_figures():
    assert score_words([["北京", "大学"]], create("jieba,mode=search")) is None
    with pytest.raises(CorpusError, match="no words"):
        score_words([[]], create("char"))


class Bytes(Fixed):
    def decode(self, pieces):
        return bytes(int(piece, 16) for piece in pieces).decode("utf-8", "replace")


def test_a_character_in_bytes_is_one_piece():
    pieces = [f"{byte:02x}" for byte in "é龘🙂a".encode()]
    assert spans(pieces, "é龘🙂a", Bytes()) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert spans(pieces[:-2], "é龘🙂a", Bytes()) is None
    assert spans(["80"] * 5, "é", Bytes()) is None


@given(st.lists(st.text("我来ab ", min_size=1), max_size=8))
def test_spans_of_pieces_that_are_the_words_are_all_right(words):
    words = [stripped for word in words if (stripped := word.replace(" ", ""))]
    if not words:
        return
    counts = score_words([words], Fixed("|".join(words)))
    assert counts.precision == counts.recall == counts.f1 == 1


def test_what_it_makes_of_a_text():
    figures = measure(["我 a", "", "我  b"], create("whitespace"))
    assert (figures.lines, figures.characters, figures.bytes, figures.pieces, figures.types) == (3, 7, 11, 4, 3)
    assert (figures.lines_restored, figures.example) == (2, "我  b")
    assert figures.pieces_per_character == 4 / 7
    assert figures.bytes_per_piece == 11 / 4
    assert figures.seconds > 0
    assert measure(["A", "a"], create("word,lower=yes")).lines_changed == 1
    with pytest.raises(CorpusError, match="no lines"):
        measure([], create("char"))
    assert measure([""], create("char")).pieces_per_character is None
