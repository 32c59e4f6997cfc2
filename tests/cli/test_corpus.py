"""`textdl corpus ...`, called in this process: what is printed, where, and what goes wrong."""

import gzip
import json
import sys

import pytest

from textdl.cli import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTDL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main(["corpus", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.txt"
    path.write_text("他走了。我也走了。\n\n他走了。我也走了。\nb\u200bc \ue000 锟斤拷\n", "utf-8")
    return path


def test_stats_for_a_person(run, odd):
    code, out, err = run("stats", odd)
    assert code == 0
    tables = out.split("\n\n# ")
    assert [t.split("\n")[0] for t in tables[1:]] == [
        "length of lines (4 lines)", "most frequent characters", "strange characters", "tokens",
    ]  # fmt: skip
    rows = {row.split("\t")[0].strip(): row.split("\t")[1:] for row in tables[0].split("\n")}
    assert rows["lines"] == ["4", ""]
    assert rows["same as an earlier one"] == ["1", "25.00 %"]
    assert rows["Han"][0] == "17"
    assert rows["encoding"][0] == "UTF-8"
    assert rows["longest"] == ["9", "line 1"]
    assert "zero width\t\tU+200B\t1\t4\tZERO WIDTH SPACE" in out
    assert "misread\t锟斤拷\t" in out
    assert [row.split("\t")[0] for row in tables[4].split("\n")[2:-1]] == ["jieba", "char"]
    assert "private use: means something in one font only. 1 different, 1 in all." in err
    assert "Read 4 lines" in err


def test_stats_as_json_with_tokenizers_and_changes_on_the_way_in(run, odd):
    code, out, err = run(
        "stats", odd, "--json", "--quiet", "--dedup", "--split-sentences", "--tokenizer", "char", "--tokenizer", "word",
        "--tokenizer", "char",
    )  # fmt: skip
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["lines"] == 4  # 他走了。 我也走了。, a blank one, the odd one
    assert found["ledger"]["duplicates_dropped"] == 1
    assert found["ledger"]["lines_split"] == found["ledger"]["sentences_added"] == 1
    assert [t["tokenizer"] for t in found["tokenizers"]] == ["char", "word"]
    assert found["tokenizers"][0]["tokens"] == found["characters"] == 18
    assert found["encodings"] == {str(odd): "UTF-8"}
    assert found["strange"][0]["kind"] == "private use"
    assert json.loads(run("stats", odd, "--json", "--tokenizer", "none")[1])["tokenizers"] == []


def test_stats_of_nothing_and_of_several(run, tmp_path, odd):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_bytes("中文很好".encode("gb18030"))
    (tmp_path / "folder" / "b.txt").touch()
    code, out, _ = run("stats", tmp_path / "folder", "--encoding", "gb18030", "--json")
    assert code == 0
    assert list(json.loads(out)["encodings"].values()) == ["GB18030, by the look of it", "ASCII"]
    code, out, err = run("stats", tmp_path / "folder" / "b.txt")
    assert code == 0
    assert "lines\t0\t" in out
    assert "b.txt is empty: there is no line in it." in err
    assert "is empty" not in run("stats", odd)[2]
    code, _, err = run("stats", odd, "--tokenizer", "none", "--tokenizer", "char")
    assert (code, "none means no tokens, and --tokenizer is also char" in err) == (2, True)
    code, _, err = run("stats", odd, "--tokenizer", "jeiba")
    assert code == 2
    assert "no such tokenizer" in err


def test_the_encodings_are_those_of_the_files_that_are_read(run, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "folder"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden" / "h.txt").write_bytes("中文很好".encode("gb18030"))
    (folder / "a.txt").write_text("中文", "utf-8")
    pq.write_table(pa.table({"text": ["a"]}), folder / "x.PARQUET")
    (folder / "y.parquet.gz").write_bytes(gzip.compress((folder / "x.PARQUET").read_bytes()))
    for named in (folder, folder / "*", folder / "*.txt"):
        code, out, _ = run("stats", named, "--json", "--tokenizer", "none", "--dedup", "--split-sentences")
        assert code == 0
        assert json.loads(out)["encodings"] == {str(folder / "a.txt"): "UTF-8"}
    found = json.loads(run("stats", "zh-reviews:test", "--json", "--tokenizer", "none")[1])
    assert found["encodings"] == {"zh-reviews": "UTF-8"}


def test_pictures(run, odd, tmp_path):
    code, _, err = run("stats", odd, "--plot", tmp_path / "pictures")
    assert code == 0
    assert "heaps.png in" in err
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 5


def test_pictures_without_matplotlib_are_refused_before_the_work(run, odd, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run("stats", odd, "--plot", tmp_path / "pictures")
    assert (code, out) == (2, "")
    assert 'pip install "textdl[plot]"' in err
    assert not (tmp_path / "pictures").exists()


def test_show_and_split_change_text_on_the_way_in(run, odd, tmp_path):
    assert run("show", odd, "--split-sentences", "-n", 2)[1] == "他走了。\n我也走了。\n"
    assert run("show", odd, "--dedup")[1].count("他走了") == 1
    code, out, err = run("split", odd, "-o", tmp_path / "parts", "--dedup", "--split-sentences")
    assert (code, out) == (0, "")
    assert "1 duplicate line dropped." in err
    assert "1 line split into 2 sentences." in err
    assert "(by content)" in err
    written = [(tmp_path / "parts" / f"{part}.txt").read_text("utf-8") for part in ("train", "valid", "test")]
    assert sorted("".join(written).split("\n")[:-1]) == ["", "b\u200bc \ue000 锟斤拷", "他走了。", "我也走了。"]
    (tmp_path / "one.txt").write_text("1\n2\n")
    code, _, err = run("split", tmp_path / "one.txt", "-o", tmp_path / "ones", "--unit", "stream", "--ratios", "9,0,1")
    assert code == 0
    assert err.count("got no line") == 1
    assert "note: test.txt got no line: the text is too short for it." in err
    code, _, err = run("split", odd, "-o", tmp_path / "more", "--unit", "page")
    assert code == 2
    assert "--unit must be" in err


def test_pairs(run, tmp_path):
    (tmp_path / "a.txt").write_text("one cat\n\nthree\nfour\n")
    (tmp_path / "b.txt").write_text("eine Katze\nzwei\ndrei\n" + "v" * 200 + "\n")
    code, out, err = run("pairs", tmp_path / "a.txt", tmp_path / "b.txt")
    assert code == 0
    assert "  left out: only the source blank\t1\t25.00 %\t2" in out
    assert "absurd length ratio\t4\tfour\tvvv" in out
    assert "target characters for one of the source" in err
    found = json.loads(run("pairs", tmp_path / "a.txt", tmp_path / "b.txt", "--json", "--max-ratio", 0)[1])
    assert (found["kept"], found["unlike"], found["blank_source"]) == (3, 0, 1)
    (tmp_path / "r.txt").write_bytes(b"\xff\r\n\n\n\n")
    code, _, err = run("pairs", tmp_path / "r.txt", tmp_path / "r.txt", "--errors", "replace")
    assert code == 0
    assert "note: The target, r.txt: 1 character replaced by U+FFFD" in err
    (tmp_path / "nothing.txt").write_bytes(b"\r\n")
    assert "note: The source, nothing.txt: 1 line end" in run("pairs", *[tmp_path / "nothing.txt"] * 2)[2]
    (tmp_path / "empty.txt").touch()
    for texts in ([tmp_path / "empty.txt"] * 2, [tmp_path / "empty.txt"]):
        code, out, err = run("pairs", *texts)
        assert (code, out) == (1, "")
        assert "is empty: there is no pair in it." in err
    (tmp_path / "c.txt").write_text("eins\n")
    code, _, err = run("pairs", tmp_path / "a.txt", tmp_path / "c.txt")
    assert code == 1
    assert "a.txt has 4 lines and c.txt 1" in err


def test_pairs_in_columns(run, tmp_path):
    (tmp_path / "t.tsv").write_text("1\tone\teins\n2\ttwo\tzwei\n")
    found = json.loads(run("pairs", tmp_path / "t.tsv", "--columns", "2,3", "--json")[1])
    assert (found["kept"], found["source_characters"]) == (2, 6)
    for arguments, message in (
        (("--columns", "1"), "--columns takes two numbers"),
        (("--columns", "2,2"), "two different numbers"),
        (("--columns", "2,9"), "line 1: 3 columns"),
        (("--max-ratio", "0.5"), "--max-ratio"),
        (("--field", "x"), "--field is for two texts"),
    ):
        code, _, err = run("pairs", tmp_path / "t.tsv", *arguments)
        assert code in (1, 2)
        assert message in err
    code, _, err = run("pairs", tmp_path / "missing.tsv")
    assert code == 2
    assert "neither a file" in err


def test_list(run):
    assert "zh-reviews\tzh\t" in run("list")[1]
    assert json.loads(run("list", "--json")[1])[0]["name"] == "en-wiki"
