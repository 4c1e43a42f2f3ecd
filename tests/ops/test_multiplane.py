import numpy as np
import pytest
from tests.ops.projection_scenes import CAMERAS, homographies, intrinsics, rig, scene, turned
from tests.reference import multiplane as reference

pytestmark = pytest.mark.needs_torch
SPLITS = ("median", "disparity", "quantiles")


def compare(views, n, v, expected, dtype):
    image, mask, before, depth, plane, edges = expected
    got = [x[n, v].numpy() for x in (views.mask, views.mask_before, views.plane)]
    for ours, theirs in zip(got, (mask, before, plane), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Depths are float32; so are the sums of nine colours when the image is.
    np.testing.assert_allclose(views.depth[n, v].numpy(), depth, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(views.edges[n, v].numpy(), edges, rtol=1e-6)
    atol = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(views.image[n, v].numpy(), image, rtol=0, atol=atol)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("planes", [1, 2, 3, 4, 5, 32])
def test_matches_the_reference(torch, ops, planes, split):
    dtype = "float64" if planes % 2 else "float32"
    image, depth, eye, K = scene(torch, dtype=getattr(torch, dtype))
    target_K = K * torch.tensor([1.05, 1.0, 1.0])[:, None]
    names = list(CAMERAS)
    views = ops.multiplane_project(
        image, depth, eye, K, rig(torch, *names), target_K[:, None].expand(-1, 4, 3, 3),
        planes=planes, split=split, output_size=(21, 19),
    )  # fmt: skip
    for n in range(2):
        for v, name in enumerate(names):
            expected = reference.project(
                image[n].double().numpy(), depth[n].double().numpy(), K[n].double().numpy(),
                target_K[n].double().numpy(), CAMERAS[name], planes=planes, split=split,
                size=(21, 19),
            )  # fmt: skip
            compare(views, n, v, expected, dtype)


@pytest.mark.parametrize(
    ("keep_above", "fill_above"), [(0.0, 0.0), (0.3, 0.4), (0.99, 0.1), (0.5, 1)]
)
def test_thresholds_and_given_edges(torch, ops, keep_above, fill_above):
    image, depth, eye, K = scene(torch)
    edges = torch.tensor([2.5, 3.0, 4.4])
    views = ops.multiplane_project(
        image, depth[:, None], eye, K, rig(torch, "turned"), edges=edges,
        keep_above=keep_above, fill_above=fill_above,
    )  # fmt: skip
    expected = reference.project(
        image[1].numpy(), depth[1].double().numpy(), K[1].double().numpy(),
        K[1].double().numpy(), CAMERAS["turned"], planes=4, split="", edges=edges.numpy(),
        keep_above=keep_above, fill_above=fill_above,
    )  # fmt: skip
    compare(views, 1, 0, expected, "float64")


# Dossier section 8.4: which of the 3x3 pixels fill a hole in the middle.
FILL_CASES = [
    ("...  ...  ...", False),
    ("...  x.x  ...", False),  # 2 edges: 0.193
    ("x.x  ...  x..", False),  # 3 corners: 0.176
    ("xx.  ...  ...", False),  # 1 edge + 1 corner: 0.155
    (".x.  x.x  ...", True),  # 3 edges
    (".x.  x..  x..", True),  # 2 edges + 1 corner
    ("x..  x..  x..", True),  # 1 edge + 2 corners
    ("x.x  ...  x.x", True),  # 4 corners
    ("...  .x.  ...", False),  # the pixel alone: 0.159
    (".x.  .x.  ...", True),
    ("x..  .x.  ...", True),
]


@pytest.mark.parametrize(("pattern", "filled"), FILL_CASES)
def test_fill_cases(torch, ops, pattern, filled):
    pixels = np.array([list(row) for row in pattern.split()]) == "x"
    depth = torch.zeros(1, 5, 5)
    depth[0, 1:4, 1:4] = torch.from_numpy(np.where(pixels, 2.0, 0.0))
    image = torch.arange(25.0, dtype=torch.float64).reshape(1, 1, 5, 5) + 1
    views = ops.multiplane_project(
        image, depth, torch.eye(4)[None], intrinsics(torch, 5, 5), _still(torch), keep_above=0
    )
    assert views.mask[0, 0, 2, 2] == filled
    assert (views.mask_before[0, 0].numpy() == (depth[0].numpy() > 0)).all()
    if filled and not pixels[1, 1]:
        weights = np.where(pixels, reference.GAUSS, 0)
        mean = (weights * image[0, 0, 1:4, 1:4].numpy()).sum() / (weights.sum() + 1e-6)
        assert views.image[0, 0, 0, 2, 2] == pytest.approx(mean, rel=1e-14)
        assert views.source_index[0, 0, 2, 2] == -1
        # 1e-6 of the weight, which the quotient lacks
        assert views.depth[0, 0, 2, 2] == pytest.approx(2, rel=1e-5)
    elif filled:
        assert views.image[0, 0, 0, 2, 2] == 13
        assert views.source_index[0, 0, 2, 2] == 12


def _still(torch):
    """As good as the source's camera, but not the same numbers: nothing is skipped."""
    return torch.from_numpy(turned(shift=(1e-9, 0, 0)))[None]


def test_the_kernel_of_the_cracks_is_the_frozen_one():
    """Dossier section 12.6."""
    assert reference.GAUSS.sum() == pytest.approx(0.7795, abs=5e-5)
    assert reference.GAUSS[1, 1] == pytest.approx(0.1592, abs=5e-5)
    assert reference.GAUSS[0, 1] == pytest.approx(0.0965, abs=5e-5)
    assert reference.GAUSS[0, 0] == pytest.approx(0.0585, abs=6e-5)


@pytest.mark.parametrize(("count", "stays"), [(1, False), (4, False), (5, True), (9, True)])
def test_isolated_pixels_need_five_of_nine(torch, ops, count, stays):
    depth = torch.zeros(1, 7, 7)
    order = [(3, 3), (3, 2), (2, 3), (3, 4), (4, 3), (2, 2), (2, 4), (4, 2), (4, 4)]
    for row, column in order[:count]:
        depth[0, row, column] = 2
    views = ops.multiplane_project(
        torch.rand(1, 1, 7, 7), depth, torch.eye(4)[None], intrinsics(torch, 7, 7), _still(torch)
    )
    assert views.mask_before[0, 0, 3, 3]
    assert (views.source_index[0, 0, 3, 3] == 24) == (stays and count == 9)
    # Of five in a cross only the middle has enough neighbours, and alone it weighs 0.159: dropped.
    assert views.mask[0, 0, 3, 3] == (count == 9)


def test_the_source_camera_returns_the_image(torch, ops):
    image, depth, _, K = scene(torch, dtype=torch.float32)
    depth[0, 3, 4], depth[1, 0, 0] = torch.nan, 0
    camera = torch.from_numpy(np.stack([CAMERAS["turned"], CAMERAS["near"]]))
    views = ops.multiplane_project(image, depth, camera, K, camera[:, None])
    assert torch.equal(views.image[:, 0], image)
    assert views.mask.all()
    assert torch.equal(views.mask_before[:, 0], depth > 0)
    assert torch.equal(views.depth[:, 0], torch.where(depth > 0, depth, 0.0))
    assert views.invalid.tolist() == [1, 1]
    # A camera as good as the same, without the short cut: all pixels land where they were.
    views = ops.multiplane_project(
        image, depth, torch.eye(4).expand(2, 4, 4), K, _still(torch), planes=1
    )
    keeps = depth > 0
    assert torch.equal(views.mask_before[:, 0], keeps)
    assert torch.equal(views.image[:, 0] * keeps[:, None], image * keeps[:, None])


def test_a_fronto_parallel_plane_is_a_homography(torch, ops):
    """Each pixel shows a source pixel whose homography image lies within half a pixel."""
    H, W, z = 24, 30, 3.0
    image = torch.rand(1, 2, H, W)
    K, target = intrinsics(torch, H, W) * torch.tensor([2.5, 2.5, 1])[:, None], rig(torch, "turned")
    K[0, :2, 2] = torch.tensor([W / 2, H / 2])
    views = ops.multiplane_project(
        image, torch.full((1, H, W), z), torch.eye(4)[None], K, target, planes=1
    )
    matrix = ops.plane_homographies(torch.tensor([z]), torch.eye(4)[None], K, target)[0, 0, 0]
    forward = np.linalg.inv(matrix.numpy())
    index = views.source_index[0, 0].numpy()
    rows, columns = np.nonzero(index >= 0)
    assert len(rows) > 0.7 * H * W
    source = index[rows, columns]
    points = np.stack((source % W + 0.5, source // W + 0.5, np.ones(len(source))))
    q = forward @ points
    offset = q[:2] / q[2] - np.stack((columns, rows)) - 0.5
    assert np.abs(offset).max() <= 0.5 + 1e-4
    shown = views.image[0, 0][:, rows, columns].numpy()
    assert np.array_equal(shown, image[0].numpy()[:, source // W, source % W])


def test_far_planes_never_mix(torch, ops):
    """Foreground and background have colours of their own; what is shown is one or the other."""
    H, W = 40, 60
    y, x = np.mgrid[:H, :W]
    near = (np.hypot(x - 30, y - 20) < 12) | (x % 17 == 3)
    image = torch.from_numpy(np.where(near, 1.0, 0.25))[None, None]
    depth = torch.from_numpy(np.where(near, 2.0, 9.0))[None].float()
    for planes, split in ((4, "median"), (2, "disparity")):
        views = ops.multiplane_project(
            image, depth, torch.eye(4)[None],
            intrinsics(torch, H, W) * torch.tensor([4, 4, 1.0])[:, None],
            rig(torch, *CAMERAS), planes=planes, split=split,
        )  # fmt: skip
        colours = views.image[views.mask[:, :, None]].unique()
        # Filled ones lack 1e-6 of the weight 0.2 or more.
        distance = torch.minimum((colours - 1).abs(), (colours - 0.25).abs())
        assert distance.max() <= 1e-6 / 0.2
        assert torch.equal(views.image[:, :, 0] > 0.6, (views.depth < 5) & views.mask)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (2, 3)])
def test_thin_images(torch, ops, size):
    image, depth, eye, K = scene(torch, (1, 2, *size))
    for name, camera in CAMERAS.items():
        views = ops.multiplane_project(image, depth, eye, K, torch.from_numpy(camera)[None])
        expected = reference.project(
            image[0].numpy(), depth[0].double().numpy(), K[0].double().numpy(),
            K[0].double().numpy(), camera, planes=4, split="median",
        )  # fmt: skip
        if not expected[2].any():
            assert not views.mask.any(), name
            continue
        compare(views, 0, 0, expected, "float64")


def test_no_pixels(torch, ops):
    image, depth, eye, K = scene(torch)
    depth[0, 2, 3] = torch.nan
    torch.full((1000,), 7.0)  # memory that is not zero
    views = ops.multiplane_project(image, depth, eye, K, rig(torch, "away"), output_size=(0, 0))
    assert views.image.shape == (2, 1, 3, 0, 0)
    assert torch.equal(views.edges, torch.zeros(2, 1, 3))


def test_holes_and_points_behind(torch, ops):
    image, depth, eye, K = scene(torch)
    bad = [torch.nan, torch.inf, -torch.inf, 0.0, -2.0]
    depth[0, 2, 3:8] = torch.tensor(bad)
    views = ops.multiplane_project(image, depth, eye, K, rig(torch, "baseline"))
    assert views.invalid.tolist() == [5, 0]
    shown = views.source_index[0].unique()
    assert not set(range(2 * 23 + 3, 2 * 23 + 8)) & set(shown.tolist())
    assert views.image.isfinite().all()
    assert views.depth.isfinite().all()
    # The camera has passed the block, and then everything.
    passed = ops.multiplane_project(
        image, depth, eye, K, torch.from_numpy(turned(shift=(0, 0, -2.3)))[None],
        keep_above=0, fill_above=0.1,
    )  # fmt: skip
    assert (passed.depth[passed.mask] > 0).all()
    assert passed.mask.any()
    assert passed.mask_before.sum() < (depth > 2.3).sum()
    behind = ops.multiplane_project(
        image, depth, eye, K, torch.from_numpy(turned(shift=(0, 0, -50.0)))[None]
    )
    assert not behind.mask.any()
    assert not behind.mask_before.any()
    assert (behind.image == 0).all()
    assert (behind.source_index == -1).all()


def test_the_nearest_wins_and_then_the_first(torch, ops):
    """All pixels fall into one: its focal length is tiny."""
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    depth = torch.full((1, 3, 4), 5.0)
    K = torch.tensor([[[100.0, 0, 2], [0, 100, 1.5], [0, 0, 1]]])
    tiny = torch.tensor([[[1e-3, 0, 0.5], [0, 1e-3, 0.5], [0, 0, 1]]])

    def seen():
        return ops.multiplane_project(
            image, depth, torch.eye(4)[None], K, _still(torch), tiny, output_size=(1, 1)
        ).source_index.item()

    assert seen() == 0
    depth[0, 1, 2] = depth[0, 2, 1] = 4.0
    assert seen() == 6


def test_gradient(torch, ops):
    image, depth, eye, K = scene(torch, (2, 2, 6, 7))
    depth[0, 3, 3] = torch.nan
    cameras = torch.cat((torch.eye(4)[None], rig(torch, "near", "turned")))

    def project(image):
        return ops.multiplane_project(image, depth, eye, K, cameras).image

    assert torch.autograd.gradcheck(project, image.requires_grad_(), eps=1e-6, atol=1e-8)


def test_indices_that_are_none_get_no_gradient(torch, ops):
    grad = torch.ones((1, 1, 2, 4, 5))
    for index, landed in ((10**6, 0), (20, 0), (-1, -1), (-1, 20), (-1, 2**31 - 1), (-(2**31), -7)):
        maps = (torch.full((1, 1, 4, 5), i, dtype=torch.int32) for i in (landed, index))
        plane = torch.zeros((1, 1, 4, 5), dtype=torch.uint8)
        result = torch.ops.steadyview.multiplane_project_backward(grad, *maps, plane, plane, 4, 5)
        assert (result == 0).all()


def test_operator_checks(torch, ops):
    image, depth, _, _ = scene(torch, (1, 2, 6, 7))
    transform = torch.eye(3, 4, dtype=torch.float64).expand(1, 2, 3, 4).clone()
    transform[0, 1, 0, 3] = 2.5
    same, operators = torch.zeros(1, 2, dtype=torch.bool), torch.ops.steadyview
    arguments = (image.requires_grad_(), depth, transform, same, None, 4, 1, 0.5, 0.2, 6, 7)
    torch.library.opcheck(operators.multiplane_project, arguments)
    _, _, *maps, _, _ = operators.multiplane_project(*arguments)
    grad = torch.ones((1, 2, 2, 6, 7), dtype=torch.float64)
    torch.library.opcheck(operators.multiplane_project_backward, (grad, *maps, 6, 7))
    planes = torch.rand(1, 3, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    matrix = homographies(torch, 1, 2, 3).requires_grad_()
    torch.library.opcheck(operators.multiplane_render, (planes, matrix, 4, 5))
    grad = torch.ones((1, 2, 4, 4, 5), dtype=torch.float64)
    for by_matrix in (False, True):
        torch.library.opcheck(
            operators.multiplane_render_backward,
            (grad, planes.detach(), matrix.detach(), by_matrix),
        )


def test_compiles_in_one_graph(torch, ops):
    image, depth, eye, K = scene(torch, (1, 2, 8, 9))
    cameras = rig(torch, "turned")
    planes, matrix = torch.rand(1, 3, 4, 8, 9).double(), homographies(torch, 1, 2, 3)

    def loss(image, planes):
        views = ops.multiplane_project(image, depth, eye, K, cameras)
        colours, alpha = ops.multiplane_render(planes, matrix)
        return (views.image * views.mask[:, :, None]).square().sum() + (colours * alpha).sum()

    inputs = image.requires_grad_(), planes.requires_grad_()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected, result = loss(*inputs), compiled(*inputs)
    torch.testing.assert_close(result, expected)
    for ours, theirs in zip(
        torch.autograd.grad(result, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_thread_count_does_not_matter(torch, ops):
    image, depth, eye, K = scene(torch, (2, 3, 70, 90), dtype=torch.float32)
    planes, matrix = torch.rand(2, 3, 4, 40, 50), homographies(torch, 2, 2, 3)
    inputs, results = (image.requires_grad_(), planes.requires_grad_()), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            views = ops.multiplane_project(image, depth, eye, K, rig(torch, *CAMERAS), planes=7)
            colours, alpha = ops.multiplane_render(planes, matrix)
            total = views.image.square().sum() + (colours * alpha).sum()
            results.append((*views, colours, alpha, *torch.autograd.grad(total, inputs)))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_other_layouts_and_sizes(torch, ops):
    image, depth, eye, K = scene(torch)
    expected = ops.multiplane_project(image, depth, eye, K, rig(torch, *CAMERAS))
    last = image.to(memory_format=torch.channels_last)
    crooked = depth.transpose(1, 2).contiguous().transpose(1, 2)
    result = ops.multiplane_project(last, crooked, eye, K, rig(torch, *CAMERAS))
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))
    no_images = ops.multiplane_project(image[:0], depth[:0], eye[:0], K[:0], rig(torch, "near"))
    assert no_images.image.shape == (0, 1, 3, 17, 23)
    assert no_images.invalid.shape == (0,)
    no_views = ops.multiplane_project(image, depth, eye, K, rig(torch, "near")[:0])
    assert no_views.image.shape == (2, 0, 3, 17, 23)
    no_channels = ops.multiplane_project(image[:, :0], depth, eye, K, rig(torch, "near"))
    assert torch.equal(no_channels.mask, expected.mask[:, 2:3])
    empty = ops.multiplane_project(image, depth, eye, K, rig(torch, "near"), output_size=(0, 4))
    assert empty.image.shape == (2, 1, 3, 4, 0)


def test_bad_arguments_name_themselves(torch, ops):
    image, depth, eye, K = scene(torch)
    cameras = rig(torch, "near")
    project = ops.multiplane_project
    for match, arguments, options in [
        ("image must be", (image[0], depth, eye, K, cameras), {}),
        ("image must be float32 or float64", (image.byte(), depth, eye, K, cameras), {}),
        ("image must have pixels", (image[:, :, :0], depth[:, :0], eye, K, cameras), {}),
        ("depth must be", (image, depth[:, 1:], eye, K, cameras), {}),
        ("depth must be of a floating", (image, depth.long(), eye, K, cameras), {}),
        ("viewmats must be", (image, depth, eye[:1], K, cameras), {}),
        ("viewmats must be", (image, depth, eye[:, :3], K, cameras), {}),
        ("Ks must be", (image, depth, eye, K[:1], cameras), {}),
        ("Ks must be finite and invertible", (image, depth, eye, 0 * K, cameras), {}),
        ("target_viewmats must be", (image, depth, eye, K, cameras[0]), {}),
        ("target_Ks must be", (image, depth, eye, K, cameras, K), {}),
        ("planes must be 1 to 255", (image, depth, eye, K, cameras), {"planes": 0}),
        ("planes must be 1 to 255", (image, depth, eye, K, cameras), {"planes": 256}),
        ("split must be one of median", (image, depth, eye, K, cameras), {"split": "mean"}),
        ("edges must be", (image, depth, eye, K, cameras), {"edges": torch.ones(3, 2)}),
        *(("edges must be finite and ascending", (image, depth, eye, K, cameras),
           {"edges": torch.tensor(bad)}) for bad in ([2.0, 1], [torch.nan], [1, torch.inf])),
        ("keep_above must be", (image, depth, eye, K, cameras), {"keep_above": torch.nan}),
        ("fill_above must be", (image, depth, eye, K, cameras), {"fill_above": -1}),
        ("output_size must be", (image, depth, eye, K, cameras), {"output_size": (-1, 4)}),
        ("output_size must have at most 2147483647 pixels, got 65536 x 32768",
         (image, depth, eye, K, cameras), {"output_size": (32768, 65536)}),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            project(*arguments, **options)
    with pytest.raises(TypeError, match="planes must be a whole number"):
        project(image, depth, eye, K, cameras, planes=2.5)


def test_images_beyond_32_bit_indices_are_refused(torch, ops):
    """16k x 16k fits (2^28 pixels); what would overflow the index is an error, before any work."""
    huge = torch.zeros(1, 1).expand(1, 1, 65536, 32768)
    with pytest.raises(ValueError, match="image must have at most 2147483647 pixels"):
        ops.multiplane_project(
            huge, huge[0], torch.eye(4)[None], torch.eye(3)[None], torch.eye(4)[None],
            output_size=(1, 1),
        )  # fmt: skip


def test_docstring_examples(torch, ops):
    import doctest

    from steadyview.ops import multiplane

    failed, tried = doctest.testmod(multiplane, extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 5


@pytest.mark.needs_cuda
@pytest.mark.parametrize("split", SPLITS)
def test_cuda_agrees_with_the_cpu(torch, ops, split):
    image, depth, eye, K = scene(torch, (2, 3, 50, 40))
    planes, matrix = torch.rand(2, 3, 4, 40, 50).double(), homographies(torch, 2, 2, 3)
    cameras = torch.cat((torch.eye(4)[None], rig(torch, *CAMERAS)))
    inputs, results = (image.requires_grad_(), planes.requires_grad_(), matrix.requires_grad_()), []
    for device in ("cpu", "cuda"):
        views = ops.multiplane_project(
            *(x.to(device) for x in (image, depth, eye, K, cameras)), planes=6, split=split
        )
        colours, alpha = ops.multiplane_render(planes.to(device), matrix.to(device))
        total = views.image.square().sum() + (colours * alpha).sum()
        gradients = torch.autograd.grad(total, inputs)
        results.append([x.cpu() for x in (*views, colours, alpha, *gradients)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
