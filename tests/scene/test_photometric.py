"""The loss and its gradient against torch's autograd in float64."""

import math

import pytest
from tests.reference.photometric import loss

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def photometric(torch):
    from steadyview.scene import photometric

    return photometric


def pair(torch, height, width, channels=3):
    draw = torch.Generator().manual_seed(height)
    target = torch.rand((height, width, channels), generator=draw, dtype=torch.float64)
    other = torch.rand((height, width, channels), generator=draw, dtype=torch.float64)
    return 0.6 * target + 0.4 * other, target


# Smaller than the window, one tile, and several with odd rests.
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (23, 31), (131, 300)])
@pytest.mark.parametrize("ssim_weight", [0.0, 0.2, 1.0])
def test_value_and_gradient(photometric, torch, size, ssim_weight) -> None:
    image, target = pair(torch, *size)
    mask = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    image.requires_grad_()
    expected = loss(image, target, mask, ssim_weight)
    (slope,) = torch.autograd.grad(expected, image)
    single = image.detach().float().requires_grad_()
    found = photometric.photometric_loss(single, target.float(), mask.float(), ssim_weight)
    (3 * found).backward()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    # float32 against variances that are differences of squares up to 1: 1e-7 / C2 = 1e-4.
    torch.testing.assert_close(
        single.grad.double(), 3 * slope, atol=1e-3 * float(slope.abs().max()), rtol=1e-3
    )


def test_what_a_gpu_would_compute(photometric, torch) -> None:
    image, target = pair(torch, 40, 50)
    image.requires_grad_()
    mask = torch.ones(40, 50, dtype=torch.float64)
    expected = loss(image, target, mask, 0.2)
    (slope,) = torch.autograd.grad(expected, image)
    weight = torch.full((40, 50, 1), 1 / (40 * 50 * 3))
    value, gradient = photometric.loss_and_gradient(
        image.detach().float(), target.float(), weight, 0.2
    )
    assert float(value) == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.testing.assert_close(
        gradient.double(), slope, atol=1e-3 * float(slope.abs().max()), rtol=1e-3
    )


def test_the_same_image_costs_nothing(photometric, torch) -> None:
    image, _ = pair(torch, 30, 30)
    same = image.float().requires_grad_()
    found = photometric.photometric_loss(same, image.float())
    found.backward()
    assert abs(float(found.detach())) < 1e-5
    assert photometric.psnr(image, image) == math.inf


def test_masked_pixels_do_not_count(photometric, torch) -> None:
    image, target = (x.float() for x in pair(torch, 40, 40))
    mask = torch.ones(40, 40)
    mask[:, 20:] = 0
    image.requires_grad_()
    photometric.photometric_loss(image, target, mask, 0.0).backward()
    assert not image.grad[:, 20:].any()
    nothing = photometric.photometric_loss(image, target, torch.zeros(40, 40))
    assert float(nothing.detach()) == 0


@pytest.mark.parametrize("shape", [(4, 0, 3), (0, 4, 3)])
def test_an_image_without_pixels_costs_nothing(photometric, torch, shape) -> None:
    image = torch.zeros(shape, requires_grad=True)
    value = photometric.photometric_loss(image, torch.zeros(shape))
    value.backward()
    assert float(value.detach()) == 0
    assert image.grad.shape == shape


def test_psnr(photometric, torch) -> None:
    target = torch.full((4, 4, 3), 0.5)
    assert photometric.psnr(target + 0.1, target) == pytest.approx(20, abs=1e-4)


def test_shapes_are_checked(photometric, torch) -> None:
    with pytest.raises(ValueError, match="image and target"):
        photometric.photometric_loss(torch.zeros(3, 4, 3), torch.zeros(4, 3, 3))
    with pytest.raises(ValueError, match="mask"):
        photometric.photometric_loss(torch.zeros(3, 4, 3), torch.zeros(3, 4, 3), torch.ones(4, 3))


def test_does_not_depend_on_threads(photometric, torch) -> None:
    image, target = (values.float() for values in pair(torch, 301, 307))
    mask = torch.rand((301, 307), generator=torch.Generator().manual_seed(5))
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            single = image.clone().requires_grad_()
            value = photometric.photometric_loss(single, target, mask)
            found.append((value.detach(), *torch.autograd.grad(value, single)))
    finally:
        torch.set_num_threads(threads)
    for value, gradient in found[1:]:
        assert torch.equal(value, found[0][0])
        assert torch.equal(gradient, found[0][1])
