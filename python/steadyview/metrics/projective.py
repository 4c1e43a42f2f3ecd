"""Points and cameras from tracks alone, up to a projective map: no lens needs to be known.

A camera is any 3 x 4 matrix here. Whatever homography a stabiliser lays over a frame turns one such
camera into another, so cropping, turning and zooming a rigid scene's frames leave its tracks
explained to the last digit; bending them does not.
"""

from __future__ import annotations

import numpy as np

from .tracking import Array

__all__ = ["first_guess", "project", "refine", "triangulate"]


def project(cameras: Array, points: Array) -> Array:
    """`(m, n, 2)` images of points `(n, 4)` in cameras `(m, 3, 4)`."""
    seen = np.einsum("mab,nb->mna", cameras, points)
    return np.asarray(seen[..., :2] / _not_zero(seen[..., 2:]))


def first_guess(tracks: Array, fundamental: Array | None) -> tuple[Array, Array]:
    """Cameras `(m, 3, 4)` and points `(n, 4)` whose images are about the tracks.

    Two guesses, of which the better one is given. The first is affine: with depths of one the
    homogeneous images are of rank four; it holds where the camera hardly moves. The second takes
    points from the first and last frame, whose epipolar geometry is known, and finds the other
    cameras from these; it holds where it moves far.

    Args:
        tracks: `(m, n, 2)`, about zero and of unit size; n at least 8.
        fundamental: `(3, 3)` of the first and the last frame, in the tracks' unit; None: unknown.

    Source:
        Tomasi and Kanade 1992; Hartley and Zisserman, Multiple View Geometry, sections 9.5 and 7.1.
    """
    frames, count, _ = tracks.shape
    images = np.concatenate([tracks, np.ones((frames, count, 1))], axis=2)
    left, size, right = np.linalg.svd(
        images.transpose(0, 2, 1).reshape(3 * frames, count), full_matrices=False
    )
    guesses = [((left[:, :4] * size[:4]).reshape(frames, 3, 4), right[:4].T)]
    if fundamental is not None:
        epipole = np.linalg.svd(fundamental.T)[2][-1]
        across = np.cross(np.eye(3), epipole)  # minus [e]x; a camera's sign means nothing
        other = across @ fundamental
        other *= np.sqrt(3) / np.linalg.norm(other)
        pair = np.stack([np.eye(3, 4), np.hstack([other, epipole[:, None]])])
        points = triangulate(tracks[[0, -1]], pair)
        guesses.append((_resect(tracks, points), points))
    costs = [np.median(_squares(tracks, *guess)) for guess in guesses]
    cameras, points = guesses[int(np.argmin(costs))]
    return _scaled(cameras), _scaled(points)


def _resect(tracks: Array, points: Array) -> Array:
    """Cameras `(m, 3, 4)` that see known points at the tracks, by the direct linear transform."""
    rows = np.zeros((*tracks.shape, 3, 4))
    rows[..., 0, 0, :] = rows[..., 1, 1, :] = points
    rows[..., 2, :] = -tracks[..., None] * points[:, None]
    flat = rows.reshape(len(tracks), -1, 12)
    normal = np.einsum("mna,mnb->mab", flat, flat)
    return np.asarray(np.linalg.eigh(normal)[1][..., 0].reshape(-1, 3, 4))


