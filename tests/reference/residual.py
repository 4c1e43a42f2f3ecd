"""Stage 2 by its definition: one frame, one neighbour and one point at a time."""

import math

import numpy as np


def flow_at(coefficients, size, x, y):
    """Low-pass flow at an uncentred point, term by term."""
    grid = coefficients.shape[-1]
    flow = [0.0, 0.0]
    for i in range(2):
        for u in range(grid):
            for v in range(grid):
                flow[i] += (
                    coefficients[i, u, v]
                    * math.cos(math.pi * u * y / size[1])
                    * math.cos(math.pi * v * x / size[0])
                )
    return np.array(flow)


def deviations(summed, times, residual, window, photometric, longest=math.inf):
    """Sum of residual motion less its weighted mean: the paper's weights, and 1 at the centre."""
    count = len(times)
    result = np.zeros_like(summed)
    for t in range(count):
        k = 0
        while (
            k < longest
            and t - k - 1 >= 0
            and t + k + 1 < count
            and times[t] - times[t - k - 1] <= window
            and times[t + k + 1] - times[t] <= window
        ):
            k += 1
        if k == 0:
            continue
        sigma = (times[t + k] - times[t - k]) / 6
        total, mean = 0.0, np.zeros_like(summed[0])
        for j in range(t - k, t + k + 1):
            distance = sum(residual[min(t, j) : max(t, j)])
            mirror = 2 * t - j
            distance = max(distance, sum(residual[min(t, mirror) : max(t, mirror)]))
            weight = math.exp(-((times[j] - times[t]) ** 2) / (2 * sigma**2))
            weight *= math.exp(-(distance**2) / (2 * photometric**2))
            total += weight
            mean += weight * summed[j]
        result[t] = summed[t] - mean / total
    return result
