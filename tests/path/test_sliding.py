"""The path that is settled while the video is read, against the one that knows all of it."""

import numpy as np
import pytest

from steadyview.motion.global_motion import GlobalMotion
from steadyview.path.shake import shake_removed_db
from steadyview.path.similarity import CameraPath, smooth_similarity
from steadyview.path.sliding import SlidingPath

SIZE = (640, 360)
RATE = 12


def shaky_motion(frames: int, seed: int = 0, shots: tuple[int, ...] = (0,)) -> GlobalMotion:
    """A hand that shakes and walks: translation, rotation and zoom, and a wobble beyond them."""
    random = np.random.default_rng(seed)
    steps = frames - 1
    similarity = np.zeros((steps, 4))
    similarity[:, 0] = 1 + 0.002 * random.standard_normal(steps)
    similarity[:, 1] = 0.003 * random.standard_normal(steps)
    sway = 6 * np.sin(np.arange(steps) / 40)
    similarity[:, 2] = sway + 3 * random.standard_normal(steps)
    similarity[:, 3] = 3 * random.standard_normal(steps)
    coefficients = np.zeros((steps, 2, 5, 5))
    coefficients[:, 0, 1, 0] = 0.3 * random.standard_normal(steps)
    homography = np.tile(np.eye(3), (steps, 1, 1))
    ones = np.ones(steps)
    for shot in shots[1:]:
        similarity[shot - 1], ones[shot - 1] = (1, 0, 0, 0), 0
    times = np.arange(frames) / RATE
    return GlobalMotion(SIZE, times, similarity, homography, coefficients, ones, 0.01 * ones, shots)


def slide(motion: GlobalMotion, **given: object) -> CameraPath:
    sliding = SlidingPath(**{"crop_limit": 0.8, "smooth": 1.0, "residual": False, **given})  # type: ignore[arg-type]
    while sliding.ready(motion):
        sliding.settle(motion)
    sliding.settle(motion, complete=True)
    return sliding.path()


def test_the_best_path_is_best_from_any_frame_on() -> None:
    """Bellman's principle: from settled frames of the optimum, the rest of it comes out."""
    motion = shaky_motion(90)
    given = {"times": motion.times, "confidence": motion.confidence}
    whole = smooth_similarity(motion.similarity, SIZE, 0.85, **given).source_from_output
    for settled in (1, 2, 3, 40, 90):
        again = smooth_similarity(motion.similarity, SIZE, 0.85, settled=whole[:settled], **given)
        np.testing.assert_array_equal(again.source_from_output[:settled], whole[:settled])
        # Within what the solver leaves of the cost, 1e-9 of that of doing nothing.
        np.testing.assert_allclose(again.source_from_output, whole, atol=0.05)


def test_l1_goes_on_from_settled_frames_too() -> None:
    motion = shaky_motion(60)
    whole = smooth_similarity(motion.similarity, SIZE, times=motion.times, norm="l1")
    rows = whole.source_from_output
    again = smooth_similarity(
        motion.similarity, SIZE, times=motion.times, norm="l1", settled=rows[:30]
    )
    np.testing.assert_allclose(again.source_from_output, rows, atol=0.05)  # flat at its optimum


@pytest.mark.parametrize("crop_limit", [0.8, 0.93])
def test_it_is_nearly_as_smooth_as_the_whole_solution(crop_limit: float) -> None:
    motion = shaky_motion(40 * RATE)
    whole = smooth_similarity(motion.similarity, SIZE, crop_limit, times=motion.times)
    path = slide(motion, crop_limit=crop_limit)
    removed = [
        shake_removed_db(motion.similarity, p.source_from_output, motion.times, SIZE)
        for p in (whole, path)
    ]
    assert removed[1] > removed[0] - 0.5
    a, b, tx, ty = path.source_from_output.T
    half = np.array(SIZE) / 2
    assert (np.abs(a) * half[0] + np.abs(b) * half[1] + np.abs(tx) <= half[0] + 1e-9).all()
    assert (np.abs(a) * half[1] + np.abs(b) * half[0] + np.abs(ty) <= half[1] + 1e-9).all()
    assert path.kept.min() >= crop_limit - 1e-9
    assert path.violation <= 1e-9


@pytest.mark.parametrize("residual", [False, True])
def test_no_seam_shows_where_a_step_ends(residual: bool) -> None:
    """Third differences of the composed path are no larger at the seams than elsewhere."""
    motion = shaky_motion(20 * RATE)
    whole = slide(motion, crop_limit=0.7, residual=residual)
    path = whole.source_from_output
    alpha, tau = path[:, 0] + 1j * path[:, 1], path[:, 2] + 1j * path[:, 3]
    moved = motion.similarity[:, 0] + 1j * motion.similarity[:, 1]
    shift = motion.similarity[:, 2] + 1j * motion.similarity[:, 3]
    step = np.stack([367 * (moved * alpha[:-1] - alpha[1:]), moved * tau[:-1] + shift - tau[1:]])
    jerk = np.abs(np.diff(step, n=2, axis=1)).max(axis=0)
    every = RATE // 2
    seams = np.zeros(len(jerk), bool)
    for seam in range(every, len(jerk), every):
        seams[max(seam - 3, 0) : seam + 1] = True
    assert jerk[seams].max() < 3 * np.percentile(jerk[~seams], 99)
    if whole.displacement is not None:
        jumps = np.abs(np.diff(whole.displacement, axis=0)).max(axis=(1, 2, 3))
        assert jumps[every - 1 :: every].max() < 1.5 * jumps.max()


