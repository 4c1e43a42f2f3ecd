"""SuperSplat's compressed PLY: 16 bytes a Gaussian, quantised within blocks of 256."""

import numpy as np

from steadyview.scene.columns import Columns, harmonic_of_color, logit

__all__ = ["is_compressed", "unpack"]

BLOCK = 256
AXES = "xyz"
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
BOUNDS = [f"{end}_{prefix}{axis}" for end in ("min", "max") for prefix in ("", "scale_")
          for axis in AXES]  # fmt: skip


def is_compressed(elements: dict[str, np.ndarray]) -> bool:
    """Whether the elements of a PLY file are in this format."""
    return "chunk" in elements and PACKED[0] in _names(elements, "vertex")


def unpack(elements: dict[str, np.ndarray]) -> Columns:
    """Gaussians of a compressed PLY file; colours beyond degree 0 are in the element `sh`.

    Raises:
        ValueError: something is missing or does not fit.

    Source: PlayCanvas, "Compressing Gaussian Splats" (2023), and splat-transform.
    """
    rows, blocks = elements["vertex"], elements["chunk"]
    missing = [name for name in PACKED if name not in _names(elements, "vertex")]
    missing += [f"{name} of chunk" for name in BOUNDS if name not in _names(elements, "chunk")]
    if missing:
        raise ValueError(f"misses {', '.join(missing)}")
    if len(blocks) != -(-len(rows) // BLOCK):
        raise ValueError(f"has {len(blocks)} chunks for {len(rows)} Gaussians of {BLOCK} a chunk")
    if any(rows[name].dtype.kind not in "iu" for name in PACKED):
        raise ValueError("has packed values that are not integers")
    block = np.arange(len(rows)) // BLOCK

    def within(prefix: str, axes: str, part: np.ndarray) -> np.ndarray:
        low, high = (
            np.stack([blocks[f"{end}_{prefix}{axis}"] for axis in axes], 1)[block]
            for end in ("min", "max")
        )
        return low * (1 - part) + high * part

    packed = {name: rows[name].astype(np.uint32) for name in PACKED}
    color = _parts(packed["packed_color"], (8, 8, 8, 8))
    rgb = color[:, :3]
    if "min_r" in _names(elements, "chunk"):
        rgb = within("", "rgb", rgb)
    harmonics = harmonic_of_color(rgb)[:, None]
    if "sh" in elements:
        harmonics = np.concatenate([harmonics, _rest(elements["sh"], len(rows))], 1)
    columns = Columns(
        within("", AXES, _parts(packed["packed_position"], (11, 10, 11))),
        _rotations(packed["packed_rotation"]),
        within("scale_", AXES, _parts(packed["packed_scale"], (11, 10, 11))),
        logit(color[:, 3]),
        harmonics,
    )
    return Columns(*(np.ascontiguousarray(values, np.float32) for values in columns))


def _names(elements: dict[str, np.ndarray], element: str) -> tuple[str, ...]:
    return elements[element].dtype.names or () if element in elements else ()


def _parts(values: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """Bit fields, the highest first, each scaled to [0, 1]."""
    shifts = np.cumsum((0, *bits[:0:-1]))[::-1]
    return np.stack(
        [
            ((values >> np.uint32(shift)) & np.uint32((1 << width) - 1)) / ((1 << width) - 1)
            for shift, width in zip(shifts, bits, strict=True)
        ],
        1,
    )


def _rotations(values: np.ndarray) -> np.ndarray:
    """Unit quaternions w x y z: the largest part is left out, its index is in the top two bits."""
    small = (_parts(values & np.uint32((1 << 30) - 1), (10, 10, 10)) - 0.5) * np.sqrt(2)
    largest = np.sqrt(np.maximum(0, 1 - (small**2).sum(1)))
    index = (values >> np.uint32(30)).astype(np.intp)
    result = np.empty((len(values), 4))
    others = np.arange(4)[None] != index[:, None]
    result[others] = small.ravel()
    result[~others] = largest
    return result


def _rest(rows: np.ndarray, count: int) -> np.ndarray:
    """Harmonics above degree 0 `(N, K - 1, 3)`, stored as bytes channel by channel."""
    names = rows.dtype.names or ()
    if len(rows) != count or len(names) not in (9, 24, 45, 72):
        raise ValueError(f"has {len(names)} harmonics a Gaussian in {len(rows)} rows of 'sh'")
    values = np.stack([rows[f"f_rest_{i}"].astype(np.float64) for i in range(len(names))], 1)
    part = np.where(values == 0, 0, np.where(values == 255, 1, (values + 0.5) / 256))
    return ((part - 0.5) * 8).reshape(count, 3, -1).swapaxes(1, 2)
