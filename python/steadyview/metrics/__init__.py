"""Measurements of videos and of stabilised results, independent of the stabiliser's own motion."""

from .quality import QualityReport, compare_videos
from .shake import Shake, measure_shake

__all__ = ["QualityReport", "Shake", "compare_videos", "measure_shake"]
