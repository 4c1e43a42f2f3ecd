"""Camera paths: from measured motion to where every output frame looks."""

from .similarity import CameraPath, smooth_similarity

__all__ = ["CameraPath", "smooth_similarity"]
