"""Every cell: the fast path, torch's kernel and the equations agree, forward and back."""

import pytest
import torch

from textdl.encoded import BOS
from textdl.layers.dropout import WeightDropout
from textdl.layers.recurrent import CELLS, GRU, LSTM, Elman, ElmanReLU, Jordan, jordan, steps
from textdl.layers.recurrent.jordan import Output

B, T, IN, SIZE, V = 3, 11, 5, 7, 9


def normal(generator, *shape):
    return torch.randn(shape, generator=generator)


def made(name, steps=T, projection=True):
    """A cell with weights well away from 0, an input, a state and, for Jordan, an output layer."""
    generator = torch.Generator().manual_seed(1)
    layer = CELLS[name](IN, SIZE)
    layer.initialise(generator)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.2 * normal(generator, *parameter.shape)
    x = normal(generator, B, steps, IN).requires_grad_()
    state = tuple(normal(generator, *t.shape).requires_grad_() for t in layer.initial_state(B))
    if name != "jordan":
        return layer, x, state, ()
    width = IN if projection else SIZE
    tensors = [normal(generator, V, width), normal(generator, V), normal(generator, width, SIZE)]
    weight, bias, matrix = (t.requires_grad_() for t in tensors)
    embedding = weight if projection else normal(generator, V, IN).requires_grad_()
    return layer, x, state, (Output(weight, bias, matrix if projection else None, embedding, 1.3),)


def inputs(layer, x, state, output):
    extra = {id(t): t for o in output for t in vars(o).values() if isinstance(t, torch.Tensor)}
    return [x, *state, *layer.parameters(), *extra.values()]


def gradients(outputs, state, of):
    """Of a number that depends on all outputs and on the state at the end."""
    generator = torch.Generator().manual_seed(2)
    total = sum((t * normal(generator, *t.shape)).sum() for t in (outputs, *state))
    return torch.autograd.grad(total, of)


def check(layer, run, x, state, output):
    fast, after = run()
    slow, after_slow = layer.by_equations(x, state, *output)
    for a, b in zip((fast, *after), (slow, *after_slow), strict=True):
        torch.testing.assert_close(a, b)
    of = inputs(layer, x, state, output)
    for a, b in zip(gradients(fast, after, of), gradients(slow, after_slow, of), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    for module in (jordan, steps):
        monkeypatch.setattr(module, "fast_bfloat16", lambda device: False)


@pytest.mark.parametrize("number", [1, 2, T])
@pytest.mark.parametrize("name", CELLS)
def test_the_fast_path_follows_the_equations(name, number):
    layer, x, state, output = made(name, number)
    check(layer, lambda: layer(x, state, *output), x, state, output)


@pytest.mark.parametrize("name", ["elman", "elman-relu", "gru", "lstm"])
def test_the_kernel_for_gpus_follows_the_equations(name):
    layer, x, state, _ = made(name)
    check(layer, lambda: layer.on_gpu(x, state), x, state, ())


@pytest.mark.parametrize("elements", [1, 2 * B * V, 1 << 20])  # a step at a time; two; all
def test_jordan_in_chunks_and_without_a_projection(monkeypatch, elements):
    monkeypatch.setattr(jordan, "_ELEMENTS", elements)
    layer, x, state, output = made("jordan", projection=False)
    check(layer, lambda: layer(x, state, *output), x, state, output)


@pytest.mark.parametrize("name", CELLS)
def test_training_in_bfloat16_is_close(monkeypatch, name):
    for module in (jordan, steps):
        monkeypatch.setattr(module, "fast_bfloat16", lambda device: True)
    layer, x, state, output = made(name)
    with torch.no_grad():
        for o in output:
            o.projection.mul_(0.3)  # logits of ordinary size
    fast, slow = layer(x, state, *output), layer.by_equations(x, state, *output)
    of = inputs(layer, x, state, output)
    for a, b in zip(gradients(*fast, of), gradients(*slow, of), strict=True):
        assert (a - b).norm() < 0.03 * b.norm()
    with torch.no_grad():  # exact where nothing is learnt
        torch.testing.assert_close(layer(x, state, *output)[0], slow[0])


@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "elman-relu"])
def test_rows_in_several_threads_are_the_same_rows(threaded, name):
    layer, x, state, _ = made(name)
    x = x.repeat(20, 1, 1)
    state = tuple(t.repeat(20, 1) for t in state)
    found = []
    for threads in (1, 3):
        threaded(threads)
        outputs, after = layer(x, state)
        found.append((outputs, *after, *gradients(outputs, after, [*layer.parameters()])))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_jordan_needs_no_gradient_of_what_is_carried_on():
    """As in training: the state after a batch is detached."""
    layer, x, state, output = made("jordan")
    outputs, _ = layer(x, state, *output)
    outputs.sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in inputs(layer, x, state, output))


