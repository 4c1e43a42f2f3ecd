"""smooth_similarity: optimal, always inside the source, fixed points, arguments."""

import numpy as np
import piqp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.reference.camera import (
    SIZE,
    composed_differences,
    outside,
    path_cost,
    shaky_motion,
)

from steadyview import _core
from steadyview.errors import OptionError
from steadyview.path.similarity import smooth_similarity


def corner_distance(path, other):
    """Root mean square distance of the corners, in pixels."""
    radius = np.hypot(*SIZE) / 2
    return np.linalg.norm((path - other) * [radius, radius, 1, 1], axis=1)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 60])
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_stays_inside(frames, norm):
    path = smooth_similarity(shaky_motion(frames), SIZE, 0.8, norm=norm)
    assert path.status == "solved"
    assert path.source_from_output.shape == (frames, 4)
    assert outside(path.source_from_output, SIZE) <= 1e-9
    assert path.source_from_output[:, 0].min() >= 0.8 - 1e-12


def test_static_video_is_left_as_it_is():
    path = smooth_similarity(np.tile([1.0, 0, 0, 0], (50, 1)), SIZE)
    assert (path.source_from_output == [1, 0, 0, 0]).all()


def test_steady_pan_is_left_as_it_is():
    path = smooth_similarity(np.tile([1.0, 0, 7.5, -2], (50, 1)), SIZE)
    assert (path.source_from_output == [1, 0, 0, 0]).all()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"crop_limit": 0}, "crop_limit"),
        ({"crop_limit": 1.1}, "crop_limit"),
        ({"crop_limit": float("nan")}, "crop_limit"),
        ({"motions": np.ones((5, 3))}, "motions"),
        ({"motions": np.full((5, 4), np.nan)}, "motions"),
        ({"times": [0, 1, 2, 2, 3, 4]}, "times"),
        ({"times": [0, 1, 2]}, "times"),
        ({"smooth": 0}, "smooth"),
        ({"shots": (0, 9)}, "shots"),
        ({"shots": (1,)}, "shots"),
        ({"confidence": [1, 2, 3]}, "confidence"),
        ({"confidence": [1, 1, 1, 1, 2]}, "confidence"),
        ({"norm": "l3"}, "norm"),
        ({"margin": -1}, "margin"),
        ({"margin": 100}, "margin"),
        ({"shares": (0, 0, 0)}, "shares"),
        ({"frame_size": (0, 5)}, "frame_size"),
    ],
)
def test_bad_argument_is_named(change, names):
    arguments = {"motions": shaky_motion(6), "frame_size": SIZE, **change}
    with pytest.raises(OptionError, match=names):
        smooth_similarity(**arguments)


def test_optimal_among_all_paths_inside():
    """PIQP on the cost that is built point by point from the definition, at uneven times."""
    frames, weights, hold, zoom = 14, (0.01, 0.003, 2e-4), 1.0, 0.3
    rng = np.random.default_rng(8)
    motions = shaky_motion(frames, seed=3, strength=2.0)
    motions[:, :2] += rng.normal(scale=0.01, size=(frames - 1, 2))
    times = np.cumsum(rng.uniform(0.02, 0.06, frames))
    unit = np.array([np.hypot(*SIZE) / 2] * 2 + [1, 1])

    def cost(u):
        return path_cost(u.reshape(frames, 4) / unit, motions, times, SIZE, hold, zoom, weights)

    # The cost is quadratic: values at unit vectors and their sums give it exactly.
    count = 4 * frames
    zero, basis = cost(np.zeros(count)), 100 * np.eye(count)
    single = np.array([cost(e) for e in basis])
    back = np.array([cost(-e) for e in basis])
    linear = (single - back) / 200
    hessian = np.zeros((count, count))
    for i in range(count):
        for j in range(max(0, i - 15), i + 1):
            both = cost(basis[i] + basis[j])
            hessian[i, j] = hessian[j, i] = (both - single[i] - single[j] + zero) / 1e4
    rows, bound = [], []
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * 320 / unit[0], sy * 180 / unit[0]
            rows += [[x, -y, 1, 0], [y, x, 0, 1]]
            bound += [320, 180]
    matrix = sparse.csc_matrix(sparse.kron(sparse.eye(frames), np.array([*rows, [1, 0, 0, 0]])))
    upper = np.tile([*bound, unit[0] * 2], frames)
    lower = np.tile([*(-np.array(bound)), unit[0] * 0.8], frames)
    solver = piqp.SparseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-9
    solver.setup(sparse.csc_matrix(hessian), linear, None, None, matrix, lower, upper)
    assert solver.solve() == piqp.PIQP_SOLVED
    ours, info = _core.camera_path(
        motions, times, np.ones(frames - 1), *SIZE, 0.8, 0.0, hold, zoom, weights, False
    )
    assert info["status"] == "solved"
    # The Hessian from values of the cost carries their rounding, about 1e-6 of it.
    assert cost((ours * unit).ravel()) <= cost(solver.result.x) * (1 + 1e-6)
    assert cost((ours * unit).ravel()) == pytest.approx(cost(solver.result.x), rel=1e-4)
    assert np.abs((ours * unit).ravel() - solver.result.x).max() <= 0.05  # px


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 40),
    seed=st.integers(0, 999),
    strength=st.floats(0, 30),
    crop=st.floats(0.3, 1),
    smooth=st.floats(0.05, 10),
    norm=st.sampled_from(["l2", "l1"]),
    static=st.booleans(),
)
def test_always_inside(frames, seed, strength, crop, smooth, norm, static):
    path = smooth_similarity(
        shaky_motion(frames, seed, strength), SIZE, crop, smooth=smooth, norm=norm, static=static
    )
    b = path.source_from_output
    assert np.isfinite(b).all()
    assert outside(b, SIZE) <= 1e-9
    assert path.violation <= 1e-9
    assert b[:, 0].min() >= crop - 1e-9


