"""Frames as RGB pictures, for whatever shows or plots them."""

import numpy as np

from .info import Frame, VideoInfo
from .writer import Intake

__all__ = ["RgbConverter"]


class RgbConverter:
    """Turns frames of one video into `(H, W, 3)` uint8 RGB, by its colour matrix and range."""

    def __init__(self, info: VideoInfo) -> None:
        self._intake = Intake(info, "rgb24", keep_size=True)

    def __call__(self, frame: Frame) -> np.ndarray:
        picture = self._intake.picture(frame)
        return np.ascontiguousarray(picture.to_ndarray())
