"""A known scene is rendered, and found again."""

import signal

import numpy as np
import pytest

from steadyview.errors import OptionError

pytestmark = pytest.mark.needs_torch
WIDTH, HEIGHT = 48, 36


@pytest.fixture(scope="module")
def scene(torch):
    """A ball of coloured points seen from around: truth, images (C, 3, H, W) and cameras."""
    from steadyview.scene.gaussians import Gaussians
    from steadyview.scene.views import orbit

    draw = np.random.default_rng(0)
    points = draw.normal(size=(150, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    truth = Gaussians.from_points(points, draw.uniform(size=(150, 3)), sh_degree=0, opacity=0.9)
    viewmats = torch.cat([orbit((0, 0, 0), 4, 8), orbit((0, 0, 0), 4, 4, elevation=-40)])
    Ks = torch.tensor([[50.0, 0, WIDTH / 2], [0, 50, HEIGHT / 2], [0, 0, 1]]).expand(12, 3, 3)
    images = truth.render(viewmats, Ks, WIDTH, HEIGHT).clamp(0, 1).permute(0, 3, 1, 2)
    return truth, (images * 255).round().to(torch.uint8), viewmats, Ks


def test_a_scene_is_found_from_nothing_but_images(scene, torch) -> None:
    from steadyview import fit_gaussians
    from steadyview.scene.densify import DensityOptions

    _, images, viewmats, Ks = scene
    held_out = torch.arange(12) == 3
    seen = (images[~held_out], viewmats[~held_out], Ks[~held_out])
    steps, shown = [], {}
    result = fit_gaussians(
        *seen, steps=120, count=600, sh_degree=1, preview_every=50, lr_means=1e-3,
        density=DensityOptions(start=20, stop=60, every=20, grow_gradient=0.002),
        progress=lambda *now: steps.append(now), preview=shown.__setitem__,
    )  # fmt: skip
    assert result.losses[-20:].mean() < 0.4 * result.losses[:5].mean()
    unseen = (images[held_out], viewmats[held_out], Ks[held_out])
    black = -10 * np.log10(float(((images[held_out] / 255.0) ** 2).mean()))
    assert result.psnr(*unseen)[0] > black + 6
    assert result.psnr(*seen).mean() > black + 12
    assert [step for step, *_ in steps] == list(range(1, 121))
    assert steps[-1][3] == len(result.gaussians)
    assert sorted(shown) == [50, 100, 120]
    assert shown[120].shape == (HEIGHT, WIDTH, 3)
    assert shown[120].dtype == np.uint8


def test_the_truth_stays_true(scene) -> None:
    from steadyview import FitOptions, fit_gaussians
    from steadyview.scene.densify import DensityOptions

    truth, images, viewmats, Ks = scene
    still = FitOptions(steps=20, sh_degree=0, density=DensityOptions(stop=0))
    result = fit_gaussians(images, viewmats, Ks, truth, options=still)
    assert len(result.gaussians) == len(truth)
    assert result.psnr(images, viewmats, Ks).mean() > 40  # Adam's steps do not shrink to nothing


def test_the_same_every_time_and_with_any_number_of_threads(scene, torch) -> None:
    from steadyview import fit_gaussians
    from steadyview.scene.densify import DensityOptions

    _, images, viewmats, Ks = scene
    found = []
    density = DensityOptions(start=5, stop=25, every=10)
    given = {"steps": 30, "count": 200, "background": None, "density": density}
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            result = fit_gaussians(images, viewmats, Ks, **given)
            found.append(result.gaussians)
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert torch.equal(found[0].means, other.means)
        assert torch.equal(found[0].harmonics, other.harmonics)
    other = fit_gaussians(images, viewmats, Ks, seed=1, **given)
    assert not torch.equal(found[0].means[:50], other.gaussians.means[:50])


def test_masked_pixels_are_not_explained(scene, torch) -> None:
    from steadyview import fit_gaussians

    _, images, viewmats, Ks = scene
    masks = np.ones((12, HEIGHT, WIDTH), np.float32)
    masks[:, :, : WIDTH // 2] = 0
    spoilt = images.clone()
    spoilt[:, :, :, : WIDTH // 2] = 255
    given = {"steps": 40, "count": 200, "ssim_weight": 0.0, "sh_degree": 0}
    found, expected = (
        fit_gaussians(pictures.numpy(), viewmats.numpy(), Ks.numpy(), start, masks=masks, **given)
        for pictures, start in ((images, scene[0]), (spoilt, scene[0]))
    )
    np.testing.assert_array_equal(found.losses, expected.losses)


@pytest.mark.parametrize(("had", "wanted"), [(0, 2), (2, 1), (2, 3)])
def test_harmonics_of_the_wanted_degree(scene, torch, had: int, wanted: int) -> None:
    """Degrees that the first guess uses are drawn from the first step on."""
    from steadyview import Gaussians, fit_gaussians

    truth, images, viewmats, Ks = scene
    harmonics = torch.zeros((len(truth), (had + 1) ** 2, 3))
    harmonics[:, :1] = truth.harmonics
    harmonics[:, -1] = 0.5 if had else truth.harmonics[:, 0]
    init = Gaussians(
        truth.means, truth.quaternions, truth.log_scales, truth.opacity_logits, harmonics
    )
    given = {"steps": 1, "sh_degree": wanted, "ssim_weight": 0.0}
    result = fit_gaussians(images[:1], viewmats[:1], Ks[:1], init, **given)
    assert result.gaussians.sh_degree == wanted
    if wanted >= had:
        view = init.render(viewmats[0], Ks[0], WIDTH, HEIGHT)
        loss = (view - images[0].permute(1, 2, 0) / 255).abs().mean()
        assert result.losses[0] == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((12, 36, 48, 3))}, "images must be"),
        ({"images": np.zeros((12, 3, 36, 48), np.int32)}, "uint8 or floating"),
        ({"images": np.zeros((0, 3, 36, 48))}, "images must be"),
        ({"viewmats": np.zeros((11, 4, 4))}, "viewmats must be"),
        ({"viewmats": np.full((12, 4, 4), np.nan)}, "viewmats must be finite"),
        ({"Ks": np.zeros((3, 3))}, "Ks must be"),
        ({"masks": np.zeros((12, 48, 36))}, "masks must be"),
        ({"masks": np.full((12, 36, 48), -1.0)}, "masks must not be negative"),
        ({"Ks": np.zeros((12, 3, 3))}, "Ks must be finite and invertible"),
        ({"viewmats": np.zeros((12, 4, 4))}, "viewmats must be finite and invertible"),
    ],
)
def test_bad_input_is_named(scene, change, message) -> None:
    from steadyview import fit_gaussians

    _, images, viewmats, Ks = scene
    given = {"images": images, "viewmats": viewmats, "Ks": Ks, "steps": 1, **change}
    with pytest.raises(ValueError, match=message):
        fit_gaussians(**given)


