import pytest
import torch

from textdl.layers.dropout import Dropout, LockedDropout
from textdl.layers.residual import add_and_norm, by_equations, norm


def random(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def dropout(rate, kind=Dropout):
    return kind(rate, torch.Generator().manual_seed(1)).train()


def test_norm():
    y = norm(torch.tensor([[1.0, 2.0, 3.0, 6.0]]))  # mean 3, variance (4 + 1 + 0 + 9) / 4
    torch.testing.assert_close(y, torch.tensor([[-2.0, -1.0, 0.0, 3.0]]) / 3.5**0.5, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [Dropout, LockedDropout])
@pytest.mark.parametrize("shape", [(5, 32), (2, 3, 48), (4, 20), (0, 32)])
def test_sum_and_norm_and_their_gradients_are_those_of_the_equations(shape, kind):
    x, part = random(1, *shape), random(2, *shape)
    weights = [random(seed, *shape).detach() for seed in (3, 4)]
    rate = 0.5 if kind is LockedDropout and len(shape) == 3 else 0.0
    fast, slow = (f(x, part, dropout(rate, kind)) for f in (add_and_norm, by_equations))
    torch.testing.assert_close(fast, slow)
    for use in ((0, 1), (0,), (1,)):  # of the sum, the norm or both
        ways = (sum((y[i] * weights[i]).sum() for i in use) for y in (fast, slow))
        for a, b in zip(*(torch.autograd.grad(way, (x, part), retain_graph=True) for way in ways), strict=True):
            torch.testing.assert_close(a, b)


def test_what_is_dropped_and_the_way_back_of_it():
    x, part = random(1, 64, 160), random(2, 64, 160)
    drops = dropout(0.25)
    y, n = add_and_norm(x, part, drops)
    mask = ((y - x) / part).detach()
    dropped = mask.abs() < 1e-3
    assert abs(dropped.float().mean().item() - 0.25) < 0.01
    assert dropped.float().mean(0).max() < 0.6  # no feature always, no position always
    assert dropped.float().mean(1).max() < 0.5
    exact = torch.where(dropped, 0.0, 1 / 0.75)
    torch.testing.assert_close(mask, exact, atol=1e-2, rtol=0)
    again = x + exact * part
    weight = random(3, *x.shape).detach()
    for a, b in zip(
        torch.autograd.grad((n * weight).sum() + y.sum(), (x, part)),
        torch.autograd.grad((norm(again) * weight).sum() + again.sum(), (x, part)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    other = add_and_norm(x, part, drops)[0]
    assert not torch.equal(other, y)  # another mask at each call
    assert torch.equal(add_and_norm(x, part, dropout(0.25))[0], y)  # a seed fixes them
    assert torch.equal(add_and_norm(x, part, drops.eval())[0], (x + part))


def test_bfloat16():
    x, part = (random(seed, 6, 64).detach().bfloat16() for seed in (1, 2))
    y, n = add_and_norm(x, part, dropout(0.0))
    expected = x.float() + part.float()  # normalised before it is rounded
    assert torch.equal(y, expected.bfloat16())
    torch.testing.assert_close(n, norm(expected).bfloat16(), rtol=0.01, atol=0)
