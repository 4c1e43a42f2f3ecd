"""Views from around, and what viser is given."""

import sys
import types

import numpy as np
import pytest
from gaussian_sets import columns, rotations

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def some(torch):
    from steadyview import Gaussians

    return Gaussians(*(torch.tensor(values) for values in columns(30, 1)))


def test_orbit_shows_the_set_from_around(some) -> None:
    from steadyview.scene.viewer import orbit_gaussians

    found = orbit_gaussians(some, frames=3, width=40, height=30)
    assert found.frames.shape == (3, 30, 40, 3)
    assert found.frames.dtype == np.uint8
    assert len({frame.tobytes() for frame in found.frames}) == 3
    assert bool((found.frames < 250).any(axis=(1, 2, 3)).all())  # something before white
    page = found._repr_html_()
    assert "data:image/jpeg;base64," in page
    assert "steps(3)" in page
    assert "frames" not in repr(found)
    with pytest.raises(ValueError, match="can be seen"):
        orbit_gaussians(some[:0])


def test_orbit_is_shown_without_viser(some, monkeypatch: pytest.MonkeyPatch) -> None:
    from steadyview.scene.viewer import Orbit, view_gaussians

    monkeypatch.setitem(sys.modules, "viser", None)
    assert isinstance(view_gaussians(some, frames=2, width=16, height=12), Orbit)


def test_what_viser_is_given(some, monkeypatch: pytest.MonkeyPatch) -> None:
    from steadyview.scene.viewer import view_gaussians

    given = {}

    class Server:
        def __init__(self, port: int) -> None:
            self.port = port
            self.initial_camera = types.SimpleNamespace()
            self.scene = types.SimpleNamespace(
                set_up_direction=lambda direction: given.update(up=direction),
                add_gaussian_splats=lambda name, **values: given.update(values),
            )

    monkeypatch.setitem(sys.modules, "viser", types.SimpleNamespace(ViserServer=Server))
    server = view_gaussians(some, port=1234)
    assert server.port == 1234
    camera = server.initial_camera
    seen = some.means[some.opacities > 0.05].numpy()
    np.testing.assert_allclose(camera.look_at, np.sort(seen, 0)[(len(seen) - 1) // 2])
    away = np.quantile(np.linalg.norm(seen - camera.look_at, axis=1), 0.9)
    np.testing.assert_allclose(
        np.linalg.norm(camera.position - camera.look_at), 3 * away, rtol=1e-5
    )
    turned = rotations(some.quaternions)
    scales = some.scales.numpy().astype(float)
    covariances = turned @ (scales[:, :, None] ** 2 * turned.transpose(0, 2, 1))
    np.testing.assert_allclose(given["covariances"], covariances, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(given["centers"], some.means)
    np.testing.assert_array_equal(given["opacities"][:, 0], some.opacities)
    assert given["rgbs"].shape == (30, 3)
    assert 0 <= given["rgbs"].min() <= given["rgbs"].max() <= 1
    assert given["up"] == "-y"
