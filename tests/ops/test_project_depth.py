import numpy as np
import pytest
from tests.ops.projection_scenes import turned
from tests.reference.depth_splat import splat

pytestmark = pytest.mark.needs_torch


CAMERAS = [
    turned(shift=(-0.3, 0, 0)),
    turned(0.06, -0.04, (0.2, 0.1, -0.15)),
    turned(shift=(0, 0, 1.2)),
    turned(shift=(0, 0.05, -2.3)),  # some points lie behind it
]


def scene(torch, shape=(2, 3, 14, 17), dtype=None):
    """A slope with a block before it."""
    N, _, H, W = shape
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random(shape)).to(dtype or torch.float64)
    y, x = np.mgrid[:H, :W]
    depth = 4 + 0.05 * y + 0.03 * x + rng.normal(0, 0.02, (N, H, W))
    depth[:, H // 4 : 3 * H // 4, W // 4 : 2 * W // 3] -= 2.0
    K = torch.tensor([[20.0, 0, W / 2 + 0.3], [0, 21.0, H / 2 - 0.2], [0, 0, 1]]).expand(N, 3, 3)
    return image, torch.from_numpy(depth), torch.eye(4).expand(N, 4, 4), K


def rig(torch):
    return torch.from_numpy(np.stack(CAMERAS))


@pytest.mark.parametrize("tolerance", [0.0, 0.01, 10.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matches_the_reference(torch, ops, dtype, tolerance):
    image, depth, eye, K = scene(torch, dtype=getattr(torch, dtype))
    depth[0, 2, 3:7] = torch.tensor([torch.nan, torch.inf, 0, -1])
    target_K = (K * torch.tensor([1.1, 1.0, 1.0])[:, None])[:, None].expand(-1, 4, 3, 3)
    views = ops.project_depth(
        image, depth, eye, K, rig(torch), target_K, tolerance=tolerance, output_size=(16, 15)
    )
    # float32: places and weights are known to 1e-5, which tells where a sum of weights is small.
    atol = 1e-12 if dtype == "float64" else 2e-4
    for n in range(2):
        for v in range(4):
            expected = splat(
                image[n].double().numpy(), depth[n].numpy(), K[n].double().numpy(),
                target_K[n, v].double().numpy(), CAMERAS[v], (16, 15), tolerance + 2e-7,
            )  # fmt: skip
            known = expected[2] > (0 if dtype == "float64" else 0.05)
            if (
                tolerance == 0 and dtype == "float32"
            ):  # which are nearest may be a matter of rounding
                continue
            result, seen, total = expected
            np.testing.assert_allclose(
                views.image[n, v].numpy()[:, known], result[:, known], rtol=0, atol=atol
            )
            np.testing.assert_allclose(
                views.depth[n, v].numpy()[known], seen[known], rtol=0, atol=5 * atol
            )
            coverage = np.minimum(total, 1)
            np.testing.assert_allclose(views.coverage[n, v].numpy(), coverage, rtol=0, atol=atol)
            clear = np.abs(coverage - 0.5) > atol
            assert np.array_equal(views.disoccluded[n, v].numpy()[clear], (coverage < 0.5)[clear])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_source_camera_returns_the_image(torch, ops, dtype):
    image, depth, _, K = scene(torch, dtype=getattr(torch, dtype))
    depth[1, 3, 4] = torch.nan
    source = rig(torch)[1].expand(2, 4, 4)
    views = ops.project_depth(image, depth, source, K, source[:1])
    keeps = depth > 0
    assert torch.equal(views.image[:, 0], torch.where(keeps[:, None], image, 0.0))
    assert torch.equal(views.coverage[:, 0], keeps.to(image.dtype))
    assert torch.equal(views.disoccluded[:, 0], ~keeps)
    torch.testing.assert_close(
        views.depth[:, 0], torch.where(keeps, depth, 0.0).to(image.dtype), rtol=1e-6, atol=0
    )


def test_foreground_and_background_do_not_mix(torch, ops):
    _, _, eye, K = scene(torch)
    near = torch.zeros(2, 14, 17, dtype=torch.bool)
    near[:, 4:10, 5:12] = True
    image = near[:, None].double()
    views = ops.project_depth(image, torch.where(near, 2.0, 9.0), eye, K, rig(torch)[:2])
    colours = views.image[:, :, 0][views.coverage > 0]
    assert (torch.minimum(colours, 1 - colours) < 1e-12).all()
    assert torch.equal(views.image[:, :, 0] > 0.5, (views.depth > 0) & (views.depth < 5))
    # What the block hid on one side shows neither; on the other it covers the background.
    assert views.disoccluded[0, 0, 6].any()


def test_both_renderers_agree_on_a_smooth_scene(torch, ops):
    H, W = 40, 50
    y, x = np.mgrid[:H, :W]
    image = torch.from_numpy(0.5 + 0.4 * np.sin(x / 5) * np.cos(y / 6))[None, None]
    depth = torch.from_numpy(3 + 0.2 * np.sin(x / 20))[None]
    K = torch.tensor([[[45.0, 0, 25], [0, 45, 20], [0, 0, 1]]])
    eye, target = torch.eye(4)[None], torch.from_numpy(turned(0.02, 0.01, (-0.1, 0, 0)))[None]
    sharp, soft = (
        ops.project_depth(image, depth, eye, K, target, renderer=renderer)
        for renderer in ("splat", "gaussians")
    )
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    # The nearest Gaussian of a pixel outweighs the others: as much as a move of a fifth of a pixel
    # where the slope is 0.08 a pixel.
    difference = (sharp.image - soft.image)[:, :, 0][inside]
    assert difference.abs().mean() < 0.2 * 0.08
    torch.testing.assert_close(sharp.depth[inside], soft.depth[inside], rtol=0.01, atol=0)
    # The least is between four Gaussians of half a pixel: 1 - (1 - exp(-1))^4.
    assert (soft.coverage[inside] > 0.83).all()
    assert not soft.disoccluded[inside].any()


@pytest.mark.parametrize("tolerance", [0.01, 10.0])
def test_gradients(torch, ops, tolerance):
    image, depth, eye, K = scene(torch, (2, 2, 5, 6))
    # No point may lie on a pixel's centre, where the weights' slopes jump.
    second = torch.from_numpy(turned(-0.03, 0.05, (0.1, 0.05, 0.2)))
    target = torch.stack((rig(torch)[1], second))
    last, rows = target[:, 3:], target[:, :3].clone().requires_grad_()

    def project(image, depth, rows):
        target = torch.cat((rows, last), 1)
        views = ops.project_depth(image, depth, eye, K, target, tolerance=tolerance)
        # Where the weights are close to 0 or to a full pixel, differences of 1e-6 are too coarse.
        fine = (views.coverage > 0.02) & (views.coverage < 0.999)
        return views.image * fine[:, :, None], views.depth * fine, views.coverage * fine

    inputs = image.requires_grad_(), depth.requires_grad_(), rows
    assert torch.autograd.gradcheck(project, inputs, eps=1e-7, atol=1e-5)


def test_pose_gradient_at_the_source_camera(torch, ops):
    """As differences of a move to the right and down."""
    image, depth, eye, K = scene(torch, (1, 2, 6, 7))
    depth[0, 2, 3] = torch.nan
    move = torch.from_numpy(turned(shift=(0.3, 0.2, 0))) - torch.eye(4)
    weights = torch.from_numpy(np.random.default_rng(1).random((1, 1, 2, 6, 7)))

    def loss(step):
        target = torch.eye(4) + step * move
        views = ops.project_depth(image, depth, eye, K, target[None], tolerance=10.0)
        return (views.image * weights).sum() + (views.depth * weights[:, :, 0]).sum()

    weights[..., 2, 3] = 0  # the hole is filled at once, which is no slope
    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(step), step)
    with torch.no_grad():
        near, far = (loss(torch.tensor(x, dtype=torch.float64)) for x in (1e-4, 2e-4))
        difference = (2 * near - far / 2 - 1.5 * loss(step)) / 1e-4
    assert abs(slope) > 0.1
    torch.testing.assert_close(slope, difference, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_and_tiny_depths_have_gradients(torch, ops, dtype):
    image, depth, eye, K = scene(torch, (1, 2, 8, 9), dtype=getattr(torch, dtype))
    depth = depth.to(image.dtype)
    for k, value in enumerate((1e30, 1e37, 3e38, 1e-20, 1e-38, 1e-44)):
        depth[0, k, k] = value
    arguments = [x.requires_grad_() for x in (image, depth, rig(torch)[:3].to(image.dtype))]
    views = ops.project_depth(image, depth, eye, K, arguments[2])
    total = views.image.square().sum() + views.coverage.sum() + (views.depth < 50).sum()
    assert views.image.isfinite().all()
    for gradient in torch.autograd.grad(total, arguments):
        assert gradient.isfinite().all()
    assert views.invalid.tolist() == [0]


@pytest.mark.parametrize("renderer", ["splat", "gaussians"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e11])
def test_units_do_not_matter(torch, ops, renderer, scale):
    image, depth, eye, K = scene(torch)
    target = rig(torch)[:2].clone()
    expected = ops.project_depth(image, depth, eye, K, target, renderer=renderer)
    target[:, :3, 3] *= scale
    views = ops.project_depth(image, scale * depth, eye, K, target, renderer=renderer)
    torch.testing.assert_close(views.image, expected.image, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(views.depth / scale, expected.depth, rtol=1e-6, atol=1e-6)
    assert (expected.coverage > 0.5).any()


@pytest.mark.parametrize("renderer", ["splat", "gaussians"])
def test_pixels_without_depth_are_counted(torch, ops, renderer):
    image, depth, eye, K = scene(torch)
    depth[0, 2, 3:8] = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -2.0])
    views = ops.project_depth(image, depth, eye, K, rig(torch)[:1], renderer=renderer)
    assert views.invalid.dtype == torch.int64
    assert views.invalid.tolist() == [5, 0]


def test_operator_checks(torch, ops):
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((2, 3, 9))).requires_grad_()
    places = torch.from_numpy(rng.random((2, 2, 3, 9)) * [[5], [4], [3]]).requires_grad_()
    operators = torch.ops.steadyview
    torch.library.opcheck(operators.depth_splat, (image, places, 4, 5, 0.01))
    with torch.no_grad():
        output = operators.depth_splat(image, places, 4, 5, 0.01)
    grads = [torch.ones_like(x) for x in output[:3]]
    arguments = (*grads, image.detach(), places.detach(), *output, 0.01)
    torch.library.opcheck(operators.depth_splat_backward, arguments)


def test_compiles_in_one_graph(torch, ops):
    image, depth, eye, K = scene(torch, (1, 2, 8, 9))

    def loss(image, depth):
        views = ops.project_depth(image, depth, eye, K, rig_)
        return views.image.square().sum() + (views.depth * views.coverage).sum()

    rig_ = rig(torch)
    inputs = image.requires_grad_(), depth.requires_grad_()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected, result = loss(*inputs), compiled(*inputs)
    torch.testing.assert_close(result, expected)
    for ours, theirs in zip(
        torch.autograd.grad(result, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_thread_count_does_not_matter(torch, ops):
    image, depth, eye, K = scene(torch, (2, 3, 60, 70), dtype=torch.float32)
    inputs, before, results = (image.requires_grad_(), depth.requires_grad_()), 0, []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            views = ops.project_depth(image, depth, eye, K, rig(torch))
            total = views.image.square().sum() + views.depth.sum()
            results.append((*views, *torch.autograd.grad(total, inputs)))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("renderer", ["splat", "gaussians"])
def test_empty_thin_and_hidden(torch, ops, renderer):
    image, depth, eye, K = scene(torch)
    none = ops.project_depth(image[:0], depth[:0], eye[:0], K[:0], rig(torch), renderer=renderer)
    assert none.image.shape == (0, 4, 3, 14, 17)
    assert none.coverage.shape == (0, 4, 14, 17)
    behind = torch.from_numpy(turned(shift=(0, 0, -50.0)))[None]
    holes = torch.full_like(depth, torch.nan)
    for views in (
        ops.project_depth(image, depth, eye, K, behind, renderer=renderer),
        ops.project_depth(image, holes, eye, K, rig(torch), renderer=renderer),
    ):
        assert views.disoccluded.all()
        assert (views.image == 0).all()
        assert (views.depth == 0).all()
    for rows, columns in ((1, 1), (1, 9), (9, 1)):
        thin = image[:1, :, :rows, :columns], depth[:1, :rows, :columns]
        views = ops.project_depth(*thin, eye[:1], K[:1], rig(torch), renderer=renderer)
        assert views.image.shape == (1, 4, 3, rows, columns)
        assert views.image.isfinite().all()


def test_gaussians_take_the_cameras_they_can(torch, ops):
    image, depth, eye, K = scene(torch, dtype=torch.float64)
    arguments, options = (image, depth, eye), {"renderer": "gaussians"}
    expected = ops.project_depth(*arguments, K, rig(torch), **options)
    scaled = ops.project_depth(*arguments, 2 * K, rig(torch), **options)
    torch.testing.assert_close(scaled.image, expected.image)
    skewed, flipped = K.clone(), K.clone()
    skewed[:, 0, 1], flipped[:, 1, 1] = 15, -21
    for bad, match in ((skewed, "must have no skew"), (flipped, "must have positive focal")):
        with pytest.raises(ValueError, match=f"^Ks {match}"):
            ops.project_depth(*arguments, bad, rig(torch), **options)
        targets = bad[:, None].expand(-1, 4, 3, 3)
        with pytest.raises(ValueError, match=f"^target_Ks {match}"):
            ops.project_depth(*arguments, K, rig(torch), targets, **options)


@pytest.mark.parametrize("renderer", ["splat", "gaussians"])
def test_autocast_and_empty_views(torch, ops, renderer):
    image, depth, eye, K = scene(torch, dtype=torch.float32)
    arguments = image, depth, eye, K, rig(torch)
    expected = ops.project_depth(*arguments, renderer=renderer)
    with torch.autocast("cpu", torch.bfloat16):
        views = ops.project_depth(*arguments, renderer=renderer)
    assert torch.equal(views.image, expected.image)
    empty = ops.project_depth(*arguments, renderer=renderer, output_size=(0, 4))
    assert empty.image.shape == (2, 4, 3, 4, 0)
    assert empty.depth.shape == empty.coverage.shape == empty.disoccluded.shape == (2, 4, 4, 0)


def test_bad_arguments_name_themselves(torch, ops):
    image, depth, eye, K = scene(torch)
    good, cameras = (image, depth, eye, K), rig(torch)
    for match, arguments, options in [
        ("image must be", (image[0], depth, eye, K, cameras), {}),
        ("image must be float32 or float64", (image.byte(), depth, eye, K, cameras), {}),
        ("depth must be", (image, depth[:1], eye, K, cameras), {}),
        ("viewmats must be", (image, depth, eye[0], K, cameras), {}),
        ("Ks must be", (image, depth, eye, K[:1], cameras), {}),
        ("target_viewmats must be", (*good, cameras[0]), {}),
        ("target_Ks must be", (*good, cameras, K), {}),
        ("renderer must be one of splat", (*good, cameras), {"renderer": "points"}),
        ("tolerance must not", (*good, cameras), {"tolerance": torch.nan}),
        ("sigma must be positive", (*good, cameras), {"sigma": 0}),
        ("disoccluded_below must be 0 to 1", (*good, cameras), {"disoccluded_below": torch.nan}),
        ("output_size must be", (*good, cameras), {"output_size": (3, -2)}),
        (r"output_size must be \(width, height\)", (*good, cameras), {"output_size": (3, 2, 1)}),
        (r"output_size must be \(width, height\)", (*good, cameras), {"output_size": 3}),
        ("output_size must have at most", (*good, cameras), {"output_size": (65536, 65536)}),
    ]:
        with pytest.raises(ValueError, match=match):
            ops.project_depth(*arguments, **options)
    with pytest.raises(TypeError, match=r"output_size\[0\] must be a whole number, got 3.5"):
        ops.project_depth(*good, cameras, output_size=(3.5, 2))


def test_docstring_example(torch, ops):
    import doctest
    import sys

    from steadyview.ops import project_depth  # noqa: F401  the function hides its module

    module = sys.modules["steadyview.ops.project_depth"]
    failed, tried = doctest.testmod(module, extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 4


@pytest.mark.needs_cuda
def test_cuda_agrees_with_the_cpu(torch, ops):
    image, depth, eye, K = scene(torch, (2, 3, 50, 40))
    inputs, results = (image.requires_grad_(), depth.requires_grad_()), []
    for device in ("cpu", "cuda"):
        views = ops.project_depth(*(x.to(device) for x in (*inputs, eye, K, rig(torch))))
        total = views.image.square().sum() + (views.depth * views.coverage).sum()
        gradients = torch.autograd.grad(total, inputs)
        results.append([x.cpu() for x in (*views, *gradients)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)
