"""Black border pixels that a stabiliser left in its result."""

from __future__ import annotations

import cv2
import numpy as np

from .sharpness import view_mask, warp_to_result
from .tracking import Array

__all__ = ["border_pixels"]

BLACK = 24  # limited-range luma: 16 is black, the encoder adds a little
DARK = 64
SHORTEST = 8  # pixels of the edge that a border covers, where the source cannot be looked at


def border_pixels(source: Array, result: Array, result_from_source: Array | None) -> int:
    """Counts near-black pixels that reach the frame's edge where the source is not dark.

    A pixel counts when its luma is at most 24 (16 is black) and it is connected through such pixels
    to the frame's edge, unless the source seen from the result is itself dark (at most 64, within
    1 % of the frame's width) there: overshooting kernels and the encoder blacken such pixels.
    Pixels outside the source's view always count when black.

    Args:
        source, result: `(H, W)` uint8 luma, limited range.
        result_from_source: `(2, 3)` similarity on pixel indices; None when unknown. Then the source
            excuses all pixels when it is dark throughout, as in a fade, and else only what covers
            less of an edge than 8 pixels more than the longest dark run of the source: a border is
            one piece, the dark specks of a noisy night are as small in the source.
    """
    edges = (result[0], result[-1], result[:, 0], result[:, -1])
    if all((edge > BLACK).all() for edge in edges):
        return 0
    if result_from_source is None and (source <= DARK).all():
        return 0
    _, labels = cv2.connectedComponents((result <= BLACK).astype(np.uint8))
    shortest = (1, 1)
    if result_from_source is None:
        dark = source <= BLACK
        shortest = (SHORTEST + _longest_run(dark), SHORTEST + _longest_run(dark.T))
    reaching = [
        label
        for lines, least in zip((labels[[0, -1]], labels[:, [0, -1]].T), shortest, strict=True)
        for line in lines
        for label in _labels_of_runs(line, least)
    ]
    border = np.isin(labels, reaching)
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


def _runs(line: Array) -> tuple[Array, Array]:
    """First index and length of each run of equal values."""
    starts = np.flatnonzero(np.r_[True, line[1:] != line[:-1]])
    return starts, np.diff(np.r_[starts, len(line)])


def _longest_run(mask: Array) -> int:
    """Of true values along a row."""
    line = np.pad(mask, ((0, 0), (0, 1))).ravel()
    starts, lengths = _runs(line)
    return int(lengths[line[starts]].max(initial=0))


def _labels_of_runs(line: Array, shortest: int) -> list[int]:
    """Labels above 0 of the runs that are long enough."""
    starts, lengths = _runs(line)
    return [int(label) for label in line[starts[lengths >= shortest]] if label > 0]
