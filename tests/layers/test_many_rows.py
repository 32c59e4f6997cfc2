import numpy as np
import pytest
import torch

from textdl.encoded import BOS, EOS
from textdl.layers import many_rows
from textdl.layers.attention import by_equations
from textdl.layers.positions import rotate
from textdl.layers.residual import norm

ROWS, HEADS, WIDTH = 5, 3, 32
SIZE = HEADS * WIDTH
TYPES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""And what an equation may be missed by."""


@pytest.fixture(params=TYPES, ids=str)
def dtype(request):
    return request.param


def random(dtype, *shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def flat(tensor):
    """The memory of a tensor as kernels see it."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy().reshape(-1)


def heads(x):
    """(N, D) or (D,) to (1, H, N, E), float32."""
    return x.float().view(1, -1, HEADS, WIDTH).transpose(1, 2)


def test_norms(dtype):
    x, added, result = (
        random(torch.float32, ROWS, SIZE),
        random(dtype, ROWS, SIZE, seed=2),
        torch.zeros(ROWS, SIZE, dtype=dtype),
    )
    many_rows.norm(flat(x), ROWS - 1, flat(result), SIZE)
    torch.testing.assert_close(result[:-1].float(), norm(x)[:-1], atol=TYPES[dtype], rtol=1e-2)
    assert not result[-1].any()
    summed = x + added.float()
    for post_norm in (False, True):
        given = x.clone()
        many_rows.add_norm(flat(given), flat(added), ROWS, flat(result), SIZE, post_norm)
        torch.testing.assert_close(result.float(), norm(summed), atol=TYPES[dtype], rtol=1e-2)
        torch.testing.assert_close(given, result.float() if post_norm else summed)


def test_squared_relu(dtype):
    x = random(dtype, 2, SIZE)
    expected = x.relu().square()
    many_rows.squared_relu(flat(x), x.numel())
    torch.testing.assert_close(x, expected)


def random_slots(dtype, number):
    """(number, 2, D) keys, which are normalised, and values."""
    keys, values = random(torch.float32, number, HEADS, WIDTH), random(torch.float32, number, SIZE, seed=4)
    return torch.stack((norm(keys).view(number, SIZE), values), dim=1).to(dtype)


def normed_heads(x):
    return norm(heads(x))


GAINS = np.array([0.5, 1.0, 3.0], np.float32)


def sharpened(q):
    return q * torch.from_numpy(GAINS)[:, None, None]


