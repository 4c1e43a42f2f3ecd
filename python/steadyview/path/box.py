"""GlobalFlowNet's first stage: one QP a parameter between fixed bounds."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from ..errors import OptionError
from .similarity import (
    CameraPath,
    _frame_size,
    _in_range,
    _motions_and_times,
    _shots,
    worst_status,
)

__all__ = ["kept_part", "smooth_box", "smooth_paper"]


def smooth_box(
    path: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    weights: tuple[float, float, float] = (0.0, 1.0, 0.0),
    *,
    max_iterations: int = 100,
) -> np.ndarray:
    """The smoothest columns between bounds: each minimises `sum_k w_k |D_k x|^2` alone.

    D_k is the k-th difference, without any penalty beyond the ends. A path whose weighted
    differences vanish (a straight one, with the default weights) is returned as it is.

    Args:
        path: `(N,)` or `(N, P)` values; where the optimum is not unique, the solver starts here.
        lower: bounds, broadcast to the shape of `path`; -inf allowed.
        upper: bounds, broadcast to the shape of `path`; inf allowed.
        weights: (w_1, w_2, w_3) of the squared first, second and third differences.
        max_iterations: of the solver, for each column.

    Returns:
        Smoothed values, shaped like `path`, inside the bounds; less smooth than they could be where
        the solver stopped early.

    Raises:
        OptionError: an argument out of its range, lower > upper, or values too large to compute
            with.

    Source: GlobalFlowNet, WACV 2023: `P = D_2' D_2 / 2` between `path - limit` and `path + limit`.
    """
    return _smooth_columns(path, lower, upper, weights, max_iterations)[0]


def _smooth_columns(
    path: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    weights: tuple[float, float, float],
    max_iterations: int,
) -> tuple[np.ndarray, str, int]:
    """`smooth_box`, with the worst status and the sum of the iterations of its columns."""
    path = np.asarray(path, dtype=np.float64)
    if path.ndim not in (1, 2) or not np.isfinite(path).all():
        raise OptionError(f"path must be finite values (N,) or (N, P), got {path.shape}")
    columns = path.reshape(len(path), -1)
    low, high = _bounds(lower, upper, path.shape)
    low, high = low.reshape(columns.shape), high.reshape(columns.shape)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (3,) or not np.isfinite(w).all() or (w < 0).any() or w.sum() == 0:
        raise OptionError(f"weights must be three numbers >= 0, not all 0, got {weights!r}")
    if columns.size == 0:
        return path.copy(), "solved", 0
    hessian = _difference_hessian(len(columns), w / w.max())
    smooth = np.empty_like(columns)
    status, iterations = "solved", 0
    for c in range(columns.shape[1]):
        smooth[:, c], info = _smooth_column(
            columns[:, c], low[:, c], high[:, c], hessian, max_iterations
        )
        if info["status"] == "invalid" or not np.isfinite(smooth[:, c]).all():
            raise OptionError(
                f"path must have values and bounds that can be computed with, got "
                f"{columns[:, c].min():g} to {columns[:, c].max():g} in column {c} "
                f"(solver: {info['status']})"
            )
        status = worst_status(status, info["status"])
        iterations += info["iterations"]
    return np.clip(smooth, low, high).reshape(path.shape), status, iterations


def _bounds(
    lower: ArrayLike, upper: ArrayLike, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    both = []
    for name, bound in (("lower", lower), ("upper", upper)):
        values = np.asarray(bound, dtype=np.float64)
        if np.isnan(values).any():
            raise OptionError(f"{name} must not be nan")
        try:
            both.append(np.broadcast_to(values, shape))
        except ValueError:
            raise OptionError(f"{name} must broadcast to {shape}, got {values.shape}") from None
    low, high = both
    if (low > high).any() or (low == np.inf).any() or (high == -np.inf).any():
        where = np.argwhere((low > high) | (low == np.inf) | (high == -np.inf))[0]
        raise OptionError(f"lower must not be above upper, got that at {tuple(where.tolist())}")
    return low, high


def _difference_hessian(count: int, weights: np.ndarray) -> np.ndarray:
    """`2 sum_k w_k D_k' D_k` as `(N, reach+1, 1, 1)`: element (t, k) couples t and t-k."""
    reach = 3 if weights[2] > 0 else 2
    hessian = np.zeros((count, reach + 1, 1, 1))
    for order, stencil in enumerate(([-1, 1], [1, -2, 1], [-1, 3, -3, 1]), start=1):
        rows = count - order
        if weights[order - 1] == 0 or rows <= 0:
            continue
        for i in range(order + 1):
            for j in range(i + 1):
                value = 2 * weights[order - 1] * stencil[i] * stencil[j]
                hessian[i : i + rows, i - j, 0, 0] += value
    return hessian


def _smooth_column(
    path: np.ndarray, low: np.ndarray, high: np.ndarray, hessian: np.ndarray, max_iterations: int
) -> tuple[np.ndarray, dict[str, Any]]:
    # Values near zero: the tube's middle where it is bounded.
    start = np.clip(path, low, high)
    bounded = np.isfinite(low) & np.isfinite(high)
    middle = np.where(
        bounded, 0.5 * np.where(bounded, low, 0) + 0.5 * np.where(bounded, high, 0), start
    )
    if not _has_gradient(start, hessian):
        return start, {"status": "solved", "iterations": 0}
    origin = middle.mean()
    spread = np.abs(start - origin).max() or 1.0
    none = np.zeros((len(path), 0))
    x, _, info = _core.solve_chain_qp(
        hessian,
        np.zeros((len(path), 1)),
        np.ones((1, 1)),
        ((low - origin) / spread)[:, None],
        ((high - origin) / spread)[:, None],
        ((middle - origin) / spread)[:, None],
        none.reshape(len(path), 0, hessian.shape[1], 1),
        none,
        none,
        max_iterations=max_iterations,
        absolute=1e-11,
        relative=1e-11,
    )
    return x[:, 0] * spread + origin, info


def _has_gradient(x: np.ndarray, hessian: np.ndarray) -> bool:
    """Whether the cost's gradient at x is more than rounding."""
    gradient = hessian[:, 0, 0, 0] * x
    for k in range(1, hessian.shape[1]):
        gradient[k:] += hessian[k:, k, 0, 0] * x[:-k]
        gradient[:-k] += hessian[k:, k, 0, 0] * x[k:]
    return not np.abs(gradient).max() <= 1e-13 * (np.abs(x).max() + 1e-300)  # also of nan


