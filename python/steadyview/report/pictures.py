"""Sample frames before and after, with the crop window drawn on the source."""

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ..video.pipeline import pick
from ..video.reader import open_video

__all__ = ["crop_window", "data_url", "draw_crop_window", "frames_at", "shrink"]


def frames_at(source: Any, wanted: Sequence[int]) -> dict[int, np.ndarray]:
    """Some frames of a video by index, as RGB."""
    with open_video(source) as reader:
        return {frame.index: reader.to_rgb(frame) for frame in pick(reader, wanted)}


def crop_window(row: np.ndarray, width: int, height: int) -> np.ndarray:
    """The corners of the output frame in the source: `(4, 2)` pixels, clockwise from top left.

    Args:
        row: (a, b, tx, ty) of `CameraPath.source_from_output`.
        width, height: pixels of the frame.
    """
    a, b, tx, ty = row
    half = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    turned = half @ np.array([[a, b], [-b, a]])
    return turned + np.array([width / 2 + tx, height / 2 + ty])


def draw_crop_window(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """A copy of an RGB picture, darker outside the window, with the window's outline."""
    points = np.round(corners * 16).astype(np.int32)  # a sixteenth of a pixel, for OpenCV's shift
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, points, 255, lineType=cv2.LINE_AA, shift=4)
    weight = 0.45 + 0.55 * inside[..., None] / 255
    drawn = (image * weight).astype(np.uint8)
    thickness = max(1, round(image.shape[1] / 320))
    cv2.polylines(drawn, [points], True, (255, 205, 60), thickness, cv2.LINE_AA, shift=4)
    return drawn


def shrink(image: np.ndarray, width: int) -> np.ndarray:
    """The picture at most this wide."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def data_url(image: np.ndarray, quality: int = 78) -> str:
    """An RGB picture as a JPEG inside a URL."""
    options: list[Any] = [cv2.IMWRITE_JPEG_QUALITY, quality]
    coded, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    if not coded:
        raise ValueError(f"image of shape {image.shape} cannot be coded as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
