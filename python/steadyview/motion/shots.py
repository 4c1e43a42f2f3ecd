"""Scene cuts: two frames that neither align nor look alike, between frames that do."""

from collections.abc import Sequence
from enum import Enum

import cv2
import numpy as np

__all__ = ["Link", "differ", "find_shots", "stretched"]

THUMBNAIL = (32, 18)
#: Common area of the two brightness histograms, and correlation of the thumbnails, below which two
#: frames that do not align show different things. On the six sample clips frames four apart share
#: 0.87 and 0.59 or more; frames of different clips 0.83 and 0.72 or less.
HISTOGRAM_OVERLAP = 0.88
CORRELATION = 0.6


class Link(Enum):
    """What is known of a transition."""

    ALIGNED = 0  # measured
    BLANK = 1  # one of the frames shows nothing
    FAILED = 2  # the frames do not align, and look alike: fast motion, blur, occlusion
    DIFFERENT = 3  # the frames do not align, and look different: a cut or a flash
    CUT = 4  # from a blank frame to one that is DIFFERENT from the last before the blank


def differ(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two small 8-bit grey frames, known not to align, show different scenes."""
    histograms = [
        cv2.calcHist([frame], [0], None, [32], [0, 256]).ravel() / frame.size
        for frame in (first, second)
    ]
    if np.minimum(*histograms).sum() < HISTOGRAM_OVERLAP:
        return True
    a, b = (
        cv2.resize(frame, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float64)
        for frame in (first, second)
    )
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    return bool((a * b).sum() < CORRELATION * norm)


def stretched(frame: np.ndarray) -> np.ndarray:
    """A small 8-bit grey frame with its contrast raised to the whole range: undoes a fade."""
    low, high = np.percentile(frame, (1, 99))
    return np.clip((frame - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)


def find_shots(links: Sequence[Link]) -> tuple[int, ...]:
    """First frames of the shots, from what is known of the transitions between N frames.

    A cut is a single transition: its neighbours align. A run of failures is a whip pan, a flash
    that goes on, or blur; there the motion prior holds and the shot goes on. Blank frames between
    two shots belong to the first.

    Returns:
        Increasing frame indices that start with 0.
    """
    steady = (Link.ALIGNED, Link.BLANK, Link.CUT)
    cuts = [0]
    for t, link in enumerate(links):
        steady_before = t == 0 or links[t - 1] in steady
        steady_after = t + 1 == len(links) or links[t + 1] in steady
        if link is Link.CUT or (link is Link.DIFFERENT and steady_before and steady_after):
            cuts.append(t + 1)
    return tuple(cuts)
