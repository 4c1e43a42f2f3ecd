import numpy as np
import pytest

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def depth(torch):
    from steadyview.ops import depth

    return depth


def slow_guided(guide, source, radius, epsilon):
    """Every window's line by least squares with a penalty on the slope."""
    rows, columns = source.shape
    total, count = np.zeros(source.shape), np.zeros(source.shape)
    for y in range(rows):
        for x in range(columns):
            window = (slice(max(y - radius, 0), y + radius + 1),
                      slice(max(x - radius, 0), x + radius + 1))  # fmt: skip
            g, s = guide[window], source[window]
            slope = ((g - g.mean()) * (s - s.mean())).mean() / (g.var() + epsilon)
            total[y, x], count[y, x] = slope, s.mean() - slope * g.mean()
    result = np.zeros(source.shape)
    for y in range(rows):
        for x in range(columns):
            window = (slice(max(y - radius, 0), y + radius + 1),
                      slice(max(x - radius, 0), x + radius + 1))  # fmt: skip
            result[y, x] = total[window].mean() * guide[y, x] + count[window].mean()
    return result


@pytest.mark.parametrize("radius", [0, 1, 3, 50])
def test_guided_filter_matches_the_definition(torch, depth, radius):
    random = np.random.default_rng(0)
    guide, source = random.random((2, 9, 13)), random.random((2, 9, 13))
    result = depth.guided_filter(torch.from_numpy(guide), torch.from_numpy(source), radius, 0.01)
    for n in range(2):
        expected = slow_guided(guide[n], source[n], radius, 0.01)
        np.testing.assert_allclose(result[n].numpy(), expected, atol=1e-12)


def box_means(values, radius):
    """By a matrix an axis."""
    for axis in range(2):
        at = np.arange(values.shape[axis])
        box = (np.abs(at[:, None] - at) <= radius).astype(float)
        values = np.apply_along_axis((box / box.sum(1, keepdims=True)).dot, axis, values)
    return values


@pytest.mark.parametrize("radius", [2, 40, 1000])
@pytest.mark.parametrize("size", [(1, 500), (500, 1), (300, 70)])  # more rows than a band
def test_guided_filter_of_large_pictures(torch, depth, size, radius):
    random = np.random.default_rng(1)
    x = random.random((2, *size)) + 3
    y = 2 * x + random.random((2, *size))
    result = depth.guided_filter(torch.from_numpy(x), torch.from_numpy(y), radius, 0.01)
    single = depth.guided_filter(
        torch.from_numpy(x).float(), torch.from_numpy(y).float(), radius, 0.01
    )
    for n in range(2):
        mean_x, mean_y = box_means(x[n], radius), box_means(y[n], radius)
        variance = box_means(x[n] ** 2, radius) - mean_x**2
        slope = (box_means(x[n] * y[n], radius) - mean_x * mean_y) / (variance + 0.01)
        offset = mean_y - slope * mean_x
        expected = box_means(slope, radius) * x[n] + box_means(offset, radius)
        np.testing.assert_allclose(result[n].numpy(), expected, atol=1e-10)
        np.testing.assert_allclose(single[n].numpy(), expected, atol=3e-6)  # roundings of 8


def test_operators(torch, depth):
    guide, source = torch.rand(2, 2, 5, 6, dtype=torch.float64)
    guide.requires_grad_()
    torch.library.opcheck(torch.ops.steadyview.guided_filter, (guide, source, 1, 0.1))
    arrays = [torch.from_numpy(a) for a in clip(torch)]
    torch.library.opcheck(torch.ops.steadyview.smooth_depth, (*arrays, 0.1, 0.5, 2, 0.01))
    compiled = torch.compile(depth.smooth_depth, fullgraph=True, backend="eager")
    expected = depth.smooth_depth(*arrays, radius=2)
    assert torch.equal(compiled(*arrays, radius=2), expected)
    halves = depth.smooth_depth(*(a.half() for a in arrays), radius=2)
    assert halves.dtype == torch.float16
    plain = depth.guided_filter(guide.detach().half(), source.half(), 1, 0.1)
    assert plain.dtype == torch.float16
    assert depth.guided_filter(guide[:, :0], source[:, :0], 1, 0.1).shape == (2, 0, 6)
    assert depth.guided_filter(guide[0, 0, None], source[0, 0, None], 1, 0.1).shape == (1, 6)


