from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest

from textdl import word2vec
from textdl.checkpoint import Checkpoint
from textdl.encoded import Encoded
from textdl.errors import CorpusError, ModelError, TextdlError, UsageError
from textdl.protocols import Run
from textdl.storage import Reader, Writer, saving
from textdl.vocabulary import Vocabulary
from textdl.word2vec import Config, noise
from textdl.word2vec.model import SCHEDULES
from textdl.word2vec.train import learning_rate

V = 60


@pytest.fixture(autouse=True)
def checkpoints_after_every_epoch(monkeypatch):
    monkeypatch.setattr(word2vec.train, "_APART", 0)


def corpus(seed: int = 0, lines: int = 40, unknown: float = 0.1) -> Encoded:
    """Zipf-like ids on lines of 0 to 30 tokens, some of them blank, some tokens unknown."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(lines):
        row = np.minimum(rng.zipf(1.3, rng.integers(0, 31)) + 2, V - 1)
        row[rng.random(len(row)) < unknown] = 0
        rows.append(row)
    return Encoded.from_lines([[], *rows, []], V)


def topics(lines: int = 600) -> tuple[Encoded, Vocabulary]:
    """Two sets of ten words that never meet."""
    rng = np.random.default_rng(5)
    rows = [rng.integers(3, 13, 12) + 10 * (i % 2) for i in range(lines)]
    return Encoded.from_lines(rows, 23), Vocabulary([f"{'ab'[i // 10]}{i % 10}" for i in range(20)])


SMALL = Config(dim=8, window=3, negative=5, sample=0, epochs=3, alpha=0.05, workers=1)


def test_one_pair_by_hand():
    # Two words, a b, window 1, no noise but what hits the target is dropped, so each target has only
    # the noise word "the other". With y = 0 at first every product is 0: sigmoid 1/2, and each pair costs
    # log 2 for the target and log 2 for each noise word that is not it.
    text = Encoded.from_lines([[3, 4]], 5)
    run = Run(seed=1)
    config = Config(dim=4, window=1, negative=20, sample=0, epochs=1, alpha=1e-12, min_alpha=0, workers=1)
    word2vec.fit(text, config, run=run)
    counts = text.counts()
    counts[:3] = 0
    table = noise.choices(counts, sample=0, exponent=0.75)
    key = noise.stream_key(1, 0)
    others = 0
    for position, word in enumerate((3, 4)):
        for k in range(20):
            bits = np.uint64(noise.draw(key, position, noise.NOISE + 20, noise.NOISE + k))
            others += noise.noise_word(bits, table.threshold, table.alias) != word
    assert 5 < others < 35
    assert run.curve[0]["loss"] == pytest.approx(math.log(2) * (2 + others) / 2, rel=1e-6)


@pytest.mark.parametrize("sample", [0.0, 0.02])
def test_chunks_do_not_change_the_result(monkeypatch, sample):
    text = corpus(unknown=0.4)
    config = replace(SMALL, sample=sample, epochs=1)
    whole = word2vec.fit(text, config, run=Run())
    aligned = word2vec.sweep.Updates.__init__

    def small_chunks(self, *args, **kwargs):
        aligned(self, *args, **kwargs)
        self.chunk = 7

    monkeypatch.setattr(word2vec.sweep.Updates, "__init__", small_chunks)
    cut = word2vec.fit(text, config, run=Run())
    assert whole.vectors.tobytes() == cut.vectors.tobytes()
    assert whole.context.tobytes() == cut.context.tobytes()


def test_same_seed_same_bytes_with_one_worker():
    text = corpus()
    runs = [Run(seed=9), Run(seed=9), Run(seed=10)]
    a, b, c = (word2vec.fit(text, replace(SMALL, sample=0.01), run=run) for run in runs)
    assert a.vectors.tobytes() == b.vectors.tobytes()
    assert a.context.tobytes() == b.context.tobytes()
    assert [r["loss"] for r in runs[0].curve] == [r["loss"] for r in runs[1].curve]
    assert a.vectors.tobytes() != c.vectors.tobytes()
    assert [note.split(":")[0] for note in runs[0].notes] == ["Loss"]  # what it is not is said, and nothing else


def test_unknown_tokens_do_not_count_and_lines_do_not_meet():
    with_unknown = Encoded.from_lines([[0, 3, 0, 0, 4], [5], [], [6, 0, 7]], 8)
    run = Run()
    word2vec.fit(with_unknown, replace(SMALL, window=1, epochs=1), run=run)
    assert run.figures["pairs"] == 4  # 3-4, 4-3, 6-7, 7-6
    assert run.figures["words"] == 9  # raw words: unknown ones are counted


def test_it_learns_and_says_so():
    text, vocab = topics()
    run = Run()
    model = word2vec.fit(text, replace(SMALL, epochs=10), valid=text.lines(0, 50), run=run, vocab=vocab)
    losses = [r["loss"] for r in run.curve]
    assert losses[-1] < losses[0] - 0.2
    held_out = [r["valid_loss"] for r in run.curve]
    assert held_out[-1] < held_out[0]
    assert word2vec.held_out_loss(model, text.lines(0, 50), seed=run.seed) == pytest.approx(held_out[-1], rel=1e-6)
    assert {w[0] for w, _ in model.similar("a3", 9)} == {"a"}
    assert [r["epoch"] for r in run.curve] == list(range(1, 11))
    assert run.curve[-1]["alpha"] == pytest.approx(SMALL.min_alpha)
    assert run.curve[0]["words_per_second"] > 0
    assert {"compile", "training"} <= run.seconds.keys()
    assert not model.vectors[:3].any()
    assert not model.context[:3].any()


def test_validation_changes_nothing():
    text = corpus()
    a = word2vec.fit(text, SMALL, run=Run())
    b = word2vec.fit(text, SMALL, valid=corpus(1), run=Run())
    np.testing.assert_array_equal(a.vectors, b.vectors)


def test_threads_share_the_work():
    text, vocab = topics(4000)
    run = Run()
    model = word2vec.fit(text, replace(SMALL, workers=3), run=run, vocab=vocab)
    assert run.figures["words"] == 3 * text.tokens
    assert run.figures["workers"] == 3
    assert {w[0] for w, _ in model.similar("b0", 9)} == {"b"}
    assert any("without locks" in note for note in run.notes)
    assert np.isfinite(model.vectors).all()


def test_every_chunk_is_taken_once():
    sweep = word2vec.sweep.Pass(tokens=1000, workers=3, chunk=64)
    seen = np.zeros(1000, int)
    worker = 0
    while (chunk := sweep.take([0, 0, 1][worker % 3])) is not None:  # worker 2 never comes: others take its part
        seen[chunk[0] : chunk[1]] += 1
        worker += 1
    assert (seen == 1).all()


def test_each_epoch_may_be_another_segmentation():
    class Fresh:
        vocab_size = V
        asked: list[int] = []

        def epoch(self, number: int) -> Encoded:
            self.asked.append(number)
            return corpus(number)

    data = Fresh()
    run = Run()
    word2vec.fit(data, SMALL, run=run)
    assert list(dict.fromkeys(data.asked)) == [0, 1, 2]
    assert run.figures["words"] == sum(corpus(i).tokens for i in range(3))


class Interrupting(Run):
    def progress(self, stage, done, total, unit, text=""):
        assert (stage, unit) == ("training", "words")
        assert 0 <= done <= total
        raise KeyboardInterrupt


def test_ctrl_c_returns_the_vectors_so_far():
    text, _ = topics(20000)
    run = Interrupting()
    before = threading.active_count()
    began = time.monotonic()
    model = word2vec.fit(text, replace(SMALL, epochs=1000, workers=2), run=run)
    assert run.interrupted
    assert time.monotonic() - began < 20
    assert threading.active_count() == before
    assert np.isfinite(model.vectors).all()
    assert any("interrupted after" in note for note in run.notes)


def test_a_deadline_ends_training():
    text, _ = topics(2000)
    run = Run(deadline=time.monotonic())
    word2vec.fit(text, replace(SMALL, epochs=100_000), run=run)
    assert any("out of time" in note for note in run.notes)
    assert not run.interrupted


WILD = replace(SMALL, alpha=10.0, schedule="constant", epochs=500, window=50, negative=100)


def test_a_loss_that_is_not_a_number_stops_training():
    text, _ = topics(50)
    before = threading.active_count()
    with pytest.raises(
        TextdlError, match=r"broke down in the first epoch.*Lower the learning rate: --alpha 0.025, now 10"
    ):
        word2vec.fit(text, WILD, run=Run())
    assert threading.active_count() == before


def test_the_advice_names_what_to_lower():
    def advice(**settings):
        return word2vec.train._advice(replace(SMALL, **settings))

    assert advice(alpha=None) == "Lower the learning rate: --alpha 0.0083, now 0.025."
    assert "--negative 100, now 1,000; their steps add up" in advice(negative=1000)
    assert "--negative" not in advice(negative=1000, loss="hs")
    assert "--cbow-gradient corrected" in advice(model="cbow", cbow_gradient="word2vec")
    assert "--alpha 0.15, now 10" in advice(model="cbow", alpha=10.0)


@pytest.mark.parametrize("where", ["training", "held out"])
def test_a_loss_far_above_that_of_untrained_vectors_stops_training(monkeypatch, where):
    # 5 noise words: 6 log 2 = 4.159 before anything is learnt; three times that is 12.48.
    text = corpus()
    whole = word2vec.sweep.Updates.run

    def grows(self, corpus, *, key, **settings):
        done = whole(self, corpus, key=key, **settings)
        held_out = key == noise.stream_key(1, word2vec.train._HELD_OUT)
        if self.inputs.any() and held_out == (where == "held out") and (not held_out or self.outputs.any()):
            done.nats = 12.5 * done.pairs
        return done

    monkeypatch.setattr(word2vec.sweep.Updates, "run", grows)
    with pytest.raises(TextdlError, match=r"first epoch: the loss.* is 12\.5, and 4\.159 before.*--alpha 0\.017, now"):
        word2vec.fit(text, SMALL, valid=corpus(1), run=Run())


def test_ctrl_c_does_not_keep_vectors_that_are_no_numbers(monkeypatch):
    text = corpus()
    config = replace(SMALL, schedule="constant", epochs=9)
    good = word2vec.fit(text, replace(config, epochs=2), run=Run())
    whole = word2vec.sweep.Updates.run

    def stopped(in_epoch):
        def run(self, corpus, *, key, **settings):
            done = whole(self, corpus, key=key, **settings)
            if key == noise.stream_key(1, in_epoch):
                self.inputs[40:60] = np.nan
                raise KeyboardInterrupt
            return done

        return run

    monkeypatch.setattr(word2vec.sweep.Updates, "run", stopped(2))
    run = Run()
    model = word2vec.fit(text, config, run=run)
    assert run.interrupted
    assert model.vectors.tobytes() == good.vectors.tobytes()
    monkeypatch.setattr(word2vec.sweep.Updates, "run", stopped(0))
    with pytest.raises(TextdlError, match=r"broke down in the first epoch: there are vectors that are not finite"):
        word2vec.fit(text, config, run=Run())


def test_hierarchical_softmax_repeats_with_any_number_of_threads():
    text = corpus(lines=400)
    config = replace(SMALL, loss="hs", workers=2)
    run = Run()
    first, second = word2vec.fit(text, config, run=run), word2vec.fit(text, config, run=Run())
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert first.context.tobytes() == second.context.tobytes()
    assert not any("locks" in note for note in run.notes)


@pytest.mark.parametrize("how", ["loss", "vectors"])
def test_what_was_good_is_kept_when_training_breaks_down(monkeypatch, how):
    text = corpus()
    good = word2vec.fit(text, replace(SMALL, schedule="constant", epochs=2), run=Run())
    whole = word2vec.sweep.Updates.run

    def breaks(self, corpus, *, key, **settings):
        done = whole(self, corpus, key=key, **settings)
        if key == noise.stream_key(1, 2):
            self.inputs[40:60] = np.nan
            if how == "loss":
                raise TextdlError("no number")
        return done

    monkeypatch.setattr(word2vec.sweep.Updates, "run", breaks)
    run = Run()
    model = word2vec.fit(text, replace(SMALL, schedule="constant", epochs=9), run=run)
    assert run.failed
    assert model.vectors.tobytes() == good.vectors.tobytes()
    assert model.context.tobytes() == good.context.tobytes()
    assert any("broke down in epoch 3" in note and "after epoch 2" in note for note in run.notes)
    assert len(run.curve) == run.figures["epochs"] == 2


def test_training_stops_when_held_out_text_is_no_longer_learnt(monkeypatch):
    text, _ = topics()
    config = replace(SMALL, epochs=8, schedule="constant", patience=2)
    best = word2vec.fit(text, replace(config, epochs=3, patience=0), run=Run())
    losses = [4.0, 3.0, 2.0, 1.9, 2.1, 1.909, 1.91, 1.95, 1.0]  # before training, then after each epoch
    monkeypatch.setattr(word2vec.train._Training, "_valid_loss", lambda self: losses.pop(0))
    run = Run()
    model = word2vec.fit(text, config, valid=text, run=run)
    assert model.vectors.tobytes() == best.vectors.tobytes()
    assert model.context.tobytes() == best.context.tobytes()
    assert (run.figures["best_epoch"], run.figures["epochs"], run.figures["valid_loss"]) == (3, 7, 1.9)
    # 1.909 is less than 0.5 % above 1.9, so the two epochs in a row begin behind it.
    assert [record["valid_loss"] for record in run.curve] == [3.0, 2.0, 1.9, 2.1, 1.909, 1.91, 1.95]
    assert any("stopped after 7 of 8 epochs" in note for note in run.notes)
    with pytest.raises(UsageError, match=r"patience is 2, but there is no held-out text.*--valid"):
        word2vec.fit(text, config, run=Run())


def test_the_learning_rate_falls_as_it_is_told():
    rates = {
        name: [learning_rate(replace(SMALL, schedule=name), p) for p in (0, 0.25, 0.5, 1, 1.1)] for name in SCHEDULES
    }
    high, low = 0.05, 1e-4
    assert rates["constant"] == [high] * 5
    assert rates["linear"] == pytest.approx([high, high - (high - low) / 4, (high + low) / 2, low, low])
    # (1 + cos(pi / 4)) / 2 = 0.853553
    assert rates["cosine"] == pytest.approx([high, low + (high - low) * 0.853553, (high + low) / 2, low, low])
    assert Config(model="cbow").learning_rate > 0
    assert Config(alpha=1e-5, schedule="constant").learning_rate == 1e-5


class Stopped(BaseException):
    pass


@dataclass
class Until:
    """A text with which training stops hard before an epoch, as a kill does."""

    text: Encoded
    stop: int

    @property
    def vocab_size(self) -> int:
        return self.text.vocab_size

    def epoch(self, number: int) -> Encoded:
        if number == self.stop:
            raise Stopped
        return self.text


MODES = [
    {}, {"model": "cbow"}, {"loss": "hs"}, {"model": "cbow", "loss": "hs"}, {"schedule": "cosine", "sample": 0.05},
    {"deterministic": True, "workers": 3},
]  # fmt: skip


def resumed(text, config, tmp_path, stop_in, **settings):
    """The result, and its run, of a training that is stopped in an epoch and resumed."""
    with pytest.raises(Stopped):
        word2vec.fit(Until(text, stop_in - 1), config, run=Run(checkpoint=Checkpoint(tmp_path / "m")), **settings)
    run = Run(checkpoint=Checkpoint(tmp_path / "m", resume=True))
    return word2vec.fit(text, config, run=run, **settings), run


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_resumed_training_ends_in_the_same_bytes(mode, tmp_path):
    text = corpus()
    config = replace(SMALL, epochs=4, **mode)
    whole_run = Run()
    whole = word2vec.fit(text, config, run=whole_run, valid=corpus(1))
    model, run = resumed(text, config, tmp_path, 3, valid=corpus(1))
    assert model.vectors.tobytes() == whole.vectors.tobytes()
    assert model.context.tobytes() == whole.context.tobytes()
    shown = [("epoch", "loss", "valid_loss", "alpha")] * 4
    assert [[r[k] for k in keys] for r, keys in zip(run.curve, shown, strict=True)] == [
        [r[k] for k in keys] for r, keys in zip(whole_run.curve, shown, strict=True)
    ]
    for name in ("words", "pairs", "epochs"):
        assert run.figures[name] == whole_run.figures[name]
    assert "Training goes on after 2 of 4 epochs." in run.notes


def test_the_best_epoch_survives_a_stop(tmp_path, monkeypatch):
    text = corpus()
    config = replace(SMALL, epochs=6, patience=5)
    for best in (1, 3):
        # Measured when `epoch` whole epochs were done before: after epoch `best`, one more is.
        losses = {epoch: 2.0 - (epoch == best - 1) for epoch in range(6)}
        monkeypatch.setattr(word2vec.train._Training, "_valid_loss", lambda self, losses=losses: losses[self._epoch])
        whole = word2vec.fit(text, config, valid=text, run=Run())
        model, run = resumed(text, config, tmp_path / str(best), 4, valid=text)
        assert model.vectors.tobytes() == whole.vectors.tobytes()
        assert run.figures["best_epoch"] == best


def test_a_checkpoint_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "array", full)
    run = Run(checkpoint=Checkpoint(tmp_path / "m"))
    model = word2vec.fit(corpus(), replace(SMALL, epochs=5), run=run)
    assert np.isfinite(model.vectors).all()
    assert sum("No space left on device" in note for note in run.notes) == 1
    assert run.figures["epochs"] == 5
    assert not (tmp_path / "m.training").exists()


@pytest.mark.parametrize("lines", [[], [[0, 0]], [[3, 3, 3], [0]]])
def test_too_few_types(lines):
    with pytest.raises(CorpusError, match=r"at least 2 different words.*--min-count"):
        word2vec.fit(Encoded.from_lines(lines, 5), SMALL, run=Run())


def test_no_two_words_on_a_line():
    with pytest.raises(CorpusError, match="no two known words"):
        word2vec.fit(Encoded.from_lines([[3], [4], [3, 0]], 5), SMALL, run=Run())


def test_a_training_without_pairs_leaves_no_checkpoint(tmp_path):
    run = Run(checkpoint=Checkpoint(tmp_path / "m"))
    with pytest.raises(CorpusError, match="no two known words"):
        word2vec.fit(Encoded.from_lines([[3], [4], [3, 0]], 5), SMALL, run=run)
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_found_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: (10**9, 10**9 - 1000, 1000))
    run = Run(checkpoint=Checkpoint(tmp_path / "m"))
    with pytest.raises(UsageError, match="has room for 0 MB"):
        word2vec.fit(corpus(), SMALL, run=run)
    assert not run.curve


def test_validation_text_that_cannot_be_used():
    text = corpus()
    run = Run()
    with pytest.raises(CorpusError, match="validation text"):
        word2vec.fit(text, SMALL, valid=Encoded.from_lines([[3], [4]], V), run=run)
    assert not run.curve  # before the first epoch
    with pytest.raises(UsageError, match="another vocabulary"):
        word2vec.fit(text, SMALL, valid=Encoded.from_lines([[3, 4]], 9), run=Run())
    with pytest.raises(UsageError, match="another vocabulary"):
        word2vec.fit(Encoded.from_lines([[3, 99]], V), SMALL, run=Run())


@pytest.mark.parametrize(
    "option",
    [
        {"model": "glove"}, {"loss": "softmax"}, {"dim": 0}, {"dim": 2.5}, {"window": 0}, {"window": 1000},
        {"negative": 0}, {"sample": -1}, {"sample": 2}, {"epochs": 0}, {"alpha": 0}, {"alpha": math.nan},
        {"min_alpha": 1.0}, {"schedule": "stairs"}, {"cbow_gradient": "none"}, {"dynamic_window": 1}, {"patience": -1},
        {"deterministic": "yes"}, {"ns_exponent": math.inf}, {"workers": -1}, {"dim": True},
    ],
)  # fmt: skip
def test_config_names_the_option(option):
    with pytest.raises(UsageError, match=f"^{next(iter(option))} is"):
        Config(**option)


def test_settings_that_others_make_meaningless_are_named():
    given = ["negative", "ns_exponent", "cbow_gradient", "min_alpha", "dim"]
    assert Config().without_effect(given) == ["--cbow-gradient has no effect with --model skipgram."]
    assert Config(model="cbow", loss="hs", schedule="constant").without_effect(given) == [
        "--negative has no effect with --loss hs.",
        "--ns-exponent has no effect with --loss hs.",
        "--min-alpha has no effect with --schedule constant.",
    ]
    assert Config(model="cbow").without_effect(given) == []


def test_threads_follow_the_text():
    assert Config(workers=3).threads(10) == 3
    assert Config().threads(10) == 1
    assert Config().threads(10**9) >= 1


def test_save_and_load(tmp_path):
    text, vocab = topics(50)
    model = word2vec.fit(text, SMALL, run=Run(), vocab=vocab)
    with saving(tmp_path / "m", {"family": "word2vec"}) as out:
        model.save(out)
        out.text("vocab.txt", vocab.to_text())
    loaded = word2vec.load(Reader(tmp_path / "m"))
    assert isinstance(loaded.vectors, np.memmap)
    assert loaded.config == SMALL
    np.testing.assert_array_equal(loaded.vectors, model.vectors)
    np.testing.assert_array_equal(loaded.context, model.context)
    np.testing.assert_array_equal(loaded.counts, model.counts)
    assert loaded.similar("a0", 3) == model.similar("a0", 3)
    assert word2vec.held_out_loss(loaded, text) == word2vec.held_out_loss(model, text)
    assert loaded.describe() == {"size": 23 * 8, "words": 20, "dim": 8, "model": "skip-gram, 5 noise words, window 3"}


def test_settings_of_a_later_version_are_refused(tmp_path):
    model = word2vec.fit(corpus(), SMALL, run=Run())
    with saving(tmp_path / "m", {"family": "word2vec"}) as out:
        model.save(out)
        out.json("word2vec.json", {**asdict(SMALL), "trainables": 1})
    with pytest.raises(ModelError, match=r"has options that this textdl does not know\. Upgrade it"):
        word2vec.load(Reader(tmp_path / "m"))


def test_a_last_epoch_without_a_pair_is_no_error():
    text = Encoded.from_lines([[3, 4, 5, 3]] * 20, 6)
    config = Config(dim=8, epochs=5, workers=1)
    runs = [Run(seed=seed) for seed in range(1, 8)]
    for run in runs:
        with contextlib.suppress(CorpusError):  # no epoch has a pair
            word2vec.fit(text, config, run=run)
    assert any(run.curve and run.curve[-1]["loss"] is None for run in runs)
