from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textdl.errors import ModelError, UsageError
from textdl.vocabulary import Vocabulary
from textdl.word2vec import Vectors, formats

HARD = [
    "a b",
    "\t",
    "\u3000",
    "<s>",
    "</s>",
    "<unk>",
    "😀",
    "\\u0041",
    "\u2581x",
    "\x85",
    " ",
    "\u2028",
    "a\nb",
    "中文",
    "#",
]


def of(words: list[str], dim: int = 3, seed: int = 0) -> Vectors:
    matrix = np.random.default_rng(seed).normal(size=(len(words) + 3, dim)).astype(np.float32)
    matrix[:3] = 0
    return Vectors(Vocabulary(words), matrix)


@pytest.mark.parametrize("write", [formats.write_text, formats.write_binary])
@given(words=st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=12), seed=st.integers(0, 9))
@example(words=HARD, seed=0)
@settings(deadline=None, max_examples=60)
def test_round_trip(tmp_path_factory, write, words, seed):
    before = of(words, seed=seed)
    path = tmp_path_factory.mktemp("v") / ("v.bin" if write is formats.write_binary else "v.txt")
    write(before, path)
    result = formats.read(path)
    assert result.vectors.vocab.pieces == words
    np.testing.assert_array_equal(result.vectors.vectors, before.vectors)
    assert result.notes() == []


def test_extreme_numbers_survive_text(tmp_path):
    numbers = np.array([1e-45, 3.4028235e38, -1.1754944e-38, 0.1, 1 / 3, -0.0, 16777217], np.float32)
    before = Vectors(Vocabulary(["w"]), np.concatenate([np.zeros((3, 7), np.float32), numbers[None]]))
    formats.write_text(before, tmp_path / "v.txt")
    assert formats.read(tmp_path / "v.txt").vectors.vectors[3].tobytes() == numbers.tobytes()


def test_what_the_text_looks_like(tmp_path):
    v = Vectors(Vocabulary(["a b", "<s>"]), np.array([[0, 0]] * 3 + [[0.5, -1], [2, 0.25]], np.float32))
    formats.write_text(v, tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_text("utf-8") == "2 2\na\u2581b 0.5 -1\n\\u003cs> 2 0.25\n"


def test_files_of_others(tmp_path):
    # fastText ends lines with a space; word2vec.c begins with </s>; some words have spaces; Windows line ends.
    path = tmp_path / "wiki.vec"
    path.write_bytes(b"6 2\n</s> 9 9 \nof 1 2 \nNew York 3 4\r\nof 5 6\nb\xffd 7 8\n\xc2\xa0 0 1")
    result = formats.read(path)
    assert result.vectors.vocab.pieces == ["of", "New York", "b\ufffdd", "\xa0"]
    assert result.vectors.vectors[3:].tolist() == [[1, 2], [3, 4], [7, 8], [0, 1]]
    assert (result.bad_bytes, result.repeated, result.specials) == (1, 1, ["</s>"])
    assert len(result.notes()) == 3


def test_binary_without_line_ends(tmp_path):
    row = np.array([1, 2], "<f4").tobytes()
    (tmp_path / "v.bin").write_bytes(b"2 2\na " + row + b"b " + row)
    assert formats.read(tmp_path / "v.bin").vectors.vocab.pieces == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: expected two whole numbers"),
        (b"hello\nthere\n", "line 1: expected two whole numbers"),
        (b"2 0\n", "line 1: expected two whole numbers"),
        (b"999999999 2\na 1 2\n", "line 1: .*cut short, or it is binary, and its name does not end in .bin"),
        (b"2 3\na 1 2\nb 1 2\n", "line 1 says 3 numbers, line 2 has 2. Correct its first line"),
        (b"2 2\na 1 2\nb 1", "line 3: expected a word and 2 numbers.*cut short"),
        (b"2 2\na 1 2 3\nb 1 x\n", "line 3: expected a word and 2 numbers"),
        (b"2 2\na 1.00000 2.000000\n", "line 2: the file ends after 1 words, line 1 promises 2"),
        (b"1 2\na 1 2\nb 1 2\n", "line 3: more words"),
        (b"1 2\na 1 nan\n", "no word vector that can be used. 1 vectors had numbers that are not finite"),
        (b"1 2\n 1 2\n", "no word vector that can be used. 1 vectors had no word"),
        (b"3 2\naa 1.5 2\n\nb 1 2\n", "line 3: blank, with more lines behind it"),
        (b"2 2\na 1 2 3\nb 1 2 3\n", "line 1 says 2 numbers, line 2 has 3"),
        (b"2 2\na 1 2_0\nb 1 2\n", "line 2: expected a word and 2 numbers"),
        (b"2 2\na 1  2\nb 1 2\n", "line 2: expected a word and 2 numbers"),
        (b"a 1 2\nb 3 4\nc 5\n", "line 3: expected a word and 2 numbers"),
    ],
)
def test_bad_text(tmp_path, text, message):
    (tmp_path / "v.txt").write_bytes(text)
    with pytest.raises(ModelError, match=message):
        formats.read(tmp_path / "v.txt")


