"""A picture of attention: a row for each target token, a column for each source token, dark where one looks at the other.

Softmax weights of a trained network say where information was taken from, not why.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textdl.errors import UsageError
from textdl.figures import drawing
from textdl.protocols import Floats

SUFFIXES = (".png", ".svg", ".pdf")
MOST = 120
"""Tokens of a side that can be told apart on a picture."""


def check_picture(path: Path) -> None:
    """Raises UsageError where a picture cannot have that name."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: pictures are .png, .svg or .pdf, not {path.suffix!r}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no directory {path.parent}")


def check_sides(source: int, target: int) -> None:
    """Raises UsageError for more tokens than a picture can have."""
    if max(source, target) > MOST:
        raise UsageError(
            f"attention between {source} and {target} tokens is too large a picture: take a line of up to {MOST}"
        )


def draw_weights(path: Path, source: Sequence[str], target: Sequence[str], weights: Floats) -> None:
    """Write the picture.

    Args:
        source, target: pieces, with </s>; weights: (target, source), each row summing to 1.

    Raises:
        UsageError: too many tokens, another suffix than .png, .svg or .pdf, it cannot be written, or no matplotlib.
    """
    check_picture(path)
    check_sides(len(source), len(target))
    assert weights.shape == (len(target), len(source))
    names = [[piece.replace(" ", "␣") for piece in side] for side in (source, target)]
    with drawing("".join([*names[0], *names[1]])) as draw:
        figure = draw.figure(2.0 + 0.32 * len(source), 1.6 + 0.28 * len(target))
        axes = figure.add_subplot()
        axes.imshow(weights, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(source)), [draw.label(name) for name in names[0]], rotation=60, ha="left")
        axes.set_yticks(range(len(target)), [draw.label(name) for name in names[1]])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.grid(False)
        draw.save(figure, path)
