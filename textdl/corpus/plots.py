"""Pictures of a corpus: lengths, scripts, frequent characters, rank-frequency, growth of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textdl.corpus.ledger import percent
from textdl.corpus.statistics import Statistics, TokenStatistics
from textdl.errors import UsageError
from textdl.figures import COLOURS, Drawing, drawing

_BAR = COLOURS[0]
_SPACES = {" ": "space", "\t": "tab", "\u3000": "wide space", "\xa0": "no-break space"}


def plot(
    directory: str | Path,
    name: str,
    statistics: Statistics,
    tokens: Sequence[TokenStatistics] = (),
    suffix: str = ".png",
) -> list[Path]:
    """Write lengths, scripts and characters, and with `tokens` zipf and heaps; returns their paths.

    Pictures that are there already are replaced.

    Args:
        directory: is made where it is missing.
        name: of the corpus, for the titles.
        suffix: `.png` or `.svg`.

    Raises:
        UsageError: matplotlib is not installed, the directory cannot be made or written, another suffix.
    """
    if suffix not in (".png", ".svg"):
        raise UsageError(f"pictures are .png or .svg, not {suffix!r}")
    directory = Path(directory)
    frequent = "".join(character for character, _ in statistics.frequent)
    said = f"{name}{frequent}{''.join(t.tokenizer for t in tokens)}·≈−–"
    with drawing(said) as draw:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--plot {directory}: cannot make this directory ({error.strerror or error}).") from error
        figures = {}
        if statistics.lines:
            figures["lengths"] = _lengths(draw, statistics)
        if statistics.characters:
            figures["scripts"] = _scripts(draw, statistics)
            figures["characters"] = _characters(draw, statistics)
        if shown := [t for t in tokens if t.tokens]:
            figures["zipf"] = _zipf(draw, shown)
            figures["heaps"] = _heaps(draw, shown)
        paths = []
        for what, figure in figures.items():
            figure.suptitle(draw.label(name), fontsize="medium")
            paths.append(directory / f"{what}{suffix}")
            draw.save(figure, paths[-1])
    return paths


def _lengths(draw: Drawing, statistics: Statistics) -> Any:
    figure = draw.figure()
    axes = figure.add_subplot(title="lengths of lines", xlabel="characters", ylabel="lines")
    names = [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high, _ in statistics.lengths]
    axes.bar(range(len(names)), [number for _, _, number in statistics.lengths], color=_BAR, width=0.9)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.grid(visible=False, axis="x")
    return figure


def _scripts(draw: Drawing, statistics: Statistics) -> Any:
    shares = [(kind, number) for kind, number in statistics.scripts.items() if number]
    total = statistics.characters
    figure = draw.figure(height=1.5 + 0.3 * len(shares))
    axes = figure.add_subplot(title="kinds of characters", xlabel="% of all characters")
    drawn = axes.barh(range(len(shares)), [100 * number / total for _, number in shares], color=_BAR)
    axes.bar_label(drawn, [percent(number, total) for _, number in shares], padding=3)
    axes.set_yticks(range(len(shares)), [kind for kind, _ in shares])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    return figure


def _characters(draw: Drawing, statistics: Statistics) -> Any:
    shown = statistics.frequent[:40]
    figure = draw.figure(height=1.5 + 0.25 * len(shown))
    axes = figure.add_subplot(title="most frequent characters", xlabel="% of all characters")
    shares = [100 * number / statistics.characters for _, number in shown]
    axes.barh(range(len(shown)), shares, color=_BAR)
    names = [_SPACES.get(character) or draw.label(character) for character, _ in shown]
    axes.set_yticks(range(len(shown)), names, fontsize="large")
    axes.invert_yaxis()
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    return figure


def _zipf(draw: Drawing, tokens: Sequence[TokenStatistics]) -> Any:
    figure = draw.figure()
    axes = figure.add_subplot(title="rank and frequency", xlabel="rank of the type", ylabel="tokens of it")
    _logarithmic(axes)
    for colour, found in zip(_cycle(len(tokens)), tokens, strict=True):
        label = draw.label(found.tokenizer)
        if fit := found.zipf:
            label += f": about rank to the −{fit.exponent:.2f}"
            ends = [1, fit.ranks]
            axes.plot(
                ends, [fit.scale * rank**-fit.exponent for rank in ends], color=colour, linewidth=1, linestyle=":"
            )
        axes.plot(*zip(*found.ranks, strict=True), color=colour, marker=".", markersize=4, linewidth=1, label=label)
    axes.legend()
    return figure


def _heaps(draw: Drawing, tokens: Sequence[TokenStatistics]) -> Any:
    figure = draw.figure()
    axes = figure.add_subplot(title="growth of the vocabulary", xlabel="tokens read", ylabel="types among them")
    _logarithmic(axes)
    for colour, found in zip(_cycle(len(tokens)), tokens, strict=True):
        label = draw.label(found.tokenizer)
        if fit := found.heaps:
            label += f": about {fit.scale:.3g} times tokens to the {fit.exponent:.2f}"
            ends = [fit.start, found.growth[-1][0]]
            axes.plot(ends, [fit.scale * n**fit.exponent for n in ends], color=colour, linewidth=1, linestyle=":")
        axes.plot(*zip(*found.growth, strict=True), color=colour, marker=".", markersize=4, linewidth=1, label=label)
    axes.legend()
    return figure


def _logarithmic(axes: Any) -> None:
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
        axis.set_minor_formatter(lambda _, __: "")


def _cycle(number: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(number)]
