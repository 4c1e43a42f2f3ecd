"""smooth_box against cvxopt and PIQP; GlobalFlowNet's stage 1."""

import cvxopt
import numpy as np
import piqp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.reference.camera import SIZE, outside, shaky_motion

from steadyview.errors import OptionError
from steadyview.path.box import _limits, kept_part, smooth_box, smooth_paper


def walk(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=count)) + 5 * rng.normal(size=count)


def cost_matrix(count: int, weights=(0, 1, 0)) -> np.ndarray:
    total = np.zeros((count, count))
    for order, weight in enumerate(weights, start=1):
        d = np.diff(np.eye(count), n=order, axis=0)
        total += weight * d.T @ d
    return total


def cvxopt_solution(path, low, high, weights=(0, 1, 0)):
    count = len(path)
    g = np.concatenate([np.eye(count), -np.eye(count)])
    options = {"show_progress": False, "abstol": 1e-13, "reltol": 1e-13, "feastol": 1e-13}
    result = cvxopt.solvers.qp(
        cvxopt.matrix(cost_matrix(count, weights)),
        cvxopt.matrix(np.zeros(count)),
        cvxopt.matrix(g),
        cvxopt.matrix(np.concatenate([high, -low])),
        options=options,
    )
    return np.array(result["x"]).ravel()


def piqp_solution(path, low, high, weights):
    count = len(path)
    solver = piqp.SparseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-11
    cost = sparse.csc_matrix(cost_matrix(count, weights))
    solver.setup(cost, np.zeros(count), None, None, None, None, None, low, high)
    assert solver.solve() == piqp.PIQP_SOLVED
    return solver.result.x


@pytest.mark.parametrize("count", [10, 60, 200])
@pytest.mark.parametrize("half", [2.0, 8.0])
def test_the_papers_qp_is_that_of_cvxopt(count, half):
    path = walk(count, seed=count)
    ours = smooth_box(path, path - half, path + half)
    theirs = cvxopt_solution(path, path - half, path + half)
    cost = cost_matrix(count)
    assert ours @ cost @ ours == pytest.approx(theirs @ cost @ theirs, rel=1e-6, abs=1e-9)
    if theirs @ cost @ theirs > 1e-6:  # else a whole family of straight lines is optimal
        assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(path).max()


@pytest.mark.parametrize("weights", [(1, 0, 0), (0, 0, 1), (1, 10, 100), (0.1, 1, 0)])
def test_other_weights_against_piqp(weights):
    path = walk(120, seed=5)
    ours = smooth_box(path, path - 4, path + 4, weights)
    theirs = piqp_solution(path, path - 4, path + 4, weights)
    assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(path).max()


def test_cost_matrix_of_the_paper():
    """Dossier 12.6: P of stage 1 for eight frames; constants and lines cost nothing."""
    half = 0.5 * cost_matrix(8)
    assert half[0, :3].tolist() == [0.5, -1, 0.5]
    assert half[1, :4].tolist() == [-1, 2.5, -2, 0.5]
    assert half[2, :5].tolist() == [0.5, -2, 3, -2, 0.5]
    assert np.abs(half @ np.ones(8)).max() == np.abs(half @ np.arange(8)).max() == 0


def test_columns_are_independent():
    path = np.stack([walk(50, 1), 100 * walk(50, 2)], axis=1)
    half = np.array([3.0, 200.0])
    both = smooth_box(path, path - half, path + half)
    for c, half in enumerate((3, 200)):
        alone = smooth_box(path[:, c], path[:, c] - half, path[:, c] + half)
        assert (both[:, c] == alone).all()


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 40),
    half=st.floats(1e-3, 50),
    seed=st.integers(0, 999),
    weights=st.sampled_from([(0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 2, 3)]),
)
def test_inside_and_not_rougher(count, half, seed, weights):
    path = walk(count, seed)
    smooth = smooth_box(path, path - half, path + half, weights)
    assert ((smooth >= path - half) & (smooth <= path + half)).all()
    cost = cost_matrix(count, weights) if count > 3 else np.zeros((count, count))
    assert smooth @ cost @ smooth <= path @ cost @ path * (1 + 1e-9) + 1e-9


def test_fixed_points_and_degenerate_bounds():
    line = 3.0 + 0.25 * np.arange(40)
    assert (smooth_box(line, line - 1, line + 1) == line).all()
    path = walk(40)
    assert (smooth_box(path, path, path) == path).all()
    free = np.arange(40) % 13 != 0
    pinned = smooth_box(path, np.where(free, -np.inf, path), np.where(free, np.inf, path))
    assert pinned[::13] == pytest.approx(path[::13], abs=1e-12)


def test_bad_bounds_are_named():
    with pytest.raises(OptionError, match="lower"):
        smooth_box([1.0, 2.0], 3.0, 2.0)
    with pytest.raises(OptionError, match="upper"):
        smooth_box([1.0, 2.0], 0.0, [1, 2, 3])
    with pytest.raises(OptionError, match="path"):
        smooth_box([1.0, np.nan], 0.0, 1.0)


def test_values_too_large_are_named():
    path = np.array([1.7, -1.7, 1.7, 1.7]) * 1e308
    with np.errstate(all="ignore"), pytest.raises(OptionError, match="column 0"):
        smooth_box(path, path - 1, path + 1)


def test_stopped_solver_stays_inside_and_says_so():
    path = walk(60)
    smooth = smooth_box(path, path - 4, path + 4, max_iterations=1)
    assert (np.abs(smooth - path) <= 4 * (1 + 1e-12)).all()
    motions = shaky_motion(60)
    stopped = smooth_paper(motions, SIZE, 0.8, max_iterations=1)
    assert (stopped.status, stopped.iterations) == ("max_iterations", 8)
    assert outside(stopped.source_from_output, SIZE) <= 1e-9
    solved = smooth_paper(motions, SIZE, 0.8)
    assert solved.status == "solved"
    assert solved.iterations > 8


def test_rotation_bound_of_the_paper():
    """Dossier 12.6: 8.436 degrees for 16:9 at 0.8; upright frames the same."""
    assert np.degrees(_limits((1600, 900), 0.8)[0]) == pytest.approx(8.436, abs=1e-3)
    assert np.degrees(_limits((900, 1600), 0.8)[0]) == pytest.approx(8.436, abs=1e-3)


def test_kept_part():
    assert kept_part(0, (0, 0), 0, SIZE) == 1
    assert kept_part(0, (64, 0), 0, SIZE) == pytest.approx(0.8)
    assert kept_part(0, (0, 0), np.log(0.7), SIZE) == pytest.approx(0.7)


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (500, 500)])
@pytest.mark.parametrize("frames", [1, 2, 3, 100])
def test_paper_baseline_stays_inside(size, frames):
    motions = shaky_motion(frames)
    path = smooth_paper(motions, size, 0.8, shots=(0, 40) if frames > 40 else (0,))
    assert path.source_from_output.shape == (frames, 4)
    assert outside(path.source_from_output, size) <= 1e-9
    if frames == 100:
        assert path.kept.min() > 0.75


def test_paper_baseline_leaves_a_pan():
    path = smooth_paper(np.tile([1.0, 0, 3, 1], (40, 1)), SIZE)
    assert np.abs(path.source_from_output - [1, 0, 0, 0]).max() <= 1e-9
