"""The chain QP solver against PIQP, a linear programme and the optimality conditions."""

import numpy as np
import piqp
import pytest
from scipy import sparse
from scipy.optimize import linprog
from tests.reference.chain_qp import (
    constraint_matrix,
    hessian_matrix,
    kkt_residuals,
    random_problem,
    term_operator,
)

from steadyview import _core


def solve(problem, start=None, terms=None, **options):
    frames, n = problem["gradient"].shape
    reach = problem["hessian"].shape[1]
    if terms is None:
        terms = (np.zeros((frames, 0, reach, n)), np.zeros((frames, 0)), np.zeros((frames, 0)))
    return _core.solve_chain_qp(
        **problem,
        start=np.zeros((frames, n)) if start is None else start,
        term_matrix=terms[0],
        term_offset=terms[1],
        term_weight=terms[2],
        **options,
    )


def piqp_objective(problem):
    frames = len(problem["gradient"])
    solver = piqp.SparseSolver()
    solver.settings.eps_abs, solver.settings.eps_rel = 1e-9, 1e-10
    # PIQP warns of rows without any bound: large ones instead.
    solver.setup(
        hessian_matrix(problem["hessian"]),
        problem["gradient"].ravel(),
        None,
        None,
        constraint_matrix(problem["matrix"], frames),
        np.maximum(problem["lower"], -1e9).ravel(),
        np.minimum(problem["upper"], 1e9).ravel(),
    )
    return solver.result.info.primal_obj if solver.solve() == piqp.PIQP_SOLVED else None


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("reach", range(4))
def test_random_problems(n, reach):
    rng = np.random.default_rng(10 * n + reach)
    for rows in (1, 2, n, 2 * n + 3):
        frames = int(rng.integers(1, 25))
        problem = random_problem(rng, frames, n, reach, rows, shared=bool(rng.integers(2)))
        x, multipliers, info = solve(problem)
        assert info["status"] == "solved"
        violation, gradient, complementarity = kkt_residuals(problem, x, multipliers)
        size = 1 + np.abs(problem["hessian"]).max() * np.abs(x).max()
        assert violation <= 1e-7
        assert gradient <= 1e-8 * size
        assert complementarity <= 1e-8 + 2e-9 * abs(info["objective"])
        theirs = piqp_objective(problem)
        if theirs is not None:
            assert info["objective"] == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def test_without_inequalities_it_is_one_linear_system():
    rng = np.random.default_rng(1)
    problem = random_problem(rng, 40, 4, 3, 0)
    problem["hessian"][:, 0] += np.eye(4)
    x, _, info = solve(problem)
    matrix = hessian_matrix(problem["hessian"]).toarray()
    assert info["iterations"] <= 3
    assert x.ravel() == pytest.approx(np.linalg.solve(matrix, -problem["gradient"].ravel()))


def test_equal_bounds_are_an_equation():
    rng = np.random.default_rng(2)
    problem = random_problem(rng, 20, 3, 2, 1)
    problem["hessian"][:, 0] += np.eye(3)
    value = rng.normal(size=(20, 1))
    problem["lower"] = problem["upper"] = value
    x, _, info = solve(problem)
    assert info["status"] == "solved"
    z = np.einsum("tri,ti->tr", problem["matrix"], x)
    assert z == pytest.approx(value, abs=1e-7)


def test_more_active_rows_than_variables():
    """Each row given ten times over, every bound met at one point."""
    rng = np.random.default_rng(3)
    problem = random_problem(rng, 30, 4, 3, 3)
    point = rng.normal(size=(30, 4))
    problem["matrix"] = np.tile(problem["matrix"], (1, 10, 1))
    problem["upper"] = np.einsum("tri,ti->tr", problem["matrix"], point)
    problem["lower"] = np.full((30, 30), -np.inf)
    problem["hessian"][:, 0] += 0.1 * np.eye(4)
    x, multipliers, info = solve(problem)
    assert info["status"] == "solved"
    assert kkt_residuals(problem, x, multipliers)[0] <= 1e-7


@pytest.mark.parametrize("what", ["rows", "within"])
def test_without_solution_it_says_so(what):
    problem = random_problem(np.random.default_rng(4), 10, 2, 1, 2)
    if what == "rows":  # the same row asked to be two things
        problem["matrix"][:, 1] = problem["matrix"][:, 0]
        problem["lower"][:, 0], problem["upper"][:, 0] = 1, np.inf
        problem["lower"][:, 1], problem["upper"][:, 1] = -np.inf, 0
        assert solve(problem)[2]["status"] in ("stalled", "max_iterations")
    else:
        problem["lower"], problem["upper"] = np.ones((10, 2)), np.zeros((10, 2))
        assert solve(problem)[2]["status"] == "invalid"


def test_warm_start_takes_fewer_iterations():
    problem = random_problem(np.random.default_rng(5), 200, 4, 3, 8)
    problem["hessian"][:, 0] += 0.1 * np.eye(4)
    x, multipliers, cold = solve(problem)
    again, _, warm = solve(problem, start=x, multipliers=multipliers)
    assert warm["status"] == "solved"
    assert warm["iterations"] < cold["iterations"]
    assert again == pytest.approx(x, abs=1e-5)


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_l1_terms_against_a_linear_programme(reach):
    rng = np.random.default_rng(reach)
    frames, n, terms = 25, 3, 4
    e = rng.normal(size=(frames, terms, reach + 1, n))
    offset, weight = rng.normal(size=(frames, terms)), rng.random((frames, terms)) + 0.1
    problem = {
        "hessian": np.zeros((frames, reach + 1, n, n)),
        "gradient": np.zeros((frames, n)),
        "matrix": np.eye(n),
        "lower": np.full((frames, n), -0.3),
        "upper": np.full((frames, n), 0.3),
    }
    _, _, info = solve(problem, terms=(e, offset, weight))
    operator, count = term_operator(e), frames * terms
    cost = np.concatenate([np.zeros(frames * n), weight.ravel(), weight.ravel()])
    one = sparse.eye(count)
    theirs = linprog(
        cost,
        A_eq=sparse.hstack([operator, -one, one]),
        b_eq=offset.ravel(),
        bounds=[(-0.3, 0.3)] * (frames * n) + [(0, None)] * (2 * count),
    )
    assert info["status"] == "solved"
    assert info["objective"] == pytest.approx(theirs.fun, rel=1e-6)


def test_an_invalid_problem_has_no_multipliers():
    problem = random_problem(np.random.default_rng(0), 8, 2, 1, 3)
    problem["gradient"][3, 1] = np.nan
    _, multipliers, info = solve(problem)
    assert info["status"] == "invalid"
    assert (multipliers == 0).all()
