import numpy as np
import pytest

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def dynamics(torch):
    from steadyview.scene import dynamics

    return dynamics


def cameras(torch, seed=0):
    """Two cameras with different intrinsics that look roughly along +z."""
    random = np.random.default_rng(seed)
    views, ks = np.empty((2, 4, 4)), np.empty((2, 3, 3))
    for i in range(2):
        turn, _ = np.linalg.qr(np.eye(3) + 0.1 * random.normal(size=(3, 3)))
        views[i] = np.eye(4)
        views[i, :3, :3] = turn * np.sign(np.diag(turn))[None] if np.linalg.det(turn) < 0 else turn
        views[i, :3, :3] = np.eye(3) if np.linalg.det(views[i, :3, :3]) < 0 else views[i, :3, :3]
        views[i, :3, 3] = random.normal(0, 0.2, 3)
        ks[i] = [[20 + i, 0.3, 6], [0, 22, 4 + i], [0, 0, 1]]
    return torch.from_numpy(views), torch.from_numpy(ks)


def test_rigid_flow_goes_through_the_world(torch, dynamics):
    views, ks = cameras(torch)
    views[1, :3, :3] = torch.eye(3)
    depth = torch.from_numpy(np.random.default_rng(1).uniform(2, 9, (1, 7, 11)))
    flow = dynamics.rigid_flow(depth, views[:1], ks[:1], views[1:], ks[1:])
    for y in range(7):
        for x in range(11):
            pixel = np.array([x + 0.5, y + 0.5, 1.0])
            point = depth[0, y, x].item() * np.linalg.solve(ks[0].numpy(), pixel)
            world = np.linalg.solve(views[0].numpy(), np.append(point, 1))
            target = ks[1].numpy() @ (views[1].numpy() @ world)[:3]
            expected = target[:2] / target[2] - pixel[:2] if target[2] > 0 else [np.nan] * 2
            np.testing.assert_allclose(flow[0, :, y, x].numpy(), expected, atol=1e-10)
    still = dynamics.rigid_flow(depth, views[:1], ks[:1], views[:1], ks[:1])
    np.testing.assert_allclose(still.numpy(), 0, atol=1e-12)


def test_rigid_flow_of_bad_depth_and_of_points_behind(torch, dynamics):
    view, k = torch.eye(4)[None], torch.tensor([[[9.0, 0, 2], [0, 9, 2], [0, 0, 1]]])
    depth = torch.tensor([[[0.0, -1, torch.nan, torch.inf], [1, 2, 3, 4]]])
    target = view.clone()
    target[0, 2, 3] = -2.5  # walked 2.5 forward: the first two are behind
    flow = dynamics.rigid_flow(depth, view, k, target, k)
    assert flow.dtype == torch.float32
    assert flow[0, :, 0].isnan().all()
    assert flow[0, 0, 1].isnan().tolist() == [True, True, False, False]
    depth = torch.full((1, 2, 2), 3.0, requires_grad=True)
    dynamics.rigid_flow(depth, view, k, target, k).nansum().backward()
    assert depth.grad.isfinite().all()
    assert dynamics.rigid_flow(depth[:0], view[:0], k[:0], view[:0], k[:0]).shape == (0, 2, 2, 2)


def test_occlusion_finds_what_a_moving_square_hides(torch, dynamics):
    # A square of 8 px moves right by 4 before a still ground.
    forward, backward = torch.zeros(1, 2, 24, 32), torch.zeros(1, 2, 24, 32)
    forward[0, 0, 8:16, 8:16] = 4
    backward[0, 0, 8:16, 12:20] = -4
    occluded = dynamics.flow_occlusion(forward, backward)
    expected = torch.zeros(1, 24, 32, dtype=torch.bool)
    expected[0, 8:16, 16:20] = True
    assert torch.equal(occluded, expected)
    uncovered = dynamics.flow_occlusion(backward, forward)
    expected = torch.zeros(1, 24, 32, dtype=torch.bool)
    expected[0, 8:16, 8:12] = True
    assert torch.equal(uncovered, expected)


def test_occlusion_at_the_border_and_of_bad_flow(torch, dynamics):
    forward = torch.zeros(1, 2, 6, 9)
    forward[:, 0] = 3
    occluded = dynamics.flow_occlusion(forward, -forward)
    assert occluded[0, :, 6:].all()
    assert not occluded[0, :, :6].any()
    forward[0, :, 0, 0] = torch.nan
    forward[0, 0, 1, 0] = torch.inf
    occluded = dynamics.flow_occlusion(forward, torch.where(forward.isfinite(), -forward, 0))
    assert occluded[0, :2, 0].all()
    # The limit is 0.01 (|F| + |B|) + 1: 1.06 of these flows, which miss by `off`.
    for off, hidden in ((1.04, False), (1.08, True)):
        backward = torch.zeros(1, 2, 6, 9)
        backward[:, 0] = -3 + off
        moved = torch.zeros(1, 2, 6, 9)
        moved[:, 0] = 3
        assert dynamics.flow_occlusion(moved, backward)[0, :, :6].all() == hidden
    assert dynamics.flow_occlusion(forward[:0], forward[:0]).shape == (0, 6, 9)


