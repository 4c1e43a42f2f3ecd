"""Differentiable tensor operations: one module a C++ room. Needs torch and `steadyview._C`."""

from steadyview.ops import _library  # noqa: F401  first: it says what is missing
from steadyview.ops.gaussians import (
    fully_fused_projection,
    rasterization,
    spherical_harmonics,
)
from steadyview.ops.stereo import inverse_depth_planes, plane_sweep, sweep_video
from steadyview.ops.warp import backward_warp

__all__ = [
    "backward_warp",
    "fully_fused_projection",
    "inverse_depth_planes",
    "plane_sweep",
    "rasterization",
    "spherical_harmonics",
    "sweep_video",
]
