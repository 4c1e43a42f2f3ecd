"""What files of Gaussians hold, and the scalings that they share."""

from typing import NamedTuple

import numpy as np

__all__ = ["Columns", "color_of_harmonic", "harmonic_of_color", "logit", "sigmoid"]

C0 = 0.28209479177387814  # the harmonic of degree 0: 1 / sqrt(4 pi)


class Columns(NamedTuple):
    """N Gaussians with K = (degree + 1)^2 harmonics, float32.

    Attributes:
        means: `(N, 3)`.
        quaternions: `(N, 4)`, w x y z, of any length.
        log_scales: `(N, 3)`, natural logarithms of the standard deviations.
        opacity_logits: `(N,)`.
        harmonics: `(N, K, 3)`.
    """

    means: np.ndarray
    quaternions: np.ndarray
    log_scales: np.ndarray
    opacity_logits: np.ndarray
    harmonics: np.ndarray


def color_of_harmonic(harmonic: np.ndarray) -> np.ndarray:
    """The colour, in [0, 1] if it can be seen, of a coefficient of degree 0."""
    return 0.5 + C0 * harmonic


def harmonic_of_color(color: np.ndarray) -> np.ndarray:
    """Inverse of `color_of_harmonic`."""
    return (color - 0.5) / C0


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Opacities of logits; without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * logits))


def logit(opacities: np.ndarray) -> np.ndarray:
    """Logits of opacities, finite also for 0 and 1."""
    inside = np.clip(opacities, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))
