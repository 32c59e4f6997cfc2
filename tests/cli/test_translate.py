import json

import pytest

from textdl.cli import main

PAIRS = [("one", "eins"), ("two", "zwei"), ("three", "drei"), ("one two", "eins zwei"), ("two three", "zwei drei")] * 12


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs")
    (path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in PAIRS), "utf-8")
    (path / "in.txt").write_text("one\ntwo three\n", "utf-8")
    (path / "ref.txt").write_text("eins\nzwei drei\n", "utf-8")
    (path / "other.txt").write_text("eins\nzwei\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def model(files):
    code = main(
        ["train", "seq2seq", "--pairs", str(files / "pairs.tsv"), "-o", str(files / "m"), "--tokenizer", "word", "--quiet",
         "--valid", str(files / "pairs.tsv"), "--size", "16", "--layers", "1", "--heads", "2", "--inner-size", "32", "--epochs",
         "60", "--learning-rate", "0.01", "--ema", "0", "--batch-positions", "100", "--dropout", "0"]
    )  # fmt: skip
    assert code == 0
    return files / "m"


def test_sentences_and_files(model, files, capsys):
    assert main(["translate", str(model), "one two", "--quiet"]) == 0
    assert capsys.readouterr().out == "eins zwei\n"
    arguments = [
        "--input",
        str(files / "in.txt"),
        "--reference",
        str(files / "ref.txt"),
        "--versus",
        str(files / "other.txt"),
    ]
    assert main(["translate", str(model), *arguments, "--lowercase", "-o", str(files / "out.txt")]) == 0
    said = capsys.readouterr().err
    assert "BLEU" in said
    assert "case:lc" in said
    assert "chrF2" in said
    assert "2 of 2 lines are exactly the reference" in said
    assert "95 %" in said
    assert "BLEU counts runs of up to four words" in said  # no line has four
    assert (files / "out.txt").read_text("utf-8") == "eins\nzwei drei\n"


def test_score_and_sample_read_a_source(model, files, capsys):
    aligned = ["--source", str(files / "in.txt")]
    assert main(["score", str(model), "--text", str(files / "ref.txt"), *aligned, "--json", "-"]) == 0
    right = json.loads(capsys.readouterr().out)
    assert len(right["lines"]) == 2
    assert main(["score", str(model), "--text", str(files / "other.txt"), *aligned, "--json", "-"]) == 0
    wrong = json.loads(capsys.readouterr().out)
    assert wrong["lines"][0] == right["lines"][0]
    assert wrong["lines"][1]["nats"] > right["lines"][1]["nats"]
    assert main(["sample", str(model), *aligned, "-n", "2", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "eins\neins\nzwei drei\nzwei drei\n"
    assert main(["sample", str(model), *aligned, "--temperature", "0", "--prompt", "zwei"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["zwei", "zwei"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "MODEL", "eins"], "give the source lines (--source FILE"),
        (["score", "MODEL", "eins", "--source", "in.txt"], "the text has 1 line and the source more"),
        (["score", "MODEL", "eins", "zwei", "drei", "--source", "in.txt"], "fewer lines than the text"),
        (["sample", "MODEL"], "give the source lines (--source FILE"),
        (["sample", "MODEL", "-n", "3"], "give the source lines (--source FILE"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(arguments, message, model, files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    assert main([str(model) if a == "MODEL" else a for a in arguments]) == 2
    assert message in capsys.readouterr().err


def test_n_best_json_and_attention(model, files, capsys):
    assert main(["translate", str(model), "one", "--n-best", "2", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("line\tscore\ttranslation\n1\t")
    picture = files / "look.svg"
    assert main(["translate", str(model), "one", "--json", "-", "--attention", str(picture), "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["translations"] == [["eins"]]
    assert picture.exists()


def test_too_large_a_picture_is_refused_before_any_work(model, files, capsys):
    out, long = files / "pictured.txt", " ".join(["one"] * 200)
    assert main(["translate", str(model), long, "-o", str(out), "--attention", str(files / "look.svg")]) == 2
    assert "too large a picture" in capsys.readouterr().err
    assert not out.exists()


def test_pairs_bring_their_references(model, files, capsys):
    (files / "few.tsv").write_text("one\teins\ntwo\tdrei\n\tnull\n", "utf-8")
    assert main(["translate", str(model), "--pairs", str(files / "few.tsv"), "--json", "-", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["translations"] == [["eins"], ["zwei"]]  # a pair with a blank side is none
    assert found["exact"] == 1
    assert found["metrics"].keys() == {"BLEU", "chrF2"}


def test_columns_turn_pairs_round(model, files, capsys):
    (files / "round.tsv").write_text("eins\tone\ndrei\ttwo\n", "utf-8")
    turned = [
        "translate",
        str(model),
        "--pairs",
        str(files / "round.tsv"),
        "--columns",
        "2,1",
        "--json",
        "-",
        "--quiet",
    ]
    assert main(turned) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["translations"] == [["eins"], ["zwei"]]
    assert found["exact"] == 1
    for arguments, words in (
        (["one", "--columns", "2,1"], "--columns 2,1 is for --pairs"),
        (["--pairs", str(files / "round.tsv"), "--columns", "2"], "--columns takes two numbers such as 1,2; got '2'"),
    ):
        assert main(["translate", str(model), *arguments]) == 2
        assert words in capsys.readouterr().err


def test_n_best_of_a_file_is_a_table(model, files, capsys):
    out = files / "best.tsv"
    assert main(["translate", str(model), "one", "two", "--n-best", "2", "-o", str(out), "--quiet"]) == 0
    written = [line.split("\t") for line in out.read_text("utf-8").splitlines()]
    assert written[0] == ["line", "score", "translation"]
    assert [row[0] for row in written[1:]] == ["1", "1", "2", "2"]
    assert written[1][2] == "eins"
    assert capsys.readouterr().out == ""


def test_what_cannot_be_written_is_refused_before_any_work(files, capsys):
    for arguments, words in (
        (["--attention", "a.txt"], "pictures are"),
        (["--attention", str(files / "no" / "a.png")], "there is no directory"),
        (["-o", str(files / "no" / "out")], "--output"),
        (["--json", str(files / "no" / "out")], "--json"),
    ):
        assert main(["translate", str(files / "no-model"), "one", *arguments]) == 2
        assert words in capsys.readouterr().err


def test_a_text_without_lines(model, files, capsys):
    (files / "empty.txt").write_text("")
    for more in ([], ["--attention", str(files / "a.png")]):
        assert main(["translate", str(model), "--input", str(files / "empty.txt"), *more]) == 1
        assert "no lines to translate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either sentences"),
        (["one", "--versus", "x"], "--reference"),
        (["one", "--reference", "FILE"], "line i must belong"),
        (["one", "--pairs", "toy:copy"], "either sentences"),
        (["one", "--n-best", "6"], "of a beam of 5"),
        (["--pairs", "toy:copy:50", "--reference", "FILE"], "its own references"),
    ],
)
def test_misuse(model, files, capsys, arguments, words):
    arguments = [str(files / "ref.txt") if a == "FILE" else a for a in arguments]
    assert main(["translate", str(model), *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert not out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give the pairs"),
        (["--source", "a"], "--source and --target"),
        (["--pairs", "toy:copy", "--source", "a", "--target", "b"], "not both"),
        (["--pairs", "toy:copy", "--columns", "x"], "two numbers"),
        (["--pairs", "zh-reviews"], "built-in pairs, which are everyday, toy:copy, toy:reverse"),
        (["--source", "-", "--target", "-"], "standard input is one text"),
    ],
)
def test_pairs_that_are_not_there(tmp_path, capsys, arguments, words):
    assert main(["train", "seq2seq", "-o", str(tmp_path / "m"), *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--input", "in.txt", "-o", "in.txt"],
        ["--input", "in.txt", "--reference", "ref.txt", "-o", "ref.txt"],
        ["--input", "in.txt", "--json", "in.txt"],
        ["--pairs", "pairs.tsv", "-o", "pairs.tsv"],
        ["one", "-o", "m/config.json"],
    ],
)
def test_what_is_read_is_not_replaced(arguments, model, files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    before = (files / arguments[-1]).read_bytes()
    assert main(["translate", str(model), *arguments, "--quiet"]) == 2
    assert "Name another file" in capsys.readouterr().err
    assert (files / arguments[-1]).read_bytes() == before
