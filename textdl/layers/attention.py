"""Multi-head attention (Vaswani et al. 2017, section 3.2): each position gathers from those it may look at.

    q_i = n(W_q x_i)   k_j = n(W_k y_j)   v_j = W_v y_j    y = x: self-attention; y = the source: cross-attention
    a_ij = softmax_j(g q_i . k_j / sqrt(E))                over the j that the mask allows
    o_i  = W_o sum_j a_ij v_j                              in H heads of E = D / H features, side by side

n gives queries and keys mean 0 and variance 1, so that scores do not grow by chance and a high learning rate does no
harm; they are within g sqrt(E), and how sharp a head may look, g, is learnt (Henry et al. 2020, equation 4). With g = 1
the positions of a long string cannot be told apart well enough to copy it.

`by_equations` is the middle line as it stands. What runs is, by what was measured:
- torch's fused kernel, `F.scaled_dot_product_attention`, which never has the (T, S) scores in memory. On a
  processor its bfloat16 backward is slow: 35 ms where plain products take 12 (16 x 4 heads, T 256, E 64, one thread);
- so while training in bfloat16 on a processor, plain products (`_by_products`), up to a length;
- rows of different lengths end to end on a processor: packed_attention.py.
Left out: dropout of the weights a_ij.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.errors import UsageError
from textdl.layers import packed_attention
from textdl.layers.masks import View
from textdl.layers.packing import Packing
from textdl.layers.positions import Rotation, rotate

_SHORT = 512
"""Keys up to which scores are kept in memory."""


def by_equations(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None) -> Tensor:
    """(B, H, T, E), (B, H, S, E) twice, bool that broadcasts to (B, H, T, S), to (B, H, T, E). To be read, and to test."""
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    weights = scores.softmax(dim=-1)
    return weights @ values


def attend(queries: Tensor, keys: Tensor, values: Tensor, view: View) -> Tensor:
    """The same, fast."""
    training = queries.requires_grad and queries.dtype == torch.bfloat16 and queries.device.type == "cpu"
    if training and keys.shape[2] <= _SHORT:
        return _by_products(queries, keys, values, view)
    result: Tensor = F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=view.allowed, is_causal=view.is_causal
    )
    return result


def _by_products(queries: Tensor, keys: Tensor, values: Tensor, view: View) -> Tensor:
    """by_equations with scale and mask inside the first product."""
    b, h, t, e = queries.shape
    s = keys.shape[2]
    bias = view.bias(t, s, queries.dtype, queries.device)
    if bias is None:
        bias = queries.new_zeros(())
    elif bias.ndim > 2:
        bias = bias.expand(b, h, t, s).reshape(b * h, t, s)
    q, k, v = (x.reshape(b * h, -1, e) for x in (queries, keys, values))
    scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=1.0 / math.sqrt(e))
    return torch.bmm(scores.softmax(dim=-1), v).view(b, h, t, e)


@dataclass(frozen=True)
class LayerCache:
    """The keys and values of the positions that one layer has seen. Written in place."""

    tensor: Tensor
    """(B, 2, H, C, E): keys and values of C positions, C as many as there is room for."""
    first: int | Tensor
    """The position of the new ones, one for all rows, or (B, T) positions where rows differ."""
    end: int
    """Positions there are in the longest row, with the new ones."""

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, T, E) new keys and values to those of all positions up to `end`."""
        steps = keys.shape[2]
        for i, new in enumerate((keys, values)):
            if isinstance(self.first, int):
                self.tensor[:, i, :, self.first : self.first + steps] = new
            else:
                rows = torch.arange(len(new), device=new.device)[:, None]
                self.tensor[rows, i, :, self.first] = new.transpose(1, 2)
        return self.tensor[:, 0, :, : self.end], self.tensor[:, 1, :, : self.end]


