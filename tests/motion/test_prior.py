"""The motion prior, and the decision on cuts."""

import numpy as np

from steadyview.motion.prior import DECAY, hold_prior
from steadyview.motion.shots import Link, differ, find_shots

A, B, F, D, C = Link.ALIGNED, Link.BLANK, Link.FAILED, Link.DIFFERENT, Link.CUT


def test_prior_holds_and_decays_the_velocity():
    times = np.arange(12) / 30
    confidence = np.ones(11)
    confidence[5:] = 0.05
    similarity = np.tile([1.0, 0.01, 3.0, -2.0], (11, 1))
    similarity[5:] = (5, 5, 500, 500)
    homography = np.tile(np.eye(3), (11, 1, 1))
    coefficients = np.ones((11, 2, 3, 3))
    hold_prior(times, confidence, similarity, homography, coefficients)
    assert (confidence[5:] == 0).all()
    gaps = np.arange(1, 7) / 30
    np.testing.assert_allclose(similarity[5:, 2], 3 * np.exp(-gaps / DECAY))
    np.testing.assert_allclose(coefficients[5:, 0, 0, 0], np.exp(-gaps / DECAY))
    np.testing.assert_allclose(similarity[5:, 0], 1)


def test_prior_between_two_measurements_has_no_jump():
    times = np.arange(8) / 30
    confidence = np.array([1, 1, 0, 0, 0, 1, 1.0])
    similarity = np.zeros((7, 4))
    similarity[:, 0] = 1
    similarity[:2, 2], similarity[5:, 2] = 4.0, -2.0
    hold_prior(times, confidence, similarity, np.tile(np.eye(3), (7, 1, 1)), np.zeros((7, 2, 1, 1)))
    steps = np.diff(similarity[:, 2])
    assert (steps <= 1e-12).all()
    assert np.abs(steps).max() < 4


def test_prior_without_any_measurement_is_rest():
    similarity = np.full((3, 4), 7.0)
    homography, coefficients = np.full((3, 3, 3), 7.0), np.full((3, 2, 2, 2), 7.0)
    hold_prior(np.arange(4.0), np.zeros(3), similarity, homography, coefficients)
    assert (similarity == (1, 0, 0, 0)).all()
    assert (homography == np.eye(3)).all()
    assert not coefficients.any()


def test_a_cut_is_a_single_difference():
    assert find_shots([]) == (0,)
    assert find_shots([A, A, D, A]) == (0, 3)
    assert find_shots([D, A]) == (0, 1)
    assert find_shots([A, D]) == (0, 2)
    assert find_shots([A, F, A]) == (0,)
    assert find_shots([A, D, D, A]) == (0,)
    assert find_shots([A, F, D, F, A]) == (0,)
    assert find_shots([A, B, D, A]) == (0, 3)
    assert find_shots([A, B, B, C, A, F]) == (0, 4)
    assert find_shots([B, C, D, A]) == (0, 2, 3)


def test_differ_tells_scenes_apart_but_not_exposures_of_one():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 320)
    first = np.clip(255 * np.outer(np.ones(180), x) + rng.normal(size=(180, 320)) * 3, 0, 255)
    shifted = np.roll(first, 12, axis=1)
    assert not differ(first.astype(np.uint8), shifted.astype(np.uint8))
    assert differ(first.astype(np.uint8), first[:, ::-1].astype(np.uint8).copy())
    assert differ(first.astype(np.uint8), (first * 0.3).astype(np.uint8))
