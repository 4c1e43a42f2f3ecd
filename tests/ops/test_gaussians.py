import math

import pytest
from tests.ops.gaussian_scenes import HEIGHT, WIDTH, assert_images_close, camera, scene
from tests.reference.gaussians import render

pytestmark = pytest.mark.needs_torch


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("camera_model", ["pinhole", "ortho", "fisheye"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matches_the_reference(torch, ops, dtype, camera_model, antialiased):
    values = scene(torch)
    if camera_model == "ortho":
        values["Ks"][:, 0, 0], values["Ks"][:, 1, 1] = 14, 12
    expected, alpha = render(
        *camera(values), WIDTH, HEIGHT, torch.cat([values["backgrounds"][0], torch.zeros(1)]),
        antialiased, camera_model, with_depth=True,
    )  # fmt: skip
    values = {name: value.to(getattr(torch, dtype)) for name, value in values.items()}
    image, alphas, meta = ops.rasterization(
        **values, width=WIDTH, height=HEIGHT, render_mode="RGB+D", camera_model=camera_model,
        rasterize_mode="antialiased" if antialiased else "classic",
    )  # fmt: skip
    assert image.dtype == values["means"].dtype
    assert image.shape == (1, HEIGHT, WIDTH, 4)
    # float32: about 30 blends of numbers up to 6, each with a few units of 6e-8.
    atol = 1e-5 if dtype == "float32" else 1e-12
    assert_images_close(image[0], expected, atol)
    assert_images_close(alphas[0, ..., 0], alpha, atol)
    assert meta["invalid"].tolist() == [0]


def adversaries(torch, name):
    values = scene(torch, count=24, seed=5)
    if name == "behind":
        values["means"][::2, 2] *= -1
    elif name == "near plane":
        # In the camera z = 0.2 + the turned mean's; put some just before and behind 0.01.
        axis = values["viewmats"][0, 2, :3]
        for i, z in enumerate((0.0, 0.0099, 0.0101, 0.02, -0.0101)):
            values["means"][i] = axis * (z - 0.2)
        values["scales"][:5] *= 0.01
    elif name == "needles":
        values["scales"][:, 0] = 2.0
        values["scales"][:, 1:] = 1e-4
    elif name == "huge":
        values["scales"][:] = 30.0
    elif name == "sub-pixel":
        values["scales"][:] = 1e-6
    elif name == "coincident":
        values["means"][:] = values["means"][:1]
    elif name == "opacity 0":
        values["opacities"][::2] = 0
    elif name == "opacity 1":
        values["opacities"][:] = 1
    elif name == "flat":
        values["scales"][:, 2] = 0
    elif name == "beside":
        values["means"][:, 0] += 40
    elif name == "none":
        for key in ("means", "quats", "scales", "opacities", "colors"):
            values[key] = values[key][:0]
    elif name == "not finite":
        values["means"][0, 1] = math.nan
        values["quats"][2] = math.inf
        values["scales"][4, 0] = math.nan
        values["opacities"][6] = math.nan
        values["colors"][8, 1] = math.nan
        values["quats"][10] = 0
    return values


ADVERSARIES = (
    "behind", "near plane", "needles", "huge", "sub-pixel", "coincident", "opacity 0",
    "opacity 1", "flat", "beside", "none", "not finite",
)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_adversaries(torch, ops, name, dtype):
    values = {k: v.to(getattr(torch, dtype)) for k, v in adversaries(torch, name).items()}
    values = {k: v.requires_grad_() for k, v in values.items()}
    image, alphas, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    if name == "not finite":
        assert meta["invalid"].tolist() == [6]
        with pytest.raises(ValueError, match="6 Gaussians have a number that is not finite"):
            ops.rasterization(**values, width=WIDTH, height=HEIGHT, strict=True)
    exact = {k: v.detach().double().clone() for k, v in values.items()}
    if name == "not finite":
        exact["quats"][10] = math.nan
    expected, alpha = render(*camera(exact), WIDTH, HEIGHT, exact["backgrounds"][0])
    # Needles: the conics' float32 rounding, 6e-8 of 1 / 0.3 px^-2, times distances^2 of 100 px^2.
    atol = {"float64": 1e-9, "float32": 5e-4 if name == "needles" else 2e-5}[dtype]
    assert_images_close(image[0], expected, atol)
    assert_images_close(alphas[0, ..., 0], alpha, atol)
    (image.sum() + alphas.sum()).backward()
    for key, value in values.items():
        assert torch.isfinite(value.grad).all(), key


def test_harmonics_in_a_picture(torch, ops):
    values = scene(torch)
    background = values.pop("backgrounds")
    coeffs = torch.randn((60, 16, 3), generator=torch.Generator().manual_seed(1)).double() / 3
    centre = torch.linalg.inv(values["viewmats"][0])[:3, 3]
    colors = (ops.spherical_harmonics(3, values["means"] - centre, coeffs) + 0.5).clamp(min=0)
    expected, _ = render(*camera({**values, "colors": colors}), WIDTH, HEIGHT, background[0])
    values["colors"] = coeffs
    for packed in (False, True):
        image, _, _ = ops.rasterization(
            **values, width=WIDTH, height=HEIGHT, sh_degree=3, packed=packed,
            backgrounds=background,
        )  # fmt: skip
        assert_images_close(image[0], expected, 1e-12)


def test_wide_splats_at_the_left_border(torch, ops):
    """Where a splat's own x is near 0, distances from it are rounded at every step along a row."""
    values = scene(torch, count=150, dtype=torch.float32)
    values["viewmats"] = torch.eye(4)[None]
    z = values["means"][:, 2:]
    x = torch.linspace(-8, 8, 150)[:, None] + 1e-3 * torch.rand((150, 1))
    values["means"] = torch.cat([(x - 36) * z / 60, values["means"][:, 1:2], z], 1)
    values["scales"] = torch.tensor([0.6, 0.1, 0.1]) * z / 3
    values["quats"] = torch.tensor([1.0, 0, 0, 0.05]).expand(150, 4)
    values["opacities"] = values["opacities"] * 0.2
    image, _, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    exact = {k: v.double() for k, v in values.items()}
    expected, _ = render(*camera(exact), WIDTH, HEIGHT, exact["backgrounds"][0])
    assert_images_close(image[0], expected, 2e-5)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 9])
