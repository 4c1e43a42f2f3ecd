"""How far a measured motion can be trusted, and what is held where it cannot."""

from typing import Any

import numpy as np

__all__ = ["BLANK", "LOST", "hold_prior", "measured_confidence"]

#: Mean texture below which a frame counts as blank.
BLANK = 0.004
#: Confidence below which the motion prior is held instead.
LOST = 0.1
#: Seconds over which a held velocity decays.
DECAY = 0.25


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))


def measured_confidence(found: dict[str, Any], texture: float) -> float:
    """How far a measurement can be trusted: texture, agreement, and what the alignment leaves."""
    if not found["solved"]:
        return 0.0
    visible = _ramp(texture, BLANK, 0.05)
    agreement = _ramp(found["inliers"], 0.02, 0.2)
    photometric = 1 - _ramp(found["residual"], 0.03, 0.1)
    return visible * agreement * photometric


def hold_prior(
    times: np.ndarray,
    confidence: np.ndarray,
    similarity: np.ndarray,
    homography: np.ndarray,
    coefficients: np.ndarray,
) -> None:
    """Replaces lost transitions, in place: the velocity of the nearest measured ones, decaying.

    On either side of a gap the held velocity equals the measured one; inside it falls to rest with
    time constant `DECAY`, and the two sides are mixed in proportion.
    """
    lost = confidence < LOST
    if not lost.any():
        return
    confidence[lost] = 0
    steps = np.diff(times)
    middle = times[:-1] + steps / 2
    known = np.flatnonzero(~lost)
    identity = np.eye(3)
    for t in np.flatnonzero(lost):
        before, after = known[known < t], known[known > t]
        sides = [int(s[i]) for s, i in ((before, -1), (after, 0)) if len(s)]
        gaps = np.array([abs(middle[t] - middle[s]) for s in sides])
        share = gaps[::-1] / gaps.sum() if len(sides) == 2 else np.ones(len(sides))
        similarity[t], homography[t], coefficients[t] = (1, 0, 0, 0), identity, 0
        for side, gap, part in zip(sides, gaps, share, strict=True):
            weight = part * np.exp(-gap / DECAY) * steps[t] / steps[side]
            similarity[t] += weight * (similarity[side] - (1, 0, 0, 0))
            homography[t] += weight * (homography[side] - identity)
            coefficients[t] += weight * coefficients[side]
