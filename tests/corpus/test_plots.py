"""The pictures of a corpus."""

import html
import re

import pytest

from textdl.corpus import open_corpus, stats
from textdl.corpus.plots import plot
from textdl.corpus.statistics import token_statistics
from textdl.errors import UsageError
from textdl.vocabulary import build


def tokens(lines):
    vocab, data, _ = build([list(line) for line in lines])
    return token_statistics("char", data, vocab.counts, characters=sum(map(len, lines)))


def size(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@pytest.mark.filterwarnings("error")
def test_all_pictures_are_drawn_without_a_warning(tmp_path, chinese):
    lines = [*chinese, "\ue000 $x$ \u200b", "", "한 א 😀"]
    found = stats(open_corpus(lines), frequent=100)
    paths = plot(tmp_path / "new" / "pictures", "语料 $1$ \ue001", found, [tokens(lines), tokens(lines[:3])])
    assert [path.name for path in paths] == ["lengths.png", "scripts.png", "characters.png", "zipf.png", "heaps.png"]
    assert all(size(path)[0] == 1200 for path in paths)
    assert size(paths[2])[1] > 1000  # forty bars
    svg = plot(tmp_path, "x", found, suffix=".svg")
    assert [path.name for path in svg] == ["lengths.svg", "scripts.svg", "characters.svg"]
    assert "<svg" in svg[0].read_text("utf-8")


def test_shares_are_written_as_in_the_table(tmp_path):
    scripts = plot(tmp_path, "x", stats(open_corpus(["a" * 30_000 + "国" + "1" * 10_000])), suffix=".svg")[1]
    labels = re.findall(r"<!-- (\S+ %) -->", html.unescape(scripts.read_text("utf-8")))
    assert labels == ["75.00 %", "25.00 %", "<0.01 %"]


def test_other_characters_give_other_pictures(tmp_path):
    first, second = (
        plot(tmp_path / name, "x", stats(open_corpus([name])))[2].read_bytes() for name in ("国国国门", "门门门国")
    )
    assert first != second


def test_text_of_nothing(tmp_path):
    assert plot(tmp_path, "empty", stats(open_corpus([])), [tokens([])]) == []
    assert [path.name for path in plot(tmp_path, "blank", stats(open_corpus(["", ""])))] == ["lengths.png"]


def test_where_pictures_cannot_be(tmp_path):
    found = stats(open_corpus(["a"]))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make this directory"):
        plot(tmp_path / "file" / "x", "x", found)
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        plot(tmp_path, "x", found, suffix=".bmp")
