import pytest
import torch

from textdl.layers.one_row import OneRow
from textdl.neural.transformer import TransformerNetwork


def network(**changes):
    shape = {"vocab_size": 9, "embedding_size": 12, "heads": 3, "layers": 3, "window": 7, "inner_size": 10}
    made = TransformerNetwork(**shape | changes).eval()
    generator = torch.Generator().manual_seed(1)
    made.initialise(generator)
    with torch.no_grad():  # what begins at zero too
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return made


@pytest.mark.parametrize("activation", ["relu2", "gelu"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "learned", "ngrams": 2},
        {"positions": "none", "embedding_size": 9, "inner_size": 5},
        {"embedding_size": 64, "heads": 1, "layers": 1, "inner_size": 300},
    ],
    ids=str,
)
def test_a_position_at_a_time_is_all_at_once(activation, changes):
    made = network(activation=activation, **changes)
    ids = torch.tensor([[3, 8, 4, 4, 5, 3, 7]])
    with torch.inference_mode():
        expected, _ = made(ids, ())
        state, hidden = made.cache(1), []
        for i in range(7):
            part, state = made(ids[:, i : i + 1], state)
            hidden.append(part)
        beside, rows = made.cache(2), []  # two rows at a time are torch's
        for i in range(7):
            part, beside = made(ids[:, i : i + 1].expand(2, 1), beside)
            rows.append(part)
    torch.testing.assert_close(torch.cat(hidden, 1), expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat(rows, 1)[:1], expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(state[2][0], beside[2][1], atol=2e-5, rtol=1e-5)


def test_it_is_used_for_one_row_only(monkeypatch):
    used = []
    monkeypatch.setattr(OneRow, "hidden", lambda self, x, *_: used.append(x) or torch.zeros_like(x))
    made = network()
    with torch.inference_mode():
        for rows, steps in ((2, 1), (1, 2), (1, 1)):
            made(torch.full((rows, steps), 4), made.cache(rows))
    assert len(used) == 1


def test_weights_that_changed_are_seen():
    made = network()
    ids = torch.tensor([[4]])
    with torch.inference_mode():
        made(ids, made.cache(1))
    with torch.no_grad():
        made.turn.mul_(2.0)
        made.layers[1].feed_forward.output = torch.nn.Parameter(torch.randn(12, 10))
    with torch.inference_mode():
        expected, _ = made(ids, ())
        found, _ = made(ids, made.cache(1))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
