import numpy as np
import pytest
from swaying_clips import look, sway, texture

from steadyview.errors import InputError
from steadyview.metrics import compare_videos, measure_fidelity, measure_temporal_error
from steadyview.metrics.fidelity import ssim
from steadyview.metrics.tracking import LumaFrame


def noisy(frame: LumaFrame, sigma: float, seed: int) -> LumaFrame:
    noise = sigma * np.random.default_rng(seed).normal(size=frame.luma.shape)
    return LumaFrame(np.clip(np.round(frame.luma + noise), 0, 255).astype(np.uint8), frame.time)


def slow_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Window by window in float64."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    values = []
    for y in range(first.shape[0] - 10):
        for x in range(first.shape[1] - 10):
            a, b = (i[y : y + 11, x : x + 11].astype(float) for i in (first, second))
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            top = (2 * ma * mb + c1) * (2 * cov + c2)
            values.append(top / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize("level", [0, 100])
def test_ssim_is_its_definition(level):
    rng = np.random.default_rng(0)
    first = (level + rng.integers(0, 156, (24, 30))).astype(np.uint8)
    second = np.clip(first + 20 * rng.normal(size=first.shape), 0, 255).astype(np.uint8)
    # float32 keeps squares of up to 128^2 to 1e-3, against a smallest constant of 6.5.
    assert ssim(first, second) == pytest.approx(slow_ssim(first, second), abs=1e-4)
    assert ssim(first, first) == pytest.approx(1, abs=1e-6)


def test_psnr_of_known_noise():
    truth = sway(1.0, seconds=0.2)
    equal = measure_fidelity(truth, truth)
    assert np.isinf(equal.psnr).all()
    assert equal.to_dict()["psnr_db"] is None
    result = [noisy(frame, 4.0 if i != 3 else 12.0, i) for i, frame in enumerate(truth)]
    found = measure_fidelity(truth, result)
    # 76800 samples of variance 16 + 1/12 (rounding): 0.5 % of standard error.
    assert found.psnr[0] == pytest.approx(10 * np.log10(255**2 / (16 + 1 / 12)), abs=0.05)
    assert found.worst == 3
    assert found.ssim[3] < found.ssim[0] < 1
    assert found.to_dict()["worst_ssim_frame"] == 3


def test_truth_of_another_size_or_time_is_refused():
    clip = sway(1.0, seconds=0.1)
    small = [LumaFrame(frame.luma[:100], frame.time) for frame in clip]
    with pytest.raises(InputError, match=r"320x240 and .* 320x100"):
        measure_fidelity(clip, small)
    with pytest.raises(InputError, match="no frame in common"):
        measure_fidelity(clip, [])
    with pytest.raises(InputError, match="at least 11 pixels"):
        ssim(np.zeros((5, 20), np.uint8), np.zeros((5, 20), np.uint8))


def test_warp_error_sees_flicker_and_not_motion():
    plane = texture()
    still = [LumaFrame(look(plane), n / 30) for n in range(4)]
    assert measure_temporal_error(still).mean == 0
    pan = [LumaFrame(look(plane, (2.0 * n, 0)), n / 30) for n in range(4)]
    moving = measure_temporal_error(pan)
    assert moving.covered.min() > 0.9
    blinking = [LumaFrame(f.luma + np.uint8(8 * (n == 2)), f.time) for n, f in enumerate(still)]
    found = measure_temporal_error(blinking)
    # Farneback's flow leans on the brightness itself: a step of 8 levels moves it a little.
    assert found.squared_error[1] == pytest.approx((8 * 255 / 219) ** 2, rel=0.2)
    assert found.squared_error[0] == 0
    assert found.worst in (1, 2)
    assert moving.mean < found.squared_error[1] / 2
    assert len(measure_temporal_error(still[:1]).squared_error) == 0
    assert measure_temporal_error(still[:1]).to_dict()["warp_error"] is None


def test_one_report_holds_them_all():
    clip = sway(2.0, seconds=0.4)
    report = compare_videos(clip, clip, standard=True, geometry=True, temporal=True, truth=clip)
    record = report.to_dict()
    assert record["standard_cropping_mean"] == pytest.approx(1, abs=1e-6)
    assert record["truth_unaligned_ssim"] == pytest.approx(1, abs=1e-6)
    assert record["strict_failed_frames"] == 0
    assert record["epipolar_px_1"] < 0.5
    assert record["warp_error"] >= 0
    assert all(isinstance(value, (str, int, float, type(None))) for value in record.values())
