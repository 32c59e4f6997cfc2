"""Models from files of other programs: ARPA files become whole models; what is no such file is told apart."""

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textdl
from textdl.errors import ModelError, UnknownWordError, UsageError
from textdl.importing import import_model
from textdl.protocols import Run

TINY = Path(__file__).parent / "data" / "kenlm-tiny" / "tiny.o3.arpa"


def test_an_arpa_file_becomes_a_whole_model(tmp_path):
    run = Run()
    made = import_model(TINY, output=tmp_path / "m", run=run)
    (note,) = run.notes
    assert "imported from tiny.o3.arpa, an n-gram model in the ARPA format" in note
    assert "by a model of the 10 types of its vocabulary" in note
    assert made.summary()[-1].startswith("Saved to ")
    model = textdl.load(tmp_path / "m")
    assert (model.family, model.tokenizer.spec, model.vocab.pieces[:2]) == ("ngram", "whitespace", ["the", "cat"])
    assert model.card["describe"]["ngrams"] == [13, 18, 20]
    assert model.score("the cat zzz") == made.score("the cat zzz")
    card = textdl.evaluate(model, ["the cat sat", "a zebra sat"])
    assert card[0].unknown > 0
    assert card[0].open is not None
    assert card[0].open > card[0].closed
    assert card[0].leaked is None  # nobody knows
    assert [base.model for base in card.baselines] == ["uniform (m)"]  # no counts
    trained = textdl.train("ngram", ["the cat sat", "the mat is flat"], order=2, tokenizer="whitespace")
    assert textdl.compare(model, trained, text=["the cat sat"]).rankings
    assert len(textdl.sample(model, n=3, seed=2)) == 3


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files(tmp_path, pack):
    (tmp_path / "model").write_bytes(pack(TINY.read_bytes()))
    assert import_model(tmp_path / "model").score("the cat") == import_model(TINY).score("the cat")


