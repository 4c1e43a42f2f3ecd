"""Forward splats of tensors (C++ room `splat`)."""

from typing import Any

import torch
from torch import Tensor

from steadyview.ops._arguments import check_tensors
from steadyview.ops._library import extension, register

__all__ = ["SPLAT_MODES", "forward_splat"]

SPLAT_MODES = ("sum", "average", "linear", "softmax", "nearest_z")


def forward_splat(
    image: Tensor, flow: Tensor, metric: Tensor | None = None, *, mode: str = "softmax"
) -> tuple[Tensor, Tensor]:
    """Moves an image's pixels along a flow and puts together what meets.

    Differentiable (once) by image, flow and metric; on the CPU neither the result nor the gradients
    depend on the number of threads. nearest_z has a gradient by the image only: to the pixel seen.

    Convention: pixel (0, 0) covers [0, 1] x [0, 1]. The pixel with centre p goes to `p + flow(p)`
    and is shared bilinearly by the four pixels around that point; with nearest_z the pixel that
    the point falls into shows it. What falls beyond the image is lost, and so are pixels whose flow
    or metric is not finite (`count_invalid(flow, metric)` counts them). A share or weight of
    exactly 0 adds nothing, not even of a pixel that is not finite; nor does it in the gradients.

    Args:
        image: `(N, C, H, W)`, float32 or float64; on a CUDA device also float16 or bfloat16,
            computed in float32. Up to 2^31 pixels.
        flow: `(N, 2, H, W)` in pixels, x then y.
        metric: `(N, 1, H, W)` importance for linear and softmax, depth for nearest_z; not for sum
            and average.
        mode: the sum ("sum"), or the mean weighted by the shares alone ("average"), times metric
            ("linear"; where it is negative, 0), or times exp(metric) ("softmax"); or the pixel with
            the least metric, of equals the first ("nearest_z").

    Returns:
        The splat `(N, C, H, W)`, 0 where nothing falls, and the weights `(N, 1, H, W)`: the sum of
        shares, with linear and softmax times metric and exp(metric - the largest of the image)
        (differences beyond 40, for float64 600, count as that; the gradient of these weights takes
        the largest as a constant); for nearest_z 1 where something is seen. Where they are 0,
        nothing falls; of a mean, sums up to 1e-30, for float64 1e-290, count as 0.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or name, or must not be given.

    Source: S. Niklaus and F. Liu, Softmax Splatting for Video Frame Interpolation, CVPR 2020.

    Example:
        >>> image = torch.tensor([[[[1.0, 2.0, 4.0]]]])
        >>> flow = torch.tensor([[[[1.0, 0.0, 0.5]], [[0.0, 0.0, 0.0]]]])
        >>> forward_splat(image, flow, mode="average")
        (tensor([[[[0.0000, 1.5000, 4.0000]]]]), tensor([[[[0.0000, 2.0000, 0.5000]]]]))
    """
    check_tensors(image=image, flow=flow, metric=metric)
    if mode not in SPLAT_MODES:
        raise ValueError(f"mode must be one of {', '.join(SPLAT_MODES)}, got {mode!r}")
    if image.dim() != 4:
        raise ValueError(f"image must be (N, C, H, W), got shape {tuple(image.shape)}")
    weighted = mode not in ("sum", "average")
    if weighted != (metric is not None):
        raise ValueError(f"metric must {'' if weighted else 'not '}be given in mode {mode!r}")
    N, _, H, W = image.shape
    for name, tensor, channels in (("flow", flow, 2), ("metric", metric, 1)):
        if tensor is None:
            continue
        if tuple(tensor.shape) != (N, channels, H, W):
            wanted = (N, channels, H, W)
            raise ValueError(f"{name} must be {wanted}, got shape {tuple(tensor.shape)}")
        if tensor.device != image.device:
            raise ValueError(f"{name} must be on {image.device} as image is, got {tensor.device}")
    dtype = image.dtype
    if dtype in (torch.float16, torch.bfloat16) and image.device.type == "cuda":
        image = image.float()
    if image.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"image must be float32 or float64, got {dtype}")
    flow = flow.to(image.dtype)
    offset = None
    if metric is not None:
        metric = metric.to(image.dtype)
        if mode == "softmax":
            offset = _largest(metric)
    splat, weight, _ = _forward_splat(image, flow, metric, offset, SPLAT_MODES.index(mode))
    return splat.to(dtype), weight


def _largest(metric: Tensor) -> Tensor:
    """Of the finite values of each image: `(N,)`."""
    if metric.numel() == 0:
        return metric.new_zeros(metric.shape[0])
    low = torch.finfo(metric.dtype).min
    finite = torch.nan_to_num(metric.detach(), nan=low, posinf=low, neginf=low)
    return finite.flatten(1).amax(1)


def _fake(
    image: Tensor, flow: Tensor, metric: Tensor | None, offset: Tensor | None, mode: int
) -> tuple[Tensor, Tensor, Tensor]:
    N, _, H, W = image.shape
    nearest = SPLAT_MODES[mode] == "nearest_z"
    return (
        image.new_empty(image.shape),
        image.new_empty((N, 1, H, W)),
        image.new_empty((N if nearest else 0, 1, H, W), dtype=torch.int32),
    )


def _fake_backward(
    grad_output: Tensor, grad_weight: Tensor | None, image: Tensor, flow: Tensor,
    metric: Tensor | None, offset: Tensor | None, output: Tensor, weight: Tensor, index: Tensor,
    mode: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return (
        image.new_empty(image.shape),
        image.new_empty(flow.shape),
        image.new_empty((0,) if metric is None else metric.shape),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:4], *output)
    ctx.mode = inputs[4]


def _backward(
    ctx: Any, grad_output: Tensor, grad_weight: Tensor, grad_index: Tensor
) -> tuple[Any, ...]:
    by_image, by_flow, by_metric = _forward_splat_backward(
        grad_output, grad_weight, *ctx.saved_tensors, ctx.mode
    )
    needs = ctx.needs_input_grad
    return (
        by_image if needs[0] else None,
        by_flow if needs[1] else None,
        by_metric if needs[2] else None,
        None,
        None,
    )


_forward_splat_backward = register(
    "forward_splat_backward(Tensor grad_output, Tensor? grad_weight, Tensor image, Tensor flow,"
    " Tensor? metric, Tensor? offset, Tensor output, Tensor weight, Tensor index, int mode)"
    " -> (Tensor, Tensor, Tensor)",
    extension.forward_splat_backward,
    _fake_backward,
)
_forward_splat = register(
    "forward_splat(Tensor image, Tensor flow, Tensor? metric, Tensor? offset, int mode)"
    " -> (Tensor, Tensor, Tensor)",
    extension.forward_splat,
    _fake,
    _setup_context,
    _backward,
)
