"""Rendering of 3-D Gaussians (C++ room `gaussians`), under gsplat's names."""

import math
from collections import UserDict
from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor

from steadyview.ops import _gaussian_ops as ops
from steadyview.ops._arguments import check_tensors, check_whole, one_of, refuse
from steadyview.ops._cameras import clip_near
from steadyview.ops._rolling_shutter import make_bands
from steadyview.ops._splat_rows import in_view, rows_to_ids, take_rows
from steadyview.ops.gaussian_stages import (
    camera_model_index,
    isect_offset_encode,
    isect_tiles,
)

__all__ = ["rasterization"]

TILE_KEYS = ("tiles_per_gauss", "isect_ids", "flatten_ids", "isect_offsets")
RENDER_MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
RASTERIZE_MODES = ("classic", "antialiased")


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = True,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,
    render_mode: str = "RGB",
    sparse_grad: bool = False,
    absgrad: bool = False,
    rasterize_mode: str = "classic",
    channel_chunk: int = 32,
    distributed: bool = False,
    camera_model: str = "pinhole",
    segmented: bool = False,
    covars: Tensor | None = None,
    with_ut: bool = False,
    with_eval3d: bool = False,
    radial_coeffs: Tensor | None = None,
    tangential_coeffs: Tensor | None = None,
    thin_prism_coeffs: Tensor | None = None,
    ftheta_coeffs: Any = None,
    rolling_shutter: Any = None,
    viewmats_rs: Tensor | None = None,
    *,
    strict: bool = False,
    row_bands: int = 16,
) -> tuple[Tensor, Tensor, MutableMapping[str, Any]]:
    """Renders Gaussians into C cameras; a drop-in for `gsplat.rasterization`.

    Differentiable (once) by means, quats, scales, opacities, colors, backgrounds, viewmats and Ks.
    On the CPU results do not depend on the number of threads; on a GPU gradients are summed in no
    fixed order.

    Convention: cameras are OpenCV's (x right, y down, z forward), pixel centres lie at +0.5.
    A Gaussian's alpha at a pixel is min(0.999, opacity exp(-sigma)); below 1/255 it is not drawn,
    and a pixel is done before its transmittance would fall to 1e-4. Equal depths are drawn in the
    order of the Gaussians. Gaussians that have a number which is not finite, or whose area on the
    image overflows when squared (float32: above about 4e9 pixels on a side), are left out.

    Args:
        means: `(N, 3)` centres in the world, float32 as all tensors (or float64 on the CPU).
        quats: `(N, 4)` rotations w x y z, of any length but 0.
        scales: `(N, 3)` standard deviations along the axes, scene units.
        opacities: `(N,)` in [0, 1].
        colors: `(N, D)` or `(C, N, D)`; with `sh_degree` the coefficients `(N, K, 3)` or
            `(C, N, K, 3)`.
        viewmats: `(C, 4, 4)` camera from world, finite, with the last row 0 0 0 1.
        Ks: `(C, 3, 3)` in pixels: fx 0 cx, 0 fy cy, 0 0 1, finite, fx and fy above 0.
        width, height: of the images.
        near_plane, far_plane: depths between which a centre is seen; by a pinhole camera never
            behind it.
        radius_clip: Gaussians with both radii at most this, in pixels, are left out.
        eps2d: added to the variances on the image, pixels^2.
        sh_degree: 0 to 4: colours are spherical harmonics + 0.5, at least 0.
        packed: `meta` lists only what is seen (`camera_ids`, `gaussian_ids`); the images are the
            same. False is faster.
        tile_size: of the lists in `meta`, pixels.
        channel_chunk, segmented: accepted; they do not change what is drawn.
        backgrounds: `(C, D)`, 0 by default. Depth has none.
        render_mode: "RGB", accumulated depth "D", expected depth "ED", "RGB+D" or "RGB+ED" with
            the depth in the last channel.
        absgrad: after the backward pass `meta["means2d"].absgrad` has the sums of the pixels'
            absolute gradients.
        rasterize_mode: "classic", or "antialiased": opacities are lowered by as much as `eps2d`
            enlarged the Gaussian.
        camera_model: "pinhole", "ortho" or "fisheye" (equidistant).
        rolling_shutter: "ROLLING_TOP_TO_BOTTOM" or "ROLLING_BOTTOM_TO_TOP" (or gsplat's enum):
            rows are seen one after another, with poses from viewmats to viewmats_rs.
        viewmats_rs: `(C, 4, 4)` camera from world when the last row is read.
        sparse_grad, distributed, covars, with_ut, with_eval3d, radial_coeffs, tangential_coeffs,
            thin_prism_coeffs, ftheta_coeffs: not supported, raise when used.
        strict: raise when a Gaussian in view has a number that is not finite.
        row_bands: of a rolling shutter: rows are drawn in so many bands of one pose each. In
            `meta` every band is a camera of its own, `meta["row_bands"]` to an image.

    Returns:
        Images `(C, height, width, X)`, alphas `(C, height, width, 1)`, and `meta` with gsplat's
        keys. Its tile lists (`tiles_per_gauss`, `isect_ids`, `flatten_ids`, `isect_offsets`) are
        made when they are looked up; not in a compiled graph. `meta["invalid"]` `(C,)` (with a
        rolling shutter one a row band) counts the Gaussians in view that were left out as not
        finite, by their colours too (when drawn).

    Raises:
        TypeError: a tensor or a whole number is something else.
        ValueError: an argument has the wrong shape, dtype, device or value, or is not supported.

    Source: Zwicker et al., EWA splatting (2002); Kerbl et al., 3-D Gaussian splatting (2023).

    Example:
        >>> one = torch.ones(1)
        >>> K = torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]])
        >>> image, alphas, meta = rasterization(
        ...     torch.tensor([[0.0, 0, 2]]), torch.tensor([[1.0, 0, 0, 0]]),
        ...     torch.full((1, 3), 0.3), one, torch.ones(1, 3), torch.eye(4)[None], K, 8, 8)
        >>> image.shape, meta["radii"].tolist()
        (torch.Size([1, 8, 8, 3]), [[5, 5]])
    """
    refuse(
        sparse_grad=sparse_grad, distributed=distributed, covars=covars, with_ut=with_ut,
        with_eval3d=with_eval3d, radial_coeffs=radial_coeffs, tangential_coeffs=tangential_coeffs,
        thin_prism_coeffs=thin_prism_coeffs, ftheta_coeffs=ftheta_coeffs,
    )  # fmt: skip
    check_tensors(
        means=means, quats=quats, scales=scales, opacities=opacities, colors=colors,
        viewmats=viewmats, Ks=Ks, backgrounds=backgrounds, viewmats_rs=viewmats_rs,
    )  # fmt: skip
    check_whole(width=width, height=height, tile_size=tile_size)
    check_whole(sh_degree=0 if sh_degree is None else sh_degree)
    one_of("render_mode", render_mode, RENDER_MODES)
    one_of("rasterize_mode", rasterize_mode, RASTERIZE_MODES)
    if tile_size < 1:
        raise ValueError(f"tile_size must be at least 1, got {tile_size}")
    if means.dim() != 2:
        got = tuple(means.shape)
        raise ValueError(f"means must be (N, 3), got {got}: batches of sets are not supported")
    if opacities.shape != means.shape[:1]:
        raise ValueError(f"opacities must be ({means.shape[0]},), got {tuple(opacities.shape)}")
    C, N = viewmats.shape[0], means.shape[0]
    _check_colors(colors, C, N, sh_degree)
    bands = make_bands(viewmats, viewmats_rs, rolling_shutter, row_bands, height)
    antialiased = rasterize_mode == "antialiased"
    means2d, depths, conics, compensations, radii, invalid = ops.project_gaussians(
        means, quats, scales, opacities, bands.viewmats, bands.repeat(Ks), width, height, eps2d,
        clip_near(near_plane, camera_model), far_plane, radius_clip, antialiased,
        camera_model_index(camera_model),
    )  # fmt: skip
    images = C * bands.count
    opaque = opacities[None].expand(images, N)
    if antialiased:
        opaque = opaque * compensations
    values = None
    if "RGB" in render_mode:
        own = colors if len(colors.shape) == _shared_dims(sh_degree) else bands.repeat(colors)
        values = _colors_of(own, means, bands.viewmats, radii, sh_degree)
        bad = _bad_colors(values.detach(), radii)
        if bad is not None:
            invalid = invalid + bad.sum(1)
            values = values.masked_fill(bad.flatten()[:, None], math.nan)  # not drawn, then
        if sh_degree is not None:
            values = values.clamp(min=0)
    if strict and int(invalid.sum()) > 0:
        given = {"means": means, "quats": quats, "scales": scales, "opacities": opacities,
                 "colors": colors}  # fmt: skip
        wrong = [name for name, values in given.items() if not values.isfinite().all()]
        where = ", ".join(wrong) or "their size on the image, or of a rotation of length 0"
        raise ValueError(
            f"{int(invalid.max())} Gaussians have a number that is not finite: {where}"
        )

    camera_ids = gaussian_ids = None
    first = torch.arange(images + 1, device="cpu") * N
    means2d = bands.in_band(means2d)
    if packed:
        touching = in_view(radii)
        if bands.count > 1:
            low, high = means2d[..., 1] - radii[..., 1], means2d[..., 1] + radii[..., 1]
            touching = touching & (high > 0) & (low < bands.height)
        seen = touching.flatten().nonzero()[:, 0]
        camera_ids, gaussian_ids = rows_to_ids(seen, images, N)
        first = torch.searchsorted(seen, first.to(seen.device)).cpu()
        radii, means2d, depths, conics, opaque = (
            take_rows(x, seen) for x in (radii, means2d, depths, conics, opaque)
        )
        values = None if values is None else values.index_select(0, seen)
    flat_depths = depths.flatten()
    if render_mode in ("D", "ED"):
        values, backgrounds = flat_depths[:, None], None
    elif render_mode != "RGB" and values is not None:
        values = torch.cat((values, flat_depths[:, None]), 1)
        if backgrounds is not None:
            backgrounds = torch.cat((backgrounds, torch.zeros_like(backgrounds[:, :1])), 1)
    image, alphas = ops.draw(
        means2d, absgrad, conics.reshape(-1, 3), values, opaque.flatten(), flat_depths,
        radii.reshape(-1, 2), None if backgrounds is None else bands.repeat(backgrounds), first,
        None, None, None, 16, width, bands.height,
    )  # fmt: skip
    if "ED" in render_mode:
        expected = image[..., -1:] / alphas.clamp(min=1e-10)
        image = torch.cat((image[..., :-1], expected), -1)

    meta = {
        "batch_ids": None if camera_ids is None else torch.zeros_like(camera_ids),
        "camera_ids": camera_ids,
        "gaussian_ids": gaussian_ids,
        "radii": radii,
        "means2d": means2d,
        "depths": depths,
        "conics": conics,
        "opacities": opaque,
        "tile_width": -(-width // tile_size),
        "tile_height": -(-bands.height // tile_size),
        "width": width,
        "height": height,
        "tile_size": tile_size,
        "n_batches": 1,
        "n_cameras": C,
        "invalid": invalid,
        "row_bands": bands.count,
    }
    found = meta if torch.compiler.is_compiling() else Meta(meta)
    return bands.join(image, height), bands.join(alphas, height), found


class Meta(UserDict[str, Any]):
    """What `rasterization` found; makes the tiles' lists when one of them is first looked up."""

    def __init__(self, values: Any = None, /) -> None:
        super().__init__(dict.fromkeys(TILE_KEYS, ...))  # not made yet
        self.update({} if values is None else values)

    def __getitem__(self, key: str) -> Any:
        if self.data[key] is ...:
            self._make_lists()
        return self.data[key]

    def _make_lists(self) -> None:
        grid = (self["tile_width"], self["tile_height"])
        images = self["n_cameras"] * self["row_bands"]
        counts, ids, splats = isect_tiles(
            self["means2d"], self["radii"], self["depths"], self["tile_size"], *grid,
            packed=self["camera_ids"] is not None, n_images=images, image_ids=self["camera_ids"],
        )  # fmt: skip
        offsets = isect_offset_encode(ids, images, *grid)
        self.update(zip(TILE_KEYS, (counts, ids, splats, offsets), strict=True))


def _shared_dims(sh_degree: int | None) -> int:
    """Dimensions of colours that all cameras share."""
    return 2 if sh_degree is None else 3


def _check_colors(colors: Tensor, C: int, N: int, sh_degree: int | None) -> None:
    wanted = "(N, D) or (C, N, D)" if sh_degree is None else "(N, K, 3) or (C, N, K, 3)"
    leading = tuple(colors.shape[: colors.dim() + 1 - _shared_dims(sh_degree)])
    if leading not in ((N,), (C, N)):
        raise ValueError(
            f"colors must be {wanted} with N = {N} and C = {C}, got {tuple(colors.shape)}"
        )


def _colors_of(
    colors: Tensor, means: Tensor, viewmats: Tensor, radii: Tensor, sh_degree: int | None
) -> Tensor:
    """`(C * N, D)`, harmonics with their 0.5, but not clamped yet."""
    C, N = radii.shape[:2]
    if sh_degree is None:
        return colors.expand(C, N, colors.shape[-1]).flatten(0, 1)
    try:
        centres = torch.linalg.inv(viewmats)[:, :3, 3]
    except torch.linalg.LinAlgError as error:
        raise ValueError("viewmats must be invertible to look up spherical harmonics") from error
    seen = in_view(radii)
    if C == 0:
        return colors.new_zeros((0, 3))
    results = [
        ops.evaluate_harmonics(
            means - centres[c], colors if colors.dim() == 3 else colors[c], seen[c], sh_degree
        )
        for c in range(C)
    ]
    values = results[0] if C == 1 else torch.cat(results)
    return values + 0.5


def _bad_colors(values: Tensor, radii: Tensor) -> Tensor | None:
    """`(C, N)` which splats in view have a colour that is not finite; None when none has."""
    if values.is_cpu and not torch.compiler.is_compiling() and values.sum().isfinite():
        return None  # as nearly always, and soon found
    finite = (values * 0).sum(-1) == 0
    return in_view(radii) & ~finite.reshape(radii.shape[:2])
