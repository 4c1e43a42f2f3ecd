"""Holes in pictures: small gaps across edges, the rest from a pyramid (C++ room `fill`)."""

from typing import Any

from torch import Tensor

from steadyview.ops._arguments import check_tensors, check_whole, whole
from steadyview.ops._library import extension, register

__all__ = ["fill_holes"]


def fill_holes(
    image: Tensor, holes: Tensor, *, depth: Tensor | None = None, gap: int = 0
) -> Tensor:
    """Fills holes from what surrounds them; known pixels stay bit for bit.

    First, gaps of up to `gap` pixels: of the four lines through a hole pixel, the one whose known
    ends differ least is interpolated, so a thin gap across an edge keeps the edge. Then pull-push:
    a hole's rim, the known pixels that touch it, is averaged down a pyramid, and the hole takes
    what the coarser levels have, the finest that reaches it before all.

    With `depth`, holes are filled from the background, the farther side of their own rim: of the
    eight lines that start in a rim pixel and cross the hole, the one with the farthest other end
    decides. A pixel of at least 95 % of that depth counts fully, one nearer than 80 % not at all,
    and in between its weight fades; a line that leaves the picture decides nothing. A gap is only
    interpolated between ends at the depth of the farthest one within `gap` pixels (to 10 %), and
    else left to the pyramid. Use it for what a moved camera uncovers.

    A `gap` of 1 to 3 is for cracks in drawings and other sharp pictures, where the edge across the
    crack matters; on noisy pictures the pyramid alone (0) is closer to what was there.

    Differentiable (once) by the image. Results do not depend on the number of threads.

    Args:
        image: `(N, C, H, W)` floating point, on the CPU or a CUDA device; computed in float64 if it
            is that, else in float32. Pixels with a channel that is not finite are holes.
        holes: `(N, H, W)` bool.
        depth: `(N, H, W)` along z, larger is farther; where it is not positive and finite, a pixel
            counts as nearest.
        gap: pixels; 0 leaves all to the pyramid.

    Returns:
        `(N, C, H, W)`; 0 in pictures without a known pixel.

    Raises:
        TypeError: an argument is no tensor, or gap no whole number.
        ValueError: an argument has the wrong shape, dtype, device or value.

    Source: Gortler, Grzeszczuk, Szeliski and Cohen, "The Lumigraph", 1996 (pull-push).

    Example:
        >>> image = torch.tensor([[[[1.0, 2, 0, 4]]]])
        >>> fill_holes(image, image[:, 0] == 0, gap=1)
        tensor([[[[1., 2., 3., 4.]]]])
    """
    check_tensors(image=image, holes=holes, depth=depth)
    check_whole(gap=gap)
    values = whole(image)
    if depth is not None and depth.dtype != values.dtype:
        depth = depth.to(values.dtype)
    return _fill_holes(values, holes, depth, gap).to(image.dtype)


def _fake(image: Tensor, holes: Tensor, depth: Tensor | None, gap: int) -> Tensor:
    return image.new_empty(image.shape)


def _fake_backward(
    grad_output: Tensor, image: Tensor, holes: Tensor, depth: Tensor | None, gap: int
) -> Tensor:
    return image.new_empty(image.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, holes, depth, ctx.gap = inputs
    ctx.save_for_backward(image, holes, depth)


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
    grad = None
    if ctx.needs_input_grad[0]:
        grad = _fill_holes_backward(grad_output, *ctx.saved_tensors, ctx.gap)
    return grad, None, None, None


_fill_holes_backward = register(
    "fill_holes_backward(Tensor grad_output, Tensor image, Tensor holes, Tensor? depth, int gap)"
    " -> Tensor",
    extension.fill_holes_backward,
    _fake_backward,
)
_fill_holes = register(
    "fill_holes(Tensor image, Tensor holes, Tensor? depth, int gap) -> Tensor",
    extension.fill_holes,
    _fake,
    _setup_context,
    _backward,
)
