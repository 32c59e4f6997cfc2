"""Encoding on disk, in processes and segments, gives what the few lines of vocabulary.count give in memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl import encoding, vocabulary
from textdl.corpus import open_corpus
from textdl.errors import CorpusError
from textdl.tokenizers import create, parallel
from textdl.tokenizers.base import BaseTokenizer
from textdl.tokenizers.sentencepiece import train
from textdl.vocabulary import SPECIALS, count, select


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTDL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def large(monkeypatch):
    """Treats short text as a large one."""
    monkeypatch.setattr(encoding, "SMALL", 0)
    monkeypatch.setattr(encoding, "_CHUNK", 7)
    monkeypatch.setattr(encoding._Builder, "SEGMENT", 5)


def same(whole: encoding.EncodedCorpus, lines, tokenizer) -> None:
    vocab, data, lacking = count(map(tokenizer.encode, lines), tokenizer.inventory)
    assert whole.vocab.pieces == vocab.pieces
    assert whole.counts.tolist() == vocab.counts.tolist()
    assert whole.data.ids.tolist() == data.ids.tolist()
    assert whole.data.offsets.tolist() == data.offsets.tolist()
    assert whole.data.vocab_size == data.vocab_size
    assert whole.lacking == lacking


LINES = ["b a b", "", "c a d e f", "g h i j k a a", "我 们 \t b", "<s> ▁ \\u0009 é", "a", "zz b a <unk>\u2028"] * 5


@pytest.mark.parametrize("spec", ["char", "word", "whitespace"])
@pytest.mark.parametrize("processes", [1, 2])
def test_segments_and_processes_change_nothing(large, monkeypatch, spec, processes):
    monkeypatch.setattr(parallel, "SMALL", 10)
    monkeypatch.setattr(parallel, "_BLOCK", 20)
    tokenizer = create(spec)
    same(encoding.encode_corpus(open_corpus(LINES), tokenizer, processes=processes), LINES, tokenizer)


@pytest.mark.parametrize("spec", ["char", "word,digits=each"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_long_line_is_one_line(large, monkeypatch, processes, spec):
    monkeypatch.setattr(parallel, "SMALL", 10)
    monkeypatch.setattr(parallel, "_BLOCK", 8)
    monkeypatch.setattr(parallel, "_LONG", 9)
    monkeypatch.setattr(parallel.Numbering, "MOST", 4)
    lines = ["abc", "a long line of nineteen parts", "", "b", "123456789", "1234567890" * 5, "x"]
    tokenizer = create(spec)
    same(encoding.encode_corpus(open_corpus(lines), tokenizer, processes=processes), lines, tokenizer)
    assert list(parallel.encode_lines(tokenizer, lines, processes=2)) == [tokenizer.encode(line) for line in lines]


@given(st.lists(st.text(st.sampled_from("ab我c\t\r\\▁<s>\u2028 xyz"), max_size=12), min_size=1, max_size=20))
@settings(max_examples=60)
def test_any_text_is_encoded_as_in_memory(tmp_path_factory, lines):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTDL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(encoding, "SMALL", 0)
        patch.setattr(encoding, "_CHUNK", 3)
        patch.setattr(encoding._Builder, "SEGMENT", 2)
        patch.setattr(parallel, "_BLOCK", 5)
        tokenizer = create("char")
        same(encoding.encode_corpus(open_corpus(lines), tokenizer, processes=1), lines, tokenizer)


def test_an_inventory_stands_as_it_is(large, chinese):
    tokenizer, _ = train(chinese, vocab_size=320)
    same(encoding.encode_corpus(open_corpus(chinese), tokenizer, processes=1), chinese, tokenizer)


class Listed(BaseTokenizer):
    """Characters, of which the inventory has only some."""

    name = "listed"
    inventory = ("a", "b", "\r")

    def _segment(self, line):
        return list(line)


@pytest.mark.parametrize("most", [100, 4])
def test_what_an_inventory_lacks_is_counted(large, monkeypatch, most):
    monkeypatch.setattr(vocabulary, "SAMPLE", most)
    lines = ["a b\rx", "\u2028\t\\yzzzzéü", "ab" * 9]
    whole = encoding.encode_corpus(open_corpus(lines), Listed(), processes=1)
    _, data, lacking = count(map(list, lines), Listed.inventory)
    assert whole.data.ids.tolist() == data.ids.tolist()
    assert whole.lacking_types == len(lacking) == 9
    assert whole.counts[0] == sum(lacking.values())
    assert whole.lacking.items() <= lacking.items()
    assert len(whole.lacking) == 9 if most == 100 else 2 <= len(whole.lacking) <= 4


def test_a_text_that_changes_meanwhile_is_not_cached(large, tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("a b\n" * 50)
    text = open_corpus(path)
    text.read()
    original = text._source.batches

    def changing(ledger):
        yield from original(ledger)
        yield ["one more"]

    monkeypatch.setattr(text._source, "batches", changing)
    with pytest.raises(CorpusError, match="was changed while it was in use"):
        encoding.encode_corpus(text, create("char"), processes=1)
    same(encoding.encode_corpus(open_corpus(path), create("char"), processes=1), ["a b"] * 50, create("char"))


def test_a_damaged_entry_is_made_again(large):
    lines = ["a b", "c"]
    whole = encoding.encode_corpus(open_corpus(lines), create("char"), processes=1)
    counts = whole.source.parent / "counts.npy"
    counts.write_bytes(bytes(counts.stat().st_size))
    same(encoding.encode_corpus(open_corpus(lines), create("char"), processes=1), lines, create("char"))


def test_types_of_a_cache_that_was_emptied(large):
    whole = encoding.encode_corpus(open_corpus(["a b"]), create("char"), processes=1)
    whole.source.unlink()
    with pytest.raises(CorpusError, match="emptied while it was in use"):
        list(whole.types())


def test_a_tokenizer_of_the_callers_own_works_on_any_text(large, monkeypatch):
    class Mine:
        spec = fingerprint = "mine"
        lossless, single_code_points, overlapping, inventory = True, False, False, None

        def encode(self, line):
            return line.split("-")

        def iterate(self, line):
            return iter(self.encode(line))

        def encode_lines(self, lines):
            return map(self.encode, lines)

    monkeypatch.setattr(parallel, "SMALL", 1)
    whole = encoding.encode_corpus(open_corpus(["a-b", "b"] * 50), Mine(), processes=2)
    assert whole.vocab.pieces == ["b", "a"]


def test_small_text_stays_in_memory(tmp_path):
    whole = encoding.encode_corpus(open_corpus(["a b", "b"]), create("whitespace"))
    assert whole.vocab.pieces == ["b", "a"]
    assert not (tmp_path / "cache").exists()


def test_the_second_time_nothing_is_tokenized(large, monkeypatch):
    tokenizer = create("word")
    first = encoding.encode_corpus(open_corpus(LINES), tokenizer, processes=1)
    monkeypatch.setattr(encoding, "blocks", None)
    again = encoding.encode_corpus(open_corpus(LINES), tokenizer, processes=1)
    assert again.data.ids.tolist() == first.data.ids.tolist()
    with pytest.raises(TypeError):
        encoding.encode_corpus(open_corpus([*LINES, "more"]), tokenizer, processes=1)
    with pytest.raises(TypeError):
        encoding.encode_corpus(open_corpus(LINES), create("word,lower=yes"), processes=1)


def test_only_what_is_needed_stays_on_disk(large):
    whole = encoding.encode_corpus(open_corpus(LINES), create("word"), processes=1)
    names = {path.name for path in whole.source.parent.iterdir()}
    assert names == {"ids.npy", "offsets.npy", "counts.npy", "types.txt", "lacking.txt", "entry.json"}


def test_choosing_from_the_types_re_numbers_the_corpus(large):
    whole = encoding.encode_corpus(open_corpus(["a a a b b c"]), create("whitespace"), processes=1)
    chosen = select(whole.types(), whole.counts, min_count=2)
    assert chosen.vocab.pieces == ["a", "b"]
    assert (chosen.cut_types, chosen.cut_tokens, chosen.cut) == (1, 1, {"c": 1})
    assert whole.through(chosen).ids.tolist() == [3, 3, 3, 4, 4, 0]
    assert chosen.vocab.counts.tolist() == [1, 1, 1, 3, 2]
    fixed = select(whole.types(), whole.counts, fixed=["c", "x", "a"])
    assert whole.through(fixed).ids.tolist() == [5, 5, 5, 0, 0, 3]
    assert fixed.vocab.counts[len(SPECIALS) :].tolist() == [1, 0, 3]
    every = select(whole.types(), whole.counts)
    assert whole.through(every).ids is whole.data.ids


def test_a_killed_run_is_no_run(large, tmp_path):
    code = (
        "import os; from textdl import encoding; from textdl.corpus import open_corpus; from textdl.tokenizers import create\n"
        "encoding.SMALL = 0\n"
        "encoding._Builder.finish = lambda self: os.kill(os.getpid(), 9)\n"
        "encoding.encode_corpus(open_corpus(['a b']), create('char'), processes=1)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode != 0
    same(encoding.encode_corpus(open_corpus(["a b"]), create("char"), processes=1), ["a b"], create("char"))
    assert all(not path.name.startswith(".") for path in (tmp_path / "cache" / "encoded").iterdir())


def test_a_re_numbered_corpus_larger_than_memory_lies_on_disk(large, monkeypatch):
    monkeypatch.setattr("textdl.encoded._IN_MEMORY", 4)
    whole = encoding.encode_corpus(open_corpus(["a a a b b c", "", "c c"]), create("whitespace"), processes=1)
    chosen = select(whole.types(), whole.counts, max_size=1)
    made = whole.through(chosen)
    assert isinstance(made.ids, np.memmap)
    assert made.ids.tolist() == whole.data.through(chosen.table, 4).ids.tolist()
    assert made.offsets.tolist() == [0, 6, 6, 8]
