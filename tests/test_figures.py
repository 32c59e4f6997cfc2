"""Fonts: what is said in a figure can be read, Chinese too, or is said by code point."""

import sys

import numpy as np
import pytest

from textdl import figures
from textdl.errors import UsageError


def raster(draw, text):
    """The pixels of a text alone."""
    figure = draw.figure(2, 1)
    figure.text(0.5, 0.5, text, size=30, ha="center", va="center")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0] < 128


@pytest.mark.filterwarnings("error")
def test_chinese_characters_have_glyphs_of_their_own():
    with figures.drawing("国门龘，a") as draw:
        assert draw.label("国门龘，a") == "国门龘，a"
        drawn = {text: raster(draw, text) for text in ("国", "门", "龘", "")}
    assert not drawn[""].any()
    assert all(drawn[text].sum() > 100 for text in "国门龘")
    assert not np.array_equal(drawn["国"], drawn["门"])
    # what a character looks like that no font has: the same box for all
    with figures.drawing("") as draw, pytest.warns(UserWarning, match="missing from"):
        box = raster(draw, "\U000e1000")
    assert not any(np.array_equal(drawn[text], box) for text in "国门龘")


def test_what_no_font_has_is_said_by_its_code_point():
    with figures.drawing("国\ue123\u200b\x07\U000e1000") as draw:
        assert draw.label("a 国\ue123\u200b\x07\U000e1000$_") == "a 国U+E123U+200BU+0007U+E1000$_"


def test_without_the_package_that_carries_a_font(monkeypatch):
    monkeypatch.setattr(figures, "_carried", lambda: None)
    with figures.drawing("国") as draw:
        assert draw.label("国a") in ("国a", "U+56FDa")  # the system may have a font, or not


def test_settings_are_put_back_and_saving_says_what_is_wrong(tmp_path):
    import matplotlib as mpl

    names = ("font.family", "axes.grid", "text.parse_math", "svg.fonttype")
    before = [mpl.rcParams[name] for name in names]
    with figures.drawing("中") as draw:
        assert mpl.rcParams["font.family"][0] == "DejaVu Sans"
        figure = draw.figure()
        draw.save(figure, tmp_path / "a.png")
        draw.save(figure, tmp_path / "a.svg")
        with pytest.raises(UsageError, match=r"a.png cannot be written: No such"):
            draw.save(figure, tmp_path / "missing" / "a.png")
    assert [mpl.rcParams[name] for name in names] == before
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'pip install "textdl\[plot\]"'):
        with figures.drawing(""):
            pass
