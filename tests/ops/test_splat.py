import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import splat as reference

pytestmark = pytest.mark.needs_torch
MODES = ("sum", "average", "linear", "softmax")


@pytest.fixture
def forward_splat(torch):
    from steadyview.ops import forward_splat

    return forward_splat


def inputs(torch, shape=(2, 3, 11, 40), roughness=0.3, dtype=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    N, _, H, W = shape
    dtype = dtype or torch.float64
    image = torch.rand(shape, generator=generator, dtype=torch.float64)
    flow = roughness * torch.randn((N, 2, H, W), generator=generator, dtype=torch.float64)
    flow += torch.linspace(-3, 3, W, dtype=torch.float64)
    metric = 2 * torch.randn((N, 1, H, W), generator=generator, dtype=torch.float64)
    return image.to(dtype), flow.to(dtype), metric.to(dtype)


def metric_of(mode, metric):
    if mode in ("sum", "average"):
        return None
    return metric.abs() if mode == "linear" else metric


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("roughness", [0.0, 0.3, 20.0])
def test_matches_the_reference(torch, forward_splat, mode, dtype, roughness):
    image, flow, metric = inputs(torch, roughness=roughness, dtype=getattr(torch, dtype))
    metric = metric_of(mode, metric)
    flow[0, 0, 2, 3], flow[1, 1, 4, 5] = torch.nan, -torch.inf
    if metric is not None:
        metric[0, 0, 5, 6], metric[0, 0, 5, 8] = torch.inf, torch.nan
    result, weight = forward_splat(image, flow, metric, mode=mode)
    assert result.dtype == image.dtype
    for n in range(2):
        expected, weights = reference.splat(
            image[n].double().numpy(), flow[n].double().numpy(),
            None if metric is None else metric[n, 0].double().numpy(), mode,
        )  # fmt: skip
        # float32: sums of at most some twenty numbers, with a few units of 6e-8 each; columns add
        # 40 to points, whose shares so carry 4e-6. Means divide by weights, which may be as small.
        atol = 1e-11 if dtype == "float64" else 5e-5
        np.testing.assert_allclose(weight[n, 0].numpy(), weights, rtol=0, atol=atol)
        sure = weights > (0 if dtype == "float64" else 0.02)
        seen = np.where(sure, result[n].numpy(), 0)
        atol = 1e-9 if dtype == "float64" else 2e-3 if mode != "sum" else 5e-5
        np.testing.assert_allclose(seen, np.where(sure, expected, 0), rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nearest_matches_the_reference(torch, forward_splat, dtype):
    for roughness in (0.0, 0.5, 15.0):
        image, flow, metric = inputs(torch, roughness=roughness, dtype=getattr(torch, dtype))
        metric = metric.round()  # many equals
        flow[0, 0, 2, 3], metric[1, 0, 3, 3] = torch.nan, torch.inf
        result, weight = forward_splat(image, flow, metric, mode="nearest_z")
        for n in range(2):
            expected, seen = reference.splat_nearest(
                image[n].numpy(), flow[n].numpy(), metric[n, 0].numpy()
            )
            assert np.array_equal(result[n].numpy(), expected)
            assert np.array_equal(weight[n, 0].numpy(), seen)


@pytest.mark.parametrize("mode", [*MODES, "nearest_z"])
def test_no_flow_is_the_identity(torch, forward_splat, mode):
    for dtype in (torch.float32, torch.float64):
        image, flow, metric = inputs(torch, dtype=dtype)
        metric = None if mode in ("sum", "average") else torch.ones_like(metric)
        result, weight = forward_splat(image, torch.zeros_like(flow), metric, mode=mode)
        assert torch.equal(result, image)
        assert torch.equal(weight, torch.ones_like(weight))
        flow[:, 0], flow[:, 1] = 2, -1
        moved, weight = forward_splat(image, flow, metric, mode=mode)
        assert torch.equal(moved[:, :, :-1, 2:], image[:, :, 1:, :-2])
        assert (weight[:, :, -1] == 0).all()
        assert (weight[..., :2] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 12), st.integers(1, 40), st.floats(0, 3))
def test_sums_keep_their_mass(seed, height, width, roughness):
    torch = pytest.importorskip("torch")
    from steadyview.ops import backward_warp, forward_splat

    image, flow, _ = inputs(torch, (1, 2, height, width), roughness, seed=seed)
    # Nothing may leave: points stay within the pixels' centres.
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    flow[0, 0] = (flow[0, 0] + x).clamp(0, width - 1) - x
    flow[0, 1] = (flow[0, 1] + y).clamp(0, height - 1) - y
    result, weight = forward_splat(image, flow, mode="sum")
    torch.testing.assert_close(result.sum((2, 3)), image.sum((2, 3)), rtol=1e-12, atol=1e-12)
    assert weight.sum().item() == pytest.approx(height * width, rel=1e-12)
    # It is the transpose of the backward warp.
    other = torch.rand_like(image)
    there = (result * other).sum()
    back = (image * backward_warp(other, flow=flow, border="zeros")).sum()
    assert there.item() == pytest.approx(back.item(), rel=1e-11)


def test_softmax_is_a_tensor_program(torch, forward_splat):
    """Against index_add, with its gradients by autograd."""
    image, flow, metric = inputs(torch, (1, 3, 12, 40), 1.5)
    arguments = [t.requires_grad_() for t in (image, flow, metric)]

    def program(image, flow, metric):
        _, C, H, W = image.shape
        y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
        px, py = x + flow[0, 0], y + flow[0, 1]
        values = torch.cat((image[0], torch.ones(1, H, W))) * metric[0].exp()
        total = torch.zeros(C + 1, H * W, dtype=image.dtype)
        for i in (0, 1):
            for j in (0, 1):
                left, top = px.floor() + i, py.floor() + j
                share = (1 - (px - left).abs()) * (1 - (py - top).abs())
                inside = (left >= 0) & (left < W) & (top >= 0) & (top < H)
                at = (top * W + left).long()[inside]
                total = total.index_add(1, at, (values * share)[:, inside])
        weight = total[-1:]
        return (total[:-1] / torch.where(weight > 0, weight, 1)).reshape(1, C, H, W)

    ours, theirs = forward_splat(*arguments)[0], program(*arguments)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    grad = torch.rand_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, arguments, grad), torch.autograd.grad(theirs, arguments, grad),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_gradients(torch, forward_splat, mode):
    image, _, metric = inputs(torch, (2, 2, 4, 5))
    generator = torch.Generator().manual_seed(1)
    whole = torch.randint(-2, 3, (2, 2, 4, 5), generator=generator)
    # Away from the pixels' centres, where slopes jump.
    flow = whole + 0.1 + 0.8 * torch.rand((2, 2, 4, 5), generator=generator, dtype=torch.float64)
    metric = metric_of(mode, metric)
    arguments = [t.requires_grad_() for t in (image, flow, metric) if t is not None]

    def run(*arguments):
        result, weight = forward_splat(*arguments, mode=mode)
        # exp(metric - largest) is differentiable but for the largest.
        return result if mode == "softmax" else (result, weight)

    assert torch.autograd.gradcheck(run, arguments, atol=1e-6)


