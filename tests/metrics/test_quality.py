import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from swaying_clips import look, sway, texture

import videos
from steadyview.errors import InputError
from steadyview.metrics import compare_videos
from steadyview.metrics.border import border_pixels
from steadyview.metrics.sharpness import sharpness_kept
from steadyview.metrics.tracking import LumaFrame, limited_luma, match_frames, read_luma
from steadyview.video.info import Frame, VideoInfo, pixel_format

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


@pytest.fixture(scope="module")
def shaky():
    return sway(4.0)


def test_identical_videos(shaky):
    report = compare_videos(shaky, shaky)
    assert report.frames == 60
    assert report.shake_removed_db == pytest.approx(0, abs=0.01)
    assert report.kept_mean == pytest.approx(1, abs=1e-4)
    assert report.outside_mean == 0
    assert report.sharpness_kept == pytest.approx(1, abs=1e-3)
    assert report.wobble_after == pytest.approx(report.wobble_before, rel=0.05)
    assert (report.border_pixels, report.unpaired, report.unmatched) == (0, 0, 0)
    assert all(isinstance(value, (str, int, float)) for value in report.to_dict().values())


def test_unknown_measures_are_none_and_progress_is_told(shaky):
    blank = [LumaFrame(np.full_like(frame.luma, 128), frame.time) for frame in shaky[:3]]
    told = []
    report = compare_videos(shaky[:3], blank, lambda done, total: told.append((done, total)))
    assert np.isnan(report.kept_mean)
    assert report.to_dict()["kept_mean"] is None
    json.dumps(report.to_dict(), allow_nan=False)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_known_shake_and_zoom(shaky):
    """An eighth of the sway, seen through a zoom of 1.25: 18.06 dB, four fifths kept."""
    report = compare_videos(shaky, sway(0.5, zoom=1.25))
    assert report.shake_removed_db == pytest.approx(20 * np.log10(8), abs=0.3)
    assert report.kept_mean == pytest.approx(0.8, abs=5e-4)
    assert report.kept_min == pytest.approx(0.8, abs=2e-3)
    assert report.wobble_before < 0.06
    assert report.wobble_after < 0.06
    assert report.sharpness_kept == pytest.approx(1, abs=0.05)
    assert report.unmatched == 0


def test_view_beyond_the_source_is_told(shaky):
    report = compare_videos(shaky, sway(0.5, zoom=1.0))
    # The views differ by |3.5 sin| in x: a mean of 2 / pi 3.5 of 320 columns lies outside.
    assert report.outside_mean == pytest.approx(2 / np.pi * 3.5 / 320, rel=0.1)
    assert report.kept_mean == pytest.approx(1 - report.outside_mean / 2, abs=5e-4)


def test_wobble_is_found(shaky):
    plane, rows = texture(), np.linspace(-1, 1, 240)
    bent = [
        LumaFrame(look(plane, zoom=1.1, row_shift=(-1) ** n * 1.5 * np.cos(3 * rows)), frame.time)
        for n, frame in enumerate(shaky[:16])
    ]
    report = compare_videos(shaky[:16], bent)
    assert report.wobble_after > 0.5
    assert report.wobble_before < 0.06


def test_frames_without_partner_are_counted(shaky):
    dropped = [frame for index, frame in enumerate(shaky[:20]) if index not in (5, 6, 12)]
    report = compare_videos(shaky[:20], dropped)
    assert (report.frames, report.unpaired) == (17, 3)
    with pytest.raises(InputError, match="no frame in common"):
        compare_videos(shaky[:2], [])


@pytest.mark.parametrize("zoom", [1.0, 1.25])
def test_sharpness_ranks_kernels_and_blur(zoom):
    source = look(texture(blur=0.6))
    shift = 0.4 + (1 - zoom) * np.array([159.5, 119.5])
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    size = source.shape[::-1]
    kept = [
        sharpness_kept(source, cv2.warpAffine(source, matrix, size, flags=kernel), matrix)
        for kernel in (cv2.INTER_LANCZOS4, cv2.INTER_CUBIC, cv2.INTER_LINEAR)
    ]
    assert kept[0] == pytest.approx(1, abs=0.02)
    assert kept[0] > kept[2] + 0.2
    assert kept[1] > kept[2] + 0.2
    blurred = cv2.GaussianBlur(source, (0, 0), 1.0)
    assert sharpness_kept(source, blurred, IDENTITY) < 0.3


def test_border_pixels_are_counted_exactly():
    source = look(texture())
    result = source.copy()
    assert border_pixels(source, result, IDENTITY) == 0
    result[:, :7] = 16
    result[-3:] = 16
    expected = 7 * 240 + 3 * (320 - 7)
    assert border_pixels(source, result, IDENTITY) == expected
    result[100:120, 100:120] = 16  # black inside the picture is no border
    assert border_pixels(source, result, IDENTITY) == expected
    assert border_pixels(source, result, None) == expected


def test_dark_sources_excuse_dark_edges():
    source = look(texture())
    source[:, :60] = 18
    assert border_pixels(source, source, IDENTITY) == 0
    black = np.full_like(source, 16)
    assert border_pixels(black, black, None) == 0  # a fade from black
    assert border_pixels(source, black, None) == black.size
    moved = np.array([[1.0, 0, 20], [0, 1, 0]])
    result = cv2.warpAffine(source, moved, (320, 240), borderValue=16)
    # Twenty columns from outside are black next to dark ones that the source really shows; those
    # within 3 px of the dark part are excused.
    assert border_pixels(source, result, moved) == (20 - 3) * 240