def test_every_cut_of_a_file_is_found(tmp_path):
    for write, name in ((formats.write_text, "v.txt"), (formats.write_binary, "v.bin")):
        path = tmp_path / name
        write(of(["ab", "cd", "ef"]), path)
        whole = path.read_bytes()
        # In text, a cut inside the last number cannot be seen; in binary, the last line end says nothing.
        for size in range(len(whole) - 15 if name == "v.txt" else len(whole) - 1):
            path.write_bytes(whole[:size])
            with pytest.raises(ModelError):
                formats.read(path)


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        (pickle.dumps({"a": 1}), re.escape("save_word2vec_format(")),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", r"fastText's own model.*Give the \.vec"),
        (b"\x93NUMPY\x01\0", "a numpy array, without words"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\xfd7zXZ\0", "compressed with xz.*textdl import"),
    ],
)
def test_what_is_not_read_says_what_to_do(tmp_path, begins, message):
    (tmp_path / "x").write_bytes(begins)
    with pytest.raises(UsageError, match=message):
        formats.read(tmp_path / "x")


def test_gloves_text_and_compressed_files(tmp_path):
    before = of(["the", "a b", "中文"])
    formats.write_text(before, tmp_path / "g.txt", header=False)
    formats.write_text(before, tmp_path / "v.vec.gz")
    formats.write_binary(before, tmp_path / "v.bin.gz")
    assert (tmp_path / "v.vec.gz").read_bytes()[:2] == b"\x1f\x8b"
    for name, layout in (("g.txt", "headerless"), ("v.vec.gz", "text"), ("v.bin.gz", "binary")):
        found = formats.read(tmp_path / name)
        assert (found.layout, found.vectors.vocab.pieces) == (layout, before.vocab.pieces)
        np.testing.assert_array_equal(found.vectors.vectors, before.vectors)
    data = (tmp_path / "v.vec.gz").read_bytes()
    (tmp_path / "v.vec.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="compressed data is damaged or cut off"):
        formats.read(tmp_path / "v.vec.gz")


def test_the_content_says_what_it_is_not_the_name(tmp_path):
    before = of([f"w{i}" for i in range(50)], dim=20)
    formats.write_binary(before, tmp_path / "v.dat")
    assert formats.read(tmp_path / "v.dat").layout == "binary"
    formats.write_text(before, tmp_path / "v.bin.txt")
    (tmp_path / "v.bin.txt").rename(tmp_path / "v.dat")
    assert formats.read(tmp_path / "v.dat").layout == "text"


def test_the_first_words_only(tmp_path):
    before = of([f"w{i}" for i in range(9)])
    for write, name in ((formats.write_text, "v.txt"), (formats.write_binary, "v.bin")):
        write(before, tmp_path / name)
        assert formats.read(tmp_path / name, limit=4).vectors.vocab.pieces == before.vocab.pieces[:4]
        assert len(formats.read(tmp_path / name, limit=99).vectors.vocab.pieces) == 9
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 3 // 4])
        with pytest.raises(ModelError, match=r"cut short"):
            formats.read(tmp_path / name)
        assert len(formats.read(tmp_path / name, limit=5).vectors.vocab.pieces) == 5
    with pytest.raises(UsageError, match="limit is 0"):
        formats.read(tmp_path / "v.txt", limit=0)


def test_more_than_the_first_line_promises(tmp_path):
    row = np.array([1, 2], "<f4").tobytes()
    (tmp_path / "v.bin").write_bytes(b"1 2\na " + row + b"b " + row)
    with pytest.raises(ModelError, match="goes on after the 1 words of 2 numbers"):
        formats.read(tmp_path / "v.bin")
    (tmp_path / "v.bin").write_bytes(b"1 2\n" + b"x" * 20_000)
    with pytest.raises(ModelError, match="no end of the word"):
        formats.read(tmp_path / "v.bin")


def test_a_promise_that_no_memory_keeps(tmp_path):
    import gzip

    (tmp_path / "v.txt").write_bytes(gzip.compress(b"99999999999 1000000\na 1\n"))
    with pytest.raises(ModelError, match="GB of memory"):
        formats.read(tmp_path / "v.txt")


def test_what_is_left_out_is_counted(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"5 2\na 1 2\n 3 4\nb nan 1\nc 1e99 1\nd 7 8\n\n \n")
    found = formats.read(tmp_path / "v.txt")
    assert found.vectors.vocab.pieces == ["a", "d"]
    assert (found.nameless, found.not_finite) == (1, 2)
    assert found.vectors.vectors[3:].tolist() == [[1, 2], [7, 8]]
    assert len(found.notes()) == 2


def test_words_may_stand_for_themselves(tmp_path):
    (tmp_path / "v.txt").write_text("2 1\n\u2581a 1\n\\u0041 2\n", "utf-8")
    assert formats.read(tmp_path / "v.txt").vectors.vocab.pieces == [" a", "A"]
    assert formats.read(tmp_path / "v.txt", escaped=False).vectors.vocab.pieces == ["\u2581a", "\\u0041"]


def test_small_blocks_change_nothing(tmp_path, monkeypatch):
    before = of(["中文 词", "b", "</s>x", "d" * 300, "e"] + [f"w{i}" for i in range(30)])
    monkeypatch.setattr(formats, "_CHUNK", 7)
    monkeypatch.setattr(formats, "_ROWS", 4)
    for write, name in ((formats.write_text, "v.txt"), (formats.write_binary, "v.bin")):
        write(before, tmp_path / name)
        found = formats.read(tmp_path / name)
        assert found.vectors.vocab.pieces == before.vocab.pieces
        np.testing.assert_array_equal(found.vectors.vectors, before.vectors)


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="cannot write it"):
        formats.write_text(of(["a"]), tmp_path / "none" / "v.txt")


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        formats.read(tmp_path / "v.txt")


@pytest.mark.parametrize("binary", [False, True])
def test_gensim_reads_what_we_write_and_the_reverse(tmp_path, binary):
    gensim = pytest.importorskip("gensim.models")
    before = of(["中文", "a b", "<s>", "x"])
    path = tmp_path / ("v.bin" if binary else "v.txt")
    (formats.write_binary if binary else formats.write_text)(before, path)
    keyed = gensim.KeyedVectors.load_word2vec_format(str(path), binary=binary)
    assert keyed.index_to_key == ["中文", "a\u2581b", "\\u003cs>", "x"]
    np.testing.assert_array_equal(keyed.vectors, before.vectors[3:])
    other = tmp_path / ("g.bin" if binary else "g.txt")
    keyed.save_word2vec_format(str(other), binary=binary)
    after = formats.read(other).vectors
    assert after.vocab.pieces == before.vocab.pieces
    np.testing.assert_array_equal(after.vectors, before.vectors)
