"""Niantic's .spz: columns of bytes behind a header of 16 bytes, all compressed with gzip."""

import gzip
import io
import math
import struct
import zlib

import numpy as np

from steadyview.scene.columns import Columns, logit, sigmoid

__all__ = ["decode", "encode"]

HEADER = struct.Struct("<4sIIBBBB")
MAGIC = b"NGSP"
MOST_GAUSSIANS = 1 << 28  # a header that says more is broken
MOST_DEFLATED = 1032  # bytes that deflate can make of one
COLOR_SCALE = 0.15  # of the harmonics of degree 0: wider than what can be seen
AXES = np.array([1, -1, -1], np.float32)  # from x right, y down, z forward to spz's y up, z back


def decode(data: bytes) -> Columns:
    """Gaussians of a file, turned from spz's axes (y up, z back) to ours (y down, z forward).

    Raises:
        ValueError: not spz, truncated, or of a version or with extensions that are not known.

    Source: github.com/nianticlabs/spz, versions 2 and 3.
    """
    try:
        with gzip.open(io.BytesIO(data)) as file:
            version, count, degree, fraction = _header(file.read(HEADER.size))
            rest = (degree + 1) ** 2 - 1
            widths = (9, 1, 3, 3, 4 if version == 3 else 3, 3 * rest)
            wanted = count * sum(widths)
            if wanted > MOST_DEFLATED * len(data):
                raise ValueError(
                    f"{count} Gaussians take {wanted} bytes, more than can be there: truncated, or"
                    " damaged"
                )
            body = file.read(wanted + 1)  # no more: a few bytes may unpack to more than there is
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"not spz, or truncated ({error})") from error
    if len(body) != wanted:
        there = "more" if len(body) > wanted else len(body)
        raise ValueError(
            f"{count} Gaussians take {wanted} bytes, {there} are there: truncated, or damaged"
        )
    columns, offset = [], 0
    for width in widths:
        part = np.frombuffer(body, np.uint8, count * width, offset)
        columns.append(part.reshape(count, width))
        offset += count * width
    positions, alphas, colors, scales, rotations, harmonics = columns
    unpack = _unpack_smallest if version == 3 else _unpack_vector
    signs = _harmonic_signs(degree)
    coefficients = np.concatenate(
        [
            (colors[:, None] / 255 - 0.5) / COLOR_SCALE,
            (harmonics.reshape(count, rest, 3) - 128.0) / 128 * signs[1:, None],
        ],
        1,
    )
    quaternions = unpack(rotations) * np.array([1, 1, -1, -1])
    result = (
        _unpack_positions(positions) / (1 << fraction) * AXES,
        quaternions,
        scales / 16 - 10,
        logit(alphas[:, 0] / 255),
        coefficients,
    )
    return Columns(*(np.ascontiguousarray(values, np.float32) for values in result))


def _header(data: bytes) -> tuple[int, int, int, int]:
    """Version, number of Gaussians, degree of the harmonics, bits of the positions' fractions."""
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise ValueError("not spz: its header is missing")
    _, version, count, degree, fraction, flags, _ = HEADER.unpack(data)
    if version not in (2, 3):
        raise ValueError(f"is spz of version {version}; versions 2 and 3 can be read")
    if degree > 4 or fraction > 23 or count > MOST_GAUSSIANS:
        raise ValueError("has a header that makes no sense")
    if flags & 2:
        raise ValueError("has spz extensions, which cannot be read")
    return version, count, degree, fraction


