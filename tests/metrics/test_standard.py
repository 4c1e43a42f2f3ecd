import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from swaying_clips import look, texture

from reference.standard_metrics import standard_metrics
from steadyview.errors import InputError
from steadyview.metrics.standard import (
    low_frequency_share,
    path_of,
    read_script_grey,
    standard_scores,
)


def clip(amplitude: float, count: int = 14, zoom: float = 1.0, seed: int = 0) -> list[np.ndarray]:
    """Colour frames of a camera that shakes and drifts, also in roll and zoom."""
    plane, rng = texture(), np.random.default_rng(seed)
    frames = []
    for index in range(count):
        x, y = amplitude * rng.normal(size=2)
        angle = 0.002 * amplitude * rng.normal()
        grey = look(plane, (x + index, y), zoom * (1 + 0.001 * amplitude * rng.normal()), angle)
        tint = np.array([1.0, 0.9, 0.8])
        frames.append(np.clip(grey[..., None] * tint, 0, 255).astype(np.uint8))
    return frames


def png_grey(frame: np.ndarray) -> np.ndarray:
    """The script's way: colour saved as PNG, read by OpenCV as grey."""
    return cv2.imdecode(cv2.imencode(".png", frame[..., ::-1])[1], cv2.IMREAD_GRAYSCALE)


def translation(x: float, y: float = 0.0, turn: float = 0.0) -> np.ndarray:
    c, s = np.cos(turn), np.sin(turn)
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


def rolling_pan(count: int = 150, size: tuple[int, int] = (1920, 1080)) -> np.ndarray:
    """Homographies of a pan of 4 px a frame in the scene, seen by a camera that rolls smoothly."""
    roll = np.deg2rad(30) * np.sin(np.linspace(0, 2 * np.pi, count))
    centre = translation(size[0] / 2, size[1] / 2)
    steps = []
    for before, after in itertools.pairwise(roll):
        x, y = 4 * np.cos(after), 4 * np.sin(after)
        steps.append(centre @ translation(x, y, after - before) @ np.linalg.inv(centre))
    return np.array(steps)


def test_grey_is_what_opencv_reads_from_png():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 64, 80, 3), np.uint8)
    for grey, frame in zip(read_script_grey(frames), frames, strict=True):
        assert (grey == png_grey(frame)).all()
    red, green = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for blue in (*range(0, 256, 8), 255):
        frame = np.stack([red, green, np.full_like(red, blue)], -1)
        truncated = (frame @ np.array([9797, 19234, 3737])) >> 15
        assert (next(read_script_grey(frame[None])) == truncated).all()


def test_agrees_with_the_script():
    """The same features, matches and random numbers: only the eigenvalues' last bits may differ."""
    source, result = clip(4.0), clip(0.5, zoom=1.2, seed=1)
    expected = standard_metrics([*map(png_grey, source)], [*map(png_grey, result)])
    scores = standard_scores(source, result, exact=True)
    assert scores.cropping_mean == pytest.approx(expected["cropping_avg"], abs=1e-12)
    assert scores.cropping_min == pytest.approx(expected["cropping_min"], abs=1e-12)
    assert scores.distortion_min == pytest.approx(expected["distortion"], abs=1e-12)
    assert scores.stability == pytest.approx(expected["stability"], abs=1e-12)
    for name in ("stability_translation", "stability_rotation"):
        assert getattr(scores, name) == pytest.approx(expected[name], abs=1e-12)
    assert scores.cropping_mean == pytest.approx(1 / 1.2, abs=0.01)
    assert (scores.failed, scores.failed_transitions, scores.unpaired) == ((), (), 0)
    assert scores.cropping[scores.worst_cropping] == scores.cropping.min()
    assert all(isinstance(value, (int, float)) for value in scores.to_dict().values())
    ours = standard_scores(source, result)
    assert ours.stability == pytest.approx(scores.stability, abs=1e-3)
    assert ours.cropping_min == pytest.approx(scores.cropping_min, abs=1e-3)
    assert ours.distortion_min == pytest.approx(scores.distortion_min, abs=1e-3)


def test_identical_videos_keep_all_and_distort_nothing():
    source = clip(4.0, 5)
    scores = standard_scores(source, source)
    assert scores.cropping_mean == pytest.approx(1, abs=1e-9)
    assert scores.distortion_min == pytest.approx(1, abs=1e-9)


