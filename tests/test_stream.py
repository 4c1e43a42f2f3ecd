"""Measuring and rendering in one go give what the one after the other gives."""

import threading
from pathlib import Path
from time import sleep

import numpy as np
import pytest

import steadyview
import videos
from steadyview import stream
from steadyview.errors import InputError, OutputError
from steadyview.motion.global_motion import MotionEstimator
from steadyview.path.sliding import SlidingPath
from steadyview.video.reader import VideoReader, open_video

RATE = 10  # the window is 3.5 s long: 35 frames


@pytest.fixture(scope="module")
def clip() -> videos.ShakyClip:
    return videos.shaky_clip(80, (128, 96), shake=3.0)


@pytest.fixture
def shaky(tmp_path: Path, clip: videos.ShakyClip) -> Path:
    return videos.write_video(tmp_path / "shaky.mkv", clip.frames, codec="ffv1", fps=RATE)


def frames_of(path: Path) -> list[np.ndarray]:
    with open_video(path) as reader:
        return [reader.to_rgb(frame) for frame in reader]


@pytest.mark.parametrize("waiting_bytes", [0, stream.WAITING_BYTES])
@pytest.mark.parametrize(("codec", "rate"), [("ffv1", RATE), ("libx264", 25)])
def test_one_go_is_the_same_as_two(
    clip: videos.ShakyClip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waiting_bytes: int,
    codec: str,
    rate: int,
) -> None:
    """With the frames waiting in memory, and with a second decoder behind the first."""
    monkeypatch.setattr(stream, "WAITING_BYTES", waiting_bytes)
    frames = np.concatenate([clip.frames, clip.frames[::-1]])[: 80 if rate == RATE else 114]
    shaky = videos.write_video(tmp_path / "in.mkv", frames, codec=codec, fps=rate)
    streamed = steadyview.stabilize(shaky, tmp_path / "one.mkv", codec="ffv1")
    assert ("decode_again" in streamed.timings) == (waiting_bytes == 0)
    whole = steadyview.stabilize(shaky, codec="ffv1")
    np.testing.assert_array_equal(streamed.motion.similarity, whole.motion.similarity)
    np.testing.assert_array_equal(streamed.path.source_from_output, whole.path.source_from_output)
    np.testing.assert_array_equal(streamed.path.displacement, whole.path.displacement)
    whole.save(tmp_path / "two.mkv")
    np.testing.assert_array_equal(frames_of(tmp_path / "one.mkv"), frames_of(tmp_path / "two.mkv"))
    assert streamed.shake_removed_db > 10


