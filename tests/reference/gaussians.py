"""Rendering of Gaussians, slow and obvious: torch float64, one pixel and one Gaussian at a time as
far as semantics go. Gradients are autograd's."""

import math

import torch

NEAR, EPS2D = 0.01, 0.3


def rotation(q):
    """Rotates by quaternion q = (w, x, y, z): columns are q e q^-1."""
    w, x, y, z = q / q.norm()
    skew = torch.stack(
        [torch.zeros_like(w), -z, y, z, torch.zeros_like(w), -x, -y, x, torch.zeros_like(w)]
    ).reshape(3, 3)
    return torch.eye(3, dtype=q.dtype) + 2 * w * skew + 2 * skew @ skew


def splat(mean, quat, scale, viewmat, K, width, height, model="pinhole"):
    """Mean on the image, covariance on the image without EPS2D, depth."""
    p = viewmat[:3, :3] @ mean + viewmat[:3, 3]
    axes = rotation(quat) @ torch.diag(scale)
    covariance = viewmat[:3, :3] @ axes @ axes.T @ viewmat[:3, :3].T
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    zero = torch.zeros_like(fx)
    if model == "fisheye":
        # The angle from the axis, as a length along the direction on the image; its derivative is
        # autograd's.
        def image(point):
            away = point[:2].norm()
            return torch.atan2(away, point[2]) * point[:2] / away * torch.stack([fx, fy])

        J = torch.autograd.functional.jacobian(image, p, create_graph=True)
        return image(p) + torch.stack([cx, cy]), J @ covariance @ J.T, p[2]
    if model == "ortho":
        J = torch.stack([fx, zero, zero, zero, fy, zero]).reshape(2, 3)
        return torch.stack([fx * p[0] + cx, fy * p[1] + cy]), J @ covariance @ J.T, p[2]
    x, y = p[0] / p[2], p[1] / p[2]
    # The slope at which the projection is linearised stays within 15 % beyond the image.
    u = torch.clamp(x, (-0.15 * width - cx) / fx, (1.15 * width - cx) / fx)
    v = torch.clamp(y, (-0.15 * height - cy) / fy, (1.15 * height - cy) / fy)
    J = torch.stack([fx, zero, -fx * u, zero, fy, -fy * v]).reshape(2, 3) / p[2]
    return torch.stack([fx * x + cx, fy * y + cy]), J @ covariance @ J.T, p[2]


def render(
    means, quats, scales, opacities, colors, viewmat, K, width, height,
    background=None, antialiased=False, model="pinhole", with_depth=False,
):  # fmt: skip
    """One camera: image (height, width, D), alpha (height, width)."""
    px = torch.arange(width, dtype=means.dtype) + 0.5
    py = torch.arange(height, dtype=means.dtype)[:, None] + 0.5
    channels = colors.shape[1] + with_depth
    image = torch.zeros((height, width, channels), dtype=means.dtype)
    left = torch.ones((height, width), dtype=means.dtype)
    going = torch.ones((height, width), dtype=torch.bool)
    seen = []
    for i in range(len(means)):
        row = torch.cat([means[i], quats[i], scales[i], opacities[i : i + 1], colors[i]])
        if not torch.isfinite(row).all():
            continue
        mean, covariance, depth = splat(
            means[i], quats[i], scales[i], viewmat, K, width, height, model
        )
        if depth > NEAR:
            seen.append((depth.item(), i, mean, covariance, depth))
    for _, i, mean, covariance, depth in sorted(seen, key=lambda entry: entry[:2]):
        blurred = covariance + EPS2D * torch.eye(2, dtype=means.dtype)
        opacity = opacities[i]
        if antialiased:
            ratio = torch.linalg.det(covariance) / torch.linalg.det(blurred)
            opacity = opacity * ratio.clamp(min=0).sqrt()
        conic = torch.linalg.inv(blurred)
        dx, dy = px - mean[0], py - mean[1]
        sigma = (conic[0, 0] * dx**2 + conic[1, 1] * dy**2) / 2 + conic[0, 1] * dx * dy
        alpha = (opacity * torch.exp(-sigma)).clamp(max=0.999)
        drawn = going & (alpha >= 1 / 255)
        stop = drawn & (left * (1 - alpha) <= 1e-4)
        going = going & ~stop
        weight = torch.where(drawn & ~stop, alpha * left, 0.0)
        color = torch.cat([colors[i], depth[None]]) if with_depth else colors[i]
        image = image + weight[..., None] * color
        left = left - weight
    if background is not None:
        image = image + left[..., None] * background
    return image, 1 - left


def harmonic(degree, order, d):
    """Real spherical harmonic with the Condon-Shortley sign at unit vector d, from its definition
    by derivatives of (z^2 - 1)^l."""
    m = abs(order)
    # The (degree + m)-th derivative of (z^2 - 1)^degree, by its binomial sum.
    value = torch.zeros_like(d[2])
    for k in range(degree + 1):
        power = 2 * k - (degree + m)
        if power < 0:
            continue
        factor = math.comb(degree, k) * (-1) ** (degree - k) * math.perm(2 * k, degree + m)
        value = value + factor * d[2] ** power
    value = value / (2**degree * math.factorial(degree))
    norm = math.sqrt(
        (2 * degree + 1) / (4 * math.pi) * math.factorial(degree - m) / math.factorial(degree + m)
    )
    angle = torch.ones_like(d[0])
    if m > 0:
        z = torch.complex(d[0], d[1]) ** m
        angle = math.sqrt(2) * (-1) ** m * (z.real if order > 0 else z.imag)
    return norm * value * angle
