from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

import videos
from steadyview.errors import InputError, OptionError
from steadyview.video.clock import Clock
from steadyview.video.info import VideoInfo, nearest_planar, pixel_format
from steadyview.video.planes import Orientation, turned
from steadyview.video.probe import chroma_location
from steadyview.video.reader import Uniform, open_video

RNG = np.random.default_rng(0)


def plane_bytes(path: Path, pix_fmt: str) -> list[np.ndarray]:
    """All planes of all frames one after the other, by PyAV's own reader and no padding."""
    out = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.format.name == pix_fmt
            item = 1 if pixel_format(pix_fmt).depth == 8 else 2
            for plane in frame.planes:
                rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
                out.append(rows[:, : plane.width * item])
    return out


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "suffix"),
    [
        ("yuv420p", "libx264", ".mp4"),
        ("yuv422p", "libx264", ".mp4"),
        ("yuv444p", "libx264", ".mp4"),
        ("yuv420p10le", "libx264", ".mp4"),
        ("yuv422p10le", "libx264", ".mkv"),
        ("yuv444p12le", "ffv1", ".mkv"),
        ("yuva420p", "ffv1", ".mkv"),
        ("gray", "ffv1", ".mkv"),
        ("gray10le", "ffv1", ".mkv"),
        ("gbrp10le", "ffv1", ".mkv"),
        ("yuvj420p", "libx264", ".mp4"),
    ],
)
def test_planar_formats_are_handed_out_as_they_are(
    tmp_path: Path, pix_fmt: str, codec: str, suffix: str
) -> None:
    path = videos.write_video(
        tmp_path / f"a{suffix}", 4, size=(70, 46), pix_fmt=pix_fmt, codec=codec
    )
    expected = plane_bytes(path, pix_fmt)
    with open_video(path) as reader:
        fmt = reader.info.format
        assert fmt == pixel_format(pix_fmt)
        assert (reader.info.width, reader.info.height) == (70, 46)
        got = [plane for frame in reader for plane in frame.planes]
    assert len(got) == len(expected) == 4 * fmt.planes
    for plane, raw in zip(got, expected, strict=True):
        assert plane.dtype == fmt.dtype
        assert np.array_equal(plane.view(np.uint8), raw)
        assert not plane.flags.writeable  # a decoder may still refer to it
        assert not plane.flags.owndata  # no copy


def test_full_range_is_a_colour_not_a_format(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 2, pix_fmt="yuvj420p")
    with open_video(path) as reader:
        assert reader.info.format.name == "yuv420p"
        assert reader.info.color["range"] == 2


def test_frames_outlive_their_reader(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 20, lossless=True)
    with open_video(path) as reader:
        frames = list(reader)
    for frame, raw in zip(frames, plane_bytes(path, "yuv420p")[::3], strict=True):
        assert np.array_equal(frame.planes[0], raw)


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("frames", [1, 2, 3, 30])
def test_every_frame_comes_out(tmp_path: Path, frames: int, b_frames: int) -> None:
    path = videos.write_video(tmp_path / "a.mp4", frames, b_frames=b_frames)
    with open_video(path) as reader:
        for _ in range(2):  # an iteration starts at the first frame
            got = list(reader)
            assert [frame.index for frame in got] == list(range(frames))
            assert [frame.time for frame in got] == pytest.approx(np.arange(frames) / 30)
        assert reader.warnings == []
        assert reader.info.frames == frames
        assert reader.info.frame_rate == 30


def test_variable_frame_rate_and_start(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.4, 0.45, 0.451, 1.0]
    path = videos.write_video(tmp_path / "a.mp4", 7, times=times, start=0.5, b_frames=2)
    with open_video(path) as reader:
        frames = list(reader)
        base = reader.info.time_base
    assert [float(f.pts * base) for f in frames] == pytest.approx([t + 0.5 for t in times])
    assert [f.time for f in frames] == pytest.approx(times)