def test_jordan_expects_no_line_start():
    _, _, _, (output,) = made("jordan")
    h = torch.zeros(1, SIZE)
    with torch.no_grad():
        output.bias.fill_(-100.0)
        output.bias[[BOS, 4]] = 100.0
    torch.testing.assert_close(output.expected(h)[0], 1.3 * output.embedding[4])


@pytest.mark.parametrize("name", CELLS)
def test_reading_in_parts_is_reading_at_once(name):
    layer, x, state, output = made(name)
    with torch.no_grad():
        whole, end = layer(x, state, *output)
        first, middle = layer(x[:, :4], state, *output)
        second, after = layer(x[:, 4:], middle, *output)
        torch.testing.assert_close(torch.cat((first, second), 1), whole)
        for a, b in zip(after, end, strict=True):
            torch.testing.assert_close(a, b)


def test_lstm_by_hand():
    # One feature, all weights 0: i = o = sigmoid(0) = 1/2, f = sigmoid(1) = 0.7310586, g = tanh(0) = 0.
    # c' = 0.7310586 * 2 + 0.5 * 0 = 1.4621172;  h' = 0.5 * tanh(1.4621172) = 0.5 * 0.8980... = 0.4490
    layer = LSTM(1, 1)
    with torch.no_grad():
        layer.bias[1] = 1.0
        _, (h, c) = layer(torch.ones(1, 1, 1), (torch.ones(1, 1), torch.full((1, 1), 2.0)))
    torch.testing.assert_close(c, torch.tensor([[1.4621172]]))
    torch.testing.assert_close(h, 0.5 * torch.tanh(torch.tensor([[1.4621172]])))


def test_gru_by_hand():
    # One feature. W_n = 1, U_n = 4, the rest 0: r = z = 1/2, n = tanh(1 + 1/2 * 4 * 0.25) = tanh(1.5) = 0.9051483,
    # h' = 1/2 * 0.9051483 + 1/2 * 0.25 = 0.5775741
    layer = GRU(1, 1)
    with torch.no_grad():
        layer.input[2], layer.recurrent[2] = 1.0, 4.0
        _, (h,) = layer(torch.ones(1, 1, 1), (torch.full((1, 1), 0.25),))
    torch.testing.assert_close(h, torch.tensor([[0.5775741]]))


def test_elman_by_hand():
    # W = 2, U = -1, b = 0.5: the sum is 2 * 1 - 1 * 3 + 0.5 = -0.5
    for cell, expected in ((Elman, -0.4621172), (ElmanReLU, 0.0)):
        layer = cell(1, 1)
        with torch.no_grad():
            layer.input[:], layer.recurrent[:], layer.bias[:] = 2.0, -1.0, 0.5
            _, (h,) = layer(torch.ones(1, 1, 1), (torch.full((1, 1), 3.0),))
        torch.testing.assert_close(h, torch.tensor([[expected]]))


def test_jordan_by_hand():
    # E = (0, 0, 0, 1, 2)^T, P = 1, c = 0, h = tanh(0) = 0: all but <s> are equally likely, so y = (0+0+1+2)/4 = 0.75
    layer = Jordan(1, 1)
    embedding = torch.tensor([[0.0], [0.0], [0.0], [1.0], [2.0]])
    output = Output(embedding, torch.zeros(5), torch.ones(1, 1), embedding, 1.0)
    with torch.no_grad():
        _, (y,) = layer(torch.ones(1, 1, 1), layer.initial_state(1), output)
    torch.testing.assert_close(y, torch.tensor([[0.75]]))


@pytest.mark.parametrize("name", CELLS)
def test_initialisation_is_seeded_and_leaves_the_global_generator_alone(name):
    before = torch.random.get_rng_state()
    a, b = made(name)[0], made(name)[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)


def test_how_gates_and_matrices_begin():
    lstm, relu = LSTM(3, 4), ElmanReLU(3, 4)
    for layer in (lstm, relu):
        layer.initialise(torch.Generator().manual_seed(1))
    assert torch.equal(lstm.bias, torch.tensor([0.0] * 4 + [1.0] * 4 + [0.0] * 8))
    assert torch.equal(relu.recurrent, torch.eye(4))


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_weights_are_dropped_in_training_alone(name):
    layer, x, state, output = made(name)
    layer.dropout = WeightDropout(0.5, torch.Generator().manual_seed(1))
    mask = WeightDropout(0.5, torch.Generator().manual_seed(1))(torch.ones_like(layer.recurrent))
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    dropped, _ = layer(x, state, *output)
    (gradient,) = torch.autograd.grad(dropped.sum(), layer.recurrent)
    assert (gradient[mask == 0] == 0).all()
    whole, _ = layer.eval()(x, state, *output)
    torch.testing.assert_close(whole, layer.by_equations(x, state, *output)[0])
    with torch.no_grad():
        layer.recurrent *= mask
    torch.testing.assert_close(dropped, layer(x, state, *output)[0])
