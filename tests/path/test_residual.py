"""Stage 2: against its definition, and the promises it makes about borders and fixed points."""

import numpy as np
import pytest
from tests.reference.residual import deviations, flow_at

from steadyview.motion.global_motion import GlobalMotion
from steadyview.motion.lowpass import lowpass_flow, similarity_coefficients
from steadyview.path import residual as stage2
from steadyview.path.residual import residual_motion, smooth_residual
from steadyview.path.similarity import CameraPath

SIZE = (64, 36)


def make_motion(
    count: int, seed: int = 0, wobble: float = 0.2, shots: tuple[int, ...] = (0,)
) -> GlobalMotion:
    rng = np.random.default_rng(seed)
    similarity = np.array([1.0, 0, 0, 0]) + rng.normal(size=(count - 1, 4)) * (2e-3, 2e-3, 0.5, 0.5)
    coefficients = similarity_coefficients(similarity, SIZE, 5)
    coefficients += wobble * rng.normal(size=coefficients.shape)
    return GlobalMotion(
        frame_size=SIZE,
        times=np.cumsum(rng.uniform(0.02, 0.05, count)),
        similarity=similarity,
        homography=np.tile(np.eye(3), (count - 1, 1, 1)),
        coefficients=coefficients,
        confidence=np.ones(count - 1),
        residual=rng.uniform(0.0, 0.02, count - 1),
        shots=shots,
    )


def make_path(count: int, zoom: float = 0.8, seed: int = 0, shake: float = 1.0) -> CameraPath:
    rng = np.random.default_rng(seed)
    rows = np.array([zoom, 0, 0, 0]) + shake * rng.normal(size=(count, 4)) * (1e-3, 1e-2, 0.8, 0.8)
    return CameraPath(SIZE, rows, np.hypot(rows[:, 0], rows[:, 1]))


def ring(path: CameraPath, t: int, count: int = 1500) -> np.ndarray:
    """Uncentred source points of frame t's displaced border."""
    w, h = SIZE
    s = np.linspace(0, 1, count)
    points = np.concatenate(
        [
            np.stack(p, 1)
            for p in ((s * w, 0 * s), (s * w, 0 * s + h), (0 * s, s * h), (0 * s + w, s * h))
        ]
    )
    a, b, tx, ty = path.source_from_output[t]
    centred = points - (w / 2, h / 2)
    source = np.stack([a * centred[:, 0] - b * centred[:, 1] + tx + w / 2,
                       b * centred[:, 0] + a * centred[:, 1] + ty + h / 2], 1)  # fmt: skip
    return source + lowpass_flow(path.displacement[t], SIZE, points)


def test_lowpass_flow_is_the_sum_of_its_terms():
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(3, 2, 4, 4))
    points = rng.uniform(0, 36, (5, 2))
    flow = lowpass_flow(coefficients, SIZE, points)
    for t in range(3):
        for p, (x, y) in enumerate(points):
            expected = flow_at(coefficients[t], SIZE, x, y)
            np.testing.assert_allclose(flow[t, p], expected, atol=1e-12)


def test_residual_motion_is_what_the_composed_similarities_leave():
    motion, path = make_motion(3, wobble=0.0), make_path(3)
    # A residual of low order only: in the output frame it is no longer band-limited, but nearly.
    motion.coefficients[:, :, :2, :2] += 0.1
    steps = residual_motion(motion, path)
    b0 = complex(*path.source_from_output[0, :2])
    b1 = complex(*path.source_from_output[1, :2])
    q = np.array([[10.0, 8.0], [32.0, 18.0], [50.0, 30.0]])
    for point in q:
        z = complex(*(point - (32, 18))) * b0 + complex(*path.source_from_output[0, 2:])
        extra = motion.coefficients[0] - similarity_coefficients(motion.similarity[0], SIZE, 5)
        moved = complex(*flow_at(extra, SIZE, z.real + 32, z.imag + 18)) / b1
        got = complex(*flow_at(steps[0], SIZE, *point))
        assert abs(got - moved) < 0.02  # of 0.5 px: the projection's remainder, 0.007 seen


def test_deviation_matches_its_definition():
    motion = make_motion(40)
    steps = motion.coefficients
    summed = np.concatenate([np.zeros((1, 2, 5, 5)), np.cumsum(steps, axis=0)])
    got = stage2._deviation(steps, motion.times, motion.residual, 0.4)
    expected = deviations(summed, motion.times, motion.residual, 0.4, stage2.PHOTOMETRIC)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_burst_of_frames_does_not_lengthen_the_window(monkeypatch):
    monkeypatch.setattr(stage2, "LONGEST", 6)
    motion = make_motion(40)
    motion.times[10:30] = motion.times[10] + 1e-4 * np.arange(20)
    motion.times[30:] = motion.times[29] + np.arange(1, 11) / 30
    summed = np.concatenate([np.zeros((1, 2, 5, 5)), np.cumsum(motion.coefficients, axis=0)])
    given = motion.times, motion.residual, 0.4
    got = stage2._deviation(motion.coefficients, *given)
    expected = deviations(summed, *given, stage2.PHOTOMETRIC, longest=6)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_similarity_motion_is_left_alone():
    motion = make_motion(30, wobble=0.0)
    smoothed = smooth_residual(motion, make_path(30))
    assert smoothed.displacement.shape == (30, 2, 5, 5)
    assert np.abs(smoothed.displacement).max() < 1e-12


def test_static_video_gets_exactly_nothing():
    motion = make_motion(12, wobble=0.0)
    motion.similarity[:] = (1, 0, 0, 0)
    motion.coefficients[:] = 0
    assert not smooth_residual(motion, make_path(12)).displacement.any()


