"""A map of words: their vectors in the plane, with labels that can be read.

Vectors are taken at length 1, so that near means alike by cosine. PCA (Pearson 1901) keeps the two directions along
which the chosen words differ most, and says how much of their differences that is: what is far apart on the map is far
apart in truth. t-SNE (van der Maaten and Hinton 2008) keeps neighbours together and nothing else: distances
between groups, and their sizes, mean nothing. The one file that knows scikit-learn.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textdl.errors import UsageError
from textdl.figures import COLOURS, Drawing, drawing

METHODS = ("pca", "tsne")
SUFFIXES = (".png", ".svg", ".pdf")
_WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""On which side of its point a label may stand, best first."""
_REACHES = (4.0, 9.0, 16.0, 26.0, 40.0, 60.0)
"""How far from it, in points; beyond the second with a line to it."""
_PERPLEXITY = 30.0
"""Neighbours that t-SNE looks at, as its authors advise; fewer where there are few words."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Words that are drawn in one colour."""

    title: str
    """Empty: not named."""
    words: list[int]
    """Places in the list of words."""


def project(vectors: NDArray[Any], method: Literal["pca", "tsne"], *, seed: int) -> tuple[Points, list[float]]:
    """Vectors (N, D) in the plane: (N, 2), and for PCA the share of the variance along each axis.

    The same vectors and seed give the same points, on the same machine and versions of libraries.

    Raises:
        UsageError: fewer than three words, an unknown method, or scikit-learn is not installed.
    """
    if method not in METHODS:
        raise UsageError(f"method is {method!r}; expected pca or tsne")
    if len(vectors) < 3:
        raise UsageError(f"a map needs 3 words or more, got {len(vectors)}. Name more, or give --top.")
    units = _units(vectors)
    sklearn = _sklearn()
    if method == "pca":
        pca = sklearn.decomposition.PCA(2, svd_solver="full")
        points = pca.fit_transform(units)
        return _upright(points), [float(share) for share in np.nan_to_num(pca.explained_variance_ratio_)]
    perplexity = min(_PERPLEXITY, (len(units) - 1) / 3)
    tsne = sklearn.manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed, method="exact")
    return _upright(tsne.fit_transform(units).astype(np.float64)), []


def clusters(vectors: NDArray[Any], number: int, *, seed: int) -> NDArray[np.int64]:
    """(N,) to which of `number` groups each vector belongs (k-means on vectors of length 1), the largest first."""
    means = _sklearn().cluster.KMeans(number, n_init=10, random_state=seed)
    labels = means.fit_predict(_units(vectors))
    order = np.argsort(-np.bincount(labels, minlength=number), kind="stable")
    found: NDArray[np.int64] = np.argsort(order)[labels]
    return found


def _sklearn() -> Any:
    try:
        import sklearn.cluster
        import sklearn.decomposition
        import sklearn.manifold
    except ImportError as error:
        raise UsageError('a map of words needs scikit-learn. Run `pip install "textdl[plot]"`.') from error
    return sklearn


def _units(vectors: NDArray[Any]) -> Points:
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Points = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units


def _upright(points: NDArray[Any]) -> Points:
    """Mirrored so that the first word lies left and low: an axis has no direction of its own."""
    turned: Points = np.asarray(points, np.float64) * np.where(points[0] > 0, -1, 1)
    return turned


