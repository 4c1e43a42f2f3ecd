"""How a result shows itself in a notebook."""

import html
import importlib
from typing import Any

from .pictures import crop_window, data_url, draw_crop_window, frames_at, shrink

__all__ = ["before_after", "result_html"]


def result_html(result: Any) -> str:
    """A small card: key figures, and the middle frame before and after.

    Args:
        result: a `StabilizationResult`.
    """
    middle = result.motion.frames // 2
    source, steady = _pair(result, [middle])[middle]
    info = result.info
    facts = [
        f"{info.width}×{info.height}, {result.motion.frames} frames",
        f"shake removed {result.shake_removed_db:.1f} dB (by the measured path)",
        f"kept {result.kept_mean:.0%} of width and height (at least {result.kept_min:.0%})",
        *([result.note] if result.note else []),
        *result.warnings,
    ]
    lines = "<br>".join(html.escape(fact) for fact in facts)
    pictures = "".join(
        f'<figure style="margin:0"><img style="width:100%;border-radius:6px" '
        f'src="{data_url(image)}" alt="{label}">'
        f'<figcaption style="font-size:12px;opacity:.75">{label}</figcaption></figure>'
        for image, label in ((source, "before, with what the result shows"), (steady, "after"))
    )
    return (
        '<div style="max-width:900px"><p style="margin:4px 0"><b>StabilizationResult</b> '
        f"{html.escape(str(info.source))}<br>{lines}</p>"
        '<div style="display:grid;grid-template-columns:1fr 1fr;gap:10px">'
        f"{pictures}</div></div>"
    )


def before_after(result: Any, frames: int = 24, width: int = 480) -> Any:
    """A slider through frames before and after; a static picture strip without ipywidgets.

    Args:
        result: a `StabilizationResult`.
        frames: how many frames, spread over the video.
        width: pixels of each picture.

    Returns:
        An ipywidgets box, or an `IPython.display.HTML` with three frames.
    """
    from IPython.display import HTML

    count = result.motion.frames
    try:
        widgets: Any = importlib.import_module("ipywidgets")
    except ImportError:
        widgets = None
        frames = 3
    wanted = sorted({round(step * (count - 1) / max(frames - 1, 1)) for step in range(frames)})
    pairs = _pair(result, wanted, width)
    start = result.motion.times[0]
    pages = {
        f"{result.motion.times[index] - start:.2f} s": (
            '<div style="display:flex;gap:8px">'
            f'<img src="{data_url(source)}" alt="before"><img src="{data_url(steady)}" alt="after">'
            "</div>"
        )
        for index, (source, steady) in pairs.items()
    }
    if widgets is None:
        return HTML("".join(pages.values()))
    slider = widgets.SelectionSlider(options=list(pages.items()), description="time")
    picture = widgets.HTML(slider.value)
    slider.observe(lambda change: setattr(picture, "value", change["new"]), names="value")
    return widgets.VBox([slider, picture])


def _pair(result: Any, wanted: list[int], width: int = 480) -> dict[int, tuple[Any, Any]]:
    sources = frames_at(result.source, wanted)
    steady = dict(zip(wanted, result.frames(wanted), strict=True))
    pairs = {}
    for index in wanted:
        corners = crop_window(
            result.path.source_from_output[index], result.info.width, result.info.height
        )
        drawn = draw_crop_window(sources[index], corners)
        pairs[index] = (shrink(drawn, width), shrink(steady[index], width))
    return pairs
