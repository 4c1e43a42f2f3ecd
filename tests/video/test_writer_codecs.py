"""Codecs, pixel formats and colours of what is written."""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import videos
from steadyview.errors import OptionError
from steadyview.video.encoders import choose_encoder
from steadyview.video.info import pixel_format
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter
from writing import blank_frames, gray_info, transcode


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
