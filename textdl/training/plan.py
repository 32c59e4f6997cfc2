"""What training will do, settled before its first step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know; families have defaults for it."""

    learning_rate: float
    warmup: float
    weight_decay: float
    clip: float
    epochs: float
    """Passes over the data where there is no deadline."""
    patience: int
    """Validations without improvement after which training stops."""
    optimiser: str = "adamw"
    schedule: str = "cosine"
    accumulate: int = 1
    """Batches whose gradients make one step."""
    label_smoothing: float = 0.0
    ema: float = 0.0
    """Decay of the moving average of the weights; 0: there is none."""
    precision: str | None = None
    """`float32` or `bfloat16`; None: by what the hardware has, and with a deadline by what is faster."""
    compile: bool = False


@dataclass(frozen=True)
class Plan:
    """How many steps, and how."""

    steps: int
    epochs: float
    """Passes over the data that these steps make."""
    validations: int
    """How many, evenly spread; the last one after the last step."""
    validation_tokens: int
    precision: str
    threads: int
    step_seconds: float | None = None
    """Measured by the probe; None without a deadline."""
    validation_seconds: float = 0.0
    final_seconds: float = 0.0
    """Kept free for the validation of the result on all of the validation text; 0: there will be none."""


def revised(total: int, step: int, step_seconds: float, left: float) -> int:
    """The number of steps that can be taken in all, at the present speed and with so many seconds left; `total` if about right."""
    possible = max(1, int(0.98 * left / step_seconds))
    if 0.9 * possible <= total - step <= possible:
        return total
    return step + possible