class MultiHeadAttention(nn.Module):
    """H heads side by side. `forward` attends to its own sequence, `across` to another."""

    def __init__(self, size: int, heads: int):
        super().__init__()
        if size % heads:
            raise UsageError(
                f"--heads {heads}: {heads} heads cannot share {size} features. Choose a size that is a multiple of the heads."
            )
        self.heads = heads
        self.weight = nn.Parameter(torch.zeros(3, size, size))  # W_q, W_k, W_v: one product for all three
        self.output = nn.Parameter(torch.zeros(size, size))
        self.log_gains = nn.Parameter(torch.zeros(heads))  # log g: g stays above 0
        self.register_load_state_dict_pre_hook(_with_gains)

    @property
    def gains(self) -> Tensor:
        """(H,) g of each head."""
        return self.log_gains.float().exp()

    def initialise(self, generator: torch.Generator, gain: float = 1.0) -> None:
        """W_o begins at 0: a new layer does nothing, and learns from there (Zhang et al. 2019, Fixup). gain: g at first."""
        with torch.no_grad():
            self.log_gains.fill_(math.log(gain))
            self.weight.normal_(0.0, 1.0 / math.sqrt(self.weight.shape[-1]), generator=generator)
            self.output.zero_()

    def forward(
        self, x: Tensor, view: View, rotation: Rotation | None = None, cache: LayerCache | None = None
    ) -> Tensor:
        """x (B, T, D) to the same shape. cache: also looked at, and extended by these positions."""
        if x.requires_grad:  # slices of one product would cost a copy there and a sum of two back
            both, v = self._project(x, 0, 2), self._project(x, 2, 3)
        else:
            both, v = self._project(x, 0, 3).split((2 * self.heads, self.heads), dim=2)
        both = _normalised(both)  # queries and keys: half the calls of one by one
        if rotation is not None:
            both = rotate(both, rotation)
        q, k = both.transpose(1, 2).chunk(2, dim=1)
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(k, v)
        return self._joined(attend(self._sharpened(q), k, v, view))

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, D) to the (B, H, S, E) keys and values that `across` looks at: made once for a source."""
        k, v = _normalised(self._project(source, 1, 2)), self._project(source, 2, 3)
        return k.transpose(1, 2), v.transpose(1, 2)

    def across(self, x: Tensor, keys_values: tuple[Tensor, Tensor], view: View) -> Tensor:
        """x (B, T, D) looks at another sequence."""
        q = _normalised(self._project(x, 0, 1)).transpose(1, 2)
        return self._joined(attend(self._sharpened(q), *keys_values, view))

    def packed(
        self, x: Tensor, at: Packing, rotation: Rotation | None = None, *, causal: bool = False,
        memory: tuple[Tensor, Packing] | None = None,
    ) -> Tensor:  # fmt: skip
        """`forward` or, with a memory, `across`, of rows end to end (layers/packing.py).

        Args:
            x: (N, D), and `at`: where its tokens are.
            causal: each looks no further than itself; else at all of its row.
            memory: (M, D) and where its tokens are: row i of x looks at its row i.
        """
        weight = self.weight.to(x.dtype)
        source, of_source = (x, at) if memory is None else memory
        if packed_attention.takes(x, self.heads):
            shape = packed_attention.Shape(self.heads, causal)
            if memory is None:
                projected = F.linear(x, weight.flatten(0, 1))
                context = packed_attention.attend_to_self(projected, self.log_gains, at.lengths, shape, rotation)
            else:
                queries, keys_values = F.linear(x, weight[0]), F.linear(source, weight[1:].flatten(0, 1))
                context = packed_attention.attend_to_other(
                    queries, keys_values, self.log_gains, at.lengths, of_source.lengths, shape
                )
            return F.linear(context, self.output.to(context.dtype))
        q, k = (_normalised(self._project(y, i, i + 1)) for i, y in enumerate((x, source)))
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        v = self._project(source, 2, 3)
        q, k, v = at.side_by_side(q), of_source.side_by_side(k), of_source.side_by_side(v)
        weighted = F.scaled_dot_product_attention(
            self._sharpened(q), k, v, attn_mask=of_source.allowed(at, causal=causal)
        )
        context = at.end_to_end(weighted)
        return F.linear(context, self.output.to(context.dtype))

    def weights(self, x: Tensor, keys: Tensor, view: View) -> Tensor:
        """(B, H, T, S) how x (B, T, D) would look at keys (B, H, S, E) of `keys_values`. To be looked at."""
        q = self._sharpened(_normalised(self._project(x, 0, 1)).transpose(1, 2))
        scores = q @ keys.transpose(-1, -2) / math.sqrt(q.shape[-1])
        table = view.table(q.shape[2], keys.shape[2], x.device)
        return (scores if table is None else scores.masked_fill(~table, -math.inf)).softmax(dim=-1)

    def _project(self, x: Tensor, first: int, last: int) -> Tensor:
        """Some of W_q, W_k, W_v applied: (B, T, heads of the first and of the next, E)."""
        weight = self.weight[first:last].flatten(0, 1).to(x.dtype)
        return F.linear(x, weight).unflatten(-1, ((last - first) * self.heads, -1))

    def _sharpened(self, queries: Tensor) -> Tensor:
        """(B, H, T, E), times g."""
        return queries * self.gains[:, None, None].to(queries.dtype)

    def _joined(self, heads: Tensor) -> Tensor:
        return F.linear(heads.transpose(1, 2).flatten(2), self.output.to(heads.dtype))


def _normalised(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def _with_gains(attention: MultiHeadAttention, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """In networks that were saved before g was learnt it is 1."""
    state.setdefault(f"{prefix}log_gains", torch.zeros(attention.heads))
