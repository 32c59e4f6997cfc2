import torch

from textdl.layers.recurrent import LSTM


def layer_and_input(input_size=5, size=7):
    generator = torch.Generator().manual_seed(1)
    layer = LSTM(input_size, size)
    layer.initialise(generator)
    x = torch.randn(3, 11, input_size, generator=generator, requires_grad=True)
    state = (torch.randn(3, size, generator=generator), torch.randn(3, size, generator=generator))
    return layer, x, state


def test_the_fast_path_follows_the_equations():
    layer, x, state = layer_and_input()
    fast, (h, c) = layer(x, state)
    slow, (h_slow, c_slow) = layer.by_gates(x, state)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(h, h_slow)
    torch.testing.assert_close(c, c_slow)
    torch.testing.assert_close(fast[:, -1], h)


def test_the_gradients_agree_too():
    layer, x, state = layer_and_input()
    parameters = [x, *layer.parameters()]
    weights = torch.randn(3, 11, 7, generator=torch.Generator().manual_seed(2))
    fast = torch.autograd.grad((layer(x, state)[0] * weights).sum(), parameters)
    slow = torch.autograd.grad((layer.by_gates(x, state)[0] * weights).sum(), parameters)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b)


def test_one_step_by_hand():
    # One feature, all weights 0: i = o = sigmoid(0) = 1/2, f = sigmoid(1) = 0.7310586, g = tanh(0) = 0.
    # c' = 0.7310586 * 2 + 0.5 * 0 = 1.4621172;  h' = 0.5 * tanh(1.4621172) = 0.5 * 0.8980... = 0.4490
    layer = LSTM(1, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.cell.bias_ih_l0[1] = 1.0
        _, (h, c) = layer(torch.ones(1, 1, 1), (torch.ones(1, 1), torch.full((1, 1), 2.0)))
    torch.testing.assert_close(c, torch.tensor([[1.4621172]]))
    torch.testing.assert_close(h, 0.5 * torch.tanh(torch.tensor([[1.4621172]])))


def test_initialisation_is_seeded_and_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    a, _, _ = layer_and_input()
    b, _, _ = layer_and_input()
    assert torch.equal(torch.random.get_rng_state(), before)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    assert torch.equal(a.cell.bias_ih_l0[7:14], torch.ones(7))
