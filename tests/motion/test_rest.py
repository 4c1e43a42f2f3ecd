"""A camera at rest behind something that moves, and cameras that move behind what stays."""

import cv2
import numpy as np
import pytest
from tests.motion.test_global_motion import SIZE, look, shaky, similarity_matrix, texture

from steadyview.motion.global_motion import GlobalMotion, MotionEstimator
from steadyview.motion.rest import BLOCKS, ring_votes


def scene(frame: int, contrast: float, box: tuple[int, int] = (130, 100)) -> np.ndarray:
    """A world of faint detail, before which a box with a strong pattern is waved."""
    world = 128 + contrast * (texture(3).astype(np.float32) - 128)
    swing = 40 * np.sin(0.25 * frame)
    left, top = round(250 + swing - box[0] / 2), round(170 + 0.3 * swing - box[1] / 2)
    world[top : top + box[1], left : left + box[0]] = texture(4)[: box[1], : box[0]]
    return world


def film(poses: list[np.ndarray], contrast: float, noise: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    frames = []
    for t, pose in enumerate(poses):
        seen = look(scene(t, contrast), pose).astype(np.float32)
        seen += rng.normal(size=seen.shape) * noise
        frames.append(np.clip(np.round(seen), 0, 255).astype(np.uint8))
    return frames


def measured(frames: list[np.ndarray]) -> tuple[GlobalMotion, list[bool]]:
    estimator = MotionEstimator(SIZE)
    believed = []
    for t, frame in enumerate(frames):
        estimator.add(frame, t / 30)
        believed.append(estimator._rest.believed)
    return estimator.finish(), believed


def steps(motion: GlobalMotion) -> np.ndarray:
    return np.hypot(motion.similarity[:, 2], motion.similarity[:, 3])


STILL = similarity_matrix(0, 0, 0, 0)


def test_camera_rests_behind_a_waved_box(monkeypatch):
    frames = film([STILL] * 45, contrast=0.12)
    motion, believed = measured(frames)
    assert believed[-1]
    start = believed.index(True)
    assert start <= 20
    # What was measured up to half a second before was taken back too.
    np.testing.assert_array_equal(motion.similarity[max(start - 15, 0) :, 2:], 0)
    monkeypatch.setattr("steadyview.motion.rest.EVIDENCE", np.inf)
    followed, _ = measured(frames)
    assert np.sqrt((steps(followed) ** 2).mean()) > 1  # the box is what would be followed


@pytest.mark.parametrize("contrast", [0.12, 1.0])
def test_moving_camera_is_never_held(contrast: float):
    poses = shaky(45, seed=2)
    _, believed = measured(film(poses, contrast))
    assert not any(believed)


def test_camera_that_sets_off_is_followed():
    pan = [similarity_matrix(0, 0, 2.5 * max(t - 45, 0), 0) for t in range(75)]
    motion, believed = measured(film(pan, contrast=0.12))
    assert believed[44]
    released = 45 + believed[45:].index(False)
    assert released <= 45 + 10
    assert not any(believed[released:])
    assert abs(np.median(motion.similarity[released:, 2]) + 2.5) < 1


def test_text_and_bars_along_the_edges_hold_no_camera():
    frames = [look(texture(3), pose) for pose in shaky(45, seed=5)]
    for t, frame in enumerate(frames):
        frame[:20], frame[-20:] = 0, 0
        for y in (14, SIZE[1] - 6):
            cv2.putText(frame, "12:34:56 ALT 120 SPD 33 GPS 48.12 11.56 REC", (2, y), 0, 0.4, 255)
        frames[t] = frame
    _, believed = measured(frames)
    assert not any(believed)


def votes(under_rest: np.ndarray, under_motion: np.ndarray) -> np.ndarray:
    return np.array(ring_votes(under_rest, under_motion, np.ones_like(under_rest)))


def test_votes_are_shares_of_the_rings():
    rest = np.full((4 * BLOCKS, 5 * BLOCKS), 0.5, np.float32)
    motion = np.full_like(rest, 2.0)
    motion[:, : 5 * BLOCKS // 2] = 0.1
    np.testing.assert_allclose(votes(rest, motion), 0.5)


def test_what_neither_rests_nor_moves_along_is_against_rest():
    rest = np.full((32, 32), 4.0, np.float32)
    np.testing.assert_array_equal(votes(rest, 2 * rest), [[0, 0], [1, 1]])


def test_edges_without_opinion_are_left_out():
    rest = np.full((32, 32), 0.5, np.float32)
    motion = np.full_like(rest, 2.0)
    bars = np.pad(rest, ((6, 6), (0, 3)), constant_values=0.4)
    bars_motion = np.pad(motion, ((6, 6), (0, 3)), constant_values=0.4)
    np.testing.assert_array_equal(votes(bars, bars_motion), votes(rest, motion))


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (7, 40), (40, 7)])
def test_few_cells_have_no_vote(shape: tuple[int, int]):
    rest = np.zeros(shape, np.float32)
    np.testing.assert_array_equal(votes(rest, rest + 5), np.zeros((2, 2)))


def test_unseen_cells_have_no_vote():
    rest = np.full((32, 32), np.nan, np.float32)
    np.testing.assert_array_equal(votes(rest, rest), np.zeros((2, 2)))
