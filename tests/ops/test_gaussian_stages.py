import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.gaussian_scenes import HEIGHT, WIDTH, assert_images_close, camera, scene
from tests.reference.gaussians import harmonic, render, rotation

pytestmark = pytest.mark.needs_torch


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


def test_packed_projection(torch, ops):
    values = scene(torch)
    values["means"][::3, 2] *= -1
    names = ("quats", "scales", "viewmats", "Ks")
    arguments = (values["means"], None, *(values[name] for name in names), WIDTH, HEIGHT)
    radii, *dense = ops.fully_fused_projection(*arguments, calc_compensations=True)
    batches, cameras, gaussians, *packed = ops.fully_fused_projection(
        *arguments, calc_compensations=True, packed=True
    )
    seen = (radii > 0).all(-1)
    assert 0 < len(gaussians) < 60
    assert torch.equal(batches, torch.zeros_like(cameras))
    assert torch.equal(torch.stack([cameras, gaussians], 1), seen.nonzero())
    for one, other in zip((radii, *dense), packed, strict=True):
        assert torch.equal(one[seen], other)


def test_covariances(torch, ops):
    values = scene(torch, count=7)
    quats, scales = values["quats"].reshape(7, 1, 4), values["scales"].reshape(7, 1, 3)
    covars, precis = ops.quat_scale_to_covar_preci(quats, scales)
    axes = torch.stack([rotation(q) for q in values["quats"]])[:, None]
    expected = axes @ torch.diag_embed(scales**2) @ axes.mT
    torch.testing.assert_close(covars, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(precis @ covars, torch.eye(3).double().expand(7, 1, 3, 3))
    triangles, none = ops.quat_scale_to_covar_preci(quats, scales, True, False, triu=True)
    assert none is None
    rows, columns = torch.triu_indices(3, 3)
    assert torch.equal(triangles, covars[..., rows, columns])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tile_size", [5, 16, 32])
def test_the_stages_make_the_same_picture(torch, ops, tile_size, packed):
    """isect_tiles, isect_offset_encode and rasterize_to_pixels draw what rasterization() does, with
    the same gradients."""
    values = scene(torch, channels=5)
    values["viewmats"] = values["viewmats"].repeat(2, 1, 1)
    values["viewmats"][1, 0, 3] += 0.4
    values["Ks"] = values["Ks"].repeat(2, 1, 1)
    values["backgrounds"] = values["backgrounds"].repeat(2, 1) / torch.tensor([[1.0], [2.0]])
    image, alphas, meta = ops.rasterization(
        **values, width=WIDTH, height=HEIGHT, packed=packed, tile_size=tile_size
    )
    # The lists that rasterization() gives, looked up.
    assert meta["isect_offsets"].shape == (2, meta["tile_height"], meta["tile_width"])
    assert int(meta["tiles_per_gauss"].sum()) == len(meta["flatten_ids"]) == len(meta["isect_ids"])
    assert len(meta["isect_ids"]) > 100
    colors = values["colors"].expand(2, 60, 5)
    if packed:
        colors = colors[meta["camera_ids"], meta["gaussian_ids"]]
    leaves = [meta[k].detach() for k in ("means2d", "conics")] + [colors.clone()]
    leaves += [meta["opacities"].detach().clone(), values["backgrounds"]]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    result, result_alphas = ops.rasterize_to_pixels(
        *leaves[:4], WIDTH, HEIGHT, tile_size, meta["isect_offsets"], meta["flatten_ids"],
        backgrounds=leaves[4], packed=packed, absgrad=True,
    )  # fmt: skip
    torch.testing.assert_close(result, image, rtol=0, atol=1e-12)
    torch.testing.assert_close(result_alphas, alphas, rtol=0, atol=1e-12)
    # Gradients: against the fused raster's.
    flat = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    first = torch.arange(3) * 60
    if packed:
        first = torch.searchsorted(meta["camera_ids"], torch.arange(3))
    again, again_alphas = torch.ops.steadyview.rasterize_gaussians(
        flat[0].reshape(-1, 2), None, flat[1].reshape(-1, 3), flat[2].reshape(-1, 5),
        flat[3].flatten(), meta["depths"].detach().flatten(), meta["radii"].reshape(-1, 2), flat[4],
        first, None, None, None, 16, WIDTH, HEIGHT,
    )  # fmt: skip
    weights = torch.linspace(-1, 1, image.numel(), dtype=torch.float64).reshape(image.shape)
    theirs = torch.autograd.grad((again * weights).sum() + again_alphas.sum(), flat)
    ((result * weights).sum() + result_alphas.sum()).backward()
    mine = [leaf.grad for leaf in leaves]
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11 * other.abs().max().item())
    assert (leaves[0].absgrad >= mine[0].abs() - 1e-12).all()


