"""Gaussian scenes: what is rendered is what their truth says, and needs no more than torch."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from steadyview.benchmark import find_clips
from steadyview.errors import InputError, OptionError
from steadyview.synthetic import (
    SCENES,
    Layer,
    Scene,
    Splats,
    make_clip,
    painting,
    splat_sets,
    truth_of,
)
from steadyview.synthetic.camera import Camera
from steadyview.synthetic.layers import LayeredView
from steadyview.video.reader import open_video

SIZE = (160, 96)
needs_torch = pytest.mark.needs_torch


def lumas(path: Path) -> np.ndarray:
    with open_video(path) as reader:
        return np.array([np.array(frame.planes[0]) for frame in reader], np.float32)


def test_sheets_are_cut_as_finely_as_they_are_seen() -> None:
    """No part wider than the spacing, none missing, and what is far is cut less."""
    camera = Camera(Scene("s"), SIZE)
    paint = np.ones((8, 8, 3), np.float32)
    ground = splat_sets.Sheet((-3, 1.0, 40), (6, 0, 0), (0, 0, -38), paint)
    made = splat_sets.sheet_splats(ground, camera, np.eye(4)[None])
    x, y, z = made.means.T
    np.testing.assert_allclose(y, 1.0)
    across = (
        made.scales[:, 0] / splat_sets.WIDTH * camera.K[0, 0] / np.linalg.norm(made.means, axis=1)
    )
    assert across.max() <= splat_sets.SPACING / np.cos(np.arctan(0.65 / 0.9)) * 1.01
    area = (made.scales[:, :2] / splat_sets.WIDTH).prod(1)
    inside = np.abs(x) < 0.5 * z * SIZE[0] / camera.K[0, 0]
    z_min = 1.0 * camera.K[1, 1] / (SIZE[1] / 2)
    seen = np.minimum(3, 0.5 * np.linspace(z_min, 40, 4001) * SIZE[0] / camera.K[0, 0])
    expected = 2 * np.trapezoid(seen, dx=(40 - z_min) / 4000)
    assert area[inside & (z > z_min)].sum() == pytest.approx(expected, rel=0.02)
    assert area[z > 30].mean() > 20 * area[z < 5].mean()


def test_paint_is_averaged_over_each_part() -> None:
    random = np.random.default_rng(0)
    paint = random.uniform(0.2, 0.8, (64, 64, 3)).astype(np.float32)
    sheet = splat_sets.Sheet((-30, -30, 200), (60, 0, 0), (0, 60, 0), paint)
    made = splat_sets.sheet_splats(sheet, Camera(Scene("s"), SIZE), np.eye(4)[None])
    assert len(made.means) == 32 * 32  # 43 pixels: a part is 1.35 pixels
    blocks = paint.reshape(32, 2, 32, 2, 3).mean((1, 3))
    cells = ((made.means[:, :2] + 30) / 60 * 32).astype(int)
    np.testing.assert_allclose(made.colors, blocks[cells[:, 1], cells[:, 0]], atol=1e-5)


@needs_torch
def test_a_sheet_looks_like_a_layer_of_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A photograph of Gaussians against the same one warped by homographies."""
    from steadyview.synthetic import places
    from steadyview.synthetic.splats import SplatView

    size, extent = (320, 180), np.array((2.7, 2.7 * 9 / 16))
    shown = Layer(10.0, size=tuple(extent), picture=painting._PHOTOGRAPH)
    camera = Camera(Scene("c", shake=(1.0, 1.0, 2.0, 0.0), seed=3), size)
    w, h = extent * (size[0] / 2) * 10.0 / camera.K[0, 0]
    sheet = splat_sets.Sheet((-w / 2, -h / 2, 10), (w, 0, 0), (0, h, 0), painting.photograph())
    monkeypatch.setitem(places.PLACES, "street", lambda: ([sheet], []))
    splats = SplatView(Splats("street"), camera, 1.0)
    layers = LayeredView(Scene("l", (shown,)), camera)
    pose = camera.poses(np.array([0.7]), shaken=True)
    depths: list[np.ndarray] = []
    first = splats.picture(0, pose, lambda depth, moving: depths.append(depth))
    second = layers.picture(0, pose, lambda depth, moving: depths.append(depth))
    inner = (slice(4, -4), slice(4, -4))
    # Splats are softer, by their own width: 0.52 x 1.4 pixels, and the renderer's 0.3 of variance.
    blurred = cv2.GaussianBlur(second, (0, 0), 0.8)
    assert 10 * np.log10(255**2 / np.square(first - blurred)[inner][..., 0].mean()) > 32
    assert np.abs(first - blurred)[inner][..., 1:].mean() < 1.5
    np.testing.assert_allclose(depths[0], depths[1], rtol=0.002)


