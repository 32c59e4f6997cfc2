"""Config, fit and load: what a caller meets first."""

import subprocess
import sys

import numpy as np
import pytest

from textdl import ngram
from textdl.encoded import Encoded
from textdl.errors import CorpusError, ModelError, UsageError
from textdl.ngram import Config
from textdl.protocols import Run
from textdl.storage import Reader, saving

CORPUS = Encoded.from_lines([[3, 4], [3], []], 6)


def test_import_is_light():
    code = "import sys, textdl.ngram; print([m for m in ('torch', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "--order 0: an n-gram model has an order of 1 to 32"),
        ({"order": 33}, "--order 33"),
        ({"smoothing": "magic"}, "--smoothing magic: no such smoothing. There is: kneser-ney"),
        ({"order": 2, "prune": (0, 0, 1)}, "--prune 0,0,1: 3 thresholds for a model of --order 2"),
        ({"prune": (1,)}, "--prune 1: unigrams are never pruned"),
        ({"prune": (0, 2, 1)}, "--prune 0,2,1: thresholds may not fall"),
        ({"prune": (0, -1)}, "--prune 0,-1: thresholds may not fall"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(UsageError, match=message):
        Config(**options)


def test_thresholds():
    assert Config(3).thresholds == (0, 0, 0)
    assert Config(5, prune=(0, 0, 1)).thresholds == (0, 0, 1, 1, 1)


def test_no_lines():
    with pytest.raises(CorpusError, match="no lines at all"):
        ngram.fit(Encoded.from_lines([], 3), Config())


def test_tells_the_run():
    seen = []

    class Listening(Run):
        def progress(self, stage, done, total, unit, text=""):
            seen.append((stage, done, total))

    run = Listening()
    model = ngram.fit(CORPUS, Config(3), run=run)
    assert set(run.seconds) == {"compile", "counting", "estimating"}
    assert run.figures["ngrams"] == model.describe()["ngrams"]
    assert {stage for stage, _, _ in seen} == {"counting", "estimating"}
    assert all(0 <= done <= total for _, done, total in seen)
    assert run.notes == [
        "This text is too small or too regular for Kneser-Ney discounts of its own (order 1: no 1-gram has the count "
        "2; order 2: no 2-gram has the count 3; order 3: no 3-gram has the count 2), so 0.5, 1 and 1.5 are taken there."
    ]


def test_describe():
    about = ngram.fit(CORPUS, Config(3)).describe()
    # 6 unigrams; <s> a, <s> </s>, a b, a </s>, b </s>; <s> a b, <s> a </s>, a b </s>
    assert about["ngrams"] == [6, 5, 3]
    assert about["size"] == 14
    assert about["order"] == 3
    assert about["smoothing"] == "kneser-ney"
    assert about["fallback"] == [1, 2, 3]
    assert about["discounts"] == [[0.5, 1.0, 1.5]] * 3


def saved(model, directory):
    with saving(directory, {"family": "ngram"}) as out:
        model.save(out)
    return directory


@pytest.mark.parametrize("config", [Config(1), Config(3), Config(4, prune=(0, 0, 1))])
def test_save_and_load(tmp_path, config):
    rng = np.random.default_rng(0)
    corpus = Encoded.from_lines([rng.integers(3, 9, rng.integers(0, 9)) for _ in range(60)], 9)
    model = ngram.fit(corpus, config)
    again = ngram.load(Reader(saved(model, tmp_path / "m")))
    assert isinstance(again.logp, np.memmap)
    assert again.describe() == model.describe()
    assert again.discounts == model.discounts
    for a, b in zip(model.score(corpus), again.score(corpus), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.start(prefixes=corpus)[0], again.start(prefixes=corpus)[0])
    saved(again, tmp_path / "n")
    for name in ("word", "first", "suffix", "logp", "backoff"):
        assert (tmp_path / f"m/ngram/{name}.npy").read_bytes() == (tmp_path / f"n/ngram/{name}.npy").read_bytes()


def test_files_that_do_not_fit(tmp_path):
    model = ngram.fit(CORPUS, Config(3))
    with saving(tmp_path / "m", {}) as out:
        model.save(out)
        out.array("ngram/backoff.npy", model.backoff[:-1])
    with pytest.raises(ModelError, match=r"backoff.npy does not belong to its config.json"):
        ngram.load(Reader(tmp_path / "m"))
    with saving(tmp_path / "n", {}) as out:
        model.save(out)
        out.json("ngram/config.json", {"starts": [0]})
    with pytest.raises(ModelError, match="does not describe an n-gram model"):
        ngram.load(Reader(tmp_path / "n"))
