"""The stages of rendering 3-D Gaussians (C++ room `gaussians`), under gsplat's names."""

import math
from typing import Any

import torch
from torch import Tensor

from steadyview.ops import _gaussian_ops as ops
from steadyview.ops._arguments import check_shape, check_tensors, one_of, refuse
from steadyview.ops._cameras import clip_near
from steadyview.ops._splat_rows import in_view, rows_to_ids, take_rows

__all__ = [
    "fully_fused_projection",
    "isect_offset_encode",
    "isect_tiles",
    "quat_scale_to_covar_preci",
    "rasterize_to_indices_in_range",
    "rasterize_to_pixels",
    "spherical_harmonics",
]

CAMERA_MODELS = ("pinhole", "ortho", "fisheye")
MOST_DEPTH_BITS = 32  # of an intersection's id


def quat_scale_to_covar_preci(
    quats: Tensor,
    scales: Tensor,
    compute_covar: bool = True,
    compute_preci: bool = True,
    triu: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
    """Covariances and their inverses of rotated, scaled unit Gaussians.

    Args:
        quats: `(..., 4)` w x y z, of any length but 0.
        scales: `(..., 3)` standard deviations.
        compute_covar, compute_preci: which to compute; the other is None.
        triu: only the upper triangle, row by row.

    Returns:
        Covariances and precisions, `(..., 3, 3)`, or `(..., 6)` with `triu`.

    Raises:
        ValueError: shapes do not fit.
    """
    check_tensors(quats=quats, scales=scales)
    if quats.shape[-1:] != (4,) or scales.shape != (*quats.shape[:-1], 3):
        got = f"{tuple(quats.shape)} and {tuple(scales.shape)}"
        raise ValueError(f"quats must be (..., 4) and scales (..., 3), got {got}")
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ], -1,
    ).unflatten(-1, (3, 3))  # fmt: skip

    def square(axes: Tensor) -> Tensor:
        product = axes @ axes.mT
        return product.flatten(-2)[..., [0, 1, 2, 4, 5, 8]] if triu else product

    with torch.autocast(quats.device.type, enabled=False):
        return (
            square(rotation * scales[..., None, :]) if compute_covar else None,
            square(rotation / scales[..., None, :]) if compute_preci else None,
        )


def fully_fused_projection(
    means: Tensor,
    covars: Tensor | None,
    quats: Tensor,
    scales: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    eps2d: float = 0.3,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    packed: bool = False,
    sparse_grad: bool = False,
    calc_compensations: bool = False,
    camera_model: str = "pinhole",
    opacities: Tensor | None = None,
) -> tuple[Any, ...]:
    """Projects Gaussians into cameras; arguments as for `rasterization`.

    Args:
        packed: list only what is seen.
        opacities: `(N,)`; with them the radii end where alpha falls to 1/255.
        calc_compensations: also return the factors of the antialiased mode.
        covars, sparse_grad: not supported, raise when used.

    Returns:
        radii `(C, N, 2)` int32 (0: not seen), means2d `(C, N, 2)`, depths `(C, N)`, conics
        `(C, N, 3)` and compensations `(C, N)` or None. With `packed` batch_ids, camera_ids and
        gaussian_ids `(nnz,)` come first, and the others are `(nnz, ...)`.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or value, or is not supported.
    """
    refuse(covars=covars, sparse_grad=sparse_grad)
    check_tensors(
        means=means, quats=quats, scales=scales, viewmats=viewmats, Ks=Ks, opacities=opacities
    )
    means2d, depths, conics, compensations, radii, _ = ops.project_gaussians(
        means, quats, scales, opacities, viewmats, Ks, width, height, eps2d,
        clip_near(near_plane, camera_model), far_plane, radius_clip, calc_compensations,
        camera_model_index(camera_model),
    )  # fmt: skip
    factors = compensations if calc_compensations else None
    if not packed:
        return radii, means2d, depths, conics, factors
    seen = in_view(radii).flatten().nonzero()[:, 0]
    cameras, gaussians = rows_to_ids(seen, *radii.shape[:2])
    return (
        torch.zeros_like(cameras), cameras, gaussians,
        *(take_rows(x, seen) for x in (radii, means2d, depths, conics)),
        None if factors is None else take_rows(factors, seen),
    )  # fmt: skip


