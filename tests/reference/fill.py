"""Pull-push of holes from their rims, with one matrix an axis and a loop over pixels."""

import numpy as np

LINES = ((0, 1), (1, 0), (1, 1), (1, -1))


def fill(image, holes, depth=None, gap=0):
    """image (C, H, W), holes (H, W), depth (H, W) or None."""
    known = ~holes & np.isfinite(image).all(0)
    values = np.where(known, image, 0.0)
    z = None
    if depth is not None:
        z = np.where(known & np.isfinite(depth) & (depth > 0), depth, 0.0)
    kept = fill_gaps(values, known, z, gap)
    weight = rim_weights(kept, z)
    pushed = pull_push(values, weight)
    return np.where(kept, values, pushed)


def walk(known, y, x, dy, dx):
    """The first known pixel from (y, x) in a direction, and its distance; None at the border."""
    steps = 0
    while True:
        y, x, steps = y + dy, x + dx, steps + 1
        if not (0 <= y < known.shape[0] and 0 <= x < known.shape[1]):
            return None
        if known[y, x]:
            return (y, x), steps


def fill_gaps(values, known, z, gap):
    """Fills in place; what is then known."""
    kept = known.copy()
    for y, x in np.argwhere(~known):
        best, farthest = np.inf, 0
        for dy, dx in (*LINES, *((-dy, -dx) for dy, dx in LINES)):
            end = walk(known, y, x, dy, dx)
            if z is not None and end and end[1] <= gap:
                farthest = max(farthest, z[end[0]])
        for dy, dx in LINES:
            ends = walk(known, y, x, dy, dx), walk(known, y, x, -dy, -dx)
            if None in ends or ends[0][1] + ends[1][1] > gap + 1:
                continue
            if z is not None and min(z[ends[0][0]], z[ends[1][0]]) < 0.9 * farthest:
                continue  # foreground
            (a, near), (b, away) = ends
            first, second = values[:, a[0], a[1]], values[:, b[0], b[1]]
            difference = np.abs(first - second).sum()
            if difference >= best:
                continue
            best, share = difference, near / (near + away)
            kept[y, x] = True
            values[:, y, x] = (1 - share) * values[(slice(None), *a)] + share * values[
                (slice(None), *b)
            ]
            if z is not None:
                z[y, x] = (1 - share) * z[a] + share * z[b]
    return kept


def rim_weights(kept, z):
    weight = np.zeros(kept.shape)
    for y, x in np.argwhere(kept):
        around = kept[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        if around.all():
            continue
        weight[y, x] = 1
        if z is None:
            continue
        for dy, dx in (*LINES, *((-dy, -dx) for dy, dx in LINES)):
            end = walk(kept, y, x, dy, dx)
            if end and end[1] > 1 and z[end[0]] > 0:
                fade = (z[y, x] / z[end[0]] - 0.8) / 0.15
                weight[y, x] = min(weight[y, x], np.clip(fade, 0, 1))
    return weight


def bilinear(size):
    """(size, half): a row holds what a pixel takes of the cells of the coarser level."""
    half = (size + 1) // 2
    matrix = np.zeros((size, half))
    for i in range(size):
        matrix[i, i // 2] += 0.75
        matrix[i, np.clip(i // 2 + (1 if i % 2 else -1), 0, half - 1)] += 0.25
    return matrix


def pull_push(values, weight):
    """values (C, H, W) behind and between what weighs at most 1."""
    if weight.shape == (1, 1):
        return values * (weight > 0)
    down, across = (bilinear(size) for size in weight.shape)
    total = down.T @ weight @ across
    mean = (down.T @ (weight * values) @ across) / np.where(total > 0, total, 1)
    coarse = pull_push(mean, np.minimum(total, 1))
    return weight * values + (1 - weight) * (down @ coarse @ across.T)
