import dataclasses
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import videos
from steadyview.errors import OptionError, OutputError
from steadyview.video.encoders import choose_encoder
from steadyview.video.info import Frame, VideoInfo, pixel_format
from steadyview.video.muxing import ContainerSink
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter, check_output


def transcode(source: Path, output: Path, *, copy: bool = False, **options: Any) -> VideoWriter:
    """Frame by frame from a file to another, through the decoder's memory or a copy of it."""
    with (
        open_video(source) as reader,
        VideoWriter(output, reader.info, template=source, **options) as writer,
    ):
        for frame in reader:
            if copy:
                target = writer.frame()
                for to, plane in zip(target.planes, frame.planes, strict=True):
                    to[...] = plane
                writer.write(dataclasses.replace(target, duration=frame.duration), frame.pts)
            else:
                writer.write(frame)
    return writer


def stamps(path: Path, kind: str = "video") -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        found = [p.pts * p.time_base for p in container.demux(stream) if p.pts is not None]
    return sorted(found)


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [bytes(p) for p in container.demux(stream) if p.size]


def left_behind(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if ".part" in name]


def gray_info(width: int = 64, height: int = 48, **more: Any) -> VideoInfo:
    return VideoInfo(
        "test", width, height, pixel_format("gray"), Fraction(30), time_base=Fraction(1, 30), **more
    )


def blank_frames(writer: VideoWriter, count: int) -> Iterator[Frame]:
    for _ in range(count):
        frame = writer.frame()
        for plane in frame.planes:
            plane[...] = 100
        yield frame


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize(
    ("pix_fmt", "codec", "suffix"),
    [
        ("yuv420p", "libx264", ".mp4"),
        ("yuv422p", "libx264", ".mkv"),
        ("yuv444p10le", "libx264", ".mp4"),
        ("yuvj420p", "libx264", ".mp4"),
        ("yuva444p10le", "ffv1", ".mkv"),
        ("gray16le", "ffv1", ".mkv"),
        ("gbrp10le", "ffv1", ".mkv"),
    ],
)
def test_lossless_encoding_returns_every_sample(
    tmp_path: Path, pix_fmt: str, codec: str, suffix: str, copy: bool
) -> None:
    source = videos.write_video(
        tmp_path / f"a{suffix}", 5, size=(70, 46), pix_fmt=pix_fmt, codec=codec, lossless=True
    )
    output = tmp_path / f"b{suffix}"
    lossless = {"qp": 0} if codec == "libx264" else {}
    writer = transcode(source, output, copy=copy, codec=codec, options=lossless)
    assert writer.notes == []
    assert writer.frames == 5
    with open_video(source) as before, open_video(output) as after:
        assert after.info.format == before.info.format
        assert after.info.color == before.info.color
        for a, b in zip(before, after, strict=True):
            assert all(np.array_equal(p, q) for p, q in zip(a.planes, b.planes, strict=True))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_time_stamps_of_variable_rate_stay(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.1, 0.15, 0.4, 0.45, 0.46, 1.0, 1.5]
    source = videos.write_video(tmp_path / f"a{suffix}", 8, times=times, start=0.5, b_frames=2)
    output = tmp_path / f"b{suffix}"
    transcode(source, output)
    assert stamps(output) == stamps(source)
    with open_video(source) as before, open_video(output) as after:
        assert after.info.duration == pytest.approx(before.info.duration, abs=2e-3)
        assert list(before)[-1].time == list(after)[-1].time


@pytest.mark.parametrize("frames", [1, 2, 31])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_number_of_frames_and_duration_stay(tmp_path: Path, suffix: str, frames: int) -> None:
    source = videos.write_video(tmp_path / f"a{suffix}", frames, fps=Fraction(30000, 1001))
    output = tmp_path / f"b{suffix}"
    transcode(source, output)
    with open_video(source) as before, open_video(output) as after:
        assert len(list(after)) == frames
        assert after.info.frame_rate == before.info.frame_rate
        assert after.info.duration == pytest.approx(before.info.duration, abs=2e-3)


