"""The installed command, as a user runs it: output, exit codes, wrong input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.markup import render

from textdl.cli.app import app

COMMAND = Path(sys.executable).with_name("textdl")


def run(*arguments: object, stdin: bytes | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(COMMAND), *map(str, arguments)], input=stdin, capture_output=True, cwd=cwd, check=False, timeout=300
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def fine(*arguments: object, **settings: object) -> str:
    done = run(*arguments, **settings)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def models(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ngram, char, lstm (English) and vectors (Chinese), trained by the command."""
    root = tmp_path_factory.mktemp("cli")
    fine("train", "ngram", texts / "en.txt", "-o", root / "ngram", "--order", 3, "--arpa", root / "m.arpa")
    fine("train", "ngram", texts / "en.txt", "-o", root / "char", "--order", 3, "--tokenizer", "char")
    sizes = ("--embedding-size", 16, "--hidden-size", 16, "--epochs", 1)
    fine("train", "rnn", texts / "en.txt", "-o", root / "lstm", *sizes, "--min-count", 1)
    fine("train", "word2vec", texts / "zh.txt", "-o", root / "vectors", "--dim", 16, "--epochs", 2)
    return root


def test_help_answers_at_once_and_without_torch() -> None:
    began = time.monotonic()
    text = fine("--help")
    assert time.monotonic() - began < 5  # generous: a torch import or a waiting network would show
    for command in ("train", "eval", "compare", "score", "sample", "similar", "analogy", "info", "demo", "corpus"):
        assert command in text
    assert fine("--version").startswith("textdl ")


def test_no_word_of_a_help_text_is_taken_for_markup() -> None:
    def texts_of(command: Any) -> Iterator[str]:
        yield from filter(None, [command.help, *(getattr(option, "help", None) for option in command.params)])
        for inner in getattr(command, "commands", {}).values():
            yield from texts_of(inner)

    found = list(texts_of(typer.main.get_command(app)))
    assert any("[frequency]" in text for text in found)
    for text in found:
        assert render(text).plain == text.replace("\\[", "[")


def test_training_says_what_it_read_and_prints_one_json_object(texts: Path, tmp_path: Path) -> None:
    done = run("train", "ngram", texts / "zh.txt", "-o", tmp_path / "m", "--order", 2, "--json")
    assert done.returncode == 0
    printed = json.loads(done.stdout)
    assert printed["ledger"]["lines"] == 400
    assert printed["tokenizer"]["spec"] == "jieba"
    assert {"encoding", "counting", "estimating"} <= set(printed["seconds"])
    assert printed["peak_memory_bytes"] > 1e6
    assert re.search(r"^trained on +400 ", done.stderr, re.MULTILINE)
    assert "tokenizer: jieba" in done.stderr
    quiet = run("train", "ngram", texts / "zh.txt", "-o", tmp_path / "m", "--order", 2, "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_eval_in_a_pipe_is_tsv_and_json_is_the_designed_object(models: Path, texts: Path, tmp_path: Path) -> None:
    names = ("ngram", "char", "lstm")
    done = run(
        "eval", *(models / name for name in names), "--text", texts / "en-test.txt", "--json", tmp_path / "r.json"
    )
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0][0] == "model"
    assert {row[0] for row in rows[1:]} >= set(names)
    assert all(len(row) == len(rows[0]) for row in rows)
    document = json.loads((tmp_path / "r.json").read_text())
    assert [m["model"] for m in document["models"]] == list(names)
    assert set(document["models"][0]["open"]) >= {"nats", "ppl_word", "ppl_char", "bits_per_char", "bits_per_byte"}
    assert len(document["baselines"]) == 2
    again = run("compare", tmp_path / "r.json")
    assert again.returncode == 0
    assert "bits/char" in again.stdout


def test_compare_ranks_or_exits_with_3(models: Path, texts: Path, tmp_path: Path) -> None:
    done = run("compare", models / "ngram", models / "char", "--text", texts / "en-test.txt")
    assert done.returncode == 0
    assert "ppl/token is not compared" in done.stderr
    for name, text in (("a", "en-test"), ("b", "zh-test")):
        fine("eval", models / "ngram", "--text", texts / f"{text}.txt", "--json", tmp_path / f"{name}.json")
    nothing = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert nothing.returncode == 3
    assert "Nothing is compared across texts" in nothing.stderr


