"""Measuring and rendering in one go give what the one after the other gives."""

from pathlib import Path

import numpy as np
import pytest

import steadyview
import videos
from steadyview import stream
from steadyview.errors import InputError
from steadyview.options import StabilizeOptions
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
def test_one_go_is_the_same_as_two(
    shaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting_bytes: int
) -> None:
    """With the frames waiting in memory, and with a second decoder behind the first."""
    monkeypatch.setattr(stream, "WAITING_BYTES", waiting_bytes)
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
    # The window, and what the queues between the threads hold.
    assert 35 <= first[0] <= 35 + 20


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
        piece.source_from_output[::2, 2] -= 4
        piece.source_from_output[1::2, 2] += 4
        return piece

    monkeypatch.setattr(SlidingPath, "settle", worse)
    result = steadyview.stabilize(shaky, tmp_path / "out.mkv", codec="ffv1")
    assert "left as it is" in result.note or "of the correction" in result.note
    assert result.shake_removed_db >= 0
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
        return open_video(source if len(opened) == 1 else shorter, **given)

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


def test_the_window_is_bounded_in_frames_not_in_seconds() -> None:
    """A rate that a header gets wrong cannot fill the memory."""
    options = StabilizeOptions()
    for rate, most in ((0.01, 20), (30, 120), (240, 960)):
        sliding = SlidingPath(
            rate, crop_limit=options.crop_limit, smooth=options.smooth, residual=True
        )
        assert sliding.ahead + 2 * sliding.step <= most
