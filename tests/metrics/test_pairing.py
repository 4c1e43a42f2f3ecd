"""Which frames belong together: other rates, dropped frames, other clocks, other pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swaying_clips import sway

import videos
from steadyview.errors import InputError
from steadyview.metrics import compare_videos
from steadyview.metrics.pairing import frame_pairs, paired_by_order
from steadyview.metrics.tracking import LumaFrame
from steadyview.metrics.truth import compare_with_truth


@dataclass(frozen=True)
class Moment:
    time: float


def moments(steps: list[int], start: int = 0) -> list[Moment]:
    return [Moment(start + float(time)) for time in np.cumsum([0, *steps])]


@given(
    st.integers(1, 40),
    st.integers(2, 12),
    st.lists(st.integers(1, 40), max_size=12),
    st.integers(-30, 30),
)
def test_partners_are_the_nearest_to_each_other(step, count, second, start) -> None:
    source, result = moments([step] * count), moments(second, start)
    pairs = list(frame_pairs(iter(source), iter(result)))
    assert [a for a, _ in pairs if a] == source
    assert [b for _, b in pairs if b] == result
    lonely = [a for a, b in pairs if b is None], [b for a, b in pairs if a is None]
    for a, b in pairs:  # nobody who is left alone would have been a nearer partner
        if a is not None and b is not None:
            apart = abs(a.time - b.time)
            assert all(abs(a.time - other.time) >= apart for other in lonely[1])
            assert all(abs(other.time - b.time) >= apart for other in lonely[0])
    for a in lonely[0]:  # nor do two stay alone who are nearest to each other, and near
        for b in lonely[1]:
            apart = abs(a.time - b.time)
            others = [abs(a.time - other.time) for other in result if other is not b]
            others += [abs(b.time - other.time) for other in source if other is not a]
            assert apart > step / 2 or apart >= min(others, default=1e9)


@pytest.mark.parametrize("rate", [15.0, 25.0, 29.0, 60.0])
def test_a_steady_result_is_steady_at_any_rate(rate: float) -> None:
    source = sway(4.0, seconds=1.0)
    found = compare_videos(source, sway(0.0, rate=rate, seconds=1.0))
    assert found.strict.stability.overall > 0.98  # corners are found again to 0.03 px
    assert found.shake_removed_db > 25


def test_doubled_frames_are_passed_over() -> None:
    source, steady = sway(4.0, seconds=1.0), sway(0.3, seconds=1.0)
    doubled = [replace(frame, time=frame.time + half / 60) for frame in steady for half in range(2)]
    once, twice = compare_videos(source, steady), compare_videos(source, doubled)
    assert twice.strict.stability.overall == pytest.approx(once.strict.stability.overall, abs=1e-9)
    assert twice.unpaired == len(steady)


def test_worst_frames_are_those_of_the_source() -> None:
    source, result = sway(1.0, seconds=1.0), sway(0.0, seconds=1.0)
    result[20] = LumaFrame(np.roll(result[20].luma, 9, axis=1), result[20].time)
    dropped = result[:5] + result[11:]
    found = compare_videos(source, dropped)
    assert found.source_frames.tolist() == [*range(5), *range(11, 30)]
    assert found.to_dict()["strict_worst_jolt_frame"] == 20


def test_frames_of_another_clock_are_paired_by_order(tmp_path: Path) -> None:
    clip = videos.shaky_clip(40, (160, 120))
    paths = [
        videos.write_video(tmp_path / f"{rate}.mp4", clip.frames, fps=rate) for rate in (30, 25)
    ]
    first, second = map(str, paths)
    assert paired_by_order(first, second)
    found = compare_videos(first, second)
    assert found.by_order
    assert (found.frames, found.unpaired) == (40, 0)
    assert found.shake_removed_db == pytest.approx(0, abs=0.2)
    assert compare_with_truth(first, second)["truth_unpaired"] == 0
    shorter = str(videos.write_video(tmp_path / "short.mp4", clip.frames[:33], fps=25))
    assert not paired_by_order(first, shorter)
    assert not paired_by_order(first, first)


def test_pixels_need_not_be_square(tmp_path: Path) -> None:
    clip = videos.shaky_clip(12, (160, 120))
    square = videos.write_video(tmp_path / "square.mp4", clip.frames)
    narrow = np.ascontiguousarray(clip.frames[:, :, ::2])
    wide = videos.write_video(tmp_path / "wide.mp4", narrow, sample_aspect_ratio=Fraction(2))
    found = compare_videos(str(square), str(wide))
    assert found.unmatched == 0
    assert found.strict.distortion_median > 0.98


def test_frames_from_memory_are_checked() -> None:
    clip = sway(1.0, seconds=0.2)
    with pytest.raises(InputError, match="frame 2: times must increase"):
        compare_videos(clip, [*clip[:2], clip[1]])
    with pytest.raises(InputError, match="frame 1: luma is"):
        compare_videos(clip, [clip[0], LumaFrame(clip[1].luma[:-2], clip[1].time)])
    with pytest.raises(InputError, match="frame 0: luma must be"):
        compare_videos(clip, [LumaFrame(clip[0].luma.astype(float), 0.0)])
    with pytest.raises(InputError, match="result: an iterator"):
        compare_videos(clip, iter(clip), temporal=True)


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_frames_have_no_stability(count: int) -> None:
    clip = sway(1.0, seconds=count / 30)
    record = compare_videos(clip, clip).to_dict()
    assert record["frames"] == count
    assert record["strict_stability"] is record["shake_removed_db"] is None
    assert record["strict_worst_jolt_frame"] is None


def test_a_result_without_texture_is_not_steady() -> None:
    clip = sway(3.0, seconds=0.5)
    blank = [replace(f, luma=np.full_like(f.luma, 90)) for f in clip]
    record = compare_videos(clip, clip[:5] + blank[5:]).to_dict()
    assert record["strict_stability"] is record["shake_removed_db"] is None
    assert record["shake_source_px"] > 1
