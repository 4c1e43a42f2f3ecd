"""How good stabilised videos are, whoever made them: one source, any number of results."""

import html
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .benchmark.tables import Table, records_csv, summarise
from .errors import InputError
from .files import distinct_names
from .metrics import QualityReport, compare_videos, load_learned, measure_learned
from .metrics.pairing import rereadable
from .metrics.tracking import LumaFrame
from .metrics.truth import compare_with_truth
from .video.reader import open_video

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """What was measured; shows itself in a notebook.

    Attributes:
        source, results: the videos.
        qualities: the measures of each result, with their series frame by frame.
        records: the same in plain numbers, the truth's included, by the names of docs/metrics.md.
    """

    source: Any = field(repr=False)
    results: Sequence[Any] = field(repr=False)
    qualities: Sequence[QualityReport] = field(repr=False)
    records: Sequence[dict[str, Any]]

    def table(self) -> Table:
        """The main measures, a row a result: `.text()`, `.latex()`, `.html()`."""
        return summarise(self._rows())

    def csv(self) -> str:
        """All measures, a line a result."""
        return records_csv(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        source = Path(self.records[0]["source"]).stem if self.records else ""
        names = distinct_names([record["result"] for record in self.records], suffixes=False)
        return [
            {"category": source, "tool": name, "status": "ok", **record}
            for name, record in zip(names, self.records, strict=True)
        ]

    def to_html(self) -> str:
        """One page: players with a divider, curves that move them, worst frames."""
        from .report.evaluation import evaluation_html

        return evaluation_html(self.source, self.results, self.qualities, self.records)

    def save_html(self, output: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the page.

        Raises:
            OutputError: the file exists or cannot be written; nothing is left behind.
        """
        from .report.page import write_page

        return write_page(self.to_html(), output, overwrite=overwrite)

    def _repr_html_(self) -> str:
        """The page in a frame of its own; where pages may not run, the tables below it remain."""
        from .report.measures import measures_html

        frame = (
            f'<iframe srcdoc="{html.escape(self.to_html())}" style="width: 100%; height: 900px; '
            'border: 0" title="evaluation"></iframe>'
        )
        return frame + "".join(map(measures_html, self.records))


def evaluate(
    source: Any,
    results: Any,
    *,
    standard: bool = False,
    geometry: bool = False,
    temporal: bool = False,
    truth: Any = None,
    weights: Mapping[str, Any] | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Evaluation:
    """Measures what stabilisers made of a video.

    Args:
        source: the shaky video: a file, or frames from memory that can be read again.
        results: one steady video, or a list of them.
        standard: also cropping, distortion and stability as published.
        geometry: also epipolar consistency and reprojection error.
        temporal: also the flow-warp error.
        truth: the true steady video, where there is one: path error, PSNR and SSIM.
        weights: files of networks by score (lpips, clip, aesthetic, dover, fvd), one or several
            each; see docs/metrics.md. Scores without weights are not measured.
        progress: called with the result's name, the frames done and how many there are (or None).

    Raises:
        InputError: a file is missing, holds no video, or no frames pair up; no results; or weights
            do not fit.
        OptionError: weights for a score that is none of these, or torch is missing for them.
    """
    models = load_learned(weights) if weights else None
    many = isinstance(results, list | tuple) and not _is_video(results)
    videos = list(results) if many else [results]
    if not videos:
        raise InputError("results: none given")
    if len(videos) > 1:
        rereadable(source, "source")
    for video in (source, *videos):  # before hours of work on the first of them
        if isinstance(video, str | os.PathLike):
            open_video(video).close()
    qualities: list[QualityReport] = []
    records: list[dict[str, Any]] = []
    for video in videos:

        def tell(done: int, total: int | None, name: str = str(video)) -> None:
            if progress:
                progress(name, done, total)

        quality = compare_videos(
            source, video, tell, standard=standard, geometry=geometry, temporal=temporal
        )
        if models is not None:
            quality = replace(quality, learned=measure_learned(source, video, models, truth))
        record = quality.to_dict()
        if truth is not None:
            record |= compare_with_truth(truth, video)
        qualities.append(quality)
        records.append(record)
    return Evaluation(source, videos, qualities, records)


def _is_video(results: Sequence[Any]) -> bool:
    """Whether a list holds the frames of one video."""
    first = results[0] if results else None
    return isinstance(first, LumaFrame) or (isinstance(first, np.ndarray) and first.ndim < 4)
