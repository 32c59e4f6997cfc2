"""Every tokenizer through one set of checks, and the particular promises of each."""

from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import TextTypeError, UsageError
from textdl.protocols import Tokenizer
from textdl.storage import Reader, saving
from textdl.tokenizers import create, load
from textdl.tokenizers.sentencepiece import SentencePieceTokenizer, train

TEXT = [
    "the cat sat on the mat , and the dog sat on the log .",
    "我们在北京天安门广场看升旗。",
    "他说：“你好，世界！”  Then (he) left; it's 3.14 a.m.",
    "",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
] * 20


@pytest.fixture(scope="session")
def sp() -> dict[str, SentencePieceTokenizer]:
    return {model: train(TEXT, vocab_size=400, model=model)[0] for model in ("unigram", "bpe")}


SPECS = [
    "char", "word", "word,digits=each", "word,digits=zero", "word,lower=yes", "whitespace", "char,normalize=NFC",
    "jieba", "jieba,hmm=no", "jieba,mode=search", "jieba,mode=full", "jieba,normalize=NFKC",
]  # fmt: skip


@pytest.fixture(params=[*SPECS, "sp unigram", "sp bpe"])
def tokenizer(request: pytest.FixtureRequest, sp: dict[str, SentencePieceTokenizer]) -> Tokenizer:
    name = request.param
    return sp[name.removeprefix("sp ")] if name.startswith("sp ") else create(name)


def test_is_a_tokenizer(tokenizer: Tokenizer) -> None:
    assert isinstance(tokenizer, Tokenizer)


made_once = lru_cache(create)  # jieba reads its dictionary when it is first used


AWKWARD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.sampled_from(" \t\u3000\u0085\u2581\uf8fe\uffed.,'’\"()_a我，。ab1\u0301<s>/\\🙂\u200d\x00\x0b")),
)


@given(line=AWKWARD)
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("name", ["char", "word", "word,digits=each", "jieba", "jieba,hmm=no", "unigram", "bpe"])
def test_lossless_means_every_line_comes_back(name: str, line: str, sp: dict[str, SentencePieceTokenizer]) -> None:
    tokenizer = sp.get(name) or made_once(name)
    assert tokenizer.lossless
    line = line.replace("\n", " ")
    pieces = tokenizer.encode(line)
    assert tokenizer.decode(pieces) == line
    assert all(pieces)


@given(line=AWKWARD)
@settings(max_examples=40)
@pytest.mark.parametrize("name", [*SPECS, "unigram", "bpe"])
def test_pieces_one_by_one_are_those_of_encode(name: str, line: str, sp: dict[str, SentencePieceTokenizer]) -> None:
    tokenizer = sp.get(name) or made_once(name)
    pieces = tokenizer.iterate(line)
    assert iter(pieces) is pieces
    assert list(pieces) == tokenizer.encode(line)


@given(line=AWKWARD)
def test_what_normalisation_loses_is_told(line: str) -> None:
    for name in ("char,normalize=NFC", "char,normalize=NFKC", "char,lower=yes"):
        tokenizer = made_once(name)
        assert not tokenizer.lossless
        assert tokenizer.decode(tokenizer.encode(line)) == tokenizer.normalized(line)
        assert tokenizer.normalized(tokenizer.normalized(line)) == tokenizer.normalized(line)
    assert made_once("char,normalize=NFKC").normalized("，Ａ") == ",A"
    assert made_once("char").normalized(line) is line


def test_lines_are_encoded_alike_one_by_one_or_together(tokenizer: Tokenizer) -> None:
    assert list(tokenizer.encode_lines(TEXT)) == [tokenizer.encode(line) for line in TEXT]
    assert tokenizer.encode("") == []


def test_a_saved_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with saving(tmp_path / "m", {}) as out:
        tokenizer.save(out)
    loaded = load(Reader(tmp_path / "m"))
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.inventory == tokenizer.inventory
    assert [loaded.encode(line) for line in TEXT[:5]] == [tokenizer.encode(line) for line in TEXT[:5]]


def test_a_str_where_lines_are_due_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TextTypeError, match=r"pass \[text\]"):
        tokenizer.encode_lines("a b")
    for take in (tokenizer.encode, tokenizer.iterate):
        with pytest.raises(TextTypeError, match="got list"):
            take(["a"])


def test_fingerprints_tell_options_apart() -> None:
    assert len({create(spec).fingerprint for spec in SPECS}) == len(SPECS)
    assert [create(spec).spec for spec in SPECS] == SPECS


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("jeiba", "there are char, word, whitespace, jieba, sp"),
        ("word,upper=yes", "no option 'upper'"),
        ("word,lower=perhaps", "lower must be one of no, yes"),
        ("word,lower", "expected key=value"),
        ("char:x", "takes nothing after a colon"),
        ("char,self=x", "no option 'self'"),
        ("sp", "name a model"),
        ("sp:missing.model", "cannot read it"),
        ("jieba:missing.txt", "cannot read the user dictionary"),
    ],
)
def test_a_wrong_spec_says_what_there_is(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create(spec)


def test_whitespace_splits_where_kenlm_does() -> None:
    whitespace = create("whitespace")
    assert whitespace.encode("a\tb\u3000c\x85d  <s>\r\x00e") == ["a", "b\u3000c\x85d", "<s>", "e"]
    assert whitespace.decode(["a", "b"]) == "a b"
    assert not whitespace.lossless
