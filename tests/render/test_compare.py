"""Before and after in one picture."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import videos
from steadyview.errors import OutputError
from steadyview.render.compare import compare_side_by_side, draw_label, side_by_side, wipe_pair
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter

DARK, BRIGHT = (np.full((40, 60, 3), value, np.uint8) for value in (50, 200))


def test_halves_are_where_they_belong() -> None:
    both = side_by_side(DARK, BRIGHT)
    assert both.shape == (40, 124, 3)
    assert (both[:, :60] == 50).all()
    assert (both[:, 64:] == 200).all()


def test_divider_swings_about_the_middle() -> None:
    splits = []
    for time in (0.0, 1.5, 4.5):
        row = wipe_pair(DARK, BRIGHT, time=time)[20, :, 0]
        split = int((row == 50).sum()) + 1
        assert (row[: split - 1] == 50).all()
        assert (row[split + 1 :] == 200).all()
        splits.append(split)
    assert splits == [30, 51, 9]


def test_label_is_readable_and_leaves_its_input_alone() -> None:
    labelled = draw_label(BRIGHT, "before")
    assert (BRIGHT == 200).all()
    assert labelled[:20].min() < 100  # the plate
    assert labelled[:20].max() > 200  # the letters
    assert (labelled[30:] == 200).all()


@pytest.mark.parametrize(("rate", "count"), [(60, 12), (15, 3), (25, 6)])
def test_halves_keep_step_in_time(tmp_path: Path, rate: int, count: int) -> None:
    """At twice and half the rate; 6 frames at 25 a second are the same ones by another clock."""
    first = videos.write_video(tmp_path / "a.mp4", 6, size=(64, 48))
    grey = [np.full((48, 64, 3), 20 * n, np.uint8) for n in range(count)]
    second = videos.write_video(tmp_path / "b.mp4", grey, fps=rate)
    compare_side_by_side(first, second, tmp_path / "c.mp4", labels=("", ""))
    frames, _ = videos.read_planes(tmp_path / "c.mp4")
    right = [round(float(frame[:, 80:, 1].mean()) / 20) for frame in frames]
    assert right == {60: [0, 2, 4, 6, 8, 10], 15: [0, 1, 1, 2, 2, 2], 25: [0, 1, 2, 3, 4, 5]}[rate]


@pytest.mark.parametrize("wipe", [False, True])
def test_video_of_different_sizes_and_lengths(tmp_path: Path, wipe: bool) -> None:
    first = videos.write_video(tmp_path / "a.mp4", 6, size=(64, 48), audio=0.2)
    second = videos.write_video(tmp_path / "b.mp4", 4, size=(96, 48))
    seen: list[int] = []
    count = compare_side_by_side(
        first, second, tmp_path / "c.mp4", wipe=wipe, progress=lambda _, done, __: seen.append(done)
    )
    frames, times = videos.read_planes(tmp_path / "c.mp4")
    assert count == len(frames) == 4
    assert seen == [1, 2, 3, 4]
    assert frames[0].shape == (48, 64 if wipe else 64 + 4 + 96, 3)
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-3)
    original = videos.read_planes(first)[0][1]
    # Left half below the label: lossy coding and chroma subsampling only.
    assert np.abs(frames[1][30:, :20].astype(int) - original[30:, :20]).mean() < 6


def test_hdr_keeps_its_primaries_but_no_mastering_data(tmp_path: Path) -> None:
    color = {"color_range": 1, "color_primaries": 9, "color_trc": 16, "colorspace": 9}
    first = videos.write_video(tmp_path / "a.mp4", 2, pix_fmt="yuv420p10le", color=color)
    with open_video(first) as reader:
        light = {"light": (1000.0, 400.0)}
        info = dataclasses.replace(reader.info, hdr=light)
        with VideoWriter(tmp_path / "b.mp4", info) as writer:
            for frame in reader:
                writer.write(frame)
    compare_side_by_side(tmp_path / "b.mp4", first, tmp_path / "c.mp4")
    with open_video(tmp_path / "b.mp4") as before, open_video(tmp_path / "c.mp4") as both:
        assert before.info.hdr == light
        assert both.info.hdr == {}
        assert both.info.color == {"range": 1, "primaries": 9, "trc": 16, "space": 1}


def test_wide_videos_are_scaled_to_the_limit(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 2, size=(320, 96))
    compare_side_by_side(source, source, tmp_path / "c.mp4", max_width=400)
    height, width = videos.read_planes(tmp_path / "c.mp4")[0][0].shape[:2]
    assert 380 <= width <= 400
    assert height == 58


def test_nothing_is_left_behind_on_failure(tmp_path: Path) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 4)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_side_by_side(source, source, tmp_path / "c.mp4", progress=fail)
    with pytest.raises(OutputError):
        compare_side_by_side(source, source, source, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
