"""Figures whose text can be read, Chinese included: the one file that knows matplotlib.

Drawn with the object interface and the Agg backend: no window, no `pyplot`; settings are put back. Characters
that matplotlib's own font lacks are taken from a font of the system that has them, else from Noto Sans SC, which
the package `zhplot` carries (found, not imported; it stays in matplotlib's list of fonts). What no font has is
labelled by its code point.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textdl.errors import UsageError

_OWN = "DejaVu Sans"
"""Comes with matplotlib."""
_PREFERRED = (
    "Noto Sans SC", "Noto Sans CJK SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei", "Noto Sans TC", "Noto Sans CJK TC", "PingFang TC",
    "Microsoft JhengHei", "Noto Sans JP", "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "Noto Sans KR",
    "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", "Droid Sans Fallback", "Arial Unicode MS", "Noto Sans",
    "Noto Emoji", "Symbola",
)  # fmt: skip

_NOT_TEXT = ("Last Resort", "STIXSize", "STIXNonUnicode", "cmb", "cmex", "cmmi", "cmr", "cmss", "cmsy", "cmt")
"""Fonts that say they have a character and show a box or another one: placeholders, and TeX's."""

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#a463f2", "#9c6b4e", "#97bbf5", "#3ca951")
"""For things that are told apart."""

_UNDATED: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""So that the same picture is the same file."""


class Drawing:
    """Makes and saves figures inside `drawing`."""

    def __init__(self, shown: frozenset[str]):
        self._shown = shown

    def figure(self, width: float = 8.0, height: float = 5.0) -> Any:
        """An empty `matplotlib.figure.Figure`, in inches, whose contents make room for each other."""
        from matplotlib.figure import Figure

        return Figure(figsize=(width, height), layout="constrained")

    def label(self, text: str) -> str:
        """Text as it can be shown: what has no glyph, or none that can be seen, by its code point."""
        return "".join(c if c == " " or (c in self._shown and c.isprintable()) else f"U+{ord(c):04X}" for c in text)

    def renderer(self, figure: Any) -> Any:
        """What measures how large texts of a figure come out, in pixels at `figure.dpi`."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        return FigureCanvasAgg(figure).get_renderer()

    def rgb(self, colour: Any) -> tuple[float, float, float]:
        """Red, green and blue, 0 to 1, of anything that names a colour."""
        from matplotlib.colors import to_rgb

        red, green, blue = to_rgb(colour)
        return red, green, blue

    def save(self, figure: Any, path: Path) -> None:
        """As the format that the suffix names: .png, .svg or .pdf; the same figure as the same bytes.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            figure.savefig(path, dpi=150, metadata=_UNDATED.get(path.suffix))
        except OSError as error:
            raise UsageError(f"the picture {path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def drawing(text: str) -> Iterator[Drawing]:
    """Draw with fonts that have the characters of `text`, which is all that the figures will say beside ASCII.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError('pictures need matplotlib. Run `pip install "textdl[plot]"`.') from error
    families, shown = _fonts(frozenset(text) | frozenset(map(chr, range(32, 127))))
    settings: Any = {
        "font.family": families, "axes.unicode_minus": False, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False, "text.parse_math": False,
        "svg.fonttype": "path", "svg.hashsalt": "textdl",
    }  # fmt: skip
    with mpl.rc_context(settings):
        yield Drawing(shown)


def _fonts(wanted: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Font families that together have as many of the characters as can be had, and which those are."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    files: dict[str, str] = {}
    for entry in manager.ttflist:
        if (
            entry.style == "normal"
            and str(entry.weight) in ("400", "normal", "regular", "book")
            and not entry.name.startswith(_NOT_TEXT)
            and "Color" not in entry.name  # coloured glyphs are no outlines
        ):
            files.setdefault(entry.name, entry.fname)
    carried = _carried()
    if carried is not None and str(carried) not in files.values():
        manager.addfont(carried)
        entry = manager.ttflist[-1]
        files.setdefault(entry.name, entry.fname)
    families = []
    missing = wanted
    for name in (_OWN, *_PREFERRED):
        if name in files and (has := missing & _characters(files[name])):
            families.append(name)
            missing -= has
    for name, file in files.items():
        if not any(map(str.isprintable, missing)):
            break
        if name not in families and (has := missing & _characters(file)):
            families.append(name)
            missing -= has
    return families, wanted - missing


def _characters(file: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(file).get_charmap()))
    except (OSError, RuntimeError):  # a font that is no longer there, or broken
        return frozenset()


def _carried() -> Path | None:
    """The font file that zhplot brings, where it is installed."""
    spec = importlib.util.find_spec("zhplot")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], "fonts", "NotoSansSC-Regular.ttf")
    return path if path.is_file() else None
