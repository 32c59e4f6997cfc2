"""All that training goes on from: to go back to when it breaks down, and to write into a checkpoint.

Weights, their average, the best ones, the optimiser's sums, the carried state, where dropout draws from, and
where in the data and in the plan training stands. Named arrays and JSON; restoring gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass
class Position:
    """Where training stands. All of it is JSON."""

    total: int
    """Steps in all, as planned now."""
    step: int = 0
    epoch: int = 0
    """Of the data, from 0."""
    batch: int = 0
    """Batches read of that epoch."""
    progress: float = 0.0
    """Share of the schedule that is done."""
    trained: int = 0
    """Tokens."""
    validated: int = 0
    waited: int = 0
    """Validations since the best one."""
    best_loss: float | None = None
    best_step: int = 0
    best_is_average: bool = False
    slowed: float = 1.0
    """Factor of the learning rate, below 1 after a break-down."""
    spikes: int = 0
    """Gradients far larger than usual."""
    nats: float = 0.0
    loss: float = 0.0
    tokens: int = 0
    recent_seconds: float = 0.0
    """The four: since the last record of the curve."""
    stepping: float = 0.0
    """Seconds spent in steps."""
    seconds: float = 0.0
    """And in all."""
    validation_seconds: float = 0.0
    """That the last validation took."""


@dataclass(frozen=True)
class Snapshot:
    """Copies: nothing in it changes while training goes on."""

    position: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)
    """By `kind.name`."""

    @classmethod
    def of(cls, position: Position, **kinds: Mapping[str, Tensor]) -> Snapshot:
        tensors = {f"{kind}.{name}": t.detach().clone() for kind, named in kinds.items() for name, t in named.items()}
        return cls(asdict(position), tensors)

    @classmethod
    def from_arrays(cls, position: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Snapshot:
        # Cloned by torch, whose memory is aligned: kernels may sum in another order where it is not.
        return cls(position, {name: torch.tensor(array).clone() for name, array in arrays.items()})

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: tensor.cpu().numpy() for name, tensor in self.tensors.items()}

    def kind(self, name: str) -> dict[str, Tensor]:
        """All tensors of a kind, by what follows the dot."""
        return {key.removeprefix(f"{name}."): t for key, t in self.tensors.items() if key.startswith(f"{name}.")}


def optimiser_tensors(optimisers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The sums that optimisers keep of each parameter, by `optimiser.parameter.name`."""
    return {
        f"{i}.{number}.{name}": value
        for i, optimiser in enumerate(optimisers)
        for number, sums in optimiser.state_dict()["state"].items()
        for name, value in sums.items()
        if isinstance(value, Tensor)
    }


def restore_optimisers(optimisers: Sequence[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """From what `optimiser_tensors` gave."""
    for i, optimiser in enumerate(optimisers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            number, parameter, name = key.split(".", 2)
            if int(number) == i:
                state.setdefault(int(parameter), {})[name] = tensor.clone()
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
