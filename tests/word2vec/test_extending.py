from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from textdl import word2vec
from textdl.encoded import Encoded
from textdl.errors import UsageError
from textdl.protocols import Run
from textdl.vocabulary import Vocabulary
from textdl.word2vec import Config, Start, extending, noise

SMALL = Config(dim=8, window=3, negative=5, sample=0, epochs=2, alpha=0.05, workers=1)


def text(words, size, lines=200, seed=5):
    rng = np.random.default_rng(seed)
    return Encoded.from_lines([rng.choice(words, 8) for _ in range(lines)], size)


OLD = text(range(3, 13), 13)


def base(**settings):
    return word2vec.fit(OLD, replace(SMALL, **settings), run=Run())


def start_of(model, new=2):
    """Old words 3..12 move up by `new` ids: the new ones are more frequent."""
    ids = np.array([0, 1, 2, *range(3 + new, 13 + new)])
    counts = np.zeros(13 + new, np.int64)
    counts[ids] = model.counts
    counts[3 : 3 + new] = 500
    return Start(model, ids, counts, epochs=2)


def test_more_epochs_on_the_same_text_go_on_where_training_ended():
    # Two epochs and two more, at a constant rate, are four: same choices, same matrices.
    config = replace(SMALL, schedule="constant")
    for mode in ({}, {"loss": "hs"}, {"model": "cbow"}):
        first = word2vec.fit(OLD, replace(config, **mode), run=Run())
        whole = word2vec.fit(OLD, replace(config, epochs=4, **mode), run=Run())
        start = Start(first, np.arange(13), first.counts, epochs=2)
        assert start.same_words
        run = Run()
        more = word2vec.fit(OLD, replace(config, **mode), run=run, start=start)
        assert more.vectors.tobytes() == whole.vectors.tobytes()
        assert more.context.tobytes() == whole.context.tobytes()
        assert run.figures["epochs_in_all"] == 4


def test_new_words_come_to_old_ones():
    model = base()
    before = model.vectors.copy()
    vocab = Vocabulary(["new", "rare", *"abcdefghij"])
    seen = text([3, 4, 5, 6, 7], 15)  # new, rare, a, b, c
    run = Run()
    more = word2vec.fit(seen, SMALL, run=run, start=start_of(model), vocab=vocab)
    assert (model.vectors == before).all()
    found = run.figures["extension"]
    assert (found["new_words"], found["trained_words"], found["frozen_words"]) == (2, 3, 7)
    assert set(found["new_examples"]) == {"new", "rare"}
    assert more.vectors[8:].tobytes() == model.vectors[6:].tobytes()  # d to j: frozen
    cosines = [
        float(before[i] @ more.vectors[i + 2] / np.linalg.norm(before[i]) / np.linalg.norm(more.vectors[i + 2]))
        for i in (3, 4, 5)
    ]
    assert found["mean_cosine"] == pytest.approx(np.mean(cosines), abs=1e-5)
    order = sorted(zip(cosines, "abc", strict=True))
    assert [word for word, _ in found["drifted_most"]] == [word for _, word in order]
    assert np.linalg.norm(more.vectors[3]) > np.linalg.norm(word2vec.fit(seen, SMALL, run=Run()).vectors[3]) / 3
    assert any("2 new words (most frequent: " in note and "7 old words do not occur" in note for note in run.notes)
    assert any("drifted most: " in note for note in run.notes)


def test_a_new_tree_begins_anew_under_old_vectors(monkeypatch):
    model = base(loss="hs", epochs=5)
    start = start_of(model)
    met = []
    whole = word2vec.sweep.Updates.run

    def recorded(self, corpus, *, key, **settings):
        met.append((key, self.inputs.reshape(15, -1)[:, :8].copy(), self.outputs.copy()))
        return whole(self, corpus, key=key, **settings)

    monkeypatch.setattr(word2vec.sweep.Updates, "run", recorded)
    run = Run()
    word2vec.fit(text(range(3, 15), 15), replace(SMALL, loss="hs"), run=run, start=start)
    key, inputs, outputs = met[0]
    assert key == noise.stream_key(1, 2)  # choices that no epoch before has used
    assert not outputs.any()
    np.testing.assert_array_equal(inputs[start.ids], model.vectors)
    assert any("another Huffman tree" in note for note in run.notes)
    assert not any("means hardly anything" in note for note in run.notes)  # all words were trained on


def test_words_that_a_new_tree_turns_are_said_not_to_be_comparable_with_others():
    for loss, turned in (("hs", True), ("ns", False)):
        run = Run()
        word2vec.fit(text([3, 4, 5], 15), replace(SMALL, loss=loss), run=run, start=start_of(base(loss=loss)))
        assert any("a cosine of one of each kind means hardly anything" in note for note in run.notes) is turned


def test_what_vectors_are_made_of_stays():
    model = base()
    assert extending.inherited(model, {"dim": 8, "epochs": None, "alpha": 0.01}) == {
        **{name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__}, "alpha": 0.01,
    }  # fmt: skip
    for option, given in (("dim", 9), ("model", "cbow"), ("loss", "hs")):
        with pytest.raises(UsageError, match=f"--{option} {given}: the vectors that training goes on from have"):
            extending.inherited(model, {option: given})
        with pytest.raises(UsageError, match=f"--{option}"):
            word2vec.fit(OLD, replace(SMALL, **{option: given}), start=Start(model, np.arange(13), model.counts, 2))
    with pytest.raises(UsageError, match="15 counts for a vocabulary of 13"):
        word2vec.fit(OLD, SMALL, start=start_of(model))
    with pytest.raises(UsageError, match="9 ids for the 13 words"):
        Start(model, np.arange(9), model.counts, 2)
