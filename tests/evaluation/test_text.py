import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.errors import CorpusError, ModelError, TextTypeError, UsageError
from textdl.evaluation.text import TextCounts, count_text, leaked_lines

from .pieces import Splitter

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


def test_leaks():
    def fingerprint(line):
        return int.from_bytes(hashlib.sha256(line.encode()).digest()[:8], "little")

    known = np.sort(np.array([fingerprint(s) for s in ("a long enough line", "short", "another long line")], np.uint64))
    lines = ["a long enough line", "short", "never seen before", "a long enough line", ""]
    assert leaked_lines(lines, known, fingerprint) == (2, 3)  # short lines recur by chance
    assert leaked_lines(lines, known[:0], fingerprint) == (0, 3)
    assert leaked_lines([], known, fingerprint) == (0, 0)
    chinese = ["一二三四五六七八九", "一二三四五六七八九十"]  # 9 and 10 characters, 27 and 30 bytes
    known = np.sort(np.array([fingerprint(line) for line in chinese], np.uint64))
    assert leaked_lines(chinese, known, fingerprint) == (1, 1)
