"""Matplotlib figures of a result, for notebooks and papers."""

import io
from typing import TYPE_CHECKING, Any

from ..errors import SteadyviewError
from .series import path_series, shake_spectrum

if TYPE_CHECKING:
    from ..motion.global_motion import GlobalMotion

__all__ = ["AFTER", "BEFORE", "plot_paths"]

BEFORE, AFTER = "#d9730d", "#1f6feb"


def plot_paths(motion: "GlobalMotion", path: Any) -> Any:
    """The image path before and after (sideways, up and down, rotation) and its spectrum.

    Args:
        motion: motion of the source.
        path: its `CameraPath`.

    Returns:
        A `matplotlib.figure.Figure`; it belongs to no window and shows itself in a notebook.

    Raises:
        SteadyviewError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SteadyviewError(
            "plot() needs Matplotlib; install it with: pip install 'steadyview[plot]'"
        ) from error

    class PathFigure(Figure):
        def _repr_png_(self) -> bytes:  # shows itself in a notebook, pyplot or not
            picture = io.BytesIO()
            self.savefig(picture, format="png")
            return picture.getvalue()

    before, after = path_series(motion, path.source_from_output, path.displacement)
    times = motion.times - motion.times[0]
    figure = PathFigure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, name, label in (
        (axes[0, 0], "x", "sideways (px)"),
        (axes[0, 1], "y", "up and down (px)"),
        (axes[1, 0], "rotation", "rotation (°)"),
    ):
        axis.plot(times, getattr(before, name), color=BEFORE, lw=1, label="before")
        axis.plot(times, getattr(after, name), color=AFTER, lw=1.8, label="after")
        axis.set(xlabel="time (s)", ylabel=label)
        for shot in motion.shots[1:]:
            axis.axvline(times[shot], color="0.6", lw=0.8, ls=":")
    spectrum = axes[1, 1]
    for series, color in ((before, BEFORE), (after, AFTER)):
        frequency, amplitude = shake_spectrum(series.x, series.y, times, motion.shots)
        shown = amplitude > 0
        if shown.any():
            spectrum.loglog(frequency[shown], amplitude[shown], color=color)
            spectrum.axvline(1.0, color="0.5", lw=0.8, ls="--")
    spectrum.set(xlabel="frequency (Hz); shake is what lies above 1 Hz", ylabel="amplitude (px)")
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False)
    return figure
