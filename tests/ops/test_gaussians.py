import math
import os
import subprocess
import sys

import numpy as np
import pytest
from tests.reference.gaussians import harmonic, render

pytestmark = pytest.mark.needs_torch
WIDTH, HEIGHT = 70, 45  # neither a whole number of tiles nor of blocks
NAMES = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks", "backgrounds")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def ops(torch):
    from steadyview import ops

    return ops


def scene(torch, count=60, seed=1, channels=3, size=0.2, dtype=None):
    """Gaussians in front of a camera that is turned and shifted."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    z = 1 + 4 * uniform(count, 1)
    turn = torch.tensor([[1.0, 0.02, -0.03], [-0.02, 1.0, 0.04], [0.03, -0.04, 1.0]])
    viewmat = torch.eye(4, dtype=torch.float64)
    viewmat[:3, :3] = torch.linalg.qr(turn.double())[0]
    viewmat[:3, :3] *= torch.diagonal(viewmat[:3, :3]).sign()
    viewmat[:3, 3] = torch.tensor([0.1, -0.05, 0.2])
    values = {
        "means": torch.cat([(uniform(count, 2) - 0.5) * z * 1.2, z], 1),
        "quats": torch.randn((count, 4), generator=generator, dtype=torch.float64),
        "scales": 0.02 + size * uniform(count, 3),
        "opacities": uniform(count),
        "colors": uniform(count, channels),
        "viewmats": viewmat[None],
        "Ks": torch.tensor([[[60.0, 0, 36], [0, 55, 22], [0, 0, 1]]], dtype=torch.float64),
        "backgrounds": uniform(1, channels),
    }
    return {name: value.to(dtype or torch.float64) for name, value in values.items()}


def camera(values, index=0):
    names = ("means", "quats", "scales", "opacities", "colors")
    return [*(values[name] for name in names), values["viewmats"][index], values["Ks"][index]]


def assert_images_close(result, expected, atol):
    """Rounding may carry a pixel over a border, alpha = 1/255 or transmittance 1e-4: few may be
    off, and by no more than such a step."""
    error = (result.double() - expected).abs()
    scale = expected.abs().max().clamp(min=1)
    assert error.max() <= 1.1 / 255 * scale
    assert (error > atol * scale).double().mean() < 3e-3


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("camera_model", ["pinhole", "ortho"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matches_the_reference(torch, ops, dtype, camera_model, antialiased):
    values = scene(torch)
    if camera_model == "ortho":
        values["Ks"][:, 0, 0], values["Ks"][:, 1, 1] = 14, 12
    expected, alpha = render(
        *camera(values), WIDTH, HEIGHT, torch.cat([values["backgrounds"][0], torch.zeros(1)]),
        antialiased, camera_model == "ortho", with_depth=True,
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
        # Colours are not looked at by the projection.
        assert meta["invalid"].tolist() == [5]
        with pytest.raises(ValueError, match="5 Gaussians have a number that is not finite"):
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


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("packed", [False, True])
def test_gradients_match_the_reference(torch, ops, packed, dtype, mode):
    leaves = {k: v.requires_grad_() for k, v in scene(torch).items()}
    zero = torch.zeros(1, dtype=torch.float64)
    expected, alpha = render(
        *camera(leaves), WIDTH, HEIGHT, torch.cat([leaves["backgrounds"][0], zero]),
        mode == "antialiased", with_depth=True,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn((HEIGHT, WIDTH, 5), generator=generator, dtype=torch.float64)
    loss = (expected * weights[..., :4]).sum() + (alpha * weights[..., 4]).sum()
    theirs = torch.autograd.grad(loss, list(leaves.values()))

    kind = getattr(torch, dtype)
    ours = {k: v.detach().to(kind).requires_grad_() for k, v in leaves.items()}
    image, alphas, _ = ops.rasterization(
        **ours, width=WIDTH, height=HEIGHT, render_mode="RGB+D", rasterize_mode=mode, packed=packed
    )
    weights = weights.to(kind)
    loss = (image[0] * weights[..., :4]).sum() + (alphas[0, ..., 0] * weights[..., 4]).sum()
    grads = torch.autograd.grad(loss, list(ours.values()))
    for name, mine, exact in zip(ours, grads, theirs, strict=True):
        # float32: sums of about 1e3 products with roundings of 6e-8, and their cancellation.
        atol = (1e-4 if dtype == "float32" else 1e-12) * exact.abs().max()
        torch.testing.assert_close(mine.double(), exact, rtol=0, atol=atol.item(), msg=name)


def test_gradients_of_other_camera_models_and_modes(torch, ops):
    values = scene(torch, count=7, size=0.5)
    values["Ks"][:, 0, 0], values["Ks"][:, 1, 1] = 5, 4
    values["Ks"][:, :2, 2] = torch.tensor([6.0, 4.0])
    values["opacities"] = 0.3 + 0.5 * values["opacities"]
    for model, mode in (("ortho", "RGB+ED"), ("pinhole", "ED"), ("pinhole", "D")):

        def image(*arguments, model=model, mode=mode):
            values = dict(zip(NAMES, arguments, strict=True))
            image, alphas, _ = ops.rasterization(
                **values, width=11, height=8, camera_model=model, render_mode=mode, packed=False
            )
            # Where alpha crosses 1/255 there is a step: pixels far inside only.
            return image[:, 2:6, 3:8] * (alphas[:, 2:6, 3:8].detach() > 0.2)

        leaves = [value.clone().requires_grad_() for value in values.values()]
        output = image(*leaves)
        weights = torch.rand_like(output)
        grads = torch.autograd.grad((output * weights).sum(), leaves, allow_unused=True)
        generator = torch.Generator().manual_seed(4)
        for name, leaf, grad in zip(NAMES, leaves, grads, strict=True):
            if grad is None:
                assert name in ("colors", "backgrounds")
                continue
            step = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
            if name in ("viewmats", "Ks"):
                step[:, -1] = 0
            if name == "Ks":
                step[:, 0, 1] = step[:, 1, 0] = 0
            eps = 1e-7
            moved = [
                image(*(x + sign * eps * step if x is leaf else x for x in leaves)).detach()
                for sign in (1, -1)
            ]
            slope = ((moved[0] - moved[1]) * weights).sum() / (2 * eps)
            torch.testing.assert_close((grad * step).sum(), slope, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("degree", range(5))
def test_harmonics(torch, ops, degree):
    generator = torch.Generator().manual_seed(degree)
    dirs = torch.randn((21, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    coeffs = torch.randn((21, 25, 3), generator=generator, dtype=torch.float64)
    coeffs.requires_grad_()
    unit = (dirs / dirs.norm(dim=-1, keepdim=True)).T
    basis = [harmonic(n, m, unit) for n in range(degree + 1) for m in range(-n, n + 1)]
    expected = (torch.stack(basis, 1)[..., None] * coeffs[:, : len(basis)]).sum(1)
    result = ops.spherical_harmonics(degree, dirs, coeffs)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    single = ops.spherical_harmonics(degree, dirs.float(), coeffs.float())
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-5)
    weights = torch.randn(result.shape, generator=generator, dtype=torch.float64)
    if degree == 0:
        weights = weights + 0 * dirs  # so that both depend on it
    theirs = torch.autograd.grad((expected * weights).sum(), (dirs, coeffs), retain_graph=True)
    mine = torch.autograd.grad((result * weights).sum(), (dirs, coeffs))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    masks = torch.arange(21) % 3 > 0
    masked = ops.spherical_harmonics(degree, dirs, coeffs, masks)
    assert torch.equal(masked, torch.where(masks[:, None], result, 0.0))


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


def test_absolute_gradients(torch, ops):
    values = scene(torch, count=9)
    for packed in (False, True):
        values["means"].requires_grad_()
        image, _, meta = ops.rasterization(
            **values, width=WIDTH, height=HEIGHT, absgrad=True, packed=packed
        )
        means2d = meta["means2d"]
        total = torch.zeros_like(means2d)
        single = torch.zeros_like(means2d)
        for y, x in np.ndindex(HEIGHT, WIDTH):
            if image[0, y, x].sum() == 0:
                continue
            (grad,) = torch.autograd.grad(image[0, y, x, 1], means2d, retain_graph=True)
            total, single = total + grad.abs(), single + grad
            if y > 3:
                break
        loss = image[0, :4, :, 1].sum() + image[0, 4, : x + 1, 1].sum()
        means2d.retain_grad()
        loss.backward()
        torch.testing.assert_close(means2d.absgrad, total, rtol=0, atol=1e-12)
        torch.testing.assert_close(means2d.grad, single, rtol=0, atol=1e-12)


def test_threads_do_not_matter(torch, ops):
    values = {k: v.requires_grad_() for k, v in scene(torch, 5000, dtype=torch.float32).items()}
    results = []
    threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        image, alphas, _ = ops.rasterization(**values, width=300, height=200, packed=False)
        grads = torch.autograd.grad(image.sum() + alphas.sum(), list(values.values()))
        results.append((image, alphas, *grads[:7]))
    torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


PROGRAM = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from steadyview.ops import rasterization
from tests.ops.test_gaussians import scene
values = {k: v.requires_grad_() for k, v in scene(torch, 300, dtype=torch.float32).items()}
image, alphas, _ = rasterization(**values, width=70, height=45)
grads = torch.autograd.grad((image * image).sum() + alphas.sum(), list(values.values()))
torch.save([image.detach(), alphas.detach(), *grads], sys.argv[2])
"""


