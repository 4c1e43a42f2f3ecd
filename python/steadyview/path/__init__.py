"""Camera paths: from measured motion to where every output frame looks."""

from .box import smooth_box, smooth_paper
from .similarity import CameraPath, smooth_similarity

__all__ = ["CameraPath", "smooth_box", "smooth_paper", "smooth_similarity"]
