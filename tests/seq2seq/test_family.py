import numpy as np
import pytest

from seq2seq.small import V, copies
from textdl.encoded import Encoded
from textdl.errors import CorpusError, UsageError
from textdl.generation.beam import beam_search
from textdl.protocols import Run
from textdl.seq2seq import recurrent, transformer
from textdl.seq2seq.batching import PairData

SMALL = {"size": 32, "layers": 1, "batch_positions": 400, "dropout": 0.0, "label_smoothing": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("arch", [transformer, recurrent])
def test_it_learns_to_copy(arch):
    shape = {"heads": 2, "inner_size": 64} if arch is transformer else {}
    config = arch.Config(**SMALL, **shape, epochs=60 if arch is transformer else 40, learning_rate=5e-3, ema=0.0)
    run = Run()
    model = arch.fit(copies(400, longest=4), config, valid=copies(40, 9, longest=4), run=run)
    assert run.figures["valid_loss"] < 0.5
    unseen, expected = copies(30, 7, longest=4).epoch(0)
    found = beam_search(model, width=1, max_tokens=6, exact=False, contexts=unseen)
    right = sum(best.ids == expected.line(i).tolist() for i, (best,) in enumerate(found))
    assert right >= 20


def test_after_each_validation_it_is_watched():
    seen = []

    def watch(model):
        seen.append(model.start(Encoded.from_lines([[3, 4]], V))[0].shape)
        return {"samples": ["x"]}

    run = Run()
    config = transformer.Config(**SMALL, heads=2, inner_size=32, epochs=2)
    transformer.fit(copies(), config, valid=copies(30, 2), run=run, watch=watch)
    assert len(seen) == len(run.curve) > 1
    assert run.curve[0]["samples"] == ["x"]


@pytest.mark.parametrize(("given", "inner"), [({}, 128), ({"inner_size": 48}, 48)])
def test_features_inside_a_layer_follow_those_of_a_token(given, inner):
    config = transformer.Config(**(SMALL | {"size": 32}), heads=2, epochs=0.01, **given)
    assert transformer.fit(copies(), config).describe()["inner_size"] == inner


def test_same_seed_same_weights():
    config = transformer.Config(**(SMALL | {"dropout": 0.1}), heads=2, inner_size=32, epochs=1)
    first, second = (transformer.fit(copies(), config, valid=copies(30, 2), run=Run(seed=4)) for _ in range(2))
    for a, b in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pairs_must_be_pairs():
    one, two = Encoded.from_lines([[3]], V), Encoded.from_lines([[3], [4]], V)
    config = transformer.Config(**SMALL)
    with pytest.raises(CorpusError, match="1 sources and 2 targets"):
        transformer.fit(PairData(one, two, True), config)
    with pytest.raises(CorpusError, match="no pairs"):
        transformer.fit(PairData(one.lines(0, 0), one.lines(0, 0), True), config)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"dropout": 1.5}, "--dropout"), ({"batch_positions": 0}, "--batch-positions"), ({"size": 0}, "--size")],
)
def test_options_that_cannot_be_meant(given, words):
    with pytest.raises(UsageError, match=words):
        transformer.Config(**given)
