"""Charts, curves and pictures of the report, against things known in advance."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyview.motion.global_motion import GlobalMotion
from steadyview.report.pictures import crop_window, draw_crop_window
from steadyview.report.series import path_series, shake_spectrum
from steadyview.report.svg import Chart, Line, decimate, ticks


def motion_of(steps: np.ndarray, shots: tuple[int, ...] = (0,)) -> GlobalMotion:
    """Motion with the given (x, y, angle, log zoom) steps at 30 frames a second."""
    count = len(steps)
    scale = np.exp(steps[:, 3])
    similarity = np.stack(
        [scale * np.cos(steps[:, 2]), scale * np.sin(steps[:, 2]), steps[:, 0], steps[:, 1]], axis=1
    )
    return GlobalMotion(
        (640, 360),
        np.arange(count + 1) / 30,
        similarity,
        np.tile(np.eye(3), (count, 1, 1)),
        np.zeros((count, 2, 5, 5)),
        np.ones(count),
        np.zeros(count),
        shots,
    )


def test_correction_equal_to_the_shake_leaves_nothing() -> None:
    random = np.random.default_rng(0)
    path = random.normal(0, (5, 4, 0.01, 0.0), (40, 4))
    path[0] = 0
    motion = motion_of(np.diff(path, axis=0))
    correction = np.stack(
        [0.8 * np.cos(path[:, 2]), 0.8 * np.sin(path[:, 2]), path[:, 0], path[:, 1]], axis=1
    )
    before, after = path_series(motion, correction)
    np.testing.assert_allclose(before.x, path[:, 0], atol=1e-12)
    np.testing.assert_allclose(before.rotation, np.degrees(path[:, 2]), atol=1e-10)
    for name in ("x", "y", "rotation"):
        np.testing.assert_allclose(getattr(after, name), 0, atol=1e-10)
    np.testing.assert_allclose(after.zoom, 100, atol=1e-10)


def test_each_shot_starts_anew() -> None:
    steps = np.tile([1.0, 0.0, 0.0, 0.0], (9, 1))
    identity = np.tile([1.0, 0.0, 0.0, 0.0], (10, 1))
    before, _ = path_series(motion_of(steps, (0, 5)), identity)
    np.testing.assert_array_equal(before.x, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])


@pytest.mark.parametrize("hertz", [1.5, 4.0, 9.0])
def test_spectrum_shows_a_sine_at_its_frequency(hertz: float) -> None:
    times = np.arange(600) / 30
    x = 6 * np.sin(2 * np.pi * hertz * times) + 3 * times
    frequency, amplitude = shake_spectrum(x, np.zeros(600), times)
    peak = amplitude.argmax()
    assert frequency[peak] == pytest.approx(hertz, rel=0.15)
    assert amplitude[peak] == pytest.approx(6 / math.sqrt(2), rel=0.02)
    assert amplitude[frequency > 2 * hertz].max(initial=0) < 0.01


def test_spectrum_of_almost_nothing() -> None:
    frequency, amplitude = shake_spectrum(np.zeros(5), np.zeros(5), np.arange(5.0))
    assert len(frequency) == len(amplitude) == 0


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-3, 1e6, allow_subnormal=False),
    st.integers(2, 10),
)
def test_ticks_are_inside_and_not_too_many(low: float, span: float, wanted: int) -> None:
    found = ticks(low, low + span, wanted)
    assert len(found) <= wanted + 2
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0] if len(steps) else 0, rtol=1e-3, atol=1e-9 * abs(low))


def test_decimation_keeps_peaks() -> None:
    x = np.arange(100_000.0)
    y = np.sin(x / 900)
    y[54_321] = 7
    y[12_345] = -7
    short_x, short_y = decimate(x, y, 300)
    assert len(short_x) <= 602
    assert short_y.max() == 7
    assert short_x[short_y.argmin()] == 12_345
    assert (np.diff(short_x) > 0).all()
    same_x, _ = decimate(x[:50], y[:50], 300)
    np.testing.assert_array_equal(same_x, x[:50])


def test_chart_draws_lines_inside_its_box() -> None:
    x = np.linspace(0, 10, 50)
    line = Line("a & b", x, 100 * np.sin(x), "before")
    svg = Chart("t", "x (s)", "y (px)", [line], vertical=[(5.0, "cut")]).render()
    assert "a &amp; b" in svg
    left, top, width, height = map(float, re.search(r'data-box="([^"]+)"', svg)[1].split(","))  # type: ignore[index]
    points = np.array(
        [pair.split(",") for pair in re.search(r'points="([^"]+)"', svg)[1].split()],
        float,  # type: ignore[index]
    )
    assert points[:, 0].min() >= left
    assert points[:, 0].max() <= left + width
    assert points[:, 1].min() >= top
    assert points[:, 1].max() <= top + height


@pytest.mark.parametrize("log", [False, True])
def test_chart_of_constant_or_no_values(log: bool) -> None:
    for values in (np.full(4, 2.0), np.full(4, np.nan), np.zeros(0), np.zeros(3)):
        x = np.arange(1.0, 1 + len(values))
        svg = Chart("t", "x", "y", [Line("a", x, values)], log=log).render()
        assert "nan" not in svg
        assert "inf" not in svg


def test_crop_window_by_hand() -> None:
    np.testing.assert_array_equal(
        crop_window(np.array([1.0, 0, 0, 0]), 640, 360), [[0, 0], [640, 0], [640, 360], [0, 360]]
    )
    quarter_turn = crop_window(np.array([0.0, 0.5, 10, 20]), 40, 20)
    # [[a, -b], [b, a]] (-20, -10) = (0.5 * 10, 0.5 * -20), about the centre (20, 10) + (10, 20)
    np.testing.assert_allclose(quarter_turn[0], [35, 20])
    np.testing.assert_allclose(quarter_turn[2], [25, 40])


def test_crop_window_is_drawn_where_it_is() -> None:
    image = np.full((80, 120, 3), 200, np.uint8)
    drawn = draw_crop_window(image, np.array([[20.0, 20], [100, 20], [100, 60], [20, 60]]))
    assert (drawn[40, 60] == 200).all()
    assert (drawn[5, 5] == 90).all()
    assert (image == 200).all()
