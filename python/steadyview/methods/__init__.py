"""Stabilisation methods: each turns measured motion into a camera path."""

from collections.abc import Callable

from ..motion.global_motion import GlobalMotion
from ..options import StabilizeOptions
from ..path.similarity import CameraPath
from .global_flow import global_flow, global_flow_paper

__all__ = ["METHODS"]

#: By name: measured motion and options in; the camera path and a note for the user out.
METHODS: dict[str, Callable[[GlobalMotion, StabilizeOptions], tuple[CameraPath, str]]] = {
    "global_flow": global_flow,
    "global_flow_paper": global_flow_paper,
}
