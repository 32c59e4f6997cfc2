"""Several processes that train one network together: data parallelism.

`torchrun --nproc-per-node 2 -m textdl train ...` starts the same command in each process. Every process has the
whole network and reads the same batches, of which it takes its share of the rows. Gradients are sums of nats over
tokens, so their sum over the processes, divided by the tokens of the whole batch, is exactly the gradient of one
process with the whole batch. All decisions, where clocks could differ, are those of rank 0.

The backend is gloo on processors and nccl on GPUs, one GPU a process. A process alone needs none of it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import Tensor, distributed

from textdl.errors import TextdlError
from textdl.protocols import Run


class Team:
    """The processes together; by default one alone."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size = rank, size
        self._device = device
        self._stopped = False

    def share(self, rows: int) -> slice:
        """Which of the rows of a batch are this process's; none where there are too few."""
        return slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def gather(self, part: Tensor, rows: int) -> Tensor:
        """Shares of the rows to all rows, (rows, ...), the same on all processes."""
        if self.size == 1:
            return part
        whole = part.new_zeros((rows, *part.shape[1:]))
        whole[self.share(rows)] = part
        return self.sum(whole)

    def total(self, *values: float) -> list[float]:
        """Each summed over all processes."""
        if self.size == 1:
            return list(values)
        total: list[float] = self.sum(torch.tensor(values, dtype=torch.float64, device=self._device)).tolist()
        return total

    def agree(self, *values: float) -> list[float]:
        """Those of rank 0."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self._device)
        distributed.broadcast(tensor, src=0)
        agreed: list[float] = tensor.tolist()
        return agreed

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """A signal handler: whoever is told to stop tells the others at the next step."""
        self._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether this process was told to stop. Alone it never is: there Ctrl-C is a KeyboardInterrupt."""
        return self._stopped


@contextmanager
def joined(run: Run, device: torch.device) -> Iterator[Team]:
    """The processes of which `run` is one, until the end of the block.

    Ctrl-C, and SIGTERM, which is how torchrun passes it on, stop all of them after the same step.

    Raises:
        TextdlError: another process is gone.
    """
    if run.ranks == 1:
        yield Team()
        return
    team = Team(run.rank, run.ranks, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The address is in the environment, where torchrun put it.
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=run.rank, world_size=run.ranks)
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.signal(number, team.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield team
        distributed.barrier()  # nobody hangs up while another still listens
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise TextdlError(
            f"training: process {run.rank} of {run.ranks} has lost the others ({' '.join(str(error).split()):.120}). One of "
            "them ended or crashed: what it said stands before this. "
            + ("The same command with --resume goes on from the last checkpoint." if run.checkpoint is not None else "")
        ) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        distributed.destroy_process_group()


def local_device(device: torch.device, run: Run) -> torch.device:
    """Of several processes on one machine each takes the GPU that torchrun counts off for it."""
    if run.ranks == 1 or device.type != "cuda":
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", f"{run.rank}")))
