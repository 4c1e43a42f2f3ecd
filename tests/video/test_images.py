import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import videos
from steadyview.errors import InputError, OptionError, OutputError
from steadyview.video.images import image_files, image_pattern
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter, check_output

CLIP = videos.shaky_clip(12, (40, 30))


def write_images(folder: Path, suffix: str = ".png", frames: Any = CLIP.frames) -> Path:
    folder.mkdir(exist_ok=True)
    for index, frame in enumerate(frames):
        colour = frame[..., ::-1] if frame.ndim == 3 else frame
        assert cv2.imwrite(str(folder / f"frame{index}{suffix}"), colour)
    return folder


def rgb(frame: Any) -> np.ndarray:
    green, blue, red = frame.planes[:3]
    return np.stack([red, green, blue], axis=-1)


@pytest.mark.parametrize("spelling", ["", "*.png", "frame%d.png", "frame?*.png"])
def test_folder_glob_and_pattern(tmp_path: Path, spelling: str) -> None:
    folder = write_images(tmp_path / "in")
    with open_video(folder / spelling if spelling else folder, frame_rate=25) as reader:
        info = reader.info
        assert (info.width, info.height, info.frames) == (40, 30, 12)
        assert (info.frame_rate, info.format.name, info.codec) == (25, "gbrp", "png")
        for _ in range(2):
            frames = list(reader)
            assert [frame.time for frame in frames] == pytest.approx(np.arange(12) / 25)
            for frame, expected in zip(frames, CLIP.frames, strict=True):  # 10 comes after 9
                assert np.array_equal(rgb(frame), expected)


def test_grey_deep_and_jpeg_images(tmp_path: Path) -> None:
    deep = [frame[..., 0].astype(np.uint16) * 257 for frame in CLIP.frames]
    with open_video(write_images(tmp_path / "deep", frames=deep)) as reader:
        assert reader.info.format.name == "gray16le"
        assert np.array_equal(next(iter(reader)).planes[0], deep[0])
    with open_video(write_images(tmp_path / "jpeg", ".jpg")) as reader:
        assert reader.info.format.name == "yuv420p"
        assert reader.info.color["range"] == 2
        got = reader.to_rgb(next(iter(reader)))
    assert np.abs(got.astype(int) - CLIP.frames[0]).mean() < 6


def test_images_must_be_alike_and_readable(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in")
    cv2.imwrite(str(folder / "frame5.png"), CLIP.frames[0][:20])
    with open_video(folder) as reader, pytest.raises(InputError, match=r"frame5\.png.*40x20"):
        list(reader)
    (folder / "frame5.png").write_text("not an image")
    with open_video(folder) as reader, pytest.raises(InputError, match=r"frame5\.png"):
        list(reader)


def test_a_video_file_is_not_images(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "100%d[1].mp4", 2)
    assert image_files(path) is None
    with open_video(path) as reader:
        assert len(list(reader)) == 2


@pytest.mark.parametrize("kind", ["array", "list", "generator"])
@pytest.mark.parametrize("grey", [False, True])
def test_frames_from_memory(kind: str, grey: bool) -> None:
    array = CLIP.grey if grey else CLIP.frames
    source: Any = {"array": array, "list": list(array), "generator": (f for f in array)}[kind]
    with open_video(source, frame_rate=Fraction(30000, 1001)) as reader:
        assert reader.info.frames == (None if kind == "generator" else 12)
        frames = list(reader)
        assert frames[3].time == pytest.approx(3 * 1001 / 30000)
        for frame, expected in zip(frames, array, strict=True):
            got = frame.planes[0] if grey else rgb(frame)
            assert np.array_equal(got, expected)
        if kind == "generator":
            with pytest.raises(InputError, match="used up"):
                list(reader)
        else:
            assert len(list(reader)) == 12


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (np.zeros((3, 4, 4, 2), np.uint8), "allowed"),
        (np.zeros((3, 4, 4), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 4, 3), np.uint8), "no frames"),
        ([], "no frames"),
        (7, "int"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)], "frame 1"),
    ],
)
def test_bad_frames_from_memory(source: Any, word: str) -> None:
    with pytest.raises(InputError, match=word):
        list(open_video(source))


@pytest.mark.parametrize("rate", [0, -1, 1e9])
def test_bad_frame_rate(rate: float) -> None:
    with pytest.raises(OptionError, match="frame_rate"):
        open_video(CLIP.frames, frame_rate=rate)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_images_out_lose_nothing(tmp_path: Path, suffix: str) -> None:
    pattern = tmp_path / "out" / f"f%03d{suffix}"
    with open_video(CLIP.frames) as reader, VideoWriter(pattern, reader.info) as writer:
        for frame in reader:
            target = writer.frame()
            for to, plane in zip(target.planes, frame.planes, strict=True):
                to[...] = plane
            writer.write(target, frame.pts)
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert len(os.listdir(tmp_path / "out")) == 12
    with open_video(pattern) as reader:
        for frame, expected in zip(reader, CLIP.frames, strict=True):
            assert np.array_equal(reader.to_rgb(frame), expected)


