"""Fingerprints, and repeated lines found in buckets."""

import hashlib
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.corpus import fingerprints, line_fingerprint, line_fingerprints
from textdl.corpus.fingerprints import repeated_lines
from textdl.errors import CorpusError


def test_the_values_are_pinned():
    # The first 8 bytes of BLAKE2b-64 of "a", least first; models keep these on disk.
    expected = int.from_bytes(hashlib.blake2b(b"a", digest_size=8).digest(), "little")
    assert line_fingerprint("a") == expected
    found = line_fingerprints(["b", "a", "b"])
    assert found.dtype == "uint64"
    assert found.tolist() == sorted({line_fingerprint("a"), line_fingerprint("b")})
    assert line_fingerprints([]).tolist() == []


@pytest.mark.parametrize(("bucket", "chunk"), [(1 << 21, 1 << 18), (3, 5), (1, 1), (100, 7)])
@given(lines=st.lists(st.sampled_from([str(i) for i in range(20)]), max_size=60))
def test_buckets_of_any_size_give_the_same(bucket, chunk, lines):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "_BUCKET", bucket)
        patch.setattr(fingerprints, "_CHUNK", chunk)
        assert line_fingerprints(iter(lines)).tolist() == sorted({line_fingerprint(line) for line in lines})
        count, bits = repeated_lines(lines)
    assert count == len(lines)
    assert len(bits) == (count + 7) // 8
    expected = [line in lines[:i] for i, line in enumerate(lines)]
    assert np.unpackbits(bits)[:count].astype(bool).tolist() == expected


def test_a_large_result_lies_on_disk(monkeypatch):
    lines = [str(i % 1000) for i in range(3000)]
    expected = line_fingerprints(lines)
    monkeypatch.setattr(fingerprints, "_IN_MEMORY", 100)
    found = line_fingerprints(lines)
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, expected)
    assert not found.flags.writeable


def test_a_full_disk_is_a_sentence(monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(CorpusError, match=r"No space left on device.*Make room, or set TMPDIR"):
        line_fingerprints(["a"])
