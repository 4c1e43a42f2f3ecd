"""The motion file: versioned JSON with one row a frame, to be read, edited and rendered again."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import atomic_text

__all__ = ["read_motion", "write_motion"]

VERSION = 1

#: Fields of the row of frame t that tell its motion to frame t+1; the last frame has none.
ROW_FIELDS = ("a", "b", "tx", "ty", "confidence", "residual", "homography", "coefficients")


def write_motion(path: Path, motion: dict[str, Any]) -> None:
    """Writes the fields of a `GlobalMotion`; atomic.

    Raises:
        OutputError: the file cannot be written.
    """
    atomic_text(path, _text(motion))


def _text(motion: dict[str, Any]) -> str:
    width, height = motion["frame_size"]
    coefficients = motion["coefficients"]
    head = {
        "steadyview_motion": VERSION,
        "frame_size": [width, height],
        "grid": coefficients.shape[-1],
        "shots": [int(first) for first in motion["shots"]],
    }
    rows = []
    for t, time in enumerate(motion["times"]):
        row: dict[str, Any] = {"time": float(time)}
        if t < len(coefficients):
            row.update(zip(("a", "b", "tx", "ty"), motion["similarity"][t].tolist(), strict=True))
            row["confidence"] = float(motion["confidence"][t])
            row["residual"] = float(motion["residual"][t])
            row["homography"] = [_short(v) for v in motion["homography"][t].ravel()]
            row["coefficients"] = [[_short(v) for v in c.ravel()] for c in coefficients[t]]
        rows.append(json.dumps(row))
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    return "\n".join(["{", *lines, '  "frames": [', "    " + ",\n    ".join(rows), "  ]", "}", ""])


def _short(value: float) -> float:
    """The shortest decimal that is the same in single precision, in which it is read again."""
    return float(str(np.float32(value)))


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)


def read_motion(path: Path) -> dict[str, Any]:
    """Reads and checks the fields of a `GlobalMotion`.

    Raises:
        InputError: names the file and the field.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the motion file: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not a motion file: {error}") from error
    if not isinstance(document, dict) or "steadyview_motion" not in document:
        raise InputError(f'{path}: is not a motion file: it has no field "steadyview_motion"')
    version = document["steadyview_motion"]
    if version != VERSION:
        raise InputError(
            f"{path}: steadyview_motion is {version!r}; this version of steadyview reads {VERSION}"
        )
    size = _numbers(path, document, "frame_size", (2,))
    if (size < 1).any() or (size != np.round(size)).any():
        raise InputError(f"{path}: frame_size must be two positive whole numbers")
    grid = document.get("grid")
    if not isinstance(grid, int) or not 1 <= grid <= 8:
        raise InputError(f"{path}: grid must be a whole number from 1 to 8, got {grid!r}")
    rows = document.get("frames")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: frames must be a list of at least one row")
    return _arrays(path, document, rows, size, grid)


def _arrays(
    path: Path, document: dict[str, Any], rows: list[dict[str, Any]], size: np.ndarray, grid: int
) -> dict[str, Any]:
    count = len(rows)
    names = [f"frames[{t}]" for t in range(count)]
    times = np.array([_numbers(path, r, "time", (), n) for r, n in zip(rows, names, strict=True)])
    for t in np.flatnonzero(np.diff(times) <= 0):
        raise InputError(f"{path}: {names[t + 1]}.time must be later than the time before")
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(ROW_FIELDS, ())
    shapes |= {"homography": (9,), "coefficients": (2, grid * grid)}
    columns: dict[str, np.ndarray] = {}
    for field, shape in shapes.items():
        values = [
            _numbers(path, r, field, shape, n) for r, n in zip(rows[:-1], names[:-1], strict=True)
        ]
        columns[field] = np.array(values).reshape(count - 1, *shape)
    for t in np.flatnonzero((columns["confidence"] < 0) | (columns["confidence"] > 1)):
        raise InputError(f"{path}: {names[t]}.confidence must be from 0 to 1")
    shots = document.get("shots")
    if (
        not isinstance(shots, list)
        or not all(isinstance(s, int) and 0 <= s < count for s in shots)
        or shots != sorted({0, *shots})
    ):
        raise InputError(f"{path}: shots must be increasing frame numbers that start with 0")
    return {
        "frame_size": (int(size[0]), int(size[1])),
        "times": times,
        "similarity": np.stack([columns[k] for k in ("a", "b", "tx", "ty")], axis=1),
        "homography": _single(columns["homography"]).reshape(-1, 3, 3),
        "coefficients": _single(columns["coefficients"]).reshape(-1, 2, grid, grid),
        "confidence": columns["confidence"],
        "residual": columns["residual"],
        "shots": tuple(shots),
    }


def _numbers(
    path: Path, row: dict[str, Any], field: str, shape: tuple[int, ...], where: str = ""
) -> np.ndarray:
    name = f"{where}.{field}" if where else field
    if field not in row:
        raise InputError(f"{path}: {name} is missing")
    try:
        values = np.array(row[field], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{path}: {name} must hold numbers, got {row[field]!r}") from None
    if values.shape != shape:
        wanted = " x ".join(map(str, shape)) if shape else "one"
        raise InputError(f"{path}: {name} must hold {wanted} numbers, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {name} must be finite")
    return values
