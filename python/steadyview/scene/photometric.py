"""How far a rendered image is from a photograph, and the gradient of that: L1 and SSIM."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

__all__ = ["photometric_loss", "psnr"]

SIZE, SIGMA = 11, 1.5  # SSIM's window, as published
C1, C2 = 0.01**2, 0.03**2
HALO = 2 * (SIZE // 2)  # the gradient blurs what was blurred
TILE = 128  # pixels: what a tile needs fits a processor's own cache
_WINDOW = np.exp(-0.5 * ((np.arange(SIZE) - SIZE // 2) / SIGMA) ** 2)
_WINDOW = (_WINDOW / _WINDOW.sum()).astype(np.float32)


def photometric_loss(
    image: Tensor, target: Tensor, mask: Tensor | None = None, ssim_weight: float = 0.2
) -> Tensor:
    """(1 - w) |image - target| + w (1 - SSIM), the mean over all pixels and channels.

    SSIM has a Gaussian window of 11 pixels (sigma 1.5) and zeros around the image. On the CPU
    value and gradient are computed at once, tile by tile, with OpenCV's filter: at 1280 x 720
    torch's convolution alone takes far longer.

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
    """Peak signal-to-noise ratio in dB of `(H, W, C)` images in [0, 1]; inf when they are equal."""
    squares = (image.detach().clamp(0, 1) - target).square().mean(-1)
    weight = torch.ones_like(squares) if mask is None else mask
    error = float((squares * weight).sum() / weight.sum())
    return float(-10 * np.log10(error)) if error > 0 else float("inf")


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, mask: Tensor | None, ssim_weight: float
    ) -> Tensor:
        weight = torch.ones_like(image[:, :, 0]) if mask is None else mask.to(image.dtype)
        total = float(weight.sum()) * image.shape[2]
        weight = (weight / total if total else weight)[:, :, None].to(torch.float32)
        x, y = image.detach().to(torch.float32), target.to(torch.float32)
        if image.device.type == "cpu":
            arrays = x.contiguous().numpy(), y.contiguous().numpy(), weight.numpy()
            value, array = _tiled(arrays, ssim_weight)
            gradient = torch.from_numpy(array)
        else:
            value, gradient = loss_and_gradient(x, y, weight, ssim_weight)
        ctx.save_for_backward(gradient)
        return image.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return grad * ctx.saved_tensors[0].to(grad.dtype), None, None, None


def loss_and_gradient(
    x: Tensor, y: Tensor, weight: Tensor, ssim_weight: float
) -> tuple[float, Tensor]:
    """By torch alone: fast on a GPU."""
    values, gradient = _terms(x, y, weight, ssim_weight, _blur_tensor, torch)
    return float(values.sum()), gradient


def _terms(
    x: Any, y: Any, weight: Any, ssim_weight: float, blur: Callable[[Any], Any], lib: ModuleType
) -> tuple[Any, Any]:
    """The loss at each value, times its weight, and the gradient of their sum by x.

    With the blurred a = B x, b = B y, p = B x^2, r = B x y: SSIM = u v / (s t), where
    u = 2 a b + C1, v = 2 (r - a b) + C2, s = a^2 + b^2 + C1, t = p - a^2 + B y^2 - b^2 + C2.
    B is symmetric, so its transpose is itself.
    """
    a, b = blur(x), blur(y)
    ab, squares = a * b, a * a + b * b
    u, v = 2 * ab + C1, 2 * (blur(x * y) - ab) + C2
    s, t = squares + C1, blur(x * x + y * y) - squares + C2
    inverse = 1 / (s * t)
    ssim = u * v * inverse
    difference = x - y
    value = weight * ((1 - ssim_weight) * lib.abs(difference) + ssim_weight * (1 - ssim))

    share = (-2 * ssim_weight) * weight
    by_r = share * u * inverse
    by_p = share * ssim / t  # half of minus the derivative, and by 2 x below
    by_a = share * (b * (v - u) * inverse) - by_p * a * (t - s) / s
    gradient = blur(by_a) - x * blur(by_p) + y * blur(by_r)
    return value, gradient + (1 - ssim_weight) * weight * lib.sign(difference)


def _tiled(
    images: tuple[np.ndarray, np.ndarray, np.ndarray], ssim_weight: float
) -> tuple[float, np.ndarray]:
    height, width = images[0].shape[:2]
    gradient = np.empty_like(images[0])

    def tile(corner: tuple[int, int]) -> float:
        rows, inner_rows, kept_rows = _span(corner[0], height)
        columns, inner_columns, kept_columns = _span(corner[1], width)
        x, y, weight = (values[rows, columns] for values in images)
        value, slope = _terms(x, y, weight, ssim_weight, _blur_array, np)
        gradient[kept_rows, kept_columns] = slope[inner_rows, inner_columns]
        return float(value[inner_rows, inner_columns].sum(dtype=np.float64))

    corners = [(i, j) for i in range(0, height, TILE) for j in range(0, width, TILE)]
    threads = min(torch.get_num_threads(), len(corners))
    if threads <= 1:
        return sum(map(tile, corners)), gradient
    return sum(_pool().map(tile, corners)), gradient


def _span(first: int, size: int) -> tuple[slice, slice, slice]:
    """Of a tile: what is read, the part of that which is kept, and where it goes."""
    last = min(first + TILE, size)
    start = max(first - HALO, 0)
    return slice(start, last + HALO), slice(first - start, last - start), slice(first, last)


def _blur_array(values: np.ndarray) -> np.ndarray:
    blurred = cv2.sepFilter2D(values, -1, _WINDOW, _WINDOW, borderType=cv2.BORDER_CONSTANT)
    return blurred.reshape(values.shape)


def _blur_tensor(values: Tensor) -> Tensor:
    channels = values.shape[2]
    window = torch.from_numpy(_WINDOW).to(values.device).expand(channels, 1, 1, SIZE)
    stacked = values.permute(2, 0, 1)[None]
    half = SIZE // 2
    stacked = torch.nn.functional.conv2d(stacked, window, padding=(0, half), groups=channels)
    stacked = torch.nn.functional.conv2d(
        stacked, window.transpose(2, 3), padding=(half, 0), groups=channels
    )
    return stacked[0].permute(1, 2, 0)


_threads: ThreadPoolExecutor | None = None


def _pool() -> ThreadPoolExecutor:
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(torch.get_num_threads(), "photometric")
    return _threads
