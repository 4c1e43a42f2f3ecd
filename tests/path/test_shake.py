import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyview.path.shake import compose_motions, shake_energy, shake_removed_db

SIZE = (640, 360)


def matrix(row: np.ndarray) -> np.ndarray:
    a, b, x, y = row
    return np.array([[a, -b, x], [b, a, y], [0, 0, 1]])


def random_similarities(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([1, 0, 0, 0]) + rng.normal(size=(count, 4)) * [0.05, 0.05, 10, 10]


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_composition_matches_the_matrix_product(seed: int) -> None:
    motion, path = random_similarities(5, seed), random_similarities(6, seed + 1)
    output = compose_motions(motion, path)
    for t in range(5):
        expected = np.linalg.inv(matrix(path[t + 1])) @ matrix(motion[t]) @ matrix(path[t])
        np.testing.assert_allclose(matrix(output[t]), expected, atol=1e-12 * 100)


def shaking(rate: float, frequency: float, amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Motion of a camera that swings sideways, sampled at a frame rate for four seconds."""
    times = np.arange(int(4 * rate)) / rate
    position = amplitude * np.sin(2 * np.pi * frequency * times) + 30 * times
    motion = np.tile([1.0, 0, 0, 0], (len(times) - 1, 1))
    motion[:, 2] = np.diff(position)
    return motion, times


def test_energy_of_a_sine_is_half_its_squared_amplitude_at_any_frame_rate() -> None:
    for rate in (24, 60, 120):
        motion, times = shaking(rate, 5.0, 3.0)
        assert shake_energy(motion, times, SIZE) == pytest.approx(4.5, rel=0.02)


def test_slow_and_steady_motion_is_no_shake() -> None:
    motion, times = shaking(30, 0.3, 20.0)
    assert shake_energy(motion, times, SIZE) < 0.01 * 200
    motion[:] = [1, 0, 4, -2]
    assert shake_energy(motion, times, SIZE) == pytest.approx(0, abs=1e-20)


def test_a_perfect_correction_removes_all_and_identity_nothing() -> None:
    motion, times = shaking(30, 4.0, 5.0)
    identity = np.tile([1.0, 0, 0, 0], (len(times), 1))
    assert shake_removed_db(motion, identity, times, SIZE) == pytest.approx(0, abs=1e-9)
    half = identity.copy()
    half[1:, 2] = np.cumsum(motion[:, 2] - 1.0) / 2
    assert shake_removed_db(motion, half, times, SIZE) == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_videos_have_no_shake(frames: int) -> None:
    motion = np.tile([1.0, 0, 5, 0], (frames - 1, 1))
    assert shake_energy(motion, np.arange(frames) / 30, SIZE) == 0