def test_frames_come_before_the_video_is_read_to_its_end(
    shaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, first = [0], []
    frames = VideoReader._frames

    def counted(self):  # type: ignore[no-untyped-def]
        for frame in frames(self):
            read[0] += 1
            yield frame

    monkeypatch.setattr(VideoReader, "_frames", counted)

    def progress(stage: str, done: int, total: int | None) -> None:
        if not first:
            first.append(read[0])

    steadyview.stabilize(shaky, tmp_path / "out.mkv", progress=progress)
    # The first window of 2.5 s, and what the queues between the threads hold.
    assert 25 <= first[0] <= 25 + 20


def test_a_video_that_begins_steady_is_judged_as_a_whole(tmp_path: Path) -> None:
    still = np.repeat(videos.shaky_clip(1, (128, 96)).frames, 60, axis=0)
    source = videos.write_video(tmp_path / "still.mkv", still, codec="ffv1", fps=RATE)
    result = steadyview.stabilize(source, tmp_path / "out.mkv", codec="ffv1")
    assert "steady already" in result.note
    np.testing.assert_array_equal(frames_of(tmp_path / "out.mkv"), frames_of(source))
    assert result.output == tmp_path / "out.mkv"


def test_a_correction_that_does_not_help_is_taken_back(
    shaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict on the whole comes when all is written, and what was written goes."""
    settle = SlidingPath.settle

    def worse(self, motion, *, complete=False):  # type: ignore[no-untyped-def]
        piece = settle(self, motion, complete=complete)
        piece.source_from_output[::2, 2] -= 40
        piece.source_from_output[1::2, 2] += 40
        return piece

    monkeypatch.setattr(SlidingPath, "settle", worse)
    (tmp_path / "out.mkv").write_bytes(b"older")
    calls = []
    result = steadyview.stabilize(
        shaky,
        tmp_path / "out.mkv",
        codec="ffv1",
        overwrite=True,
        progress=lambda stage, done, total: calls.append((stage, done)),
    )
    assert "left as it is" in result.note
    assert result.shake_removed_db == 0
    np.testing.assert_array_equal(frames_of(tmp_path / "out.mkv"), frames_of(shaky))
    assert calls == 2 * [("render", done) for done in range(1, 81)]
    stages = {"decode", "decode_again", "motion", "path", "warp", "encode", "total"}
    assert set(result.timings) == stages
    assert len(frames_of(tmp_path / "out.mkv")) == 80
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv", "shaky.mkv"]


def test_a_source_that_changes_while_it_is_read(
    shaky: Path, clip: videos.ShakyClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "WAITING_BYTES", 0)
    shorter = videos.write_video(tmp_path / "a.mkv", clip.frames[:50], codec="ffv1", fps=RATE)
    opened = []

    def other(source, **given):  # type: ignore[no-untyped-def]
        opened.append(source)
        return open_video(shorter if len(opened) == 3 else source, **given)  # the second decoder

    monkeypatch.setattr(stream, "open_video", other)
    with pytest.raises(InputError, match="changed"):
        steadyview.stabilize(shaky, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


def test_a_motion_file_is_written_beside(shaky: Path, tmp_path: Path) -> None:
    first = steadyview.stabilize(shaky, tmp_path / "one.mkv", motion=tmp_path / "motion.json")
    again = steadyview.stabilize(shaky, tmp_path / "two.mkv", motion=tmp_path / "motion.json")
    np.testing.assert_allclose(
        first.path.source_from_output, again.path.source_from_output, atol=1e-9
    )


def test_an_interrupt_does_not_wait_for_the_window(
    shaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first row is settled; the threads end with the frame they are at."""
    add, added = MotionEstimator.add, []

    def slow(self, luma, time):  # type: ignore[no-untyped-def]
        added.append(time)
        sleep(0.02)
        return add(self, luma, time)

    monkeypatch.setattr(MotionEstimator, "add", slow)
    before = threading.active_count()

    def interrupt(frames, writer, progress):  # type: ignore[no-untyped-def]
        while len(added) < 3:
            sleep(0.005)
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "write_frames", interrupt)
    with pytest.raises(KeyboardInterrupt):
        steadyview.stabilize(shaky, tmp_path / "out.mkv")
    assert len(added) < 12  # of 35
    assert threading.active_count() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shaky.mkv"]


@pytest.mark.parametrize("where", ["progress", "write"])
def test_an_error_while_frames_wait(
    shaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before = threading.active_count()

    def fail(*given: object) -> None:
        raise OutputError("the disk is full")

    if where == "write":
        monkeypatch.setattr(stream.VideoWriter, "write", fail)
    with pytest.raises(OutputError, match="disk is full"):
        steadyview.stabilize(
            shaky, tmp_path / "out.mkv", progress=fail if where == "progress" else None
        )
    assert threading.active_count() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shaky.mkv"]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_videos_shorter_than_the_window(
    clip: videos.ShakyClip, tmp_path: Path, frames: int
) -> None:
    result = steadyview.stabilize(clip.frames[:frames], tmp_path / "out.mkv", codec="ffv1")
    assert len(frames_of(tmp_path / "out.mkv")) == frames == result.motion.frames


def test_arrays_in_and_images_out(clip: videos.ShakyClip, tmp_path: Path) -> None:
    result = steadyview.stabilize(clip.frames, tmp_path / "%04d.png", frame_rate=RATE)
    assert len(list(tmp_path.glob("*.png"))) == 80
    np.testing.assert_array_equal(frames_of(tmp_path / "%04d.png"), list(result.frames()))


def test_a_cut_and_a_flash_near_a_seam(clip: videos.ShakyClip, tmp_path: Path) -> None:
    other = videos.shaky_clip(60, (128, 96), shake=3.0, seed=50).frames
    frames = np.concatenate([clip.frames[:44], other])
    frames[65:68] = 255
    source = videos.write_video(tmp_path / "in.mkv", frames, codec="ffv1", fps=RATE)
    streamed = steadyview.stabilize(source, tmp_path / "out.mkv", codec="ffv1")
    whole = steadyview.stabilize(source)
    assert streamed.motion.shots == whole.motion.shots == (0, 44)
    np.testing.assert_array_equal(streamed.path.source_from_output, whole.path.source_from_output)


def test_the_motion_files_folder_is_looked_for_first(shaky: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nodir"):
        steadyview.stabilize(shaky, tmp_path / "out.mkv", motion=tmp_path / "nodir" / "m.json")
    assert [path.name for path in tmp_path.iterdir()] == ["shaky.mkv"]
