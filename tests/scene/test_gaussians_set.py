"""Sets of Gaussians: files, first guesses, drawing, sequences."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gaussian_sets import columns
from scipy.spatial import cKDTree

from steadyview.errors import InputError, OutputError

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def Gaussians(torch):
    import steadyview

    return steadyview.Gaussians


@pytest.fixture
def some(torch, Gaussians):
    return Gaussians(*(torch.tensor(values) for values in columns(30, 1)))


def test_torch_is_imported_only_when_gaussians_are_used() -> None:
    code = (
        "import sys, steadyview\n"
        "import steadyview.scene.formats\n"
        "steadyview.stabilize, steadyview.evaluate\n"
        "assert 'torch' not in sys.modules\n"
        "steadyview.Gaussians\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_keep_the_set(some, Gaussians, torch, tmp_path: Path) -> None:
    some.write(tmp_path / "a.ply")
    found = Gaussians.read(str(tmp_path / "a.ply"))
    for name in ("means", "quaternions", "log_scales", "opacity_logits", "harmonics"):
        assert torch.equal(getattr(found, name), getattr(some, name))
    with pytest.raises(OutputError, match="exists"):
        some.write(tmp_path / "a.ply")
    some[:3].to(torch.float64).write(tmp_path / "a.ply", overwrite=True)
    assert len(Gaussians.read(tmp_path / "a.ply")) == 3


def test_it_says_what_it_is(some, torch) -> None:
    assert repr(some) == "Gaussians(30, sh_degree=1, device=cpu)"
    assert len(some) == 30
    torch.testing.assert_close(some.scales.log(), some.log_scales)
    torch.testing.assert_close(some.opacities, torch.sigmoid(some.opacity_logits))
    assert len(some[some.opacities > 0.5]) == int((some.opacities > 0.5).sum())
    with pytest.raises(TypeError, match="index"):
        some[3]


def test_sets_are_joined(some, torch, Gaussians) -> None:
    flat = Gaussians(*(torch.tensor(values) for values in columns(5, 0)))
    both = Gaussians.cat([some, flat])
    assert len(both) == 35
    assert both.sh_degree == 1
    assert torch.equal(both.means[30:], flat.means)
    assert not both.harmonics[30:, 1:].any()


def test_shapes_are_checked(some, torch, Gaussians) -> None:
    fields = {name: getattr(some, name) for name in Gaussians.__dataclass_fields__}
    wrong = {
        "means": (torch.zeros(30, 2), r"means must be \(30, 3\), got \(30, 2\)"),
        "quaternions": (torch.zeros(29, 4), "quaternions"),
        "harmonics": (torch.zeros(30, 5, 3), "harmonics must be"),
        "opacity_logits": (torch.zeros(30, dtype=torch.float64), "dtype"),
    }
    for name, (value, message) in wrong.items():
        with pytest.raises(ValueError, match=message):
            Gaussians(**{**fields, name: value})


def test_points_become_as_wide_as_they_are_apart(Gaussians, torch) -> None:
    draw = np.random.default_rng(0)
    points = draw.normal(size=(500, 3)).astype(np.float32)
    colors = draw.integers(0, 256, (500, 3), dtype=np.uint8)
    found = Gaussians.from_points(points, colors, sh_degree=2, opacity=0.3)
    distances, _ = cKDTree(points).query(points, 4)
    expected = np.sqrt((distances[:, 1:] ** 2).mean(1))
    np.testing.assert_allclose(found.scales, np.repeat(expected[:, None], 3, 1), rtol=1e-4)
    torch.testing.assert_close(found.opacities, torch.full((500,), 0.3))
    shown = 0.5 + 0.28209479 * found.harmonics[:, 0]
    np.testing.assert_allclose(shown, colors / 255, atol=1e-6)
    assert found.sh_degree == 2
    again = Gaussians.from_points(torch.tensor(points), torch.tensor(colors) / 255, sh_degree=2)
    torch.testing.assert_close(again.means, found.means)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_or_equal_points(Gaussians, count: int) -> None:
    found = Gaussians.from_points(np.zeros((count, 3)), np.ones((count, 3)))
    assert len(found) == count
    assert bool((found.scales > 0).all())


def test_points_are_checked(Gaussians) -> None:
    with pytest.raises(ValueError, match="points and colors"):
        Gaussians.from_points(np.zeros((4, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="finite"):
        Gaussians.from_points(np.full((4, 3), np.nan), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="opacity"):
        Gaussians.from_points(np.zeros((4, 3)), np.zeros((4, 3)), opacity=1)
    with pytest.raises(ValueError, match="sh_degree 0 to 4"):
        Gaussians.from_points(np.zeros((4, 3)), np.zeros((4, 3)), sh_degree=2.5)
    for colors in (np.full((4, 3), 255), np.full((4, 3), 255.0), np.full((4, 3), np.nan)):
        with pytest.raises(ValueError, match=r"colors must be floating in \[0, 1\], or uint8"):
            Gaussians.from_points(np.zeros((4, 3)), colors)


def test_points_with_gradients(Gaussians, torch) -> None:
    points, colors = (torch.rand((4, 3), requires_grad=True) for _ in range(2))
    assert not Gaussians.from_points(points, colors).means.requires_grad


def test_rendering_is_what_the_op_renders(some, torch) -> None:
    from steadyview import ops

    viewmat = np.eye(4)
    viewmat[2, 3] = 8
    K = np.array([[30.0, 0, 20], [0, 30, 15], [0, 0, 1]])
    expected, _, _ = ops.rasterization(
        some.means, some.quaternions, some.scales, some.opacities, some.harmonics,
        torch.tensor(viewmat)[None].float(), torch.tensor(K)[None].float(), 40, 30, sh_degree=1,
        backgrounds=torch.tensor([[0.2, 0.4, 0.6]]),
    )  # fmt: skip
    background = (0.2, 0.4, 0.6)
    image = some.render(viewmat, K, 40, 30, background=background)
    assert image.shape == (30, 40, 3)
    torch.testing.assert_close(image, expected[0])
    several = some.render(np.stack([viewmat] * 2), K, 40, 30, background=background)
    torch.testing.assert_close(several[1], image)
    depth = some.render(viewmat, K, 40, 30, render_mode="ED")
    assert depth.shape == (30, 40, 1)


def test_sequence(some, Gaussians, tmp_path: Path) -> None:
    from steadyview.scene.gaussians import read_gaussian_sequence, write_gaussian_sequence

    folder = tmp_path / "moving"
    assert write_gaussian_sequence((some[:n] for n in range(1, 13)), folder) == 12
    assert (folder / "frame_00011.ply").exists()
    assert [len(x) for x in read_gaussian_sequence(folder)] == list(range(1, 13))
    with pytest.raises(OutputError, match="overwrite"):
        write_gaussian_sequence([some], folder)

    def broken():
        yield some
        raise KeyError("the third is missing")

    with pytest.raises(KeyError):  # the whole old sequence is still there
        write_gaussian_sequence(broken(), folder, overwrite=True)
    assert [len(x) for x in read_gaussian_sequence(folder)] == list(range(1, 13))
    assert len(list(folder.iterdir())) == 12
    backwards = (x for x in list(read_gaussian_sequence(folder))[::-1])
    assert write_gaussian_sequence(backwards, folder, overwrite=True) == 12
    assert [len(x) for x in read_gaussian_sequence(folder)] == list(range(12, 0, -1))
    assert write_gaussian_sequence([some, some[:5]], folder, overwrite=True) == 2
    assert len(list(folder.iterdir())) == 2
    assert [len(x) for x in read_gaussian_sequence(folder)] == [30, 5]
    (folder / "frame_00000.ply").rename(folder / "take2_10.ply")  # by number, not by name
    assert [len(x) for x in read_gaussian_sequence(folder)] == [5, 30]
    with pytest.raises(InputError, match="has no files"):
        read_gaussian_sequence(tmp_path)


def test_public_names_without_importing_torch() -> None:
    script = (
        "import sys, steadyview.scene\n"
        "assert 'torch' not in sys.modules\n"
        "from steadyview.scene import *\n"
        "from steadyview.scene import Gaussians, fit_gaussians, view_gaussians\n"
        "assert Gaussians is steadyview.Gaussians\n"
        "assert fit_gaussians is steadyview.fit_gaussians\n"
        "assert {'read_gaussian_sequence', 'fitting'} <= set(dir(steadyview.scene))\n"
        "try:\n    steadyview.scene.gone\n"
        "except AttributeError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "'gone'" in run.stdout
