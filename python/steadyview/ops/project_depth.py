"""Views from an image with depth by forward splatting (C++ room `multiplane`, or Gaussians)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from steadyview.ops._arguments import check_tensors, size_or
from steadyview.ops._cameras import depth_maps, inverse_view, target_from_source
from steadyview.ops._library import extension, register
from steadyview.ops.gaussians import rasterization

__all__ = ["RENDERERS", "DepthViews", "project_depth"]

RENDERERS = ("splat", "gaussians")


class DepthViews(NamedTuple):
    """What `project_depth` returns; N images, V views, pixels `(height, width)`."""

    image: Tensor
    """`(N, V, C, height, width)`; 0 where nothing is."""
    depth: Tensor
    """`(N, V, height, width)` in the view's camera; 0 where nothing is."""
    coverage: Tensor
    """Likewise, 0 to 1: how much of a pixel the source's pixels cover."""
    disoccluded: Tensor
    """`(N, V, height, width)` bool: too little is covered; what is there was not seen."""
    invalid: Tensor
    """`(N,)` int64: source pixels without a depth (not finite, 0 or negative)."""


def project_depth(
    image: Tensor,
    depth: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    target_viewmats: Tensor,
    target_Ks: Tensor | None = None,
    *,
    renderer: str = "splat",
    tolerance: float = 0.01,
    disoccluded_below: float = 0.5,
    sigma: float = 0.5,
    output_size: tuple[int, int] | None = None,
) -> DepthViews:
    """Unprojects an image with depth and renders it from other cameras.

    "splat": each point spreads over the four pixels around it with bilinear weights. In each pixel
    only those count that lie within `tolerance` of the nearest (of those that weigh at least a
    quarter there, if there are any), and their weighted mean is shown. Differentiable (once) by
    image, depth and cameras, given which points count. Results do not depend on the number of
    threads on the CPU. The source's own camera (equal numbers) returns the image bit for bit where
    it has a depth; there, and wherever a point lies on a pixel's centre, the weights have a kink,
    and gradients are those of moves to the right and down.

    "gaussians": each pixel becomes an opaque round Gaussian of `sigma` pixels of the source, drawn
    by `rasterization` and divided by what it covers (CPU only). A colour that is not finite is a
    hole then; "splat" shows it. Differentiable as that is. Cameras
    without skew and with positive focal lengths only.

    Convention: cameras are OpenCV's (x right, y down, z forward), pixel centres lie at +0.5, depth
    is along z.

    Args:
        image: `(N, C, H, W)`, float32 or float64, on the CPU or a CUDA device.
        depth: `(N, H, W)` or `(N, 1, H, W)`; where not finite, 0 or negative, it is a hole.
        viewmats: `(N, 4, 4)` source camera from world.
        Ks: `(N, 3, 3)` in pixels.
        target_viewmats: `(V, 4, 4)` or `(N, V, 4, 4)` target camera from world.
        target_Ks: `(V, 3, 3)` or `(N, V, 3, 3)`; the source's by default.
        renderer: "splat" or "gaussians".
        tolerance: share of the nearest depth.
        disoccluded_below: coverage, 0 to 1.
        sigma: standard deviation of the Gaussians in pixels of the source.
        output_size: (width, height) of the views; the image's by default.

    Returns:
        `DepthViews`, all but the mask and the count of the image's dtype.

    Raises:
        TypeError: image, depth or a camera is not a tensor.
        ValueError: an argument has the wrong shape, dtype, device or value; a camera is not finite,
            cannot be inverted or is not for this renderer.

    Source: Niklaus and Liu, Softmax splatting (2020), section 3, for the bilinear spread; dossier
    9.6 for compositing within 1 % of the depth.

    Example:
        >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
        >>> K = torch.tensor([[[4.0, 0, 1.5], [0, 4, 1], [0, 0, 1]]])
        >>> right = torch.eye(4)
        >>> right[0, 3] = -0.5  # half a unit to the right: 1 px at depth 2
        >>> views = project_depth(
        ...     image, torch.full((1, 2, 3), 2.0), torch.eye(4)[None], K, right[None])
        >>> views.image[0, 0, 0], views.disoccluded[0, 0, 0].tolist()
        (tensor([[1., 2., 0.],
                [4., 5., 0.]]), [False, False, True])
    """
    check_tensors(
        image=image, depth=depth, viewmats=viewmats, Ks=Ks, target_viewmats=target_viewmats,
        target_Ks=target_Ks,
    )  # fmt: skip
    if image.dim() != 4:
        raise ValueError(f"image must be (N, C, H, W), got shape {tuple(image.shape)}")
    if not (image.is_floating_point() and image.dtype in (torch.float32, torch.float64)):
        raise ValueError(f"image must be float32 or float64, got {image.dtype}")
    if renderer not in RENDERERS:
        raise ValueError(f"renderer must be one of {', '.join(RENDERERS)}, got {renderer!r}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    if not 0 <= disoccluded_below <= 1:
        raise ValueError(f"disoccluded_below must be 0 to 1, got {disoccluded_below}")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    z = depth_maps(depth, image).to(image.dtype)
    size = size_or("output_size", output_size, (image.shape[3], image.shape[2]))
    with torch.autocast(image.device.type, enabled=False):  # coordinates need their digits
        transform, same = target_from_source(image, viewmats, Ks, target_viewmats, target_Ks)
        if renderer == "splat":
            result, seen, weight = _splat(image, z, transform, same, size, tolerance)
        else:
            targets = target_viewmats.expand(len(image), -1, 4, 4)
            target_K = (Ks[:, None] if target_Ks is None else target_Ks).expand(
                *targets.shape[:2], 3, 3
            )
            K, target_K = _simple("Ks", Ks), _simple("target_Ks", target_K)
            result, seen, weight = _draw(image, z, viewmats, K, targets, target_K, size, sigma)
    coverage = weight.clamp(max=1)
    invalid = (~_has_depth(z)).flatten(1).sum(1)
    return DepthViews(result, seen, coverage, coverage < disoccluded_below, invalid)


def _has_depth(z: Tensor) -> Tensor:
    return (z > 0) & z.isfinite()


def _pixel_rays(image: Tensor, dtype: torch.dtype) -> Tensor:
    """`(3, H * W)`: (u, v, 1) of the pixels' centres."""
    H, W = image.shape[2:]
    v, u = torch.meshgrid(
        torch.arange(H, dtype=dtype, device=image.device) + 0.5,
        torch.arange(W, dtype=dtype, device=image.device) + 0.5,
        indexing="ij",
    )
    return torch.stack((u, v, torch.ones_like(u))).flatten(1)


def _splat(
    image: Tensor, z: Tensor, transform: Tensor, same: Tensor, size: tuple[int, int],
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    rays = _pixel_rays(image, image.dtype)
    z = z.flatten(1)[:, None, None]  # (N, 1, 1, P)
    valid = _has_depth(z)
    z = torch.where(valid, z, 1.0)
    matrix = transform.to(image.dtype)
    q = z * (matrix[..., :3] @ rays) + matrix[..., 3:]  # (N, V, 3, P)
    # What overflows, or is so far to the side that its slopes do, is not seen.
    aside, w = q.detach()[:, :, :2].abs().amax(2, keepdim=True), q.detach()[:, :, 2:]
    ahead = valid & w.isfinite() & (w > 1e-28) & aside.isfinite() & (aside <= 2.0**32 * w)
    q = torch.where(ahead, q, 1.0)
    xy = q[:, :, :2] / q[:, :, 2:]
    # The same camera: not even rounded.
    xy = torch.where(same[:, :, None, None], rays[:2] + (xy - xy.detach()), xy)
    places = torch.cat((xy, torch.where(ahead, q[:, :, 2:], 0.0)), 2)
    result, seen, weight, _ = _depth_splat(image.flatten(2), places, size[1], size[0], tolerance)
    return result, seen, weight


def _simple(name: str, Ks: Tensor) -> Tensor:
    """Float64 with last row 0 0 1, as `rasterization` takes them."""
    K = Ks.double()
    K = K / K[..., 2:, 2:]
    if torch.compiler.is_compiling():
        return K
    focal, rest = K.detach().diagonal(dim1=-2, dim2=-1)[..., :2], K.detach().clone()
    rest[..., :2, 2] = 0
    rest = rest - torch.diag_embed(rest.diagonal(dim1=-2, dim2=-1))
    if not (focal > 0).all():
        raise ValueError(f"{name} must have positive focal lengths with renderer 'gaussians'")
    if not (rest.abs().amax((-2, -1)) <= 1e-6 * focal.amin(-1)).all():
        raise ValueError(f"{name} must have no skew with renderer 'gaussians'")
    return K


def _draw(
    image: Tensor, z: Tensor, viewmats: Tensor, Ks: Tensor, targets: Tensor, target_K: Tensor,
    size: tuple[int, int], sigma: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    empty = 0 in size or len(image) == 0
    rays = _pixel_rays(image, image.dtype)
    world_from_camera = inverse_view(viewmats.double()).to(image.dtype)
    inverse_K = torch.linalg.inv(Ks.double()).to(image.dtype)
    Ks, targets, target_K = (x.to(image.dtype) for x in (Ks, targets, target_K))
    images, alphas = [], []
    for n in range(0 if empty else len(image)):
        depth = z[n].flatten()
        keep = _has_depth(depth).nonzero()[:, 0]
        depth = depth[keep]
        points = depth * (inverse_K[n] @ rays[:, keep])
        means = (world_from_camera[n, :3, :3] @ points + world_from_camera[n, :3, 3:]).T
        focal = (Ks[n, 0, 0] * Ks[n, 1, 1]).sqrt()
        unit = torch.linalg.det(world_from_camera[n, :3, :3]).abs() ** (1 / 3)
        drawn, alpha, _ = rasterization(
            means, torch.eye(4, dtype=image.dtype, device=image.device)[:1].expand(len(keep), 4),
            (sigma * unit * depth / focal)[:, None].expand(-1, 3), torch.ones_like(depth),
            image[n].flatten(1)[:, keep].T.contiguous(), targets[n], target_K[n], *size,
            near_plane=1e-28, far_plane=float("inf"), eps2d=0.0, packed=False, render_mode="RGB+ED",
        )  # fmt: skip
        images.append(drawn)
        alphas.append(alpha[..., 0])
    shape = (len(image), targets.shape[1], size[1], size[0])
    everything = torch.stack(images) if images else image.new_zeros((*shape, image.shape[1] + 1))
    alpha = torch.stack(alphas) if alphas else image.new_zeros(shape)
    colours = everything[..., :-1] / alpha.clamp(min=1e-10)[..., None]
    return colours.permute(0, 1, 4, 2, 3), everything[..., -1], alpha


def _fake_splat(
    image: Tensor, places: Tensor, height: int, width: int, tolerance: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    N, V = places.shape[:2]
    maps = [image.new_empty((N, V, height, width)) for _ in range(3)]
    return image.new_empty((N, V, image.shape[1], height, width)), maps[0], maps[1], maps[2]


def _fake_splat_backward(
    grad_output: Tensor, grad_depth: Tensor, grad_weight: Tensor, image: Tensor, places: Tensor,
    output: Tensor, depth: Tensor, weight: Tensor, limit: Tensor, tolerance: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return image.new_empty(image.shape), places.new_empty(places.shape)


def _splat_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], *output)
    ctx.tolerance = inputs[4]


def _splat_backward(
    ctx: Any, grad_output: Tensor, grad_depth: Tensor, grad_weight: Tensor, _: Tensor
) -> tuple[Any, ...]:
    grad_image, grad_places = _depth_splat_backward(
        grad_output, grad_depth, grad_weight, *ctx.saved_tensors, ctx.tolerance
    )
    return grad_image, grad_places, None, None, None


_depth_splat_backward = register(
    "depth_splat_backward(Tensor grad_output, Tensor grad_depth, Tensor grad_weight, Tensor image,"
    " Tensor places, Tensor output, Tensor depth, Tensor weight, Tensor limit, float tolerance)"
    " -> (Tensor, Tensor)",
    extension.depth_splat_backward,
    _fake_splat_backward,
)
_depth_splat = register(
    "depth_splat(Tensor image, Tensor places, SymInt height, SymInt width, float tolerance)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    extension.depth_splat,
    _fake_splat,
    _splat_context,
    _splat_backward,
)