def test_mp4_keeps_its_time_base_and_mkv_rounds_to_its_own(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 30, fps=30)
    transcode(source, tmp_path / "b.mp4")
    transcode(source, tmp_path / "b.mkv")
    assert stamps(tmp_path / "b.mp4") == stamps(source)
    wanted = np.array(stamps(source), float)
    assert np.array(stamps(tmp_path / "b.mkv"), float) == pytest.approx(wanted, abs=0.0006)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_is_copied_and_stays_in_step(tmp_path: Path, suffix: str) -> None:
    source = videos.write_video(
        tmp_path / "a.mp4", 20, audio=2.0, start=0.25, audio_start=0.5, b_frames=2
    )
    output = tmp_path / f"b{suffix}"
    writer = transcode(source, output)
    assert writer.notes == []
    assert packets(output, "audio") == packets(source, "audio")  # longer than the video: whole
    offset = [stamps(p, "audio")[0] - stamps(p)[0] for p in (source, output)]
    assert abs(float(offset[0] - offset[1])) < 0.0011


def test_sound_hidden_by_an_edit_list_stays_unheard(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 60, audio=2.0)
    cut = videos.cut_by_edit_list(source, tmp_path / "cut.mp4", 1.0)
    with open_video(cut) as reader:
        count = len(list(reader))
        assert reader.warnings == []
    for suffix in (".mp4", ".mkv"):
        output = tmp_path / f"b{suffix}"
        transcode(cut, output)
        first = {kind: float(stamps(output, kind)[0]) for kind in ("video", "audio")}
        assert len(stamps(output)) == count < 60
        assert first["video"] < 0.05
        assert abs(first["audio"] - first["video"]) < 0.05
        assert abs(float(stamps(output, "audio")[-1]) - 1.0) < 0.1


def test_packets_are_interleaved_by_time(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 300, audio=10.0)
    output = tmp_path / "b.mkv"
    transcode(source, output)
    with av.open(str(output)) as container:
        order = [
            (p.stream.type, float(p.dts * p.time_base))
            for p in container.demux()
            if p.dts is not None
        ]
    latest = {"video": 0.0, "audio": 0.0}
    for kind, time in order:
        latest[kind] = time
        assert abs(latest["video"] - latest["audio"]) < 1.0


def test_subtitles_attachments_and_metadata_are_copied(tmp_path: Path) -> None:
    texts = [(0.1, 0.3, "one"), (0.5, 0.9, "two")]
    source = videos.write_video(
        tmp_path / "a.mkv",
        30,
        audio=1.0,
        subtitles=texts,
        attachment=b"attached",
        metadata={"title": "T"},
    )
    output = tmp_path / "b.mkv"
    writer = transcode(source, output)
    assert writer.notes == []
    assert packets(output, "subtitles") == packets(source, "subtitles")
    assert stamps(output, "subtitles") == stamps(source, "subtitles")
    with av.open(str(output)) as container:
        assert container.metadata["title"] == "T"
        kinds = [stream.type for stream in container.streams]
        assert sorted(kinds) == ["attachment", "audio", "subtitle", "video"]
        assert container.streams.attachments[0].data == b"attached"


