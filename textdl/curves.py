"""The training curve of a model as a picture: losses and learning rate over epochs, for every family.

Records are those of log.jsonl: `epoch`, any of `loss` or `train_loss` (while training) and `valid_loss` (on held-out
text), in nats, and `alpha` or `learning_rate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textdl.errors import UsageError
from textdl.figures import drawing

_LOSSES = {"loss": "training", "train_loss": "training", "valid_loss": "held-out text"}
_RATES = ("alpha", "learning_rate")
_COLOURS = {"training": "#4269d0", "held-out text": "#ff725c"}


def plot(path: Path, name: str, curve: Sequence[Mapping[str, Any]]) -> None:
    """Draw a training curve to a .png or .svg file, with the best epoch on held-out text marked.

    Raises:
        UsageError: there is nothing to draw, matplotlib is not installed, or the file cannot be written.
    """
    lines = {
        key: [(record["epoch"], record[key]) for record in curve if record.get(key) is not None]
        for key in (*_LOSSES, *_RATES)
    }
    if not any(lines[key] for key in _LOSSES):
        raise UsageError(f"{name} has no training curve to draw: its family does not train in epochs")
    with drawing(name) as draw:
        figure = draw.figure()
        axes = figure.add_subplot(title=draw.label(name), xlabel="epoch", ylabel="nats a prediction")
        for key, label in _LOSSES.items():
            if lines[key]:
                axes.plot(*zip(*lines[key], strict=True), color=_COLOURS[label], marker=".", label=label)
        if lines["valid_loss"]:
            epoch, loss = min(lines["valid_loss"], key=lambda point: point[1])
            axes.annotate(f"{loss:.4f}", (epoch, loss), (0, 8), textcoords="offset points", ha="center")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        for key in _RATES:
            if lines[key]:
                beside = axes.twinx()
                beside.plot(*zip(*lines[key], strict=True), color="0.6", linewidth=1, linestyle=":")
                beside.set(ylabel="learning rate (dotted)")
                beside.grid(visible=False)
                beside.spines["right"].set_visible(True)
        draw.save(figure, path)