def test_does_not_depend_on_threads(torch, depth):
    arrays = [torch.from_numpy(a).float() for a in clip(torch, count=6, size=(200, 90))]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = depth.smooth_depth(*arrays, radius=12)
        torch.set_num_threads(4)
        assert torch.equal(depth.smooth_depth(*arrays, radius=12), expected)
    finally:
        torch.set_num_threads(threads)


def test_guided_filter_keeps_lines_in_the_guide(torch, depth):
    guide = torch.rand(40, 50, dtype=torch.float64)
    # A line in the guide is its own fit, but for epsilon's pull on the slope.
    result = depth.guided_filter(guide, 3 * guide + 1, 4, 1e-9)
    torch.testing.assert_close(result, 3 * guide + 1, atol=1e-6, rtol=0)
    far = depth.guided_filter(guide.float() + 1e4, guide.float() + 1e4, 4, 1e-9)
    assert (far - guide.float() - 1e4).abs().max() < 0.01  # float32 holds 1e4 to 1e-3
    assert torch.autograd.gradcheck(
        lambda g, s: depth.guided_filter(g, s, 1, 0.1),
        (guide[:4, :5].clone().requires_grad_(), guide[4:8, :5].clone().requires_grad_()),
    )
    for bad in ((guide, guide[1:], 1, 1.0), (guide, guide.float(), 1, 1.0)):
        with pytest.raises(ValueError, match="guide and source must be"):
            depth.guided_filter(*bad)
    for name, bad in (("radius", (-1, 1.0)), ("epsilon", (1, 0.0)), ("epsilon", (1, float("nan")))):
        with pytest.raises(ValueError, match=f"{name} must be"):
            depth.guided_filter(guide, guide, *bad)
    with pytest.raises(ValueError, match="source must be float32 or float64"):
        depth.guided_filter(guide.int(), guide.int(), 1, 1.0)


def slow_temporal(disparity, frames, forward, backward, colour=20 / 255, share=0.5):
    count, rows, columns = disparity.shape
    result = np.zeros(disparity.shape)
    for t in range(count):
        span = disparity[t].max() - disparity[t].min()
        for y in range(rows):
            for x in range(columns):
                values = [(0.5, disparity[t, y, x])]
                for other, flow in ((t - 1, backward), (t + 1, forward)):
                    if not 0 <= other < count:
                        continue
                    fx, fy = flow[min(t, other), :, y, x]
                    tx, ty = x + round(float(fx)), y + round(float(fy))
                    if not (0 <= tx < columns and 0 <= ty < rows):
                        continue
                    value = disparity[other, ty, tx]
                    if np.abs(frames[other, :, ty, tx] - frames[t, :, y, x]).max() > colour:
                        continue
                    if abs(value - disparity[t, y, x]) <= share * span:
                        values.append((0.25, value))
                weight = sum(w for w, _ in values)
                result[t, y, x] = sum(w * v for w, v in values) / weight
    return result


def clip(torch, count=4, size=(7, 9), seed=0):
    random = np.random.default_rng(seed)
    disparity = random.random((count, *size)) + 0.1
    frames = random.random((count, 3, *size)) * 0.12
    flows = random.normal(0, 1.5, (2, count - 1, 2, *size))
    return disparity, frames, *flows


def test_smoothing_in_time_matches_the_definition(torch, depth):
    arrays = clip(torch)
    result = depth.smooth_depth(*(torch.from_numpy(a) for a in arrays), radius=0)
    np.testing.assert_allclose(result.numpy(), slow_temporal(*arrays), atol=1e-12)
    smoothed = depth.smooth_depth(*(torch.from_numpy(a) for a in arrays), radius=2)
    for t, raw in enumerate(arrays[0]):
        span = raw.max() - raw.min()
        expected = span * slow_guided(raw / span, result[t].numpy() / span, 2, 1e-4)
        np.testing.assert_allclose(smoothed[t].numpy(), np.maximum(expected, 0), atol=1e-9)


