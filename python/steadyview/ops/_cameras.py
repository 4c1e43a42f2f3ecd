"""Cameras, depths and sizes as the operators that project take them; internal."""

import torch
from torch import Tensor

__all__ = ["cameras", "depth_maps", "inverse_K", "inverse_rigid", "size_or", "target_from_source"]


def inverse_rigid(matrix: Tensor) -> Tensor:
    """Of `(..., 4, 4)` rotations with translation; exact for the identity."""
    rotation = matrix[..., :3, :3].transpose(-1, -2)
    shift = -rotation @ matrix[..., :3, 3:]
    return torch.cat((torch.cat((rotation, shift), -1), matrix[..., 3:, :]), -2)


def inverse_K(K: Tensor) -> Tensor:
    try:
        return torch.linalg.inv(K)
    except torch.linalg.LinAlgError as error:
        raise ValueError("Ks must be invertible") from error


def cameras(
    viewmats: Tensor, Ks: Tensor, target_viewmats: Tensor, target_Ks: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """In float64: `(N, 1, 4, 4)`, `(N, 3, 3)`, `(N, V, 4, 4)` and `(N, V, 3, 3)`."""
    if viewmats.dim() != 3 or viewmats.shape[1:] != (4, 4):
        raise ValueError(f"viewmats must be (N, 4, 4), got shape {tuple(viewmats.shape)}")
    N = viewmats.shape[0]
    if Ks.shape != (N, 3, 3):
        raise ValueError(f"Ks must be ({N}, 3, 3), got shape {tuple(Ks.shape)}")
    shape = tuple(target_viewmats.shape)
    if len(shape) not in (3, 4) or shape[-2:] != (4, 4) or (len(shape) == 4 and shape[0] != N):
        raise ValueError(f"target_viewmats must be (V, 4, 4) or ({N}, V, 4, 4), got {shape}")
    V = shape[-3]
    if target_Ks is None:
        target_K = Ks[:, None].expand(N, V, 3, 3)
    elif tuple(target_Ks.shape) not in ((V, 3, 3), (N, V, 3, 3)):
        got = tuple(target_Ks.shape)
        raise ValueError(f"target_Ks must be ({V}, 3, 3) or ({N}, {V}, 3, 3), got {got}")
    else:
        target_K = target_Ks.expand(N, V, 3, 3)
    target = target_viewmats.expand(N, V, 4, 4)
    double = torch.float64
    return viewmats.to(double)[:, None], Ks.to(double), target.to(double), target_K.to(double)


def target_from_source(
    image: Tensor, viewmats: Tensor, Ks: Tensor, target_viewmats: Tensor, target_Ks: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`(N, V, 3, 4)` from (z u, z v, z, 1) to z' (u', v', 1); which cameras are the source's."""
    if viewmats.dim() == 3 and viewmats.shape[0] != image.shape[0]:
        got = tuple(viewmats.shape)
        raise ValueError(f"viewmats must be ({image.shape[0]}, 4, 4), got shape {got}")
    for name, tensor in (("viewmats", viewmats), ("Ks", Ks), ("target_viewmats", target_viewmats)):
        if tensor.device != image.device:
            raise ValueError(f"{name} must be on {image.device}, got {tensor.device}")
    source, K, target, target_K = cameras(viewmats, Ks, target_viewmats, target_Ks)
    relative = target @ inverse_rigid(source)
    rotated = target_K @ relative[..., :3, :3] @ inverse_K(K)[:, None]
    transform = torch.cat((rotated, target_K @ relative[..., :3, 3:]), -1)
    same = (source == target).flatten(2).all(-1) & (K[:, None] == target_K).flatten(2).all(-1)
    return transform, same


def depth_maps(depth: Tensor, image: Tensor) -> Tensor:
    N, _, H, W = image.shape
    if tuple(depth.shape) not in ((N, H, W), (N, 1, H, W)):
        raise ValueError(f"depth must be ({N}, {H}, {W}), got shape {tuple(depth.shape)}")
    if not depth.is_floating_point():
        raise ValueError(f"depth must be of a floating-point dtype, got {depth.dtype}")
    return depth.reshape(N, H, W)


def size_or(name: str, size: tuple[int, int] | None, default: tuple[int, int]) -> tuple[int, int]:
    if size is None:
        return default
    width, height = size
    if width < 0 or height < 0:
        raise ValueError(f"{name} must be (width, height), not negative, got {tuple(size)}")
    return width, height