def test_zstandard(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    with arrow.output_stream(tmp_path / "m.zst", compression="zstd") as out:
        out.write(TINY.read_bytes())
    assert import_model(tmp_path / "m.zst").vocab.pieces == import_model(TINY).vocab.pieces


lines = st.lists(st.text(st.sampled_from("ab \\\u2581\u3000\u00a0<s>\u7684"), max_size=8), min_size=1, max_size=6)


@settings(max_examples=40)
@given(lines, st.sampled_from(["char", "word", "whitespace"]))
def test_there_and_back(tmp_path_factory, text, tokenizer):
    """Train, write, import: the same pieces with the same probabilities, within the digits of the file."""
    text = [*text, "a"]
    trained = textdl.train("ngram", text, order=3, tokenizer=tokenizer)
    path = tmp_path_factory.getbasetemp() / "back.arpa"
    trained.export_arpa(path)
    again = import_model(path, tokenizer=tokenizer)
    assert again.vocab.pieces == trained.vocab.pieces
    for line in [*text, "a new \u2581\\ one"]:
        old, new = list(trained.score_tokens([line])), list(again.score_tokens([line]))
        assert [token.text for token in new] == [token.text for token in old]
        np.testing.assert_allclose([token.closed for token in new], [token.closed for token in old], atol=3e-6)


def test_a_damaged_gz_says_how_far_it_was_read(tmp_path):
    (tmp_path / "m.gz").write_bytes(gzip.compress(TINY.read_bytes())[:-30])
    with pytest.raises(ModelError, match="after line 59: the compressed data is damaged"):
        import_model(tmp_path / "m.gz")


def test_a_flipped_bit_in_a_gz_is_called_damage(tmp_path):
    """The checksum comes last: what is read before it may only look like another file."""
    packed = bytearray(gzip.compress(TINY.read_bytes(), 0))  # stored as it is, so that the bit is one of the text
    packed[packed.index(b"\tmat")] ^= 4
    (tmp_path / "m.gz").write_bytes(packed)
    with pytest.raises(ModelError, match=r"line \d+: expected .* The compressed data is damaged \(CRC check failed"):
        import_model(tmp_path / "m.gz")


def test_a_model_of_characters_is_told_from_one_of_words(tmp_path):
    for tokenizer, noted in (("char", True), ("jieba", False)):
        path = tmp_path / f"{tokenizer}.arpa"
        textdl.train("ngram", ["\u6211\u4eec\u559c\u6b22\u8bd7\u6b4c"], order=2, tokenizer=tokenizer).export_arpa(path)
        run = Run()
        import_model(path, run=run)
        assert any("--tokenizer char" in note for note in run.notes) == noted


def test_words_that_only_look_like_the_written_form_stand_for_themselves(tmp_path):
    text = TINY.read_text("utf-8")
    for word in ("\u2581mat", "m\\at", "\\u0041mat", "m\u3000at"):  # SentencePiece's space; not as `escape` writes them
        (tmp_path / "m.arpa").write_text(text.replace("mat", word), "utf-8")
        assert word in import_model(tmp_path / "m.arpa").vocab
    (tmp_path / "m.arpa").write_text(text.replace("mat", "m\\u0085at"), "utf-8")
    assert "m\x85at" in import_model(tmp_path / "m.arpa").vocab


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"mmap lm http://kheafield.com/code format version 5\n\0", "a binary file of KenLM's.*give the ARPA file"),
        (b"\x80\x04\x95abc", "a pickle, as gensim writes.*save_word2vec_format"),
        (b"\x10\0\0\0Darpa Trigram LM\0", "sphinx_lm_convert -i m -o model.arpa"),
        (b"Trie Language Model\0", "sphinx_lm_convert"),
        (b"hello\nworld\n", r"nothing that can be imported: it begins with b'hello\\nworld\\n'.*ARPA format"),
        (b"", "nothing that can be imported"),
    ],
)
def test_what_is_not_read_says_what_to_do(tmp_path, content, message):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        import_model(tmp_path / "m", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_malformed_file_gets_the_line_number(tmp_path):
    (tmp_path / "m.gz").write_bytes(gzip.compress(TINY.read_bytes().replace(b"-0.60091263\tmat", b"x\tmat")))
    with pytest.raises(ModelError, match="line 22: expected a 2-gram with its log-probability"):
        import_model(tmp_path / "m.gz", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_misuse(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        import_model(tmp_path / "none")
    with pytest.raises(UsageError, match="is a directory"):
        import_model(tmp_path)
    with pytest.raises(UsageError, match="auto looks at the text"):
        import_model(TINY, tokenizer="auto")
    with pytest.raises(UsageError, match=r"char: .* has words of several characters, such as 'the'"):
        import_model(TINY, tokenizer="char")
    (tmp_path / "thesis").write_text("precious")
    with pytest.raises(UsageError, match="is a file"):
        import_model(TINY, output=tmp_path / "thesis")
    both = TINY.read_text("utf-8").replace("mat", "\\u0041").replace("cat", "A")
    (tmp_path / "m.arpa").write_text(both)
    with pytest.raises(ModelError, match="two of its words read the same"):
        import_model(tmp_path / "m.arpa", tokenizer="word")


@pytest.mark.parametrize("name", ["v.txt", "v.vec.gz", "v.bin", "glove"])
def test_word_vectors_become_a_model_to_ask(tmp_path, name):
    lines = ["the cat sat on the mat", "the dog sat on the log"] * 9
    trained = textdl.train("word2vec", lines, tokenizer="whitespace", dim=8, epochs=1, min_count=1)
    path = tmp_path / ("g.txt" if name == "glove" else name)
    trained.export_vectors(path, header=name != "glove")
    run = Run()
    made = import_model(path, output=tmp_path / "m", run=run)
    assert any(f"{path.name}, word vectors" in note and "not trained on" in note for note in run.notes)
    assert made.summary()[-1].startswith("Saved to ")
    model = textdl.load(tmp_path / "m")
    assert model.family == "word2vec"
    assert model.similar("cat", k=3) == trained.similar("cat", k=3)
    with pytest.raises(UnknownWordError, match=r"7 words: nearest known spelling: cat, .*\.$"):
        model.similar("catt")
    with pytest.raises(UsageError, match="without what is needed to train them on"):
        textdl.train("word2vec", lines, start_from=tmp_path / "m")
    with pytest.raises(UsageError, match="holds word vectors"):
        model.score("the cat")


def test_words_of_vectors_in_the_written_form_or_not(tmp_path):
    (tmp_path / "v.txt").write_text("3 2\n\u2581the 1 2\n\\u0041 3 4\nb 5 6\n", "utf-8")
    assert import_model(tmp_path / "v.txt").vocab.pieces == ["\u2581the", "\\u0041", "b"]
    assert import_model(tmp_path / "v.txt", tokenizer="word").vocab.pieces == [" the", "A", "b"]
    (tmp_path / "v.txt").write_text("2 2\n\\u0041 3 4\nA 5 6\n", "utf-8")
    with pytest.raises(ModelError, match="two of its words read the same"):
        import_model(tmp_path / "v.txt", tokenizer="word")


def test_what_vectors_lost_is_told(tmp_path):
    run = Run()
    (tmp_path / "v.txt").write_bytes(b"4 2\na 1 2\nb\xff 3 4\na 5 6\nc nan 1\n")
    assert import_model(tmp_path / "v.txt", run=run).vocab.pieces == ["a", "b\ufffd"]
    assert len(run.notes) == 4
