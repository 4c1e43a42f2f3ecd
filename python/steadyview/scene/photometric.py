"""How far a rendered image is from a photograph, and the gradient of that: L1 and SSIM."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from steadyview.ops._library import extension

__all__ = ["photometric_loss", "psnr"]

SIZE, SIGMA = 11, 1.5  # SSIM's window, as published
C1, C2 = 0.01**2, 0.03**2


def photometric_loss(
    image: Tensor, target: Tensor, mask: Tensor | None = None, ssim_weight: float = 0.2
) -> Tensor:
    """(1 - w) |image - target| + w (1 - SSIM), the mean over all pixels and channels.

    SSIM has a Gaussian window of 11 pixels (sigma 1.5) and zeros around the image. On the CPU it is
    the C++ room `photometric` with as many threads as torch has, on a GPU it is made of torch's
    operations.

    Args:
        image: `(H, W, C)` float32, differentiable.
        target: `(H, W, C)` float32, in [0, 1].
        mask: `(H, W)` float32: weight of each pixel; all 1 when None.
        ssim_weight: w.

    Returns:
        Scalar. The mean is weighted by the mask; without any weight it is 0.

    Raises:
        ValueError: shapes that do not fit.

    Source: Wang et al., Image quality assessment (2004); Kerbl et al., 3-D Gaussian splatting
        (2023), equation 7.
    """
    if image.dim() != 3 or image.shape != target.shape:
        raise ValueError(
            f"image and target must both be (H, W, C), got {tuple(image.shape)} and "
            f"{tuple(target.shape)}"
        )
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"mask must be {tuple(image.shape[:2])}, got {tuple(mask.shape)}")
    return _Photometric.apply(image, target, mask, ssim_weight)


def psnr(image: Tensor, target: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of `(H, W, C)` images in [0, 1]; inf when they are equal.

    nan where the image is not finite, or the mask has no weight.
    """
    squares = (image.detach().clamp(0, 1) - target).square().mean(-1)
    weight = torch.ones_like(squares) if mask is None else mask
    error = float((squares * weight).sum() / weight.sum())
    return float("inf") if error == 0 else float(-10 * np.log10(error))


class _Photometric(torch.autograd.Function):
    """Value and gradient are computed at once: the gradient is always wanted."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float
    ) -> Tensor:
        x, y = (values.detach().to(torch.float32) for values in (image, target))
        weights = None if mask is None else mask.detach().to(torch.float32)
        # By numpy: torch's sums depend on its number of threads.
        share = image[:, :, 0].numel() if weights is None else _sum(weights)
        total = image.shape[2] * share
        scale = 1 / total if total else 0.0
        if image.device.type == "cpu":
            value, gradient = extension.photometric_loss(x, y, weights, scale, ssim_weight)
        else:
            if weights is None:
                weights = torch.ones_like(x[:, :, 0])
            value, gradient = loss_and_gradient(x, y, scale * weights[:, :, None], ssim_weight)
        ctx.save_for_backward(gradient)
        return image.new_tensor(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        if not (grad.is_cpu and float(grad) == 1):  # as it is where the loss is all there is
            gradient = grad * gradient
        return gradient.to(grad.dtype), None, None, None


def _sum(weights: Tensor) -> float:
    return float(weights.cpu().numpy().sum(dtype=np.float64))


def loss_and_gradient(
    x: Tensor, y: Tensor, weight: Tensor, ssim_weight: float
) -> tuple[float, Tensor]:
    """By torch alone, for a GPU; csrc/photometric says what the letters are."""
    a, b = _blur(x), _blur(y)
    ab, squares = a * b, a * a + b * b
    u, v = 2 * ab + C1, 2 * (_blur(x * y) - ab) + C2
    s, t = squares + C1, _blur(x * x + y * y) - squares + C2
    inverse = 1 / (s * t)
    ssim = u * v * inverse
    difference = x - y
    value = weight * ((1 - ssim_weight) * difference.abs() + ssim_weight * (1 - ssim))

    share = (-2 * ssim_weight) * weight
    by_r = share * u * inverse
    by_p = share * ssim / t  # half of minus the derivative
    by_a = share * (b * (v - u) * inverse) - by_p * a * (t - s) / s
    gradient = _blur(by_a) - x * _blur(by_p) + y * _blur(by_r)
    return float(value.sum()), gradient + (1 - ssim_weight) * weight * difference.sign()


def _blur(values: Tensor) -> Tensor:
    channels, half = values.shape[2], SIZE // 2
    offset = torch.arange(SIZE, device=values.device) - half
    window = torch.exp(-0.5 * (offset / SIGMA) ** 2)
    window = (window / window.sum()).expand(channels, 1, 1, SIZE)
    stacked = values.permute(2, 0, 1)[None]
    stacked = torch.conv2d(stacked, window, padding=(0, half), groups=channels)
    stacked = torch.conv2d(stacked, window.mT, padding=(half, 0), groups=channels)
    return stacked[0].permute(1, 2, 0)
