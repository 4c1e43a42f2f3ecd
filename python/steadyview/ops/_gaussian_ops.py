"""Registers the functions of the C++ room `gaussians` with torch.library."""

from typing import Any

import torch
from torch import Tensor

from steadyview.ops._library import extension, register

__all__ = [
    "draw",
    "evaluate_harmonics",
    "find_gaussian_contributors",
    "project_gaussians",
    "rasterize_gaussians",
]


def _project_fake(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor | None, viewmats: Tensor,
    Ks: Tensor, width: int, height: int, eps2d: float, near_plane: float, far_plane: float,
    radius_clip: float, compensate: bool, camera_model: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    size = (viewmats.shape[0], means.shape[0])
    return (
        means.new_empty((*size, 2)),
        means.new_empty(size),
        means.new_empty((*size, 3)),
        means.new_empty(size if compensate else (0,)),
        means.new_empty((*size, 2), dtype=torch.int32),
        means.new_empty((size[0],), dtype=torch.int64),
    )


def _project_backward_fake(
    grad_means2d: Tensor, grad_depths: Tensor, grad_conics: Tensor,
    grad_compensations: Tensor | None, means: Tensor, quats: Tensor, scales: Tensor,
    viewmats: Tensor, Ks: Tensor, radii: Tensor, width: int, height: int, eps2d: float,
    camera_model: int, by_camera: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    cameras = viewmats.shape[0] if by_camera else 0
    return (
        means.new_empty(means.shape),
        quats.new_empty(quats.shape),
        scales.new_empty(scales.shape),
        viewmats.new_empty((cameras, 4, 4)),
        Ks.new_empty((cameras, 3, 3)),
    )


def _project_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    means, quats, scales, _, viewmats, Ks, width, height, eps2d = inputs[:9]
    ctx.save_for_backward(means, quats, scales, viewmats, Ks, output[4])
    ctx.options = (width, height, eps2d, inputs[13])
    ctx.compensate = inputs[12]


def _project_backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
    by_means2d, by_depths, by_conics, by_compensations = grads[:4]
    means, quats, scales, viewmats, Ks, radii = ctx.saved_tensors
    by_viewmat, by_K = ctx.needs_input_grad[4:6]
    results = _project_gaussians_backward(
        by_means2d, by_depths, by_conics, by_compensations if ctx.compensate else None,
        means, quats, scales, viewmats, Ks, radii, *ctx.options, by_viewmat or by_K,
    )  # fmt: skip
    return (
        *results[:3], None, results[3] if by_viewmat else None, results[4] if by_K else None,
        *(None,) * 8,
    )  # fmt: skip


def _harmonics_fake(
    directions: Tensor, coefficients: Tensor, masks: Tensor | None, degree: int
) -> Tensor:
    return coefficients.new_empty((coefficients.shape[0], 3))


def _harmonics_backward_fake(
    grad_colors: Tensor, directions: Tensor, coefficients: Tensor, masks: Tensor | None,
    degree: int, by_directions: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    rows = directions.shape[0] if by_directions else 0
    return coefficients.new_empty(coefficients.shape), directions.new_empty((rows, 3))


def _harmonics_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.degree = inputs[3]


def _harmonics_backward(ctx: Any, grad_colors: Tensor) -> tuple[Any, ...]:
    by_directions = ctx.needs_input_grad[0]
    by_coefficients, by_dirs = _evaluate_harmonics_backward(
        grad_colors, *ctx.saved_tensors, ctx.degree, by_directions
    )
    return by_dirs if by_directions else None, by_coefficients, None, None


def _raster_fake(
    means2d: Tensor, absolute: Tensor | None, conics: Tensor, colors: Tensor, opacities: Tensor,
    depths: Tensor | None, radii: Tensor | None, backgrounds: Tensor | None, first: Tensor | None,
    tile_offsets: Tensor | None, tile_ids: Tensor | None, tile_masks: Tensor | None,
    tile_size: int, width: int, height: int, keep: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    images = 0
    if tile_offsets is not None:
        images = tile_offsets.shape[0]
    elif first is not None:
        images = first.shape[0] - 1
    size = (images, height, width)
    return means2d.new_empty((*size, colors.shape[1])), means2d.new_empty((*size, 1))


def _raster_backward_fake(
    grad_image: Tensor, grad_alphas: Tensor | None, image: Tensor, alphas: Tensor, means2d: Tensor,
    conics: Tensor, colors: Tensor, opacities: Tensor, depths: Tensor | None,
    radii: Tensor | None, backgrounds: Tensor | None, first: Tensor | None,
    tile_offsets: Tensor | None, tile_ids: Tensor | None, tile_masks: Tensor | None,
    tile_size: int, with_abs: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    rows = means2d.shape[0] if with_abs else 0
    inputs = (means2d, conics, colors, opacities)
    return (*(x.new_empty(x.shape) for x in inputs), means2d.new_empty((rows, 2)))


def _rasterize(means2d: Tensor, absolute: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor]:
    keep = rest[13:] == (True,)  # torch leaves out what has its default value
    image, alphas, state = extension.rasterize_gaussians(means2d, *rest[:13], keep)
    if state is not None:
        image.raster_state = state  # for _raster_context
    return image, alphas


def _rasterize_backward(*arguments: Any) -> tuple[Tensor, ...]:
    result: tuple[Tensor, ...] = extension.rasterize_gaussians_backward(*arguments, None)
    return result


def _raster_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    means2d, absolute, *rest = inputs[:12]
    ctx.save_for_backward(means2d, *rest)
    # What was drawn may be changed in place, as gsplat's may; saved as the others it might not be.
    ctx.state = output[0].__dict__.pop("raster_state", None)
    traced = type(output[0]) is not Tensor
    ctx.drawn = tuple(x.clone() if traced else x.detach() for x in output)
    ctx.versions = tuple(x._version for x in ctx.drawn)
    ctx.with_abs, ctx.watched = absolute is not None, getattr(absolute, "watched", None)
    ctx.tile_size = inputs[12]
    ctx.set_materialize_grads(False)  # alphas mostly have none


def _raster_backward(
    ctx: Any, grad_image: Tensor | None, grad_alphas: Tensor | None
) -> tuple[Any, ...]:
    saved, (image, alphas) = ctx.saved_tensors, ctx.drawn
    if tuple(x._version for x in ctx.drawn) != ctx.versions:  # draw what is not there any more
        with torch.no_grad():
            size = (image.shape[2], image.shape[1])
            image, alphas = rasterize_gaussians(saved[0], None, *saved[1:], ctx.tile_size, *size)
    if grad_image is None:
        grad_image = torch.zeros_like(image)
    state, ctx.state = ctx.state, None  # its memory is wanted; a second time it is made again
    arguments = (grad_image, grad_alphas, image, alphas, *saved, ctx.tile_size, ctx.with_abs)
    if state is None or torch.is_grad_enabled():  # where create_graph, the operator has to refuse
        results = _rasterize_gaussians_backward(*arguments)
    else:
        results = extension.rasterize_gaussians_backward(*arguments, state)
    by_means2d, by_conics, by_colors, by_opacities, absolute = results
    if ctx.watched is not None:
        ctx.watched.absgrad = absolute.detach().reshape(ctx.watched.shape)
    by_background = None
    if ctx.needs_input_grad[7]:
        # Running sums: unlike sum(), in an order that does not depend on the number of threads.
        by_background = grad_image * (1 - alphas)
        by_background = by_background.cumsum(2)[:, :, -1].cumsum(1)[:, -1]
    return (
        by_means2d, absolute if ctx.needs_input_grad[1] else None, by_conics, by_colors,
        by_opacities, None, None, by_background, *(None,) * 8,
    )  # fmt: skip


def _contributors_fake(
    means2d: Tensor, conics: Tensor, opacities: Tensor, transmittances: Tensor,
    tile_offsets: Tensor, tile_ids: Tensor, tile_size: int, begin: int, end: int,
) -> Tensor:  # fmt: skip
    count = torch.library.get_ctx().new_dynamic_size()
    return means2d.new_empty((count, 3), dtype=torch.int64)


_project_gaussians_backward = register(
    "project_gaussians_backward(Tensor grad_means2d, Tensor grad_depths, Tensor grad_conics,"
    " Tensor? grad_compensations, Tensor means, Tensor quats, Tensor scales, Tensor viewmats,"
    " Tensor Ks, Tensor radii, SymInt width, SymInt height, float eps2d, int camera_model,"
    " bool by_camera) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    extension.project_gaussians_backward,
    _project_backward_fake,
)
project_gaussians = register(
    "project_gaussians(Tensor means, Tensor quats, Tensor scales, Tensor? opacities,"
    " Tensor viewmats, Tensor Ks, SymInt width, SymInt height, float eps2d, float near_plane,"
    " float far_plane, float radius_clip, bool compensate, int camera_model)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    extension.project_gaussians,
    _project_fake,
    _project_context,
    _project_backward,
)
_evaluate_harmonics_backward = register(
    "evaluate_harmonics_backward(Tensor grad_colors, Tensor directions, Tensor coefficients,"
    " Tensor? masks, int degree, bool by_directions) -> (Tensor, Tensor)",
    extension.evaluate_harmonics_backward,
    _harmonics_backward_fake,
)
evaluate_harmonics = register(
    "evaluate_harmonics(Tensor directions, Tensor coefficients, Tensor? masks, int degree)"
    " -> Tensor",
    extension.evaluate_harmonics,
    _harmonics_fake,
    _harmonics_context,
    _harmonics_backward,
)
_rasterize_gaussians_backward = register(
    "rasterize_gaussians_backward(Tensor grad_image, Tensor? grad_alphas, Tensor image,"
    " Tensor alphas, Tensor means2d, Tensor conics, Tensor colors, Tensor opacities,"
    " Tensor? depths, Tensor? radii, Tensor? backgrounds, Tensor? first, Tensor? tile_offsets,"
    " Tensor? tile_ids, Tensor? tile_masks, SymInt tile_size, bool with_abs)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _rasterize_backward,
    _raster_backward_fake,
)
# The values of `absolute` are not used; its gradient, if it wants one, are the absolute sums.
# `keep` is for draw(): the backward pass then need not make splats and tiles again.
rasterize_gaussians = register(
    "rasterize_gaussians(Tensor means2d, Tensor? absolute, Tensor conics, Tensor colors,"
    " Tensor opacities, Tensor? depths, Tensor? radii, Tensor? backgrounds, Tensor? first,"
    " Tensor? tile_offsets, Tensor? tile_ids, Tensor? tile_masks, SymInt tile_size, SymInt width,"
    " SymInt height, bool keep=False) -> (Tensor, Tensor)",
    _rasterize,
    _raster_fake,
    _raster_context,
    _raster_backward,
)
find_gaussian_contributors = register(
    "find_gaussian_contributors(Tensor means2d, Tensor conics, Tensor opacities,"
    " Tensor transmittances, Tensor tile_offsets, Tensor tile_ids, SymInt tile_size, SymInt begin,"
    " SymInt end) -> Tensor",
    extension.find_gaussian_contributors,
    _contributors_fake,
)


def draw(means2d: Tensor, absgrad: bool, *rest: Any) -> tuple[Tensor, Tensor]:
    """`rasterize_gaussians` of `(..., 2)`; its backward pass sets `means2d.absgrad` if wanted."""
    if absgrad:
        return _draw_watched(means2d, rest)
    result: tuple[Tensor, Tensor] = rasterize_gaussians(
        means2d.reshape(-1, 2), None, *rest, keep=_wants_gradients(means2d, rest)
    )
    return result


def _wants_gradients(means2d: Tensor, rest: tuple[Any, ...]) -> bool:
    if torch.compiler.is_compiling():  # a graph takes no state along: it would stay with the image
        return False
    tensors = (means2d, *(x for x in rest if isinstance(x, Tensor)))
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


@torch.compiler.disable  # graphs do not have tensors with attributes
def _draw_watched(means2d: Tensor, rest: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    absolute = means2d.new_empty((0, 2))
    absolute.watched = means2d  # type: ignore[attr-defined]
    result: tuple[Tensor, Tensor] = rasterize_gaussians(
        means2d.reshape(-1, 2), absolute, *rest, keep=_wants_gradients(means2d, rest)
    )
    return result
