"""Slow, obvious plane sweep with NumPy: points go through the world, costs are loops.

Written from the documentation, it shares nothing with the kernels.
"""

import numpy as np

UNSEEN_BY_ALL = 48  # planes of a pixel of which no source sees any
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def source_pixels(shape, depth, views, ks, source, border=0):
    """Where a source sees the reference's pixels at a depth: x, y, in front.

    `border` more are those at the edge, repeated.
    """
    rows, columns = shape
    y, x = np.mgrid[:rows, :columns] + 0.5
    y, x = (np.pad(values, border, mode="edge") for values in (y, x))
    rays = np.linalg.inv(ks[0]) @ np.stack((x, y, np.ones_like(x))).reshape(3, -1)
    world = np.linalg.inv(views[0]) @ np.vstack((rays * depth, np.ones(rays.shape[1])))
    point = ks[source] @ (views[source] @ world)[:3]
    with np.errstate(all="ignore"):
        pixel = (point[:2] / point[2]).reshape(2, *x.shape)
    return pixel[0], pixel[1], (point[2] > 0).reshape(x.shape)


def sample(image, x, y):
    """Bilinear with weights in steps of 1/128, rounded; the edge is repeated."""
    rows, columns = image.shape
    x = np.clip(np.nan_to_num(x - 0.5), 0, columns - 1)
    y = np.clip(np.nan_to_num(y - 0.5), 0, rows - 1)
    ix = np.minimum(x.astype(int), max(columns - 2, 0))
    iy = np.minimum(y.astype(int), max(rows - 2, 0))
    fx, fy = np.floor((x - ix) * 128 + 0.5) / 128, np.floor((y - iy) * 128 + 0.5) / 128
    jx, jy = np.minimum(ix + 1, columns - 1), np.minimum(iy + 1, rows - 1)
    image = image.astype(float)
    top = image[iy, ix] * (1 - fx) + image[iy, jx] * fx
    low = image[jy, ix] * (1 - fx) + image[jy, jx] * fx
    return np.floor(top * (1 - fy) + low * fy + 0.5)


def windows(image):
    """(25, rows - 4, columns - 4) of an image with 2 pixels more on each side."""
    rows, columns = image.shape
    return np.stack(
        [image[j : rows - 4 + j, i : columns - 4 + i] for j in range(5) for i in range(5)]
    )


def match(near, far, cost):
    a, b = windows(near), windows(far)
    if cost == "census":
        return 3.0 * ((a < a[12]) != (b < b[12])).sum(0)
    a, b = a - a.mean(0), b - b.mean(0)
    variance = np.sqrt(((a * a).mean(0) + 4) * ((b * b).mean(0) + 4))
    return np.floor(np.clip(72 * (1 - (a * b).mean(0) / variance), 0, 72) + 0.5)


def costs(images, views, ks, depths, cost="census", keep=1):
    """(rows, columns, planes)"""
    shape = images[0].shape
    near = np.pad(images[0].astype(float), 2, mode="edge")
    volume = np.empty((*shape, len(depths)))
    for d, depth in enumerate(depths):
        one = np.full((len(images) - 1, *shape), np.inf)
        for s in range(1, len(images)):
            x, y, front = source_pixels(shape, depth, views, ks, s, border=2)
            inside = (x >= 0) & (x <= shape[1]) & (y >= 0) & (y <= shape[0]) & front
            value = match(near, sample(images[s], x, y), cost)
            one[s - 1] = np.where(windows(inside).all(0), value, np.inf)
        best = np.sort(one, axis=0)[:keep]
        count = np.isfinite(best).sum(0)
        mean = np.where(np.isfinite(best), best, 0).sum(0) / np.maximum(count, 1)
        volume[..., d] = np.where(count > 0, np.floor(mean + 0.5), np.nan)
    # A plane that nobody sees costs as the others do in the mean.
    planes = np.isfinite(volume).sum(-1, keepdims=True)
    mean = np.nansum(volume, -1, keepdims=True) / np.maximum(planes, 1)
    fill = np.where(planes > 0, np.floor(mean + 0.5), UNSEEN_BY_ALL)
    return np.where(np.isfinite(volume), volume, fill)


