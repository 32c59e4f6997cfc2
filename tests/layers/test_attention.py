import math

import numpy as np
import pytest
import torch

from textdl.errors import UsageError
from textdl.layers import attention
from textdl.layers.attention import LayerCache, MultiHeadAttention, attend, by_equations
from textdl.layers.masks import Causal, Local, Mask, Padding, View
from textdl.layers.positions import Rotary

CPU = torch.device("cpu")
B, H, T, E = 3, 2, 6, 4


def tensors(*shapes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


MASKS: dict[str, Mask | None] = {
    "none": None,
    "causal": Causal(),
    "local": Causal() & Local(3),
    "padding": Padding(torch.tensor([6, 1, 4])),
    "causal, padding": Causal() & Padding(torch.tensor([6, 2, 4])),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("queries", [T, 2, 1])
@pytest.mark.parametrize("kernel", [attend, attention._by_products])
def test_what_is_fast_follows_the_equations(mask, queries, kernel):
    q, k, v, weights = tensors((B, H, queries, E), (B, H, T, E), (B, H, T, E), (B, H, queries, E))
    allowed = None if mask is None else mask.dense(queries, T)
    fast, slow = kernel(q, k, v, View.of(mask, queries, T, CPU)), by_equations(q, k, v, allowed)
    torch.testing.assert_close(fast, slow)
    gradients = [torch.autograd.grad((y * weights).sum(), (q, k, v)) for y in (fast, slow)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_training_in_bfloat16_is_close(monkeypatch):
    q, k, v, weights = tensors(*[(B, H, T, E)] * 4)
    low = [x.detach().bfloat16().requires_grad_() for x in (q, k, v)]
    for short in (512, 1):  # by products; by the kernel
        monkeypatch.setattr(attention, "_SHORT", short)
        fast, slow = attend(*low, View.of(Causal(), T, T, CPU)), by_equations(q, k, v, Causal().dense(T, T))
        assert fast.dtype == torch.bfloat16
        assert (fast - slow).norm() < 0.02 * slow.norm()
        got = torch.autograd.grad((fast * weights).sum(), low)
        for a, b in zip(got, torch.autograd.grad((slow * weights).sum(), (q, k, v)), strict=True):
            assert (a - b).norm() < 0.03 * b.norm()


def test_the_equations_against_numpy():
    q, k, v = (x[0, 0].detach().numpy().astype(np.float64) for x in tensors(*[(1, 1, T, E)] * 3))
    expected = np.zeros((T, E))
    for i in range(T):
        scores = np.array([q[i] @ k[j] / math.sqrt(E) for j in range(i + 1)])
        weights = np.exp(scores) / np.exp(scores).sum()
        expected[i] = sum(weights[j] * v[j] for j in range(i + 1))
    got = by_equations(*(torch.from_numpy(x)[None, None] for x in (q, k, v)), Causal().dense(T, T))
    np.testing.assert_allclose(got[0, 0], expected, rtol=1e-12)


def layer(seed=2):
    made = MultiHeadAttention(H * E, H)
    made.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        made.output.normal_(generator=torch.Generator().manual_seed(seed))
        made.log_gains.normal_(generator=torch.Generator().manual_seed(seed))
    return made


def by_heads(made, x, source, allowed):
    """The docstring, a head at a time."""
    heads = []
    for h in range(H):
        part = slice(h * E, (h + 1) * E)
        q, k, v = x @ made.weight[0, part].T, source @ made.weight[1, part].T, source @ made.weight[2, part].T
        q, k = ((y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, correction=0) + 1e-5).sqrt() for y in (q, k))
        scores = (made.log_gains[h].exp() * q @ k.transpose(1, 2) / math.sqrt(E)).masked_fill(~allowed, -math.inf)
        heads.append(scores.softmax(-1) @ v)
    return torch.cat(heads, dim=-1) @ made.output.T


def test_heads_side_by_side():
    made = layer()
    x, source = tensors((B, T, H * E), (B, 5, H * E))
    torch.testing.assert_close(made(x, View.of(Causal(), T, T, CPU)), by_heads(made, x, x, Causal().dense(T, T)))
    mask = Padding(torch.tensor([5, 1, 3]))
    torch.testing.assert_close(
        made.across(x, made.keys_values(source), View.of(mask, T, 5, CPU)),
        by_heads(made, x, source, mask.dense(T, 5)[:, 0]),
    )


def test_padding_of_the_source_changes_nothing():
    made = layer()
    x, source = tensors((1, T, H * E), (1, 5, H * E))
    longer = torch.cat((source, torch.full((1, 3, H * E), 9.0)), dim=1)
    view = View.of(Padding(torch.tensor([5])), T, 8, CPU)
    torch.testing.assert_close(
        made.across(x, made.keys_values(longer), view), made.across(x, made.keys_values(source), View())
    )


def test_with_a_cache_it_is_the_same():
    made = layer()
    positions = Rotary(H * E, H, T)
    (x,) = tensors((B, T, H * E))
    with torch.inference_mode():
        whole = made(x, View.of(Causal(), T, T, CPU), positions.rotation(torch.arange(T), x.dtype))
        memory = torch.zeros(B, 2, H, T, E)
        for first, end in ((0, 3), (3, 4), (4, 6)):
            rotation = positions.rotation(torch.arange(first, end), x.dtype)
            view = View.of(Causal(), end - first, end, CPU)
            got = made(x[:, first:end], view, rotation, LayerCache(memory, first, end))
            torch.testing.assert_close(got, whole[:, first:end])


def test_rows_of_a_cache_may_have_come_to_different_places():
    made = layer()
    (x,) = tensors((2, T, H * E))
    with torch.inference_mode():
        whole = made(x, View.of(Causal(), T, T, CPU))
        memory = torch.zeros(2, 2, H, T, E)
        made(x[:, :4], View.of(Causal(), 4, 4, CPU), None, LayerCache(memory, 0, 4))
        at = torch.tensor([[2], [4]])  # row 0 forgets two positions
        got = made(x[[0, 1], [2, 4]][:, None], View.at(Causal(), at, 5), None, LayerCache(memory, at, 5))
    torch.testing.assert_close(got[:, 0], whole[[0, 1], [2, 4]])


def test_before_it_was_learnt_how_sharply_heads_look_it_was_1():
    made = layer()
    older = {name: value for name, value in made.state_dict().items() if name != "log_gains"}
    made.load_state_dict(older)
    assert made.gains.tolist() == [1.0] * H


def test_heads_must_share_the_features():
    with pytest.raises(UsageError, match="3 heads cannot share 8 features"):
        MultiHeadAttention(8, 3)