def test_smoothing_calms_a_flickering_still_scene(torch, depth):
    truth = torch.linspace(0.2, 1, 40).expand(8, 30, 40)
    noise = 0.02 * torch.randn(8, 30, 40, generator=torch.Generator().manual_seed(0))
    still = torch.zeros(7, 2, 30, 40)
    result = depth.smooth_depth(truth + noise, torch.zeros(8, 3, 30, 40), still, still, radius=0)
    before, after = ((x - truth)[1:-1].std() for x in (truth + noise, result))
    assert after < 0.7 * before  # sqrt(1/16 + 1/4 + 1/16) = 0.61
    assert torch.allclose(
        depth.smooth_depth(truth, torch.zeros(8, 3, 30, 40), still, still), truth, atol=1e-3
    )


def test_unknown_disparity_takes_the_neighbours(torch, depth):
    disparity = torch.full((3, 6, 8), 0.5)
    disparity[:, :, 4:] = 1.0
    disparity[1, 2, 3] = torch.nan
    disparity[:, 5, 5] = 0
    still, frames = torch.zeros(2, 2, 6, 8), torch.zeros(3, 3, 6, 8)
    result = depth.smooth_depth(disparity, frames, still, still, radius=0)
    assert result[1, 2, 3] == 0.5
    assert (result[:, 5, 5] == 0).all()
    still[0, :, 0, 0] = torch.nan  # a flow that is not finite leads nowhere
    assert depth.smooth_depth(disparity, frames, still, still, radius=0).isfinite().all()
    one = depth.smooth_depth(disparity[:1], frames[:1], still[:0], still[:0], radius=0)
    assert torch.equal(one, disparity[:1])
    assert depth.smooth_depth(disparity[:0], frames[:0], still[:0], still[:0]).shape == (0, 6, 8)


def test_flow_of_half_precision_and_frames_of_bytes(torch, depth):
    generator = torch.Generator().manual_seed(0)
    disparity = 1 + 0.1 * torch.rand(2, 70, 1000, generator=generator)  # more pixels than 65504
    frames = torch.randint(0, 256, (2, 3, 70, 1000), generator=generator, dtype=torch.uint8)
    frames[1] = frames[0].roll(2, 2)
    flow = torch.zeros(1, 2, 70, 1000)
    flow[:, 0] = 2
    expected = depth.smooth_depth(disparity, frames / 255, flow, -flow, radius=0)
    assert (expected != disparity).float().mean() > 0.5
    half = flow.half()
    assert torch.equal(depth.smooth_depth(disparity, frames, half, -half, radius=0), expected)
    with pytest.raises(TypeError, match=r"frames must be uint8 or floating point, got torch.int64"):
        depth.smooth_depth(disparity, frames.long(), flow, -flow)


def test_bad_arguments_name_themselves(torch, depth):
    good = {
        "disparity": torch.ones(3, 4, 5), "frames": torch.ones(3, 3, 4, 5),
        "forward_flow": torch.zeros(2, 2, 4, 5), "backward_flow": torch.zeros(2, 2, 4, 5),
    }  # fmt: skip
    bad = {
        "disparity": torch.ones(3, 4), "frames": torch.ones(3, 3, 4, 4),
        "forward_flow": torch.zeros(3, 2, 4, 5), "backward_flow": torch.zeros(2, 1, 4, 5),
        "colour_tolerance": -1.0, "disparity_tolerance": float("nan"), "radius": -1,
        "epsilon": 0.0,
    }  # fmt: skip
    good["disparity"][:, 0] = 2  # there is a range
    for name, value in bad.items():
        with pytest.raises(ValueError, match=f"{name}.* must be|and {name}"):
            depth.smooth_depth(**{**good, name: value})
    for name in good:
        with pytest.raises(TypeError, match=rf"{name} must be a torch\.Tensor, got ndarray"):
            depth.smooth_depth(**{**good, name: good[name].numpy()})
    with pytest.raises(TypeError, match="radius must be a whole number"):
        depth.smooth_depth(**good, radius=1.5)
    with pytest.raises(TypeError, match="guide must be a torch"):
        depth.guided_filter(good["disparity"].numpy(), good["disparity"], 1, 0.1)