@settings(max_examples=15, deadline=None)
@given(
    tile_size=st.integers(1, 40), width=st.integers(1, 90), height=st.integers(1, 60),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_intersections(tile_size, width, height, seed):
    """Against a loop over all tiles and splats."""
    import torch

    from steadyview import ops

    generator = torch.Generator().manual_seed(seed)
    means = torch.rand((2, 9, 2), generator=generator) * torch.tensor([1.4 * width, 1.4 * height])
    means = means - 0.2 * torch.tensor([width, height])
    radii = torch.randint(0, 12, (2, 9, 2), generator=generator, dtype=torch.int32)
    depths = torch.randint(1, 4, (2, 9), generator=generator).float()
    grid = (-(-width // tile_size), -(-height // tile_size))
    counts, ids, splats = ops.isect_tiles(means, radii, depths, tile_size, *grid)
    offsets = ops.isect_offset_encode(ids, 2, *grid)
    ends = torch.cat([offsets.flatten()[1:], torch.tensor([len(splats)])])
    total = torch.zeros(18, dtype=torch.int32)
    for image in range(2):
        for row in range(grid[1]):
            for column in range(grid[0]):
                low, high = means[image] - radii[image], means[image] + radii[image]
                corner = torch.tensor([column, row]) * tile_size
                inside = (high > corner) & (low < corner + tile_size) & (radii[image] > 0)
                wanted = inside.all(-1).nonzero()[:, 0]
                wanted = wanted[depths[image, wanted].sort(stable=True).indices] + 9 * image
                tile = (image * grid[1] + row) * grid[0] + column
                found = splats[offsets.flatten()[tile] : ends[tile]]
                assert torch.equal(found.long(), wanted)
                total[wanted] += 1
    assert torch.equal(counts.flatten(), total)


def test_tile_masks(torch, ops):
    values = scene(torch)
    image, alphas, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    masks = torch.arange(15).reshape(1, 3, 5) % 2 == 0
    means2d = meta["means2d"].clone().requires_grad_()
    result, result_alphas = ops.rasterize_to_pixels(
        means2d, meta["conics"], values["colors"][None], meta["opacities"], WIDTH, HEIGHT, 16,
        meta["isect_offsets"], meta["flatten_ids"], values["backgrounds"], masks,
    )  # fmt: skip
    pixels = masks.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :HEIGHT, :WIDTH, None]
    assert torch.equal(result_alphas, torch.where(pixels, alphas, 0.0))
    torch.testing.assert_close(result, torch.where(pixels, image, values["backgrounds"]))
    (grad,) = torch.autograd.grad(result.sum(), means2d)
    outside = meta["means2d"][0, :, 0] < -5  # beside every tile
    assert torch.isfinite(grad).all()
    assert (grad[0, outside] == 0).all()


def test_lists_without_image_axes(torch, ops):
    values = scene(torch)
    _, _, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    tensors = (meta["means2d"], meta["conics"], values["colors"][None], meta["opacities"])
    lists = (meta["isect_offsets"], meta["flatten_ids"])
    image, alphas = ops.rasterize_to_pixels(
        *tensors, WIDTH, HEIGHT, 16, *lists, values["backgrounds"]
    )
    one, one_alpha = ops.rasterize_to_pixels(
        *(x[0] for x in tensors), WIDTH, HEIGHT, 16, lists[0][0], lists[1], values["backgrounds"][0]
    )
    assert torch.equal(one, image[0])
    assert torch.equal(one_alpha, alphas[0])
    many, many_alphas = ops.rasterize_to_pixels(
        *(x[None] for x in tensors), WIDTH, HEIGHT, 16, lists[0][None], lists[1],
        values["backgrounds"][None],
    )  # fmt: skip
    assert torch.equal(many, image[None])
    assert torch.equal(many_alphas, alphas[None])


def test_contributors(torch, ops):
    values = scene(torch)
    background = values.pop("backgrounds")[0] * 0
    _, alphas, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    ones = torch.ones((1, HEIGHT, WIDTH), dtype=torch.float64)
    arguments = (
        meta["means2d"], meta["conics"], meta["opacities"], WIDTH, HEIGHT, 16,
        meta["isect_offsets"], meta["flatten_ids"],
    )  # fmt: skip
    gaussians, pixels, images = ops.rasterize_to_indices_in_range(0, 10**10, ones, *arguments)
    assert (images == 0).all()
    assert (pixels.diff() >= 0).all()
    # Blending what it names gives the picture.
    left = torch.ones(HEIGHT * WIDTH, dtype=torch.float64)
    image = torch.zeros((HEIGHT * WIDTH, 3), dtype=torch.float64)
    for i, k in zip(gaussians.tolist(), pixels.tolist(), strict=True):
        d = torch.tensor([k % WIDTH + 0.5, k // WIDTH + 0.5]) - meta["means2d"][0, i]
        a, b, c = meta["conics"][0, i]
        sigma = (a * d[0] ** 2 + c * d[1] ** 2) / 2 + b * d[0] * d[1]
        alpha = (meta["opacities"][0, i] * torch.exp(-sigma)).clamp(max=0.999)
        image[k] += left[k] * alpha * values["colors"][i]
        left[k] *= 1 - alpha
    expected, alpha = render(*camera(values), WIDTH, HEIGHT, background)
    assert_images_close(image.reshape(HEIGHT, WIDTH, 3), expected, 1e-12)
    assert_images_close(1 - left.reshape(HEIGHT, WIDTH), alpha, 1e-12)
    assert torch.allclose(1 - left, alphas.flatten(), atol=1e-9)
    # Nothing in an empty range, and nothing where all is covered.
    for found in (
        ops.rasterize_to_indices_in_range(3, 3, ones, *arguments),
        ops.rasterize_to_indices_in_range(0, 10**10, 0 * ones, *arguments),
    ):
        assert [len(x) for x in found] == [0, 0, 0]


def test_meta_is_a_mapping_with_all_its_keys(torch, ops):
    """The tiles' lists are made when they are looked up, however that is done."""
    keys = {"tiles_per_gauss", "isect_ids", "flatten_ids", "isect_offsets"}

    def meta():
        return ops.rasterization(**scene(torch), width=WIDTH, height=HEIGHT)[2]

    expected = meta()["flatten_ids"]
    for look in (
        lambda m: m.get("flatten_ids"),
        lambda m: dict(m)["flatten_ids"],
        lambda m: {**m}["flatten_ids"],
        lambda m: (m | {})["flatten_ids"],
        lambda m: ({} | m)["flatten_ids"],
        lambda m: m.copy()["flatten_ids"],
        lambda m: m.pop("flatten_ids"),
        lambda m: dict(m.items())["flatten_ids"],
        lambda m: list(m.values())[list(m).index("flatten_ids")],
    ):
        assert torch.equal(look(meta()), expected)
    found = meta()
    assert keys <= set(found.keys())
    assert "flatten_ids" in found
    assert len(found) == len(list(found)) == len(set(found))
    assert found.get("other") is None
    with pytest.raises(KeyError):
        found["other"]


@pytest.mark.parametrize("depths", [(-3.0, -2.0), (-2.0, -3.0), (-3.0, 2.0), (2.0, -3.0)])
def test_lists_of_an_orthographic_camera_that_sees_behind(torch, ops, depths):
    """Negative depths, too, are listed front to back: the lists make the same picture."""
    means = torch.tensor([[0.0, 0.0, z] for z in depths])
    colors, eye = torch.eye(3)[:2], torch.eye(4)[None]
    K = torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]])
    image, _, meta = ops.rasterization(
        means, torch.eye(4)[[0, 0]], torch.full((2, 3), 0.3), torch.full((2,), 0.9), colors, eye, K,
        8, 8, near_plane=-5.0, camera_model="ortho", packed=False,
    )  # fmt: skip
    listed, _ = ops.rasterize_to_pixels(
        meta["means2d"], meta["conics"], colors[None], meta["opacities"], 8, 8, 16,
        meta["isect_offsets"], meta["flatten_ids"],
    )  # fmt: skip
    assert torch.equal(image, listed)
    nearest = 0 if depths[0] < depths[1] else 1
    assert image[0, 4, 4].argmax() == nearest