def encode(columns: Columns) -> bytes:
    """A file of version 3, with the usual precision: harmonics of 5 bits, above degree 1 of 4.

    Raises:
        ValueError: the positions are too large for 24 bits.
    """
    count, coefficients, _ = columns.harmonics.shape
    degree = math.isqrt(coefficients) - 1
    farthest = float(np.abs(columns.means).max(initial=0))
    fraction = 12  # as the reference does; fewer bits only where the scene is too large
    while fraction and farthest * (1 << fraction) > (1 << 23) - 1:
        fraction -= 1
    if farthest * (1 << fraction) > (1 << 23) - 1:
        raise ValueError(f"spz holds positions up to {(1 << 23) - 1}, got {farthest:g}")
    steps = np.where(np.arange(coefficients - 1) < 3, 8, 16)[:, None]
    rest = columns.harmonics[:, 1:] * _harmonic_signs(degree)[1:, None]
    levels = np.floor((np.round(rest * 128) + 128 + steps // 2) / steps) * steps
    fixed = np.round(columns.means.astype(np.float64) * AXES * (1 << fraction)).astype("<i4")
    parts = (
        fixed.reshape(count, 3, 1).view(np.uint8)[:, :, :3],
        _bytes(sigmoid(columns.opacity_logits) * 255),
        _bytes((columns.harmonics[:, 0] * COLOR_SCALE + 0.5) * 255),
        _bytes((columns.log_scales + 10) * 16),
        _pack_smallest(columns.quaternions * np.array([1, 1, -1, -1])),
        _bytes(levels),
    )
    header = HEADER.pack(MAGIC, 3, count, degree, fraction, 0, 0)
    return gzip.compress(b"".join([header, *(part.tobytes() for part in parts)]), mtime=0)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _unpack_positions(data: np.ndarray) -> np.ndarray:
    """Signed numbers of 24 bits, the lowest byte first."""
    low, middle, high = np.moveaxis(data.reshape(-1, 3, 3).astype(np.int32), 2, 0)
    return (low | middle << 8 | (high << 24) >> 8).astype(np.float64)


def _unpack_vector(data: np.ndarray) -> np.ndarray:
    """w x y z from x y z in bytes; w is not negative."""
    vector = data / 127.5 - 1
    real = np.sqrt(np.maximum(0, 1 - (vector**2).sum(1, keepdims=True)))
    return np.concatenate([real, vector], 1)


def _unpack_smallest(data: np.ndarray) -> np.ndarray:
    """w x y z from an index into x y z w and the three others: sign and 9 bits each."""
    bits = np.ascontiguousarray(data).view("<u4")[:, 0]
    fields = np.stack([bits >> np.uint32(shift) & np.uint32(1023) for shift in (20, 10, 0)], 1)
    size = (fields & np.uint32(511)) / 511 * math.sqrt(0.5)
    small = np.where(fields & np.uint32(512), -size, size)
    others = np.arange(4)[None] != (bits >> np.uint32(30))[:, None]
    result = np.empty((len(data), 4))
    result[others] = small.ravel()
    result[~others] = np.sqrt(np.maximum(0, 1 - (small**2).sum(1)))
    return result[:, [3, 0, 1, 2]]


def _pack_smallest(quaternions: np.ndarray) -> np.ndarray:
    """Inverse of `_unpack_smallest`, `(N, 4)` bytes; a quaternion of length 0 is no rotation."""
    values = quaternions[:, [1, 2, 3, 0]].astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    values = np.where(length > 0, values / np.where(length > 0, length, 1), [0, 0, 0, 1])
    index = np.abs(values).argmax(1)
    others = np.arange(4)[None] != index[:, None]
    largest = np.take_along_axis(values, index[:, None], 1)
    small = values[others].reshape(-1, 3) * np.where(largest < 0, -1, 1)
    size = np.floor(np.abs(small) * (511 / math.sqrt(0.5)) + 0.5).astype(np.uint32)
    fields = size.clip(max=511) | np.where(small < 0, 512, 0).astype(np.uint32)
    bits = index.astype(np.uint32)
    for i in range(3):
        bits = bits << np.uint32(10) | fields[:, i]
    return bits.astype("<u4")[:, None].view(np.uint8)


def _harmonic_signs(degree: int) -> np.ndarray:
    """What the turn by 180 degrees about x does to each harmonic.

    Of degree l and order m, y to -y changes the sign where m < 0, and z to -z where l - |m| is odd.
    """
    return np.array(
        [
            (-1.0 if m < 0 else 1.0) * (-1.0) ** (n - abs(m))
            for n in range(degree + 1)
            for m in range(-n, n + 1)
        ]
    )
