"""Shaky clips with a true steady one: a camera flies along a smooth path, and along the same path
with a hand's shake on it, past layers, inside a panorama, or through a set of 3-D Gaussians.

Real datasets have no true steady video. Here both are rendered, and every pose, depth, mask and
homography is written beside them.
"""

from .clip import SyntheticClip, make_clip, truth_of
from .scenes import GAUSSIAN_SETS, SCENES, Layer, Scene, Splats

__all__ = [
    "GAUSSIAN_SETS",
    "SCENES",
    "Layer",
    "Scene",
    "Splats",
    "SyntheticClip",
    "make_clip",
    "truth_of",
]
