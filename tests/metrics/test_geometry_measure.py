import cv2
import numpy as np
import pytest
from swaying_clips import look, texture

from steadyview.errors import OptionError
from steadyview.metrics import measure_geometry
from steadyview.metrics.geometry import sampson_distances
from steadyview.metrics.tracking import LumaFrame


def test_sampson_distance_is_opencvs():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3, 3))
    start, end = rng.uniform(0, 640, (2, 20, 2))
    ones = np.ones((20, 1))
    expected = [
        cv2.sampsonDistance(a[:, None], b[:, None], matrix)
        for a, b in zip(np.hstack([start, ones]), np.hstack([end, ones]), strict=True)
    ]
    np.testing.assert_allclose(sampson_distances(matrix, start, end) ** 2, expected, rtol=1e-9)


def test_sampson_distance_of_a_known_camera():
    """Points in space seen by two cameras obey their epipolar geometry; shifted by 1 px, not."""
    rng = np.random.default_rng(1)
    points = rng.uniform((-1, -1, 4), (1, 1, 8), (50, 3))
    move = np.array([0.3, 0.1, 0.05])
    turn = cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]
    inner = np.array([[500, 0, 320], [0, 500, 180], [0, 0, 1.0]])
    start, end = (
        (lambda p: p[:, :2] / p[:, 2:])(seen @ inner.T) for seen in (points, points @ turn.T + move)
    )
    cross = np.array([[0, -move[2], move[1]], [move[2], 0, -move[0]], [-move[1], move[0], 0]])
    inverse = np.linalg.inv(inner)
    matrix = inverse.T @ cross @ turn @ inverse
    assert sampson_distances(matrix, start, end).max() < 1e-9
    off = sampson_distances(matrix, start, end + np.array([0, 1.0]))
    assert 0.1 < off.mean() < 1.0


def test_bent_frames_are_told_from_rigid_ones():
    plane = texture()
    x, y = np.meshgrid(np.arange(320, dtype=np.float32), np.arange(240, dtype=np.float32))
    rigid = [LumaFrame(look(plane, (3.0 * n, 0)), n / 30) for n in range(7)]
    bent = []
    for n, frame in enumerate(rigid):  # waves in both axes, which no epipolar lines absorb
        wave = (-1) ** n * 3 * np.float32(1)
        shown = cv2.remap(frame.luma, x + wave * np.sin(y / 20), y + wave * np.sin(x / 20), 1)
        bent.append(LumaFrame(shown, frame.time))
    good, bad = (measure_geometry(clip, (1, 5)).to_dict() for clip in (rigid, bent))
    for gap in (1, 5):
        assert good[f"epipolar_px_{gap}"] < 0.3
        assert good[f"epipolar_outliers_{gap}"] < 0.05
        assert bad[f"epipolar_outliers_{gap}"] > good[f"epipolar_outliers_{gap}"] + 0.1


def test_what_cannot_be_measured_is_nan():
    blank = [LumaFrame(np.full((120, 160), 128, np.uint8), n / 30) for n in range(3)]
    found = measure_geometry(blank, (1, 5))
    assert found.error.shape == (2, 3)
    assert np.isnan(found.error).all()
    assert found.to_dict()["epipolar_px_5"] is None
    for gaps in ((), (0, 1), (5, 1)):
        with pytest.raises(OptionError, match="gaps"):
            measure_geometry(blank, gaps)