@pytest.mark.parametrize("cutoff", ["below", "at", "above"])
def test_pass_band_is_set_by_the_time_constant(cutoff):
    """Without active constraints a swing is damped as the docstring says, at any frame rate."""
    smooth = 0.4
    frequency = {"below": 0.5, "at": 1, "above": 2}[cutoff] / (2 * np.pi * smooth)
    for rate in (24, 120):
        t = np.arange(round(12 * rate)) / rate
        swing = 5 * np.sin(2 * np.pi * frequency * t)
        motions = np.tile([1.0, 0, 0, 0], (len(t) - 1, 1))
        motions[:, 2] = np.diff(swing)
        path = smooth_similarity(motions, SIZE, 0.5, times=t, smooth=smooth).source_from_output
        steady = swing - path[:, 2]  # where the output looks, against the scene
        middle = slice(4 * rate, 8 * rate)
        swing_c = np.exp(-2j * np.pi * frequency * t[middle])
        gain = abs((steady[middle] * swing_c).sum() / (swing[middle] * swing_c).sum())
        ratio = (frequency * 2 * np.pi * smooth) ** 6
        assert gain == pytest.approx(1 / (1 + (np.sqrt(2) - 1) * ratio), abs=0.02)


def test_crop_limit_one_changes_nothing():
    path = smooth_similarity(shaky_motion(30), SIZE, 1.0)
    assert (path.source_from_output == [1, 0, 0, 0]).all()


def test_margin_is_kept_free():
    path = smooth_similarity(shaky_motion(60), SIZE, 0.8, margin=7.0)
    assert outside(path.source_from_output, SIZE) <= -7 + 1e-9


def test_shots_are_independent():
    motions = shaky_motion(90)
    motions[39] = 1, 0, 0, 0
    whole = smooth_similarity(motions, SIZE, shots=(0, 40, 41)).source_from_output
    first = smooth_similarity(motions[:39], SIZE).source_from_output
    last = smooth_similarity(motions[41:], SIZE).source_from_output
    assert (whole[:40] == first).all()
    assert (whole[40] == [1, 0, 0, 0]).all()
    assert whole[41:] == pytest.approx(last, abs=1e-3)  # px; times rounded otherwise


def test_static_mode_stands_still_where_it_can():
    motions = shaky_motion(80)
    motions[:, 2] -= np.diff(40 * np.sin(1.2 * np.arange(80) / 30))  # the drift is taken out
    path = smooth_similarity(motions, SIZE, 0.8, static=True).source_from_output
    velocity = composed_differences(path, motions, np.arange(80) / 30, SIZE)[0]
    assert np.sqrt((velocity**2).mean()) / 30 < 0.05  # px a frame; the source has 5


def test_larger_frames_scale_the_path():
    motions = shaky_motion(50)
    twice = motions * [1, 1, 2, 2]
    small = smooth_similarity(motions, SIZE).source_from_output
    large = smooth_similarity(twice, (1280, 720)).source_from_output
    assert np.abs(large - small * [1, 1, 2, 2]).max() <= 1e-3


def test_uncertain_motions_weigh_less_but_hold():
    motions = shaky_motion(60)
    confidence = np.ones(59)
    confidence[20:25] = 0
    path = smooth_similarity(motions, SIZE, confidence=confidence)
    assert path.status == "solved"
    assert outside(path.source_from_output, SIZE) <= 1e-9


def test_stopped_solver_still_stays_inside():
    path = smooth_similarity(shaky_motion(60), SIZE, 0.8, max_iterations=2)
    assert path.status == "max_iterations"
    assert outside(path.source_from_output, SIZE) <= 1e-9


@pytest.mark.parametrize("gap", [1e-3, 1e-4, 1e-7])
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_one_short_interval_does_not_break_the_path(gap, norm):
    motions = shaky_motion(120)
    steps = np.full(119, 1 / 30)
    even = smooth_similarity(motions, SIZE, norm=norm)
    steps[60] = gap
    path = smooth_similarity(
        motions, SIZE, norm=norm, times=np.concatenate([[0], np.cumsum(steps)])
    )
    assert path.status == "solved"
    move = corner_distance(path.source_from_output, even.source_from_output)
    assert move.max() <= 1.0  # px


def test_margin_that_leaves_no_room_is_not_solved():
    path, info = _core.camera_path(
        shaky_motion(5), np.arange(5) / 30, np.ones(4), *SIZE, 0.8, 46.0, 1, 1, [0, 0, 1], False
    )
    assert info["status"] == "invalid"
    assert info["violation"] == pytest.approx(10)
    assert (path == [0.8, 0, 0, 0]).all()


def test_many_frames():
    path = smooth_similarity(shaky_motion(20_000), SIZE, 0.8)
    assert path.status == "solved"
    assert outside(path.source_from_output, SIZE) <= 1e-9
