import pytest
import torch

from textdl.layers import attention
from textdl.layers.packed_attention import Shape, attend_to_other, attend_to_self, takes
from textdl.layers.packing import Packing
from textdl.layers.positions import Rotary, rotate

SIZE, HEADS = 64, 2
LENGTHS = torch.tensor([3, 1, 70, 0, 17])  # 70: more queries than are taken at once
OTHERS = torch.tensor([5, 40, 2, 1, 33])


GAINS = torch.tensor([-0.3, 0.8])
"""Their logarithms."""


def by_equations(queries, keys, values, log_gains, lengths, of_keys, shape, rotation):
    """attention.by_equations, a row after the other."""
    q, k, v = (x.unflatten(1, (shape.heads, -1)) for x in (queries, keys, values))
    q, k = (torch.nn.functional.layer_norm(x, x.shape[-1:]) for x in (q, k))
    q = q * log_gains.exp()[:, None]
    if rotation is not None:
        q, k = rotate(q, rotation), rotate(k, rotation)
    rows, first, key_first = [], 0, 0
    for n, m in zip(lengths.tolist(), of_keys.tolist(), strict=True):
        parts = [
            x[i : i + c].transpose(0, 1)[None] for x, i, c in ((q, first, n), (k, key_first, m), (v, key_first, m))
        ]
        allowed = torch.ones(n, m, dtype=torch.bool).tril() if shape.causal else None
        rows.append(attention.by_equations(*parts, allowed)[0].transpose(0, 1).flatten(1))
        first, key_first = first + n, key_first + m
    return torch.cat([*rows, queries.new_zeros(len(queries) - first, queries.shape[1])])


def random(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def assert_alike(fast, slow, given, seed=3, **tolerance):
    torch.testing.assert_close(fast, slow, **tolerance)
    weight = random(seed, *fast.shape).detach()
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), given) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_and_its_gradient_are_those_of_the_equations(causal, rotary, threads, threaded):
    threaded(threads)
    at, shape = Packing(LENGTHS, HEADS), Shape(HEADS, causal)
    rotation = Rotary(SIZE, HEADS, 10).rotation(at.positions, torch.float32) if rotary else None
    x = random(1, at.size, 3 * SIZE)
    gains = GAINS.clone().requires_grad_()
    fast = attend_to_self(x, gains, LENGTHS, shape, rotation)
    slow = by_equations(*x.split(SIZE, 1), gains, LENGTHS, LENGTHS, shape, rotation)
    assert not fast[at.tokens :].any()
    assert_alike(fast, slow, (x, gains), rtol=1e-4, atol=1e-5)


def test_cross_attention_and_its_gradient_are_those_of_the_equations():
    at, of_keys, shape = Packing(LENGTHS, HEADS), Packing(OTHERS, HEADS), Shape(HEADS, False)
    gains = GAINS.clone().requires_grad_()
    q, kv = random(1, at.size, SIZE), random(2, of_keys.size, 2 * SIZE)
    fast = attend_to_other(q, kv, gains, LENGTHS, OTHERS, shape)
    slow = by_equations(q, *kv.split(SIZE, 1), gains, LENGTHS, OTHERS, shape, None)
    assert_alike(fast, slow, (q, kv, gains), rtol=1e-4, atol=1e-5)


def test_features_far_from_nothing_are_normalised_all_the_same():
    at = Packing(LENGTHS, HEADS)
    far = torch.tensor([1000.0, 1000.0, 0.0]).repeat_interleave(SIZE)  # of queries and keys
    x = (random(1, at.size, 3 * SIZE).detach() + far).requires_grad_()
    fast = attend_to_self(x, GAINS, LENGTHS, Shape(HEADS, False), None)
    slow = by_equations(*x.split(SIZE, 1), GAINS, LENGTHS, LENGTHS, Shape(HEADS, False), None)
    assert_alike(fast, slow, (x,), rtol=1e-3, atol=1e-3)


def test_memory_in_another_order():
    """What comes and what comes back need not lie row by row."""
    x = random(1, 3 * SIZE, 256).detach()
    weight = random(3, SIZE, 256).detach()
    lengths, shape, found = torch.tensor([40, 3]), Shape(HEADS, False), []
    for given, gradient in ((x.T, weight.T), (x.T.contiguous(), weight.T.contiguous())):
        given = given.detach().requires_grad_()
        out = attend_to_self(given, GAINS, lengths, shape, None)
        found.append((out, *torch.autograd.grad(out, given, gradient)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_a_source_of_nothing_says_nothing():
    q, kv = random(1, 256, SIZE), random(2, 256, 2 * SIZE)
    lengths, others = torch.tensor([2, 3]), torch.tensor([0, 4])
    out = attend_to_other(q, kv, GAINS, lengths, others, Shape(HEADS, False))
    assert not out[:2].any()
    assert out[2:5].all()
    for gradient in torch.autograd.grad(out.sum(), (q, kv)):
        assert gradient.isfinite().all()


def test_bfloat16_is_that_of_float32_rounded():
    at, shape = Packing(LENGTHS, HEADS), Shape(HEADS, True)
    low = random(1, at.size, 3 * SIZE).detach().bfloat16().requires_grad_()
    x = low.detach().float().requires_grad_()
    fast, slow = attend_to_self(low, GAINS, LENGTHS, shape, None), attend_to_self(x, GAINS, LENGTHS, shape, None)
    torch.testing.assert_close(fast, slow.bfloat16())
    weight = random(3, *fast.shape).detach().bfloat16()
    (a,), (b,) = torch.autograd.grad(fast, low, weight), torch.autograd.grad(slow, x, weight.float())
    torch.testing.assert_close(a, b.bfloat16())


def test_what_is_taken():
    assert takes(torch.zeros(1, 64), 4)
    assert not takes(torch.zeros(1, 64), 8)  # heads of 8 features
    assert not takes(torch.zeros(1, 64, device="meta"), 4)


def test_float64_is_left_to_torch():
    layer = attention.MultiHeadAttention(SIZE, HEADS)
    layer.initialise(torch.Generator().manual_seed(1))
    torch.nn.init.normal_(layer.output, generator=torch.Generator().manual_seed(2))
    at, x = Packing(LENGTHS, HEADS), random(1, Packing(LENGTHS, HEADS).size, SIZE)
    low = layer.packed(x, at)
    torch.testing.assert_close(
        layer.double().packed(x.double(), at)[: at.tokens].float(), low[: at.tokens], rtol=1e-4, atol=1e-5
    )