def test_instruction_sets_agree(torch, ops, tmp_path):
    results = []
    values = {k: v.requires_grad_() for k, v in scene(torch, 300, dtype=torch.float32).items()}
    image, alphas, _ = ops.rasterization(**values, width=70, height=45)
    loss = (image * image).sum() + alphas.sum()
    best = [image, alphas, *torch.autograd.grad(loss, list(values.values()))]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for isa in ("baseline", "avx2"):
        path = tmp_path / f"{isa}.pt"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, root, str(path)], check=True,
            env={**os.environ, "STEADYVIEW_ISA": isa},
        )  # fmt: skip
        results.append(torch.load(path))
    for other in results:
        for mine, theirs in zip(other, best, strict=True):
            # Roundings differ; a pixel of the 300 splats' may cross a border.
            torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-3 * theirs.abs().max().item())


def test_opcheck(torch, ops):
    values = scene(torch, count=6)
    means, quats, scales, opacities, colors, viewmats, Ks, backgrounds = (
        v.requires_grad_() for v in values.values()
    )
    library = torch.ops.steadyview
    for compensate in (False, True):
        arguments = (means, quats, scales, opacities, viewmats, Ks, 20, 15, 0.3, 0.01, 1e10, 0.0)
        torch.library.opcheck(library.project_gaussians, (*arguments, compensate, 0))
    means2d, depths, conics, _, radii, _ = library.project_gaussians(
        *(x.detach() for x in (means, quats, scales, opacities, viewmats, Ks)),
        20, 15, 0.3, 0.01, 1e10, 0.0, False, 0,
    )  # fmt: skip
    dirs = torch.randn((6, 3), dtype=torch.float64, requires_grad=True)
    coeffs = torch.randn((6, 9, 3), dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(library.evaluate_harmonics, (dirs, coeffs, None, 2))
    first = torch.tensor([0, 6])
    for absolute in (None, torch.zeros((6, 2), dtype=torch.float64, requires_grad=True)):
        torch.library.opcheck(
            library.rasterize_gaussians,
            (means2d[0].requires_grad_(), absolute, conics[0].requires_grad_(), colors, opacities,
             depths[0], radii[0], backgrounds, first, 20, 15),
        )  # fmt: skip


def test_compiles_in_one_graph(torch, ops):
    values = {k: v.requires_grad_() for k, v in scene(torch, count=8).items()}

    def loss(values):
        image, alphas, _ = ops.rasterization(**values, width=20, height=15, packed=False)
        return image.square().sum() + alphas.sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected, result = loss(values), compiled(values)
    torch.testing.assert_close(result, expected)
    leaves = [values["means"], values["viewmats"]]
    torch.testing.assert_close(
        torch.autograd.grad(result, leaves), torch.autograd.grad(expected, leaves)
    )


def test_projection_alone(torch, ops):
    values = scene(torch)
    names = ("quats", "scales", "viewmats", "Ks")
    rest = [values[name] for name in names]
    radii, *others, none = ops.fully_fused_projection(values["means"], None, *rest, WIDTH, HEIGHT)
    assert none is None
    _, _, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    seen = (meta["radii"] > 0).all(-1)
    for key, result in zip(("means2d", "depths", "conics"), others, strict=True):
        assert torch.equal(result[seen], meta[key][seen])
    assert (radii >= meta["radii"]).all()  # without opacities they are those of opacity 1


BAD = {
    "batches": ({"means": lambda x: x[None]}, "means must be"),
    "quats": ({"quats": lambda x: x[:, :3]}, "quats must be"),
    "scales": ({"scales": lambda x: x[1:]}, "scales must be"),
    "opacities": ({"opacities": lambda x: x[:, None]}, "opacities must be"),
    "colors": ({"colors": lambda x: x[1:]}, "colors must be"),
    "viewmats": ({"viewmats": lambda x: x[:, :3]}, "viewmats must be"),
    "Ks": ({"Ks": lambda x: x.repeat(2, 1, 1)}, "Ks must be"),
    "backgrounds": ({"backgrounds": lambda x: x[:, :2]}, "backgrounds must be"),
    "dtype": ({"scales": lambda x: x.float()}, "scales must be"),
    "integers": ({"means": lambda x: x.long()}, "means must be float32 or float64"),
    "width": ({"width": lambda x: 0}, "width and height must be"),
    "planes": ({"near_plane": lambda x: 2.0, "far_plane": lambda x: 1.0}, "near_plane must be"),
    "eps2d": ({"eps2d": lambda x: -1.0}, "eps2d must be"),
    "mode": ({"render_mode": lambda x: "RGBD"}, "render_mode must be one of"),
    "raster": ({"rasterize_mode": lambda x: "smooth"}, "rasterize_mode must be one of"),
    "model": ({"camera_model": lambda x: "fisheye"}, "camera_model must be one of"),
    "covars": ({"covars": lambda x: 1}, "covars is not supported"),
    "sparse": ({"sparse_grad": lambda x: True}, "sparse_grad is not supported"),
    "degree": ({"sh_degree": lambda x: 2}, "colors must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(torch, ops, name):
    changes, message = BAD[name]
    arguments = {**scene(torch), "width": WIDTH, "height": HEIGHT}
    for key, change in changes.items():
        arguments[key] = change(arguments.get(key))
    with pytest.raises(ValueError, match=message):
        ops.rasterization(**arguments)


def test_singular_cameras(torch, ops):
    values = scene(torch)
    values["viewmats"] = torch.zeros_like(values["viewmats"])
    image, alphas, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    assert torch.equal(image, values["backgrounds"].expand_as(image))
    assert alphas.sum() == 0
    values["colors"] = torch.zeros((60, 4, 3), dtype=torch.float64)
    with pytest.raises(ValueError, match="viewmats must be invertible"):
        ops.rasterization(**values, width=WIDTH, height=HEIGHT, sh_degree=1)
    values["Ks"] = torch.zeros_like(values["Ks"])
    values["colors"] = torch.zeros((60, 3), dtype=torch.float64)
    image, _, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    assert torch.isfinite(image).all()


def test_docstring_example(torch, ops):
    import doctest

    from steadyview.ops import gaussians

    assert doctest.testmod(gaussians, extraglobs={"torch": torch}) == (0, 4)
