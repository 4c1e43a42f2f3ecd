import numpy as np
import pytest
from tests.reference.warp import sample

pytestmark = pytest.mark.needs_torch
INTERPOLATIONS = ("bilinear", "bicubic", "catmull-rom", "lanczos3")
BORDERS = ("replicate", "constant", "reflect")


@pytest.fixture
def backward_warp(torch):
    from steadyview.ops import backward_warp

    return backward_warp


def field_inputs(torch, shape=(2, 3, 40, 50), size=(37, 45), dtype=None, roughness=0.2, seed=0):
    """An image and flows that look in, across and beyond its borders."""
    generator = torch.Generator().manual_seed(seed)
    dtype = dtype or torch.float64
    image = torch.rand(shape, generator=generator, dtype=dtype)
    rough = torch.randn((shape[0], 2, *size), generator=generator, dtype=dtype)
    shift = torch.linspace(-9, 9, size[1], dtype=dtype)
    return image, roughness * rough + shift


def field_reference(image, flow, interpolation, border, fill):
    height, width = flow.shape[2:]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    result = np.empty((*image.shape[:2], height, width))
    for n in range(image.shape[0]):
        sx, sy = x + flow[n, 0].double().numpy(), y + flow[n, 1].double().numpy()
        for c in range(image.shape[1]):
            plane = image[n, c].numpy()
            result[n, c] = sample(plane, sx, sy, interpolation, border, fill)
    return result


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("roughness", [0.0, 0.2, 30.0])
def test_flow_matches_the_reference(torch, backward_warp, interpolation, border, dtype, roughness):
    image, flow = field_inputs(torch, roughness=roughness)
    scale = 255 if dtype == "uint8" else 1
    image = (scale * image).to(getattr(torch, dtype))
    flow = flow if dtype == "float64" else flow.float()
    fill = 0.25 * scale
    options = {"interpolation": interpolation, "border": border, "fill": fill}
    result = backward_warp(image, flow=flow, **options)
    expected = field_reference(image, flow, interpolation, border, fill)
    assert result.dtype == image.dtype
    atol = {"float32": 3e-6, "float64": 1e-12, "uint8": 0.502}[dtype]
    if interpolation == "lanczos3":
        atol = 0.502 + 255e-4 if dtype == "uint8" else 1e-4
    if dtype == "uint8":
        expected = expected.clip(0, 255)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=atol)
    height, width = flow.shape[2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    same = backward_warp(image, grid=flow + torch.stack((x, y)).to(flow.dtype), **options)
    # Points carry 1e-5 px less than flow in float32; the steepest slope is about 4 a pixel.
    atol = {"float32": 4e-5, "float64": 1e-12, "uint8": 1}[dtype]
    np.testing.assert_allclose(same.numpy(), result.numpy(), rtol=0, atol=atol)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", BORDERS)
def test_flow_gradients(torch, backward_warp, interpolation, border):
    generator = torch.Generator().manual_seed(3)
    image = torch.rand((1, 2, 5, 6), generator=generator, dtype=torch.float64).requires_grad_()
    whole = torch.randint(-3, 4, (1, 2, 4, 7), generator=generator)
    # Away from the pixels' centres, where slopes jump.
    flow = whole + 0.1 + 0.8 * torch.rand((1, 2, 4, 7), generator=generator, dtype=torch.float64)
    options = {"interpolation": interpolation, "border": border, "fill": 0.3}
    flow.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda image, flow: backward_warp(image, flow=flow, **options), (image, flow), atol=1e-6
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("roughness", [0.0, 0.3, 40.0])
def test_float32_gradients_are_those_of_float64(
    torch, backward_warp, interpolation, border, roughness
):
    results = []
    for dtype in (torch.float64, torch.float32):
        image, flow = field_inputs(torch, (1, 5, 80, 90), (80, 150), roughness=roughness)
        image = image.to(dtype).requires_grad_()
        flow = flow.float().to(dtype).requires_grad_()
        result = backward_warp(image, flow=flow, interpolation=interpolation, border=border)
        grad = torch.linspace(-1, 1, result.numel()).reshape(result.shape).to(dtype)
        results.append(torch.autograd.grad(result, (image, flow), grad))
    for ours, expected in zip(results[1], results[0], strict=True):
        # Sums of some hundred float32 products; lanczos3's slopes are sums of fifth powers.
        largest = expected.abs().max().item()
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=2e-5 * max(1, largest))


