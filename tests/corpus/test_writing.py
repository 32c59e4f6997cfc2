"""Splits to files."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textdl.corpus import open_corpus, sources, write_split, writing
from textdl.errors import CorpusError, UsageError

LINES = [f"line {i}" for i in range(200)]


def parts(directory, names=("train", "valid", "test")):
    return [(directory / f"{name}.txt").read_text("utf-8").split("\n")[:-1] for name in names]


def test_all_lines_are_written_once_and_in_order(tmp_path):
    counts = write_split(open_corpus(LINES), tmp_path / "new")
    written = parts(tmp_path / "new")
    assert counts == {name: len(part) for name, part in zip(("train", "valid", "test"), written, strict=True)}
    assert sorted(line for part in written for line in part) == sorted(LINES)
    assert all(part == [line for line in LINES if line in set(part)] for part in written)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["test.txt", "train.txt", "valid.txt"]


def test_a_stream_is_cut_into_blocks(tmp_path):
    text = open_corpus(LINES)
    text.unit = "stream"
    write_split(text, tmp_path, (3, 1))
    assert parts(tmp_path, ("train", "valid")) == [LINES[:150], LINES[150:]]


def test_views_are_written_and_counted(tmp_path):
    text = open_corpus([*LINES, *LINES, "他走了。我也走了。 好。"]).without_duplicates().sentences()
    counts = write_split(text, tmp_path)
    assert sum(counts.values()) == 203
    ledger = text.read()
    assert (ledger.duplicates_dropped, ledger.sentences_added, ledger.characters_between) == (200, 2, 1)
    assert sorted(line for part in parts(tmp_path) for line in part) == sorted(
        [*LINES, "他走了。", "我也走了。", "好。"]
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text("ab \r\x85\u2028\ufeff汉😀", max_size=4), min_size=1, max_size=5), st.integers(1, 3))
def test_what_is_written_reads_back_as_the_same_lines(tmp_path_factory, lines, batch):
    text = open_corpus(["x", *lines] if all(not line or line.isspace() for line in lines) else lines)
    text.unit = "stream"
    directory = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_BATCH", batch)
        write_split(text, directory, (1, 1))
        wanted = list(text)
    assert [line for part in ("train", "valid") for line in open_corpus(directory / f"{part}.txt")] == wanted
    ending = sum(line.endswith("\r") for line in wanted)
    assert [note.startswith(f"{ending} line") for note in text.ledger.notes] == [True] * (ending > 0)


def test_carriage_returns_and_marks_of_records_are_kept_and_said(tmp_path):
    (tmp_path / "t.jsonl").write_text('"\\ufeffa"\n"b\\r"\n"c\\r"\n')
    text = open_corpus(tmp_path / "t.jsonl")
    text.unit = "stream"
    write_split(text, tmp_path / "parts", (1, 0))
    assert (tmp_path / "parts" / "train.txt").read_bytes() == "\ufeff\ufeffa\nb\r\r\nc\r\r\n".encode()
    assert list(open_corpus(tmp_path / "parts" / "train.txt")) == ["\ufeffa", "b\r", "c\r"]
    assert any(
        r"2 lines with a carriage return at the end written with the line end \r\n" in n for n in text.ledger.notes
    )


def test_nothing_is_overwritten_and_nothing_left_behind(tmp_path):
    (tmp_path / "valid.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"valid.txt exists and is not overwritten"):
        write_split(open_corpus(LINES), tmp_path)
    (tmp_path / "broken.txt").write_bytes(b"fine\n" * 300_000 + b"\xff\xfe\xfd\n")
    with pytest.raises(CorpusError, match="not UTF-8"):
        write_split(open_corpus(tmp_path / "broken.txt"), tmp_path / "out")
    assert list((tmp_path / "out").glob("*")) == [] or not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="cannot write the split"):
        write_split(open_corpus(LINES), tmp_path / "file" / "x")


@pytest.mark.parametrize("ratios", [(1,), (1, 1, 1, 1), (0, 0), (1, -1)])
def test_impossible_ratios(tmp_path, ratios):
    with pytest.raises(UsageError, match="ratios"):
        write_split(open_corpus(LINES), tmp_path / "x", ratios)
    assert not (tmp_path / "x").exists()


def test_no_text(tmp_path):
    with pytest.raises(CorpusError, match="only blank lines"):
        write_split(open_corpus(["", " "]), tmp_path / "x")


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(writing.os, "fsync", lambda _: (tmp_path / "valid.txt").write_text("precious"))
    with pytest.raises(UsageError, match=r"valid.txt exists and is not overwritten"):
        write_split(open_corpus(LINES), tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("valid.txt", "precious")]


def test_a_failure_at_the_second_file_takes_the_first_back(tmp_path, monkeypatch):
    replace = os.replace

    def fails(path, final):
        if final.name == "valid.txt":
            raise OSError("no more")
        replace(path, final)

    monkeypatch.setattr(writing.os, "replace", fails)
    with pytest.raises(CorpusError, match=r"cannot write the split to .*: no more"):
        write_split(open_corpus(LINES), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there is no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o027, 0o640), (0o002, 0o664)])
def test_the_umask_is_respected(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_split(open_corpus(LINES), tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}
