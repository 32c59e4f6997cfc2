"""Text in, text out: training, saving, loading, asking, for every family, in English and Chinese."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textdl
from textdl import models
from textdl.bundle import FAMILIES, Model
from textdl.corpus import open_corpus
from textdl.corpus.sentences import split_sentences
from textdl.errors import CorpusError, ModelError, NotComparableError, TextTypeError, UnknownWordError, UsageError
from textdl.evaluation.perplexity import Result
from textdl.protocols import Run
from textdl.storage import Reader

SETTINGS: dict[str, dict[str, Any]] = {
    "ngram": {"order": 3},
    "word2vec": {"dim": 16, "epochs": 2, "min_count": 2, "workers": 1},
    "nnlm": {"order": 4, "embedding_size": 16, "hidden_size": 16, "epochs": 1, "min_count": 1, "batch_size": 4},
    "rnn": {"embedding_size": 16, "hidden_size": 16, "epochs": 1, "min_count": 1, "batch_size": 4},
    "transformer": {
        "embedding_size": 16, "heads": 2, "layers": 1, "window": 16, "epochs": 1, "min_count": 1, "batch_size": 4
    },
}  # fmt: skip
NETWORKS = ["nnlm", "rnn", "transformer"]
LANGUAGE_MODELS = [name for name in SETTINGS if name != "word2vec"]


@pytest.fixture(scope="session")
def trained(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Model]:
    root = tmp_path_factory.mktemp("models")
    return {
        (family, lang): textdl.train(family, str(texts / f"{lang}.txt"), output=root / f"{family}-{lang}", **settings)
        for family, settings in SETTINGS.items()
        for lang in ("en", "zh")
    }


def test_every_family_is_tried_here() -> None:
    assert {*SETTINGS, "seq2seq"} == set(FAMILIES)  # which trains on pairs, in test_translation.py


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("family", SETTINGS)
def test_a_saved_model_is_the_same(family: str, lang: str, trained: dict[tuple[str, str], Model]) -> None:
    model = trained[family, lang]
    assert model.directory is not None
    again = textdl.load(model.directory)
    assert again.tokenizer.fingerprint == model.tokenizer.fingerprint
    assert again.tokenizer.spec == {"en": "word", "zh": "jieba"}[lang]
    assert again.vocab.fingerprint == model.vocab.fingerprint
    assert np.array_equal(again.lines, model.lines)
    if family == "word2vec":
        assert np.array_equal(again.vectors.vectors, model.vectors.vectors)
    else:
        line = {"en": "the cat saw a bird named Zyx.", "zh": "我喜欢龘字。"}[lang]
        assert again.score(line) == model.score(line)


@pytest.mark.parametrize("family", LANGUAGE_MODELS)
def test_scores_are_of_the_raw_line(family: str, trained: dict[tuple[str, str], Model]) -> None:
    scored = trained[family, "en"].score("the cat saw qqq.")
    assert [piece for piece, _ in scored] == ["the", "cat", "saw", "qqq", "￭.", "</s>"]
    assert all(math.isfinite(value) and value < 0 for _, value in scored)
    forged = trained[family, "en"].score("</s>")  # text that spells a special is text
    assert [piece for piece, _ in forged][-1] == "</s>"
    assert len(forged) > 2


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_one_report_card_for_all_families(lang: str, texts: Path, trained: dict[tuple[str, str], Model]) -> None:
    models = [trained[family, lang] for family in LANGUAGE_MODELS]
    card = textdl.evaluate(models, str(texts / f"{lang}-test.txt"))
    assert [result.model for result in card.results] == [model.name for model in models]
    uniform = card.baselines[0].bits_per_char
    assert uniform is not None
    for result in card.results:
        assert result.bits_per_char is not None
        assert 0 < result.bits_per_char < uniform
        assert result.lossy_lines == 0
    by_name = textdl.evaluate([m.directory for m in models if m.directory], str(texts / f"{lang}-test.txt"))
    assert [r.open for r in by_name.results] == [r.open for r in card.results]


def test_words_and_characters_are_ranked_by_bits_only(texts: Path, trained: dict[tuple[str, str], Model]) -> None:
    characters = textdl.train("ngram", str(texts / "en.txt"), tokenizer="char", order=4)
    comparison = textdl.compare(characters, trained["ngram", "en"], text=str(texts / "en-test.txt"))
    assert [ranking.unit for ranking in comparison.rankings] == ["bits/char"]
    assert any("ppl/token is not compared" in reason for reason in comparison.refusals)
    one = textdl.evaluate(characters, ["the cat saw the dog at home."])[0]
    other = textdl.evaluate(characters, ["the dog saw the cat at home."])[0]
    with pytest.raises(NotComparableError, match="Nothing is compared across texts"):
        textdl.compare(one, other)
    with pytest.raises(UsageError, match="--text"):
        textdl.compare(characters, trained["ngram", "en"])


def test_text_seen_in_training_is_noticed(english: list[str], trained: dict[tuple[str, str], Model]) -> None:
    assert textdl.evaluate(trained["ngram", "en"], english[:5])[0].leaked == 5


def test_sampling_takes_the_numbers_of_numpy_and_refuses_what_is_none(english: list[str]) -> None:
    model = textdl.train("ngram", english, order=3)
    numbers = {"n": np.int64(2), "max_tokens": np.int32(5), "top_k": np.int64(9), "seed": np.uint8(4)}
    shares = {"temperature": np.float32(0.5), "top_p": np.float64(0.75)}
    assert textdl.sample(model, **numbers, **shares) == textdl.sample(
        model, n=2, max_tokens=5, top_k=9, seed=4, temperature=0.5, top_p=0.75
    )
    for name, value in (("n", 2.0), ("n", True), ("max_tokens", "5"), ("seed", None), ("top_k", np.float64(2))):
        with pytest.raises(UsageError, match=f"{name} .*: expected a whole number"):
            textdl.sample(model, **{name: value})
    for name, value in (("temperature", "1"), ("temperature", False), ("top_p", True), ("temperature", None)):
        with pytest.raises(UsageError, match=f"{name} .*: expected a number"):
            textdl.sample(model, **{name: value})


def test_samples_come_as_groups_are_finished(english: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = textdl.train("ngram", english, order=3)
    expected = textdl.sample(model, n=5, max_tokens=6)
    monkeypatch.setattr("textdl.generation.sampling._CELLS", 2 * model.language_model.vocab_size)
    assert textdl.sample(model, n=5, max_tokens=6) == expected
    assert next(models.samples(model, n=10**9, max_tokens=6)) == expected[0]


@pytest.mark.parametrize("family", LANGUAGE_MODELS)
def test_samples_repeat_with_their_seed(family: str, trained: dict[tuple[str, str], Model]) -> None:
    model = trained[family, "en"]
    drawn = textdl.sample(model, prompt="the cat", n=3, max_tokens=12, seed=4)
    assert len(drawn) == 3
    assert all(text.startswith("the cat") for text in drawn)
    assert drawn == textdl.sample(model, prompt="the cat", n=3, max_tokens=12, seed=4)
    assert drawn[:1] == textdl.sample(model, prompt="the cat", n=1, max_tokens=12, seed=4)
    assert drawn != textdl.sample(model, prompt="the cat", n=3, max_tokens=12, seed=5)
    assert len(set(textdl.sample(model, n=3, temperature=0.0, max_tokens=9))) == 1


def test_a_sample_may_go_on_over_line_ends():
    text = ["the cat sat", "on the mat"] * 20
    model = textdl.train("ngram", text, order=3, tokenizer="word")
    with pytest.raises(UsageError, match="trained line by line"):
        textdl.sample(model, across_lines=True)
    model = textdl.train("rnn", text, tokenizer="word", context="stream", hidden_size=8, embedding_size=8, epochs=20.0)
    settings = {"prompt": "the", "max_tokens": 30, "seed": 3, "across_lines": True}
    drawn = textdl.sample(model, n=2, **settings)
    assert all(text.startswith("the") and "\n" in text for text in drawn)
    assert list(models.stream(model, **settings))[-1] == drawn[0]
    assert all("\n" not in text for text in textdl.sample(model, prompt="the", n=5, max_tokens=30))


def test_words_are_asked_for_as_raw_text(trained: dict[tuple[str, str], Model]) -> None:
    model = trained["word2vec", "zh"]
    assert len(model.similar("北京", k=3)) == 3
    assert "北京" not in dict(model.similar("北京", k=50))
    assert model.similarity("北京", "北京") == pytest.approx(1.0, abs=1e-5)
    assert len(model.analogy("北京", "上海", "我", k=2)) == 2
    assert not any("。" in word for word, _ in model.similar("北京", k=50))
    with pytest.raises(UnknownWordError, match=r"'我们研究' is not in .* cuts it into 我们 / 研究 \(known: "):
        model.similar("我们研究")
    with pytest.raises(UnknownWordError, match=r"nearest known spelling: .*garden"):
        trained["word2vec", "en"].similar("gardn")


def test_an_unknown_word_is_told_how_often_it_was_seen(tmp_path: Path) -> None:
    lines = [*["the cat sat on the mat ."] * 9, "a catt sat", "a catt !", "the doge sat"]
    settings: dict[str, Any] = {"tokenizer": "word", "dim": 4, "epochs": 1, "min_count": 3}
    textdl.train("word2vec", lines, output=tmp_path / "m", **settings)
    model = textdl.load(tmp_path / "m")
    for word, said in [
        ("catt", "5 words: seen 2 times, min-count 3; nearest known spelling: cat"),
        ("doge", "seen 1 time, min-count 3"),
        ("zebra", "never seen in training"),
        (".", "seen 9 times, and left out for it has no letter or digit"),
        ("!", "seen 1 time, min-count 3"),
        ("catt doge", "never seen in training; word cuts it into catt / doge (known: none)"),
    ]:
        with pytest.raises(UnknownWordError) as caught:
            model.similar(word)
        assert said in str(caught.value)
    model.save(tmp_path / "again")  # what was left out is saved with it
    with pytest.raises(UnknownWordError, match="seen 2 times"):
        textdl.load(tmp_path / "again").similar("catt")
    (tmp_path / "vocab.txt").write_text("cat\nsat\n")
    given = textdl.train("word2vec", lines, vocab=tmp_path / "vocab.txt", tokenizer="word", dim=4, sample=0.0)
    with pytest.raises(UnknownWordError, match="seen 9 times, and left out by --max-vocab or --vocab"):
        given.similar("mat")
    base = textdl.train("word2vec", lines, start_from=tmp_path / "m", epochs=1)
    with pytest.raises(UnknownWordError, match="how often it was seen is not known, min-count"):
        base.similar("catt")


def test_words_are_added_and_subtracted(trained: dict[tuple[str, str], Model]) -> None:
    model = trained["word2vec", "zh"]
    rows = np.asarray(model.vectors.vectors, float)
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    a, b, c = (units[model.vocab.id(word)] for word in ("北京", "上海", "我"))
    scores = dict(zip(map(model.vocab.piece, range(len(rows))), units @ (a + c - b), strict=True))
    found = model.similar("北京", "我", minus=["上海"], k=5)
    assert [word for word, _ in found] == sorted(set(scores) - {"北京", "我", "上海"}, key=lambda w: -scores[w])[:5]
    assert model.similar_lines(["北京 - 上海 + 我", "北京"], k=5) == [found, model.similar("北京", k=5)]
    solved = model.analogy("上海", "北京", "我", k=5)
    assert dict(solved) == pytest.approx(dict(found), abs=1e-12)
    assert model.analogy_lines(["上海 北京 我"], k=5) == [solved]
    best = [model.vocab.piece(i) for i in range(3, 8)]
    assert {word for word, _ in model.similar("北京", k=50, among=5)} == {*best} - {"北京"}
    odd = model.odd_one_out("北京", "上海", "喜欢")
    assert {word for word, _ in odd} == {"北京", "上海", "喜欢"}
    assert odd == sorted(odd, key=lambda row: row[1])
    for line in ("北京 -", "北京 - - 上海", "+", "北京 + - 上海"):
        assert "there is no word behind" in str(model.similar_lines([line])[0])
    with pytest.raises(UsageError, match=r"min_count 1,000,000 leaves no word: the most frequent was seen \d+ times"):
        model.similar("北京", among=5, min_count=1_000_000)
    with pytest.raises(UsageError, match="minus takes a list"):
        model.similar("北京", minus="上海")
    with pytest.raises(UsageError, match="cancel out"):
        model.similar("北京", minus=["北京"])
    with pytest.raises(UsageError, match="three words or more"):
        model.odd_one_out("北京", "上海")
    with pytest.raises(UsageError, match="expected a word"):
        model.similarity("北京", 3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^北京 - 北京: these vectors"):
        raise model.similar_lines(["北京 - 北京"])[0]  # type: ignore[misc]
    with pytest.raises(UsageError, match="found among different words, got '北京' 3 times"):
        model.odd_one_out("北京", "北京", "北京")
    with pytest.raises(UsageError, match=r"got \['北京', '上海', '我'\]; give them one by one"):
        model.odd_one_out(["北京", "上海", "我"])  # type: ignore[arg-type]
    with pytest.raises(UnknownWordError, match=r"'' is not in the vocabulary of .*: jieba finds no word in it"):
        model.similar("")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda m: m.similar("北京", k=2.5), "k is 2.5; expected a whole number"),
        (lambda m: m.similar("北京", k=True), "k is True; expected a whole number"),
        (lambda m: m.analogy("北京", "上海", "我", k=2.5), "k is 2.5; expected a whole number"),
        (lambda m: m.similar("北京", among=2.5), "among is 2.5; expected a whole number"),
        (lambda m: m.similar("北京", min_count="3"), "min_count is '3'; expected a whole number"),
        (lambda m: m.similar("北京", minus=5), "minus takes a list of words"),
        (lambda m: m.similar_lines(["北京", 5]), "line 2: expected a str of words, got 5"),
        (lambda m: m.similar_lines("北京"), "expected a list of lines, got the str '北京'"),
        (lambda m: m.analogy_lines("北京 上海 我"), "expected a list of lines, got the str '北京 上海 我'"),
    ],
)
def test_wrong_types_of_questions(
    trained: dict[tuple[str, str], Model], ask: Callable[[Model], object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        ask(trained["word2vec", "zh"])


def test_whole_numbers_of_numpy_are_numbers(trained: dict[tuple[str, str], Model]) -> None:
    model = trained["word2vec", "zh"]
    two: Any = np.int64(2)
    assert model.similar("北京", k=two, among=two, min_count=two) == model.similar("北京", k=2, among=2, min_count=2)


def test_vectors_to_ask_only(trained: dict[tuple[str, str], Model], tmp_path: Path) -> None:
    model = trained["word2vec", "zh"]
    model.export_vectors(tmp_path / "half", float16=True)
    half = textdl.load(tmp_path / "half")
    assert half.vectors.vectors.dtype == np.float16
    assert dict(half.similar("北京", k=5)) == pytest.approx(dict(model.similar("北京", k=5)), abs=2e-3)
    assert half.card["describe"]["numbers"] == "float16"
    assert not {"context.npy", "counts.npy"} & Reader(tmp_path / "half").config["files"].keys()
    with pytest.raises(UnknownWordError, match="never seen"):
        half.similar("围脖")
    with pytest.raises(UsageError, match="without what is needed to train them on"):
        textdl.train("word2vec", ["我 喜欢 北京"], start_from=half)
    with pytest.raises(UsageError, match="float16 is for directories"):
        model.export_vectors(tmp_path / "v.txt", float16=True)
    with pytest.raises(UsageError, match="without its first line"):
        model.export_vectors(tmp_path / "v.bin", header=False)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    with pytest.raises(UsageError, match="is not a textdl model"):
        model.export_vectors(tmp_path / "thesis")


def test_vectors_are_not_written_in_an_unknown_format(trained: dict[tuple[str, str], Model], tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"v\.csv: of no known kind\. Name a file .*\.bin.*\.txt.*, each also with \.gz"
    ):
        trained["word2vec", "zh"].export_vectors(tmp_path / "v.csv")
    assert not list(tmp_path.iterdir())


def test_families_are_not_mixed_up(trained: dict[tuple[str, str], Model]) -> None:
    with pytest.raises(UsageError, match="has no word vectors to ask"):
        trained["ngram", "en"].similar("cat")
    with pytest.raises(UsageError, match="holds word vectors, which give no probabilities"):
        textdl.sample(trained["word2vec", "en"])
    with pytest.raises(UsageError, match="only n-gram models have an ARPA form"):
        trained["word2vec", "en"].export_arpa("x.arpa")


def test_the_ledger_adds_up(texts: Path) -> None:
    model = textdl.train("ngram", str(texts / "en.txt"), min_count=3, order=2)
    ledger = model.card["ledger"]
    assert ledger["lines"] == 400
    words = [piece for line in (texts / "en.txt").read_text().splitlines() for piece in model.tokenizer.encode(line)]
    assert ledger["tokens"] == len(words)
    assert ledger["types"] + ledger["cut_types"] == len(set(words))
    assert ledger["cut_tokens"] == int(model.vocab.counts[0]) == sum(word not in model.vocab for word in words)
    said = [" ".join(line.split()) for line in model.summary()]
    characters = sum(map(len, (texts / "en.txt").read_text().splitlines()))
    assert f"trained on 400 {characters:,} {len(words):,}" in said
    assert f"as <unk> ({ledger['cut_types']} rare types) {ledger['cut_tokens']}" in said


def test_the_summary_tells_what_held_out_text_costs(trained: dict[tuple[str, str], Model]) -> None:
    model = trained["rnn", "en"]
    figures = model.card["figures"]
    (said,) = [line for line in model.summary() if line.startswith("Held-out text")]
    ppl = np.exp(figures["valid_loss"])
    assert said == (
        f"Held-out text: {figures['valid_loss']:.4f} nats a token, perplexity {ppl:,.2f} ({figures['valid_tokens']:,} tokens)."
    )
    for family in ("ngram", "word2vec"):
        assert not any(line.startswith("Held-out") for line in trained[family, "en"].summary())


@pytest.mark.parametrize("family", ["ngram", "rnn"])
def test_every_line_character_and_token_is_accounted_for(family: str, english: list[str], tmp_path: Path) -> None:
    lines = (
        [f"{a}  {b.capitalize()}" if i % 3 == 0 else a for i, (a, b) in enumerate(pairwise(english))]
        + english[:50]
        + ["", " "]
    )
    path = tmp_path / "text.txt"
    path.write_bytes("\r\n".join(lines).encode() + b" \xff\n")
    corpus = open_corpus(path, errors="replace").without_duplicates().sentences()
    model = textdl.train(family, corpus, tokenizer="word", **{**SETTINGS[family], "min_count": 2})
    ledger = model.ledger
    assert ledger.lines_read == len(lines)
    assert ledger.characters_read == sum(map(len, lines)) + 2
    assert ledger.replaced == 1
    kept = list(dict.fromkeys([*lines[:-1], lines[-1] + " \ufffd"]))
    assert ledger.duplicates_dropped == len(lines) - len(kept)
    assert ledger.sentences_added > 0
    split = [sentence for line in kept for sentence in (split_sentences(line) if line.strip() else [line])]
    assert ledger.lines == len(kept) + ledger.sentences_added == len(split)
    tokens = sum(len(model.tokenizer.encode(sentence)) for sentence in split)
    assert ledger.tokens is not None
    assert ledger.tokens + (ledger.tokens_held_out or 0) == tokens
    assert ledger.cut_tokens == model.vocab.counts[0]
    assert (family == "rnn") == bool(ledger.lines_held_out)
    rows = {what: numbers for what, *numbers in ledger.rows()}
    trained_on = rows.pop("trained on")
    assert [sum(row[i] for row in rows.values()) for i in (0, 1)] == trained_on[:2]  # read, less what was left out


def test_pruning_reaches_the_model(texts: Path) -> None:
    whole = textdl.train("ngram", str(texts / "en.txt"), order=3)
    pruned = textdl.train("ngram", str(texts / "en.txt"), order=3, prune=(0, 0, 1))
    assert pruned.model.describe()["ngrams"][2] < whole.model.describe()["ngrams"][2]
    assert pruned.model.describe()["ngrams"][:2] == whole.model.describe()["ngrams"][:2]
    for wrong, said in [
        (0, "expected a sequence"),
        ((1,), "the first threshold is 0"),
        (("a",), "expected for each, a whole number"),
    ]:
        with pytest.raises(UsageError, match=said):
            textdl.train("ngram", ["a b"], prune=wrong)
    with pytest.raises(UsageError, match="--order True: expected a whole number"):
        textdl.train("ngram", ["a b"], order=True)


def test_text_that_spells_specials_is_text(tmp_path: Path) -> None:
    run = Run()
    lines = ["a <unk> b", "<s> a </s>", "a <unk>"]
    model = textdl.train("ngram", lines, tokenizer="whitespace", order=2, run=run)
    assert model.vocab.counts[0] == 0
    assert model.vocab.counts[model.vocab.id("<unk>")] == 2
    assert any("spells <unk> 2 times: that is an ordinary word" in note for note in run.notes)
    assert model.score("a <unk>")[1][1] > model.score("a unheard")[1][1]
    run = Run()
    textdl.train("ngram", lines, tokenizer="word", order=2, run=run)
    (note,) = (note for note in run.notes if "<unk>" in note and "spells" in note)
    assert "spells <unk> 2 times: that is text like any other, which word cuts into " in note
    assert any("spells </s> 1 time: that is text like any other" in note for note in run.notes)
    (tmp_path / "words").write_text("<unk>\na\nb\n")  # as in the Penn Treebank's files: the word stands for others
    run = Run()
    model = textdl.train("ngram", lines, tokenizer="whitespace", order=2, vocab=tmp_path / "words", run=run)
    assert "<unk>" not in model.vocab
    assert model.vocab.counts[0] == 4  # two <unk>, one <s>, one </s>
    assert any(
        "spells <unk> 2 times: that word is not in the vocabulary, so it counts as unknown" in n for n in run.notes
    )


def test_numbers_of_numpy_are_settings(tmp_path: Path) -> None:
    lines = ["a b a", "b a"]
    given = {"order": np.int64(2), "prune": np.array([0, 1]), "workers": np.int16(1)}
    model = textdl.train(
        "ngram", lines, output=tmp_path / "m", seed=np.int64(3), min_count=np.int32(1), processes=np.int8(1), **given
    )
    assert textdl.load(tmp_path / "m").card["config"] == {**model.card["config"], "prune": [0, 1]}
    assert (model.card["seed"], model.card["config"]["order"]) == (3, 2)
    model = textdl.train("word2vec", lines, dim=np.int64(4), epochs=1, sample=0, alpha=np.float32(0.5), min_count=1)
    assert (model.card["config"]["dim"], model.card["config"]["alpha"]) == (4, 0.5)
    wrong: dict[str, Any]
    for wrong, said in [
        ({"order": np.float64(2)}, "--order .*: expected a whole number"),
        ({"order": np.array(2)}, r"--order array\(2\): expected a whole number"),
        ({"order": np.bool_(True)}, "--order .*: expected a whole number"),
        ({"prune": np.array([0, 0.5])}, "--prune .*: expected for each, a whole number"),
        ({"prune": np.array(0)}, "--prune .*: expected a sequence"),
        ({"seed": True}, "--seed True: expected a whole number"),
    ]:
        with pytest.raises(UsageError, match=said):
            textdl.train("ngram", lines, **wrong)


def test_a_limited_vocabulary_counts_unknown_words_as_one_more(tmp_path: Path) -> None:
    """Not as lmplz --limit_vocab_file, which gives <unk> no n-grams of its own (docs/kneser-ney.md)."""
    (tmp_path / "words").write_text("a\nb\n")
    lines = ["a x b", "a y b", "b"]
    model = textdl.train("ngram", lines, tokenizer="whitespace", order=2, vocab=tmp_path / "words")
    assert model.score("a z")[1][1] > model.score("b z")[1][1]  # `a <unk>` was seen, though z was not
    same = [line.replace("x", "u").replace("y", "u") for line in lines]
    other = textdl.train("ngram", same, tokenizer="whitespace", order=2, vocab=tmp_path / "words")
    assert [t.closed for t in other.score_tokens(["a z"])] == [t.closed for t in model.score_tokens(["a z"])]
    assert other.model.describe()["ngrams"] == model.model.describe()["ngrams"] == [5, 5]


def test_lines_too_short_to_be_told_apart_are_not_looked_for() -> None:
    model = textdl.train("ngram", ["国破山河在城春草木深感时", "短", "短句"], order=2, tokenizer="char")
    result = textdl.evaluate(model, ["国破山河在城春草木深感时", "短", "短句", "从来没有见过的一整行文字"])[0]
    assert (result.leaked, result.leak_checked) == (1, 2)
    assert Result.from_dict(result.to_dict(), result.text).leak_checked == 2


def test_a_vocabulary_may_be_given(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\ufeff<unk>\r\ncat\t7\r\nzebra\r\nthe\r\n", "utf-8")
    model = textdl.train("ngram", str(texts / "en.txt"), vocab=tmp_path / "vocab.txt", order=2)
    assert model.vocab.pieces == ["cat", "zebra", "the"]
    assert model.vocab.counts[4] == 0
    assert model.ledger.cut_tokens == model.vocab.counts[0] > 0
    with pytest.raises(UsageError, match="--min-count and --max-vocab would choose them"):
        textdl.train("ngram", str(texts / "en.txt"), vocab=tmp_path / "vocab.txt", max_vocab=5)
    for text, wrong in [
        ("cat\ncat\n", "line 2: cat is in line 1 already"),
        ("cat\n\nthe\n", "line 2: empty"),
        ("cat\tmany\n", "line 1: expected"),
        ("", "names no piece"),
    ]:
        (tmp_path / "vocab.txt").write_text(text)
        with pytest.raises(UsageError, match=wrong):
            textdl.train("ngram", str(texts / "en.txt"), vocab=tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("unheard\n")
    with pytest.raises(CorpusError, match=r"No piece of .*vocab.txt occurs"):
        textdl.train("ngram", str(texts / "en.txt"), vocab=tmp_path / "vocab.txt")


def test_what_a_tokenizer_loses_is_said(chinese: list[str]) -> None:
    run = Run()
    textdl.train("ngram", [*chinese, "Ａ级"], tokenizer="char,normalize=NFKC", run=run)
    assert any("char,normalize=NFKC changes" in note and ",真" in note for note in run.notes), run.notes


def test_holding_out_is_said_and_counted(texts: Path) -> None:
    run = Run()
    model = textdl.train("rnn", str(texts / "en.txt"), run=run, **SETTINGS["rnn"])
    assert any("held out" in note for note in run.notes)
    ledger = model.card["ledger"]
    assert ledger["lines"] == 400
    assert 0 < ledger["lines_held_out"] < 80
    streamed = textdl.train("rnn", str(texts / "en.txt"), context="stream", run=(run := Run()), **SETTINGS["rnn"])
    assert any("the last 5 %" in note for note in run.notes)
    assert streamed.card["ledger"]["lines_held_out"] == 20
    left_open = textdl.train("rnn", "en-wiki:test", context=None, **SETTINGS["rnn"])
    assert left_open.card["config"]["context"] == "stream"  # as the corpus is
    corpus = open_corpus("en-wiki:test")
    textdl.train("rnn", corpus, context="line", **SETTINGS["rnn"])
    assert corpus.unit == "stream"  # what is passed in is left as it was


def test_the_curve_survives_loading_and_saving(trained: dict[tuple[str, str], Model], tmp_path: Path) -> None:
    model = trained["rnn", "en"]
    assert model.directory is not None
    assert model.curve
    again = textdl.load(model.directory)
    assert again.curve == json.loads(json.dumps(model.curve))
    for _ in range(3):
        again.save(tmp_path / "m")
        again = textdl.load(tmp_path / "m")
    assert again.curve == json.loads(json.dumps(model.curve))
    assert again.score("the cat") == model.score("the cat")


def test_scores_add_up_to_the_evaluation(
    trained: dict[tuple[str, str], Model], texts: Path, english: list[str]
) -> None:
    stream = textdl.train("rnn", english, context="stream", **SETTINGS["rnn"])
    for model in (stream, trained["rnn", "en"], trained["ngram", "en"]):
        lines = (texts / "en-test.txt").read_text().split("\n")[:-1]
        total = -sum(value for line in model.score_lines(lines) for _, value in line)
        assert textdl.evaluate(model, lines)[0].open == pytest.approx(total, rel=1e-6)


def test_an_argument_without_effect_is_said(texts: Path) -> None:
    with pytest.raises(UsageError, match="--valid is for families that train in steps"):
        textdl.train("ngram", ["a b"], valid=["a"])
    with pytest.raises(UsageError, match="--max-vocab 0"):
        textdl.train("ngram", ["a b"], max_vocab=0)
    with pytest.raises(CorpusError, match="only blank lines"):
        textdl.train("rnn", ["a b"], valid=[""])
    with pytest.raises(CorpusError, match="too little text to hold 5% of it out"):
        textdl.train("rnn", ["a b"])
    run = Run(seed=3)
    assert textdl.train("ngram", ["a b"], run=run).card["seed"] == 3
    assert textdl.train("ngram", ["a b"], run=run, seed=4).card["seed"] == 4


def test_a_prompt_that_is_lost_in_tokenizing_is_shown_as_the_model_sees_it(english: list[str]) -> None:
    model = textdl.train("ngram", english, tokenizer="whitespace", order=2)
    assert textdl.sample(model, prompt="the    cat  ", max_tokens=1, temperature=0.0)[0].startswith("the cat ")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: textdl.train("ngrams", ["a"]), UsageError, "there are ngram, word2vec, nnlm, rnn, transformer"),
        (lambda: textdl.train("ngram", ["a"], ordr=3), UsageError, "no setting 'ordr'; there are"),
        (lambda: textdl.train("ngram", "missing.txt"), UsageError, "neither a file or directory that exists"),
        (lambda: textdl.train("ngram", []), CorpusError, "empty"),
        (lambda: textdl.train("ngram", ["", " "]), CorpusError, "only blank lines"),
        (lambda: textdl.train("ngram", (line for line in ["a"])), TextTypeError, "generator"),
        (lambda: textdl.train("ngram", ["a b"], budget=9.0), UsageError, "--budget is for neural models"),
        (lambda: textdl.train("word2vec", ["a b c"]), CorpusError, "min-count"),
        (lambda: textdl.train("ngram", ["a"], memory="4G"), UsageError, "--memory '4G': expected a whole number"),
        (lambda: textdl.train("ngram", ["a"], order="5"), UsageError, "--order '5': expected a whole number"),
        (lambda: textdl.train("rnn", ["a"], hidden_size="5"), UsageError, "--hidden-size '5'"),
        (lambda: textdl.train("rnn", ["a"], budget="1s"), UsageError, "--budget '1s'"),
        (lambda: textdl.train("ngram", ["a"], tokenizer=5), UsageError, "a name such as 'jieba'"),
        (lambda: textdl.train("ngram", ["a"], seed=-1), UsageError, "--seed -1"),
        (lambda: textdl.train("ngram", ["a"], min_count="a"), UsageError, "--min-count 'a'"),
        (lambda: textdl.load("missing"), UsageError, "no such model"),
        (lambda: textdl.load(None), UsageError, "takes the directory of a model"),
        (lambda: textdl.sample(textdl.train("ngram", ["a"]), prompt="a\nb"), UsageError, "line feed"),
    ],
)
def test_wrong_use_is_one_clear_sentence(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


class Interrupting(Run):
    def progress(self, stage: str, done: float, total: float | None, unit: str, text: str = "") -> None:
        if stage == "training":
            raise KeyboardInterrupt


@pytest.mark.parametrize("family", ["word2vec", "rnn"])
def test_ctrl_c_keeps_the_model_so_far_and_what_was_there(family: str, texts: Path, tmp_path: Path) -> None:
    settings = SETTINGS[family] | {"epochs": 40}
    first = textdl.train(family, str(texts / "en.txt"), output=tmp_path / "m", run=Interrupting(), **settings)
    assert first.card["interrupted"]
    assert textdl.load(tmp_path / "m").card["interrupted"]
    settings |= {"resume": False}  # begins anew over the checkpoint that is there
    second = textdl.train(family, str(texts / "en.txt"), output=tmp_path / "m", run=Interrupting(), **settings)
    assert second.directory == tmp_path / "m.interrupted"
    assert textdl.load(tmp_path / "m.interrupted").card["interrupted"]


def test_a_truncated_model_is_named(trained: dict[tuple[str, str], Model], tmp_path: Path) -> None:
    model = trained["ngram", "en"]
    model.save(tmp_path / "m")
    model.directory = None
    files = json.loads((tmp_path / "m" / "config.json").read_text())["files"]
    for entry in files.values():
        path = tmp_path / "m" / entry["file"]
        data = path.read_bytes()
        if not data:
            continue
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ModelError, match=path.name):
            textdl.load(tmp_path / "m")
        path.write_bytes(data)
    textdl.load(tmp_path / "m")


@pytest.mark.parametrize("family", SETTINGS)
def test_one_line_is_enough_or_says_what_is_missing(family: str) -> None:
    settings = {k: v for k, v in SETTINGS[family].items() if k != "min_count"} | {"min_count": 1}
    settings |= {"sample": 0.0} if family == "word2vec" else {"valid": ["the cat sat"]} if family in NETWORKS else {}
    model = textdl.train(family, ["the cat sat on the mat ."], **settings)
    if family != "word2vec":
        assert textdl.evaluate(model, ["the cat sat"])[0].open is not None


def test_a_sentencepiece_model_travels_with_the_language_model(texts: Path, tmp_path: Path) -> None:
    from textdl.tokenizers.sentencepiece import train

    made, _ = train(hanzi_lines := (texts / "zh.txt").read_text("utf-8").split("\n"), vocab_size=400)
    made.write(tmp_path / "zh.model")
    model = textdl.train("ngram", hanzi_lines[:-1], tokenizer=f"sp:{tmp_path / 'zh.model'}", output=tmp_path / "m")
    (tmp_path / "zh.model").unlink()
    again = textdl.load(tmp_path / "m")
    result = textdl.evaluate(again, ["我喜欢龘字。"])[0]
    assert result.unknown == 0
    assert result.open == result.closed
    assert again.score("我")[-1] == model.score("我")[-1]


KILLED_NETWORK = """
import os, signal, sys, textdl, textdl.training.loop as loop
from textdl.protocols import Run

