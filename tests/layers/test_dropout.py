import pytest
import torch

from textdl.layers.dropout import EmbeddingDropout, LockedDropout, WeightDropout


def seeded():
    return torch.Generator().manual_seed(1)


def test_one_mask_for_all_steps_and_the_mean_stays():
    dropout = LockedDropout(0.25, seeded())
    y = dropout(torch.ones(50, 4, 100))
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(y.mean().item() - 1) < 0.05
    assert not torch.equal(dropout(torch.ones(50, 4, 100)), y)


def test_a_type_is_dropped_wherever_it_stands():
    ids = torch.arange(400).reshape(4, 100) % 200
    y = EmbeddingDropout(0.25, seeded())(torch.ones(4, 100, 3), ids, 200)
    by_type = y.reshape(2, 200, 3)
    assert torch.equal(by_type[0], by_type[1])
    assert torch.equal(y, y[:, :, :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}


def test_single_weights_are_dropped_and_have_no_gradient():
    weight = torch.ones(30, 40, requires_grad=True)
    dropped = WeightDropout(0.5, seeded())(weight)
    dropped.sum().backward()
    assert torch.equal(weight.grad, dropped)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert 0.4 < (dropped == 0).float().mean() < 0.6


@pytest.mark.parametrize("kind", [LockedDropout, EmbeddingDropout, WeightDropout])
def test_nothing_is_dropped_in_eval_mode_or_at_rate_0(kind):
    generator = seeded()
    before = generator.get_state()
    x = torch.ones(2, 3, 4)
    more = (torch.zeros(2, 3, dtype=torch.int64), 5) if kind is EmbeddingDropout else ()
    assert kind(0.5, generator).eval()(x, *more) is x
    assert kind(0.0, generator)(x, *more) is x
    assert torch.equal(generator.get_state(), before)