def test_creation_time_is_kept(tmp_path: Path) -> None:
    moment = "2020-02-03T04:05:06.000000Z"
    source = videos.write_video(tmp_path / "a.mp4", 3, metadata={"creation_time": moment})
    transcode(source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.metadata["creation_time"] == moment


def test_what_a_container_cannot_hold_is_left_out_with_a_note(tmp_path: Path) -> None:
    source = videos.write_video(
        tmp_path / "a.mkv", 10, audio=0.3, subtitles=[(0.0, 0.2, "x")], attachment=b"123"
    )
    writer = transcode(source, tmp_path / "b.mp4")
    assert len(writer.notes) == 2
    assert any("subtitle stream" in note for note in writer.notes)
    assert any("attachment stream" in note for note in writer.notes)
    assert packets(tmp_path / "b.mp4", "audio") == packets(source, "audio")


def test_transport_stream_starts_at_zero_with_sound_in_step(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.ts", 30, start=20.0, audio_start=20.2, audio=1.0)
    output = tmp_path / "b.mp4"
    transcode(source, output)
    assert 0 <= stamps(output)[0] < 1
    offset = [stamps(p, "audio")[0] - stamps(p)[0] for p in (source, output)]
    assert abs(float(offset[0] - offset[1])) < 0.0011
    assert packets(output, "audio") != []


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_video_is_written_upright(tmp_path: Path, rotation: int) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 3, rotation=rotation, lossless=True)
    output = tmp_path / "b.mp4"
    transcode(source, output, options={"qp": 0})
    with open_video(source) as before, open_video(output) as after:
        assert after.info.rotation == 0
        assert (after.info.width, after.info.height) == (before.info.width, before.info.height)
        for a, b in zip(before, after, strict=True):
            assert all(np.array_equal(p, q) for p, q in zip(a.planes, b.planes, strict=True))


def test_colours_aspect_and_depth_are_kept(tmp_path: Path) -> None:
    color = {"color_range": 1, "color_primaries": 9, "color_trc": 16, "colorspace": 9}
    source = videos.write_video(
        tmp_path / "a.mp4",
        5,
        pix_fmt="yuv420p10le",
        color=color,
        sample_aspect_ratio=Fraction(4, 3),
    )
    for codec, suffix in (("libx264", ".mp4"), ("libx265", ".mp4"), ("libsvtav1", ".mp4")):
        output = tmp_path / f"{codec}{suffix}"
        transcode(source, output, codec=codec)
        with open_video(source) as before, open_video(output) as after:
            assert after.info.color == before.info.color, codec
            assert after.info.format == before.info.format, codec
            assert after.info.sample_aspect_ratio == Fraction(4, 3), codec


@pytest.mark.parametrize(
    ("codec", "suffix", "decoder", "pix_fmt"),
    [
        ("h264", ".mp4", "h264", "yuv420p"),
        ("hevc", ".mp4", "hevc", "yuv420p"),
        ("av1", ".webm", "av1", "yuv420p"),
        ("vp9", ".webm", "vp9", "yuv420p"),
        ("ffv1", ".mkv", "ffv1", "yuv420p"),
        ("prores", ".mov", "prores", "yuv422p10le"),
    ],
)
def test_codecs_by_name(
    tmp_path: Path, codec: str, suffix: str, decoder: str, pix_fmt: str
) -> None:
    source = videos.write_clip(tmp_path / "a.mp4", videos.shaky_clip(6, (128, 96)))
    output = tmp_path / f"b{suffix}"
    transcode(source, output, codec=codec)
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec.canonical_name == decoder
        assert stream.pix_fmt == pix_fmt
    before, _ = videos.read_planes(source)
    after, _ = videos.read_planes(output)
    assert len(after) == 6
    for a, b in zip(before, after, strict=True):  # looks like the source
        assert np.abs(a.astype(int) - b).mean() < 3


@pytest.mark.parametrize(
    ("suffix", "encoder"), [(".mp4", "libx264"), (".avi", "libx264"), (".webm", "libsvtav1")]
)
def test_without_a_codec_the_container_decides_and_quality_stays(suffix: str, encoder: str) -> None:
    info, more = gray_info(), {"crf": 40, "preset": "fast", "options": {"g": 7}}
    choice = choose_encoder(None, suffix, info, **more)
    assert choice.name == encoder
    assert choice.options["crf"] == "40"
    assert choice.options["g"] == "7"


def test_webm_holds_no_aac(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 4, audio=0.2)
    writer = transcode(source, tmp_path / "b.webm")
    assert any("audio" in note for note in writer.notes)


@pytest.mark.parametrize(
    ("codec", "suffix", "others"),
    [
        ("libx264", ".webm", r"\.mp4, \.m4v, \.mov, \.mkv, \.avi$"),
        ("nvenc", ".webm", r"\.mp4, \.m4v, \.mov, \.mkv, \.avi$"),
        ("ffv1", ".mp4", r"\.mkv, \.avi$"),
        ("prores", ".mp4", r"\.mov, \.mkv$"),
    ],
)
def test_a_codec_that_the_container_cannot_hold(
    tmp_path: Path, codec: str, suffix: str, others: str
) -> None:
    with pytest.raises(OptionError, match=others):
        VideoWriter(tmp_path / f"a{suffix}", gray_info(), codec=codec)
    assert os.listdir(tmp_path) == []


def test_chroma_that_lies_elsewhere_is_told() -> None:
    info = dataclasses.replace(gray_info(), format=pixel_format("yuv420p"), chroma_location="top")
    more: Any = {"crf": None, "preset": "fast", "options": {}}
    told = "chroma_sample_location"
    assert choose_encoder("libx264", ".mp4", info, **more).options[told] == "top"
    usual = dataclasses.replace(info, chroma_location="left")
    assert told not in choose_encoder("libx264", ".mp4", usual, **more).options


def test_chroma_location_reaches_the_stream(tmp_path: Path) -> None:
    headers = []
    for location in ("left", "top"):
        info = dataclasses.replace(
            gray_info(), format=pixel_format("yuv420p"), chroma_location=location
        )
        with VideoWriter(tmp_path / f"{location}.mp4", info) as writer:
            for index, frame in enumerate(blank_frames(writer, 2)):
                writer.write(frame, index)
        with av.open(str(tmp_path / f"{location}.mp4")) as container:
            headers.append(container.streams.video[0].codec_context.extradata)
    assert headers[0] != headers[1]


def test_primaries_and_transfer_of_rgb_are_kept(tmp_path: Path) -> None:
    info = dataclasses.replace(
        gray_info(), format=pixel_format("gbrp"), color={"primaries": 9, "trc": 16, "space": 0}
    )
    with VideoWriter(tmp_path / "a.mp4", info) as writer:
        for index, frame in enumerate(blank_frames(writer, 2)):
            writer.write(frame, index)
    with open_video(tmp_path / "a.mp4") as reader:
        assert reader.info.color == {"range": 1, "primaries": 9, "trc": 16, "space": 1}


def test_hardware_encoder_falls_back_where_there_is_none(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 4, size=(256, 256))
    writer = transcode(source, tmp_path / "b.mp4", codec="nvenc")
    assert writer.encoder in ("h264_nvenc", "libx264")
    assert (writer.encoder == "libx264") == any("nvenc" in note for note in writer.notes)
    automatic = transcode(source, tmp_path / "c.mp4", codec="auto")
    assert automatic.frames == 4


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_odd_size(tmp_path: Path, suffix: str) -> None:
    source = videos.write_video(tmp_path / "a.mkv", 3, size=(65, 49), codec="ffv1")
    writer = transcode(source, tmp_path / f"b{suffix}")
    assert any("65x49" in note and "64x48" in note for note in writer.notes)
    kept = transcode(source, tmp_path / "c.mkv", codec="ffv1")
    assert kept.notes == []
    with open_video(tmp_path / "c.mkv") as reader:
        assert (reader.info.width, reader.info.height) == (65, 49)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_tiny_frames(tmp_path: Path, codec: str) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 3, size=(16, 16))
    output = tmp_path / "b.mkv"
    transcode(source, output, codec=codec)
    with open_video(output) as reader:
        assert len(list(reader)) == 3


