import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.warp import sample, source_points, warp_frame

from steadyview import _core
from steadyview.errors import OptionError
from steadyview.render.frames import (
    INTERPOLATIONS,
    FrameWarper,
    matrix_from_similarity,
    warp_rgb,
)
from steadyview.video.info import PixelFormat

FORMATS = {
    "yuv420p": PixelFormat("yuv420p", 3, 8, (1, 1)),
    "yuv422p": PixelFormat("yuv422p", 3, 8, (1, 0)),
    "yuv444p": PixelFormat("yuv444p", 3, 8, (0, 0)),
    "yuva420p": PixelFormat("yuva420p", 4, 8, (1, 1)),
    "yuv411p": PixelFormat("yuv411p", 3, 8, (2, 0)),
    "gray": PixelFormat("gray", 1, 8, (0, 0)),
    "gbrp": PixelFormat("gbrp", 3, 8, (0, 0), is_rgb=True),
    "yuv420p10": PixelFormat("yuv420p10le", 3, 10, (1, 1)),
    "yuv422p12": PixelFormat("yuv422p12le", 3, 12, (1, 0)),
    "gbrp16": PixelFormat("gbrp16le", 3, 16, (0, 0), is_rgb=True),
}
IDENTITY = np.eye(3)
PARABOLA = 1 / 64  # px a parabola may miss the exact point by, else it is not used


def random_planes(format, width, height, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(0, 1 << format.depth, format.plane_shape(i, width, height)).astype(
            format.dtype
        )
        for i in range(format.planes)
    )


def tolerance(format, point_error=1e-6):
    """Rounding, plus weights of 15 bits (a tap's is off by at most 1.5 / 32768, four taps by 3,
    weighted by at most 1.5 down the column; lanczos3's polynomial by about as much), plus a step of
    at most 2.5 levels a level and pixel where the point is off."""
    levels = (1 << format.depth) - 1
    return 0.5 + levels * (6e-5 + 3 * point_error)


def assert_matches_reference(
    format, width, height, matrix, interpolation, displacement=None, point_error=1e-6, **options
):
    planes = random_planes(format, width, height)
    location = options.get("chroma_location", "left")
    warper = FrameWarper(width, height, format, interpolation=interpolation, **options)
    result = warper.warp(planes, matrix, displacement)
    expected = warp_frame(
        planes, matrix, format=format, interpolation=interpolation, location=location,
        displacement=displacement, output_size=options.get("output_size"),
    )  # fmt: skip
    for ours, reference in zip(result, expected, strict=True):
        assert ours.dtype == format.dtype
        assert np.abs(ours - reference).max() <= tolerance(format, point_error)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(64, 48), (37, 21), (1, 1), (1, 9), (9, 1), (16, 16)])
def test_identity_is_bit_exact(name, interpolation, size):
    planes = random_planes(FORMATS[name], *size)
    result = FrameWarper(*size, FORMATS[name], interpolation=interpolation).warp(planes, IDENTITY)
    for ours, plane in zip(result, planes, strict=True):
        np.testing.assert_array_equal(ours, plane)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10", "gbrp16"])
@pytest.mark.parametrize("shift", [(2, 4), (-6, 2), (32, -16), (0, 1)])
def test_whole_shifts_are_copies(name, interpolation, shift):
    format, (dx, dy) = FORMATS[name], shift
    planes = random_planes(format, 70, 40)
    matrix = matrix_from_similarity((1, 0, dx, dy), (70, 40))
    result = FrameWarper(70, 40, format, interpolation=interpolation).warp(planes, matrix)
    for i, (ours, plane) in enumerate(zip(result, planes, strict=True)):
        sx, sy = format.chroma_shift if i in (1, 2) else (0, 0)
        if dx % (1 << sx) or dy % (1 << sy):
            continue
        rows, columns = np.indices(plane.shape)
        rows = np.clip(rows + (dy >> sy), 0, plane.shape[0] - 1)
        columns = np.clip(columns + (dx >> sx), 0, plane.shape[1] - 1)
        np.testing.assert_array_equal(ours, plane[rows, columns])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", FORMATS)
def test_similarity_matches_the_reference(name, interpolation):
    matrix = matrix_from_similarity((0.96, 0.02, 2.3, -1.7), (131, 75))
    assert_matches_reference(FORMATS[name], 131, 75, matrix, interpolation)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10"])