def kept_part(
    angle: float, shift: tuple[float, float], log_scale: float, size: tuple[float, float]
) -> float:
    """Size of the largest centred window of the frame's shape inside the corrected frame.

    The frame is turned by `angle`, shifted by up to `shift` to any side and scaled by
    `exp(-|log_scale|)`; 1 is the whole frame. All four corners of the window are looked at.
    """
    width, height = size
    c, s = abs(np.cos(angle)), abs(np.sin(angle))
    room = np.exp(-abs(log_scale))
    # A window of part m has corners m (+-w/2, +-h/2); seen from the frame they are turned, and the
    # shift is turned with them.
    x, y = abs(shift[0]), abs(shift[1])
    across = (room * width / 2 - (c * x + s * y)) / (0.5 * (c * width + s * height))
    down = (room * height / 2 - (s * x + c * y)) / (0.5 * (s * width + c * height))
    return float(max(0.0, min(across, down)))


def smooth_paper(
    motions: ArrayLike,
    frame_size: tuple[int, int],
    crop_limit: float = 0.8,
    *,
    times: ArrayLike | None = None,
    shots: Sequence[int] = (0,),
    weights: tuple[float, float, float] = (0.0, 1.0, 0.0),
    max_iterations: int = 100,
) -> CameraPath:
    """GlobalFlowNet's affine stage, the baseline: four parameters, each with a QP of its own.

    Angle, shift and log zoom of the motions are summed up; each sum is smoothed between bounds that
    together keep `crop_limit` of the frame; then the bounds are shared out again by how much of
    them each parameter used, and all is solved once more. Against the published program: the zoom
    has bounds of its own, upright frames have the right rotation bound, the last motion counts, and
    the common window of a shot is found from its frames' corners, so that no border can show.

    Args:
        motions: `(N-1, 4)` similarity motions, as `smooth_similarity` takes them.
        frame_size: (width, height) in pixels.
        crop_limit: smallest part of the frame's width and height that is kept, in (0, 1];
            with 1 nothing is corrected.
        times: only checked; the method counts frames.
        shots: index of the first frame of every shot.
        weights: of the squared first, second and third differences.
        max_iterations: of the solver, for each parameter.

    Returns:
        The path. It is inside the source whatever its status; its zoom is the same for all frames
        of a shot.

    Source: GlobalFlowNet, WACV 2023, affine stabilization, with its code's bounds.
    """
    width, height = _frame_size(frame_size)
    _in_range("crop_limit", crop_limit, 0, 1, low_open=True)
    motions, times = _motions_and_times(motions, times)
    frames = len(times)
    starts = [*_shots(shots, frames), frames]
    path = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    status, iterations = "solved", 0
    for first, end in pairwise(starts):
        if end - first > 2 and crop_limit < 1:
            path[first:end], shot_status, shot_iterations = _paper_shot(
                motions[first : end - 1], (width, height), crop_limit, weights, max_iterations
            )
            status = worst_status(status, shot_status)
            iterations += shot_iterations
    kept = np.hypot(path[:, 0], path[:, 1])
    return CameraPath((width, height), path, kept, status=status, iterations=iterations)


