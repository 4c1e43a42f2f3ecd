"""The distance of two sets of features as if each were normally distributed."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .tracking import Array

__all__ = ["frechet_distance"]


def frechet_distance(first: Array, second: Array) -> float:
    """Squared Frechet distance of the normal distributions with the sets' means and covariances.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`. With centred sets X1, X2 the last trace is the
    sum of the singular values of `X1 X2'`, over the roots of both sizes less one: no root of a
    matrix is taken, and sets smaller than their dimension need no remedy. All in float64.

    Args:
        first, second: `(n, k)` and `(m, k)` features, at least two each.

    Raises:
        InputError: fewer than two, or features of two sizes.

    Source:
        Dowson and Landau, "The Frechet distance between multivariate normal distributions", 1982.
    """
    sets = [np.asarray(given, np.float64) for given in (first, second)]
    if any(s.ndim != 2 or len(s) < 2 for s in sets) or sets[0].shape[1] != sets[1].shape[1]:
        shapes = " and ".join("x".join(map(str, s.shape)) for s in sets)
        raise InputError(
            f"features: two sets of at least two with equal size are needed, got {shapes}"
        )
    means = [s.mean(axis=0) for s in sets]
    # R of a QR decomposition has the covariance of the whole set, and at most k rows.
    roots: list[Array] = [
        np.asarray(np.linalg.qr((s - mean) / np.sqrt(len(s) - 1), mode="r"))
        for s, mean in zip(sets, means, strict=True)
    ]
    spread = sum(float(np.square(root).sum()) for root in roots)
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return max(float(np.square(means[0] - means[1]).sum()) + spread - 2 * shared, 0.0)