def test_score_and_sample_and_the_library_agree(models: Path) -> None:
    import textdl

    line = "the cat saw a qqq."
    rows = [row.split("\t") for row in fine("score", models / "ngram", line).splitlines()[1:]]
    scored = textdl.load(models / "ngram").score(line)
    assert [float(row[2]) for row in rows[:-2]] == pytest.approx([value for _, value in scored], abs=1e-4)
    printed = fine("sample", models / "lstm", "--prompt", "the", "-n", 2, "--max-tokens", 8, "--seed", 3)
    assert printed.splitlines() == textdl.sample(models / "lstm", prompt="the", n=2, max_tokens=8, seed=3)
    one = fine("sample", models / "lstm", "--prompt", "the", "--max-tokens", 8, "--seed", 3)
    assert one.splitlines() == printed.splitlines()[:1]


def test_vectors_are_asked_and_exported(models: Path, tmp_path: Path) -> None:
    rows = fine("similar", models / "vectors", "北京", "-k", 3).splitlines()
    assert len(rows) == 4
    assert fine("analogy", models / "vectors", "北京", "上海", "我", "-k", 2).count("\n") == 3
    fine("vectors", "export", models / "vectors", "-o", tmp_path / "v.txt")
    count, dim = (tmp_path / "v.txt").read_text("utf-8").split("\n", 1)[0].split()
    assert dim == "16"
    assert int(count) == len((tmp_path / "v.txt").read_text("utf-8").split("\n")) - 2
    unknown = run("similar", models / "vectors", "围脖")
    assert unknown.returncode == 1
    assert "is not in the vocabulary" in unknown.stderr


def test_tokenizers_round_trip_through_files(texts: Path, tmp_path: Path) -> None:
    fine("tokenizer", "train", texts / "zh.txt", "-o", tmp_path / "zh", "--vocab-size", 400)
    for spec in (f"sp:{tmp_path / 'zh.model'}", "jieba", "char", "word"):
        encoded = fine("tokenizer", "encode", "--tokenizer", spec, texts / "zh.txt")
        decoded = fine("tokenizer", "decode", "--tokenizer", spec, "-", stdin=encoded.encode())
        assert decoded == (texts / "zh.txt").read_text("utf-8")


def test_corpora_are_listed_described_and_split(texts: Path, tmp_path: Path) -> None:
    assert "en-wiki" in fine("corpus", "list")
    assert fine("corpus", "show", texts / "zh.txt", "-n", 2).count("\n") == 2
    stats = json.loads(fine("corpus", "stats", texts / "zh.txt", "--json"))
    assert stats["lines"] == 400
    fine("corpus", "split", texts / "en.txt", "-o", tmp_path / "parts")
    parts = [(tmp_path / "parts" / f"{part}.txt").read_text() for part in ("train", "valid", "test")]
    assert sorted("".join(parts).splitlines()) == sorted((texts / "en.txt").read_text().splitlines())


