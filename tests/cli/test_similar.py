"""Asking word vectors: with words, line by line in a pipe, on a terminal; the same answers as from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import textdl
from textdl.bundle import Model
from textdl.errors import UnknownWordError

COMMAND = Path(sys.executable).with_name("textdl")


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), *map(str, arguments)], input=stdin, capture_output=True, text=True, check=False, timeout=300
    )


def rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """The table, without its heading."""
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()[1:]]


@pytest.fixture(scope="module")
def model(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    directory = tmp_path_factory.mktemp("asked") / "m"
    return textdl.train("word2vec", str(texts / "zh.txt"), output=directory, dim=16, epochs=1, workers=1)


def shown(found: list[tuple[str, float]]) -> list[list[str]]:
    return [[word, f"{score:.4f}"] for word, score in found]


def test_command_line_and_python_answer_alike(model: Model) -> None:
    m = model.directory
    assert rows(run("similar", m, "北京", "-k", 3)) == shown(model.similar("北京", k=3))
    assert rows(run("similar", m, "北京", "我", "--minus", "上海", "--among", 9)) == shown(
        model.similar("北京", "我", minus=["上海"], among=9)
    )
    assert rows(run("similar", m, "北京", "--min-count", 60)) == shown(model.similar("北京", min_count=60))
    assert rows(run("analogy", m, "北京", "上海", "我", "-k", 2, "--method", "mul")) == shown(
        model.analogy("北京", "上海", "我", k=2, method="mul")
    )
    assert rows(run("vectors", "similarity", m, "北京", "上海")) == [
        ["北京", "上海", f"{model.similarity('北京', '上海'):.4f}"]
    ]
    assert rows(run("vectors", "odd", m, "北京", "上海", "喜欢")) == shown(model.odd_one_out("北京", "上海", "喜欢"))
    found = json.loads(run("similar", m, "北京", "-k", 2, "--json").stdout)
    assert [(row["word"], row["cosine"]) for row in found] == model.similar("北京", k=2)


def test_a_question_a_line(model: Model, tmp_path: Path) -> None:
    text = "北京\r\n\n北京 - 上海 ＋ 我\n北京　上海"
    expected = [
        [line, *row]
        for line, found in (
            ("北京", model.similar("北京", k=2)),
            ("北京 - 上海 ＋ 我", model.similar("北京", "我", minus=["上海"], k=2)),
            ("北京　上海", model.similar("北京", "上海", k=2)),
        )
        for row in shown(found)
    ]
    assert rows(run("similar", model.directory, "-k", 2, stdin=text)) == expected
    (tmp_path / "q.txt").write_text(text, "utf-8")
    assert rows(run("similar", model.directory, "-k", 2, "--input", tmp_path / "q.txt")) == expected
    [(question, *row)] = rows(run("analogy", model.directory, "-k", 1, stdin="北京 上海 我\n"))
    assert [question, *row] == ["北京 上海 我", *shown(model.analogy("北京", "上海", "我", k=1))[0]]


def test_a_line_without_an_answer_stops_no_other(model: Model) -> None:
    done = run("similar", model.directory, "-k", 1, "--json", stdin="围脖\n北京\n - \n")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(line) for line in told] == [{"question", "error"}, {"question", "found"}, {"question", "error"}]
    assert "never seen in training" in told[0]["error"]
    assert done.returncode == 1
    assert "2 of 3 questions have no answer" in done.stderr
    assert isinstance(model.similar_lines(["围脖"])[0], UnknownWordError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["similar", "{m}", "北京", "--input", "x"], "words or --input, not both"),
        (["similar", "{m}", "--input", "/none"], "cannot read it"),
        (["analogy", "{m}", "北京"], "three words, A B C, got 1"),
        (["analogy", "{m}", "北京", "上海", "我", "--method", "sum"], "expected add"),
        (["vectors", "odd", "{m}", "北京", "上海"], "three words or more"),
        (["similar", "{m}", "北京", "--minus", "北京"], "cancel out"),
        (["similar", "{m}", "北京", "--among", "5", "--min-count", "1000000"], "min_count 1,000,000 leaves no word"),
    ],
)
def test_misuse(arguments: list[str], message: str, model: Model) -> None:
    done = run(*(argument.format(m=model.directory) for argument in arguments))
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_no_other_word_to_answer_with_is_said(model: Model) -> None:
    most = model.vocab.piece(3)
    done = run("similar", model.directory, most, "--among", 1)
    assert (rows(done), done.stderr) == ([], "textdl: there is no other word to answer with\n")
    done = run("similar", model.directory, "--among", 1, stdin=f"{most}\n")
    assert (rows(done), done.stderr) == ([], f"textdl: there is no other word to answer with: {most}\n")


@pytest.mark.skipif(os.name == "nt", reason="terminals")
def test_on_a_terminal_words_are_asked_for_until_ctrl_d(model: Model) -> None:
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(COMMAND), "similar", str(model.directory), "-k", "1"], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "dumb", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(theirs)

    def until(text: str) -> str:
        seen = b""
        while text.encode() not in seen:
            seen += os.read(ours, 1 << 16)
        return seen.decode()

    assert "a - b + c" in until("> ")
    os.write(ours, "北京\n".encode())
    assert model.similar("北京", k=1)[0][0] in until("> ")
    os.write(ours, "围脖\n".encode())
    assert "never seen" in until("> ")
    os.write(ours, b"\x04")
    assert process.wait(60) == 0
    os.close(ours)
