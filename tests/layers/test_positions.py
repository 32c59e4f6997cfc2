import math

import pytest
import torch

from textdl.errors import UsageError
from textdl.layers.positions import POSITIONS, Learned, Positions, Rotary, Sinusoidal, rotate


def random(*shape, seed=1, **options):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), **options)


def test_a_pair_of_features_is_turned_by_its_angle():
    # E = 4: pairs (0, 2) and (1, 3), angles t and t / 100
    x = torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 1, 1, 4)
    y = rotate(x, Rotary(4, 1, 8).rotation(torch.tensor([3]), torch.float32)).flatten()
    torch.testing.assert_close(
        y, torch.tensor([math.cos(3), -math.sin(0.03), math.sin(3), math.cos(0.03)]), atol=1e-6, rtol=0
    )


def test_rotary_products_know_only_the_distance():
    q, k = random(1, 1, 2, 8), random(1, 1, 2, 8, seed=2)
    rotary = Rotary(16, 2, 64)

    def product(i, j):
        a, b = (rotate(x, rotary.rotation(torch.tensor([t]), torch.float32)) for x, t in ((q, i), (k, j)))
        return (a * b).sum(-1).flatten()

    torch.testing.assert_close(product(7, 4), product(33, 30), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(product(7, 4), product(7, 5), atol=1e-2)


def test_gradients_of_a_rotation():
    x = random(2, 5, 3, 8, requires_grad=True, dtype=torch.float64)
    rotation = Rotary(24, 3, 8).rotation(torch.arange(5), torch.float64)
    assert torch.autograd.gradcheck(lambda x: rotate(x, rotation), x)


def test_sinusoidal_by_hand():
    # D = 4: sin t, sin t/100, cos t, cos t/100
    x = Sinusoidal(4, 1, 8).add(torch.zeros(1, 2, 4), torch.tensor([0, 2]))
    torch.testing.assert_close(
        x[0], torch.tensor([[0, 0, 1, 1], [math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]])
    )


def test_learned_positions_are_looked_up():
    learned = Learned(4, 1, 8)
    learned.initialise(torch.Generator().manual_seed(1))
    x = random(2, 3, 4)
    torch.testing.assert_close(learned.add(x, torch.arange(2, 5)), x + learned.weight[2:5])


@pytest.mark.parametrize("name", POSITIONS)
def test_rows_may_be_at_different_places(name):
    kind = POSITIONS[name](8, 2, 16)
    kind.initialise(torch.Generator().manual_seed(1))
    x, q = random(2, 1, 8), random(2, 1, 2, 4)
    at = torch.tensor([[3], [9]])
    together = kind.add(x, at)
    rotation = kind.rotation(at, x.dtype)
    turned = q if rotation is None else rotate(q, rotation)
    for row in range(2):
        torch.testing.assert_close(together[row], kind.add(x[row : row + 1], at[row])[0])
        alone = kind.rotation(at[row], x.dtype)
        torch.testing.assert_close(turned[row], q[row] if alone is None else rotate(q[row : row + 1], alone)[0])


def test_none_does_nothing():
    x = random(2, 3, 8)
    assert Positions(8, 2, 16).add(x, torch.arange(3)) is x
    assert list(Positions(8, 2, 16).parameters()) == []


@pytest.mark.parametrize("name", ["sinusoidal", "rotary"])
def test_pairs_need_an_even_number(name):
    with pytest.raises(UsageError, match="make it even"):
        POSITIONS[name](9, 3, 8)
