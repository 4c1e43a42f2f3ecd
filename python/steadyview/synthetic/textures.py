"""What synthetic layers show: made-up textures, silhouettes with holes, pictures; Y, Cb and Cr.

Cb and Cr are about zero here; Y is 0 to 255.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError

__all__ = ["holes", "luma_and_chroma", "picture_of", "texture_of", "whole_picture"]


def texture_of(rows: int, columns: int, seed: int, contrast: float) -> np.ndarray:
    """Detail at all scales, and hard-edged patches, as walls and windows have: Y, Cb, Cr."""
    random = np.random.default_rng(seed)
    total = np.zeros((rows, columns), np.float32)
    sigma = 0.8
    while sigma < max(rows, columns) / 4:
        coarse = max(int(sigma), 1)
        shape = (-(-rows // coarse) + 2, -(-columns // coarse) + 2)
        noise: np.ndarray = cv2.GaussianBlur(
            random.standard_normal(shape).astype(np.float32), (0, 0), max(sigma / coarse, 0.8)
        )
        large = cv2.resize(
            noise, (shape[1] * coarse, shape[0] * coarse), interpolation=cv2.INTER_CUBIC
        )
        total += large[:rows, :columns] / large.std() * sigma**0.3
        sigma *= 2
    total *= 38 / total.std()
    for _ in range(rows * columns // 2500):
        y, x = random.integers(0, rows), random.integers(0, columns)
        h, w = random.integers(4, 28, 2)
        total[y : y + h, x : x + w] += random.normal(0, 30)
    luma = np.clip(128 + contrast * total, 4, 251)
    tints = np.random.default_rng(seed + 10_000_000)
    patches = tints.normal(0, 9 * contrast, (2, rows // 24 + 2, columns // 24 + 2))
    patches += tints.normal(0, 12, (2, 1, 1))  # each layer is of a colour
    chroma = [cv2.resize(c, (columns, rows), interpolation=cv2.INTER_CUBIC) for c in patches]
    return np.asarray(np.dstack([luma, *chroma]), np.float32)


def holes(rows: int, columns: int, seed: int) -> np.ndarray:
    """Cover in [0, 1]: blobs that thin out towards the rim, with edges two texels wide."""
    random = np.random.default_rng(seed + 20_000_000)
    total = np.zeros((rows, columns), np.float32)
    for cell, weight in ((rows // 4, 1.0), (max(rows // 10, 2), 0.6), (max(rows // 25, 2), 0.35)):
        coarse = random.standard_normal((rows // cell + 2, columns // cell + 2))
        total += weight * cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    total += 1.2 - 3.5 * np.hypot(x, y) ** 3
    slope = np.hypot(*np.gradient(total)) + 1e-3
    return np.asarray(np.clip(total / (2 * slope) + 0.5, 0, 1), np.float32)


def whole_picture(path: str | Path) -> np.ndarray:
    """An image `(H, W, 3)` float32: Y, Cb, Cr.

    Raises:
        InputError: it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: is no image that OpenCV can read")
    return luma_and_chroma(image[..., ::-1])


def luma_and_chroma(rgb: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` float32 Y (0 to 255), Cb and Cr (about zero) of 8-bit, or 0-to-255, RGB."""
    weights = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    return cv2.transform(np.asarray(rgb, np.float32), weights)


def picture_of(path: str | Path, rows: int, columns: int, contrast: float) -> np.ndarray:
    """An image, its middle cut to the layer's shape: Y, Cb, Cr."""
    whole = whole_picture(path)
    scale = max(rows / whole.shape[0], columns / whole.shape[1])
    size = (max(round(whole.shape[1] * scale), columns), max(round(whole.shape[0] * scale), rows))
    shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    whole = cv2.resize(whole, size, interpolation=shrinks)
    top, left = (size[1] - rows) // 2, (size[0] - columns) // 2
    cut = contrast * whole[top : top + rows, left : left + columns]
    cut[..., 0] = np.clip(cut[..., 0] + 128 * (1 - contrast), 0, 255)
    return np.asarray(cut, np.float32)