def draw_map(
    path: Path,
    words: Sequence[str],
    points: Points,
    *,
    groups: Sequence[Group] = (),
    shades: NDArray[np.float64] | None = None,
    shade_title: str = "",
    large: Sequence[int] = (),
    title: str = "",
    axes_titles: Sequence[str] = (),
) -> int:
    """Write the picture; return how many words have a point and, for want of room, no label.

    Args:
        points: (N, 2). Labels are placed in the order of the words, so the important ones come first.
        groups: of words, each in a colour; words of none are grey.
        shades: (N,) colour by this number instead, with a scale that shade_title names.
        large: places of words that are set larger.

    Raises:
        UsageError: another suffix than .png, .svg or .pdf, it cannot be written, or matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: pictures are .png, .svg or .pdf, not {path.suffix!r}")
    said = "".join([*words, title, shade_title, *axes_titles, *(group.title for group in groups)])
    with drawing(said) as draw:
        width = min(max(8.0, 0.85 * len(words) ** 0.5), 24.0)  # inches
        figure = draw.figure(width, 0.75 * width)
        axes = figure.add_subplot(title=draw.label(title))
        axes.set(xticklabels=[], yticklabels=[], **dict(zip(("xlabel", "ylabel"), axes_titles, strict=False)))
        axes.tick_params(length=0)
        axes.margins(0.08)
        colours = _colours(axes, draw, points, groups, shades, shade_title)
        left_out = _labels(draw, figure, axes, words, points, colours, frozenset(large))
        draw.save(figure, path)
    return left_out


def _colours(
    axes: Any, draw: Drawing, points: Points, groups: Sequence[Group], shades: NDArray[np.float64] | None, title: str
) -> list[Any]:
    """Draw the points; the colour of each."""
    if shades is not None:
        second = np.sort(shades)[-2]  # the first is a word's cosine with itself, which would take up the scale
        drawn = axes.scatter(*points.T, c=shades, cmap="viridis_r", vmax=second, s=18, zorder=2)
        axes.figure.colorbar(drawn, ax=axes, label=draw.label(title), shrink=0.6, aspect=30)
        return [drawn.cmap(0.25 + 0.75 * drawn.norm(shade)) for shade in shades]  # the palest are hard to read
    colours: list[Any] = ["#666666"] * len(points)
    for group, colour in zip(groups, itertools.cycle(COLOURS), strict=False):
        for word in group.words:
            colours[word] = colour
    for group, colour in zip(groups, itertools.cycle(COLOURS), strict=False):
        label = draw.label(group.title) or None
        axes.scatter(*points[group.words].T, color=colour, s=18, zorder=2, label=label)
    alone = sorted(set(range(len(points))) - {word for group in groups for word in group.words})
    axes.scatter(*points[alone].T, color="#666666", s=18, zorder=2)
    if any(group.title for group in groups):
        axes.legend(loc="best", fontsize="small")
    return colours


def _labels(
    draw: Drawing,
    figure: Any,
    axes: Any,
    words: Sequence[str],
    points: Points,
    colours: Sequence[Any],
    large: frozenset[int],
) -> int:
    """Set each label beside its point where it covers no other label and no point; how many found no place."""
    figure.draw_without_rendering()  # the layout is fixed now, so that places on the paper are known
    figure.set_layout_engine("none")
    renderer, inch = draw.renderer(figure), figure.dpi / 72
    to_fraction = figure.transFigure.inverted()  # of the figure: it is saved at another resolution
    places = axes.transData.transform(points)
    frame = axes.get_window_extent(renderer)
    dots = np.column_stack([places - 3 * inch, places + 3 * inch])
    taken = np.empty((0, 4))
    left_out = 0
    for i, (word, place, colour) in enumerate(zip(words, places, colours, strict=True)):
        dark = tuple(0.72 * part for part in draw.rgb(colour))
        text = axes.text(
            0, 0, draw.label(word), fontsize=12 if i in large else 8.5, color=dark,
            transform=figure.transFigure, ha="left", va="bottom", zorder=4,
        )  # fmt: skip
        extent = text.get_window_extent(renderer)
        size = np.array([extent.width, extent.height])
        others = np.vstack([taken, np.delete(dots, i, axis=0)])
        for reach, way in itertools.product(_REACHES, _WAYS):
            centre = place + np.array(way) * (size / 2 + reach * inch / max(1, np.hypot(*way)))
            box = np.concatenate([centre - size / 2, centre + size / 2])
            inside = frame.x0 <= box[0] and frame.y0 <= box[1] and box[2] <= frame.x1 and box[3] <= frame.y1
            if inside and not _overlaps(box, others):
                break
        else:
            text.remove()
            left_out += 1
            continue
        text.set_position(tuple(to_fraction.transform(box[:2])))
        taken = np.vstack([taken, box])
        if reach > _REACHES[1]:
            nearest = np.clip(place, box[:2], box[2:])
            axes.annotate(
                "", xy=to_fraction.transform(place), xytext=to_fraction.transform(nearest),
                xycoords="figure fraction", textcoords="figure fraction", zorder=1,
                arrowprops={"arrowstyle": "-", "color": dark, "linewidth": 0.5, "alpha": 0.6},
            )  # fmt: skip
    return left_out


def _overlaps(box: Points, others: Points) -> bool:
    return bool(
        ((box[0] < others[:, 2]) & (others[:, 0] < box[2]) & (box[1] < others[:, 3]) & (others[:, 1] < box[3])).any()
    )
