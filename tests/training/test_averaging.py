import pytest
import torch

from textdl.training.averaging import WeightAverage


def test_by_hand():
    network = torch.nn.Linear(1, 1, bias=False)
    weight = network.weight.data
    weight.fill_(1.0)
    average = WeightAverage(network, decay=0.5)
    weight.fill_(4.0)
    average.update(1)  # d = 2 / 11: 2 / 11 * 1 + 9 / 11 * 4
    assert average.weights["weight"].item() == pytest.approx(38 / 11)
    weight.fill_(0.0)
    average.update(50)  # d = 51 / 60 would be more than 0.5
    assert average.weights["weight"].item() == pytest.approx(19 / 11)
    with average.in_place():
        assert network.weight.item() == pytest.approx(19 / 11)
    assert network.weight.item() == 0.0
    assert average.weights["weight"].item() == pytest.approx(19 / 11)
