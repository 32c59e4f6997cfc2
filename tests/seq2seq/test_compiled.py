import numpy as np
import pytest
import torch

from seq2seq.small import V, network
from textdl.encoded import Encoded
from textdl.generation.beam import beam_search
from textdl.layers.device import fast_bfloat16
from textdl.protocols import Ranking
from textdl.seq2seq.compiled import compiled
from textdl.seq2seq.model import Seq2SeqModel

KINDS = {
    "sinusoidal": {},
    "rotary": {"positions": "rotary", "heads": 1},
    "learned": {"positions": "learned", "activation": "gelu"},
    "post": {"norm": "post", "decoder_layers": 1},
}
SOURCES = [[3, 4, 5], [6], [], [7, 8, 9, 10, 11, 3]]
CLOSE = {"rtol": 1e-4, "atol": 5e-5}


@pytest.fixture(params=KINDS)
def models(request):
    """The readable model and the compiled one, in float32."""
    net = network(**({"size": 32} | KINDS[request.param]))
    return Seq2SeqModel(net), compiled(net)


def test_step_by_step_it_says_the_same(models):
    sources, rows = Encoded.from_lines(SOURCES, V), np.array([2, 2, 0, 3, 3, 3])
    states, found = [], []
    for model in models:
        log_probs, state = model.start(sources)
        states.append(state.select(rows))
        found.append(log_probs)
    np.testing.assert_allclose(found[1], found[0], **CLOSE)
    for step in range(40):  # beyond the room that states begin with
        ids = np.array([3, 4, 5, 6, 7, 8]) + step % 3
        found = []
        for i, model in enumerate(models):
            log_probs, states[i] = model.step(states[i], ids)
            found.append(log_probs)
        np.testing.assert_allclose(found[1], found[0], **CLOSE)
        np.testing.assert_allclose(np.exp(found[1]).sum(1), 1.0, rtol=1e-5)
        if step == 5:
            states = [state.select(np.array([5, 0, 0, 1, 4, 5])) for state in states]


def test_no_sources_have_no_translations(models):
    for model in models:
        assert beam_search(model, width=3, contexts=Encoded.from_lines([], V)) == []


def test_states_of_one_search_do_not_see_each_other(models):
    model = models[1]
    _, state = model.start(Encoded.from_lines(SOURCES, V))
    one, other = state.select(np.array([0, 1])), state.select(np.array([1, 0]))
    first, one = model.step(one, np.array([3, 4]))
    second, other = model.step(other, np.array([4, 3]))
    np.testing.assert_array_equal(first, second[::-1])
    np.testing.assert_array_equal(model.step(one, np.array([5, 6]))[0], model.step(other, np.array([6, 5]))[0][::-1])


@pytest.mark.parametrize("exact", [True, False])
def test_beams_are_the_same(models, exact):
    sources, limits = Encoded.from_lines(SOURCES, V), np.array([4, 9, 2, 6])
    given = {"width": 3, "n_best": 2, "length_penalty": 0.8, "exact": exact}
    expected, found = (beam_search(model, max_tokens=limits, contexts=sources, **given) for model in models)
    for i in range(len(SOURCES)):
        (alone,) = beam_search(models[1], max_tokens=int(limits[i]), contexts=sources.lines(i, i + 1), **given)
        for hypotheses in (found[i], alone):
            assert [h.ids for h in hypotheses] == [h.ids for h in expected[i]]
            np.testing.assert_allclose([h.score for h in hypotheses], [h.score for h in expected[i]], rtol=1e-4)


def test_slots_that_run_out_are_made_more(models, monkeypatch):
    monkeypatch.setattr("textdl.seq2seq.compiled._SLOTS", 1)
    sources, ids = Encoded.from_lines(SOURCES, V), np.array([3, 4, 5, 6])
    expected, found = ([model.start(sources)] for model in models)
    for _ in range(3):
        for model, steps in zip(models, (expected, found), strict=True):
            steps.append(model.step(steps[-1][1], ids))
        np.testing.assert_allclose(found[-1][0], expected[-1][0], **CLOSE)


def test_prefixes_of_unlike_lengths(models):
    sources, prefixes = Encoded.from_lines(SOURCES, V), Encoded.from_lines([[5, 6, 7], [], [4, 3], [10]], V)
    found = []
    for model in models:
        log_probs, state = model.start(sources, prefixes)
        found.append((log_probs, model.step(state, np.array([3, 4, 5, 6]))[0]))
    np.testing.assert_allclose(found[1], found[0], **CLOSE)


def test_the_best_are_those_of_all(models):
    model = models[1]
    assert isinstance(model, Ranking)
    sources, ids = Encoded.from_lines(SOURCES, V), np.array([3, 4, 5, 6])
    log_probs, state = model.start(sources)
    ranked, ranked_state = model.start_best(4, sources)
    for _ in range(2):
        order = 3 + np.argsort(-log_probs[:, 3:], axis=1, kind="stable")[:, :4]
        np.testing.assert_array_equal(ranked.tokens, order)
        np.testing.assert_allclose(ranked.log_probs, np.take_along_axis(log_probs, order, 1), **CLOSE)
        np.testing.assert_allclose(ranked.ends, log_probs[:, 2], **CLOSE)
        log_probs, state = model.step(state, ids)
        ranked, ranked_state = model.step_best(4, ranked_state, ids)


def test_many_rows_are_many_times_one():
    """More than are multiplied together, and more sources than are read together."""
    net = network(size=32)
    model, rows = compiled(net), 700
    lines = [[3 + i % 9] * (1 + i % 40) for i in range(rows)]
    log_probs, state = model.start(Encoded.from_lines(lines, V))
    after, _ = model.step(state, np.full(rows, 4))
    alone, state = model.start(Encoded.from_lines(lines[-3:], V))
    np.testing.assert_allclose(log_probs[-3:], alone, **CLOSE)
    np.testing.assert_allclose(after[-3:], model.step(state, np.full(3, 4))[0], **CLOSE)


@pytest.mark.skipif(not fast_bfloat16(torch.device("cpu")), reason="no bfloat16 in hardware")
def test_in_bfloat16_it_says_nearly_the_same():
    model = Seq2SeqModel(network(size=32))
    sources = Encoded.from_lines(SOURCES, V)
    exact, quick = (m.start(sources)[0] for m in (model, compiled(model.network.lowered())))
    np.testing.assert_allclose(quick[:, 2:], exact[:, 2:], atol=0.2)


def test_the_quick_model_is_compiled_where_it_can_be():
    model = Seq2SeqModel(network(size=32))
    assert isinstance(model.quick(), Ranking)
    assert model.quick().quick() is model.quick()
    for other in (network("rnn"), network(size=16)):  # heads of 8 features
        assert compiled(other) is None
        assert not isinstance(Seq2SeqModel(other).quick(), Ranking)
