import pytest
import torch

from textdl.layers.bidirectional import Bidirectional
from textdl.layers.recurrent import GRU, LSTM, Elman

LENGTHS = [4, 0, 7, 4, 1, 6]


def made(cell, size=3):
    encoder = Bidirectional(cell, 5, size)
    encoder.initialise(torch.Generator().manual_seed(1))
    return encoder.eval()  # in float32


def some(steps=7):
    return torch.randn(len(LENGTHS), steps, 5, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("cell", [LSTM, GRU, Elman])
def test_a_row_is_read_as_if_it_were_alone(cell):
    encoder, x = made(cell), some(9)
    y, left, right = encoder(x, torch.tensor(LENGTHS))
    assert y.shape == (6, 9, 6)
    for row, length in enumerate(LENGTHS):
        assert (y[row, length:] == 0).all()
        if length == 0:
            assert all((state[row] == 0).all() for state in (*left, *right))
            continue
        alone = x[row : row + 1, :length]
        forwards, after_last = encoder.forwards.by_equations(alone, encoder.forwards.initial_state(1))
        backwards, after_first = encoder.backwards.by_equations(alone.flip(1), encoder.backwards.initial_state(1))
        torch.testing.assert_close(y[row, :length], torch.cat((forwards, backwards.flip(1)), 2)[0])
        for got, expected in zip((*left, *right), (*after_last, *after_first), strict=True):
            torch.testing.assert_close(got[row], expected[0])


def test_what_stands_at_the_padding_changes_nothing():
    encoder, x = made(LSTM), some()
    other = x.clone()
    for row, length in enumerate(LENGTHS):
        other[row, length:] = 1e3
    for a, b in zip(encoder(x, torch.tensor(LENGTHS)), encoder(other, torch.tensor(LENGTHS)), strict=True):
        torch.testing.assert_close(a, b)


def test_every_place_sees_every_token_of_its_row():
    encoder, x = made(GRU), some().requires_grad_()
    y, _, _ = encoder(x, torch.tensor(LENGTHS))
    for row, length in enumerate(LENGTHS):
        for step in range(length):
            (gradient,) = torch.autograd.grad(y[row, step].sum(), x, retain_graph=True)
            seen = gradient.abs().sum(2) > 0
            expected = torch.zeros_like(seen)
            expected[row, :length] = True
            assert torch.equal(seen, expected)


def test_no_rows():
    y, left, _ = made(LSTM)(torch.zeros(0, 4, 5), torch.zeros(0, dtype=torch.int64))
    assert y.shape == (0, 4, 6)
    assert left[0].shape == (0, 3)