class Dying(Run):
    def progress(self, stage, done, total, unit, text=""):
        if stage == "training" and self.checkpoint.written and len(self.curve) == 5:
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 3:  # somewhere between two validations, perhaps while a checkpoint is being written
                os.kill(os.getpid(), signal.SIGKILL)

loop._APART = -1.0
textdl.train(
    "rnn", sys.argv[1], output=sys.argv[2], run=Dying(), embedding_size=16, hidden_size=16, layers=2, epochs=4,
    context="stream", batch_size=4, bptt=8, dropout=0.3, min_count=1,
)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_network_goes_on_to_the_same_bytes(texts: Path, tmp_path: Path) -> None:
    text = str(texts / "en.txt")
    command = [sys.executable, "-c", KILLED_NETWORK, text, str(tmp_path / "m")]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    assert not (tmp_path / "m").exists()
    settings: dict[str, Any] = {
        "embedding_size": 16, "hidden_size": 16, "layers": 2, "epochs": 4, "context": "stream", "batch_size": 4,
        "bptt": 8, "dropout": 0.3, "min_count": 1,
    }  # fmt: skip
    with pytest.raises(
        UsageError, match=r"m\.training holds a training that was not finished: rnn, [\d,]+ of [\d,]+ st"
    ):
        textdl.train("rnn", text, output=tmp_path / "m", **settings)
    with pytest.raises(UsageError, match=r"another training: --dropout is 0\.2, was 0\.3"):
        textdl.train("rnn", text, output=tmp_path / "m", resume=True, **{**settings, "dropout": 0.2})
    model = textdl.train("rnn", text, output=tmp_path / "m", resume=True, **settings)
    assert any("by the plan made at its start" in note for note in model.card["notes"])
    assert not (tmp_path / "m.training").exists()
    whole = textdl.train("rnn", text, output=tmp_path / "whole", **settings)
    files = [Reader(tmp_path / name).path("weights.safetensors").read_bytes() for name in ("m", "whole")]
    assert files[0] == files[1]
    assert [r["valid_loss"] for r in model.curve] == [r["valid_loss"] for r in whole.curve]


