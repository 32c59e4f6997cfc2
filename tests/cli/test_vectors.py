"""`textdl vectors eval` and `plot`, and what `info` says of word vectors, called in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import textdl
from textdl.cli import main


@pytest.fixture(scope="module")
def models(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """en and zh, trained on small texts; pairs.txt and analogies.txt of words they know."""
    root = tmp_path_factory.mktemp("vectors")
    for lang in ("en", "zh"):
        textdl.train("word2vec", texts / f"{lang}.txt", output=root / lang, dim=16, epochs=2)
    # jieba makes three pieces of the last word, which is not in the text
    rows = ["北京\t上海\t9", "学习\t研究\t8", "我\t北京\t1", "你\t喜欢\t2", "喜欢\t不曾见过的\t5"]
    (root / "pairs.txt").write_text("\n".join(rows), "utf-8")
    (root / "analogies.txt").write_text(": places\n北京 上海 我 你\n我 你 北京 上海\n: none\n甲 乙 丙 丁\n", "utf-8")
    return root


@pytest.fixture
def run(capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["vectors", *map(str, arguments)])
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


def rows_of(printed: str) -> list[list[str]]:
    return [line.split("\t") for line in printed.splitlines()]


def test_one_model(models: Path, run) -> None:
    own = ("--pairs", models / "pairs.txt", "--analogies", models / "analogies.txt")
    code, out, err = run("eval", models / "zh", *own, "--sections")
    assert code == 0
    rows = rows_of(out)
    assert rows[0] == ["benchmark", "questions", "covered", "%", "cut", "value", "95 %"]
    assert [row[:5] for row in rows[1:]] == [
        ["pairs.txt", "5", "4", "80.0", "1"],
        ["analogies.txt places", "2", "2", "100.0", "0"],
        ["analogies.txt none", "1", "0", "0.0", "0"],
        ["analogies.txt all", "3", "2", "66.7", "0"],
    ]
    assert rows[3][5:] == ["", ""]
    assert "WordSim-353: none of its questions can be asked" in err
    assert "cut: questions with a word that the model's tokenizer cuts into several pieces" in err
    brief = run("eval", models / "zh", *own, "--method", "mul", "--among", 1)[1]
    assert [row[0] for row in rows_of(brief)[1:]] == ["pairs.txt"]  # of analogies the sums, and they are not asked


def test_files_of_others_beside_our_own(models: Path, run, tmp_path: Path) -> None:
    pairs = ("--pairs", models / "pairs.txt")
    assert run("export", models / "zh", "-o", tmp_path / "zh.txt")[0] == 0
    code, out, _ = run("eval", models / "zh", tmp_path / "zh.txt", *pairs)
    assert code == 0
    own, file = (row for row in rows_of(out) if row[0] == "pairs.txt" and len(row) > 6 and row[2] == "5")
    assert (own[1], file[1]) == ("zh", "zh.txt")
    assert own[3] == file[3] == "4"
    assert own[6:] == file[6:]
    (tmp_path / "v.kv").write_bytes(b"\x80\x04\x95abc")
    code, _, err = run("eval", tmp_path / "v.kv")
    assert code == 2
    assert "save_word2vec_format" in err


def test_several_models_and_json(models: Path, run) -> None:
    _, out, _ = run("eval", models / "zh", models / "en", "--pairs", models / "pairs.txt")
    own, common = out.split("\n\n")
    assert [row[1] for row in rows_of(own)[1:3]] == ["zh", "en"]
    assert rows_of(common)[0] == ["benchmark", "questions", "model", "value", "difference", "95 %"]
    assert ["pairs.txt", "0", "zh", "", "", ""] in rows_of(common)  # the English model knows none of them
    found = json.loads(run("eval", models / "zh", "--pairs", models / "pairs.txt", "--json")[1])
    row = next(row for row in found if row["benchmark"] == "pairs.txt")
    assert (row["questions"], row["scores"][0]["covered"], row["scores"][0]["cut"]) == (5, 4, 1)


def test_wrong_files_are_named_with_their_line(models: Path, run) -> None:
    code, _, err = run("eval", models / "zh", "--pairs", models / "analogies.txt")
    assert (code, err.count("\n")) == (2, 1)
    assert "line 1: expected `word1 word2 score`" in err
    assert run("eval", models / "zh", "--method", "x")[0] == 2


def test_maps(models: Path, tmp_path: Path, run) -> None:
    for name, arguments, said in (
        ("frequent.png", (), "coloured by cluster"),
        ("near.svg", ("--near", "北京", "--near", "我", "--top", "3", "--method", "tsne"), "neighbours are neighbours"),
        ("one.pdf", ("--near", "北京", "--top", "4"), "5 words drawn to"),
        ("named.png", ("北京", "上海", "我"), "3 words drawn to"),
    ):
        code, _, err = run("plot", models / "zh", "-o", tmp_path / name, *arguments)
        assert code == 0, err
        assert said in err
        assert "warn" not in err.lower()
        assert (tmp_path / name).stat().st_size > 1000
    code, _, err = run("plot", models / "zh", "-o", tmp_path / "x.png", "围脖", "我", "你")
    assert (code, "is not in the vocabulary" in err) == (1, True)


def test_an_epoch_without_predictions_is_shown(tmp_path: Path, capsys) -> None:
    model = textdl.train("word2vec", ["a b c a"] * 20, min_count=1, dim=8, sample=0.0, epochs=2)
    model.curve[1]["loss"] = None  # as when all words of an epoch were thinned out
    model.save(tmp_path / "m")
    assert main(["info", str(tmp_path / "m")]) == 0
    assert "no predictions" in capsys.readouterr().out


def test_info_says_how_training_went(models: Path, capsys) -> None:
    assert main(["info", str(models / "en")]) == 0
    printed = capsys.readouterr().out
    assert "config.dim\t16" in printed
    rows = rows_of(printed.split("\n\n")[1])
    assert rows[0] == ["epoch", "loss", "words/s", "learning rate"]
    assert [row[0] for row in rows[1:]] == ["1", "2"]
    assert 0 < float(rows[2][1]) < 5


def test_what_is_dropped_or_written_otherwise_is_said(models: Path, run, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("word1 word2 score\n北京 上海 9\n我 北京 1\n我 上海 2\n", "utf-8")
    _, _, err = run("eval", models / "zh", "--pairs", tmp_path / "p")
    assert "the first line is taken for a heading, not for a pair: word1 word2 score" in err
    assert "looked up in lower case" in run("eval", "--help")[1]
    lines = ["a <s> b c", "b a <unk> c"] * 20
    textdl.train(
        "word2vec", lines, tokenizer="whitespace", keep_punctuation=True, output=tmp_path / "m", dim=4, min_count=1
    )
    code, _, err = run("export", tmp_path / "m", "-o", tmp_path / "v.txt")
    assert code == 0
    assert "2 words are not written as spelled" in err
    assert "'<s>' as \\u003cs>" in err
    assert "as spelled" not in run("export", tmp_path / "m", "-o", tmp_path / "half")[2]
    assert "as spelled" not in run("export", models / "zh", "-o", tmp_path / "v.vec")[2]