def test_any_number_of_channels(torch, ops, channels):
    leaves = {k: v.requires_grad_() for k, v in scene(torch, channels=channels).items()}
    expected, _ = render(*camera(leaves), WIDTH, HEIGHT, leaves["backgrounds"][0])
    image, _, _ = ops.rasterization(**leaves, width=WIDTH, height=HEIGHT)
    assert_images_close(image[0], expected, 1e-12)
    weights = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    theirs = torch.autograd.grad((expected * weights).sum(), list(leaves.values()))
    ours = torch.autograd.grad((image[0] * weights).sum(), list(leaves.values()))
    for mine, exact in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, exact, rtol=0, atol=1e-11 * exact.abs().max().item())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("channel", [0, 3, 4, 7])
def test_a_color_that_is_not_finite(torch, ops, channel, number):
    """Any channel leaves its Gaussian out of all channels, alone."""
    values = scene(torch, channels=8, dtype=torch.float32)
    values["colors"][8, channel] = number
    leaves = {k: v.clone().requires_grad_() for k, v in values.items()}
    image, alphas, meta = ops.rasterization(**leaves, width=WIDTH, height=HEIGHT, packed=False)
    assert meta["invalid"].tolist() == [1]
    values["colors"][8], values["opacities"][8] = 0, 0
    expected, alpha, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    assert torch.equal(image, expected)
    assert torch.equal(alphas, alpha)
    (image.sum() + alphas.sum()).backward()
    for key, leaf in leaves.items():
        assert torch.isfinite(leaf.grad).all(), key
    lists = (16, meta["isect_offsets"], meta["flatten_ids"], values["backgrounds"])
    given, _ = ops.rasterize_to_pixels(
        meta["means2d"], meta["conics"], leaves["colors"][None], meta["opacities"], WIDTH, HEIGHT,
        *lists,
    )  # fmt: skip
    torch.testing.assert_close(given, expected)
    with pytest.raises(ValueError, match="1 Gaussians have a number that is not finite"):
        ops.rasterization(**leaves, width=WIDTH, height=HEIGHT, strict=True)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_harmonic_that_is_not_finite(torch, ops, number, packed):
    """Its Gaussian is left out and counted; it does no harm to the others' gradients."""
    values = scene(torch, dtype=torch.float32)
    values["colors"] = torch.randn((60, 16, 3), generator=torch.Generator().manual_seed(1)) / 3
    values["colors"][8, 5, 0] = number
    leaves = {k: v.clone().requires_grad_() for k, v in values.items()}
    options = {"width": WIDTH, "height": HEIGHT, "sh_degree": 3, "packed": packed}
    image, alphas, meta = ops.rasterization(**leaves, **options)
    assert meta["invalid"].tolist() == [1]
    values["colors"][8], values["opacities"][8] = 0, 0
    others = {k: v.requires_grad_() for k, v in values.items()}
    expected, alpha, _ = ops.rasterization(**others, **options)
    assert torch.equal(image, expected)
    assert torch.equal(alphas, alpha)
    (image.sum() + alphas.sum()).backward()
    (expected.sum() + alpha.sum()).backward()
    for key, leaf in leaves.items():
        # Not equal: with fewer splats in a list, sums are taken in other groups.
        torch.testing.assert_close(leaf.grad, others[key].grad, rtol=1e-4, atol=1e-4, msg=key)
    with pytest.raises(ValueError, match="1 Gaussians have a number that is not finite"):
        ops.rasterization(**leaves, **options, strict=True)


