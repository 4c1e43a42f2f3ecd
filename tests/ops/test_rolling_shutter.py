import pytest
from tests.ops.gaussian_scenes import HEIGHT, WIDTH, scene
from tests.reference.gaussians import render

pytestmark = pytest.mark.needs_torch


def moving(torch, dtype=None):
    """A scene and the pose at the end of the read-out."""
    values = scene(torch, dtype=dtype)
    end = values["viewmats"].clone()
    angle = torch.tensor(0.1, dtype=torch.float64)
    turn = torch.eye(3, dtype=end.dtype)
    turn[0, 0] = turn[2, 2] = angle.cos()
    turn[0, 2], turn[2, 0] = angle.sin(), -angle.sin()
    end[0, :3, :3] = turn @ end[0, :3, :3]
    end[0, :3, 3] += torch.tensor([0.1, -0.05, 0.2])
    return values, end


def test_every_band_is_drawn_with_its_pose(torch, ops):
    values, end = moving(torch)
    image, alphas, meta = ops.rasterization(
        **values, width=WIDTH, height=HEIGHT, viewmats_rs=end, row_bands=4,
        rolling_shutter="ROLLING_TOP_TO_BOTTOM",
    )  # fmt: skip
    assert image.shape == (1, HEIGHT, WIDTH, 3)
    assert meta["row_bands"] == 4
    start = values["viewmats"]
    # The turn is about y, at an even pace: 12 rows a band.
    for band in range(4):
        rows = slice(12 * band, min(12 * band + 12, HEIGHT))
        t = (rows.start + rows.stop) / 2 / HEIGHT
        angle = torch.tensor(0.1 * t, dtype=torch.float64)
        turn = torch.eye(3, dtype=torch.float64)
        turn[0, 0] = turn[2, 2] = angle.cos()
        turn[0, 2], turn[2, 0] = angle.sin(), -angle.sin()
        pose = start[0].clone()
        pose[:3, :3] = turn @ start[0, :3, :3]
        pose[:3, 3] += t * (end - start)[0, :3, 3]
        expected, alpha = render(
            *(values[k] for k in ("means", "quats", "scales", "opacities", "colors")), pose,
            values["Ks"][0], WIDTH, HEIGHT, values["backgrounds"][0],
        )  # fmt: skip
        torch.testing.assert_close(image[0, rows], expected[rows], rtol=0, atol=1e-9)
        torch.testing.assert_close(alphas[0, rows, :, 0], alpha[rows], rtol=0, atol=1e-9)


@pytest.mark.parametrize("packed", [False, True])
def test_a_camera_at_rest_is_unchanged(torch, ops, packed):
    values = scene(torch)
    expected, alphas, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    for name in ("ROLLING_TOP_TO_BOTTOM", "ROLLING_BOTTOM_TO_TOP"):
        image, again, meta = ops.rasterization(
            **values, width=WIDTH, height=HEIGHT, viewmats_rs=values["viewmats"], packed=packed,
            rolling_shutter=name,
        )  # fmt: skip
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(again, alphas, rtol=0, atol=1e-12)
        # 45 rows in 16 bands: 15 of 3 rows.
        assert meta["isect_offsets"].shape == (15, 1, 5)


def test_upwards_is_downwards_with_the_poses_swapped(torch, ops):
    values, end = moving(torch)
    down, _, _ = ops.rasterization(
        **values, width=WIDTH, height=HEIGHT, viewmats_rs=end, row_bands=5,
        rolling_shutter="ROLLING_TOP_TO_BOTTOM",
    )  # fmt: skip
    start, values["viewmats"] = values["viewmats"], end
    up, _, _ = ops.rasterization(
        **values, width=WIDTH, height=HEIGHT, viewmats_rs=start, row_bands=5,
        rolling_shutter="ROLLING_BOTTOM_TO_TOP",
    )  # fmt: skip
    torch.testing.assert_close(up, down, rtol=0, atol=1e-9)


def test_gradients_of_both_poses(torch, ops):
    values, end = moving(torch)
    weights = torch.rand((1, HEIGHT, WIDTH, 3), dtype=torch.float64)

    def loss(start, end):
        image, _, _ = ops.rasterization(
            **{**values, "viewmats": start}, width=WIDTH, height=HEIGHT, viewmats_rs=end,
            rolling_shutter="ROLLING_TOP_TO_BOTTOM", row_bands=3,
        )  # fmt: skip
        return (image * weights).sum()

    poses = [values["viewmats"].clone().requires_grad_(), end.clone().requires_grad_()]
    grads = torch.autograd.grad(loss(*poses), poses)
    generator = torch.Generator().manual_seed(1)
    for k in range(2):
        step = torch.zeros((1, 4, 4), dtype=torch.float64)
        step[0, :3, 3] = torch.randn(3, generator=generator, dtype=torch.float64)
        # Pixels cross alpha = 1/255 on the way: a small step, and 1 % of the slope.
        moved = [
            loss(*(p.detach() + (sign * 1e-6 * step if i == k else 0) for i, p in enumerate(poses)))
            for sign in (1, -1)
        ]
        slope = (moved[0] - moved[1]) / 2e-6
        torch.testing.assert_close((grads[k] * step).sum(), slope, rtol=1e-2, atol=1e-3)


def test_bad_shutters(torch, ops):
    values, end = moving(torch)
    size = {"width": WIDTH, "height": HEIGHT}
    for options, message in (
        ({"rolling_shutter": "ROLLING_LEFT_TO_RIGHT", "viewmats_rs": end}, "rolling_shutter must"),
        ({"rolling_shutter": "ROLLING_TOP_TO_BOTTOM"}, "viewmats_rs must be"),
        ({"viewmats_rs": end}, "viewmats_rs needs a rolling_shutter"),
        (
            {"rolling_shutter": "ROLLING_TOP_TO_BOTTOM", "viewmats_rs": end, "row_bands": 0},
            "row_bands must be",
        ),
        (
            {"rolling_shutter": "ROLLING_TOP_TO_BOTTOM", "viewmats_rs": end * float("nan")},
            "viewmats_rs must be finite",
        ),
        (
            {"rolling_shutter": "ROLLING_TOP_TO_BOTTOM", "viewmats_rs": end, "height": 0},
            "height must be at least 1",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            ops.rasterization(**values, **{**size, **options})


def test_autocast_does_not_round_the_poses(torch):
    from steadyview.ops import quat_scale_to_covar_preci
    from steadyview.ops._rolling_shutter import make_bands

    start = torch.eye(4)[None]
    end = torch.tensor([[[0.8, -0.6, 0, 1], [0.6, 0.8, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]])
    shutter = (start, end, "ROLLING_TOP_TO_BOTTOM", 4, 8)
    quats, scales = torch.tensor([[0.9, 0.1, 0.2, 0.3]]), torch.tensor([[1.0, 2, 3]])
    expected = make_bands(*shutter).viewmats, *quat_scale_to_covar_preci(quats, scales)
    with torch.autocast("cpu", torch.bfloat16):
        got = make_bands(*shutter).viewmats, *quat_scale_to_covar_preci(quats, scales)
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.equal(ours, theirs)