@pytest.mark.parametrize("turned", [False, True])
def test_each_row_attends_to_its_own_past(dtype, turned):
    lengths = np.array([1, 17, 4, 40, 16])
    slots = random_slots(dtype, 55 + ROWS)
    past = np.stack([np.random.default_rng(row).permutation(55)[:41] for row in range(ROWS)])
    past[np.arange(ROWS), lengths - 1] = 55 + np.arange(ROWS)  # the new slots
    projected = random(dtype, ROWS, 3, SIZE, seed=2)
    angle = random(torch.float32, ROWS, WIDTH // 2 if turned else 0, seed=3)
    cos, sin = angle.cos(), angle.sin()
    result, before = torch.zeros(ROWS, SIZE, dtype=dtype), slots.clone()
    many_rows.attend_past(
        flat(projected), past, lengths, flat(slots), GAINS, SIZE, cos.numpy(), sin.numpy(), flat(result)
    )
    assert torch.equal(slots[:55], before[:55])
    for row in range(ROWS):
        q, k = (normed_heads(projected[row, i]) for i in (0, 1))
        if turned:
            q, k = (rotate(part, (cos[row], sin[row])) for part in (q, k))
        own = torch.from_numpy(past[row, : lengths[row]])
        keys, values = (heads(slots[own, i]) for i in (0, 1))
        torch.testing.assert_close(keys[:, :, -1:], k, atol=TYPES[dtype], rtol=1e-2)
        torch.testing.assert_close(values[:, :, -1:], heads(projected[row, 2]))
        expected = by_equations(sharpened(q), keys, values, None)
        torch.testing.assert_close(heads(result[row]), expected, atol=TYPES[dtype], rtol=1e-2)


def test_each_row_attends_to_its_source(dtype):
    bounds, owners = np.array([0, 1, 18, 22]), np.array([1, 1, 0, 2, 1])
    slots, projected = random_slots(dtype, 22), random(dtype, ROWS, SIZE, seed=2)
    result = torch.zeros(ROWS, SIZE, dtype=dtype)
    many_rows.attend_sources(flat(projected), owners, bounds, flat(slots), GAINS, SIZE, flat(result))
    for row, owner in enumerate(owners):
        keys, values = (heads(slots[bounds[owner] : bounds[owner + 1], i]) for i in (0, 1))
        expected = by_equations(sharpened(normed_heads(projected[row])), keys, values, None)
        torch.testing.assert_close(heads(result[row]), expected, atol=TYPES[dtype], rtol=1e-2)


def test_scores_as_far_apart_as_can_be():
    """Of keys alike and opposite to the query the scores are g sqrt(E) and -g sqrt(E)."""
    gains = np.array([1.0, 3.0, 50.0], np.float32)
    key = norm(random(torch.float32, HEADS, WIDTH)).view(SIZE)
    for first, expected in ((key, 1.0), (-key, 1 / 2)):
        slots = torch.stack((torch.stack((first, torch.ones(SIZE))), torch.stack((-key, torch.zeros(SIZE)))))
        result = torch.zeros(1, SIZE)
        many_rows.attend_sources(
            flat(key), np.array([0]), np.array([0, 2]), flat(slots), gains, SIZE, flat(result)
        )  # fmt: skip
        torch.testing.assert_close(result, torch.full((1, SIZE), expected), atol=1e-4, rtol=1e-5)


def test_keys_and_values_of_each_layer(dtype):
    projected = random(dtype, 7, 2, 2, SIZE)  # tokens, layers
    for layer in range(2):
        slots = torch.zeros(6, 2, SIZE, dtype=dtype)
        many_rows.keys_values(flat(projected), 2, layer, flat(slots), SIZE, WIDTH)
        torch.testing.assert_close(
            heads(slots[:, 0]), normed_heads(projected[:6, layer, 0]), atol=TYPES[dtype], rtol=1e-2
        )
        assert torch.equal(slots[:, 1], projected[:6, layer, 1])


def some_logits(dtype, vocab_size, rows=20):
    """(rows, columns), some alike, and a bias that is -inf where there is no token."""
    columns = -(-vocab_size // 16) * 16
    logits = (random(torch.float32, rows, columns) * 3).round(decimals=1).to(dtype)
    bias = np.random.default_rng(2).integers(-2, 2, columns).astype(np.float32)
    bias[vocab_size:], bias[BOS] = -np.inf, -np.inf
    return logits, bias


@pytest.mark.parametrize("number", [1, 5, 30])
@pytest.mark.parametrize("vocab_size", [5, 16, 100, 777])
def test_the_best_are_those_of_a_sort(dtype, vocab_size, number):
    logits, bias = some_logits(dtype, vocab_size)
    logits[0, EOS] = 50.0  # hides what is in its lane
    rows = len(logits)
    tokens, log_probs = np.zeros((rows, number), np.int64), np.zeros((rows, number), np.float32)
    ends = np.zeros(rows, np.float32)
    many_rows.best(flat(logits), bias, tokens, log_probs, ends)
    expected, values, expected_ends = many_rows.best_by_sorting(logits.float().numpy(), bias, number)
    there = np.isfinite(values)
    found = log_probs[:, : values.shape[1]]
    assert np.array_equal(np.isfinite(log_probs).sum(1), there.sum(1))
    assert np.array_equal(tokens[:, : values.shape[1]][there], expected[there])
    np.testing.assert_allclose(found[there], values[there], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ends, expected_ends, rtol=1e-5, atol=1e-5)


def test_log_probabilities(dtype):
    logits, bias = some_logits(dtype, 100)
    found = np.empty((len(logits), 100), np.float32)
    many_rows.log_probabilities(flat(logits), bias, found)
    expected = torch.log_softmax(logits.float() + torch.from_numpy(bias), dim=1)[:, :100]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (found[:, BOS] == -np.inf).all()
