"""A result against the true steady video: how its path differs, and its pictures once aligned."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from .alignment import centring, common_view
from .comparison import Comparison
from .fidelity import PEAK, ssim
from .pairing import name_of, pair_videos
from .shake import highpass
from .tracking import VideoSource, read_luma

__all__ = ["compare_with_truth"]


def compare_with_truth(steady: VideoSource, result: VideoSource) -> dict[str, Any]:
    """Measures a result against the video that a perfect stabiliser would have made.

    A stabiliser may choose another smooth path and another crop, so each true frame is first laid
    on the result by the homography between the two (RANSAC, 3 px, on tracked corners). How that
    homography moves above 1 Hz is the path's error; what differs in the common view after it is the
    picture's.

    Args:
        steady: the true steady video, paired with the result by time.
        result: of any size.

    Returns:
        `truth_path_error_px`: root mean square displacement of the frame's corners above 1 Hz, in
        pixels of a frame whose long side is 640; `truth_aligned_psnr_db` and `truth_aligned_ssim`:
        means over the frames, on luma in the common view; `truth_unmatched`: frames without a
        homography; `truth_unpaired`: frames of either without a partner. None where nothing could
        be measured. At another frame rate than the truth's, partners are up to half a frame apart,
        and the path error grows by what the camera moves meanwhile.

    Raises:
        InputError: no frames pair up.
    """
    comparison = Comparison()
    psnr: list[float] = []
    similar: list[float] = []
    unpaired = 0
    for first, second in pair_videos(steady, result, read_luma):
        if first is None or second is None:
            unpaired += 1
            continue
        comparison.add(first, second)
        link = comparison.homographies[-1]
        if np.isfinite(link).all():
            error, index = _aligned(first.luma, second.luma, link, comparison)
            psnr.append(error)
            similar.append(index)
    if not comparison.times:
        raise InputError(f"result: {name_of(result)} has no frame in common with {name_of(steady)}")
    return {
        "truth_path_error_px": _path_error(comparison),
        "truth_aligned_psnr_db": float(np.mean(psnr)) if psnr else None,
        "truth_aligned_ssim": float(np.mean(similar)) if similar else None,
        "truth_unmatched": int(len(comparison.times) - len(psnr)),
        "truth_unpaired": unpaired,
    }


def _aligned(
    steady: np.ndarray, result: np.ndarray, link: np.ndarray, comparison: Comparison
) -> tuple[float, float]:
    """PSNR and SSIM of a result and the true frame laid on it, where both show something."""
    matrix = (
        np.linalg.inv(centring(result.shape, comparison.result_half_size))
        @ link
        @ centring(steady.shape, comparison.half_size)
    )
    first, second = common_view(steady, result, matrix)
    error = float(np.square(first.astype(np.float32) - second).mean())
    return 10 * float(np.log10(PEAK**2 / max(error, 1e-3))), ssim(first, second)


def _path_error(comparison: Comparison) -> float | None:
    """Root mean square above 1 Hz of where the corners of the true frame are on the result."""
    links = np.array(comparison.homographies)
    times = np.array(comparison.times)
    known = np.isfinite(links).all(axis=(1, 2))
    if known.sum() < 4:
        return None
    half = np.array(comparison.half_size)
    corners = np.array([[x, y, 1.0] for x in (-half[0], half[0]) for y in (-half[1], half[1])])
    mapped = links[known] @ corners.T
    places = (mapped[:, :2] / mapped[:, 2:]).reshape(len(mapped), -1)
    even = np.linspace(times[0], times[-1], len(times))
    places = np.stack([np.interp(even, times[known], column) for column in places.T], axis=1)
    rate = (len(even) - 1) / (even[-1] - even[0])
    return float(np.sqrt(np.square(highpass(places, rate)).sum(axis=1).mean() / len(corners)))
