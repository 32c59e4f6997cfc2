"""What a recipe is, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdl.protocols import Run


@dataclass(frozen=True)
class Figure:
    """One number that a recipe promises."""

    name: str
    expected: float
    tolerance: float
    """How far `got` may be off, either way. 0 of what has to be the same on every machine."""
    got: float | None = None

    @property
    def held(self) -> bool:
        """Whether what came out is what was expected."""
        # what is the same up to the last digits of a sum counts as equal
        return self.got is not None and abs(self.got - self.expected) <= self.tolerance + 1e-9 * abs(self.expected)

    def to_dict(self) -> dict[str, Any]:
        return {
            "figure": self.name, "got": self.got, "expected": self.expected, "tolerance": self.tolerance, "held": self.held,
        }  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """An experiment with its outcome."""

    title: str
    minutes: float
    """On two cores, about."""
    figures: tuple[Figure, ...]
    cook: Callable[[Path, Run], dict[str, float]]
    """Do it, with models under a directory; gives a number for the name of each figure."""

    def reproduce(self, directory: Path, run: Run) -> list[Figure]:
        """The figures with what came out now."""
        got = self.cook(directory, run)
        assert set(got) == {figure.name for figure in self.figures}
        return [Figure(f.name, f.expected, f.tolerance, got[f.name]) for f in self.figures]