def test_pruning_and_memory_are_options(texts: Path, tmp_path: Path) -> None:
    train = ("train", "ngram", texts / "en.txt", "-o", tmp_path / "m", "--order", 3)
    assert run(*train, "--prune", "0,0,1", "--memory", "1G").returncode == 0
    for option, value, said in [
        ("--prune", "0,2,1", "may not fall"), ("--prune", "x", "counts separated by commas"),
        ("--prune", "0,,1", "counts separated by commas"),
        ("--memory", "1K", "give 300M or more"), ("--memory", "much", "takes a size"),
    ]:  # fmt: skip
        done = run(*train, option, value)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_word2vec_is_planned_stopped_resumed_extended_and_drawn(texts: Path, tmp_path: Path) -> None:
    train = ("train", "word2vec", texts / "en.txt", "-o", tmp_path / "m", "--dim", 8, "--workers", 1)
    planned = run(*train, "--dry-run")
    assert planned.returncode == 0
    assert dict(row.split("\t") for row in planned.stdout.splitlines())["words in the vocabulary"].isdigit()
    assert json.loads(fine(*train, "--dry-run", "--json"))["seconds"] > 0
    assert not list(tmp_path.iterdir())
    modes = ("--model", "cbow", "--loss", "hs", "--fixed-window", "--cbow-gradient", "word2vec", "--schedule", "cosine")
    rates = ("--alpha", 0.04, "--min-alpha", 0.001, "--ns-exponent", 0.5, "--deterministic", "--sample", 0)
    watched = ("--valid", texts / "en-test.txt", "--patience", 3, "--epochs", 4)
    done = run(*train, *modes, *rates, *watched, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert "there is no m.training to go on from" in done.stderr
    assert "it does not rank models of other settings" in done.stderr
    card = json.loads(done.stdout)
    assert card["config"] == {
        "model": "cbow", "loss": "hs", "dim": 8, "window": 5, "dynamic_window": False, "negative": 5, "sample": 0,
        "epochs": 4, "alpha": 0.04, "min_alpha": 0.001, "schedule": "cosine", "ns_exponent": 0.5,
        "cbow_gradient": "word2vec", "workers": 1, "deterministic": True, "patience": 3,
    }  # fmt: skip
    assert card["figures"]["valid_loss"] > 0
    fine("info", tmp_path / "m", "--plot", tmp_path / "curve.svg")
    assert "<svg" in (tmp_path / "curve.svg").read_text("utf-8")
    more = run(
        "train", "word2vec", texts / "en-test.txt", "--from", tmp_path / "m", "-o", tmp_path / "n", "--epochs", 1
    )
    assert more.returncode == 0
    assert "old words were trained on: mean cosine of old and new vector" in more.stderr
    refused = run(*train[:3], "--from", tmp_path / "m", "-o", tmp_path / "m")
    assert (refused.returncode, "that is the model of --from" in refused.stderr) == (2, True)


def test_info_verifies(models: Path, tmp_path: Path) -> None:
    assert "D1\tD2\tD3" in fine("info", models / "ngram")
    done = run("info", models / "ngram", "--verify", "--json")
    assert json.loads(done.stdout)["family"] == "ngram"
    assert (models / "m.arpa").read_text().startswith("\\data\\")


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """Files and directories that are not what they should be."""
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text("\n\n")
    (tmp_path / "gb.txt").write_bytes("我们在北京看升旗。\n".encode("gb18030") * 20)
    (tmp_path / "utf16.txt").write_bytes("我们在北京看升旗。\n".encode("utf-16"))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    (tmp_path / "ok.txt").write_text("the cat sat\n" * 9)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "ngram", "missing.txt", "-o", "m"], 2, "neither a file"),
        (["train", "ngram", "empty.txt", "-o", "m"], 1, "empty"),
        (["train", "ngram", "blank.txt", "-o", "m"], 1, "only blank lines"),
        (["train", "word2vec", "gb.txt", "-o", "m"], 1, "gb18030"),
        (["train", "rnn", "utf16.txt", "-o", "m"], 1, "UTF-16"),
        (["train", "ngram", "ok.txt", "-o", "thesis"], 2, "is not a textdl model"),
        (["train", "ngram", "ok.txt", "-o", "m", "--order", "0"], 2, "--order"),
        (["train", "ngram", "ok.txt", "-o", "m", "--tokenizer", "jeiba"], 2, "there are char, word"),
        (["train", "word2vec", "ok.txt", "-o", "m", "--min-count", "50"], 1, "min-count"),
        (["train", "rnn", "ok.txt", "-o", "m", "--budget", "soon"], 2, "--budget takes a time"),
        (["train", "rnn", "ok.txt", "-o", "m", "--cell", "lsmt"], 2, "lstm"),
        (["train", "ngram", "ok.txt"], 2, "Missing option"),
        (["train", "word2vec", "ok.txt", "-o", "m", "--model", "glove"], 2, "expected skipgram or cbow"),
        (["train", "word2vec", "ok.txt", "-o", "m", "--patience", "2"], 2, "--valid FILE"),
        (["train", "word2vec", "ok.txt", "-o", "m", "--alpha", "99", "--dry-run"], 2, "alpha is 99"),
        (["train", "word2vec", "ok.txt", "-o", "m", "--from", "missing"], 2, "no such model"),
        (["train", "ngram", "ok.txt", "-o", "m", "--arpa", "thesis"], 2, "thesis: expected a file"),
        (
            ["train", "ngram", "ok.txt", "-o", "m", "--arpa", "ok.txt"],
            2,
            "ok.txt is there and is no ARPA file; it would be lost",
        ),
        (["train", "ngram", "ok.txt", "-o", "m", "--arpa", "m/x.arpa"], 2, "lies in m, which will be the model"),
        (["train", "ngram", "ok.txt", "-o", "m", "--arpa", "-"], 2, "Name a file, or /dev/stdout"),
        (["train", "ngram", "ok.txt", "-o", "m", "--min-count", "999"], 1, "every type is cut"),
        (["train", "ngram", "ok.txt", "-o", "m", "--prune", "x"], 2, "--prune takes counts"),
        (["train", "rnn", "ok.txt", "-o", "m", "--seed", "-1"], 2, "--seed -1"),
        (["train", "rnn", "ok.txt", "-o", "m", "--valid", "blank.txt"], 1, "only blank lines"),
        (["eval", "missing", "--text", "ok.txt"], 2, "no such model"),
        (["eval", "thesis", "--text", "ok.txt"], 2, "has no config.json"),
        (["eval", "ok.txt", "--text", "ok.txt"], 2, "ok.txt is nothing that can be imported"),
        (["sample", "thesis"], 2, "has no config.json"),
        (["score", "thesis"], 2, "give either sentences to score"),
        (["import", "missing.arpa", "-o", "m"], 2, "no such file"),
        (["import", "ok.txt", "-o", "m"], 2, "nothing that can be imported"),
        (["compare", "ok.txt", "ok.txt"], 2, "which are compared on a text"),
        (["similar", "thesis", "word"], 2, "has no config.json"),
        (["info", "thesis"], 2, "has no config.json"),
        (["corpus", "stats", "missing.txt"], 2, "neither a file"),
        (["corpus", "split", "ok.txt", "-o", "parts", "--ratios", "a"], 2, "--ratios takes numbers"),
        (["tokenizer", "encode", "--tokenizer", "sp", "ok.txt"], 2, "name a model"),
        (["demo", "--lang", "fr"], 2, "--lang must be one of"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_wrong_input_is_one_sentence_and_the_right_code(
    arguments: list[str], code: int, message: str, wrong: Path
) -> None:
    done = run(*arguments, cwd=wrong)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr
    assert not (wrong / "m").exists()
    assert (wrong / "thesis" / "chapter.txt").read_text() == "precious"


def test_the_flag_that_a_message_names_reads_the_file(wrong: Path) -> None:
    fine("train", "ngram", "gb.txt", "-o", "m", "--encoding", "gb18030", cwd=wrong)


def test_a_model_truncated_half_way(models: Path, wrong: Path) -> None:
    import shutil

    shutil.copytree(models / "ngram", wrong / "cut")
    largest = max((wrong / "cut").rglob("*.npy"), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    for arguments in (["eval", "cut", "--text", "ok.txt"], ["sample", "cut"], ["info", "cut"]):
        done = run(*arguments, cwd=wrong)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "the model is damaged" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_while_reading(tmp_path: Path) -> None:
    arguments = [str(COMMAND), "train", "ngram", "-", "-o", str(tmp_path / "m")]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by Ctrl-C" in said
    assert "Traceback" not in said
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "how",
    ["raise KeyboardInterrupt", "try: raise KeyboardInterrupt\n  except BaseException as e: raise ImportError from e"],
)
@pytest.mark.parametrize("package", ["typer", "textdl.cli.app", "numpy", "textdl.models"])
def test_ctrl_c_while_packages_are_loaded(package: str, how: str, tmp_path: Path) -> None:
    code = (
        "import sys\nclass Stop:\n def find_spec(self, name, *_):\n"
        f"  if name != {package!r}: return\n  {how}\n"
        "sys.meta_path.insert(0, Stop())\nfrom textdl.cli import main\nsys.exit(main())"
    )
    arguments = [sys.executable, "-c", code, "train", "ngram", "en-wiki", "-o", str(tmp_path / "m")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        130,
        "textdl: stopped by Ctrl-C; what was saved before is as it was",
    )


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_no_room(texts: Path, tmp_path: Path) -> None:
    train = f"{COMMAND} train ngram {texts / 'en.txt'} --quiet --order 3 -o"
    fine("train", "ngram", texts / "en.txt", "--order", 3, "-o", tmp_path / "m", "--arpa", "/dev/null")  # compiles
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 10; {train} {tmp_path / 'm'} --arpa {tmp_path / 'm.arpa'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "m.arpa cannot be written: a file became larger than this process may write (ulimit -f)" in done.stderr
    assert f"The model itself is saved in {tmp_path / 'm'}; `textdl.load(" in done.stderr
    fine("info", tmp_path / "m", "--verify")
    assert not (tmp_path / "m.arpa").exists()
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 4; {train} {tmp_path / 'n'}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "nothing was saved. Make room there, or save to a larger disk." in done.stderr
    assert not (tmp_path / "n").exists()


def test_a_tmpdir_that_is_none(texts: Path, tmp_path: Path) -> None:
    arguments = [str(COMMAND), "train", "ngram", str(texts / "en.txt"), "-o", str(tmp_path / "m"), "--quiet"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "none")}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f"textdl: TMPDIR is {tmp_path / 'none'}, which is not a directory")


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("family", ["rnn", "word2vec"])
def test_ctrl_c_while_training(family: str, texts: Path, tmp_path: Path) -> None:
    arguments = [str(COMMAND), "train", family, str(texts / "en.txt"), "-o", str(tmp_path / "m"), "--epochs", "100000"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(12)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "Ctrl-C" in said
    if (tmp_path / "m").exists():
        assert "stopped by Ctrl-C; this is the model as it was then" in said
        fine("info", tmp_path / "m", "--verify")


def test_a_closed_pipe_is_no_error(models: Path) -> None:
    script = f"{COMMAND} corpus show en-wiki -n 5000 2>/dev/null | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
