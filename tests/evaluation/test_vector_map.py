"""The map of words: what lies where, labels that cover nothing, the same picture again."""

import subprocess
import sys

import numpy as np
import pytest

from textdl import figures
from textdl.errors import UsageError
from textdl.evaluation import vector_map
from textdl.evaluation.vector_map import Group, clusters, draw_map, project


def two_heaps(n=20):
    """Words around two directions, the first half around one."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(6)[:2], n // 2, axis=0)
    return (centres + rng.normal(0, 0.05, (n, 6))).astype(np.float32)


def test_pca_by_hand():
    # Unit vectors east, north and west: their mean is (0, 1/3), the variance is along x: 2/3 of 2/3 + 2/9.
    points, shares = project(np.array([[3.0, 0], [0, 1], [-2, 0]]), "pca", seed=1)
    assert shares == pytest.approx([3 / 4, 1 / 4])
    np.testing.assert_allclose(points, [[-1, -1 / 3], [0, 2 / 3], [1, -1 / 3]], atol=1e-12)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_alike_is_near_and_the_same_seed_gives_the_same(method):
    vectors = two_heaps()
    points, _ = project(vectors, method, seed=1)
    centres = points.reshape(2, 10, 2).mean(axis=1)
    within = np.linalg.norm(points.reshape(2, 10, 2) - centres[:, None], axis=2).max()
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * within
    np.testing.assert_array_equal(points, project(vectors, method, seed=1)[0])


def test_clusters_are_numbered_by_size():
    assert clusters(two_heaps()[4:], 2, seed=1).tolist() == [1] * 6 + [0] * 10


def boxes(monkeypatch):
    """Where labels are put, in pixels, as `draw_map` does."""
    found = []
    overlaps = vector_map._overlaps

    def noted(box, others):
        hit = overlaps(box, others)
        if not hit:
            found.append(box)
        return hit

    monkeypatch.setattr(vector_map, "_overlaps", noted)
    return found


def test_labels_cover_no_other(monkeypatch, tmp_path):
    found = boxes(monkeypatch)
    points = np.random.default_rng(0).normal(size=(60, 2))
    words = [f"词{i}" for i in range(60)]
    groups = [Group("一", list(range(20))), Group("", list(range(20, 40)))]
    left_out = draw_map(tmp_path / "a.png", words, points, groups=groups, large=[0], title="图", axes_titles=["x", "y"])
    assert (left_out, len(found)) == (0, 60)
    monkeypatch.undo()
    for i, box in enumerate(found):
        assert not vector_map._overlaps(box, np.array(found[:i] or np.zeros((0, 4))))
    again = (tmp_path / "a.png").read_bytes()
    draw_map(tmp_path / "a.png", words, points, groups=groups, large=[0], title="图", axes_titles=["x", "y"])
    assert (tmp_path / "a.png").read_bytes() == again


def test_labels_without_room_are_counted(tmp_path):
    points = np.zeros((200, 2))
    points[0] = 1
    left_out = draw_map(tmp_path / "a.svg", [f"word{i}" for i in range(200)], points)
    assert 100 < left_out < 200  # all but one lie on one spot


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_formats_and_shades(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert (
        draw_map(path, ["北京", "b", "c"], np.eye(3)[:, :2], shades=np.array([1, 0.5, 0.2]), shade_title="cosine") == 0
    )
    first = path.read_bytes()
    assert first[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    draw_map(path, ["北京", "b", "c"], np.eye(3)[:, :2], shades=np.array([1, 0.5, 0.2]), shade_title="cosine")
    assert path.read_bytes() == first


def test_refusals(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="3 words or more, got 2"):
        project(np.eye(2), "pca", seed=1)
    with pytest.raises(UsageError, match="method is 'umap'; expected pca or tsne"):
        project(np.eye(3), "umap", seed=1)
    with pytest.raises(UsageError, match=r"\.png, \.svg or \.pdf, not '\.jpg'"):
        draw_map(tmp_path / "a.jpg", ["a"] * 3, np.eye(3)[:, :2])
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(UsageError, match=r'pip install "textdl\[plot\]"'):
        project(np.eye(3), "pca", seed=1)


def test_importing_it_loads_no_heavy_package():
    code = "import sys, textdl.evaluation.vector_map; sys.exit('sklearn' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_colours_are_told_apart():
    with figures.drawing("") as draw:
        assert len({draw.rgb(colour) for colour in figures.COLOURS}) == len(figures.COLOURS)
