"""Chain QPs written out as one dense or sparse problem, for solvers that know nothing of chains."""

import numpy as np
from scipy import sparse


def hessian_matrix(hessian: np.ndarray) -> sparse.csc_matrix:
    """The symmetric matrix of `hessian[t, k]` = H(t, t-k)."""
    frames, reach, n, _ = hessian.shape
    rows, cols, values = [], [], []
    for t in range(frames):
        for k in range(min(reach, t + 1)):
            i, j = np.meshgrid(range(n), range(n), indexing="ij")
            block = hessian[t, k]
            rows.append((t * n + i).ravel())
            cols.append(((t - k) * n + j).ravel())
            values.append(block.ravel())
            if k:
                rows.append(((t - k) * n + j).ravel())
                cols.append((t * n + i).ravel())
                values.append(block.ravel())
    size = frames * n
    return sparse.csc_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))), shape=(size, size)
    )


def constraint_matrix(matrix: np.ndarray, frames: int) -> sparse.csc_matrix:
    """Block-diagonal matrix of `matrix[t]`, or of one that all frames share."""
    blocks = [matrix] * frames if matrix.ndim == 2 else list(matrix)
    return sparse.csc_matrix(sparse.block_diag(blocks))


def term_operator(term_matrix: np.ndarray) -> sparse.csc_matrix:
    """The matrix E of the L1 terms: `term_matrix[t, i, k]` multiplies x of frame t-k."""
    frames, terms, reach, n = term_matrix.shape
    out = sparse.lil_matrix((frames * terms, frames * n))
    for t in range(frames):
        for k in range(min(reach, t + 1)):
            out[t * terms : (t + 1) * terms, (t - k) * n : (t - k + 1) * n] = term_matrix[t, :, k]
    return sparse.csc_matrix(out)


def kkt_residuals(problem: dict, x: np.ndarray, multipliers: np.ndarray) -> tuple[float, ...]:
    """Violation, largest gradient component of the Lagrangian, largest complementarity product."""
    frames = len(problem["gradient"])
    c = constraint_matrix(problem["matrix"], frames)
    z, y = c @ x.ravel(), multipliers.ravel()
    lower, upper = problem["lower"].ravel(), problem["upper"].ravel()
    violation = max(np.max(lower - z, initial=0), np.max(z - upper, initial=0))
    h = hessian_matrix(problem["hessian"])
    gradient = h @ x.ravel() + problem["gradient"].ravel() + c.T @ y
    above = np.where(np.isfinite(upper), np.maximum(y, 0) * (np.minimum(upper, 1e300) - z), 0)
    below = np.where(np.isfinite(lower), np.minimum(y, 0) * (np.maximum(lower, -1e300) - z), 0)
    return violation, float(np.abs(gradient).max()), float(np.abs(above + below).max(initial=0))


def random_problem(
    rng: np.random.Generator, frames: int, n: int, reach: int, rows: int, shared: bool = False
) -> dict:
    """A convex chain QP with a solution; some bounds infinite, the Hessian often singular."""
    hessian = np.zeros((frames, reach + 1, n, n))
    for t in range(frames):  # sum of squares of random couplings, often of low rank
        back = min(reach, t)
        a = rng.normal(size=(rng.integers(1, 2 * n + 1), back + 1, n))
        for i in range(back + 1):
            for k in range(back + 1 - i):
                hessian[t - i, k] += a[:, i].T @ a[:, i + k]
    matrix = rng.normal(size=(rows, n) if shared else (frames, rows, n))
    inside = rng.normal(size=(frames, n))
    z = np.einsum("ri,ti->tr" if shared else "tri,ti->tr", matrix, inside)
    lower = z - rng.exponential(size=(frames, rows))
    upper = z + rng.exponential(size=(frames, rows))
    lower[rng.random((frames, rows)) < 0.3] = -np.inf
    upper[rng.random((frames, rows)) < 0.3] = np.inf
    # A gradient for which some multipliers exist: the problem is bounded below.
    multipliers = np.where(np.isfinite(upper), 1, 0) * rng.random((frames, rows))
    multipliers -= np.where(np.isfinite(lower), 1, 0) * rng.random((frames, rows))
    force = constraint_matrix(matrix, frames).T @ multipliers.ravel()
    force += hessian_matrix(hessian) @ rng.normal(size=frames * n)
    return {
        "hessian": hessian,
        "gradient": -force.reshape(frames, n),
        "matrix": matrix,
        "lower": lower,
        "upper": upper,
    }