def test_stillness_and_steady_pans_are_left_alone() -> None:
    frames = 30 * RATE
    motion = shaky_motion(frames)
    motion.similarity[:] = (1, 0, 4.0, 0)
    motion.coefficients[:] = 0
    np.testing.assert_array_equal(
        slide(motion, residual=True).source_from_output, np.tile([1.0, 0, 0, 0], (frames, 1))
    )


def test_shots_do_not_see_each_other() -> None:
    frames, cut = 20 * RATE, 8 * RATE + 5
    motion = shaky_motion(frames, shots=(0, cut))
    path = slide(motion)
    first, second = slide(motion.window(0, cut)), slide(motion.window(cut, frames))
    np.testing.assert_allclose(path.source_from_output[:cut], first.source_from_output, atol=0.05)
    # The windows of the second shot begin elsewhere when it is on its own: another path, as smooth.
    after = motion.window(cut, frames)
    removed = [
        shake_removed_db(after.similarity, rows, after.times, SIZE)
        for rows in (path.source_from_output[cut:], second.source_from_output)
    ]
    assert removed[0] == pytest.approx(removed[1], abs=1.0)


def test_residual_displacements_are_settled_with_the_path() -> None:
    motion = shaky_motion(20 * RATE)
    path = slide(motion, residual=True)
    assert path.displacement is not None
    assert path.displacement.shape == (motion.frames, 2, 5, 5)
    assert np.abs(path.displacement).max() > 0.1


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 47])
def test_any_length(frames: int) -> None:
    path = slide(shaky_motion(frames), residual=True)
    assert path.source_from_output.shape == (frames, 4)
    assert np.isfinite(path.source_from_output).all()
    assert path.displacement is not None
    assert path.displacement.shape == (frames, 2, 5, 5)
    a, b, tx, _ = path.source_from_output.T
    assert (np.abs(a) * 320 + np.abs(b) * 180 + np.abs(tx) <= 320 + 1e-9).all()


def test_nothing_but_the_path_is_kept() -> None:
    """A view of a window would keep all of the window: ten times the memory."""
    motion = shaky_motion(10 * RATE)
    sliding = SlidingPath(crop_limit=0.8, smooth=1.0, residual=True)
    while sliding.ready(motion):
        piece = sliding.settle(motion)
        assert piece.source_from_output.base is None
        assert piece.kept.base is None
        assert piece.displacement is not None
        assert piece.displacement.base is None


def test_a_pause_in_the_recording_does_not_empty_the_window() -> None:
    """One long interval between the time stamps counts as a second."""
    motion = shaky_motion(40 * RATE)
    motion.times[20 * RATE :] += 60.0
    whole = smooth_similarity(motion.similarity, SIZE, 0.8, times=motion.times)
    path = slide(motion)
    removed = [
        shake_removed_db(motion.similarity, p.source_from_output, motion.times, SIZE)
        for p in (whole, path)
    ]
    assert removed[1] > removed[0] - 1.0


@pytest.mark.parametrize("rate", [0.2, 1000.0, 100000.0])
def test_absurd_rates(rate: float) -> None:
    """Eight frames ahead at least, and never more than the window may hold."""
    motion = shaky_motion(600)
    motion.times[:] = np.arange(600) / rate
    sliding = SlidingPath(crop_limit=0.8, smooth=1.0, residual=False)
    sliding.most = 100
    longest = 0
    while sliding.ready(motion):
        before = sliding.settled
        needed = next(n for n in range(before, 601) if sliding.ready(motion.window(0, n)))
        longest = max(longest, needed - before)
        sliding.settle(motion)
    assert 8 < longest <= 100
    assert sliding.settle(motion, complete=True).frames > 0


def test_steps_do_not_depend_on_what_is_known_beyond_them() -> None:
    """At 25 frames a second half a step is half a frame."""
    motion = shaky_motion(114)
    motion.times[:] = np.arange(114) / 25
    at_once = slide(motion).source_from_output
    sliding = SlidingPath(crop_limit=0.8, smooth=1.0, residual=False)
    for known in range(1, 115):
        if sliding.ready(motion.window(0, known)):
            sliding.settle(motion.window(0, known))
    sliding.settle(motion, complete=True)
    np.testing.assert_array_equal(sliding.path().source_from_output, at_once)
