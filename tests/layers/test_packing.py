import numpy as np
import pytest
import torch

from textdl.layers.attention import MultiHeadAttention
from textdl.layers.masks import Causal, Padding, View
from textdl.layers.packing import Packing
from textdl.layers.positions import Rotary

LENGTHS = torch.tensor([3, 1, 5, 0, 2])
SOURCES = torch.tensor([2, 4, 1, 3, 6])


def attention():
    made = MultiHeadAttention(8, 2)
    made.initialise(torch.Generator().manual_seed(1))
    torch.nn.init.normal_(made.output, generator=torch.Generator().manual_seed(2))
    return made


def rows(lengths, seed):
    return torch.randn(len(lengths), int(lengths.max()), 8, generator=torch.Generator().manual_seed(seed))


def inside(lengths):
    return torch.arange(int(lengths.max())) < lengths[:, None]


def test_packed_and_unpacked_again():
    x, at = rows(LENGTHS, 1), Packing(LENGTHS, 2)
    packed = at.pack(x)
    assert packed.shape == (256, 8)
    assert at.tokens == 11
    torch.testing.assert_close(packed[:11], x[inside(LENGTHS)])
    assert not packed[11:].any()
    again = at.unpack(packed, 7)
    torch.testing.assert_close(again[:, :5][inside(LENGTHS)], x[inside(LENGTHS)])
    assert not again[:, 5:].any()
    assert at.positions[:11].tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 4, 0, 1]


def test_there_is_always_a_row_that_stands_for_none():
    at = Packing(torch.tensor([200, 56]), 2)
    assert at.size == 512
    x = torch.ones(2, 200, 8)
    assert not at.unpack(at.pack(x), 200)[1, 56:].any()


def test_shapes_are_few():
    assert {Packing(torch.full((n,), 10), 2).size for n in range(1, 77)} == {256, 512, 768}


def test_self_attention_is_that_of_padded_rows():
    layer, x = attention(), rows(LENGTHS, 3)
    rotary = Rotary(8, 2, 16)
    at = Packing(LENGTHS, 2)
    for causal in (False, True):
        mask = Padding(LENGTHS.clamp_min(1)) & Causal() if causal else Padding(LENGTHS.clamp_min(1))
        rotation = rotary.rotation(torch.arange(5), torch.float32)
        padded = layer(x, View.of(mask, 5, 5, x.device), rotation)
        packed = layer.packed(at.pack(x), at, rotary.rotation(at.positions, torch.float32), causal=causal)
        torch.testing.assert_close(at.unpack(packed, 5)[inside(LENGTHS)], padded[inside(LENGTHS)])


def test_cross_attention_by_the_equations_in_numpy():
    layer, y, m = attention(), rows(LENGTHS, 4), rows(SOURCES, 5)
    at, of_memory = Packing(LENGTHS, 2), Packing(SOURCES, 2)
    with torch.no_grad():
        packed = layer.packed(at.pack(y), at, memory=(of_memory.pack(m), of_memory))
        found = at.unpack(packed, 5).numpy()
    w_q, w_k, w_v = layer.weight.detach().numpy()

    def heads(x, w, normalised):
        h = (x @ w.T).reshape(len(x), 2, 4)
        return (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5) if normalised else h

    for i, (t, s) in enumerate(zip(LENGTHS.tolist(), SOURCES.tolist(), strict=True)):
        q, k, v = (
            heads(x, w, n)
            for x, w, n in (
                (y[i, :t].numpy(), w_q, True),
                (m[i, :s].numpy(), w_k, True),
                (m[i, :s].numpy(), w_v, False),
            )
        )
        scores = np.einsum("the,she->hts", q, k) / 2.0
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        expected = np.einsum("hts,she->the", weights, v).reshape(t, 8) @ layer.output.detach().numpy().T
        np.testing.assert_allclose(found[i, :t], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("lengths", "sources"), [((520, 3), (2, 530)), ((5, 3), (2, 530)), ((530, 4), (3, 1))])
def test_long_rows_are_attended_to_without_their_scores_in_memory(lengths, sources):
    lengths, sources = torch.tensor(lengths), torch.tensor(sources)
    layer, y, m = attention(), rows(lengths, 1).requires_grad_(), rows(sources, 2)
    at, of_memory = Packing(lengths, 2), Packing(sources, 2)
    weight = rows(lengths, 3) * inside(lengths)[..., None]

    def padded(x):
        mask = Padding(lengths) & Causal()
        x = layer(x, View.of(mask, x.shape[1], x.shape[1], x.device))
        view = View.of(Padding(sources), x.shape[1], m.shape[1], x.device)
        return layer.across(x, layer.keys_values(m), view)

    def packed(x):
        x = layer.packed(at.pack(x), at, causal=True)
        return at.unpack(layer.packed(x, at, memory=(of_memory.pack(m), of_memory)), int(lengths.max()))

    found = []
    for way in (padded, packed):
        y.grad = None
        out = way(y)
        (out * weight).sum().backward()
        found.append((out.detach()[inside(lengths)], y.grad[inside(lengths)]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_are_those_of_padded_rows(causal):
    layer, x = attention(), rows(LENGTHS, 6)
    mask = Padding(LENGTHS.clamp_min(1)) & Causal() if causal else Padding(LENGTHS.clamp_min(1))
    weight = rows(LENGTHS, 7) * inside(LENGTHS)[..., None]
    found = []
    for packed in (True, False):
        layer.zero_grad()
        given = x.clone().requires_grad_()
        if packed:
            at = Packing(LENGTHS, 2)
            out = at.unpack(layer.packed(at.pack(given), at, causal=causal), 5)
        else:
            out = layer(given, View.of(mask, 5, 5, x.device))
        (out * weight).sum().backward()
        found.append((given.grad * inside(LENGTHS)[..., None], layer.weight.grad.clone(), layer.output.grad.clone()))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_cross_gradients_reach_the_memory_and_no_further():
    layer, y, m = attention(), rows(LENGTHS, 8), rows(SOURCES, 9)
    at, of_memory = Packing(LENGTHS, 2), Packing(SOURCES, 2)
    memory = of_memory.pack(m).requires_grad_()
    packed = layer.packed(at.pack(y), at, memory=(memory, of_memory))
    (at.unpack(packed, 5) * inside(LENGTHS)[..., None]).square().sum().backward()
    assert (
        memory.grad[: of_memory.tokens].abs().sum(1).min() == 0
    )  # row 3 has no target, so its source is not looked at
    assert memory.grad[0].abs().sum() > 0
    assert not memory.grad[of_memory.tokens :].any()
