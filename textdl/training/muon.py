"""Muon: a step by momentum, made orthogonal (Jordan et al. 2024).

    M = 0.95 M + 0.05 G                      G (m, n): the gradient of a matrix
    N = 0.95 M + 0.05 G                      the momentum that the next step would have (Nesterov)
    W = W - rate * 0.2 sqrt(max(m, n)) o(N)

Of N = U S V^T, o(N) is nearly U V^T: a step of about one length in every direction, where gradients are large in the few
directions that most of a batch agrees on. The factor makes an entry of it as large as AdamW's, so that one learning rate
serves both (Liu et al. 2025, equation 4).

o is found by products alone. p(X) = a X + b (X X^T) X + c (X X^T)^2 X has the singular vectors of X, and for a singular value
s it has a s + b s^3 + c s^5. Five times over, what lies between 0.01 and 1 comes to lie between 0.68 and 1.14.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from textdl.layers.device import fast_bfloat16

_MOMENTUM = 0.95
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Of p: as steep at 0 as can be without leaving that range (Jordan et al. 2024)."""
_ROUNDS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """(K, m, n) to o of each, m at most n. What is 0 stays 0."""
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=_B, alpha=_C), x, beta=_A)
    return x


class Muon(torch.optim.Optimizer):
    """For parameters (..., m, n): matrices, or stacks of them. Those of one shape are made orthogonal in one call."""

    def __init__(self, parameters: Iterable[nn.Parameter], weight_decay: float):
        super().__init__(parameters, {"lr": 0.0, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """One step by the gradients there are."""
        for group in self.param_groups:
            rate, decay = group["lr"], group["weight_decay"]
            alike: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    low, high = sorted(parameter.shape[-2:])
                    alike[low, high].append(parameter)
            for (_, high), parameters in alike.items():
                steps = orthogonal(torch.cat([self._direction(p) for p in parameters]))
                for p, made in zip(parameters, steps.split([p[..., 0, 0].numel() for p in parameters]), strict=True):
                    made = made.mT if _tall(p) else made
                    p.mul_(1 - rate * decay).sub_(made.reshape(p.shape), alpha=rate * 0.2 * math.sqrt(high))

    def _direction(self, p: nn.Parameter) -> Tensor:
        """(K, m, n) N of the matrices of a parameter, m at most n."""
        assert p.grad is not None
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        momentum = state["momentum"].lerp_(p.grad, 1 - _MOMENTUM)
        direction = p.grad.lerp(momentum, _MOMENTUM).reshape(-1, *p.shape[-2:])
        direction = direction.mT if _tall(p) else direction
        return direction.bfloat16() if fast_bfloat16(p.device) else direction


def _tall(p: nn.Parameter) -> bool:
    return bool(p.shape[-2] > p.shape[-1])
