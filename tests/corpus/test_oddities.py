"""What is odd about characters, and what wrong decodings leave behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.corpus.oddities import KINDS, MISREADINGS, code_points, kind_of


@pytest.mark.parametrize(
    ("character", "kind"),
    [
        ("a", None), ("中", None), ("\t", None), (" ", None), ("\u3000", None), ("é", None), ("\u0301", None), ("👍", None),
        ("\0", "NUL"), ("\x01", "control"), ("\x7f", "control"), ("\x91", "C1 control"), ("\x85", "line separator"),
        ("\u2028", "line separator"), ("\x0c", "line separator"), ("\ufffd", "replacement"), ("\ue000", "private use"),
        ("\U000f0000", "private use"), ("\u0378", "unassigned"), ("\uffff", "unassigned"), ("\u200b", "zero width"),
        ("\ufeff", "zero width"), ("\u00ad", "zero width"), ("\u202e", "direction"), ("\u2066", "direction"),
        ("\u2061", "format"), ("⼀", "radical"), ("⺀", "radical"),
    ],
)  # fmt: skip
def test_kinds(character, kind):
    assert kind_of(character) == kind
    assert kind is None or kind in KINDS


@given(st.characters(exclude_categories=["Cs"]))
def test_every_character_has_a_kind_or_none(character):
    assert kind_of(character) in (None, *KINDS)


CHINESE = "他说，我们在北京。看升旗，好！这是中文，对吧。而且，三千元。"


def signs(text):
    return [sign.what for sign in MISREADINGS if sign.pattern.search(text) and any(g in text for g in sign.guard)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("\ufffd\ufffd".encode().decode("gbk"), "U+FFFD in UTF-8, read as GBK"),
        ((b"\xcc" * 8).decode("gbk"), "memory filled with 0xCC, read as GBK"),
        ((b"\xcd" * 8).decode("gbk"), "memory filled with 0xCD, read as GBK"),
        (CHINESE.encode().decode("gbk", "replace"), "Chinese in UTF-8, read as GBK"),
        ("\ufeffa".encode().decode("cp1252"), "a byte-order mark in UTF-8, read as cp1252"),
        ("café".encode().decode("cp1252"), "UTF-8, read as cp1252 or Latin-1"),
        ("it’s".encode().decode("cp1252"), "UTF-8, read as cp1252 or Latin-1"),
        ("it’s 5 °C".encode().decode("latin-1"), "UTF-8, read as cp1252 or Latin-1"),
        (CHINESE.encode().decode("latin-1"), "Chinese in UTF-8, read as cp1252 or Latin-1"),
        (CHINESE.encode().decode("cp1252", "replace"), "Chinese in UTF-8, read as cp1252 or Latin-1"),
    ],
)
def test_wrong_decodings_are_recognised(text, what):
    assert what in signs(text)


@pytest.mark.parametrize(
    "text", [CHINESE, "Café “à la” Œuvre — naïve, où ça ? «é» “passé…”—", "烫，屯，锛子，锟", "São João NÃO", "ﬁ 5 °C"]
)
def test_clean_text_is_left_alone(text):
    assert signs(text) == []


def test_code_points():
    assert code_points("aé😀") == "U+0061 U+00E9 U+1F600"
