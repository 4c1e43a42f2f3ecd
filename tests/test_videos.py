"""The test videos are what they say."""

import cv2
import numpy as np
import pytest

import videos


def test_motions_map_each_frame_to_the_next() -> None:
    clip = videos.shaky_clip(6, (160, 120), shake=3, rotation=1.0, zoom=0.01)
    grey = clip.grey.astype(np.float32)
    height, width = grey.shape[1:]
    for t, (a, b, tx, ty) in enumerate(clip.motions):
        linear = np.array([[a, -b], [b, a]])
        middle = np.array([width / 2 - 0.5, height / 2 - 0.5])
        matrix = np.column_stack([linear, middle + np.array([tx, ty]) - linear @ middle])
        moved = cv2.warpAffine(grey[t], matrix, (width, height), flags=cv2.INTER_CUBIC)
        inner = (slice(20, -20), slice(20, -20))
        assert np.abs(moved - grey[t + 1])[inner].mean() < 1.5
        assert np.abs(grey[t] - grey[t + 1])[inner].mean() > 5


def test_object_and_brightness() -> None:
    clip = videos.shaky_clip(3, (160, 120), moving_object=0.2)
    assert clip.objects.mean() == pytest.approx(0.2, abs=0.02)
    dark = videos.shaky_clip(3, (160, 120), brightness=0.0)
    assert dark.frames.max() == 0
    assert videos.shaky_clip(1).motions.shape == (0, 4)