ONE = 1 << 16


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(
    ("a", "b", "c", "d", "clockwise"),
    [
        (1, 0, 0, 1, 0),
        (0, 1, -1, 0, 90),
        (-1, 0, 0, -1, 180),
        (0, -1, 1, 0, 270),
        (-1, 0, 0, 1, 0),
        (1, 0, 0, -1, 180),
        (0, 1, 1, 0, 270),
        (0, -1, -1, 0, 90),
    ],
)
def test_display_matrix(
    tmp_path: Path, pix_fmt: str, a: int, b: int, c: int, d: int, clockwise: int
) -> None:
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    path = videos.write_video(tmp_path / "a.mp4", 2, matrix=matrix, pix_fmt=pix_fmt)
    stored = plane_bytes(path, pix_fmt)[0]
    if pixel_format(pix_fmt).depth > 8:
        stored = stored.copy().view(np.uint16)
    with open_video(path) as reader:
        upright = next(iter(reader)).planes[0]
        assert reader.info.rotation == clockwise
        assert upright.shape == (reader.info.height, reader.info.width)
    # The definition, pixel by pixel: (x, y) goes to (a x + c y, b x + d y), moved into the frame.
    height, width = stored.shape
    y, x = np.mgrid[:height, :width]
    to_x, to_y = a * x + c * y, b * x + d * y
    expected = np.empty_like(upright)
    expected[to_y - to_y.min(), to_x - to_x.min()] = stored
    assert np.array_equal(upright, expected)


@pytest.mark.parametrize(
    ("counterclockwise", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3), (270, 3)]
)
def test_rotation_by_angle(tmp_path: Path, counterclockwise: int, turns: int) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 2, rotation=counterclockwise)
    stored = plane_bytes(path, "yuv420p")[0]
    with open_video(path) as reader:
        assert np.array_equal(next(iter(reader)).planes[0], np.rot90(stored, turns))
        assert reader.info.rotation == -counterclockwise % 360


@pytest.mark.parametrize(
    ("codec", "orientation", "location"),
    [
        ("h264", Orientation(), "left"),
        ("hevc", Orientation(True, True, False), "top"),
        ("h264", Orientation(True, False, True), "bottom"),
        ("h264", Orientation(False, True, True), "right"),
        ("mjpeg", Orientation(True, True, False), "center"),
    ],
)
def test_chroma_location_turns_with_the_frame(
    codec: str, orientation: Orientation, location: str
) -> None:
    assert chroma_location(codec, orientation) == location
    # Its vector goes where a point on that side of the frame goes.
    mark = np.zeros((3, 3), np.uint8)
    places = {"left": (1, 0), "right": (1, 2), "top": (0, 1), "bottom": (2, 1), "center": (1, 1)}
    mark[places[chroma_location(codec, Orientation())]] = 1
    assert turned((mark,), orientation)[0][places[location]] == 1


def test_422_is_turned_at_full_chroma(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 2, rotation=90, pix_fmt="yuv422p")
    raw = plane_bytes(path, "yuv422p")
    with open_video(path) as reader:
        assert reader.info.format.name == "yuv444p"
        planes = next(iter(reader)).planes
    assert np.array_equal(planes[0], np.rot90(raw[0]))
    chroma = np.rot90(np.repeat(raw[1], 2, axis=1)).astype(int)
    assert np.abs(planes[1].astype(int) - chroma).mean() < 3  # another interpolation


def picture(name: str, width: int = 6, height: int = 4) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, name)
    for plane in frame.planes:
        plane.update(RNG.integers(0, 256, plane.buffer_size, dtype=np.uint8).tobytes())
    return frame


def rows(frame: av.VideoFrame, plane: int, dtype: type = np.uint8) -> np.ndarray:
    data = np.frombuffer(bytes(frame.planes[plane]), dtype)
    return data.reshape(frame.planes[plane].height, -1)


def test_packed_formats_lose_nothing() -> None:
    frame = picture("nv12")
    planes, _ = Uniform(frame).planes(frame)
    assert np.array_equal(planes[0], rows(frame, 0)[:, :6])
    assert np.array_equal(planes[1], rows(frame, 1)[:, 0:6:2])
    assert np.array_equal(planes[2], rows(frame, 1)[:, 1:6:2])

    frame = picture("p010le")
    planes, _ = Uniform(frame).planes(frame)
    assert np.array_equal(planes[0], rows(frame, 0, np.uint16)[:, :6] >> 6)
    assert np.array_equal(planes[2], rows(frame, 1, np.uint16)[:, 1:6:2] >> 6)

    frame = picture("yuyv422")
    planes, _ = Uniform(frame).planes(frame)
    assert np.array_equal(planes[0], rows(frame, 0)[:, 0:12:2])
    assert np.array_equal(planes[1], rows(frame, 0)[:, 1:12:4])

    for name, order in (("rgb24", (1, 2, 0)), ("bgr24", (1, 0, 2)), ("rgba", (1, 2, 0, 3))):
        frame = picture(name, 16, 4)  # no padding at the end of a line
        planes, _ = Uniform(frame).planes(frame)
        pixels = rows(frame, 0).reshape(4, 16, len(order))
        for plane, channel in zip(planes, order, strict=True):
            assert np.array_equal(plane, pixels[..., channel])


