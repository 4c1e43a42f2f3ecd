"""The low-pass basis: a few cosines over the frame (see `GlobalMotion.coefficients`)."""

import numpy as np

__all__ = ["cosines", "lowpass_flow", "similarity_coefficients"]


def similarity_coefficients(
    similarity: np.ndarray, frame_size: tuple[int, int], grid: int
) -> np.ndarray:
    """Low-pass coefficients of a similarity's flow: its projection on the K x K cosines.

    Args:
        similarity: `(..., 4)` rows (a, b, tx, ty) on centred pixels.
        frame_size: (width, height) in pixels.
        grid: K.

    Returns:
        `(..., 2, K, K)` in pixels, in the basis of `GlobalMotion.coefficients`.
    """
    a, b, tx, ty = np.moveaxis(np.asarray(similarity, np.float64), -1, 0)
    # x - w/2 = -4 w / pi^2 sum over odd v of cos(pi v x / w) / v^2
    line = np.zeros(grid)
    odd = np.arange(1, grid, 2)
    line[odd] = -4 / (np.pi * odd) ** 2
    along_x, along_y = line * frame_size[0], line * frame_size[1]
    coefficients = np.zeros((*a.shape, 2, grid, grid))
    coefficients[..., 0, 0, :] = (a - 1)[..., None] * along_x
    coefficients[..., 0, :, 0] -= b[..., None] * along_y
    coefficients[..., 1, 0, :] = b[..., None] * along_x
    coefficients[..., 1, :, 0] += (a - 1)[..., None] * along_y
    coefficients[..., 0, 0, 0] += tx
    coefficients[..., 1, 0, 0] += ty
    return coefficients


def lowpass_flow(
    coefficients: np.ndarray, frame_size: tuple[int, int], points: np.ndarray
) -> np.ndarray:
    """The low-pass flow at points of the frame.

    Args:
        coefficients: `(..., 2, K, K)` in pixels.
        frame_size: (width, height) in pixels.
        points: `(P, 2)` uncentred points (x, y) in pixels.

    Returns:
        `(..., P, 2)` in pixels.
    """
    grid = coefficients.shape[-1]
    columns = cosines(points[:, 0], frame_size[0], grid)
    rows = cosines(points[:, 1], frame_size[1], grid)
    across = np.swapaxes(coefficients @ columns.T, -1, -2)  # (..., 2, P, K): sums over v
    flow: np.ndarray = np.moveaxis((across * rows).sum(axis=-1), -2, -1)
    return flow


def cosines(places: np.ndarray, length: float, count: int) -> np.ndarray:
    """`cos(pi k place / length)` for k below count: `(P, count)`."""
    values = np.ones((len(places), count))
    if count > 1:
        values[:, 1] = np.cos(np.pi / length * places)
    for k in range(2, count):  # Chebyshev's recurrence
        values[:, k] = 2 * values[:, 1] * values[:, k - 1] - values[:, k - 2]
    return values
