import torch

from textdl.layers.dropout import LockedDropout


def test_one_mask_for_all_steps_and_the_mean_stays():
    dropout = LockedDropout(0.25, torch.Generator().manual_seed(1))
    y = dropout(torch.ones(50, 4, 100))
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(y.mean().item() - 1) < 0.05
    assert not torch.equal(dropout(torch.ones(50, 4, 100)), y)


def test_nothing_is_dropped_in_eval_mode_or_at_rate_0():
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    x = torch.ones(2, 3, 4)
    assert LockedDropout(0.5, generator).eval()(x) is x
    assert LockedDropout(0.0, generator)(x) is x
    assert torch.equal(generator.get_state(), before)
