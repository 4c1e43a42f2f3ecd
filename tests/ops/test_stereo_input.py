import numpy as np
import pytest
from tests.ops.stereo_scenes import PLANES, scene, sweep

pytestmark = pytest.mark.needs_torch


def test_batches_types_and_layouts(torch, ops):
    images, views, ks, _ = scene((40, 30))
    other = images[:, ::-1].copy()
    batch = torch.as_tensor(np.stack((images, other)))[:, :, None]
    cameras = [torch.as_tensor(np.stack((x, x))) for x in (views, ks)]
    planes = torch.as_tensor(PLANES)
    both = ops.plane_sweep(batch[:, 0], batch[:, 1:], *cameras, planes)
    for n, one in enumerate((images, other)):
        alone = sweep(torch, ops, one, views, ks, PLANES)
        for a, b in zip(both, alone, strict=True):
            assert torch.equal(a[n], b)
    floats = (batch.double() / 255).to(torch.float32).expand(-1, -1, 3, -1, -1)
    for dtype in (torch.float32, torch.float64):
        coloured = floats.to(dtype)
        result = ops.plane_sweep(coloured[:, 0], coloured[:, 1:], *cameras, planes)
        assert torch.equal(result.depth, both.depth)
    swapped = batch.transpose(3, 4).contiguous().transpose(3, 4)
    result = ops.plane_sweep(swapped[:, 0], swapped[:, 1:], *cameras, planes)
    assert torch.equal(result.depth, both.depth)
    empty = ops.plane_sweep(batch[:0, 0], batch[:0, 1:], *(c[:0] for c in cameras), planes)
    assert empty.depth.shape == (0, 30, 40)


def test_opcheck_and_compile(torch, ops):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    images = torch.as_tensor(images)[None, :, None]
    arguments = (
        images[:, 0], images[:, 1:], torch.as_tensor(views)[None], torch.as_tensor(ks)[None],
        torch.as_tensor(PLANES)[None], 0, 1, 8, 8, 60, 0.02, 1 << 24,
    )  # fmt: skip
    torch.library.opcheck(torch.ops.steadyview.plane_sweep, arguments)

    def depth(reference, sources):
        return ops.plane_sweep(reference, sources, *arguments[2:5]).depth * 2

    compiled = torch.compile(depth, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*arguments[:2]), depth(*arguments[:2]))


def test_docstring_example(torch, ops):
    import doctest

    failed, tried = doctest.testmod(ops.stereo, extraglobs={"torch": torch})
    assert (failed, tried) == (0, 8)


def test_planes(torch, ops):
    planes = ops.inverse_depth_planes(1, 4, 4)
    torch.testing.assert_close(1 / planes, torch.tensor([1, 0.75, 0.5, 0.25], dtype=torch.float64))
    for bad in ((0, 1), (2, 1), (-1, 1), (1, float("inf")), (1, float("nan"))):
        with pytest.raises(ValueError, match="near and far must be"):
            ops.inverse_depth_planes(*bad)
    with pytest.raises(ValueError, match="count must be at least 2"):
        ops.inverse_depth_planes(1, 2, 1)


