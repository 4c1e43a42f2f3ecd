"""Checks of arguments that say which one is wrong; internal."""

from typing import Any

from torch import Tensor

__all__ = ["check_shape", "check_tensors", "one_of", "refuse"]


def refuse(**options: Any) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise ValueError(f"{name} is not supported by steadyview's rasterization")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def check_tensors(**arguments: Any) -> None:
    """Each must be a tensor, or None where that stands for nothing."""
    for name, value in arguments.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def check_shape(name: str, tensor: Tensor | None, wanted: tuple[int, ...]) -> None:
    """-1 is any number."""
    if tensor is None:
        return
    got = tuple(tensor.shape)
    if len(got) != len(wanted) or any(w not in (-1, g) for w, g in zip(wanted, got, strict=True)):
        shown = ", ".join("any" if w == -1 else str(w) for w in wanted)
        raise ValueError(f"{name} must be ({shown}), got {got}")
