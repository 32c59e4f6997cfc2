"""What `evaluate`, `compare` and `evaluate_vectors` take, and what they say of the rest."""

import contextlib
import json

import numpy as np
import pytest
from conftest import chatter, hanzi

import textdl
from textdl.cli import main
from textdl.encoded import EOS, UNK
from textdl.errors import UsageError
from textdl.evaluating import subject
from textdl.protocols import ScorePolicy
from textdl.vocabulary import Vocabulary
from textdl.word2vec import Vectors

LINES = ["the cat sat", "a dog ran"]


@pytest.fixture(scope="module")
def model():
    return textdl.train("ngram", chatter(60), order=2)


@pytest.mark.parametrize("wrong", [5, None, object(), [5], [None]])
def test_what_is_no_model(wrong):
    with pytest.raises(UsageError, match="is no model; expected a model that train"):
        textdl.evaluate(wrong, LINES)


def test_arguments_of_the_wrong_type(model):
    for given, message in (
        ({"top": 5}, "top=5: expected a list"),
        ({"top": "15"}, "top='15': expected a list"),
        ({"policy": "line"}, "policy='line': expected a textdl.protocols.ScorePolicy"),
        ({"words": 3}, "a tokenizer of the type int"),
        ({"words": "letters"}, "--words 'letters': no such tokenizer"),
    ):
        with pytest.raises(UsageError, match=message):
            textdl.evaluate(model, LINES, **given)
    own = textdl.evaluate(model, LINES, words=model.tokenizer)[0]
    assert own.text.segmenter.startswith(model.tokenizer.spec)
    for wrong in ({"unit": "page"}, {"window": 0}, {"window": "8"}, {"stride": -1}, {"stride": True}, {"line_end": 1}):
        with pytest.raises(UsageError, match="expected"):
            ScorePolicy(**wrong)
    with pytest.raises(UsageError, match="reads no windows, so it has no stride"):
        textdl.evaluate(model, LINES, policy=ScorePolicy("line", stride=5))