def test_cameras_and_layouts(torch, ops):
    values = scene(torch)
    values["viewmats"] = values["viewmats"].repeat(3, 1, 1)
    values["viewmats"][1, 0, 3] += 0.7
    values["viewmats"][2, 2, 3] += 100  # almost nothing is large enough to be seen
    values["Ks"], values["backgrounds"] = (values[k].repeat(3, *s) for k, s in (("Ks", (1, 1)), ("backgrounds", (1,))))  # fmt: skip  # noqa: E501
    values["colors"] = torch.stack([values["colors"], 1 - values["colors"], values["colors"]])
    dense = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    packed = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=True)
    assert torch.equal(dense[0], packed[0])
    assert torch.equal(dense[1], packed[1])
    seen = (dense[2]["radii"] > 0).all(-1)
    cameras, gaussians = seen.nonzero(as_tuple=True)
    assert torch.equal(packed[2]["camera_ids"], cameras)
    assert torch.equal(packed[2]["gaussian_ids"], gaussians)
    for key in ("radii", "means2d", "depths", "conics", "opacities"):
        assert torch.equal(packed[2][key], dense[2][key][seen])
    for c in range(3):
        one = {**values, "colors": values["colors"][c], "viewmats": values["viewmats"][c : c + 1]}
        one["Ks"], one["backgrounds"] = values["Ks"][c : c + 1], values["backgrounds"][c : c + 1]
        image, _, _ = ops.rasterization(**one, width=WIDTH, height=HEIGHT)
        assert torch.equal(image[0], dense[0][c])
        expected, _ = render(*camera(one), WIDTH, HEIGHT, one["backgrounds"][0])
        assert_images_close(image[0], expected, 1e-12)


def test_strides_do_not_matter(torch, ops):
    values = scene(torch)
    expected, _, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    strided = {k: torch.stack([v, v], -1)[..., 0] for k, v in values.items()}
    result, _, _ = ops.rasterization(**strided, width=WIDTH, height=HEIGHT)
    assert torch.equal(result, expected)


def test_docstring_example(torch, ops):
    import doctest

    from steadyview.ops import gaussians

    assert doctest.testmod(gaussians, extraglobs={"torch": torch}) == (0, 4)