@pytest.mark.parametrize(
    ("name", "planar"),
    [
        ("yuvj422p", "yuv422p"), ("p010le", "yuv420p10le"), ("p210be", "yuv422p10le"),
        ("yuv420p10be", "yuv420p10le"), ("gray16be", "gray16le"), ("monob", "gray"),
        ("pal8", "gbrap"), ("bgr0", "gbrp"), ("0rgb", "gbrp"), ("argb", "gbrap"),
        ("yuv440p", "yuv444p"), ("rgba64le", "gbrap16le"), ("gbrap12le", "gbrap12le"),
    ],
)  # fmt: skip
def test_nearest_planar(name: str, planar: str) -> None:
    assert nearest_planar(name) == pixel_format(planar)


def test_pixel_format_describes_planes() -> None:
    fmt = pixel_format("yuv420p10le")
    assert (fmt.planes, fmt.depth, fmt.chroma_shift, fmt.dtype) == (3, 10, (1, 1), np.uint16)
    assert fmt.plane_shape(1, 7, 5) == (3, 4)
    assert pixel_format("gbrap").is_rgb
    for bad in ("nv12", "rgb24", "yuv420p10be", "gray10", "yuv410p"):
        with pytest.raises(ValueError, match=bad):
            pixel_format(bad)


def test_a_new_size_in_mid_stream_is_scaled_to_the_first(tmp_path: Path) -> None:
    small = videos.write_video(tmp_path / "small.ts", 5, size=(64, 48))
    large = videos.write_video(tmp_path / "large.ts", 5, size=(96, 64))
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with open_video(path) as reader:
        frames = list(reader)
        assert {frame.planes[0].shape for frame in frames} == {(48, 64)}
        assert len(frames) == 10
        assert any("frame 5" in line and "96x64" in line for line in reader.warnings)
    stamps = [frame.pts for frame in frames]
    assert all(a < b for a, b in pairwise(stamps))


def info_at(rate: int, unit: Fraction) -> VideoInfo:
    return VideoInfo("x", 2, 2, pixel_format("gray"), Fraction(rate), time_base=unit)


def test_missing_and_wrong_time_stamps_are_mended() -> None:
    clock = Clock(info_at(25, Fraction(1, 1000)))
    stamps = [0, None, 80, 80, 70, 160, 100_000, 40, 80, None]
    got = [clock.stamp(pts, None, 40)[0] for pts in stamps]
    assert got == [0, 40, 80, 81, 82, 160, 100_000, 100_040, 100_080, 100_120]
    assert clock.seconds(got[-1]) == pytest.approx(100.12)


def test_decoding_times_serve_where_presentation_times_go_back() -> None:
    stamps = [(2, 0), (8, 2), (6, 4), (4, 6), (12, 8), (10, 10)]
    clock = Clock(info_at(30, Fraction(1, 60)), trust_dts=True)
    assert [clock.stamp(pts, dts, 1)[0] for pts, dts in stamps] == [0, 2, 4, 6, 8, 10]
    clock = Clock(info_at(30, Fraction(1, 60)))
    got = [clock.stamp(pts, dts, 1)[0] for pts, dts in stamps]
    assert got[-1] == 12
    assert all(a < b for a, b in pairwise(got))


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
@pytest.mark.parametrize("audio", [None, 2.0])
def test_truncated_file_yields_what_decodes(
    tmp_path: Path, suffix: str, audio: float | None
) -> None:
    path = videos.write_video(
        tmp_path / f"a{suffix}", 60, options={"g": "10"}, size=(128, 96), audio=audio
    )
    with open_video(path) as reader:
        assert len(list(reader)) == 60
        assert reader.warnings == []
    videos.truncate(path, 0.5)
    with open_video(path) as reader:
        count = len(list(reader))
        assert 20 <= count < 60
        assert any(f"after frame {count - 1}" in line for line in reader.warnings)


