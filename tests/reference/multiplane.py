"""Slow, obvious multi-plane projection and rendering in float64; shares nothing with the kernels.

Points are drawn one by one, the farthest first; the filters are sums over padded arrays.
"""

import numpy as np
from tests.reference.warp import sample

GAUSS = np.exp(-0.5 * np.array([[2, 1, 2], [1, 0, 1], [2, 1, 2]])) / (2 * np.pi)


def splat_nearest(depth, K, target_K, target_from_source, size):
    """Landed source pixels (-1: none) and their depths, float64 `(height, width)`."""
    width, height = size
    landed, seen = np.full((height, width), -1), np.zeros((height, width))
    points = []
    for index, z in enumerate(depth.ravel()):
        if not (np.isfinite(z) and z > 0):
            continue
        row, column = divmod(index, depth.shape[1])
        point = z * (np.linalg.inv(K) @ (column + 0.5, row + 0.5, 1))
        point = target_from_source[:3, :3] @ point + target_from_source[:3, 3]
        if point[2] > 0:
            points.append((point[2], index, target_K @ point / point[2]))
    for z, index, (x, y, _) in sorted(points, key=lambda p: (-p[0], -p[1])):
        if 0 <= x < width and 0 <= y < height:
            landed[int(y), int(x)], seen[int(y), int(x)] = index, z
    return landed, seen


def edges_between(depths, planes, split):
    depths = np.sort(depths)
    low, high, n = depths[0], depths[-1], len(depths)
    if split == "disparity":
        return 1 / np.linspace(1 / low, 1 / high, planes + 1)[1:-1]
    if split == "quantiles":
        return np.array([depths[-(-(i * n) // planes) - 1] for i in range(1, planes)])
    median = depths[(n - 1) // 2]
    if planes == 1:
        return np.empty(0)
    near = np.linspace(low, median, planes // 2 + 1)
    far = np.linspace(median, high, planes - planes // 2 + 1)
    return np.concatenate((near[1:], far[1:-1]))


def pad(array):
    """One mirrored pixel around the last two axes; an axis of one pixel repeats it."""
    for axis in (-2, -1):
        widths = [(0, 0)] * array.ndim
        widths[axis] = (1, 1)
        array = np.pad(array, widths, mode="reflect" if array.shape[axis] > 1 else "edge")
    return array


def filter3(array, kernel):
    padded, (height, width) = pad(array), array.shape[-2:]
    return sum(
        kernel[j, i] * padded[..., j : j + height, i : i + width]
        for j in range(3)
        for i in range(3)
    )


def compose(image, depth, edges, keep_above=0.5, fill_above=0.2):
    """Planes of an image (C, H, W) and depth (H, W), 0 where empty: image, mask, depth, plane."""
    result, mask = np.zeros(image.shape), np.zeros(depth.shape, bool)
    result_depth, plane = np.zeros(depth.shape), np.full(depth.shape, 255)
    bounds = [-np.inf, *edges, np.inf]
    for i in reversed(range(len(edges) + 1)):
        layer = (depth > 0) & (depth > bounds[i]) & (depth <= bounds[i + 1])
        layer = layer & (filter3(layer.astype(float), np.full((3, 3), 1 / 9)) > keep_above + 1e-9)
        weight = filter3(layer.astype(float), GAUSS)
        shown = weight > fill_above
        # Where the plane is not, its colours are taken as 0.
        colours = filter3(np.where(layer, image, 0), GAUSS) / (weight + 1e-6)
        depths = filter3(np.where(layer, depth, 0), GAUSS) / (weight + 1e-6)
        colours, depths = np.where(layer, image, colours), np.where(layer, depth, depths)
        result = np.where(shown, colours, result)
        result_depth = np.where(shown, depths, result_depth)
        plane = np.where(shown, i, plane)
        mask |= shown
    return result, mask, result_depth, plane


def project(image, depth, K, target_K, target_from_source, *, planes, split, size=None, edges=None,
            keep_above=0.5, fill_above=0.2):  # fmt: skip
    """One image (C, H, W), one view. Returns image, mask, mask before, depth, plane, edges."""
    size = size or (depth.shape[1], depth.shape[0])
    landed, seen = splat_nearest(depth, K, target_K, target_from_source, size)
    flat = image.reshape(len(image), -1)
    before = landed >= 0
    colours = np.where(before, flat[:, np.maximum(landed, 0)], 0.0)
    if edges is None:
        edges = edges_between(seen[before], planes, split) if before.any() else np.empty(0)
    result, mask, result_depth, plane = compose(colours, seen, edges, keep_above, fill_above)
    return result, mask, before, result_depth, plane, edges


def render(planes, source_from_output, size):
    """Planes (D, C + 1, H, W), the farthest first, over each other: (C, h, w) and alpha (h, w)."""
    width, height = size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    image, alpha = np.zeros((planes.shape[1] - 1, height, width)), np.zeros((height, width))
    for plane, matrix in zip(planes, source_from_output, strict=True):
        q = matrix @ np.stack((x, y, np.ones_like(x))).reshape(3, -1)
        seen = (q[2] > 0).reshape(x.shape)
        sx, sy = (q[:2] / np.where(q[2] > 0, q[2], 1)).reshape(2, *x.shape)
        # A border of two transparent pixels; beyond it the edge is repeated.
        framed = np.pad(plane, ((0, 0), (2, 2), (2, 2)))
        values = np.stack([sample(c, sx + 2, sy + 2, "bilinear") for c in framed]) * seen
        image = values[-1] * values[:-1] + (1 - values[-1]) * image
        alpha = values[-1] + (1 - values[-1]) * alpha
    return image, alpha
