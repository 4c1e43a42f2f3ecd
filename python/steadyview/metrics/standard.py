"""Cropping, distortion and stability exactly as the widely used script computes them.

Papers compare by the figures of one script (`metrics.py` of DIFRINT, version of April 2021) and its
copies. These are its figures, flaws included; `strict` mends them, `docs/metrics.md` lists them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .. import _core
from ..errors import InputError
from ..video.convert import rgb_of
from ..video.info import Frame, VideoInfo
from ..video.reader import open_video
from .matching import Features, find_features, fit_homography, match_features, pipelined
from .tracking import Array, LumaFrame, VideoSource

__all__ = [
    "StandardScores",
    "low_frequency_share",
    "path_of",
    "read_script_grey",
    "standard_scores",
]

RATIO = 0.7
LEAST_MATCHES = 11
RANSAC_PX = 5.0
LOW_BINS = 5

_FULL_RANGE = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
# The fixed-point weights by which libpng makes grey of colour, in 1/32768, truncated. OpenCV's
# transform rounds: half less half of 1/32768 is taken off, which float32 holds exactly.
_PNG_GREY = np.array([[9797, 19234, 3737, 0.5 - 2**14]], np.float32) / np.float32(2**15)


@dataclass(frozen=True)
class StandardScores:
    """What the script prints, and the series behind it.

    Attributes:
        cropping: `(n,)` 1 / scale of the homography source to result, frame by frame.
        distortion: `(n,)` ratio of the two eigenvalues of its upper left part (complex pairs: the
            real part of the ratio is stored; its modulus is 1).
        translation: `(n-1,)` length in px of the translation of the product of homographies.
        rotation: `(n-1,)` degrees, its rotation.
        failed: frames whose homography to the source was not found: the latest one served instead.
        failed_transitions: transitions, likewise.
        unpaired: frames that one video has more than the other; the script never looks at them.
    """

    cropping: Array
    distortion: Array
    translation: Array
    rotation: Array
    failed: tuple[int, ...] = ()
    failed_transitions: tuple[int, ...] = ()
    unpaired: int = 0

    @property
    def cropping_mean(self) -> float:
        return float(min(self.cropping.mean(), 1.0))

    @property
    def cropping_min(self) -> float:
        return float(min(self.cropping.min(), 1.0))

    @property
    def distortion_min(self) -> float:
        """The script's distortion value: that of the worst frame."""
        return float(np.abs(self.distortion[self.worst_distortion]))

    @property
    def stability_translation(self) -> float:
        return low_frequency_share(self.translation)

    @property
    def stability_rotation(self) -> float:
        return low_frequency_share(self.rotation)

    @property
    def stability(self) -> float:
        return (self.stability_translation + self.stability_rotation) / 2

    @property
    def worst_cropping(self) -> int:
        """The frame that keeps least."""
        return int(self.cropping.argmin())

    @property
    def worst_distortion(self) -> int:
        return int(np.argsort(self.distortion, kind="stable")[0])

    def to_dict(self) -> dict[str, Any]:
        """The scalar values, ready for JSON: None where a clip is too short for a value."""
        values: dict[str, Any] = {
            "cropping_mean": self.cropping_mean,
            "cropping_min": self.cropping_min,
            "distortion": self.distortion_min,
            "stability": self.stability,
            "stability_translation": self.stability_translation,
            "stability_rotation": self.stability_rotation,
            "worst_cropping_frame": self.worst_cropping,
            "worst_distortion_frame": self.worst_distortion,
            "failed_frames": len(self.failed),
            "failed_transitions": len(self.failed_transitions),
            "unpaired_frames": self.unpaired,
        }
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


def standard_scores(
    source: VideoSource, result: VideoSource, *, exact: bool | None = None
) -> StandardScores:
    """The widely used script's cropping, distortion and stability, in one pass.

    Frames are paired by their order. A result of another size is brought to the source's first, as
    the copies of the script in later papers do.

    Args:
        source, result: whatever `open_video` reads, or luma frames. Colour becomes grey as PNG
            files read by OpenCV do, which the script works on: rounding the grey values instead
            of truncating them changes stability by up to 0.003.
        exact: find features with OpenCV, as the script does, or with our own detector, which takes
            a third of the time; its stability differs by up to 1e-3, since a single match more or
            less lets RANSAC draw other samples. None: ours where it adds exactly as OpenCV does.

    Returns:
        The scores. Two frames in a row without a homography use the latest one found, as in the
        script; such frames are listed.

    Raises:
        InputError: a video is missing or empty, or the first frame's features do not match.

    Source:
        Choi and Kweon, "Deep Iterative Frame Interpolation for Full-frame Video Stabilization",
        TOG 2020, its published code.
    """
    extra = 0
    opencv = _core.active_isa() == "baseline" if exact is None else exact

    def frames() -> Iterator[Array | None]:
        """Of source and result in turn; None for a result's that is the source's."""
        nonlocal extra
        both = itertools.zip_longest(read_script_grey(source), read_script_grey(result))
        for first, second in both:
            if first is None or second is None:
                extra += 1
            else:
                yield first
                yield None if first is second else _resized(second, first.shape)

    def features(frame: Array | None) -> Features | None:
        return None if frame is None else find_features(frame, opencv)

    meter = _Meter()
    for crop, step in pipelined(_chained(pipelined(frames(), features)), _homographies):
        meter.add(crop, step)
    if not meter.cropping:
        raise InputError(f"{_name(source)} and {_name(result)}: no frame in common to compare")
    return meter.scores(extra)


