"""Counts against dictionaries, in memory and through files, however the work is cut."""

import errno
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import BOS, Encoded
from textdl.errors import CorpusError
from textdl.ngram import counting, reference
from textdl.protocols import Run

from .plain import equal, levels_of, unfold

corpora = st.integers(4, 7).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=7), min_size=1, max_size=8).map(
        lambda lines: Encoded.from_lines(lines, v)
    )
)
MUCH = 1 << 62


def texts(lines):
    return [lines.line(i).tolist() for i in range(len(lines))]


def check(lines, order, **options):
    """Raw and adjusted counts; the trie is checked by `unfold`."""
    occurs = dict(reference.occurrences(texts(lines), order))
    for name, expected in [("mle", occurs), ("kneser-ney", reference.adjusted(occurs, order))]:
        expected.pop((BOS,), None)
        nodes = unfold(levels_of(lines, order, name, **options))
        assert {gram: node.count for gram, node in nodes.items() if node.count} == expected
        assert all(node.count or len(gram) == 1 for gram, node in nodes.items())


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(1, 6))
def test_small(lines, order):
    check(lines, order, memory=MUCH)


@pytest.mark.parametrize("size", [30, 600, 1 << 17])
@pytest.mark.parametrize("order", [3, 10])
def test_words_of_all_widths(size, order):
    """Of many bits fewer fit a key, so that there are more rounds of sorting."""
    ids = np.minimum(np.random.default_rng(size).zipf(1.4, 2500), size - 3) + 2
    check(Encoded(ids.astype(np.int32), np.array([0, 1000, 1000, 2500]), size), order, memory=MUCH, workers=1)


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(2, 6), st.integers(1, 40), st.integers(2, 5), st.sampled_from([(), (0, 0, 1), (0, 1, 2)]))
def test_files_give_the_same(lines, order, least, files, prune):
    """So few records a task that words, and n-grams, have more."""
    thresholds = ((*prune, *prune[-1:] * order) or (0,) * order)[:order]
    whole = levels_of(lines, order, thresholds=thresholds, memory=MUCH)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_LEAST": least, "_FILES": files, "_READ": 5, "_BATCH": 4, "_WALK": 3}.items():
            patch.setattr(counting, name, value)
        through_files = levels_of(lines, order, thresholds=thresholds, memory=1)
        assert through_files.on_disk == (order > 1)
        assert equal(through_files, whole)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_cuts_and_threads_do_not_matter(monkeypatch, workers):
    lines = Encoded.from_lines(np.random.default_rng(3).integers(3, 8, (20, 15)), 8)
    expected = levels_of(lines, 4, memory=MUCH)
    for name, value in {"_TASK": 20, "_BATCH": 11, "_WALK": 7, "_READ": 13}.items():
        monkeypatch.setattr(counting, name, value)
    assert equal(levels_of(lines, 4, memory=MUCH, workers=workers), expected)
    monkeypatch.setattr(counting, "_LEAST", 30)
    assert equal(levels_of(lines, 4, memory=1, workers=workers), expected)


@pytest.mark.parametrize("memory", [1, MUCH])
def test_positions_beyond_int32(monkeypatch, memory):
    """As for a text of more than 2^31 words."""
    lines = Encoded.from_lines(np.random.default_rng(3).integers(3, 8, (20, 15)), 8)
    expected = levels_of(lines, 4)
    monkeypatch.setattr(counting, "_position_type", lambda size: np.dtype(np.int64))
    assert equal(levels_of(lines, 4, memory=memory), expected)


@pytest.mark.parametrize("lines", [[[3]], [[]], [[], [], []], [[3] * 50], [[0, 0], [0]], [[3, 4] * 30, [3]]])
@pytest.mark.parametrize("memory", [1, MUCH])
def test_edges(monkeypatch, lines, memory):
    """One word, no word, one word again and again, <unk> in the text; orders beyond any line."""
    monkeypatch.setattr(counting, "_LEAST", 3)
    for order in (1, 2, 5, 10):
        check(Encoded.from_lines(lines, 5), order, memory=memory)