def stretched(torch, across, down, rough_from):
    """A flow of 90 x 400 that stretches or mirrors the image; rough from a column on."""
    generator = torch.Generator().manual_seed(2)
    y, x = torch.meshgrid(torch.arange(90.0), torch.arange(400.0), indexing="ij")
    flow = torch.stack((across * (x - 200) + 200 - x, down * (y - 45) + 0.02 * x + 41 - y))[None]
    flow[..., rough_from:] += 5 * torch.randn(flow[..., rough_from:].shape, generator=generator)
    return flow


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("across", [0.0, 0.45, 0.97, 1.0, 1.3, 2.6, -1.0])
@pytest.mark.parametrize("rough_from", [250, 400])
def test_bilinear_sums_of_calm_and_rough_motions(torch, backward_warp, border, across, rough_from):
    generator = torch.Generator().manual_seed(3)
    image = torch.rand((1, 3, 70, 390), generator=generator)
    grad = torch.rand((1, 3, 90, 400), generator=generator) - 0.5
    flow, results = stretched(torch, across, 0.8, rough_from), []
    for dtype in (torch.float64, torch.float32):
        source, field = image.to(dtype).requires_grad_(), flow.to(dtype).requires_grad_()
        result = backward_warp(source, flow=field, border=border)
        results.append(torch.autograd.grad(result, (source, field), grad.to(dtype)))
    for ours, expected in zip(results[1], results[0], strict=True):
        # Up to 400 pixels on one, each with rests of coordinates to 2e-5.
        largest = expected.abs().max().item()
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=4e-5 * max(1, largest))


def test_a_gradient_that_is_not_finite_stays_where_it_falls(torch, backward_warp):
    image = torch.rand(1, 1, 70, 390).requires_grad_()
    flow = stretched(torch, 0.97, 0.8, 400)
    grad = torch.rand(1, 1, 90, 400)
    grad[..., 30, 77] = torch.inf
    grad[..., 31, 140] = torch.nan
    (by_image,) = torch.autograd.grad(backward_warp(image, flow=flow), image, grad)
    expected = torch.zeros(70, 390, dtype=torch.bool)
    for y, x in ((30, 77), (31, 140)):
        left = int((x + flow[0, 0, y, x]).floor())
        top = int((y + flow[0, 1, y, x]).floor())
        expected[top : top + 2, left : left + 2] = True
    assert torch.equal(~by_image[0, 0].isfinite(), expected)


def test_what_is_not_finite_is_a_hole(torch, backward_warp):
    image, flow = field_inputs(torch, (1, 2, 40, 50), (40, 50), torch.float32, 0.0)
    image.requires_grad_()
    holes = torch.zeros((40, 50), dtype=torch.bool)
    broken = flow.clone()
    for k, (axis, value) in enumerate(((0, torch.nan), (1, torch.inf), (0, -torch.inf))):
        broken[0, axis, 5 + k, 7 * k] = value
        holes[5 + k, 7 * k] = True
    broken.requires_grad_()
    result = backward_warp(image, flow=broken, fill=7.0)
    assert (result[..., holes] == 7).all()
    assert torch.equal(result[..., ~holes], backward_warp(image, flow=flow)[..., ~holes])
    by_image, by_flow = torch.autograd.grad(result.sum(), (image, broken))
    assert by_image.isfinite().all()
    assert (by_flow[..., holes] == 0).all()
    # A pixel that is not finite reaches no output pixel that does not look at it.
    with torch.no_grad():
        image[0, 0, 20, 25] = torch.nan
    tilted = flow + torch.linspace(0, 2, 50)
    tilted[0, 1] = torch.linspace(-1.5, 2.5, 50)
    bad = backward_warp(image, flow=tilted, interpolation="lanczos3")[:, :1].isnan()
    y, x = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
    near = ((y + tilted[0, 1] - 20).abs() < 3) & ((x + tilted[0, 0] - 25).abs() < 3)
    assert bad.any()
    assert not (bad[0, 0] & ~near).any()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 40), (2, 3, 40, 1), (1, 2, 3, 2)])
