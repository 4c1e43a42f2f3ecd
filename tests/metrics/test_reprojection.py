"""Reprojection error on tracks and clips whose truth is known."""

import cv2
import numpy as np
import pytest
from scipy import optimize
from swaying_clips import look, texture

from steadyview.errors import OptionError
from steadyview.metrics.projective import first_guess, project, refine, triangulate
from steadyview.metrics.reprojection import explain_tracks, measure_reprojection
from steadyview.metrics.tracking import LumaFrame

FRAMES, COUNT = 6, 120


def scene_tracks(seed=0, travel=(0.3, 0.02, 0.4), noise=0.0):
    """A cloud of points before a shaking camera that moves: `(m, n, 2)` px, and the generator."""
    random = np.random.default_rng(seed)
    depth = random.uniform(3, 12, COUNT)
    points = np.stack([random.uniform(-0.5, 0.5, COUNT), random.uniform(-0.28, 0.28, COUNT),
                       np.ones(COUNT)], axis=1) * depth[:, None]  # fmt: skip
    tracks = []
    for index in range(FRAMES):
        place = np.array(travel) * index / (FRAMES - 1) + random.normal(0, 0.01, 3)
        turn = cv2.Rodrigues(np.radians(random.normal(0, 0.5, 3) + 0.3 * index))[0]
        seen = (points - place) @ turn.T
        tracks.append(580 * seen[:, :2] / seen[:, 2:])
    return np.array(tracks) + random.normal(0, noise, (FRAMES, COUNT, 2)), random


def rms(distances):
    return float(np.sqrt(np.square(distances).mean()))


@pytest.mark.parametrize("travel", [(0, 0, 0), (0.3, 0.02, 0.4), (1, 0, 0), (0, 0, 1)])
def test_a_rigid_scene_is_explained_whatever_homographies_are_laid_over_it(travel):
    tracks, random = scene_tracks(travel=travel)
    assert explain_tracks(tracks).max() < 1e-3
    steadied = []
    for frame in tracks:
        matrix = np.eye(3) + random.normal(0, 0.03, (3, 3)) * [[1, 1, 320], [1, 1, 320],
                                                                [1e-3, 1e-3, 0]]  # fmt: skip
        steadied.append(cv2.perspectiveTransform(frame[None], matrix)[0])
    assert explain_tracks(np.array(steadied)).max() < 1e-3


def test_noise_leaves_what_its_degrees_of_freedom_say():
    tracks, _ = scene_tracks(noise=0.2)
    free = 11 * FRAMES + 3 * COUNT - 15
    wanted = 0.2 * np.sqrt(2 * (1 - free / tracks.size))
    # 1,000 degrees of freedom left: 2.2 % of standard error.
    assert rms(explain_tracks(tracks)) == pytest.approx(wanted, rel=0.08)


def test_bending_is_seen_and_grows():
    tracks, _ = scene_tracks(noise=0.1)
    wave = np.sin(2.0 * np.arange(FRAMES))[:, None]
    found = []
    for bend in (0, 1, 2, 4):
        bent = tracks.copy()
        bent[..., 0] += bend * wave * (tracks[..., 1] / 180) ** 2
        found.append(rms(explain_tracks(bent)))
    assert found == sorted(found)
    assert found[3] > 3 * found[0]


def test_moving_objects_are_outliers():
    tracks, random = scene_tracks(noise=0.1)
    moving = slice(0, COUNT // 5)
    tracks[:, moving] += 10 * random.normal(size=(FRAMES, COUNT // 5, 2)).cumsum(axis=0)
    distances = explain_tracks(tracks)
    assert (distances[moving] > 1).all()
    assert (distances[COUNT // 5 :] < 1).all()
    assert rms(distances[COUNT // 5 :]) < 0.15


def test_the_adjustment_is_a_least_one():
    """scipy, from there, finds nothing better."""
    tracks, _ = scene_tracks(noise=0.3)
    units = tracks[:4, :16] / 320
    cameras, points = refine(units, *first_guess(units, None), 1e3, 200)

    def misses(values):
        c, p = values[:48].reshape(-1, 3, 4), values[48:].reshape(-1, 4)
        return (project(c, p) - units).ravel()

    start = np.concatenate([cameras.ravel(), points.ravel()])
    best = optimize.least_squares(misses, start, method="trf", xtol=1e-12, ftol=1e-12)
    assert np.square(misses(start)).sum() == pytest.approx(2 * best.cost, rel=0.02)
    one = optimize.least_squares(
        lambda p: (project(cameras, p[None]) - units[:, :1]).ravel(), points[0]
    )
    found = triangulate(units[:, :1], cameras)
    assert np.square(project(cameras, found) - units[:, :1]).sum() == pytest.approx(
        2 * one.cost, rel=1e-3
    )


def test_a_clip_that_is_bent():
    plane = texture()
    rows = 2 * np.pi * np.arange(240) / 120

    def clip(bend):
        # Waves that run down the frame. A bend of one shape is what a curved surface would show.
        return [
            LumaFrame(look(plane, (3 * n, n), row_shift=bend * np.sin(rows + 2.0 * n)), n / 30)
            for n in range(21)
        ]

    rigid, bent = measure_reprojection(clip(0.0)), measure_reprojection(clip(3.0))
    assert rigid.frames.tolist() == [5, 15]
    assert rigid.error.max() < 0.15
    assert rigid.outliers.max() < 0.05
    assert rigid.survival.min() > 0.5
    assert bent.to_dict()["reprojection_px"] > 3 * rigid.to_dict()["reprojection_px"]
    assert bent.worst in (5, 15)


def test_what_cannot_be_measured():
    blank = [LumaFrame(np.full((120, 160), 90, np.uint8), n / 30) for n in range(12)]
    found = measure_reprojection(blank).to_dict()
    assert found["reprojection_px"] is None
    assert found["worst_reprojection_frame"] is None
    assert measure_reprojection(blank[:5]).to_dict()["reprojection_survival"] is None
    with pytest.raises(OptionError, match="odd and at least 5"):
        measure_reprojection(blank, window=6)
