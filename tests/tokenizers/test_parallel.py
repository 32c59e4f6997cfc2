"""Worker processes give what one process gives, in the same order."""

import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import ModelError, TextdlError, UsageError
from textdl.tokenizers import create, parallel


@pytest.fixture
def small(monkeypatch):
    """Processes and blocks for short text."""
    monkeypatch.setattr(parallel, "SMALL", 10)
    monkeypatch.setattr(parallel, "_BLOCK", 300)


AWKWARD = ["", "a b", "我们在北京。", " ", "<s> ▁ \\u0009", "\u2028\u0085\r", "🙂" * 50, "x" * 1000, "北京" * 400, ""]


@pytest.mark.parametrize("spec", ["char", "word", "jieba,hmm=no", "whitespace"])
def test_pieces_are_the_same_in_any_number_of_processes(small, spec):
    tokenizer = create(spec)
    lines = AWKWARD * 20
    assert list(parallel.encode_lines(tokenizer, lines, processes=3)) == [tokenizer.encode(line) for line in lines]


def test_short_text_starts_no_process(monkeypatch):
    monkeypatch.setattr(parallel, "_Worker", None)
    assert list(parallel.encode_lines(create("char"), ["ab", ""], processes=4)) == [["a", "b"], []]


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=40)))
@settings(max_examples=50)
def test_blocks_hold_every_line_once(lines):
    tokenizer = create("char")
    pieces, got = [], []
    for block in parallel.blocks(tokenizer, iter([lines[:3], lines[3:]]), processes=1):
        pieces += block.new
        start = 0
        for length in block.lengths:
            got.append("".join(pieces[i] for i in block.ids[start : start + length]))
            start += length
    assert got == lines


def test_a_numbering_that_grows_too_large_begins_anew(small, monkeypatch):
    monkeypatch.setattr(parallel.Numbering, "MOST", 50)
    tokenizer = create("whitespace")
    lines = [f"word{i} and word{i // 2}" for i in range(300)]
    numbering = parallel.Numbering()
    fresh = [numbering.block(tokenizer, lines[i : i + 30])[0] for i in range(0, 300, 30)]
    assert fresh.count(True) > 2
    assert len(numbering) < 150
    assert list(parallel.encode_lines(tokenizer, lines, processes=1)) == [line.split() for line in lines]


def test_an_error_of_a_worker_is_the_callers(small):
    tokenizer = create("word")
    tokenizer.__dict__["fingerprint"] = "of another version"
    with pytest.raises(ModelError, match="does not reproduce"):
        list(parallel.encode_lines(tokenizer, ["北京" * 30] * 10, processes=2))


def test_a_worker_that_is_killed_is_said(small):
    started = []
    original = parallel._Worker.tokenize

    class Killed(parallel._Worker):
        def tokenize(self, lines):
            if not started:
                started.append(self)
                os.kill(self._process.pid, signal.SIGKILL)
            return original(self, lines)

    parallel_worker, parallel._Worker = parallel._Worker, Killed
    try:
        with pytest.raises(TextdlError, match=r"a tokenizing process ended \(signal 9\)"):
            list(parallel.encode_lines(create("word"), ["x" * 200] * 10, processes=2))
    finally:
        parallel._Worker = parallel_worker


def test_a_caller_that_stops_early_stops_the_processes(small, monkeypatch):
    started = []
    monkeypatch.setattr(parallel._Worker, "__init__", _recording(parallel._Worker.__init__, started))
    lines = parallel.encode_lines(create("word"), (f"line {i}" for i in range(10**9)), processes=2)
    assert next(lines) == ["line", "0"]
    assert [worker._process.poll() for worker in started] == [None, None]
    lines.close()
    assert all(worker._process.poll() is not None for worker in started)


def _recording(original, started):
    def init(self, *arguments):
        original(self, *arguments)
        started.append(self)

    return init


def test_files_of_the_working_directory_are_no_modules(small, tmp_path, monkeypatch):
    for name in ("queue.py", "statistics.py", "textdl.py"):
        (tmp_path / name).write_text("print('mine')\nraise SystemExit('mine')\n")
    monkeypatch.chdir(tmp_path)
    assert list(parallel.encode_lines(create("word"), ["ab" * 100] * 5, processes=2)) == [["ab" * 100]] * 5


def test_a_line_feed_inside_a_line_is_refused(small):
    with pytest.raises(UsageError, match="a line feed inside"):
        list(parallel.encode_lines(create("word"), ["a\nb" * 50] * 9, processes=2))


def test_errors_of_the_text_reach_the_caller(small):
    def lines():
        yield "x" * 400
        raise UsageError("the text ended badly")

    with pytest.raises(UsageError, match="ended badly"):
        list(parallel.encode_lines(create("word"), lines(), processes=2))