def test_networks_begin_with_word_vectors(english: list[str], tmp_path: Path) -> None:
    textdl.train("word2vec", english, output=tmp_path / "v", dim=12, epochs=1, min_count=2)
    vectors = textdl.load(tmp_path / "v")
    for family in NETWORKS:
        sizes = {"hidden_size": 12} if family != "transformer" else {"heads": 2, "layers": 1}
        settings: dict[str, Any] = {"min_count": 1, "batch_size": 4, "learning_rate": 1e-9, "epochs": 0.01, **sizes}
        model = textdl.train(family, english, init_embeddings=tmp_path / "v", **settings)
        assert model.model.describe()["embedding_size"] == 12
        weights = model.model.network.state_dict()["softmax.weight"].numpy()
        one, other = (weights[model.vocab.id(word)] for word in ("cat", "garden"))
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert cosine == pytest.approx(vectors.similarity("cat", "garden"), abs=1e-4)
        assert any("v has a vector for" in note and "% of the tokens" in note for note in model.card["notes"])
    with pytest.raises(UsageError, match="--embedding-size 12"):
        textdl.train("rnn", english, init_embeddings=vectors, embedding_size=16, epochs=1)
    with pytest.raises(UsageError, match=r"none of the .* pieces of this text"):
        textdl.train("rnn", ["我们喜欢"] * 90, valid=["我们"], init_embeddings=vectors, epochs=1)