def _name(video: VideoSource) -> str:
    return os.fspath(video) if isinstance(video, (str, os.PathLike)) else "frames"


def read_script_grey(video: VideoSource) -> Iterator[Array]:
    """Grey frames `(H, W)` uint8 as OpenCV reads them from PNG files of the video's frames."""
    if not isinstance(video, (str, os.PathLike, np.ndarray)):
        frames = iter(video)
        first = next(frames, None)
        if first is None:
            return
        everything: Any = itertools.chain([first], frames)
        if isinstance(first, LumaFrame):
            for frame in everything:
                yield np.asarray(cv2.LUT(frame.luma, _FULL_RANGE))
            return
        video = everything
    with open_video(video) as reader:
        for frame in reader:
            yield _script_grey(frame, reader.info)


def _script_grey(frame: Frame, info: VideoInfo) -> Array:
    if info.format.name == "gray":
        return np.asarray(frame.planes[0])  # what the weights, which sum to 1, give of equal parts
    return np.asarray(cv2.transform(rgb_of(frame, info), _PNG_GREY))


def _resized(grey: Array, shape: tuple[int, ...]) -> Array:
    if grey.shape == shape:
        return grey
    return np.asarray(cv2.resize(grey, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR))


def _chained(
    frames: Iterator[Features | None],
) -> Iterator[tuple[Features | None, Features, Features]]:
    """(the result's frame before, source, result)."""
    last = None
    for source, result in zip(frames, frames, strict=True):
        assert source is not None
        result = source if result is None else result
        yield last, source, result
        last = result


def _homographies(
    frame: tuple[Features | None, Features, Features],
) -> tuple[Array | None, Array | None]:
    last, source, result = frame
    crop = _script_homography(source, result)
    return crop, None if last is None else _script_homography(last, result)


def _script_homography(first: Features, second: Features) -> Array | None:
    return fit_homography(*match_features(first, second, RATIO), RANSAC_PX, LEAST_MATCHES)


class _Meter:
    """Applies the script's reuse of the latest homography, in its order, and keeps the series."""

    def __init__(self) -> None:
        self.cropping: list[float] = []
        self.distortion: list[complex] = []
        self.steps: list[Array] = []
        self.failed: list[int] = []
        self.failed_transitions: list[int] = []
        self._latest: Array | None = None

    def add(self, crop: Array | None, step: Array | None) -> None:
        index = len(self.cropping)
        if index > 0:
            if step is None:
                self.failed_transitions.append(index - 1)
            self._latest = self._latest if step is None else step
            assert self._latest is not None
            self.steps.append(self._latest)
        if crop is None:
            self.failed.append(index)
        self._latest = self._latest if crop is None else crop
        if self._latest is None:
            raise InputError(
                "the first frames of source and result have no homography (10 matching features or "
                "fewer): the standard scores are not defined; do the two show the same scene?"
            )
        self.cropping.append(1 / math.hypot(self._latest[0, 0], self._latest[0, 1]))
        small, large = np.sort(np.linalg.eigvals(self._latest[:2, :2]))
        self.distortion.append(complex(small / large))

    def scores(self, unpaired: int) -> StandardScores:
        translation, rotation = path_of(np.array(self.steps).reshape(-1, 3, 3))
        return StandardScores(
            cropping=np.array(self.cropping),
            distortion=np.array(self.distortion),
            translation=translation,
            rotation=rotation,
            failed=tuple(self.failed),
            failed_transitions=tuple(self.failed_transitions),
            unpaired=unpaired,
        )


def path_of(transitions: Array) -> tuple[Array, Array]:
    """The script's two signals: translation in px and rotation in degrees of the running product.

    Args:
        transitions: `(k, 3, 3)` homographies from frame t to t+1, multiplied from the right.
    """
    pose = np.eye(3)
    distances, angles = [], []
    for transition in transitions:
        pose = pose @ transition
        distances.append(math.hypot(pose[0, 2], pose[1, 2]))
        angles.append(math.degrees(math.atan2(pose[1, 0], pose[0, 0])))
    return np.array(distances), np.array(angles)


def low_frequency_share(signal: Array) -> float:
    """Energy of Fourier bins 1 to 5 over that of all bins 1 to half of the length.

    Returns:
        In [0, 1]; 1 for a signal without any energy, nan for fewer than three samples.
    """
    if len(signal) < 3:
        return float("nan")
    energy = np.abs(np.fft.fft(signal)[1:]) ** 2
    half = energy[: len(energy) // 2]
    total = half.sum()
    return float(half[:LOW_BINS].sum() / total) if total > 0 else 1.0
