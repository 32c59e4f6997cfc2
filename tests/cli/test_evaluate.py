"""`textdl score` and `textdl import`, called in this process: columns that add up, KenLM's own, and streaming."""

import json
import math
import re
import sys
from pathlib import Path

import pytest

import textdl
from textdl import bundle
from textdl.cli import main

TINY = Path(__file__).parents[1] / "data" / "kenlm-tiny" / "tiny.o3.arpa"
LN10 = math.log(10)


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert (code, "Traceback" in err) == (0, False), err
        return out, err

    return call


@pytest.fixture
def tiny(tmp_path, run):
    """KenLM's model of a few sentences, imported."""
    out, err = run("import", TINY, "-o", tmp_path / "tiny", "--json")
    assert json.loads(out)["imported"] == {"file": "tiny.o3.arpa", "kind": "an n-gram model in the ARPA format"}
    assert "Saved to" in err
    return tmp_path / "tiny"


def table(text):
    head, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(head, row, strict=False)) for row in rows]


def test_an_imported_model_answers_every_command(tiny, run, tmp_path):
    (tmp_path / "t.txt").write_text("the cat sat\na zebra\n")
    assert "bits/char" in run("eval", tiny, "--text", tmp_path / "t.txt")[0]
    assert "imported from tiny.o3.arpa" in run("info", tiny, "--verify")[1]
    assert run("sample", tiny, "-n", 2)[0].count("\n") == 2
    assert run("compare", tiny, tiny, "--text", tmp_path / "t.txt")[0].startswith("rank")


def test_columns_are_those_of_query(tiny, run):
    """The oracle has an unknown word, `bird`."""
    rows = table(run("score", tiny, "--text", TINY.with_name("tiny.test.txt"))[0])
    printed = TINY.with_name("tiny.o3.query-v.txt").read_text("utf-8")
    expected = re.findall(r"(\S+)=(\d+) (\d+) (\S+)", printed)
    tokens = [row for row in rows if row["token"] != "total"]
    assert [row["token"] for row in tokens] == [word for word, *_ in expected]
    for row, (_, number, length, log10) in zip(tokens, expected, strict=True):
        assert int(row["n-gram"]) == int(length)
        assert float(row["log10 p"]) == pytest.approx(float(log10), abs=6e-5)
        assert (row["ln <unk>"] != "") == (row["spelling"] != "") == (number == "0")
    assert sum(row["spelling"] != "" for row in tokens) == 1
    totals = [row for row in rows if row["token"] == "total"]
    assert [row["line"] for row in totals] == ["1", "2", "3", "all"]
    query = re.findall(r"Total: (\S+)", TINY.with_name("tiny.o3.query.txt").read_text("utf-8"))
    for row, total in zip(totals, query, strict=False):
        assert float(row["log10 p"]) == pytest.approx(float(total), abs=6e-5)


def test_what_is_shown_adds_up(tiny, run):
    rows = table(run("score", tiny, "the bird sat", "zzz mat")[0])
    for row in rows:
        if row["spelling"] and row["token"] != "total":
            assert float(row["ln p"]) == pytest.approx(float(row["ln <unk>"]) + float(row["spelling"]), abs=2e-4)
        closed = float(row["ln <unk>"] or row["ln p"])
        if row["token"] != "total":
            assert float(row["log10 p"]) * LN10 == pytest.approx(closed, abs=4e-4)
    for name in ("ln p", "spelling", "ln <unk>", "log10 p", "back-off"):
        for line in ("1", "2", "all"):
            parts = [r for r in rows if r["token"] != "total" and line in ("all", r["line"])]
            (total,) = (r for r in rows if r["token"] == "total" and r["line"] == line)
            assert float(total[name] or 0) == pytest.approx(sum(float(r[name] or 0) for r in parts), abs=1e-3)
    nats = textdl.evaluate(textdl.load(tiny), ["the bird sat", "zzz mat"])[0].open
    assert -float(rows[-1]["ln p"]) == pytest.approx(nats, abs=1e-3)