@pytest.mark.parametrize("border", BORDERS)
def test_small_images(torch, backward_warp, shape, border):
    image, flow = field_inputs(torch, shape, (6, 21), torch.float32, 5.0)
    for interpolation in INTERPOLATIONS:
        options = {"interpolation": interpolation, "border": border, "fill": 0.5}
        result = backward_warp(image, flow=flow, **options)
        expected = field_reference(image, flow, interpolation, border, 0.5)
        atol = 1e-4 if interpolation == "lanczos3" else 3e-6
        np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=atol)


def test_far_points(torch, backward_warp):
    image, _ = field_inputs(torch, dtype=torch.float32)
    for far in (1e7, -1e30):
        flow = torch.full((2, 2, 40, 50), far)
        corner = image[:, :, -1:, -1:] if far > 0 else image[:, :, :1, :1]
        assert torch.equal(backward_warp(image, flow=flow), corner.expand(image.shape))
        assert (backward_warp(image, flow=flow, border="zeros") == 0).all()
        assert backward_warp(image, flow=flow, border="reflect").isfinite().all()


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", BORDERS)
def test_identity_flow_is_bit_exact(torch, backward_warp, interpolation, border):
    options = {"interpolation": interpolation, "border": border}
    for dtype in (torch.float32, torch.float64, torch.uint8):
        image = (255 * field_inputs(torch)[0]).to(dtype)
        flow = torch.zeros(2, 2, 40, 50)
        assert torch.equal(backward_warp(image, flow=flow, **options), image)
        y, x = torch.meshgrid(torch.arange(40) + 0.5, torch.arange(50) + 0.5, indexing="ij")
        grid = torch.stack((x, y)).expand(2, 2, 40, 50)
        assert torch.equal(backward_warp(image, grid=grid, **options), image)
        assert torch.equal(backward_warp(image, torch.eye(3).expand(2, 3, 3), **options), image)


def test_there_and_back_on_a_smooth_field(torch, backward_warp):
    y, x = torch.meshgrid(torch.arange(120) + 0.5, torch.arange(160) + 0.5, indexing="ij")
    image = (torch.sin(x / 9) * torch.cos(y / 11))[None, None]
    matrix = torch.tensor([[[1.01, 0.02, 1.3], [-0.01, 0.99, 0.6], [1e-5, 0, 1]]])
    there = backward_warp(image, matrix, interpolation="lanczos3")
    back = backward_warp(there, torch.linalg.inv(matrix.double()), interpolation="lanczos3")
    inner = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    # Lanczos of a wave of 56 px misses it by about 1e-3 of its height.
    torch.testing.assert_close(back[inner], image[inner], rtol=0, atol=4e-3)


def test_agrees_with_opencv(torch, backward_warp):
    import cv2

    image, flow = field_inputs(torch, (1, 1, 60, 70), (60, 70), torch.float32)
    x, y = np.meshgrid(np.arange(70, dtype=np.float32), np.arange(60, dtype=np.float32))
    # OpenCV rounds points to 1/32 px: so are these.
    flow = (flow * 32).round() / 32
    source = (x + flow[0, 0].numpy(), y + flow[0, 1].numpy())
    borders = {"replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT}
    for interpolation, flag in (("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)):
        for border, code in borders.items():
            expected = cv2.remap(image[0, 0].numpy(), *source, flag, borderMode=code)
            result = backward_warp(image, flow=flow, interpolation=interpolation, border=border)
            np.testing.assert_allclose(result[0, 0].numpy(), expected, rtol=0, atol=3e-5)


def test_field_gradients_do_not_depend_on_threads(torch, backward_warp):
    before, results = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        image, flow = field_inputs(torch, (2, 5, 130, 150), (130, 150), torch.float32, 1.0)
        matrix = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1).requires_grad_()
        moved = torch.zeros(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
        image.requires_grad_(), flow.requires_grad_()
        by_flow = backward_warp(image, flow=flow, interpolation="bicubic").square().sum()
        by_flow = by_flow + backward_warp(image, flow=flow / 20).square().sum()
        by_terms = backward_warp(image, matrix, displacement=moved).square().sum()
        results.append(
            torch.autograd.grad(by_flow, (image, flow))
            + torch.autograd.grad(by_terms, (image, matrix, moved))
        )
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
