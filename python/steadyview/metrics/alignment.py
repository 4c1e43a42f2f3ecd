"""One picture laid on another by the homography between them, and the view that both show."""

from __future__ import annotations

import cv2
import numpy as np

from .matching import find_features, fit_homography, match_features
from .tracking import Array
from .views import View

__all__ = ["centring", "common_view", "full_rectangle", "match_views"]


def match_views(first: Array, second: Array) -> Array | None:
    """Homography from `first` to `second`, on pixel indices of the full-size frames; by SIFT.

    Args:
        first, second: `(H, W)` uint8 luma.

    Returns:
        `(3, 3)`, or None where fewer than 20 features match.
    """
    views = View.of(first), View.of(second)
    features = find_features(views[0].gray), find_features(views[1].gray)
    start, end = match_features(*features, ratio=0.7, mutual=True)
    start, end = views[0].centred(start), views[1].centred(end)
    link = fit_homography(start.astype(np.float32), end.astype(np.float32), 3.0, 20)
    if link is None:
        return None
    to_centre = centring(first.shape, views[0].half_size)
    return np.asarray(np.linalg.inv(centring(second.shape, views[1].half_size)) @ link @ to_centre)


def common_view(first: Array, second: Array, second_from_first: Array) -> tuple[Array, Array]:
    """The part of `second` that `first` shows too, and `first` laid on it.

    Args:
        first, second: `(H, W)` or `(H, W, 3)` uint8.
        second_from_first: `(3, 3)` on pixel indices.

    Returns:
        (laid, shown), two pictures of one size.
    """
    height, width = second.shape[:2]
    laid = cv2.warpPerspective(first, second_from_first, (width, height), flags=cv2.INTER_CUBIC)
    whole = np.full(first.shape[:2], 255, np.uint8)
    seen = cv2.warpPerspective(whole, second_from_first, (width, height), flags=cv2.INTER_NEAREST)
    top, bottom, left, right = full_rectangle(seen == 255)
    return laid[top:bottom, left:right], second[top:bottom, left:right]


def centring(shape: tuple[int, ...], half_size: tuple[float, float]) -> Array:
    """From pixel indices of a full-size frame to lengths about its centre."""
    unit_x, unit_y = 2 * half_size[0] / shape[1], 2 * half_size[1] / shape[0]
    return np.array(
        [
            [unit_x, 0, 0.5 * unit_x - half_size[0]],
            [0, unit_y, 0.5 * unit_y - half_size[1]],
            [0, 0, 1.0],
        ]
    )


def full_rectangle(seen: Array) -> tuple[int, int, int, int]:
    """Rows and columns of a rectangle without holes: the worst side is trimmed till then.

    At least the window of SSIM is left.
    """
    top, bottom, left, right = 0, seen.shape[0], 0, seen.shape[1]
    step = max(min(seen.shape) // 64, 1)
    while not seen[top:bottom, left:right].all() and min(bottom - top, right - left) > 16 + step:
        inside = seen[top:bottom, left:right]
        missing = [1 - side.mean() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1])]
        worst = int(np.argmax(missing))
        if worst == 0:
            top += step
        elif worst == 1:
            bottom -= step
        elif worst == 2:
            left += step
        else:
            right -= step
    return top, bottom, left, right
