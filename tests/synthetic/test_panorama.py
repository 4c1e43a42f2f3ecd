"""A panorama is seen in the directions that its pixels stand for."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from steadyview.errors import InputError
from steadyview.synthetic import Scene, make_clip, truth_of
from steadyview.synthetic.camera import Camera
from steadyview.synthetic.panorama import PanoramaView
from steadyview.video.reader import open_video

SIZE = (160, 96)


def directions(path: Path) -> Path:
    """Red grows with the angle to the right, blue with the angle below the horizon."""
    picture = np.zeros((180, 360, 3), np.float32)
    picture[..., 2] = np.linspace(0, 255, 360)[None]
    picture[..., 0] = np.linspace(0, 255, 180)[:, None]
    cv2.imwrite(str(path), picture.round().astype(np.uint8))
    return path


def test_pixels_show_their_directions(tmp_path: Path) -> None:
    scene = Scene("around", panorama=directions(tmp_path / "all.png"), turn=(120.0, 10.0, 0.0))
    camera = Camera(scene, SIZE)
    viewmats = camera.poses(np.array([0.0, 1.3]), shaken=False)
    for viewmat in viewmats:
        seen = PanoramaView(scene.panorama, camera).picture(0, viewmat[None], None)
        luma, blue, red = np.moveaxis(seen, -1, 0)
        for row, column in ((10, 20), (48, 80), (90, 150)):
            ray = viewmat[:3, :3].T @ np.linalg.inv(camera.K) @ [column + 0.5, row + 0.5, 1]
            right, below = np.arctan2(ray[0], ray[2]), np.arctan2(ray[1], np.hypot(ray[0], ray[2]))
            y, cb, cr = luma[row, column], blue[row, column], red[row, column]
            assert y + 1.402 * cr == pytest.approx(255 * (0.5 + right / (2 * np.pi)), abs=1.5)
            assert y + 1.772 * cb == pytest.approx(255 * (0.5 + below / np.pi), abs=1.5)


def test_it_has_no_seam_behind(tmp_path: Path) -> None:
    smooth = np.tile(127 + 100 * np.cos(np.arange(360) * np.pi / 180), (180, 1))
    cv2.imwrite(str(tmp_path / "ring.png"), smooth.round().astype(np.uint8))
    scene = Scene("behind", panorama=tmp_path / "ring.png", turn=(180.0, 0.0, 0.0))
    camera = Camera(scene, SIZE)
    behind = camera.poses(np.array([4.0]), shaken=False)
    seen = PanoramaView(scene.panorama, camera).picture(0, behind, None)[..., 0]
    assert np.abs(np.diff(seen, axis=1)).max() < 2.5


def test_its_homographies_are_exact(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    soft = cv2.GaussianBlur(random.uniform(0, 255, (256, 512)).astype(np.float32), (0, 0), 2)
    cv2.imwrite(str(tmp_path / "soft.png"), ((soft - 128) * 5 + 128).clip(0, 255).astype(np.uint8))
    scene = Scene("soft", panorama=tmp_path / "soft.png", shake=(2.0, 2.0, 2.0, 0.0))
    clip = make_clip(scene, tmp_path, size=SIZE, seconds=0.3)
    truth = truth_of(clip)
    assert np.isinf(truth["depth"]).all()
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    videos = []
    for path in (clip.shaky, clip.steady):
        with open_video(path) as reader:
            videos.append([np.array(frame.planes[0], np.float32) for frame in reader])
    for shaky, steady, link in zip(*videos, truth["steady_from_shaky"], strict=True):
        laid = cv2.warpPerspective(
            shaky, np.linalg.inv(half) @ link @ half, SIZE, flags=cv2.INTER_CUBIC
        )
        assert np.abs(laid - steady)[16:-16, 24:-24].mean() < 1.5
    assert np.abs(videos[0][3] - videos[1][3]).mean() > 4


def test_a_panorama_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(InputError, match=r"no\.png"):
        make_clip(Scene("no", panorama=tmp_path / "no.png"), tmp_path, size=SIZE)