def test_steady_residual_motion_is_a_fixed_point():
    motion, path = make_motion(30, wobble=0.0), make_path(30, shake=0.0)
    motion.times[:] = np.arange(30) / 30
    motion.residual[:] = 0.01
    motion.similarity[:] = (1, 0, 0, 0)
    motion.coefficients[:] = np.random.default_rng(1).normal(size=(2, 5, 5)) * 0.05
    assert np.abs(smooth_residual(motion, path).displacement).max() < 1e-12


def test_wobble_is_lowered():
    motion, path = make_motion(90, wobble=0.0), make_path(90, shake=0.0)
    motion.times[:] = np.arange(90) / 30
    sway = np.sin(2 * np.pi * 5 * motion.times)  # Hz
    shape = np.zeros((2, 5, 5))
    shape[0, 1, 0], shape[1, 2, 1] = 0.5, 0.3
    motion.coefficients[:] += np.diff(sway)[:, None, None, None] * shape
    smoothed = smooth_residual(motion, path)
    # In output pixels the residual position is the sway plus what is left of it: B scales by 0.8.
    steps = residual_motion(motion, path)
    position = np.concatenate([np.zeros((1, 2, 5, 5)), np.cumsum(steps, axis=0)])
    after = position - smoothed.displacement / 0.8
    jerk = lambda x: np.abs(np.diff(x[15:-15], 2, axis=0)).sum()  # noqa: E731
    assert jerk(after) < 0.1 * jerk(position)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_displaced_border_stays_inside(seed, margin):
    motion, path = make_motion(25, seed, wobble=1.5), make_path(25, 0.82, seed)
    smoothed = smooth_residual(motion, path, margin=margin)
    assert smoothed.displacement.any()
    still = smooth_residual(motion, path, amount=0)
    for t in range(25):
        points, plain = ring(smoothed, t), ring(still, t)
        inside = np.minimum(points, np.array(SIZE) - points).min()
        # Where the similarity itself is nearer to the border, nothing may be added.
        assert inside >= min(margin, np.minimum(plain, np.array(SIZE) - plain).min()) - 1e-9


@pytest.mark.parametrize("grid", [3, 5])
def test_extreme_displacement_neither_folds_nor_leaves_the_source(grid):
    path = make_path(24)
    displacement = 30 * np.random.default_rng(grid).normal(size=(24, 2, grid, grid))
    # Nothing at the border, and far out of the source inside.
    hill = np.zeros(grid)
    hill[[0, 2]] = 0.5, -0.5  # sin^2
    displacement[:12] = np.multiply.outer(
        np.linspace(20, 400, 24).reshape(12, 2), np.outer(hill, hill)
    )
    gain = stage2._largest_gain(displacement, path, 0.0)
    assert (gain > 0).all()
    x, y = np.meshgrid(np.linspace(0, SIZE[0], 161), np.linspace(0, SIZE[1], 91))
    points = np.stack([x.ravel(), y.ravel()], 1)
    for t in range(24):
        a, b, *shift = path.source_from_output[t]
        seen = (points - np.array(SIZE) / 2) @ np.array([[a, b], [-b, a]]) + shift
        seen += np.array(SIZE) / 2 + gain[t] * lowpass_flow(displacement[t], SIZE, points)
        assert (seen >= 0).all()
        assert (seen <= SIZE).all()
        across = np.diff(seen.reshape(91, 161, 2), axis=1)[:-1]
        down = np.diff(seen.reshape(91, 161, 2), axis=0)[:, :-1]
        assert (across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0] > 0).all()


def test_no_room_means_no_displacement():
    motion = make_motion(20)
    path = CameraPath(SIZE, np.tile([1.0, 0, 0, 0], (20, 1)), np.ones(20))
    assert np.abs(smooth_residual(motion, path).displacement).max() < 1e-12


def test_gain_never_exceeds_its_limit():
    rng = np.random.default_rng(0)
    limit, times = rng.uniform(0, 1, 80), np.cumsum(rng.uniform(0.02, 0.05, 80))
    gain = stage2._lower_envelope(limit, times, 0.4)
    assert (gain <= limit).all()
    assert np.abs(np.diff(gain)).max() < 0.2


def test_shots_are_independent():
    both, path = make_motion(40, shots=(0, 17)), make_path(40)
    both.coefficients[16] = 0
    both.similarity[16] = (1, 0, 0, 0)
    other = make_motion(40, shots=(0, 17))
    other.coefficients[16] = 0
    other.similarity[16] = (1, 0, 0, 0)
    other.coefficients[:16] += 1.0
    first = smooth_residual(both, path).displacement
    second = smooth_residual(other, path).displacement
    np.testing.assert_array_equal(first[17:], second[17:])
    assert not first[16].any()  # the shot's last frame has no neighbours on one side
    assert not first[17].any()


def test_short_and_untrusted_videos():
    for count in (1, 2, 3):
        displacement = smooth_residual(make_motion(count), make_path(count)).displacement
        assert displacement.shape == (count, 2, 5, 5)
        assert np.isfinite(displacement).all()
    motion = make_motion(20)
    motion.confidence[:] = 0
    assert not smooth_residual(motion, make_path(20)).displacement.any()


def test_bad_arguments_are_named():
    motion, path = make_motion(5), make_path(5)
    with pytest.raises(ValueError, match="path"):
        smooth_residual(motion, make_path(6))
    for name, value in (("window", -1), ("margin", np.nan), ("amount", 2)):
        with pytest.raises(ValueError, match=name):
            smooth_residual(motion, path, **{name: value})