def test_ten_bit_video_to_sixteen_bit_images(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mkv", 2, pix_fmt="gbrp10le", codec="ffv1")
    with open_video(source) as reader, VideoWriter(tmp_path / "%d.png", reader.info) as writer:
        frames = list(reader)
        for frame in frames:
            writer.write(frame)
    image = cv2.imread(str(tmp_path / "0.png"), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16
    assert np.abs((image[..., 1] / 64.0) - frames[0].planes[0]).max() <= 1


def test_jpeg_looks_like_the_source(tmp_path: Path) -> None:
    source = videos.write_clip(tmp_path / "a.mp4", CLIP, lossless=True, pix_fmt="yuv444p")
    with open_video(source) as reader, VideoWriter(tmp_path / "%d.jpg", reader.info) as writer:
        for frame in reader:
            writer.write(frame)
    for index in (0, 11):
        image = cv2.imread(str(tmp_path / f"{index}.jpg"))[..., ::-1]
        assert np.abs(image.astype(int) - CLIP.frames[index]).mean() < 4


def test_a_photo_with_exif_orientation_is_shown_upright(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image").fromarray(CLIP.frames[0])
    for orientation, turns in ((1, 0), (3, 2), (6, 3), (8, 1)):
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(tmp_path / "photo.jpg", exif=exif, quality=95)
        with open_video(tmp_path / "*.jpg") as reader:
            got = reader.to_rgb(next(iter(reader))).astype(int)
        assert np.abs(got - np.rot90(CLIP.frames[0], turns)).mean() < 6, orientation


def test_existing_images_are_kept_unless_asked(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "out")
    pattern = folder / "frame%d.png"
    with open_video(CLIP.frames[:3]) as reader:
        with pytest.raises(OutputError, match="exist already"):
            VideoWriter(pattern, reader.info)
        with VideoWriter(pattern, reader.info, overwrite=True) as writer:
            for frame in reader:
                writer.write(frame)
    # The rest of the older, longer sequence is gone.
    assert sorted(os.listdir(folder)) == [f"frame{index}.png" for index in range(3)]
    assert os.listdir(tmp_path) == ["out"]


def test_only_names_that_the_pattern_makes_are_replaced(tmp_path: Path) -> None:
    for name in ("000007.png", "2024.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"old")
    with (
        open_video(CLIP.frames[:2]) as reader,
        VideoWriter(tmp_path, reader.info, overwrite=True) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert sorted(os.listdir(tmp_path)) == ["000000.png", "000001.png", "2024.png", "notes.txt"]


def test_all_names_are_checked_before_any_image_is_moved(tmp_path: Path) -> None:
    with open_video(CLIP.frames[:3]) as reader:
        writer = VideoWriter(tmp_path / "%d.png", reader.info)
        for frame in reader:
            writer.write(frame)
        (tmp_path / "2.png").write_text("another's")
        with pytest.raises(OutputError, match="appeared"):
            writer.close()
    assert os.listdir(tmp_path) == ["2.png"]


@pytest.mark.parametrize("source", ["frame%d.png", "*.png", "", "frame3.png"])
@pytest.mark.parametrize("name", ["frame%d.png", "link%d.png"])
def test_images_of_the_input_are_never_replaced(tmp_path: Path, source: str, name: str) -> None:
    folder = write_images(tmp_path / "in")
    (folder / "link3.png").symlink_to(folder / "frame3.png")
    with pytest.raises(OutputError, match="input itself"):
        check_output(folder / name, source=folder / source, overwrite=True)
    check_output(folder / "other%d.png", source=folder / source)


def test_image_output_is_checked_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "out")
    with pytest.raises(OutputError, match="exist already"):
        check_output(folder / "frame%d.png")
    check_output(folder / "frame%d.png", overwrite=True)
    with pytest.raises(OutputError, match="no folder"):
        check_output(tmp_path / "none" / "out" / "%d.png")
    check_output(tmp_path / "none" / "%d.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    for name in ("none/%d.png", "out/%d.png", "a.mp4"):
        with pytest.raises(OutputError, match="Permission denied"):
            check_output(tmp_path / name)


def test_images_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_video(CLIP.frames[:2]) as reader, VideoWriter("%d.png", reader.info) as writer:
        for frame in reader:
            writer.write(frame)
    assert sorted(os.listdir(tmp_path)) == ["0.png", "1.png"]


def test_a_percent_sign_in_the_name_of_a_video_is_no_pattern(tmp_path: Path) -> None:
    output = tmp_path / "my%20dog_steady.mp4"
    assert image_pattern(output) is None
    with open_video(CLIP.frames) as reader, VideoWriter(output, reader.info) as writer:
        for frame in reader:
            writer.write(frame)
    assert os.listdir(tmp_path) == [output.name]
    with pytest.raises(InputError, match="no such file"):
        open_video(tmp_path / "100%d.TS")


@pytest.mark.parametrize("name", ["f%d.gif", "f%d"])
def test_image_suffix_must_be_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match=r"\.png"):
        check_output(tmp_path / name)
