import pytest
import torch
from torch.nn import functional as F

from textdl.layers.dropout import LockedDropout
from textdl.layers.masks import Causal, View
from textdl.layers.residual import norm
from textdl.layers.squared_relu import squared_relu
from textdl.layers.transformer import ACTIVATIONS, FeedForward, TransformerLayer

CPU = torch.device("cpu")


def layer(zero=False, rate=0.0, **options):
    generator = torch.Generator().manual_seed(1)
    made = TransformerLayer(8, 2, 16, "gelu", LockedDropout(rate, generator), **options)
    made.initialise(generator)
    if not zero:
        with torch.no_grad():
            for matrix in (made.attention.output, made.feed_forward.output):
                matrix.normal_(generator=generator)
    return made


@pytest.fixture
def x():
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(2))


def test_pre_norm_and_post_norm(x):
    view = View.of(Causal(), 5, 5, CPU)
    made = layer()
    middle = x + made.attention(norm(x), view)
    inner = F.gelu(norm(middle) @ made.feed_forward.inner.T) @ made.feed_forward.output.T
    stream = made((x, norm(x)), view)
    torch.testing.assert_close(stream, (middle + inner, norm(middle + inner)))
    made = layer(post_norm=True)
    middle = norm(x + made.attention(x, view))
    inner = F.gelu(middle @ made.feed_forward.inner.T) @ made.feed_forward.output.T
    torch.testing.assert_close(made((x, x), view), (norm(middle + inner),) * 2)


def test_a_new_layer_does_nothing(x):
    assert torch.equal(layer(zero=True)((x, norm(x)), View())[0], x)


def test_dropout_falls_on_what_is_added(x):
    made = layer(zero=True, rate=0.5)
    stream = x, norm(x)
    assert torch.equal(made.train()(stream, View())[0], x)
    made = layer(rate=0.5)
    assert not torch.equal(made.train()(stream, View())[0], made(stream, View())[0])
    assert torch.equal(made.eval()(stream, View())[0], made(stream, View())[0])


def test_the_net_of_squared_relus_follows_the_equations():
    net = FeedForward(8, 16, "relu2")
    generator = torch.Generator().manual_seed(1)
    x, *_ = weights = [torch.randn(shape, generator=generator, requires_grad=True) for shape in [(2, 5, 8), (2, 5, 8)]]
    with torch.no_grad():
        for matrix in net.parameters():
            matrix.normal_(generator=generator)
    fast, slow = net(x), squared_relu(x @ net.inner.T) @ net.output.T
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(net(x.detach()), slow)  # without gradients
    gradients = [torch.autograd.grad((y * weights[1]).sum(), [x, *net.parameters()]) for y in (fast, slow)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_activations():
    assert set(ACTIVATIONS) == {"relu2", "gelu"}
