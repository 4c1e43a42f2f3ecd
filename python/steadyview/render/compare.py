"""Before and after in one video: side by side, or one picture with a moving divider."""

import itertools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from ..metrics.pairing import paired_by_order
from ..video.info import Frame, VideoInfo, pixel_format
from ..video.reader import open_video
from ..video.writer import VideoWriter

__all__ = ["compare_side_by_side", "draw_label", "side_by_side", "wipe_pair"]

GAP = 4  # px between the halves
PERIOD = 6.0  # seconds of one swing of the divider


def compare_side_by_side(
    before: str | os.PathLike,
    after: str | os.PathLike,
    output: str | os.PathLike,
    *,
    wipe: bool = False,
    labels: tuple[str, str] = ("before", "after"),
    max_width: int = 1920,
    overwrite: bool = False,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> int:
    """Writes a video that shows two videos at once, with the sound of the first.

    Beside each frame of the first is the one of the second that is nearest in time; where both have
    one number of frames and clocks of different rates, the next one in order.

    Args:
        before, after: the videos; the second is scaled to the height of the first.
        output: the file to write.
        wipe: one picture with a divider that swings to and fro, instead of two beside each other.
        labels: what is written in the corners of the two halves; empty for nothing.
        max_width: pixels that the output is at most wide.
        overwrite: replace an existing output.
        progress: called with "compare", the frames done, and how many there are (or None).

    Returns:
        The number of frames written: that of the first video while the second goes on.

    Raises:
        InputError: one of the videos cannot be read.
        OutputError: the output cannot be written; nothing is left behind.
    """
    with open_video(before) as first, open_video(after) as second:
        info = first.info
        parts = 1 if wipe else 2
        room = (max_width - (parts - 1) * GAP) / parts
        scale = min(1.0, room / max(_width_at(info, second.info), info.width))
        height = _even(info.height * scale)
        compose = wipe_pair if wipe else side_by_side
        in_order = paired_by_order(os.fspath(before), os.fspath(after))
        pairs = _pairs(_rgb_frames(first, height), _rgb_frames(second, height), in_order)
        opening = next(pairs, None)
        if opening is None:
            return 0
        canvas = compose(opening[1], opening[2], labels, 0.0)
        target = replace(
            info,
            width=canvas.shape[1],
            height=canvas.shape[0],
            format=pixel_format("gbrp"),
            # 8 bits of the source's own primaries and transfer; mastering data would be a lie.
            color={name: info.color.get(name, 2) for name in ("primaries", "trc")},
            hdr={},
            sample_aspect_ratio=Fraction(1),
        )
        template = before if os.path.isfile(before) else None
        done = 0
        with VideoWriter(output, target, template=template, overwrite=overwrite) as writer:
            for frame, left, right in itertools.chain([opening], pairs):
                writer.write(_as_frame(compose(left, right, labels, frame.time), frame))
                done += 1
                if progress:
                    progress("compare", done, info.frames)
    return done


def side_by_side(
    left: np.ndarray, right: np.ndarray, labels: tuple[str, str] = ("", ""), time: float = 0.0
) -> np.ndarray:
    """Two RGB frames of one height beside each other, a gap between them; both sides even.

    Args:
        left, right: `(H, W, 3)` uint8.
        labels: text for their top left corners.
        time: not used; the signature is that of `wipe_pair`.

    Returns:
        `(H, W_left + gap + W_right, 3)` uint8.
    """
    halves = [draw_label(image, text) for image, text in zip((left, right), labels, strict=True)]
    gap = np.full((left.shape[0], GAP, 3), 24, np.uint8)
    return np.concatenate([halves[0], gap, halves[1]], axis=1)


def wipe_pair(
    left: np.ndarray, right: np.ndarray, labels: tuple[str, str] = ("", ""), time: float = 0.0
) -> np.ndarray:
    """One RGB picture, left of a divider from `left`, right of it from `right`.

    Args:
        left, right: `(H, W, 3)` uint8; `right` is scaled to the width of `left`.
        labels: text for the top corners.
        time: seconds; the divider swings about the middle with a period of 6 s.
    """
    height, width = left.shape[:2]
    if right.shape != left.shape:
        right = cv2.resize(right, (width, height), interpolation=cv2.INTER_AREA)
    split = round(width * (0.5 + 0.35 * math.sin(2 * math.pi * time / PERIOD)))
    canvas = draw_label(left, labels[0])
    canvas[:, split:] = draw_label(right, labels[1], at_right=True)[:, split:]
    canvas[:, max(split - 1, 0) : split + 1] = 255
    return canvas


def draw_label(image: np.ndarray, text: str, *, at_right: bool = False) -> np.ndarray:
    """A copy of an RGB picture with text on a dark plate in a top corner."""
    image = image.copy()
    if not text:
        return image
    height, width = image.shape[:2]
    size = max(0.35, height / 700)
    thickness = max(1, round(size * 1.6))
    (text_width, text_height), base = cv2.getTextSize(
        text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness
    )
    pad = max(4, round(10 * size))
    plate_width, plate_height = text_width + 2 * pad, text_height + base + pad
    x = max(width - plate_width - pad, 0) if at_right else pad
    plate = image[pad : pad + plate_height, x : x + plate_width]
    plate[:] = plate // 3  # dark, and still see-through
    cv2.putText(
        image,
        text,
        (x + pad, pad + text_height + pad // 2),
        cv2.FONT_HERSHEY_SIMPLEX,
        size,
        (255, 255, 255),
        thickness,
        cv2.LINE_AA,
    )
    return image


def _pairs(
    first: Iterator[tuple[Frame, np.ndarray]],
    second: Iterator[tuple[Frame, np.ndarray]],
    in_order: bool,
) -> Iterator[tuple[Frame, np.ndarray, np.ndarray]]:
    if in_order:
        for (frame, left), (_, right) in zip(first, second, strict=False):
            yield frame, left, right
        return
    shown, coming = next(second, None), next(second, None)
    gap = coming[0].time - shown[0].time if shown and coming else 0.0
    for frame, left in first:
        while shown and coming and coming[0].time - frame.time <= frame.time - shown[0].time:
            gap = coming[0].time - shown[0].time
            shown, coming = coming, next(second, None)
        if not shown or (not coming and frame.time - shown[0].time > max(0.75 * gap, 1e-3)):
            return  # the second has ended
        yield frame, left, shown[1]


def _rgb_frames(reader: Any, height: int) -> Iterator[tuple[Frame, np.ndarray]]:
    info = reader.info
    width = _even(info.width * float(info.sample_aspect_ratio) * height / info.height)
    for frame in reader:
        image = reader.to_rgb(frame)
        if image.shape[:2] != (height, width):
            shrinks = height < image.shape[0]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            image = cv2.resize(image, (width, height), interpolation=how)
        yield frame, image


def _as_frame(image: np.ndarray, like: Frame) -> Frame:
    planes = tuple(np.ascontiguousarray(image[..., channel]) for channel in (1, 2, 0))  # G, B, R
    return Frame(planes, like.pts, like.time, like.index, like.duration)


def _width_at(info: VideoInfo, other: VideoInfo) -> float:
    """Width of `other` when it is as high as `info`, in square pixels."""
    return other.width * float(other.sample_aspect_ratio) * info.height / other.height


def _even(length: float) -> int:
    return max(2, int(length + 1e-6) // 2 * 2)
