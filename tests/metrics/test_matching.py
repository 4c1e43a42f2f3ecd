import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from swaying_clips import look, texture

from steadyview import _core
from steadyview.metrics.matching import (
    Features,
    find_features,
    fit_homography,
    match_features,
    pipelined,
)
from steadyview.metrics.standard import standard_scores


def random_features(count: int, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 640, (count, 2)).astype(np.float32)
    return Features(points, rng.integers(0, 200, (count, 128), np.uint8))


@pytest.mark.parametrize("ratio", [0.7, 0.97])
def test_matches_are_opencvs(ratio):
    first, second = random_features(90, 0), random_features(133, 1)
    second.descriptors[:40] = first.descriptors[10:50] // 2 + second.descriptors[:40] // 2
    start, end = match_features(first, second, ratio)
    floats = [part.descriptors.astype(np.float32) for part in (first, second)]
    kept = [
        (near.queryIdx, near.trainIdx)
        for near, far in cv2.BFMatcher().knnMatch(*floats, k=2)
        if near.distance < ratio * far.distance
    ]
    assert 10 < len(kept) < 90
    assert (start == first.points[[q for q, _ in kept]]).all()
    assert (end == second.points[[t for _, t in kept]]).all()


def test_mutual_matches_are_opencvs_cross_check():
    first, second = random_features(60, 2), random_features(70, 3)
    start, end = match_features(first, second, 2.0, mutual=True)
    floats = [part.descriptors.astype(np.float32) for part in (first, second)]
    kept = cv2.BFMatcher(crossCheck=True).match(*floats)
    assert (start == first.points[[m.queryIdx for m in kept]]).all()
    assert (end == second.points[[m.trainIdx for m in kept]]).all()


def test_few_features_have_no_matches():
    some, one, none = random_features(5, 0), random_features(1, 1), random_features(0, 2)
    for first, second in ((some, one), (some, none), (none, some), (none, none)):
        assert [part.shape for part in match_features(first, second, 0.7)] == [(0, 2), (0, 2)]
    assert fit_homography(some.points[:3], some.points[:3], 3.0, 4) is None


def test_descriptors_of_other_kinds_are_refused():
    with pytest.raises(ValueError, match="one length"):
        _core.nearest_two(np.zeros((2, 4), np.uint8), np.zeros((2, 5), np.uint8))
    with pytest.raises(TypeError):
        _core.SiftFinder().find(np.zeros((20, 20), np.float32))
    with pytest.raises(ValueError, match="height, width"):
        _core.SiftFinder().find(np.zeros((20, 20, 3), np.uint8))


@pytest.mark.parametrize("zoom", [1.0, 2.5])
def test_features_are_opencvs(zoom):
    """All but a few in a thousand, also without fused multiply-add, which rounds otherwise."""
    gray = look(texture(), zoom=zoom, angle=0.3)
    ours, theirs = find_features(gray), find_features(gray, exact=True)
    assert len(theirs) > 250
    assert abs(len(ours) - len(theirs)) <= 0.005 * len(theirs)
    # Pairs of one place and nearly one descriptor; a place may have several orientations.
    place = np.abs(ours.points[:, None] - theirs.points[None]).max(-1)
    a, b = np.nonzero(place < 0.01)
    alike = np.abs(ours.descriptors[a].astype(int) - theirs.descriptors[b]).max(-1) <= 2
    assert len(np.unique(a[alike])) > 0.995 * len(ours)
    assert len(np.unique(b[alike])) > 0.995 * len(theirs)
    # In one order but for ties at rounding.
    assert (np.diff(ours.points[:, 0]) >= 0).all()


@pytest.mark.skipif(_core.active_isa() == "baseline", reason="needs fused multiply-add")
def test_sums_are_opencvs():
    """The pyramid is OpenCV's bit for bit; a descriptor's sums of 1e3 parts are rounded otherwise.

    That is 1e-6 of an element of 100: it falls on another side of a half in 1e-4 of elements.
    """
    gray = look(texture(), angle=0.3)
    ours, theirs = find_features(gray), find_features(gray, exact=True)
    assert len(ours) == len(theirs)
    # Single precision of the fitted position; coordinates reach 320.
    np.testing.assert_allclose(ours.points, theirs.points, atol=2e-4)
    difference = np.abs(ours.descriptors.astype(int) - theirs.descriptors)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-4


def test_instruction_sets_agree():
    code = (
        "import sys, numpy as np; from steadyview.metrics.matching import find_features;"
        "gray = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(240, 320);"
        "found = find_features(gray); sys.stdout.buffer.write(found.points.tobytes())"
    )
    gray = look(texture())
    found = []
    for isa in ("baseline", "avx2", "avx512"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=gray.tobytes(),
            capture_output=True,
            env={**os.environ, "STEADYVIEW_ISA": isa},
            check=True,
        )
        found.append(np.frombuffer(done.stdout, np.float32).reshape(-1, 2))
    for other in found[1:]:
        near = np.abs(found[0][:, None] - other[None]).max(-1) < 0.01
        assert near.any(1).mean() > 0.995
        assert near.any(0).mean() > 0.995


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 9), (11, 200), (33, 40)])
def test_small_and_blank_images(size):
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, size, np.uint8)
    # Smaller than five pixels a side, OpenCV's own pyramid has no place for an extremum either.
    expected = 0 if min(size) < 7 else len(find_features(gray, exact=True))
    assert len(find_features(gray)) == pytest.approx(expected, abs=1)
    assert len(find_features(np.full(size, 77, np.uint8))) == 0


def test_views_of_arrays_are_read_right():
    gray = look(texture())
    turned = find_features(gray.T)
    assert (turned.points == find_features(gray.T.copy()).points).all()
    assert len(_core.SiftFinder().find(np.zeros((0, 5), np.uint8))[0]) == 0


def test_our_features_give_nearly_the_standard_scores():
    plane, rng = texture(), np.random.default_rng(0)
    source = [look(plane, tuple(4 * rng.normal(size=2))) for _ in range(8)]
    result = [look(plane, tuple(rng.normal(size=2)), 1.2) for _ in range(8)]
    exact, fast = (standard_scores(source, result, exact=exact) for exact in (True, False))
    assert fast.cropping_mean == pytest.approx(exact.cropping_mean, abs=1e-3)
    assert fast.distortion_min == pytest.approx(exact.distortion_min, abs=2e-3)
    # RANSAC's samples differ: 0.05 px on a path of a few px.
    np.testing.assert_allclose(fast.translation, exact.translation, atol=0.3)


def test_pipeline_keeps_order_and_passes_errors_on():
    assert list(pipelined(range(50), lambda n: n * n)) == [n * n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(pipelined([1, 0, 2], lambda n: 1 // n))
    drawn: list[int] = []

    def items():
        for n in range(1000):
            drawn.append(n)
            yield n

    stream = pipelined(items(), lambda n: n)
    assert next(stream) == 0
    assert len(drawn) <= 2 * _core.num_threads()
    stream.close()
