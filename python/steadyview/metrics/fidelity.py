"""PSNR and SSIM of a result against the true steady video, where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from .matching import pipelined
from .pairing import name_of, pair_videos
from .tracking import Array, LumaFrame, VideoSource, read_luma

__all__ = ["Fidelity", "measure_fidelity", "ssim"]

PEAK = 255.0
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


@dataclass(frozen=True)
class Fidelity:
    """A result against a reference, on luma as stored (limited range), peak 255.

    Attributes:
        times: `(n,)` seconds.
        squared_error: `(n,)` mean squared difference, frame by frame.
        ssim: `(n,)` mean structural similarity.
        unpaired: frames of either video without a partner in time.
    """

    times: Array
    squared_error: Array
    ssim: Array
    unpaired: int

    @property
    def psnr(self) -> Array:
        """`(n,)` dB; infinite for equal frames."""
        with np.errstate(divide="ignore"):
            return np.asarray(10 * np.log10(PEAK**2 / self.squared_error))

    @property
    def psnr_overall(self) -> float:
        """dB, from the mean squared difference of all frames; infinite for equal videos."""
        with np.errstate(divide="ignore"):
            return float(10 * np.log10(PEAK**2 / self.squared_error.mean()))

    @property
    def ssim_mean(self) -> float:
        return float(self.ssim.mean())

    @property
    def worst(self) -> int:
        """The frame with the lowest SSIM."""
        return int(self.ssim.argmin())

    def to_dict(self) -> dict[str, Any]:
        """The scalar values, ready for JSON; PSNR of equal videos is None."""
        psnr = self.psnr_overall
        return {
            "psnr_db": psnr if np.isfinite(psnr) else None,
            "ssim": self.ssim_mean,
            "ssim_min": float(self.ssim.min()),
            "worst_ssim_frame": self.worst,
            "unpaired_frames": self.unpaired,
        }


def measure_fidelity(reference: VideoSource, result: VideoSource) -> Fidelity:
    """Compares a result with the video it should be, frame by frame.

    Args:
        reference: the true steady video; paired with the result by time.
        result: of the same size.

    Raises:
        InputError: sizes differ, or no frames pair up.
    """
    unpaired = 0

    def pairs() -> Any:
        nonlocal unpaired
        for first, second in pair_videos(reference, result, read_luma):
            if first is None or second is None:
                unpaired += 1
                continue
            if first.luma.shape != second.luma.shape:
                sizes = [
                    f"{name_of(video)} is {frame.luma.shape[1]}x{frame.luma.shape[0]}"
                    for video, frame in ((reference, first), (result, second))
                ]
                raise InputError(f"reference: {' and '.join(sizes)}; both must have one size")
            yield first, second

    rows = list(pipelined(pairs(), _compare))
    if not rows:
        raise InputError(
            f"reference: {name_of(reference)} has no frame in common with {name_of(result)}"
        )
    times, errors, similarities = map(np.array, zip(*rows, strict=True))
    return Fidelity(times, errors, similarities, unpaired)


def _compare(pair: tuple[LumaFrame, LumaFrame]) -> tuple[float, float, float]:
    first, second = pair[0].luma, pair[1].luma
    error = float(cv2.norm(first, second, cv2.NORM_L2SQR)) / first.size
    return pair[0].time, error, ssim(first, second)


def ssim(first: Array, second: Array) -> float:
    """Mean structural similarity of two `(H, W)` uint8 images.

    Gaussian windows of 11 x 11 with a standard deviation of 1.5, constants 0.01 and 0.03 of 255,
    windows that lie wholly inside the image.

    Raises:
        InputError: an image smaller than the window.

    Source:
        Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
        structural similarity", 2004.
    """
    if min(first.shape) < _WINDOW:
        raise InputError(f"frames must be at least {_WINDOW} pixels high and wide for SSIM")
    # About mid grey, so that float32 keeps the variances of bright images.
    a, b = (image.astype(np.float32) - 128 for image in (first, second))
    rim = _WINDOW // 2

    def mean(image: Array) -> Array:
        blurred = cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA)
        return np.asarray(blurred[rim:-rim, rim:-rim])

    mean_a, mean_b = mean(a), mean(b)
    spread = mean(a * a + b * b) - mean_a**2 - mean_b**2
    shared = mean(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + 128, mean_b + 128
    brightness = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return float((brightness * ((2 * shared + _C2) / (spread + _C2))).mean())