@needs_torch
@pytest.mark.parametrize("name", ["street", "room"])
def test_depth_and_poses_take_one_frame_to_another(tmp_path: Path, name: str) -> None:
    scene = replace(SCENES[name], rolling_shutter=0.0)
    clip = make_clip(scene, tmp_path, size=SIZE, seconds=0.4)
    frames, truth = lumas(clip.shaky), truth_of(clip)
    a, b = 1, 11
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    depth = truth["depth"][b].astype(np.float64)
    assert np.isfinite(depth).all()  # there are no holes
    rays = np.linalg.inv(truth["K"]) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    points = np.vstack([rays * depth.ravel(), np.ones(x.size)])
    other = (truth["shaky_viewmats"][a] @ np.linalg.inv(truth["shaky_viewmats"][b]) @ points)[:3]
    at = ((truth["K"] @ other)[:2] / other[2]).reshape(2, *x.shape).astype(np.float32) - 0.5
    there = cv2.remap(truth["depth"][a].astype(np.float32), at[0], at[1], cv2.INTER_NEAREST)
    inside = (at > 2).all(0) & (at[0] < SIZE[0] - 3) & (at[1] < SIZE[1] - 3)
    inside &= np.abs(there / other[2].reshape(x.shape) - 1) < 0.02
    inside &= ~truth["moving"][a] & ~truth["moving"][b]
    found = cv2.remap(frames[a], at[0], at[1], cv2.INTER_CUBIC)
    assert inside.mean() > 0.7
    left, before = np.abs(found - frames[b])[inside], np.abs(frames[a] - frames[b])[inside]
    assert np.median(left) < 1.5
    assert left.mean() < before.mean() / 3  # books and bars are resampled once more