@pytest.mark.parametrize(
    "matrix",
    [
        matrix_from_similarity((0.5, 0.9, 0, 0), (131, 75)),  # steep: groups are no runs of samples
        matrix_from_similarity((-1, 0, 0, 0), (131, 75)),  # upside down
        matrix_from_similarity((3, -0.2, 0, 0), (131, 75)),  # shrinks
        matrix_from_similarity((0.05, 0, 0, 0), (131, 75)),  # enlarges
        matrix_from_similarity((0.97, -0.12, 60, 40), (131, 75)),  # half of it beyond the edge
        np.array([[0.9, 0.1, 3], [0.05, 1.1, -4], [0, 0, 1]]),
        np.array([[1, 0.02, 1], [-0.01, 1, 0.5], [2e-5, -3e-5, 1]]),
        np.array([[1, 0.02, 1], [-0.01, 1, 0.5], [4e-3, 1e-3, 1]]),  # strong perspective
        -2 * np.array([[1, 0, 0.25], [0, 1, 0.5], [1e-5, 0, 1]]),  # the scale means nothing
    ],
)
def test_other_maps_match_the_reference(matrix, name, interpolation):
    assert_matches_reference(
        FORMATS[name],
        131,
        75,
        matrix,
        interpolation,
        point_error=PARABOLA if matrix[2, 0] else 1e-6,
    )


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv411p"])
def test_chroma_follows_luma(name, location):
    matrix = matrix_from_similarity((0.9, 0.05, 1.2, 3.4), (90, 70))
    assert_matches_reference(
        FORMATS[name], 90, 70, matrix, "bicubic", chroma_location=location, output_size=(81, 65)
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10"])
def test_displacement_matches_the_reference(name, interpolation):
    displacement = np.random.default_rng(3).normal(0, 1.5, (2, 5, 5))
    matrix = matrix_from_similarity((0.97, 0.01, 1, 2), (320, 60))
    # A parabola a group of 16 pixels may be off by kCurvatureLimit, then it is not used.
    assert_matches_reference(
        FORMATS[name], 320, 60, matrix, interpolation, displacement, point_error=PARABOLA
    )
    assert_matches_reference(  # strong bends: each pixel by itself
        FORMATS[name], 320, 60, matrix, interpolation, 20 * displacement, point_error=1e-6
    )


def test_small_displacement_is_precise():
    # Third derivatives of 5 x 5 terms of 0.02 px: 32.9 (4 pi / 320)^3 0.02 is 4e-5 px a term.
    displacement = np.full((2, 5, 5), 0.02)
    assert_matches_reference(
        FORMATS["yuv420p"], 320, 60, IDENTITY, "bicubic", displacement, point_error=5e-4
    )


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 40)),
    a=st.floats(0.5, 1.5),
    b=st.floats(-0.4, 0.4),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    name=st.sampled_from(["yuv420p", "yuv422p", "yuv420p10", "gray"]),
    interpolation=st.sampled_from(INTERPOLATIONS),
)
def test_any_similarity_and_size(size, a, b, shift, name, interpolation):
    matrix = matrix_from_similarity((a, b, *shift), size)
    assert_matches_reference(FORMATS[name], *size, matrix, interpolation)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_matches_opencv_remap(interpolation):
    # remap rounds points to 1/32 px: up to 1/64 px off on each axis, times the image's slope.
    import cv2

    width, height = 160, 120
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    image = np.rint(128 + 60 * np.sin(x / 9.0) + 60 * np.cos(y / 7.0)).astype(np.uint8)
    matrix = matrix_from_similarity((0.98, 0.03, 1.3, -0.6), (width, height))
    sx, sy = source_points(matrix, image.shape)
    flag = cv2.INTER_LINEAR if interpolation == "bilinear" else cv2.INTER_CUBIC
    theirs = cv2.remap(
        image, (sx - 0.5).astype(np.float32), (sy - 0.5).astype(np.float32), flag,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    format = FORMATS["gray"]
    (ours,) = FrameWarper(width, height, format, interpolation=interpolation).warp((image,), matrix)
    slope = 60 / 9 + 60 / 7
    assert np.abs(ours.astype(int) - theirs).max() <= 1 + slope / 64
    assert np.abs(ours.astype(int) - theirs).mean() < 0.15


def test_reference_agrees_with_opencv_on_floats():
    import cv2

    image = np.random.default_rng(1).random((40, 50)).astype(np.float32)
    x, y = np.meshgrid(np.arange(48) + 0.5 + 8 / 32, np.arange(36) + 0.5 + 20 / 32)
    for interpolation, flag in (("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)):
        theirs = cv2.remap(
            image, (x - 0.5).astype(np.float32), (y - 0.5).astype(np.float32), flag,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        np.testing.assert_allclose(sample(image, x, y, interpolation), theirs, atol=2e-6)


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10"])
def test_strided_planes_and_given_output(name):
    format, size = FORMATS[name], (50, 30)
    planes = random_planes(format, *size)
    wide = [np.zeros((p.shape[0], p.shape[1] + 13), p.dtype) for p in planes]
    held = [np.full((p.shape[0] + 2, p.shape[1] + 9), 77, p.dtype) for p in planes]
    views, outs = [], []
    for plane, source, target in zip(planes, wide, held, strict=True):
        source[:, 5 : 5 + plane.shape[1]] = plane
        views.append(source[:, 5 : 5 + plane.shape[1]])
        outs.append(target[1:-1, 4 : 4 + plane.shape[1]])
    matrix = matrix_from_similarity((0.95, 0.02, 1, 1), size)
    warper = FrameWarper(*size, format)
    result = warper.warp(views, matrix, out=outs)
    for ours, given_, expected in zip(result, outs, warper.warp(planes, matrix), strict=True):
        assert ours is given_
        np.testing.assert_array_equal(ours, expected)
    for target, out in zip(held, outs, strict=True):  # nothing else was touched
        out[...] = 77
        assert (target == 77).all()


@pytest.mark.parametrize("shift", [(1e9, 0), (-1e9, 1e9), (0, -1e5), (1e300, -1e300)])
def test_far_away_is_all_edge(shift):
    planes = random_planes(FORMATS["yuv420p"], 40, 30)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]], dtype=float)
    luma = FrameWarper(40, 30, FORMATS["yuv420p"]).warp(planes, matrix)[0]
    columns = np.clip(np.arange(40) + np.clip(shift[0], -99, 99).astype(int), 0, 39)
    rows = np.clip(np.arange(30) + np.clip(shift[1], -99, 99).astype(int), 0, 29)
    np.testing.assert_array_equal(luma, planes[0][np.ix_(rows, columns)])


def test_points_behind_the_camera():
    # w crosses zero inside the output.
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.04, 0, 2]], dtype=float)
    planes = random_planes(FORMATS["gray"], 64, 20)
    (result,) = FrameWarper(64, 20, FORMATS["gray"]).warp(planes, matrix)
    (expected,) = warp_frame(planes, matrix, format=FORMATS["gray"], interpolation="bicubic")
    assert np.abs(result - expected).max() <= 0.6


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10", "yuv422p12", "gbrp16"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_overshoot_is_clamped(name, interpolation):
    format = FORMATS[name]
    top = (1 << format.depth) - 1
    planes = tuple(
        np.where(np.indices(p.shape).sum(0) // 4 % 2, top, 0).astype(p.dtype)
        for p in random_planes(format, 60, 44)
    )
    matrix = matrix_from_similarity((0.93, 0.03, 0.4, 0.3), (60, 44))
    for ours in FrameWarper(60, 44, format, interpolation=interpolation).warp(planes, matrix):
        assert ours.max() == top
        assert ours.min() == 0


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_flat_image_stays_flat(name, interpolation):
    format = FORMATS[name]
    for level in (0, 1, 100, (1 << format.depth) - 1):
        planes = tuple(np.full_like(p, level) for p in random_planes(format, 64, 40))
        matrix = matrix_from_similarity((0.913, 0.037, 0.41, 0.33), (64, 40))
        for ours in FrameWarper(64, 40, format, interpolation=interpolation).warp(planes, matrix):
            assert (ours == level).all()


def test_thread_count_does_not_matter():
    planes = random_planes(FORMATS["yuv420p"], 200, 150)
    matrix = matrix_from_similarity((0.95, 0.03, 1, 1), (200, 150))
    displacement = np.random.default_rng(0).normal(0, 0.3, (2, 5, 5))
    warper = FrameWarper(200, 150, FORMATS["yuv420p"])
    before = _core.num_threads()
    try:
        results = []
        for threads in (1, 2, 7):
            _core.set_num_threads(threads)
            results.append(warper.warp(planes, matrix, displacement))
    finally:
        _core.set_num_threads(before)
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


_ISA_SCRIPT = """
import sys
import numpy as np
from steadyview import _core
from steadyview.render.frames import INTERPOLATIONS, FrameWarper, matrix_from_similarity
from tests.render.test_frames import FORMATS, random_planes
results = []
for name in ("yuv420p", "yuv420p10"):
    for interpolation in INTERPOLATIONS:
        for row in ((0.95, 0.02, 3, -2), (0.9, 0.3, 20, 9)):
            warper = FrameWarper(150, 90, FORMATS[name], interpolation=interpolation)
            displacement = np.random.default_rng(0).normal(0, 0.1, (2, 4, 4))
            matrix = matrix_from_similarity(row, (150, 90))
            for plane in warper.warp(random_planes(FORMATS[name], 150, 90), matrix, displacement):
                results.append(plane.astype(np.int32).ravel())
np.save(sys.argv[1], np.concatenate(results))
print(_core.active_isa())
"""


def test_instruction_sets_agree(tmp_path):
    results = {}
    for isa in ("baseline", "avx2", "avx512"):
        path = tmp_path / f"{isa}.npy"
        done = subprocess.run(
            [sys.executable, "-c", _ISA_SCRIPT, str(path)],
            env={**os.environ, "STEADYVIEW_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        results[done.stdout.strip()] = np.load(path)
    # Only fused multiply-adds differ: ties and points on the edge of two pixels.
    for result in results.values():
        difference = np.abs(result - results["baseline"])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


def test_warp_rgb():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    matrix = matrix_from_similarity((0.95, 0.02, 1, 1), (40, 30))
    np.testing.assert_array_equal(warp_rgb(image, IDENTITY), image)
    result = warp_rgb(image, matrix)
    channels = [np.ascontiguousarray(image[:, :, c]) for c in range(3)]
    planes = FrameWarper(40, 30, FORMATS["gbrp"]).warp(channels, matrix)
    np.testing.assert_array_equal(result, np.stack(planes, 2))
    floats = (image / np.float32(255)).astype(np.float32)
    as_floats = warp_rgb(floats, matrix)
    assert as_floats.dtype == np.float32
    assert np.abs(as_floats * 255 - result).max() <= 0.5 + 0.05
    assert np.abs(warp_rgb(floats, IDENTITY) - floats).max() <= 0.5 / 65535 + 1e-7
    assert warp_rgb(image, matrix, output_size=(20, 10)).shape == (10, 20, 3)
    with pytest.raises(TypeError, match="float64"):
        warp_rgb(image.astype(np.float64), matrix)
    with pytest.raises(ValueError, match="image must be"):
        warp_rgb(image[:, :, 0], matrix)


def test_bad_arguments_name_themselves():
    format = FORMATS["yuv420p"]
    planes = random_planes(format, 16, 16)
    warper = FrameWarper(16, 16, format)
    with pytest.raises(OptionError, match="interpolation must be one of bilinear"):
        FrameWarper(16, 16, format, interpolation="area")
    with pytest.raises(OptionError, match="chroma_location must be one of"):
        FrameWarper(16, 16, format, chroma_location="middle")
    with pytest.raises(OptionError, match="at least 1"):
        FrameWarper(0, 16, format)
    with pytest.raises(ValueError, match="source_from_output must be"):
        warper.warp(planes, np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="source_from_output must be"):
        warper.warp(planes, np.eye(2))
    with pytest.raises(ValueError, match="infinity"):
        warper.warp(planes, np.array([[1, 0, 0], [0, 1, 0], [1, 0, -8.0]]))
    with pytest.raises(ValueError, match="displacement must be"):
        warper.warp(planes, IDENTITY, np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="displacement must be finite"):
        warper.warp(planes, IDENTITY, np.full((2, 3, 3), np.inf))
    with pytest.raises(ValueError, match="frame_planes must have the shapes"):
        warper.warp(planes[:2], IDENTITY)
    with pytest.raises(ValueError, match="out must have the shapes"):
        warper.warp(planes, IDENTITY, out=planes[:1])
    with pytest.raises(ValueError, match="frame_planes must be a 2-D array of uint8, got uint16"):
        warper.warp([p.astype(np.uint16) for p in planes], IDENTITY)
    with pytest.raises(ValueError, match="columns next to each other"):
        warper.warp([np.repeat(p, 2, 1)[:, ::2] for p in planes], IDENTITY)
    frozen = [p.copy() for p in planes]
    frozen[0].flags.writeable = False
    with pytest.raises(ValueError, match="writ"):
        warper.warp(planes, IDENTITY, out=frozen)
