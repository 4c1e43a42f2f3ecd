"""Corner tracks for measuring videos, independent of the motion estimator that stabilises them.

Corners are followed by pyramidal Lucas-Kanade on luma, both ways, so that nothing here shares code
or model with `steadyview.motion`: a measure must not mark its own homework.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..video.convert import rgb_of
from ..video.info import Frame, VideoInfo
from ..video.reader import open_video

__all__ = [
    "LONG_SIDE",
    "LumaFrame",
    "VideoSource",
    "detect_corners",
    "fit_similarity",
    "follow",
    "homography_residuals",
    "limited_luma",
    "match_frames",
    "read_luma",
    "to_tracking_size",
]

LONG_SIDE = 640.0
"""Lengths are reported in pixels of a frame whose long side is this."""

Array = npt.NDArray[Any]

_CORNERS = 400
_FORWARD_BACKWARD_PX = 0.5
_INLIER_PX = 3.0
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02)
_LIMITED_RANGE = np.round(np.arange(256) * (219 / 255) + 16).astype(np.uint8)


@dataclass(frozen=True)
class LumaFrame:
    """Luma of one upright frame: `luma` `(H, W)` uint8, `time` in seconds from the first frame."""

    luma: Array
    time: float


VideoSource = str | os.PathLike[str] | Iterable[LumaFrame] | Iterable[Array]
"""Whatever `open_video` reads (a file, images, arrays), or luma frames made in memory."""


def read_luma(video: VideoSource) -> Iterator[LumaFrame]:
    """Yields the upright 8-bit luma of every frame that decodes, in square pixels.

    Full-range luma is brought to the limited range, so that two files compare whatever their range.

    Raises:
        InputError: the file is missing or holds no video; luma frames that change size or whose
            times do not increase.
    """
    if not isinstance(video, (str, os.PathLike, np.ndarray)):
        frames = iter(video)
        first = next(frames, None)
        if first is None:
            return
        everything = itertools.chain([first], frames)
        if isinstance(first, LumaFrame):
            yield from _checked(cast(Iterator[LumaFrame], everything))
            return
        video = cast(Iterator[Array], everything)
    with open_video(video) as reader:
        aspect = float(reader.info.sample_aspect_ratio)
        for frame in reader:
            luma = limited_luma(frame, reader.info)
            if aspect != 1:
                size = (max(round(luma.shape[1] * aspect), 1), luma.shape[0])
                luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_LINEAR))
            yield LumaFrame(luma, frame.time)


def _checked(frames: Iterator[LumaFrame]) -> Iterator[LumaFrame]:
    previous: LumaFrame | None = None
    for index, frame in enumerate(frames):
        if frame.luma.ndim != 2 or frame.luma.dtype != np.uint8:
            raise InputError(
                f"frame {index}: luma must be (H, W) uint8, got {frame.luma.shape} "
                f"{frame.luma.dtype}"
            )
        if previous is not None and frame.luma.shape != previous.luma.shape:
            raise InputError(
                f"frame {index}: luma is {frame.luma.shape}, before it was {previous.luma.shape}"
            )
        if previous is not None and not frame.time > previous.time:
            raise InputError(
                f"frame {index}: times must increase, got {frame.time} after {previous.time}"
            )
        previous = frame
        yield frame


def limited_luma(frame: Frame, info: VideoInfo) -> Array:
    """A frame's luma as `(H, W)` uint8 of limited range; RGB's is BT.601's, as grey pictures' is.

    Args:
        frame: planes of `info.format`.
        info: the video it is from.
    """
    if info.format.is_rgb:
        luma = cv2.cvtColor(rgb_of(frame, info), cv2.COLOR_RGB2GRAY)
    else:
        luma = (frame.planes[0] >> (info.format.depth - 8)).astype(np.uint8)
    if info.format.is_rgb or info.color.get("range") == 2:
        luma = cv2.LUT(luma, _LIMITED_RANGE)
    return np.asarray(luma)


def to_tracking_size(luma: Array) -> tuple[Array, float]:
    """The frame with a long side of at most 640, and full-size pixels a pixel of it."""
    height, width = luma.shape
    scale = max(width, height) / LONG_SIDE
    if scale <= 1:
        return luma, 1.0
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA)), width / size[0]


def detect_corners(gray: Array) -> Array:
    """Up to 400 Shi-Tomasi corners spread over the frame, `(n, 2)` float32 pixel indices (x, y)."""
    distance = max(max(gray.shape) / 50, 4)
    corners = cv2.goodFeaturesToTrack(gray, _CORNERS, 0.003, distance, blockSize=5)
    if corners is None:
        return np.zeros((0, 2), np.float32)
    return np.asarray(corners).reshape(-1, 2).astype(np.float32)


def follow(
    gray: Array,
    following: Array,
    points: Array,
    *,
    check: bool = True,
    levels: int = 4,
) -> tuple[Array, Array]:
    """Follows points into another frame by pyramidal Lucas-Kanade.

    Args:
        gray, following: `(H, W)` uint8.
        points: `(n, 2)` float32 pixel indices in `gray`.
        levels: halvings of the image that the search starts from.
        check: also follow back, and drop points that miss their start by more than 0.5 px.

    Returns:
        (found `(n, 2)` float32, ok `(n,)` bool).
    """
    if len(points) == 0:
        return np.zeros((0, 2), np.float32), np.zeros(0, bool)
    options: dict[str, Any] = {"winSize": (17, 17), "maxLevel": levels, "criteria": _CRITERIA}
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        gray, following, points, points.copy(), flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **options
    )
    ok = status.ravel() == 1
    height, width = following.shape
    ok &= (found >= 0).all(1) & (found[:, 0] <= width - 1) & (found[:, 1] <= height - 1)
    if check:
        # Searched from the common shift, not from the true start, which would be found too easily.
        options["maxLevel"] = min(levels, 2)
        shift = np.median((found - points)[ok], axis=0) if ok.any() else np.zeros(2)
        back, status, _ = cv2.calcOpticalFlowPyrLK(
            following,
            gray,
            found,
            (found - shift).astype(np.float32),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
            **options,
        )
        ok &= status.ravel() == 1
        ok &= np.hypot(*(back - points).T) < _FORWARD_BACKWARD_PX
    return found, ok


def fit_similarity(start: Array, end: Array) -> Array | None:
    """Robust similarity between two point sets: least absolute distance, then one sharper step.

    The sum of distances (quadratic below 0.5 px) is minimised by 15 reweighted least squares; one
    more, with Geman-McClure weights of 4 px, takes off most of what moving objects pull. The first
    problem is convex, so the fit follows the tracks smoothly. RANSAC, and weights that vanish from
    the start, flip between layers of a deep scene from frame to frame: encoding a clip again then
    changed its measured path by up to 0.9 px, against 0.25 px with this fit. Where fewer than 35 %
    of the tracks agree with it, RANSAC's largest group is taken if that is clearly larger.

    Args:
        start, end: `(n, 2)`, in any common unit close to pixels of a 640-pixel frame.

    Returns:
        (a, b, tx, ty) float64 with `end = [[a, -b], [b, a]] start + (tx, ty)`, or None when fewer
        than 12 points or a fifth of the points agree within 3 px.
    """
    if len(start) < 12:
        return None
    # A similarity of the plane is z -> m z + c in complex numbers.
    source = start[:, 0].astype(np.float64) + 1j * start[:, 1]
    target = end[:, 0].astype(np.float64) + 1j * end[:, 1]
    m, c = 1 + 0j, complex(np.median((target - source).real), np.median((target - source).imag))
    m, c = _reweight(source, target, m, c, absolute=15, sharp=1)
    agree = int((np.abs(m * source + c - target) < _INLIER_PX).sum())
    if agree < 0.35 * len(start):
        # Something near covers most of the frame: look for the largest group that agrees instead.
        matrix, _ = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=_INLIER_PX)
        if matrix is not None:
            turn, shift = complex(matrix[0, 0], matrix[1, 0]), complex(matrix[0, 2], matrix[1, 2])
            turn, shift = _reweight(source, target, turn, shift, absolute=0, sharp=6)
            found = int((np.abs(turn * source + shift - target) < _INLIER_PX).sum())
            if found > 1.3 * agree:
                m, c, agree = turn, shift, found
    if agree < max(12, 0.2 * len(start)):
        return None
    return np.array([m.real, m.imag, c.real, c.imag])


def _reweight(
    source: Array, target: Array, m: complex, c: complex, absolute: int, sharp: int
) -> tuple[complex, complex]:
    """Steps of reweighted least squares of `target = m source + c`, of two kinds of weights."""
    for step in range(absolute + sharp):
        distance = np.abs(m * source + c - target)
        if step < absolute:
            weights = 1 / np.maximum(distance, 0.5)
        else:
            weights = (1 + (distance / 4) ** 2) ** -2
        weights /= weights.sum()
        source_mean, target_mean = weights @ source, weights @ target
        centred = source - source_mean
        spread = weights @ np.abs(centred) ** 2
        if spread < 1e-9:
            break
        m = complex((weights * centred.conj()) @ (target - target_mean) / spread)
        c = complex(target_mean - m * source_mean)
    return m, c


def homography_residuals(start: Array, end: Array) -> Array:
    """Distance of every track to the best homography (RANSAC, 3 px), `(n,)`; inf when none fits."""
    nothing = np.full(len(start), np.inf)
    if len(start) < 12:
        return nothing
    matrix, _ = cv2.findHomography(start, end, cv2.RANSAC, _INLIER_PX, maxIters=500)
    if matrix is None:
        return nothing
    mapped = cv2.perspectiveTransform(start[None].astype(np.float64), matrix)[0]
    return np.asarray(np.hypot(*(mapped - end).T))


def match_frames(gray: Array, other: Array) -> Array | None:
    """Similarity (a, b, tx, ty) in pixel indices of two frames that may differ much, by SIFT.

    Frames too dark or noisy for that are tried again, blurred and stretched to the full range.
    """
    row = _match_features(gray, other)
    return row if row is not None else _match_features(_clear(gray), _clear(other))


def _clear(gray: Array) -> Array:
    blurred = cv2.GaussianBlur(gray, (0, 0), 1.5).astype(np.float32)
    low, high = np.percentile(blurred, (0.5, 99.5))
    return np.clip((blurred - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)


def _match_features(gray: Array, other: Array) -> Array | None:
    sift = cv2.SIFT_create(1500)  # type: ignore[attr-defined]
    keys, descriptors = sift.detectAndCompute(gray, None)
    other_keys, other_descriptors = sift.detectAndCompute(other, None)
    if descriptors is None or other_descriptors is None or min(len(keys), len(other_keys)) < 12:
        return None
    pairs = cv2.BFMatcher().knnMatch(descriptors, other_descriptors, k=2)
    good = [pair[0] for pair in pairs if pair[0].distance < 0.75 * pair[1].distance]
    start = np.array([keys[match.queryIdx].pt for match in good], np.float32).reshape(-1, 2)
    end = np.array([other_keys[match.trainIdx].pt for match in good], np.float32).reshape(-1, 2)
    if len(good) < 12:
        return None
    _, inliers = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=_INLIER_PX)
    if inliers is None:
        return None
    agreeing = inliers.ravel() > 0
    return fit_similarity(start[agreeing], end[agreeing])