def test_alpha_is_dropped_where_it_must_be(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mkv", 3, codec="ffv1", pix_fmt="yuva420p")
    for copy in (False, True):
        writer = transcode(source, tmp_path / f"{copy}.mp4", copy=copy, options={"qp": 0})
        assert any("yuva420p" in note for note in writer.notes)
        with open_video(source) as before, open_video(tmp_path / f"{copy}.mp4") as after:
            for a, b in zip(before, after, strict=True):
                for p, q in zip(a.planes[:3], b.planes, strict=True):
                    assert np.array_equal(p, q)


def test_grey_gets_neutral_colour_where_it_must(tmp_path: Path) -> None:
    output = tmp_path / "a.mp4"
    with VideoWriter(output, gray_info(), codec="av1") as writer:
        for index, frame in enumerate(blank_frames(writer, 3)):
            writer.write(frame, index)
    with open_video(output) as reader:
        for frame in reader:
            assert np.abs(frame.planes[0].astype(int) - 100).max() <= 1
            assert np.abs(frame.planes[1].astype(int) - 128).max() <= 1


def test_rgb_arrays_to_a_video_players_show(tmp_path: Path) -> None:
    clip = videos.shaky_clip(4, (64, 48))
    output = tmp_path / "a.mp4"
    with open_video(clip.frames) as reader, VideoWriter(output, reader.info) as writer:
        for frame in reader:
            writer.write(frame)
    with open_video(output) as reader:
        assert reader.info.format.name == "yuv420p"
        assert reader.info.color == {"range": 1, "primaries": 1, "trc": 1, "space": 1}
        for frame, rgb in zip(reader, clip.frames, strict=True):
            assert np.abs(reader.to_rgb(frame).astype(int) - rgb).mean() < 4


def test_replaced_planes_are_what_is_written(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 2)
    output = tmp_path / "b.mp4"
    with (
        open_video(source) as reader,
        VideoWriter(output, reader.info, options={"qp": 0}) as writer,
    ):
        for frame in reader:
            planes = (255 - frame.planes[0], *frame.planes[1:])
            writer.write(dataclasses.replace(frame, planes=planes))
    with open_video(source) as before, open_video(output) as after:
        for a, b in zip(before, after, strict=True):
            assert np.array_equal(255 - a.planes[0], b.planes[0])


def test_wrong_planes_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="48, 64"),
        VideoWriter(tmp_path / "a.mp4", gray_info()) as w,
    ):
        w.write(Frame((np.zeros((48, 63), np.uint8),), 0, 0.0, 0))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["a.mp4", "images/%03d.png"])
