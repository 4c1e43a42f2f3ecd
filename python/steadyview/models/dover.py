"""DOVER: technical and aesthetic quality of a video, by the user's TorchScript of the network.

Source:
    Wu et al., "Exploring Video Quality Assessment on User Generated Contents from Aesthetic and
    Technical Perspectives", ICCV 2023. What is sampled, how it is normalised and how the two are
    fused follow its published evaluation; where that draws random numbers, ours are seeded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..errors import InputError
from .weights import default_device, load_script

__all__ = ["Dover", "DoverScore"]

_SIDE = 224
_CELLS = 7  # fragments a side
_CELL = _SIDE // _CELLS
_CLIP = 32  # frames
_CLIPS = 3
_STEP = 2
_MEAN = (123.675, 116.28, 103.53)
_DEVIATION = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class DoverScore:
    """All from 0 to 1, higher is better: the published fusion's logistic of each."""

    technical: float
    aesthetic: float
    overall: float


class Dover:
    """DOVER from a TorchScript file.

    Args:
        file: a module called with `(aesthetic, technical)`, views `(1, 3, 32, 224, 224)` and
            `(3, 3, 32, 224, 224)` normalised by ImageNet's mean and deviation, that returns the two
            scores in that order, as tensors of any shape (their means count): what the two
            backbones with their heads in the authors' `convert_to_onnx.py` take and give.
        device: where it runs; None: the GPU where there is one.

    Raises:
        InputError: the file is missing or is no TorchScript archive.
    """

    def __init__(self, file: str | os.PathLike[str], device: torch.device | None = None) -> None:
        self.device = device or default_device()
        self._file = file
        self._module = load_script(file, self.device)

    def __call__(self, frames: Iterable[np.ndarray], count: int) -> DoverScore:
        """The scores of one video.

        Args:
            frames: `(H, W, 3)` uint8 RGB, in order, `count` of them.
            count: frames of the video, at least 1.

        Raises:
            InputError: there are fewer frames than `count`, or the module does not take the views
                or gives something else.
        """
        if count < 1:
            raise InputError(f"count must be at least 1, got {count}")
        random = np.random.default_rng(0)
        technical, aesthetic = technical_frames(count, random), aesthetic_frames(count, random)
        offsets = random.random((_CLIPS, _CELLS, _CELLS, 2))
        views = {
            "technical": np.zeros((_CLIPS, _CLIP, _SIDE, _SIDE, 3), np.uint8),
            "aesthetic": np.zeros((1, _CLIP, _SIDE, _SIDE, 3), np.uint8),
        }
        last, index = max(technical.max(), aesthetic.max()), -1
        for index, frame in enumerate(frames):
            for clip, place in np.argwhere(technical == index):
                views["technical"][clip, place] = fragments(frame, offsets[clip])
            shown = np.flatnonzero(aesthetic == index)
            if len(shown):
                views["aesthetic"][0, shown] = cv2.resize(frame, (_SIDE, _SIDE))
        if index < last:
            raise InputError(f"frames must be {count}, got only {index + 1}")
        try:
            with torch.inference_mode():
                given = self._module(self._tensor(views["aesthetic"]),
                                     self._tensor(views["technical"]))  # fmt: skip
            first, second = (float(part.float().mean()) for part in given)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{self._file}: must be called with (aesthetic view 1x3x32x224x224, technical view "
                f"3x3x32x224x224) and return two tensors: {str(error).strip()[-200:]}"
            ) from error
        nice, sound = (first + 0.08285) / 0.03774, (second - 0.1107) / 0.07355
        return DoverScore(_logistic(sound), _logistic(nice),
                          _logistic(0.6104 * sound + 0.3896 * nice))  # fmt: skip

    def _tensor(self, view: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(view).to(self.device).float()
        mean, deviation = (torch.tensor(v, device=self.device) for v in (_MEAN, _DEVIATION))
        return ((tensor - mean) / deviation).permute(0, 4, 1, 2, 3).contiguous()


def technical_frames(count: int, random: np.random.Generator) -> np.ndarray:
    """`(3, 32)` indices: one clip of every second frame in each third; short videos repeat."""
    third = count // _CLIPS
    room = third - _CLIP * _STEP
    starts = random.integers(0, room, _CLIPS) if room > 0 else np.zeros(_CLIPS, int)
    starts = starts + third * np.arange(_CLIPS)
    return np.asarray((starts[:, None] + _STEP * np.arange(_CLIP)) % count)


def aesthetic_frames(count: int, random: np.random.Generator) -> np.ndarray:
    """`(32,)` indices: one frame in each of 32 equal parts."""
    part = count // _CLIP
    starts = random.integers(0, part - _STEP, _CLIP) if part > _STEP else np.zeros(_CLIP, int)
    return np.asarray((starts + part * np.arange(_CLIP)) % count)


def fragments(frame: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """`(224, 224, 3)`: a patch of 32 x 32 from each of 7 x 7 cells of the frame, as they are.

    Args:
        frame: `(H, W, 3)`; one that is smaller than 224 is enlarged.
        offsets: `(7, 7, 2)` in [0, 1): where in its cell each patch lies (down, right).
    """
    scale = min(frame.shape[0], frame.shape[1]) / _SIDE
    if scale < 1:
        size = [max(int(side / scale), _SIDE) for side in frame.shape[1::-1]]
        frame = cv2.resize(frame, size)
    height, width = frame.shape[:2]
    cell = np.array([height // _CELLS, width // _CELLS])
    room = np.maximum(cell - _CELL, 0)
    picture = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    for row in range(_CELLS):
        for column in range(_CELLS):
            start = cell * (row, column)
            y, x = start + (offsets[row, column] * room).astype(int)
            y, x = min(y, height - _CELL), min(x, width - _CELL)
            top, left = row * _CELL, column * _CELL
            picture[top : top + _CELL, left : left + _CELL] = frame[y : y + _CELL, x : x + _CELL]
    return picture


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 500.0), -500.0)))
