"""Scenes: sets of Gaussians, their files, and how they are fitted to posed images."""

import importlib
from typing import Any

# Public name -> module that defines it. Loaded on first use: they import torch.
_PUBLIC = {
    "FitOptions": "steadyview.scene.fitting",
    "Gaussians": "steadyview.scene.gaussians",
    "fit_gaussians": "steadyview.scene.fitting",
    "read_gaussian_sequence": "steadyview.scene.gaussians",
    "view_gaussians": "steadyview.scene.viewer",
    "write_gaussian_sequence": "steadyview.scene.gaussians",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'steadyview.scene' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
