"""Measurements of videos and of stabilised results, independent of the stabiliser's own motion."""

from .quality import QualityReport, compare_videos
from .shake import Shake, measure_shake
from .standard import StandardScores, standard_scores

__all__ = [
    "QualityReport",
    "Shake",
    "StandardScores",
    "compare_videos",
    "measure_shake",
    "standard_scores",
]
