"""Every tokenizer through one set of checks, and the particular promises of each."""

from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import CorpusError, ModelError, TextTypeError, UsageError
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


@pytest.fixture(
    params=["char", "word", "whitespace", "jieba", "jieba,hmm=no", "word,lower=yes", "sp unigram", "sp bpe"]
)
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
@pytest.mark.parametrize("name", ["char", "word", "jieba", "unigram", "bpe"])
def test_lossless_means_every_line_comes_back(name: str, line: str, sp: dict[str, SentencePieceTokenizer]) -> None:
    tokenizer = sp.get(name) or made_once(name)
    assert tokenizer.lossless
    line = line.replace("\n", " ")
    pieces = tokenizer.encode(line)
    assert tokenizer.decode(pieces) == line
    assert all(pieces)


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
    with pytest.raises(TextTypeError, match="got list"):
        tokenizer.encode(["a"])  # type: ignore[arg-type]


def test_fingerprints_tell_options_apart() -> None:
    specs = ["char", "word", "whitespace", "jieba", "jieba,hmm=no", "word,lower=yes", "word,normalize=NFKC"]
    assert len({create(spec).fingerprint for spec in specs}) == len(specs)
    assert [create(spec).spec for spec in specs] == specs


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("jeiba", "there are char, word, whitespace, jieba, sp"),
        ("word,upper=yes", "no option 'upper'"),
        ("word,lower=perhaps", "lower must be one of no, yes"),
        ("word,lower", "expected key=value"),
        ("char:x", "takes nothing after a colon"),
        ("sp", "name a model"),
        ("sp:missing.model", "cannot read it"),
        ("jieba:missing.txt", "cannot read the user dictionary"),
    ],
)
def test_a_wrong_spec_says_what_there_is(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create(spec)


def test_word_writes_only_unexpected_spacing() -> None:
    word = create("word")
    assert word.encode("Hello, world") == ["Hello", "￭,", "world"]
    assert word.encode("Hello , world") == ["Hello", ",", "world"]
    assert word.encode("(don't)") == ["(￭", "don't", "￭)"]
    assert word.encode("3.14, 1,000 a_b") == ["3.14", "￭,", "1,000", "a_b"]
    assert word.encode("我用 Python写，") == ["我", "用", " ", "Python", "写", "，"]
    assert word.encode("a  b") == ["a", "  ", "b"]


def test_whitespace_splits_where_kenlm_does() -> None:
    whitespace = create("whitespace")
    assert whitespace.encode("a\tb\u3000c\x85d  <s>\r\x00e") == ["a", "b\u3000c\x85d", "<s>", "e"]
    assert whitespace.decode(["a", "b"]) == "a b"
    assert not whitespace.lossless


def test_jieba_gives_jieba_results_and_takes_a_user_dictionary(tmp_path: Path) -> None:
    line = "他来到了网易杭研大厦，小明硕士毕业"
    assert create("jieba").encode(line)[:6] == ["他", "来到", "了", "网易", "杭研", "大厦"]  # jieba's own README
    assert "杭研" not in create("jieba,hmm=no").encode(line)
    dictionary = tmp_path / "user.txt"
    dictionary.write_bytes("\ufeff网易杭研 100 nz\r\n小明硕士\r\n".encode())
    tokenizer = create(f"jieba:{dictionary}")
    assert {"网易杭研", "小明硕士"} <= set(tokenizer.encode(line))
    with saving(tmp_path / "m", {}) as out:
        tokenizer.save(out)
    dictionary.unlink()
    assert load(Reader(tmp_path / "m")).encode(line) == tokenizer.encode(line)
    bad = tmp_path / "bad.txt"
    bad.write_bytes("北京".encode("gb18030"))
    with pytest.raises(CorpusError, match=r"bad\.txt.*UTF-8"):
        create(f"jieba:{bad}").encode("北京")


def test_sentencepiece_is_safe_for_chinese(sp: dict[str, SentencePieceTokenizer]) -> None:
    for tokenizer in sp.values():
        assert "，" in tokenizer.encode("他说，好")
        assert tokenizer.decode(tokenizer.encode("龘 never seen")) == "龘 never seen"
        assert len(tokenizer.inventory or ()) == len(set(tokenizer.inventory or ()))


def test_sentencepiece_training_says_what_it_did() -> None:
    made, notes = train(["ab" * 3000, "abc cab"] * 3, vocab_size=8000)
    assert any("asked for 8,000" in note for note in notes)
    assert any("3 lines over 4,000" in note for note in notes)
    assert made.decode(made.encode("abc")) == "abc"
    assert train(TEXT, vocab_size=400)[0].fingerprint == train(TEXT, vocab_size=400)[0].fingerprint
    with pytest.raises(UsageError, match="--vocab-size 260 is too small"):
        train(TEXT, vocab_size=260)
    with pytest.raises(CorpusError, match="every line is empty"):
        train(["", ""])
    with pytest.raises(UsageError, match="unigram or bpe"):
        train(TEXT, model="word")


def test_a_file_that_is_no_sentencepiece_model(tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"x\.model: not a SentencePiece model"):
        create(f"sp:{path}")
