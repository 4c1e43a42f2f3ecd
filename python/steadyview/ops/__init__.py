"""Differentiable tensor operations: one module a C++ room. Needs torch and `steadyview._C`.

Differentiable means once, in reverse mode (`backward`, `torch.autograd.grad`): a second derivative
raises RuntimeError; forward mode (`torch.func.jvp`) is not there.
"""

from steadyview.ops import _library  # noqa: F401  first: it says what is missing
from steadyview.ops.depth import guided_filter, smooth_depth
from steadyview.ops.fill import fill_holes
from steadyview.ops.gaussian_stages import (
    fully_fused_projection,
    isect_offset_encode,
    isect_tiles,
    quat_scale_to_covar_preci,
    rasterize_to_indices_in_range,
    rasterize_to_pixels,
    spherical_harmonics,
)
from steadyview.ops.gaussians import rasterization
from steadyview.ops.multiplane import (
    MultiplaneViews,
    multiplane_project,
    multiplane_render,
    plane_homographies,
)
from steadyview.ops.project_depth import DepthViews, project_depth
from steadyview.ops.splat import forward_splat
from steadyview.ops.stereo import inverse_depth_planes, plane_sweep, sweep_video
from steadyview.ops.warp import backward_warp, count_invalid

__all__ = [
    "DepthViews",
    "MultiplaneViews",
    "backward_warp",
    "count_invalid",
    "fill_holes",
    "forward_splat",
    "fully_fused_projection",
    "guided_filter",
    "inverse_depth_planes",
    "isect_offset_encode",
    "isect_tiles",
    "multiplane_project",
    "multiplane_render",
    "plane_homographies",
    "plane_sweep",
    "project_depth",
    "quat_scale_to_covar_preci",
    "rasterization",
    "rasterize_to_indices_in_range",
    "rasterize_to_pixels",
    "smooth_depth",
    "spherical_harmonics",
    "sweep_video",
]
