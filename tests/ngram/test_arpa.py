"""ARPA files: what is written is the model, and what is read is the file."""

import gzip
import math
from pathlib import Path

import pytest

from textdl import ngram
from textdl.errors import ModelError, UsageError
from textdl.ngram import Config, arpa
from textdl.vocabulary import Vocabulary, build, unescape

TINY = Path(__file__).parents[1] / "data" / "kenlm-tiny" / "tiny.o3.arpa"
LINES = [["a", "b c", "<s>"], ["a", "\u3000", "\n", "a", "<unk>"], [], ["的", "a"]]


@pytest.mark.parametrize("name", ["m.arpa", "m.arpa.gz"])
@pytest.mark.parametrize("order", [1, 3])
def test_written_and_read(tmp_path, name, order):
    vocab, corpus, _ = build(LINES)
    model = ngram.fit(corpus, Config(order))
    arpa.write(model, vocab, tmp_path / name)
    entries = list(arpa.read(tmp_path / name))
    assert len(entries) == model.describe()["size"]
    node = 0
    for n in range(1, order + 1):
        for _, words in model.trie.ngrams(n):
            for row in words.tolist():
                entry, node = entries[node], node + 1
                assert entry.words == tuple(vocab.written(w) for w in row)
                expected = 0.0 if row == [1] else float(model.logp[node]) / math.log(10)
                assert entry.log10_p == pytest.approx(expected, abs=1e-6)
                expected = float(model.backoff[node]) / math.log(10) if n < order else 0.0
                assert entry.log10_backoff == pytest.approx(expected, abs=1e-6)
    assert [unescape(e.words[0]) for e in entries[3 : len(vocab)]] == vocab.pieces


def test_exact_text(tmp_path):
    """By hand in test_kneser_ney.py: p(a) = 1/4, log10 = -0.60206; p(</s> | b) = 11/16."""
    vocab, corpus, _ = build([["a", "b"], ["a"]])
    arpa.write(ngram.fit(corpus, Config(2)), vocab, tmp_path / "m")
    half = "-0.30103"
    assert (tmp_path / "m").read_text("utf-8") == (
        "\\data\\\nngram 1=5\nngram 2=4\n\n\\1-grams:\n"
        f"-0.90309\t<unk>\t0\n0\t<s>\t{half}\n-0.4259687\t</s>\t0\n-0.60206\ta\t{half}\n-0.60206\tb\t{half}\n"
        "\n\\2-grams:\n-0.20412\t<s> a\n-0.3590219\ta </s>\n-0.4259687\ta b\n-0.1627273\tb </s>\n"
        "\n\\end\\\n"
    )


def test_reads_lmplz():
    entries = list(arpa.read(TINY))
    assert len(entries) == 13 + 18 + 20
    assert entries[2] == (("</s>",), -1.0122344, 0.0)
    assert entries[13] == (("mat", "</s>"), -0.60091263, 0.0)
    assert entries[-1] == (("the", "mat", "is"), -0.5048846, 0.0)


def cut(text):
    return text[: text.index("\n\\3-grams")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, r"m.arpa ends after line 39 without \\end\\"),
        (lambda t: t.replace("ngram 2=18", "ngram 3=18"), r"line 3: expected `ngram 2=COUNT`, got 'ngram 3=18'"),
        (lambda t: t.replace("ngram 2=18", "ngram 2=19"), r"line 41: 1 2-grams are missing before '\\\\3-grams:'"),
        (lambda t: t.replace("ngram 2=18", "ngram 2=17"), "line 39: expected the next section"),
        (lambda t: t.replace("\\2-grams", "\\4-grams"), r"line 21: expected \\2-grams:, got '\\\\4-grams:'"),
        (lambda t: t.replace("-0.60091263\tmat", "x\tmat"), r"line 22: expected a 2-gram with its log-probability"),
        (lambda t: t.replace("mat </s>", "mat"), "line 22: expected a 2-gram"),
        (lambda t: "hello\n" + t, "line 1: expected the next section"),
        (lambda t: "\\end\\\n", "line 1: expected ngram 1=COUNT"),
    ],
)
def test_damaged(tmp_path, change, message):
    (tmp_path / "m.arpa").write_text(change(TINY.read_text("utf-8")), "utf-8")
    with pytest.raises(ModelError, match=message):
        list(arpa.read(tmp_path / "m.arpa"))


def test_unreadable(tmp_path):
    with pytest.raises(UsageError, match="no such ARPA file"):
        list(arpa.read(tmp_path / "none"))
    (tmp_path / "m.gz").write_bytes(gzip.compress(TINY.read_bytes())[:-30])
    with pytest.raises(ModelError, match="cannot be read as an ARPA file"):
        list(arpa.read(tmp_path / "m.gz"))
    (tmp_path / "m").write_bytes(b"\\data\\\n\xff\n")
    with pytest.raises(ModelError, match="cannot be read as an ARPA file"):
        list(arpa.read(tmp_path / "m"))


def test_cannot_be_written(tmp_path):
    vocab, corpus, _ = build(LINES)
    model = ngram.fit(corpus, Config(2))
    with pytest.raises(UsageError, match="cannot be written"):
        arpa.write(model, vocab, tmp_path / "none" / "m.arpa")
    with pytest.raises(UsageError, match="A vocabulary of 4 does not belong to a model with one of"):
        arpa.write(model, Vocabulary(["x"]), tmp_path / "m.arpa")
