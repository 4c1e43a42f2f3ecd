"""Samples, times, other streams and metadata come out as they went in."""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import videos
from steadyview.video.info import Frame
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter
from writing import gray_info, packets, stamps, transcode


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
