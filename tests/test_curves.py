from __future__ import annotations

from pathlib import Path

import pytest

from textdl import curves
from textdl.errors import UsageError


@pytest.mark.parametrize(
    "curve",
    [
        [{"epoch": 1, "loss": 2.0, "alpha": 0.02}, {"epoch": 2, "loss": 1.5, "valid_loss": 1.6, "alpha": 0.01}],
        [{"step": 9, "epoch": 0.5, "train_loss": 2.0, "valid_loss": None, "learning_rate": 0.1}],
    ],
)
def test_every_familys_curve_is_drawn(curve: list[dict[str, float]], tmp_path: Path) -> None:
    curves.plot(tmp_path / "c.png", "诗 vectors", curve)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="m has no training curve"):
        curves.plot(tmp_path / "c.png", "m", [])