def test_truncated_mp4_says_how_many_frames_are_missing(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 60, options={"g": "10"}, size=(128, 96))
    videos.move_index_to_front(path)
    videos.truncate(path, 0.5)
    with open_video(path) as reader:
        count = len(list(reader))
        assert 10 <= count < 60
        last = reader.warnings[-1]
    assert f"after frame {count - 1}" in last
    assert "promises 60" in last
    assert str(path) in last


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_corrupt_middle_is_passed_over(tmp_path: Path, suffix: str) -> None:
    path = videos.write_video(
        tmp_path / f"a{suffix}", 60, options={"g": "10"}, size=(128, 96), audio=2.0
    )
    videos.corrupt_middle(path, 0.3, 0.1)
    with open_video(path) as reader:
        frames = list(reader)
        assert 40 <= len(frames) <= 60
        assert any("frame" in line for line in reader.warnings)
        assert len(reader.warnings) <= 20


def test_a_gap_is_told_only_where_frames_came_regularly() -> None:
    clock = Clock(info_at(30, Fraction(1, 30)))
    missing = []
    for pts in [0, 2, 9, 10, 13, 14, 15, 16, 17, 18, 22, 23]:
        clock.stamp(pts, None, 1)
        missing.append(clock.missing)
    assert missing == [0] * 10 + [3, 0]


@pytest.mark.parametrize("option", ["thread_count"])
@pytest.mark.parametrize("value", [-1, 1.5, "2", True])
def test_bad_option(tmp_path: Path, option: str, value: object) -> None:
    with pytest.raises(OptionError, match=option):
        open_video(tmp_path / "a.mp4", **{option: value})


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = videos.write_text_file(tmp_path / "text.mp4")
    missing = tmp_path / "missing.mp4"
    no_frames = videos.write_video(tmp_path / "none.mkv", 0)
    headless = videos.truncate(videos.write_video(tmp_path / "cut.mp4", 20), 0.5)
    for path, hint in (
        (empty, "empty"),
        (text, "not a video"),
        (missing, "no such file"),
        (no_frames, "before the first frame"),
        (headless, "complete"),
        (tmp_path, "images"),
        (tmp_path / "*.png", "no file fits"),
        (tmp_path / "%04d.png", "no image file"),
    ):
        with pytest.raises(InputError, match=hint) as caught:
            open_video(path)
        assert str(path) in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"no video stream \(it has audio\)"):
        open_video(path)


def test_small_and_odd_sizes(tmp_path: Path) -> None:
    for size in ((16, 16), (17, 15), (1, 1)):
        path = videos.write_video(
            tmp_path / f"{size[0]}.mkv", 3, size=size, codec="ffv1", pix_fmt="yuv420p"
        )
        with open_video(path) as reader:
            frames = list(reader)
        assert len(frames) == 3
        assert frames[0].planes[0].shape == size[::-1]
        assert frames[0].planes[1].shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)


def test_description(tmp_path: Path) -> None:
    color = {"color_range": 1, "color_primaries": 9, "color_trc": 18, "colorspace": 9}
    path = videos.write_video(
        tmp_path / "a.mp4",
        10,
        size=(64, 32),
        fps=Fraction(30000, 1001),
        pix_fmt="yuv420p10le",
        color=color,
        rotation=90,
        sample_aspect_ratio=Fraction(4, 3),
    )
    with open_video(path) as reader:
        info = reader.info
    assert info.color == {"range": 1, "primaries": 9, "trc": 18, "space": 9}
    assert (info.width, info.height, info.codec) == (32, 64, "h264")
    assert info.frame_rate == Fraction(30000, 1001)
    assert info.sample_aspect_ratio == Fraction(3, 4)
    assert info.duration == pytest.approx(10 * 1001 / 30000, abs=1e-3)


def test_to_rgb(tmp_path: Path) -> None:
    clip = videos.shaky_clip(2, (64, 48))
    path = videos.write_clip(tmp_path / "a.mp4", clip, lossless=True, pix_fmt="yuv444p")
    with open_video(path) as reader:
        rgb = reader.to_rgb(next(iter(reader)))
    assert rgb.shape == (48, 64, 3)
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - clip.frames[0]).max() <= 3  # two roundings


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", {"x264-params": "interlaced=1"}), ("mpeg2video", {"flags": "+ildct+ilme"})],
)
def test_interlaced_video_is_told_once(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    for name, given in (("woven", options), ("whole", {})):
        source = videos.write_video(tmp_path / f"{name}.mkv", 5, codec=codec, options=given)
        with open_video(source) as reader:
            for _ in range(2):
                assert len(list(reader)) == 5
                told = [line for line in reader.warnings if "interlaced" in line]
                assert len(told) == (name == "woven")
                assert all("bwdif" in line for line in told)
