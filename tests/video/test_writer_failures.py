"""What cannot be written is said, and leaves nothing behind."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import videos
from steadyview.errors import OptionError, OutputError
from steadyview.video.muxing import ContainerSink
from steadyview.video.writer import VideoWriter, check_output
from writing import blank_frames, gray_info, stamps, transcode


def left_behind(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if ".part" in name]


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
