import math

import pytest
import torch

from textdl.layers.softmax_gradient import add_up, by_equations, softmax_gradient


def logits(rows=20, columns=48):
    return 5 * torch.randn(rows, columns, generator=torch.Generator().manual_seed(1))


TARGETS = torch.arange(20) * 7 % 48


@pytest.mark.parametrize("keep", [1.0, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_is_the_equations(dtype, keep):
    slow = logits().to(dtype).float()
    fast = slow.to(dtype).clone()
    a, b = softmax_gradient(fast, TARGETS, keep), by_equations(slow, TARGETS, keep)
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(fast, slow.to(dtype))


def test_by_hand_what_is_barred_has_no_probability():
    values = torch.full((1, 16), -math.inf)
    values[0, :2] = torch.tensor([0.0, math.log(3.0)])
    nats = softmax_gradient(values, torch.tensor([0]), 1.0)  # p = 1/4 and 3/4
    assert nats.item() == pytest.approx(math.log(4))
    assert values[0, :3].tolist() == pytest.approx([-0.75, 0.75, 0.0])
    assert not values[0, 2:].any()


def test_a_target_that_cannot_be_costs_much_but_not_everything():
    values = torch.zeros(1, 16)
    values[0, 0] = 300.0
    nats = softmax_gradient(values, torch.tensor([1]), 1.0)
    assert 80 < nats.item() < 90


def test_numbers_that_are_none_stay_so():
    values = logits(1)
    values[0, 5] = math.nan
    assert not math.isfinite(softmax_gradient(values, torch.tensor([3]), 1.0).item())


@pytest.mark.parametrize("columns", [32, 20])
def test_sums_of_another_precision(columns):
    whole, part = logits(9, columns), logits(9, columns).bfloat16()
    expected = whole + part.float()
    add_up(whole, part)
    assert torch.equal(whole, expected)