def test_bad_options_are_named(scene) -> None:
    from steadyview import FitOptions, fit_gaussians

    _, images, viewmats, Ks = scene
    with pytest.raises(OptionError, match="unknown option 'stpes'"):
        fit_gaussians(images, viewmats, Ks, stpes=3)
    with pytest.raises(OptionError, match="steps"):
        FitOptions(steps=0)
    with pytest.raises(OptionError, match="sh_degree"):
        FitOptions(sh_degree=5)
    with pytest.raises(ValueError, match=r"viewmats must .* last row 0 0 0 1"):
        fit_gaussians(images, viewmats.mT, Ks)
    for name, value, message in (
        ("steps", 10.0, "steps must be a whole number of at least 1, got 10.0"),
        ("steps", True, "steps must be a whole number"),
        ("sh_degree", 2.5, "sh_degree must be a whole number"),
        ("sh_every", "10", "sh_every must be a whole number"),
        ("lr_means", float("nan"), "lr_means must be a number"),
        ("lr_means", None, "lr_means must be a number"),
        ("antialiased", 1, "antialiased must be True or False"),
        ("background", (0.0, float("nan"), 0.0), "background must be finite"),
        ("background", (0.0, 1.0), "background must be three numbers"),
        ("background", 1, "background must be three numbers"),
    ):
        with pytest.raises(OptionError, match=message):
            FitOptions(**{name: value})
    assert FitOptions(steps=np.int64(3), lr_means=np.float32(0.5)).steps == 3
    with pytest.raises(TypeError, match="either options or"):
        fit_gaussians(images, viewmats, Ks, options=FitOptions(), steps=3)
    with pytest.raises(ValueError, match="at least one"):
        fit_gaussians(images, viewmats, Ks, scene[0][:0])


def test_previews_change_nothing(scene, torch) -> None:
    from steadyview import fit_gaussians

    _, images, viewmats, Ks = scene
    shown = {}
    options = {"steps": 12, "count": 50, "sh_degree": 0, "background": None, "preview_every": 3}
    alone = fit_gaussians(images, viewmats, Ks, **options)
    watched = fit_gaussians(images, viewmats, Ks, preview=shown.__setitem__, **options)
    assert len(shown) == 4
    np.testing.assert_array_equal(alone.losses, watched.losses)
    assert torch.equal(alone.gaussians.means, watched.gaussians.means)


