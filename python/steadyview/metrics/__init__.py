"""Measurements of videos and of stabilised results, independent of the stabiliser's own motion."""

from .fidelity import Fidelity, measure_fidelity
from .geometry import GeometryConsistency, measure_geometry
from .quality import QualityReport, compare_videos
from .shake import Shake, measure_shake
from .standard import StandardScores, standard_scores
from .strict import Stability, StrictScores
from .temporal import TemporalError, measure_temporal_error

__all__ = [
    "Fidelity",
    "GeometryConsistency",
    "QualityReport",
    "Shake",
    "Stability",
    "StandardScores",
    "StrictScores",
    "TemporalError",
    "compare_videos",
    "measure_fidelity",
    "measure_geometry",
    "measure_shake",
    "measure_temporal_error",
    "standard_scores",
]
