"""How much fine detail a result keeps, against the source warped to the same view."""

from __future__ import annotations

import cv2
import numpy as np

from .tracking import Array

__all__ = ["sharpness_kept", "view_mask", "warp_to_result"]


def warp_to_result(
    source: Array, result_from_source: Array, size: tuple[int, int], interpolation: int
) -> Array:
    """The source in the result's view; `result_from_source` is 2x3 on pixel indices, size w, h."""
    return np.asarray(
        cv2.warpAffine(
            source, result_from_source, size, flags=interpolation, borderMode=cv2.BORDER_REPLICATE
        )
    )


def view_mask(
    source_shape: tuple[int, ...], result_from_source: Array, size: tuple[int, int]
) -> Array:
    """`(h, w)` bool: result pixels whose centre shows a point inside the source frame."""
    ones = np.full(source_shape, 255, np.uint8)
    return np.asarray(cv2.warpAffine(ones, result_from_source, size, flags=cv2.INTER_NEAREST) > 0)


def sharpness_kept(source: Array, result: Array, result_from_source: Array) -> float:
    """Part of the source's fine detail that the result still has.

    The source is warped to the result's view with a Lanczos-4 kernel, which loses next to nothing.
    Fine detail is what a Gaussian of one source pixel removes: `I - G(I)`. Returned is
    `sum (I_result - G I_result)^2 / sum (I_warped - G I_warped)^2` over the common view (8 pixels
    off its rim): 1 for a perfect warp, less for blur, above 1 for sharpening or overshoot.

    Args:
        source, result: `(H, W)` uint8 luma at full size.
        result_from_source: `(2, 3)` similarity on pixel indices.

    Returns:
        Energy ratio; nan when the views hardly overlap or the source has no detail.
    """
    height, width = result.shape
    size = (width, height)
    ideal = warp_to_result(source.astype(np.float32), result_from_source, size, cv2.INTER_LANCZOS4)
    mask = np.zeros((height, width), np.uint8)
    mask[1:-1, 1:-1] = view_mask(source.shape, result_from_source, size)[1:-1, 1:-1]
    inside = cv2.erode(mask, np.ones((17, 17), np.uint8), borderValue=0) > 0
    if inside.sum() < 1000:
        return float("nan")
    zoom = float(np.hypot(result_from_source[0, 0], result_from_source[1, 0]))
    energies = []
    for image in (result.astype(np.float32), ideal):
        detail = image - cv2.GaussianBlur(image, (0, 0), zoom)
        energies.append(float(np.mean(detail[inside] ** 2)))
    return energies[0] / energies[1] if energies[1] > 1e-3 else float("nan")
