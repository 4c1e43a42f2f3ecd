"""The CUDA kernels against those of the CPU."""

import pytest
from tests.ops.gaussian_scenes import HEIGHT, NAMES, WIDTH, assert_images_close, scene

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_cuda]


def render(torch, ops, device, **options):
    values = scene(torch, 300, channels=5, dtype=torch.float32)
    if "sh_degree" in options:
        generator = torch.Generator().manual_seed(3)
        values["colors"] = torch.randn((300, 25, 3), generator=generator) / 3
        values["backgrounds"] = values["backgrounds"][:, :3]
    leaves = {k: v.to(device).requires_grad_() for k, v in values.items()}
    image, alphas, meta = ops.rasterization(
        **leaves, width=WIDTH, height=HEIGHT, absgrad=True, **options
    )
    meta["means2d"].retain_grad()
    weights = torch.linspace(-1, 1, image.numel()).reshape(image.shape).to(device)
    ((image * weights).sum() + alphas.sum()).backward()
    grads = [leaves[name].grad.cpu() for name in NAMES]
    return (
        image.detach().cpu(),
        alphas.detach().cpu(),
        [*grads, meta["means2d"].absgrad.cpu()],
        meta,
    )


OPTIONS = {
    "plain": {},
    "dense": {"packed": False},
    "antialiased": {"rasterize_mode": "antialiased", "render_mode": "RGB+ED"},
    "ortho": {"camera_model": "ortho"},
    "fisheye": {"camera_model": "fisheye"},
    "harmonics": {"sh_degree": 4},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_cuda_matches_the_cpu(torch, ops, name):
    image, alphas, grads, meta = render(torch, ops, "cpu", **OPTIONS[name])
    again, again_alphas, again_grads, again_meta = render(torch, ops, "cuda", **OPTIONS[name])
    assert_images_close(again, image.double(), 2e-5)
    assert_images_close(again_alphas, alphas.double(), 2e-5)
    for one, other in zip(again_grads, grads, strict=True):
        # Roundings differ; a pixel of a splat may cross a border.
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3 * other.abs().max().item())
    assert torch.equal(again_meta["flatten_ids"].cpu(), meta["flatten_ids"])
    assert torch.equal(again_meta["invalid"].cpu(), meta["invalid"])


@pytest.mark.parametrize("tile_size", [5, 16, 32])
def test_given_lists_and_contributors(torch, ops, tile_size):
    results = []
    for device in ("cpu", "cuda"):
        values = {k: v.to(device) for k, v in scene(torch, dtype=torch.float32).items()}
        _, _, meta = ops.rasterization(
            **values, width=WIDTH, height=HEIGHT, packed=False, tile_size=tile_size
        )
        leaves = [meta[k].detach().requires_grad_() for k in ("means2d", "conics", "opacities")]
        colors = values["colors"][None].requires_grad_()
        lists = (tile_size, meta["isect_offsets"], meta["flatten_ids"])
        splats = (meta["means2d"], meta["conics"])
        masks = torch.arange(meta["isect_offsets"].numel(), device=device) % 3 > 0
        image, alphas = ops.rasterize_to_pixels(
            *leaves[:2], colors, leaves[2], WIDTH, HEIGHT, *lists,
            masks=masks.reshape(meta["isect_offsets"].shape), absgrad=True,
        )  # fmt: skip
        (image.square().sum() + alphas.sum()).backward()
        grads = [*(x.grad for x in (*leaves, colors)), leaves[0].absgrad]
        ones = torch.ones((1, HEIGHT, WIDTH), device=device)
        found = ops.rasterize_to_indices_in_range(
            0, 10**9, ones, *splats, meta["opacities"], WIDTH, HEIGHT, *lists
        )
        results.append([x.detach().cpu() for x in (image, alphas, found[0], *grads)])
    assert_images_close(results[1][0], results[0][0].double(), 2e-5)
    assert_images_close(results[1][1], results[0][1].double(), 2e-5)
    assert abs(len(results[1][2]) - len(results[0][2])) <= 5  # at borders
    for one, other in zip(results[1][3:], results[0][3:], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3 * other.abs().max().item())


def test_nothing_to_draw_and_bad_types(torch, ops):
    values = {k: v.cuda() for k, v in scene(torch, dtype=torch.float32).items()}
    for name in ("means", "quats", "scales", "opacities", "colors"):
        values[name] = values[name][:0]
    image, alphas, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    assert torch.equal(image, values["backgrounds"].expand_as(image))
    assert alphas.sum() == 0
    with pytest.raises(ValueError, match="on cuda must be float32"):
        ops.rasterization(**{k: v.double() for k, v in values.items()}, width=WIDTH, height=HEIGHT)