KILLED = """
import os, signal, sys, textdl, textdl.word2vec.train
from textdl.protocols import Run

class Dying(Run):
    def record(self, **values):
        super().record(**values)
        if values["epoch"] == 4:
            self.checkpoint.wait()
            os.kill(os.getpid(), signal.SIGKILL)

textdl.word2vec.train._APART = 0
textdl.train(
    "word2vec", sys.argv[1], output=sys.argv[2], run=Dying(), dim=16, epochs=6, min_count=2, workers=1, sample=0
)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_training_goes_on_to_the_same_bytes(texts: Path, tmp_path: Path) -> None:
    text = str(texts / "en.txt")
    command = [sys.executable, "-c", KILLED, text, str(tmp_path / "m")]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    assert not (tmp_path / "m").exists()
    settings: dict[str, Any] = {"dim": 16, "epochs": 6, "min_count": 2, "workers": 1, "sample": 0.0}
    with pytest.raises(
        UsageError, match=r"m\.training holds a training that was not finished: word2vec, 3 of 6 epochs"
    ):
        textdl.train("word2vec", text, output=tmp_path / "m", **settings)
    with pytest.raises(UsageError, match=r"another training: --dim is 8, was 16\. Give the command"):
        textdl.train("word2vec", text, output=tmp_path / "m", resume=True, **{**settings, "dim": 8})
    with pytest.raises(UsageError, match=r"another training: the text is \w+, was \w+"):
        textdl.train("word2vec", str(texts / "en-test.txt"), output=tmp_path / "m", resume=True, **settings)
    with pytest.raises(UsageError, match=r"m\.training is a checkpoint, not a model"):
        textdl.load(tmp_path / "m.training")
    model = textdl.train("word2vec", text, output=tmp_path / "m", resume=True, **settings)
    assert any("Training goes on after 3 of 6 epochs" in note for note in model.card["notes"])
    assert len(model.curve) == 6
    assert not (tmp_path / "m.training").exists()
    whole = textdl.train("word2vec", text, **settings)
    assert whole.vectors.vectors.tobytes() == model.vectors.vectors.tobytes()
    assert whole.model.context.tobytes() == model.model.context.tobytes()


def test_resuming_where_nothing_was_stopped_begins(english: list[str], tmp_path: Path) -> None:
    model = textdl.train("word2vec", english, output=tmp_path / "m", resume=True, **SETTINGS["word2vec"])
    assert any("there is no m.training to go on from" in note for note in model.card["notes"])


def test_a_finished_model_has_nothing_to_go_on_from(english: list[str], tmp_path: Path) -> None:
    textdl.train("word2vec", english, output=tmp_path / "m", **SETTINGS["word2vec"])
    with pytest.raises(UsageError, match=r"is a model already, and there is no m\.training .* leave out --resume"):
        textdl.train("word2vec", english, output=tmp_path / "m", resume=True, **SETTINGS["word2vec"])


@pytest.mark.parametrize("family", ["ngram", "word2vec", "rnn"])
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a directory in which not even root can write")
def test_a_place_that_takes_no_files_is_found_before_any_work(family: str) -> None:
    with pytest.raises(UsageError, match="/proc takes no files"):
        textdl.train(family, ["a b"], output="/proc/foo")


def test_settings_without_effect_are_said(english: list[str]) -> None:
    run = Run()
    textdl.train("word2vec", english, run=run, **SETTINGS["word2vec"], cbow_gradient="corrected")
    assert "--cbow-gradient has no effect with --model skipgram." in run.notes
    run = Run()
    textdl.train("word2vec", english, run=run, **SETTINGS["word2vec"])
    assert not any("no effect" in note for note in run.notes)


def test_ctrl_c_leaves_the_checkpoint(english: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textdl.word2vec.train._APART", 0)

    class Once(Run):
        def record(self, **values: Any) -> None:
            super().record(**values)
            if len(self.curve) == 3:
                raise KeyboardInterrupt

    settings = {**SETTINGS["word2vec"], "epochs": 4}
    stopped = textdl.train("word2vec", english, output=tmp_path / "m", run=Once(), **settings)
    assert stopped.card["interrupted"]
    assert any("m.training holds 2 of 4 epochs: the same command with --resume" in n for n in stopped.card["notes"])
    again = textdl.train("word2vec", english, output=tmp_path / "m", run=Once(), resume=True, **settings)
    assert (again.directory, again.card["interrupted"]) == (tmp_path / "m", True)  # the same training, further on
    done = textdl.train("word2vec", english, output=tmp_path / "m", resume=True, **settings)
    assert done.directory == tmp_path / "m"
    assert not textdl.load(tmp_path / "m").card["interrupted"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    whole = textdl.train("word2vec", english, **settings)
    assert whole.vectors.vectors.tobytes() == done.vectors.vectors.tobytes()


def test_a_model_replaced_while_it_is_read_is_read_anew(
    english: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = (textdl.train("ngram", english[:n], **SETTINGS["ngram"]) for n in (100, 200))
    older.save(tmp_path / "m")
    opened, begun = Reader.__init__, []

    def replaced(self: Reader, directory: Path) -> None:
        opened(self, directory)
        if not begun:
            begun.append(1)
            newer.save(tmp_path / "m")

    monkeypatch.setattr(Reader, "__init__", replaced)
    assert textdl.load(tmp_path / "m").vocab.pieces == newer.vocab.pieces
    (tmp_path / "m" / "vocab-2.txt").write_text("")
    with pytest.raises(ModelError, match="vocab"):
        textdl.load(tmp_path / "m")


def test_a_training_that_broke_down_does_not_replace_a_model(
    english: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from textdl.errors import TextdlError
    from textdl.word2vec.sweep import Updates

    settings = {**SETTINGS["word2vec"], "epochs": 4}
    textdl.train("word2vec", english, output=tmp_path / "m", **settings)
    whole, passes = Updates.run, []

    def breaks(self: Updates, *arguments: Any, **named: Any) -> Any:
        passes.append(1)
        if len(passes) == 3:
            raise TextdlError("the loss is nan")
        return whole(self, *arguments, **named)

    monkeypatch.setattr(Updates, "run", breaks)
    broken = textdl.train("word2vec", english, output=tmp_path / "m", **settings)
    assert broken.card["failed"]
    assert broken.directory == tmp_path / "m.interrupted"
    assert not (tmp_path / "m.training").exists()
    assert not textdl.load(tmp_path / "m").card["failed"]


def test_training_on_with_new_text(english: list[str], tmp_path: Path) -> None:
    settings = SETTINGS["word2vec"]
    first = textdl.train("word2vec", english, output=tmp_path / "m", **settings)
    files = {path: path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()}
    new = ["the zebra saw the yak at home ."] * 9 + ["a gnu"]
    second = textdl.train("word2vec", new, start_from=tmp_path / "m", output=tmp_path / "n", epochs=1)
    assert {path: path.read_bytes() for path in files} == files
    assert second.card["config"]["dim"] == 16
    assert second.card["config"]["epochs"] == 1
    assert set(second.vocab.pieces) - set(first.vocab.pieces) == {"zebra", "yak"}
    for word, more in (("the", 18), ("saw", 9), ("zebra", 9)):
        known = first.vocab.counts[first.vocab.id(word)] if word in first.vocab else 0
        assert second.vocab.counts[second.vocab.id(word)] == known + more
    order = list(zip((-second.vocab.counts[3:]).tolist(), second.vocab.pieces, strict=True))
    assert order == sorted(order)
    assert second.card["figures"]["extension"]["new_words"] == 2
    assert second.card["figures"]["epochs_in_all"] == 3
    assert [text["fingerprint"] for text in second.card["from"]["corpora"]] == [first.card["corpus"]["fingerprint"]]
    assert set(second.lines) > set(first.lines)
    assert second.ledger.cut_tokens == 9 + 1  # the full stops, which are no words, and the gnu
    third = textdl.train("word2vec", english, start_from=second, epochs=1)
    assert third.vocab.to_text().split("\n", 3)[3] == second.vocab.to_text().split("\n", 3)[3]  # counted before
    assert textdl.load(tmp_path / "n").similar("zebra", k=1)


def test_lines_that_were_trained_on_are_counted_once(english: list[str], tmp_path: Path) -> None:
    first = textdl.train("word2vec", english, output=tmp_path / "m", **SETTINGS["word2vec"])
    new = ["the zebra saw the yak at home ."] * 9

    def counts(text: list[str], start: Model) -> tuple[dict[str, int], list[str]]:
        run = Run()
        model = textdl.train("word2vec", text, start_from=start, epochs=1, run=run)
        said = [note for note in run.notes if "trained on before" in note]
        return dict(zip(model.vocab.pieces, model.vocab.counts[3:].tolist(), strict=True)), said

    before = dict(zip(first.vocab.pieces, first.vocab.counts[3:].tolist(), strict=True))
    found, said = counts(english[::-1], first)
    assert found == before
    assert "its counts are not added a second time" in said[0]
    only_new, said = counts(new, first)
    assert said == []
    assert only_new["the"] == before["the"] + 18
    found, said = counts([*new, "", *english], first)
    assert found == only_new
    lines = sum(1 for line in english if line.strip())
    assert f"{lines:,} of the {lines + 9:,} lines of " in said[0]
    # a word that was too rare is new, and all its tokens are those of a new word
    rare = textdl.train("word2vec", [*english, "a gnu"], **SETTINGS["word2vec"])
    assert "gnu" not in rare.vocab
    found, _ = counts(["a gnu", *["the gnu eats"] * 9], rare)
    assert found["gnu"] == 10


def test_training_on_takes_the_words_and_settings_of_its_model(english: list[str], tmp_path: Path) -> None:
    settings = SETTINGS["word2vec"]
    first = textdl.train("word2vec", english, output=tmp_path / "m", **settings)
    ngram = textdl.train("ngram", english, order=2)
    for family, wrong, said in (
        ("word2vec", {"start_from": first, "dim": 9}, "--dim 9: the vectors that training goes on from have dim 16"),
        ("word2vec", {"start_from": first, "tokenizer": "char"}, "--tokenizer cannot be given with --from"),
        ("word2vec", {"start_from": first, "max_vocab": 9}, "--max-vocab cannot be given with --from"),
        ("word2vec", {"start_from": first, "output": tmp_path / "m"}, "that is the model of --from"),
        ("word2vec", {"start_from": ngram}, "a n-gram language model, which word2vec cannot start from"),
        ("word2vec", {"resume": True}, "--resume goes on from the checkpoint beside the output"),
        ("word2vec", {"patience": 2}, "--patience 2: there is no held-out text to watch"),
        ("ngram", {"start_from": ngram}, "--from is for word2vec"),
        ("ngram", {"resume": True}, "--resume is for families that train in epochs; ngram counts once"),
        ("word2vec", {"init_embeddings": first}, "--init-embeddings is for neural models"),
        ("word2vec", {"start_from": 7}, "--from 7: expected a model or its directory"),
        ("word2vec", {"keep_punctuation": "no"}, "--keep-punctuation 'no': expected True or False"),
        ("word2vec", {"resume": "no"}, "--resume 'no': expected True or False"),
        ("word2vec", {"seed": 10**23}, r"--seed 1000\d+: expected a whole number from 0 up, below 2\^63"),
    ):
        with pytest.raises(UsageError, match=said):
            textdl.train(family, english, **wrong)
    with pytest.raises(CorpusError, match="every type is cut"):
        textdl.train("word2vec", ["zebra yak"], start_from=first)


def test_a_damaged_model_is_not_trained_on(english: list[str], tmp_path: Path) -> None:
    textdl.train("word2vec", english, output=tmp_path / "m", **SETTINGS["word2vec"])
    for name in ("vectors.npy", "context.npy"):
        path = tmp_path / "m" / name
        data = path.read_bytes()
        for damaged in (data[:-1] + bytes([data[-1] ^ 1]), data[:-4]):
            path.write_bytes(damaged)
            with pytest.raises(ModelError, match=rf"{name}.* damaged.*Copy"):
                textdl.train("word2vec", english, start_from=tmp_path / "m", epochs=1)
        path.write_bytes(data)


def test_a_text_in_another_language_is_said(english: list[str], chinese: list[str], tmp_path: Path) -> None:
    first = textdl.train("word2vec", english, output=tmp_path / "m", **SETTINGS["word2vec"])
    for text, warned in ((chinese, True), (english, False)):
        run = Run()
        textdl.train("word2vec", text, start_from=first, epochs=1, min_count=1, run=run)
        said = [note for note in run.notes if "of the tokens of this text are words that it knows" in note]
        assert bool(said) is warned
        assert not warned or ("only 0.0%" in said[0] and "its tokenizer, word?" in said[0])


def test_a_plan_writes_nothing(english: list[str], tmp_path: Path) -> None:
    found = textdl.plan("word2vec", english, output=tmp_path / "m", **SETTINGS["word2vec"])
    model = textdl.train("word2vec", english, **SETTINGS["word2vec"])
    assert found.words == len(model.vocab.pieces)
    assert found.tokens == model.ledger.tokens
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="--dry-run is for word2vec"):
        textdl.plan("ngram", english)


@pytest.mark.parametrize("mode", [{}, {"model": "cbow"}, {"loss": "hs"}, {"model": "cbow", "loss": "hs"}], ids=str)
def test_the_smallest_texts(mode: dict[str, Any]) -> None:
    settings = {"dim": 4, "min_count": 1, "sample": 0.0, **mode}
    for lines in (["a b"], ["a b c " * 5000], ["a", "b", "a b"]):
        model = textdl.train("word2vec", lines, **settings)
        assert np.isfinite(model.vectors.vectors).all()
        assert len(model.similar("a", k=1)) == 1
    for lines in (["a", "b"], ["a"], ["a a a a"]):
        with pytest.raises(CorpusError, match=r"no two known words|at least 2 different"):
            textdl.train("word2vec", lines, **settings)
