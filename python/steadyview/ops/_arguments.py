"""Checks of arguments that say which one is wrong; internal."""

import numbers
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "check_shape", "check_tensors", "check_whole", "one_of", "refuse", "size_or", "whole",
]  # fmt: skip


def refuse(**options: Any) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise ValueError(f"{name} is not supported by steadyview's rasterization")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def check_tensors(**arguments: Any) -> None:
    """Raises TypeError, ValueError unless all are tensors (or None) of real numbers."""
    for name, value in arguments.items():
        if value is None:
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
        if value.is_complex():
            raise ValueError(f"{name} must be real, got {value.dtype}")


def check_shape(name: str, tensor: Tensor | None, wanted: tuple[int, ...]) -> None:
    """-1 is any number."""
    if tensor is None:
        return
    got = tuple(tensor.shape)
    if len(got) != len(wanted) or any(w not in (-1, g) for w, g in zip(wanted, got, strict=True)):
        shown = ", ".join("any" if w == -1 else str(w) for w in wanted)
        raise ValueError(f"{name} must be ({shown}), got {got}")


def check_whole(**sizes: Any) -> None:
    """Raises TypeError unless all are whole numbers. A compiled graph goes without."""
    for name, value in {} if torch.compiler.is_compiling() else sizes.items():
        if not isinstance(value, numbers.Integral | torch.SymInt | Tensor):
            raise TypeError(f"{name} must be a whole number, got {value!r}")


def size_or(name: str, size: tuple[int, int] | None, default: tuple[int, int]) -> tuple[int, int]:
    if size is None:
        return default
    try:
        width, height = size
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be (width, height), got {size!r}") from None
    check_whole(**{f"{name}[0]": width, f"{name}[1]": height})
    if width < 0 or height < 0:
        raise ValueError(f"{name} must be (width, height), not negative, got {tuple(size)}")
    return width, height


def whole(values: Tensor) -> Tensor:
    """float32 for a half precision, which the kernel does not have."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