@torch.no_grad()
def isect_tiles(
    means2d: Tensor,
    radii: Tensor,
    depths: Tensor,
    tile_size: int,
    tile_width: int,
    tile_height: int,
    sort: bool = True,
    segmented: bool = False,
    packed: bool = False,
    n_images: int | None = None,
    image_ids: Tensor | None = None,
    gaussian_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Lists the tiles that the splats' boxes touch.

    Args:
        means2d: `(..., N, 2)`, or `(nnz, 2)` when packed, pixels.
        radii: int32, as means2d; splats with a radius of 0 touch nothing.
        depths: `(..., N)` or `(nnz,)`.
        tile_size: side of a tile, pixels.
        tile_width, tile_height: tiles in a row and in a column of an image.
        sort: sort by image, tile and depth (in float32), equal ones in the splats' order.
        segmented: accepted, changes nothing.
        packed: n_images and image_ids `(nnz,)` are needed then.
        gaussian_ids: not used.

    Returns:
        Tiles per splat (int32, as depths), intersection ids `(n,)` int64 (image | tile | depth's
        32 bits) and flatten ids `(n,)` int32: places among the flattened splats.

    Raises:
        ValueError: shapes do not fit, or an argument is missing.
    """
    check_tensors(means2d=means2d, radii=radii, depths=depths, image_ids=image_ids)
    if means2d.shape[-1:] != (2,) or radii.shape != means2d.shape:
        got = f"{tuple(means2d.shape)} and {tuple(radii.shape)}"
        raise ValueError(f"means2d and radii must be (..., N, 2), got {got}")
    if depths.shape != means2d.shape[:-1]:
        wanted = tuple(means2d.shape[:-1])
        raise ValueError(f"depths must be {wanted}, got {tuple(depths.shape)}")
    if min(tile_size, tile_width, tile_height) < 1:
        got = f"{tile_size}, {tile_width} and {tile_height}"
        raise ValueError(f"tile_size, tile_width and tile_height must be at least 1, got {got}")
    if packed:
        if n_images is None or image_ids is None:
            raise ValueError("n_images and image_ids are needed when packed")
        check_shape("means2d", means2d, (-1, 2))
        check_shape("image_ids", image_ids, tuple(depths.shape))
        if ((image_ids < 0) | (image_ids >= n_images)).any():
            raise ValueError(f"image_ids must be in [0, {n_images - 1}]")
        images = image_ids.long()
    else:
        each = max(means2d.shape[-2], 1)
        images = torch.arange(depths.numel(), device=depths.device) // each
    size = torch.tensor([tile_width, tile_height], device=means2d.device)
    flat, reach = means2d.reshape(-1, 2), radii.reshape(-1, 2)
    seen = (reach > 0).all(-1, keepdim=True) & flat.isfinite()
    flat = torch.where(seen, flat, 0.0)
    low = ((flat - reach) / tile_size).floor().clamp(min=0).minimum(size).long()
    high = ((flat + reach) / tile_size).ceil().clamp(min=0).minimum(size).long()
    across, down = torch.where(seen, high - low, 0).unbind(-1)
    counts = across * down
    splats = torch.repeat_interleave(counts)
    place = torch.arange(len(splats), device=splats.device) - (counts.cumsum(0) - counts)[splats]
    row = low[splats, 1] + place // across[splats]
    column = low[splats, 0] + place % across[splats]
    bits = depths.reshape(-1).float().view(torch.int32).long() & 0xFFFFFFFF
    shift = MOST_DEPTH_BITS + (tile_width * tile_height).bit_length()
    tile = row * tile_width + column
    ids = images[splats] << shift | tile << MOST_DEPTH_BITS | bits[splats]
    if sort:
        # Depths below 0, which an orthographic camera may see: their bits rise as they fall.
        flipped = 0x80000000 | (bits >> 31) * 0x7FFFFFFF
        order = (ids ^ flipped[splats]).sort(stable=True).indices
        ids, splats = ids[order], splats[order]
    return counts.reshape(depths.shape).int(), ids, splats.int()


@torch.no_grad()
def isect_offset_encode(
    isect_ids: Tensor, n_images: int, tile_width: int, tile_height: int
) -> Tensor:
    """Where each tile's splats begin among sorted intersection ids.

    Args:
        isect_ids: `(n,)` int64 of `isect_tiles`, sorted.
        n_images: number of images.
        tile_width, tile_height: tiles in a row and in a column of an image.

    Returns:
        `(n_images, tile_height, tile_width)` int32.
    """
    tiles = tile_width * tile_height
    image = isect_ids >> (MOST_DEPTH_BITS + tiles.bit_length())
    tile = isect_ids >> MOST_DEPTH_BITS & (1 << tiles.bit_length()) - 1
    wanted = torch.arange(n_images * tiles, device=isect_ids.device)
    starts = torch.searchsorted(image * tiles + tile, wanted, out_int32=True)
    return starts.reshape(n_images, tile_height, tile_width)


def rasterize_to_pixels(
    means2d: Tensor,
    conics: Tensor,
    colors: Tensor,
    opacities: Tensor,
    image_width: int,
    image_height: int,
    tile_size: int,
    isect_offsets: Tensor,
    flatten_ids: Tensor,
    backgrounds: Tensor | None = None,
    masks: Tensor | None = None,
    packed: bool = False,
    absgrad: bool = False,
) -> tuple[Tensor, Tensor]:
    """Draws splats by given lists of tiles.

    Differentiable (once) by means2d, conics, colors, opacities and backgrounds.

    Args:
        means2d: `(..., N, 2)`, or `(nnz, 2)` when packed; so with the next three.
        conics: `(..., N, 3)` upper triangles of the inverse covariances.
        colors: `(..., N, channels)`.
        opacities: `(..., N)`.
        image_width, image_height: pixels.
        tile_size: 1 to 32 pixels.
        isect_offsets: `(..., tile_height, tile_width)` int32 of `isect_offset_encode`.
        flatten_ids: `(n,)` int32 of `isect_tiles`: drawn in this order.
        backgrounds: `(..., channels)`, 0 by default.
        masks: `(..., tile_height, tile_width)` bool: where False only the background is drawn.
        packed: the splats are `(nnz, ...)`.
        absgrad: after the backward pass `means2d.absgrad` has the sums of the pixels' absolute
            gradients.

    Returns:
        `(..., image_height, image_width, channels)` and alphas `(..., image_height, image_width,
        1)`.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or value.
    """
    check_tensors(backgrounds=backgrounds, masks=masks, colors=colors)
    leading, splats = _check_splats(means2d, conics, opacities, isect_offsets, flatten_ids, packed)
    check_shape("colors", colors, (*splats, -1))
    check_shape("backgrounds", backgrounds, (*leading, colors.shape[-1]))
    check_shape("masks", masks, (*leading, -1, -1))
    count = math.prod(splats)
    image, alphas = ops.draw(
        means2d, absgrad, conics.reshape(-1, 3),
        colors.reshape(count, colors.shape[-1]), opacities.reshape(-1), None, None,
        None if backgrounds is None else backgrounds.reshape(-1, colors.shape[-1]), None,
        isect_offsets.reshape(-1, *isect_offsets.shape[-2:]), flatten_ids,
        None if masks is None else masks.reshape(-1, *masks.shape[-2:]),
        tile_size, image_width, image_height,
    )  # fmt: skip
    return (
        image.reshape(*leading, *image.shape[1:]),
        alphas.reshape(*leading, *alphas.shape[1:]),
    )


@torch.no_grad()
def rasterize_to_indices_in_range(
    range_start: int,
    range_end: int,
    transmittances: Tensor,
    means2d: Tensor,
    conics: Tensor,
    opacities: Tensor,
    image_width: int,
    image_height: int,
    tile_size: int,
    isect_offsets: Tensor,
    flatten_ids: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The splats that each pixel shows, front to back.

    Args:
        range_start, range_end: batches of tile_size^2 entries of each tile's list to look at; 0
            and a large number for all.
        transmittances: `(..., image_height, image_width)` before them, 1 for all.
        means2d, conics, opacities: `(..., N, 2)`, `(..., N, 3)`, `(..., N)`.
        image_width, image_height, tile_size, isect_offsets, flatten_ids: as for
            `rasterize_to_pixels`.

    Returns:
        `(M,)` int64 each: Gaussian (in its image), pixel (row by row) and image; pixel by pixel.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or value.
    """
    leading, _ = _check_splats(means2d, conics, opacities, isect_offsets, flatten_ids, False)
    check_tensors(transmittances=transmittances)
    check_shape("transmittances", transmittances, (*leading, image_height, image_width))
    if not 0 <= range_start <= range_end:
        raise ValueError(f"range must rise from 0, got {range_start} and {range_end}")
    found = ops.find_gaussian_contributors(
        means2d.reshape(-1, 2), conics.reshape(-1, 3), opacities.reshape(-1),
        transmittances.reshape(-1, image_height, image_width),
        isect_offsets.reshape(-1, *isect_offsets.shape[-2:]), flatten_ids, tile_size,
        min(int(range_start), 1 << 31), min(int(range_end), 1 << 31),
    )  # fmt: skip
    splats, pixels, images = found.unbind(-1)
    return splats % max(means2d.shape[-2], 1), pixels, images


def spherical_harmonics(
    degrees_to_use: int, dirs: Tensor, coeffs: Tensor, masks: Tensor | None = None
) -> Tensor:
    """Colours of spherical harmonics in given directions, without the offset of 0.5.

    Args:
        degrees_to_use: 0 to 4.
        dirs: `(..., 3)`, of any length.
        coeffs: `(..., K, 3)`, K at least `(degrees_to_use + 1)^2`.
        masks: `(...)` bool: where False, the colour is 0.

    Returns:
        `(..., 3)`.

    Raises:
        ValueError: an argument has the wrong shape, dtype or device.
    """
    check_tensors(dirs=dirs, coeffs=coeffs, masks=masks)
    if dirs.shape != (*coeffs.shape[:-2], 3) or coeffs.dim() < 2:
        raise ValueError(
            f"dirs must be (..., 3) and coeffs (..., K, 3), got {tuple(dirs.shape)} and "
            f"{tuple(coeffs.shape)}"
        )
    flat = None if masks is None else masks.reshape(-1)
    colors = ops.evaluate_harmonics(
        dirs.reshape(-1, 3), coeffs.reshape(-1, *coeffs.shape[-2:]), flat, degrees_to_use
    )
    return colors.reshape(dirs.shape)


def _check_splats(
    means2d: Tensor, conics: Tensor, opacities: Tensor, isect_offsets: Tensor,
    flatten_ids: Tensor, packed: bool,
) -> tuple[tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    """Shapes of the images and of the splats, as which all must be."""
    check_tensors(
        means2d=means2d, conics=conics, opacities=opacities, isect_offsets=isect_offsets,
        flatten_ids=flatten_ids,
    )  # fmt: skip
    leading, splats = tuple(isect_offsets.shape[:-2]), tuple(means2d.shape[:-1])
    if not packed and splats[:-1] != leading:
        got = f"{splats[:-1]} and {leading}"
        raise ValueError(f"means2d and isect_offsets must be of the same images, got {got}")
    if packed:
        splats = splats[:1]
    check_shape("means2d", means2d, (*splats, 2))
    check_shape("conics", conics, (*splats, 3))
    check_shape("opacities", opacities, splats)
    return leading, splats


def camera_model_index(name: str) -> int:
    one_of("camera_model", name, CAMERA_MODELS)
    return CAMERA_MODELS.index(name)
