import torch

from textdl.layers.masks import Causal, Local, Padding, View


def table(text):
    return torch.tensor([[c == "x" for c in row] for row in text.split()])


def test_causal():
    assert torch.equal(Causal().dense(3, 3), table("x.. xx. xxx"))
    assert torch.equal(Causal().dense(2, 4), table("xxx. xxxx"))  # the last two of four positions


def test_local_and_both():
    assert torch.equal(Local(2).dense(4, 4), table("xx.. xxx. .xxx ..xx"))
    assert torch.equal((Causal() & Local(2)).dense(4, 4), table("x... xx.. .xx. ..xx"))


def test_padding_is_the_same_for_all_queries():
    allowed = Padding(torch.tensor([1, 3])).dense(2, 3)
    assert allowed.shape == (2, 1, 1, 3)
    assert torch.equal(allowed[:, 0, 0], table("x.. xxx"))
    both = (Causal() & Padding(torch.tensor([1, 3]))).dense(3, 3)
    assert torch.equal(both[:, 0], torch.stack((table("x.. x.. x.."), table("x.. xx. xxx"))))


def test_a_view_has_no_table_where_kernels_need_none():
    cpu = torch.device("cpu")
    assert View.of(Causal(), 4, 4, cpu).is_causal
    for free in (View.of(Causal(), 1, 4, cpu), View.of(None, 3, 4, cpu)):
        assert free.allowed is None
        assert not free.is_causal
    assert torch.equal(View.of(Causal(), 2, 4, cpu).allowed, Causal().dense(2, 4))
    assert torch.equal(View.of(Causal() & Local(2), 4, 4, cpu).allowed, (Causal() & Local(2)).dense(4, 4))


def test_a_view_of_rows_that_differ():
    view = View.at(Causal(), torch.tensor([[0], [2]]), 4)
    assert torch.equal(view.allowed[:, 0], torch.stack((table("x..."), table("xxx."))))


def test_a_bias_is_made_once_for_each_type():
    cpu = torch.device("cpu")
    view = View.of(Causal(), 3, 3, cpu)
    bias = view.bias(3, 3, torch.bfloat16, cpu)
    assert torch.equal(bias == 0, Causal().dense(3, 3))
    assert bias[0, 1] == -torch.inf
    assert view.bias(3, 3, torch.bfloat16, cpu) is bias
    assert view.bias(3, 3, torch.float32, cpu).dtype == torch.float32
    assert View().bias(3, 3, torch.float32, cpu) is None
