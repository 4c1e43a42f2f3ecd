"""Cameras and depths as the operators that project take them; internal."""

import torch
from torch import Tensor

__all__ = [
    "cameras",
    "check_cameras",
    "clip_near",
    "depth_maps",
    "inverse_view",
    "is_affine",
    "target_from_source",
]


def inverse_view(matrix: Tensor) -> Tensor:
    """Of `(..., 4, 4)` affine maps with last row 0 0 0 1; exact for the identity."""
    linear = torch.linalg.inv(matrix[..., :3, :3])
    shift = -linear @ matrix[..., :3, 3:]
    return torch.cat((torch.cat((linear, shift), -1), matrix[..., 3:, :]), -2)


def is_affine(viewmats: Tensor) -> Tensor:
    """Whether the last rows are 0 0 0 1, but for the rounding of an inverse; `(...)` bool.

    Nobody looks at these rows; another one is most likely a transposed matrix. The C++ rooms
    `gaussians` and `stereo` allow as much.
    """
    return ((viewmats[..., 3, :] - viewmats.new_tensor([0.0, 0, 0, 1])).abs() <= 1e-5).all(-1)


def check_cameras(**matrices: Tensor) -> None:
    """Of float64 cameras. A compiled graph, which cannot branch on numbers, goes without."""
    if torch.compiler.is_compiling():
        return
    bad = []
    for given in matrices.values():
        matrix = given.detach()
        linear = matrix[..., :3, :3]
        size = linear.norm(dim=-1).prod(-1)
        good = matrix.isfinite().flatten(-2).all(-1)
        good &= torch.linalg.det(linear).abs() > 1e-12 * size
        if matrix.shape[-1] == 4:
            good &= is_affine(matrix)
        bad.append(~good.all())
    for name, wrong in zip(matrices, torch.stack(bad).tolist(), strict=True):
        if wrong:
            row = "" if name.endswith("Ks") else ", with last row 0 0 0 1 (is it transposed?)"
            raise ValueError(f"{name} must be finite and invertible{row}")


def cameras(
    viewmats: Tensor, Ks: Tensor, target_viewmats: Tensor, target_Ks: Tensor | None,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """In float64: `(N, 1, 4, 4)`, `(N, 3, 3)`, `(N, V, 4, 4)` and `(N, V, 3, 3)`."""
    for name, tensor in (("viewmats", viewmats), ("Ks", Ks), ("target_viewmats", target_viewmats),
                         ("target_Ks", target_Ks)):  # fmt: skip
        if tensor is not None and tensor.device != device:
            raise ValueError(f"{name} must be on {device}, got {tensor.device}")
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
    viewmats, K, target, target_K = (x.double() for x in (viewmats, Ks, target, target_K))
    check_cameras(viewmats=viewmats, Ks=K, target_viewmats=target, target_Ks=target_K)
    return viewmats[:, None], K, target, target_K


def target_from_source(
    image: Tensor, viewmats: Tensor, Ks: Tensor, target_viewmats: Tensor, target_Ks: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`(N, V, 3, 4)` from (z u, z v, z, 1) to z' (u', v', 1); which cameras are the source's."""
    if viewmats.dim() == 3 and viewmats.shape[0] != image.shape[0]:
        got = tuple(viewmats.shape)
        raise ValueError(f"viewmats must be ({image.shape[0]}, 4, 4), got shape {got}")
    source, K, target, target_K = cameras(viewmats, Ks, target_viewmats, target_Ks, image.device)
    relative = target @ inverse_view(source)
    rotated = target_K @ relative[..., :3, :3] @ torch.linalg.inv(K)[:, None]
    transform = torch.cat((rotated, target_K @ relative[..., :3, 3:]), -1)
    same = (source == target).flatten(2).all(-1) & (K[:, None] == target_K).flatten(2).all(-1)
    return transform, same


def clip_near(near_plane: float, camera_model: str) -> float:
    """A pinhole camera sees nothing behind it; the others' formulas hold there."""
    return max(near_plane, 0.0) if camera_model == "pinhole" else near_plane


def depth_maps(depth: Tensor, image: Tensor) -> Tensor:
    N, _, H, W = image.shape
    if tuple(depth.shape) not in ((N, H, W), (N, 1, H, W)):
        raise ValueError(f"depth must be ({N}, {H}, {W}), got shape {tuple(depth.shape)}")
    if not depth.is_floating_point():
        raise ValueError(f"depth must be of a floating-point dtype, got {depth.dtype}")
    if depth.device != image.device:
        raise ValueError(f"depth must be on {image.device} as image is, got {depth.device}")
    return depth.reshape(N, H, W)
