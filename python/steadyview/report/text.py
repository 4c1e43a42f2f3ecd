"""A measured pair in words, for the terminal; its remarks are the page's too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["quality_lines", "remarks"]


def quality_lines(quality: Mapping[str, Any]) -> list[str]:
    """The measures of a finished pair as a small table; pixels are those of a 640-pixel frame."""

    def row(label: str, before: str, after: str, remark: str = "") -> str:
        return f"{label:<26}{before:>10}{after:>10}   {remark}".rstrip()

    def number(key: str, form: str = ".2f") -> str:
        value = quality.get(key)
        return "-" if value is None else format(value, form)

    lines = [
        row("measured", "before", "after"),
        row(
            "shake above 1 Hz (px)",
            number("shake_source_px"),
            number("shake_result_px"),
            f"{number('shake_removed_db', '.1f')} dB removed",
        ),
        row("wobble (px)", number("wobble_source_px"), number("wobble_result_px")),
        row("fine detail", "100 %", number("sharpness_kept", ".0%")),
        row(
            "width and height",
            "100 %",
            number("kept_mean", ".0%"),
            f"at least {number('kept_min', '.0%')}",
        ),
        row("black border pixels", "", number("border_pixels", "d")),
        row("stability (strict)", "", number("strict_stability", ".3f")),
    ]
    for label, key, form in (  # of single videos, so that there is a before
        ("aesthetic rating", "aesthetic", ".2f"),
        ("DOVER", "dover_overall", ".3f"),
    ):
        if key in quality:
            lines.append(row(label, number(f"source_{key}", form), number(key, form)))
    more = (  # measured on request
        ("cropping (standard)", "standard_cropping_mean", ".3f"),
        ("distortion (standard)", "standard_distortion", ".3f"),
        ("stability (standard)", "standard_stability", ".3f"),
        *(
            (f"epipolar error, {key[12:]} on", key, ".3f")
            for key in quality
            if key[:12] == "epipolar_px_"
        ),
        ("reprojection error", "reprojection_px", ".3f"),
        ("  tracks unexplained", "reprojection_outliers", ".1%"),
        ("flow-warp error", "warp_error", ".4f"),
        ("path error (px)", "truth_path_error_px", ".3f"),
        ("PSNR to the truth (dB)", "truth_aligned_psnr_db", ".1f"),
        ("SSIM to the truth", "truth_aligned_ssim", ".3f"),
        ("LPIPS to the source", "lpips", ".4f"),
        ("LPIPS to the truth", "truth_lpips", ".4f"),
        ("CLIP similarity", "clip_similarity", ".4f"),
        ("FVD", "fvd", ".1f"),
    )
    lines += [row(label, "", number(key, form)) for label, key, form in more if key in quality]
    return lines + [f"note: {remark}" for remark in remarks(quality)]


def remarks(quality: Mapping[str, Any]) -> list[str]:
    """What the figures leave out, and why.

    Args:
        quality: `QualityReport.to_dict()`.
    """

    def count(key: str, one: str, many: str) -> list[str]:
        number = quality.get(key) or 0
        return [f"{number} {one if number == 1 else many}"] if number else []

    lost = "could not be followed (a cut, or no texture)."
    return [
        *count(
            "unpaired_frames",
            "frame has no partner in the other video and is left out.",
            "frames have no partner in the other video and are left out.",
        ),
        *count(
            "unmatched_frames",
            "frame could not be laid on the source.",
            "frames could not be laid on the source.",
        ),
        *count(
            "failed_transitions_result",
            f"step between frames of the result {lost}",
            f"steps between frames of the result {lost}",
        ),
        *([quality["standard_error"]] if "standard_error" in quality else []),
    ]
