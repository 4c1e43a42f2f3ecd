import os
import subprocess
import sys

import numpy as np
import pytest
from tests.reference.warp import sample, source_points

pytestmark = pytest.mark.needs_torch
INTERPOLATIONS = ("bilinear", "bicubic", "catmull-rom", "lanczos3")
BORDERS = ("replicate", "constant", "reflect")
MATRICES = {
    "similarity": [[0.96, -0.03, 1.3], [0.03, 0.96, -0.7], [0, 0, 1]],
    "affine": [[0.7, 0.2, 1.0], [-0.1, 1.3, 2.0], [0, 0, 1]],
    "homography": [[1.0, 0.02, 0.5], [0.01, 0.95, 0.3], [2e-3, -1e-3, 1.1]],
}


@pytest.fixture
def backward_warp(torch):
    from steadyview.ops import backward_warp

    return backward_warp


def inputs(torch, name="similarity", shape=(2, 3, 9, 11), dtype=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    dtype = dtype or torch.float64
    image = torch.rand(shape, generator=generator, dtype=dtype)
    matrix = torch.tensor(MATRICES[name], dtype=torch.float64).repeat(shape[0], 1, 1)
    matrix[1:, 0, 2] += 0.37
    displacement = torch.rand((shape[0], 2, 3, 3), generator=generator, dtype=torch.float64) - 0.5
    return image, matrix, displacement


def reference(image, matrix, displacement, interpolation, size=None):
    width, height = size or (image.shape[3], image.shape[2])
    result = np.empty((*image.shape[:2], height, width))
    for n in range(image.shape[0]):
        moved = None if displacement is None else displacement[n].numpy()
        sx, sy = source_points(matrix[n].numpy(), (height, width), moved)
        for c in range(image.shape[1]):
            result[n, c] = sample(image[n, c].numpy(), sx, sy, interpolation)
    return result


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matches_the_reference(torch, backward_warp, name, interpolation, dtype):
    image, matrix, displacement = inputs(torch, name, dtype=getattr(torch, dtype))
    for moved in (None, displacement):
        result = backward_warp(image, matrix, displacement=moved, interpolation=interpolation)
        expected = reference(image, matrix, moved, interpolation)
        assert result.dtype == image.dtype
        # float32: 16 products of numbers up to 1, each with a few units of 6e-8. The polynomials
        # for lanczos3 miss each of its six weights by up to 1e-5, along both axes.
        atol = 2e-6 if dtype == "float32" else 1e-12
        atol = 1e-4 if interpolation == "lanczos3" else atol
        np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_agrees_with_grid_sample(torch, backward_warp, interpolation):
    image, matrix, _ = inputs(torch, shape=(2, 3, 17, 23))
    for border, padding in (("replicate", "border"), ("zeros", "zeros"), ("reflect", "reflection")):
        result = backward_warp(image, matrix, interpolation=interpolation, border=border)
        size = torch.tensor([23.0, 17.0], dtype=torch.float64)
        points = [
            np.stack(source_points(m.numpy(), (17, 23)), -1) for m in matrix
        ]  # pixels from the corner: grid_sample's -1 and 1 with align_corners=False
        grid = 2 * torch.from_numpy(np.stack(points)) / size - 1
        expected = torch.nn.functional.grid_sample(
            image, grid, mode=interpolation, padding_mode=padding, align_corners=False
        )
        # bilinear: grid_sample clips the point, not the taps; the result is the same.
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_identity_is_bit_exact(torch, backward_warp, interpolation, dtype):
    image, _, _ = inputs(torch, shape=(1, 2, 7, 5), dtype=getattr(torch, dtype))
    result = backward_warp(image, torch.eye(3)[None], interpolation=interpolation)
    assert torch.equal(result, image)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", MATRICES)
def test_gradients(torch, backward_warp, name, interpolation, border):
    image, matrix, displacement = inputs(torch, name, shape=(2, 2, 4, 5))
    arguments = [x.requires_grad_() for x in (image, matrix, 0.3 * displacement)]

    def warp(image, matrix, displacement):
        return backward_warp(
            image, matrix, displacement=displacement, interpolation=interpolation, border=border
        )

    # The weights' slopes jump where a point crosses a pixel's centre: stay away from it.
    points = np.stack(
        [np.stack(source_points(m.detach().numpy(), (4, 5), d.detach().numpy()))
         for m, d in zip(matrix, arguments[2], strict=True)]
    )  # fmt: skip
    assert np.abs(points - 0.5 - np.rint(points - 0.5)).min() > 1e-4
    assert torch.autograd.gradcheck(warp, arguments, eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", ["replicate", "constant"])
def test_nothing_beyond_the_border_has_a_gradient_by_the_matrix(
    torch, backward_warp, interpolation, border
):
    """A horizon crosses the output: points go infinitely far out, where nothing changes.

    Sums of slopes are 0 there but for rounding, which 1 / w would enlarge a million times.
    """
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(1, 2, 30, 40, generator=generator)
    grad = torch.randn(1, 2, 30, 40, generator=generator)
    matrix = torch.tensor([[[1.0, 0, 3], [0, 1.1, -2], [0, 0.06, 0.05]]], dtype=torch.float64)
    matrix[0, 2, 2] -= 0.5  # w is below 0 in the upper rows
    by_matrix = []
    for dtype in (torch.float32, torch.float64):
        given = matrix.clone().requires_grad_()
        options = {"interpolation": interpolation, "border": border, "fill": 0.7}
        warped = backward_warp(image.to(dtype), given, **options)
        by_matrix.append(torch.autograd.grad(warped, given, grad.to(dtype))[0])
    torch.testing.assert_close(by_matrix[0], by_matrix[1], rtol=2e-4, atol=2e-4)
    far = matrix.clone()  # all is behind the camera, or beyond it
    far[0, 2] = torch.tensor([0, 0.04, -0.56])
    far.requires_grad_()
    warped = backward_warp(image, far, **options)
    assert not warped[0, :, :13].isnan().any()
    assert torch.autograd.grad(warped[:, :, :13].sum(), far)[0].abs().max() == 0


def test_opcheck(torch, backward_warp):
    image, matrix, displacement = inputs(torch, shape=(2, 2, 5, 6))
    flow = torch.rand((2, 2, 4, 7), dtype=torch.float64).requires_grad_()
    image.requires_grad_()
    operator = torch.ops.steadyview.backward_warp
    options = (4, 7, 1, 0, 0.0)
    for moved in (None, displacement.clone().requires_grad_()):
        torch.library.opcheck(
            operator, (image, None, matrix.clone().requires_grad_(), moved, False, *options)
        )
    for is_flow in (False, True):
        torch.library.opcheck(operator, (image, flow, None, None, is_flow, *options))
    grad = torch.ones((2, 2, 4, 7), dtype=torch.float64)
    image, flow = image.detach(), flow.detach()
    for by_image, by_motion in ((True, True), (False, True)):
        for points, moved, extra in ((flow, None, None), (None, matrix, displacement)):
            torch.library.opcheck(
                torch.ops.steadyview.backward_warp_backward,
                (grad, image, points, moved, extra, True, 0, 1, 0.5, by_image, by_motion),
            )


def test_compiles_in_one_graph(torch, backward_warp):
    image, matrix, displacement = inputs(torch, "homography", shape=(1, 2, 8, 9))
    image.requires_grad_()

    def loss(image, matrix, displacement):
        return backward_warp(image, matrix, displacement=displacement).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected, result = loss(image, matrix, displacement), compiled(image, matrix, displacement)
    torch.testing.assert_close(result, expected)
    (ours,) = torch.autograd.grad(result, image)
    (theirs,) = torch.autograd.grad(expected, image)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", [(0, 4), (5, 0)])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_gradients_of_no_output(torch, backward_warp, size, kind):
    image = torch.ones((1, 2, 6, 7), dtype=getattr(torch, kind), requires_grad=True)
    matrix = torch.eye(3, dtype=torch.float64)[None].requires_grad_()
    flow = torch.zeros((1, 2, *size[::-1]), dtype=image.dtype, requires_grad=True)
    warped = backward_warp(image, matrix, output_size=size), backward_warp(image, flow=flow)
    for result, motion in zip(warped, (matrix, flow), strict=True):
        assert result.shape == (1, 2, *size[::-1])
        for gradient in torch.autograd.grad(result.sum(), (image, motion)):
            assert not gradient.any()


def test_what_is_no_tensor_of_real_numbers_is_named(torch, backward_warp):
    image, _, _ = inputs(torch)
    flow = torch.zeros(2, 2, 9, 11)
    with pytest.raises(TypeError, match=r"image must be a torch.Tensor, got ndarray"):
        backward_warp(image.numpy(), flow=flow)
    with pytest.raises(TypeError, match=r"flow must be a torch.Tensor, got list"):
        backward_warp(image, flow=flow.tolist())
    with pytest.raises(ValueError, match=r"flow must be real, got torch.complex64"):
        backward_warp(image, flow=flow * (1 + 0j))


def test_invalid_pixels_are_counted(torch):
    from steadyview.ops import count_invalid

    flow, metric = torch.zeros(2, 2, 3, 4), torch.zeros(2, 1, 3, 4)
    flow[0, 0, 1, 1] = flow[0, 1, 1, 1] = flow[0, 1, 2, 0] = torch.nan
    metric[0, 0, 1, 1] = metric[1, 0, 0, 0] = torch.inf
    assert count_invalid(flow).tolist() == [2, 0]
    assert count_invalid(flow, metric).tolist() == [2, 1]
    for wrong in ((), (flow[0],), (flow, metric[:1])):
        with pytest.raises(ValueError, match="fields must be"):
            count_invalid(*wrong)


def test_docstring_example(torch, backward_warp):
    import doctest

    from steadyview.ops import warp

    assert doctest.testmod(warp, extraglobs={"torch": torch}) == (0, 7)


def test_other_layouts_and_sizes(torch, backward_warp):
    image, matrix, displacement = inputs(torch)
    expected = backward_warp(image, matrix, displacement=displacement)
    last = image.to(memory_format=torch.channels_last)
    assert torch.equal(backward_warp(last, matrix, displacement=displacement), expected)
    assert torch.equal(backward_warp(image, matrix * -4, displacement=displacement), expected)
    result = backward_warp(image, matrix, output_size=(6, 4))
    np.testing.assert_allclose(
        result.numpy(), reference(image, matrix, None, "bilinear", (6, 4)), atol=1e-12
    )
    assert backward_warp(image[:0], matrix[:0]).shape == (0, 3, 9, 11)
    assert backward_warp(image[:, :0], matrix).shape == (2, 0, 9, 11)
    nan = matrix.clone()
    nan[0, 0, 2] = torch.nan
    result = backward_warp(image, nan)
    assert (result[0] == 0).all()
    assert torch.equal(result[1], backward_warp(image, matrix)[1])


def test_thread_count_does_not_matter(torch, backward_warp):
    image, matrix, displacement = inputs(torch, shape=(2, 3, 40, 50), dtype=torch.float32)
    image.requires_grad_()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            result = backward_warp(image, matrix, displacement=displacement)
            results.append((result, *torch.autograd.grad(result.square().sum(), image)))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_that_is_not_finite(torch, backward_warp, interpolation, dtype):
    image = inputs(torch, shape=(1, 2, 9, 37), dtype=getattr(torch, dtype))[0]
    flow = torch.zeros(1, 2, 9, 37, dtype=image.dtype).requires_grad_()
    options = {"interpolation": interpolation, "border": "constant", "fill": torch.nan}
    assert torch.equal(backward_warp(image, flow=flow, **options), image)
    assert torch.equal(backward_warp(image, torch.eye(3)[None], **options), image)
    shift = torch.tensor([[[1.0, 0, 3], [0, 1, 0.25], [0, 0, 1]]])
    moved, usual = (backward_warp(image, shift, **{**options, "fill": x}) for x in (torch.nan, 0.0))
    other = backward_warp(image, shift, **{**options, "fill": 5.0})
    assert torch.equal(moved.isnan(), usual != other)
    assert torch.equal(moved[~moved.isnan()], usual[~moved.isnan()])
    # Masked, it is also out of the gradient.
    part = backward_warp(image, flow=flow + 0.5, **options)
    (gradient,) = torch.autograd.grad(part[~part.isnan()].sum(), flow)
    assert gradient.isfinite().all()
    assert gradient.any()


def test_bad_arguments_name_themselves(torch, backward_warp):
    image, matrix, displacement = inputs(torch)
    with pytest.raises(ValueError, match="interpolation must be one of bilinear"):
        backward_warp(image, matrix, interpolation="lanczos4")
    with pytest.raises(ValueError, match="border must be one of"):
        backward_warp(image, matrix, border="mirror")
    with pytest.raises(ValueError, match="image must be"):
        backward_warp(image[0], matrix)
    with pytest.raises(ValueError, match=r"image must be float32, float64, .* got Int"):
        backward_warp(image.to(torch.int32), matrix)
    with pytest.raises(ValueError, match=r"image must be .* on the CPU, got Half"):
        backward_warp(image.half(), matrix)
    with pytest.raises(ValueError, match="image must have pixels"):
        backward_warp(image[:, :, :0], matrix)
    with pytest.raises(ValueError, match="source_from_output must be"):
        backward_warp(image, matrix[:1])
    with pytest.raises(ValueError, match="source_from_output must be"):
        backward_warp(image, matrix[:, :2])
    with pytest.raises(ValueError, match="displacement must be"):
        backward_warp(image, matrix, displacement=displacement[:, :1])


def test_bad_motions_name_themselves(torch, backward_warp):
    image, matrix, displacement = inputs(torch)
    flow = torch.zeros(2, 2, 9, 11, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"one of source_from_output, .* got none"):
        backward_warp(image)
    with pytest.raises(ValueError, match="must be given, got source_from_output and flow"):
        backward_warp(image, matrix, flow=flow)
    with pytest.raises(ValueError, match="displacement must not be given with flow"):
        backward_warp(image, flow=flow, displacement=displacement)
    with pytest.raises(ValueError, match="output_size must not be given with grid"):
        backward_warp(image, grid=flow, output_size=(3, 4))
    for size in (5, (1, 2, 3)):
        with pytest.raises(ValueError, match=r"output_size must be \(width, height\)"):
            backward_warp(image, torch.eye(3).expand(len(image), 3, 3), output_size=size)
    with pytest.raises(ValueError, match=r"flow must be \(2, 2, height, width\), got shape \(1,"):
        backward_warp(image, flow=flow[:1])
    with pytest.raises(ValueError, match="flow must be on cpu as image is, got meta"):
        backward_warp(image, flow=flow.to("meta"))
    with pytest.raises(ValueError, match="fill must be 0 with border 'zeros'"):
        backward_warp(image, matrix, border="zeros", fill=1)
    with pytest.raises(ValueError, match="fill must be 0 to 255 for uint8, got 300"):
        backward_warp(image.to(torch.uint8), matrix, fill=300)
    for size in ((65, 65), (3, 4), (1, 64), (4,), (), (1, 3, 3)):
        bad = torch.zeros(2, 2, *size, requires_grad=True)
        with pytest.raises(ValueError, match="displacement must be"):
            backward_warp(image, displacement=bad)
    with pytest.raises(ValueError, match=r"displacement must be \(2, 2, K, K\), K up to 64, got"):
        backward_warp(image, displacement=torch.zeros(2, 2, 3, 4))


@pytest.mark.needs_cuda
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", BORDERS)
def test_cuda_agrees_with_the_cpu(torch, backward_warp, interpolation, border):
    arguments = [x.requires_grad_() for x in inputs(torch, "homography", shape=(2, 3, 50, 40))]
    results = []
    for device in ("cpu", "cuda"):
        image, matrix, displacement = (x.to(device) for x in arguments)
        result = backward_warp(
            image, matrix, displacement=displacement, interpolation=interpolation, border=border
        )
        gradients = torch.autograd.grad(result.square().sum(), arguments)
        results.append([result.cpu(), *gradients])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )


def test_missing_parts_name_the_fix():
    result = run_python("import sys; sys.modules['torch'] = None; import steadyview.ops")
    assert "ImportError: steadyview.ops needs torch: pip install torch==" in result.stderr
    assert "make clean install" in result.stderr
    result = run_python(
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'steadyview._C' else find(n, *a)\n"
        "import steadyview.ops"
    )
    assert "_C is missing: make clean install" in result.stderr


def test_another_torch_is_told(torch):
    from steadyview.ops._library import check_version

    check_version("2.13.0+cpu", "2.13.1")
    with pytest.raises(ImportError, match=r"built for torch 2\.11\.0, but torch 2\.13\.0 is run"):
        check_version("2.11.0", "2.13.0")