def test_nothing_is_left_after_an_exception(
    tmp_path: Path, error: type[BaseException], name: str
) -> None:
    def interrupted() -> None:
        with VideoWriter(tmp_path / name, gray_info()) as writer:
            for index, frame in enumerate(blank_frames(writer, 30)):
                writer.write(frame, index)
            assert left_behind(tmp_path) != []
            raise error

    with pytest.raises(error):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_no_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame"), VideoWriter(tmp_path / "a.mp4", gray_info()):
        pass
    assert os.listdir(tmp_path) == []


def test_existing_output_is_kept_unless_asked(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 2)
    output = videos.write_text_file(tmp_path / "b.mp4")
    with pytest.raises(OutputError, match="exists already"):
        transcode(source, output)
    assert output.read_text().startswith("This")
    transcode(source, output, overwrite=True)
    assert len(stamps(output)) == 2


def test_output_may_not_be_the_input(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 2)
    before = source.read_bytes()
    (tmp_path / "soft.mp4").symlink_to(source)
    os.link(source, tmp_path / "hard.mp4")
    for name in ("a.mp4", "soft.mp4", "hard.mp4", "../" + tmp_path.name + "/a.mp4"):
        with pytest.raises(OutputError, match="input itself"):
            transcode(source, tmp_path / name, overwrite=True)
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["a", "a.gif", "a.txt", "a.m4a"])
def test_unknown_suffix_lists_what_is_allowed(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match=r"\.mp4.*\.mkv.*\.webm"):
        check_output(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"codec": "mpeg9"}, "codec"),
        ({"crf": -1}, "crf"),
        ({"crf": 99}, "crf"),
        ({"encoder_preset": "quick"}, "encoder_preset"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(OptionError, match=word):
        VideoWriter(tmp_path / "a.mp4", gray_info(), **options)
    assert os.listdir(tmp_path) == []


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        VideoWriter(tmp_path / "none" / "a.mp4", gray_info())


def test_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # root may write anywhere: let the system call refuse

        def refuse(*args: object, **more: object) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        VideoWriter(tmp_path / "a.mp4", gray_info())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def noise_until_full(output: Path) -> None:
    random = np.random.default_rng(0)
    with VideoWriter(output, gray_info(256, 256), codec="ffv1") as writer:
        for index in range(20):
            frame = writer.frame()
            frame.planes[0][...] = random.integers(0, 256, (256, 256))
            writer.write(frame, index)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "images/%d.png"])
def test_full_disk(small_disk: Path, name: str) -> None:
    with pytest.raises(OutputError, match="disk is full"):
        noise_until_full(small_disk / name)
    assert os.listdir(small_disk) == []


def test_full_disk_said_by_the_muxer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where no file system can be made: the muxer reports ENOSPC."""

    def full(*args: object) -> None:
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ContainerSink, "_mux", full)
    with pytest.raises(OutputError, match="disk is full"):
        noise_until_full(tmp_path / "a.mkv")
    assert os.listdir(tmp_path) == []
