"""Measurements of videos and of stabilised results, independent of the stabiliser's own motion."""

from .fidelity import Fidelity, measure_fidelity
from .frechet import frechet_distance
from .geometry import GeometryConsistency, measure_geometry
from .learned import LearnedScores, load_learned, measure_learned, video_features
from .quality import QualityReport, compare_videos
from .reprojection import Reprojection, measure_reprojection
from .shake import Shake, measure_shake
from .standard import StandardScores, standard_scores
from .strict import Stability, StrictScores
from .temporal import TemporalError, measure_temporal_error

__all__ = [
    "Fidelity",
    "GeometryConsistency",
    "LearnedScores",
    "QualityReport",
    "Reprojection",
    "Shake",
    "Stability",
    "StandardScores",
    "StrictScores",
    "TemporalError",
    "compare_videos",
    "frechet_distance",
    "load_learned",
    "measure_fidelity",
    "measure_geometry",
    "measure_learned",
    "measure_reprojection",
    "measure_shake",
    "measure_temporal_error",
    "standard_scores",
    "video_features",
]