def refine(
    tracks: Array, cameras: Array, points: Array, tolerance: float, iterations: int = 20
) -> tuple[Array, Array]:
    """Cameras and points that explain the tracks best (bundle adjustment).

    Least is the sum over tracks of `m s^2 e^2 / (e^2 + s^2)`, with e the root mean square of a
    track's distances and s the tolerance: tracks that do not belong count little.

    Args:
        tracks: `(m, n, 2)`.
        cameras, points: a start, from `first_guess`.
        tolerance: s, in the tracks' unit.
        iterations: of Levenberg and Marquardt's method, at most.
    """
    for eased in (64, 8, 2):  # far from the best, a tight tolerance would give good tracks up
        cameras, points = _descend(tracks, cameras, points, eased * tolerance, iterations // 4)
    return _descend(tracks, cameras, points, tolerance, iterations)


def _descend(
    tracks: Array, cameras: Array, points: Array, tolerance: float, iterations: int
) -> tuple[Array, Array]:
    damping = 1e-4
    cost, weights = _cost(tracks, cameras, points, tolerance)
    for _ in range(iterations):
        step = _step(tracks, cameras, points, weights, damping)
        next_cameras, next_points = _scaled(cameras + step[0]), _scaled(points + step[1])
        next_cost, next_weights = _cost(tracks, next_cameras, next_points, tolerance)
        if not next_cost < cost:
            damping *= 10
            if damping > 1e6:
                break
            continue
        small = cost - next_cost < 1e-4 * cost + 1e-12 * tracks.shape[1]
        cameras, points, cost, weights = next_cameras, next_points, next_cost, next_weights
        damping = max(damping / 10, 1e-9)
        if small:
            break
    return cameras, points


def triangulate(tracks: Array, cameras: Array, iterations: int = 5) -> Array:
    """`(n, 4)`: each point where its images come closest to its track, cameras being known.

    Args:
        tracks: `(m, n, 2)`.
        cameras: `(m, 3, 4)`.
    """
    rows = tracks[..., None] * cameras[:, None, 2:] - cameras[:, None, :2]  # (m, n, 2, 4)
    rows = rows.transpose(1, 0, 2, 3).reshape(tracks.shape[1], -1, 4)
    points = np.linalg.eigh(rows.transpose(0, 2, 1) @ rows)[1][..., 0]
    for _ in range(iterations):  # from algebraic to geometric distance
        missed, _, by_point = _derivatives(tracks, cameras, points)
        normal = np.einsum("mnac,mnad->ncd", by_point, by_point)
        normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(4)
        pull = np.einsum("mnac,mna->nc", by_point, missed)
        moved = _scaled(points - np.linalg.solve(normal, pull[..., None])[..., 0])
        better = _squares(tracks, cameras, moved) < _squares(tracks, cameras, points)
        points = np.where(better[:, None], moved, points)
    return points


def _squares(tracks: Array, cameras: Array, points: Array) -> Array:
    """`(n,)` mean squared distance of a track from its point's images."""
    return np.asarray(np.square(project(cameras, points) - tracks).sum(axis=2).mean(axis=0))


def _cost(tracks: Array, cameras: Array, points: Array, tolerance: float) -> tuple[float, Array]:
    """The sum to be made least, and each track's weight `(n,)` in the squares that stand for it."""
    share = _squares(tracks, cameras, points) / tolerance**2
    return float((share / (1 + share)).sum()), np.asarray(1 / (1 + share) ** 2)


def _derivatives(tracks: Array, cameras: Array, points: Array) -> tuple[Array, Array, Array]:
    """Misses `(m, n, 2)`, and their derivatives by camera `(m, n, 2, 12)` and point `(…, 4)`."""
    seen = np.einsum("mab,nb->mna", cameras, points)
    depth = _not_zero(seen[..., 2])
    images = seen[..., :2] / depth[..., None]
    # d (u / w) = (du - (u / w) dw) / w
    by_seen = np.zeros((*tracks.shape, 3))
    by_seen[..., 0, 0] = by_seen[..., 1, 1] = 1 / depth
    by_seen[..., 2] = -images / depth[..., None]
    by_camera = np.einsum("mnac,nb->mnacb", by_seen, points).reshape(*tracks.shape, 12)
    return images - tracks, by_camera, np.einsum("mnac,mcb->mnab", by_seen, cameras)


def _step(
    tracks: Array, cameras: Array, points: Array, weights: Array, damping: float
) -> tuple[Array, Array]:
    """One damped step: points are eliminated, cameras solved for, points found from them."""
    frames, count = tracks.shape[:2]
    missed, by_camera, by_point = _derivatives(tracks, cameras, points)
    heavy = by_point * weights[:, None, None]
    around = np.einsum("mnac,mnad->ncd", heavy, by_point)
    around += damping * np.trace(around, axis1=1, axis2=2)[:, None, None] / 4 * np.eye(4)
    inverse = np.linalg.inv(around + 1e-300 * np.eye(4))
    both = np.einsum("mnac,mnad->nmcd", by_camera, heavy).reshape(count, 12 * frames, 4)
    pull_points = np.einsum("mnac,mna->nc", heavy, missed)
    pull_cameras = np.einsum("mnac,mna->mc", by_camera, missed * weights[:, None])
    weighted = by_camera * weights[:, None, None]
    own = np.matmul(by_camera.reshape(frames, -1, 12).transpose(0, 2, 1),
                    weighted.reshape(frames, -1, 12))  # fmt: skip
    own += damping * np.trace(own, axis1=1, axis2=2)[:, None, None] / 12 * np.eye(12)
    carried = both @ inverse  # (n, 12 m, 4)
    # Point by point, in products too small for a BLAS to share between threads, which would wait
    # for each other longer than they work.
    normal = -np.matmul(carried, both.transpose(0, 2, 1)).sum(axis=0)
    for frame in range(frames):
        part = slice(12 * frame, 12 * frame + 12)
        normal[part, part] += own[frame]
    pull = pull_cameras.ravel() - np.einsum("nac,nc->a", carried, pull_points)
    moved = -np.linalg.solve(normal, pull)
    rest = -pull_points - np.einsum("nac,a->nc", both, moved)
    return moved.reshape(frames, 3, 4), np.einsum("nab,nb->na", inverse, rest)


def _scaled(values: Array) -> Array:
    """Each camera or point to length one; its scale means nothing."""
    axes = tuple(range(1, values.ndim))
    return np.asarray(values / np.sqrt(np.square(values).sum(axis=axes, keepdims=True)))


def _not_zero(values: Array) -> Array:
    return np.asarray(np.where(np.abs(values) < 1e-12, 1e-12, values))
