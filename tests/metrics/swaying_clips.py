"""Clips rendered from one textured plane along a known camera path."""

import cv2
import numpy as np

from steadyview.metrics.tracking import LumaFrame

SIZE = (320, 240)


def texture(seed: int = 1, blur: float = 1.2) -> np.ndarray:
    """A large plane of detail at several scales, float32, well above black."""
    rng = np.random.default_rng(seed)
    plane = np.zeros((640, 800), np.float32)
    for scale in (1, 4, 16):
        noise = rng.normal(size=(640 // scale, 800 // scale)).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), blur)
        plane += cv2.resize(noise, (800, 640), interpolation=cv2.INTER_CUBIC) / noise.std()
    return np.clip(128 + 28 * plane, 70, 220).astype(np.float32)


def look(
    plane: np.ndarray,
    centre: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    angle: float = 0.0,
    interpolation: int = cv2.INTER_LANCZOS4,
    row_shift: np.ndarray | None = None,
) -> np.ndarray:
    """The frame centred on `centre` (from the plane's middle), turned and magnified."""
    width, height = SIZE
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    if row_shift is not None:
        x = x + row_shift[:, None]
    turn = np.exp(1j * angle) / zoom
    point = turn * (x + 1j * y)
    map_x = point.real + centre[0] + plane.shape[1] / 2 - 0.5
    map_y = point.imag + centre[1] + plane.shape[0] / 2 - 0.5
    frame = cv2.remap(plane, map_x.astype(np.float32), map_y.astype(np.float32), interpolation)
    return np.clip(np.round(frame), 0, 255).astype(np.uint8)


def sway(
    amplitude: float,
    rate: float = 30.0,
    seconds: float = 2.0,
    zoom: float = 1.0,
    frequency: float = 3.0,
    **options,
) -> list[LumaFrame]:
    """A clip whose camera sways in x by a sine and drifts slowly in y."""
    plane = texture()
    frames = []
    for index in range(round(seconds * rate)):
        time = index / rate
        x = amplitude * np.sin(2 * np.pi * frequency * time)
        frames.append(LumaFrame(look(plane, (x, 6 * time), zoom, **options), time))
    return frames
