"""Global motion between consecutive frames: what it is, and how it is measured.

Dense flow, a robust low-pass fit that ignores moving objects, and photometric refinement.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from .file import read_motion, write_motion
from .flow import DisFlow, FlowEstimator, check_flow
from .lowpass import similarity_coefficients
from .prior import BLANK, LOST, hold_prior, measured_confidence
from .rest import RestVote
from .shots import Link, differ, find_shots, stretched

__all__ = ["GlobalMotion", "MotionEstimator", "estimate_motion"]

#: Long side of the image that motion is refined on, and of the one that flow is computed on.
ANALYSIS_SIDE = 480
FLOW_SIDE = 400
#: Share of the texture that follows the model below which two frames do not align. Different
#: scenes reach 0.06; the sample clips at four times their speed stay above 0.16 (2nd percentile).
ALIGNED = 0.1
#: A flash or a blank is bridged by aligning the frames around it: up to so many seconds of blank
#: frames, or so many frames that show something else.
BRIDGE_SECONDS = 0.5
BRIDGE_FRAMES = 4
#: Texture below which frames of different scenes may seem to align.
FAINT = 0.15


@dataclass(frozen=True)
class GlobalMotion:
    """Global motion of a video of N frames: N-1 transitions, frame t to frame t+1.

    Coordinates are pixels of the upright full-size frame; "centred" ones are relative to the
    frame's centre `(width/2, height/2)`, where pixel (0, 0) covers [0, 1] x [0, 1].

    Attributes:
        frame_size: (width, height) in pixels.
        times: presentation times in seconds, `(N,)`, increasing.
        similarity: `(N-1, 4)` rows (a, b, tx, ty): the centred point p of frame t is found at
            `[[a, -b], [b, a]] p + (tx, ty)` in frame t+1. Identity is (1, 0, 0, 0).
        homography: `(N-1, 3, 3)`, the same for centred homogeneous points; element (2, 2) is 1.
        coefficients: `(N-1, 2, K, K)`: the low-pass flow in pixels, x then y component,
            `flow(x, y) = sum_uv c[u, v] cos(pi u y / height) cos(pi v x / width)` at the uncentred
            point (x, y) of frame t; u is the vertical frequency. It holds the whole motion, the
            similarity part included.
        confidence: `(N-1,)` in [0, 1]; 0 where the motion prior was held instead of a measurement.
        residual: `(N-1,)` mean absolute photometric difference of what follows the motion, in
            [0, 1], before the last refinement step.
        shots: index of the first frame of every shot; starts with 0. The transition into a shot's
            first frame is the identity with confidence 0.
    """

    frame_size: tuple[int, int]
    times: np.ndarray
    similarity: np.ndarray
    homography: np.ndarray
    coefficients: np.ndarray
    confidence: np.ndarray
    residual: np.ndarray
    shots: tuple[int, ...] = (0,)

    @property
    def frames(self) -> int:
        return len(self.times)

    def window(self, first: int, last: int) -> "GlobalMotion":
        """The motion of the frames first to last - 1; its first shot may have begun before."""
        inside = slice(first, max(last - 1, first))
        return GlobalMotion(
            self.frame_size,
            self.times[first:last],
            self.similarity[inside],
            self.homography[inside],
            self.coefficients[inside],
            self.confidence[inside],
            self.residual[inside],
            (0, *(shot - first for shot in self.shots if first < shot < last)),
        )

    def save(self, path: str | Path) -> None:
        """Writes the motion file: JSON, one row a frame, readable and editable.

        Raises:
            OutputError: the file cannot be written; nothing is left behind.
        """
        write_motion(Path(path), {f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> "GlobalMotion":
        """Reads a motion file.

        Raises:
            InputError: it is no such file, or of another version, or a field is missing, of the
                wrong length or not finite; the message names the file and the field.
        """
        return cls(**read_motion(Path(path)))


def _row_type(grid: int) -> np.dtype:
    """What is kept of a transition: some 300 bytes, whatever the size of the frames."""
    return np.dtype(
        [
            ("similarity", np.float64, 4),
            ("homography", np.float32, (3, 3)),
            ("coefficients", np.float32, (2, grid, grid)),
            ("confidence", np.float64),
            ("residual", np.float64),
            ("link", np.uint8),
        ]
    )


@dataclass
class _Reference:
    frame: _core.AnalysisFrame
    small: np.ndarray
    index: int
    tries: int = 0

    @property
    def blank(self) -> bool:
        return bool(self.frame.texture < BLANK)


class MotionEstimator:
    """Streaming estimator of the global motion: `add` each frame, then `finish`.

    Args:
        frame_size: (width, height) in pixels of the upright frames.
        flow: dense flow between the reduced frames; `DisFlow()` when None.
        grid: K of the K x K low-pass coefficients, 1 to 8.
        depth: bits of a sample; None takes 8 for uint8 and guesses from the values for uint16.
        options: of the C++ fit (`csrc/motion/estimate.h`, EstimateOptions), for experiments.

    Raises:
        ValueError: a size or grid out of range.

    Source: the low-pass motion of GlobalFlowNet (WACV 2023), fitted robustly instead of learnt.
    """

    def __init__(
        self,
        frame_size: tuple[int, int],
        *,
        flow: FlowEstimator | None = None,
        grid: int = 5,
        depth: int | None = None,
        options: dict[str, float] | None = None,
    ) -> None:
        width, height = frame_size
        if width < 1 or height < 1:
            raise ValueError(f"frame_size must be positive, got {frame_size}")
        if not 1 <= grid <= 8:
            raise ValueError(f"grid must be from 1 to 8, got {grid}")
        self.frame_size = (int(width), int(height))
        self.grid = grid
        self._flow = flow if flow is not None else DisFlow()
        self._depth = depth
        self._deepest = 10  # bits, of 16-bit samples so far
        # Every block has all its pixels, also in a frame that is only a few pixels high.
        self._factor = min(-(-max(width, height) // ANALYSIS_SIDE), width, height)
        reduced = (width // self._factor, height // self._factor)
        self._flow_factor = min(-(-max(reduced) // FLOW_SIDE), *reduced)
        self._pair = _core.PairEstimator(
            *reduced,
            width / self._factor,
            height / self._factor,
            grid,
            {**_scaled_options(max(reduced)), **(options or {})},
        )
        self._times: list[float] = []
        self._rows: np.ndarray = np.zeros(256, _row_type(grid))  # transitions, and room for more
        self._previous: _Reference | None = None
        self._anchor: _Reference | None = None  # the last frame before the trouble
        self._before_blank: _Reference | None = None  # the last frame that showed something
        self._rest = RestVote(self._pair, reduced)

    def add(self, luma: np.ndarray, time: float) -> None:
        """Measures the motion from the frame before to this one.

        Args:
            luma: `(height, width)` uint8 or uint16; rows may be strided.
            time: seconds, later than the frame before.

        Raises:
            ValueError: a frame of another size or type, a time that does not increase, or the flow
                estimator returned something other than finite flow of the frames it was given.
        """
        width, height = self.frame_size
        if luma.shape != (height, width) or luma.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"luma must be {(height, width)} of uint8 or uint16, "
                f"got {luma.shape} of {luma.dtype}"
            )
        if not np.isfinite(time) or (self._times and time <= self._times[-1]):
            raise ValueError(f"time must be finite and increase, got {time}")
        if luma.strides[1] != luma.itemsize or min(luma.strides) <= 0:
            luma = np.ascontiguousarray(luma)
        frame = _core.AnalysisFrame(luma, self._factor, self._sample_depth(luma))
        current = _Reference(frame, frame.small(self._flow_factor), len(self._times))
        self._times.append(float(time))
        if self._previous is not None:
            if current.index > len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            row = self._rows[current.index - 1 : current.index]
            found = self._measure(self._previous, current, row)
            self._ask_rest(self._previous, current, row, found)
            self._leave_blank(self._previous, current, row)
            self._bridge(self._previous, current, Link(row["link"][0]))
        self._previous = current

    @property
    def times(self) -> Sequence[float]:
        """Times of the frames that were added so far, in seconds."""
        return self._times

    def finish(self) -> GlobalMotion:
        """The motion of all frames: gaps filled by the motion prior, split into shots."""
        return self.window(0, len(self._times))

    def window(self, first: int, last: int) -> GlobalMotion:
        """The motion of the frames first to last - 1 as far as it is known now.

        Later frames can still change it, as far back as a flash or a blank is bridged.
        """
        times = np.array(self._times[first:last])
        count = max(len(times) - 1, 0)
        rows = self._rows[first : first + count].copy()
        before = min(first, 1)  # whether a shot starts depends on the transition before
        links = [Link(link) for link in self._rows["link"][first - before : first + count]]
        starts = [start - before for start in find_shots(links) if start > before]
        shots = (0, *starts)
        for start in starts:
            rows[start - 1 : start] = _identity_row(rows.dtype)
        for start, end in zip(shots, (*starts, len(times)), strict=True):
            inside = rows[start : max(end - 1, start)]
            hold_prior(
                times[start:end],
                inside["confidence"],
                inside["similarity"],
                inside["homography"],
                inside["coefficients"],
            )
        return GlobalMotion(
            frame_size=self.frame_size,
            times=times,
            similarity=rows["similarity"].copy(),
            homography=rows["homography"].copy(),
            coefficients=rows["coefficients"].copy(),
            confidence=rows["confidence"].copy(),
            residual=rows["residual"].copy(),
            shots=shots,
        )

    def _sample_depth(self, luma: np.ndarray) -> int:
        if self._depth is not None:
            return self._depth
        if luma.dtype == np.uint8:
            return 8
        peak = int(luma.max())
        needed = 16 if peak > 4095 else 12 if peak > 1023 else 10
        self._deepest = max(self._deepest, needed)
        return self._deepest

    def _measure(self, first: _Reference, second: _Reference, row: np.ndarray) -> dict[str, Any]:
        """Fills a table of one row with the motion from one frame to another; what was found."""
        flow = self._flow.flow(first.small, second.small)
        if flow is not None and not isinstance(self._flow, DisFlow):
            check_flow(flow, first.small.shape, type(self._flow).__name__)
        found = self._pair.estimate(first.frame, second.frame, flow, self._flow_factor)
        confidence = measured_confidence(found, min(first.frame.texture, second.frame.texture))
        link = Link.ALIGNED
        if first.blank or second.blank:
            link = Link.BLANK
        elif found["inliers"] < ALIGNED or confidence < LOST:
            link = Link.DIFFERENT if differ(first.small, second.small) else Link.FAILED
        factor = self._factor
        scale = np.array([1, 1, factor, factor])
        to_full = np.diag([factor, factor, 1.0])
        coefficients = factor * found["model_coefficients"] + similarity_coefficients(
            found["model_similarity"] * scale, self.frame_size, self.grid
        )
        row["similarity"] = found["similarity"] * scale
        row["homography"] = to_full @ found["homography"] @ np.linalg.inv(to_full)
        row["coefficients"] = coefficients
        row["confidence"] = confidence if link is Link.ALIGNED else 0.0
        row["residual"] = found["residual"]
        row["link"] = link.value
        return found

    def _ask_rest(
        self, first: _Reference, second: _Reference, row: np.ndarray, found: dict[str, Any]
    ) -> None:
        """Holds the camera still while it is believed to rest behind what moves."""
        if row["link"][0] != Link.ALIGNED.value:
            self._rest.forget()
            return
        known = self._rest.believed
        times = (self._times[first.index], self._times[second.index])
        self._rest.add((first.frame, times[0]), (second.frame, times[1]), found)
        if not self._rest.believed:
            return
        begin = first.index
        if not known:  # what was measured while votes were gathered was no motion either
            since = bisect_left(self._times, max(self._rest.since, times[1] - BRIDGE_SECONDS))
            begin = min(since, first.index)
        rows = self._rows[begin : second.index]
        still = _identity_row(rows.dtype)
        for name in ("similarity", "homography", "coefficients"):
            rows[name] = still[name]

    def _bridge(self, previous: _Reference, current: _Reference, link: Link) -> None:
        """After a failure, aligns later frames with the last one before it.

        When they align it was a flash or a blank, not a cut, and the motion across it is shared
        among the transitions that failed.
        """
        anchor = self._anchor
        if anchor is None:
            if link is not Link.ALIGNED and not previous.blank:
                self._anchor = previous
            return
        elapsed = self._times[current.index] - self._times[anchor.index]
        if elapsed > BRIDGE_SECONDS or anchor.tries >= BRIDGE_FRAMES:
            self._anchor = None
            return
        if current.blank:
            return
        anchor.tries += 1
        across: np.ndarray = np.zeros(1, self._rows.dtype)
        self._measure(anchor, current, across)
        if across["link"][0] != Link.ALIGNED.value:
            return
        inside = self._rows[anchor.index : current.index]
        aligned = inside["link"] == Link.ALIGNED.value
        known, lost = inside[aligned], np.flatnonzero(~aligned)
        still = _identity_row(inside.dtype)
        share = 1 / max(len(lost), 1)
        for name in ("similarity", "homography", "coefficients"):
            moved = across[name] - still[name] - (known[name] - still[name]).sum(axis=0)
            inside[name][lost] = still[name] + share * moved
        inside["confidence"][lost] = 0.5 * across["confidence"]
        inside["residual"][lost] = across["residual"]
        inside["link"][lost] = Link.ALIGNED.value
        self._anchor = None

    def _leave_blank(self, previous: _Reference, current: _Reference, row: np.ndarray) -> None:
        """After blank frames, however many: does the frame show what the last before them did?"""
        if current.blank:
            if not previous.blank:
                self._before_blank = previous
            return
        before, self._before_blank = self._before_blank, None
        if before is None:
            return
        across: np.ndarray = np.zeros(1, self._rows.dtype)
        self._measure(before, current, across)
        # Frames next to a fade are dark. They align easily, and brightness tells little.
        faint = min(before.frame.texture, current.frame.texture) < FAINT
        aligned = across["link"][0] == Link.ALIGNED.value
        if (faint or not aligned) and differ(stretched(before.small), stretched(current.small)):
            row["link"] = Link.CUT.value
            self._anchor = None


def _identity_row(row_type: np.dtype) -> np.ndarray:
    row = np.zeros(1, row_type)
    row["similarity"], row["homography"] = (1, 0, 0, 0), np.eye(3)
    return row


def _scaled_options(side: int) -> dict[str, float]:
    """The fit's lengths, given for a 640-pixel wide image, on one of this size."""
    scale = side / 640
    return {"consensus": 2.0 * scale, "scale_floor": 0.5 * scale, "refine_scale": 1.0 * scale}


def estimate_motion(
    frames: Iterable[tuple[np.ndarray, float]],
    frame_size: tuple[int, int],
    *,
    flow: FlowEstimator | None = None,
    grid: int = 5,
    depth: int | None = None,
) -> GlobalMotion:
    """The global motion of a sequence of (luma, time in seconds); see `MotionEstimator`."""
    estimator = MotionEstimator(frame_size, flow=flow, grid=grid, depth=depth)
    for luma, time in frames:
        estimator.add(luma, time)
    return estimator.finish()
