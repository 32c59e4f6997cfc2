from __future__ import annotations

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
        (b"a 1 2\n", "line 1: expected two whole numbers"),
        (b"2 0\n", "line 1: expected two whole numbers"),
        (b"999999999 300\na 1\n", "line 1: .*cut short"),
        (b"2 2\na 1 2\nb 1", "line 3: expected a word and 2 numbers.*cut short"),
        (b"2 2\na 1 2 3\nb 1 x\n", "line 3: expected a word and 2 numbers"),
        (b"2 2\na 1.00000 2.000000\n", "line 2: the file ends after 1 words, line 1 promises 2"),
        (b"1 2\na 1 2\nb 1 2\n", "line 3: more words"),
        (b"1 2\na 1 nan\n", "line 2: .*not finite"),
        (b"1 2\n 1 2\n", "line 2: expected a word"),
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


@pytest.mark.parametrize("name", ["x.kv", "x.model"])
def test_pickles_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match=re.escape("save_word2vec_format(")):
        formats.read(tmp_path / name)


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