def test_json_is_one_object_written_as_it_comes(tiny, run, tmp_path):
    (tmp_path / "t.txt").write_text("the bird sat\n\nmat\n")
    out, _ = run("score", tiny, "--text", tmp_path / "t.txt", "--json", "-")
    document = json.loads(out)
    assert [len(line["scores"]) for line in document["lines"]] == [4, 1, 2]
    bird = document["lines"][0]["scores"][1]
    assert bird["nats"] == pytest.approx(bird["nats_unk"] + bird["nats_spelling"])
    assert bird["log10"] == pytest.approx(-bird["nats_unk"] / LN10)
    assert bird["ngram"] == 1
    assert "nats_unk" not in document["lines"][0]["scores"][0]
    assert document["nats"] == pytest.approx(sum(line["nats"] for line in document["lines"]))
    assert (document["tokens"], document["unknown"]) == (7, 1)
    rows, _ = run("score", tiny, "--text", tmp_path / "t.txt", "--json", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text("utf-8")) == document
    assert rows.startswith("line\ttoken")
    assert json.loads(run("score", tiny, "", "--json", "-")[0])["lines"][0]["scores"][0]["token"] == "</s>"


def test_a_probability_of_zero(run, tmp_path):
    textdl.train("ngram", ["a b", "b a"], order=2, smoothing="mle", tokenizer="whitespace", output=tmp_path / "m")
    assert table(run("score", tmp_path / "m", "a a")[0])[-1]["ln p"] == "-inf"
    document = json.loads(run("score", tmp_path / "m", "a a", "--json", "-")[0])
    assert (document["nats"], document["log10"], document["zero_probability"]) == ("inf", None, 1)
    a, *_ = document["lines"][0]["scores"]
    assert a["log10"] == pytest.approx(-a["nats"] / LN10)
    assert [token["log10"] for token in document["lines"][0]["scores"]].count(None) == 1


def test_other_families_show_the_common_columns(run, tmp_path, english):
    textdl.train("rnn", english[:40], output=tmp_path / "m", embedding_size=8, hidden_size=8, epochs=1)
    rows = table(run("score", tmp_path / "m", "the cat")[0])
    assert list(rows[0]) == ["line", "token", "ln p", "ln <unk>", "spelling"]