def test_occlusion_of_half_precision(torch, dynamics):
    """Places in the frame are not rounded to float16, which past 1024 knows whole pixels only."""
    x = torch.arange(3000) % 8 / 8 - 0.5
    forward = torch.zeros(1, 2, 2, 3000)
    backward = torch.zeros(1, 2, 2, 3000)
    forward[:, 0], backward[:, 0] = 0.5, 4 * x  # the gap changes by half a pixel a pixel
    expected = dynamics.flow_occlusion(forward, backward)
    occluded = dynamics.flow_occlusion(forward.half(), backward.half())
    assert expected.any()
    assert not expected.all()
    assert torch.equal(occluded, expected)


def test_residual_motion(torch, dynamics):
    rigid = torch.randn(1, 2, 5, 6)
    flow = rigid.clone()
    flow[0, :, 1, 2] += torch.tensor([0.3, 0.45])  # 0.54 px
    flow[0, 0, 2, 3] += 0.49
    rigid[0, 0, 3, 3] = torch.nan
    moving = dynamics.residual_motion(flow, rigid)
    assert moving.nonzero().tolist() == [[0, 1, 2]]
    semantic = torch.zeros(1, 5, 6, dtype=torch.bool)
    semantic[0, 4, 4] = True
    both = dynamics.residual_motion(flow, rigid, semantic=semantic)
    assert both.nonzero().tolist() == [[0, 1, 2], [0, 4, 4]]


def slow_rectangle(valid, aspect):
    rows, columns = valid.shape
    for w in range(columns, 0, -1):
        h = max(round(w / aspect), 1)
        fits = [
            ((2 * y - rows + h) ** 2 + (2 * x - columns + w) ** 2, y, x)
            for y in range(rows - h + 1)
            for x in range(columns - w + 1)
            if valid[y : y + h, x : x + w].all()
        ]
        if fits:
            _, y, x = min(fits)
            return x, y, w, h
    return 0, 0, 0, 0


@pytest.mark.parametrize("seed", range(12))
def test_largest_rectangle_matches_trying_all(torch, dynamics, seed):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 16, 2))
    valid = random.random(shape) > random.choice([0.02, 0.1, 0.4])
    aspect = float(random.choice([shape[1] / shape[0], 1, 0.4, 3]))
    result = dynamics.largest_valid_rectangle(torch.from_numpy(valid), aspect)
    assert result == slow_rectangle(valid, aspect)


def test_largest_rectangle_of_a_clip(torch, dynamics):
    valid = torch.ones(3, 90, 160, dtype=torch.bool)
    assert dynamics.largest_valid_rectangle(valid) == (0, 0, 160, 90)
    valid[0, :9] = False
    valid[2, :, 150:] = False
    x, y, width, height = dynamics.largest_valid_rectangle(valid)
    assert (width, height) == (144, 81)
    assert y == 9
    assert x == 6  # of 0 to 6 the nearest to the centre, 8
    assert dynamics.largest_valid_rectangle(~torch.ones_like(valid)) == (0, 0, 0, 0)
    assert dynamics.largest_valid_rectangle(valid[0, :0]) == (0, 0, 0, 0)


def test_bad_arguments_name_themselves(torch, dynamics):
    views, ks = torch.eye(4)[None], torch.eye(3)[None]
    depth, flow = torch.ones(1, 4, 5), torch.zeros(1, 2, 4, 5)
    good = (depth, views, ks, views, ks)
    names = ("depth", "viewmats", "Ks", "target_viewmats", "target_Ks")
    for i, name in enumerate(names):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            dynamics.rigid_flow(*good[:i], good[i][0], *good[i + 1 :])
        if i:
            for value in (0, torch.nan):
                broken = good[i].clone()
                broken[0, 1] = value
                with pytest.raises(ValueError, match=f"^{name} must be finite and invertible"):
                    dynamics.rigid_flow(*good[:i], broken, *good[i + 1 :])
        with pytest.raises(TypeError, match=f"^{name} must be a torch.Tensor"):
            dynamics.rigid_flow(*good[:i], good[i].numpy(), *good[i + 1 :])
    with pytest.raises(TypeError, match=r"backward must be a torch\.Tensor"):
        dynamics.flow_occlusion(flow, flow.numpy())
    with pytest.raises(TypeError, match=r"rigid must be a torch\.Tensor"):
        dynamics.residual_motion(flow, flow.numpy())
    with pytest.raises(TypeError, match=r"valid must be a torch\.Tensor"):
        dynamics.largest_valid_rectangle((depth > 0).numpy())
    with pytest.raises(ValueError, match="forward must be"):
        dynamics.flow_occlusion(flow[0], flow)
    with pytest.raises(ValueError, match="backward must be"):
        dynamics.flow_occlusion(flow, flow[..., 1:])
    with pytest.raises(ValueError, match="share must be at least 0"):
        dynamics.flow_occlusion(flow, flow, share=-1)
    with pytest.raises(ValueError, match="least must be at least 0"):
        dynamics.flow_occlusion(flow, flow, least=float("nan"))
    with pytest.raises(ValueError, match="flow must be"):
        dynamics.residual_motion(depth, flow)
    with pytest.raises(ValueError, match="rigid must be"):
        dynamics.residual_motion(flow, flow[..., 1:])
    with pytest.raises(ValueError, match="threshold must be at least 0"):
        dynamics.residual_motion(flow, flow, threshold=-0.1)
    with pytest.raises(ValueError, match="semantic must be bool"):
        dynamics.residual_motion(flow, flow, semantic=depth)
    with pytest.raises(ValueError, match="valid must be bool"):
        dynamics.largest_valid_rectangle(depth)
    for aspect in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="aspect must be positive"):
            dynamics.largest_valid_rectangle(depth > 0, aspect)