def _paper_shot(
    motions: np.ndarray,
    size: tuple[int, int],
    crop_limit: float,
    weights: tuple[float, float, float],
    max_iterations: int,
) -> tuple[np.ndarray, str, int]:
    steps = np.stack(
        [
            np.arctan2(motions[:, 1], motions[:, 0]),
            motions[:, 2],
            motions[:, 3],
            np.log(np.maximum(np.hypot(motions[:, 0], motions[:, 1]), 1e-9)),
        ],
        axis=1,
    )
    total = np.concatenate([np.zeros((1, 4)), np.cumsum(steps, axis=0)])
    limits = _limits(size, crop_limit)
    limits = limits * _share(limits, size, crop_limit)
    smooth, status, iterations = _smooth_columns(
        total, total - limits, total + limits, weights, max_iterations
    )
    used = (total - smooth).std(axis=0)[:3] / limits[:3]
    if used.max() > 0:
        limits[:3] *= used / used.max()
        limits = limits * _share(limits, size, crop_limit)
        smooth, again, more = _smooth_columns(
            total, total - limits, total + limits, weights, max_iterations
        )
        status, iterations = worst_status(status, again), iterations + more
    return _corrections(total - smooth, size, crop_limit), status, iterations


def _limits(size: tuple[int, int], crop_limit: float) -> np.ndarray:
    """Largest corrections of (angle, x, y, log zoom), each alone."""
    width, height = size
    corner = np.arctan2(min(size), max(size))
    angle = np.arcsin(min(1.0, np.sin(corner) / crop_limit)) - corner
    return np.array(
        [angle, width * (1 - crop_limit), height * (1 - crop_limit), -np.log(crop_limit)]
    )


def _share(limits: np.ndarray, size: tuple[int, int], crop_limit: float) -> float:
    """The largest factor with which all limits together keep `crop_limit`, by bisection."""
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        part = 0.5 * (low + high)
        angle, x, y, scale = part * limits
        if kept_part(angle, (x, y), scale, size) >= crop_limit:
            low = part
        else:
            high = part
    return low


def _corrections(residual: np.ndarray, size: tuple[int, int], crop_limit: float) -> np.ndarray:
    """Source from output: the residual motion undone, inside one window for the whole shot."""
    width, height = size
    linear = np.exp(residual[:, 3] + 1j * residual[:, 0])
    x, y = np.abs(residual[:, 1]), np.abs(residual[:, 2])
    c, s = np.abs(linear.real), np.abs(linear.imag)
    across = (width / 2 - x) / (0.5 * (c * width + s * height))
    down = (height / 2 - y) / (0.5 * (s * width + c * height))
    window = np.minimum(np.minimum(across, down).min(), 1.0) * (1 - 1e-14)
    linear = window * linear
    return np.stack([linear.real, linear.imag, residual[:, 1], residual[:, 2]], axis=1)
