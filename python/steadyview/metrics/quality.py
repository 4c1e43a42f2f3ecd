"""Compares a stabilised video with its source: shake, cropping, wobble, sharpness, borders."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from .comparison import Comparison
from .fidelity import Fidelity, measure_fidelity
from .geometry import GeometryConsistency, measure_geometry
from .learned import LearnedModels, LearnedScores, measure_learned
from .pairing import (
    count_frames,
    frame_pairs,
    name_of,
    order_pairs,
    paired_by_order,
    rereadable,
)
from .reprojection import Reprojection, measure_reprojection
from .shake import Shake, shake_of_transitions
from .standard import StandardScores, standard_scores
from .strict import StrictScores, distortion_of, stability_of, view_of
from .temporal import TemporalError, measure_temporal_error
from .tracking import Array, VideoSource, read_luma

__all__ = ["QualityReport", "compare_videos"]

FLOOR_PX = 0.01
"""Added to both shakes before their ratio is taken: the tracker sees no less."""


@dataclass(frozen=True)
class QualityReport:
    """A result against its source.

    Lengths are in pixels of the source scaled to a long side of 640, so that a result's zoom
    neither helps nor harms it.

    Attributes:
        source, result: names of the two videos.
        frames: pairs of frames compared.
        source_frames: `(frames,)` indices of the source's frames that have a partner.
        unpaired: frames of either video that have no partner within half a frame's time.
        by_order: frames were paired by order: the videos have one number of them, and clocks that
            differ; the source's counts.
        shake_source, shake_result: `Shake` of each (motion of the result divided by its zoom).
        kept: `(frames,)` part of the source's width that the result shows (square root of the area
            ratio of view and source, by the similarity between the two frames); nan where unknown.
        outside: `(frames,)` part of the result's area that lies outside the source frame: black,
            stale or invented content.
        wobble_source, wobble_result: `(frames-1,)` px, on the same scene points (`wobble`).
        sharpness: `(k,)` part of the source's fine detail kept (`sharpness`), on sampled frames.
        sharpness_frames: `(k,)` indices of those.
        border: `(frames,)` black border pixels.
        unmatched: frames whose place in the source could not be measured.
        strict: cropping, distortion and stability without the published script's flaws.
        standard: the published script's own figures; None unless asked for, like what follows.
        standard_error: why it has none for this pair (too few features in the first frames).
        geometry: epipolar consistency of the result's frames.
        reprojection: how well a rigid scene explains the result's tracks; with `geometry`.
        temporal: flow-warp error of the result.
        fidelity: PSNR and SSIM of the result against the true steady video, frame on frame.
        learned: what networks say whose weights the user gave.
    """

    source: str
    result: str
    times: Array
    source_frames: Array
    unpaired: int
    by_order: bool
    shake_source: Shake
    shake_result: Shake
    kept: Array
    outside: Array
    wobble_source: Array
    wobble_result: Array
    sharpness: Array
    sharpness_frames: Array
    border: Array
    unmatched: int
    strict: StrictScores
    standard: StandardScores | None = None
    standard_error: str = ""
    geometry: GeometryConsistency | None = None
    reprojection: Reprojection | None = None
    temporal: TemporalError | None = None
    fidelity: Fidelity | None = None
    learned: LearnedScores | None = None

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def shake_removed_db(self) -> float:
        """`10 log10(E_source / E_result)` of the energies above 1 Hz, 0.01 px of floor on each."""
        floor = FLOOR_PX**2
        ratio = (self.shake_source.energy + floor) / (self.shake_result.energy + floor)
        return float(10 * np.log10(ratio))

    @property
    def kept_mean(self) -> float:
        return _mean(self.kept)

    @property
    def kept_min(self) -> float:
        return float(np.nanmin(self.kept)) if np.isfinite(self.kept).any() else float("nan")

    @property
    def outside_mean(self) -> float:
        return _mean(self.outside)

    @property
    def wobble_before(self) -> float:
        return _mean(self.wobble_source)

    @property
    def wobble_after(self) -> float:
        return _mean(self.wobble_result)

    @property
    def sharpness_kept(self) -> float:
        """Median over the sampled frames."""
        good = self.sharpness[np.isfinite(self.sharpness)]
        return float(np.median(good)) if len(good) else float("nan")

    @property
    def border_pixels(self) -> int:
        return int(self.border.sum())

    def to_dict(self) -> dict[str, Any]:
        """The scalar values, ready for JSON: None where nothing could be measured."""
        values = {
            "source": self.source,
            "result": self.result,
            "frames": self.frames,
            "shake_source_px": self.shake_source.rms,
            "shake_result_px": self.shake_result.rms,
            "shake_removed_db": self.shake_removed_db,
            "steady_share_source": self.shake_source.steady_share,
            "steady_share_result": self.shake_result.steady_share,
            "kept_mean": self.kept_mean,
            "kept_min": self.kept_min,
            "outside_mean": self.outside_mean,
            "wobble_source_px": self.wobble_before,
            "wobble_result_px": self.wobble_after,
            "sharpness_kept": self.sharpness_kept,
            "border_pixels": self.border_pixels,
            "unpaired_frames": self.unpaired,
            "paired_by_order": self.by_order,
            "unmatched_frames": self.unmatched,
            "failed_transitions_source": self.shake_source.failed,
            "failed_transitions_result": self.shake_result.failed,
        }
        record: dict[str, Any] = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        for name, value in self.strict.to_dict().items():
            is_place = name.startswith("worst_") and value is not None
            record[f"strict_{name}"] = int(self.source_frames[value]) if is_place else value
        if self.standard is not None:
            record |= {f"standard_{name}": value for name, value in self.standard.to_dict().items()}
        if self.standard_error:
            record["standard_error"] = self.standard_error
        if self.fidelity is not None:
            record |= {
                f"truth_unaligned_{name}": value for name, value in self.fidelity.to_dict().items()
            }
        for part in (self.geometry, self.reprojection, self.temporal, self.learned):
            record |= {} if part is None else part.to_dict()
        return record


def _mean(values: Array) -> float:
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else float("nan")


def compare_videos(
    source: VideoSource,
    result: VideoSource,
    progress: Callable[[int, int | None], None] | None = None,
    *,
    standard: bool = False,
    geometry: bool = False,
    temporal: bool = False,
    truth: VideoSource | None = None,
    learned: LearnedModels | None = None,
) -> QualityReport:
    """Measures a stabilised video against its source.

    One set of corners a frame serves all: found in the source, followed to the source's next frame,
    carried into the result by the similarity between the two, refined there, and followed to the
    result's next frame. Source and result are thus measured on the same scene points.

    Args:
        source, result: files, or frames from memory; frames are paired by time.
        progress: called with the frames of the source done, and how many there are (or None).
        standard: also compute the published script's figures. This and what follows each take
            another pass over the videos, so give files or lists, which can be read again.
        geometry: also measure the result's epipolar consistency and its reprojection error.
        temporal: also measure the result's flow-warp error.
        truth: the true steady video, where there is one: PSNR and SSIM against it, frame on
            frame, without alignment (with it: `truth.compare_with_truth`).
        learned: networks, from `load_learned`, whose scores are wanted too.

    Returns:
        The report; see `QualityReport` for units.

    Raises:
        InputError: a file is missing, holds no video, no frames pair up, or another pass is wanted
            over an iterator.
    """
    if standard or learned is not None:
        rereadable(source, "source")
    if standard or geometry or temporal or truth is not None or learned is not None:
        rereadable(result, "result")
    comparison = Comparison()
    frames: list[int] = []
    unpaired = done = 0
    total = count_frames(source) if progress else None
    by_order = paired_by_order(source, result)
    pair = order_pairs if by_order else frame_pairs
    for first, second in pair(read_luma(source), read_luma(result)):
        if first is None or second is None:
            unpaired += 1
        else:
            frames.append(done)
            comparison.add(first, second)
        done += first is not None
        if progress and first is not None:
            progress(done, total)
    if not comparison.times:
        raise InputError(f"result: {name_of(result)} has no frame in common with {name_of(source)}")
    names = name_of(source), name_of(result)
    report = _report(comparison, names, frames, unpaired, by_order)
    if standard:
        try:
            report = replace(report, standard=standard_scores(source, result))
        except InputError as error:  # the rest can be measured still
            report = replace(report, standard_error=str(error))
    return replace(
        report,
        geometry=measure_geometry(result) if geometry else None,
        reprojection=measure_reprojection(result) if geometry else None,
        temporal=measure_temporal_error(result) if temporal else None,
        fidelity=None if truth is None else measure_fidelity(truth, result),
        learned=None if learned is None else measure_learned(source, result, learned, truth),
    )


def _report(
    comparison: Comparison, names: tuple[str, str], frames: list[int], unpaired: int, by_order: bool
) -> QualityReport:
    times, result_times = np.array(comparison.times), np.array(comparison.result_times)
    zooms = np.array(comparison.zooms)
    known = np.isfinite(zooms)
    order = np.arange(len(zooms))
    zooms = np.interp(order, order[known], zooms[known]) if known.any() else np.ones(len(order))
    result_rows = np.array(comparison.result_rows).reshape(-1, 4)
    result_rows[:, 2:] /= zooms[:-1, None]
    wobbles = np.array(comparison.wobbles).reshape(-1, 2)
    return QualityReport(
        source=names[0],
        result=names[1],
        times=times,
        source_frames=np.array(frames),
        unpaired=unpaired,
        by_order=by_order,
        shake_source=shake_of_transitions(
            times, np.array(comparison.source_rows).reshape(-1, 4), comparison.half_size
        ),
        shake_result=shake_of_transitions(result_times, result_rows, comparison.half_size),
        kept=np.array(comparison.kept),
        outside=np.array(comparison.outside),
        wobble_source=wobbles[:, 0],
        wobble_result=wobbles[:, 1],
        sharpness=np.array([value for _, value in comparison.sharpness]),
        sharpness_frames=np.array([index for index, _ in comparison.sharpness], int),
        border=np.array(comparison.border),
        unmatched=comparison.unmatched,
        strict=_strict(comparison, result_times),
    )


def _strict(comparison: Comparison, times: Array) -> StrictScores:
    links = comparison.homographies
    known = [bool(np.isfinite(link).all()) for link in links]
    halves = comparison.half_size, comparison.result_half_size
    rows = np.array(comparison.result_rows).reshape(-1, 4)
    return StrictScores(
        cropping=np.array(
            [
                view_of(link, *halves)[0] if ok else np.nan
                for link, ok in zip(links, known, strict=True)
            ]
        ),
        distortion=np.array(
            [distortion_of(link) if ok else np.nan for link, ok in zip(links, known, strict=True)]
        ),
        stability=stability_of(times, rows, comparison.result_half_size),
        failed=tuple(int(i) for i in np.flatnonzero(~np.array(known))),
        failed_transitions=tuple(int(i) for i in np.flatnonzero(np.isnan(rows).any(1))),
    )
