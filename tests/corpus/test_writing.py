"""Splits to files."""

import pytest

from textdl.corpus import open_corpus, write_split
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
