"""The whole job, from a file to a file, on good and bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import steadyview
import videos
from steadyview.errors import InputError, OptionError, OutputError
from steadyview.metrics import compare_videos
from steadyview.video.reader import open_video


@pytest.fixture(scope="module")
def clip() -> videos.ShakyClip:
    return videos.shaky_clip(60, (192, 128), shake=3.0, moving_object=0.1)


@pytest.fixture
def shaky(tmp_path: Path, clip: videos.ShakyClip) -> Path:
    return videos.write_clip(tmp_path / "shaky.mp4", clip)


def test_a_shaky_file_becomes_a_steady_one(shaky: Path, tmp_path: Path) -> None:
    output = tmp_path / "steady.mp4"
    calls = []
    result = steadyview.stabilize(shaky, output, progress=lambda *got: calls.append(got))
    before, times = videos.read_planes(shaky)
    after, steady_times = videos.read_planes(output)
    assert steady_times == times
    assert len(after) == len(before) == 60
    quality = compare_videos(shaky, output)  # by feature tracks, not by our own motion estimate
    assert quality.shake_removed_db > 15
    assert quality.border_pixels == 0
    assert result.shake_removed_db > 15
    assert 0.8 <= result.kept_min <= result.kept_mean < 1
    assert calls[0] == ("render", 1, 60)
    assert calls[-1] == ("render", 60, 60)
    assert set(result.timings) == {"decode", "motion", "path", "warp", "encode", "total"}
    json.dumps(result.summary())


def test_frames_are_those_that_save_encodes(shaky: Path, tmp_path: Path) -> None:
    result = steadyview.stabilize(shaky, codec="ffv1")
    result.save(tmp_path / "steady.mkv")
    with open_video(tmp_path / "steady.mkv") as reader:
        encoded = [reader.to_rgb(frame) for frame in reader]
    rendered = list(result.frames())
    assert len(rendered) == len(encoded) == 60
    np.testing.assert_array_equal(rendered, encoded)
    np.testing.assert_array_equal(list(result.frames([31, 4])), [rendered[4], rendered[31]])


def test_no_border_ever(tmp_path: Path) -> None:
    """White frames stay white to the last pixel; black would creep in from outside the source."""
    clip = videos.shaky_clip(40, (160, 120), shake=6.0, rotation=2.0, zoom=0.02)
    result = steadyview.stabilize(clip.frames, crop_limit=0.85)
    white = steadyview.StabilizationResult(
        np.full_like(clip.frames, 255), result.info, result.motion, result.path,
        result.options, {}, [],
    )  # fmt: skip
    corners = np.array([[x, y] for x in (-80, 80) for y in (-60, 60)], float)
    for a, b, tx, ty in result.path.source_from_output:
        at = corners @ np.array([[a, b], [-b, a]]) + (tx, ty)
        assert (np.abs(at) <= np.array([80, 60]) + 1e-9).all()
    assert all((frame == 255).all() for frame in white.frames())


def test_arrays_and_iterables_give_what_the_file_gives(clip: videos.ShakyClip) -> None:
    of_array = steadyview.stabilize(clip.frames)
    of_iterable = steadyview.stabilize(iter(clip.frames))
    np.testing.assert_array_equal(
        of_array.path.source_from_output, of_iterable.path.source_from_output
    )
    assert next(of_iterable.frames()).shape == clip.frames[0].shape


def test_a_static_video_is_left_bit_for_bit(tmp_path: Path) -> None:
    still = np.repeat(videos.shaky_clip(1, (96, 64)).frames, 20, axis=0)
    result = steadyview.stabilize(still)
    assert "steady already" in result.note
    np.testing.assert_array_equal(list(result.frames()), still)


def test_the_motion_file_is_written_read_and_can_be_edited(shaky: Path, tmp_path: Path) -> None:
    file = tmp_path / "motion.json"
    first = steadyview.stabilize(shaky, motion=file)
    again = steadyview.stabilize(shaky, motion=file)
    np.testing.assert_array_equal(first.path.source_from_output, again.path.source_from_output)
    assert "motion" not in again.timings
    other = videos.write_clip(tmp_path / "other.mp4", videos.shaky_clip(20, (192, 128)))
    with pytest.raises(InputError, match="60"):
        steadyview.stabilize(other, tmp_path / "out.mp4", motion=file)
    longer = videos.write_clip(tmp_path / "longer.mp4", videos.shaky_clip(80, (192, 128)))
    with pytest.raises(InputError, match="60"):
        steadyview.stabilize(longer, tmp_path / "out.mp4", motion=file)
    sized = videos.write_clip(tmp_path / "sized.mp4", videos.shaky_clip(60, (128, 96)))
    with pytest.raises(InputError, match="192"):
        steadyview.stabilize(sized, tmp_path / "out.mp4", motion=file)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("preset", ["handheld", "walking", "drone", "tripod"])
def test_presets_steady_the_clip(clip: videos.ShakyClip, preset: str) -> None:
    result = steadyview.stabilize(clip.frames, preset=preset)
    assert result.shake_removed_db > 6
    assert result.kept_min >= result.options.crop_limit - 1e-9


def test_the_papers_baseline_is_selectable(clip: videos.ShakyClip) -> None:
    ours = steadyview.stabilize(clip.frames)
    paper = steadyview.stabilize(clip.frames, method="global_flow_paper")
    assert 6 < paper.shake_removed_db < ours.shake_removed_db
    assert paper.kept_min >= 0.8 - 1e-9


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_videos(tmp_path: Path, frames: int) -> None:
    source = videos.write_video(tmp_path / "short.mp4", frames)
    steadyview.stabilize(source, tmp_path / "out.mp4")
    assert len(videos.read_planes(tmp_path / "out.mp4")[0]) == frames


@pytest.mark.parametrize("size", [(16, 16), (33, 17), (18, 250)])
def test_small_and_odd_sizes(size: tuple[int, int]) -> None:
    result = steadyview.stabilize(videos.shaky_clip(8, size, shake=1.0).frames)
    assert {frame.shape for frame in result.frames()} == {(size[1], size[0], 3)}


@pytest.mark.parametrize("kind", ["black", "white", "noise"])
def test_hopeless_pictures_are_left_as_they_are(kind: str) -> None:
    frames = np.full((20, 64, 96, 3), 255 if kind == "white" else 0, np.uint8)
    if kind == "noise":
        frames = np.random.default_rng(0).integers(0, 256, frames.shape, dtype=np.uint8)
    result = steadyview.stabilize(frames)
    assert result.note
    np.testing.assert_array_equal(list(result.frames()), frames)


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv422p", "yuv444p", "yuv420p10le", "yuva420p"])
def test_formats_keep_their_depth_and_layout(tmp_path: Path, pix_fmt: str) -> None:
    clip = videos.shaky_clip(8, (64, 48))
    source = videos.write_clip(tmp_path / "in.mkv", clip, codec="ffv1", pix_fmt=pix_fmt)
    steadyview.stabilize(source, tmp_path / "out.mkv", codec="ffv1")
    with open_video(tmp_path / "out.mkv") as reader:
        assert reader.info.format.name == pix_fmt
        assert sum(1 for _ in reader) == 8


def test_shots_are_smoothed_apart(tmp_path: Path) -> None:
    one, two = (videos.shaky_clip(30, (160, 120), seed=seed).frames for seed in (1, 50))
    result = steadyview.stabilize(np.concatenate([one, two]), residual=False)
    assert result.motion.shots == (0, 30)
    alone = steadyview.stabilize(one, residual=False)
    np.testing.assert_allclose(
        result.path.source_from_output[:30], alone.path.source_from_output, atol=1e-6
    )


def test_a_truncated_file_is_stabilised_as_far_as_it_goes(tmp_path: Path, shaky: Path) -> None:
    videos.truncate(videos.move_index_to_front(shaky), 0.6)
    result = steadyview.stabilize(shaky, tmp_path / "out.mp4")
    assert 0 < result.motion.frames < 60
    assert any("frame" in warning for warning in result.warnings)
    assert len(videos.read_planes(tmp_path / "out.mp4")[0]) == result.motion.frames


def test_bad_encoder_options_are_told_before_any_work(shaky: Path, tmp_path: Path) -> None:
    seen = []
    with pytest.raises(OptionError, match="nonsense"):
        steadyview.stabilize(
            shaky, tmp_path / "out.mp4", codec="nonsense", progress=lambda *got: seen.append(got)
        )
    assert not seen


def test_images_have_the_frame_rate_that_is_given(clip: videos.ShakyClip, tmp_path: Path) -> None:
    slow = steadyview.stabilize(clip.frames[:20], tmp_path / "out.mp4", frame_rate=12)
    assert slow.motion.times[-1] == pytest.approx(19 / 12)
    assert videos.read_planes(tmp_path / "out.mp4")[1][-1] == pytest.approx(19 / 12)


def test_threads_do_not_change_the_result_and_are_given_back(clip: videos.ShakyClip) -> None:
    before = cv2.getNumThreads()
    one = steadyview.stabilize(clip.frames[:20], threads=1)
    two = steadyview.stabilize(clip.frames[:20], threads=2)
    np.testing.assert_array_equal(one.path.source_from_output, two.path.source_from_output)
    assert cv2.getNumThreads() == before


def test_a_failing_run_leaves_nothing(tmp_path: Path) -> None:
    for name, make in {"no.mp4": None, "text.mp4": videos.write_text_file}.items():
        if make:
            make(tmp_path / name)
        with pytest.raises(InputError, match=name):
            steadyview.stabilize(tmp_path / name, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.mp4"]
    with pytest.raises(OutputError, match="folder"):
        steadyview.stabilize(tmp_path / "text.mp4", tmp_path / "nowhere" / "out.mp4")


def test_torch_is_never_imported(shaky: Path, tmp_path: Path) -> None:
    code = (
        "import sys, steadyview; "
        f"steadyview.stabilize({str(shaky)!r}, {str(tmp_path / 'out.mp4')!r}); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