def test_evaluations_compare_as_their_results(model):
    other = textdl.train("ngram", chatter(60), tokenizer="char", order=3)
    both, third = textdl.evaluate([model, other], LINES), textdl.evaluate(other, LINES)
    comparison = textdl.compare(both, third)
    assert [p.result.model for p in comparison.rankings[0].places].count("ngram (1)") == 1
    assert len(comparison.rankings[0].places) == 3
    assert len(textdl.compare([model, other], text=LINES).rankings[0].places) == 2
    mixed = textdl.compare(both[0], other, both[1], text=LINES)  # in the order given
    assert {p.result.model: p.result.tokenizer for p in mixed.rankings[0].places} == {
        "ngram (1)": "word", "ngram (2)": "char", "ngram": "char",
    }  # fmt: skip
    with pytest.raises(UsageError, match="only results were given"):
        textdl.compare(both, text=LINES)
    with pytest.raises(UsageError, match=r"no results of an evaluation .*, so taken for models"):
        textdl.compare("one", "other")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Aligned lines in files: train.zh, train.en, test.zh, test.en; the second test line has words nobody was taught."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, chinese, english in (
        ("train", hanzi(60), chatter(60)),
        ("test", [*hanzi(3, 1), "犀牛喜欢北京。"], [*chatter(3, 1), "the rhino likes a child at home."]),
    ):
        (folder / f"{name}.zh").write_text("\n".join(chinese) + "\n", "utf-8")
        (folder / f"{name}.en").write_text("\n".join(english) + "\n", "utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("language", "other"), [("en", "zh"), ("zh", "en")])
def test_one_command_for_every_kind_of_model(pairs, tmp_path, language, other, capsys):
    """An n-gram model, an LSTM, a Transformer, a seq2seq model with its source and an ARPA file, on the last line: each
    total is what the model's own steps cost, and the spelling of what is unknown."""
    train = pairs / f"train.{language}"
    small = {"epochs": 1, "min_count": 2}
    textdl.train("ngram", train, output=tmp_path / "ngram", order=2)
    textdl.train("rnn", train, output=tmp_path / "lstm", embedding_size=8, hidden_size=8, **small)
    textdl.train("transformer", train, output=tmp_path / "transformer", embedding_size=16, heads=2, layers=1, **small)
    textdl.train_seq2seq(
        pairs / f"train.{other}", train, output=tmp_path / "seq2seq", epochs=1, size=16, layers=1, heads=2, inner_size=32,
        tokenizer="char",
    )  # fmt: skip
    characters = textdl.train("ngram", train, tokenizer="char", order=3)
    characters.export_arpa(tmp_path / "other.arpa")
    last, source = (
        (pairs / f"test.{side}").read_text("utf-8").splitlines()[-1] for side in (language, other)
    )  # fmt: skip
    for name, line in (("text", last), ("source", source)):
        (tmp_path / name).write_text(line + "\n", "utf-8")
    names = ["ngram", "lstm", "transformer", "seq2seq", "other.arpa"]
    arguments = ["eval", *names, "--text", "text", "--source", "source", "--tokenizer", "char"]
    with contextlib.chdir(tmp_path):
        assert main([*arguments, "--json", "card.json", "--html", "card.html"]) == 0
        printed = capsys.readouterr()
        subjects = [subject(name, tokenizer="char") for name in names]
    document = json.loads((tmp_path / "card.json").read_text("utf-8"))
    assert {line.split("\t")[0] for line in printed.out.splitlines()[1:6]} == set(names)
    assert "seq2seq: line, given the source" in printed.err
    assert document["text"]["characters"] == len(last) + 1
    unknown = 0
    for one, row in zip(subjects, document["models"], strict=True):
        pieces = one.tokenizer.encode(last)
        log_probs, state = one.model.start(None if one.encode_source is None else one.encode_source([source]))
        closed = spelling = 0.0
        for piece, target in zip([*pieces, ""], [*one.vocab.encode(pieces).tolist(), EOS], strict=True):
            assert np.exp(log_probs[0], dtype=float).sum() == pytest.approx(1, rel=1e-4)
            closed -= float(log_probs[0, target])
            if target == UNK:
                spelling -= one.speller.log_prob_unknown(piece)
                unknown += 1
            if target != EOS:
                log_probs, state = one.model.step(state, np.array([target]))
        assert row["tokens"] == len(pieces) + 1
        assert row["closed"]["nats"] == pytest.approx(closed, rel=1e-5)
        assert row["open"]["nats"] == pytest.approx(closed + spelling, rel=1e-5)
        assert row["open"]["bits_per_char"] == pytest.approx(
            (closed + spelling) / np.log(2) / (len(last) + 1), rel=1e-5
        )
    assert unknown >= 3
    assert (tmp_path / "card.html").read_text("utf-8").count("<h2 id=") == len(names)


class KeyedVectors:
    """What is looked at of an object of gensim's."""

    def __init__(self, vectors):
        self.index_to_key = vectors.vocab.pieces
        self.vectors = vectors.vectors[3:]
        self.vector_size = vectors.vectors.shape[1]
        self.expandos = {}


class Word2Vec:
    def __init__(self, vectors):
        self.wv = KeyedVectors(vectors)


def test_vectors_of_every_kind_have_the_same_figures(tmp_path):
    words = ["one", "two", "three", "four", "five"]
    matrix = np.zeros((8, 4), np.float32)
    matrix[3:] = np.random.default_rng(1).normal(size=(5, 4))
    vectors = Vectors(Vocabulary(words), matrix)
    pairs = {"mine": [("one", "two", 3.0), ("two", "three", 1.0), ("four", "five", 2.0), ("one", "unseen", 1.0)]}
    trained = textdl.train("word2vec", [" ".join(words)] * 20, dim=4, epochs=1, min_count=1, tokenizer="whitespace")
    lines = [f"{w} {' '.join(map(str, row))}" for w, row in zip(words, matrix[3:].tolist(), strict=True)]
    (tmp_path / "v.txt").write_text(f"{len(words)} 4\n" + "\n".join(lines) + "\n", "utf-8")
    imported = textdl.import_model(tmp_path / "v.txt", output=tmp_path / "v")
    models = [KeyedVectors(vectors), Word2Vec(vectors), tmp_path / "v.txt", tmp_path / "v", imported, trained]
    (row,) = textdl.evaluate_vectors(models, pairs=pairs, analogies={})
    values = [score.value for score in row.scores]
    assert values[:5] == [values[0]] * 5
    assert [score.covered for score in row.scores] == [3] * 6
    assert [score.model for score in row.scores][:3] == ["KeyedVectors", "Word2Vec", "v.txt"]
    assert textdl.evaluate_vectors(KeyedVectors(vectors), pairs=pairs, analogies={})[0].scores[0].value == values[0]


def test_gensims_own_objects():
    gensim = pytest.importorskip("gensim.models")
    keyed = gensim.KeyedVectors(3)
    keyed.add_vectors(["a", "b", "c"], np.eye(3, dtype=np.float32) + 0.1)
    (row,) = textdl.evaluate_vectors(keyed, pairs={"p": [("a", "b", 1.0), ("b", "c", 2.0)]}, analogies={})
    assert row.scores[0].covered == 2


def test_what_has_no_word_vectors(model):
    with pytest.raises(UsageError, match="holds no word vectors; expected"):
        textdl.evaluate_vectors([object()])
    with pytest.raises(UsageError, match="has no word vectors to ask"):
        textdl.evaluate_vectors(model)
