"""Slow, obvious forward splats in float64. They share nothing with the kernels."""

import numpy as np


def splat(image, flow, metric, mode):
    """One image `(C, H, W)`: the splat and its weights `(H, W)`, pixel by pixel."""
    _, height, width = image.shape
    total, weight = np.zeros(image.shape), np.zeros((height, width))
    if metric is not None:
        known = metric[np.isfinite(metric)]
        largest = known.max() if known.size else 0.0
    for y in range(height):
        for x in range(width):
            point = np.array([x, y]) + flow[:, y, x]
            if not np.isfinite(point).all():
                continue
            importance = 1.0
            if metric is not None:
                if not np.isfinite(metric[y, x]):
                    continue
                importance = max(metric[y, x], 0)
                if mode == "softmax":
                    importance = np.exp(metric[y, x] - largest)
            left, top = np.floor(point).astype(int)
            for j in (top, top + 1):
                for i in (left, left + 1):
                    share = (1 - abs(point[0] - i)) * (1 - abs(point[1] - j)) * importance
                    if share and 0 <= i < width and 0 <= j < height:
                        total[:, j, i] += share * image[:, y, x]
                        weight[j, i] += share
    if mode != "sum":
        total = np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0)
    return total, weight


def splat_nearest(image, flow, depth):
    """The pixel with the least depth of those that fall into each: `(C, H, W)`, `(H, W)`."""
    _, height, width = image.shape
    result, seen = np.zeros(image.shape), np.zeros((height, width))
    order = sorted(range(height * width), key=lambda i: (-depth.flat[i], -i))
    for i in order:  # the nearest, and of equals the first, is painted last
        y, x = divmod(i, width)
        if not np.isfinite([*flow[:, y, x], depth[y, x]]).all():
            continue
        i, j = np.floor([x + 0.5 + flow[0, y, x], y + 0.5 + flow[1, y, x]]).astype(int)
        if 0 <= i < width and 0 <= j < height:
            result[:, j, i] = image[:, y, x]
            seen[j, i] = 1
    return result, seen
