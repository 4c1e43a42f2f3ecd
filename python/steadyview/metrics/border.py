"""Black border pixels that a stabiliser left in its result."""

from __future__ import annotations

import cv2
import numpy as np

from .sharpness import view_mask, warp_to_result
from .tracking import Array

__all__ = ["border_pixels"]

BLACK = 24  # limited-range luma: 16 is black, the encoder adds a little
DARK = 64


def border_pixels(source: Array, result: Array, result_from_source: Array | None) -> int:
    """Counts near-black pixels that reach the frame's edge where the source is not dark.

    A pixel counts when its luma is at most 24 (16 is black) and it is connected through such pixels
    to the frame's edge, unless the source seen from the result is itself dark (at most 64, within
    1 % of the frame's width) there: overshooting kernels and the encoder blacken such pixels.
    Pixels outside the source's view always count when black.

    Args:
        source, result: `(H, W)` uint8 luma, limited range.
        result_from_source: `(2, 3)` similarity on pixel indices; None when unknown: then the source
            excuses all pixels when it is dark throughout, as in a fade, and none otherwise.
    """
    edges = (result[0], result[-1], result[:, 0], result[:, -1])
    if all((edge > BLACK).all() for edge in edges):
        return 0
    if result_from_source is None and (source <= DARK).all():
        return 0
    _, labels = cv2.connectedComponents((result <= BLACK).astype(np.uint8))
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    reaching = np.unique(rim)
    border = np.isin(labels, reaching[reaching > 0])
    if result_from_source is not None:
        height, width = result.shape
        # What lies just outside the result's view excuses too: an object that begins at its edge.
        reach = max(round(width / 100), 1)
        size = (width + 2 * reach, height + 2 * reach)
        shifted = result_from_source + np.array([[0, 0, reach], [0, 0, reach]])
        seen = warp_to_result(source, shifted, size, cv2.INTER_LINEAR)
        dark = (seen <= DARK) & view_mask(source.shape, shifted, size)
        kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        excused = cv2.dilate(dark.astype(np.uint8), kernel)[reach:-reach, reach:-reach]
        border &= excused == 0
    return int(border.sum())
