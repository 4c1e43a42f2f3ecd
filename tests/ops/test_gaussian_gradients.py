import numpy as np
import pytest
from tests.ops.gaussian_scenes import HEIGHT, NAMES, WIDTH, camera, scene
from tests.reference.gaussians import render

pytestmark = pytest.mark.needs_torch


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
    for model, mode in (
        ("ortho", "RGB+ED"),
        ("pinhole", "ED"),
        ("pinhole", "D"),
        ("fisheye", "RGB"),
    ):

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


@pytest.mark.parametrize("packed", [False, True])
def test_absolute_gradients_whatever_is_asked_for(torch, ops, packed):
    """As in gsplat the backward pass of the raster sets them."""
    options = {"width": WIDTH, "height": HEIGHT, "absgrad": True, "packed": packed}
    values = scene(torch)
    image, _, _ = ops.rasterization(**values, **options)
    assert not image.requires_grad
    values["means"].requires_grad_()
    found = []
    for name in ("backward", "inputs", "grad", "create_graph"):
        image, _, meta = ops.rasterization(**values, **options)
        loss = image.square().sum()
        if name == "backward":
            loss.backward()
        elif name == "inputs":
            loss.backward(inputs=[values["means"]])
        else:
            torch.autograd.grad(loss, values["means"], create_graph=name == "create_graph")
        found.append(meta["means2d"].absgrad)
    assert found[0].abs().sum() > 0
    for other in found[1:]:
        assert torch.equal(other, found[0])
        assert not other.requires_grad


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_drawn_may_be_changed_in_place(torch, ops, packed):
    """As gsplat's trainer does: `render_colors[~masks] = 0`."""
    masks = torch.rand((1, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1)) > 0.5
    results = []
    for in_place in (True, False):
        leaves = {k: v.requires_grad_() for k, v in scene(torch).items()}
        image, alphas, _ = ops.rasterization(**leaves, width=WIDTH, height=HEIGHT, packed=packed)
        if in_place:
            image[~masks] = 0
            alphas.mul_(2)
        else:
            image, alphas = image * masks[..., None], alphas * 2
        loss = image.square().sum() + alphas.square().sum()
        results.append(torch.autograd.grad(loss, list(leaves.values())))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_gradients_are_the_same_a_second_time(torch, ops):
    """Splats and tiles that the forward pass made are used once, then made again."""
    for channels in (3, 5):
        values = scene(torch, 500, channels=channels, dtype=torch.float32)
        values = {k: v.requires_grad_() for k, v in values.items()}
        image, alphas, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT, absgrad=True)
        loss = image.square().sum() + alphas.sum()
        first = torch.autograd.grad(loss, list(values.values()), retain_graph=True)
        again = torch.autograd.grad(loss, list(values.values()))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_gradients_of_lists_are_the_same_a_second_time(torch, ops):
    values = scene(torch, 500, dtype=torch.float32)
    for name in ("viewmats", "Ks", "backgrounds"):
        values[name] = values[name].repeat_interleave(2, 0)
    _, _, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    C, N = meta["depths"].shape
    colors = values["colors"].expand(C, N, 3)
    lists = meta["tile_size"], meta["isect_offsets"], meta["flatten_ids"]
    assert C == 2
    for images in (1, C):  # only those of one image are kept
        offsets, ids = lists[1][:images], lists[2]
        ids = ids if images == C else ids[ids < N]
        splats = [meta["means2d"], meta["conics"], colors, meta["opacities"]]
        splats = [x[:images].detach().clone().requires_grad_() for x in splats]
        image, alphas = ops.rasterize_to_pixels(*splats, WIDTH, HEIGHT, lists[0], offsets, ids)
        loss = image.square().sum() + alphas.sum()
        first = torch.autograd.grad(loss, splats, retain_graph=True)
        again = torch.autograd.grad(loss, splats)
        assert all(x.any() for x in first)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