def test_a_learning_rate_of_0_keeps_what_it_is_of(scene, torch) -> None:
    from steadyview import fit_gaussians

    truth, images, viewmats, Ks = scene
    given = {"lr_means": 0, "lr_harmonics": 0, "sh_degree": 1, "steps": 3}
    found = fit_gaussians(images, viewmats, Ks, truth, **given).gaussians
    assert torch.equal(found.means, truth.means)
    assert torch.equal(found.harmonics[:, :1], truth.harmonics)
    assert not torch.equal(found.log_scales, truth.log_scales)


@pytest.mark.parametrize("value", [-0.5, 1.5, 255.0, float("nan")])
def test_floating_images_are_in_range(scene, value: float) -> None:
    from steadyview import fit_gaussians

    truth, images, viewmats, Ks = scene
    images = images / 255.0
    images[3, 1, 2, 5] = value
    with pytest.raises(ValueError, match=r"images must be in \[0, 1\]"):
        fit_gaussians(images, viewmats, Ks, truth, steps=1)
    assert fit_gaussians((images.half().nan_to_num() * 0), viewmats, Ks, truth, steps=1)


def test_visible_adam_leaves_alone_what_is_not_seen(scene, torch) -> None:
    from steadyview import Gaussians, fit_gaussians

    truth, images, viewmats, Ks = scene
    behind = Gaussians(truth.means + 100, *truth._tensors()[1:])
    both = Gaussians.cat([truth, behind])
    given = {"steps": 3, "sh_degree": 1, "visible_adam": True}
    result = fit_gaussians(images, viewmats, Ks, both, **given)
    assert torch.equal(result.gaussians.means[len(truth) :], behind.means)
    assert not torch.equal(result.gaussians.means[: len(truth)], truth.means)


@pytest.mark.parametrize("background", [(0, 1, 0), np.array([0, 1, 0]), np.float32([0, 1, 0])])
def test_backgrounds_of_any_numbers(scene, background) -> None:
    from steadyview import fit_gaussians

    truth, images, viewmats, Ks = scene
    given = {"steps": 2, "preview": lambda *shown: None}
    result = fit_gaussians(images, viewmats, Ks, truth, background=background, **given)
    expected = fit_gaussians(images, viewmats, Ks, truth, background=(0.0, 1.0, 0.0), **given)
    np.testing.assert_array_equal(result.losses, expected.losses)
    assert np.isfinite(result.psnr(images, viewmats, Ks)).all()


def test_without_gradients_around_it(scene, torch) -> None:
    from steadyview import fit_gaussians

    truth, images, viewmats, Ks = scene
    expected = fit_gaussians(images, viewmats, Ks, truth, steps=2)
    with torch.no_grad():
        result = fit_gaussians(images, viewmats, Ks, truth, steps=2)
    np.testing.assert_array_equal(result.losses, expected.losses)


def test_nothing_left(scene) -> None:
    from steadyview import fit_gaussians
    from steadyview.scene.densify import DensityOptions

    truth, images, viewmats, Ks = scene
    density = DensityOptions(start=0, stop=9, every=1, prune_opacity=0.49, grow_gradient=1e9)
    faint = truth.from_points(truth.means, truth.means.abs().clamp(max=1), opacity=0.1)
    with pytest.raises(ValueError, match="no Gaussian is left after step"):
        fit_gaussians(images, viewmats, Ks, faint, steps=9, density=density)


@pytest.fixture
def interruptible():
    """A shell's background jobs ignore Ctrl-C, and pytest may run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", ["signal", "callback"])
def test_an_interrupted_fit_gives_what_there_is(scene, how: str) -> None:
    from steadyview import fit_gaussians

    truth, images, viewmats, Ks = scene

    def progress(step: int, *_) -> None:
        if step == 3 and how == "signal":
            signal.raise_signal(signal.SIGINT)
        elif step == 3:
            raise KeyboardInterrupt

    result = fit_gaussians(images, viewmats, Ks, truth, steps=20, progress=progress)
    whole = fit_gaussians(images, viewmats, Ks, truth, steps=20)
    assert result.interrupted
    assert not whole.interrupted
    np.testing.assert_array_equal(result.losses, whole.losses[:3])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_psnr_with_masks(scene) -> None:
    from steadyview import fit_gaussians

    truth, images, viewmats, Ks = scene
    result = fit_gaussians(images, viewmats, Ks, truth, steps=1)
    spoilt = images.clone()
    spoilt[..., :10] = 255
    masks = np.ones((12, HEIGHT, WIDTH))
    masks[..., :10] = 0
    found = result.psnr(spoilt, viewmats, Ks, masks)
    np.testing.assert_array_equal(found, result.psnr(images, viewmats, Ks, masks))
    assert (found > result.psnr(spoilt, viewmats, Ks)).all()
