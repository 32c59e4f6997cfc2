import json
import math
import time

import numpy as np
import pytest

import textdl
from textdl.bundle import Source
from textdl.corpus import open_pairs
from textdl.corpus.pairs import PairLedger
from textdl.errors import TextdlError, TextTypeError, UsageError
from textdl.pair_preparation import doubts
from textdl.protocols import Run
from textdl.translation import Translation, _Enough, _joined, _Trial, draw_attention, translate

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HAN = "零一二三四五六七八九"
SMALL = {
    "size": 32, "layers": 1, "heads": 2, "inner_size": 64, "batch_positions": 400, "dropout": 0.0, "learning_rate": 5e-3,
    "source_tokenizer": "word", "tokenizer": "char",
}  # fmt: skip


def numbers(count=300, seed=1):
    """English digits and the same in Chinese."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 10, rng.integers(1, 5)) for _ in range(count)]
    return [" ".join(DIGITS[i] for i in row) for row in rows], ["".join(HAN[i] for i in row) for row in rows]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    run = Run()
    path = tmp_path_factory.mktemp("models") / "numbers"
    textdl.train_seq2seq(*numbers(), output=path, run=run, epochs=50, ema=0.0, **SMALL)
    return textdl.load(path)


def test_it_translates_what_it_never_saw(model):
    lines = ["one two three", "nine", "", "seven seven", "four eight one zero"]
    texts = [t.text for t in translate(model, lines)]
    assert texts[2] == ""
    assert (
        sum(
            text == "".join(HAN[DIGITS.index(w)] for w in line.split()) for line, text in zip(lines, texts, strict=True)
        )
        >= 4
    )


def test_order_beam_and_exactness(model):
    lines, _ = numbers(40, seed=3)
    together = [t.text for t in translate(model, lines, quick=False)]
    assert together == [next(translate(model, [line], quick=False)).text for line in lines]
    best = list(translate(model, lines[:3], n_best=3))
    assert all(len(t.texts) == 3 and t.scores == sorted(t.scores, reverse=True) for t in best)


def test_a_forced_beginning(model):
    run = Run()
    assert next(translate(model, ["one two"], prefix="九", run=run)).text.startswith("九")
    assert not run.notes
    assert next(translate(model, ["one two"], prefix="狗", run=run)).text.startswith("狗")
    assert any("the prefix holds '狗'" in note for note in run.notes)


def test_it_is_saved_whole(model):
    assert model.family == "seq2seq"
    assert model.source.tokenizer.spec == "word"
    assert model.card["source"]["joint"] is False
    assert model.curve[0]["samples"][0].keys() == {"source", "output", "reference"}
    assert json.dumps(model.card)
    assert "sequence-to-sequence" in repr(model)


def test_unknown_scripts_and_long_lines_are_told(model):
    run = Run()
    found = list(translate(model, ["привет мир", "one two", " ".join(["one"] * 5000)], run=run, beam=1, max_tokens=4))
    assert len(found) == 3
    assert any("letters of which the model has no piece" in note and "line 1" in note for note in run.notes)
    assert any("5,000 tokens" in note for note in run.notes)
    run = Run()
    list(translate(model, ["one two привет"], run=run, beam=1))
    assert not run.notes  # one letter is the odd one out, not the line
    run = Run()
    endless = "one two " * 5000 + "one"
    first, second, last, _ = translate(model, ["one", endless, "two", endless], run=run, beam=1)
    assert first.text
    assert last.text
    assert second.source == endless
    assert (second.texts, second.scores, second.finished) == ([""], [-math.inf], False)
    (note,) = run.notes
    assert "10,001 tokens ('one two" in note
    assert "and 1 more: not translated" in note


def test_to_resume_where_there_is_nothing_is_told(tmp_path):
    run, given = Run(), {"size": 16, "layers": 1, "heads": 1, "epochs": 0.1, "output": tmp_path / "m", "resume": True}
    textdl.train_seq2seq(*numbers(), run=run, **given)
    assert any("there is no m.training to go on from" in note for note in run.notes)
    with pytest.raises(UsageError, match="m is a model already"):
        textdl.train_seq2seq(*numbers(), **given)


def test_toys_are_learnt_without_noise():
    small = {"size": 16, "layers": 1, "heads": 1, "epochs": 0.1}
    config = textdl.train_seq2seq("toy:reverse:60", **small).card["config"]
    assert (config["dropout"], config["label_smoothing"], config["optimiser"]) == (0.0, 0.0, "muon")
    config = textdl.train_seq2seq("toy:reverse:60", **small, dropout=0.2, label_smoothing=0.1, ema=0.9).card["config"]
    assert (config["dropout"], config["label_smoothing"], config["ema"]) == (0.2, 0.1, 0.9)
    config = textdl.train_seq2seq(*numbers(), **small).card["config"]
    assert (config["dropout"], config["label_smoothing"]) == (None, 0.1)


def test_copying_is_told():
    rng = np.random.default_rng(1)
    lines = ["".join(rng.choice(list("abcd"), rng.integers(1, 5))) for _ in range(300)]
    run = Run()
    settings = SMALL | {"source_tokenizer": None}
    copier = textdl.train_seq2seq(lines, lines, run=run, epochs=40, ema=0.0, **settings)
    assert any("will copy" in note for note in run.notes)
    run = Run()
    list(translate(copier, ["abc", "bad", "cab", "dab", "ad"], run=run))
    assert any("the model copies" in note for note in run.notes)


def test_copying_on_purpose_is_not_told():
    ledger = PairLedger(kept=10, copies=9)
    assert any("will copy" in doubt for doubt in doubts(open_pairs("toy:reverse"), ledger))
    assert not any("will copy" in doubt for doubt in doubts(open_pairs("toy:copy"), ledger))


@pytest.mark.slow
def test_sanity_passes_where_there_is_something_to_learn():
    run = Run()
    textdl.train_seq2seq(*numbers(120), run=run, epochs=1, sanity=True, **SMALL)
    assert any(note.startswith("sanity") for note in run.notes)
    assert run.figures["sanity"]["loss"] < 0.3


@pytest.mark.slow
def test_sanity_says_why_it_fails():
    source, target = numbers(200)
    with pytest.raises(TextdlError, match=r"--sanity: 100 pairs .*learning-rate"):
        textdl.train_seq2seq(source, target, epochs=1, sanity=True, **(SMALL | {"learning_rate": 1e-7}))
    run = Run()
    textdl.train_seq2seq(["one two"] * 60 + source[:140], target, run=run, epochs=1, sanity=True, **SMALL)
    assert any(note.startswith("sanity") and "different targets" in note for note in run.notes)


def test_training_goes_on_where_it_stopped(tmp_path):
    class Stopped(Run):
        def record(self, **values):
            super().record(**values)
            if len(self.curve) == 2:
                raise KeyboardInterrupt

    settings = SMALL | {"epochs": 6, "dropout": 0.1}
    whole = textdl.train_seq2seq(*numbers(), output=tmp_path / "whole", **settings)
    run = Stopped()
    textdl.train_seq2seq(*numbers(), output=tmp_path / "model", run=run, **settings)
    assert run.interrupted
    with pytest.raises(UsageError, match="--resume"):
        textdl.train_seq2seq(*numbers(), output=tmp_path / "model", **settings)
    resumed = textdl.train_seq2seq(*numbers(), output=tmp_path / "model", resume=True, **settings)
    for a, b in zip(
        whole.model.network.state_dict().values(), resumed.model.network.state_dict().values(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_sentences_of_a_line_may_be_translated_apart(model):
    run = Run()
    lines = ["One two. Three!", "", "Four. привет мир"]
    found = list(translate(model, lines, split_sentences=True, n_best=2, quick=False, run=run))
    apart = [t.text for t in translate(model, ["One two.", "Three!"], quick=False)]
    assert found[0].source == lines[0]
    assert found[0].text == "".join(apart)  # Chinese has no blanks between sentences
    assert [t.text for t in found][1] == ""
    assert all(len(t.texts) == len(t.scores) == 2 for t in found)
    assert any("1 of 3 lines" in note and "(line 3)" in note for note in run.notes)


def test_sentences_are_joined_as_their_language_has_it():
    def made(*texts):
        return Translation("", list(texts), [-1.0] * len(texts), True)

    assert _joined("", [made("Ja."), made(""), made("Gut.")]).text == "Ja. Gut."
    assert _joined("", [made("他说:“好。”"), made("对。")]).text == "他说:“好。”对。"
    assert _joined("", [made("a", "b"), made("c")]) == Translation("", ["a c"], [-2.0], True)


def test_long_lines_are_translated_fewer_at_a_time(model, monkeypatch):
    lines, _ = numbers(20, seed=5)
    together = [t.text for t in translate(model, lines, quick=False)]
    monkeypatch.setattr("textdl.translation._POSITIONS", 1)
    assert [t.text for t in translate(model, lines, quick=False)] == together


def test_a_trial_ends_when_its_pairs_are_learnt_or_time_is_over(model):
    sources, targets = numbers(9)
    source, target = model.source.encode(sources), Source(model.tokenizer, model.vocab).encode(targets)
    trial = _Trial(Run(), source, target, learnt=100.0)
    with pytest.raises(_Enough):
        trial.watch(model.model)
    assert 0 < trial.loss < 50
    assert not trial.late
    trial = _Trial(Run(deadline=time.monotonic()), source, target, learnt=0.0)
    trial.progress("training", 1, None, "tokens")  # not before there is something to judge
    assert trial.watch(model.model) == {}
    with pytest.raises(_Enough):
        trial.progress("training", 2, None, "tokens")
    assert trial.late


def test_ctrl_c_ends_the_sanity_check_and_the_command(tmp_path):
    class Stopped(Run):
        def progress(self, stage, done, total, unit, text=""):
            if stage == "sanity":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        textdl.train_seq2seq(*numbers(120), run=Stopped(), epochs=1, sanity=True, output=tmp_path / "m", **SMALL)
    assert not (tmp_path / "m").exists()


def test_pairs_and_held_out_pairs_in_python():
    settings = SMALL | {"epochs": 1}
    source, target = numbers(60)
    run = Run()
    textdl.train_seq2seq(list(zip(source, target, strict=True)), valid=(source[:9], target[:9]), run=run, **settings)
    assert not any("held out" in note for note in run.notes)
    assert run.figures["valid_tokens"] == sum(len(line) + 1 for line in target[:9])
    with pytest.raises(UsageError, match="--budget -1: expected a number of seconds above 0"):
        textdl.train_seq2seq(source, target, budget=-1, **settings)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"beam": 0}, "--beam"),
        ({"n_best": 6}, "--n-best"),
        ({"beam": 10**9}, "--beam 1000000000: 500 hypotheses"),
        ({"length_penalty": -1.0}, "--length-penalty"),
        ({"length_penalty": float("nan")}, "--length-penalty nan: expected 0 to 10"),
        ({"length_penalty": 1e6}, "--length-penalty"),
        ({"max_tokens": 0}, "--max-tokens"),
        ({"beam": "2"}, "--beam 2: expected a whole number"),
        ({"n_best": 1.5}, "--n-best"),
    ],
)
def test_values_that_cannot_be_meant(model, given, words):
    with pytest.raises(UsageError, match=words):
        translate(model, ["one"], **given)


@pytest.mark.parametrize("given", ["one", b"one", 5, None])
def test_what_is_no_lines(model, given):
    with pytest.raises(TextTypeError, match=r"what to translate is .*; give a list of lines"):
        translate(model, given)


def test_settings_that_an_architecture_lacks():
    with pytest.raises(UsageError, match="no setting 'cell'"):
        textdl.train_seq2seq(["a"], ["b"], cell="lstm")
    with pytest.raises(UsageError, match="--arch cnn"):
        textdl.train_seq2seq(["a"], ["b"], arch="cnn")
    with pytest.raises(UsageError, match="train_seq2seq"):
        textdl.train("seq2seq", ["a"])


def test_attention_is_drawn_with_chinese_labels(model, tmp_path):
    draw_attention(model, "one two", "一二", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    with pytest.raises(UsageError, match="pictures are"):
        draw_attention(model, "one", "一", tmp_path / "a.txt")
    with pytest.raises(UsageError, match="too large a picture"):
        draw_attention(model, " ".join(["one"] * 200), "一", tmp_path / "b.png")


def test_a_language_model_does_not_translate(tmp_path):
    other = textdl.train("ngram", ["a b", "b a"] * 10, order=2, tokenizer="word")
    with pytest.raises(UsageError, match="does not translate"):
        translate(other, ["a"])
