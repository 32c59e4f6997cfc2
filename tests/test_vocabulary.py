import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import EOS, UNK
from textdl.errors import ModelError, UsageError
from textdl.vocabulary import SPECIALS, LeftOut, Vocabulary, build, count, cut, escape, select, unescape

ANY_PIECE = st.one_of(
    st.text(min_size=1),
    st.sampled_from(
        [*SPECIALS, "<UNK>", "<pad>", " ", "\u2581", "\\", "\\u0020", "\u3000", "\x85", "\t", "\n", "\ud800"]
    ),
)


@given(piece=ANY_PIECE)
def test_escape_is_undone_and_leaves_nothing_that_breaks_a_format(piece: str) -> None:
    written = escape(piece)
    assert unescape(written) == piece
    assert written
    assert not re.search(r"[\0\t\n\v\f\r \x85]", written)
    assert written not in (*SPECIALS, "<UNK>", "<pad>")


def test_escape_by_hand() -> None:
    assert escape("a b\t") == "a▁b\\u0009"
    assert escape("▁") == "\\u2581"
    assert escape("<s>") == "\\u003cs>"
    assert escape("北京") == "北京"
    for piece in (
        "\u3000",
        "a\u00a0b",
        "\u200b",
        "\u2028",
        "C:\\new",
        "\\U0041",
    ):  # KenLM takes them raw, so they are written so
        assert escape(piece) == piece
    assert escape("\ufeff\x85") == "\\ufeff\\u0085"
    assert escape("\\\\u0041") == "\\\\u005cu0041"
    assert escape("\\u2581") == "\\u005cu2581"


def test_ids_follow_falling_count_then_the_piece() -> None:
    vocab, encoded, left = build([["b", "a", "b"], [], ["c", "a", "d"]], min_count=1)
    assert vocab.pieces == ["a", "b", "c", "d"]
    assert encoded.ids.tolist() == [4, 3, 4, 5, 3, 6]
    assert encoded.offsets.tolist() == [0, 3, 3, 6]
    assert vocab.counts.tolist() == [0, 3, 3, 2, 2, 1, 1]
    assert left == {}


def test_cutting_keeps_the_sums() -> None:
    lines = [["b", "a", "b"], ["c", "a", "d", ","]]
    vocab, encoded, left = build(lines, min_count=2)
    assert vocab.pieces == ["a", "b"]
    assert encoded.ids.tolist() == [4, 3, 4, UNK, 3, UNK, UNK]
    assert left == {"c": 1, "d": 1, ",": 1}
    assert int(encoded.counts().sum()) == 7 + 2
    assert encoded.counts()[UNK] == vocab.counts[UNK] == 3
    whole = count(lines)[:2]
    smaller, _, _ = cut(*whole, max_size=1)
    assert smaller.pieces == ["a"]
    lettered, _, gone = cut(*whole, keep=str.isalpha)
    assert "," not in lettered
    assert gone == {",": 1}
    same, untouched, _ = cut(*whole)
    assert same is whole[0]
    assert untouched is whole[1]


def test_an_inventory_fixes_the_vocabulary() -> None:
    vocab, encoded, left = build([["b", "z"], ["a"]], inventory=["c", "b", "a"])
    assert vocab.pieces == ["c", "b", "a"]
    assert encoded.ids.tolist() == [4, UNK, 5]
    assert vocab.counts.tolist() == [1, 2, 2, 0, 1, 1]
    assert left == {"z": 1}


def test_no_text_can_forge_a_special() -> None:
    vocab, encoded, _ = build([["<s>", "<unk>", "</s>"]])
    assert set(encoded.ids.tolist()) == {3, 4, 5}
    assert vocab.id("<unk>") >= 3
    assert encoded.stream().tolist()[-1] == EOS
    assert Vocabulary.from_text(vocab.to_text()).pieces == vocab.pieces


@given(lines=st.lists(st.lists(ANY_PIECE, max_size=5), max_size=6))
@settings(deadline=None)
def test_a_vocabulary_survives_its_file(lines: list[list[str]]) -> None:
    vocab, encoded, _ = build(lines)
    again = Vocabulary.from_text(vocab.to_text())
    assert again.pieces == vocab.pieces
    assert np.array_equal(again.counts, vocab.counts)
    assert again.fingerprint == vocab.fingerprint
    decoded = [[vocab.piece(int(i)) for i in encoded.line(n)] for n in range(len(encoded))]
    assert decoded == lines
    assert np.array_equal(again.encode_lines(lines).ids, encoded.ids)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<unk>\t0\n<s>\t1\n</s>\t1\na\t2", "the file is cut short"),
        ("<unk>\t0\n<s>\t1\n</s>\t1\na 2\n", "line 4: expected `piece<TAB>count`"),
        ("<unk>\t0\na\t1\n</s>\t1\n", "line 2: expected <s>, got 'a'"),
        ("<unk>\t0\n<s>\t1\n</s>\t1\na\t-2\n", "line 4"),
    ],
)
def test_a_broken_file_names_its_line(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        Vocabulary.from_text(text)


def test_a_piece_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="1 pieces given twice"):
        Vocabulary(["a", "a"])


@given(st.lists(st.tuples(ANY_PIECE, st.integers(1, 9)), unique_by=lambda pair: pair[0]), st.integers(0, 5))
def test_what_was_left_out_survives_its_file(types: list[tuple[str, int]], others: int) -> None:
    left_out = LeftOut(dict(types), others if types else 0)
    assert LeftOut.from_text(left_out.to_text(), "x") == left_out


def test_of_what_was_left_out_the_most_frequent_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeftOut, "LIMIT", 2)
    types = [("a", 9), ("!", 7), ("b", 3), ("c", 2), ("d", 1)]
    chosen = select(types, np.array([0, 1, 1, 9, 7, 3, 2, 1]), min_count=4, keep=str.isalpha)
    assert chosen.left_out == LeftOut({"!": 7, "b": 3}, 2)
    assert chosen.left_out.at_most("b") == (3, True)
    assert chosen.left_out.at_most("d") == (3, False)  # not more often than those that are kept
    assert LeftOut({"!": 7}).at_most("d") == (0, True)


@pytest.mark.parametrize("text", ["", "x\n", "0\na\t1", "0\na\n", "0\na\tb\n"])
def test_a_broken_list_of_what_was_left_out(text: str) -> None:
    with pytest.raises(ModelError, match="left-out"):
        LeftOut.from_text(text, "left-out.txt")
