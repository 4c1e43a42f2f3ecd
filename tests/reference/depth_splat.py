"""Slow, obvious forward splat of an image with depth in float64; its own code throughout."""

import numpy as np


def splat(image, depth, K, target_K, target_from_source, size, tolerance):
    """Image (C, H, W) seen from another camera: image, depth and the sum of the weights."""
    width, height = size
    hits = [[[] for _ in range(width)] for _ in range(height)]
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = depth[row, column]
            if not (np.isfinite(z) and z > 0):
                continue
            point = z * (np.linalg.inv(K) @ (column + 0.5, row + 0.5, 1))
            point = target_from_source[:3, :3] @ point + target_from_source[:3, 3]
            if point[2] <= 0:
                continue
            x, y, _ = target_K @ point / point[2] - 0.5
            for ty in range(max(int(np.floor(y)), 0), min(int(np.floor(y)) + 2, height)):
                for tx in range(max(int(np.floor(x)), 0), min(int(np.floor(x)) + 2, width)):
                    weight = (1 - abs(x - tx)) * (1 - abs(y - ty))
                    if weight >= 1e-6:
                        hits[ty][tx].append((weight, point[2], image[:, row, column]))
    result, seen = np.zeros((len(image), height, width)), np.zeros((height, width))
    total = np.zeros((height, width))
    for ty in range(height):
        for tx in range(width):
            here = hits[ty][tx]
            if not here:
                continue
            nearest = min([h[1] for h in here if h[0] >= 0.25] or [h[1] for h in here])
            here = [h for h in here if abs(h[1] - nearest) <= nearest * tolerance]
            total[ty, tx] = sum(h[0] for h in here)
            result[:, ty, tx] = sum(h[0] * h[2] for h in here) / total[ty, tx]
            seen[ty, tx] = sum(h[0] * h[1] for h in here) / total[ty, tx]
    return result, seen, total