def test_a_frame_without_homography_reuses_the_latest_and_is_told():
    source, result = clip(1.0, 6), clip(0.5, 6, zoom=1.2)
    rng = np.random.default_rng(0)
    result[3] = rng.integers(0, 256, result[3].shape, np.uint8)
    scores = standard_scores(source, result, exact=True)
    assert (scores.failed, scores.failed_transitions) == ((3,), (2, 3))
    # Both transitions around frame 3 fail, so that what serves for it maps source 2 to result 2.
    assert scores.cropping[3] == scores.cropping[2]
    expected = standard_metrics([*map(png_grey, source)], [*map(png_grey, result)])
    assert scores.stability == pytest.approx(expected["stability"], abs=1e-12)


def test_videos_that_cannot_be_compared():
    source = clip(1.0, 3)
    blank = [np.full_like(frame, 128) for frame in source]
    with pytest.raises(InputError, match="have no homography"):
        standard_scores(source, blank)
    with pytest.raises(InputError, match="no frame"):
        standard_scores(source, [])
    scores = standard_scores(source, source[:2])
    assert (len(scores.cropping), scores.unpaired) == (2, 1)
    assert scores.to_dict()["stability"] is None  # two frames have one transition: no spectrum
    assert len(standard_scores(source[:1], source[:1]).translation) == 0


def test_a_result_of_another_size_is_brought_to_the_source_size():
    source = clip(1.0, 3)
    half = [cv2.resize(frame, (160, 120), interpolation=cv2.INTER_AREA) for frame in source]
    assert standard_scores(source, half).cropping_mean == pytest.approx(1, abs=2e-3)


# The values below are those of docs/metrics.md ("What is wrong with it").


@pytest.mark.parametrize("sigma", [0.0, 5.0])
def test_a_pan_hides_its_jitter(sigma):
    """0.890 for a perfectly even pan, and the same with 5 px of jitter."""
    path = 4.0 * np.arange(1, 300) + sigma * np.random.default_rng(0).normal(size=299)
    assert low_frequency_share(path) == pytest.approx(0.890, abs=2e-3)


@pytest.mark.parametrize(("frames", "score"), [(30, 0.35), (60, 0.17), (300, 0.034)])
def test_white_noise_scores_by_its_length(frames, score):
    rng = np.random.default_rng(1)
    scores = [low_frequency_share(rng.normal(size=frames - 1)) for _ in range(400)]
    assert np.mean(scores) == pytest.approx(5 / ((frames - 1) // 2), rel=0.05)
    assert np.mean(scores) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize("frames", [60, 300])
def test_a_random_walk_scores_well(frames):
    rng = np.random.default_rng(2)
    walks = rng.normal(size=(400, frames - 1)).cumsum(1)
    assert 0.83 < np.mean([low_frequency_share(walk) for walk in walks]) < 0.9


def test_the_product_is_taken_the_wrong_way_round():
    """1080p, 4 px a frame while the camera rolls by 30 degrees to and fro: 0.922, not 0.805."""
    pose, right = np.eye(3), []
    steps = rolling_pan()
    for step in steps:
        pose = step @ pose
        right.append(np.hypot(pose[0, 2], pose[1, 2]))
    assert low_frequency_share(path_of(steps)[0]) == pytest.approx(0.922, abs=2e-3)
    assert low_frequency_share(np.array(right)) == pytest.approx(0.805, abs=2e-3)


def test_eigenvalues_are_blind_to_shear():
    def ratio(matrix):
        return np.abs(np.divide(*np.sort(np.linalg.eigvals(matrix))))

    shear = np.array([[1, 0.2], [0, 1]])
    assert ratio(shear) == pytest.approx(1.0)
    turn = translation(0, 0, np.deg2rad(5))[:2, :2]
    assert ratio(turn @ np.diag([1.2, 1.0])) == pytest.approx(0.949, abs=5e-4)
    assert ratio(turn) == pytest.approx(1.0)


PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the clips are not part of the repository")
def test_what_the_unmodified_script_printed() -> None:
    """On real clips; by our own features, OpenCV's take a minute."""
    values = json.loads((PUBLISHED / "reference_metrics.json").read_text())["values"]
    for pair, expected in values.items():
        source, result = (str(PUBLISHED / "pairs" / name) for name in pair.split(" -> "))
        found = standard_scores(source, result).to_dict()
        for ours, theirs in (
            ("cropping_mean", "cropping_avg"), ("cropping_min", "cropping_min"),
            ("distortion", "distortion"), ("stability", "stability"),
            ("stability_translation", "stability_translation"),
            ("stability_rotation", "stability_rotation"),
        ):  # fmt: skip
            assert found[ours] == pytest.approx(expected[theirs], abs=1e-3), (pair, ours)