def test_nearest_gradient(torch, forward_splat):
    image, flow, metric = inputs(torch, (2, 2, 6, 7), 2.0)
    image.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda image: forward_splat(image, flow, metric, mode="nearest_z")[0], image
    )
    flow.requires_grad_()
    result, _ = forward_splat(image, flow, metric, mode="nearest_z")
    assert (torch.autograd.grad(result.sum(), flow)[0] == 0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("roughness", [0.0, 0.4, 30.0])
def test_float32_gradients_are_those_of_float64(torch, forward_splat, mode, roughness):
    results = []
    for dtype in (torch.float64, torch.float32):
        image, flow, metric = inputs(torch, (1, 4, 60, 140), roughness)
        if roughness == 0:
            flow += 0.3  # not on the pixels' centres, where slopes jump
        # Of numbers that both hold; weights of about 1 keep quotients tame.
        values = (image, flow, metric_of(mode, 0.3 * metric))
        arguments = [t.float().to(dtype).requires_grad_() for t in values if t is not None]
        result, weight = forward_splat(*arguments, mode=mode)
        grad = torch.linspace(-1, 1, result.numel()).reshape(result.shape).to(dtype)
        grad = torch.where(weight > 0.05, grad, 0)
        results.append(torch.autograd.grad(result, arguments, grad))
    for ours, expected in zip(results[1], results[0], strict=True):
        off = (ours.double() - expected).abs() / expected.abs().max().clamp(min=1)
        # Where a share is within rounding of 0, float32 may fall in another pixel: the few.
        assert off.quantile(0.99) < 2e-5
        assert off.mean() < 1e-4


def test_far_metrics_stay_means(torch, forward_splat):
    image, flow, metric = inputs(torch, dtype=torch.float32)
    metric = torch.where(metric > 0, 300.0, -300.0)
    result, weight = forward_splat(image, flow, metric)
    assert result.isfinite().all()
    assert result.max() <= image.max() + 1e-5
    again, _ = forward_splat(image, flow, metric + 1000)
    torch.testing.assert_close(result, again)
    nothing, weight = forward_splat(image, flow, torch.full_like(metric, torch.nan))
    assert (nothing == 0).all()
    assert (weight == 0).all()


def test_shapes(torch, forward_splat):
    for shape in (
        (0, 3, 5, 6),
        (2, 0, 5, 6),
        (1, 2, 0, 4),
        (1, 1, 1, 9),
        (1, 5, 9, 1),
        (1, 1, 1, 1),
    ):
        image, flow, metric = inputs(torch, shape, dtype=torch.float32)
        for mode in (*MODES, "nearest_z"):
            image.requires_grad_()
            given = None if mode in ("sum", "average") else metric
            result, weight = forward_splat(image, flow, given, mode=mode)
            assert result.shape == shape
            assert weight.shape == (shape[0], 1, *shape[2:])
            result.sum().backward()
    far = torch.full((1, 2, 1, 1), 1e30)
    assert (forward_splat(torch.ones(1, 1, 1, 1), far, mode="sum")[0] == 0).all()


def test_thread_count_does_not_matter(torch, forward_splat):
    before, results = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        runs = []
        for mode in (*MODES, "nearest_z"):
            image, flow, metric = inputs(torch, (2, 4, 70, 150), 2.0, torch.float32)
            arguments = [image.requires_grad_(), flow.requires_grad_()]
            given = None if mode in ("sum", "average") else metric
            result = forward_splat(*arguments, given, mode=mode)[0]
            runs += [result, *torch.autograd.grad(result.square().sum(), arguments)]
        results.append(runs)
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_opcheck_and_compile(torch, forward_splat):
    image, flow, metric = inputs(torch, (2, 2, 4, 5))
    arguments = [t.requires_grad_() for t in (image, flow, metric)]
    offset = metric.detach().flatten(1).amax(1)
    operator = torch.ops.steadyview.forward_splat
    torch.library.opcheck(operator, (*arguments[:2], None, None, 1))
    torch.library.opcheck(operator, (*arguments, offset, 3))
    torch.library.opcheck(operator, (image, flow.detach(), metric.detach(), None, 4))
    plain = [t.detach() for t in arguments]
    saved = [t.detach() for t in operator(*plain, offset, 3)]
    backward = torch.ops.steadyview.forward_splat_backward
    grads = (torch.rand_like(saved[0]), torch.rand_like(saved[1]))
    torch.library.opcheck(backward, (*grads, *plain, offset, *saved, 3))

    def loss(image, flow, metric):
        return forward_splat(image, flow, metric)[0].square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(*arguments)
    expected = loss(*arguments)
    torch.testing.assert_close(compiled, expected)
    for a, b in zip(
        torch.autograd.grad(compiled, arguments), torch.autograd.grad(expected, arguments),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [3, 40])
def test_hardly_anything_falls(torch, forward_splat, dtype, width):
    """Tiny shares of tiny weights: 1 / weight stays finite."""
    dtype = getattr(torch, dtype)
    image, flow = torch.full((1, 1, 1, width), 0.7, dtype=dtype), torch.zeros(1, 2, 1, width)
    metric = torch.zeros(1, 1, 1, width)
    metric[..., 1] = -1000
    flow[0, 0, 0, 2:] = 100
    exponent, least = (-40, 1e-30) if dtype == torch.float32 else (-600, 1e-290)
    for share in (1e-4, 1e-12, 1e-30, 1e-38):
        flow[0, 0, 0, 1] = share
        arguments = [x.to(dtype, copy=True).requires_grad_() for x in (image, flow, metric)]
        result, weight = forward_splat(*arguments)
        assert result.isfinite().all()
        seen = weight > 0
        torch.testing.assert_close(result[seen], torch.full_like(result[seen], 0.7))
        assert (result[~seen] == 0).all()
        assert seen[0, 0, 0, :3].tolist() == [True, True, share * np.exp(exponent) > least]
        gradients = torch.autograd.grad(result.sum() + weight.sum(), arguments)
        assert all(x.isfinite().all() for x in gradients)
    # Of a sum the weights stay as they are.
    total, weight = forward_splat(*arguments[:2], mode="sum")
    torch.testing.assert_close(total, 0.7 * weight)
    assert weight[0, 0, 0, 2] > 0


def half_moved(torch, mode, dtype):
    """The first picture's right half moves by half a pixel, all else stays."""
    image, _, metric = inputs(torch, dtype=getattr(torch, dtype))
    flow = torch.zeros(2, 2, 11, 40, dtype=image.dtype)
    flow[0, 0, :, 20:] = 0.5
    return image, flow, metric_of(mode, metric)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_it_goes(torch, forward_splat, mode, dtype, value):
    image, flow, metric = half_moved(torch, mode, dtype)
    if mode == "linear":
        metric[0, 0, 8, 9] = 0
        image[0, :, 8, 9] = value
    image[0, 1, 3, 4] = image[0, 1, 5, 25] = value
    splat, weight = forward_splat(image, flow, metric, mode=mode)
    for n in range(2):
        given = None if metric is None else metric[n, 0].double().numpy()
        with np.errstate(invalid="ignore"):
            expected = reference.splat(image[n].double().numpy(), flow[n].numpy(), given, mode)
        np.testing.assert_allclose(splat[n].double(), expected[0], rtol=1e-5)
    bad = ~splat.isfinite()
    assert bad.sum() == 3  # one pixel, and two for half a pixel's move
    assert weight.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradients_beside_what_is_not_finite(torch, forward_splat, mode, dtype, value):
    image, flow, metric = half_moved(torch, mode, dtype)
    bad = image.clone()
    bad[0, 1, 3, 4] = bad[0, 1, 5, 25] = bad[1, 0, 0, 0] = value

    def gradients(image, mask):
        given = [image, flow] if metric is None else [image, flow, metric]
        given = [x.clone().requires_grad_() for x in given]
        result = forward_splat(*given, mode=mode)[0]
        return torch.autograd.grad(result[mask].sum(), given)

    finite = forward_splat(bad, flow, metric, mode=mode)[0].isfinite()
    others = bad.isfinite().all(1, keepdim=True)
    # To a loss that leaves such pixels out, what they are matters to their own motion alone.
    for ours, expected in zip(gradients(bad, finite), gradients(image, finite), strict=True):
        # Vectors or not round differently.
        torch.testing.assert_close(
            ours.where(others, 0), expected.where(others, 0), rtol=1e-5, atol=1e-4
        )
    # In another, they spoil what has a share in them.
    by_image, *motions = gradients(bad, slice(None))
    torch.testing.assert_close(by_image, gradients(image, slice(None))[0])
    for by_motion in motions:
        spoilt = ~by_motion.isfinite().all(1)
        assert spoilt[0, :, :20].nonzero().tolist() in ([[3, 4]], [])
        assert set(map(tuple, spoilt[0, :, 20:].nonzero().tolist())) <= {(5, 4), (5, 5), (5, 6)}
        assert spoilt[1].nonzero().tolist() in ([[0, 0]], [])


def test_complex_flow_is_refused(torch, forward_splat):
    image, flow, _ = inputs(torch)
    with pytest.raises(ValueError, match=r"flow must be real, got torch.complex128"):
        forward_splat(image, flow * (1 + 0j), mode="sum")


def test_bad_arguments_name_themselves(torch, forward_splat):
    image, flow, metric = inputs(torch)
    with pytest.raises(ValueError, match="mode must be one of sum"):
        forward_splat(image, flow, metric, mode="mean")
    with pytest.raises(ValueError, match="metric must be given in mode 'softmax'"):
        forward_splat(image, flow)
    with pytest.raises(ValueError, match="metric must not be given in mode 'sum'"):
        forward_splat(image, flow, metric, mode="sum")
    with pytest.raises(ValueError, match=r"image must be \(N, C, H, W\)"):
        forward_splat(image[0], flow, metric)
    with pytest.raises(
        ValueError, match=r"flow must be \(2, 2, 11, 40\), got shape \(2, 2, 11, 39"
    ):
        forward_splat(image, flow[..., 1:], metric)
    with pytest.raises(ValueError, match="metric must be on cpu as image is, got meta"):
        forward_splat(image, flow, metric.to("meta"))
    with pytest.raises(ValueError, match=r"image must be float32 or float64, got torch\.uint8"):
        forward_splat(image.to(torch.uint8), flow, metric)
    large = torch.zeros(1, dtype=torch.float32).expand(1, 1, 2**16, 2**15)
    with pytest.raises(ValueError, match=r"image must have less than 2\^31 pixels"):
        forward_splat(large, large.expand(1, 2, -1, -1), mode="sum")


def test_docstring_example(torch):
    import doctest

    from steadyview.ops import splat

    assert doctest.testmod(splat, extraglobs={"torch": torch}) == (0, 3)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("mode", [*MODES, "nearest_z"])
def test_cuda_agrees_with_the_cpu(torch, forward_splat, mode):
    image, flow, metric = inputs(torch, (2, 3, 40, 50), 2.0)
    metric = metric_of(mode, metric)
    results = []
    for device in ("cpu", "cuda"):
        moved = [t.to(device).requires_grad_() for t in (image, flow)]
        given = None if metric is None else metric.to(device)
        result, weight = forward_splat(*moved, given, mode=mode)
        gradients = torch.autograd.grad(result.square().sum(), moved)
        results.append([t.cpu() for t in (result, weight, *gradients)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)
