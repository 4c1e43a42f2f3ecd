"""The measures of a pair as a table: lines for the terminal, HTML for pages, and remarks."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

__all__ = ["measures_html", "measures_text", "remarks"]

_Row = tuple[str, str | int, str, str, str]
_ROWS: tuple[_Row, ...] = (  # label, key of the source's, key of the result's, form, remark
    ("shake above 1 Hz (px)", "shake_source_px", "shake_result_px", ".2f", ""),
    ("slow part of the motion", "steady_share_source", "steady_share_result", ".3f", "1 is best"),
    ("wobble (px)", "wobble_source_px", "wobble_result_px", ".2f", "what no homography explains"),
    ("fine detail", 1, "sharpness_kept", ".0%", "of the source's"),
    ("width and height", 1, "kept_mean", ".0%", ""),
    ("black border pixels", 0, "border_pixels", "d", "must be 0"),
    ("cropping (strict)", "", "strict_cropping_mean", ".3f", "1 is none"),
    ("distortion (strict)", "", "strict_distortion_median", ".3f", "median; 1 is none"),
    ("stability (strict)", "", "strict_stability", ".3f", "1 is best"),
)
_ON_REQUEST: tuple[_Row, ...] = (
    ("cropping (standard)", "", "standard_cropping_mean", ".3f", "as published"),
    ("distortion (standard)", "", "standard_distortion", ".3f", "as published"),
    ("stability (standard)", "", "standard_stability", ".3f", "as published"),
    ("epipolar error, 1 on (px)", "", "epipolar_px_1", ".3f", "frame to next frame"),
    ("epipolar error, 5 on (px)", "", "epipolar_px_5", ".3f", "5 frames apart"),
    ("epipolar error, 10 on (px)", "", "epipolar_px_10", ".3f", "10 frames apart"),
    ("reprojection error (px)", "", "reprojection_px", ".3f", "of a rigid scene"),
    ("tracks unexplained", "", "reprojection_outliers", ".1%", "by a rigid scene"),
    ("flow-warp error", "", "warp_error", ".4f", "flicker; less is better"),
    ("path error (px)", "", "truth_path_error_px", ".3f", "against the truth"),
    ("PSNR to the truth (dB)", "", "truth_aligned_psnr_db", ".1f", "once laid on it"),
    ("SSIM to the truth", "", "truth_aligned_ssim", ".3f", "once laid on it"),
    ("LPIPS to the source", "", "lpips", ".4f", "less is better"),
    ("LPIPS to the truth", "", "truth_lpips", ".4f", "less is better"),
    ("CLIP similarity", "", "clip_similarity", ".4f", "to the source"),
    ("aesthetic rating", "source_aesthetic", "aesthetic", ".2f", "more is better"),
    ("DOVER", "source_dover_overall", "dover_overall", ".3f", "more is better"),
    ("FVD", "", "fvd", ".1f", "less is better; one video says little"),
)


def _cells(record: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Label, before, after, remark of all that was measured, or asked for and not found."""

    def number(key: str | int, form: str) -> str:
        value = record.get(key) if isinstance(key, str) else key
        return "" if key == "" else "-" if value is None else format(value, form)

    special = {
        "shake_result_px": f"{number('shake_removed_db', '.1f')} dB removed",
        "kept_mean": f"at least {number('kept_min', '.0%')}",
    }
    rows = [*_ROWS, *(row for row in _ON_REQUEST if row[2] in record)]
    return [
        (label, number(before, form), number(after, form), special.get(after, remark))
        for label, before, after, form, remark in rows
    ]


def measures_text(record: Mapping[str, Any]) -> list[str]:
    """The table as lines, remarks below it.

    Args:
        record: `QualityReport.to_dict()`, and what else was measured by the names of
            docs/metrics.md. Pixels are those of a frame whose long side is 640.
    """
    rows = [("measured", "before", "after", ""), *_cells(record)]
    lines = [f"{label:<27}{a:>9}{b:>9}   {remark}".rstrip() for label, a, b, remark in rows]
    return lines + [f"note: {remark}" for remark in remarks(record)]


def measures_html(record: Mapping[str, Any]) -> str:
    """The same as a section of a page."""
    body = "".join(
        f'<tr><td>{label[:1].upper()}{label[1:]}</td><td class="number">{a}</td>'
        f'<td class="number">{b}</td><td class="soft">{remark}</td></tr>'
        for label, a, b, remark in _cells(record)
    )
    notes = "".join(f'<p class="soft">{html.escape(remark)}</p>' for remark in remarks(record))
    return (
        "<section><h2>Before and after, measured in the videos</h2><table><thead><tr>"
        '<th>Measure</th><th class="number">before</th><th class="number">after</th><th></th>'
        f"</tr></thead><tbody>{body}</tbody></table>{notes}</section>"
    )


def remarks(record: Mapping[str, Any]) -> list[str]:
    """What the figures leave out, and why, in sentences."""

    def count(key: str, one: str, many: str) -> list[str]:
        number = record.get(key) or 0
        return [f"{number} {one if number == 1 else many}"] if number else []

    lost = "of the result could not be followed (a cut, or no texture)."
    found = [
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
        *count("failed_transitions_result", f"step {lost}", f"steps {lost}"),
    ]
    if record.get("paired_by_order"):
        found.append(
            "Both videos have one number of frames, and clocks of different rates: frames are "
            "paired by order, in the source's time."
        )
    if record.get("strict_stability", 1) is None:
        found.append("Too little of the result could be followed to tell how steady it is.")
    if "standard_error" in record:
        found.append(record["standard_error"])
    return found