def test_on_a_terminal(tiny, run, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out, _ = run("score", tiny, "the bird sat")
    assert "n-gram" in out
    assert out.count("total") == 2


@pytest.mark.parametrize("context", ["line", "stream"])
def test_rows_do_not_depend_on_blocks(context, english, monkeypatch):
    """Long lines, lines in blocks, pieces a few at a time: the same numbers, and nothing is read ahead."""
    model = textdl.train("rnn", english[:60], context=context, embedding_size=8, hidden_size=8, epochs=1)
    lines = [" ".join(english[:5]), "", *english[5:20], "the zzz"]
    whole = list(model.score_tokens(lines))
    monkeypatch.setattr(bundle, "_TOGETHER", 40)
    monkeypatch.setattr(bundle, "_AT_ONCE", 3)
    parts = list(model.score_tokens(lines))
    assert [token.text for token in parts] == [token.text for token in whole]
    assert [token.logp for token in parts] == pytest.approx([token.logp for token in whole], rel=1e-5)
    assert sum(token.line_end for token in parts) == len(lines)
    read = []
    rows = model.score_tokens(read.append(line) or line for line in lines)
    next(rows)
    assert len(read) == (len(lines) if context == "stream" else 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory, texts):
    """Two models of other tokens and one of the same, and their results."""
    root = tmp_path_factory.mktemp("models")
    zh = str(texts / "zh.txt")
    textdl.train("ngram", zh, tokenizer="char", order=3, output=root / "char")
    textdl.train("ngram", zh, tokenizer="jieba", order=3, output=root / "word")
    textdl.train("ngram", zh, tokenizer="char,normalize=NFKC", order=3, output=root / "lossy")
    return root


def test_a_report_card_in_every_form(files, texts, run, tmp_path):
    arguments = ["eval", files / "char", files / "word", "--text", texts / "zh-test.txt", "--top", "1,5", "--quiet"]
    arguments += ["--baseline-text", texts / "zh.txt", "--copied", texts / "zh.txt", "--samples", 20]
    out, _ = run(*arguments, "--json", tmp_path / "r.json", "--html", tmp_path / "r.html")
    head, *rows = (line.split("\t") for line in out.splitlines())
    assert head[:3] == ["model", "tokens", "unk %"]
    assert head[-2:] == ["top 1 %", "top 5 %"]
    assert [row[0] for row in rows[2:5]] == ["uniform (char)", "unigram (char)", "5-gram of characters"]
    assert rows[5][:2] == ["text", "2-grams"]
    assert [row[0] for row in rows[6:]] == ["samples of char", "samples of word", "held-out text"]
    document = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert [m["policy"]["unit"] for m in document["models"]] == ["line", "line"]
    assert {m["behind_best"]["bits_per_char"] == 0 for m in document["models"]} == {True, False}
    assert all(0 < m["next_token"]["top"]["1"] <= m["next_token"]["top"]["5"] <= 1 for m in document["models"])
    assert len(document["copied"]) == 3
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "北京" in page
    assert "Report card: zh-test.txt" in page
    stdout, _ = run(*arguments[:4], texts / "zh-test.txt", "--quiet", "--json", "-")
    assert json.loads(stdout)["models"][0]["open"]["nats"] == document["models"][0]["open"]["nats"]


def test_policies_on_the_command_line(files, texts, run, capsys):
    out, _ = run(
        "eval", files / "char", "--text", texts / "zh-test.txt", "--unit", "line", "--no-line-end", "--json", "-"
    )
    model = json.loads(out)["models"][0]
    assert model["policy"] == {"unit": "line", "window": None, "stride": None, "line_end": False}
    assert model["open"]["nats"] is None
    for options, message in (
        (["--window", "4"], "go with --unit"),
        (["--unit", "page"], "expected line or stream"),
        (["--unit", "stream"], "cannot carry its context"),
        (["--top", "a"], "expected whole numbers"),
        (["--html", "no/such/dir/r.html"], "there is no directory"),
    ):
        assert main(["eval", str(files / "char"), "--text", str(texts / "zh-test.txt"), *options]) == 2
        assert message in capsys.readouterr().err


def test_compare_ranks_or_refuses(files, texts, run, capsys, tmp_path):
    text = texts / "zh-test.txt"
    for name in ("char", "word", "lossy"):
        run("eval", files / name, "--text", text, "--json", tmp_path / f"{name}.json", "--quiet")
    (tmp_path / "other.txt").write_text("ＡＢＣ北京\n", "utf-8")
    run("eval", files / "lossy", "--text", tmp_path / "other.txt", "--json", tmp_path / "other.json", "--quiet")

    def compare(*arguments):
        code = main(["compare", *map(str, arguments)])
        return code, *capsys.readouterr()

    code, out, err = compare(tmp_path / "char.json", tmp_path / "word.json")
    assert (code, out.count("\n")) == (0, 3)
    assert "ppl/token is not compared" in err
    mixed = compare(tmp_path / "char.json", files / "word", "--text", text)
    assert (mixed[0], mixed[1]) == (0, out)  # files and models mix
    code, out, err = compare(tmp_path / "char.json", tmp_path / "other.json")
    assert (code, out) == (3, "")
    assert "Nothing is compared across texts" in err
    code, _, err = compare(files / "char", files / "lossy", "--text", tmp_path / "other.txt")
    assert code == 3
    assert "does not give back 1 of 1 lines" in err
    assert compare(tmp_path / "char.json")[0] == 2
    assert compare(files / "char", files / "word")[0] == 2
    (tmp_path / "broken.json").write_text("{}")
    assert compare(tmp_path / "broken.json", tmp_path / "char.json")[0] == 2
    assert json.loads(compare(tmp_path / "char.json", tmp_path / "word.json", "--json", "-")[1])["rankings"][0][
        "places"
    ]


def test_reports_replace_nothing_that_is_read(files, texts, capsys, tmp_path):
    text = tmp_path / "text.txt"
    text.write_bytes((texts / "zh-test.txt").read_bytes())
    before = text.read_bytes()
    model = files / "char"
    told = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(text)

    def refused(command, *arguments):
        assert main([command, *map(str, arguments)]) == 2
        return capsys.readouterr().err

    for report in ("--html", "--json"):
        for option, other in (("--text", ()), ("--baseline-text", ("--text", texts / "zh-test.txt")),
                              ("--copied", ("--text", texts / "zh-test.txt"))):  # fmt: skip
            for name in (text, tmp_path / "link", tmp_path / "." / "text.txt"):
                said = refused("eval", model, option, text, *other, report, name)
                assert "is a text that is read, and would be lost" in said
        given = ("eval", model, "--text", text, report)
        assert "lies in, what is read" in refused(*given, model / "card.html")
        assert "a file is expected; name one" in refused(*given, tmp_path)
        assert "there is no directory" in refused(*given, tmp_path / "no" / "r.html")
    assert "is the file of --json too" in refused(
        "eval", model, "--text", text, "--html", tmp_path / "r", "--json", tmp_path / "r"
    )
    assert "a file is expected" in refused("eval", model, "--text", text, "--html", "-")
    assert "would be lost" in refused("compare", model, model, "--text", text, "--json", text)
    assert "would be lost" in refused("score", model, "--text", text, "--json", text)
    assert text.read_bytes() == before
    assert told == {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}


def test_options_that_would_be_ignored_are_refused(files, texts, run, capsys, tmp_path):
    text = texts / "zh-test.txt"
    run("eval", files / "char", "--text", text, "--json", tmp_path / "r.json", "--quiet")
    for arguments, message in (
        (["eval", files / "char", "--text", text, "--samples", "3"], "--samples says how many are drawn for --copied"),
        (["eval", files / "char", "--text", "-", "--source", "-"], "can be one text only"),
        (["compare", tmp_path / "r.json", tmp_path / "r.json", "--text", text], "only results were given"),
        (["compare", tmp_path / "r.json", tmp_path / "r.json", "--source", text], "only results were given"),
        (
            ["eval", tmp_path / "r.json", "--text", text],
            "r.json is no model; results of eval --json are put side by side",
        ),
        (["compare", tmp_path / "r.json", text], "zh-test.txt: no results of an evaluation"),
        (["compare", tmp_path / "r.json", tmp_path / "r.json", "--json", tmp_path / "r.json"], "what is read"),
    ):
        assert main([*map(str, arguments)]) == 2
        assert message in capsys.readouterr().err


def test_a_model_beside_its_own_result_is_not_behind_it(files, texts, run, tmp_path):
    text = texts / "zh-test.txt"
    run("eval", files / "char", "--text", text, "--json", tmp_path / "r.json", "--quiet")
    marked = tmp_path / "bom.json"  # as editors on Windows save it
    marked.write_bytes(b"\xef\xbb\xbf" + (tmp_path / "r.json").read_bytes())
    rows = table(run("compare", files / "char", marked, "--text", text)[0].split("rank\tmodel\tppl")[0])
    assert [row["model"] for row in rows] == ["char (1)", "char (2)"]
    assert rows[1]["settled"] == "no"


def test_results_that_were_changed_are_refused(files, texts, run, capsys, tmp_path):
    run("eval", files / "char", "--text", texts / "zh-test.txt", "--json", tmp_path / "r.json", "--quiet")
    document = json.loads((tmp_path / "r.json").read_text("utf-8"))
    document["models"][0]["open"]["nats"] -= 100
    (tmp_path / "x.json").write_text(json.dumps(document), "utf-8")
    (tmp_path / "deep.json").write_text('{"a":' + "[" * 100_000)
    assert main(["compare", str(tmp_path / "r.json"), str(tmp_path / "x.json")]) == 2
    assert "x.json: the results of char were changed or cut off" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "r.json"), str(tmp_path / "deep.json")]) == 2
    assert "neither a model nor a file of" in capsys.readouterr().err


def test_foreign_files_on_one_card(files, texts, run):
    out, _ = run("eval", files / "char", TINY, "--text", texts / "en-test.txt", "--quiet")
    rows = table(out)
    assert {row["model"] for row in rows[:2]} == {"char", "tiny.o3.arpa"}
