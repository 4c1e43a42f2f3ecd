"""Where cameras look."""

import math

import numpy as np
import pytest

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def views(torch):
    from steadyview.scene import views

    return views


def seen(viewmat, point):
    """A point in the camera's axes."""
    return viewmat[:3, :3].double().numpy() @ np.asarray(point, float) + viewmat[:3, 3].numpy()


def test_camera_looks_at_its_target(views) -> None:
    eye, target = np.array([1.0, -2, 3]), np.array([4.0, 0, 1])
    viewmat = views.look_at(eye, target)
    np.testing.assert_allclose(seen(viewmat, eye), 0, atol=1e-6)
    np.testing.assert_allclose(
        seen(viewmat, target), [0, 0, np.linalg.norm(target - eye)], atol=1e-6
    )
    above = seen(
        viewmat, target - np.array([0, 0.1, 0])
    )  # the world's y points down, as the image's
    assert above[1] < 0
    assert abs(above[0]) < 1e-6
    assert np.linalg.det(viewmat[:3, :3]) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="along the view"):
        views.look_at((0, 0, 0), (0, 1, 0))


def test_orbit(views) -> None:
    viewmats = views.orbit((1, 2, 3), 5, 8, elevation=30)
    centres = np.array([-m[:3, :3].T.numpy() @ m[:3, 3].numpy() for m in viewmats])
    np.testing.assert_allclose(np.linalg.norm(centres - [1, 2, 3], axis=1), 5, rtol=1e-5)
    np.testing.assert_allclose(centres[:, 1], 2 - 5 * math.sin(math.radians(30)), rtol=1e-5)
    assert len(np.unique(centres.round(4), axis=0)) == 8
    for viewmat in viewmats:
        np.testing.assert_allclose(seen(viewmat, (1, 2, 3)), [0, 0, 5], atol=1e-5)


def test_points_lie_behind_their_pixels(views, torch) -> None:
    viewmats = views.orbit((0, 0, 0), 4, 3)
    Ks = torch.tensor([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]]).expand(3, 3, 3)
    images = torch.randint(0, 256, (3, 3, 12, 16), dtype=torch.uint8)
    draw = torch.Generator().manual_seed(0)
    points, colors = views.visible_points(images, viewmats, Ks, 200, draw)
    found = 0
    for viewmat, K, image in zip(viewmats, Ks, images, strict=True):
        inside = points @ viewmat[:3, :3].T + viewmat[:3, 3]
        pixel = inside @ K.T
        x, y = (pixel[:, i] / pixel[:, 2] for i in (0, 1))
        near = (inside[:, 2] > 4 / 1.8 - 1e-4) & (inside[:, 2] < 4 / 0.2 + 1e-4)
        near &= (x > 0) & (x < 16) & (y > 0) & (y < 12)
        pixels = image[:, y[near].long(), x[near].long()].T / 255
        found += int((pixels == colors[near]).all(1).sum())
    assert found >= 200


@pytest.mark.parametrize("count", [1, 4])
def test_cameras_that_look_the_same_way(views, torch, count: int) -> None:
    viewmats = torch.eye(4).repeat(count, 1, 1)
    viewmats[:, 0, 3] = torch.arange(count)
    images = torch.zeros((count, 3, 4, 4))
    Ks = torch.tensor([[4.0, 0, 2], [0, 4, 2], [0, 0, 1]]).expand(count, 3, 3)
    points, _ = views.visible_points(images, viewmats, Ks, 50, torch.Generator())
    assert bool(points.isfinite().all())
    assert bool((points[:, 2] > 0).all())
    assert views.scene_extent(viewmats, points) > 0


def test_extent(views, torch) -> None:
    viewmats = views.orbit((0, 0, 0), 4, 8, elevation=0)
    near = torch.zeros(5, 3)
    assert views.scene_extent(viewmats, near) == pytest.approx(1.1 * 4, rel=1e-5)
    alone = views.scene_extent(viewmats[:1], near)
    assert alone == pytest.approx(0.1 * 4, rel=1e-5)
    assert views.scene_extent(viewmats[:1], torch.full((5, 3), float("nan"))) == 1