def test_bad_arguments_name_themselves(torch, ops):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    frames = torch.as_tensor(images)[:, None]
    good = {
        "reference": frames[0], "sources": frames[1:], "viewmats": torch.as_tensor(views),
        "Ks": torch.as_tensor(ks), "depths": torch.as_tensor(PLANES),
    }  # fmt: skip

    def fails(match, **changes):
        with pytest.raises(ValueError, match=match):
            ops.plane_sweep(**{**good, **changes})

    def changed(name, index, value):
        copy = good[name].clone()
        copy[index] = value
        return {name: copy}

    floats = frames.float() / 255
    broken = floats.clone()
    broken[0, 0, 3, 4] = torch.nan
    fails("reference must be finite", reference=broken[0], sources=floats[1:])
    fails(r"reference must be .* in \[0, 1\]", reference=255 * floats[0], sources=255 * floats[1:])
    fails(r"sources must be .* in \[0, 1\]", reference=floats[0], sources=floats[1:] - 1)
    broken[2, 0, 3, 4] = torch.inf
    fails("sources must be finite", reference=floats[0], sources=broken[1:])
    fails("sources must be .*Byte.* got Float", sources=floats[1:])
    fails("reference must be uint8 or floating", reference=frames[0].int())
    fails("reference must have 1 or 3 channels", reference=frames[0].expand(2, -1, -1))
    fails("reference must be", reference=frames[0, 0])
    fails("reference must have pixels", reference=frames[0, :, :0], sources=frames[1:, :, :0])
    fails("sources must be", sources=frames[1:, :, :5])
    fails("sources must be", sources=frames[1])
    fails("sources must be 1 to 64 pictures, got 0", sources=frames[1:1])
    fails("viewmats must be", viewmats=good["viewmats"][:2])
    fails("Ks must be", Ks=good["Ks"][:, :2])
    for change in (
        changed("viewmats", (1, 0, 0), torch.nan),
        changed("viewmats", (1, 0, slice(None, 3)), 0),
        changed("viewmats", (0, slice(None, 3), 2), 0),
        changed("viewmats", (2, 3, 3), 2),
        changed("Ks", (0, 0, 0), 0),
        changed("Ks", (2, 1), 0),
        changed("Ks", (1, 0, 2), torch.inf),
    ):
        fails("viewmats and Ks must be finite and invertible", **change)
    for value in (0, -1, torch.inf, torch.nan):
        fails("depths must be positive and finite", **changed("depths", 5, value))
    fails("depths must rise or fall", **changed("depths", 5, 100.0))
    fails("depths must", depths=torch.tensor([2.0, 2.0]))
    fails("depths must be 1 to 1024 planes", depths=good["depths"][:0])
    fails("depths must be", depths=good["depths"][None, None])
    fails("cost must be one of census, zncc", cost="ssd")
    fails("keep must be 1 to 16", keep=0)
    fails("paths must be 0, 4 or 8", paths=5)
    fails("step_penalty must be 0 to 180", step_penalty=-1)
    fails("jump_penalty must be 32 to 180", jump_penalty=3)
    fails("least_confidence must be at least 0", least_confidence=-1.0)
    fails("memory_mib must be at least 1", memory_mib=0)


def test_arguments_must_be_tensors_of_real_numbers(torch, ops):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    pictures = torch.as_tensor(images)[:, None]
    good = {
        "reference": pictures[0], "sources": pictures[1:], "viewmats": torch.as_tensor(views),
        "Ks": torch.as_tensor(ks), "depths": torch.as_tensor(PLANES),
    }  # fmt: skip
    for name, value in good.items():
        with pytest.raises(TypeError, match=f"{name} must be a torch.Tensor, got ndarray"):
            ops.plane_sweep(**{**good, name: value.numpy()})
    with pytest.raises(TypeError, match=r"frames must be a torch.Tensor"):
        ops.sweep_video(images, good["viewmats"], good["Ks"], good["depths"])
    with pytest.raises(ValueError, match=r"reference must be real, got torch.complex64"):
        ops.plane_sweep(**{**good, "reference": pictures[0] * (1 + 0j)})


def test_results_do_not_ask_for_gradients(torch, ops):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    pictures, *cameras = (
        torch.as_tensor(x).float().requires_grad_() for x in (images[:, None] / 255, views, ks)
    )
    result = ops.plane_sweep(pictures[0], pictures[1:], *cameras, torch.as_tensor(PLANES))
    assert not any(part.requires_grad for part in result)


@pytest.mark.parametrize("count", [0, 1])
def test_a_clip_without_neighbours_is_checked(torch, ops, count):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    clip = [torch.as_tensor(x)[:count] for x in (images[:, None], views, ks)]
    planes = torch.as_tensor(PLANES)
    assert not ops.sweep_video(*clip, planes).valid.any()
    with pytest.raises(TypeError, match="foo"):
        ops.sweep_video(*clip, planes, foo=1)
    with pytest.raises(ValueError, match="paths must be 0, 4 or 8"):
        ops.sweep_video(*clip, planes, paths=3)
    with pytest.raises(ValueError, match="depths must be"):
        ops.sweep_video(*clip, planes[None, None])
