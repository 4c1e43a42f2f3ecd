"""Slow, obvious backward warp in float64. It shares nothing with the kernels."""

import numpy as np


def cubic(d, a):
    """Keys' convolution kernel."""
    d = np.abs(d)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def lanczos3(d):
    return np.where(np.abs(d) < 3, np.sinc(d) * np.sinc(d / 3), 0)


KERNELS = {
    "bilinear": (1, lambda d: np.maximum(1 - np.abs(d), 0)),
    "bicubic": (2, lambda d: cubic(d, -0.75)),
    "catmull-rom": (2, lambda d: cubic(d, -0.5)),
    "lanczos3": (3, lanczos3),
}


def source_points(matrix, shape, displacement=None, luma_of=lambda x, y: (x, y), frame_size=None):
    """Luma source points of the samples of an output plane.

    luma_of maps the plane's own points to luma points.
    """
    rows, columns = shape
    px, py = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    x, y = luma_of(px, py)
    matrix = np.asarray(matrix, dtype=np.float64)
    width, height = frame_size or (columns, rows)
    matrix = matrix / (matrix[2] @ (width / 2, height / 2, 1))
    w = np.maximum(matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2], 1e-6)
    sx = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / w
    sy = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / w
    if displacement is not None:
        for u in range(displacement.shape[1]):
            for v in range(displacement.shape[2]):
                basis = np.cos(np.pi * u * y / height) * np.cos(np.pi * v * x / width)
                sx = sx + displacement[0, u, v] * basis
                sy = sy + displacement[1, u, v] * basis
    return sx, sy


def sample(plane, sx, sy, interpolation, border="replicate", fill=0.0):
    """Interpolated values at points, pixel (0, 0) covering [0, 1]^2."""
    reach, kernel = KERNELS[interpolation]
    plane = np.asarray(plane, dtype=np.float64)
    rows, columns = plane.shape
    x, y = sx - 0.5, sy - 0.5
    ix, iy = np.floor(x), np.floor(y)
    reached = 2 * reach + int(max(np.abs(ix).max(initial=0), np.abs(iy).max(initial=0)))
    if border == "reflect":
        padded = np.pad(plane, min(reached, 200), mode="symmetric")
    elif border == "constant":
        padded = np.pad(plane, min(reached, 200), constant_values=fill)
    else:
        padded = np.pad(plane, min(reached, 200), mode="edge")
    pad = min(reached, 200)
    value, total = np.zeros(x.shape), np.zeros(x.shape)
    for j in range(1 - reach, reach + 1):
        for i in range(1 - reach, reach + 1):
            weight = kernel(x - ix - i) * kernel(y - iy - j)
            tap = padded[
                np.clip(iy + j + pad, 0, rows + 2 * pad - 1).astype(int),
                np.clip(ix + i + pad, 0, columns + 2 * pad - 1).astype(int),
            ]
            value += weight * tap
            total += weight
    return value / total


def chroma_axes(chroma_shift, location):
    """Luma = scale * chroma + offset along x and y, derived from where the samples lie."""
    # The luma coordinate of chroma sample i, its own coordinate being i + 0.5.
    first = {"left": (0.5, None), "center": (None, None), "topleft": (0.5, 0.5)}[location]
    axes = []
    for axis in range(2):
        step = 1 << chroma_shift[axis]
        luma_of_first = step / 2 if first[axis] is None or step == 1 else first[axis]
        axes.append((step, luma_of_first - 0.5 * step))
    return axes


def warp_frame(planes, matrix, *, format, interpolation, location="left", displacement=None,
               output_size=None):  # fmt: skip
    """Float64 planes, clamped to the format's range but not rounded."""
    rows, columns = planes[0].shape
    width, height = output_size or (columns, rows)
    result = []
    for i, plane in enumerate(planes):
        shift = format.chroma_shift if i in (1, 2) else (0, 0)
        (step_x, off_x), (step_y, off_y) = chroma_axes(shift, location)
        shape = (-(-height // step_y), -(-width // step_x))
        sx, sy = source_points(
            matrix, shape, displacement,
            luma_of=lambda x, y, a=step_x, b=off_x, c=step_y, d=off_y: (a * x + b, c * y + d),
            frame_size=(width, height),
        )  # fmt: skip
        value = sample(plane, (sx - off_x) / step_x, (sy - off_y) / step_y, interpolation)
        result.append(np.clip(value, 0, (1 << format.depth) - 1))
    return result
