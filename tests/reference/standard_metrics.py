"""What the widely used metric script (DIFRINT's `metrics.py`, April 2021) does, in our own words.

Frames are handled one after the other, features are found three times a frame, and every
match is a Python object. This is what `steadyview.metrics.standard` has to agree with.
"""

import math

import cv2
import numpy as np


def features(frame: np.ndarray) -> tuple:
    return cv2.SIFT_create().detectAndCompute(frame, None)


def matched_homography(before: tuple, after: tuple) -> np.ndarray | None:
    """The homography between two frames' features; None when 10 matches or fewer are found."""
    start, end = [], []
    for nearest, second in cv2.BFMatcher().knnMatch(before[1], after[1], k=2):
        if nearest.distance < 0.7 * second.distance:
            start.append(before[0][nearest.queryIdx].pt)
            end.append(after[0][nearest.trainIdx].pt)
    if len(start) <= 10:
        return None
    found, _ = cv2.findHomography(
        np.array(start, np.float32).reshape(-1, 1, 2),
        np.array(end, np.float32).reshape(-1, 1, 2),
        method=cv2.RANSAC,
        ransacReprojThreshold=5.0,
    )
    return found


def low_frequency_share(signal: list[float]) -> float:
    energy = np.abs(np.fft.fft(signal)) ** 2
    without_mean = energy[1:]
    half = without_mean[: len(without_mean) // 2]
    return float(half[:5].sum() / half.sum())


def standard_metrics(source: list[np.ndarray], result: list[np.ndarray]) -> dict[str, float]:
    """The script's figures for two lists of `(H, W)` uint8 grey frames."""
    last = None  # a failed fit silently leaves the latest homography in use, whatever it mapped
    crops, distortions, distances, angles = [], [], [], []
    pose = np.eye(3)
    for i in range(len(source)):
        shown = features(result[i])
        found = matched_homography(features(source[i]), shown)
        last = found if found is not None else last
        crops.append(1 / math.sqrt(last[0, 0] ** 2 + last[0, 1] ** 2))
        small, large = np.sort(np.linalg.eigvals(last[:2, :2]))
        distortions.append(small / large)
        if i + 1 < len(result):
            found = matched_homography(shown, features(result[i + 1]))
            last = found if found is not None else last
            pose = pose @ last
            distances.append(math.sqrt(pose[0, 2] ** 2 + pose[1, 2] ** 2))
            angles.append(math.degrees(math.atan2(pose[1, 0], pose[0, 0])))
    translation, rotation = low_frequency_share(distances), low_frequency_share(angles)
    return {
        "cropping_avg": float(min(np.mean(crops), 1)),
        "cropping_min": float(min(np.min(crops), 1)),
        "distortion": float(abs(np.min(distortions))),
        "stability": (translation + rotation) / 2,
        "stability_translation": translation,
        "stability_rotation": rotation,
    }