def aggregate(volume, grey, paths, step, jump):
    """Sum over scan lines of costs with penalties for changes of the plane."""
    rows, columns, planes = volume.shape
    if paths == 0:
        return volume
    total = np.zeros_like(volume)
    change = np.abs(np.arange(planes)[:, None] - np.arange(planes)[None])
    for dx, dy in DIRECTIONS[:paths]:
        path = np.empty_like(volume)
        for y in range(rows)[:: dy or 1]:
            for x in range(columns)[:: dx or 1]:
                path[y, x] = volume[y, x]
                if 0 <= x - dx < columns and 0 <= y - dy < rows:
                    before = path[y - dy, x - dx]
                    edge = abs(int(grey[y, x]) - int(grey[y - dy, x - dx]))
                    penalty = np.array([0, step, max(step, jump * 32 // (32 + edge))])
                    moved = before[None] + penalty[np.minimum(change, 2)]
                    path[y, x] += moved.min(1) - before.min()
        total += path
    return total


def plane_sweep(images, views, ks, depths, *, cost="census", keep=1, paths=8, step_penalty=32,
                jump_penalty=160, least_confidence=0.4):  # fmt: skip
    """Depth, confidence and validity of grey images (1 + S, H, W), the reference first."""
    inverse = 1 / np.asarray(depths, dtype=float)
    volume = costs(images, views, ks, depths, cost, keep)
    total = aggregate(volume, images[0], paths, step_penalty, jump_penalty)
    rows, columns, planes = total.shape
    best = total.argmin(-1)
    depth, confidence = np.empty((rows, columns)), np.zeros((rows, columns))
    for y in range(rows):
        for x in range(columns):
            d, t = best[y, x], total[y, x]
            at = d
            if 0 < d < planes - 1 and t[d - 1] + t[d + 1] > 2 * t[d]:
                at = d + 0.5 * (t[d - 1] - t[d + 1]) / (t[d - 1] + t[d + 1] - 2 * t[d])
            depth[y, x] = 1 / np.interp(at, np.arange(planes), inverse)
            near = np.abs(np.arange(planes) - d) <= 1
            near |= np.abs(inverse[d] / inverse - 1) <= 0.05
            likely = (1 + t / (50 * max(paths, 1))) ** -7.0
            chance = near.mean()  # what equal costs would give
            if chance < 1:
                share = likely[near].sum() / likely.sum()
                confidence[y, x] = max(share - chance, 0) / (1 - chance)
    seen, agreed = consistency(best, total, images, views, ks, depths)
    depth[seen == 0] = confidence[seen == 0] = 0
    enough = agreed >= np.minimum(keep, seen)
    return depth, confidence, (seen > 0) & enough & (confidence > least_confidence)


def consistency(best, total, images, views, ks, depths):
    """How many sources see each pixel, and how many of these show it there and nothing cheaper."""
    rows, columns = best.shape
    seen, agreed = np.zeros((rows, columns), int), np.zeros((rows, columns), int)
    for s in range(1, len(images)):
        holder, target = {}, {}
        where = [source_pixels((rows, columns), depth, views, ks, s) for depth in depths]
        for y in range(rows):
            for x in range(columns):
                sx, sy, front = (part[y, x] for part in where[best[y, x]])
                if not (front and 0 <= sx < columns and 0 <= sy < rows):
                    continue
                seen[y, x] += 1
                target[y, x] = (int(sy), int(sx))
                claim = (total[y, x, best[y, x]], best[y, x])
                holder[target[y, x]] = min(holder.get(target[y, x], claim), claim)
        for pixel, at in target.items():
            agreed[pixel] += abs(int(best[pixel]) - int(holder[at][1])) <= 1
    return seen, agreed
