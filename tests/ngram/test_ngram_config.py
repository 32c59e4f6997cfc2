"""Config, fit and load: what a caller meets first."""

import subprocess
import sys

import numpy as np
import pytest

from textdl import ngram
from textdl.encoded import Encoded
from textdl.errors import CorpusError, UsageError
from textdl.ngram import Config, counting
from textdl.protocols import Run
from textdl.storage import Reader, saving

CORPUS = Encoded.from_lines([[3, 4], [3], []], 6)


def count_on_disk(monkeypatch):
    """As if nothing fitted the memory."""
    monkeypatch.setattr(counting, "_memory_needed", lambda *_: 1 << 62)


def test_import_is_light():
    code = "import sys, textdl.ngram; print([m for m in ('torch', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "--order 0: an n-gram model has an order of 1 to 32"),
        ({"order": 33}, "--order 33"),
        (
            {"smoothing": "magic"},
            "--smoothing magic: no such smoothing. There is: kneser-ney, absolute, witten-bell, add-k, mle",
        ),
        ({"order": 2, "prune": (0, 0, 1)}, "--prune 0,0,1: 3 thresholds for a model of --order 2"),
        ({"prune": (1,)}, "--prune 1: unigrams are never pruned"),
        ({"prune": (0, 2, 1)}, "--prune 0,2,1: thresholds may not fall"),
        ({"prune": (0, -1)}, "--prune 0,-1: thresholds are counts, from 0 up"),
        ({"prune": (0, 10**30)}, "thresholds are counts, from 0 up"),
        ({"prune": 1}, "--prune 1: expected a threshold for each order"),
        ({"prune": (0, 1.5)}, "--prune 1.5: expected a whole number"),
        ({"order": 2.5}, "--order 2.5: expected a whole number"),
        ({"order": True}, "--order True: expected a whole number"),
        ({"workers": np.array([1, 2])}, r"--workers array\(\[1, 2\]\): expected a whole number"),
        ({"prune": (0, 1), "smoothing": "mle"}, "--prune 0,1: mle has no weight for shorter contexts"),
        ({"prune": (0, 1), "smoothing": "add-k"}, "--prune 0,1: add-k has no weight for shorter contexts"),
        ({"k": 0.5}, "--k 0.5: kneser-ney adds nothing to counts"),
        ({"k": 0.0, "smoothing": "add-k"}, "--k 0: what is added to every count is above 0"),
        ({"k": float("nan"), "smoothing": "add-k"}, "--k nan: what is added"),
        ({"k": float("inf"), "smoothing": "add-k"}, "--k inf: what is added"),
        ({"memory": 0}, "--memory 0: expected a number of bytes above 0"),
        ({"workers": -1}, "--workers -1: expected a number of threads"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(UsageError, match=message):
        Config(**options)


def test_numbers_of_numpy_are_numbers():
    config = Config(np.int64(3), prune=np.array([0, 0, 1]), memory=np.uint64(10**9), workers=np.int8(1))
    assert config == Config(3, prune=(0, 0, 1), memory=10**9, workers=1)
    assert {type(value) for value in (config.order, config.memory, config.workers, *config.prune)} == {int}


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
    assert run.figures["statistics"][1] == {"ngrams": 5, "n1": 4, "n2": 1, "n3": 0, "n4": 0, "pruned": 0}
    assert run.figures["ngrams"] == model.describe()["ngrams"]
    assert {stage for stage, _, _ in seen} == {"counting", "estimating"}
    assert all(0 <= done <= total for _, done, total in seen)
    assert run.notes == [
        "This text is too small or too regular for Kneser-Ney discounts of its own (orders 1, 3: none has the count "
        "2; order 2: none has the count 3), so 0.5, 1 and 1.5 are taken there."
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


@pytest.mark.parametrize(
    "config",
    [Config(1), Config(3), Config(4, prune=(0, 0, 1))] + [Config(3, smoothing=name) for name in ngram.SMOOTHINGS],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_save_and_load(tmp_path, monkeypatch, config, on_disk):
    if on_disk:
        count_on_disk(monkeypatch)
    rng = np.random.default_rng(0)
    corpus = Encoded.from_lines([rng.integers(3, 9, rng.integers(0, 9)) for _ in range(60)], 9)
    model = ngram.fit(corpus, config)
    with saving(tmp_path / "m", {"family": "ngram"}) as out:
        model.save(out)
    again = ngram.load(Reader(tmp_path / "m"))
    assert again.describe() == model.describe()
    for a, b in zip(model.score(corpus), again.score(corpus), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.start(prefixes=corpus)[0], again.start(prefixes=corpus)[0])


def test_memory_and_workers_do_not_change_the_model(monkeypatch):
    rng = np.random.default_rng(0)
    corpus = Encoded.from_lines([rng.integers(3, 9, rng.integers(0, 9)) for _ in range(60)], 9)
    (expected,) = ngram.fit(corpus, Config(4)).score(corpus)
    for on_disk in (False, True):
        if on_disk:
            count_on_disk(monkeypatch)
        for workers in (1, 3):
            run = Run()
            (got,) = ngram.fit(corpus, Config(4, workers=workers), run=run).score(corpus)
            np.testing.assert_array_equal(got, expected)
            assert run.figures["counted_on_disk"] == on_disk


def test_too_little_memory():
    with pytest.raises(UsageError, match=r"--memory 1M: the process holds .* Give --memory \d+M or more"):
        ngram.fit(CORPUS, Config(3, memory=1_000_000))
    assert ngram.fit(CORPUS, Config(1, memory=1_000_000)).order == 1  # words are counted anyway


@pytest.mark.parametrize(
    ("smoothing", "gets"),
    [
        ("kneser-ney", "gets what smoothing leaves for one unseen word, as in KenLM."),
        ("witten-bell", "gets what smoothing leaves for one unseen word."),
        ("mle", "has probability 0."),
    ],
)
@pytest.mark.parametrize(("seen_once", "unknown", "said"), [(60, False, True), (60, True, False), (40, False, False)])
def test_what_is_said_of_unknown_words(smoothing, gets, seen_once, unknown, said):
    lines = [[3 + i] for i in range(seen_once)] + [[0]] * unknown
    run = Run()
    ngram.fit(Encoded.from_lines(lines, 100), Config(2, smoothing=smoothing), run=run)
    told = [sentence for sentence in run.notes if "<unk> was not seen in training" in sentence]
    assert len(told) == said
    if said:
        assert gets in told[0]
        assert "60 words were seen once" in told[0]
