"""Files of Gaussians: the usual PLY, SuperSplat's compressed PLY, .splat and .spz."""

import os
from pathlib import Path

import numpy as np

from steadyview.errors import InputError, OutputError
from steadyview.files import atomic_bytes
from steadyview.scene import compressed, spz
from steadyview.scene.columns import Columns, color_of_harmonic, harmonic_of_color, logit, sigmoid
from steadyview.scene.ply import read_ply, write_ply

__all__ = ["FORMATS", "read_columns", "write_columns"]

FORMATS = (".ply", ".splat", ".spz")
FIELDS = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
          "rot_0", "rot_1", "rot_2", "rot_3")  # fmt: skip
SPLAT = np.dtype(
    [("mean", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 4), ("rotation", "u1", 4)]
)


def read_columns(path: str | os.PathLike) -> Columns:
    """Reads Gaussians; what the file is, its first bytes say, but for .splat, which has none.

    Raises:
        InputError: the file cannot be read, is in none of the formats, truncated, or has not all
            that a Gaussian needs.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".splat":  # may begin with any bytes
                return _of_splat(file.read())
            start = file.read(4)
            if start.startswith(b"ply"):
                return _of_ply(read_ply(path))
            if start.startswith(b"\x1f\x8b") or path.suffix.lower() == ".spz":
                return spz.decode(start + file.read())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    raise InputError(f"{path}: not a file of Gaussians; {', '.join(FORMATS)} can be read")


def write_columns(path: str | os.PathLike, columns: Columns, overwrite: bool = False) -> None:
    """Writes Gaussians in the format that the suffix says, whole or not at all.

    Raises:
        OutputError: an unknown suffix, the file exists, it cannot be written, or the format cannot
            hold what was given.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS or path.name.lower().endswith(".compressed.ply"):
        raise OutputError(f"{path}: {', '.join(FORMATS)} can be written")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; overwrite=True replaces it")
    if suffix == ".ply":
        write_ply(path, {"vertex": _to_ply(columns)})
        return
    if not all(np.isfinite(values).all() for values in columns):
        raise OutputError(f"{path}: {suffix} cannot hold numbers that are not finite; .ply can")
    try:
        data = spz.encode(columns) if suffix == ".spz" else _to_splat(columns)
    except ValueError as error:
        raise OutputError(f"{path}: {error}") from error
    atomic_bytes(path, [data])


def _of_ply(elements: dict[str, np.ndarray]) -> Columns:
    if compressed.is_compressed(elements):
        return compressed.unpack(elements)
    if "vertex" not in elements:
        raise ValueError("has no element 'vertex' that can be read")
    rows = elements["vertex"]
    names = rows.dtype.names or ()
    missing = [name for name in FIELDS if name not in names]
    if missing:
        points = not any(name.startswith("f_dc") for name in names)
        hint = " (is it a point cloud or a mesh?)" if points else ""
        raise ValueError(f"a Gaussian needs {', '.join(missing)}, which it does not have{hint}")
    rest = sum(name.startswith("f_rest_") for name in names)
    if rest not in (0, 9, 24, 45, 72) or f"f_rest_{rest - 1}" not in (*names, "f_rest_-1"):
        raise ValueError(f"has {rest} f_rest properties; 0, 9, 24, 45 or 72 make whole degrees")

    def take(*wanted: str) -> np.ndarray:
        values = np.empty((len(rows), len(wanted)), np.float32)
        for i, name in enumerate(wanted):
            values[:, i] = rows[name]
        return values

    by_channel = take(*(f"f_rest_{i}" for i in range(rest))).reshape(len(rows), 3, rest // 3)
    base = take("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    return Columns(
        take("x", "y", "z"),
        take("rot_0", "rot_1", "rot_2", "rot_3"),
        take("scale_0", "scale_1", "scale_2"),
        take("opacity")[:, 0],
        np.ascontiguousarray(np.concatenate([base, by_channel.swapaxes(1, 2)], 1)),
    )


def _to_ply(columns: Columns) -> np.ndarray:
    """In the order of the original 3DGS code, normals included: some readers count fields."""
    count, coefficients, _ = columns.harmonics.shape
    rest = columns.harmonics[:, 1:].swapaxes(1, 2).reshape(count, 3 * (coefficients - 1))
    names = [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{i}" for i in range(rest.shape[1])),
        *FIELDS[6:],
    ]
    values = np.concatenate(
        [
            columns.means, np.zeros_like(columns.means), columns.harmonics[:, 0], rest,
            columns.opacity_logits[:, None], columns.log_scales, columns.quaternions,
        ],
        1, dtype=np.float32,
    )  # fmt: skip
    return values.view(np.dtype([(name, "f4") for name in names]))[:, 0]


def _of_splat(data: bytes) -> Columns:
    if len(data) % SPLAT.itemsize:
        raise ValueError(
            f"truncated: {len(data)} bytes are no whole number of {SPLAT.itemsize} byte Gaussians"
        )
    rows = np.frombuffer(data, SPLAT)
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = np.log(rows["scale"])
    result = (
        rows["mean"],
        (rows["rotation"] - 128.0) / 128,
        scales,
        logit(rows["color"][:, 3] / 255),
        harmonic_of_color(rows["color"][:, None, :3] / 255),
    )
    return Columns(*(np.ascontiguousarray(values, np.float32) for values in result))


def _to_splat(columns: Columns) -> bytes:
    """32 bytes a Gaussian, in the order given; view dependence is lost."""
    rows = np.zeros(len(columns.means), SPLAT)
    rows["mean"] = columns.means
    with np.errstate(over="ignore"):
        rows["scale"] = np.exp(columns.log_scales)
    if not np.isfinite(rows["scale"]).all():
        most = columns.log_scales.max()
        raise ValueError(f".splat cannot hold scales above 3.4e38, got exp({most:g}); .ply can")
    color = color_of_harmonic(columns.harmonics[:, 0])
    opacity = sigmoid(columns.opacity_logits)
    rows["color"] = np.clip(np.round(np.c_[color, opacity] * 255), 0, 255)
    length = np.linalg.norm(columns.quaternions, axis=1, keepdims=True)
    unit = columns.quaternions / np.where(length > 0, length, 1)
    rows["rotation"] = np.clip(np.round(unit * 128 + 128), 0, 255)
    return rows.tobytes()