def test_a_vocabulary_of_specials():
    check(Encoded.from_lines([[0], [], [0, 0, 0]], 3), 4, memory=MUCH)


def test_order_beyond_the_lines():
    levels = levels_of(Encoded.from_lines([[], [3]], 4), 6)
    assert levels.sizes == [4, 3, 1, 0, 0, 0]  # <s> </s>, <s> a, a </s>; <s> a </s>


def test_no_lines():
    with pytest.raises(CorpusError, match="no lines at all"):
        counting.count(Encoded.from_lines([], 3), 2, Run())


def test_memory_maps_are_read_and_let_go(tmp_path):
    lines = Encoded.from_lines(np.random.default_rng(3).integers(3, 8, (20, 15)), 8)
    lines.save(tmp_path)
    expected = levels_of(lines, 3)
    assert equal(levels_of(Encoded.open(tmp_path, 8), 3), expected)
    private = np.memmap(tmp_path / "ids.npy", np.int32, "c", offset=128)
    private[:] = lines.ids[::-1]  # in memory alone: letting go of these pages would lose it
    assert isinstance(private.base, mmap.mmap)
    again = Encoded(private, lines.offsets, 8)
    assert equal(levels_of(again, 3), levels_of(Encoded(lines.ids[::-1].copy(), lines.offsets, 8), 3))


def test_temporary_files_go(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    levels = levels_of(Encoded.from_lines([[3, 4], [3]], 5), 3, memory=1)
    assert levels.on_disk
    assert list(tmp_path.iterdir())
    list(levels.blocks(2))
    del levels
    assert not list(tmp_path.iterdir())


def test_a_full_disk(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(counting, "_write", full)
    with pytest.raises(
        CorpusError, match=rf"in {tmp_path}/textdl-ngram\..*, and writing there failed: No space left .* TMPDIR"
    ):
        levels_of(Encoded.from_lines([[3, 4], [3]], 5), 3, memory=1)
    assert not list(tmp_path.iterdir())


def test_an_interruption_ends_the_threads(monkeypatch, tmp_path):
    class Interrupting(Run):
        def progress(self, stage, done, total, unit, text=""):
            if done:
                raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for memory in (1, MUCH):
        with pytest.raises(KeyboardInterrupt):
            levels_of(Encoded.from_lines([[3, 4], [3]], 5), 3, memory=memory, run=Interrupting())
    assert not list(tmp_path.iterdir())


def test_progress_reaches_its_total():
    seen = []

    class Listening(Run):
        def progress(self, stage, done, total, unit, text=""):
            seen.append((stage, done / total))

    for memory in (1, MUCH):
        levels_of(Encoded.from_lines([[3, 4], [3]], 5), 3, memory=memory, run=Listening())
        assert {stage for stage, _ in seen} == {"counting"}
        assert seen[-1][1] == 1
        assert [done for _, done in seen] == sorted(done for _, done in seen)
        seen.clear()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "room"), [(20_000, 60), (20_000, 100), (300_000, 120)])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_memory_is_bounded(tmp_path, size, room):
    """A text that would take more than five times what is left beside numpy and numba; in a process of its own."""
    code = f"""
import numpy as np, re
from pathlib import Path
from textdl import ngram
from textdl.encoded import Encoded, EncodedWriter
from textdl.ngram import counting
from textdl.protocols import Run
rng = np.random.default_rng(0)
with EncodedWriter(Path({str(tmp_path)!r}), {size}) as out:
    for _ in range(60):
        out.append((np.minimum(rng.zipf(1.2, 200_000), {size - 1000}) + 2).astype(np.int32), np.full(10_000, 20))
lines = Encoded.open(Path({str(tmp_path)!r}), {size})
ngram.fit(Encoded.from_lines([[3]], 4), ngram.Config(2))  # compiles
limit = counting.resident_memory() + ({room} << 20)
assert counting._memory_needed(counting._Plan(5, {size}, True, (0,) * 5), lines, 2) > 5 * ({room} << 20)
run = Run()
ngram.fit(lines, ngram.Config(5, memory=limit, workers=2), run=run)
assert run.figures["counted_on_disk"]
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
assert peak < limit, (peak, limit)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
