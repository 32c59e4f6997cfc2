import pytest
import torch

from textdl.layers.squared_relu import feed_forward, squared_relu


def test_by_hand():
    assert squared_relu(torch.tensor([-1.0, 0.5, 3.0])).tolist() == [0.0, 0.25, 9.0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("inner", [64, 20])  # for the kernel, and not
def test_the_net_and_its_gradient_are_those_of_the_equations(inner, threads, threaded, monkeypatch):
    threaded(threads)
    monkeypatch.setattr("textdl.layers.squared_relu._ELEMENTS", 64)
    generator = torch.Generator().manual_seed(1)
    x, w_1, w_2 = given = [
        torch.randn(*shape, generator=generator).requires_grad_() for shape in [(10, 8), (inner, 8), (8, inner)]
    ]
    fast, slow = feed_forward(x, w_1, w_2), squared_relu(x @ w_1.T) @ w_2.T
    torch.testing.assert_close(fast, slow)
    weight = torch.randn(10, 8, generator=generator)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), given) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(a, b)
