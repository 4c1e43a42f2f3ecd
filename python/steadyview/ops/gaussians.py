"""Rendering of 3-D Gaussians (C++ room `gaussians`), under gsplat's names."""

from typing import Any

import torch
from torch import Tensor

from steadyview.ops import _gaussian_ops as ops

__all__ = ["fully_fused_projection", "rasterization", "spherical_harmonics"]

CAMERA_MODELS = ("pinhole", "ortho")
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
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Renders Gaussians into C cameras; a drop-in for `gsplat.rasterization`.

    Differentiable (once) by means, quats, scales, opacities, colors, backgrounds, viewmats and Ks.
    Results do not depend on the number of threads.

    Convention: cameras are OpenCV's (x right, y down, z forward), pixel centres lie at +0.5.
    A Gaussian's alpha at a pixel is min(0.999, opacity exp(-sigma)); below 1/255 it is not drawn,
    and a pixel is done before its transmittance would fall to 1e-4. Equal depths are drawn in the
    order of the Gaussians. Gaussians that have a number which is not finite are left out.

    Args:
        means: `(N, 3)` centres in the world, float32 or float64 as all tensors, on the CPU.
        quats: `(N, 4)` rotations w x y z, of any length but 0.
        scales: `(N, 3)` standard deviations along the axes, scene units.
        opacities: `(N,)` in [0, 1].
        colors: `(N, D)` or `(C, N, D)`; with `sh_degree` the coefficients `(N, K, 3)` or
            `(C, N, K, 3)`.
        viewmats: `(C, 4, 4)` camera from world.
        Ks: `(C, 3, 3)` in pixels, without skew.
        width, height: of the images.
        near_plane, far_plane: depths between which a centre is seen.
        radius_clip: Gaussians with both radii at most this, in pixels, are left out.
        eps2d: added to the variances on the image, pixels^2.
        sh_degree: 0 to 4: colours are spherical harmonics + 0.5, at least 0.
        packed: `meta` lists only what is seen (`camera_ids`, `gaussian_ids`); the images are the
            same. False is faster.
        tile_size, channel_chunk, segmented: accepted; they do not change what is drawn.
        backgrounds: `(C, D)`, 0 by default. Depth has none.
        render_mode: "RGB", accumulated depth "D", expected depth "ED", "RGB+D" or "RGB+ED" with
            the depth in the last channel.
        absgrad: after the backward pass `meta["means2d"].absgrad` has the sums of the pixels'
            absolute gradients.
        rasterize_mode: "classic", or "antialiased": opacities are lowered by as much as `eps2d`
            enlarged the Gaussian.
        camera_model: "pinhole" or "ortho".
        sparse_grad, distributed, covars, with_ut, with_eval3d, radial_coeffs, tangential_coeffs,
            thin_prism_coeffs, ftheta_coeffs, rolling_shutter, viewmats_rs: not supported, raise
            when used.
        strict: raise when a Gaussian has a number that is not finite.

    Returns:
        Images `(C, height, width, X)`, alphas `(C, height, width, 1)`, and `meta` with gsplat's
        keys; those of the tile lists are None. `meta["invalid"]` `(C,)` counts the Gaussians that
        were left out as not finite.

    Raises:
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
    _refuse(
        sparse_grad=sparse_grad, distributed=distributed, covars=covars, with_ut=with_ut,
        with_eval3d=with_eval3d, radial_coeffs=radial_coeffs, viewmats_rs=viewmats_rs,
        tangential_coeffs=tangential_coeffs, thin_prism_coeffs=thin_prism_coeffs,
        ftheta_coeffs=ftheta_coeffs,
        rolling_shutter=getattr(rolling_shutter, "name", rolling_shutter) not in (None, "GLOBAL"),
    )  # fmt: skip
    _one_of("render_mode", render_mode, RENDER_MODES)
    _one_of("rasterize_mode", rasterize_mode, RASTERIZE_MODES)
    if means.dim() != 2:
        got = tuple(means.shape)
        raise ValueError(f"means must be (N, 3), got {got}: batches of sets are not supported")
    if opacities.shape != means.shape[:1]:
        raise ValueError(f"opacities must be ({means.shape[0]},), got {tuple(opacities.shape)}")
    C, N = viewmats.shape[0], means.shape[0]
    _check_colors(colors, C, N, sh_degree)
    antialiased = rasterize_mode == "antialiased"
    means2d, depths, conics, compensations, radii, invalid = ops.project_gaussians(
        means, quats, scales, opacities, viewmats, Ks, width, height, eps2d, near_plane, far_plane,
        radius_clip, antialiased, _camera_model(camera_model),
    )  # fmt: skip
    if strict and int(invalid.sum()) > 0:
        raise ValueError(f"{int(invalid.max())} Gaussians have a number that is not finite")
    opaque = opacities[None].expand(C, N)
    if antialiased:
        opaque = opaque * compensations
    values = None
    if "RGB" in render_mode:
        values = _colors_of(colors, means, viewmats, radii, sh_degree)

    camera_ids = gaussian_ids = None
    first = torch.arange(C + 1) * N
    radii, means2d, depths = radii.flatten(0, 1), means2d.flatten(0, 1), depths.flatten()
    conics, opaque = conics.flatten(0, 1), opaque.flatten()
    if packed:
        seen = (radii > 0).all(-1).nonzero()[:, 0]
        camera_ids, gaussian_ids = seen // max(N, 1), seen % max(N, 1)
        first = torch.searchsorted(seen, first)
        radii, means2d, depths = radii[seen], means2d[seen], depths[seen]
        conics, opaque = conics[seen], opaque[seen]
        values = None if values is None else values[seen]
    else:  # the shape of meta["means2d"], whose gradient the callers want
        means2d = means2d.unflatten(0, (C, N))
    if render_mode in ("D", "ED"):
        values, backgrounds = depths[:, None], None
    elif render_mode != "RGB" and values is not None:
        values = torch.cat((values, depths[:, None]), 1)
        if backgrounds is not None:
            backgrounds = torch.cat((backgrounds, torch.zeros_like(backgrounds[:, :1])), 1)
    image, alphas = ops.rasterize_gaussians(
        means2d.reshape(-1, 2), _absolute(means2d) if absgrad else None, conics, values, opaque,
        depths, radii, backgrounds, first, width, height,
    )  # fmt: skip
    if "ED" in render_mode:
        expected = image[..., -1:] / alphas.clamp(min=1e-10)
        image = torch.cat((image[..., :-1], expected), -1)

    def shaped(x: Tensor) -> Tensor:
        return x if packed else x.unflatten(0, (C, N))

    meta = {
        "batch_ids": None if camera_ids is None else torch.zeros_like(camera_ids),
        "camera_ids": camera_ids,
        "gaussian_ids": gaussian_ids,
        "radii": shaped(radii),
        "means2d": means2d,
        "depths": shaped(depths),
        "conics": shaped(conics),
        "opacities": shaped(opaque),
        **dict.fromkeys(
            ("tile_width", "tile_height", "tiles_per_gauss", "isect_ids", "flatten_ids",
             "isect_offsets")
        ),
        "width": width,
        "height": height,
        "tile_size": tile_size,
        "n_batches": 1,
        "n_cameras": C,
        "invalid": invalid,
    }  # fmt: skip
    return image, alphas, meta


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
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Projects Gaussians into cameras; arguments as for `rasterization`.

    Args:
        opacities: `(N,)`; with them the radii end where alpha falls to 1/255.
        calc_compensations: also return the factors of the antialiased mode.
        covars, packed, sparse_grad: not supported, raise when used.

    Returns:
        radii `(C, N, 2)` int32 (0: not seen), means2d `(C, N, 2)`, depths `(C, N)`, conics
        `(C, N, 3)` and compensations `(C, N)` or None.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or value, or is not supported.
    """
    _refuse(covars=covars, packed=packed, sparse_grad=sparse_grad)
    means2d, depths, conics, compensations, radii, _ = ops.project_gaussians(
        means, quats, scales, opacities, viewmats, Ks, width, height, eps2d, near_plane, far_plane,
        radius_clip, calc_compensations, _camera_model(camera_model),
    )  # fmt: skip
    return radii, means2d, depths, conics, compensations if calc_compensations else None


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


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise ValueError(f"{name} is not supported by steadyview's rasterization")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _camera_model(name: str) -> int:
    _one_of("camera_model", name, CAMERA_MODELS)
    return CAMERA_MODELS.index(name)


def _check_colors(colors: Tensor, C: int, N: int, sh_degree: int | None) -> None:
    rest = 1 if sh_degree is None else 2
    wanted = "(N, D) or (C, N, D)" if sh_degree is None else "(N, K, 3) or (C, N, K, 3)"
    leading = tuple(colors.shape[: colors.dim() - rest])
    if leading not in ((N,), (C, N)):
        raise ValueError(
            f"colors must be {wanted} with N = {N} and C = {C}, got {tuple(colors.shape)}"
        )


def _colors_of(
    colors: Tensor, means: Tensor, viewmats: Tensor, radii: Tensor, sh_degree: int | None
) -> Tensor:
    """`(C * N, D)`."""
    C, N = radii.shape[:2]
    if sh_degree is None:
        return colors.expand(C, N, colors.shape[-1]).flatten(0, 1)
    try:
        centres = torch.linalg.inv(viewmats)[:, :3, 3]
    except torch.linalg.LinAlgError as error:
        raise ValueError("viewmats must be invertible to look up spherical harmonics") from error
    seen = (radii > 0).all(-1)
    results = [
        ops.evaluate_harmonics(
            means - centres[c], colors if colors.dim() == 3 else colors[c], seen[c], sh_degree
        )
        for c in range(C)
    ]
    return (torch.cat(results) + 0.5).clamp(min=0)


def _absolute(means2d: Tensor) -> Tensor:
    """An input of the raster whose gradient becomes `means2d.absgrad`."""
    sink = torch.zeros_like(means2d, requires_grad=True)

    def keep(grad: Tensor) -> None:
        means2d.absgrad = grad  # type: ignore[attr-defined]

    sink.register_hook(keep)
    return sink.reshape(-1, 2)
