import numpy as np
import pytest
from swaying_clips import SIZE, look, sway, texture

from steadyview.errors import InputError
from steadyview.metrics import measure_shake
from steadyview.metrics.shake import highpass, shake_of_transitions
from steadyview.metrics.tracking import LumaFrame, fit_similarity


def test_highpass_is_the_residual_of_a_smoothing_spline():
    path = np.random.default_rng(0).normal(size=(80, 3)).cumsum(0)
    third = np.diff(np.eye(80), 3, axis=0)
    weight = (2 * np.sin(np.pi / 30)) ** -6
    smooth = np.linalg.solve(np.eye(80) + weight * third.T @ third, path)
    np.testing.assert_allclose(highpass(path, 30.0), path - smooth, atol=1e-7)


def test_highpass_removes_a_parabola_whole():
    time = np.arange(200) / 25
    path = np.stack([3 + 400 * time - 30 * time**2, time], axis=1)
    assert np.abs(highpass(path, 25.0)).max() < 1e-6


@pytest.mark.parametrize("rate", [24.0, 30.0, 60.0, 240.0])
@pytest.mark.parametrize(("frequency", "gain"), [(0.5, 0.0154), (1.0, 0.5), (2.0, 0.985)])
def test_highpass_gain_depends_on_hertz_alone(rate, frequency, gain):
    time = np.arange(round(20 * rate)) / rate
    wave = np.sin(2 * np.pi * frequency * time)[:, None]
    passed = highpass(wave, rate)[len(time) // 4 : -len(time) // 4]
    # The sines of the discrete filter change the gain by up to 4 % at 24 frames/s and 2 Hz.
    assert np.abs(passed).max() == pytest.approx(gain, rel=0.07)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_highpass_of_few_frames(count):
    out = highpass(np.ones((count, 2)), 30.0)
    assert out.shape == (count, 2)
    assert np.abs(out).max(initial=0) < 1e-12


def test_sine_has_its_known_energy():
    shake = measure_shake(sway(3.0, frequency=4.0))
    # 3 px at 320 are 6 px at 640; a sine's mean square is half its amplitude squared. The spline
    # follows the path more closely at its two ends, which takes 4 % off over two seconds.
    time = np.arange(60) / 30
    wave = 6 * np.sin(2 * np.pi * 4 * time)[:, None]
    assert shake.energy == pytest.approx((highpass(wave, 30.0) ** 2).mean(), rel=0.01)
    assert shake.energy == pytest.approx(6.0**2 / 2, rel=0.06)
    assert shake.failed == 0
    assert 0 < shake.steady_share < 0.1


def test_frame_rate_does_not_change_the_values():
    slow, fast = (measure_shake(sway(3.0, rate=rate)) for rate in (25.0, 50.0))
    assert fast.energy == pytest.approx(slow.energy, rel=0.02)
    assert fast.steady_share == pytest.approx(slow.steady_share, rel=0.1)


def test_uneven_frame_times():
    """Every fourth frame is missing: the path between is interpolated, the energy stays."""
    even = sway(3.0, rate=60.0)
    uneven = [frame for index, frame in enumerate(even) if index % 4]
    # A straight line across 1/30 s of a 3 Hz sine misses its middle by 5 %.
    assert measure_shake(uneven).energy == pytest.approx(measure_shake(even).energy, rel=0.05)


def test_still_and_panning_videos_do_not_shake():
    plane = texture()
    still = [LumaFrame(look(plane), index / 30) for index in range(20)]
    pan = [LumaFrame(look(plane, (2.0 * index, 0)), index / 30) for index in range(40)]
    assert measure_shake(still).energy < 1e-20
    assert measure_shake(still).steady_share == 1
    panned = measure_shake(pan)
    assert panned.rms < 0.05
    assert panned.steady_share > 0.999
    assert np.abs(np.diff(panned.path[:, 0, 0]) + 4).max() < 0.1


def test_rotation_and_zoom_count_at_the_corners():
    angle = 0.01 * np.sin(2 * np.pi * 3 * np.arange(60) / 30)
    rows = np.zeros((59, 4))
    rows[:, 0] = 1
    rows[:, 1] = np.diff(angle)
    shake = shake_of_transitions(np.arange(60) / 30, rows, (320.0, 240.0))
    # Four of five points lie 400 px from the centre; the ends of the clip take some per cent off.
    assert shake.energy == pytest.approx(0.8 * (400 * 0.01) ** 2 / 2, rel=0.08)


def test_lost_transitions_are_bridged():
    rows = np.tile([1.0, 0, 5.0, 0], (50, 1))
    rows[20] = np.nan
    shake = shake_of_transitions(np.arange(51) / 30, rows, (320.0, 180.0))
    assert shake.failed == 1
    assert shake.energy < 1e-18


def test_nothing_is_known_of_a_blank_video():
    frames = [LumaFrame(np.full((240, 320), 90, np.uint8), index / 30) for index in range(8)]
    shake = measure_shake(frames)
    assert shake.failed == 7
    assert np.isnan([shake.energy, shake.rms, shake.steady_share]).all()


def test_similarity_ignores_a_third_of_outliers():
    rng = np.random.default_rng(3)
    start = rng.uniform(-300, 300, (300, 2))
    turn = np.array([[1.01, -0.02], [0.02, 1.01]])
    end = start @ turn.T + (12.0, -7.0)
    end[:100] += (25.0, 10.0)
    np.testing.assert_allclose(fit_similarity(start, end), [1.01, 0.02, 12, -7], atol=0.05)
    assert fit_similarity(start[:5], end[:5]) is None


def test_files_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"absent\.mp4"):
        measure_shake(tmp_path / "absent.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(InputError, match=r"text\.mp4"):
        measure_shake(text)


def test_frame_size_is_the_expected_one():
    assert look(texture()).shape == SIZE[::-1]
