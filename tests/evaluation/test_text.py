import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.errors import CorpusError, ModelError, TextTypeError, UsageError
from textdl.evaluation import text as text_module
from textdl.evaluation.text import Leaks, TextCounts, count_text

from .pieces import Splitter, fingerprint

LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=20), min_size=1)


def test_hand_counted():
    counts = count_text(["to be", "", "北 京"], Splitter())
    assert counts.lines == 3
    assert counts.characters == 6 + 1 + 4
    assert counts.bytes == 6 + 1 + 8
    assert counts.words == 3 + 1 + 3  # white space is no word, a line end is one
    assert counts.sha256 == hashlib.sha256("to be\n\n北 京\n".encode()).hexdigest()
    assert counts.segmenter.startswith("words (")


@given(LINES)
def test_counts_of_any_text(lines):
    counts = count_text(iter(lines), Splitter())
    whole = "".join(line + "\n" for line in lines)
    assert counts.characters == len(whole)
    assert counts.bytes == len(whole.encode())
    assert counts.sha256 == hashlib.sha256(whole.encode()).hexdigest()


def test_keys():
    one = count_text(["a b"], Splitter())
    assert one.key == count_text(("a b",), Splitter()).key
    assert one.key != count_text(["a b", ""], Splitter()).key
    assert one.key != count_text(["a b"], Splitter(), normalisation="NFC").key
    assert TextCounts.from_dict(one.to_dict()) == one
    with pytest.raises(ModelError, match="cannot be read"):
        TextCounts.from_dict({"lines": 3})


def test_refused():
    with pytest.raises(CorpusError, match="empty"):
        count_text([], Splitter())
    with pytest.raises(TextTypeError, match="a list of lines"):
        count_text("abc", Splitter())
    with pytest.raises(TextTypeError, match="line 2 of the text is a bytes"):
        count_text(["a", b"b"], Splitter())
    with pytest.raises(UsageError, match="line 1 of the text holds a line feed"):
        count_text(["a\nb"], Splitter())
    with pytest.raises(UsageError, match=r"lone surrogate \(U\+DC80\)"):
        count_text(["a\udc80"], Splitter())


def known(*lines):
    return np.sort(np.array([fingerprint(line) for line in lines], np.uint64))


@pytest.mark.parametrize("waiting", [1, 2, 1000])
def test_leaks(monkeypatch, waiting):
    monkeypatch.setattr(text_module, "_WAITING", waiting)
    lines = ["a long enough line", "short", "never seen before", "a long enough line", ""]
    trained = [known("a long enough line", "short", "another long line"), known(), known("never seen before")]
    leaks = Leaks(trained, fingerprint)
    assert leaks.of(0) == (0, 0)
    count_text(lines, Splitter(), leaks=leaks)
    assert leaks.of(0) == (2, 3)  # short lines recur by chance
    assert leaks.of(1) == (None, None)
    assert leaks.of(2) == (1, 3)


def test_leaks_by_characters_not_bytes():
    chinese = ["一二三四五六七八九", "一二三四五六七八九十"]  # 9 and 10 characters, 27 and 30 bytes
    leaks = Leaks([known(*chinese)], fingerprint)
    count_text(chinese, Splitter(), leaks=leaks)
    assert leaks.of(0) == (1, 1)