@needs_torch
def test_a_rolling_shutter_shows_each_row_as_seen_at_its_time() -> None:
    """Its bands against whole pictures with the pose of the band's middle row."""
    from steadyview.synthetic.splats import BANDS, SplatView

    scene = replace(SCENES["room"], shake=(4.0, 4.0, 4.0, 50.0))
    camera = Camera(scene, SIZE)
    view = SplatView(scene.splats, camera, 0.5)
    poses = camera.row_poses(0.2, shaken=True)
    rolling = view.picture(0.2, poses, None)
    rows = SIZE[1] // BANDS
    for first in (0, 5 * rows, SIZE[1] - rows):
        still = view.picture(0.2, poses[first + rows // 2][None], None)
        band = slice(first, first + rows)
        np.testing.assert_allclose(rolling[band], still[band], atol=0.5)  # an alpha of 1/255
    assert np.abs(rolling - view.picture(0.2, poses[SIZE[1] // 2][None], None)).mean() > 0.5


@needs_torch
def test_walkers_are_marked_and_walk(tmp_path: Path) -> None:
    scene = replace(SCENES["street"], shake=(0, 0, 0, 0), travel=(0, 0, 0))
    truth = truth_of(make_clip(scene, tmp_path, size=SIZE, seconds=2.0))
    moving, depth = truth["moving"], truth["depth"].astype(float)
    near = moving & (np.abs(depth - 9.0) < 0.5)
    columns = [np.argwhere(frame)[:, 1].mean() for frame in near]
    speed = 0.55 / 9.0 * truth["K"][0, 0]  # pixels a second
    assert columns[45] - columns[0] == pytest.approx(1.5 * speed, abs=1.5)
    changed = np.abs(depth[0] / depth[59] - 1) > 0.01
    assert changed[~moving.any(0)].mean() < 0.03  # seams of the walkers, less than half covered


def globe(scale: float, shift: tuple[float, float, float]):
    """A ball of coloured points, in whatever unit and place."""
    from steadyview import Gaussians

    random = np.random.default_rng(1)
    points = random.standard_normal((3000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    colors = 0.5 + 0.5 * np.sin(4 * points)
    return Gaussians.from_points(points * scale + shift, colors, sh_degree=0, opacity=0.9)


@needs_torch
def test_a_file_of_ones_own(tmp_path: Path) -> None:
    pictures = []
    for name, scale, shift in (("a", 1.0, (0, 0, 0)), ("b", 250.0, (5000.0, -300.0, 80.0))):
        globe(scale, shift).write(tmp_path / f"{name}.ply")
        clip = make_clip(str(tmp_path / f"{name}.ply"), tmp_path / name, size=SIZE, seconds=0.2)
        pictures.append(lumas(clip.shaky))
        truth = truth_of(clip)
    depth = truth["depth"][0].astype(float)
    # All of it is seen, in the middle, six units away; the nearest point is nearer.
    seen = np.isfinite(depth)
    assert 0.15 < seen.mean() < 0.9
    y, x = np.argwhere(seen).mean(0)
    assert np.hypot(x - SIZE[0] / 2, y - SIZE[1] / 2) < 6
    assert 3 < depth[seen].min() < depth[seen].max() < 7
    assert not truth["moving"].any()
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5  # the same in any unit


@needs_torch
def test_a_file_is_seen_from_where_one_says(tmp_path: Path) -> None:
    globe(1.0, (0, 0, 0)).write(tmp_path / "globe.ply")
    way = {"shake": (0, 0, 0, 0)}
    right = Splats(tmp_path / "globe.ply", eye=(3.0, 0.0, 0.0), target=(0.0, 0.0, 0.0))
    clip = make_clip(Scene("side", splats=right, **way), tmp_path / "c", size=SIZE, seconds=0.1)
    depth = truth_of(clip)["depth"][0].astype(float)
    assert depth[SIZE[1] // 2, SIZE[0] // 2] == pytest.approx(2 * 6 / 3, abs=0.3)
    above = replace(right, eye=(0.0, -3.0, 0.0))
    with pytest.raises(OptionError, match="eye, target and up"):
        make_clip(Scene("above", splats=above, **way), tmp_path / "d", size=SIZE)


@needs_torch
def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.ply"):
        make_clip(str(tmp_path / "none.ply"), tmp_path)
    (tmp_path / "bad.ply").write_text("not a set")
    with pytest.raises(InputError, match=r"bad\.ply"):
        make_clip(str(tmp_path / "bad.ply"), tmp_path)
    empty = globe(1.0, (0, 0, 0))[:0]
    empty.write(tmp_path / "empty.ply")
    with pytest.raises(InputError, match=r"empty\.ply.* no Gaussians"):
        make_clip(str(tmp_path / "empty.ply"), tmp_path)


def test_without_torch_the_rest_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "steadyview.synthetic.splats", None)
    with pytest.raises(OptionError, match="room is of Gaussians"):
        make_clip("room", tmp_path, size=SIZE)
    make = "steadyview.benchmark.datasets.make_clip"
    monkeypatch.setattr(make, lambda *args, **kw: make_clip(*args, size=SIZE, seconds=0.1, **kw))
    told: list[str] = []
    clips = find_clips("synthetic", tmp_path, only="ro", tell=told.append)
    assert [clip.name for clip in clips] == ["crowd", "quick_rotation", "rolling_shutter"]
    assert [text for text in told if "left out" in text and "synthetic/room" in text]
