"""hf: names, offline: local directories, saved data sets, and every way in which there is none."""

import json

import pytest

from textdl.corpus import hub, open_corpora, open_corpus
from textdl.errors import CorpusError, UsageError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A data set of two splits; nothing is written to the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    data = tmp_path / "set"
    data.mkdir()
    rows = [{"id": i, "text": f"t{i}\n\nu" if i else None, "pair": {"en": "a", "zh": f"中{i}"}} for i in range(3)]
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "test.jsonl").write_text(json.dumps({**rows[0], "text": "q"}) + "\n")
    return data


@pytest.mark.parametrize("streaming", [False, True])
def test_a_directory_of_data(directory, streaming, capfd):
    corpus = open_corpus(f"hf:{directory}", streaming=streaming)
    lines = ["t1", "", "u", "t2", "", "u"]
    assert list(corpus) == lines
    assert list(corpus) == lines
    assert corpus.name == "hf:set:train"
    assert corpus.unit == "line"
    assert corpus.fingerprint == _fingerprint(lines)
    ledger = corpus.ledger
    assert (ledger.records, ledger.records_without_text, ledger.records_of_several_lines) == (3, 1, 2)
    assert (ledger.lines, ledger.blank) == (6, 2)
    assert "'text' is read, of 'id', 'text', 'pair'" in ledger.notes[0]
    assert open_corpora([f"hf:{directory}:test"], streaming=streaming).read().lines == 1
    assert list(open_corpus(f"hf:{directory}", field="pair.zh", streaming=streaming)) == ["中0", "中1", "中2"]
    assert capfd.readouterr() == ("", "")


def _fingerprint(lines):
    corpus = open_corpus(lines)
    corpus.read()
    return corpus.fingerprint


def test_saved_data_sets(directory, tmp_path):
    rows = datasets.Dataset.from_dict({"text": ["a", "b"]}, split="test")
    datasets.disable_progress_bars()
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"x": rows, "y": rows}).save_to_disk(tmp_path / "two")
    datasets.enable_progress_bars()
    assert list(open_corpus(f"hf:{tmp_path / 'one'}")) == ["a", "b"]
    assert open_corpus(f"hf:{tmp_path / 'one'}").name == "hf:one:test"
    assert list(open_corpus(f"hf:{tmp_path / 'two'}:y")) == ["a", "b"]
    with pytest.raises(UsageError, match=r"has the splits x, y\. Name one: hf:.*two:x"):
        open_corpus(f"hf:{tmp_path / 'two'}")
    with pytest.raises(UsageError, match="has no split 'z'; it has x, y"):
        open_corpus(f"hf:{tmp_path / 'two'}:z")
    with pytest.raises(UsageError, match="has no split 'train'; it has test"):
        open_corpus(f"hf:{tmp_path / 'one'}:train")
    with pytest.raises(UsageError, match=r"a data set that the datasets library has saved\. Write hf:"):
        open_corpus(tmp_path / "two")


def test_configurations(directory):
    (directory / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: train.jsonl\n- config_name: two\n  data_files: test.jsonl\n---\n"
    )
    assert list(open_corpus(f"hf:{directory}@two")) == ["q"]
    assert open_corpus(f"hf:{directory}@two").name == "hf:set@two:train"
    for wrong in ("", "@three"):
        with pytest.raises(UsageError, match=r"name one of its configurations \(one, two\), as in hf:.*set@one"):
            open_corpus(f"hf:{directory}{wrong}")


def test_what_is_not_there(directory, tmp_path):
    with pytest.raises(UsageError, match=r"no split 'dev'; it has train, test, as in hf:.*set:train"):
        open_corpus(f"hf:{directory}:dev")
    with pytest.raises(UsageError, match=r"no column is called 'txt'.*'pair.zh' \(str\)"):
        open_corpus(f"hf:{directory}", field="txt")
    with pytest.raises(UsageError, match="the column 'id' is int64, not str"):
        open_corpus(f"hf:{directory}", field="id")
    with pytest.raises(UsageError, match=r"only whole splits can be streamed. Leave out --streaming"):
        open_corpus(f"hf:{directory}:train[:1]", streaming=True)
    assert open_corpus(f"hf:{directory}:train[1:]").read().records == 2
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text("import datasets\n")
    with pytest.raises(CorpusError, match="made by a script, which the datasets library does not run"):
        open_corpus(f"hf:{tmp_path / 'script'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="it has no data files that the datasets library knows"):
        open_corpus(f"hf:{tmp_path / 'empty'}")
    (directory / "train.jsonl").write_text('{"text": broken\n')
    with pytest.raises(CorpusError, match=r"the datasets library cannot read it \(\w+: [^)]+\)\."):
        open_corpus(f"hf:{directory}")


@pytest.mark.parametrize("name", ["nobody/nothing", "nobody/nothing@zh:test"])
@pytest.mark.parametrize("streaming", [False, True])
def test_offline(directory, name, streaming):
    with pytest.raises(
        CorpusError,
        match=r"offline \(HF_HUB_OFFLINE is set\), and it is not in the local cache \(.*cache\)\. Connect once, or run "
        r"`hf download --repo-type dataset nobody/nothing --local-dir DIR`.* HF_ENDPOINT names a mirror\.",
    ):
        open_corpus(f"hf:{name}", streaming=streaming)


class GatedRepoError(OSError):
    """Called as the library's own."""


class RepositoryNotFoundError(OSError):
    pass


class TimeoutException(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (GatedRepoError("403"), "hf:x: its owner asks for consent first.*hf auth login"),
        (RepositoryNotFoundError("404"), r"hf:x: the hub has no such data set, or it is private"),
        (ConnectionError("Name or service not known"), r"the hub cannot be reached \(Name or service not known\)"),
        (TimeoutException("timed out"), "the hub cannot be reached"),
        (ImportError("no module named h5py"), "no module named h5py. Install that package"),
        (KeyError("what"), r"the datasets library cannot read it \(KeyError"),
    ],
)
def test_errors_of_the_library_become_sentences(error, sentence):
    def work():
        raise error

    with pytest.raises(CorpusError, match=sentence):
        hub._call(work, "hf:x")


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("hf:name", ("name", None, None)),
        ("hf:owner/name@zh:test", ("owner/name", "zh", "test")),
        ("hf:owner/name:train[:10%]", ("owner/name", None, "train[:10%]")),
        ("hf:name@20220301.en", ("name", "20220301.en", None)),
    ],
)
def test_names(source, parts):
    assert hub.parse(source) == parts


@pytest.mark.parametrize("source", ["hf:", "hf:name@", "hf:name:", "hf:@zh", "hf::train"])
def test_names_of_nothing(source):
    with pytest.raises(UsageError, match=r"a data set is hf:NAME\[@CONFIG\]\[:SPLIT\]"):
        hub.parse(source)


def test_a_directory_may_have_any_name(tmp_path):
    odd = tmp_path / "a@b:c"
    odd.mkdir()
    assert hub.parse(f"hf:{odd}") == (str(odd), None, None)
    assert hub.parse(f"hf:{odd}:test") == (str(odd), None, "test")
    with pytest.raises(UsageError, match="there is no directory"):
        hub.parse("hf:./no/such")
