"""Where torch computes, and in what numbers: the one place that chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from textdl import memory
from textdl.errors import UsageError

_float32_only: ContextVar[bool] = ContextVar("float32_only", default=False)


def best_device() -> torch.device:
    """The GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def named_device(name: str | None) -> torch.device:
    """`cpu`, `cuda`, `cuda:1` or `mps`; None: `best_device`.

    Raises:
        UsageError: there is no such device here.
    """
    if name is None:
        return best_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: expected cpu, cuda, cuda:1 or mps.") from error
    found = {
        "cpu": device.index in (None, 0),
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not found.get(device.type, False):
        raise UsageError(f"--device {name}: torch finds none here. Leave --device out to take what there is.")
    return device


def free_memory(device: torch.device) -> int | None:
    """Bytes that may be had on it without swapping; None where nobody tells."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return memory.free_memory() if device.type == "cpu" else None


def fast_bfloat16(device: torch.device) -> bool:
    """Whether to multiply in bfloat16: this device has it in hardware (emulated, it is slow), and it is not ruled out."""
    if _float32_only.get():
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Inside, `float32` rules bfloat16 out; `bfloat16` takes it where it is fast."""
    token = _float32_only.set(name == "float32")
    try:
        yield
    finally:
        _float32_only.reset(token)