def test_a_noisy_night_has_no_border():
    random = np.random.default_rng(0)
    dim = look(texture()) * 0.2 + 16  # 30 to 60
    source, result = (
        np.clip(dim + random.normal(0, 9, dim.shape), 0, 255).astype(np.uint8) for _ in range(2)
    )
    assert (result[:, 0] <= 24).any()
    assert border_pixels(source, result, IDENTITY) == 0
    assert border_pixels(source, result, None) == 0
    result[:, -5:] = 16
    # And some dark specks that touch it.
    assert border_pixels(source, result, None) == pytest.approx(5 * 240, rel=0.05)


def test_dark_low_contrast_frames_are_matched():
    random = np.random.default_rng(1)
    plane = texture()
    frames = [
        np.clip(look(plane, (x, 0)) * 0.3 + 16 + random.normal(0, 8, (240, 320)), 0, 255)
        for x in (0, 7)
    ]
    row = match_frames(*(frame.astype(np.uint8) for frame in frames))
    assert row == pytest.approx([1, 0, -7, 0], abs=0.5)


def _write(path, frames, rotation=0):
    height, width = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for luma in frames:
            planes = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        container.mux(stream.encode(None))


def test_files_read_like_frames(tmp_path, shaky):
    path = tmp_path / "clip.mkv"
    _write(path, [frame.luma for frame in shaky[:10]])
    read = list(read_luma(path))
    assert [round(frame.time * 30) for frame in read] == list(range(10))
    assert all((one.luma == other.luma).all() for one, other in zip(read, shaky, strict=False))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_files_are_read_upright(tmp_path, shaky, rotation):
    """The stored frame is turned; the display matrix says how to turn it back."""
    path = tmp_path / "clip.mp4"
    upright = shaky[0].luma
    _write(path, [np.rot90(upright, -rotation // 90)], rotation)
    (frame,) = read_luma(path)
    assert (frame.luma == upright).all()


def _info(pix_fmt, color_range=1):
    return VideoInfo("x", 16, 24, pixel_format(pix_fmt), Fraction(30), color={"range": color_range})


def _flat(level, dtype=np.uint8, planes=1):
    return Frame((np.full((24, 16), level, dtype),) * planes, 0, 0.0, 0)


def test_full_range_becomes_limited_range():
    assert (limited_luma(_flat(255), _info("gray", 2)) == 235).all()
    assert (limited_luma(_flat(235), _info("gray")) == 235).all()


def test_ten_bits_and_rgb_become_eight_bit_luma():
    assert (limited_luma(_flat(512, np.uint16), _info("gray10le")) == 128).all()
    assert (limited_luma(_flat(1023, np.uint16), _info("gray10le", 2)) == 235).all()
    assert (limited_luma(_flat(255, planes=3), _info("gbrp")) == 235).all()
    assert (limited_luma(_flat(65535, np.uint16, planes=3), _info("gbrp16le")) == 235).all()


def test_images_and_arrays_are_measured_like_files(tmp_path):
    clip = videos.shaky_clip(6, (160, 120))
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(clip.frames):
        cv2.imwrite(str(folder / f"{index}.png"), frame[..., ::-1])
    expected = list(read_luma(clip.frames))
    assert len(expected) == 6
    for source in (folder, folder / "*.png", folder / "%d.png", list(clip.frames)):
        for frame, other in zip(read_luma(source), expected, strict=True):
            assert (frame.luma == other.luma).all()
            assert frame.time == other.time
    report = compare_videos(folder / "%d.png", iter(clip.frames))
    assert (report.frames, report.unpaired) == (6, 0)


def test_a_portrait_video_against_its_upright_copy(tmp_path):
    """Stored on its side and mirrored, as by a front camera."""
    clip = videos.shaky_clip(8, (160, 240))
    upright = videos.write_clip(tmp_path / "b.mp4", clip, lossless=True)
    for mirrored in (False, True):
        stored = [np.rot90(frame[:, ::-1] if mirrored else frame) for frame in clip.frames]
        # Clockwise by a quarter (x, y) -> (-y, x); mirrored too: (x, y) -> (y, x).
        one, across = 1 << 16, 1 << 16 if mirrored else -1 << 16
        matrix = [0, one, 0, across, 0, 0, 0, 0, 1 << 30]
        path = videos.write_video(tmp_path / "a.mp4", stored, lossless=True, matrix=matrix)
        report = compare_videos(path, upright)
        assert (report.frames, report.unpaired, report.unmatched) == (8, 0, 0)
        assert report.shake_removed_db == pytest.approx(0, abs=0.1)
        assert report.kept_mean == pytest.approx(1, abs=1e-3)


def test_a_damaged_video_is_measured_where_it_decodes(tmp_path):
    clip = videos.shaky_clip(40, (160, 120))
    path = videos.write_clip(tmp_path / "a.mp4", clip)
    whole = videos.write_clip(tmp_path / "b.mp4", clip)
    report = compare_videos(videos.corrupt_middle(path, 0.4, 0.1), whole)
    assert report.frames >= 20
    assert report.frames + report.unpaired >= 40
