"""Steady video from shaky video, and a measure of how good the result is."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that defines it. Loaded on first use: `import steadyview` costs nothing.
_PUBLIC = {
    "CameraPath": "steadyview.path.similarity",
    "Evaluation": "steadyview.evaluation",
    "FitOptions": "steadyview.scene.fitting",
    "Gaussians": "steadyview.scene.gaussians",
    "GlobalMotion": "steadyview.motion.global_motion",
    "StabilizationResult": "steadyview.api",
    "StabilizeOptions": "steadyview.options",
    "build_info": "steadyview.doctor",
    "compare_side_by_side": "steadyview.render.compare",
    "compare_videos": "steadyview.metrics",
    "evaluate": "steadyview.evaluation",
    "fit_gaussians": "steadyview.scene.fitting",
    "stabilize": "steadyview.api",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'steadyview' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
