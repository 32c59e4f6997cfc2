"""Words on bytes are the words of the plain tokenizer, numbered as a dict would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.tokenizers import create, parallel
from textdl.tokenizers.parallel import Numbering
from textdl.tokenizers.whitespace_kernels import Words

LINES = st.lists(
    st.text(st.sampled_from(list("ab我🙂 \t\r\0\v\f\u3000\u0085\x1c\x08\ud800")), max_size=30), min_size=1, max_size=8
)


@given(st.lists(LINES, max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_the_numbers_that_a_dict_gives(blocks):
    tokenizer, words, known = create("whitespace"), Words(), {}
    for lines in blocks:
        pieces = [tokenizer.encode(line) for line in lines]
        met = len(known)
        expected = [known.setdefault(piece, len(known)) for line in pieces for piece in line]
        new, numbers, lengths = words.number(lines)
        assert new == list(known)[met:]
        assert numbers.tolist() == expected
        assert lengths.tolist() == [len(line) for line in pieces]


def test_many_words_make_it_grow():
    words = Words()
    lines = [f"w{i} w{i // 3} {'x' * (i % 50)}" for i in range(100_000)]
    known: dict[str, int] = {}
    for first in range(0, len(lines), 9_000):
        part = lines[first : first + 9_000]
        _, numbers, _ = words.number(part)
        assert numbers.tolist() == [known.setdefault(w, len(known)) for line in part for w in line.split()]


def test_a_line_feed_in_a_line_goes_the_plain_way(monkeypatch):
    monkeypatch.setattr(parallel, "COMPILED", 0)
    assert Words().number(["a", "b\nc"]) is None
    numbering, tokenizer = Numbering(), create("whitespace,lower=yes")
    assert numbering.block(tokenizer, ["A b", "a"])[1] == ["a", "b"]
    fresh, new, ids, lengths = numbering.block(tokenizer, ["b\nc B a", "d a"])
    assert (fresh, new, ids.tolist(), lengths.tolist()) == (False, ["b\nc", "d"], [2, 1, 0, 3, 0], [3, 2])
    assert numbering.block(tokenizer, ["d b\fe"])[2].tolist() == [3, 1, 4]


def test_numbers_begin_anew_with_the_numbering(monkeypatch):
    monkeypatch.setattr(parallel, "COMPILED", 0)
    monkeypatch.setattr(Numbering, "MOST", 2)
    numbering, tokenizer = Numbering(), create("whitespace")
    assert numbering.block(tokenizer, ["a b c"])[0] is False
    fresh, new, ids, _ = numbering.block(tokenizer, ["c a"])
    assert (fresh, new, ids.tolist()) == (True, ["c", "a"], [0, 1])
